//! [`Judge`] checks one file: a pointer by its object, a blob by its bytes, and a missing one by its name.
//!
//! Invariant: of a long blob the first bytes are read; if they show nothing dangerous, the file of the working tree if git
//! considers it unchanged, or (up to a limit) the whole blob.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use bstr::{BStr, ByteSlice as _};

use super::super::arrivals::{Arrival, Speaking};
use super::super::checkouts::{Blob, Checkouts};
use super::super::{Error, content};
use super::judged::{Bytes, Judged, by_name, converted, judged};
use crate::git::{Git, command, incoming};
use crate::lfs::{Pointer, Store, pointer};
use crate::read_at::{FileSource, ReadAt};
use crate::repo::{Database, Entry, Filter, Found, Mode, ObjectId, Repo, Version};
use crate::scan::{self, Limits, Report};

/// A blob up to this length is read completely.
const SMALL: u64 = 16 << 20;
/// A blob up to this length is read completely if its first bytes do not decide.
pub(super) const WHOLE: u64 = 256 << 20;
/// The longest exceptions file.
const MAX_ALLOW: u64 = 16 << 20;

pub(super) struct Judge<'a> {
    git: &'a Git<'a>,
    repo: &'a Repo,
    pub(super) database: Database,
    pub(super) store: Store,
    entries: OnceCell<Vec<Entry>>,
    pub(super) limits: Limits,
}

impl<'a> Judge<'a> {
    pub(super) fn new(git: &'a Git<'a>, repo: &'a Repo) -> Result<Self, Error> {
        let alternates = command::alternate_object_directories();
        let own = command::object_directory();
        let dirs: Vec<PathBuf> =
            own.into_iter().chain(alternates.clone()).map(|dir| git.dir().join(dir)).collect();
        let database = repo.database(&dirs)?;
        let store = repo.store_with(alternates);
        Ok(Self { git, repo, database, store, entries: OnceCell::new(), limits: Limits::default() })
    }

    /// Returns the entry of a path in the index.
    pub(super) fn entry(&self, path: &BStr) -> Result<Option<&Entry>, Error> {
        let entries = self.entries()?;
        // An unmerged path has stages here, none of them 0.
        let at = entries.binary_search_by(|entry| (entry.path.as_bstr(), entry.stage).cmp(&(path, 0)));
        Ok(at.ok().and_then(|at| entries.get(at)))
    }

    /// Returns the index. Reading a long index takes longer than checking most blobs, so it is read only if needed.
    pub(super) fn entries(&self) -> Result<&[Entry], Error> {
        if self.entries.get().is_none() {
            let _first =
                self.entries.set(if self.repo.is_bare() { Vec::new() } else { self.repo.entries()? });
        }
        Ok(self.entries.get().map(Vec::as_slice).unwrap_or_default())
    }

    /// Reads a small file that was committed or staged.
    pub(super) fn text(&mut self, blob: ObjectId, path: &str) -> Result<Vec<u8>, Error> {
        match self.database.find(blob, MAX_ALLOW)? {
            Found::Blob(text) => Ok(text),
            Found::Large(size) => {
                Err(crate::repo::Error::BlobTooLarge { id: blob, size, limit: MAX_ALLOW }.into())
            }
            Found::Other | Found::Missing => Err(Error::AllowMissing { file: path.to_owned() }),
        }
    }

    /// Checks a named file: in the index, or in the working tree.
    pub(super) fn named(
        &mut self,
        cwd: &Path,
        given: &OsStr,
        checkouts: &mut Checkouts<'_>,
    ) -> Result<Option<Judged>, Error> {
        let path = self.repo.path_of(cwd, given)?;
        if let Some(entry) = self.entry(path.as_bstr())? {
            let version = Version { mode: entry.mode, id: entry.id };
            if version.mode == Mode::Submodule {
                return Ok(None);
            }
            return self.arrival(&Arrival::of(path, version, Speaking::Index), checkouts);
        }
        let file = self.repo.target(path.as_bstr())?.path();
        let failed = Error::io("read", &file);
        if file.symlink_metadata().map_err(failed)?.is_file() {
            let source = File::open(&file).and_then(FileSource::new).map_err(failed)?;
            if source.len() < pointer::MAX_LEN as u64 {
                let len = usize::try_from(source.len()).unwrap_or(0);
                let text = source.read_vec_at(0, len).map_err(failed)?;
                return self.small(path.as_bstr(), None, text).map(Some);
            }
            return self.content(path.as_bstr(), None, Bytes::File(source)).map(Some);
        }
        Ok(None)
    }

