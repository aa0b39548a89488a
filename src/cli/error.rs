//! [`Report`] formats an error for the user, and determines its exit status.
//!
//! ```text
//! error: FILE: message
//!   caused by: …
//! hint: a command that helps
//! ```
//!
//! Invariants: only this module has exit codes (hints are in `hints`); a cause never repeats the line above it; every
//! text is safe to print ([`sanitize`]). The module prints nothing itself.

use std::error::Error as StdError;
use std::path::Path;

use bstr::{BStr, BString};

use super::shell_paths::{File, Here};
use super::{hints, interrupt, sanitize};
pub(super) use crate::actions::Kind;
use crate::actions::{Error, Reason, Status, causes_of};

/// Returns the exit status, as the contract defines it. A bug has none of these: it is a panic, which `panic` reports
/// and which ends with 101.
pub(super) fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Refused => 1,
        Kind::User | Kind::Environment => 2,
        Kind::Interrupted => interrupt::EXIT,
    }
}

/// Returns the exit status of one file.
pub(super) fn exit_code(status: Status, reason: Option<&Reason>) -> u8 {
    match (status, reason) {
        (Status::Refused | Status::Failed, Some(Reason::Error(Error::Interrupted))) => interrupt::EXIT,
        (Status::Refused, _) => code(Kind::Refused),
        (Status::Failed, _) => code(Kind::Environment),
        _ => 0,
    }
}

/// An error for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) kind: Kind,
    /// The file that it concerns.
    pub(super) file: Option<String>,
    pub(super) message: String,
    pub(super) causes: Vec<String>,
    /// Commands that help.
    pub(super) hints: Vec<String>,
}

impl Report {
    /// Creates a report for an error that concerns no file, or names it itself.
    pub(super) fn of(error: &Error) -> Self {
        Self::new(error, None, &Here::default())
    }

    /// Creates a report for an error of a whole run, with hints for the user's directory.
    pub(super) fn of_run(error: &Error, here: &Here) -> Self {
        Self::new(error, None, here)
    }

    /// Creates a report for an error about a file, with hints for the user's directory.
    pub(super) fn of_file(error: &Error, file: File<'_>, here: &Here) -> Self {
        Self::new(error, Some(file), here)
    }

    /// Creates a report for an invalid argument.
    pub(super) fn user(file: &Path, message: &str, cause: Option<&(dyn StdError + 'static)>) -> Self {
        Self::plain(Kind::User, file, message, cause)
    }

    /// Creates a report for a file that cannot be read or written.
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
            causes: causes_of(cause, message, &safe),
            hints: Vec::new(),
        }
    }

    fn new(error: &Error, named: Option<File<'_>>, here: &Here) -> Self {
        let file = named.map(File::name);
        let message = match error {
            // The file precedes the message already.
            Error::Io { what, path, .. } if file.is_some_and(|file| is_same(path, file)) => {
                format!("cannot {what}")
            }
            error => sanitize::text(&error.to_string()).into_owned(),
        };
        let causes = error.causes(&message, &safe);
        Self {
            kind: error.kind(),
            file: file.map(|file| sanitize::bytes(file).into_owned()),
            message,
            causes,
            hints: hints::of(error, named, here),
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        code(self.kind)
    }

    /// Returns the text after `error:`.
    pub(super) fn headline(&self) -> String {
        match &self.file {
            Some(file) => format!("{file}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// Returns the message and its causes in one line.
    pub(super) fn reason(&self) -> String {
        let parts = std::iter::once(&self.message).chain(&self.causes);
        parts.map(|part| part.replace('\n', "; ")).collect::<Vec<_>>().join(": ")
    }
}

fn safe(text: &str) -> String {
    sanitize::text(text).into_owned()
}

fn is_same(path: &Path, file: &BStr) -> bool {
    let file: &[u8] = file;
    path.as_os_str().as_encoded_bytes().ends_with(file)
}

/// Returns a path of the command line for messages.
pub(super) fn name(path: &Path) -> BString {
    path.as_os_str().as_encoded_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::checkpoint::{self, Candidate};
    use crate::{git, pickle, recipe};

    fn report(error: impl Into<Error>) -> Report {
        Report::of_file(&error.into(), File::OfTop("dir/a b.bin".into()), &Here::default())
    }

    #[test]
    fn a_dangerous_call_reads_as_in_the_contract() {
        let global = "os.system".to_owned();
        let report =
            report(recipe::Error::Dangerous { global, at: 317, record: "archive/data.pkl".to_owned() });
        assert_eq!(report.headline(), "dir/a b.bin: refused: the pickle imports `os.system`");
        assert_eq!(report.causes, ["global at byte 317 of archive/data.pkl is not an allowed global"]);
        assert_eq!(report.exit_code(), 1);
    }

    #[test]
    fn causes_do_not_repeat_and_foreign_text_is_escaped() {
        let source = pickle::Error::Io { at: 3, source: io::Error::other("device\x1b[2J gone") };
        let error = checkpoint::Error::Pickle { record: "data\u{202e}.pkl".to_owned(), source };
        let report = report(error);
        assert_eq!(report.message, "cannot read data\\u{202e}.pkl");
        assert_eq!(report.causes, ["cannot read the pickle at byte 3", "device\\x1b[2J gone"]);
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
        let quoted = if cfg!(windows) { "\"model's\"" } else { r"'model'\''s'" };
        let (ema, width) = ("ema", quoted.len());
        assert_eq!(
            report.hints,
            [format!(
                "choose a state dict with `--key`:\n  --key {ema:width$}   1 tensor, 2.0 KiB\
                 \n  --key {quoted}  12 tensors, 2.0 KiB"
            )]
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
        assert_eq!(code(Error::NoRepository.kind()), 2);
    }
}
