//! Accesses objects of another repository on this machine: a remote that is a path or a `file://` URL.
//!
//! Source: `lfshttp/standalone/standalone.go` of Git LFS. Invariant: git itself resolves that repository, so git also
//! checks whether its owner is trusted. Its objects are read like any other; an object that is copied into it is hashed
//! on the way, and gets its name by one rename.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::endpoint::Endpoint;
use super::error::{Error, Result};
use super::wire::Wire;
use crate::git::{self, Git};
use crate::hash::HashingWriter;
use crate::lfs::{NewObject, Pointer, Sharing, Store};

/// How many bytes are copied at once.
const STEP: usize = 1 << 20;

/// Finds objects in the repository at `path`, which the endpoint names.
///
/// # Errors
/// [`Error::RemoteGone`] if the repository does not exist, [`Error::Git`] if it may not be read.
pub(super) fn find(
    git: Option<&Git<'_>>,
    endpoint: &Endpoint,
    path: &Path,
    pointers: &[Pointer],
) -> Result<Vec<Result<PathBuf>>> {
    let store = store(git, endpoint, path)?;
    let found = pointers.iter().map(|pointer| {
        let oid = pointer.oid;
        let found = store.find(oid, pointer.size);
        let found = found
            .map_err(|source| Error::Io { action: "look for an object of the other repository", source })?;
        found.ok_or_else(|| Error::NotThere { oid, path: path.to_owned() })
    });
    Ok(found.collect())
}

/// Copies an object into the repository at `path`, and checks it on the way.
///
/// # Errors
/// As [`find`]; [`Error::WrongDigest`] if the file is not the object.
pub(super) fn put(
    wire: &Wire<'_>,
    git: Option<&Git<'_>>,
    endpoint: &Endpoint,
    path: &Path,
    Pointer { oid, size }: Pointer,
    file: &Path,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let store = store(git, endpoint, path)?;
    let failed = |source| Error::Io { action: "copy an object into the other repository", source };
    let mut from = File::open(file).map_err(failed)?;
    let mut to = HashingWriter::new(NewObject::create(&store)?);
    let (mut buf, mut sent) = (vec![0; STEP], 0_u64);
    loop {
        wire.check_interrupted()?;
        let read = from.read(&mut buf).map_err(failed)?;
        if read == 0 {
            break;
        }
        to.write_all(buf.get(..read).unwrap_or_default()).map_err(failed)?;
        sent += read as u64;
        tell(sent);
    }
    let (object, got, _) = to.finish();
    if got != oid {
        return Err(Error::WrongDigest { oid, got });
    }
    object.commit(oid, size)?;
    Ok(())
}

fn store(git: Option<&Git<'_>>, endpoint: &Endpoint, path: &Path) -> Result<Store> {
    // As git resolves a path: the working tree, the bare repository, or either without the `.git` at the end of its
    // name.
    let with_git = path.with_file_name({
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".git");
        name
    });
    let dir = if path.is_dir() { path } else { &with_git };
    let gone = || Error::RemoteGone {
        remote: endpoint.remote().to_owned(),
        path: path.to_owned(),
        is_own: endpoint.is_beside_remote(),
    };
    if !dir.is_dir() {
        return Err(gone());
    }
    let git = git.ok_or(git::Error::NotInstalled)?.in_dir(dir);
    // If the user names a bare repository as a remote, git itself would use it.
    let ask = |subcommand| git.command(subcommand).config("safe.bareRepository", "all");
    let args = ["--path-format=absolute", "--git-common-dir"];
    let common = ask("rev-parse").args(args).run().map_err(|error| match error {
        git::Error::Failed { stderr, .. } if stderr.0.contains("not a git repository") => gone(),
        error => error.into(),
    })?;
    let common = PathBuf::from(common.text());
    // A missing setting is not an error.
    let storage = ask("config").args(["--get", "--type=path", "lfs.storage"]).run().ok();
    let storage = storage.map(|answer| answer.text().to_owned()).filter(|storage| !storage.is_empty());
    let sharing = ask("config").args(["--get", "core.sharedRepository"]).run().ok();
    let sharing = sharing.map_or(Sharing::Umask, |answer| Sharing::parse(answer.text()));
    Ok(Store::new(common.join(storage.unwrap_or_else(|| "lfs".to_owned())), sharing, Vec::new()))
}
