//! Finds the members of a zip archive as leniently as any reader finds them, and the facts that make readers disagree
//! on it.
//!
//! The converter refuses an ambiguous archive (`checkpoint/zip`); the scanner still reads it, by every directory that
//! some reader uses (`ends`) and by the local headers, and reports each fault as a doubt. If storages are left out
//! ([`Storages::LeftOut`]), the directory decides which members are storages (`storages`), as long as nothing is in
//! doubt; otherwise every member is scanned. Source: PKWARE's APPNOTE 6.3, 4.3.6 to 4.3.13 and 4.5.3;
//! `_RealGetContents` and `open` of `CPython`'s `zipfile`.

mod ends;
mod fields;
mod records;
mod storages;

use std::collections::HashSet;
use std::io::{self, Seek as _};

use bstr::ByteSlice as _;

pub(super) use self::ends::tail;
use self::ends::{Directory, End, Ends};
use self::fields::{short, word};
use self::records::{Record, record, records};
use super::Storages;
use super::head::FIRST_OF_MEMBER;
use crate::read_at::{ReadAt, Reader};

/// The most bytes that all directories of one archive may have.
const DIRECTORIES: u64 = 256 << 20;
/// How many end records are read in addition to those that loaders use.
const ENDS: usize = 32;
/// The first bytes of this many members are read with their local headers, if no more padding than that is between them.
const HEADS: usize = 1024;
const PADDING: usize = 128;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// The offset of its bytes.
    pub(super) at: u64,
    pub(super) compressed: u64,
    pub(super) method: u16,
    /// The CRC-32; 0 if it is not known.
    pub(super) crc32: u32,
    /// `true` for a storage that is left out; its bytes begin at `at` or a little later.
    pub(super) is_left_out: bool,
    /// Its first bytes, if they were read with its local header.
    pub(super) head: Vec<u8>,
}

/// The members of an archive.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) members: Vec<Member>,
    /// Why readers may find other members in it.
    pub(super) doubt: Option<String>,
    /// The local headers of the storages that are left out.
    left_out: HashSet<u64>,
    storages: Storages,
}

impl Member {
    /// Creates a member of which nothing else is known.
    fn new(name: String, at: u64, compressed: u64, method: u16) -> Self {
        Self { name, at, compressed, method, crc32: 0, is_left_out: false, head: Vec::new() }
    }

    /// Returns `true` if the byte at `at` belongs to this member.
    fn covers(&self, at: u64) -> bool {
        let begin = if self.is_left_out { self.at.saturating_add(storages::GAP) } else { self.at };
        at >= begin && at < self.at.saturating_add(self.compressed)
    }
}

/// Names a member of a container, which may itself be a member.
pub(super) fn below(member: Option<&str>, name: &str) -> String {
    member.map_or_else(|| name.to_owned(), |member| format!("{member}!/{name}"))
}

/// Returns `true` for the content of a compressed file, which is no member of an archive.
pub(super) fn is_packed_alone(member: &str) -> bool {
    member.starts_with('(') && member.split("!/").all(|part| part.starts_with('('))
}

/// Returns `true` if the last bytes of a source contain the signature of an end record.
pub(super) fn has_end(last: &[u8]) -> bool {
    last.contains_str(ends::SIGNATURE)
}

/// Returns the ends of an archive that has bytes before or after it: each end record that names a directory. Python's
/// reader requires no more, whatever precedes and follows both.
pub(super) fn ends(source: &dyn ReadAt) -> io::Result<Vec<u64>> {
    let Ends { taken, others } = ends::find(source)?;
    let mut found = Vec::new();
    for end in taken.into_iter().chain(others.into_iter().take(ENDS)) {
        if !ends::said(source, end.at)?.directories.is_empty() {
            found.push(end.at);
        }
    }
    Ok(found)
}

impl Listing {
    /// Lists at most `most` members.
    pub(super) fn read(source: &dyn ReadAt, most: usize, storages: Storages) -> io::Result<Self> {
        let listing = Self::listed(source, most, storages)?;
        if listing.left_out.is_empty() || listing.doubt.is_none() {
            return Ok(listing);
        }
        // Readers may disagree on which members are storages.
        Self::listed(source, most, Storages::Scanned)
    }

