//! Other processes, on this machine or on others, that compute parts of every batch: the ranks of an MPI job.
//!
//! Rank 0 leads: it alone holds the optimiser, the moving average and the checkpoints. The others get the weights at
//! every step and return their gradients, so nothing can differ between them, whatever their devices are.

use crate::error::TrainError;
use crate::settings::config::TrainConfig;
use crate::step::exchange::{Exchange, Order, Start, add, divide};
use mpi::datatype::Equivalence;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};

/// An MPI job, as one of its processes sees it. MPI ends with the value.
pub struct Ranks {
    universe: Universe,
}

/// What [`Start`] says, as the other processes receive it.
pub(crate) struct Started {
    pub(crate) config: TrainConfig,
    pub(crate) data: u32,
    pub(crate) batch: u64,
}

impl Ranks {
    /// Starts MPI. `None` if it was started before in this process.
    pub fn start() -> Option<Self> {
        // The work has threads, and only this one calls MPI.
        let (universe, _) = mpi::initialize_with_threading(mpi::Threading::Funneled)?;
        Some(Self { universe })
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.universe.world().rank() as usize
    }

    /// The number of processes.
    pub fn count(&self) -> usize {
        self.universe.world().size() as usize
    }

    /// The part of a list that this process takes if the processes of its machine divide it. `None` if they cannot
    /// divide it equally. Every process must call this.
    pub fn share<'a, T>(&self, list: &'a [T]) -> Option<&'a [T]> {
        let world = self.universe.world();
        let machine = world.split_shared(world.rank());
        let (count, index) = (machine.size() as usize, machine.rank() as usize);
        list.len().is_multiple_of(count).then(|| &list[index * list.len() / count..][..list.len() / count])
    }

    /// Ends all processes of the job.
    pub fn abort(&self) -> ! {
        self.universe.world().abort(1)
    }

    pub(crate) fn exchange(&self) -> Leader {
        Leader { world: self.universe.world() }
    }

    /// Waits for the leader's [`Start`].
    ///
    /// # Errors
    /// If its settings cannot be read.
    pub(crate) fn started(&self) -> Result<Started, TrainError> {
        let world = self.universe.world();
        let [data, batch, length] = broadcast(&world, [0u64; 3]);
        let text = broadcast(&world, vec![0u8; length as usize]);
        let config = TrainConfig::from_toml(&String::from_utf8_lossy(&text))?;
        Ok(Started { config, data: data as u32, batch })
    }

    /// Waits for the leader's [`Order`]: fills in the weights and returns the factor of the loss. `None` after the last
    /// step.
    pub(crate) fn order(&self, weights: &mut [f32]) -> Option<f64> {
        let world = self.universe.world();
        let [is_step, scale] = broadcast(&world, [0u64; 2]);
        if is_step == 0 {
            return None;
        }
        broadcast(&world, weights);
        Some(f64::from_bits(scale))
    }

    /// Gives the leader the vector of the own part.
    pub(crate) fn give(&self, mut own: Vec<f32>) {
        mean(&self.universe.world(), &mut own);
    }
}

/// Rank 0.
pub(crate) struct Leader {
    world: SimpleCommunicator,
}

/// The values of rank 0, which every rank passes room for.
fn broadcast<T: Equivalence, B: AsMut<[T]>>(world: &SimpleCommunicator, mut values: B) -> B {
    world.process_at_rank(0).broadcast_into(values.as_mut());
    values
}

impl Exchange for Leader {
    fn parts(&self) -> usize {
        self.world.size() as usize
    }

    fn start(&mut self, start: &Start<'_>) -> Result<(), TrainError> {
        let text = start.config.to_toml().into_bytes();
        broadcast(&self.world, [u64::from(start.data), start.batch, text.len() as u64]);
        broadcast(&self.world, text);
        Ok(())
    }

    fn begin(&mut self, order: &Order<'_>) -> Result<(), TrainError> {
        broadcast(&self.world, [1, order.scale.to_bits()]);
        broadcast(&self.world, order.weights.to_vec());
        Ok(())
    }

    fn mean(&mut self, own: &mut Vec<f32>) -> Result<(), TrainError> {
        mean(&self.world, own);
        Ok(())
    }

    fn end(&mut self) {
        broadcast(&self.world, [0u64; 2]);
    }
}

/// Replaces the vector of rank 0 by the mean of the vectors of all ranks. Each rank adds a piece of all vectors, in the
/// order of the ranks: the order in which an MPI library adds is its own affair, and may differ between machines.
fn mean(world: &SimpleCommunicator, own: &mut Vec<f32>) {
    let (length, ranks) = (own.len(), world.size() as usize);
    own.resize(length.next_multiple_of(ranks), 0.0);
    let mut pieces = vec![0f32; own.len()];
    world.all_to_all_into(&own[..], &mut pieces[..]);
    let (sum, others) = pieces.split_at_mut(own.len() / ranks);
    others.chunks_exact(sum.len()).for_each(|other| add(sum, other));
    divide(sum, ranks);
    let root = world.process_at_rank(0);
    if world.rank() == 0 {
        root.gather_into_root(&*sum, &mut own[..]);
    } else {
        root.gather_into(&*sum);
    }
    own.truncate(length);
}
