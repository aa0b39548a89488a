//! [`Resumable`]: an object that is made while another one is downloaded, and what an earlier run left of it.
//!
//! ```text
//! <lfs>/incomplete/<source>.safetensors          the file, complete in some places
//! <lfs>/incomplete/<source>.safetensors.spool    what waits for the end of the download
//! <lfs>/incomplete/<source>.safetensors.json     how far it is: written after the others are on the disk
//! ```
//!
//! `<source>` is the oid of what it is made of: that of the object is not known before its end. An object that is whole may
//! wait here for others, with its journal; the journal then outlives its name, and is forgotten when nobody needs it.
//!
//! Invariants: one process at a time has these files (an advisory lock on the first), another one gets files of its own
//! that are gone when dropped; a link in their place is not followed; the journal speaks of bytes that are on the disk. It
//! does not know what the journal says. What nobody went on with for [`MAX_AGE`] is removed.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::incomplete::{Access, lock};
use super::store::{Error, Store};
use super::temp::Temp;
use crate::hash::Oid;

/// The longest journal that is read.
const MAX_JOURNAL: u64 = 64 << 20;

/// How long the files wait for a run that goes on with them.
pub const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The file of an object. Dropped, it stays for a later run.
#[derive(Debug)]
pub struct Resumable {
    place: Place,
    store: Store,
    /// Does the journal outlive the name that the file gets?
    is_whole: Cell<bool>,
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
        let dir = dir(store);
        store.make_dirs(&dir)?;
        let path = path(store, source);
        let place = match lock(&path, Access::Anywhere).map_err(Error::io("open", &path))? {
            Some(file) => Place::Named(file, path),
            None => Place::Own(store.temp()?),
        };
        Ok(Self { place, store: store.clone(), is_whole: Cell::new(false) })
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
        read(&self.beside("json")?)
    }

    /// Empties the file, and forgets what was in it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn clear(&self) -> Result<(), Error> {
        self.forget()?;
        self.file().set_len(0).map_err(Error::io("empty", self.path()))
    }

    /// Remembers that the file is whole: it may wait for its name, and `journal` stays until
    /// [`Store::forget`](super::Store::forget).
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn save_whole(&self, journal: &[u8]) -> Result<(), Error> {
        self.file().sync_data().map_err(Error::io("sync", self.path()))?;
        self.forget()?;
        self.save(journal)?;
        self.keep_journal();
        Ok(())
    }

    /// Lets the journal outlive the name that the file gets.
    pub fn keep_journal(&self) {
        self.is_whole.set(matches!(self.place, Place::Named(..)));
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

    /// Removes the file, because another one has its name and content already.
    pub(super) fn superseded(self) -> Result<(), Error> {
        if !self.is_whole.get() {
            return self.discard();
        }
        fs::remove_file(self.path()).map_err(Error::io("remove", self.path()))
    }

    /// Gives the file its final name, and removes what lies beside it; not the journal of one that was whole.
    pub(super) fn rename(self, to: &Path) -> io::Result<()> {
        if !self.is_whole.get() {
            // A journal without its file is of no use, and harms nobody.
            let _left = self.forget();
        }
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

fn dir(store: &Store) -> PathBuf {
    store.dir().join("incomplete")
}

/// Where the file made of `source` is, or would be.
pub(super) fn path(store: &Store, source: Oid) -> PathBuf {
    dir(store).join(format!("{source}.safetensors"))
}

/// The journal of what is made of `source`, whoever has the file.
pub(super) fn journal(store: &Store, source: Oid) -> Option<Vec<u8>> {
    read(&path(store, source).with_extension("safetensors.json"))
}

/// Removes it.
pub(super) fn forget(store: &Store, source: Oid) -> Result<(), Error> {
    let path = path(store, source).with_extension("safetensors.json");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path)(error)),
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

/// Removes what nobody went on with since `now` less [`MAX_AGE`], and nothing that a living process has. Returns how
/// many files that were. What cannot be removed stays for another run.
pub(super) fn sweep(store: &Store, now: SystemTime) -> usize {
    let Some(limit) = now.checked_sub(MAX_AGE) else { return 0 };
    let is_old = |path: &Path| {
        let changed = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        changed.is_ok_and(|changed| changed < limit)
    };
    let mut removed = 0;
    for entry in fs::read_dir(dir(store)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(source) = name.to_str().and_then(|name| name.split_once(".safetensors")) else { continue };
        let (Ok(source), "" | ".json" | ".spool") = (source.0.parse::<Oid>(), source.1) else { continue };
        let file = path(store, source);
        let of_it = ["safetensors.json", "safetensors.spool"].map(|extension| file.with_extension(extension));
        // All of them together: a journal is younger than a file that is written at its beginning alone.
        if !of_it
            .iter()
            .chain([&file])
            .filter(|path| path.symlink_metadata().is_ok())
            .all(|path| is_old(path))
        {
            continue;
        }
        let Ok(owner) = File::open(&file).or_else(|_| File::open(entry.path())) else { continue };
        if owner.try_lock().is_ok() {
            let gone = of_it.iter().chain([&file]).filter(|path| fs::remove_file(path).is_ok());
            removed += gone.count();
        }
    }
    removed
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

    #[test]
    fn what_nobody_goes_on_with_is_removed_when_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let (store, alive) = (store(dir.path()), Oid::of(b"alive"));
        let left = store.resumable(Oid::of(b"left")).unwrap();
        left.spool().unwrap();
        left.save(b"{}").unwrap();
        drop(left);
        store.resumable(Oid::of(b"bare")).unwrap();
        let alive = store.resumable(alive).unwrap();
        let theirs = ["x.safetensors".to_owned(), format!("{}.part", Oid::of(b"part"))];
        let names = dir.path().join("lfs/incomplete");
        for name in &theirs {
            fs::write(names.join(name), "theirs").unwrap();
        }
        let (now, soon) = (SystemTime::now(), Duration::from_secs(60));
        assert_eq!(sweep(&store, now + MAX_AGE - soon), 0);
        assert_eq!(sweep(&store, now + MAX_AGE + soon), 4);
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
        let (store, source) = (store(dir.path()), Oid::of(b"source"));
        let made = store.resumable(source).unwrap();
        made.file().write_all(b"abc").unwrap();
        made.spool().unwrap().write_all(b"spool").unwrap();
        made.save_whole(b"whole").unwrap();
        assert_eq!(store.journal(source).as_deref(), Some(b"whole".as_slice()));
        store.create_from(made).commit(Oid::of(b"abc"), 3).unwrap();
        assert_eq!(store.journal(source).as_deref(), Some(b"whole".as_slice()));
        store.forget(source).unwrap();
        store.forget(source).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("lfs/incomplete")).unwrap().count(), 0);
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
