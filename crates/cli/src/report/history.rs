//! What `metrics.jsonl` tells about a run.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// A logged training step. A value is `None` if it was not finite or the version that wrote the line had none.
pub(crate) struct Step {
    pub(crate) step: u64,
    /// Steps of the whole run.
    pub(crate) steps: Option<u64>,
    pub(crate) progress: Option<f64>,
    pub(crate) elapsed: Option<f64>,
    pub(crate) updated: bool,
    pub(crate) loss: Option<f64>,
    /// The terms of the loss by name.
    pub(crate) losses: BTreeMap<String, Option<f64>>,
    pub(crate) gradient_norm: Option<f64>,
    pub(crate) learning_rate: Option<f64>,
    pub(crate) speed: Option<f64>,
    pub(crate) memory: Option<f64>,
    pub(crate) peak: Option<f64>,
}

/// Scores of a stem, or their mean over the stems, dB.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scores {
    pub(crate) usdr: Option<f64>,
    pub(crate) csdr: Option<f64>,
    pub(crate) si_sdr: Option<f64>,
    pub(crate) baseline: Option<f64>,
}

/// A validation.
pub(crate) struct Validation {
    pub(crate) step: u64,
    pub(crate) songs: Option<u64>,
    pub(crate) mean: Scores,
    pub(crate) stems: BTreeMap<String, Scores>,
    pub(crate) best: bool,
}

/// The course of a run, in the order of its steps.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) steps: Vec<Step>,
    pub(crate) validations: Vec<Validation>,
    /// Lines that hold no JSON object, such as the last line of a run that was cut off.
    pub(crate) damaged: usize,
}

impl History {
    /// Reads a file. A file that is missing is a run without steps.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Reads the lines of a file.
    pub(crate) fn parse(text: &str) -> Self {
        let mut history = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let value: Option<Value> = serde_json::from_str(line).ok();
            let Some((value, step)) =
                value.and_then(|value| value["step"].as_u64().map(|step| (value, step)))
            else {
                history.damaged += 1;
                continue;
            };
            match value["kind"].as_str() {
                Some("step") => history.steps.push(Step::of(&value, step)),
                Some("validation") => history.validations.push(Validation::of(&value, step)),
                _ => {}
            }
        }
        history.steps.sort_by_key(|point| point.step);
        history.validations.sort_by_key(|point| point.step);
        history
    }

    /// The validation with the highest uSDR.
    pub(crate) fn best(&self) -> Option<&Validation> {
        let marked = self.validations.iter().rev().find(|validation| validation.best);
        let score = |validation: &&Validation| validation.mean.usdr.unwrap_or(f64::NEG_INFINITY);
        marked.or_else(|| self.validations.iter().max_by(|a, b| score(a).total_cmp(&score(b))))
    }

    /// Steps whose update was skipped, among those that were logged.
    pub(crate) fn skipped(&self) -> usize {
        self.steps.iter().filter(|step| !step.updated).count()
    }

    /// Whether the run has reached its end.
    pub(crate) fn complete(&self) -> bool {
        let ended = |step: &Step| {
            step.progress.is_some_and(|progress| progress >= 1.0)
                || step.steps.is_some_and(|all| step.step >= all)
        };
        self.steps.last().is_some_and(ended)
    }

    /// The median speed, in seconds of audio per second.
    pub(crate) fn speed(&self) -> Option<f64> {
        let mut speeds: Vec<f64> = self.steps.iter().filter_map(|step| step.speed).collect();
        speeds.sort_by(f64::total_cmp);
        speeds.get(speeds.len() / 2).copied()
    }
}

impl Step {
    fn of(value: &Value, step: u64) -> Self {
        let number = |name: &str| value[name].as_f64();
        let term = |(name, value): (&String, &Value)| {
            let name = name.strip_prefix("loss_").filter(|name| *name != "scale")?;
            Some((name.to_owned(), value.as_f64()))
        };
        Self {
            step,
            steps: value["steps"].as_u64(),
            progress: number("progress"),
            elapsed: number("elapsed"),
            updated: value["updated"].as_bool().unwrap_or(true),
            loss: number("loss"),
            losses: value.as_object().into_iter().flatten().filter_map(term).collect(),
            gradient_norm: number("gradient_norm"),
            learning_rate: number("learning_rate"),
            speed: number("speed"),
            memory: number("memory"),
            peak: number("memory_peak"),
        }
    }
}

impl Validation {
    fn of(value: &Value, step: u64) -> Self {
        let scores = |value: &Value| Scores {
            usdr: value["usdr"].as_f64(),
            csdr: value["csdr"].as_f64(),
            si_sdr: value["si_sdr"].as_f64(),
            baseline: value["baseline_usdr"].as_f64(),
        };
        let stems = value["stems"].as_object().into_iter().flatten();
        let stems: BTreeMap<String, Scores> =
            stems.map(|(name, value)| (name.clone(), scores(value))).collect();
        // A line has only those means that decide about the best weights.
        let mean = |of: &dyn Fn(&Scores) -> Option<f64>| {
            let values: Vec<f64> = stems.values().filter_map(of).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let mean = Scores {
            usdr: mean(&|scores| scores.usdr),
            csdr: mean(&|scores| scores.csdr),
            si_sdr: mean(&|scores| scores.si_sdr),
            baseline: mean(&|scores| scores.baseline),
        };
        let best = value["best"].as_bool().unwrap_or(false);
        Self { step, songs: value["songs"].as_u64(), mean, stems, best }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_was_cut_off_is_read_up_to_its_last_whole_line() {
        let text = concat!(
            r#"{"kind":"step","step":1,"steps":10,"progress":0.1,"loss":2.5,"loss_l1":0.5,"updated":true}"#,
            "\n",
            r#"{"kind":"step","step":2,"steps":10,"progress":0.2,"loss":null,"loss_l1":null,"updated":false}"#,
            "\n",
            r#"{"kind":"validation","step":2,"songs":3,"stems":{"a":{"usdr":1.0,"csdr":null},"b":{"usdr":3.0}},"best":true}"#,
            "\n",
            r#"{"kind":"other","step":2}"#,
            "\n",
            r#"{"kind":"step","st"#,
        );
        let history = History::parse(text);
        assert_eq!((history.steps.len(), history.validations.len(), history.damaged), (2, 1, 1));
        assert_eq!((history.steps[0].loss, history.steps[1].loss), (Some(2.5), None));
        assert_eq!(history.steps[0].losses["l1"], Some(0.5));
        assert_eq!((history.skipped(), history.complete()), (1, false));
        let best = history.best().unwrap();
        assert_eq!((best.mean.usdr, best.mean.csdr), (Some(2.0), None));
        assert!(History::parse("").best().is_none());
    }
}
