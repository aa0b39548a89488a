//! Chooses the commands that help where a repository is not as a command needs it.

use std::path::Path;

use bstr::ByteSlice as _;

use super::super::shell_paths::{File, quoted_path};
use super::named::Named;
use crate::git::command::names_git_dir;
use crate::repo::Error;

/// Unsets the environment variables that name another repository.
const CLEAR: &str = "clear git's environment: `unset $(git rev-parse --local-env-vars)`";

/// Returns how to run the command for a file outside of the repository: at the top of the file's own repository, or in
/// its directory if it is in none.
fn outside(path: &Path, named: &Named<'_>) -> Vec<String> {
    let Some(place) = named.here.place_of(path) else { return Vec::new() };
    let command = named.inside(File::Given(place.dir.as_bstr()), place.rest.as_bstr());
    vec![if place.is_in_repository {
        format!("name its repository: `{command}`")
    } else {
        format!("run it outside of this repository: `{command}`")
    }]
}

/// Returns how to use the command in a repository without a working tree.
fn bare(named: &Named<'_>) -> String {
    let git = named.here.git();
    match named.here.command().split(' ').next().unwrap_or_default() {
        "convert" => format!("convert one file outside the repository: `{}`", named.into_output()),
        "scan" => format!("scan a revision: `{git} st-convert scan --rev HEAD`"),
        "verify" => format!("verify a revision: `{git} st-convert verify --rev HEAD`"),
        "diff" => format!("compare two revisions: `{git} st-convert diff OLD NEW`"),
        _ => format!("add a working tree: `{git} worktree add DIR`"),
    }
}

/// Returns the hints for an error of a repository.
pub(super) fn of(error: &Error, named: &Named<'_>) -> Vec<String> {
    let git = named.here.git();
    let hint = match error {
        Error::NotTrusted { git_dir } => {
            let dir = git_dir.parent().unwrap_or(git_dir);
            format!("if you trust it: `git config --global --add safe.directory {}`", quoted_path(dir))
        }
        Error::IndexLocked { lock } => {
            format!("if no other git process is running: `rm {}`", quoted_path(lock))
        }
        Error::Bare { .. } => bare(named),
        Error::UnsupportedFormat { .. } => {
            format!("convert one file outside the repository: `{}`", named.into_output())
        }
        Error::MissingBlob { id } => format!("fetch it: `{git} cat-file -e {id}`"),
        Error::OfEnvironment { .. } => CLEAR.to_owned(),
        Error::Open { .. } if names_git_dir() => CLEAR.to_owned(),
        Error::OutsideWorkTree { path, .. } => return outside(path, named),
        Error::NoMatch { .. } => format!("list the tracked files: `{git} ls-files`"),
        Error::WrongRevision { .. } => format!("list the revisions: `{git} log --all --oneline`"),
        Error::InSubmodule { dir, is_here: false, .. } => {
            let dir = named.here.pathspec(File::OfTop(dir.as_ref()));
            format!("check it out: `{git} submodule update --init {dir}`")
        }
        Error::InSubmodule { dir, rest, .. } | Error::InOtherRepository { dir, rest } => {
            format!("name that repository: `{}`", named.inside(File::OfTop(dir.as_ref()), rest.as_ref()))
        }
        Error::HistoryCut { .. } => {
            let remote = named.here.value_of("--remote").map(|remote| format!(" {remote}"));
            format!("fetch the history: `{git} fetch --unshallow{}`", remote.unwrap_or_default())
        }
        Error::NoSuchRemote { .. } => format!("list the remotes: `{git} remote -v`"),
        Error::Unmerged { .. } => format!("finish the merge first: `{git} status`"),
        Error::OtherFilter { path, .. } | Error::AttributesOverridden { path, .. } => {
            let path = named.here.argument(File::OfTop(path.as_ref()));
            format!("show its attributes: `{git} check-attr -a -- {path}`")
        }
        _ => return Vec::new(),
    };
    vec![hint]
}
