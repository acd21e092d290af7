//! Runs whose events are recorded.

use burn::tensor::Device;
use unbraid_train::{Event, Flow, Listener, StepEvent, TrainConfig, TrainReport, ValidationEvent, train};

/// Records the events of a run. Stops it after a step if `stop_after` is set.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) steps: Vec<StepEvent>,
    pub(crate) validations: Vec<ValidationEvent>,
    pub(crate) messages: Vec<String>,
    pub(crate) stop_after: Option<u64>,
}

impl Listener for Recorder {
    fn event(&mut self, event: &Event<'_>) -> Flow {
        match event {
            Event::Step(step) => {
                self.steps.push((*step).clone());
                if self.stop_after == Some(step.step) {
                    return Flow::Stop;
                }
            }
            Event::Validation(validation) => self.validations.push((*validation).clone()),
            Event::Message(message) => self.messages.push((*message).into()),
            Event::Song { .. } | Event::Saved { .. } => {}
        }
        Flow::Continue
    }
}

/// Runs on the CPU until the end or until `stop_after`.
pub(crate) fn run_until(
    config: &TrainConfig,
    resume: bool,
    stop_after: Option<u64>,
) -> (Recorder, TrainReport) {
    let mut recorder = Recorder { stop_after, ..Default::default() };
    let report = train(config, resume, &Device::flex(), &mut recorder).unwrap();
    (recorder, report)
}
