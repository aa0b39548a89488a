//! [`NewObject`] is an LFS object whose name is not known yet; [`Resumable`] is one that is made while another is
//! downloaded, with the part that an earlier run made.
//!
//! ```text
//! <lfs>/tmp/st-convert-…                         an object that no later run resumes
//! <lfs>/incomplete/<source>.safetensors          the file, parts of which are complete
//! <lfs>/incomplete/<source>.safetensors.spool    the bytes that wait for the end of the download
//! <lfs>/incomplete/<source>.safetensors.json     the progress: written after the others are on the disk
//! ```
//!
//! `<source>` is the object ID of the source: that of the new object is not known before its end. A complete object may
//! wait here for others, with its journal; the journal then outlives its name, and is removed when it is no longer
//! needed.
//!
//! Invariants: one process at a time has these files (a `Claim` on the first), any other process gets files of its own
//! that are removed when dropped; a link at their path is not followed; the journal describes bytes that are on the
//! disk. The module does not know the contents of the journal, and it does not hash. Files that no run resumed for
//! [`MAX_AGE`] are removed.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::claim::{Access, Claim, lock};
use super::exclusive;
use super::space;
use super::store::{Error, Store};
use super::temp::{self, Temp};
use crate::hash::Oid;

/// The longest journal that is read.
const MAX_JOURNAL: u64 = 64 << 20;

/// How long the files wait for a run that resumes them.
pub const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// An LFS object whose name is not known yet: write its bytes, then call [`NewObject::commit`]. If dropped, it leaves
/// nothing, unless a later run can resume it.
#[derive(Debug)]
pub struct NewObject {
    backing: Backing,
    store: Store,
}

#[derive(Debug)]
enum Backing {
    Temp(Temp),
    Resumable(Resumable),
    /// It has its name already.
    Stored(File, PathBuf),
}

impl NewObject {
    /// Starts an object.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn create(store: &Store) -> Result<Self, Error> {
        Ok(Self { backing: Backing::Temp(store.temp()?), store: store.clone() })
    }

    /// Opens the object of this name for reading, if this storage contains it; it keeps its name.
    pub fn stored(store: &Store, oid: Oid) -> Option<Self> {
        let path = store.path_of(oid);
        let is_file = fs::symlink_metadata(&path).is_ok_and(|there| there.is_file());
        let file = File::open(&path).ok().filter(|_| is_file)?;
        Some(Self { backing: Backing::Stored(file, path), store: store.clone() })
    }

    /// Returns the file, for [`Writers`](super::Writers) or to read it back.
    pub fn file(&self) -> &File {
        match &self.backing {
            Backing::Temp(temp) => temp.file(),
            Backing::Resumable(made) => made.file(),
            Backing::Stored(file, _) => file,
        }
    }

    fn path(&self) -> &Path {
        match &self.backing {
            Backing::Temp(temp) => temp.path(),
            Backing::Resumable(made) => made.path(),
            Backing::Stored(_, path) => path,
        }
    }

    /// Records that it is complete, for a later run that resumes it: [`Resumable::save_whole`]. One that no later run
    /// can find is not recorded.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn save_whole(&self, journal: &[u8]) -> Result<(), Error> {
        match &self.backing {
            Backing::Resumable(made) => made.save_whole(journal),
            Backing::Temp(_) | Backing::Stored(..) => Ok(()),
        }
    }

    /// Removes everything that a later run could resume. An object that has its name stays: others may need it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn discard(self) -> Result<(), Error> {
        match self.backing {
            Backing::Resumable(made) => made.discard(),
            Backing::Temp(_) | Backing::Stored(..) => Ok(()),
        }
    }

    /// Gives the object its name, after its length was checked and its bytes are on the disk. If the object exists
    /// already with that length, it is kept, and this one dropped. Returns the path of the object.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`] or [`Error::Io`]; then the storage is unchanged.
    pub fn commit(self, oid: Oid, size: u64) -> Result<PathBuf, Error> {
        let got = self.file().metadata().map_err(Error::io("read the length of", self.path()))?.len();
        if got != size {
            return Err(Error::SizeMismatch { oid, expected: size, got });
        }
        if let Some(path) = self.store.stored(oid, size) {
            if let Backing::Resumable(made) = self.backing {
                made.superseded()?;
            }
            return Ok(path);
        }
        self.store.finish(self.file(), self.path())?;
        let Self { backing, store } = self;
        store.name(oid, |path| match backing {
            Backing::Temp(temp) => temp.rename(path).map(drop).map_err(|(error, _)| error),
            Backing::Resumable(made) => made.rename(path),
            // It existed when it was opened.
            Backing::Stored(..) => Err(io::ErrorKind::NotFound.into()),
        })
    }
}

