//! Ctrl-C: the first one requests a stop at the next safe point, the second one ends the program immediately.
//!
//! SIGTERM and SIGHUP have the same effect. A signal that is ignored when the program starts stays ignored: `nohup`
//! ignores SIGHUP, and a shell without job control ignores SIGINT for its background jobs.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::output::notice;

/// Signals within this time count as one. `timeout` sends its signal twice, to the program and to its group.
const ONE_SIGNAL: Duration = Duration::from_millis(100);

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// Whether the next signal ends the program.
static ARMED: AtomicBool = AtomicBool::new(false);
/// The number of the last signal.
static SIGNAL: AtomicUsize = AtomicUsize::new(0);

/// Replaces the system's behaviour, which is to end the program immediately.
pub(crate) fn install() {
    // The actions run inside the signal handler, so they need no thread that might be busy.
    let register = |signal| {
        flag::register_conditional_shutdown(signal, exit_status(signal), &ARMED)?;
        flag::register_usize(signal, &SIGNAL, signal as usize)?;
        flag::register(signal, &REQUESTED)
    };
    for signal in signals() {
        if let Err(error) = register(signal) {
            notice(format_args!("signal {signal} will end the program immediately: {error}"));
        }
    }
    thread::spawn(|| {
        while !requested() {
            thread::sleep(ONE_SIGNAL);
        }
        thread::sleep(ONE_SIGNAL);
        ARMED.store(true, Ordering::SeqCst);
        // A terminal shows `^C` at the beginning of the line.
        let new_line = if io::stderr().is_terminal() { "\n" } else { "" };
        notice(format_args!(
            "{new_line}stopping at the next safe point; press Ctrl-C again to stop immediately"
        ));
    });
}

/// Ignores Ctrl-C in this process. The terminal sends it to the processes too that do the work, or lead it. They stop at
/// a safe point, and this process ends after them.
pub(crate) fn leave_to_others() {
    static UNUSED: AtomicBool = AtomicBool::new(false);
    for signal in signals() {
        flag::register(signal, &UNUSED).ok();
    }
}

/// Whether the user has pressed Ctrl-C.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// The exit code that shells report for a program that the signal has ended. `None` if there was no signal.
pub(crate) fn exit_code() -> Option<u8> {
    requested().then(|| exit_status(SIGNAL.load(Ordering::SeqCst) as i32) as u8)
}

fn exit_status(signal: i32) -> i32 {
    128 + signal
}

/// The signals that request a stop.
fn signals() -> impl Iterator<Item = i32> {
    let ignored = ignored();
    let all = [
        SIGINT,
        SIGTERM,
        // Only Linux tells whether `nohup` ignores it. Elsewhere it keeps its effect.
        #[cfg(target_os = "linux")]
        signal_hook::consts::SIGHUP,
    ];
    all.into_iter().filter(move |signal| ignored >> (signal - 1) & 1 == 0)
}

/// The signals that this process ignores: bit `n − 1` is signal `n`. 0 if the system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
