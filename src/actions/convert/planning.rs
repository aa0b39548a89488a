//! What is decided of a file before anything is written.
//!
//! Invariant: what can be known of a unit without its bytes is known before its long work begins. A shard that has to be
//! downloaded to be known waits for its turn, so that one of them at a time is here.

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::content::Located;
use super::super::{Conversion, Error, Reason, names};
use super::index::Held;
use super::job::Job;
use super::repository::{Run, paths};
use super::sets::{Candidate, ShardedCheckpoint};
use super::whole::Whole;
use crate::checkpoint;
use crate::lfs::{Incomplete, Pointer, Resumable, space};

/// A file of a unit, and what becomes of it.
pub(super) struct Planned {
    pub(super) path: BString,
    pub(super) output: BString,
    pub(super) work: Work,
    /// Something stands where it goes, which may be the same.
    pub(super) is_there: bool,
}

/// What there is to do for a file.
pub(super) enum Work {
    /// It is known.
    Ready(Box<Job>),
    /// It is known when its turn comes.
    Later(Box<Later>),
}

/// A shard whose turn will come.
pub(super) struct Later {
    pub(super) found: Located,
    /// What an earlier run made of it.
    pub(super) whole: Option<Whole>,
}

impl Planned {
    /// The job, if it is known by now.
    pub(super) fn job(&self) -> Option<&Job> {
        match &self.work {
            Work::Ready(job) => Some(job),
            Work::Later(_) => None,
        }
    }

    /// What it holds, if that is known by now.
    pub(super) fn held(&self) -> Option<Held> {
        Some(Held::of(self.path.as_bstr(), self.output.as_bstr(), self.job()?))
    }

    /// What there is to say of it before it is done.
    pub(super) fn facts(&self) -> Option<Conversion> {
        Some(self.job()?.facts(None))
    }

    pub(super) fn into_whole(self) -> Option<Whole> {
        match self.work {
            Work::Ready(_) => None,
            Work::Later(later) => later.whole,
        }
    }
}

