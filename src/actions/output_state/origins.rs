//! Finds the checkpoint that a safetensors file was committed with, by history and trailers.
//!
//! Invariant: these are claims of others. They select what a file is compared with, and can show that it is stale; they
//! never show that it is up to date. Objects that are missing in this clone yield no result, and are not fetched.

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::trailer::{self, Trailer};
use super::super::workspace::Workspace;
use super::super::{Error, names};
use crate::hash::Oid;
use crate::repo::{FileOrigin, ObjectId, Repo, WantedFile, origins};

/// A former checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::actions) struct Former {
    /// The commit that gave the output its current content.
    pub(in crate::actions) commit: ObjectId,
    /// The blob of the output.
    pub(in crate::actions) output_blob: ObjectId,
    /// The path of the checkpoint in that commit.
    pub(in crate::actions) path: BString,
    /// Its blob.
    pub(in crate::actions) blob: Option<ObjectId>,
    /// The object ID of its content in a trailer of the commit.
    pub(in crate::actions) said: Option<Oid>,
}

/// Returns the checkpoints that outputs were committed with; each is given with its checkpoint's path and its own, and
/// its blob.
pub(super) fn former_of(
    workspace: &Workspace<'_>,
    wanted: &[(BString, BString, ObjectId)],
) -> Result<BTreeMap<BString, Former>, Error> {
    let repo = workspace.repo;
    let Some(head) = repo.head_commit()?.filter(|_| !wanted.is_empty()) else { return Ok(BTreeMap::new()) };
    let files: Vec<WantedFile> = wanted
        .iter()
        .map(|(source, output, blob)| WantedFile {
            path: output.clone(),
            blob: *blob,
            beside: source.clone(),
        })
        .collect();
    let mut found = BTreeMap::new();
    // One commit may have changed all files: its message is read once.
    let mut trailers: BTreeMap<ObjectId, Vec<Trailer>> = BTreeMap::new();
    let reporter = workspace.session.reporter;
    let found_origins = origins(repo, head, &files, &|| reporter.is_interrupted());
    reporter.check_interrupted()?;
    for (origin, one) in found_origins.into_iter().zip(files) {
        let Some(FileOrigin { commit, path, beside, beside_blob: blob }) = origin else { continue };
        let of_commit = trailers.entry(commit).or_insert_with(|| trailers_of(repo, commit));
        let former = Former {
            commit,
            output_blob: one.blob,
            blob,
            said: said(of_commit, path.as_bstr(), Some(beside.as_bstr())).map(|(_, oid)| oid),
            path: beside,
        };
        found.insert(one.path, former);
    }
    Ok(found)
}

/// Returns the checkpoint that an output was committed with, under any name, searched back from a commit: that of the
/// commit which gave the output its content, or of one of its parents.
pub(in crate::actions) fn former(
    repo: &Repo,
    from: ObjectId,
    (output, blob): (&BStr, ObjectId),
    is_stopped: &dyn Fn() -> bool,
) -> Option<Former> {
    let wanted = WantedFile { path: output.to_owned(), blob, beside: output.to_owned() };
    let origin = origins(repo, from, &[wanted], is_stopped).into_iter().next().flatten();
    let FileOrigin { commit, path, .. } = origin?;
    let (path, said) = (path.as_bstr(), said(&trailers_of(repo, commit), path.as_bstr(), None));
    let mut commits = vec![commit];
    commits.extend(repo.parents_of(commit).unwrap_or_default());
    for at in commits {
        let found = match &said {
            Some((source, _)) => blob_at(repo, at, source.as_bstr()).map(|blob| (source.clone(), blob)),
            None => beside(repo, at, path),
        };
        if let Some((source, source_blob)) = found {
            let said = said.map(|(_, oid)| oid);
            let former = Former { commit, output_blob: blob, path: source, blob: Some(source_blob), said };
            return Some(former);
        }
    }
    said.map(|(path, oid)| Former { commit, output_blob: blob, path, blob: None, said: Some(oid) })
}

fn blob_at(repo: &Repo, commit: ObjectId, path: &BStr) -> Option<ObjectId> {
    repo.blob_at(&commit.to_string(), path).ok().flatten()
}

/// Returns the only file of a commit that an output is named after.
fn beside(repo: &Repo, commit: ObjectId, output: &BStr) -> Option<(BString, ObjectId)> {
    let files = repo.files_at(&commit.to_string()).ok()?;
    let is_source = |path: &BStr| names::output(path).is_some_and(|named| named == output);
    let mut sources = files.into_iter().filter(|(path, _)| is_source(path.as_bstr()) && path != output);
    let only = sources.next();
    only.filter(|_| sources.next().is_none())
}

fn trailers_of(repo: &Repo, commit: ObjectId) -> Vec<Trailer> {
    repo.message_of(commit).map(|message| trailer::read(message.as_bstr())).unwrap_or_default()
}

/// Returns the checkpoint of an output in the trailers of a commit.
fn said(trailers: &[Trailer], output: &BStr, source: Option<&BStr>) -> Option<(BString, Oid)> {
    let is_meant = |path: &BStr| match source {
        Some(source) => path == source,
        None => names::safetensors(path) == output,
    };
    let mut said = trailers.iter().filter(|one| is_meant(one.path.as_bstr()));
    let only = said.next().map(|one| (one.path.clone(), one.oid));
    only.filter(|_| said.next().is_none())
}
