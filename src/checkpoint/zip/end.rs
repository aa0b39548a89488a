//! Reads the end of an archive and its directory strictly, because readers search and repair in different ways.
//!
//! ```text
//! directory   one header per record, without gaps:
//!              0  "PK\x01\x02"           20  u32 compressed size     32  u16 length of the comment
//!              8  u16 flags              24  u32 size                42  u32 offset of the local header
//!             10  u16 method             28  u16 length of the name  46  name, extra field, comment
//!             16  u32 CRC-32             30  u16 length of the extra field
//! zip64 end    0  "PK\x06\x06"  4 u64 length of what follows  32 u64 records  40 u64 size, 48 u64 offset of the directory
//! locator      0  "PK\x06\x07"  8 u64 offset of the zip64 end                 only if one exists
//! end          0  "PK\x05\x06" 10 u16 records  12 u32 size, 16 u32 offset of the directory  20 u16 length of the comment
//! ```
//!
//! Invariant: one end record, at the very end; the directory directly before it; the zip64 values equal the plain ones
//! if those are large enough; and every record is in this reading what the `zip` crate reads. Source: PKWARE's APPNOTE
//! 6.3, 4.3.12 to 4.3.16 and 4.5.3.

use ::zip::read::ZipFileEntry;

use super::{Error, Limits};
use crate::read_at::ReadAt;

/// The most bytes of a comment.
const COMMENT: u64 = 0xffff;
/// The most bytes of a directory: a million records have some 100 MB.
const DIRECTORY: u64 = 256 << 20;
/// The extra field with 64-bit sizes, and the one with another name.
const ZIP64: u16 = 0x0001;
const UNICODE_PATH: u16 = 0x7075;

/// The directory as the end record describes it, and its bytes.
pub(super) struct Directory {
    /// The offset of its first byte.
    pub(super) at: u64,
    /// The number of records that it lists.
    pub(super) records: u64,
    bytes: Vec<u8>,
    /// How many of its bytes were read.
    read: usize,
}

/// Returns the little-endian number of `len` bytes at `at`.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let digits = bytes.get(at..)?.get(..len)?;
    Some(digits.iter().rev().fold(0, |number, &digit| number << 8 | u64::from(digit)))
}

impl Directory {
    /// Finds the end record and reads the directory that it names.
    pub(super) fn read(source: &dyn ReadAt, limits: &Limits) -> Result<Self, Error> {
        let none = || Error::NoEndRecord;
        let len = source.len();
        let tail_at = len.saturating_sub(COMMENT.saturating_add(22));
        let tail_len = usize::try_from(len.saturating_sub(tail_at)).map_err(|_| none())?;
        let tail = source.read_vec_at(tail_at, tail_len)?;
        // Every reader finds the last signature first.
        let place = tail.windows(4).rposition(|four| four == b"PK\x05\x06").ok_or_else(none)?;
        let end = tail.get(place..).unwrap_or_default();
        let comment = number(end, 20, 2).ok_or_else(none)?;
        if u64::try_from(end.len()).ok() != comment.checked_add(22) {
            return Err(Error::ambiguous("trailing bytes after the end record"));
        }
        let end_at = tail_at.saturating_add(u64::try_from(place).unwrap_or(0));
        let field = |at, len| number(end, at, len).unwrap_or(0);
        if field(4, 4) != 0 || field(8, 2) != field(10, 2) {
            return Err(Error::ambiguous("multi-disk archive"));
        }
        let plain = [field(10, 2), field(12, 4), field(16, 4)];
        let (stop, [records, size, at]) = match zip64(source, end_at)? {
            None => (end_at, plain),
            Some((at, values)) => {
                for ((value, plain), full) in values.iter().zip(plain).zip([0xffff, 0xffff_ffff, 0xffff_ffff])
                {
                    if plain != full && plain != *value {
                        return Err(Error::ambiguous("the zip and zip64 end records differ"));
                    }
                }
                (at, values)
            }
        };
        if at.checked_add(size) != Some(stop) {
            return Err(Error::ambiguous("the central directory is not directly before the end record"));
        }
        let most = u64::try_from(limits.records).unwrap_or(u64::MAX);
        if records > most {
            return Err(Error::Limit { what: "records", limit: most });
        }
        if size > DIRECTORY {
            return Err(Error::Limit { what: "bytes of zip directory", limit: DIRECTORY });
        }
        let bytes = source.read_vec_at(at, usize::try_from(size).map_err(|_| none())?)?;
        Ok(Self { at, records, bytes, read: 0 })
    }