impl Run<'_> {
    /// Plans every file of a unit, or none. `is_staged`: all is done already, and only to be proven.
    pub(super) fn plan(
        &mut self,
        files: Vec<Candidate>,
        set: Option<&ShardedCheckpoint>,
        is_staged: bool,
        collisions: &BTreeMap<BString, Vec<BString>>,
    ) -> Result<Option<Vec<Planned>>, Error> {
        let may_wait = set.is_some() && !is_staged && !self.options.dry_run;
        let mut planned = Vec::with_capacity(files.len());
        let mut failed: Option<BString> = None;
        for file in files {
            let (path, named) = (file.path.clone(), file.named);
            match self.plan_one(file, may_wait, collisions) {
                Ok(one) => planned.push(one),
                Err(Error::Checkpoint(checkpoint::Error::NoTensors)) if !named && set.is_none() => {
                    self.ledger.skip(path.as_bstr(), Reason::NoTensors);
                    return Ok(None);
                }
                Err(Error::Checkpoint(checkpoint::Error::TrainingState)) if !named && set.is_none() => {
                    self.ledger.skip(path.as_bstr(), Reason::TrainingState);
                    return Ok(None);
                }
                Err(error) => {
                    self.ledger.fail(path.as_bstr(), error)?;
                    failed = Some(path);
                }
            }
        }
        match failed {
            None => Ok(Some(planned)),
            Some(shard) => self.ledger.fail_rest(paths(planned), &shard).map(|()| None),
        }
    }

    fn plan_one(
        &self,
        file: Candidate,
        may_wait: bool,
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
        let found = self.workspace.find(path.as_bstr())?;
        let in_place = self.repo.target(path.as_bstr())?.path();
        // A file that was changed since is not what the index says: which is meant is unknown, and it is not ours
        // to remove.
        if self.options.replace || !matches!(&found, Located::Here(source) if source.path == in_place) {
            self.workspace.check_unmodified(path.as_bstr())?;
        }
        let work = self.work(path.as_bstr(), found, may_wait)?;
        let is_there = match &work {
            Work::Ready(job) => self.is_there(&output, job.layout.size())?,
            Work::Later(_) => false,
        };
        Ok(Planned { path, output, work, is_there })
    }

    fn work(&self, path: &BStr, found: Located, may_wait: bool) -> Result<Work, Error> {
        let pointer = found.pointer().filter(|_| may_wait);
        // What is in the work tree alone could be another content by now.
        let is_as_staged = match &found {
            Located::Here(source) if source.path == self.repo.target(path)?.path() => {
                pointer.is_some() && self.workspace.check_unmodified(path).is_ok()
            }
            _ => true,
        };
        if let Some(whole) = pointer.filter(|_| is_as_staged).and_then(|pointer| self.whole(path, pointer)) {
            return Ok(Work::Later(Box::new(Later { found, whole: Some(whole) })));
        }
        let class = self.workspace.class(path);
        let job = match found {
            Located::There(pointer) if may_wait => match self.pass_by(pointer, class.as_deref())? {
                Some(job) => job,
                None => return Ok(Work::Later(Box::new(Later { found, whole: None }))),
            },
            found => self.prepare(path, found)?,
        };
        self.tell(path, &job);
        Ok(Work::Ready(Box::new(job)))
    }

    /// Plans a checkpoint, wherever it is.
    pub(super) fn prepare(&self, path: &BStr, found: Located) -> Result<Job, Error> {
        let class = self.workspace.class(path);
        match found {
            Located::Here(source) => Job::prepare(source, class.as_deref(), self.options),
            Located::There(pointer) => self.prepare_there(path, pointer, class.as_deref()),
        }
    }

    /// What there is to say of a job before it is done.
    pub(super) fn tell(&self, path: &BStr, job: &Job) {
        if let Some(note) = job.note(path) {
            self.reporter.note(&note);
        }
    }

    /// Does something stand where a file of this size goes, which may be the same?
    pub(super) fn is_there(&self, output: &BString, size: u64) -> Result<bool, Error> {
        match self.there(output.as_bstr())? {
            _ if self.options.force => Ok(false),
            // Of another size it is another file; of this one it is compared when the oid is known.
            Some(there) if there.size() != size => Err(Error::OutputExists { output: output.clone() }),
            there => Ok(there.is_some()),
        }
    }

    /// Is there as much space as is known to be needed? What waits for its turn is counted then.
    pub(super) fn check_space(&self, planned: &[Planned]) -> Result<(), Error> {
        let store = self.repo.store();
        let (mut objects, mut copies, mut download) = (0_u64, 0_u64, 0_u64);
        for planned in planned {
            match &planned.work {
                Work::Ready(job) => {
                    let taken = match &job.located {
                        Located::There(pointer) => Resumable::taken(&store, pointer.oid),
                        Located::Here(_) => 0,
                    };
                    objects = objects.saturating_add(job.layout.size().saturating_sub(taken));
                    copies = copies.saturating_add(job.layout.size());
                }
                Work::Later(later) => match (&later.whole, &later.found) {
                    (Some(whole), _) => copies = copies.saturating_add(whole.size()),
                    (None, Located::There(Pointer { oid, size })) => {
                        download = download.max(size.saturating_sub(Incomplete::taken(&store, *oid)));
                    }
                    (None, Located::Here(_)) => {}
                },
            }
        }
        let needed = objects.saturating_add(download);
        if self.options.pointer_only || copies == 0 {
            return Ok(space::check(store.dir(), needed)?);
        }
        if !space::is_same(store.dir(), self.repo.work_dir()) {
            space::check(self.repo.work_dir(), copies)?;
            return Ok(space::check(store.dir(), needed)?);
        }
        let both = needed.saturating_add(copies);
        // Only where it matters is it tried whether both share their blocks.
        space::check(store.dir(), needed)?;
        match space::check(store.dir(), both) {
            Err(error) if !store.shares_blocks() => Err(error.into()),
            _ => Ok(()),
        }
    }
}
