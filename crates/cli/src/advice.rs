//! Advice about errors. The libraries' messages state facts. This file adds the flags and commands that help.

use std::error::Error;
use std::fmt::{self, Display};

use unbraid_audio::{AudioError, Problem};
use unbraid_import::ImportError;
use unbraid_model::SeparateError;
use unbraid_model::weights::{Reason, WeightsError};
use unbraid_ops::device::DeviceError;
use unbraid_synth::SynthError;
use unbraid_train::{ConfigError, DataError, EvaluateError, FoldersError, TrainError};

use crate::output::error;

const DATA_LAYOUT: &str = "A data set has the layout of MUSDB18-HQ: train/TRACK/{drums,bass,other,vocals}.wav. \
                           `unbraid data synth OUT` creates one with synthetic songs.";
const WEIGHTS: &str = "Give the model.safetensors of a run's folder, where `unbraid train` writes it, or a file that \
                       `unbraid import` made of a PyTorch checkpoint. If a later version of Unbraid wrote the file, \
                       update Unbraid.";
const OTHER_DEVICE: &str = "Try again, or compute with `--device cpu`.";
const LESS_MEMORY: &str =
    "`unbraid plan --memory SIZE` finds settings that fit. `--on-oom reduce` finds them while training.";

/// An error of this program, with its advice.
#[derive(Debug)]
pub(crate) struct Advised {
    fact: String,
    advice: String,
}

impl Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fact)
    }
}

impl Error for Advised {}

/// The error `fact`, with advice.
pub(crate) fn advised(fact: impl Display, advice: impl Into<String>) -> anyhow::Error {
    Advised { fact: fact.to_string(), advice: advice.into() }.into()
}

/// Prints what failed, and what helps.
pub(crate) fn print_error(reason: &anyhow::Error) {
    error(format_args!("error: {}", fact(reason)));
    if let Some(advice) = advice(reason) {
        error(format_args!("help: {advice}"));
    }
}

/// The advice for an error: that of the outermost error in its chain of causes that has advice.
pub(crate) fn advice(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(for_cause)
}

/// An error and its causes. Many messages of the libraries include the cause's message, so it is not repeated.
pub(crate) fn fact(error: &anyhow::Error) -> String {
    let mut fact = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !fact.contains(&cause) {
            fact = format!("{fact}: {cause}");
        }
    }
    fact
}

fn for_cause<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a str> {
    if let Some(advised) = cause.downcast_ref::<Advised>() {
        return Some(&advised.advice);
    }
    let advice = cause.downcast_ref().and_then(for_training);
    let advice = advice.or_else(|| cause.downcast_ref().and_then(for_settings));
    let advice = advice.or_else(|| cause.downcast_ref().and_then(for_data));
    let advice = advice.or_else(|| cause.downcast_ref().and_then(for_evaluation));
    let advice = advice.or_else(|| cause.downcast_ref().and_then(for_folders));
    let advice = advice.or_else(|| cause.downcast_ref().and_then(for_weights));
    let advice = advice.or_else(|| cause.downcast_ref().and_then(for_import));
    let advice = advice.or_else(|| cause.downcast_ref().and_then(for_separation));
    let advice = advice.or_else(|| cause.downcast_ref().and_then(for_device));
    let advice = advice.or_else(|| cause.downcast_ref().and_then(for_audio));
    let advice = advice.or_else(|| cause.downcast_ref().and_then(for_audio_problem));
    advice.or_else(|| cause.downcast_ref().and_then(for_synthetic_songs))
}

