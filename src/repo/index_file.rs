//! Writes the bytes of an index file.
//!
//! ```text
//! "DIRC" version:u32 count:u32
//! entry: ctime(8) mtime(8) dev ino mode uid gid size (u32 each) id(20) flags:u16 [extended:u16] path
//!        version 2, 3: NUL, then NULs up to a multiple of 8     version 4: varint cut, rest of the path, NUL
//! extensions: signature(4) length:u32 data
//! checksum(20), zero with index.skipHash
//! ```
//!
//! Source: `gitformat-index(5)`, `read-cache.c` of git. All numbers are big-endian.
//!
//! It does not use gix's writer, which always writes version 2 or 3, so a user who chose version 4 would lose it.
//!
//! Invariant: the version stays, and version 2 becomes 3 only for an entry with extended flags. No optional extension
//! is written: the cached trees would be stale (a commit would silently leave the new file out), and git rebuilds the
//! untracked cache and the file-system monitor. `sdir` stays while a directory entry exists.

use gix::index::entry::Flags;
use gix::index::{Entry, State, Version};

/// The stored flag bits: assume-valid and the stage.
const STORED: u32 = Flags::ASSUME_VALID.bits() | Flags::STAGE_MASK.bits();

/// Returns the bytes of an index.
pub(super) fn bytes(state: &State, skip_hash: bool) -> gix::Result<Vec<u8>> {
    let extended = state.entries().iter().any(is_extended);
    let version = match (state.version(), extended) {
        (Version::V4, _) => 4_u32,
        (_, true) => 3,
        (_, false) => 2,
    };
    let mut out = b"DIRC".to_vec();
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&u32::try_from(state.entries().len()).unwrap_or(u32::MAX).to_be_bytes());
    let mut previous: &[u8] = b"";
    for entry in state.entries() {
        let start = out.len();
        head(&mut out, entry, entry.path(state));
        let path: &[u8] = entry.path(state);
        if version == 4 {
            let shared = previous.iter().zip(path).take_while(|(a, b)| a == b).count();
            varint(&mut out, previous.len() - shared);
            out.extend_from_slice(path.get(shared..).unwrap_or_default());
            out.push(0);
            previous = path;
        } else {
            out.extend_from_slice(path);
            let len = out.len() - start;
            out.resize(start + (len / 8 + 1) * 8, 0);
        }
    }
    if state.entries().iter().any(|entry| entry.mode.is_sparse()) {
        out.extend_from_slice(b"sdir\0\0\0\0");
    }
    let kind = state.object_hash();
    let checksum = if skip_hash {
        kind.null()
    } else {
        let mut hasher = gix::hash::hasher(kind);
        hasher.update(&out);
        hasher.try_finalize()?
    };
    out.extend_from_slice(checksum.as_slice());
    Ok(out)
}

fn is_extended(entry: &Entry) -> bool {
    entry.flags.intersects(Flags::SKIP_WORKTREE | Flags::INTENT_TO_ADD)
}

/// Writes an entry up to its path.
fn head(out: &mut Vec<u8>, entry: &Entry, path: &[u8]) {
    let stat = &entry.stat;
    for number in [
        stat.ctime.secs,
        stat.ctime.nsecs,
        stat.mtime.secs,
        stat.mtime.nsecs,
        stat.dev,
        stat.ino,
        entry.mode.bits(),
        stat.uid,
        stat.gid,
        stat.size,
    ] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(entry.id.as_slice());
    let longest = u16::try_from(Flags::PATH_LEN.bits()).unwrap_or(u16::MAX);
    let len = u16::try_from(path.len()).unwrap_or(longest).min(longest);
    let stored = u16::try_from(entry.flags.bits() & STORED).unwrap_or_default();
    let extended = if is_extended(entry) { 1 << 14 } else { 0 };
    out.extend_from_slice(&(stored | extended | len).to_be_bytes());
    if is_extended(entry) {
        let skip = u16::from(entry.flags.contains(Flags::SKIP_WORKTREE)) << 14;
        let intent = u16::from(entry.flags.contains(Flags::INTENT_TO_ADD)) << 13;
        out.extend_from_slice(&(skip | intent).to_be_bytes());
    }
}

/// Writes git's variable-length number: seven bits per byte, the highest first, each further byte less one.
fn varint(out: &mut Vec<u8>, mut value: usize) {
    let mut digits = vec![low_bits(value)];
    loop {
        value >>= 7;
        if value == 0 {
            break;
        }
        value -= 1;
        digits.push(low_bits(value) | 0x80);
    }
    out.extend(digits.iter().rev());
}

fn low_bits(value: usize) -> u8 {
    u8::try_from(value & 0x7f).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use gix::index::entry::{Mode, Stat};

    use super::*;

    #[test]
    fn numbers_as_git_writes_them() {
        for (value, expected) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0x80, 0]),
            (16511, vec![0xff, 0x7f]),
            (16512, vec![0x80, 0x80, 0]),
        ] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out, expected, "{value}");
        }
    }

    /// Paths of 4095 bytes and more are left out: gix 0.90 does not skip the padding after them.
    #[test]
    fn gix_reads_back_what_is_written() {
        let kind = gix::hash::Kind::Sha1;
        let mut state = State::new(kind);
        let long = "d/".repeat(500) + "name";
        for (path, flags) in [
            ("a", Flags::empty()),
            ("a/b", Flags::SKIP_WORKTREE | Flags::EXTENDED),
            ("abcdefgh", Flags::INTENT_TO_ADD | Flags::EXTENDED),
            ("b", Flags::ASSUME_VALID),
            (&long, Flags::empty()),
        ] {
            state.dangerously_push_entry(Stat::default(), kind.null(), flags, Mode::FILE, path.into());
        }
        let bytes = bytes(&state, false).unwrap();
        let options = gix::index::decode::Options::default();
        let (read, _) = State::from_bytes(&bytes, state.timestamp(), kind, options).unwrap();
        let seen = |state: &State| -> Vec<_> {
            let stored = Flags::SKIP_WORKTREE | Flags::INTENT_TO_ADD | Flags::ASSUME_VALID;
            state.entries().iter().map(|entry| (entry.path(state).to_owned(), entry.flags & stored)).collect()
        };
        assert_eq!(seen(&read), seen(&state));
        assert_eq!(read.version(), Version::V3);
    }
}
