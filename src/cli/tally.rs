//! [`FileTally`], [`ScanTally`] and [`DiffTally`]: what was reported so far, for the last line of a command.
//!
//! They count, and know neither a person nor JSON.

use super::closing::Closing;
use crate::actions::diff::{Change, Changes, FileDiff, NotCompared};
use crate::actions::scan::{Scanned, Standing};
use crate::actions::{Outcome, Status, verify};
use crate::scan::Verdict;

/// What became of files so far: an action that ends with an error returns nothing else.
#[derive(Debug, Clone, Default)]
pub(super) struct FileTally {
    /// What became of each file.
    pub(super) statuses: Vec<Status>,
    /// Something was staged.
    pub(super) staged: bool,
    /// Nothing is done, only said.
    pub(super) dry_run: bool,
    /// What was made of them, in bytes.
    pub(super) made: u64,
    /// How many bytes of files were gone through.
    pub(super) passed: u64,
    /// How many checkpoints left the index.
    pub(super) removed: usize,
    /// What became of each safetensors file that was verified.
    pub(super) verdicts: Vec<Option<verify::Verdict>>,
}

impl FileTally {
    /// Counts a file.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.statuses.push(outcome.status);
        if matches!(outcome.status, Status::Converted | Status::Adopted | Status::Updated) {
            self.made += outcome.conversion.as_ref().map_or(0, |conversion| conversion.size);
        }
    }

    /// Says what was done, for the last line.
    pub(super) fn close(&self, closing: &mut Closing) {
        let converted = if self.dry_run { ["to convert", "to update"] } else { ["converted", "updated"] };
        for (status, what) in [
            (Status::Converted, converted[0]),
            (Status::Adopted, "adopted"),
            (Status::Updated, converted[1]),
            (Status::UpToDate, "up to date"),
            (Status::Unverified, "not verified"),
            (Status::Skipped, "skipped"),
            (Status::Refused, "refused"),
            (Status::Failed, "failed"),
        ] {
            closing.count(self.count(status), what);
        }
        closing.count(self.removed, if self.dry_run { "to remove" } else { "removed" });
        for (verdict, what) in [
            (Some(verify::Verdict::Identical), "identical"),
            (Some(verify::Verdict::Equal), "equal"),
            (Some(verify::Verdict::Differs), "different"),
            (Some(verify::Verdict::Stale), "stale"),
            (None, "failed"),
        ] {
            closing.count(self.verdicts.iter().filter(|seen| **seen == verdict).count(), what);
        }
        // What a verification went through; a conversion counts what it made.
        let is_verification = self.statuses.is_empty() && !self.verdicts.is_empty();
        closing.bytes(if is_verification { self.passed } else { self.made });
    }

    /// How many files ended so.
    pub(super) fn count(&self, status: Status) -> usize {
        self.statuses.iter().filter(|seen| **seen == status).count()
    }
}

/// What a scan found so far.
#[derive(Debug, Default)]
pub(super) struct ScanTally {
    pub(super) files: usize,
    pub(super) clean: usize,
    pub(super) weights: usize,
    pub(super) unknown: usize,
    pub(super) unreadable: usize,
    pub(super) dangerous: usize,
    /// Not on this machine.
    pub(super) missing: usize,
    pub(super) failed: usize,
    /// Of all files, as far as it is known.
    pub(super) bytes: u64,
    /// How much was read of those that are not on this machine, if there are any.
    pub(super) read: Option<u64>,
    worst: Option<Standing>,
}

impl ScanTally {
    /// Counts a file.
    pub(super) fn count(&mut self, scanned: &Scanned) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(scanned.size.unwrap_or(0));
        if let Some(far) = &scanned.far {
            self.read = Some(self.read.unwrap_or(0).saturating_add(far.read));
        }
        self.worst = self.worst.max(Some(scanned.standing()));
        let counter = match &scanned.result {
            Ok(report) => match report.verdict {
                Verdict::Clean => &mut self.clean,
                Verdict::Weights => &mut self.weights,
                Verdict::Unknown => &mut self.unknown,
                Verdict::Unreadable => &mut self.unreadable,
                Verdict::Dangerous => &mut self.dangerous,
            },
            Err(_) if scanned.is_missing() => &mut self.missing,
            Err(_) => &mut self.failed,
        };
        *counter += 1;
    }

    /// The exit status of the whole scan.
    pub(super) fn exit_code(&self) -> u8 {
        match self.worst {
            None | Some(Standing::Clean | Standing::Noted) => 0,
            Some(Standing::Found) => 1,
            Some(Standing::Unseen) => 2,
        }
    }
}

/// What a comparison found so far.
#[derive(Debug, Default)]
pub(super) struct DiffTally {
    pub(super) files: usize,
    /// Tensors.
    pub(super) added: usize,
    pub(super) removed: usize,
    pub(super) renamed: usize,
    /// Of another dtype or shape, or of other bytes.
    pub(super) changed: usize,
    pub(super) same: usize,
    /// Of one name, dtype and shape, whose bytes nobody looked at.
    pub(super) unread: usize,
    /// Files.
    pub(super) not_here: usize,
    pub(super) unreadable: usize,
    pub(super) differs: bool,
}

impl DiffTally {
    /// Counts a file.
    pub(super) fn add(&mut self, file: &FileDiff) {
        self.files += 1;
        self.differs |= file.differs();
        match &file.result {
            Ok(changes) => self.changes(changes),
            Err(NotCompared::NotHere { .. }) => self.not_here += 1,
            Err(NotCompared::Unreadable { .. }) => self.unreadable += 1,
        }
    }

    /// Counts what two files have otherwise.
    pub(super) fn changes(&mut self, changes: &Changes) {
        self.same += changes.same;
        self.unread += changes.unread;
        for change in &changes.list {
            let counter = match change {
                Change::Added(_) => &mut self.added,
                Change::Removed(_) => &mut self.removed,
                Change::Renamed { .. } => &mut self.renamed,
                Change::Retyped { .. } | Change::Values { .. } => &mut self.changed,
            };
            *counter += 1;
        }
    }
}