impl From<Resumable> for NewObject {
    fn from(made: Resumable) -> Self {
        Self { store: made.store.clone(), backing: Backing::Resumable(made) }
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

/// The file of an object. If dropped, it stays for a later run.
#[derive(Debug)]
pub struct Resumable {
    claim: Claim,
    store: Store,
    /// The journal outlives the name that the file gets.
    is_whole: Cell<bool>,
}

impl Resumable {
    /// Resumes an object that is made while `source` is downloaded; it is empty if no run began it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn open(store: &Store, source: Oid) -> Result<Self, Error> {
        let claim = Claim::open(store, path(store, source), Access::Anywhere)?;
        Ok(Self { claim, store: store.clone(), is_whole: Cell::new(false) })
    }

    /// Returns `true` if a file of this length exists that is made from `source`.
    pub fn is_there(store: &Store, source: Oid, size: u64) -> bool {
        let there = fs::symlink_metadata(path(store, source));
        there.is_ok_and(|there| there.is_file() && there.len() == size)
    }

    /// Returns how many bytes on the disk the object made from `source` uses already.
    pub fn taken(store: &Store, source: Oid) -> u64 {
        space::taken(&path(store, source))
    }

    /// Returns the last journal that [`Resumable::save`] wrote for `source`, whichever process has the file.
    pub fn journal_of(store: &Store, source: Oid) -> Option<Vec<u8>> {
        read(&journal_path(store, source))
    }

    /// Returns the sources with a journal and without a file, because it was renamed or removed.
    pub fn journals_alone(store: &Store) -> Vec<Oid> {
        let of_journal = |entry: fs::DirEntry| {
            let name = entry.file_name();
            let source: Oid = name.to_str()?.strip_suffix(".safetensors.json")?.parse().ok()?;
            path(store, source).symlink_metadata().is_err().then_some(source)
        };
        fs::read_dir(store.incomplete_dir()).into_iter().flatten().flatten().filter_map(of_journal).collect()
    }

    /// Removes the journal.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn forget_journal(store: &Store, source: Oid) -> Result<(), Error> {
        remove(&journal_path(store, source))
    }

    /// Returns the file.
    pub fn file(&self) -> &File {
        self.claim.file()
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Opens the spool, with the bytes of an earlier run.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn spool(&self) -> Result<File, Error> {
        let Some(path) = self.beside("spool") else {
            let temp = self.store.temp()?;
            return temp.file().try_clone().map_err(Error::io("open", temp.path()));
        };
        // The process that has the first file has this one, too.
        let opened = lock(&path, Access::Anywhere).map_err(Error::io("open", &path))?;
        opened.ok_or_else(|| Error::io("lock", &path)(io::ErrorKind::WouldBlock.into()))
    }

    /// Returns the last journal that [`Resumable::save`] wrote.
    pub fn journal(&self) -> Option<Vec<u8>> {
        read(&self.beside("json")?)
    }

    /// Empties the file, and removes its journal.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn clear(&self) -> Result<(), Error> {
        self.forget()?;
        self.claim.file().set_len(0).map_err(Error::io("empty", self.claim.path()))
    }

    /// Records that the file is complete: it may wait for its name, and `journal` stays until
    /// [`Resumable::forget_journal`].
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn save_whole(&self, journal: &[u8]) -> Result<(), Error> {
        self.claim.file().sync_data().map_err(Error::io("sync", self.claim.path()))?;
        self.forget()?;
        self.save(journal)?;
        self.keep_journal();
        Ok(())
    }

    /// Lets the journal outlive the name that the file gets.
    pub fn keep_journal(&self) {
        self.is_whole.set(self.claim.named().is_some());
    }

