//! From bytes that are written to names: the objects, the `.gitattributes`, the files of the work tree, the index.
//!
//! Invariant: nothing has a name before every file of the unit is written and proven. If a name cannot be given,
//! the names that were given before it are taken back, so that a failure leaves what was there.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use bstr::{BString, ByteSlice as _};

use super::super::content::Located;
use super::super::placement::{Undo, write_attributes};
use super::super::{Conversion, Error, Note};
use super::index::{Held, NewIndex};
use super::job::{Into, Job, Written};
use super::planning::{Later, Planned, Work};
use super::repository::Run;
use crate::checkpoint;
use crate::hash::Oid;
use crate::lfs::{Incomplete, NewObject, Placed, Pointer, Resumable};
use crate::repo::{Change, Mode};

/// A file of a unit whose bytes are written and proven, and have no name yet.
pub(super) struct Done {
    pub(super) path: BString,
    output: BString,
    written: Written,
    conversion: Conversion,
    object: NewObject,
    /// What it holds, until somebody takes it.
    pub(super) held: Option<Held>,
    /// The source, if it was downloaded for this conversion alone.
    passing: Option<Incomplete>,
    /// The work-tree file; `None` for a pointer.
    placed: Option<Placed>,
    /// May it replace what is there?
    replaces: bool,
}

impl Done {
    /// The oid of its checkpoint.
    pub(super) fn source(&self) -> Oid {
        self.written.source_oid
    }

    /// Leaves nothing of it.
    pub(super) fn discard(self) -> Result<(), Error> {
        self.object.discard()?;
        Ok(self.passing.map_or(Ok(()), Incomplete::discard)?)
    }
}

/// What a conversion made.
pub(super) struct Made {
    pub(super) object: NewObject,
    pub(super) placed: Option<Placed>,
    pub(super) written: Written,
    pub(super) conversion: Conversion,
    pub(super) held: Held,
    pub(super) passing: Option<Incomplete>,
}

