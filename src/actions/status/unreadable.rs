//! Lists files that the system does not let this user read.
//!
//! Such a file exists, so nothing may be reported that is true only without it, and one of them hides no other file.

use bstr::BStr;

use super::super::Error;
use super::super::workspace::Workspace;
use super::file_state::{FileState, FileStatus};
use crate::{lfs, repo};

/// Returns the line of a checkpoint that could not be opened; `None` if the reason is another one.
pub(super) fn checkpoint(
    workspace: &Workspace<'_>,
    path: &BStr,
    output: &BStr,
    error: &Error,
) -> Option<FileStatus> {
    let reason = reason(error)?;
    let output = Some(output.to_owned()).filter(|output| workspace.contains(output.as_ref()));
    Some(FileStatus {
        state: FileState::Unreadable,
        checkpoint: Some(path.to_owned()),
        output,
        size: size(workspace, path),
        is_here: true,
        is_tracked: workspace.contains(path),
        reason: Some(reason),
    })
}

/// Returns the line of a safetensors file that cannot be opened, with its checkpoint; `None` if it can be, or does not
/// exist.
pub(super) fn output(
    workspace: &Workspace<'_>,
    output: &BStr,
    checkpoint: Option<(&BStr, u64, bool)>,
) -> Option<FileStatus> {
    let reason = reason(&workspace.there(output).err()?)?;
    let (path, size, is_here) = match checkpoint {
        Some((path, size, is_here)) => (Some(path), size, is_here),
        None => (None, size(workspace, output), true),
    };
    let name = String::from_utf8_lossy(output);
    Some(FileStatus {
        state: FileState::Unreadable,
        checkpoint: path.map(BStr::to_owned),
        output: Some(output.to_owned()),
        size,
        is_here,
        is_tracked: path.is_none_or(|path| workspace.contains(path)),
        reason: Some(format!("{name}: {reason}")),
    })
}

/// Returns the size of the content, or else of the file, which the system reports without opening it.
fn size(workspace: &Workspace<'_>, path: &BStr) -> u64 {
    let on_disk = || Some(workspace.repo.target(path).ok()?.path().symlink_metadata().ok()?.len());
    match workspace.size(path) {
        0 => on_disk().unwrap_or(0),
        size => size,
    }
}

/// Returns why the system does not let a file be read; `None` for an error with another cause.
fn reason(error: &Error) -> Option<String> {
    match error {
        Error::Io { what, source, .. } => Some(format!("cannot {what}: {source}")),
        Error::Place(lfs::worktree_file::Error::Io { source, .. })
        | Error::Repo(repo::Error::Place(lfs::worktree_file::Error::Io { source, .. })) => {
            Some(format!("cannot read: {source}"))
        }
        _ => None,
    }
}
