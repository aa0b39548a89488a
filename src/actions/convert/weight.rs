//! How large the checkpoints of a repository are, before any of them is here.

use std::path::Path;

use bstr::{BStr, ByteSlice as _};

use super::super::{Error, names};
use super::Tracked;
use crate::repo::{Mode, Repo};

/// The size in bytes of all files of the index that are named as checkpoints are, and would be converted: as their
/// pointers say it, or as they are. With `force` also of those whose safetensors file is there.
///
/// # Errors
/// What the repository reports.
pub(in crate::actions) fn weigh(dir: &Path, force: bool) -> Result<u64, Error> {
    let Some(repo) = Repo::discover(dir)? else { return Ok(0) };
    let tracked = Tracked::read(&repo, None)?;
    let is_meant = |path: &BStr| {
        names::is_weight_like(path)
            && !names::is_training_state(path)
            && (force || !tracked.contains(names::safetensors(path).as_bstr()))
    };
    let mut total = 0_u64;
    for (_, entry) in tracked.entries.iter().filter(|(path, _)| is_meant(path.as_bstr())) {
        if matches!(entry.mode, Mode::File | Mode::Executable) {
            let size = match tracked.pointer(entry.id)? {
                Some(pointer) => pointer.size,
                None => repo.blob_size(entry.id)?.unwrap_or(0),
            };
            total = total.saturating_add(size);
        }
    }
    Ok(total)
}
