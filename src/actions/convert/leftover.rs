//! Handles the leftovers of a run with `--replace` that was killed after its write of the index: untracked checkpoints
//! next to their safetensors files.
//!
//! Invariant: only a file that `HEAD` has under the same name, byte for byte, is removed, so that git can restore it.
//! Every other file is reported, and stays.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice as _};

use super::super::meant::Meant;
use super::super::workspace::Workspace;
use super::super::{Error, Note, names};
use super::Context;

/// Removes the checkpoints that an earlier run would have removed.
pub(super) fn sweep_replaced(context: Context<'_>) -> Result<(), Error> {
    let Context { workspace, options, meant, .. } = context;
    if !options.replace {
        return Ok(());
    }
    for path in leftovers(workspace, meant)? {
        if !is_in_head(workspace, path.as_bstr())? {
            context.reporter().note(&Note::Leftover { path });
            continue;
        }
        if !options.dry_run {
            context.repo().remove_file(path.as_bstr())?;
        }
        context.reporter().note(&Note::Removed { path });
    }
    Ok(())
}

/// Returns the untracked files of the working tree whose safetensors file is tracked.
fn leftovers(workspace: &Workspace<'_>, meant: &Meant) -> Result<Vec<BString>, Error> {
    let repo = workspace.repo;
    let tracked: BTreeSet<_> = repo.entries()?.into_iter().map(|entry| entry.path).collect();
    // Each directory is read once. The shards of `X.safetensors.index.json` are next to it.
    let outputs = tracked.iter().filter(|path| path.ends_with(b".safetensors"));
    let dirs: BTreeMap<_, _> = outputs.map(|path| (names::beside(path.as_bstr(), b""), path)).collect();
    let mut found = Vec::new();
    for (dir, output) in dirs {
        let target = repo.target(output.as_bstr())?;
        let full = target.path();
        let Some(parent) = full.parent().filter(|_| target.metadata().is_ok()) else { continue };
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let path = names::beside(dir.as_bstr(), entry.file_name().as_encoded_bytes());
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            let stands_for =
                names::output(path.as_bstr()).filter(|output| *output != path && tracked.contains(output));
            // A file that was tracked when this run began is not a leftover.
            let is_left = !tracked.contains(&path) && !workspace.contains(path.as_bstr());
            if is_file && stands_for.is_some() && is_left && meant.means(path.as_bstr()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Returns `true` if `HEAD` has the content of a file of the working tree, and that content is local.
fn is_in_head(workspace: &Workspace<'_>, path: &BStr) -> Result<bool, Error> {
    let repo = workspace.repo;
    let Some((blob, _)) = repo.head_file(path)? else { return Ok(false) };
    let file = repo.target(path)?.path();
    Ok(workspace.is_content(blob, &file)? && workspace.has_object(path, blob)?)
}
