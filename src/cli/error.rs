//! [`Report`]: an error as a person reads it, and the exit status that it gives.
//!
//! ```text
//! error: FILE: message
//!   caused by: …
//! hint: a command that helps
//! ```
//!
//! Invariants: this is the one place for kinds and exit codes (hints are in `hints`); a cause never repeats the
//! line above it; every text is safe to print ([`sanitize`]). It prints nothing itself.

use std::error::Error as StdError;
use std::path::Path;

use bstr::{BStr, BString};

use super::shell_paths::{File, Here};
use super::{hints, interrupt, sanitize};
use crate::actions::publish::Unpublished;
use crate::actions::{Error, Reason, Status};
use crate::{git, repo};

/// Whose matter an error is. A bug is none of these: it is a panic, which `panic` words and 101 ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What was asked cannot be meant.
    User,
    /// The file is refused for what it holds.
    Refused,
    /// git, the system or the disk.
    Environment,
    /// The user asked to stop.
    Interrupted,
}

impl Kind {
    /// The exit status, as the contract has it.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::User | Self::Environment => 2,
            Self::Interrupted => interrupt::EXIT,
        }
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::Interrupted => Self::Interrupted,
            Error::NotFound
            | Error::OneOutput { .. }
            | Error::NoRepository
            | Error::NotEmpty { .. }
            | Error::CloneInTheWay { .. }
            | Error::NeedsDirectory { .. }
            | Error::Offline { .. }
            | Error::NoSuchRevision { .. }
            | Error::Git(git::Error::NoSuchRevision { .. })
            | Error::Setting { .. }
            | Error::NotWithPullRequest { .. }
            | Error::NoRemote
            | Error::NoCommits
            | Error::NoSuchPullRequest { .. }
            | Error::NoCheckpoint
            | Error::SeveralCheckpoints { .. }
            | Error::Unpublished(Unpublished::NoToken | Unpublished::NoDefaultBranch)
            | Error::Repo(repo::Error::OutsideWorkTree { .. } | repo::Error::Bare { .. }) => Self::User,
            error if error.is_refusal() => Self::Refused,
            _ => Self::Environment,
        }
    }
}

/// The exit status of one file.
pub(super) fn exit_code(status: Status, reason: Option<&Reason>) -> u8 {
    match (status, reason) {
        (Status::Refused | Status::Failed, Some(Reason::Error(Error::Interrupted))) => interrupt::EXIT,
        (Status::Refused, _) => Kind::Refused.exit_code(),
        (Status::Failed, _) => Kind::Environment.exit_code(),
        (Status::Converted | Status::Adopted | Status::UpToDate | Status::Skipped, _) => 0,
    }
}

/// An error as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) kind: Kind,
    /// The file that it is about.
    pub(super) file: Option<String>,
    pub(super) message: String,
    pub(super) causes: Vec<String>,
    /// Commands that help.
    pub(super) hints: Vec<String>,
}

impl Report {
    /// Of an error that is about no file, or names it itself.
    pub(super) fn of(error: &Error) -> Self {
        Self::new(error, None, &Here::default())
    }

    /// Of an error about a file, for a person who stands there.
    pub(super) fn of_file(error: &Error, file: File<'_>, here: &Here) -> Self {
        Self::new(error, Some(file), here)
    }

