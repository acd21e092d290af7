//! Work on many files at once, with progress on the calling thread.

use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

/// The results of `work` on each of `items`, in their order. After each item, `progress` gets the number of finished
/// items. If it returns `false`, no further item is begun and the result is `None`.
pub(crate) fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut progress: impl FnMut(usize) -> bool,
) -> Option<Vec<R>> {
    let stop = AtomicBool::new(false);
    let (sender, receiver) = channel();
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        let (stop, work) = (&stop, &work);
        scope.spawn(move || {
            items.par_iter().enumerate().for_each_with(sender, |sender, (index, item)| {
                if !stop.load(Ordering::Relaxed) {
                    sender.send((index, work(item))).ok();
                }
            });
        });
        for (done, (index, result)) in receiver.into_iter().enumerate() {
            results[index] = Some(result);
            if !progress(done + 1) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    if stop.into_inner() { None } else { results.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    fn results_keep_their_order_and_the_work_can_be_stopped() {
        let items: Vec<u32> = (0..100).collect();
        let mut calls = 0;
        let squares = each(
            &items,
            |x| x * x,
            |done| {
                calls += 1;
                done == calls
            },
        );
        assert_eq!(squares.unwrap(), items.iter().map(|x| x * x).collect::<Vec<_>>());
        assert_eq!(calls, 100);
        assert_eq!(each(&items, |x| *x, |done| done < 3), None);
        assert_eq!(each(&[0_u8; 0], |x| *x, |_| true), Some(Vec::new()));
    }
}
