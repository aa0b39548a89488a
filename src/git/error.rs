//! [`Error`]: why a git command did not do its work.

use std::fmt;
use std::io;

use bstr::BString;

use super::remote_error::Trouble;

/// A git command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no git in an absolute directory of `PATH`.
    #[error("git is not installed")]
    NotInstalled,
    /// The process could not be started, fed or waited for.
    #[error("cannot run `git {subcommand}`")]
    Io {
        /// The first argument.
        subcommand: String,
        /// Why it failed.
        source: io::Error,
    },
    /// It ended with another status than zero.
    #[error("`git {subcommand}` failed ({})", status.map_or("killed".into(), |code| format!("exit status {code}")))]
    Failed {
        /// The first argument.
        subcommand: String,
        /// Its exit status; `None` if a signal ended it.
        status: Option<i32>,
        /// What it said.
        #[source]
        stderr: Stderr,
    },
    /// Nothing here has this name.
    #[error("revision `{revision}` not found")]
    NoSuchRevision {
        /// The name.
        revision: String,
    },
    /// It wrote more than the caller takes.
    #[error("output of `git {subcommand}` exceeds {limit} bytes")]
    OutputTooLong {
        /// The first argument.
        subcommand: String,
        /// The bound.
        limit: u64,
    },
    /// The server did not give what was asked, or could not be reached.
    #[error("{trouble}")]
    Remote {
        /// What is the matter.
        trouble: Trouble,
        /// What git and the server said.
        #[source]
        stderr: Stderr,
    },
    /// The remote has branches, and does not say which of them is meant.
    #[error("the remote has no HEAD")]
    NoHead {
        /// One of them.
        branch: String,
    },
    /// A way to a remote that starts a program, or takes over what this process has open.
    #[error("refused: unsafe transport `{name}::`")]
    Transport {
        /// Its name.
        name: &'static str,
    },
    /// Files of the work tree would be lost.
    #[error("local changes to {} would be overwritten", named(paths))]
    InTheWay {
        /// Which, as git names them.
        paths: Vec<BString>,
    },
    /// Both sides changed the same.
    #[error("conflict in {}", named(paths))]
    Conflict {
        /// Which.
        paths: Vec<BString>,
    },
    /// It was ended because the caller wanted to stop.
    #[error("`git {subcommand}` was interrupted")]
    Stopped {
        /// The first argument.
        subcommand: String,
    },
    /// This git is too old for what is to be done.
    #[error("git {}.{} is too old: {}.{} or later is required", found.0, found.1, needed.0, needed.1)]
    TooOld {
        /// Major and minor number of the one that is here.
        found: (u32, u32),
        /// Of the first that can.
        needed: (u32, u32),
    },
    /// A field of a credential would be read as more than one.
    #[error("the credential {field} contains a newline or NUL")]
    UnsafeCredential {
        /// Which field.
        field: &'static str,
    },
    /// Its answer is not what this version of git is known to give.
    #[error("unexpected output of `git {subcommand}`")]
    UnexpectedOutput {
        /// The first argument.
        subcommand: String,
    },
}

impl Error {
    /// Returns `true` if a remote failed for this reason.
    pub fn is(&self, trouble: Trouble) -> bool {
        matches!(self, Self::Remote { trouble: found, .. } if *found == trouble)
    }
}

/// What git said on standard error. May hold text of a server or of a hook: escape it for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stderr(pub String);

impl Stderr {
    /// The remote that git names in it: an address, a path, or `USER@HOST` where ssh was not let in.
    pub fn remote(&self) -> Option<&str> {
        super::remote_error::named(&self.0)
    }
}

impl fmt::Display for Stderr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "no error message" } else { &self.0 })
    }
}

impl std::error::Error for Stderr {}

/// The first of some paths, and how many more there are.
fn named(paths: &[BString]) -> String {
    match paths {
        [] => "files of the work tree".to_owned(),
        [path] => format!("`{path}`"),
        [path, rest @ ..] => format!("`{path}` and {} more", rest.len()),
    }
}
