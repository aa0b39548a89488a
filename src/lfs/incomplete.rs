//! [`Incomplete`] stores an LFS object during its download, and the part that an earlier run downloaded.
//!
//! ```text
//! <lfs>/incomplete/<oid>.part     the first bytes of the object: git-lfs's own path
//! ```
//!
//! Source: `tq/basic_download.go` of Git LFS. Invariants: one process at a time writes a `.part` (an advisory lock),
//! any other process gets a file of its own; a link at its path is not followed; the object gets its name by one
//! rename, after its length was checked and its bytes were synced to the disk. The module does not hash: the caller
//! does.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::claim::{Access, Claim};
use super::space;
use super::store::{Error, Store};
use crate::hash::Oid;

/// The beginning of an LFS object. If dropped, its bytes stay for a later run.
#[derive(Debug)]
pub struct Incomplete {
    claim: Claim,
    store: Store,
    oid: Oid,
}

impl Incomplete {
    /// Opens the part that an earlier run downloaded, to resume it; it is empty if none exists.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn open(store: &Store, oid: Oid) -> Result<Self, Error> {
        let claim = Claim::open(store, path(store, oid), Access::Behind)?;
        Ok(Self { claim, store: store.clone(), oid })
    }

    /// Returns how many bytes on the disk a download uses already.
    pub fn taken(store: &Store, oid: Oid) -> u64 {
        space::taken(&path(store, oid))
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Returns how many bytes it has.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn len(&self) -> Result<u64, Error> {
        let meta = self.claim.file().metadata().map_err(Error::io("read the length of", self.path()))?;
        Ok(meta.len())
    }

    /// Returns `true` if it has no bytes.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Reads its bytes from the beginning; after that, new bytes are appended to them.
    ///
    /// # Errors
    /// [`Error::Io`], also for an error of `each`.
    pub fn read(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), Error> {
        let mut file = self.claim.file();
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

    /// Appends bytes.
    ///
    /// # Errors
    /// The error of the system.
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.claim.file().write_all(bytes)
    }

    /// Removes all bytes.
    ///
    /// # Errors
    /// The error of the system.
    pub fn clear(&self) -> io::Result<()> {
        let mut file = self.claim.file();
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0)).map(drop)
    }

    /// Removes the file, because its bytes are not usable.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn discard(self) -> Result<(), Error> {
        self.claim.discard()
    }

    /// Checks its length.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`]
    pub fn check(&self, size: u64) -> Result<(), Error> {
        let (oid, got) = (self.oid, self.len()?);
        if got == size { Ok(()) } else { Err(Error::SizeMismatch { oid, expected: size, got }) }
    }

    /// Gives the object its name. If the object exists already with that length, it is kept, and this file removed.
    /// Returns the path of the object.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`] or [`Error::Io`]
    pub fn commit(self, size: u64) -> Result<PathBuf, Error> {
        self.check(size)?;
        if let Some(path) = self.store.stored(self.oid, size) {
            self.discard()?;
            return Ok(path);
        }
        let Self { claim, store, oid } = self;
        store.finish(claim.file(), claim.path())?;
        store.name(oid, |path| claim.rename(path))
    }
}

/// Returns the path of an object's part, whether it exists or not.
fn path(store: &Store, oid: Oid) -> PathBuf {
    store.incomplete_dir().join(format!("{oid}.part"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::store::Sharing;
    use super::*;

    fn store(dir: &Path) -> Store {
        Store::new(dir.join("lfs"), Sharing::Umask, Vec::new())
    }

    #[test]
    fn a_part_stays_until_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (store, oid) = (store(dir.path()), Oid::of(b"abcdef"));
        let part = Incomplete::open(&store, oid).unwrap();
        part.append(b"abc").unwrap();
        assert!(matches!(part.commit(6), Err(Error::SizeMismatch { expected: 6, got: 3, .. })));
        let path = dir.path().join(format!("lfs/incomplete/{oid}.part"));
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        let part = Incomplete::open(&store, oid).unwrap();
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
        let again = Incomplete::open(&store, oid).unwrap();
        again.append(b"xxxxxx").unwrap();
        assert_eq!(again.commit(6).unwrap(), object);
        assert_eq!((fs::read(&object).unwrap().as_slice(), path.exists()), (b"abcdef".as_slice(), false));
    }

    #[test]
    fn two_at_once_do_not_write_into_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let (store, oid) = (store(dir.path()), Oid::of(b"abc"));
        let (first, second) =
            (Incomplete::open(&store, oid).unwrap(), Incomplete::open(&store, oid).unwrap());
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
        let part = Incomplete::open(&store, oid).unwrap();
        part.append(b"abc").unwrap();
        part.commit(3).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"keep");
    }
}
