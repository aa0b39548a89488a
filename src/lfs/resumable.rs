//! [`Resumable`]: an object that is made while another one is downloaded, and what an earlier run left of it.
//!
//! ```text
//! <lfs>/incomplete/<source>.safetensors          the file, complete in some places
//! <lfs>/incomplete/<source>.safetensors.spool    what waits for the end of the download
//! <lfs>/incomplete/<source>.safetensors.json     how far it is: written after the others are on the disk
//! ```
//!
//! `<source>` is the oid of what is downloaded: that of the object is not known before its end.
//!
//! Invariants: one process at a time has these files (an advisory lock on the first), another one gets files of its own
//! that are gone when dropped; a link in their place is not followed; the journal speaks of bytes that are on the disk. It
//! does not know what the journal says.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::incomplete::{Access, lock};
use super::store::{Error, Store};
use super::temp::Temp;
use crate::hash::Oid;

/// The longest journal that is read.
const MAX_JOURNAL: u64 = 64 << 10;

/// The file of an object. Dropped, it stays for a later run.
#[derive(Debug)]
pub struct Resumable {
    place: Place,
    store: Store,
}

#[derive(Debug)]
enum Place {
    /// The files of this source.
    Named(File, PathBuf),
    /// Another process has them.
    Own(Temp),
}

impl Resumable {
    pub(super) fn open(store: &Store, source: Oid) -> Result<Self, Error> {
        let dir = store.dir().join("incomplete");
        store.make_dirs(&dir)?;
        let path = dir.join(format!("{source}.safetensors"));
        let place = match lock(&path, Access::Anywhere).map_err(Error::io("open", &path))? {
            Some(file) => Place::Named(file, path),
            None => Place::Own(store.temp()?),
        };
        Ok(Self { place, store: store.clone() })
    }

    /// The file.
    pub fn file(&self) -> &File {
        match &self.place {
            Place::Named(file, _) => file,
            Place::Own(temp) => temp.file(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match &self.place {
            Place::Named(_, path) => path,
            Place::Own(temp) => temp.path(),
        }
    }

    /// The spool, with what an earlier run left in it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn spool(&self) -> Result<File, Error> {
        let Some(path) = self.beside("spool") else {
            let temp = self.store.temp()?;
            return temp.file().try_clone().map_err(Error::io("open", temp.path()));
        };
        // Whoever has the first file has this one, too.
        let opened = lock(&path, Access::Anywhere).map_err(Error::io("open", &path))?;
        opened.ok_or_else(|| Error::io("lock", &path)(io::ErrorKind::WouldBlock.into()))
    }

    /// What [`Resumable::save`] was told last.
    pub fn journal(&self) -> Option<Vec<u8>> {
        let path = self.beside("json")?;
        if !fs::symlink_metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut journal = Vec::new();
        File::open(&path).ok()?.take(MAX_JOURNAL).read_to_end(&mut journal).ok()?;
        Some(journal)
    }

    /// Remembers how far the file is, whose bytes are on the disk. Without files of its own name, nothing.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn save(&self, journal: &[u8]) -> Result<(), Error> {
        let Some(path) = self.beside("json") else { return Ok(()) };
        let temp = self.store.temp()?;
        io::Write::write_all(&mut temp.file(), journal)
            .and_then(|()| temp.file().sync_data())
            .map_err(Error::io("write", temp.path()))?;
        temp.rename(&path).map(drop).map_err(|(source, _)| Error::io("write", &path)(source))
    }

    /// Forgets how far the file is, and removes what lies beside it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn forget(&self) -> Result<(), Error> {
        for path in ["json", "spool"].iter().filter_map(|extension| self.beside(extension)) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes all of it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn discard(self) -> Result<(), Error> {
        self.forget()?;
        match self.place {
            Place::Named(_, path) => fs::remove_file(&path).map_err(Error::io("remove", path)),
            Place::Own(_) => Ok(()),
        }
    }

    /// Gives the file its final name, and removes what lies beside it.
    pub(super) fn rename(self, to: &Path) -> io::Result<()> {
        // A journal without its file is of no use, and harms nobody.
        let _left = self.forget();
        match self.place {
            Place::Named(_, path) => fs::rename(path, to),
            Place::Own(temp) => temp.rename(to).map(drop).map_err(|(error, _)| error),
        }
    }

    fn beside(&self, extension: &str) -> Option<PathBuf> {
        let Place::Named(_, path) = &self.place else { return None };
        let mut name = path.clone().into_os_string();
        name.push(".");
        name.push(extension);
        Some(name.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::store::Sharing;
    use super::*;

    fn store(dir: &Path) -> Store {
        Store::new(dir.join("lfs"), Sharing::Umask, Vec::new())
    }

    #[test]
    fn what_was_left_is_found_again_and_gone_when_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (store, source) = (store(dir.path()), Oid::of(b"source"));
        let first = store.resumable(source).unwrap();
        assert_eq!(first.journal(), None);
        first.file().write_all(b"abc").unwrap();
        first.spool().unwrap().write_all(b"spool").unwrap();
        first.save(b"{}").unwrap();
        drop(first);
        let second = store.resumable(source).unwrap();
        assert_eq!(second.journal().as_deref(), Some(b"{}".as_slice()));
        assert_eq!(second.spool().unwrap().metadata().unwrap().len(), 5);
        let object = store.create_from(second);
        let path = object.commit(Oid::of(b"abc"), 3).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"abc");
        assert_eq!(fs::read_dir(dir.path().join("lfs/incomplete")).unwrap().count(), 0);
    }

    #[test]
    fn a_second_process_gets_files_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (store, source) = (store(dir.path()), Oid::of(b"source"));
        let first = store.resumable(source).unwrap();
        first.file().write_all(b"abc").unwrap();
        let second = store.resumable(source).unwrap();
        assert_ne!(first.path(), second.path());
        second.save(b"{}").unwrap();
        assert_eq!((first.journal(), second.journal()), (None, None));
        second.spool().unwrap().write_all(b"x").unwrap();
        drop(second);
        first.discard().unwrap();
        assert_eq!(fs::read_dir(dir.path().join("lfs/incomplete")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(store.tmp_dir()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (store, source) = (store(dir.path()), Oid::of(b"source"));
        let first = store.resumable(source).unwrap();
        let path = first.path().to_owned();
        first.discard().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "theirs").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, path.with_extension("safetensors.spool")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, path.with_extension("safetensors.json")).unwrap();
        let again = store.resumable(source).unwrap();
        again.file().write_all(b"ours").unwrap();
        again.spool().unwrap().write_all(b"ours").unwrap();
        assert_eq!(again.journal(), None);
        again.save(b"ours").unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"theirs");
    }
}
