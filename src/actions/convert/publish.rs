//! From bytes that are written to names: the objects, the `.gitattributes`, the files of the work tree, the index.
//!
//! Invariant: nothing has a name before every file of the unit is written and proven. If a name cannot be given,
//! the names that were given before it are taken back, so that a failure leaves what was there.

use std::io::Write as _;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::{Conversion, Error, Note};
use super::index::NewIndex;
use super::job::{Into, Written};
use super::repository::{Planned, Run};
use crate::hash::Oid;
use crate::lfs::{NewObject, Placed, Pointer};
use crate::repo::{AttributesChange, Change, Repo};

/// A file of a unit whose bytes are written and proven, and have no name yet.
pub(super) struct Done {
    pub(super) path: BString,
    pub(super) output: BString,
    pub(super) written: Written,
    pub(super) conversion: Conversion,
    object: NewObject,
    /// The work-tree file; `None` for a pointer.
    placed: Option<Placed>,
    /// May it replace what is there?
    replaces: bool,
}

impl Run<'_> {
    /// Writes the object and the work-tree file beside it.
    pub(super) fn write(&self, planned: Planned) -> Result<Done, Error> {
        let Planned { path, output, job, is_there } = planned;
        let store = self.repo.store();
        let object = store.create()?;
        let target = self.repo.target(output.as_bstr())?;
        let into = target.path();
        let placed = if self.options.pointer_only { None } else { Some(Placed::create(&store, target)?) };
        let failed = |source| Error::Io { what: "write", path: into.clone(), source };
        let spool = || {
            let spool = store.temp()?;
            spool.file().try_clone().map_err(failed)
        };
        let second = placed.as_ref().map(Placed::file);
        let written = job.run(&Into { path: &into, first: object.file(), second }, &spool, self.reporter)?;
        let replaces = self.options.force || is_there;
        if is_there && self.there(output.as_bstr())?.is_some_and(|there| !there.is(written.oid, written.size))
        {
            return Err(Error::OutputExists { output });
        }
        let conversion = job.facts(Some(written));
        Ok(Done { path, output, written, conversion, object, placed, replaces })
    }

    /// Gives everything its name. Returns what became of each file, and the checkpoints that were removed.
    pub(super) fn publish(
        &mut self,
        unit: Vec<Done>,
        index: Option<&NewIndex>,
    ) -> Result<Published, (Vec<BString>, Error)> {
        let paths = unit.iter().map(|done| done.path.clone()).collect();
        let mut undo = Undo { repo: self.repo, given: Vec::new() };
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
        let (mut changes, mut notes, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        let mut files = Vec::with_capacity(unit.len());
        for change in self.repo.plan_attributes(&outputs)? {
            notes.push(attributes_note(&change));
            undo.write(change.path.as_bstr(), &change.content)?;
            let stat_of = self.repo.target(change.path.as_bstr())?.path();
            let AttributesChange { path, blob, executable, .. } = change;
            changes.push(Change::Add { path, blob, stat_of, executable });
        }
        for done in unit {
            let Done { path, output, written, conversion, object, placed, replaces } = done;
            object.commit(written.oid, written.size)?;
            let pointer = Pointer { oid: written.oid, size: written.size }.to_string();
            let is_new = self.repo.target(output.as_bstr())?.metadata()?.is_none();
            let _metadata = match placed {
                Some(placed) => placed.publish(replaces)?,
                None => self.repo.write_file(output.as_bstr(), pointer.as_bytes(), replaces)?,
            };
            if is_new {
                undo.given.push((output.clone(), None));
            }
            changes.push(self.add(&output, pointer.into_bytes())?);
            removed.extend(self.options.replace.then(|| path.clone()));
            files.push((path, output, written, conversion));
        }
        if let Some(index) = index {
            undo.write(index.path.as_bstr(), index.text.as_bytes())?;
            changes.push(self.add(&index.path, self.index_blob(index)?)?);
            notes.push(Note::IndexWritten { path: index.path.clone() });
            removed.extend(self.options.replace.then(|| index.replaces.clone()));
        }
        removed.retain(|path| self.tracked.contains(path.as_bstr()));
        changes.extend(removed.iter().map(|path| Change::Remove { path: path.clone() }));
        self.repo.stage(&changes)?;
        // From here on the index names what is new, and nothing is taken back.
        undo.given.clear();
        for note in &notes {
            self.reporter.note(note);
        }
        self.touched.extend(changes.into_iter().map(|change| match change {
            Change::Add { path, .. } | Change::Remove { path } => path,
        }));
        for path in &removed {
            self.repo.remove_file(path.as_bstr())?;
        }
        Ok(Published { files, removed })
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
        let pointer = Pointer { oid: Oid::of(text), size: text.len() as u64 };
        object.commit(pointer.oid, pointer.size)?;
        Ok(pointer.to_string().into_bytes())
    }

    fn add(&self, path: &BString, blob: Vec<u8>) -> Result<Change, Error> {
        let stat_of = self.repo.target(path.as_bstr())?.path();
        Ok(Change::Add { path: path.clone(), blob, stat_of, executable: false })
    }
}

/// A unit that is done.
pub(super) struct Published {
    /// Source, output, and what is known of them.
    pub(super) files: Vec<(BString, BString, Written, Conversion)>,
    /// The checkpoints, and their index, that were removed.
    pub(super) removed: Vec<BString>,
}

/// What is said of a `.gitattributes`.
pub(super) fn attributes_note(change: &AttributesChange) -> Note {
    let path = change.path.clone();
    if change.adds_line {
        Note::AttributesChanged { path, had_unstaged_changes: change.had_unstaged_changes }
    } else {
        Note::AttributesStaged { path }
    }
}

/// The names that were given, and what was there before.
struct Undo<'a> {
    repo: &'a Repo,
    given: Vec<(BString, Option<Vec<u8>>)>,
}

impl Undo<'_> {
    /// Writes a small file, and remembers what it was.
    fn write(&mut self, path: &BStr, content: &[u8]) -> Result<(), Error> {
        let target = self.repo.target(path)?;
        let read = || std::fs::read(target.path());
        let failed = |source| Error::Io { what: "read", path: target.path(), source };
        let before = target.metadata()?.map(|_| read()).transpose().map_err(failed)?;
        self.repo.write_file(path, content, true)?;
        self.given.push((path.to_owned(), before));
        Ok(())
    }

    /// Takes all back, the last first. What cannot be taken back stays as the new one, which is whole.
    fn all(self) {
        for (path, before) in self.given.into_iter().rev() {
            let _stays_new = match before {
                Some(content) => self.repo.write_file(path.as_bstr(), &content, true).map(drop),
                None => self.repo.remove_file(path.as_bstr()),
            };
        }
    }
}
