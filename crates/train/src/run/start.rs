//! The start of a run: checks, data, state, and what people are told about them.

use crate::data::dataset::{DataError, Dataset};
use crate::data::index::{Levels, levels};
use crate::data::roots::open_roots;
use crate::data::segments::{Loader, Segments};
use crate::data::split::{Split, digest, split_data};
use crate::data::summary::summary;
use crate::error::TrainError;
use crate::run::checkpoint::{Checkpoint, RunState};
use crate::run::events::{Event, Flow, Listener};
use crate::run::folder::{RunFolder, RunLock};
use crate::run::init::Initial;
use crate::run::resume::find_checkpoint;
use crate::run::trainer::{TrainReport, Trainer, values, vector};
use crate::settings::config::TrainConfig;
use crate::step::exchange::Start;
use crate::step::freeze::Frozen;
use crate::step::learner::Learner;
use crate::step::parameters::{ParameterLayout, initial_weights};
use crate::step::replica::check_loss;
use crate::step::schedule::{Course, Schedule};
use crate::step::team::{Crew, Team};
use std::sync::Arc;
use std::time::Instant;
use unbraid_model::ModelConfig;

/// Trains according to `config`. With `resume`, continues from the newest undamaged checkpoint of the run folder.
///
/// On the same device, with the same number of threads and no time budget, a run that was interrupted and resumed gives
/// the same result as an uninterrupted one, bit for bit. The work runs on the calling thread. Each device of `crew`, which
/// may be a single [`Device`](burn::tensor::Device), computes an equal part of every batch. The exported model is the
/// moving average of the weights at the best validation, or at the end if there was no validation.
///
/// # Errors
/// If the configuration, the data set or the run folder cannot be used, another process is training the run, a song
/// cannot be read, the device fails or lacks memory, or the loss or gradient is not finite in several consecutive
/// steps. A song that cannot be read ends the run with a checkpoint.
pub fn train(
    config: &TrainConfig,
    resume: bool,
    crew: impl Into<Crew>,
    listener: &mut dyn Listener,
) -> Result<TrainReport, TrainError> {
    let crew = crew.into();
    config.validate()?;
    crew.check(config)?;
    check_loss(config)?; // before anything is written
    prepare(config, resume, crew, listener)?.run()
}

/// The data set of a run and its split, for a network with these `stems` and this sample `rate`.
///
/// # Errors
/// If the data set cannot be used, or lacks a song of `validation_songs`.
pub fn open_training_data(
    config: &TrainConfig,
    stems: &[String],
    rate: u32,
) -> Result<(Arc<dyn Dataset>, Split), DataError> {
    let options = config.data_options();
    let dataset = open_roots(&config.data, "train", stems, rate, &options, config.seed)?;
    let split = split_data(&*dataset, &config.validation_songs, config.validation_share, config.seed)?;
    Ok((dataset, split))
}

fn prepare<'a>(
    config: &'a TrainConfig,
    resume: bool,
    crew: Crew,
    listener: &'a mut dyn Listener,
) -> Result<Trainer<'a>, TrainError> {
    let model_config = config.model_config()?;
    let rate = model_config.sample_rate;
    let (dataset, Split { training, validation }) = open_training_data(config, &model_config.stems, rate)?;
    let data = digest(&*dataset);

    let device = crew.first().clone();
    let layout = ParameterLayout::of(&model_config.init(&device));
    let frozen = Frozen::new(&config.freeze, &layout, &device)?;
    let folder = RunFolder::new(&config.run);
    let init = if resume && folder.has_checkpoints() {
        None
    } else {
        Initial::read(config, &model_config, &layout)?
    };
    if resume && !folder.holds_run() {
        return Err(TrainError::NothingToResume(config.run.clone()));
    }
    let lock = folder.lock()?;
    report_start(&lock, &*dataset, &training, &validation, &model_config, listener);
    let levels = index(&*dataset, &training, listener)?;
    if let Some(frozen) = frozen {
        listener.event(&Event::Message(&frozen.summary()));
    }
    let checkpoint = find_checkpoint(config, &model_config, data, resume, &folder, listener)?;
    let checkpoints = folder.checkpoints()?;
    folder.save_config(config)?;

    let mut weights = initial_weights(&model_config, config.seed, &device);
    if let Some(init) = init {
        for message in &init.messages {
            listener.event(&Event::Message(message));
        }
        weights = vector(init.over(values(&weights)?), &device);
    }
    let processes = crew.processes();
    let team = Team::new(config, &model_config, crew)?;
    let mut learner = Learner::new(config, &layout, weights, team)?;
    let saved = checkpoint.as_ref().map(|checkpoint| checkpoint.state.step);
    let state = match checkpoint {
        Some(Checkpoint { state, weights, average, moments }) => {
            if state.layout != layout {
                return Err(TrainError::OtherParameters(config.run.clone()));
            }
            let vector = |parameters: Vec<f32>| vector(layout.with_gaps(&parameters), &device);
            learner.weights = vector(weights);
            learner.average = vector(average);
            learner.optimizer.moments = moments.map(vector);
            learner.optimizer.updates = state.updates;
            learner.loss_scale = learner.loss_scale.map(|fresh| state.loss_scale.unwrap_or(fresh));
            RunState { model: model_config.clone(), ..state }
        }
        None => RunState::new(model_config.clone(), layout),
    };
    let schedule = match state.schedule {
        Some(before) => {
            let schedule = before.continued(config, state.position());
            if let Some(change) = schedule_change(&before, &schedule, config, &state) {
                listener.event(&Event::Message(&change));
            }
            schedule
        }
        None => Schedule::new(config),
    };
    let state = RunState { data: Some(data), schedule: Some(schedule), ..state };
    let samples = config.segment_samples(&model_config);
    let cut = (samples, rate);
    let segments = Segments::new(Arc::clone(&dataset), &training, cut, config, &levels);
    let metrics = folder.open_metrics(state.step, state.validated)?;
    learner.team.start(&Start { config, data, batch: state.step })?;
    Ok(Trainer {
        learner,
        dataset,
        loader: Loader::start(&Arc::new(segments.of_part(0, processes)), state.step),
        segments,
        before: state.elapsed,
        started: Instant::now(),
        stop: false,
        skipped: 0,
        skipped_in_a_row: 0,
        bad: 0,
        bad_batch: None,
        pace: None,
        config,
        device,
        listener,
        validation,
        state,
        saved,
        folder,
        checkpoints,
        metrics,
        schedule,
        _lock: lock,
    })
}