    /// Records how much of the file is written, whose bytes are on the disk. Does nothing for a temporary file.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn save(&self, journal: &[u8]) -> Result<(), Error> {
        let Some(path) = self.beside("json") else { return Ok(()) };
        let temp = self.store.temp()?;
        temp.file()
            .write_all(journal)
            .and_then(|()| temp.file().sync_data())
            .map_err(Error::io("write", temp.path()))?;
        temp.rename(&path).map(drop).map_err(|(source, _)| Error::io("write", &path)(source))
    }

    /// Removes the journal and the other files of the object.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn forget(&self) -> Result<(), Error> {
        ["json", "spool"]
            .iter()
            .filter_map(|extension| self.beside(extension))
            .try_for_each(|path| remove(&path))
    }

    /// Removes the file and all files next to it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn discard(self) -> Result<(), Error> {
        self.forget()?;
        self.claim.discard()
    }

    /// Removes the file, because another one has its name and content already.
    fn superseded(self) -> Result<(), Error> {
        if !self.is_whole.get() {
            return self.discard();
        }
        fs::remove_file(self.claim.path()).map_err(Error::io("remove", self.claim.path()))
    }

    /// Gives the file its final name, and removes the files next to it, except the journal of a complete one.
    fn rename(self, to: &Path) -> io::Result<()> {
        if !self.is_whole.get() {
            // A journal without its file has no use and no effect.
            let _left = self.forget();
        }
        self.claim.rename(to)
    }

    fn beside(&self, extension: &str) -> Option<PathBuf> {
        Some(self.claim.named()?.with_extension(format!("safetensors.{extension}")))
    }
}

/// Returns the path of the object made from `source`, whether it exists or not.
fn path(store: &Store, source: Oid) -> PathBuf {
    store.incomplete_dir().join(format!("{source}.safetensors"))
}

fn journal_path(store: &Store, source: Oid) -> PathBuf {
    path(store, source).with_extension("safetensors.json")
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let metadata = fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > MAX_JOURNAL {
        return None;
    }
    let mut journal = Vec::new();
    File::open(path).ok()?.take(MAX_JOURNAL).read_to_end(&mut journal).ok()?;
    Some(journal)
}

/// Removes the files of killed runs in `tmp`, and files in `incomplete` that no run resumed for [`MAX_AGE`]; never
/// files of a living process. Returns how many files it removed.
///
/// # Errors
/// The error of the system about the directory.
pub fn sweep(store: &Store) -> io::Result<usize> {
    let old = sweep_old(store, SystemTime::now());
    Ok(old + temp::sweep(&store.tmp_dir(), |_| Ok(()))?)
}

