//! Where the directory of a zip archive is, to each reader that a loader has.
//!
//! ```text
//! end record, 22 bytes and a comment        locator of zip64, 20 bytes before it
//!  0  "PK\5\6"     12  bytes of directory     0  "PK\6\7"    8  place of the zip64 end record
//! 10  records      16  its place
//! 20  bytes of the comment                   zip64 end record: "PK\6\6", at 32, 40, 48 the same three numbers
//! ```
//! Python's `zipfile` takes the last 22 bytes if they are an end record without a comment, else the last signature of one,
//! whatever its comment is said to be; its directory ends where the end record begins. torch's reader (miniz) takes the
//! last signature with 22 bytes, and the directory where the record says. Others want a comment that ends with the file.
//! So each end record that one of them can take is asked for both places, the plain numbers and those of zip64.
//! Source: PKWARE's APPNOTE 6.3, 4.3.14 to 4.3.16; `_EndRecData` of `CPython`; `mz_zip_reader_read_central_dir` of miniz 3.

use std::io;

use bstr::ByteSlice as _;

use super::fields::number;
use crate::read_at::ReadAt;

/// How far from the end miniz looks, which is farther than a comment can be long: in steps of 4,093 bytes.
const TAIL: u64 = 69_584;
/// How far from the end Python looks.
const PYTHON: usize = 0xffff + 22;
/// The signature of the end record.
const SIGNATURE: &[u8] = b"PK\x05\x06";
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
    /// Those that a reader of a loader takes, or that close the file.
    pub(super) taken: Vec<End>,
    /// All others in the last bytes, from the back.
    pub(super) others: Vec<End>,
}

/// A directory, as a reader takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) at: u64,
    pub(super) len: u64,
    /// How much later the members are than their records say.
    pub(super) shift: i128,
}

/// What an end record says.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Each of them begins with a record.
    pub(super) directories: Vec<Directory>,
    /// `true` if it says that there is none.
    pub(super) is_empty: bool,
    /// Where its two forms, or its numbers and its place, differ.
    pub(super) doubt: Option<&'static str>,
}

/// The end records in the last bytes.
pub(super) fn find(source: &dyn ReadAt) -> io::Result<Ends> {
    let tail_at = source.len().saturating_sub(TAIL);
    let tail_len = usize::try_from(source.len().saturating_sub(tail_at)).map_err(io::Error::other)?;
    let tail = source.read_vec_at(tail_at, tail_len)?;
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

/// What the end record at `end_at` says.
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
    // Every reader that shifts finds the zip64 record where it stands before its locator, and counts from that one.
    let stands_before = wide.iter().any(|(at, _)| at.checked_add(56 + 20) == Some(end_at));
    for (stop, len, at) in
        plain.into_iter().chain(wide.into_iter().map(|(at, [_, len, begin])| (at, len, begin)))
    {
        let before = stop.checked_sub(len);
        // The plain record of a zip64 archive does not stand behind the directory.
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

/// The zip64 end records before an end record: the place of each, and its records, size and place of the directory. Python
/// takes it to stand before its locator, or where that says; miniz where that says.
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
