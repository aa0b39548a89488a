//! A conversion in a repository: objects, work-tree files, `.gitattributes`, one index write a unit.
//!
//! Order: all bytes are written and proven without a name; then the `.gitattributes`, the objects and the
//! files of the work tree get theirs, then the index is replaced, then what it no longer names is removed. Killed anywhere between, every file
//! is old or new, and git shows what is new as untracked.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice as _};

use super::super::server::Watch;
use super::super::{Conversion, Error, Note, Outcome, Reason, Reporter, Status, attributes, names};
use super::candidates::{Candidate, Found, Set, Tracked, Unit};
use super::far::Far;
use super::index::{NewIndex, new_index};
use super::job::Job;
use super::publish::{Done, Published};
use super::{Adopt, CONFIG_LIMIT, Options, Outcomes, Summary, class_in};
use crate::checkpoint;
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
    let options = &configured(repo, options);
    let watch = Watch::new(reporter);
    let far = Far::new(repo, options.servers.as_ref(), &watch, reporter);
    let tracked = Tracked::read(repo, Some(&far))?;
    let mut outcomes = Outcomes::new(reporter);
    outcomes.holds = adopt.is_some();
    let units = tracked.units(options, &mut outcomes)?;
    if !options.dry_run {
        let files = units.iter().flat_map(|unit| &unit.files);
        repo.sweep_beside(files.map(|file| file.path.as_bstr()));
    }
    let mut run = Run {
        repo,
        far: &far,
        options,
        reporter,
        adopt,
        tracked,
        outcomes,
        touched: Vec::new(),
        pointers: Vec::new(),
        staged: false,
        told: BTreeSet::new(),
        is_single: false,
        from: Vec::new(),
    };
    let collisions = collisions(&units);
    run.is_single = units.len() == 1;
    for unit in units {
        run.unit(unit, &collisions)?;
    }
    run.sweep_replaced()?;
    run.look_for_same()?;
    let commit = run.commit()?;
    let staged = run.staged;
    if staged && !repo.filter_configured() {
        reporter.note(&Note::NoFilter);
    }
    Ok(Summary { outcomes: run.outcomes.take(), staged, commit, in_repository: true })
}

/// The options with what `st-convert.keepSource` and `st-convert.jobs` say where the command line says nothing.
fn configured(repo: &Repo, options: &Options) -> Options {
    let mut options = options.clone();
    options.keep_source |= repo.config_bool("st-convert.keepSource") == Some(true);
    if let Some(servers) = &mut options.servers {
        let jobs = || repo.config_str("st-convert.jobs")?.to_str().ok()?.parse().ok();
        servers.connections = servers.connections.or_else(jobs);
    }
    options
}

/// The outputs that two files would be written to, and both files.
fn collisions(units: &[Unit]) -> BTreeMap<BString, Vec<BString>> {
    let mut outputs: BTreeMap<BString, Vec<BString>> = BTreeMap::new();
    for file in units.iter().flat_map(|unit| &unit.files) {
        outputs.entry(names::safetensors(file.path.as_bstr())).or_default().push(file.path.clone());
    }
    outputs.retain(|_, sources| sources.len() > 1);
    outputs
}

pub(super) struct Run<'a> {
    pub(super) repo: &'a Repo,
    pub(super) far: &'a Far<'a>,
    pub(super) options: &'a Options,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) adopt: Option<&'a dyn Adopt>,
    pub(super) tracked: Tracked<'a>,
    pub(super) outcomes: Outcomes<'a>,
    /// Every path that was staged or removed, without the `.gitattributes`.
    pub(super) touched: Vec<BString>,
    /// Those of them that are pointers now, and need the filter of Git LFS.
    pub(super) pointers: Vec<BString>,
    /// Was the index written?
    pub(super) staged: bool,
    /// The `.gitattributes` that a dry run spoke of.
    told: BTreeSet<BString>,
    /// Is there one unit, so that every name to keep must be in it?
    is_single: bool,
    /// Every checkpoint that was converted, and its oid.
    pub(super) from: Vec<(BString, crate::hash::Oid)>,
}

/// A file of a unit, planned.
pub(super) struct Planned {
    pub(super) path: BString,
    pub(super) output: BString,
    pub(super) job: Job,
    /// Something stands where it goes, which may be the same.
    pub(super) is_there: bool,
}

