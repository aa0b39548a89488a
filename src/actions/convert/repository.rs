//! A conversion in a repository: objects, work-tree files, `.gitattributes`, one index write a unit.
//!
//! Order: the objects get their names, then the `.gitattributes` and the files of the work tree, then
//! the index is replaced, then what it no longer names is removed. Killed anywhere between, every file
//! is old or new, and git shows what is new as untracked.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BString, ByteSlice as _};

use super::super::{Error, Note, Outcome, Reason, Reporter, Status, names};
use super::candidates::{Candidate, Set, Tracked, Unit};
use super::index::{NewIndex, new_index};
use super::job::{Job, Written};
use super::{Options, Outcomes, Summary, class_of};
use crate::checkpoint;
use crate::lfs::{Follower, NewObject, Placed, Pointer};
use crate::repo::{Change, Repo};

/// Converts in `repo`.
pub(super) fn convert(repo: &Repo, options: &Options, reporter: &dyn Reporter) -> Result<Summary, Error> {
    if repo.extensions_configured() {
        return Err(Error::Extensions);
    }
    if !options.dry_run {
        repo.sweep()?;
    }
    let tracked = Tracked::read(repo)?;
    let mut outcomes = Outcomes::new(reporter);
    let units = tracked.units(options, &mut outcomes)?;
    let mut run = Run {
        repo,
        options,
        reporter,
        tracked,
        outcomes,
        touched: Vec::new(),
        told: BTreeSet::new(),
        from: Vec::new(),
    };
    let collisions = collisions(&units);
    for unit in units {
        run.unit(unit, &collisions)?;
    }
    let commit = run.commit()?;
    let staged = !run.touched.is_empty();
    if staged && !repo.filter_configured() {
        reporter.note(&Note::NoFilter);
    }
    Ok(Summary { outcomes: run.outcomes.all, staged, commit, in_repository: true })
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
    pub(super) options: &'a Options,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) tracked: Tracked<'a>,
    outcomes: Outcomes<'a>,
    /// Every path that was staged or removed.
    pub(super) touched: Vec<BString>,
    /// The `.gitattributes` that a dry run spoke of.
    told: BTreeSet<BString>,
    /// Every checkpoint that was converted, and its oid.
    pub(super) from: Vec<(BString, crate::hash::Oid)>,
}

/// A file of a unit, planned.
pub(super) struct Planned {
    pub(super) path: BString,
    pub(super) output: BString,
    pub(super) job: Job,
}

/// A file of a unit whose bytes are written.
struct Done {
    planned: Planned,
    written: Written,
    /// The work-tree file, not yet under its name; `None` for a pointer.
    placed: Option<Placed>,
}

