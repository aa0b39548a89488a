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

/// Checks the local header of a record; returns where its data begins.
pub(super) fn check(source: &dyn ReadAt, file: &ZipFileEntry<'_>, name: &str) -> Result<u64, Error> {
    let differs = |what: &str| ambiguous(format!("{name} has another {what} in its local header"));
    let at = file.header_start();
    let mut head = [0; 30];
    source.read_exact_at(&mut head, at).map_err(|_| differs("place"))?;
    let [
        s0,
        s1,
        s2,
        s3,
        _,
        _,
        f0,
        f1,
        m0,
        m1,
        _,
        _,
        _,
        _,
        c0,
        c1,
        c2,
        c3,
        p0,
        p1,
        p2,
        p3,
        l0,
        l1,
        l2,
        l3,
        n0,
        n1,
        e0,
        e1,
    ] = head;
    if [s0, s1, s2, s3] != *b"PK\x03\x04" {
        return Err(differs("signature"));
    }
    let flags = u16::from_le_bytes([f0, f1]);
    if flags != file.flags().as_u16() {
        return Err(differs("set of flags"));
    }
    let method = match u16::from_le_bytes([m0, m1]) {
        0 => Some(CompressionMethod::Stored),
        8 => Some(CompressionMethod::Deflated),
        _ => None,
    };
    if method != Some(file.compression()) {
        return Err(differs("method"));
    }
    let name_len = u16::from_le_bytes([n0, n1]);
    let local_name =
        source.read_vec_at(at.saturating_add(30), usize::from(name_len)).map_err(|_| differs("name"))?;
    if local_name != name.as_bytes() {
        return Err(differs("name"));
    }
    let deferred = flags & 1 << 3 != 0;
    let agrees = |local: u32, directory: u64| {
        u64::from(local) == directory || local == u32::MAX || (deferred && local == 0)
    };
    if !agrees(u32::from_le_bytes([c0, c1, c2, c3]), u64::from(file.crc32())) {
        return Err(differs("CRC-32"));
    }
    if !agrees(u32::from_le_bytes([p0, p1, p2, p3]), file.compressed_size())
        || !agrees(u32::from_le_bytes([l0, l1, l2, l3]), file.size())
    {
        return Err(differs("length"));
    }
    let extra_len = u16::from_le_bytes([e0, e1]);
    Ok(at.saturating_add(30).saturating_add(u64::from(name_len)).saturating_add(u64::from(extra_len)))
}
