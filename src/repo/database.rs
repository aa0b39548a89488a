//! [`Database`] reads the objects that a hook sees, including those in quarantine, and in bare repositories.
//!
//! Invariant: nothing is written or fetched, and no object longer than the caller's limit is read. The objects of a
//! commit that is being received are in a separate directory, which only an environment variable of git names.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use bstr::BString;
use flate2::read::ZlibDecoder;
use gix::objs::{CommitRefIter, Find as _, FindHeader as _, Kind, TreeRefIter};
use gix::odb::pack::{self, data::entry::Header};

use super::short_blobs::{ShortBlobs, loose_path};
use super::{Error, Mode, ObjectId, Repo, Result, Version};

/// The most bytes of a file that is read at once.
const SHORT: u64 = 32 << 10;

/// The objects of a repository, and of other object directories.
#[derive(Clone)]
pub struct Database {
    places: Vec<gix::odb::Handle>,
    buf: Vec<u8>,
}

/// The object of an ID.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A blob of at most the limit.
    Blob(Vec<u8>),
    /// A blob of this length, which is above the limit.
    Large(u64),
    /// A tree, a commit or a tag.
    Other,
    /// No object: a partial clone left it out.
    Missing,
}

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeEntry {
    pub(super) name: BString,
    /// `None` for a tree.
    pub(super) mode: Option<Mode>,
    pub(super) id: ObjectId,
}

impl Repo {
    /// Finds the repository of a hook: as [`Repo::discover`], but it may be bare, and then [`Repo::work_dir`] is its
    /// git directory.
    ///
    /// # Errors
    /// [`Error::NotTrusted`], [`Error::UnsupportedFormat`], or [`Error::Open`].
    pub fn discover_for_hook(dir: &Path) -> Result<Option<Self>> {
        let Some(inner) = super::open::open(dir)? else { return Ok(None) };
        let git_dir = super::open::checked(&inner)?;
        let work_dir = inner.workdir().map_or(git_dir, Path::to_owned);
        let work_dir = std::path::absolute(&work_dir).map_err(Error::io("find", work_dir))?;
        let references = super::References::of(&inner);
        Ok(Some(Self { inner, work_dir, references }))
    }

    /// Returns `true` if it has no working tree.
    pub fn is_bare(&self) -> bool {
        self.inner.workdir().is_none()
    }

    /// Returns the objects of these directories and of this repository, in this order of priority.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn database(&self, object_dirs: &[PathBuf]) -> Result<Database> {
        let other = |dir: &PathBuf| {
            let store = gix::odb::at(dir, self.inner.object_hash()).map_err(Error::io("read", dir))?;
            Ok(store)
        };
        let dirs = object_dirs.iter().filter(|dir| dir.is_dir());
        let mut places = dirs.map(other).collect::<Result<Vec<_>>>()?;
        places.push(gix::odb::Handle::clone(&self.inner.objects));
        // git has written all relevant objects before it calls a hook.
        for place in &mut places {
            place.refresh_never();
        }
        Ok(Database { places, buf: Vec::new() })
    }
}

impl Database {
    /// Returns its short blobs, for use in another thread.
    pub fn short_blobs(&self) -> ShortBlobs {
        ShortBlobs::new(self.places.iter().map(|place| place.store_ref().path().to_owned()).collect())
    }

    /// Returns `true` if it is a blob, or missing.
    pub fn is_blob(&self, id: ObjectId) -> bool {
        let mut found = self.places.iter().filter_map(|place| place.try_header(&id).ok().flatten());
        found.next().is_none_or(|header| header.kind == Kind::Blob)
    }

    /// Reads a blob of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::Object`] for a damaged object database.
    pub fn find(&mut self, id: ObjectId, limit: u64) -> Result<Found> {
        let damaged = |source| Error::Object { id, source };
        for place in &self.places {
            // A newly staged blob is a short loose file, which gix would open twice.
            if let Some(found) = short(place.store_ref().path(), id, limit) {
                return Ok(found);
            }
            let Some(header) = place.try_header(&id).map_err(damaged)? else { continue };
            if header.kind != Kind::Blob {
                return Ok(Found::Other);
            }
            if header.size > limit {
                return Ok(Found::Large(header.size));
            }
            let found = place.try_find(&id, &mut self.buf).map_err(damaged)?;
            return Ok(found.map_or(Found::Missing, |data| Found::Blob(data.data.to_vec())));
        }
        Ok(Found::Missing)
    }

