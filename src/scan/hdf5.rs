//! Finds pickles in an HDF5 file: PyTables, and with it pandas, unpickles the attributes that end like a pickle.
//!
//! The structure of the file is not read, because a loader that is more lenient would find more: every position counts
//! at which a pickle begins with its protocol, or looks up a global in two lines. The module of a global must be one
//! that loaders have, because the numbers of a file spell anything else.
//!
//! Source: `AttributeSet.__getattr__` of PyTables, which writes protocol 0 for objects.

use std::io;

use bstr::ByteSlice as _;

use super::code::BEGINNING;
use super::importable::{Importable, importable};
use super::pickles::{self, End, Stream};
use super::{GlobalIn, Limits, Storages, Verdict};
use crate::read_at::{ReadAt, Window};

/// How many bytes are searched at once.
const WINDOW: u64 = 8 << 20;
/// How many bytes show a pickle, and how many it may have.
const SHORT: u64 = 4 << 10;
const LONG: u64 = 1 << 20;
/// The positions that may be walked, besides one in each KiB.
const POSITIONS: u64 = 10_000;
/// The most bytes of a line with a name.
const LINE: usize = 256;

/// Passes each pickle with a global to `tell`, with its position. Of a longer file on a server, only the beginning is
/// searched, for other code.
pub(super) fn pickles(
    source: &dyn ReadAt,
    limits: &Limits,
    storages: Storages,
    tell: &mut dyn FnMut(u64, Stream) -> io::Result<()>,
) -> io::Result<End> {
    let len = source.len();
    if storages == Storages::LeftOut && len > BEGINNING {
        return Ok(End::Whole);
    }
    let (mut at, mut done, mut found) = (0_u64, 0_u64, 0_usize);
    let mut left = POSITIONS.saturating_add(len / 1024);
    while at < len {
        // The next window begins before the end of this one, for what lies on both sides.
        let more = u64::try_from(LINE).unwrap_or(0).saturating_mul(2);
        let end = at.saturating_add(WINDOW).saturating_add(more).min(len);
        let window = source.read_vec_at(at, usize::try_from(end.saturating_sub(at)).unwrap_or(0))?;
        for position in positions(&window) {
            let here = at.saturating_add(u64::try_from(position).unwrap_or(u64::MAX));
            if here < done || here >= at.saturating_add(WINDOW) {
                continue;
            }
            if left == 0 || found >= limits.pickles {
                return Ok(End::TooMany("pickles"));
            }
            left = left.saturating_sub(1);
            let rest = len.saturating_sub(here);
            if pickles::stream(&Window::new(source, here, rest.min(SHORT))?, limits)?.is_none() {
                continue;
            }
            let stream = pickles::stream(&Window::new(source, here, rest.min(LONG))?, limits)?;
            let Some(mut stream) = stream else { continue };
            // Numbers can look like a pickle, but rarely spell a module.
            stream.pickles.retain(|pickle| pickle.globals.iter().any(is_importable));
            for pickle in &mut stream.pickles {
                // The bytes after an attribute are not the pickle's.
                let worst = pickle.globals.iter().map(|global| global.verdict).max();
                (pickle.verdict, pickle.reason) = (worst.unwrap_or_default(), None);
            }
            if !stream.pickles.is_empty() {
                found = found.saturating_add(1);
                let is_worst = stream.pickles.iter().any(|pickle| pickle.verdict == Verdict::Dangerous);
                // The letters of the same line are no other pickles.
                let line = window.get(position..).and_then(|rest| rest.find_byte(b'\n')).unwrap_or(0);
                if is_worst && window.get(position) != Some(&0x80) {
                    done = here.saturating_add(u64::try_from(line).unwrap_or(0));
                }
                tell(here, stream)?;
            }
        }
        at = at.saturating_add(WINDOW);
    }
    Ok(End::Whole)
}

/// Returns the positions in some bytes at which a pickle may begin.
fn positions(bytes: &[u8]) -> Vec<usize> {
    let mut found: Vec<usize> = bytes
        .find_iter(b"\x80")
        .filter(|at| matches!(at.checked_add(1).and_then(|next| bytes.get(next)), Some(2..=5)))
        .collect();
    for at in bytes.find_iter(b"\n") {
        let before = bytes.get(at.saturating_sub(LINE)..at).unwrap_or_default();
        let module =
            before.rfind_byteset(b"\n").map_or(before, |line| before.get(line..).unwrap_or_default());
        let begin = module.iter().rposition(|byte| !is_name(*byte)).map_or(0, |last| last.saturating_add(1));
        let after = at.checked_add(1).and_then(|next| bytes.get(next..)).unwrap_or_default();
        let name = after.get(..LINE.min(after.len())).unwrap_or_default();
        let name = name.find_byte(b'\n').and_then(|end| name.get(..end)).unwrap_or_default();
        if name.is_empty() || !name.iter().all(|byte| is_name(*byte)) {
            continue;
        }
        // The opcode is a letter, so the letters before it may belong to the line, too.
        let start = at.saturating_sub(module.len().saturating_sub(begin));
        // A module has at least one letter after the opcode.
        let letters = start..at.saturating_sub(1);
        found.extend(letters.filter(|at| matches!(bytes.get(*at), Some(b'c' | b'i'))));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn is_importable(global: &GlobalIn) -> bool {
    importable(&global.module, &global.name) == Importable::Name
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}
