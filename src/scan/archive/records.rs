//! Reads the records of the directory of a zip archive.

use std::io::{self, Read as _, Seek as _};

use super::ends::{Directory, RECORD};
use super::fields::{number, short, word};
use crate::read_at::{ReadAt, Reader};

/// A record of the directory.
pub(super) struct Record {
    pub(super) name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc32: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
    pub(super) header: u64,
}

/// Returns the complete records of a directory, at most `most`.
pub(super) fn records(source: &dyn ReadAt, directory: &Directory, most: usize) -> io::Result<Vec<Record>> {
    let mut reader = Reader::new(source);
    reader.seek(io::SeekFrom::Start(directory.at))?;
    let mut left = directory.len.min(source.len().saturating_sub(directory.at));
    let mut records = Vec::new();
    while left > 0 && records.len() < most {
        let Some((record, len)) = record(&mut reader, left)? else { break };
        left = left.saturating_sub(len);
        records.push(record);
    }
    Ok(records)
}

/// Reads the next record of a directory of which `left` bytes remain, and its length, which may be larger: Python reads
/// a truncated last record.
pub(super) fn record(reader: &mut Reader<'_>, left: u64) -> io::Result<Option<(Record, u64)>> {
    if left < 46 {
        return Ok(None);
    }
    let mut fixed = [0; 46];
    reader.read_exact(&mut fixed)?;
    if !fixed.starts_with(RECORD) {
        return Ok(None);
    }
    let lens = [28, 30, 32].map(|at| u64::from(short(&fixed, at)));
    let mut room = left.saturating_sub(46);
    let [name, extra, _comment] = lens.map(|len| {
        let len = len.min(room);
        room = room.saturating_sub(len);
        let mut part = vec![0; usize::try_from(len).unwrap_or(0)];
        reader.read_exact(&mut part).map(|()| part)
    });
    let mut values = [word(&fixed, 24), word(&fixed, 20), word(&fixed, 42)].map(u64::from);
    widen(&extra?, &mut values);
    let [size, compressed, header] = values;
    let record = Record {
        name: name?,
        flags: short(&fixed, 8),
        method: short(&fixed, 10),
        crc32: word(&fixed, 16),
        compressed,
        size,
        header,
    };
    Ok(Some((record, lens.into_iter().fold(46, u64::saturating_add))))
}

/// Reads the sizes and the offset from the zip64 field if the plain fields are too small for them.
fn widen(mut extra: &[u8], values: &mut [u64; 3]) {
    while let (Some(id), Some(len)) = (number(extra, 0, 2), number(extra, 2, 2)) {
        let len = usize::try_from(len).unwrap_or(0);
        let Some((field, rest)) = extra.get(4..).and_then(|rest| rest.split_at_checked(len)) else { return };
        extra = rest;
        if id != 1 {
            continue;
        }
        let mut at = 0_usize;
        for value in values.iter_mut().filter(|value| **value == 0xffff_ffff) {
            if let Some(wide) = number(field, at, 8) {
                *value = wide;
            }
            at = at.saturating_add(8);
        }
    }
}
