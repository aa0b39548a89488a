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
use crate::lfs::{Kept, NewObject, Placed, Pointer};
use crate::repo::{AttributesChange, Change, Mode, Repo};

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
        let (mut changes, mut notes) = self.attributes(&outputs, undo)?;
        let ours = changes.len();
        let mut removed = Vec::new();
        let mut files = Vec::with_capacity(unit.len());
        for done in unit {
            let Done { path, output, written, conversion, object, placed, replaces } = done;
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
        let mut undo = Undo { repo: self.repo, given: Vec::new() };
        let staged = self.attributes(&outputs, &mut undo);
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

    /// Writes the `.gitattributes` of the work tree. Returns what is to be staged, and what is to be said of them.
    fn attributes(
        &self,
        outputs: &[BString],
        undo: &mut Undo<'_>,
    ) -> Result<(Vec<Change>, Vec<Note>), Error> {
        let (mut changes, mut notes) = (Vec::new(), Vec::new());
        for change in self.repo.plan_attributes(outputs)? {
            notes.push(attributes_note(&change));
            let AttributesChange { path, content, blob, executable, is_clean, .. } = change;
            if let Some(content) = content {
                undo.write(path.as_bstr(), &content)?;
            }
            let file = self.repo.target(path.as_bstr())?.path();
            let stat_of = is_clean.then_some(file);
            changes.extend(blob.map(|blob| Change::Add { path, blob, stat_of, executable }));
        }
        Ok((changes, notes))
    }

    /// One write of the index. From there on it names what is new, and nothing is taken back.
    fn stage(&mut self, changes: &[Change], notes: &[Note], undo: &mut Undo<'_>) -> Result<(), Error> {
        if !changes.is_empty() {
            self.repo.stage(changes)?;
            self.staged = true;
            self.reporter.staged();
        }
        undo.given.clear();
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

/// What is said of a `.gitattributes`.
pub(super) fn attributes_note(change: &AttributesChange) -> Note {
    let (path, has_unstaged_changes) = (change.path.clone(), change.has_other_changes);
    if change.content.is_some() {
        Note::AttributesChanged { path, has_unstaged_changes }
    } else {
        Note::AttributesStaged { path, has_unstaged_changes }
    }
}

/// The names that were given, and what had them before.
struct Undo<'a> {
    repo: &'a Repo,
    given: Vec<(BString, Option<Kept>)>,
}

impl Undo<'_> {
    /// Gives a name by `publish`, and keeps what had it before.
    fn give<T>(&mut self, path: &BStr, publish: impl FnOnce() -> Result<T, Error>) -> Result<(), Error> {
        let before = self.repo.keep(path)?;
        let is_new = before.is_none();
        if !is_new {
            self.given.push((path.to_owned(), before));
        }
        publish()?;
        // A name that was not given may be somebody else's by now.
        if is_new {
            self.given.push((path.to_owned(), None));
        }
        Ok(())
    }

    /// Writes a small file.
    fn write(&mut self, path: &BStr, content: &[u8]) -> Result<(), Error> {
        let repo = self.repo;
        self.give(path, || Ok(repo.write_file(path, content, true)?))
    }

    /// Takes all back, the last first. What cannot be taken back stays as the new one, which is whole.
    fn all(self) {
        for (path, before) in self.given.into_iter().rev() {
            let _stays_new = match before {
                Some(kept) => kept.restore().map_err(Error::from),
                None => self.repo.remove_file(path.as_bstr()).map_err(Error::from),
            };
        }
    }
}