    /// Compares the next header with the crate's reading of it.
    pub(super) fn check(&mut self, file: &ZipFileEntry<'_>) -> Result<(), Error> {
        let cut = || Error::ambiguous("truncated central directory");
        let header = self.bytes.get(self.read..).unwrap_or_default();
        let field = |at, len| number(header, at, len).ok_or_else(cut);
        let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        if header.get(..4) != Some(b"PK\x01\x02") {
            return Err(Error::ambiguous("extra bytes in the central directory"));
        }
        let (name_len, extra_len) = (place(field(28, 2)?), place(field(30, 2)?));
        let extra_at = name_len.saturating_add(46);
        let comment_at = extra_at.saturating_add(extra_len);
        let name = header.get(46..extra_at).ok_or_else(cut)?;
        let extra = header.get(extra_at..comment_at).ok_or_else(cut)?;
        let next = comment_at.saturating_add(place(field(32, 2)?));
        let sizes = [field(24, 4)?, field(20, 4)?, field(42, 4)?];
        let sizes = wide(extra, sizes)
            .ok_or_else(|| Error::ambiguous("an extra field overrides a record's name or size"))?;
        let at = self.at.checked_add(u64::try_from(self.read).unwrap_or(u64::MAX));
        let same = name == file.name_raw()
            && sizes == [file.size(), file.compressed_size(), file.header_start()]
            && field(8, 2)? == u64::from(file.flags().as_u16())
            && field(16, 4)? == u64::from(file.crc32())
            && at == Some(file.central_header_start());
        if !same {
            return Err(Error::ambiguous("readers disagree on a record's name, size or offset"));
        }
        self.read = self.read.saturating_add(next);
        Ok(())
    }

    /// Returns `true` if the whole directory was read.
    pub(super) fn is_read(&self) -> bool {
        self.read == self.bytes.len()
    }
}

/// Returns the start of the archive that ends with the file, computed from the lengths in its end record; `None` if the
/// file does not end with such a record.
pub(super) fn start(source: &dyn ReadAt) -> Option<u64> {
    let end_at = source.len().checked_sub(22)?;
    let end = source.read_vec_at(end_at, 22).ok().filter(|end| end.starts_with(b"PK\x05\x06"))?;
    let plain = number(&end, 12, 4)?.checked_add(number(&end, 16, 4)?)?;
    let Some(locator_at) = end_at.checked_sub(20) else { return end_at.checked_sub(plain) };
    let locator = source.read_vec_at(locator_at, 20).ok()?;
    if !locator.starts_with(b"PK\x06\x07") {
        return end_at.checked_sub(plain);
    }
    // torch writes only the required fields into the zip64 end record.
    locator_at.checked_sub(56)?.checked_sub(number(&locator, 8, 8)?)
}

/// Returns the zip64 end record, if a locator precedes the end record: its offset, and its records, size and offset of
/// the directory.
fn zip64(source: &dyn ReadAt, end_at: u64) -> Result<Option<(u64, [u64; 3])>, Error> {
    let Some(locator_at) = end_at.checked_sub(20) else { return Ok(None) };
    let locator = source.read_vec_at(locator_at, 20)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    let wrong = || Error::ambiguous("the zip64 end record is not where its locator points");
    let at = number(&locator, 8, 8).filter(|at| at.checked_add(56).is_some_and(|end| end <= locator_at));
    let at = at.ok_or_else(wrong)?;
    let end = source.read_vec_at(at, 56)?;
    let field = |at, len| number(&end, at, len).unwrap_or(0);
    let stop = at.saturating_add(12).checked_add(field(4, 8));
    if !end.starts_with(b"PK\x06\x06") || stop != Some(locator_at) || field(24, 8) != field(32, 8) {
        return Err(wrong());
    }
    Ok(Some((at, [field(32, 8), field(40, 8), field(48, 8)])))
}

/// Returns size, compressed size and offset of a record, from the zip64 field if the plain fields are too small. `None`
/// if the extra field is malformed, has two such fields, or contains another name.
fn wide(mut extra: &[u8], plain: [u64; 3]) -> Option<[u64; 3]> {
    let mut wide = None;
    while !extra.is_empty() {
        let id = u16::try_from(number(extra, 0, 2)?).ok()?;
        let len = usize::try_from(number(extra, 2, 2)?).ok()?;
        let (field, rest) = extra.get(4..)?.split_at_checked(len)?;
        extra = rest;
        match id {
            UNICODE_PATH => return None,
            ZIP64 if wide.is_some() => return None,
            ZIP64 => wide = Some(field),
            _ => {}
        }
    }
    let Some(field) = wide else { return Some(plain) };
    let mut values = plain;
    let mut at = 0_usize;
    for value in values.iter_mut().filter(|value| **value == 0xffff_ffff) {
        *value = number(field, at, 8)?;
        at = at.saturating_add(8);
    }
    Some(values)
}
