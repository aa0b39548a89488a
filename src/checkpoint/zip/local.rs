//! Checks that the local header of a record matches the directory.
//!
//! ```text
//!  0  "PK\x03\x04"      14  u32 CRC-32            26  u16 length of the name
//!  6  u16 flags         18  u32 compressed size   28  u16 length of the extra field
//!  8  u16 method        22  u32 size              30  name, extra field, data
//! ```
//!
//! With bit 3 of the flags, sizes and CRC may be 0: they follow the data. torch writes all its records
//! so, and pads the extra field so that the data is aligned to 64 bytes.

use std::io;

use ::zip::CompressionMethod;
use ::zip::read::ZipFileEntry;

use super::Error;
use crate::read_at::ReadAt;

/// The fixed part of a local header.
struct Local {
    flags: u16,
    method: u16,
    crc32: u32,
    compressed: u32,
    size: u32,
    name_len: u16,
    extra_len: u16,
}

impl Local {
    fn parse(head: &[u8; 30]) -> Option<Self> {
        let short = |at: usize| Some(u16::from_le_bytes(*head.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u32::from_le_bytes(*head.get(at..)?.first_chunk()?));
        if !head.starts_with(b"PK\x03\x04") {
            return None;
        }
        Some(Self {
            flags: short(6)?,
            method: short(8)?,
            crc32: long(14)?,
            compressed: long(18)?,
            size: long(22)?,
            name_len: short(26)?,
            extra_len: short(28)?,
        })
    }
}

/// The values of a record in the directory, which its local header must repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    name: String,
    at: u64,
    flags: u16,
    method: u16,
    crc32: u32,
    compressed: u64,
    size: u64,
    /// The offset of the data, if it was predicted and not read.
    data: u64,
}

impl Header {
    pub(super) fn of(file: &ZipFileEntry<'_>, name: &str) -> Self {
        // Other methods were refused before.
        let method = if file.compression() == CompressionMethod::Stored { 0 } else { 8 };
        Self {
            name: name.to_owned(),
            at: file.header_start(),
            flags: file.flags().as_u16(),
            method,
            crc32: file.crc32(),
            compressed: file.compressed_size(),
            size: file.size(),
            data: 0,
        }
    }

    /// The first byte of the header.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Returns how many bytes [`Header::check_foreseen`] needs: up to the end of the name.
    pub fn bytes(&self) -> usize {
        self.name.len().saturating_add(30)
    }

    /// Predicts the offset of the data from the directory only: before the next header, which follows the data and,
    /// with bit 3 of the flags, a descriptor of 16 bytes, or 24 if a number needs more than 32 bits. `None` if no
    /// header has such a length.
    pub(super) fn foresee(&mut self, next: u64) -> Option<u64> {
        let long = [self.at, self.size, self.compressed].iter().any(|&number| number >= u64::from(u32::MAX));
        let descriptor = match (self.flags & 1 << 3 != 0, long) {
            (false, _) => 0,
            (true, false) => 16,
            (true, true) => 24,
        };
        let data = next.checked_sub(descriptor)?.checked_sub(self.compressed)?;
        let extra = data.checked_sub(self.at)?.checked_sub(u64::try_from(self.bytes()).ok()?)?;
        u16::try_from(extra).ok()?;
        self.data = data;
        Some(data)
    }

    /// Reads and checks the header; returns the offset of the data.
    pub(super) fn read(&self, source: &dyn ReadAt) -> Result<u64, Error> {
        let bytes = source.read_vec_at(self.at, self.bytes());
        let bytes = bytes.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.differs("place"),
            _ => Error::Io(error),
        })?;
        self.check(&bytes)
    }

    /// Checks a header that passes, and that the data begins at the predicted offset.
    ///
    /// # Errors
    /// [`Error::Ambiguity`], or [`Error::Unforeseen`].
    pub fn check_foreseen(&self, bytes: &[u8]) -> Result<(), Error> {
        let data = self.check(bytes)?;
        if data == self.data { Ok(()) } else { Err(Error::Unforeseen { record: self.name.clone() }) }
    }

    fn differs(&self, what: &str) -> Error {
        Error::ambiguous(format!("the {what} of {} differs in its local header", self.name))
    }

    /// Checks a header. Its name is as long as in the directory, or the header is refused; so these bytes suffice.
    fn check(&self, bytes: &[u8]) -> Result<u64, Error> {
        let (head, local_name) = bytes.split_first_chunk().ok_or_else(|| self.differs("place"))?;
        let local = Local::parse(head).ok_or_else(|| self.differs("signature"))?;
        if local.flags != self.flags {
            return Err(self.differs("set of flags"));
        }
        if local.method != self.method {
            return Err(self.differs("method"));
        }
        if usize::from(local.name_len) != self.name.len() || local_name != self.name.as_bytes() {
            return Err(self.differs("name"));
        }
        let deferred = local.flags & 1 << 3 != 0;
        let agrees = |local: u32, directory: u64| {
            u64::from(local) == directory || local == u32::MAX || (deferred && local == 0)
        };
        if !agrees(local.crc32, u64::from(self.crc32)) {
            return Err(self.differs("CRC-32"));
        }
        if !agrees(local.compressed, self.compressed) || !agrees(local.size, self.size) {
            return Err(self.differs("length"));
        }
        Ok(self
            .at
            .saturating_add(30)
            .saturating_add(local.name_len.into())
            .saturating_add(local.extra_len.into()))
    }
}
