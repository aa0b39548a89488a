//! The `.gitattributes` that new files under Git LFS need: written to the work tree, and what is to be staged of them.

use bstr::{BString, ByteSlice as _};

use super::undo::Undo;
use super::{Error, Note};
use crate::repo::{AttributesChange, Change, Repo};

/// Writes the `.gitattributes` of the work tree. Returns what is to be staged, and what is to be said of them.
pub(super) fn write(
    repo: &Repo,
    outputs: &[BString],
    undo: &mut Undo<'_>,
) -> Result<(Vec<Change>, Vec<Note>), Error> {
    let (mut changes, mut notes) = (Vec::new(), Vec::new());
    for change in repo.plan_attributes(outputs)? {
        notes.push(note(&change));
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

/// What is said of a `.gitattributes`.
pub(super) fn note(change: &AttributesChange) -> Note {
    let (path, has_unstaged_changes) = (change.path.clone(), change.has_other_changes);
    if change.content.is_some() {
        Note::AttributesChanged { path, has_unstaged_changes }
    } else {
        Note::AttributesStaged { path, has_unstaged_changes }
    }
}