impl Run<'_> {
    fn unit(&mut self, unit: Unit, collisions: &BTreeMap<BString, Vec<BString>>) -> Result<(), Error> {
        let mut is_staged = false;
        if let Some(outputs) = self.up_to_date(&unit)? {
            if !self.is_to_be_committed(&unit, &outputs)? {
                for (file, output) in unit.files.into_iter().zip(outputs) {
                    self.kept(file.path, output, None);
                }
                return Ok(());
            }
            is_staged = true;
        }
        let Unit { files, set } = unit;
        let Some(planned) = self.plan(files, set.as_ref(), collisions)? else { return Ok(()) };
        if let Some(name) = self.unknown_keep(&planned) {
            let error = checkpoint::Error::Keep { name }.into();
            return self.fail_all(paths(planned).collect(), error);
        }
        if let Some(Set { index, .. }) = &set
            && let Err(error) = self.tracked.check_unmodified(index.as_bstr())
        {
            self.outcomes.fail(index.as_bstr(), error)?;
            return self.fail_rest(paths(planned), index);
        }
        let index = match set.map(|set| new_index(self.repo, &set, &planned)).transpose() {
            Ok(index) => index,
            Err(error) => return self.fail_all(paths(planned).collect(), error),
        };
        if self.options.dry_run {
            self.tell_plan(planned, index.as_ref())
        } else if is_staged {
            self.take(planned, index.as_ref())
        } else {
            self.convert(planned, index.as_ref())
        }
    }

    fn convert(&mut self, planned: Vec<Planned>, index: Option<&NewIndex>) -> Result<(), Error> {
        let mut done: Vec<Done> = Vec::with_capacity(planned.len());
        let mut planned = planned.into_iter();
        while let Some(next) = planned.next() {
            let path = next.path.clone();
            match self.write(next) {
                Ok(written) => done.push(written),
                Err(error) => {
                    let others = done.into_iter().map(|done| done.path);
                    let failed = std::iter::once(path).chain(others).chain(paths(planned)).collect();
                    return self.fail_all(failed, error);
                }
            }
        }
        match self.publish(done, index) {
            Ok(Published { files, removed }) => {
                for path in removed {
                    self.reporter.note(&Note::Removed { path });
                }
                for (source, output, written, conversion) in files {
                    self.from.push((source.clone(), written.source_oid));
                    self.converted(source, output, conversion);
                }
                Ok(())
            }
            Err((failed, error)) => self.fail_all(failed, error),
        }
    }

    /// Commits what an earlier run staged: it is converted again, gets no new name, and only the very same counts.
    fn take(&mut self, planned: Vec<Planned>, index: Option<&NewIndex>) -> Result<(), Error> {
        let mut proven = Vec::with_capacity(planned.len());
        for (at, one) in planned.iter().enumerate() {
            match self.prove_staged(one) {
                Ok(written) => proven.push(written),
                Err(error) => {
                    let mut failed: Vec<_> = paths(planned).collect();
                    failed.swap(0, at);
                    return self.fail_all(failed, error);
                }
            }
        }
        let outputs = planned.iter().map(|planned| planned.output.clone()).collect();
        if let Err(error) = self.adopt(outputs, index) {
            return self.fail_all(paths(planned).collect(), error);
        }
        for (Planned { path, output, job, .. }, written) in planned.into_iter().zip(proven) {
            self.from.push((path.clone(), written.source_oid));
            self.kept(path, output, Some(job.facts(Some(written))));
        }
        Ok(())
    }

    /// Is anything what was asked for?
    pub(super) fn has_result(&self) -> bool {
        let is_result = |outcome: &Outcome| matches!(outcome.status, Status::Converted | Status::UpToDate);
        self.outcomes.all.iter().any(is_result)
    }

    fn kept(&mut self, source: BString, output: BString, conversion: Option<Conversion>) {
        let (output, status) = (Some(output), Status::UpToDate);
        self.outcomes.push(Outcome { source, output, status, conversion, reason: None });
    }

    /// A name to keep that no file of the only unit holds. With several units it may be another's.
    fn unknown_keep(&self, planned: &[Planned]) -> Option<String> {
        let keep = self.options.keep.iter().filter(|_| self.is_single);
        let mut unknown = keep.filter(|name| !planned.iter().any(|planned| planned.job.holds(name)));
        unknown.next().cloned()
    }

    /// Says what a run would do.
    fn tell_plan(&mut self, planned: Vec<Planned>, index: Option<&NewIndex>) -> Result<(), Error> {
        let outputs: Vec<_> = planned.iter().map(|planned| planned.output.clone()).collect();
        for change in self.repo.plan_attributes(&outputs)? {
            // Each unit would find the line of the one before.
            if self.told.insert(change.path.clone()) {
                self.reporter.note(&attributes::note(&change));
            }
        }
        let mut removed: Vec<_> = planned.iter().map(|planned| planned.path.clone()).collect();
        for planned in planned {
            let conversion = planned.job.facts(None);
            self.converted(planned.path, planned.output, conversion);
        }
        if let Some(index) = index {
            self.reporter.note(&Note::IndexWritten { path: index.path.clone() });
            removed.push(index.replaces.clone());
        }
        removed.retain(|path| self.options.replace && self.tracked.contains(path.as_bstr()));
        for path in removed {
            self.reporter.note(&Note::Removed { path });
        }
        Ok(())
    }

    fn converted(&mut self, source: BString, output: BString, conversion: Conversion) {
        let (output, conversion, status) = (Some(output), Some(conversion), Status::Converted);
        self.outcomes.push(Outcome { source, output, status, conversion, reason: None });
    }

    /// One error for all: it is told with the first, and the others belong to its set.
    fn fail_all(&mut self, failed: Vec<BString>, error: Error) -> Result<(), Error> {
        let mut failed = failed.into_iter();
        let Some(first) = failed.next() else { return Err(error) };
        self.outcomes.fail(first.as_bstr(), error)?;
        self.fail_rest(failed, &first)
    }

    fn fail_rest(&mut self, rest: impl Iterator<Item = BString>, shard: &BString) -> Result<(), Error> {
        for path in rest {
            let error = Error::IncompleteSet { shard: shard.clone() };
            self.outcomes.fail(path.as_bstr(), error)?;
        }
        Ok(())
    }

    /// Plans every file of a unit, or none.
    fn plan(
        &mut self,
        files: Vec<Candidate>,
        set: Option<&Set>,
        collisions: &BTreeMap<BString, Vec<BString>>,
    ) -> Result<Option<Vec<Planned>>, Error> {
        let mut planned = Vec::with_capacity(files.len());
        let mut failed: Option<BString> = None;
        for file in files {
            let (path, named) = (file.path.clone(), file.named);
            match self.plan_one(file, collisions) {
                Ok(one) => planned.push(one),
                Err(Error::Checkpoint(checkpoint::Error::NoTensors)) if !named && set.is_none() => {
                    self.outcomes.skip(path.as_bstr(), Reason::NoTensors);
                    return Ok(None);
                }
                Err(error) => {
                    self.outcomes.fail(path.as_bstr(), error)?;
                    failed = Some(path);
                }
            }
        }
        match failed {
            None => Ok(Some(planned)),
            Some(shard) => self.fail_rest(paths(planned), &shard).map(|()| None),
        }
    }

    fn plan_one(
        &self,
        file: Candidate,
        collisions: &BTreeMap<BString, Vec<BString>>,
    ) -> Result<Planned, Error> {
        let path = file.path;
        let output = names::safetensors(path.as_bstr());
        if output == path {
            return Err(Error::OutputIsSource);
        }
        if let Some(other) = collisions.get(&output).and_then(|all| all.iter().find(|other| **other != path))
        {
            return Err(Error::OutputCollision { output, other: other.clone() });
        }
        let target = self.repo.target(output.as_bstr())?;
        if target.path().is_symlink() {
            return Err(Error::OutputSymlink { output });
        }
        target.metadata()?;
        // What cannot be had in the end is said before the long work.
        self.repo.plan_attributes(std::slice::from_ref(&output))?;
        let found = self.tracked.find(path.as_bstr())?;
        let in_place = self.repo.target(path.as_bstr())?.path();
        // A file that was changed since is not what the index says: which is meant is unknown, and it is not ours
        // to remove.
        if self.options.replace || !matches!(&found, Found::Here(source) if source.path == in_place) {
            self.tracked.check_unmodified(path.as_bstr())?;
        }
        let class = self.class(path.as_bstr());
        let job = match found {
            Found::Here(source) => Job::prepare(source, class.as_deref(), self.options)?,
            Found::There(pointer) => self.prepare_there(path.as_bstr(), pointer, class.as_deref())?,
        };
        let is_there = match self.there(output.as_bstr())? {
            _ if self.options.force => false,
            // Of another size it is another file; of this one it is compared when the oid is known.
            Some(there) if there.size != job.layout.size() => return Err(Error::OutputExists { output }),
            there => there.is_some(),
        };
        Ok(Planned { path, output, job, is_there })
    }

    /// The model's class, by the `config.json` beside a checkpoint.
    pub(super) fn class(&self, path: &BStr) -> Option<String> {
        let config = names::beside(path, b"config.json");
        class_in(&self.tracked.text(config.as_bstr(), CONFIG_LIMIT)?)
    }
}

fn paths(planned: impl IntoIterator<Item = Planned>) -> impl Iterator<Item = BString> {
    planned.into_iter().map(|planned| planned.path)
}
