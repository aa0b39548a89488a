//! [`ReadAt`] is a source of known length whose bytes can be read at any offset.
//!
//! Invariant: a read either fills the whole buffer or is an error; there are no short reads. It keeps no position and
//! takes `&self`, so two threads can read the same source. It does not buffer, and it does not know whether it reads a
//! file, a slice or a server.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io;

/// A source of bytes with random access.
pub trait ReadAt: Send + Sync {
    /// The number of bytes that can be read.
    fn len(&self) -> u64;

    /// Fills `buf` with the bytes that start at offset `at`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the range does not lie inside the source, or what the
    /// system reports.
    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()>;

    /// Returns `true` if there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads `len` bytes at `at` into a new buffer. The caller bounds `len`.
    ///
    /// # Errors
    /// As [`ReadAt::read_exact_at`]; nothing is allocated for a range that does not exist.
    fn read_vec_at(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        check(self.len(), at, len)?;
        let mut buf = vec![0; len];
        self.read_exact_at(&mut buf, at)?;
        Ok(buf)
    }

    /// Returns the bytes from `at` on that are in memory: all that follow, only the next ones, or none.
    fn known_at(&self, _at: u64) -> &[u8] {
        &[]
    }

    /// Reads `len` bytes at `at`, or borrows them if they are in memory. The caller bounds `len`.
    ///
    /// # Errors
    /// As [`ReadAt::read_vec_at`].
    fn read_cow_at(&self, at: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
        match self.known_at(at).get(..len) {
            Some(known) => Ok(Cow::Borrowed(known)),
            None => self.read_vec_at(at, len).map(Cow::Owned),
        }
    }
}

/// Converts an offset inside a slice in memory, or a length that was checked against one.
pub(crate) fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn check(len: u64, at: u64, want: usize) -> io::Result<()> {
    match u64::try_from(want).ok().and_then(|want| at.checked_add(want)) {
        Some(end) if end <= len => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{want} bytes at offset {at} are past the end at {len}"),
        )),
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        check(ReadAt::len(self), at, buf.len())?;
        let start = usize::try_from(at).map_err(io::Error::other)?;
        let from = self.get(start..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn known_at(&self, at: u64) -> &[u8] {
        self.get(usize_of(at)..).unwrap_or_default()
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        ReadAt::len(self.as_slice())
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, at)
    }

    fn known_at(&self, at: u64) -> &[u8] {
        self.get(usize_of(at)..).unwrap_or_default()
    }
}

/// An open file, with the length it had when it was opened.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    len: u64,
}

impl FileSource {
    /// Takes an open file.
    ///
    /// # Errors
    /// If the length of the file cannot be read.
    pub fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    /// Takes an open file with its metadata.
    pub fn known(file: File, metadata: &Metadata) -> Self {
        Self { file, len: metadata.len() }
    }

    /// Returns the file itself, for its metadata.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl ReadAt for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        self.file.read_exact_at(buf, at)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
        use std::os::windows::fs::FileExt as _;
        while !buf.is_empty() {
            let n = self.file.seek_read(buf, at)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buf = buf.get_mut(n..).unwrap_or_default();
            at += n as u64;
        }
        Ok(())
    }
}

/// A checkpoint with deflated records: the file, followed by a temporary file of the inflated records. Offsets from the
/// length of the file on belong to that one.
pub struct Joined<'a> {
    first: &'a dyn ReadAt,
    second: &'a dyn ReadAt,
}

impl<'a> Joined<'a> {
    /// Joins the checkpoint and its inflated records.
    pub fn new(first: &'a dyn ReadAt, second: &'a dyn ReadAt) -> Self {
        Self { first, second }
    }
}

impl ReadAt for Joined<'_> {
    fn len(&self) -> u64 {
        self.first.len().saturating_add(self.second.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        check(self.len(), at, buf.len())?;
        let border = self.first.len();
        // The user knows only the first by its name.
        let unread = |error| io::Error::other(format!("temporary file of inflated records: {error}"));
        if at >= border {
            return self.second.read_exact_at(buf, at - border).map_err(unread);
        }
        let left = usize::try_from(border - at).unwrap_or(usize::MAX).min(buf.len());
        let (head, tail) = buf.split_at_mut(left);
        self.first.read_exact_at(head, at)?;
        if tail.is_empty() { Ok(()) } else { self.second.read_exact_at(tail, 0).map_err(unread) }
    }
}

/// A window of another source, with offsets that start at zero.
pub struct Window<'a> {
    source: &'a dyn ReadAt,
    at: u64,
    len: u64,
}

impl<'a> Window<'a> {
    /// The `len` bytes of `source` that start at `at`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if they do not lie inside the source.
    pub fn new(source: &'a dyn ReadAt, at: u64, len: u64) -> io::Result<Self> {
        match at.checked_add(len) {
            Some(end) if end <= source.len() => Ok(Self { source, at, len }),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl ReadAt for Window<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        check(self.len, at, buf.len())?;
        self.source.read_exact_at(buf, self.at + at)
    }

    fn known_at(&self, at: u64) -> &[u8] {
        let Some(left) = self.len.checked_sub(at) else { return &[] };
        let known = self.source.known_at(self.at + at);
        known.get(..usize_of(left)).unwrap_or(known)
    }
}

/// A reader over a source, for libraries that need [`io::Read`] and [`io::Seek`]. It reads ahead, so that many small
/// reads close to each other cost one read of the source.
pub struct Reader<'a> {
    source: &'a dyn ReadAt,
    at: u64,
    /// The bytes that were read ahead, and their offset.
    ahead: Vec<u8>,
    ahead_at: u64,
}

