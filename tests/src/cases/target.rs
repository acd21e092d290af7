//! The device that cases run on, and helpers that all cases share.

use std::num::NonZeroUsize;

use burn::tensor::Device;

use crate::report::Check;

/// A device that cases run on.
#[derive(Debug, Clone)]
pub struct Target {
    /// burn's device.
    pub device: Device,
    /// The device is a graphics API computed on the CPU. Its results are right, but compiling a kernel is slow.
    pub software: bool,
}

/// Evaluates an operation while a row of a dispatch is limited to two workgroups, so that dispatches of small tensors
/// have several rows, as those of large tensors do.
pub(super) async fn in_short_rows<T>(evaluation: impl Future<Output = T>) -> T {
    unbraid_ops::limit_row(NonZeroUsize::new(2));
    let results = evaluation.await;
    unbraid_ops::limit_row(None);
    results
}

/// Compares the results of [`in_short_rows`] with the others.
pub(super) fn short_rows(whole: &[f64], rows: &[f64]) -> Check {
    Check::identical("all, in short rows", whole, rows, "two workgroups in a row change no bit")
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}