    fn listed(source: &dyn ReadAt, most: usize, storages: Storages) -> io::Result<Self> {
        let mut listing = Self { storages, ..Self::default() };
        let Ends { taken, others } = ends::find(source)?;
        let mut directories = Vec::new();
        let mut is_empty = false;
        for end in taken {
            is_empty |= listing.end(source, end, most, &mut directories)?;
        }
        // Inside a member, an end record belongs to an archive in the archive, and no reader uses it for this one.
        let is_inside = |listing: &Self, at: u64| listing.members.iter().any(|member| member.covers(at));
        let others: Vec<_> = others.into_iter().filter(|end| !is_inside(&listing, end.at)).collect();
        if others.len() > ENDS {
            listing.doubt("more end records than the limit");
        }
        for end in others.into_iter().take(ENDS) {
            listing.end(source, end, most, &mut directories)?;
        }
        if directories.is_empty() && !is_empty {
            listing.doubt("no central directory");
            listing.by_local_headers(source, most)?;
        }
        Ok(listing)
    }

    fn doubt(&mut self, what: impl Into<String>) {
        self.doubt.get_or_insert_with(|| what.into());
    }

    /// Lists the members of an end record, unless they are listed already. Returns `true` if it states that there are
    /// none.
    fn end(
        &mut self,
        source: &dyn ReadAt,
        end: End,
        most: usize,
        known: &mut Vec<Directory>,
    ) -> io::Result<bool> {
        let said = ends::said(source, end.at)?;
        if said.directories.is_empty() && !said.is_empty {
            return Ok(false);
        }
        if let Some(doubt) = said.doubt {
            self.doubt(doubt);
        }
        if !end.closes {
            self.doubt("trailing bytes after the end record");
        }
        for directory in said.directories {
            if known.contains(&directory) {
                continue;
            }
            if known.iter().any(|other| other.at != directory.at) {
                self.doubt("two central directories");
            }
            let spent: u64 = known.iter().map(|directory| directory.len).fold(0, u64::saturating_add);
            if spent.saturating_add(directory.len) > DIRECTORIES {
                self.doubt("central directory over the limit");
                continue;
            }
            known.push(directory);
            self.directory(source, &directory, most)?;
        }
        Ok(said.is_empty)
    }

    fn directory(&mut self, source: &dyn ReadAt, directory: &Directory, most: usize) -> io::Result<()> {
        if self.storages == Storages::LeftOut {
            self.left_out.extend(storages::headers(&records(source, directory, most)?, directory));
        }
        let mut reader = Reader::new(source);
        reader.seek(io::SeekFrom::Start(directory.at))?;
        let mut left = directory.len.min(source.len().saturating_sub(directory.at));
        let mut seen = HashSet::new();
        while left > 0 {
            let Some((record, len)) = record(&mut reader, left)? else {
                self.doubt("damaged central directory");
                return self.by_local_headers(source, most);
            };
            if len > left {
                self.doubt("damaged central directory");
            }
            left = left.saturating_sub(len);
            if !seen.insert(record.name.to_ascii_lowercase()) {
                self.doubt(format!("duplicate member {}", String::from_utf8_lossy(&record.name)));
            }
            if self.members.len() >= most {
                self.doubt("more members than the limit");
                break;
            }
            self.member(source, &record, directory.shift)?;
        }
        Ok(())
    }