/// Removes files that no run resumed for [`MAX_AGE`] before `now`, and that no living process has. Returns how many
/// files it removed. Files that cannot be removed stay for another run.
fn sweep_old(store: &Store, now: SystemTime) -> usize {
    let Some(limit) = now.checked_sub(MAX_AGE) else { return 0 };
    let is_old = |path: &Path| {
        let changed = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        changed.is_ok_and(|changed| changed < limit)
    };
    let mut removed = 0;
    for entry in fs::read_dir(store.incomplete_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(source) = name.to_str().and_then(|name| name.split_once(".safetensors")) else { continue };
        let (Ok(source), "" | ".json" | ".spool") = (source.0.parse::<Oid>(), source.1) else { continue };
        let file = path(store, source);
        let of_it = ["safetensors.json", "safetensors.spool"].map(|extension| file.with_extension(extension));
        // All of them together: a journal is newer than a file that is written only at its beginning.
        if !of_it
            .iter()
            .chain([&file])
            .filter(|path| path.symlink_metadata().is_ok())
            .all(|path| is_old(path))
        {
            continue;
        }
        let owner = exclusive::open_abandoned(&file).or_else(|_| exclusive::open_abandoned(&entry.path()));
        if matches!(owner, Ok(Some(_))) {
            let gone = of_it.iter().chain([&file]).filter(|path| fs::remove_file(path).is_ok());
            removed += gone.count();
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::super::store::Sharing;
    use super::*;

    fn store(dir: &Path, sharing: Sharing) -> Store {
        Store::new(dir.join("lfs"), sharing, vec![dir.join("other/lfs")])
    }

    fn put(store: &Store, bytes: &[u8]) -> PathBuf {
        let mut object = NewObject::create(store).unwrap();
        object.write_all(bytes).unwrap();
        object.commit(Oid::of(bytes), bytes.len() as u64).unwrap()
    }

    #[test]
    fn what_was_left_is_found_again_and_gone_when_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (store, source) = (store(dir.path(), Sharing::Umask), Oid::of(b"source"));
        let first = Resumable::open(&store, source).unwrap();
        assert_eq!(first.journal(), None);
        first.file().write_all(b"abc").unwrap();
        first.spool().unwrap().write_all(b"spool").unwrap();
        first.save(b"{}").unwrap();
        drop(first);
        let second = Resumable::open(&store, source).unwrap();
        assert_eq!(second.journal().as_deref(), Some(b"{}".as_slice()));
        assert_eq!(second.spool().unwrap().metadata().unwrap().len(), 5);
        let object = NewObject::from(second);
        let path = object.commit(Oid::of(b"abc"), 3).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"abc");
        assert_eq!(fs::read_dir(dir.path().join("lfs/incomplete")).unwrap().count(), 0);
    }

    #[test]
    fn a_second_process_gets_files_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (store, source) = (store(dir.path(), Sharing::Umask), Oid::of(b"source"));
        let first = Resumable::open(&store, source).unwrap();
        first.file().write_all(b"abc").unwrap();
        let second = Resumable::open(&store, source).unwrap();
        assert_ne!(first.path(), second.path());
        second.save(b"{}").unwrap();
        assert_eq!((first.journal(), second.journal()), (None, None));
        second.spool().unwrap().write_all(b"x").unwrap();
        drop(second);
        first.discard().unwrap();
        assert_eq!(fs::read_dir(dir.path().join("lfs/incomplete")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(store.tmp_dir()).unwrap().count(), 0);
    }

    #[test]
    fn what_nobody_goes_on_with_is_removed_when_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let (store, alive) = (store(dir.path(), Sharing::Umask), Oid::of(b"alive"));
        let left = Resumable::open(&store, Oid::of(b"left")).unwrap();
        left.spool().unwrap();
        left.save(b"{}").unwrap();
        drop(left);
        Resumable::open(&store, Oid::of(b"bare")).unwrap();
        let alive = Resumable::open(&store, alive).unwrap();
        let theirs = ["x.safetensors".to_owned(), format!("{}.part", Oid::of(b"part"))];
        let names = dir.path().join("lfs/incomplete");
        for name in &theirs {
            fs::write(names.join(name), "theirs").unwrap();
        }
        let (now, soon) = (SystemTime::now(), Duration::from_secs(60));
        assert_eq!(sweep_old(&store, now + MAX_AGE - soon), 0);
        assert_eq!(sweep_old(&store, now + MAX_AGE + soon), 4);
        let mut stay: Vec<_> = fs::read_dir(&names).unwrap().map(|entry| entry.unwrap().path()).collect();
        let mut expected: Vec<_> = theirs.iter().map(|name| names.join(name)).collect();
        expected.push(alive.path().to_owned());
        stay.sort();
        expected.sort();
        assert_eq!(stay, expected);
    }

    #[test]
    fn one_that_is_whole_keeps_its_journal_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (store, source) = (store(dir.path(), Sharing::Umask), Oid::of(b"source"));
        let made = Resumable::open(&store, source).unwrap();
        made.file().write_all(b"abc").unwrap();
        made.spool().unwrap().write_all(b"spool").unwrap();
        made.save_whole(b"whole").unwrap();
        assert_eq!(Resumable::journal_of(&store, source).as_deref(), Some(b"whole".as_slice()));
        NewObject::from(made).commit(Oid::of(b"abc"), 3).unwrap();
        assert_eq!(Resumable::journal_of(&store, source).as_deref(), Some(b"whole".as_slice()));
        Resumable::forget_journal(&store, source).unwrap();
        Resumable::forget_journal(&store, source).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("lfs/incomplete")).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (store, source) = (store(dir.path(), Sharing::Umask), Oid::of(b"source"));
        let first = Resumable::open(&store, source).unwrap();
        let path = first.path().to_owned();
        first.discard().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "theirs").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, path.with_extension("safetensors.spool")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, path.with_extension("safetensors.json")).unwrap();
        let again = Resumable::open(&store, source).unwrap();
        again.file().write_all(b"ours").unwrap();
        again.spool().unwrap().write_all(b"ours").unwrap();
        assert_eq!(again.journal(), None);
        again.save(b"ours").unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"theirs");
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
        let mut object = NewObject::create(&store).unwrap();
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
}
