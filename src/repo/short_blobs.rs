//! [`ShortBlobs`] reads loose blobs of a few hundred bytes, such as newly added ones, with one open and one read each.
//! Each thread can have its own, and it opens no pack.
//!
//! Invariant: it returns only complete blobs of the length in their header. For anything else (packed, longer, damaged)
//! it returns `None`, and [`Database::find`](super::Database::find) determines what it is.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::{Decompress, FlushDecompress, Status};

use super::ObjectId;
use crate::lfs::Directory;

/// How many bytes of a file are read, and inflated.
const PACKED: usize = 2 << 10;
const BLOB: usize = 2 << 10;

/// The object directories, and the buffers for reading.
pub struct ShortBlobs {
    dirs: Arc<[Directory]>,
    inflate: Decompress,
    packed: [u8; PACKED],
    blob: [u8; BLOB],
}

impl ShortBlobs {
    pub(super) fn new(dirs: Vec<PathBuf>) -> Self {
        Self::below(dirs.into_iter().map(Directory::new).collect())
    }

    fn below(dirs: Arc<[Directory]>) -> Self {
        Self { dirs, inflate: Decompress::new(true), packed: [0; PACKED], blob: [0; BLOB] }
    }

    /// Returns another reader of the same directories, for another thread.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::below(Arc::clone(&self.dirs))
    }

    /// Reads one blob.
    pub fn find(&mut self, id: ObjectId) -> Option<&[u8]> {
        let mut name = id.to_string();
        name.insert(2, '/');
        let mut file = self.dirs.iter().find_map(|dir| dir.open_itself(&name).ok())?;
        let len = file.read(&mut self.packed).ok()?;
        self.inflate.reset(true);
        let packed = self.packed.get(..len)?;
        // The checksum is at the end of the stream; a truncated stream has none.
        let status = self.inflate.decompress(packed, &mut self.blob, FlushDecompress::Finish).ok()?;
        (status == Status::StreamEnd).then_some(())?;
        let all = self.blob.get(..usize::try_from(self.inflate.total_out()).ok()?)?;
        let header_len = all.iter().position(|byte| *byte == 0)?;
        let (header, blob) = all.split_at_checked(header_len)?;
        let blob = blob.get(1..)?;
        let size = str::from_utf8(header).ok()?.strip_prefix("blob ")?;
        (size.parse() == Ok(blob.len())).then_some(blob)
    }
}

/// Returns the path of a loose object.
pub(super) fn loose_path(dir: &Path, id: ObjectId) -> Option<PathBuf> {
    let name = id.to_string();
    let (first, rest) = name.split_at_checked(2)?;
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + name.len() + 2);
    path.extend([dir, Path::new(first), Path::new(rest)]);
    Some(path)
}
