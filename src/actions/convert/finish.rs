//! Adds files that an interrupted run with `--commit` staged and did not commit to this run's commit.
//!
//! A unit whose checkpoint is in the index is handled by this run itself. This module handles those whose checkpoint is
//! not: `--replace` removed it, or git never tracked it.
//!
//! Invariant: only files that the record contains as converted from a checkpoint, or verified against it, are
//! committed, and only with the recorded content.

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::provenance::{Derived, Provenance};
use super::super::workspace::Workspace;
use super::super::{Error, Status, names};
use super::Context;
use super::ledger::Ledger;
use crate::hash::Oid;
use crate::repo::{Entry, ObjectId};

/// The longest shard index that is hashed to identify it.
const MAX_TEXT: u64 = 64 << 20;

/// Adds to the commit what an earlier run would have added.
pub(super) fn finish(context: Context<'_>, ledger: &mut Ledger<'_>) -> Result<(), Error> {
    let Context { workspace, options, states, meant, .. } = context;
    if options.commit.is_none() || options.dry_run {
        return Ok(());
    }
    let repo = context.repo();
    let entries: BTreeMap<BString, Entry> = repo
        .entries()?
        .into_iter()
        .filter(|entry| entry.stage == 0)
        .map(|entry| (entry.path.clone(), entry))
        .collect();
    for (output, source) in states.provenance.pairs() {
        let is_meant = meant.means(output.as_bstr()) || meant.means(source.as_bstr());
        let Some(entry) = entries.get(&output).filter(|_| is_meant && !entries.contains_key(&source)) else {
            continue;
        };
        if ledger.touched.contains(&output) {
            continue;
        }
        let of_pair = known(workspace, states.provenance, source.as_bstr(), output.as_bstr(), entry.id)?;
        let Some(known) = of_pair else { continue };
        let before = repo.head_file(source.as_bstr())?;
        let is_committed = repo.head_file(output.as_bstr())? == Some((entry.id, entry.mode));
        let is_replaced = |blob| Ok::<_, Error>(content(workspace, blob)? == Some(known.source_oid));
        let is_owed = match before {
            // `--replace` removed it from the index.
            Some(_) if !options.replace => false,
            _ if !is_committed => true,
            // Only the checkpoint is left.
            Some((blob, _)) => is_replaced(blob)?,
            None => false,
        };
        if !is_owed {
            continue;
        }
        if workspace.pointer(entry.id)?.is_some() {
            ledger.pointers.push(output.clone());
        }
        ledger.touched.push(output.clone());
        ledger.touched.extend(before.map(|_| source.clone()));
        if !names::is_index(source.as_bstr()) {
            ledger.from.push((source.clone(), known.source_oid, known.key));
            ledger.left(source, output, Status::UpToDate);
        }
    }
    Ok(())
}

/// Returns the output that an earlier run with `--replace` left for a removed checkpoint, if the index has it.
pub(super) fn replaced(
    workspace: &Workspace<'_>,
    provenance: &Provenance<'_>,
    source: &BStr,
) -> Result<Option<BString>, Error> {
    let output =
        if names::is_index(source) { names::safetensors_index(source) } else { names::safetensors(source) };
    let entry = workspace.entries.get(&output).filter(|_| provenance.knows(source));
    let Some(entry) = entry else { return Ok(None) };
    let known = known(workspace, provenance, source, output.as_bstr(), entry.id)?;
    Ok(known.map(|_| output))
}

/// Returns the record of a pair with the content in the index.
fn known(
    workspace: &Workspace<'_>,
    provenance: &Provenance<'_>,
    source: &BStr,
    output: &BStr,
    blob: ObjectId,
) -> Result<Option<Derived>, Error> {
    let content = content(workspace, blob)?;
    Ok(content.and_then(|oid| provenance.of_pair(source, output, oid)))
}

/// Returns the content of a blob: the object ID of its pointer, or the hash of a small text.
fn content(workspace: &Workspace<'_>, blob: ObjectId) -> Result<Option<Oid>, Error> {
    if let Some(pointer) = workspace.pointer(blob)? {
        return Ok(Some(pointer.oid));
    }
    let repo = workspace.repo;
    let is_small = repo.blob_size(blob)?.is_some_and(|size| size <= MAX_TEXT);
    Ok(if is_small { Some(Oid::of(&repo.blob(blob, MAX_TEXT)?)) } else { None })
}
