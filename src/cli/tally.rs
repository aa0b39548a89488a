//! [`FileTally`], [`ScanTally`] and [`DiffTally`] count the results so far, for the last line of a command.
//!
//! The module only counts; it formats neither text nor JSON.

use std::collections::BTreeSet;

use bstr::BString;

use super::closing::Closing;
use crate::actions::diff::{Change, Changes, FileDiff, NotCompared};
use crate::actions::scan::{Scanned, Standing};
use crate::actions::{Outcome, Status, verify};
use crate::scan::Verdict;

/// The results of files so far: an action that ends with an error returns nothing else.
#[derive(Debug, Clone, Default)]
pub(super) struct FileTally {
    /// The result of each file.
    pub(super) statuses: Vec<Status>,
    /// `true` if something was staged.
    pub(super) staged: bool,
    /// `true` in a dry run.
    pub(super) dry_run: bool,
    /// The number of bytes that were made from them.
    pub(super) made: u64,
    /// The number of bytes that were read.
    pub(super) passed: u64,
    /// The number of checkpoints that were removed from the index.
    pub(super) removed: usize,
    /// The result of each verified safetensors file.
    pub(super) verdicts: Vec<Option<verify::Verdict>>,
    /// The announced files without a result so far.
    pub(super) planned: BTreeSet<BString>,
}

impl FileTally {
    /// Counts a file.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.planned.remove(&outcome.source);
        self.statuses.push(outcome.status);
        if matches!(outcome.status, Status::Converted | Status::Adopted | Status::Updated) {
            self.made += outcome.conversion.as_ref().map_or(0, |conversion| conversion.size);
        }
    }

    /// Counts a safetensors file that was verified.
    pub(super) fn verify(&mut self, verified: &verify::Verified) {
        self.planned.remove(&verified.path);
        self.verdicts.push(verified.verdict);
    }

    /// Adds the results to the last line; if the run `is_stopped`, also the number of unfinished files.
    pub(super) fn close(&self, is_stopped: bool, closing: &mut Closing) {
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
        closing.count(if is_stopped { self.planned.len() } else { 0 }, "not finished");
        // For a verification, the bytes that it read; a conversion counts the bytes that it wrote.
        let is_verification = self.statuses.is_empty() && !self.verdicts.is_empty();
        closing.bytes(if is_verification { self.passed } else { self.made });
    }

    /// Returns how many files have this status.
    pub(super) fn count(&self, status: Status) -> usize {
        self.statuses.iter().filter(|seen| **seen == status).count()
    }
}

/// The results of a scan so far.
#[derive(Debug, Default)]
pub(super) struct ScanTally {
    pub(super) files: usize,
    pub(super) clean: usize,
    pub(super) weights: usize,
    pub(super) unknown: usize,
    pub(super) unreadable: usize,
    pub(super) dangerous: usize,
    /// Files that are not on this machine.
    pub(super) missing: usize,
    pub(super) failed: usize,
    /// Files with code outside of pickles.
    pub(super) code: usize,
    /// The bytes of all files, as far as they are known.
    pub(super) bytes: u64,
    /// The bytes of those that were scanned.
    scanned: u64,
    /// The bytes that were read of files on a server, if any.
    pub(super) read: Option<u64>,
    worst: Option<Standing>,
}

impl ScanTally {
    /// Counts a file.
    pub(super) fn count(&mut self, scanned: &Scanned) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(scanned.size.unwrap_or(0));
        if scanned.result.is_ok() {
            self.scanned = self.scanned.saturating_add(scanned.size.unwrap_or(0));
        }
        if let Some(far) = &scanned.far {
            self.read = Some(self.read.unwrap_or(0).saturating_add(far.read));
        }
        self.worst = self.worst.max(Some(scanned.standing()));
        self.code += usize::from(scanned.result.as_ref().is_ok_and(|report| !report.code.is_empty()));
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

    /// Adds the results to the last line.
    pub(super) fn close(&self, closing: &mut Closing) {
        closing.count(self.files - self.missing - self.failed, "scanned");
        closing.count(self.missing, "not downloaded");
        closing.count(self.failed, "failed");
        closing.bytes(self.scanned);
    }

    /// Returns the exit status of the whole scan.
    pub(super) fn exit_code(&self) -> u8 {
        match self.worst {
            None | Some(Standing::Clean | Standing::Noted) => 0,
            Some(Standing::Found) => 1,
            Some(Standing::Unseen) => 2,
        }
    }
}

/// The results of a comparison so far.
#[derive(Debug, Default)]
pub(super) struct DiffTally {
    pub(super) files: usize,
    /// Tensors.
    pub(super) added: usize,
    pub(super) removed: usize,
    pub(super) renamed: usize,
    /// Tensors with another dtype or shape, or with other bytes.
    pub(super) changed: usize,
    pub(super) same: usize,
    /// Tensors with the same name, dtype and shape, whose bytes were not read.
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

    /// Counts the differences between two files.
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
