//! [`Error`] states why a git command failed.

use std::fmt;
use std::io;

use bstr::BString;

use super::remote_error::Trouble;

/// Why a git command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No absolute directory of `PATH` contains git.
    #[error("git is not installed")]
    NotInstalled,
    /// The process could not be started, fed or waited for.
    #[error("cannot run `git {subcommand}`")]
    Io {
        /// The first argument.
        subcommand: String,
        /// The error of the system.
        source: io::Error,
    },
    /// It ended with an exit status other than zero.
    #[error("`git {subcommand}` failed ({})", status.map_or("killed".into(), |code| format!("exit status {code}")))]
    Failed {
        /// The first argument.
        subcommand: String,
        /// Its exit status; `None` if a signal ended it.
        status: Option<i32>,
        /// Its standard error.
        #[source]
        stderr: Stderr,
    },
    /// No revision of this name exists.
    #[error("revision `{revision}` not found")]
    NoSuchRevision {
        /// The name.
        revision: String,
    },
    /// The revision is an object of another kind.
    #[error("revision `{revision}` is not {expected}")]
    WrongRevision {
        /// The name.
        revision: String,
        /// What was needed, with its article.
        expected: &'static str,
    },
    /// It wrote more than the caller accepts.
    #[error("output of `git {subcommand}` exceeds {limit} bytes")]
    OutputTooLong {
        /// The first argument.
        subcommand: String,
        /// The limit.
        limit: u64,
    },
    /// The server did not send the requested data, or could not be reached.
    #[error("{trouble}")]
    Remote {
        /// The cause.
        trouble: Trouble,
        /// The messages of git and the server.
        #[source]
        stderr: Stderr,
    },
    /// The repository of a remote does not exist: it was moved or removed, or the path is wrong.
    #[error("repository of remote `{remote}` not found: {url}")]
    RemoteGone {
        /// Its name.
        remote: String,
        /// The configured location, without a password.
        url: String,
        /// The messages of git.
        #[source]
        stderr: Stderr,
    },
    /// The remote has branches, and no `HEAD` that selects one.
    #[error("the remote has no HEAD")]
    NoHead {
        /// One of them.
        branch: String,
    },
    /// A transport that starts a program, or uses open files of this process.
    #[error("refused: unsafe transport `{name}::`")]
    Transport {
        /// Its name.
        name: &'static str,
    },
    /// Files of the working tree would be lost.
    #[error("local changes to {} would be overwritten", named(paths))]
    InTheWay {
        /// The paths, as git reports them.
        paths: Vec<BString>,
    },
    /// Both sides changed the same files.
    #[error("conflict in {}", named(paths))]
    Conflict {
        /// Their paths.
        paths: Vec<BString>,
    },
    /// The caller stopped it.
    #[error("`git {subcommand}` was interrupted")]
    Stopped {
        /// The first argument.
        subcommand: String,
    },
    /// The installed git is too old.
    #[error("git {}.{} is too old: {}.{} or later is required", found.0, found.1, needed.0, needed.1)]
    TooOld {
        /// Its major and minor version.
        found: (u32, u32),
        /// The first version that is new enough.
        needed: (u32, u32),
    },
    /// A field of a credential would be read as several fields.
    #[error("the credential {field} contains a newline or NUL")]
    UnsafeCredential {
        /// The field.
        field: &'static str,
    },
    /// Its output does not have the known form.
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

/// The standard error of git. It may contain text of a server or of a hook: escape it for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stderr(pub String);

impl Stderr {
    /// Takes a text, without the queries of its URLs, which can contain tokens.
    pub(super) fn of(text: &str) -> Self {
        Self(super::url::without_queries(text).into_owned())
    }

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

/// Formats the first of some paths, and the number of the others.
fn named(paths: &[BString]) -> String {
    match paths {
        [] => "files in the working tree".to_owned(),
        [path] => format!("`{path}`"),
        [path, rest @ ..] => format!("`{path}` and {} more", rest.len()),
    }
}
