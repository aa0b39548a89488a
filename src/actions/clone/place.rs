//! [`CloneDir`] is the directory of a clone, which appears only when the clone is complete.
//!
//! ```text
//! parent/.clone-st-convert-…/name    the clone in progress
//!   rename → parent/name
//! ```
//!
//! A clone contains no path of its own directory, so it may be renamed: git writes absolute paths only for linked
//! working trees and borrowed objects, which a new clone does not have. An existing empty directory is filled in place,
//! because it may be the current directory of a process, or a mount point; it is emptied if the clone fails.
//!
//! Invariant: if the clone fails or is interrupted, the directory is as before. The leftovers of a killed run are in a
//! hidden directory next to it, which the next clone there removes: a living run holds a lock on its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::Error;
use crate::lfs::exclusive;

/// The prefix of the directory in which a clone is created.
const PREFIX: &str = ".clone-st-convert-";

/// The directory of a clone in progress, and its final path. If dropped, it restores the previous state.
#[derive(Debug)]
pub(super) struct CloneDir {
    dir: PathBuf,
    made_in: MadeIn,
    /// The parents that were created for it, the outermost first.
    parents: Vec<PathBuf>,
}

/// The directory in which a clone is created.
#[derive(Debug)]
enum MadeIn {
    /// In a temporary directory next to its path, which is locked if possible.
    Temporary(TempDir, File),
    /// At its path, which was an empty directory.
    Itself,
    /// It has its name, and nothing is removed.
    Done,
}

impl CloneDir {
    /// Checks the directory, an absolute path, and creates what is needed to begin.
    pub(super) fn prepare(dir: &Path) -> Result<Self, Error> {
        // Until this function has found the directory empty, no value may exist whose drop would empty it.
        match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {
                return Ok(Self { dir: dir.to_owned(), made_in: MadeIn::Itself, parents: Vec::new() });
            }
            Ok(false) => return Err(Error::CloneInTheWay { dir: dir.to_owned() }),
            Err(err) if err.kind() == io::ErrorKind::NotADirectory || dir.is_symlink() => {
                return Err(Error::CloneInTheWay { dir: dir.to_owned() });
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(Error::io("look into", dir)(err)),
        }
        let parent = dir.parent().unwrap_or(dir);
        let mut parents: Vec<_> =
            parent.ancestors().take_while(|dir| !dir.exists()).map(Path::to_owned).collect();
        parents.reverse();
        sweep(parent);
        match temporary(parent) {
            Ok((temporary, lock)) => {
                Ok(Self { dir: dir.to_owned(), made_in: MadeIn::Temporary(temporary, lock), parents })
            }
            Err(err) => {
                remove_empty(&parents);
                Err(Error::io("make", dir)(err))
            }
        }
    }

    /// Returns the path at which the clone is created.
    pub(super) fn path(&self) -> PathBuf {
        match &self.made_in {
            MadeIn::Temporary(temporary, _) => {
                temporary.path().join(self.dir.file_name().unwrap_or_default())
            }
            MadeIn::Itself | MadeIn::Done => self.dir.clone(),
        }
    }

    /// Removes everything that was created so far, to begin again.
    pub(super) fn clear(&self) -> Result<(), Error> {
        let path = self.path();
        let cleared = match &self.made_in {
            MadeIn::Temporary(..) if path.exists() => fs::remove_dir_all(&path),
            MadeIn::Itself => empty(&path),
            MadeIn::Temporary(..) | MadeIn::Done => Ok(()),
        };
        cleared.map_err(Error::io("empty", &path))
    }

    /// Gives the clone its name, and returns the path.
    pub(super) fn finish(mut self) -> Result<PathBuf, Error> {
        if matches!(self.made_in, MadeIn::Temporary(..)) {
            fs::rename(self.path(), &self.dir).map_err(|source| match source.kind() {
                io::ErrorKind::DirectoryNotEmpty
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::NotADirectory => Error::CloneInTheWay { dir: self.dir.clone() },
                _ => Error::io("make", &self.dir)(source),
            })?;
        }
        self.made_in = MadeIn::Done;
        Ok(self.dir.clone())
    }
}

