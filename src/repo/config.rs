//! What the configuration of git says: settings, and where the LFS store is.
//!
//! It reads all of git's files and the environment's overrides as git does, and writes none. A value of a file
//! that somebody else owns is not used where it would name a program.

use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice as _};

use super::Repo;
use crate::lfs::{Sharing, Store};

impl Repo {
    /// The value of a setting, such as `st-convert.pr`.
    pub fn config_str(&self, key: &str) -> Option<BString> {
        self.inner.config_snapshot().string(key)
    }

    /// The value of a setting that is true or false; `None` too if it is neither.
    pub fn config_bool(&self, key: &str) -> Option<bool> {
        self.inner.config_snapshot().boolean(key)
    }

    /// The remote that the branch of `HEAD` follows, or else the only one, or else `origin` if there is one.
    pub fn default_remote(&self) -> Option<String> {
        let branch = self.branch().ok().flatten();
        let followed = branch.and_then(|branch| {
            let key = format!("branch.{branch}.remote");
            self.config_str(&key).filter(|name| name != ".")
        });
        let known: Vec<BString> =
            self.inner.remote_names().into_iter().map(|name| BString::from(&**name)).collect();
        let only = || known.first().filter(|_| known.len() == 1).cloned();
        let origin = || known.iter().find(|name| **name == "origin").cloned();
        let name = followed.or_else(only).or_else(origin)?;
        Some(name.to_str().ok()?.to_owned()).filter(|name| !name.is_empty() && !name.starts_with('-'))
    }

    /// The names of all remotes of the configuration that can be given to git.
    pub fn remotes(&self) -> Vec<String> {
        let names = self.inner.remote_names();
        let names = names.into_iter().filter_map(|name| name.to_str().ok().map(str::to_owned));
        names.filter(|name| !name.is_empty() && !name.starts_with('-')).collect()
    }

    /// Where Git LFS keeps its files: `lfs.storage`, seen from the common git directory, or `lfs` in it.
    pub fn lfs_dir(&self) -> PathBuf {
        let storage = self.config_str("lfs.storage").filter(|value| !value.is_empty());
        let storage = storage.and_then(|value| value.to_path().ok().map(Path::to_owned));
        self.common_dir().join(storage.unwrap_or_else(|| "lfs".into()))
    }

    /// The LFS store, with the stores of the repositories in `objects/info/alternates`.
    pub fn store(&self) -> Store {
        self.store_with(Vec::new())
    }

    /// As [`Repo::store`], with the stores beside more object directories: those that
    /// `GIT_ALTERNATE_OBJECT_DIRECTORIES` names.
    pub fn store_with(&self, object_dirs: Vec<PathBuf>) -> Store {
        let sharing = self.config_str("core.sharedRepository");
        let sharing = sharing.map_or(Sharing::Umask, |value| Sharing::parse(&value.to_str_lossy()));
        let objects = self.common_dir().join("objects");
        let alternates = gix::odb::alternate::resolve(objects, self.inner.current_dir()).unwrap_or_default();
        let dirs = object_dirs.into_iter().chain(alternates);
        let alternates = dirs.filter_map(|dir| Some(dir.parent()?.join("lfs"))).filter(|dir| dir.is_dir());
        Store::new(self.lfs_dir(), sharing, alternates.collect())
    }

    /// Returns `true` if the configuration transforms the content of objects (`lfs.extension.*`). Then an oid is not
    /// that of the file, and nothing may be put into the store as it is.
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

    /// Returns `true` if git knows the filter of Git LFS. If not, it takes a converted file for modified.
    pub fn filter_configured(&self) -> bool {
        ["filter.lfs.process", "filter.lfs.clean"]
            .into_iter()
            .any(|key| self.config_str(key).is_some_and(|command| !command.is_empty()))
    }
}
