//! Objects of another repository on this machine: a remote that is a path or a `file://` address.
//!
//! Source: `lfshttp/standalone/standalone.go` of Git LFS. Invariant: git itself says where that repository is, so that it also
//! says whether its owner is trusted. It only finds the files: they are read as any other object, hashed and copied.

use std::path::{Path, PathBuf};

use super::batch::{Action, Source};
use super::client::Client;
use super::error::{Error, Result};
use crate::git;
use crate::lfs::{Pointer, Sharing, Store};

/// Finds objects in the repository at `path`.
///
/// # Errors
/// [`Error::Git`] if there is no repository that may be read.
pub(super) fn find(client: &Client<'_>, path: &Path, pointers: &[Pointer]) -> Result<Vec<Result<Action>>> {
    let store = store(client, path)?;
    let found = pointers.iter().map(|pointer| {
        let oid = pointer.oid;
        let found = store.find(oid, pointer.size);
        let found = found
            .map_err(|source| Error::Io { action: "look for an object of the other repository", source })?;
        let file = found.ok_or_else(|| Error::NotThere { oid, path: path.to_owned() })?;
        Ok(Action(Source::File(file)))
    });
    Ok(found.collect())
}

fn store(client: &Client<'_>, path: &Path) -> Result<Store> {
    // As git resolves a path: the work tree, the bare repository, or either without the `.git` that its name ends in.
    let with_git = path.with_file_name({
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".git");
        name
    });
    let dir = if path.is_dir() { path } else { &with_git };
    let git = client.git.as_ref().ok_or(git::Error::NotInstalled)?.in_dir(dir);
    let args = ["--path-format=absolute", "--git-common-dir"];
    let common = PathBuf::from(git.command("rev-parse").args(args).run()?.text());
    // No such setting is no failure.
    let storage = git.command("config").args(["--get", "--type=path", "lfs.storage"]).run().ok();
    let storage = storage.map(|answer| answer.text().to_owned()).filter(|storage| !storage.is_empty());
    Ok(Store::new(common.join(storage.unwrap_or_else(|| "lfs".to_owned())), Sharing::Umask, Vec::new()))
}