    /// Returns the entries of a tree; `None` if it is missing.
    ///
    /// # Errors
    /// [`Error::Object`] for a damaged object database.
    pub(super) fn tree(&mut self, id: ObjectId) -> Result<Option<Vec<TreeEntry>>> {
        let Some(data) = self.object(id, Kind::Tree)? else { return Ok(None) };
        let entry = |entry: gix::objs::tree::EntryRef<'_>| {
            let id = entry.oid.to_owned();
            let mode = Version::new(entry.mode.value().into(), id).map(|version| version.mode);
            TreeEntry { name: entry.filename.to_owned(), mode, id }
        };
        let entries: std::result::Result<Vec<_>, _> =
            TreeRefIter::from_bytes(data, id.kind()).map(|found| found.map(entry)).collect();
        entries.map(Some).map_err(|source| Error::Object { id, source })
    }

    /// Returns the tree of a commit; `None` if the commit is missing.
    ///
    /// # Errors
    /// [`Error::Object`] for a damaged object database.
    pub(super) fn tree_of(&mut self, commit: ObjectId) -> Result<Option<ObjectId>> {
        let Some(data) = self.object(commit, Kind::Commit)? else { return Ok(None) };
        let tree = CommitRefIter::from_bytes(data, commit.kind()).tree_id();
        tree.map(Some).map_err(|source| Error::Object { id: commit, source })
    }

    fn object(&mut self, id: ObjectId, kind: Kind) -> Result<Option<&[u8]>> {
        let damaged = |source| Error::Object { id, source };
        for place in &self.places {
            if place.try_find(&id, &mut self.buf).map_err(damaged)?.is_some_and(|data| data.kind == kind) {
                return Ok(Some(&self.buf));
            }
        }
        Ok(None)
    }

    /// Returns the first `len` bytes of a longer blob at a cost proportional to `len`. `None` if it is stored as a
    /// delta, or cannot be read in this way; git can read it.
    pub fn prefix(&self, id: ObjectId, len: usize) -> Option<Vec<u8>> {
        self.places.iter().find_map(|place| {
            let store = place.store_ref();
            let own = store.path().to_owned();
            let mut dirs = std::iter::once(own).chain(store.alternate_db_paths().unwrap_or_default());
            dirs.find_map(|dir| loose(&dir, id, len).or_else(|| packed(&dir, id, len)))
        })
    }
}

/// Reads a loose blob with one open: its bytes if they are few, or the fact that it is longer than `limit`. `None` for
/// anything else, or if it is damaged.
pub(super) fn short(dir: &Path, id: ObjectId, limit: u64) -> Option<Found> {
    let file = File::open(loose_path(dir, id)?).ok()?;
    let mut packed = Vec::with_capacity(usize::try_from(SHORT).ok()?);
    file.take(SHORT).read_to_end(&mut packed).ok()?;
    let mut content = ZlibDecoder::new_with_buf(packed.as_slice(), vec![0; 4 << 10]);
    let mut header = [0; 32];
    let header_len = (0..header.len()).find(|&at| {
        let byte = header.get_mut(at..=at).unwrap_or_default();
        content.read_exact(byte).is_ok() && *byte == [0]
    })?;
    let size = str::from_utf8(header.get(..header_len)?).ok()?.strip_prefix("blob ")?;
    let size: u64 = size.parse().ok()?;
    if size > limit {
        return Some(Found::Large(size));
    }
    (size <= SHORT && u64::try_from(packed.len()).ok()? < SHORT).then_some(())?;
    let mut blob = Vec::new();
    content.take(size.saturating_add(1)).read_to_end(&mut blob).ok()?;
    (u64::try_from(blob.len()) == Ok(size)).then_some(Found::Blob(blob))
}

/// Reads a loose object: zlib of `blob SIZE\0` and the content.
fn loose(dir: &Path, id: ObjectId, len: usize) -> Option<Vec<u8>> {
    let mut content = BufReader::new(ZlibDecoder::new(File::open(loose_path(dir, id)?).ok()?));
    let mut header = Vec::new();
    (&mut content).take(32).read_until(0, &mut header).ok()?;
    (header.starts_with(b"blob ") && header.ends_with(&[0])).then_some(())?;
    exactly(content, len)
}

/// Reads from a pack, where a blob that is not a delta is zlib of only its content.
fn packed(dir: &Path, id: ObjectId, len: usize) -> Option<Vec<u8>> {
    let files = fs::read_dir(dir.join("pack")).ok()?.filter_map(|file| Some(file.ok()?.path()));
    let mut indices = files.filter(|file| file.extension().is_some_and(|extension| extension == "idx"));
    indices.find_map(|path| {
        let index = pack::index::File::at(&path, id.kind()).ok()?;
        let offset = index.pack_offset_at_index(index.lookup(id)?);
        let pack = pack::data::File::at(path.with_extension("pack"), id.kind()).ok()?;
        let entry = pack.entry(offset).ok()?;
        matches!(entry.header, Header::Blob).then_some(())?;
        let bytes = pack.entry_slice(entry.data_offset..u64::try_from(pack.pack_end()).ok()?)?;
        exactly(ZlibDecoder::new(bytes), len)
    })
}

fn exactly(mut content: impl Read, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    content.read_exact(&mut bytes).ok()?;
    Some(bytes)
}
