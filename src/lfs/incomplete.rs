//! [`Incomplete`]: an object that is being downloaded, and what an earlier run left of it.
//!
//! ```text
//! <lfs>/incomplete/<oid>.part     the first bytes of the object: git-lfs's own place and name
//! ```
//!
//! Source: `tq/basic_download.go` of Git LFS. Invariants: one process at a time writes a `.part` (an advisory lock), another
//! one gets a file of its own; a link in its place is not followed; the object gets its name by one rename, after its
//! length was checked and its bytes were handed to the disk. It does not hash: whoever fills it does.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::store::{Error, Store, sync_parent};
use super::temp::Temp;
use crate::hash::Oid;

/// The beginning of an object. Dropped, its bytes stay for a later run.
#[derive(Debug)]
pub struct Incomplete {
    file: Place,
    store: Store,
    oid: Oid,
}

#[derive(Debug)]
enum Place {
    /// The `.part` of this object.
    Part(File, PathBuf),
    /// Another process has it: this one is gone when dropped.
    Own(Temp),
}

impl Incomplete {
    pub(super) fn open(store: &Store, oid: Oid) -> Result<Self, Error> {
        let path = path(store, oid);
        store.make_dirs(path.parent().unwrap_or(store.dir()))?;
        let file = match lock(&path, Access::Behind).map_err(Error::io("open", &path))? {
            Some(file) => Place::Part(file, path),
            None => Place::Own(store.temp()?),
        };
        Ok(Self { file, store: store.clone(), oid })
    }

    fn file(&self) -> &File {
        match &self.file {
            Place::Part(file, _) => file,
            Place::Own(temp) => temp.file(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match &self.file {
            Place::Part(_, path) => path,
            Place::Own(temp) => temp.path(),
        }
    }

    /// How many bytes are here.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn len(&self) -> Result<u64, Error> {
        let meta = self.file().metadata().map_err(Error::io("read the length of", self.path()))?;
        Ok(meta.len())
    }

    /// Is nothing here?
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Reads what is here from its beginning; then the next byte is written behind it.
    ///
    /// # Errors
    /// [`Error::Io`], also with what `each` returns.
    pub fn read(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), Error> {
        let mut file = self.file();
        let mut buf = vec![0; 256 << 10];
        let mut read = || {
            file.seek(SeekFrom::Start(0))?;
            loop {
                match file.read(&mut buf)? {
                    0 => return Ok(()),
                    len => each(buf.get(..len).unwrap_or_default())?,
                }
            }
        };
        read().map_err(Error::io("read", self.path()))
    }

    /// Writes behind what is here.
    ///
    /// # Errors
    /// What the system reports.
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.file().write_all(bytes)
    }

    /// Drops what is here.
    ///
    /// # Errors
    /// What the system reports.
    pub fn clear(&self) -> io::Result<()> {
        let mut file = self.file();
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0)).map(drop)
    }

    /// Removes the file: its bytes are of no use.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn discard(self) -> Result<(), Error> {
        match self.file {
            Place::Part(_, path) => fs::remove_file(&path).map_err(Error::io("remove", path)),
            Place::Own(_) => Ok(()),
        }
    }

    /// Is it as long as this?
    ///
    /// # Errors
    /// [`Error::SizeMismatch`]
    pub fn check(&self, size: u64) -> Result<(), Error> {
        let (oid, got) = (self.oid, self.len()?);
        if got == size { Ok(()) } else { Err(Error::SizeMismatch { oid, expected: size, got }) }
    }

    /// Gives the object its name. An object that is already there with that length is kept, and this one removed.
    /// Returns where it is.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`] or [`Error::Io`]
    pub fn commit(self, size: u64) -> Result<PathBuf, Error> {
        self.check(size)?;
        let path = self.store.path_of(self.oid);
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == size) {
            self.discard()?;
            return Ok(path);
        }
        self.file().sync_data().map_err(Error::io("sync", self.path()))?;
        self.store.sharing().apply(self.path(), false).map_err(Error::io("set the mode of", self.path()))?;
        self.store.make_dirs(path.parent().unwrap_or(self.store.dir()))?;
        match self.file {
            Place::Part(_, part) => fs::rename(&part, &path),
            Place::Own(temp) => temp.rename(&path).map(drop).map_err(|(err, _)| err),
        }
        .map_err(Error::io("rename an object to", &path))?;
        sync_parent(&path).map_err(Error::io("sync the directory of", &path))?;
        Ok(path)
    }
}