fn for_training(error: &TrainError) -> Option<&'static str> {
    Some(match error {
        TrainError::Config(error) => return for_settings(error),
        TrainError::Data(error) => return for_data(error),
        TrainError::Validation(EvaluateError::Data(error)) => return for_song(error),
        TrainError::Validation(error) => return for_evaluation(error),
        TrainError::Weights(error) => return for_weights(error),
        TrainError::NoF16 => {
            "Train with `--precision f32`. `unbraid doctor` lists the devices that have 16-bit floats."
        }
        TrainError::Device(_) => {
            "Continue from the last checkpoint with `--resume`. If it fails again, add `--device cpu`."
        }
        TrainError::OutOfMemory(_) | TrainError::OverLimit { .. } => LESS_MEMORY,
        TrainError::RunExists(_) => {
            "Continue that run with `--resume`, or choose another folder with `--out DIR`."
        }
        TrainError::Song { source, .. } => return for_song(source),
        TrainError::Locked(_) => {
            "Wait for that process, or stop it. A second run needs another folder (`--out DIR`)."
        }
        TrainError::SettingsLost(_) => {
            "Restore config.toml, or give the settings that the run was started with: `--resume --config FILE`."
        }
        TrainError::NothingToResume(_) => "Start a run without `--resume`.",
        TrainError::AllDamaged(_) => "Start a new run without `--resume`.",
        TrainError::Changed { .. } => {
            "Restore what has changed, or start a new run in another folder (`--out DIR`, without `--resume`)."
        }
        TrainError::OtherParameters(_) => {
            "Continue the run with the version of Unbraid that started it, or start a new run."
        }
        TrainError::Diverged { .. } => {
            "Continue from the last checkpoint with `--resume` and a lower `--learning-rate`, for example half of it. \
             If this happens at step 1, look for a damaged file in the data set. The folder not-finite of the run \
             holds the sound of such a batch."
        }
        TrainError::Freeze(_) => {
            "`--freeze` takes names of parameters, such as `encoder.*`. `--freeze ''` freezes none."
        }
        TrainError::Parts { .. } => {
            "Every device takes an equal part of a batch: `--batch-size` must be a multiple of their number."
        }
        TrainError::OtherSongs(_) => "Every process must find the same songs in the same folders.",
        TrainError::NothingFits { .. } => {
            "Give the weights of a network of the same family and widths (`--init`), or leave `--init` out."
        }
        _ => return None,
    })
}

fn for_settings(error: &ConfigError) -> Option<&'static str> {
    Some(match error {
        ConfigError::Read { .. } => {
            "`--config` takes a TOML file of settings. The folder configs/train has examples."
        }
        ConfigError::Parse { .. } | ConfigError::Invalid(_) => {
            "`unbraid settings` lists every setting with its flag, its type and its bounds."
        }
        // The network is known, so the problem is in another setting.
        ConfigError::Model { model, .. } if unbraid_model::STANDARD_NETWORKS.contains(&model.as_str()) => {
            return None;
        }
        ConfigError::Model { .. } => {
            "`--model` takes the name of a standard network, or a TOML file like those in configs/model."
        }
    })
}

fn for_data(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::Faults { faults, .. } => faults.iter().find_map(for_data),
        DataError::MissingStem { similar: Some(_), .. } => {
            Some("Rename the files. The file of a stem has the stem's name and the ending .wav or .flac.")
        }
        DataError::NoFolder { .. } | DataError::NoTracks { .. } | DataError::MissingStem { .. } => {
            Some(DATA_LAYOUT)
        }
        DataError::UnknownFormat { .. } => {
            Some("`unbraid data synth OUT` creates a data set of synthetic songs.")
        }
        DataError::Audio(error) => for_audio(error),
        DataError::UnknownLength(_) => Some("Convert the file to wav or flac."),
        DataError::Lengths { .. } => Some("Cut or pad the stems of the track to one length."),
        _ => None,
    }
}

/// For a song that cannot be read during a run. A resumed run must have the same songs, so removing one is no help.
fn for_song(error: &DataError) -> Option<&'static str> {
    Some(match error {
        DataError::Audio(_) => {
            "Replace the file by a sound copy of the same length, then continue with `--resume`. Without the song, \
             only a new run is possible."
        }
        _ => return for_data(error),
    })
}

fn for_audio(error: &AudioError) -> Option<&'static str> {
    for_audio_problem(&error.problem)
}

fn for_audio_problem(problem: &Problem) -> Option<&'static str> {
    Some(match problem {
        Problem::Write(_) => "Check the folder's permissions and the free space of the disk.",
        Problem::NotAFile => "Give the path of an audio file on disk.",
        Problem::Empty => "Copy or download the file again.",
        Problem::Truncated(_) => {
            "Copy or download the file again. `unbraid separate --allow-truncated` takes what the file holds."
        }
        Problem::Unsupported(_) | Problem::OtherFormat(_) => {
            "Convert the file first, for example with `ffmpeg -i INPUT OUTPUT.wav`."
        }
        Problem::Channels(_) => {
            "Mix the file down to stereo first, for example with `ffmpeg -i INPUT -ac 2 OUTPUT.wav`."
        }
        Problem::SampleRate(_) => {
            "Convert the file first, for example with `ffmpeg -i INPUT -ar 44100 OUTPUT.wav`."
        }
        Problem::Malformed { .. } | Problem::NonFinite { .. } => "Export the file again from its source.",
        Problem::FormatRate { .. } => "`--format wav16`, wav24 and wav32f hold any sample rate.",
        Problem::TooLong(_) => "`--format flac` has no such limit.",
        _ => return None,
    })
}

