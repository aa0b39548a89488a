//! [`Body`]: what is sent with a request, and from where it comes.
//!
//! Invariant: a part of a file is sent as many bytes as it was announced, or the request fails; each attempt opens and
//! reads it anew, so that it can be sent again after a redirect, a login or a cut. Nothing is held but one buffer.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Mutex;

use super::client::lock;

/// What is sent with a request.
#[derive(Clone, Copy)]
pub(super) enum Body<'r> {
    /// Nothing: a `GET`.
    None,
    /// A `POST` of these bytes.
    Post(&'r [u8]),
    /// A `PUT` of a part of a file.
    Put(&'r Part<'r>),
}

impl Body<'_> {
    /// The method that goes with it.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::None => "GET",
            Self::Post(_) => "POST",
            Self::Put(_) => "PUT",
        }
    }
}

/// A part of a file that is sent.
pub(super) struct Part<'r> {
    pub(super) path: &'r Path,
    pub(super) from: u64,
    pub(super) len: u64,
    /// Is told how much of the part was handed over in this attempt.
    pub(super) tell: &'r (dyn Fn(u64) + Sync),
    /// Ends it.
    pub(super) stop: &'r (dyn Fn() -> bool + Sync),
    /// Why the file could not be read in the last attempt.
    pub(super) failure: Mutex<Option<io::Error>>,
}

impl Part<'_> {
    /// Its bytes, from the first.
    pub(super) fn open(&self) -> Result<PartReader<'_>, io::Error> {
        lock(&self.failure).take();
        let mut file = File::open(self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        Ok(PartReader { part: self, file, sent: 0 })
    }
}

/// Reads a part for one attempt.
pub(super) struct PartReader<'r> {
    part: &'r Part<'r>,
    file: File,
    sent: u64,
}

impl PartReader<'_> {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.part.len.saturating_sub(self.sent);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let read = self.file.read(buf.get_mut(..want).unwrap_or_default())?;
        if read == 0 && want > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.sent = self.sent.saturating_add(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

impl Read for PartReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if (self.part.stop)() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.fill(buf).map_err(|err| {
            let kind = err.kind();
            *lock(&self.part.failure) = Some(err);
            io::Error::from(kind)
        })?;
        (self.part.tell)(self.sent);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_as_announced_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("object");
        std::fs::write(&path, b"0123456789").unwrap();
        let told = Mutex::new(0);
        let tell = |sent| *lock(&told) = sent;
        let part = |from, len| Part {
            path: &path,
            from,
            len,
            tell: &tell,
            stop: &|| false,
            failure: Mutex::default(),
        };
        for _ in 0..2 {
            let mut bytes = Vec::new();
            part(3, 4).open().unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!((bytes.as_slice(), *lock(&told)), (&b"3456"[..], 4));
        }
        let short = part(8, 4);
        assert!(short.open().unwrap().read_to_end(&mut Vec::new()).is_err());
        assert_eq!(lock(&short.failure).as_ref().map(io::Error::kind), Some(io::ErrorKind::UnexpectedEof));
    }
}
