//! Finds the directory of a zip archive as each reader of a loader finds it.
//!
//! ```text
//! end record, 22 bytes and a comment        locator of zip64, 20 bytes before it
//!  0  "PK\5\6"     12  bytes of directory     0  "PK\6\7"    8  offset of the zip64 end record
//! 10  records      16  its offset
//! 20  bytes of the comment                   zip64 end record: "PK\6\6", at 32, 40, 48 the same three numbers
//! ```
//! Python's `zipfile` uses the last 22 bytes if they are an end record without a comment, else the last signature of an
//! end record, whatever the stated length of its comment is; its directory ends where the end record begins. torch's
//! reader (miniz) uses the last signature of a complete record, and the directory at the stated offset. Other readers
//! require a comment that ends with the file. So each end record that one of these readers can use is read for both
//! positions, with the plain numbers and those of zip64. Source: PKWARE's APPNOTE 6.3, 4.3.14 to 4.3.16; `_EndRecData`
//! of `CPython`; `mz_zip_reader_read_central_dir` of miniz 3.

use std::borrow::Cow;
use std::io;

use bstr::ByteSlice as _;

use super::super::LAST;
use super::fields::number;
use crate::read_at::ReadAt;

/// How many bytes before the end Python searches.
const PYTHON: usize = 0xffff + 22;
/// The signature of the end record.
pub(super) const SIGNATURE: &[u8] = b"PK\x05\x06";
/// The signature of a record of the directory.
pub(super) const RECORD: &[u8] = b"PK\x01\x02";

/// An end record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) at: u64,
    /// `true` if its comment ends where the file does.
    pub(super) closes: bool,
}

/// The end records of a source.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// The end records that a reader of a loader uses, or that end with the file.
    pub(super) taken: Vec<End>,
    /// All other end records in the last bytes, the last one first.
    pub(super) others: Vec<End>,
}

/// A directory, as one reader locates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) at: u64,
    pub(super) len: u64,
    /// How many bytes after its stated offset each member is.
    pub(super) shift: i128,
}

/// The contents of an end record.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The directories; each begins with a record.
    pub(super) directories: Vec<Directory>,
    /// `true` if the end record states that the archive has no members.
    pub(super) is_empty: bool,
    /// The reason if its two forms differ, or if its numbers do not fit its position.
    pub(super) doubt: Option<&'static str>,
}

/// Reads the last bytes of a source, in which its end records are.
pub(in super::super) fn tail(source: &dyn ReadAt) -> io::Result<(u64, Cow<'_, [u8]>)> {
    let at = source.len().saturating_sub(u64::try_from(LAST).unwrap_or(u64::MAX));
    let len = usize::try_from(source.len().saturating_sub(at)).map_err(io::Error::other)?;
    Ok((at, source.read_cow_at(at, len)?))
}

/// Finds the end records in the last bytes of a source.
pub(super) fn find(source: &dyn ReadAt) -> io::Result<Ends> {
    let (tail_at, tail) = tail(source)?;
    let closes = |at: usize| {
        let end = tail.get(at..).unwrap_or_default();
        number(end, 20, 2).and_then(|comment| comment.checked_add(22)) == u64::try_from(end.len()).ok()
    };
    let is_whole = |at: &usize| at.checked_add(22).is_some_and(|end| end <= tail.len());
    let signatures: Vec<usize> = tail.find_iter(SIGNATURE).collect();
    let bare = tail.len().checked_sub(22).filter(|at| signatures.contains(at) && closes(*at));
    let python = signatures.last().copied().filter(|at| at.saturating_add(PYTHON) >= tail.len());
    let whole: Vec<usize> = signatures.iter().copied().filter(is_whole).collect();
    let closing = whole.iter().rev().copied().filter(|at| closes(*at));
    let mut taken: Vec<usize> = Vec::new();
    for at in [bare, python.filter(is_whole), whole.last().copied()].into_iter().flatten().chain(closing) {
        if !taken.contains(&at) {
            taken.push(at);
        }
    }
    let end =
        |at: usize| End { at: tail_at.saturating_add(u64::try_from(at).unwrap_or(0)), closes: closes(at) };
    let others = whole.iter().rev().filter(|at| !taken.contains(at)).map(|at| end(*at)).collect();
    Ok(Ends { taken: taken.into_iter().map(end).collect(), others })
}

