//! Feeds mutated files to every parser of files from outside: audio, MIDI, SoundFonts, weights, checkpoints and settings.
//!
//! [`Campaign::run`] mutates good files at random and gives each result to a parser. A parser may refuse a file. It
//! must not panic, take longer than [`LONGEST`], or hold more than [`MOST_MEMORY`] at any time. A failure names the
//! target, the seed and the number of the execution, which reproduce the file.

mod checkpoint;
mod corpus;
mod mutation;
mod targets;

use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use targets::Target;

/// Maximum time of one execution.
pub const LONGEST: Duration = Duration::from_secs(1);

/// Maximum number of bytes that an execution may allocate at a time, beyond those of its file.
pub const MOST_MEMORY: usize = 64 << 20;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The first panic since the last look. The audio crate turns a panic of a decoder into an error, so catching panics
/// would not show them.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// The execution in progress. The watchdog compares it with its last look.
static EXECUTION: AtomicU64 = AtomicU64::new(0);

/// Mutated files for one parser.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The parser.
    pub target: Target,
    /// Seed of the mutations. The same seed gives the same files.
    pub seed: u64,
}

/// The worst of a campaign without a failure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Worst {
    /// Longest execution.
    pub time: Duration,
    /// Largest memory of an execution in bytes.
    pub memory: usize,
    /// Executions whose file the parser accepted.
    pub accepted: u64,
}

/// A file that a parser does not handle.
#[derive(Debug)]
pub struct Failure {
    /// The reason.
    pub reason: String,
    /// The file.
    pub file: Vec<u8>,
}

/// Records panics, and ends the process if an execution does not return. Call it once, before the first campaign.
pub fn watch() {
    panic::set_hook(Box::new(|info| {
        if EXECUTION.load(Ordering::Relaxed) == 0 {
            eprintln!("{info}");
        }
        let mut first = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| info.to_string());
    }));
    thread::spawn(|| {
        let mut last = 0;
        loop {
            thread::sleep(20 * LONGEST);
            let now = EXECUTION.load(Ordering::Relaxed);
            if now == last && now != 0 {
                eprintln!("execution {now} does not return");
                std::process::exit(101);
            }
            last = now;
        }
    });
}

impl Campaign {
    /// The file of an execution. It depends on the seed and the number only.
    pub fn file(&self, corpus: &[Vec<u8>], execution: u64) -> Vec<u8> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(execution);
        mutation::mutate(corpus, self.target, &mut rng)
    }

    /// Runs the executions of `numbers`.
    ///
    /// # Errors
    /// The first [`Failure`].
    pub fn run(&self, numbers: std::ops::Range<u64>) -> Result<Worst, Failure> {
        let corpus = corpus::files(self.target);
        // A parser may allocate a table on its first use.
        for file in &corpus {
            self.target.parse(file);
        }
        let mut worst = Worst::default();
        for number in numbers {
            let file = self.file(&corpus, number);
            EXECUTION.store(number + 1, Ordering::Relaxed);
            let outcome = execute(self.target, &file);
            EXECUTION.store(0, Ordering::Relaxed);
            match outcome {
                Ok(run) => {
                    worst.time = worst.time.max(run.time);
                    worst.memory = worst.memory.max(run.memory);
                    worst.accepted += run.accepted;
                }
                Err(reason) => {
                    let reason = format!("{} seed {} execution {number}: {reason}", self.target, self.seed);
                    return Err(Failure { reason, file });
                }
            }
        }
        Ok(worst)
    }
}

/// Gives one file to the parser, and measures.
///
/// # Errors
/// A description of a panic, of too much time or of too much memory.
pub fn execute(target: Target, file: &[u8]) -> Result<Worst, String> {
    let before = MEMORY.current_usage();
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    MEMORY.reset_peak_usage();
    let began = Instant::now();
    let accepted = panic::catch_unwind(|| target.parse(file)).unwrap_or(false);
    let mut time = began.elapsed();
    let memory = MEMORY.peak_usage().saturating_sub(before);
    if let Some(panic) = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(panic);
    }
    // Other programs on the machine may have taken the time.
    for _ in 0..3 {
        if time > LONGEST {
            let again = Instant::now();
            panic::catch_unwind(|| target.parse(file)).ok();
            time = time.min(again.elapsed());
        }
    }
    if time > LONGEST {
        return Err(format!("it took {:.1} s", time.as_secs_f64()));
    }
    if memory > MOST_MEMORY {
        return Err(format!("it held {} MiB", memory >> 20));
    }
    Ok(Worst { time, memory, accepted: u64::from(accepted) })
}
