//! Compares the shard index of safetensors files with their headers, because a loader follows the shard index, whatever
//! the shards contain.
//!
//! Invariant: a shard index that cannot be compared (it, or a shard, was not downloaded) does not differ.

use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::content::{LocalFile, Located};
use super::super::shard_index;
use super::super::workspace::Workspace;
use super::super::{Error, names};
use super::Differences;
use crate::safetensors;
use crate::safetensors::shard::{self, Index};

/// The state of the shard index of safetensors files relative to that of the checkpoint.
#[derive(Debug)]
pub(in super::super) enum IndexState {
    /// The shard index fits its shards, or cannot be compared here.
    UpToDate,
    /// The shard index does not exist; it would name these shards.
    Missing(BTreeSet<BString>),
    /// The shard index does not fit its shards, or cannot be read.
    Differs(Differences),
    /// The shard index of the checkpoint cannot be read.
    Invalid(shard::Error),
}

/// Returns the state of the shard index `output`, made from the shard index `source`.
///
/// # Errors
/// An error of the repository; [`Error::Interrupted`].
pub(super) fn state(workspace: &Workspace<'_>, source: &BStr, output: &BStr) -> Result<IndexState, Error> {
    let wanted = match workspace.there(source)? {
        Some(Located::Here(file)) => match read(&file)? {
            Ok(index) => shard_index::converted(source, &index),
            Err(error) => return Ok(IndexState::Invalid(error)),
        },
        _ => BTreeSet::new(),
    };
    let index = match workspace.there(output)? {
        None => return Ok(IndexState::Missing(wanted)),
        Some(Located::There(_)) => return Ok(IndexState::UpToDate),
        Some(Located::Here(file)) => match read(&file)? {
            Ok(index) => index,
            Err(error) => return Ok(IndexState::Differs(Differences::Unreadable(error))),
        },
    };
    let shards = shard_index::shards_of(output, &index);
    for shard in shards.iter().filter(|shard| names::is_safetensors(shard.as_bstr())) {
        match workspace.there(shard.as_bstr())? {
            Some(Located::There(_)) => return Ok(IndexState::UpToDate),
            Some(Located::Here(_)) | None => {}
        }
    }
    let tensors = |shard: &BStr| {
        let Some(Located::Here(file)) = workspace.there(shard)? else { return Ok(None) };
        let (infos, _) = safetensors::read(&file.file)?;
        Ok(Some(infos.into_iter().map(|info| (info.name, info.bytes)).collect()))
    };
    // A fault of a shard is part of the state of that shard.
    let findings = match shard_index::compare(output, &index, &wanted, &tensors) {
        Err(Error::Safetensors(_)) => return Ok(IndexState::UpToDate),
        findings => findings?,
    };
    let more = findings.len().saturating_sub(1);
    let first = findings.into_iter().next();
    Ok(first.map_or(IndexState::UpToDate, |first| IndexState::Differs(Differences::Index { first, more })))
}

/// Reads a local shard index.
fn read(file: &LocalFile) -> Result<Result<Index, shard::Error>, Error> {
    Index::read(&file.file).map_err(Error::io("read", &file.path))
}