impl Run<'_> {
    fn unit(&mut self, unit: Unit, collisions: &BTreeMap<BString, Vec<BString>>) -> Result<(), Error> {
        let Unit { files, set } = unit;
        if self.is_up_to_date(&files, set.as_ref())? {
            return Ok(());
        }
        let Some(planned) = self.plan(files, set.as_ref(), collisions)? else { return Ok(()) };
        let index = match set.map(|set| new_index(&set, &planned)).transpose() {
            Ok(index) => index,
            Err(error) => return self.fail_all(&planned, error),
        };
        if self.options.dry_run {
            return self.tell_plan(planned, index.as_ref());
        }
        let mut done = Vec::with_capacity(planned.len());
        let mut planned = planned.into_iter();
        while let Some(next) = planned.next() {
            match self.write(&next) {
                Ok((written, placed)) => done.push(Done { planned: next, written, placed }),
                Err(error) => {
                    let path = next.path.clone();
                    let rest: Vec<_> = done.into_iter().map(|done| done.planned).chain(planned).collect();
                    self.outcomes.fail(path.as_bstr(), error)?;
                    return self.fail_rest(&rest, &path);
                }
            }
        }
        match self.publish(&mut done, index.as_ref()) {
            Ok(removed) => {
                for path in removed {
                    self.reporter.note(&Note::Removed { path });
                }
                for done in done {
                    self.from.push((done.planned.path.clone(), done.written.source_oid));
                    self.done(done.planned, Some(done.written));
                }
                Ok(())
            }
            Err(error) => {
                let planned: Vec<_> = done.into_iter().map(|done| done.planned).collect();
                self.fail_all(&planned, error)
            }
        }
    }

    /// Says what a run would do.
    fn tell_plan(&mut self, planned: Vec<Planned>, index: Option<&NewIndex>) -> Result<(), Error> {
        let outputs: Vec<_> = planned.iter().map(|planned| planned.output.clone()).collect();
        for change in self.repo.plan_attributes(&outputs)? {
            // Each unit would find the line of the one before.
            if self.told.insert(change.path.clone()) {
                let (path, had_unstaged_changes) = (change.path, change.had_unstaged_changes);
                self.reporter.note(&Note::AttributesChanged { path, had_unstaged_changes });
            }
        }
        let mut removed: Vec<_> = planned.iter().map(|planned| planned.path.clone()).collect();
        for planned in planned {
            self.done(planned, None);
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

    fn done(&mut self, planned: Planned, written: Option<Written>) {
        let conversion = Some(planned.job.facts(written));
        let (source, output) = (planned.path, Some(planned.output));
        self.outcomes.push(Outcome { source, output, status: Status::Converted, conversion, reason: None });
    }

    /// One error for all: it is told with the first, and the others belong to its set.
    fn fail_all(&mut self, planned: &[Planned], error: Error) -> Result<(), Error> {
        let Some((first, rest)) = planned.split_first() else { return Err(error) };
        self.outcomes.fail(first.path.as_bstr(), error)?;
        self.fail_rest(rest, &first.path)
    }

    fn fail_rest(&mut self, rest: &[Planned], shard: &BString) -> Result<(), Error> {
        for planned in rest {
            let error = Error::IncompleteSet { shard: shard.clone() };
            self.outcomes.fail(planned.path.as_bstr(), error)?;
        }
        Ok(())
    }

    /// Is every output there? Then each is told, and there is nothing to do.
    fn is_up_to_date(&mut self, files: &[Candidate], set: Option<&Set>) -> Result<bool, Error> {
        if self.options.force {
            return Ok(false);
        }
        let outputs: Vec<_> = files.iter().map(|file| names::safetensors(file.path.as_bstr())).collect();
        let index = set.map(|set| names::safetensors_index(set.index.as_bstr()));
        for path in outputs.iter().chain(&index) {
            // A link or a directory of that name is no result; the plan refuses it.
            let metadata = self.repo.target(path.as_bstr())?.path().symlink_metadata();
            let there = match metadata {
                Ok(metadata) => metadata.is_file(),
                Err(_) => self.tracked.contains(path.as_bstr()),
            };
            if !there {
                return Ok(false);
            }
        }
        for (file, output) in files.iter().zip(outputs) {
            let (source, output) = (file.path.clone(), Some(output));
            let status = Status::UpToDate;
            self.outcomes.push(Outcome { source, output, status, conversion: None, reason: None });
        }
        Ok(true)
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
            Some(shard) => self.fail_rest(&planned, &shard).map(|()| None),
        }
    }

    fn plan_one(
        &self,
        file: Candidate,
        collisions: &BTreeMap<BString, Vec<BString>>,
    ) -> Result<Planned, Error> {
        let Candidate { path, source, .. } = file;
        let output = names::safetensors(path.as_bstr());
        if let Some(other) = collisions.get(&output).and_then(|all| all.iter().find(|other| **other != path))
        {
            return Err(Error::OutputCollision { output, other: other.clone() });
        }
        match self.repo.target(output.as_bstr())?.metadata()? {
            Some(metadata) if metadata.is_symlink() => return Err(Error::OutputSymlink { output }),
            Some(_) if !self.options.force => return Err(Error::OutputExists { output }),
            _ => {}
        }
        // What cannot be had in the end is said before the long work.
        self.repo.plan_attributes(std::slice::from_ref(&output))?;
        let class = class_of(Some(self.repo), path.as_bstr(), &source.path);
        let job = Job::prepare(source, class.as_deref(), self.options)?;
        Ok(Planned { path, output, job })
    }

    /// Writes the object under its name, and the work-tree file beside it.
    fn write(&self, planned: &Planned) -> Result<(Written, Option<Placed>), Error> {
        let store = self.repo.store();
        let object = store.create()?;
        let target = self.repo.target(planned.output.as_bstr())?;
        let into = target.path();
        let placed = if self.options.pointer_only { None } else { Some(Placed::create(&store, target)?) };
        let failed = |source| Error::Io { what: "write", path: into.clone(), source };
        let follower = match &placed {
            Some(placed) => Some(Follower::start(object.file(), placed.file()).map_err(failed)?),
            None => None,
        };
        let spool = || {
            let spool = store.temp()?;
            spool.file().try_clone().map_err(failed)
        };
        let mut sink = Sink { object, follower, len: 0 };
        let written = planned.job.run(&mut sink, &spool, self.reporter)?;
        let Sink { object, follower, .. } = sink;
        if let Some(follower) = follower {
            follower.finish(written.size).map_err(failed)?;
        }
        object.commit(written.oid, written.size)?;
        Ok((written, placed))
    }

    /// Gives everything its name. Returns the checkpoints that were removed.
    fn publish(&mut self, done: &mut [Done], index: Option<&NewIndex>) -> Result<Vec<BString>, Error> {
        let outputs: Vec<_> = done.iter().map(|done| done.planned.output.clone()).collect();
        let mut changes = Vec::new();
        for change in self.repo.plan_attributes(&outputs)? {
            self.repo.write_file(change.path.as_bstr(), &change.content, true)?;
            let stat_of = self.repo.target(change.path.as_bstr())?.path();
            let (path, had_unstaged_changes) = (change.path.clone(), change.had_unstaged_changes);
            self.reporter.note(&Note::AttributesChanged { path, had_unstaged_changes });
            changes.push(Change::Add {
                path: change.path,
                blob: change.blob,
                stat_of,
                executable: change.executable,
            });
        }
        let mut removed = Vec::new();
        for done in done {
            let Planned { path, output, .. } = &done.planned;
            let pointer = Pointer { oid: done.written.oid, size: done.written.size }.to_string();
            if let Some(placed) = done.placed.take() {
                placed.publish(self.options.force)?;
            } else {
                self.repo.write_file(output.as_bstr(), pointer.as_bytes(), self.options.force)?;
            }
            changes.push(self.add(output, pointer.into_bytes())?);
            removed.extend((self.options.replace).then(|| path.clone()));
        }
        if let Some(index) = index {
            self.repo.write_file(index.path.as_bstr(), index.text.as_bytes(), true)?;
            changes.push(self.add(&index.path, index.text.clone().into_bytes())?);
            self.reporter.note(&Note::IndexWritten { path: index.path.clone() });
            removed.extend(self.options.replace.then(|| index.replaces.clone()));
        }
        removed.retain(|path| self.tracked.contains(path.as_bstr()));
        changes.extend(removed.iter().map(|path| Change::Remove { path: path.clone() }));
        self.repo.stage(&changes)?;
        for path in &removed {
            self.repo.remove_file(path.as_bstr())?;
        }
        self.touched.extend(changes.into_iter().map(|change| match change {
            Change::Add { path, .. } | Change::Remove { path } => path,
        }));
        Ok(removed)
    }

    fn add(&self, path: &BString, blob: Vec<u8>) -> Result<Change, Error> {
        let stat_of = self.repo.target(path.as_bstr())?.path();
        Ok(Change::Add { path: path.clone(), blob, stat_of, executable: false })
    }
}

/// The object on its way, and the copy that follows it.
struct Sink {
    object: NewObject,
    follower: Option<Follower>,
    len: u64,
}

impl std::io::Write for Sink {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let n = self.object.write(buf)?;
        self.len += n as u64;
        if let Some(follower) = &self.follower {
            follower.advance(self.len);
        }
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.object.flush()
    }
}
