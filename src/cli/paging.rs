//! [`Paging`] shows a long result in the user's pager, if standard output is a terminal.
//!
//! Invariants: the pager starts with the first line, only if git would also start it; while it uses the terminal, the
//! program writes nothing else there: text for standard error waits until the pager is closed. A pager that cannot be
//! started, or that the user closes, is not an error.

use std::path::{Path, PathBuf};

use super::interrupt::Interrupt;
use crate::git::Git;
use crate::git::pager::{self, Pager};

/// The state of the pager.
#[derive(Default)]
pub(super) enum Paging {
    /// No pager runs.
    #[default]
    Off,
    /// The pager starts with the first line.
    Wanted { dir: PathBuf, interrupt: Interrupt },
    /// The pager uses the terminal; `waiting` is printed after it is closed.
    Runs { pager: Pager, waiting: String },
}

impl Paging {
    /// Prepares the pager that git would use in a directory.
    pub(super) fn wanted(dir: &Path, interrupt: &Interrupt) -> Self {
        Self::Wanted { dir: dir.to_owned(), interrupt: interrupt.clone() }
    }

    /// Starts the pager, if it is wanted.
    pub(super) fn start(&mut self) {
        let Self::Wanted { dir, interrupt } = self else { return };
        let started = started(dir).map(|pager| {
            // The pager reads the keys now, including Ctrl-C, and a second one does not end it.
            interrupt.leave_keys();
            Self::Runs { pager, waiting: String::new() }
        });
        *self = started.unwrap_or_default();
    }

    /// Keeps text for standard error until the pager is closed. Returns `false` if no pager runs.
    pub(super) fn waits(&mut self, lines: &str) -> bool {
        let Self::Runs { waiting, .. } = self else { return false };
        waiting.push_str(lines);
        if !lines.ends_with('\n') {
            waiting.push('\n');
        }
        true
    }

    /// Ends the pager, and returns the text that waited.
    pub(super) fn close(&mut self) -> String {
        match std::mem::take(self) {
            Self::Runs { mut pager, waiting } => {
                // The exit status of the pager has no effect.
                let _ended = pager.close();
                waiting
            }
            Self::Off | Self::Wanted { .. } => String::new(),
        }
    }
}

fn started(dir: &Path) -> Option<Pager> {
    let git = Git::at(dir).ok()?;
    let line = pager::chosen(&git).ok()??;
    Pager::start(&git, &line).ok()
}