impl Drop for CloneDir {
    fn drop(&mut self) {
        // Files that cannot be removed stay; the error that led here is reported.
        match std::mem::replace(&mut self.made_in, MadeIn::Done) {
            MadeIn::Temporary(temporary, _lock) => drop(temporary.close()),
            MadeIn::Itself => drop(empty(&self.dir)),
            MadeIn::Done => return,
        }
        remove_empty(&self.parents);
    }
}

/// Creates a temporary directory, and locks it if possible. Before it is locked, another clone next to it may treat it
/// as a leftover, and a failing clone may remove the empty directory around it: then another one is created.
fn temporary(parent: &Path) -> io::Result<(TempDir, File)> {
    const TRIES: usize = 20;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for _ in 0..TRIES {
        let made = fs::create_dir_all(parent)
            .and_then(|()| tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent));
        let made = match made {
            Ok(made) => made,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                last = error;
                continue;
            }
            Err(error) => return Err(error),
        };
        let Ok(Some(lock)) = exclusive::hold_dir(made.path()) else { continue };
        if made.path().exists() {
            return Ok((made, lock));
        }
    }
    Err(last)
}

/// Removes the leftovers of killed runs in a directory, as far as possible.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_ours
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(Some(_lock)) = exclusive::open_abandoned(&entry.path())
        {
            let _left_for_the_next = fs::remove_dir_all(entry.path());
        }
    }
}

/// Removes empty directories, the innermost first.
fn remove_empty(dirs: &[PathBuf]) {
    for dir in dirs.iter().rev() {
        if fs::remove_dir(dir).is_err() {
            break;
        }
    }
}

fn empty(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn fill(place: &CloneDir) {
        fs::create_dir_all(place.path().join("sub")).unwrap();
        fs::write(place.path().join("sub/file"), "text").unwrap();
    }

    #[test]
    fn a_new_directory_is_there_when_it_is_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b/model");
        let place = CloneDir::prepare(&dir).unwrap();
        fill(&place);
        assert!(!dir.exists());
        drop(place);
        assert_eq!(names(root.path()), [""; 0]);

        let place = CloneDir::prepare(&dir).unwrap();
        fill(&place);
        place.clear().unwrap();
        place.clear().unwrap();
        fill(&place);
        assert_eq!(place.finish().unwrap(), dir);
        assert_eq!(names(&root.path().join("a/b")), ["model"]);
        assert_eq!(fs::read(dir.join("sub/file")).unwrap(), b"text");
    }

    #[test]
    fn an_empty_directory_is_filled_in_its_place_or_stays_empty() {
        let root = tempfile::tempdir().unwrap();
        let place = CloneDir::prepare(root.path()).unwrap();
        fill(&place);
        drop(place);
        assert_eq!(names(root.path()), [""; 0]);
        let place = CloneDir::prepare(root.path()).unwrap();
        fill(&place);
        place.finish().unwrap();
        assert_eq!(names(root.path()), ["sub"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_a_killed_run_left_is_swept_and_what_a_living_one_makes_is_not() {
        let root = tempfile::tempdir().unwrap();
        let living = CloneDir::prepare(&root.path().join("living")).unwrap();
        fill(&living);
        let dead = root.path().join(format!("{PREFIX}dead"));
        fs::create_dir_all(dead.join("model/.git")).unwrap();
        drop(CloneDir::prepare(&root.path().join("next")).unwrap());
        assert!(!dead.exists() && living.path().exists());
        assert_eq!(names(root.path()).len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn many_at_once_beside_one_another_do_not_take_each_other_for_dead() {
        let root = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let root = root.path();
                scope.spawn(move || {
                    for round in 0..40 {
                        let place = CloneDir::prepare(&root.join(format!("new/{number}-{round}"))).unwrap();
                        fill(&place);
                        if round % 2 == 0 {
                            place.finish().unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(names(&root.path().join("new")).len(), 8 * 20);
    }

    #[test]
    fn what_is_there_stays() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "mine").unwrap();
        for dir in [root.path(), &file] {
            assert!(matches!(CloneDir::prepare(dir), Err(Error::CloneInTheWay { .. })));
        }
        let dir = root.path().join("model");
        let place = CloneDir::prepare(&dir).unwrap();
        fill(&place);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("other"), "theirs").unwrap();
        assert!(matches!(place.finish(), Err(Error::CloneInTheWay { .. })));
        assert_eq!(names(&dir), ["other"]);
        assert_eq!(names(root.path()).len(), 2);
    }
}
