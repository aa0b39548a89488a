//! Reads git's configuration: settings, and the directory of LFS storage.
//!
//! It reads all of git's files and the environment's overrides as git does, and writes none. A value of a file that
//! another user owns is ignored if it names a program.

use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice as _};

use super::Repo;
use crate::lfs::{Sharing, Store};

impl Repo {
    /// Returns the value of a setting, such as `st-convert.pr`.
    pub fn config_str(&self, key: &str) -> Option<BString> {
        self.inner.config_snapshot().string(key)
    }

    /// Returns the value of a boolean setting; `None` also if it is neither true nor false.
    pub fn config_bool(&self, key: &str) -> Option<bool> {
        self.inner.config_snapshot().boolean(key)
    }

    /// Returns the remote of the branch of `HEAD`, or else the only remote, or else `origin` if it exists.
    pub fn default_remote(&self) -> Option<String> {
        let branch = self.branch().ok().flatten();
        let known: Vec<BString> =
            self.inner.remote_names().into_iter().map(|name| BString::from(&**name)).collect();
        let followed = branch.and_then(|branch| self.config_str(&format!("branch.{branch}.remote")));
        let followed = followed.filter(|name| known.contains(name) || is_address(name));
        let only = || known.first().filter(|_| known.len() == 1).cloned();
        let origin = || known.iter().find(|name| **name == "origin").cloned();
        let name = followed.or_else(only).or_else(origin)?;
        Some(name.to_str().ok()?.to_owned()).filter(|name| !name.is_empty() && !name.starts_with('-'))
    }

    /// Returns the remote to which git pushes the branch of `HEAD`: `branch.<name>.pushRemote`, `remote.pushDefault`,
    /// `branch.<name>.remote`, or [`Repo::default_remote`], also if the branch follows a local one (`.`). As in git, the
    /// configured name may be that of no remote: another one is not meant.
    pub fn push_remote(&self) -> Option<String> {
        let branch = self.branch().ok().flatten();
        let of_branch =
            branch.as_ref().and_then(|branch| self.config_str(&format!("branch.{branch}.pushRemote")));
        let followed = || branch.and_then(|branch| self.config_str(&format!("branch.{branch}.remote")));
        let followed = || followed().filter(|name| !name.is_empty() && name != ".");
        match of_branch.or_else(|| self.config_str("remote.pushDefault")).or_else(followed) {
            Some(name) => Some(name.to_str_lossy().into_owned()),
            None => self.default_remote(),
        }
    }

    /// Returns the argument that means the same remote for git and for Git LFS: a configured name, a URL, or a path with
    /// `/` or `.` at its beginning. `None` if there is no such remote.
    pub fn as_remote(&self, name: &str) -> Option<String> {
        if name.starts_with('-') {
            return None;
        }
        let is_known = self.remotes().iter().any(|known| known == name);
        if is_known || name.contains(':') || name.starts_with(['/', '.']) {
            return Some(name.to_owned());
        }
        let is_path = is_address(name.as_bytes()) || !name.is_empty() && self.work_dir().join(name).is_dir();
        is_path.then(|| format!("./{name}"))
    }

    /// Returns the names of all configured remotes that are valid arguments of git.
    pub fn remotes(&self) -> Vec<String> {
        let names = self.inner.remote_names();
        let names = names.into_iter().filter_map(|name| name.to_str().ok().map(str::to_owned));
        names.filter(|name| !name.is_empty() && !name.starts_with('-')).collect()
    }

    /// Returns the directory of Git LFS: `lfs.storage`, relative to the common git directory, or `lfs` in it.
    pub fn lfs_dir(&self) -> PathBuf {
        let storage = self.config_str("lfs.storage").filter(|value| !value.is_empty());
        let storage = storage.and_then(|value| value.to_path().ok().map(Path::to_owned));
        self.common_dir().join(storage.unwrap_or_else(|| "lfs".into()))
    }

    /// Returns the LFS storage, with that of the repositories in `objects/info/alternates`.
    pub fn store(&self) -> Store {
        self.store_with(Vec::new())
    }

    /// As [`Repo::store`], with the storage next to further object directories: those of
    /// `GIT_ALTERNATE_OBJECT_DIRECTORIES`.
    pub fn store_with(&self, object_dirs: Vec<PathBuf>) -> Store {
        let sharing = self.config_str("core.sharedRepository");
        let sharing = sharing.map_or(Sharing::Umask, |value| Sharing::parse(&value.to_str_lossy()));
        let objects = self.common_dir().join("objects");
        let alternates = gix::odb::alternate::resolve(objects, self.inner.current_dir()).unwrap_or_default();
        let dirs = object_dirs.into_iter().chain(alternates);
        let alternates = dirs.filter_map(|dir| Some(dir.parent()?.join("lfs"))).filter(|dir| dir.is_dir());
        Store::new(self.lfs_dir(), sharing, alternates.collect())
    }

    /// Returns `true` if the configuration transforms the content of LFS objects (`lfs.extension.*`). Then an object ID
    /// is not that of the file, and no file may be stored unchanged.
    pub fn extensions_configured(&self) -> bool {
        let config = self.inner.config_snapshot();
        let extension = |name: &[u8]| name.starts_with(b"extension.");
        config
            .plumbing()
            .sections_by_name("lfs")
            .into_iter()
            .flatten()
            .any(|section| section.header().subsection_name().is_some_and(|name| extension(name)))
    }
}
/// Returns `true` for the name of a remote that is a URL or a path itself, and no option.
fn is_address(name: &[u8]) -> bool {
    let is_windows_path = cfg!(windows) && name.contains_str("\\");
    !name.starts_with_str("-") && (name.contains_str(":") || name.contains_str("/") || is_windows_path)
}
