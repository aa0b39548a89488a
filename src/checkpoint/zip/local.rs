//! The local header of a record, which must say what the directory says.
//!
//! ```text
//!  0  "PK\x03\x04"      14  u32 CRC-32            26  u16 length of the name
//!  6  u16 flags         18  u32 compressed size   28  u16 length of the extra field
//!  8  u16 method        22  u32 size              30  name, extra field, data
//! ```
//!
//! With bit 3 of the flags, sizes and CRC may be 0: they follow the data. torch writes all its records
//! so, and pads the extra field so that the data is aligned to 64 bytes.

use ::zip::CompressionMethod;
use ::zip::read::ZipFileEntry;

use super::{Error, ambiguous};
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

/// Checks the local header of a record; returns where its data begins.
pub(super) fn check(source: &dyn ReadAt, file: &ZipFileEntry<'_>, name: &str) -> Result<u64, Error> {
    let differs = |what: &str| ambiguous(format!("{name} has another {what} in its local header"));
    let at = file.header_start();
    // The name is as long as in the directory, or the header is refused; so one read does.
    let all = source.read_vec_at(at, 30_usize.saturating_add(name.len())).map_err(|_| differs("place"))?;
    let (head, local_name) = all.split_first_chunk().ok_or_else(|| differs("place"))?;
    let local = Local::parse(head).ok_or_else(|| differs("signature"))?;
    if local.flags != file.flags().as_u16() {
        return Err(differs("set of flags"));
    }
    let method = match local.method {
        0 => Some(CompressionMethod::Stored),
        8 => Some(CompressionMethod::Deflated),
        _ => None,
    };
    if method != Some(file.compression()) {
        return Err(differs("method"));
    }
    if usize::from(local.name_len) != name.len() || local_name != name.as_bytes() {
        return Err(differs("name"));
    }
    let deferred = local.flags & 1 << 3 != 0;
    let agrees = |local: u32, directory: u64| {
        u64::from(local) == directory || local == u32::MAX || (deferred && local == 0)
    };
    if !agrees(local.crc32, u64::from(file.crc32())) {
        return Err(differs("CRC-32"));
    }
    if !agrees(local.compressed, file.compressed_size()) || !agrees(local.size, file.size()) {
        return Err(differs("length"));
    }
    Ok(at.saturating_add(30).saturating_add(local.name_len.into()).saturating_add(local.extra_len.into()))
}
