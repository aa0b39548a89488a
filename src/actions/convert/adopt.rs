//! Adopts converted files that another author has already committed, byte for byte.
//!
//! Invariant: only files that are staged exactly as in that commit are adopted; all other converted files stay staged,
//! and are committed if that was requested.

use bstr::BString;

use super::super::{Error, Note, RemoteNote, Status};
use super::Context;
use super::ledger::Ledger;
use crate::lfs::Pointer;
use crate::repo::Repo;

/// Searches a commit with the same files, and moves the branch to it.
pub trait Adopt {
    /// `converted` are the files, all staged. `None` if no such commit exists.
    ///
    /// # Errors
    /// An error that must end the run; a server that does not respond is not one.
    fn adopt(&self, repo: &Repo, converted: &[(BString, Pointer)]) -> Result<Option<Adopted>, Error>;
}

/// A commit that the branch moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The number of the pull request.
    pub number: u64,
    /// Its files.
    pub paths: Vec<BString>,
}

/// Searches such a commit, and then reports the results that waited for it.
pub(super) fn look_for_same(
    context: Context<'_>,
    adopt: Option<&dyn Adopt>,
    ledger: &mut Ledger<'_>,
) -> Result<(), Error> {
    let outcomes = ledger.outcomes.iter().filter(|outcome| is_made(outcome.status));
    let converted: Vec<_> = outcomes
        .filter_map(|outcome| {
            let conversion = outcome.conversion.as_ref()?;
            let pointer = Pointer { oid: conversion.oid?, size: conversion.size };
            Some((outcome.output.clone()?, pointer))
        })
        .collect();
    let adopted = match adopt {
        Some(adopt) if !converted.is_empty() => adopt.adopt(context.repo(), &converted),
        _ => Ok(None),
    };
    if let Ok(Some(adopted)) = &adopted {
        take_over(context.repo(), adopted, ledger)?;
    }
    ledger.release();
    if let Some(Adopted { number, .. }) = adopted? {
        let is_all = !ledger.staged;
        context.reporter().note(&Note::Remote(RemoteNote::Adopted { number, is_all }));
    }
    Ok(())
}

fn is_made(status: Status) -> bool {
    matches!(status, Status::Converted | Status::Updated)
}

fn take_over(repo: &Repo, adopted: &Adopted, ledger: &mut Ledger<'_>) -> Result<(), Error> {
    for outcome in &mut ledger.outcomes {
        let is_in = outcome.output.as_ref().is_some_and(|output| adopted.paths.contains(output));
        if is_in && is_made(outcome.status) {
            outcome.status = Status::Adopted;
            ledger.from.retain(|(source, ..)| *source != outcome.source);
        }
    }
    ledger.touched.retain(|path| !adopted.paths.contains(path));
    // Our attributes entry may still be staged.
    ledger.staged =
        !repo.is_committed(&ledger.touched)? || !repo.plan_committed_attributes(&ledger.pointers)?.is_empty();
    Ok(())
}
