//! From bytes that are written to names: the objects, the `.gitattributes`, the files of the work tree, the index.
//!
//! Invariant: nothing has a name before every file of the unit is written and proven. If a name cannot be given,
//! the names that were given before it are taken back, so that a failure leaves what was there.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use bstr::{BString, ByteSlice as _};

use super::super::undo::Undo;
use super::super::{Conversion, Error, Note, attributes};
use super::index::NewIndex;
use super::job::{Content, Into, Job, Written};
use super::repository::{Planned, Run};
use crate::checkpoint;
use crate::hash::Oid;
use crate::lfs::{NewObject, Placed, Pointer};
use crate::repo::{Change, Mode};

/// A file of a unit whose bytes are written and proven, and have no name yet.
pub(super) struct Done {
    pub(super) path: BString,
    pub(super) output: BString,
    pub(super) written: Written,
    pub(super) conversion: Conversion,
    object: NewObject,
    /// The source, if it is in the store for this conversion alone.
    passing: Option<Oid>,
    /// The work-tree file; `None` for a pointer.
    placed: Option<Placed>,
    /// May it replace what is there?
    replaces: bool,
}

/// What a conversion made.
struct Made {
    object: NewObject,
    placed: Option<Placed>,
    written: Written,
}

impl Run<'_> {
    /// Writes the object and the work-tree file beside it.
    pub(super) fn write(&self, planned: Planned) -> Result<Done, Error> {
        let Planned { path, output, mut job, is_there } = planned;
        let made = match self.make(&job, &output) {
            Err(Error::Checkpoint(checkpoint::Error::Unforeseen { .. })) => {
                job = self.fetch(path.as_bstr(), &job)?;
                self.make(&job, &output)?
            }
            made => made?,
        };
        let Made { object, placed, written } = made;
        let replaces = self.options.force || is_there;
        if is_there && self.there(output.as_bstr())?.is_some_and(|there| !there.is(written.oid, written.size))
        {
            return Err(Error::OutputExists { output });
        }
        let conversion = job.facts(Some(written));
        let passing = job.is_passing.then_some(written.source_oid);
        Ok(Done { path, output, written, conversion, object, passing, placed, replaces })
    }

    fn make(&self, job: &Job, output: &BString) -> Result<Made, Error> {
        let store = self.repo.store();
        let target = self.repo.target(output.as_bstr())?;
        let into = target.path();
        let placed = if self.options.pointer_only { None } else { Some(Placed::create(&store, target)?) };
        let copy = placed.as_ref().map(Placed::file);
        let (object, written) = match &job.content {
            Content::Here(_) => self.convert_here(job, &into, copy)?,
            Content::There { name, pointer } => {
                self.convert_there(job, name.as_bstr(), *pointer, &into, copy)?
            }
        };
        Ok(Made { object, placed, written })
    }

    fn convert_here(
        &self,
        job: &Job,
        path: &Path,
        second: Option<&File>,
    ) -> Result<(NewObject, Written), Error> {
        let store = self.repo.store();
        let object = store.create()?;
        let failed = |source| Error::Io { what: "write", path: path.to_owned(), source };
        let spool = || {
            let spool = store.temp()?;
            spool.file().try_clone().map_err(failed)
        };
        let written = job.run(&Into { path, first: object.file(), second }, &spool, self.reporter)?;
        Ok((object, written))
    }

    /// Gives everything its name. Returns what became of each file, and the checkpoints that were removed.
    pub(super) fn publish(
        &mut self,
        unit: Vec<Done>,
        index: Option<&NewIndex>,
    ) -> Result<Published, (Vec<BString>, Error)> {
        let paths = unit.iter().map(|done| done.path.clone()).collect();
        let mut undo = Undo::new(self.repo);
        match self.give_names(unit, index, &mut undo) {
            Ok(published) => Ok(published),
            Err(error) => {
                undo.all();
                Err((paths, error))
            }
        }
    }

    fn give_names(
        &mut self,
        unit: Vec<Done>,
        index: Option<&NewIndex>,
        undo: &mut Undo<'_>,
    ) -> Result<Published, Error> {
        let outputs: Vec<_> = unit.iter().map(|done| done.output.clone()).collect();
        let (mut changes, mut notes) = attributes::write(self.repo, &outputs, undo)?;
        let ours = changes.len();
        let mut removed = Vec::new();
        let (mut files, mut passed) = (Vec::with_capacity(unit.len()), Vec::new());
        for done in unit {
            let Done { path, output, written, conversion, object, passing, placed, replaces } = done;
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
            notes.push(Note::IndexWritten { path: index.path.clone() });
            removed.extend(self.options.replace.then(|| index.replaces.clone()));
        }
        removed.retain(|path| self.tracked.contains(path.as_bstr()));
        changes.extend(removed.iter().map(|path| Change::Remove { path: path.clone() }));
        self.stage(&changes, &notes, undo)?;
        // A commit of our own has attributes files of its own.
        self.touched.extend(changes.into_iter().skip(ours).map(|change| match change {
            Change::Add { path, .. } | Change::Remove { path } => path,
        }));
        self.pointers.extend(outputs);
        self.pointers.extend(index.filter(|index| index.is_under_lfs).map(|index| index.path.clone()));
        for path in &removed {
            self.repo.remove_file(path.as_bstr())?;
        }
        for oid in passed {
            self.repo.store().remove(oid)?;
        }
        Ok(Published { files, removed })
    }

    /// Takes what an earlier run staged, and which was proven, into the commit.
    pub(super) fn adopt(&mut self, outputs: Vec<BString>, index: Option<&NewIndex>) -> Result<(), Error> {
        if let Some(index) = index {
            let blob =
                if index.is_under_lfs { pointer_to(&index.text).to_string() } else { index.text.clone() };
            if !self.tracked.is_staged(index.path.as_bstr(), blob.as_bytes())? {
                return Err(Error::OutputExists { output: index.path.clone() });
            }
        }
        let mut undo = Undo::new(self.repo);
        let staged = attributes::write(self.repo, &outputs, &mut undo);
        if let Err(error) = staged.and_then(|(changes, notes)| self.stage(&changes, &notes, &mut undo)) {
            undo.all();
            return Err(error);
        }
        let of_set = index.map(|index| index.path.clone());
        self.touched.extend(outputs.iter().cloned().chain(of_set.clone()));
        self.pointers.extend(outputs);
        self.pointers.extend(of_set.filter(|_| index.is_some_and(|index| index.is_under_lfs)));
        Ok(())
    }

    /// One write of the index. From there on it names what is new, and nothing is taken back.
    fn stage(&mut self, changes: &[Change], notes: &[Note], undo: &mut Undo<'_>) -> Result<(), Error> {
        if !changes.is_empty() {
            self.repo.stage(changes)?;
            self.staged = true;
            self.reporter.staged();
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
        let mut object = self.repo.store().create()?;
        let failed = |source| Error::Io { what: "write", path: self.repo.store().tmp_dir(), source };
        object.write_all(text).map_err(failed)?;
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
        let failed = |source| Error::Io { what: "write", path: into, source };
        placed.file().write_all(content).map_err(failed)?;
        Ok(placed)
    }

    /// Is the file that is replaced one that may be run? As the index says; of a file that nobody tracks, as `git add`
    /// would see it.
    fn is_executable(&self, path: &BString) -> Result<bool, Error> {
        match self.tracked.mode(path.as_bstr()) {
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