/// The levels of the tracks for training. The index of the data set is built or brought up to date, with a message now and then. If the listener
/// stops it, nothing is known of the levels, and the run stops too.
pub(super) fn index(
    dataset: &dyn Dataset,
    training: &[usize],
    listener: &mut dyn Listener,
) -> Result<Levels, TrainError> {
    let mut stopped = false;
    let (mut told, mut notices) = (Instant::now(), Vec::new());
    let progress = |done: usize, total: usize| {
        if done == total || told.elapsed().as_secs() >= 5 {
            told = Instant::now();
            let message = format!("index of the data set: {done} of {total} files are measured");
            stopped |= listener.event(&Event::Message(&message)) == Flow::Stop;
        }
        !stopped
    };
    let found = levels(dataset, training, progress, |notice| notices.push(notice.to_owned()))?;
    for notice in &notices {
        listener.event(&Event::Message(notice));
    }
    Ok(found.unwrap_or_default())
}

/// Reports what the lock and the data set are like.
fn report_start(
    lock: &RunLock,
    dataset: &dyn Dataset,
    training: &[usize],
    validation: &[usize],
    model: &ModelConfig,
    listener: &mut dyn Listener,
) {
    let mut message = |text: &str| {
        listener.event(&Event::Message(text));
    };
    if let Some(problem) = lock.problem() {
        message(problem);
    }
    dataset.notices().iter().for_each(|notice| message(notice));
    let songs = |tracks| summary(dataset, tracks, model.sample_rate);
    for series in dataset.series() {
        let percent = 100.0 * series.share();
        message(&format!("{percent:.0} % of the excerpts are of songs that are made: {}", series.name()));
    }
    let kept = if validation.is_empty() { "no song".to_owned() } else { songs(validation) };
    message(&format!("training on {}; kept for validation: {kept}", songs(training)));
}

/// The change of the learning rate's course, in words. `None` if the course is the same.
fn schedule_change(
    before: &Schedule,
    now: &Schedule,
    config: &TrainConfig,
    state: &RunState,
) -> Option<String> {
    let cosine = now.course == Course::Cosine;
    let same_limits = Schedule { steps: now.steps, max_minutes: now.max_minutes, ..*before };
    if before == now || !cosine && same_limits == *now {
        return None;
    }
    let rate = |schedule: &Schedule| schedule.rate(config.warmup_steps, state.position());
    let (was, is, end) = (rate(before), rate(now), now.final_learning_rate);
    Some(match (now.learning_rate != before.learning_rate, cosine) {
        (true, true) => format!(
            "the learning rate changes from {was:.2e} to {is:.2e} and reaches {end:.2e} at the end of the run"
        ),
        (true, false) => format!("the learning rate changes from {was:.2e} to {is:.2e}"),
        (false, false) => format!("the learning rate goes on at {is:.2e} with another schedule"),
        (false, true) if is == end => {
            format!("the run had reached the end of its learning rate, which stays at {end:.2e}")
        }
        (false, true) => format!(
            "the end of the run has changed: the learning rate goes on at {is:.2e} and reaches {end:.2e} there"
        ),
    })
}