fn for_evaluation(error: &EvaluateError) -> Option<&'static str> {
    match error {
        EvaluateError::Data(error) => for_data(error),
        EvaluateError::Separate { source, .. } => for_separation(source),
    }
}

fn for_folders(error: &FoldersError) -> Option<&'static str> {
    match error {
        FoldersError::NoSongs { .. } => {
            Some("Give folders with a folder per song and a file per stem: DIR/SONG/vocals.wav.")
        }
        FoldersError::Faults(_) => Some("Add or rename the files, or score only some stems with `--stems`."),
        FoldersError::Audio(errors) => errors.first().and_then(for_audio),
        FoldersError::Folder(_) => None,
    }
}

fn for_weights(error: &WeightsError) -> Option<&'static str> {
    match error.reason {
        Reason::Device(_) => Some(OTHER_DEVICE),
        Reason::LaterFormat { .. } => Some("Update Unbraid: a later version wrote the file."),
        Reason::NotFinite(_) => Some("Train again with a lower `--learning-rate`, or use another model."),
        _ => Some(WEIGHTS),
    }
}

fn for_separation(error: &SeparateError) -> Option<&'static str> {
    match error {
        SeparateError::Options(_) => Some("Choose another `--segment` or `--overlap`."),
        SeparateError::Input { .. } => Some("Decode the song again, or cut that part out."),
        SeparateError::NotFinite { .. } => {
            Some("Try another device with `--device cpu`. If the error stays, use another model.")
        }
        SeparateError::Device(_) => Some(OTHER_DEVICE),
        _ => None,
    }
}

fn for_device(error: &DeviceError) -> Option<&'static str> {
    Some(match error {
        DeviceError::NoAdapter => {
            "`unbraid doctor` says what a GPU of this machine lacks. `--device cpu` computes without a GPU."
        }
        DeviceError::Untrusted { reason, .. } if reason.contains("llvmpipe") => {
            "Install Mesa 25 or newer (mesa-vulkan-drivers), or compute with `--device cpu`."
        }
        DeviceError::Untrusted { .. } => {
            "`unbraid doctor` lists all devices. `--device cpu` is always trusted."
        }
        DeviceError::Unavailable { .. } => "Update the device's driver, or compute with `--device cpu`.",
        _ => "`unbraid doctor` lists the devices.",
    })
}

fn for_import(error: &ImportError) -> Option<&'static str> {
    Some(match error {
        ImportError::Damaged(_) => {
            "Copy or download the file again, and compare its length with the original's."
        }
        ImportError::OtherFile(_) => {
            "Give a checkpoint that PyTorch wrote (.ckpt, .pt, .pth, .th), or the .safetensors of another program."
        }
        ImportError::Object { .. } => {
            "Save the tensors alone with PyTorch, `torch.save(model.state_dict(), FILE)`, on a machine where you \
             trust the file."
        }
        ImportError::NoTensors(_) | ImportError::OtherNetwork(_) => {
            "`unbraid import CHECKPOINT --list` shows what it holds. docs/import.md lists the networks."
        }
        ImportError::Yaml(_) | ImportError::Setting(_) | ImportError::Contradictions(_) => {
            "`--config` takes the YAML file that was published with this checkpoint."
        }
        ImportError::Tensors(_) => {
            "Check that the YAML file belongs to this checkpoint. `--list` shows all tensors of the checkpoint."
        }
        ImportError::Lora(_) => {
            "Give the checkpoint that was fine-tuned, its LoRA weights with `--lora FILE`, and the YAML file of the \
             fine-tuning, which has a section `lora`."
        }
        ImportError::Value { fault, .. } if fault.contains("16 bits") => "Import with `--precision f32`.",
        ImportError::Value { .. } => "The training of this checkpoint failed. Use an earlier one.",
        ImportError::Io(_) | ImportError::Limit(_) | ImportError::Unsupported(_) => return None,
    })
}

fn for_synthetic_songs(error: &SynthError) -> Option<&'static str> {
    match error {
        SynthError::NotEmpty(_) => Some("Give a new or an empty folder."),
        SynthError::Io { .. } => Some("Check the folder's permissions and the free space of the disk."),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