    /// Checks a version of a file, and what checkouts make of it; `None` if nothing is to be checked.
    pub(super) fn arrival(
        &mut self,
        arrival: &Arrival,
        checkouts: &mut Checkouts<'_>,
    ) -> Result<Option<Judged>, Error> {
        let (path, id) = (arrival.path.as_bstr(), arrival.version.id);
        let judged = match self.database.find(id, SMALL)? {
            Found::Blob(bytes) => self.whole(arrival, bytes, checkouts)?,
            Found::Large(size) => {
                let head = match self.database.prefix(id, scan::HEAD) {
                    Some(head) => head,
                    None => incoming::head_of(self.git, id, scan::HEAD)?,
                };
                let judged = match arrival.before {
                    None => Some(self.large(path, id, size, &head)?),
                    Some(_) => None,
                };
                match judged {
                    Some(judged) if judged.is_worth_a_word => Some(judged),
                    judged => {
                        let worst = checkouts.worst(arrival, Blob::Head(&head, size))?;
                        worst.map(|worst| converted(path, id, worst)).or(judged)
                    }
                }
            }
            Found::Other => None,
            Found::Missing => Some(by_name(path, Some(id), None, "its content is not in this clone")),
        };
        Ok(judged.map(|mut judged| {
            judged.finding.commit = arrival.commit;
            judged.finding.attributes.clone_from(&arrival.by);
            judged
        }))
    }

    /// Checks a blob in memory.
    fn whole(
        &mut self,
        arrival: &Arrival,
        bytes: Vec<u8>,
        checkouts: &mut Checkouts<'_>,
    ) -> Result<Option<Judged>, Error> {
        let (path, id) = (arrival.path.as_bstr(), arrival.version.id);
        // A link that is checked out as a file has its text, whatever that is.
        let is_link = arrival.version.mode == Mode::Symlink;
        let is_pointer = || matches!(Pointer::parse(&bytes), Ok(_) | Err(pointer::Error::Extension { .. }));
        if !is_link && bytes.len() < pointer::MAX_LEN && is_pointer() {
            // The text of a pointer is not a pickle, in any encoding.
            let is_new = arrival.before.is_none() || checkouts.becomes_lfs(arrival)?;
            return is_new.then(|| self.small(path, Some(id), bytes)).transpose();
        }
        if arrival.before.is_some() {
            let worst = checkouts.worst(arrival, Blob::Whole(&bytes))?;
            return Ok(worst.map(|worst| converted(path, id, worst)));
        }
        let judged = self.content(path, Some(id), Bytes::Memory(bytes))?;
        if judged.is_worth_a_word {
            return Ok(Some(judged));
        }
        let Bytes::Memory(bytes) = &judged.content else { return Ok(Some(judged)) };
        let worst = checkouts.worst(arrival, Blob::Whole(bytes))?;
        Ok(Some(worst.map_or(judged, |worst| converted(path, id, worst))))
    }

    /// Checks a file that may be a pointer.
    fn small(&mut self, path: &BStr, blob: Option<ObjectId>, bytes: Vec<u8>) -> Result<Judged, Error> {
        let pointer = match Pointer::parse(&bytes) {
            Ok(pointer) => pointer,
            Err(pointer::Error::Extension { .. }) => {
                return Ok(by_name(path, blob, None, "its pointer uses an extension of Git LFS"));
            }
            Err(_) => return self.content(path, blob, Bytes::Memory(bytes)),
        };
        let stored = self.store.path_of(pointer.oid);
        let failed = Error::io("read", &stored);
        let object = match self.store.find(pointer.oid, pointer.size).map_err(failed)? {
            Some(object) => Some(File::open(&object).and_then(FileSource::new).map_err(failed)?),
            None => self.content_beside(path, blob, pointer)?,
        };
        let Some(object) = object else {
            return Ok(by_name(path, blob, Some(pointer), "its content is not here"));
        };
        let mut judged = self.content(path, blob, Bytes::File(object))?;
        judged.finding.is_lfs = true;
        judged.finding.oid = Some(pointer.oid);
        Ok(judged)
    }

