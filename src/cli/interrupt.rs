//! Handles Ctrl-C, SIGTERM and a closed terminal: the first signal asks the work to stop, a second ends the process. At
//! a terminal git, which started this program, also receives the signal of the key and passes it on: a signal shortly
//! after the first does not count as a second. A closed terminal is ignored if it was ignored from the start, as by
//! `nohup`.
//!
//! Invariant: after the first signal no half-written file stays under a final name, because the work itself stops
//! between two buffers and cleans up; the exit status is 130 in both cases.

#[cfg(unix)]
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};

/// The exit status of an interrupted run.
pub(super) const EXIT: u8 = 130;

/// How long a signal and its copy from git count as one.
const SAME: Duration = Duration::from_millis(250);
/// The interval of the checks for the first signal.
const TICK: Duration = Duration::from_millis(50);

/// The signals that ask to stop. That of a closed terminal is one of them only if Linux's `/proc` shows that it was not
/// ignored from the start, as by `nohup`.
fn signals() -> Vec<i32> {
    let mut signals = vec![SIGINT, SIGTERM];
    #[cfg(unix)]
    if is_heard(signal_hook::consts::SIGHUP) == Some(true) {
        signals.push(signal_hook::consts::SIGHUP);
    }
    // Ctrl-Break; a job runner that stops a program gently types it, because it reaches one program alone.
    #[cfg(windows)]
    signals.push(signal_hook::consts::SIGBREAK);
    signals
}

/// Returns `true` if a signal is not ignored; `None` if the system does not report it.
#[cfg(unix)]
fn is_heard(signal: i32) -> Option<bool> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    let bit = u32::try_from(signal).ok()?.checked_sub(1)?;
    Some(mask.checked_shr(bit)? & 1 == 0)
}

/// Records whether the run was asked to stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt {
    asked: Arc<AtomicBool>,
    /// The handler that ends the process at a second Ctrl-C.
    second: Arc<Mutex<Option<SigId>>>,
}

impl Interrupt {
    /// Installs the handlers.
    pub(super) fn listen() -> io::Result<Self> {
        let asked = Self::default();
        let is_armed = Arc::new(AtomicBool::new(false));
        for signal in signals() {
            let second = flag::register_conditional_shutdown(signal, EXIT.into(), Arc::clone(&is_armed))?;
            if signal == SIGINT {
                *asked.second.lock().unwrap_or_else(PoisonError::into_inner) = Some(second);
            }
            flag::register(signal, Arc::clone(&asked.asked))?;
        }
        let first = Arc::clone(&asked.asked);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            while !first.load(Ordering::Relaxed) {
                thread::sleep(TICK);
            }
            thread::sleep(SAME);
            is_armed.store(true, Ordering::Relaxed);
        })?;
        Ok(asked)
    }

    /// Returns `true` if the run was asked to stop.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Another program reads the keys now: Ctrl-C still asks the work to stop, any number of times, and never ends the
    /// process.
    pub(super) fn leave_keys(&self) {
        if let Some(second) = self.second.lock().unwrap_or_else(PoisonError::into_inner).take() {
            low_level::unregister(second);
        }
    }
}
