//! [`Ledger`] records the result of each file, and which paths were changed and staged.
//!
//! Invariant: it is the only record of a conversion besides its files; it knows neither the repository nor the servers.
//! Every result is reported once, also those that were pending when an error ended the run.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice as _};

use super::super::provenance::Seen;
use super::super::{Conversion, Error, Note, Outcome, Reason, Reporter, Status, names};
use crate::checkpoint;
use crate::hash::Oid;
use crate::repo::FileStat;

/// The results for the files of a run.
pub(super) struct Ledger<'a> {
    reporter: &'a dyn Reporter,
    /// Every result so far, reported as it becomes known.
    pub(super) outcomes: Vec<Outcome>,
    /// `true` if conversions are reported later, after the search for an identical pull request.
    holds: bool,
    /// Every path that was staged or removed, without the `.gitattributes`.
    pub(super) touched: Vec<BString>,
    /// The new pointers among them, which need the filter of Git LFS.
    pub(super) pointers: Vec<BString>,
    /// `true` if the index was written.
    pub(super) staged: bool,
    /// Every converted checkpoint, its object ID, and the key of the conversion.
    pub(super) from: Vec<(BString, Oid, Option<String>)>,
    /// The stat data that checkpoints had before they were read.
    pub(super) stats: BTreeMap<BString, FileStat>,
    /// Files of the working tree whose content is known now.
    pub(super) seen: Vec<Seen>,
    /// Links that were named, and their targets.
    pub(super) links: Vec<(BString, BString)>,
    /// Unnamed checkpoints that a sparse checkout leaves out of the working tree.
    pub(super) left_out: Vec<BString>,
    /// The `.gitattributes` that a dry run reported.
    told: BTreeSet<BString>,
    /// How many unfinished units need a checkpoint; one in a failed unit is never finished.
    owed: BTreeMap<BString, usize>,
}

impl<'a> Ledger<'a> {
    /// Creates an empty ledger. `holds`: [`Self::release`] reports conversions.
    pub(super) fn new(reporter: &'a dyn Reporter, holds: bool) -> Self {
        Self {
            reporter,
            outcomes: Vec::new(),
            holds,
            touched: Vec::new(),
            pointers: Vec::new(),
            staged: false,
            from: Vec::new(),
            stats: BTreeMap::new(),
            seen: Vec::new(),
            links: Vec::new(),
            left_out: Vec::new(),
            told: BTreeSet::new(),
            owed: BTreeMap::new(),
        }
    }

    pub(super) fn push(&mut self, outcome: Outcome) {
        if !self.holds || !matches!(outcome.status, Status::Converted | Status::Updated) {
            self.reporter.outcome(&outcome);
        }
        self.outcomes.push(outcome);
    }

    /// Reports the results that waited.
    pub(super) fn release(&mut self) {
        let is_held = |outcome: &&Outcome| {
            matches!(outcome.status, Status::Converted | Status::Updated | Status::Adopted)
        };
        for outcome in self.outcomes.iter().filter(|_| self.holds).filter(is_held) {
            self.reporter.outcome(outcome);
        }
        self.holds = false;
    }

    /// Returns all results.
    pub(super) fn take(&mut self) -> Vec<Outcome> {
        self.release();
        std::mem::take(&mut self.outcomes)
    }

    /// Returns `true` if any result is a requested one.
    pub(super) fn has_result(&self) -> bool {
        let is_result = |outcome: &Outcome| {
            use Status::{Converted, Unverified, UpToDate, Updated};
            matches!(outcome.status, Converted | Updated | UpToDate | Unverified)
        };
        self.outcomes.iter().any(is_result)
    }

    // ---- the result for a file

    pub(super) fn done(
        &mut self,
        source: BString,
        output: BString,
        status: Status,
        conversion: Option<Conversion>,
    ) {
        let output = Some(output);
        self.push(Outcome { source, output, status, conversion, reason: None });
    }

