//! Resolves paths of the working tree that a user names, and writes and removes small files in it.
//!
//! Invariant: a file does not exist, is old or new, never half-written; no symbolic link is followed to write or
//! remove; and nothing outside the working tree, or inside `.git`, is changed.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use bstr::{BStr, BString};

use super::{Error, Repo, Result};
use crate::lfs::{Kept, Placed, Target};

impl Repo {
    /// Returns the checked target of a path of the working tree.
    ///
    /// # Errors
    /// [`Error::Place`] if the path leaves the working tree or enters `.git`.
    pub fn target(&self, path: &BStr) -> Result<Target> {
        Ok(Target::new(&self.work_dir, path)?)
    }

    /// Returns the repository's name for a path of the command line, given in the directory `cwd`; empty for the top of
    /// the working tree. The path need not exist.
    ///
    /// As in git, `..` is resolved in the text, and the working tree may be reached through links, but a link inside it
    /// is not followed.
    ///
    /// # Errors
    /// [`Error::OutsideWorkTree`]
    pub fn path_of(&self, cwd: &Path, arg: &OsStr) -> Result<BString> {
        let outside = || Error::OutsideWorkTree { path: arg.into(), work_dir: self.work_dir.clone() };
        let given = std::path::absolute(cwd.join(arg)).map_err(Error::io("find", arg))?;
        let path = without_dots(&given);
        let top = self.work_dir.canonicalize().map_err(Error::io("find", &self.work_dir))?;
        let mut ancestors: Vec<_> = path.ancestors().collect();
        ancestors.reverse();
        for ancestor in ancestors {
            if ancestor == self.work_dir || ancestor.canonicalize().is_ok_and(|real| real == top) {
                let inside = path.strip_prefix(ancestor).map_err(|_| outside())?;
                let name = gix::path::into_bstr(inside).map_err(|_| outside())?;
                return Ok(gix::path::to_unix_separators_on_windows(name).into_owned());
            }
        }
        Err(outside())
    }

    /// Writes a small file: an attributes file, a shard index. Its mode stays if it exists.
    ///
    /// # Errors
    /// [`Error::Place`]: it exists and `replace` is false, a link is at its path, or an error of the system.
    pub fn write_file(&self, path: &BStr, content: &[u8], replace: bool) -> Result<fs::Metadata> {
        let target = self.target(path)?;
        let full = target.path();
        let placed = Placed::create(&self.store(), target)?;
        placed.file().write_all(content).map_err(Error::io("write", full))?;
        Ok(placed.publish(replace)?)
    }

    /// Keeps the file at a path of the working tree, so that it can be restored; `None` if none exists.
    ///
    /// # Errors
    /// [`Error::Place`]: a link is at the path, or an error of the system.
    pub fn keep(&self, path: &BStr) -> Result<Option<Kept>> {
        Ok(Kept::keep(&self.store(), &self.target(path)?)?)
    }

    /// Removes a file of the working tree, and its directories if they are empty then, as git does. A missing file is
    /// not an error.
    ///
    /// # Errors
    /// [`Error::Place`] for a link, [`Error::Io`].
    pub fn remove_file(&self, path: &BStr) -> Result<()> {
        let target = self.target(path)?;
        if target.metadata()?.is_none() {
            return Ok(());
        }
        let full = target.path();
        fs::remove_file(&full).map_err(Error::io("remove", &full))?;
        let parents = full.ancestors().skip(1).take_while(|dir| *dir != self.work_dir);
        for dir in parents {
            if fs::remove_dir(dir).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Returns the path without `.` and `..`, by only its text.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