    /// Returns the file of the working tree, if it is the content of a staged pointer: git considers it unchanged, or
    /// it has that SHA-256.
    fn content_beside(
        &self,
        path: &BStr,
        blob: Option<ObjectId>,
        pointer: Pointer,
    ) -> Result<Option<FileSource>, Error> {
        let Some(file) = self.beside(path, pointer.size) else { return Ok(None) };
        if let Some(blob) = blob
            && self.is_unchanged(path, blob)?
        {
            return Ok(Some(file));
        }
        // For a long file, this is useful only if it contains something to reject.
        let is_clean = |report: Report| report.verdict == scan::Verdict::Clean;
        if pointer.size > SMALL && scan::scan(&file, &self.limits).is_ok_and(is_clean) {
            return Ok(None);
        }
        Ok(content::oid(&file, &()).is_ok_and(|oid| oid == pointer.oid).then_some(file))
    }

    /// Opens the file of the working tree, if it has this length.
    fn beside(&self, path: &BStr, size: u64) -> Option<FileSource> {
        if self.repo.is_bare() {
            return None;
        }
        let file = self.repo.target(path).ok()?.path();
        let is_same = file.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == size);
        is_same.then(|| File::open(file).and_then(FileSource::new).ok()).flatten()
    }

    /// Returns `true` if the index has this blob at this path, and git considers the file of the working tree
    /// unchanged.
    fn is_unchanged(&self, path: &BStr, blob: ObjectId) -> Result<bool, Error> {
        let Some(entry) = self.entry(path)?.filter(|entry| entry.id == blob) else { return Ok(false) };
        Ok(self.repo.target(path).is_ok_and(|target| self.repo.is_unchanged(entry, &target.path())))
    }

    /// Checks a blob that is too long to be read without need.
    fn large(&mut self, path: &BStr, blob: ObjectId, size: u64, head: &[u8]) -> Result<Judged, Error> {
        let by_head = scan::scan_head(head, size, &self.limits);
        let beside = self.beside(path, size).filter(|file| starts_with(file, head));
        // Its last bytes are not in the head.
        if let Some(file) = beside
            && self.is_unchanged(path, blob)?
            && self.has_no_filter(path)
        {
            return self.content(path, Some(blob), Bytes::File(file));
        }
        let by_head = match by_head {
            Some(report) if !report.depends_on_rest() => {
                return Ok(judged(path, Some(blob), size, report, Bytes::None));
            }
            by_head => by_head,
        };
        if let Found::Blob(bytes) = self.database.find(blob, WHOLE)? {
            return self.content(path, Some(blob), Bytes::Memory(bytes));
        }
        if let Some(report) = by_head {
            return Ok(judged(path, Some(blob), size, report, Bytes::None));
        }
        let report = Report {
            verdict: scan::Verdict::Unreadable,
            reason: Some("it is too long to be read from the object database".to_owned()),
            ..Report::default()
        };
        Ok(judged(path, Some(blob), size, report, Bytes::None))
    }

    /// Returns `true` if the file of the working tree equals the staged blob byte for byte.
    fn has_no_filter(&self, path: &BStr) -> bool {
        let filters = self.entries().ok().map(|entries| self.repo.filters_among(entries, &[path.to_owned()]));
        matches!(filters, Some(Ok(filters)) if filters == [Filter::Unspecified])
    }

    fn content(&self, path: &BStr, blob: Option<ObjectId>, bytes: Bytes) -> Result<Judged, Error> {
        let source: &dyn ReadAt = match &bytes {
            Bytes::Memory(bytes) => bytes,
            Bytes::File(file) => file,
            Bytes::None => &Vec::new(),
        };
        let size = source.len();
        let name = path.to_str_lossy();
        let report = scan::scan(source, &self.limits).map_err(Error::io("read", name.as_ref()))?;
        Ok(judged(path, blob, size, report, bytes))
    }
}

fn starts_with(file: &FileSource, head: &[u8]) -> bool {
    file.read_vec_at(0, head.len()).is_ok_and(|bytes| bytes == head)
}
