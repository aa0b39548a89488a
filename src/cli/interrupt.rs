//! Ctrl-C and a polite kill: the first one asks the work to stop, the second ends the process.
//!
//! Invariant: after the first nothing half-written stays under a final name, for the work itself stops between two
//! buffers and cleans up; the exit status is 130 in both cases.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit status of an interrupted run.
pub(super) const EXIT: u8 = 130;

/// Was the run asked to stop?
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens to the signals.
    pub(super) fn listen() -> io::Result<Self> {
        let asked = Self::default();
        for signal in [SIGINT, SIGTERM] {
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
