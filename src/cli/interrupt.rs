//! Ctrl-C, a polite kill, and a terminal that is closed: the first one asks the work to stop, the second ends the process.
//! A signal that was ignored from the start, as by `nohup`, stays so.
//!
//! Invariant: after the first nothing half-written stays under a final name, for the work itself stops between two
//! buffers and cleans up; the exit status is 130 in both cases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit status of an interrupted run.
pub(super) const EXIT: u8 = 130;

/// The signals that ask to stop. Without Linux's `/proc` nobody says whether one was ignored; of a closed terminal that is
/// the rule (`nohup`), of the others it is rare.
fn signals() -> Vec<i32> {
    let ignored = fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    let mut signals = vec![SIGINT, SIGTERM];
    #[cfg(unix)]
    if ignored.is_some() {
        signals.push(signal_hook::consts::SIGHUP);
    }
    let is_ignored = |signal: i32| {
        let bit = u32::try_from(signal).ok().and_then(|signal| signal.checked_sub(1));
        bit.and_then(|bit| ignored?.checked_shr(bit)).is_some_and(|mask| mask & 1 == 1)
    };
    signals.retain(|signal| !is_ignored(*signal));
    signals
}

/// Was the run asked to stop?
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens to the signals.
    pub(super) fn listen() -> io::Result<Self> {
        let asked = Self::default();
        for signal in signals() {
            // In this order: the first signal finds the flag unset, and only then is it set.
            flag::register_conditional_shutdown(signal, EXIT.into(), Arc::clone(&asked.0))?;
            flag::register(signal, Arc::clone(&asked.0))?;
        }
        Ok(asked)
    }

    /// Was the run asked to stop?
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
