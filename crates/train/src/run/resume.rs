//! Decides whether a run may be resumed, and from which checkpoint.

use crate::error::TrainError;
use crate::run::checkpoint::Checkpoint;
use crate::run::events::{Event, Listener};
use crate::run::folder::RunFolder;
use crate::settings::config::TrainConfig;
use crate::step::schedule::Schedule;
use unbraid_model::ModelConfig;

/// The checkpoint from which the run continues. `None` for a new run. With `resume`, the folder holds a run.
pub(crate) fn find_checkpoint(
    config: &TrainConfig,
    model: &ModelConfig,
    data: u32,
    resume: bool,
    folder: &RunFolder,
    listener: &mut dyn Listener,
) -> Result<Option<Checkpoint>, TrainError> {
    let run = || config.run.clone();
    if !resume {
        // Opening the folder would create it.
        if config.run.join("checkpoints").is_dir() {
            let checkpoints = folder.checkpoints()?;
            if !checkpoints.steps().is_empty() {
                return Err(TrainError::RunExists(run()));
            }
            checkpoints.set_damaged_aside();
        }
        return Ok(None);
    }
    let saved = folder.saved_config()?;
    match &saved {
        Some(saved) => {
            if let Some(difference) = config.differs_from(saved) {
                return Err(TrainError::Changed { run: run(), difference });
            }
        }
        None => {
            let message = "the run's settings (config.toml) are missing; it goes on with the given settings, which \
                           cannot be compared with its own";
            listener.event(&Event::Message(message));
        }
    }
    let checkpoints = folder.checkpoints()?;
    let any = !checkpoints.steps().is_empty() || checkpoints.has_damaged();
    let mut checkpoint = checkpoints.newest(|message| {
        listener.event(&Event::Message(message));
    });
    if let Some(Checkpoint { state, .. }) = &mut checkpoint {
        // A checkpoint of an earlier version: the course is that of the run's settings.
        state.schedule = state.schedule.or_else(|| saved.as_ref().map(Schedule::new));
    }
    match &checkpoint {
        Some(checkpoint) if checkpoint.state.model != *model => {
            return Err(TrainError::Changed {
                run: run(),
                difference: "the model is a different network".into(),
            });
        }
        Some(checkpoint) if checkpoint.state.data.is_some_and(|saved| saved != data) => {
            let difference = format!("the songs in {} (their names and lengths) have changed", config.data);
            return Err(TrainError::Changed { run: run(), difference });
        }
        Some(checkpoint) => {
            let message = format!("resuming after step {}", checkpoint.state.step);
            listener.event(&Event::Message(&message));
        }
        None if any => return Err(TrainError::AllDamaged(run())),
        None => {
            listener.event(&Event::Message("the run has no checkpoint yet and starts from the beginning"));
        }
    }
    Ok(checkpoint)
}