/// Where what is here of an object is, or would be.
pub(super) fn path(store: &Store, oid: Oid) -> PathBuf {
    store.dir().join("incomplete").join(format!("{oid}.part"))
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Behind what is there.
    Behind,
    /// At any offset.
    Anywhere,
}

/// Opens a file and locks it; `None` if somebody else has it. A link or a directory in its place is never opened.
pub(super) fn lock(path: &Path, access: Access) -> io::Result<Option<File>> {
    let mut tries = 0;
    for _ in 0..64 {
        if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file()) {
            fs::remove_file(path)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).append(access == Access::Behind).create(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            let flags = rustix::fs::OFlags::NOFOLLOW.bits();
            options.custom_flags(i32::try_from(flags).map_err(io::Error::other)?);
        }
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, path)? => return Ok(Some(file)),
            // Renamed by its owner between our opening and our lock: the name is free again.
            Ok(()) => {}
            // A process that is just being started has our files until it is the program that it becomes.
            Err(TryLockError::WouldBlock) if tries < 20 => {
                tries += 1;
                thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            // A file system without locks: it works as long as one process does.
            Err(TryLockError::Error(_)) => return Ok(Some(file)),
        }
    }
    Ok(None)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(err),
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

#[cfg(test)]
mod tests {
    use super::super::store::Sharing;
    use super::*;

    fn store(dir: &Path) -> Store {
        Store::new(dir.join("lfs"), Sharing::Umask, Vec::new())
    }

    #[test]
    fn a_part_stays_until_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (store, oid) = (store(dir.path()), Oid::of(b"abcdef"));
        let part = store.incomplete(oid).unwrap();
        part.append(b"abc").unwrap();
        assert!(matches!(part.commit(6), Err(Error::SizeMismatch { expected: 6, got: 3, .. })));
        let path = dir.path().join(format!("lfs/incomplete/{oid}.part"));
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        let part = store.incomplete(oid).unwrap();
        let mut seen = Vec::new();
        part.read(|bytes| {
            seen.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, b"abc");
        part.append(b"def").unwrap();
        let object = part.commit(6).unwrap();
        assert_eq!((fs::read(&object).unwrap().as_slice(), path.exists()), (b"abcdef".as_slice(), false));
        let again = store.incomplete(oid).unwrap();
        again.append(b"xxxxxx").unwrap();
        assert_eq!(again.commit(6).unwrap(), object);
        assert_eq!((fs::read(&object).unwrap().as_slice(), path.exists()), (b"abcdef".as_slice(), false));
    }

    #[test]
    fn two_at_once_do_not_write_into_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let (store, oid) = (store(dir.path()), Oid::of(b"abc"));
        let (first, second) = (store.incomplete(oid).unwrap(), store.incomplete(oid).unwrap());
        first.append(b"ab").unwrap();
        second.append(b"abc").unwrap();
        assert_eq!((first.len().unwrap(), second.len().unwrap()), (2, 3));
        let path = second.commit(3).unwrap();
        first.append(b"c").unwrap();
        assert_eq!(first.commit(3).unwrap(), path);
        assert_eq!(fs::read_dir(dir.path().join("lfs/incomplete")).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (store, oid) = (store(dir.path()), Oid::of(b"abc"));
        let victim = dir.path().join("victim");
        fs::write(&victim, "keep").unwrap();
        fs::create_dir_all(dir.path().join("lfs/incomplete")).unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(format!("lfs/incomplete/{oid}.part"))).unwrap();
        let part = store.incomplete(oid).unwrap();
        part.append(b"abc").unwrap();
        part.commit(3).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"keep");
    }
}
