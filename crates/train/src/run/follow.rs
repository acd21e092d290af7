//! A process of an MPI job that computes its part of every batch for rank 0, which leads the run.

use crate::data::segments::{Loader, Segments};
use crate::data::split::digest;
use crate::error::TrainError;
use crate::run::events::{Event, Flow, Listener};
use crate::run::start::{index, open_training_data};
use crate::step::parameters::ParameterLayout;
use crate::step::ranks::Ranks;
use crate::step::team::{Crew, Team, check_division};
use burn::tensor::Device;
use std::sync::Arc;

/// Rank 0 reports what there is to say about the run.
struct Silent;

impl Listener for Silent {
    fn event(&mut self, _: &Event<'_>) -> Flow {
        Flow::Continue
    }
}

/// Computes parts of the run that rank 0 leads, until the run has ended. The settings come from rank 0. The songs are
/// read here.
///
/// # Errors
/// If a song cannot be read, the songs are not those of rank 0, or a device fails or lacks memory. The process must then
/// end the job ([`Ranks::abort`]), because the others wait for it.
pub fn follow(ranks: &Ranks, devices: Vec<Device>) -> Result<(), TrainError> {
    let start = ranks.started()?;
    let (config, crew) = (&start.config, Crew::from(devices));
    crew.check(config)?;
    check_division(config, crew.devices() * ranks.count())?;
    let network = config.model_config()?;
    let (dataset, split) = open_training_data(config, &network.stems, network.sample_rate)?;
    if digest(&*dataset) != start.data {
        return Err(TrainError::OtherSongs(config.data.to_string()));
    }
    let levels = index(&*dataset, &split.training, &mut Silent)?;
    let cut = (config.segment_samples(&network), network.sample_rate);
    let segments = Segments::new(dataset, &split.training, cut, config, &levels);
    let segments = segments.of_part(ranks.rank(), ranks.count());
    let mut weights = vec![0f32; ParameterLayout::of(&network.init(crew.first())).len()];
    let mut team = Team::new(config, &network, crew)?;
    let mut loader = Loader::start(&Arc::new(segments), start.batch);
    let mut step = start.batch;
    while let Some(scale) = ranks.order(&mut weights) {
        let batch = loader.batch().map_err(|source| TrainError::Song { step, source })?;
        let batch = team.deal(batch);
        let weights = team.replica.vector(weights.clone());
        ranks.give(team.numbers(&weights, &batch, scale)?);
        step += 1;
    }
    Ok(())
}