/// Reads the end record at `end_at`.
pub(super) fn said(source: &dyn ReadAt, end_at: u64) -> io::Result<Said> {
    let end = source.read_vec_at(end_at, 22)?;
    let [records, len, at] = [(10, 2), (12, 4), (16, 4)].map(|(at, len)| number(&end, at, len).unwrap_or(0));
    let mut said = Said { is_empty: records == 0 && len == 0, ..Said::default() };
    let wide = zip64(source, end_at)?;
    for (_, [wide_records, wide_len, wide_at]) in &wide {
        let pairs =
            [(records, wide_records, 0xffff), (len, wide_len, 0xffff_ffff), (at, wide_at, 0xffff_ffff)];
        if pairs.into_iter().any(|(plain, wide, full)| plain != full && plain != *wide) {
            said.doubt = Some("zip and zip64 end records differ");
        }
    }
    let is_full = len == 0xffff_ffff || at == 0xffff_ffff;
    let plain = (wide.is_empty() || !is_full).then_some((end_at, len, at));
    let is_wide = !wide.is_empty();
    // Every reader that shifts offsets finds the zip64 record directly before its locator, and counts from that record.
    let stands_before = wide.iter().any(|(at, _)| at.checked_add(56 + 20) == Some(end_at));
    for (stop, len, at) in
        plain.into_iter().chain(wide.into_iter().map(|(at, [_, len, begin])| (at, len, begin)))
    {
        let before = stop.checked_sub(len);
        // The plain record of a zip64 archive does not follow the directory directly.
        let is_behind = !(is_wide && stop == end_at);
        if is_behind && before != Some(at) {
            said.doubt.get_or_insert("leading bytes, or a misplaced central directory");
        }
        let before = before.filter(|_| is_behind || !stands_before);
        let shifted = before.map(|begin| (begin, i128::from(begin).saturating_sub(i128::from(at))));
        for (begin, shift) in shifted.into_iter().chain([(at, 0)]) {
            let directory = Directory { at: begin, len, shift };
            if !said.directories.contains(&directory) && begins(source, &directory)? {
                said.directories.push(directory);
            }
        }
    }
    Ok(said)
}

fn begins(source: &dyn ReadAt, directory: &Directory) -> io::Result<bool> {
    let is_there = directory.len >= 46 && directory.at.checked_add(46).is_some_and(|end| end <= source.len());
    Ok(is_there && source.read_vec_at(directory.at, 4)? == RECORD)
}

/// Finds the zip64 end records of an end record: the position of each, with its records, size and offset of the
/// directory. Python expects the record before its locator or at the stated offset; miniz expects it at the stated
/// offset.
fn zip64(source: &dyn ReadAt, end_at: u64) -> io::Result<Vec<(u64, [u64; 3])>> {
    let Some(locator_at) = end_at.checked_sub(20) else { return Ok(Vec::new()) };
    let locator = source.read_vec_at(locator_at, 20)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(Vec::new());
    }
    let mut found: Vec<(u64, [u64; 3])> = Vec::new();
    for at in [locator_at.checked_sub(56), number(&locator, 8, 8)].into_iter().flatten() {
        let is_there = at.checked_add(56).is_some_and(|end| end <= source.len());
        if !is_there || found.iter().any(|(known, _)| *known == at) {
            continue;
        }
        let end = source.read_vec_at(at, 56)?;
        if end.starts_with(b"PK\x06\x06") {
            found.push((at, [32, 40, 48].map(|at| number(&end, at, 8).unwrap_or(0))));
        }
    }
    Ok(found)
}
