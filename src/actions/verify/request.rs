//! Verifies the safetensors files of a pull request against the checkpoints that it was made from.
//!
//! Invariant: the checkpoint is the one in the merge base of the pull request and `HEAD`, or in the pull request's own
//! parent if a shallow boundary hides that; if `HEAD` now has another one, the file is stale, and a commit without a
//! change of the checkpoint has no effect.

use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::lfs_remote::LfsRemote;
use super::super::pull::{self, PullRequest, Requests};
use super::super::{Error, Note, RemoteNote, Reporter, names};
use super::reading::{Reader, spool};
use super::recorder::Recorder;
use super::tree::Tree;
use super::{Verdict, Verified, Verifier};
use crate::repo::{ObjectId, Repo};

/// Verifies the pull request with this number.
///
/// # Errors
/// As [`pull::pull`], before anything is taken.
pub fn verify_pull_request(
    options: &pull::Options,
    number: u64,
    key: Option<&str>,
    reporter: &dyn Reporter,
) -> Result<Vec<Verified>, Error> {
    let verified = pull::look_at(options, number, reporter, |requests, request| {
        if !request.others.is_empty() {
            // Correct weights do not show anything about other files.
            reporter.note(&Note::Remote(RemoteNote::OtherPaths { number, paths: request.others.clone() }));
        }
        prove(requests, request, key)
    });
    match verified {
        // To take nothing is a refusal; to verify nothing is a check that did not happen.
        Err(Error::WithoutSafetensors { number }) => Err(nothing_in(number)),
        Ok(done) if done.is_empty() => Err(nothing_in(number)),
        verified => verified,
    }
}

fn nothing_in(number: u64) -> Error {
    Error::NothingToVerify(Some(format!("pull request {number}")))
}

/// Verifies the files of a fetched pull request.
pub(in crate::actions) fn prove(
    requests: &Requests<'_>,
    request: &PullRequest,
    key: Option<&str>,
) -> Result<Vec<Verified>, Error> {
    let Requests { repo, session, .. } = *requests;
    let base = request.from.unwrap_or(request.commit);
    let tree = |commit: ObjectId| Tree::commit(repo, &commit.to_string());
    let (files, checkpoints, now) = (tree(request.commit)?, tree(base)?, tree(requests.head)?);
    requests.complete(needed(request, &checkpoints, &now))?;
    let server = LfsRemote::of(session, repo, Some(&requests.remote.name));
    let spool = || spool(Some(repo), repo.work_dir());
    let reader = Reader { server: Some(&server), spool: &spool, hashes: true, reporter: session.reporter };
    let recorder = Recorder::new(repo, session, Some(request.commit));
    let mut all = Verifier::new(reader, key, (&files, &checkpoints), Some(&recorder));
    let (mut current, indices) = (BTreeSet::new(), request.indices.iter().map(|file| file.path.clone()));
    for path in request.files.iter().map(|file| &file.path) {
        if is_stale(repo, path.as_bstr(), &checkpoints, &now)? {
            let mut verified = Verified::of(path.as_bstr());
            verified.checkpoint = checkpoints.checkpoint_of(path.as_bstr()).ok();
            all.tell(verified, Ok(Verdict::Stale))?;
        } else {
            current.insert(path.clone());
        }
    }
    let stale: BTreeSet<_> = all.done.iter().map(|done| done.path.clone()).collect();
    all.these(&current, &indices.collect(), &stale)?;
    Ok(all.done)
}

/// Returns the blobs of git that are read.
fn needed(request: &PullRequest, checkpoints: &Tree<'_>, now: &Tree<'_>) -> BTreeSet<ObjectId> {
    let mut needed: BTreeSet<ObjectId> = request.taken().map(|file| file.version.id).collect();
    for file in &request.indices {
        let Ok(Some(index)) = checkpoints.index_of(file.path.as_bstr()) else { continue };
        needed.extend(checkpoints.blob(index.as_bstr()));
    }
    for file in &request.files {
        let Ok(checkpoint) = checkpoints.checkpoint_of(file.path.as_bstr()) else { continue };
        needed.extend(checkpoints.blob(checkpoint.as_bstr()));
        needed.extend(now.blob(checkpoint.as_bstr()));
        let config: BString = names::beside(checkpoint.as_bstr(), b"config.json");
        needed.extend(checkpoints.blob(config.as_bstr()));
    }
    needed
}

/// Returns `true` if `HEAD` has another checkpoint than the one that a file was made from.
fn is_stale(repo: &Repo, path: &BStr, then: &Tree<'_>, now: &Tree<'_>) -> Result<bool, Error> {
    // Without a checkpoint the file cannot be stale; the verification reports later that it is missing.
    let Ok(checkpoint) = then.checkpoint_of(path) else { return Ok(false) };
    let (then, now) = (then.blob(checkpoint.as_bstr()), now.blob(checkpoint.as_bstr()));
    if then == now {
        return Ok(false);
    }
    let (Some(then), Some(now)) = (then, now) else { return Ok(true) };
    // Two pointer texts may name the same object.
    Ok(repo.pointer(then)?.is_none_or(|then| repo.pointer(now).ok().flatten() != Some(then)))
}
