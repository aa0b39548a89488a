//! [`Store`]: the LFS objects of a repository, on this disk.
//!
//! ```text
//! <lfs>/objects/ab/cd/abcd…      an object: exactly these bytes, named by their SHA-256
//! <lfs>/tmp/st-convert-…         ours, while it is written
//! <lfs>/incomplete/<oid>.part    while it is downloaded (`incomplete`)
//! <alternate>/objects/ab/cd/…    objects of another repository, to read
//! ```
//!
//! Source: `fs/fs.go` and `config/config.go` of Git LFS 3.3 (places, rights, alternates).
//!
//! Invariant: an object appears under its name by one rename, after its length was checked and its bytes were
//! handed to the disk. Rights are those Git LFS gives: by the umask or `core.sharedRepository`, writable.
//! It does not hash: the oid comes from whoever wrote the bytes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::incomplete::{self, Incomplete};
use super::resumable::{self, Resumable};
use super::space;
use super::temp::{self, Temp};
use crate::hash::Oid;

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The bytes that were written are not as many as promised.
    #[error("object {oid} has {got} bytes, expected {expected}")]
    SizeMismatch {
        /// Which object.
        oid: Oid,
        /// The promised length.
        expected: u64,
        /// The length of the file.
        got: u64,
    },
}

impl Error {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Who may read and write what is made in the store: `core.sharedRepository`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// As any new file of this process.
    #[default]
    Umask,
    /// These rights for files, and the same with search for directories.
    Mode(u32),
}

impl Sharing {
    /// Reads the value of `core.sharedRepository`, as Git LFS does; what it does not know is the umask.
    pub fn parse(value: &str) -> Self {
        match value.to_ascii_lowercase().as_str() {
            "group" | "true" | "yes" | "on" | "1" | "" => Self::Mode(0o660),
            "all" | "world" | "everybody" | "2" => Self::Mode(0o664),
            octal => match u32::from_str_radix(octal, 8) {
                Ok(mode) if mode > 2 => Self::Mode(mode & 0o666),
                _ => Self::Umask,
            },
        }
    }

    #[cfg(unix)]
    pub(super) fn apply(self, path: &Path, is_dir: bool) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let Self::Mode(mode) = self else { return Ok(()) };
        let mode = if is_dir { mode | (mode & 0o444) >> 2 } else { mode };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    #[cfg(not(unix))]
    pub(super) fn apply(self, _: &Path, _: bool) -> io::Result<()> {
        Ok(())
    }
}

/// The LFS objects of one repository.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    sharing: Sharing,
    alternates: Vec<PathBuf>,
}

impl Store {
    /// A store in `dir`, which need not exist yet. `alternates` are the LFS directories of other repositories.
    pub fn new(dir: impl Into<PathBuf>, sharing: Sharing, alternates: Vec<PathBuf>) -> Self {
        Self { dir: dir.into(), sharing, alternates }
    }

    /// The LFS directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where temporary files go.
    pub fn tmp_dir(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Where an object has its place in this store, be it there or not.
    pub fn path_of(&self, oid: Oid) -> PathBuf {
        object_path(&self.dir, oid)
    }

    /// Where an object is, here or in an alternate: a regular file of exactly this length.
    ///
    /// # Errors
    /// What the system reports, but for the absence of the file.
    pub fn find(&self, oid: Oid, size: u64) -> io::Result<Option<PathBuf>> {
        for dir in std::iter::once(&self.dir).chain(&self.alternates) {
            let path = object_path(dir, oid);
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_file() && meta.len() == size => return Ok(Some(path)),
                Ok(_) => {}
                Err(err) if is_absence(&err) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(None)
    }

    /// A temporary file in the store; gone when dropped.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn temp(&self) -> Result<Temp, Error> {
        let dir = self.tmp_dir();
        self.make_dirs(&dir)?;
        Temp::new_in(&dir).map_err(Error::io("create a file in", dir))
    }

    /// Starts an object.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn create(&self) -> Result<NewObject, Error> {
        Ok(NewObject { place: Place::Temp(self.temp()?), store: self.clone() })
    }

