//! Further devices of this process. Each has a thread, which alone touches the tensors of its device.

use crate::data::items::Items;
use crate::error::TrainError;
use crate::settings::config::TrainConfig;
use crate::step::exchange::{Exchange, Order, add, divide};
use crate::step::replica::Replica;
use burn::tensor::Device;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use unbraid_model::ModelConfig;

/// All devices of a process but the first one.
pub(crate) struct Devices(Vec<Worker>);

struct Worker {
    /// Of the device, counted from 1. The first device of the process has no worker.
    number: usize,
    /// `None` when the thread is to end.
    parts: Option<Sender<Part>>,
    numbers: Receiver<Result<Vec<f32>, TrainError>>,
    thread: Option<JoinHandle<()>>,
}

/// A part of a batch.
struct Part {
    weights: Arc<Vec<f32>>,
    items: Items,
    scale: f64,
}

impl Devices {
    /// One thread for each of `devices`. `item` is the shape of a batch's item, `[s, 2, n]`.
    pub(crate) fn new(
        config: &TrainConfig,
        network: &ModelConfig,
        devices: &[Device],
        item: [usize; 3],
    ) -> Self {
        let workers = devices.iter().enumerate();
        Self(workers.map(|(index, device)| Worker::new(index + 2, config, network, device, item)).collect())
    }
}

impl Worker {
    fn new(
        number: usize,
        config: &TrainConfig,
        network: &ModelConfig,
        device: &Device,
        item: [usize; 3],
    ) -> Self {
        let (parts, orders) = channel::<Part>();
        let (results, numbers) = channel();
        let (config, network, device) = (config.clone(), network.clone(), device.clone());
        let thread = std::thread::spawn(move || {
            let replica = Replica::new(&config, &network, &device);
            let Ok(replica) = replica.map_err(|error| results.send(Err(error))) else { return };
            for Part { weights, items, scale } in orders {
                let weights = replica.vector(weights.to_vec());
                let numbers = replica.numbers(&weights, &replica.targets(items, item), scale);
                if results.send(numbers).is_err() {
                    break;
                }
            }
        });
        Self { number, parts: Some(parts), numbers, thread: Some(thread) }
    }

    /// The thread has panicked, and has printed why.
    fn lost(&self) -> TrainError {
        TrainError::Device(format!("the thread of device {} has ended", self.number))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.parts = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Exchange for Devices {
    fn parts(&self) -> usize {
        1 + self.0.len()
    }

    fn begin(&mut self, order: &Order<'_>) -> Result<(), TrainError> {
        let weights = Arc::new(order.weights.to_vec());
        for (worker, items) in self.0.iter().zip(order.parts) {
            let part = Part { weights: Arc::clone(&weights), items: items.clone(), scale: order.scale };
            if let Some(parts) = &worker.parts {
                // A thread that has ended has sent the reason, which `mean` returns.
                parts.send(part).ok();
            }
        }
        Ok(())
    }

    fn mean(&mut self, own: &mut Vec<f32>) -> Result<(), TrainError> {
        for worker in &self.0 {
            add(own, &worker.numbers.recv().map_err(|_| worker.lost())??);
        }
        divide(own, self.parts());
        Ok(())
    }
}
