//! [`Kept`] keeps a file of the working tree under a second name, so that it can be restored after another file took
//! its name.
//!
//! ```text
//! <lfs>/tmp/st-convert-…       shows that this process is alive
//! <lfs>/tmp/st-convert-….old   a hard link to the file
//! ```
//!
//! If the working tree and the LFS storage are on different file systems, both names are hidden next to the file; if
//! the file system has no links, the first of them is a copy.
//!
//! Invariant: the file is never moved away. Until another file is renamed over it, it has its own name; a drop, or a
//! sweep after a kill, removes only the second name. The module does not read the file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::store::{self, Store};
use super::temp::Temp;
use super::worktree_file::{Error, Target, parent, temp_for};

/// A file that can be restored.
#[derive(Debug)]
pub struct Kept {
    /// Shows that this process is alive; without links, it is the copy.
    owner: Temp,
    link: Option<Link>,
    path: PathBuf,
}

/// A second name, removed when dropped.
#[derive(Debug)]
struct Link(PathBuf);

impl Link {
    /// Creates a second name; `None` if the file system does not support links.
    fn of(path: &Path, owner: &Temp) -> Option<Self> {
        let link = owner.path().with_extension("old");
        fs::hard_link(path, &link).is_ok().then_some(Self(link))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A later run removes a leftover.
        let _left_behind = fs::remove_file(&self.0);
    }
}

impl Kept {
    /// Keeps the file at `target`; `None` if none exists.
    ///
    /// # Errors
    /// [`Error::Symlink`], [`Error::InTheWay`], or what the system reports.
    pub fn keep(store: &Store, target: &Target) -> Result<Option<Self>, Error> {
        let Some(metadata) = target.metadata()? else { return Ok(None) };
        let path = target.path();
        let owner = temp_for(store, &path)?;
        if let Some(link) = Link::of(&path, &owner) {
            return Ok(Some(Self { owner, link: Some(link), path }));
        }
        // The storage only appears to be on this file system (a bind mount), or the file system has no links.
        let owner = Temp::hidden_in(&parent(&path)).map_err(Error::io(&path))?;
        let link = Link::of(&path, &owner);
        let kept = if link.is_some() { Ok(()) } else { copy(&path, &metadata, &owner) };
        kept.map_err(Error::io(&path))?;
        Ok(Some(Self { owner, link, path }))
    }

    /// Restores the name of the file, whatever file has it now.
    ///
    /// # Errors
    /// [`Error::Io`]; then the other file keeps the name.
    pub fn restore(self) -> Result<(), Error> {
        let Self { owner, link, path } = self;
        match &link {
            // If both names still are one file, this does nothing.
            Some(link) => fs::rename(&link.0, &path).map_err(Error::io(&path))?,
            None => owner.rename(&path).map(drop).map_err(|(source, _)| Error::io(&path)(source))?,
        }
        store::sync_parent(&path).map_err(Error::io(&path))
    }
}

fn copy(path: &Path, metadata: &fs::Metadata, to: &Temp) -> io::Result<()> {
    super::copy::copy_all(&File::open(path)?, to.file())?;
    to.file().set_permissions(metadata.permissions())?;
    to.file().set_modified(metadata.modified()?)?;
    to.file().sync_data()
}

#[cfg(test)]
mod tests {
    use super::super::store::Sharing;
    use super::*;

    fn tree() -> (tempfile::TempDir, Store, Target) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        fs::write(dir.path().join("work/model"), "old").unwrap();
        let store = Store::new(dir.path().join("lfs"), Sharing::Umask, Vec::new());
        let target = Target::new(&dir.path().join("work"), "model".into()).unwrap();
        (dir, store, target)
    }

    fn count(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn what_was_there_comes_back() {
        let (dir, store, target) = tree();
        let before = fs::metadata(target.path()).unwrap();
        let kept = Kept::keep(&store, &target).unwrap().unwrap();
        fs::write(dir.path().join("new"), "new").unwrap();
        fs::rename(dir.path().join("new"), target.path()).unwrap();
        kept.restore().unwrap();
        assert_eq!(fs::read(target.path()).unwrap(), b"old");
        assert_eq!(fs::metadata(target.path()).unwrap().modified().unwrap(), before.modified().unwrap());
        // The name still has the old file, which stays unchanged.
        Kept::keep(&store, &target).unwrap().unwrap().restore().unwrap();
        assert_eq!(fs::read(target.path()).unwrap(), b"old");
        assert_eq!((count(&store.tmp_dir()), count(&dir.path().join("work"))), (0, 1));
    }

    #[test]
    fn what_was_kept_and_not_asked_for_goes() {
        let (dir, store, target) = tree();
        drop(Kept::keep(&store, &target).unwrap().unwrap());
        assert_eq!(fs::read(target.path()).unwrap(), b"old");
        assert_eq!(count(&store.tmp_dir()), 0);
        fs::remove_file(target.path()).unwrap();
        assert!(Kept::keep(&store, &target).unwrap().is_none());
        assert_eq!(count(&dir.path().join("work")), 0);
    }

    #[test]
    fn a_copy_serves_where_there_are_no_links() {
        let (dir, _, target) = tree();
        let (path, beside) = (target.path(), dir.path().join("work"));
        let metadata = fs::metadata(&path).unwrap();
        let owner = Temp::hidden_in(&beside).unwrap();
        copy(&path, &metadata, &owner).unwrap();
        fs::write(&path, "new").unwrap();
        Kept { owner, link: None, path: path.clone() }.restore().unwrap();
        let back = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(back.modified().unwrap(), metadata.modified().unwrap());
        assert_eq!((back.permissions(), count(&beside)), (metadata.permissions(), 1));
    }
}