    /// Of an argument that cannot be meant.
    pub(super) fn user(file: &Path, message: &str, cause: Option<&(dyn StdError + 'static)>) -> Self {
        Self::plain(Kind::User, file, message, cause)
    }

    /// Of a file that the system does not give or take.
    pub(super) fn io(file: &Path, message: &str, cause: &std::io::Error) -> Self {
        Self::plain(Kind::Environment, file, message, Some(cause))
    }

    pub(super) fn with_hint(mut self, hint: String) -> Self {
        self.hints.push(hint);
        self
    }

    fn plain(kind: Kind, file: &Path, message: &str, cause: Option<&(dyn StdError + 'static)>) -> Self {
        Self {
            kind,
            file: Some(sanitize::path(file).into_owned()).filter(|file| !file.is_empty()),
            message: message.to_owned(),
            causes: cause.map(|cause| chain(Some(cause), message)).unwrap_or_default(),
            hints: Vec::new(),
        }
    }

    fn new(error: &Error, named: Option<File<'_>>, here: &Here) -> Self {
        let file = named.map(File::name);
        let message = match error {
            // The file stands in front already.
            Error::Io { what, path, .. } if file.is_some_and(|file| is_same(path, file)) => {
                format!("cannot {what}")
            }
            error => sanitize::text(&error.to_string()).into_owned(),
        };
        let causes = match error {
            Error::Dangerous { at, record, .. } => {
                vec![format!("global at byte {at} of {} is not on the allow-list", sanitize::text(record))]
            }
            Error::MissingShards { shards } => shards.iter().map(missing).collect(),
            error => chain(error.source(), &message),
        };
        Self {
            kind: Kind::of(error),
            file: file.map(|file| sanitize::bytes(file).into_owned()),
            message,
            causes,
            hints: hints::of(error, named, here),
        }
    }

    /// The line behind `error:`.
    pub(super) fn headline(&self) -> String {
        match &self.file {
            Some(file) => format!("{file}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// The message and its causes in one line.
    pub(super) fn reason(&self) -> String {
        let parts = std::iter::once(&self.message).chain(&self.causes);
        parts.map(|part| part.replace('\n', "; ")).collect::<Vec<_>>().join(": ")
    }
}

/// A shard that is not here, and why.
fn missing((shard, why): &(BString, Error)) -> String {
    let report = Report::of(why);
    format!("{}: {}", sanitize::bytes(shard.as_ref()), report.reason())
}

/// Each cause once, outermost first.
fn chain(first: Option<&(dyn StdError + 'static)>, message: &str) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next = first;
    while let Some(cause) = next {
        let text = match cause.downcast_ref::<git::Stderr>() {
            Some(said) => sanitize::lines(&said.to_string()).collect::<Vec<_>>().join("\n"),
            None => sanitize::text(&cause.to_string()).into_owned(),
        };
        let above = causes.last().map_or(message, String::as_str);
        // A single word below another cause is the name of a variant, and says nothing more.
        let is_news = !above.contains(&text) && (causes.is_empty() || text.contains(' '));
        if !text.is_empty() && is_news {
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

fn is_same(path: &Path, file: &BStr) -> bool {
    let file: &[u8] = file;
    path.as_os_str().as_encoded_bytes().ends_with(file)
}

/// A path of the command line, as the messages take it.
pub(super) fn name(path: &Path) -> BString {
    path.as_os_str().as_encoded_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::checkpoint::{self, Candidate};
    use crate::pickle;

    fn report(error: impl Into<Error>) -> Report {
        Report::of_file(&error.into(), File::OfTop("dir/a b.bin".into()), &Here::default())
    }

    #[test]
    fn a_dangerous_call_reads_as_in_the_contract() {
        let global = "os.system".to_owned();
        let report = report(Error::Dangerous { global, at: 317, record: "archive/data.pkl".to_owned() });
        assert_eq!(report.headline(), "dir/a b.bin: refused: pickle calls `os.system`");
        assert_eq!(report.causes, ["global at byte 317 of archive/data.pkl is not on the allow-list"]);
        assert_eq!(report.kind.exit_code(), 1);
    }

    #[test]
    fn causes_do_not_repeat_and_foreign_text_is_escaped() {
        let source = pickle::Error::Io { at: 3, source: io::Error::other("device\x1b[2J gone") };
        let error = checkpoint::Error::Pickle { record: "data\u{202e}.pkl".to_owned(), source };
        let report = report(error);
        assert_eq!(report.message, "cannot read data\\u{202e}.pkl");
        assert_eq!(report.causes, ["pickle at byte 3 cannot be read", "device\\x1b[2J gone"]);
        assert_eq!(report.kind, Kind::Environment);
        let same = Error::Io { what: "open", path: "x/a.bin".into(), source: io::Error::other("no") };
        let named = Report::of_file(&same, File::OfTop("a.bin".into()), &Here::default());
        assert_eq!(named.headline(), "a.bin: cannot open");
        assert_eq!(Report::of(&same).headline(), "cannot open x/a.bin");
    }

    #[test]
    fn what_git_said_keeps_its_lines() {
        let stderr = git::Stderr("fatal: a\x07\nhint: b".to_owned());
        let failed = git::Error::Failed { subcommand: "commit".to_owned(), status: Some(128), stderr };
        let report = Report::of(&failed.into());
        assert_eq!(report.headline(), "`git commit` failed (exit status 128)");
        assert_eq!(report.causes, ["fatal: a\\x07\nhint: b"]);
        assert_eq!(report.reason(), "`git commit` failed (exit status 128): fatal: a\\x07; hint: b");
    }

    #[test]
    fn several_dicts_are_listed_as_keys() {
        let candidate = |key: &str, tensors| Candidate { key: key.to_owned(), tensors, bytes: 2048 };
        let candidates = vec![candidate("ema", 1), candidate("model's", 12)];
        let ambiguous = |candidates: &[Candidate], total| checkpoint::Error::Ambiguous {
            candidates: candidates.to_vec(),
            total,
            beside: None,
        };
        let first = report(ambiguous(&candidates, 128)).hints.concat();
        assert!(first.starts_with("choose a state dict with `--key` (the first 2 of 128):\n"), "{first}");
        let report = report(ambiguous(&candidates, 2));
        assert_eq!(
            report.hints,
            ["choose a state dict with `--key`:\n  --key ema            1 tensor, 2.0 KiB\
              \n  --key 'model'\\''s'  12 tensors, 2.0 KiB"]
        );
        assert_eq!(report.kind, Kind::Refused);
    }

    #[test]
    fn every_status_has_its_code() {
        let interrupted = Reason::Error(Error::Interrupted);
        assert_eq!(exit_code(Status::Skipped, Some(&Reason::TrainingState)), 0);
        assert_eq!(exit_code(Status::Refused, None), 1);
        assert_eq!(exit_code(Status::Failed, None), 2);
        assert_eq!(exit_code(Status::Failed, Some(&interrupted)), 130);
        assert_eq!(Kind::of(&Error::NoRepository).exit_code(), 2);
    }
}
