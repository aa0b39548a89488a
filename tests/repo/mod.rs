//! Tests converted files in real repositories with git and git-lfs.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod attributes;
mod commit;
mod credential;
mod database;
mod history;
mod origins;
mod paths;
mod pointers;
mod remotes;
mod staging;
#[cfg(unix)]
mod system;
mod worktree;

use std::io::Write as _;
use std::path::Path;

use bstr::{BStr, BString};
use git_st_convert::hash::Oid;
use git_st_convert::lfs::{NewObject, Placed, Pointer};
use git_st_convert::repo::{AttributesChange, Change, Repo};

pub(crate) fn open(dir: &Path) -> Repo {
    Repo::discover(dir).unwrap().unwrap()
}

/// Does everything that a conversion does to a repository, with these bytes as the converted file.
pub(crate) fn convert(repo: &Repo, path: &str, bytes: &[u8]) -> Pointer {
    let pointer = Pointer { oid: Oid::of(bytes), size: bytes.len() as u64 };
    let store = repo.store();
    let mut object = NewObject::create(&store).unwrap();
    object.write_all(bytes).unwrap();
    let placed = Placed::create(&store, repo.target(path.into()).unwrap()).unwrap();
    placed.fill(object.file()).unwrap();
    object.commit(pointer.oid, pointer.size).unwrap();
    let mut changes = apply_attributes(repo, &[path.into()]);
    placed.publish(false).unwrap();
    changes.push(add(repo, path.into(), pointer.to_string()));
    repo.stage(&changes).unwrap();
    pointer
}

/// Writes the attributes files that these paths need. Returns the changes to stage.
pub(crate) fn apply_attributes(repo: &Repo, paths: &[BString]) -> Vec<Change> {
    let planned = repo.plan_attributes(paths).unwrap();
    let write = |change: AttributesChange| {
        let AttributesChange { path, content, blob, executable, is_clean, .. } = change;
        if let Some(content) = content {
            repo.write_file(path.as_ref(), &content, true).unwrap();
        }
        let stat_of = is_clean.then(|| repo.target(path.as_ref()).unwrap().path());
        Some(Change::Add { path, blob: blob?, stat_of, executable })
    };
    planned.into_iter().filter_map(write).collect()
}

pub(crate) fn add(repo: &Repo, path: &BStr, blob: impl Into<Vec<u8>>) -> Change {
    let stat_of = Some(repo.target(path).unwrap().path());
    Change::Add { path: path.to_owned(), blob: blob.into(), stat_of, executable: false }
}
