//! [`Ledger`] records the result of each file, and which paths were changed and staged.
//!
//! Invariant: it is the only record of a conversion besides its files; it knows neither the repository nor the servers.
//! Every result is reported once, also those that were pending when an error ended the run.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice as _};

use super::super::provenance::Seen;
use super::super::{Conversion, Error, Note, Outcome, Reason, Reporter, Status, names};
use crate::hash::Oid;
use crate::repo::FileStat;

/// What became of the files of a run.
pub(super) struct Ledger<'a> {
    reporter: &'a dyn Reporter,
    /// Every outcome so far, told to the reporter as it comes.
    pub(super) outcomes: Vec<Outcome>,
    /// `true` if conversions are reported later, when it is known what becomes of them.
    holds: bool,
    /// Every path that was staged or removed, without the `.gitattributes`.
    pub(super) touched: Vec<BString>,
    /// Those of them that are pointers now, and need the filter of Git LFS.
    pub(super) pointers: Vec<BString>,
    /// `true` if the index was written.
    pub(super) staged: bool,
    /// Every checkpoint that was converted, its oid, and the key that it was converted with.
    pub(super) from: Vec<(BString, Oid, Option<String>)>,
    /// The stat data that checkpoints had before they were read.
    pub(super) stats: BTreeMap<BString, FileStat>,
    /// Files of the working tree whose content is known now.
    pub(super) seen: Vec<Seen>,
    /// Links that were named, and the files that they lead to.
    pub(super) links: Vec<(BString, BString)>,
    /// Checkpoints that a sparse checkout leaves out of the working tree, and that nobody named.
    pub(super) left_out: Vec<BString>,
    /// The `.gitattributes` that a dry run spoke of.
    told: BTreeSet<BString>,
    /// In how many units that are not done a checkpoint is; of one that fails it stays in one.
    owed: BTreeMap<BString, usize>,
}

impl<'a> Ledger<'a> {
    /// An empty one. `holds`: conversions are told by [`Self::release`].
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

    /// Tells what was held.
    pub(super) fn release(&mut self) {
        let is_held = |outcome: &&Outcome| {
            matches!(outcome.status, Status::Converted | Status::Updated | Status::Adopted)
        };
        for outcome in self.outcomes.iter().filter(|_| self.holds).filter(is_held) {
            self.reporter.outcome(outcome);
        }
        self.holds = false;
    }

    /// All outcomes.
    pub(super) fn take(&mut self) -> Vec<Outcome> {
        self.release();
        std::mem::take(&mut self.outcomes)
    }

    /// Returns `true` if anything is what was asked for.
    pub(super) fn has_result(&self) -> bool {
        let is_result = |outcome: &Outcome| {
            use Status::{Converted, Unverified, UpToDate, Updated};
            matches!(outcome.status, Converted | Updated | UpToDate | Unverified)
        };
        self.outcomes.iter().any(is_result)
    }

    // ---- what becomes of a file

    pub(super) fn converted(
        &mut self,
        source: BString,
        output: BString,
        conversion: Conversion,
        status: Status,
    ) {
        let (output, conversion) = (Some(output), Some(conversion));
        self.push(Outcome { source, output, status, conversion, reason: None });
    }

    pub(super) fn kept(
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

    /// Tells of the links that were named; `is_found`: the file that one leads to is meant, too.
    pub(super) fn tell_links(&mut self, is_found: impl Fn(&BString) -> bool) {
        for (path, target) in std::mem::take(&mut self.links) {
            let command = names::is_weight_like(target.as_bstr()) && !is_found(&target);
            self.skip(path.as_bstr(), Reason::Link { target, command });
        }
    }

    /// One of an earlier run, if this one has not spoken of it.
    pub(super) fn left(&mut self, source: BString, output: BString, status: Status) {
        if !self.outcomes.iter().any(|outcome| outcome.source == source) {
            self.kept(source, output, status, None);
        }
    }

    /// A file that was not converted. An interruption is no fact about a file.
    pub(super) fn fail(&mut self, source: &BStr, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Interrupted) {
            return Err(error);
        }
        let status = if error.is_refusal() { Status::Refused } else { Status::Failed };
        let reason = Some(Reason::Error(error));
        self.push(Outcome { source: source.to_owned(), output: None, status, conversion: None, reason });
        Ok(())
    }

    /// One error for all: it is told with the first, and the others belong to its set.
    pub(super) fn fail_all(
        &mut self,
        failed: impl IntoIterator<Item = BString>,
        error: Error,
    ) -> Result<(), Error> {
        let mut failed = failed.into_iter();
        let Some(first) = failed.next() else { return Err(error) };
        self.fail_with(&first, error, failed)
    }

    /// An error of one file, for which `others` are left as they are.
    pub(super) fn fail_with(
        &mut self,
        one: &BString,
        error: Error,
        others: impl IntoIterator<Item = BString>,
    ) -> Result<(), Error> {
        self.fail(one.as_bstr(), error)?;
        self.fail_rest(others, one)
    }

    /// Files that are left as they are for a shard of their set.
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

    // ---- what is owed, staged and told

    /// Counts that one more unit is in need of a checkpoint.
    pub(super) fn owe(&mut self, path: &BString) {
        *self.owed.entry(path.clone()).or_default() += 1;
    }

    /// Counts that a unit has what it needs of a checkpoint. Returns `true` if it was the last that is in need of it.
    pub(super) fn is_done_with(&mut self, path: &BString) -> bool {
        let Some(owed) = self.owed.get_mut(path) else { return true };
        *owed = owed.saturating_sub(1);
        *owed == 0
    }

    /// Says that the index was written.
    pub(super) fn stage(&mut self) {
        self.staged = true;
        self.reporter.staged();
    }

    /// Says what becomes of a `.gitattributes` in a dry run, once: each unit would find the line of the one before.
    pub(super) fn tell_attributes(&mut self, path: &BString, note: &Note) {
        if self.told.insert(path.clone()) {
            self.reporter.note(note);
        }
    }
}

impl Drop for Ledger<'_> {
    /// What was done before an error ended the run is told, too.
    fn drop(&mut self) {
        self.release();
    }
}
