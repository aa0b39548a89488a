//! Checks the existing file at the path of an output.
//!
//! An unstaged file may be the leftover of a killed run, and a staged one may be the reason to remove the checkpoint.
//! Neither is trusted: the conversion is repeated, and only identical bytes count.

use bstr::BString;

use super::super::content::{LocalFile, Located, oid as oid_of};
use super::super::{Error, names};
use super::Context;
use super::index::NewIndex;
use super::sets::Unit;
use crate::hash::Oid;
use crate::read_at::ReadAt as _;
use crate::safetensors::shard::{self, Index};

/// Returns `true` if an existing file has this content, which a pointer shows.
pub(super) fn has_content(there: &Located, oid: Oid, size: u64) -> bool {
    let found = match (there, there.pointer()) {
        (_, Some(pointer)) => Some(pointer.oid),
        (Located::Here(file), None) if file.size() == size => oid_of(&file.file, &()).ok(),
        _ => None,
    };
    found == Some(oid) && there.size() == size
}

/// Returns `true` for a shard index with the same contents as this one.
fn says(there: &Located, index: &str) -> bool {
    let Located::Here(file @ LocalFile { pointer: None, .. }) = there else { return false };
    let len = usize::try_from(file.size().min(shard::MAX_LEN)).unwrap_or(0);
    let text = file.file.read_vec_at(0, len).unwrap_or_default();
    Index::parse(&text).ok().is_some_and(|there| Index::parse(index.as_bytes()).ok() == Some(there))
}

/// Checks for a different shard index at the path of the new one. Different spaces or line ends do not count.
pub(super) fn check_index(context: Context<'_>, index: &NewIndex) -> Result<(), Error> {
    let (oid, size) = (Oid::of(index.text.as_bytes()), index.text.len() as u64);
    match context.workspace.there(index.path.as_ref())? {
        Some(there)
            if !may_replace(context, &index.path)
                && !has_content(&there, oid, size)
                && !says(&there, &index.text) =>
        {
            Err(Error::OutputExists { output: index.path.clone() })
        }
        _ => Ok(()),
    }
}

/// Returns `true` if the existing file may be overwritten.
pub(super) fn may_replace(context: Context<'_>, output: &BString) -> bool {
    context.options.force || context.choice.may_replace.contains(output)
}

/// Returns `true` if files that an earlier run staged must be committed.
pub(super) fn is_to_be_committed(
    context: Context<'_>,
    unit: &Unit,
    outputs: &[BString],
) -> Result<bool, Error> {
    if context.options.commit.is_none() || context.options.dry_run {
        return Ok(false);
    }
    let index = unit.set.as_ref().map(|set| names::safetensors_index(set.index.as_ref()));
    let is_committed = context.repo().is_committed(outputs.iter().chain(&index))?
        && context.repo().plan_committed_attributes(outputs)?.is_empty();
    Ok(!is_committed)
}
