//! Constant tables that stay on the device. An upload at every launch would flush the command queue.

use std::cell::RefCell;

use super::launch::GpuArray;

/// Which values a table holds. The numbers are the sizes that determine them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Rotary positions, for a number of positions and a head width.
    Rotary([usize; 2]),
    /// Window and energy of an STFT, for n_fft and hop.
    StftWeights([usize; 2]),
    /// Twiddle factors of an STFT, for n_fft and hop.
    StftTwiddles([usize; 2]),
}

/// Number of tables that are kept. A network and its loss use about twenty.
const MAX_TABLES: usize = 32;

thread_local! {
    /// The most recently used tables of this thread, in order of use, the most recent last.
    static CACHED: RefCell<Vec<(Table, GpuArray)>> = const { RefCell::new(Vec::new()) };
}

/// The table on the device of `like`. `values` are computed and uploaded if the table is not there.
pub(crate) fn cached_table(table: Table, like: &GpuArray, values: impl FnOnce() -> Vec<f32>) -> GpuArray {
    CACHED.with_borrow_mut(|tables| {
        let cached = tables.iter().position(|(key, array)| *key == table && array.shares_device_with(like));
        let array = match cached {
            Some(index) => tables.remove(index).1,
            None => like.upload_like(&values()),
        };
        tables.push((table, array.clone()));
        if tables.len() > MAX_TABLES {
            tables.remove(0);
        }
        array
    })
}
