//! A conversion in a repository: objects, work-tree files, `.gitattributes`, one index write a unit.
//!
//! Order: all bytes are written and proven without a name; then the `.gitattributes`, the objects and the
//! files of the work tree get theirs, then the index is replaced, then what it no longer names is removed. Killed anywhere between, every file
//! is old or new, and git shows what is new as untracked.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};

use super::super::servers::Session;
use super::super::workspace::Workspace;
use super::super::{Error, Note, Reporter, names, placement};
use super::index::{self, Held, NewIndex};
use super::ledger::Ledger;
use super::planning::Planned;
use super::publish::{Done, Published};
use super::select::units;
use super::sets::{ShardedCheckpoint, Unit};
use super::{Adopt, Options, Summary};
use crate::checkpoint;
use crate::lfs::Resumable;
use crate::repo::Repo;

/// Converts in `repo`.
pub(super) fn convert(
    repo: &Repo,
    options: &Options,
    adopt: Option<&dyn Adopt>,
    reporter: &dyn Reporter,
) -> Result<Summary, Error> {
    if repo.extensions_configured() {
        return Err(Error::Extensions);
    }
    if !options.dry_run {
        repo.sweep()?;
    }
    let session = Session::new(&options.servers, reporter);
    let workspace = Workspace::open(repo, &session)?;
    let mut ledger = Ledger::new(reporter, adopt.is_some());
    let units = units(&workspace, options, &mut ledger)?;
    for file in units.iter().flat_map(|unit| &unit.files) {
        ledger.owe(&file.path);
    }
    if !options.dry_run {
        let files = units.iter().flat_map(|unit| &unit.files);
        repo.sweep_beside(files.map(|file| file.path.as_bstr()));
    }
    let collisions = collisions(&units);
    let is_single = units.len() == 1;
    let mut run = Run { repo, options, reporter, adopt, workspace, ledger, is_single };
    for unit in units {
        run.unit(unit, &collisions)?;
    }
    run.sweep_replaced()?;
    run.look_for_same()?;
    let commit = run.commit()?;
    let staged = run.ledger.staged;
    if staged && !repo.filter_configured() {
        reporter.note(&Note::NoFilter);
    }
    Ok(Summary { outcomes: run.ledger.take(), staged, commit, in_repository: true })
}

/// The outputs that two files would be written to, and both files.
fn collisions(units: &[Unit]) -> BTreeMap<BString, Vec<BString>> {
    let mut outputs: BTreeMap<BString, Vec<BString>> = BTreeMap::new();
    for file in units.iter().flat_map(|unit| &unit.files) {
        outputs.entry(names::safetensors(file.path.as_bstr())).or_default().push(file.path.clone());
    }
    for ShardedCheckpoint { index, .. } in units.iter().filter_map(|unit| unit.set.as_ref()) {
        outputs.entry(names::safetensors_index(index.as_bstr())).or_default().push(index.clone());
    }
    outputs.retain(|_, sources| sources.len() > 1);
    outputs
}

pub(super) struct Run<'a> {
    pub(super) repo: &'a Repo,
    pub(super) options: &'a Options,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) adopt: Option<&'a dyn Adopt>,
    pub(super) workspace: Workspace<'a>,
    pub(super) ledger: Ledger<'a>,
    /// Is there one unit, so that every name to keep must be in it?
    is_single: bool,
}

