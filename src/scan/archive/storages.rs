//! Which members of a `PyTorch` zip file are storages: bytes of tensors, which its loader copies and never unpickles.
//!
//! Only the directory is asked. A member is one if a single `ROOT/data.pkl` stands in the same directory, its name is
//! `ROOT/data/N` or `ROOT/constants/N` with digits alone, it is stored in clear, and up to the next member there is room
//! for its local header and its bytes, and for hardly more. What does not fit is no storage, and is looked at like any
//! other member.
//!
//! Source: `_save` of `torch/serialization.py` for the names, `PyTorchStreamWriter::writeRecord` of torch's
//! `caffe2/serialize/inline_container.cc` for the padding in front of the bytes and the descriptor behind them.

use std::collections::HashSet;

use super::Record;
use super::ends::Directory;

/// What may lie between two members beside names, fixed fields and bytes: padding to 4 KiB at most, two extra fields and a
/// descriptor.
pub(super) const GAP: u64 = 4096 + 128;
/// The fixed fields of a local header.
const HEADER: u64 = 30;
/// Flag bits that change nothing: the lengths stand behind the bytes too, the name is UTF-8.
const HARMLESS: u16 = 1 << 3 | 1 << 11;

/// Where the local headers of the storages are said to begin.
pub(super) fn headers(records: &[Record], directory: &Directory) -> HashSet<u64> {
    let mut found = HashSet::new();
    let Some(root) = root(records).filter(|_| directory.shift == 0) else { return found };
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by_key(|record| record.header);
    let mut last = None;
    for (at, record) in sorted.iter().enumerate() {
        let next = at.checked_add(1).and_then(|next| sorted.get(next));
        let end = next.map_or(directory.at, |next| next.header);
        if last != Some(record.header) && is_storage(record, root) && fills(record, end) {
            found.insert(record.header);
        }
        last = Some(record.header);
    }
    found
}

/// The directory of the archive that holds its pickle; `None` if there is none, or one more in other letters.
fn root(records: &[Record]) -> Option<&[u8]> {
    let is_pickle = |record: &&Record| {
        let name = record.name.to_ascii_lowercase();
        name.strip_suffix(b"/data.pkl").is_some_and(|root| !root.contains(&b'/'))
    };
    let mut pickles = records.iter().filter(is_pickle);
    let pickle = pickles.next().filter(|_| pickles.next().is_none())?;
    pickle.name.strip_suffix(b"/data.pkl")
}

fn is_storage(record: &Record, root: &[u8]) -> bool {
    let rest = record.name.strip_prefix(root).and_then(|rest| rest.strip_prefix(b"/"));
    let number =
        rest.and_then(|rest| rest.strip_prefix(b"data/").or_else(|| rest.strip_prefix(b"constants/")));
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
        && record.method == 0
        && record.size == record.compressed
        && record.flags & !HARMLESS == 0
}

/// Returns `true` if header and bytes fill the room up to `end`.
fn fills(record: &Record, end: u64) -> bool {
    let name = u64::try_from(record.name.len()).unwrap_or(u64::MAX);
    let least = record
        .header
        .checked_add(HEADER)
        .and_then(|at| at.checked_add(name))
        .and_then(|at| at.checked_add(record.compressed));
    least.and_then(|least| end.checked_sub(least)).is_some_and(|gap| gap <= GAP)
}