    /// Goes on with an object that is made while `source` is downloaded; nothing yet if no run began it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn resumable(&self, source: Oid) -> Result<Resumable, Error> {
        Resumable::open(self, source)
    }

    /// What [`Resumable::save`] was told last of what is made of `source`. Nothing is made for it.
    pub fn journal(&self, source: Oid) -> Option<Vec<u8>> {
        resumable::journal(self, source)
    }

    /// Is there a file that is made of `source`, of this length?
    pub fn has_resumable(&self, source: Oid, size: u64) -> bool {
        let there = fs::symlink_metadata(resumable::path(self, source));
        there.is_ok_and(|there| there.is_file() && there.len() == size)
    }

    /// How many bytes the files take already of which one is made of `source`, and one is its download.
    pub fn taken(&self, source: Oid) -> [u64; 2] {
        [resumable::path(self, source), incomplete::path(self, source)].map(|path| space::taken(&path))
    }

    /// Can two files of the store share their blocks?
    pub fn shares_blocks(&self) -> bool {
        let (Ok(one), Ok(other)) = (self.temp(), self.temp()) else { return false };
        let written = one.file().write_all(&[1; 4096]);
        written.is_ok() && super::copy::share_blocks(one.file(), other.file())
    }

    /// Forgets the journal of what was made of `source`.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn forget(&self, source: Oid) -> Result<(), Error> {
        resumable::forget(self, source)
    }

    /// The object of this name, if it is in this store, to be read; it keeps its name.
    pub fn stored(&self, oid: Oid) -> Option<NewObject> {
        let path = self.path_of(oid);
        let is_file = fs::symlink_metadata(&path).is_ok_and(|there| there.is_file());
        let file = File::open(&path).ok().filter(|_| is_file)?;
        Some(NewObject { place: Place::Stored(file, path), store: self.clone() })
    }

    /// The object that was made so.
    pub fn create_from(&self, made: Resumable) -> NewObject {
        NewObject { place: Place::Resumable(made), store: self.clone() }
    }

    /// What an earlier run left of an object's download, to go on with; nothing yet if there was none.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn incomplete(&self, oid: Oid) -> Result<Incomplete, Error> {
        Incomplete::open(self, oid)
    }

    /// Removes an object.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn remove(&self, oid: Oid) -> Result<(), Error> {
        let path = self.path_of(oid);
        fs::remove_file(&path).map_err(Error::io("remove", path))
    }

    pub(super) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Removes what killed runs left in `tmp`, and in `incomplete` what nobody went on with for
    /// [`MAX_AGE`](resumable::MAX_AGE); nothing of a living one. Returns how many files that were.
    ///
    /// # Errors
    /// What the system reports about the directory.
    pub fn sweep(&self) -> io::Result<usize> {
        let old = resumable::sweep(self, SystemTime::now());
        Ok(old + temp::sweep(&self.tmp_dir(), |_| Ok(()))?)
    }

    /// Makes a directory inside the store with its parents, and hands each new name to the disk.
    pub(super) fn make_dirs(&self, dir: &Path) -> Result<(), Error> {
        match fs::create_dir(dir) {
            Ok(()) => {}
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(err) if err.kind() == io::ErrorKind::NotFound && dir.parent().is_some() => {
                self.make_dirs(dir.parent().unwrap_or(dir))?;
                match fs::create_dir(dir) {
                    Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
                    made => made.map_err(Error::io("create", dir))?,
                }
            }
            Err(err) => return Err(Error::io("create", dir)(err)),
        }
        self.sharing.apply(dir, true).map_err(Error::io("set the mode of", dir))?;
        sync_parent(dir).map_err(Error::io("sync the directory of", dir))
    }
}

/// An object whose name is not known yet: bytes in, then [`NewObject::commit`]. Dropped, it leaves nothing, unless a
/// later run can go on with it.
#[derive(Debug)]
pub struct NewObject {
    place: Place,
    store: Store,
}

#[derive(Debug)]
enum Place {
    Temp(Temp),
    Resumable(Resumable),
    /// It has its name already.
    Stored(File, PathBuf),
}

impl NewObject {
    /// The file, to hand to [`Writers`](super::Writers) or to read back.
    pub fn file(&self) -> &File {
        match &self.place {
            Place::Temp(temp) => temp.file(),
            Place::Resumable(made) => made.file(),
            Place::Stored(file, _) => file,
        }
    }

    fn path(&self) -> &Path {
        match &self.place {
            Place::Temp(temp) => temp.path(),
            Place::Resumable(made) => made.path(),
            Place::Stored(_, path) => path,
        }
    }

