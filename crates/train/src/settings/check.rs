//! Checks of the settings: bounds, settings that depend on each other, and what a resumed run may change.

use toml::Value;

use crate::settings::config::{SETTINGS, ScheduleKind, TrainConfig};
use crate::settings::error::ConfigError;
use crate::settings::setting::value_text;

impl TrainConfig {
    /// Checks every setting, and the settings that depend on each other. `Ok` means that training can start.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all problems.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let table = self.to_table()?;
        let mut problems = Vec::new();
        for setting in SETTINGS {
            let Some(value) = table.get(setting.name) else { continue };
            match setting.required {
                Some(required) if value.as_str() == Some("") => {
                    problems.push(format!("{} is missing: it must be {required}", setting.name));
                }
                _ if !setting.allows(value) => {
                    let (name, value) = (setting.name, value_text(value));
                    problems.push(format!("{name} = {value}: it must be {}", setting.accepted()));
                }
                _ => {}
            }
        }
        let mut check = |ok: bool, message: String| {
            if !ok {
                problems.push(message);
            }
        };
        check(
            self.final_learning_rate <= self.learning_rate,
            format!(
                "final_learning_rate = {}: it must be at most learning_rate = {}",
                self.final_learning_rate, self.learning_rate
            ),
        );
        check(
            self.schedule != ScheduleKind::Plateau || self.validation_interval > 0,
            "schedule = \"plateau\": it needs validations, but validation_interval = 0".into(),
        );
        check(
            self.early_stop == 0 || self.validation_interval > 0,
            format!("early_stop = {}: it needs validations, but validation_interval = 0", self.early_stop),
        );
        let ranges = [
            ("gain_range", self.gain_range),
            ("mixup_gain_range", self.mixup_gain_range),
            ("speed_range", self.speed_range),
            ("compression_ratio_range", self.compression_ratio_range),
            ("reverb_db_range", self.reverb_db_range),
            ("codec_snr_range", self.codec_snr_range),
            ("codec_cutoff_range", self.codec_cutoff_range),
        ];
        for (name, [low, high]) in ranges {
            check(low <= high, format!("{name} = [{low}, {high}]: the smaller number must come first"));
        }
        check(
            self.loss.values().any(|weight| *weight > 0.0),
            "loss: at least one term must have a weight above 0, or nothing is learnt".into(),
        );
        check(
            ["spectral", "magnitude"]
                .iter()
                .all(|term| self.loss.get(*term).is_none_or(|weight| *weight == 0.0))
                || !self.loss_resolutions.is_empty(),
            "loss_resolutions: a loss of spectrograms needs at least one transform size".into(),
        );
        let in_bounds = |n_fft: &&usize| (256..=4096).contains(*n_fft);
        for &n_fft in self.loss_resolutions.iter().filter(in_bounds) {
            if let Err(error) = unbraid_ops::Stft::new(n_fft, n_fft / 4) {
                check(false, format!("loss_resolutions: {error}"));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// The settings that prevent resuming the saved run, with both values; `None` if there are none.
    ///
    /// All settings must be equal, except those that are declared with `may_change_on_resume`.
    pub(crate) fn differs_from(&self, saved: &Self) -> Option<String> {
        let text = |value: Result<Option<Value>, toml::ser::Error>| match value {
            Ok(Some(value)) => value_text(&value),
            Ok(None) => "not set".into(),
            Err(error) => error.to_string(),
        };
        let values = self.value_results().into_iter().zip(saved.value_results());
        let fixed = SETTINGS.iter().zip(values).filter(|(setting, _)| !setting.may_change_on_resume);
        let differences: Vec<_> = fixed
            .filter(|(_, values)| !matches!(values, (Ok(now), Ok(before)) if now == before))
            .map(|(setting, (now, before))| {
                format!("{} is {}, was {}", setting.name, text(now), text(before))
            })
            .collect();
        (!differences.is_empty()).then(|| differences.join("; "))
    }
}
