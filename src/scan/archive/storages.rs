//! Decides which members of a PyTorch zip file are storages: bytes of tensors, which its loader copies and never
//! unpickles.
//!
//! Only the directory decides. A member is a storage if the directory has exactly one `ROOT/data.pkl`, if the member's
//! name is `ROOT/data/N` or `ROOT/constants/N` where `N` consists only of digits, if it is stored in clear, and if the
//! space up to the next member is filled by its local header and its bytes, except for a small gap. Any other member is
//! not a storage, and is scanned like other members.
//!
//! Source: `_save` of `torch/serialization.py` for the names, `PyTorchStreamWriter::writeRecord` of torch's
//! `caffe2/serialize/inline_container.cc` for the padding before the bytes and the descriptor after them.

use std::collections::HashSet;

use super::Record;
use super::ends::Directory;

/// The largest gap between two members, in addition to names, fixed fields and bytes: padding to 4 KiB, two extra
/// fields and a descriptor.
pub(super) const GAP: u64 = 4096 + 128;
/// The length of the fixed fields of a local header.
const HEADER: u64 = 30;
/// Flag bits without effect here: the lengths also follow the bytes, the name is UTF-8.
const HARMLESS: u16 = 1 << 3 | 1 << 11;

/// Returns the stated offsets of the local headers of the storages.
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

/// Returns the directory of the archive that contains its pickle; `None` without a pickle, or with a second one whose
/// name differs only in case.
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

/// Returns `true` if header and bytes fill the space up to `end`.
fn fills(record: &Record, end: u64) -> bool {
    let name = u64::try_from(record.name.len()).unwrap_or(u64::MAX);
    let least = record
        .header
        .checked_add(HEADER)
        .and_then(|at| at.checked_add(name))
        .and_then(|at| at.checked_add(record.compressed));
    least.and_then(|least| end.checked_sub(least)).is_some_and(|gap| gap <= GAP)
}
