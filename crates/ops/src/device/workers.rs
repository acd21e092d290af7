//! The number of threads that share the work on a batch.

use burn::tensor::Device;

/// The number of parts of a batch to compute in parallel, each as a rayon task. On the CPU it is the number of threads,
/// because burn's CPU backend computes elementwise operations on one thread. On a GPU it is 1: the GPU takes a whole
/// batch.
pub fn workers(device: &Device) -> usize {
    if *device == Device::flex() {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    } else {
        1
    }
}