/// The bytes per read ahead.
const AHEAD: usize = 64 << 10;

impl<'a> Reader<'a> {
    /// Starts at offset 0.
    pub fn new(source: &'a dyn ReadAt) -> Self {
        Self { source, at: 0, ahead: Vec::new(), ahead_at: 0 }
    }

    /// Returns the bytes read ahead from `at` on.
    fn held(&self) -> &[u8] {
        let skip = self.at.checked_sub(self.ahead_at).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.ahead.get(skip..)).unwrap_or_default()
    }
}

impl io::Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len().saturating_sub(self.at);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let known = self.source.known_at(self.at);
        if !known.is_empty() {
            let n = known.len().min(left).min(buf.len());
            buf[..n].copy_from_slice(&known[..n]);
            self.at += n as u64;
            return Ok(n);
        }
        if self.held().is_empty() && buf.len() < AHEAD {
            // A failed read leaves nothing behind.
            let mut ahead = std::mem::take(&mut self.ahead);
            ahead.resize(left.min(AHEAD), 0);
            self.source.read_exact_at(&mut ahead, self.at)?;
            (self.ahead, self.ahead_at) = (ahead, self.at);
        }
        let held = self.held();
        let n = if held.is_empty() { left.min(buf.len()) } else { held.len().min(buf.len()) };
        let (wanted, _) = buf.split_at_mut(n);
        match held.get(..n) {
            Some(held) => wanted.copy_from_slice(held),
            None => self.source.read_exact_at(wanted, self.at)?,
        }
        self.at += n as u64;
        Ok(n)
    }
}

impl io::Seek for Reader<'_> {
    fn seek(&mut self, pos: io::SeekFrom) -> io::Result<u64> {
        let to = match pos {
            io::SeekFrom::Start(at) => Some(at),
            io::SeekFrom::End(by) => self.source.len().checked_add_signed(by),
            io::SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_read_past_the_end_is_an_error_and_allocates_nothing() {
        let bytes = b"0123456789".as_slice();
        assert_eq!(bytes.read_vec_at(8, 2).unwrap(), b"89");
        assert!(bytes.read_vec_at(8, 3).is_err());
        assert!(bytes.read_vec_at(u64::MAX, usize::MAX).is_err());
        assert!(bytes.read_vec_at(10, 0).unwrap().is_empty());
    }

    #[test]
    fn joined_reads_across_the_border() {
        let (a, b) = (b"abc".to_vec(), b"defg".to_vec());
        let joined = Joined::new(&a, &b);
        assert_eq!(joined.len(), 7);
        assert_eq!(joined.read_vec_at(1, 4).unwrap(), b"bcde");
        assert_eq!(joined.read_vec_at(4, 3).unwrap(), b"efg");
        assert!(joined.read_vec_at(4, 4).is_err());
    }

    #[test]
    fn joined_names_the_file_that_cannot_be_read() {
        struct Short;
        impl ReadAt for Short {
            fn len(&self) -> u64 {
                4
            }
            fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        let says = |joined: Joined<'_>, at| joined.read_vec_at(at, 2).unwrap_err().to_string();
        let bytes = b"abc".to_vec();
        for at in [2, 3] {
            let says = says(Joined::new(&bytes, &Short), at);
            assert!(says.starts_with("temporary file of inflated records: "), "{says}");
        }
        assert!(!says(Joined::new(&Short, &bytes), 0).contains("temporary"));
    }

    #[test]
    fn a_reader_gives_the_same_bytes_however_they_are_asked_for() {
        use std::io::{Seek as _, SeekFrom};
        let bytes: Vec<u8> = (0..251).cycle().take(3 * AHEAD).collect();
        let mut reader = Reader::new(&bytes);
        for (at, len) in [(0, 10), (5, AHEAD), (AHEAD - 3, 7), (100, 2 * AHEAD), (3 * AHEAD - 4, 4), (0, 1)] {
            let mut got = vec![0; len];
            reader.seek(SeekFrom::Start(at as u64)).unwrap();
            reader.read_exact(&mut got).unwrap();
            assert!(got == bytes[at..at + len], "{len} at {at}");
        }
        reader.seek(SeekFrom::End(0)).unwrap();
        assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);
    }

    #[test]
    fn a_window_hides_what_lies_outside() {
        let bytes = b"0123456789".to_vec();
        let window = Window::new(&bytes, 3, 4).unwrap();
        let mut all = Vec::new();
        Reader::new(&window).read_to_end(&mut all).unwrap();
        assert_eq!(all, b"3456");
        assert!(window.read_vec_at(2, 3).is_err());
        assert!(matches!(window.read_cow_at(1, 2), Ok(Cow::Borrowed(b"45"))));
        assert!(window.read_cow_at(2, 3).is_err());
        assert!(Window::new(&bytes, 8, 3).is_err());
    }
}
