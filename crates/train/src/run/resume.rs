//! Decides whether a run may be resumed, and from which checkpoint.

use crate::error::TrainError;
use crate::run::checkpoint::Checkpoint;
use crate::run::events::{Event, Listener};
use crate::run::folder::RunFolder;
use crate::settings::config::TrainConfig;
use unbraid_model::ModelConfig;

/// The checkpoint from which the run continues. `None` for a new run.
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
    let saved = folder.saved_config()?.ok_or_else(|| TrainError::NothingToResume(run()))?;
    if let Some(difference) = config.differs_from(&saved) {
        return Err(TrainError::Changed { run: run(), difference });
    }
    let checkpoints = folder.checkpoints()?;
    let any = !checkpoints.steps().is_empty() || checkpoints.has_damaged();
    let checkpoint = checkpoints.newest(|message| {
        listener.event(&Event::Message(message));
    });
    match &checkpoint {
        Some(checkpoint) if checkpoint.state.model != *model => {
            return Err(TrainError::Changed {
                run: run(),
                difference: "the model is a different network".into(),
            });
        }
        Some(checkpoint) if checkpoint.state.data.is_some_and(|saved| saved != data) => {
            let songs = config.data.join("train");
            let difference =
                format!("the songs in {} (their names and lengths) have changed", songs.display());
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