impl Run<'_> {
    fn unit(&mut self, unit: Unit, collisions: &BTreeMap<BString, Vec<BString>>) -> Result<(), Error> {
        let mut is_staged = false;
        if let Some(outputs) = self.up_to_date(&unit)? {
            if !self.is_to_be_committed(&unit, &outputs)? {
                for (file, output) in unit.files.into_iter().zip(outputs) {
                    self.ledger.kept(file.path, output, None);
                }
                return Ok(());
            }
            is_staged = true;
        }
        let Unit { files, set } = unit;
        let Some(planned) = self.plan(files, set.as_ref(), is_staged, collisions)? else { return Ok(()) };
        let held: Vec<_> = planned.iter().filter_map(Planned::held).collect();
        let is_known = held.len() == planned.len();
        if let Some(name) = self.unknown_keep(&held).filter(|_| is_known) {
            let error = checkpoint::Error::Keep { name }.into();
            return self.ledger.fail_all(paths(planned), error);
        }
        let Some(set) = set else {
            return match (self.options.dry_run, is_staged) {
                (true, _) => self.tell_plan(planned, None),
                (false, true) => self.take(planned, None),
                (false, false) => self.convert(planned, None),
            };
        };
        let place = match self.check_set(&set, &held, is_known, collisions) {
            Ok(place) => place,
            Err(error) => return self.ledger.fail_with(&set.index, error, paths(planned)),
        };
        if !self.options.dry_run && !is_staged {
            return self.convert(planned, Some((set, place)));
        }
        let index = match index::new_index(place, &set, &held) {
            Ok(index) => index,
            Err(error) => return self.ledger.fail_with(&set.index, error, paths(planned)),
        };
        if self.options.dry_run {
            self.tell_plan(planned, Some(&index))
        } else {
            self.take(planned, Some(&index))
        }
    }

    /// Everything that can be said against a set before the long work.
    fn check_set(
        &self,
        set: &ShardedCheckpoint,
        held: &[Held],
        is_known: bool,
        collisions: &BTreeMap<BString, Vec<BString>>,
    ) -> Result<index::Place, Error> {
        self.workspace.check_unmodified(set.index.as_bstr())?;
        let output = names::safetensors_index(set.index.as_bstr());
        let mut others = collisions.get(&output).into_iter().flatten();
        if let Some(other) = others.find(|other| **other != set.index) {
            return Err(Error::OutputCollision { output, other: other.clone() });
        }
        let place = index::place(self.repo, set)?;
        index::agree(set, held, is_known)?;
        if is_known {
            self.check_index(&index::new_index(place.clone(), set, held)?)?;
        }
        Ok(place)
    }

    /// Converts a unit: one file after the other, and then all get their names.
    fn convert(
        &mut self,
        planned: Vec<Planned>,
        of: Option<(ShardedCheckpoint, index::Place)>,
    ) -> Result<(), Error> {
        if let Err(error) = self.check_space(&planned) {
            return self.ledger.fail_all(paths(planned), error);
        }
        let mut done: Vec<Done> = Vec::with_capacity(planned.len());
        let mut planned = planned.into_iter();
        while let Some(next) = planned.next() {
            let path = next.path.clone();
            match self.write(next, of.is_some()) {
                Ok(written) => done.push(written),
                Err(error) => {
                    let others = self.abandon(done, planned, &error)?;
                    return self.ledger.fail_all(std::iter::once(path).chain(others), error);
                }
            }
        }
        let held: Vec<_> = done.iter_mut().filter_map(|done| done.held.take()).collect();
        if let Some(name) = self.unknown_keep(&held) {
            let error = checkpoint::Error::Keep { name }.into();
            let failed = self.abandon(done, planned, &error)?;
            return self.ledger.fail_all(failed, error);
        }
        let index = of.map(|(set, place)| {
            let index = index::new_index(place, &set, &held);
            (index.and_then(|index| self.check_index(&index).map(|()| index)), set)
        });
        let index = match index {
            Some((Err(error), set)) => {
                let failed = self.abandon(done, planned, &error)?;
                return self.ledger.fail_with(&set.index, error, failed);
            }
            Some((Ok(index), _)) => Some(index),
            None => None,
        };
        if let Some((changed, error)) = self.changed_since(&done, index.as_ref()) {
            let rest = self.abandon(done, planned, &error)?.into_iter().filter(|path| *path != changed);
            return self.ledger.fail_all(std::iter::once(changed.clone()).chain(rest), error);
        }
        let paths: Vec<_> = done.iter().map(|done| done.path.clone()).collect();
        match self.publish(done, index.as_ref()) {
            Ok(Published { files, removed }) => {
                for path in removed {
                    self.reporter.note(&Note::Removed { path });
                }
                for (source, output, written, conversion) in files {
                    self.ledger.from.push((source.clone(), written.source_oid));
                    self.ledger.converted(source, output, conversion);
                }
                Ok(())
            }
            Err(error) => self.ledger.fail_all(paths, error),
        }
    }

    /// What is to be removed, and was changed by a person during the long work.
    fn changed_since(&self, done: &[Done], index: Option<&NewIndex>) -> Option<(BString, Error)> {
        let paths = done.iter().map(|done| &done.path).chain(index.map(|index| &index.replaces));
        let mut changed = paths
            .filter(|_| self.options.replace)
            .filter_map(|path| Some((path.clone(), self.workspace.check_unmodified(path.as_bstr()).err()?)));
        changed.next()
    }

    /// What becomes of the files of a unit that fails: what is of use to a later run stays for it, all else goes. Returns
    /// their paths.
    fn abandon(
        &self,
        done: Vec<Done>,
        rest: impl Iterator<Item = Planned>,
        error: &Error,
    ) -> Result<Vec<BString>, Error> {
        // Of the refusals only this one leaves what was made as it would be made again.
        let stays = !error.is_refusal() || matches!(error, Error::OutputExists { .. });
        let mut paths = Vec::new();
        for done in done {
            paths.push(done.path.clone());
            if !stays {
                let source = done.source();
                done.discard()?;
                Resumable::forget_journal(&self.repo.store(), source)?;
            }
        }
        for planned in rest {
            paths.push(planned.path.clone());
            if let (false, Some(whole)) = (stays, planned.into_whole()) {
                self.discard_whole(&whole)?;
            }
        }
        Ok(paths)
    }

    /// Commits what an earlier run staged: it is converted again, gets no new name, and only the very same counts.
    fn take(&mut self, planned: Vec<Planned>, index: Option<&NewIndex>) -> Result<(), Error> {
        let mut proven = Vec::with_capacity(planned.len());
        for (at, one) in planned.iter().enumerate() {
            match self.prove_staged(one) {
                Ok(facts) => proven.push(facts),
                Err(error) => {
                    let mut failed: Vec<_> = paths(planned).collect();
                    failed.swap(0, at);
                    return self.ledger.fail_all(failed, error);
                }
            }
        }
        let outputs = planned.iter().map(|planned| planned.output.clone()).collect();
        if let Err(error) = self.adopt(outputs, index) {
            return self.ledger.fail_all(paths(planned), error);
        }
        for (Planned { path, output, .. }, (written, facts)) in planned.into_iter().zip(proven) {
            self.ledger.from.push((path.clone(), written.source_oid));
            self.ledger.kept(path, output, Some(facts));
        }
        Ok(())
    }

    /// A name to keep that no file of the only unit holds. With several units it may be another's.
    fn unknown_keep(&self, held: &[Held]) -> Option<String> {
        let keep = self.options.keep.iter().filter(|_| self.is_single);
        let mut unknown = keep.filter(|name| !held.iter().any(|held| held.has(name)));
        unknown.next().cloned()
    }

    /// Says what a run would do.
    fn tell_plan(&mut self, planned: Vec<Planned>, index: Option<&NewIndex>) -> Result<(), Error> {
        let outputs: Vec<_> = planned.iter().map(|planned| planned.output.clone()).collect();
        for change in self.repo.plan_attributes(&outputs)? {
            self.ledger.tell_attributes(&change.path, &placement::attributes_note(&change));
        }
        let mut removed: Vec<_> = planned.iter().map(|planned| planned.path.clone()).collect();
        for planned in planned {
            if let Some(conversion) = planned.facts() {
                self.ledger.converted(planned.path, planned.output, conversion);
            }
        }
        if let Some(index) = index {
            for note in index.notes() {
                self.reporter.note(&note);
            }
            removed.push(index.replaces.clone());
        }
        removed.retain(|path| self.options.replace && self.workspace.contains(path.as_bstr()));
        for path in removed {
            self.reporter.note(&Note::Removed { path });
        }
        Ok(())
    }
}

/// The paths of checkpoints.
pub(super) fn paths(planned: impl IntoIterator<Item = Planned>) -> impl Iterator<Item = BString> {
    planned.into_iter().map(|planned| planned.path)
}