    pub(super) fn skip(&mut self, source: &BStr, reason: Reason) {
        let (source, status) = (source.to_owned(), Status::Skipped);
        self.push(Outcome { source, output: None, status, conversion: None, reason: Some(reason) });
    }

    /// Reports named links; `is_found` returns `true` if the target is also converted by this run.
    pub(super) fn tell_links(&mut self, is_found: impl Fn(&BString) -> bool) {
        for (path, target) in std::mem::take(&mut self.links) {
            let command = names::is_weight_like(target.as_bstr()) && !is_found(&target);
            self.skip(path.as_bstr(), Reason::Link { target, command });
        }
    }

    /// Records a file of an earlier run, if this run has no result for it.
    pub(super) fn left(&mut self, source: BString, output: BString, status: Status) {
        if !self.outcomes.iter().any(|outcome| outcome.source == source) {
            self.done(source, output, status, None);
        }
    }

    /// Records a file that was not converted. An interruption is not a result for a file.
    pub(super) fn fail(&mut self, source: &BStr, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Interrupted) {
            return Err(error);
        }
        let status = if error.is_refusal() { Status::Refused } else { Status::Failed };
        let reason = Some(Reason::Error(error));
        self.push(Outcome { source: source.to_owned(), output: None, status, conversion: None, reason });
        Ok(())
    }

    /// Records an error of a file that nobody named: one without weights is not meant.
    pub(super) fn skip_or_fail(&mut self, source: &BStr, error: Error) -> Result<(), Error> {
        match error {
            Error::Checkpoint(checkpoint::Error::NoTensors) => self.skip(source, Reason::NoTensors),
            Error::Checkpoint(checkpoint::Error::TrainingState) => self.skip(source, Reason::TrainingState),
            error => return self.fail(source, error),
        }
        Ok(())
    }

    /// Records one error for all: it is reported with the first file, and the others belong to its sharded checkpoint.
    pub(super) fn fail_all(
        &mut self,
        failed: impl IntoIterator<Item = BString>,
        error: Error,
    ) -> Result<(), Error> {
        let mut failed = failed.into_iter();
        let Some(first) = failed.next() else { return Err(error) };
        self.fail_with(&first, error, failed)
    }

    /// Records an error of one file, because of which `others` stay as they are.
    pub(super) fn fail_with(
        &mut self,
        one: &BString,
        error: Error,
        others: impl IntoIterator<Item = BString>,
    ) -> Result<(), Error> {
        self.fail(one.as_bstr(), error)?;
        self.fail_rest(others, one)
    }

    /// Records files that stay as they are because of another shard.
    pub(super) fn fail_rest(
        &mut self,
        rest: impl IntoIterator<Item = BString>,
        shard: &BString,
    ) -> Result<(), Error> {
        for path in rest {
            self.fail(path.as_bstr(), Error::IncompleteSet { shard: shard.clone() })?;
        }
        Ok(())
    }

    // ---- needed checkpoints, staged files and reports

    /// Counts one more unit that needs a checkpoint.
    pub(super) fn owe(&mut self, path: &BString) {
        *self.owed.entry(path.clone()).or_default() += 1;
    }

    /// Counts that a unit has finished with a checkpoint. Returns `true` if it was the last that needs it.
    pub(super) fn is_done_with(&mut self, path: &BString) -> bool {
        let Some(owed) = self.owed.get_mut(path) else { return true };
        *owed = owed.saturating_sub(1);
        *owed == 0
    }

    /// Reports that the index was written.
    pub(super) fn stage(&mut self) {
        self.staged = true;
        self.reporter.staged();
    }

    /// Reports the result for a `.gitattributes` in a dry run once: each unit would find the entry of the one before.
    pub(super) fn tell_attributes(&mut self, path: &BString, note: &Note) {
        if self.told.insert(path.clone()) {
            self.reporter.note(note);
        }
    }
}

impl Drop for Ledger<'_> {
    /// The results before an error that ends the run are also reported.
    fn drop(&mut self) {
        self.release();
    }
}
