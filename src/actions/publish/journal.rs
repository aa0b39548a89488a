//! [`PublishJournal`] records a publication in progress, so that the next run resumes it.
//!
//! ```text
//! <git dir>/st-convert/publish.lock           locked during a publication
//! <git dir>/st-convert/publish-<marker>.json  {"place", "number"}: number is null until the Hub returns it
//! ```
//!
//! Invariant: it is on the disk before the request for a pull request is sent, and removed when that is open. It is
//! only an aid: the marker identifies a pull request of ours without it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::Error;
use super::PublishError;
use crate::lfs::{Temp, sync_parent, temp};

/// The most bytes of a journal.
const MAX_LEN: u64 = 64 << 10;

/// The publication in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// The model.
    pub(super) place: String,
    /// The number of the pull request, if it is known.
    pub(super) number: Option<u64>,
}

/// The journal of one publication, with the lock that excludes other runs.
#[derive(Debug)]
pub(super) struct PublishJournal {
    dir: PathBuf,
    _lock: File,
}

impl PublishJournal {
    /// Opens the journals of a repository.
    ///
    /// # Errors
    /// [`PublishError::PublishRunning`], [`Error::Io`]
    pub(super) fn open(git_dir: &Path) -> Result<Self, Error> {
        let dir = git_dir.join("st-convert");
        fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        let path = dir.join("publish.lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(Error::io("open", &path))?;
        match lock.try_lock() {
            // A file system without locks: other runs cannot be detected.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Unpublished(PublishError::PublishRunning)),
        }
        temp::sweep(&dir, |_| Ok(())).map_err(Error::io("sweep", &dir))?;
        Ok(Self { dir, _lock: lock })
    }

    fn path(&self, marker: &str) -> PathBuf {
        let name = marker.rsplit(' ').next().unwrap_or_default();
        self.dir.join(format!("publish-{name}.json"))
    }

    /// Reads the journal of this marker. An invalid file is ignored.
    pub(super) fn read(&self, marker: &str) -> Result<Option<Begun>, Error> {
        let path = self.path(marker);
        match fs::metadata(&path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(meta) if meta.len() > MAX_LEN => return Ok(None),
            _ => {}
        }
        Ok(serde_json::from_slice(&fs::read(&path).map_err(Error::io("read", &path))?).ok())
    }

    /// Writes the journal; it is on the disk afterwards.
    pub(super) fn write(&self, marker: &str, begun: &Begun) -> Result<(), Error> {
        let path = self.path(marker);
        let write = || {
            let temp = Temp::new_in(&self.dir)?;
            let mut file = temp.file();
            file.write_all(&serde_json::to_vec(begun)?)?;
            file.sync_all()?;
            temp.rename(&path).map_err(|(err, _)| err)?;
            sync_parent(&path)
        };
        write().map_err(Error::io("write", &path))
    }

    /// Removes the journal.
    pub(super) fn remove(&self, marker: &str) -> Result<(), Error> {
        let path = self.path(marker);
        match fs::remove_file(&path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(Error::io("remove", &path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_kept_until_it_is_removed_and_one_is_at_work() {
        let dir = tempfile::tempdir().unwrap();
        let journal = PublishJournal::open(dir.path()).unwrap();
        let marker = "publication 0123";
        assert_eq!(journal.read(marker).unwrap(), None);
        let begun = Begun { place: "a/b".to_owned(), number: None };
        journal.write(marker, &begun).unwrap();
        let begun = Begun { number: Some(7), ..begun };
        journal.write(marker, &begun).unwrap();
        assert!(matches!(
            PublishJournal::open(dir.path()),
            Err(Error::Unpublished(PublishError::PublishRunning))
        ));
        drop(journal);
        let journal = PublishJournal::open(dir.path()).unwrap();
        assert_eq!(journal.read(marker).unwrap(), Some(begun));
        fs::write(journal.path(marker), "{").unwrap();
        assert_eq!(journal.read(marker).unwrap(), None);
        journal.remove(marker).unwrap();
        journal.remove(marker).unwrap();
        assert!(!journal.path(marker).exists());
    }
}