    /// Adds a record of the directory, and also what its local header describes if the two differ.
    fn member(&mut self, source: &dyn ReadAt, record: &Record, shift: i128) -> io::Result<()> {
        let name = String::from_utf8_lossy(&record.name).into_owned();
        let has_dots = name.as_bytes().windows(2).any(|two| two == b"..");
        if name.bytes().any(|byte| matches!(byte, b'\0' | b'\\'))
            || name.starts_with('/')
            || has_dots && name.split('/').any(|part| part == "..")
        {
            self.doubt(format!("unsafe member name {name}"));
        }
        // A flag for encryption may be set on a member that is stored in clear, and readers differ in which header they
        // believe.
        if record.flags & (1 | 1 << 6 | 1 << 13) != 0 {
            self.doubt(format!("{name} is encrypted"));
        } else if record.flags & 1 << 5 != 0 {
            self.doubt(format!("{name} is patch data"));
        }
        if record.method == 0 && record.size != record.compressed {
            self.doubt(format!("{name} has two sizes"));
        }
        if self.left_out.contains(&record.header) {
            let at = record
                .header
                .saturating_add(30)
                .saturating_add(u64::try_from(record.name.len()).unwrap_or(u64::MAX));
            let member = Member::new(name, at, record.compressed, record.method);
            self.members.push(Member { crc32: record.crc32, is_left_out: true, ..member });
            return Ok(());
        }
        let shifted = i128::from(record.header).checked_add(shift).and_then(|at| u64::try_from(at).ok());
        let mut places: Vec<u64> = shifted.into_iter().collect();
        if shifted != Some(record.header) {
            places.push(record.header);
        }
        let mut has_header = false;
        for at in places {
            has_header |= self.local(source, record, &name, at)?;
        }
        if !has_header {
            self.doubt(format!("{name} has no local header"));
        }
        Ok(())
    }

    /// Adds the member whose local header is at this position, if one is.
    fn local(&mut self, source: &dyn ReadAt, record: &Record, name: &str, at: u64) -> io::Result<bool> {
        let left = source.len().saturating_sub(at);
        if left < 30 {
            return Ok(false);
        }
        let header_len = record.name.len().saturating_add(30);
        let ahead = if self.members.len() < HEADS { PADDING.saturating_add(FIRST_OF_MEMBER) } else { 0 };
        let wanted = header_len.saturating_add(ahead);
        let wanted = usize::try_from(left).map_or(wanted, |left| left.min(wanted));
        let mut read = source.read_vec_at(at, wanted)?;
        if !read.starts_with(b"PK\x03\x04") {
            return Ok(false);
        }
        let local = read.get(..header_len).unwrap_or(&read);
        let (name_len, extra_len) = (short(local, 26), short(local, 28));
        let begin = at.saturating_add(30).saturating_add(name_len.into()).saturating_add(extra_len.into());
        let deferred = short(local, 6) & 1 << 3 != 0;
        let agrees =
            |local: u32, value: u64| u64::from(local) == value || local == u32::MAX || deferred && local == 0;
        let same = usize::from(name_len) == record.name.len()
            && local.get(30..) == Some(record.name.as_slice())
            && short(local, 8) == record.method
            && short(local, 6) == record.flags
            && agrees(word(local, 14), record.crc32.into())
            && agrees(word(local, 18), record.compressed)
            && agrees(word(local, 22), record.size);
        if !same {
            self.doubt(format!("local header of {name} differs"));
            let compressed = u64::from(word(local, 18));
            let name = format!("{name} (local header)");
            self.add(source, Member::new(name, begin, compressed, short(local, 8)));
        }
        // What follows the header; `add` removes what is not of the member.
        let before = usize::try_from(begin.saturating_sub(at)).unwrap_or(usize::MAX).min(read.len());
        read.drain(..before);
        let (compressed, method, crc32) = (record.compressed, record.method, record.crc32);
        let (name, is_left_out) = (name.to_owned(), false);
        self.add(source, Member { name, at: begin, compressed, method, crc32, is_left_out, head: read });
        Ok(true)
    }

    fn add(&mut self, source: &dyn ReadAt, mut member: Member) {
        let left = source.len().saturating_sub(member.at);
        if member.compressed > left {
            self.doubt(format!("{} is truncated", member.name));
            member.compressed = left;
        }
        member.head.truncate(usize::try_from(member.compressed).unwrap_or(usize::MAX));
        self.members.push(member);
    }

    /// Without a directory: lists the members that follow one another.
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
            // Its length follows its bytes, at an unknown offset.
            let compressed =
                if deferred { source.len().saturating_sub(begin) } else { word(&head, 18).into() };
            let name = String::from_utf8_lossy(&name).into_owned();
            let method = short(&head, 8);
            self.add(source, Member::new(name, begin, compressed, method));
            at = begin.saturating_add(compressed);
        }
        Ok(())
    }
}
