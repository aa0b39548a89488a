//! The members of a zip archive, found as leniently as any reader finds them, and what makes readers disagree on it.
//!
//! The converter refuses an ambiguous archive (`checkpoint/zip`); here it is still looked into, by the directory and by
//! the local headers, and what is wrong with it is a doubt in the report.
//! Source: PKWARE's APPNOTE 6.3, 4.3.6 to 4.3.16 and 4.5.3.

use std::collections::HashSet;
use std::io;

use bstr::ByteSlice as _;

use crate::read_at::ReadAt;

/// Bytes of a comment.
const COMMENT: u64 = 0xffff;
/// The signature of the end record.
const END: &[u8] = b"PK\x05\x06";
/// Bytes of a directory.
const DIRECTORY: u64 = 256 << 20;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where its bytes begin.
    pub(super) at: u64,
    pub(super) compressed: u64,
    pub(super) method: u16,
    /// 0: not known.
    pub(super) crc32: u32,
    pub(super) encrypted: bool,
}

/// What an archive lists.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) members: Vec<Member>,
    /// Why readers may see something else in it.
    pub(super) doubt: Option<String>,
}

/// A record of the directory.
struct Record<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    crc32: u32,
    compressed: u64,
    size: u64,
    header: u64,
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let digits = bytes.get(at..)?.get(..len)?;
    Some(digits.iter().rev().fold(0, |number, &digit| number << 8 | u64::from(digit)))
}

