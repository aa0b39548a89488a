//! [`Undo`] gives names in the working tree together, and takes them back together; the module also writes the
//! `.gitattributes` that new files under Git LFS need, and determines what to stage of them.
//!
//! Invariant: after [`Undo::all`], every file has its previous name and content. The index is not written here.

use bstr::{BStr, BString, ByteSlice as _};

use super::{Error, Note};
use crate::lfs::Kept;
use crate::repo::{AttributesChange, Change, Repo};

/// The names that were given, and the previous files.
pub(super) struct Undo<'a> {
    repo: &'a Repo,
    given: Vec<(BString, Option<Kept>)>,
}

impl<'a> Undo<'a> {
    /// Starts with nothing to take back.
    pub(super) fn new(repo: &'a Repo) -> Self {
        Self { repo, given: Vec::new() }
    }

    /// Makes all names permanent.
    pub(super) fn keep(&mut self) {
        self.given.clear();
    }

    /// Gives a name by `publish`, and keeps the previous file.
    pub(super) fn give<T>(
        &mut self,
        path: &BStr,
        publish: impl FnOnce() -> Result<T, Error>,
    ) -> Result<(), Error> {
        let before = self.repo.keep(path)?;
        let is_new = before.is_none();
        if !is_new {
            self.given.push((path.to_owned(), before));
        }
        publish()?;
        // A name that was not given may belong to another process by now.
        if is_new {
            self.given.push((path.to_owned(), None));
        }
        Ok(())
    }

    /// Writes a small file.
    pub(super) fn write(&mut self, path: &BStr, content: &[u8]) -> Result<(), Error> {
        let repo = self.repo;
        self.give(path, || Ok(repo.write_file(path, content, true)?))
    }

    /// Takes back all names, the last first. If that fails for a file, the new one stays, which is complete.
    pub(super) fn all(self) {
        for (path, before) in self.given.into_iter().rev() {
            let _stays_new = match before {
                Some(kept) => kept.restore().map_err(Error::from),
                None => self.repo.remove_file(path.as_bstr()).map_err(Error::from),
            };
        }
    }
}

/// Writes the `.gitattributes` of the working tree. Returns the changes to stage, and the notes.
pub(super) fn write_attributes(
    repo: &Repo,
    outputs: &[BString],
    undo: &mut Undo<'_>,
) -> Result<(Vec<Change>, Vec<Note>), Error> {
    let (mut changes, mut notes) = (Vec::new(), Vec::new());
    for change in repo.plan_attributes(outputs)? {
        notes.push(attributes_note(&change));
        let AttributesChange { path, content, blob, executable, is_clean, .. } = change;
        if let Some(content) = content {
            undo.write(path.as_bstr(), &content)?;
        }
        let file = repo.target(path.as_bstr())?.path();
        let stat_of = is_clean.then_some(file);
        changes.extend(blob.map(|blob| Change::Add { path, blob, stat_of, executable }));
    }
    Ok((changes, notes))
}

/// Returns the note about a `.gitattributes`.
pub(super) fn attributes_note(change: &AttributesChange) -> Note {
    let (path, has_unstaged_changes) = (change.path.clone(), change.has_other_changes);
    if change.content.is_some() {
        Note::AttributesChanged { path, has_unstaged_changes }
    } else {
        Note::AttributesStaged { path, has_unstaged_changes }
    }
}
