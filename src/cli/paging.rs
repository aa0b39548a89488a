//! [`Paging`]: a long result goes through the user's pager, if standard output is a terminal.
//!
//! Invariants: the pager is started with the first line, and git would start it too; while it has the terminal nothing else
//! is written there: what belongs to standard error waits until it is closed. A pager that cannot be started, or that the
//! user closes, is no error.

use std::path::{Path, PathBuf};

use super::interrupt::Interrupt;
use crate::git::Git;
use crate::git::pager::{self, Pager};

/// What became of the pager.
#[derive(Default)]
pub(super) enum Paging {
    /// There is none, or none any more.
    #[default]
    Off,
    /// It is started with the first line.
    Wanted { dir: PathBuf, interrupt: Interrupt },
    /// It has the terminal; what waits for it to be closed.
    Runs { pager: Pager, waiting: String },
}

impl Paging {
    /// As git would do it in a directory.
    pub(super) fn wanted(dir: &Path, interrupt: &Interrupt) -> Self {
        Self::Wanted { dir: dir.to_owned(), interrupt: interrupt.clone() }
    }

    /// Starts it, if it is wanted.
    pub(super) fn start(&mut self) {
        let Self::Wanted { dir, interrupt } = self else { return };
        let started = started(dir).map(|pager| {
            // The keys are for the pager now, Ctrl-C too, and a second one is no wish to leave it behind.
            interrupt.leave_keys();
            Self::Runs { pager, waiting: String::new() }
        });
        *self = started.unwrap_or_default();
    }

    /// Lets whatever is to be said on standard error wait. Returns `false` if it need not.
    pub(super) fn waits(&mut self, lines: &str) -> bool {
        let Self::Runs { waiting, .. } = self else { return false };
        waiting.push_str(lines);
        if !lines.ends_with('\n') {
            waiting.push('\n');
        }
        true
    }

    /// Ends it, and returns what has waited for that.
    pub(super) fn close(&mut self) -> String {
        match std::mem::take(self) {
            Self::Runs { mut pager, waiting } => {
                // How it ended is a matter of the pager.
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