    /// Remembers that it is whole, for a later run that goes on with it: [`Resumable::save_whole`]. One that no later run
    /// finds is not remembered.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn save_whole(&self, journal: &[u8]) -> Result<(), Error> {
        match &self.place {
            Place::Resumable(made) => made.save_whole(journal),
            Place::Temp(_) | Place::Stored(..) => Ok(()),
        }
    }

    /// Removes what a later run could go on with. One that has its name stays: somebody else may need it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn discard(self) -> Result<(), Error> {
        match self.place {
            Place::Resumable(made) => made.discard(),
            Place::Temp(_) | Place::Stored(..) => Ok(()),
        }
    }

    /// Gives the object its name, after its length was checked and its bytes are on the disk. An object that is
    /// already there with that length is kept, and this one dropped. Returns where it is.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`] or [`Error::Io`]; then the store is as it was.
    pub fn commit(self, oid: Oid, size: u64) -> Result<PathBuf, Error> {
        let store = &self.store;
        let got = self.file().metadata().map_err(Error::io("read the length of", self.path()))?.len();
        if got != size {
            return Err(Error::SizeMismatch { oid, expected: size, got });
        }
        let path = store.path_of(oid);
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == size) {
            if let Place::Resumable(made) = self.place {
                made.superseded()?;
            }
            return Ok(path);
        }
        self.file().sync_data().map_err(Error::io("sync", self.path()))?;
        store.sharing.apply(self.path(), false).map_err(Error::io("set the mode of", self.path()))?;
        store.make_dirs(path.parent().unwrap_or(&store.dir))?;
        match self.place {
            Place::Temp(temp) => temp.rename(&path).map(drop).map_err(|(error, _)| error),
            Place::Resumable(made) => made.rename(&path),
            // It was there when it was opened.
            Place::Stored(..) => Err(io::ErrorKind::NotFound.into()),
        }
        .map_err(Error::io("rename an object to", &path))?;
        sync_parent(&path).map_err(Error::io("sync the directory of", &path))?;
        Ok(path)
    }
}

impl Write for NewObject {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn object_path(dir: &Path, oid: Oid) -> PathBuf {
    let name = oid.to_string();
    let (first, second) = (name.get(..2).unwrap_or_default(), name.get(2..4).unwrap_or_default());
    dir.join("objects").join(first).join(second).join(&name)
}

fn is_absence(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Hands the name of a file to the disk. Only Unix can sync a directory; elsewhere the rename is all there is.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(dir: &Path, sharing: Sharing) -> Store {
        Store::new(dir.join("lfs"), sharing, vec![dir.join("other/lfs")])
    }

    fn put(store: &Store, bytes: &[u8]) -> PathBuf {
        let mut object = store.create().unwrap();
        object.write_all(bytes).unwrap();
        object.commit(Oid::of(bytes), bytes.len() as u64).unwrap()
    }

    #[test]
    fn an_object_is_found_by_name_and_length() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), Sharing::Umask);
        let oid = Oid::of(b"abc");
        assert_eq!(store.find(oid, 3).unwrap(), None);
        let path = put(&store, b"abc");
        assert_eq!(path, dir.path().join(format!("lfs/objects/ba/78/{oid}")));
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(store.find(oid, 3).unwrap(), Some(path.clone()));
        assert_eq!(store.find(oid, 4).unwrap(), None);
        assert_eq!(put(&store, b"abc"), path);
        assert_eq!(fs::read_dir(store.tmp_dir()).unwrap().count(), 0);
    }

    #[test]
    fn an_alternate_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let other = Store::new(dir.path().join("other/lfs"), Sharing::Umask, Vec::new());
        let path = put(&other, b"abc");
        assert_eq!(store(dir.path(), Sharing::Umask).find(Oid::of(b"abc"), 3).unwrap(), Some(path));
    }

    #[test]
    fn a_short_object_gets_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), Sharing::Umask);
        let mut object = store.create().unwrap();
        object.write_all(b"ab").unwrap();
        let err = object.commit(Oid::of(b"abc"), 3).unwrap_err();
        assert!(matches!(err, Error::SizeMismatch { expected: 3, got: 2, .. }), "{err}");
        assert!(!store.dir().join("objects").exists());
        assert_eq!(fs::read_dir(store.tmp_dir()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_object_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), Sharing::Umask);
        let path = put(&store, b"abc");
        fs::write(&path, "a").unwrap();
        put(&store, b"abc");
        assert_eq!(fs::read(&path).unwrap(), b"abc");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_an_object_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), Sharing::Umask);
        let path = put(&store, b"abc");
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert_eq!(store.find(Oid::of(b"abc"), 3).unwrap(), None);
        put(&store, b"abc");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[cfg(unix)]
    #[test]
    fn rights_are_those_of_a_shared_repository() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("plain"), "").unwrap();
        fs::create_dir(dir.path().join("lfs")).unwrap();
        let path = put(&store(dir.path(), Sharing::Umask), b"abc");
        assert_eq!(mode(&path), mode(&dir.path().join("plain")));
        let path = put(&store(dir.path(), Sharing::parse("group")), b"defg");
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o660, 0o770));
        let path = put(&store(dir.path(), Sharing::parse("0640")), b"hij");
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o640, 0o750));
    }

    #[test]
    fn sharing_as_git_lfs_reads_it() {
        assert_eq!(Sharing::parse("umask"), Sharing::Umask);
        assert_eq!(Sharing::parse("false"), Sharing::Umask);
        assert_eq!(Sharing::parse("0"), Sharing::Umask);
        assert_eq!(Sharing::parse("World"), Sharing::Mode(0o664));
        assert_eq!(Sharing::parse("true"), Sharing::Mode(0o660));
    }
}
