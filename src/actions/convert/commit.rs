//! Commits converted files by git, so that hooks and signing run.

use std::collections::BTreeSet;

use super::super::trailer::Trailer;
use super::super::{Error, Note};
use super::Context;
use super::ledger::Ledger;
use crate::git;

/// Returns `true` if a commit of the changed paths would differ from `HEAD`.
pub(super) fn has_to_commit(context: Context<'_>, ledger: &Ledger<'_>) -> Result<bool, Error> {
    let repo = context.repo();
    Ok(!repo.plan_committed_attributes(&ledger.pointers)?.is_empty()
        || !repo.is_committed(&ledger.touched)?)
}

/// Commits the changed paths, and no other staged file. Returns the commit.
pub(super) fn commit(context: Context<'_>, ledger: &Ledger<'_>) -> Result<Option<String>, Error> {
    let (repo, reporter) = (context.repo(), context.reporter());
    let Some(message) = context.options.commit.as_ref().filter(|_| !context.options.dry_run) else {
        return Ok(None);
    };
    // Without its attributes entry, a pointer would be committed as a plain text file.
    let attributes = repo.plan_committed_attributes(&ledger.pointers)?;
    if attributes.is_empty() && repo.is_committed(&ledger.touched)? {
        if ledger.has_result() {
            reporter.note(&Note::NothingToCommit);
        }
        return Ok(None);
    }
    let subject = message.as_deref().unwrap_or("Convert pickle weights to safetensors");
    let mut text = format!("{}\n\n", subject.trim_end());
    // In one order, whichever run made each of them.
    let from: BTreeSet<_> = ledger.from.iter().collect();
    for (path, oid, key) in from {
        text += &Trailer { path: path.clone(), oid: *oid, key: key.clone() }.line();
    }
    let index = repo.partial_index(&ledger.touched, &attributes)?;
    let git = context.workspace.session.git_in(repo)?;
    let (id, _said) = git::commit::commit(&git, Some(index.path()), &text)?;
    reporter.note(&Note::Committed { id: id.clone() });
    Ok(Some(id))
}
