//! The settings of a training run. This file is their only definition: the TOML form, the flags, the defaults, the
//! bounds, the help texts and `docs/settings.md` follow from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use unbraid_model::{Precision, Recompute};

use crate::data::dataset::DataOptions;
use crate::data::roots::Roots;
use crate::settings::declare::settings;
use crate::settings::setting::{Kind, PROBABILITY, above, above_to, at_least, between, from_below, within};

pub use crate::settings::choice::{Metric, MissingStems, OptimizerKind, ScheduleKind};
pub use crate::settings::error::ConfigError;

// A chunk of more sequences than this is larger than any plane of tokens.
const MOST_SEQUENCES: f64 = (1 << 20) as f64;

settings! {
    /// The settings of a training run.
    ///
    /// A TOML file has these fields at its top level. A field that it leaves out has the value of
    /// [`TrainConfig::default`]. `run`, `data` and `model` have no usable default.
    pub struct TrainConfig;

    group "Run" {
        /// Folder of the run: settings, metrics, checkpoints, model. It is created if it is missing. Only one process
        /// at a time can train in it.
        run: PathBuf = PathBuf::new(), flag: "out", value_name: "DIR", may_change_on_resume: true,
            required: Some("the folder of the run, for example runs/first");
        /// Data set: a folder with songs, as train/TRACK/STEM.wav (MUSDB18-HQ), train/TRACK.stem.mp4 (MUSDB18) or
        /// TRACK/STEM.wav. Several folders are a list in TOML, and several flags. FOLDER*2 counts twice. A relative path
        /// starts from the working directory, and the run's config.toml keeps the absolute one. A file bass+other.wav is
        /// the sum of two stems, with which the sum of their estimates is compared. `synth:` and `midi:` are songs that
        /// are made during the run, as docs/training.md describes.
        data: Roots = Roots::default(), value_name: "DIR", may_change_on_resume: true,
            required: Some("the folder that contains train/");
        /// Stem of files that are not named like it, by their names without the ending. The files of a stem are added.
        /// A+B is the sum of two stems. A file of an empty stem is not used.
        stems_map: BTreeMap<String, String> = BTreeMap::new(), value_name: "FILE=STEM,…";
        /// What a stem without a file is: a fault, or silent.
        missing_stems: MissingStems = MissingStems::Fault, value_name: "WHAT";
        /// Network: the name of a standard network, or a TOML file. A resumed run must have the same network.
        model: String = String::new(), value_name: "NAME", may_change_on_resume: true, affects_memory: true,
            required: Some("the name of a network, for example tfswa_unet_tiny, or the path of its .toml file");
        /// Weights file whose parameters the run starts with, for fine-tuning. Parameters whose name or shape is not in
        /// the file keep their random initial values. A run that is resumed from a checkpoint does not read the file.
        init: Option<PathBuf> = None, value_name: "WEIGHTS", may_change_on_resume: true;
        /// Steps after which the run ends. If a resumed run gets other limits (steps, max_minutes), the cosine of its
        /// learning rate goes on without a jump and falls to `final_learning_rate` at the new end. A run that had ended
        /// goes on at `final_learning_rate`, unless it gets another `learning_rate`.
        steps: u64 = 100_000, bounds: at_least(1.0), value_name: "STEPS", may_change_on_resume: true;
        /// Minutes after which the run ends. Whichever of steps and minutes is reached first ends the run, and the
        /// learning rate follows whichever is closer to its end.
        max_minutes: Option<f64> = None, flag: "minutes", bounds: above(0.0), value_name: "MINUTES",
            may_change_on_resume: true;
        /// Seed of the initial weights, the validation split and every segment.
        seed: u64 = 0;
    }

    group "Batch" {
        /// Length of a training segment in seconds.
        segment_seconds: f64 = 6.0, flag: "segment", bounds: between(0.01, 120.0), value_name: "SECONDS",
            affects_memory: true;
        /// Segments per step.
        batch_size: usize = 4, bounds: between(1.0, 4096.0), affects_memory: true;
    }

    group "Memory" {
        /// Micro-batch: segments on the device at once, 0 for the whole batch. Gradients are accumulated over the
        /// batch.
        micro_batch_size: usize = 0, may_change_on_resume: true, affects_memory: true;
        /// Number format of the network's tokens and their gradients. f16 halves their memory and needs a GPU with
        /// 16-bit floats.
        precision: Precision = Precision::F32, value_name: "FORMAT", may_change_on_resume: true,
            affects_memory: true;
        /// Gradient checkpointing: the parts that the backward pass recomputes. It recomputes nothing, every sub-layer
        /// or every block.
        recompute: Recompute = Recompute::None, value_name: "PARTS", may_change_on_resume: true,
            affects_memory: true;
        /// Frequency bins that a time sub-layer processes at once, 0 for all.
        tsa_chunk_size: usize = 0, bounds: between(0.0, MOST_SEQUENCES), value_name: "BINS",
            may_change_on_resume: true, affects_memory: true;
        /// Frames that any other sub-layer processes at once, 0 for all.
        fsa_chunk_size: usize = 0, bounds: between(0.0, MOST_SEQUENCES), value_name: "FRAMES",
            may_change_on_resume: true, affects_memory: true;
        /// Maximum memory of a step in bytes. A step that uses more ends the run.
        memory_limit: Option<u64> = None, kind: Kind::Bytes, bounds: at_least(1.0), value_name: "SIZE",
            may_change_on_resume: true;
    }

    group "Transform" {
        /// Samples per STFT frame, instead of the network's own value. A resumed run must have the same network.
        n_fft: Option<usize> = None, bounds: between(256.0, 4096.0), value_name: "SAMPLES",
            may_change_on_resume: true, affects_memory: true;
        /// Samples between STFT frames, instead of the network's own value. A resumed run must have the same network.
        hop_length: Option<usize> = None, bounds: between(16.0, 1024.0), value_name: "SAMPLES",
            may_change_on_resume: true, affects_memory: true;
    }

    group "Optimizer" {
        /// Update rule. Muon is for the matrices of linear layers and leaves the other parameters to AdamW.
        optimizer: OptimizerKind = OptimizerKind::AdamW, affects_memory: true;
        /// Names of the parameters that the run leaves as they are. A * stands for any characters. A frozen parameter
        /// gets neither an update nor weight decay.
        freeze: Vec<String> = Vec::new(), value_name: "PATTERN,…", may_change_on_resume: true;
        /// Peak learning rate. It is reached at the end of the warm-up. A resumed run with another value follows the
        /// course that a run with this value has from its beginning.
        learning_rate: f64 = 5e-4, bounds: above_to(0.0, 1.0), value_name: "RATE", may_change_on_resume: true;
        /// Course of the learning rate after the warm-up. `cosine` falls to `final_learning_rate` at the end of the run.
        /// `step` multiplies the rate by `decay_factor` after every `decay_interval` steps. `plateau` does so after
        /// `plateau_patience` validations without an improvement. `constant` keeps the rate.
        schedule: ScheduleKind = ScheduleKind::Cosine, may_change_on_resume: true;
        /// Learning rate at the end of the run with the cosine, and the lowest rate with `step` and `plateau`. It is at
        /// most `learning_rate`.
        final_learning_rate: f64 = 5e-6, bounds: at_least(0.0), value_name: "RATE", may_change_on_resume: true;
        /// Factor of the learning rate's reductions, for the schedules `step` and `plateau`.
        decay_factor: f64 = 0.5, bounds: within(0.0, 1.0), value_name: "FACTOR", may_change_on_resume: true;
        /// Steps between reductions of the learning rate, for the schedule `step`.
        decay_interval: u64 = 50_000, bounds: at_least(1.0), value_name: "STEPS", may_change_on_resume: true;
        /// Validations in a row without an improvement before the learning rate is reduced, for the schedule `plateau`.
        plateau_patience: u64 = 3, bounds: at_least(1.0), value_name: "VALIDATIONS", may_change_on_resume: true;
        /// Steps over which the learning rate rises linearly from 0.
        warmup_steps: u64 = 1000, value_name: "STEPS", may_change_on_resume: true;
        /// Decay rates of the gradient's first and second moments.
        betas: [f64; 2] = [0.9, 0.999], bounds: from_below(0.0, 1.0);
        /// Decoupled weight decay. It applies to every parameter with two or more axes: matrices and kernels, and also
        /// the relative-position bias tables and the frequency embedding.
        weight_decay: f64 = 0.01, bounds: at_least(0.0);
        /// Maximum norm of the gradient over all parameters. A larger gradient is clipped to it.
        clip_norm: f64 = 5.0, bounds: above(0.0);
        /// Decay of the weights' moving average. Validation and export use this average.
        ema_decay: f64 = 0.999, bounds: from_below(0.0, 1.0);
    }

    group "Loss" {
        /// Terms of the loss and their weights. A term that is not named has no weight.
        loss: BTreeMap<String, f64> = BTreeMap::from([("waveform".into(), 1.0), ("spectral".into(), 1.0)]),
            bounds: at_least(0.0), affects_memory: true;
        /// Factors of the stems in every term of the loss except `mixture`. A stem that is not named has 1.
        stem_weights: BTreeMap<String, f64> = BTreeMap::new(), bounds: at_least(0.0), value_name: "STEM=WEIGHT,…";
        /// Transform sizes of the terms `spectral` and `magnitude` in samples. The hop is a quarter of the size.
        loss_resolutions: Vec<usize> = vec![4096, 2048, 1024, 512, 256], bounds: between(256.0, 4096.0),
            value_name: "SAMPLES,…", affects_memory: true;
    }

    group "Augmentation" {
        /// Probability that stems come from different positions of different tracks.
        remix_probability: f64 = 0.5, bounds: PROBABILITY, value_name: "P";
        /// Range of the factor that multiplies each stem. The factor is drawn uniformly.
        gain_range: [f32; 2] = [0.25, 1.25], bounds: above(0.0), value_name: "LOW,HIGH";
        /// Probability that a stem's left and right channels are swapped.
        channel_swap_probability: f64 = 0.5, bounds: PROBABILITY, value_name: "P";
        /// Probability that a stem's sign is flipped.
        sign_flip_probability: f64 = 0.5, bounds: PROBABILITY, value_name: "P";
        /// Probabilities that a second and a third excerpt of the same stem, from other places, are added (mix-up).
        mixup_probability: [f64; 2] = [0.0, 0.0], bounds: PROBABILITY, value_name: "P,P";
        /// Range of the factor that multiplies an excerpt that is added.
        mixup_gain_range: [f32; 2] = [0.5, 1.5], bounds: above(0.0), value_name: "LOW,HIGH";
        /// Probability that an excerpt is played faster or slower, by resampling. All stems of the excerpt get the same
        /// speed. Pitch and tempo change together.
        speed_probability: f64 = 0.0, bounds: PROBABILITY, value_name: "P";
        /// Range of the speed. 1.06 is a semitone up. It is rounded to percents.
        speed_range: [f32; 2] = [0.94, 1.06], bounds: between(0.5, 2.0), value_name: "LOW,HIGH";
        /// Probability that each stem of an excerpt is shifted in time on its own.
        shift_probability: f64 = 0.0, bounds: PROBABILITY, value_name: "P";
        /// Maximum time shift of a stem in seconds.
        shift_seconds: f64 = 0.5, bounds: above_to(0.0, 10.0), value_name: "SECONDS";
        /// Probability that a stem gets an equaliser of three bands at random frequencies.
        eq_probability: f64 = 0.0, bounds: PROBABILITY, value_name: "P";
        /// Maximum gain of an equaliser's band in dB, up or down.
        eq_gain_db: f64 = 6.0, bounds: above_to(0.0, 24.0), value_name: "DB";
        /// Probability that a stem gets a compressor. Its threshold is the stem's mean level.
        compression_probability: f64 = 0.0, bounds: PROBABILITY, value_name: "P";
        /// Range of a compressor's ratio.
        compression_ratio_range: [f32; 2] = [1.5, 4.0], bounds: between(1.0, 100.0), value_name: "LOW,HIGH";
        /// Probability that a stem gets the reverberation of a random room, whose decay time is 0.2 to 2.3 s.
        reverb_probability: f64 = 0.0, bounds: PROBABILITY, value_name: "P";
        /// Range of the level of a reverberation, in dB below that of its stem.
        reverb_db_range: [f32; 2] = [6.0, 25.0], bounds: between(0.0, 100.0), value_name: "LOW,HIGH";
        /// Probability that all stems of a segment get the noise and the cutoff of one lossy codec. The coefficients of a
        /// cosine transform are rounded band by band, without a psychoacoustic model.
        codec_probability: f64 = 0.0, bounds: PROBABILITY, value_name: "P";
        /// Range of the level of a band relative to its coding noise, in dB.
        codec_snr_range: [f32; 2] = [6.0, 24.0], bounds: between(0.0, 100.0), value_name: "LOW,HIGH";
        /// Range of the frequency in Hz above which a codec loses everything.
        codec_cutoff_range: [f32; 2] = [11_000.0, 20_000.0], bounds: at_least(1000.0), value_name: "LOW,HIGH";
        /// Probability that a stem is silent. At least one stem of a segment is not.
        drop_probability: f64 = 0.0, bounds: PROBABILITY, value_name: "P";
        /// Minimum mean absolute sample of an excerpt. A quieter excerpt is drawn again, a limited number of times.
        min_mean_abs: f32 = 1e-3, bounds: from_below(0.0, 1.0), value_name: "LEVEL";
    }

    group "Validation and checkpoints" {
        /// Steps between validations, 0 for none.
        validation_interval: u64 = 5000, value_name: "STEPS", may_change_on_resume: true;
        /// Share of the training tracks kept for validation. MUSDB18 has its own validation tracks instead.
        validation_share: f64 = 0.1, bounds: from_below(0.0, 1.0), value_name: "SHARE";
        /// The songs kept for validation, instead of a share or MUSDB18's own. A name with a comma can only be given in
        /// TOML.
        validation_songs: Vec<String> = Vec::new(), value_name: "SONG";
        /// Scored seconds of each validation song, from its start. Without this setting, whole songs are scored.
        validation_seconds: Option<f64> = None, bounds: at_least(1.0), value_name: "SECONDS";
        /// Maximum share of the run's time that validations take. A validation that would exceed it is left out, except
        /// the one at the end. Below 1, the validations and all that depends on them differ from run to run.
        validation_time_share: f64 = 1.0, bounds: above_to(0.0, 1.0), value_name: "SHARE",
            may_change_on_resume: true;
        /// Metric by which a validation is better than another. Its weights are the ones that are exported.
        best_metric: Metric = Metric::Usdr, may_change_on_resume: true;
        /// Early stop: validations in a row without an improvement after which the run ends, 0 for none.
        early_stop: u64 = 0, value_name: "VALIDATIONS", may_change_on_resume: true;
        /// Steps over which the mean loss should fall by 1 %. If it does not, a notice says so once. 0 for no notice.
        stall_steps: u64 = 2000, value_name: "STEPS", may_change_on_resume: true;
        /// Steps between checkpoints, 0 for one at the end only.
        checkpoint_interval: u64 = 1000, value_name: "STEPS", may_change_on_resume: true;
        /// Newest checkpoints to keep, in addition to the best one.
        keep_checkpoints: usize = 2, bounds: at_least(1.0), may_change_on_resume: true;
        /// Steps between lines of metrics.jsonl.
        log_interval: u64 = 10, bounds: at_least(1.0), value_name: "STEPS", may_change_on_resume: true;
    }

    group "Data loading" {
        /// Threads that read and mix segments. Their number does not change the data.
        workers: usize = 2, bounds: between(1.0, 256.0), may_change_on_resume: true;
        /// Batches that each thread prepares ahead.
        prefetch: usize = 2, bounds: between(1.0, 1024.0), may_change_on_resume: true;
    }
}

impl TrainConfig {
    /// How the files of the data set become stems.
    pub(crate) fn data_options(&self) -> DataOptions {
        DataOptions {
            stems_map: self.stems_map.clone(),
            missing_is_silent: self.missing_stems == MissingStems::Silent,
        }
    }
}

#[cfg(test)]
mod tests;