fn short(bytes: &[u8], at: usize) -> u16 {
    number(bytes, at, 2).and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    number(bytes, at, 4).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

/// Where a reader that searches for the end finds that of an archive: a record with a directory before it. Python's
/// wants no more, whatever stands before and behind both.
pub(super) fn end_of_one(source: &dyn ReadAt) -> io::Result<Option<u64>> {
    let (tail_at, tail) = tail(source)?;
    for at in tail.find_iter(END) {
        let len = tail.get(at..).and_then(|end| number(end, 12, 4)).unwrap_or(0);
        let end_at = tail_at.saturating_add(u64::try_from(at).unwrap_or(0));
        for (back, signature) in [(len, b"PK\x01\x02"), (20, b"PK\x06\x07")] {
            let there = end_at.checked_sub(back).filter(|_| back >= 4);
            if let Some(there) = there
                && source.read_vec_at(there, 4)? == signature
            {
                return Ok(Some(end_at));
            }
        }
    }
    Ok(None)
}

/// The last bytes, as far back as an end record may stand, and where they begin.
fn tail(source: &dyn ReadAt) -> io::Result<(u64, Vec<u8>)> {
    let at = source.len().saturating_sub(COMMENT.saturating_add(22));
    let len = usize::try_from(source.len().saturating_sub(at)).map_err(io::Error::other)?;
    Ok((at, source.read_vec_at(at, len)?))
}

impl Listing {
    /// Lists at most `most` members.
    pub(super) fn read(source: &dyn ReadAt, most: usize) -> io::Result<Self> {
        let mut listing = Self::default();
        let Some(place) = listing.directory(source)? else {
            listing.doubt("it has no directory");
            listing.by_local_headers(source, most)?;
            return Ok(listing);
        };
        let bytes = source.read_vec_at(place.at, usize::try_from(place.len).map_err(io::Error::other)?)?;
        let mut rest = bytes.as_slice();
        let mut seen = HashSet::new();
        while !rest.is_empty() {
            let Some((record, after)) = record(rest) else {
                listing.doubt("its directory is broken");
                listing.by_local_headers(source, most)?;
                break;
            };
            rest = after;
            if !seen.insert(record.name.to_ascii_lowercase()) {
                listing.doubt(format!("{} is there twice", String::from_utf8_lossy(record.name)));
            }
            if listing.members.len() >= most {
                listing.doubt("it has more members than are looked at");
                break;
            }
            listing.member(source, &record, place.shift)?;
        }
        Ok(listing)
    }

    fn doubt(&mut self, what: impl Into<String>) {
        self.doubt.get_or_insert_with(|| what.into());
    }

    /// Where the directory is, and how many bytes stand before the archive.
    fn directory(&mut self, source: &dyn ReadAt) -> io::Result<Option<Place>> {
        let (tail_at, tail) = tail(source)?;
        let is_whole = |at: &usize| at.checked_add(22).is_some_and(|end| end <= tail.len());
        let signatures: Vec<usize> = tail.find_iter(END).filter(is_whole).collect();
        let closing = |at: &usize| {
            let end = tail.get(*at..).unwrap_or_default();
            number(end, 20, 2).and_then(|comment| comment.checked_add(22)) == u64::try_from(end.len()).ok()
        };
        let closed: Vec<usize> = signatures.iter().copied().filter(closing).collect();
        if closed.len() > 1 {
            self.doubt("it has two end records");
        }
        let Some(&place) = closed.last().or(signatures.last()) else { return Ok(None) };
        if closed.is_empty() {
            self.doubt("bytes follow its end record");
        }
        let end = tail.get(place..).unwrap_or_default();
        let end_at = tail_at.saturating_add(u64::try_from(place).unwrap_or(0));
        let plain = [10, 12, 16].map(|at| number(end, at, if at == 10 { 2 } else { 4 }).unwrap_or(0));
        let (stop, [_, len, at]) = match zip64(source, end_at)? {
            Some((stop, values)) => {
                let full = [0xffff, 0xffff_ffff, 0xffff_ffff];
                if plain
                    .iter()
                    .zip(values)
                    .zip(full)
                    .any(|((&plain, value), full)| plain != full && plain != value)
                {
                    self.doubt("its two end records differ");
                }
                (stop, values)
            }
            None => (end_at, plain),
        };
        let Some(begin) = stop.checked_sub(len).filter(|_| len <= DIRECTORY) else { return Ok(None) };
        // A reader that does not search takes the place as it is written.
        let shift = begin.saturating_sub(at);
        if begin != at {
            self.doubt("bytes stand before it, or its directory is not where it says");
        }
        Ok(Some(Place { at: begin, len, shift }))
    }

    /// Adds a record of the directory, and what its local header says where that is something else.
    fn member(&mut self, source: &dyn ReadAt, record: &Record<'_>, shift: u64) -> io::Result<()> {
        let name = String::from_utf8_lossy(record.name).into_owned();
        if name.contains('\0')
            || name.contains('\\')
            || name.starts_with('/')
            || name.split('/').any(|part| part == "..")
        {
            self.doubt(format!("{name} is no safe name"));
        }
        let encrypted = record.flags & (1 | 1 << 6 | 1 << 13) != 0;
        if encrypted {
            self.doubt(format!("{name} is encrypted"));
        } else if record.flags & 1 << 5 != 0 {
            self.doubt(format!("{name} is a patch"));
        }
        let wanted = 30_usize.saturating_add(record.name.len());
        let mut header = None;
        for at in [record.header.saturating_add(shift), record.header] {
            let there = at
                .checked_add(u64::try_from(wanted).unwrap_or(u64::MAX))
                .is_some_and(|end| end <= source.len());
            let bytes = if there { source.read_vec_at(at, wanted)? } else { Vec::new() };
            if bytes.starts_with(b"PK\x03\x04") {
                header = Some((at, bytes));
                break;
            }
        }
        let Some((at, local)) = header else {
            self.doubt(format!("{name} has no local header"));
            return Ok(());
        };
        let (name_len, extra_len) = (short(&local, 26), short(&local, 28));
        let begin = at.saturating_add(30).saturating_add(name_len.into()).saturating_add(extra_len.into());
        let deferred = short(&local, 6) & 1 << 3 != 0;
        let agrees =
            |local: u32, value: u64| u64::from(local) == value || local == u32::MAX || deferred && local == 0;
        let same = usize::from(name_len) == record.name.len()
            && local.get(30..) == Some(record.name)
            && short(&local, 8) == record.method
            && short(&local, 6) == record.flags
            && agrees(word(&local, 14), record.crc32.into())
            && agrees(word(&local, 18), record.compressed)
            && agrees(word(&local, 22), record.size);
        if !same {
            self.doubt(format!("the local header of {name} says something else"));
            let compressed = u64::from(word(&local, 18));
            let name = format!("{name} (local header)");
            let method = short(&local, 8);
            self.add(source, Member { name, at: begin, compressed, method, crc32: 0, encrypted: false });
        }
        let compressed = record.compressed;
        if record.method == 0 && record.size != compressed {
            self.doubt(format!("{name} has two sizes"));
        }
        let (method, crc32) = (record.method, record.crc32);
        self.add(source, Member { name, at: begin, compressed, method, crc32, encrypted });
        Ok(())
    }

    fn add(&mut self, source: &dyn ReadAt, mut member: Member) {
        let left = source.len().saturating_sub(member.at);
        if member.compressed > left {
            self.doubt(format!("{} is cut off", member.name));
            member.compressed = left;
        }
        self.members.push(member);
    }

    /// Without a directory: the members that stand one after the other.
    fn by_local_headers(&mut self, source: &dyn ReadAt, most: usize) -> io::Result<()> {
        let mut at = 0_u64;
        while self.members.len() < most && at.saturating_add(30) <= source.len() {
            let head = source.read_vec_at(at, 30)?;
            if !head.starts_with(b"PK\x03\x04") {
                break;
            }
            let name_len = short(&head, 26);
            let begin =
                at.saturating_add(30).saturating_add(name_len.into()).saturating_add(short(&head, 28).into());
            if begin > source.len() {
                break;
            }
            let name = source.read_vec_at(at.saturating_add(30), name_len.into())?;
            let deferred = short(&head, 6) & 1 << 3 != 0;
            // Its length stands behind it, where nobody knows.
            let compressed =
                if deferred { source.len().saturating_sub(begin) } else { word(&head, 18).into() };
            let name = String::from_utf8_lossy(&name).into_owned();
            let encrypted = short(&head, 6) & 1 != 0;
            self.add(
                source,
                Member { name, at: begin, compressed, method: short(&head, 8), crc32: 0, encrypted },
            );
            at = begin.saturating_add(compressed);
        }
        Ok(())
    }
}

struct Place {
    at: u64,
    len: u64,
    shift: u64,
}

fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    if !bytes.starts_with(b"PK\x01\x02") || bytes.len() < 46 {
        return None;
    }
    let extra_at = usize::from(short(bytes, 28)).checked_add(46)?;
    let comment_at = extra_at.checked_add(short(bytes, 30).into())?;
    let next = comment_at.checked_add(short(bytes, 32).into())?;
    let mut values = [word(bytes, 24), word(bytes, 20), word(bytes, 42)].map(u64::from);
    widen(bytes.get(extra_at..comment_at)?, &mut values);
    let [size, compressed, header] = values;
    let record = Record {
        name: bytes.get(46..extra_at)?,
        flags: short(bytes, 8),
        method: short(bytes, 10),
        crc32: word(bytes, 16),
        compressed,
        size,
        header,
    };
    Some((record, bytes.get(next..)?))
}

/// Takes the sizes and the place from the zip64 field, where the plain ones have no room.
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

/// The zip64 end record before an end record: its place, and its records, size and place of the directory.
fn zip64(source: &dyn ReadAt, end_at: u64) -> io::Result<Option<(u64, [u64; 3])>> {
    let Some(locator_at) = end_at.checked_sub(20) else { return Ok(None) };
    let locator = source.read_vec_at(locator_at, 20)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    // It is 56 bytes long and stands before its locator, or else where that says.
    let named = number(&locator, 8, 8).unwrap_or(0);
    for at in [locator_at.checked_sub(56), Some(named)].into_iter().flatten() {
        if at.checked_add(56).is_some_and(|end| end <= locator_at) {
            let end = source.read_vec_at(at, 56)?;
            if end.starts_with(b"PK\x06\x06") {
                return Ok(Some((at, [32, 40, 48].map(|at| number(&end, at, 8).unwrap_or(0)))));
            }
        }
    }
    Ok(None)
}
