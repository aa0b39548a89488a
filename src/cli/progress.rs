//! [`Progress`] shows the current work of a run: on a terminal as one moving line, elsewhere as a few permanent lines.
//!
//! ```text
//! reporter ──▶ State ◀── a thread that draws, ten times a second ──▶ line ──▶ standard error
//! ```
//!
//! Invariants: on a terminal nothing is drawn in the first 250 ms of a run, and something is drawn then, even if
//! nothing has arrived yet; elsewhere a file gets a line after a second, and longer work gets one every 30 s. Bytes
//! from an earlier run do not count in the speed. Before a line is printed, the drawn text is removed. The cursor is
//! never hidden, and stays in the first column: there the `^C` that a terminal echoes, or a prompt of git or ssh,
//! appears on the drawn line, and a terminal that was made narrower keeps the cursor at the first of the rows of the
//! line, so that all of them can be removed.

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

/// The interval between frames.
const FRAME: Duration = Duration::from_millis(100);
/// Clears the line, and the rows that a narrowed terminal made of it. It starts at the second column, because tmux adds
/// a screen that is cleared completely to its history.
const WIPE: &str = "\r \x1b[J\r\x1b[K";
/// The width if a terminal does not report it.
const COLUMNS: usize = 80;

/// The destination of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// None.
    Nothing,
    /// A terminal, with or without UTF-8.
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
    /// Creates progress that shows nothing before [`begin`](Self::begin).
    pub(super) fn new(shows: Shows, clock: Arc<Clock>) -> Self {
        Self(Arc::new(Shared { shows, state: Mutex::default(), clock, is_over: false.into() }))
    }

    /// Starts to show progress. If no thread can be started, nothing is shown.
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

    /// Announces the next files, each with its size, or 0 if it is not known. The names are safe to print.
    pub(super) fn plan(&self, files: Vec<(String, u64)>) {
        self.with(|state, _| state.plan(files));
    }

    /// Starts a model of a list. The name is safe to print.
    pub(super) fn model(&self, name: String, at: usize, of: usize) {
        self.with(|state, now| state.model(name, at, of, now));
    }

    /// Starts a file of `total` bytes. The name is safe to print.
    pub(super) fn start(&self, name: String, total: u64) {
        self.with(|state, now| state.start(name, total, now));
    }

    /// Adds bytes of the file from an earlier run.
    pub(super) fn resume(&self, bytes: u64) {
        self.with(|state, _| state.resume(bytes));
    }

    /// Adds bytes that were read.
    pub(super) fn advance(&self, bytes: u64) {
        self.with(|state, _| state.advance(bytes));
    }

    /// Sets the progress to `done` of `total` pieces. Another name starts another step.
    pub(super) fn count(&self, name: &str, done: u64, total: Option<u64>) {
        self.with(|state, now| state.count(name, done, total, now));
    }

    /// Starts a wait for another program, which may prompt the user: the line is drawn only once.
    pub(super) fn wait(&self, what: &str) {
        self.with(|state, now| state.wait(what, now));
    }

    /// Ends a wait.
    pub(super) fn heard(&self) {
        self.with(|state, _| state.heard());
    }

    /// The file, or what was counted, is over, or was left because the run `is_stopped`.
    pub(super) fn finish(&self, is_stopped: bool) {
        if self.0.shows == Shows::Nothing {
            return;
        }
        let mut state = self.0.lock();
        let now = self.0.clock.now();
        if let Some(said) = state.finish(is_stopped, now).filter(|_| self.0.shows == Shows::Lines) {
            write(&format!("{said}\n"));
        }
    }

    /// Runs `print` while nothing is drawn.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        let mut state = self.0.lock();
        if state.make_room() {
            write(WIPE);
        }
        // Nothing is drawn before it returns, because drawing needs the lock.
        print()
    }

    /// Stops showing progress.
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

    /// Shows the current state.
    fn frame(&self) {
        let mut state = self.lock();
        // Progress may have ended while this thread waited for the lock.
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

/// Writes; an error, such as a closed stream, is ignored.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _unheard = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