impl Run<'_> {
    /// Writes the object and the work-tree file beside it.
    pub(super) fn write(&self, planned: Planned, is_of_set: bool) -> Result<Done, Error> {
        let Planned { path, output, work, is_there } = planned;
        let (made, is_there) = match work {
            Work::Ready(job) => (self.convert_job(&path, &output, &job, is_of_set)?, is_there),
            Work::Later(later) => self.convert_later(&path, &output, *later)?,
        };
        let Made { object, placed, written, conversion, held, passing } = made;
        let replaces = self.options.force || is_there;
        if is_there && self.there(output.as_bstr())?.is_some_and(|there| !there.is(written.oid, written.size))
        {
            return Err(Error::OutputExists { output });
        }
        Ok(Done { path, output, written, conversion, object, held: Some(held), passing, placed, replaces })
    }

    /// A shard whose turn has come.
    fn convert_later(&self, path: &BString, output: &BString, later: Later) -> Result<(Made, bool), Error> {
        let Later { found, whole } = later;
        let is_known_to_stay = whole.is_none();
        if let Some(whole) = whole {
            let is_there = self.is_there(output, whole.size())?;
            if let Some(made) = self.take_whole(whole, path.as_bstr(), output)? {
                return Ok((made, is_there));
            }
        }
        let job = match found {
            // That it does not pass by was found out when it was planned.
            Located::There(pointer) if is_known_to_stay => {
                self.download(path.as_bstr(), pointer, self.workspace.class(path.as_bstr()).as_deref())?
            }
            found => self.prepare(path.as_bstr(), found)?,
        };
        self.tell(path.as_bstr(), &job);
        let is_there = self.is_there(output, job.layout.size())?;
        let work = Work::Ready(Box::new(job));
        let planned = Planned { path: path.clone(), output: output.clone(), work, is_there };
        self.check_space(std::slice::from_ref(&planned))?;
        match planned.work {
            Work::Ready(job) => Ok((self.convert_job(path, output, &job, true)?, is_there)),
            Work::Later(_) => Err(Error::SourceChanged),
        }
    }

    fn convert_job(
        &self,
        path: &BString,
        output: &BString,
        job: &Job,
        is_of_set: bool,
    ) -> Result<Made, Error> {
        match self.make(path, job, output, is_of_set) {
            Err(Error::Checkpoint(checkpoint::Error::Unforeseen { .. })) => {
                let job = self.fetch(path.as_bstr(), job)?;
                self.make(path, &job, output, is_of_set)
            }
            made => made,
        }
    }

    fn make(&self, path: &BString, job: &Job, output: &BString, is_of_set: bool) -> Result<Made, Error> {
        let into = self.repo.target(output.as_bstr())?.path();
        let placed = self.placed(output)?;
        let copy = placed.as_ref().map(Placed::file);
        let converted = match &job.located {
            Located::Here(source) => {
                let source = source.pointer.filter(|_| is_of_set);
                self.convert_here(job, source, &into, copy)
            }
            Located::There(pointer) => self.convert_there(job, path.as_bstr(), *pointer, &into, copy),
        };
        if converted.as_ref().is_err_and(Error::is_refusal) {
            job.drop_source()?;
        }
        let (object, written) = converted?;
        let (conversion, held) = (job.facts(Some(written)), Held::of(path.as_bstr(), output.as_bstr(), job));
        if let (true, Some(source)) = (is_of_set, job.located.pointer()) {
            self.remember(path.as_bstr(), &object, source, &conversion)?;
            // It is the only one that is here.
            job.drop_source()?;
        }
        let passing = job.passing.take();
        Ok(Made { object, placed, written, conversion, held, passing })
    }

    /// A work-tree file that has no name yet; `None` where a pointer is left.
    pub(super) fn placed(&self, output: &BString) -> Result<Option<Placed>, Error> {
        if self.options.pointer_only {
            return Ok(None);
        }
        let target = self.repo.target(output.as_bstr())?;
        Ok(Some(Placed::create(&self.repo.store(), target)?))
    }

    /// `source`: what a later run could go on with, if it is one of a set.
    fn convert_here(
        &self,
        job: &Job,
        source: Option<Pointer>,
        path: &Path,
        second: Option<&File>,
    ) -> Result<(NewObject, Written), Error> {
        let store = self.repo.store();
        let object = match source {
            Some(source) => {
                let made = Resumable::open(&store, source.oid)?;
                made.clear()?;
                NewObject::from(made)
            }
            None => NewObject::create(&store)?,
        };
        let spool = || {
            let spool = store.temp()?;
            spool.file().try_clone().map_err(Error::io("write", path))
        };
        match job.run(&Into { path, first: object.file(), second }, &spool, self.reporter) {
            Ok(written) => Ok((object, written)),
            Err(error) => {
                // Half of it is of no use: it is read from its source again.
                object.discard()?;
                Err(error)
            }
        }
    }

    /// Gives everything its name. Returns what became of each file, and the checkpoints that were removed.
    pub(super) fn publish(&mut self, unit: Vec<Done>, index: Option<&NewIndex>) -> Result<Published, Error> {
        let mut undo = Undo::new(self.repo);
        self.give_names(unit, index, &mut undo).inspect_err(|_| undo.all())
    }

    fn give_names(
        &mut self,
        unit: Vec<Done>,
        index: Option<&NewIndex>,
        undo: &mut Undo<'_>,
    ) -> Result<Published, Error> {
        let outputs: Vec<_> = unit.iter().map(|done| done.output.clone()).collect();
        let (mut changes, mut notes) = write_attributes(self.repo, &outputs, undo)?;
        let ours = changes.len();
        let mut removed = Vec::new();
        let (mut files, mut passed) = (Vec::with_capacity(unit.len()), Vec::new());
        for done in unit {
            let Done { path, output, written, conversion, object, passing, placed, replaces, .. } = done;
            passed.extend(passing);
            object.commit(written.oid, written.size)?;
            let pointer = Pointer { oid: written.oid, size: written.size }.to_string();
            let executable = self.is_executable(&output)?;
            let placed = match placed {
                Some(placed) => placed,
                None => self.small(&output, pointer.as_bytes())?,
            };
            if executable {
                placed.make_executable()?;
            }
            undo.give(output.as_bstr(), || Ok(placed.publish(replaces)?))?;
            changes.push(self.add(&output, pointer.into_bytes(), executable)?);
            removed.extend(self.options.replace.then(|| path.clone()));
            files.push((path, output, written, conversion));
        }
        if let Some(index) = index {
            undo.write(index.path.as_bstr(), index.text.as_bytes())?;
            let executable = self.is_executable(&index.path)?;
            changes.push(self.add(&index.path, self.index_blob(index)?, executable)?);
            notes.extend(index.notes());
            removed.extend(self.options.replace.then(|| index.replaces.clone()));
        }
        // A shard of two sets goes with the last.
        removed.retain(|path| self.workspace.contains(path.as_bstr()) && self.ledger.is_done_with(path));
        changes.extend(removed.iter().map(|path| Change::Remove { path: path.clone() }));
        self.stage(&changes, &notes, undo)?;
        // A commit of our own has attributes files of its own.
        self.ledger.touched.extend(changes.into_iter().skip(ours).map(|change| match change {
            Change::Add { path, .. } | Change::Remove { path } => path,
        }));
        self.ledger.pointers.extend(outputs);
        self.ledger.pointers.extend(index.filter(|index| index.is_under_lfs).map(|index| index.path.clone()));
        for path in &removed {
            self.repo.remove_file(path.as_bstr())?;
        }
        for part in passed {
            part.discard()?;
        }
        for (.., written, _) in &files {
            Resumable::forget_journal(&self.repo.store(), written.source_oid)?;
        }
        Ok(Published { files, removed })
    }

    /// Takes what an earlier run staged, and which was proven, into the commit.
    pub(super) fn adopt(&mut self, outputs: Vec<BString>, index: Option<&NewIndex>) -> Result<(), Error> {
        if let Some(index) = index {
            let blob =
                if index.is_under_lfs { pointer_to(&index.text).to_string() } else { index.text.clone() };
            if !self.workspace.is_staged(index.path.as_bstr(), blob.as_bytes())? {
                return Err(Error::OutputExists { output: index.path.clone() });
            }
        }
        let mut undo = Undo::new(self.repo);
        let staged = write_attributes(self.repo, &outputs, &mut undo);
        if let Err(error) = staged.and_then(|(changes, notes)| self.stage(&changes, &notes, &mut undo)) {
            undo.all();
            return Err(error);
        }
        let of_set = index.map(|index| index.path.clone());
        self.ledger.touched.extend(outputs.iter().cloned().chain(of_set.clone()));
        self.ledger.pointers.extend(outputs);
        self.ledger.pointers.extend(of_set.filter(|_| index.is_some_and(|index| index.is_under_lfs)));
        Ok(())
    }

    /// One write of the index. From there on it names what is new, and nothing is taken back.
    fn stage(&mut self, changes: &[Change], notes: &[Note], undo: &mut Undo<'_>) -> Result<(), Error> {
        if !changes.is_empty() {
            self.repo.stage(changes)?;
            self.ledger.stage();
        }
        undo.keep();
        for note in notes {
            self.reporter.note(note);
        }
        Ok(())
    }

    /// What the shard index is in the index of git: its text, or a pointer to it.
    fn index_blob(&self, index: &NewIndex) -> Result<Vec<u8>, Error> {
        let text = index.text.as_bytes();
        if !index.is_under_lfs {
            return Ok(text.to_vec());
        }
        let mut object = NewObject::create(&self.repo.store())?;
        object.write_all(text).map_err(Error::io("write", &self.repo.store().tmp_dir()))?;
        let pointer = pointer_to(&index.text);
        object.commit(pointer.oid, pointer.size)?;
        Ok(pointer.to_string().into_bytes())
    }

    fn add(&self, path: &BString, blob: Vec<u8>, executable: bool) -> Result<Change, Error> {
        let stat_of = Some(self.repo.target(path.as_bstr())?.path());
        Ok(Change::Add { path: path.clone(), blob, stat_of, executable })
    }

    /// A small file on its way to its place.
    fn small(&self, path: &BString, content: &[u8]) -> Result<Placed, Error> {
        let target = self.repo.target(path.as_bstr())?;
        let into = target.path();
        let placed = Placed::create(&self.repo.store(), target)?;
        placed.file().write_all(content).map_err(Error::io("write", &into))?;
        Ok(placed)
    }

    /// Is the file that is replaced one that may be run? As the index says; of a file that nobody tracks, as `git add`
    /// would see it.
    fn is_executable(&self, path: &BString) -> Result<bool, Error> {
        match self.workspace.mode(path.as_bstr()) {
            Some(mode) => Ok(mode == Mode::Executable),
            None if self.repo.config_bool("core.fileMode") == Some(false) => Ok(false),
            None => Ok(self.repo.target(path.as_bstr())?.is_executable()?),
        }
    }
}

fn pointer_to(text: &str) -> Pointer {
    Pointer { oid: Oid::of(text.as_bytes()), size: text.len() as u64 }
}

/// A unit that is done.
pub(super) struct Published {
    /// Source, output, and what is known of them.
    pub(super) files: Vec<(BString, BString, Written, Conversion)>,
    /// The checkpoints, and their index, that were removed.
    pub(super) removed: Vec<BString>,
}
