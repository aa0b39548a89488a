//! [`Progress`]: what a run is at, on a terminal as one line that moves, elsewhere as a few lines that stay.
//!
//! ```text
//! reporter ──▶ State ◀── a thread that draws, ten times a second ──▶ line ──▶ standard error
//! ```
//!
//! Invariants: on a terminal nothing is drawn before 250 ms of a run, and something is by then, though nothing has come yet; elsewhere a
//! file is worth a line after a second, and what lasts one every 30 s. Bytes that were there before are no speed. Before a
//! line is printed what was drawn is gone. The cursor is never hidden, and waits in the first column: there the `^C` that a
//! terminal echoes, or a question of git or ssh, stands on the line that is drawn, and a terminal that was made narrower
//! keeps it at the first of the rows that it made of the line, so that all of them can be wiped.

mod line;
mod state;

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use terminal_size::{Width, terminal_size_of};

use super::clock::Clock;
use line::Letters;
use state::State;

/// How often a line is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// The line, and the rows that a narrowed terminal made of it. From the second column: where all of the screen is cleared, tmux
/// keeps it in the history.
const WIPE: &str = "\r \x1b[J\r\x1b[K";
/// Where a terminal does not say how wide it is.
const COLUMNS: usize = 80;

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// It was not asked for.
    Nothing,
    /// A terminal, whose locale is one of UTF-8 or not.
    Terminal { is_utf8: bool },
    /// A file or a pipe.
    Lines,
}

/// The progress of a run.
pub(super) struct Progress(Arc<Shared>);

struct Shared {
    shows: Shows,
    state: Mutex<State>,
    clock: Arc<Clock>,
    is_over: AtomicBool,
}

impl Progress {
    /// Shows nothing before [`begin`](Self::begin).
    pub(super) fn new(shows: Shows, clock: Arc<Clock>) -> Self {
        Self(Arc::new(Shared { shows, state: Mutex::default(), clock, is_over: false.into() }))
    }

    /// From now on it is shown what the run is at. Where no thread can be had, it is not.
    pub(super) fn begin(&self) {
        if self.0.shows == Shows::Nothing {
            return;
        }
        let shared = Arc::clone(&self.0);
        let _without = thread::Builder::new().name("progress".to_owned()).spawn(move || {
            while !shared.is_over.load(Ordering::Relaxed) {
                shared.frame();
                thread::sleep(FRAME);
            }
        });
    }

    /// These files are next, each with its size, which may be 0 where nobody knows it. The names are safe to print.
    pub(super) fn plan(&self, files: Vec<(String, u64)>) {
        self.with(|state, _| state.plan(files));
    }

    /// A model of a list begins. The name is safe to print.
    pub(super) fn model(&self, name: String, at: usize, of: usize) {
        self.with(|state, now| state.model(name, at, of, now));
    }

    /// A file of `total` bytes begins. The name is safe to print.
    pub(super) fn start(&self, name: String, total: u64) {
        self.with(|state, now| state.start(name, total, now));
    }

    /// So many bytes of the file were there before.
    pub(super) fn resume(&self, bytes: u64) {
        self.with(|state, _| state.resume(bytes));
    }

    /// So many more bytes were read.
    pub(super) fn advance(&self, bytes: u64) {
        self.with(|state, _| state.advance(bytes));
    }

    /// Of `total` pieces, `done` are there now. Another name is another step.
    pub(super) fn count(&self, name: &str, done: u64, total: Option<u64>) {
        self.with(|state, now| state.count(name, done, total, now));
    }

    /// Another program is waited for, which may ask the user something: what is drawn is drawn once.
    pub(super) fn wait(&self, what: &str) {
        self.with(|state, now| state.wait(what, now));
    }

    /// What was waited for has come.
    pub(super) fn heard(&self) {
        self.with(|state, _| state.heard());
    }

    /// The file, or what was counted, is over.
    pub(super) fn finish(&self) {
        if self.0.shows == Shows::Nothing {
            return;
        }
        let mut state = self.0.lock();
        let now = self.0.clock.now();
        if let Some(said) = state.finish(now).filter(|_| self.0.shows == Shows::Lines) {
            write(&format!("{said}\n"));
        }
    }

    /// Runs `print` while nothing is drawn.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        let mut state = self.0.lock();
        if state.make_room() {
            write(WIPE);
        }
        // Nothing is drawn before it returns, for that takes the lock.
        print()
    }

    /// Nothing is shown any more.
    pub(super) fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        self.suspend(|| ());
    }

    fn with(&self, change: impl FnOnce(&mut State, Duration)) {
        if self.0.shows != Shows::Nothing {
            change(&mut self.0.lock(), self.0.clock.now());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what there is to show now.
    fn frame(&self) {
        let mut state = self.lock();
        // It may have ended while the lock was waited for.
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        match self.shows {
            Shows::Nothing => {}
            Shows::Terminal { is_utf8 } => {
                let columns = terminal_size_of(io::stderr()).map_or(COLUMNS, |(Width(wide), _)| wide.into());
                if let Some(drawn) = state.draw(self.clock.now(), columns, Letters::of(is_utf8)) {
                    write(&drawn);
                }
            }
            Shows::Lines => {
                if let Some(said) = state.lines(self.clock.now()) {
                    write(&format!("{said}\n"));
                }
            }
        }
    }
}

/// Whoever does not listen any more is not told.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _unheard = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
