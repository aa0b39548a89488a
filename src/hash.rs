//! Computes [`Oid`], the SHA-256 that names an LFS object, with [`Hasher`] and [`HashingWriter`].
//!
//! Invariant: every byte that reaches the inner writer has been hashed and counted, in order, once. The `sha2` crate
//! compresses the blocks or, for two messages at once, `hash/blocks.rs` does; the padding is here, so that a running
//! hash can be saved and resumed. Source of the name: the Git LFS pointer specification, `oid sha256:<64 lower-case hex
//! digits>`.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

mod blocks;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::blocks::{Block, State};

/// The SHA-256 of a file's content, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid([u8; 32]);

impl Oid {
    /// Returns the object ID of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the raw digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The digits of each byte.
const PAIRS: [[u8; 2]; 256] = {
    let (digits, mut pairs, mut byte) = (b"0123456789abcdef", [[0; 2]; 256], 0);
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At once: the name of an object is a path, of which a commit may have thousands.
        let mut text = [0; 64];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = PAIRS[usize::from(byte)];
        }
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

/// Text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 lower-case hexadecimal digits")]
pub struct InvalidOid;

impl FromStr for Oid {
    type Err = InvalidOid;

    fn from_str(text: &str) -> Result<Self, InvalidOid> {
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| InvalidOid)?;
        let (pairs, _) = digits.as_chunks::<2>();
        let mut oid = [0; 32];
        for (byte, [high, low]) in oid.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(oid))
    }
}

fn nibble(digit: u8) -> Result<u8, InvalidOid> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(InvalidOid),
    }
}

/// A running SHA-256.
#[derive(Clone)]
pub struct Hasher {
    state: State,
    /// The bytes after the last whole block: the first `len % 64`.
    pending: Block,
    len: u64,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { state: INITIAL, pending: [0; 64], len: 0 }
    }
}

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let bytes = self.fill(bytes);
        let (whole, rest) = bytes.as_chunks();
        blocks::compress(&mut self.state, whole);
        self.keep(whole, rest);
    }

    /// Adds bytes to two hashes, in [`Hasher::pair_cost`] times the time of one.
    pub fn update_both(pair: [&mut Self; 2], bytes: [&[u8]; 2]) {
        let [one, other] = pair;
        let ((first, first_rest), (second, second_rest)) =
            (one.fill(bytes[0]).as_chunks(), other.fill(bytes[1]).as_chunks());
        blocks::compress_both([&mut one.state, &mut other.state], [first, second]);
        one.keep(first, first_rest);
        other.keep(second, second_rest);
    }

    /// Returns how long this processor needs for two messages at once, in times of one: between 1 and 2. Measured once
    /// per process.
    pub fn pair_cost() -> f64 {
        blocks::pair_cost()
    }

    /// Returns how many bytes were added.
    pub fn count(&self) -> u64 {
        self.len
    }

    /// Returns `true` if no bytes were added yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the state, to be resumed later.
    pub fn save(&self) -> Saved {
        let pending = self.pending[..self.held()].to_vec();
        Saved { state: self.state, pending, len: self.len }
    }

    /// Resumes a saved state. `None` for a state that no hasher saved.
    pub fn resume(saved: &Saved) -> Option<Self> {
        let mut hasher = Self { state: saved.state, len: saved.len, ..Self::default() };
        if saved.pending.len() != hasher.held() {
            return None;
        }
        hasher.pending[..saved.pending.len()].copy_from_slice(&saved.pending);
        Some(hasher)
    }

    /// Returns the object ID of all bytes so far, and their number.
    pub fn finish(mut self) -> (Oid, u64) {
        let len = self.len;
        let mut padding = [0; 72];
        padding[0] = 0x80;
        // A one bit, zeros, and the length in bits, so that only whole blocks remain.
        let zeros = (119 - self.held()) % 64 + 1;
        padding[zeros..][..8].copy_from_slice(&len.wrapping_mul(8).to_be_bytes());
        self.update(&padding[..zeros + 8]);
        let mut oid = [0; 32];
        for (bytes, word) in oid.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        (Oid(oid), len)
    }

    /// Returns how many bytes wait for the rest of their block.
    fn held(&self) -> usize {
        (self.len % 64) as usize
    }

    /// Completes the block that was begun; returns the remaining bytes.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let held = self.held();
        if held == 0 {
            return bytes;
        }
        let (now, later) = bytes.split_at(bytes.len().min(64 - held));
        self.pending[held..held + now.len()].copy_from_slice(now);
        self.len += now.len() as u64;
        if self.held() == 0 {
            blocks::compress(&mut self.state, &[self.pending]);
        }
        later
    }

    /// Counts the blocks that were compressed, and keeps the rest. No bytes wait before the call.
    fn keep(&mut self, whole: &[Block], rest: &[u8]) {
        if !(whole.is_empty() && rest.is_empty()) {
            self.len += whole.as_flattened().len() as u64;
            self.pending[..rest.len()].copy_from_slice(rest);
            self.len += rest.len() as u64;
        }
    }
}

/// A saved running hash. It is not a secret: it reveals as much of the bytes as their hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    state: State,
    pending: Vec<u8>,
    len: u64,
}

/// The state before the first block: FIPS 180-4, section 5.3.3.
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A writer that hashes and counts what passes through it.
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> HashingWriter<W> {
    /// Starts with no bytes written.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    /// Returns the inner writer, the object ID of the written bytes, and their number.
    pub fn finish(self) -> (W, Oid, u64) {
        let (oid, len) = self.hasher.finish();
        (self.inner, oid, len)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_all(buf)?;
        Ok(buf.len())
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.inner.write_all(buf)?;
        self.hasher.update(buf);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4, the example message "abc".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_standard_s_example() {
        assert_eq!(Oid::of(b"abc").to_string(), ABC);
        assert_eq!(ABC.parse::<Oid>().unwrap(), Oid::of(b"abc"));
    }

    #[test]
    fn writing_in_pieces_gives_the_same_oid() {
        let mut writer = HashingWriter::new(Vec::new());
        for piece in [b"a".as_slice(), b"", b"bc"] {
            writer.write_all(piece).unwrap();
        }
        let (bytes, oid, len) = writer.finish();
        assert_eq!((bytes.as_slice(), oid.to_string().as_str(), len), (b"abc".as_slice(), ABC, 3));
    }

    #[test]
    fn pieces_of_every_length_give_what_the_library_gives() {
        let bytes: Vec<u8> = (0..700_u32).map(|i| (i * 31 % 251) as u8).collect();
        for len in 0..bytes.len() {
            let mut hasher = Hasher::default();
            for piece in bytes[..len].chunks(1 + len % 150) {
                hasher.update(piece);
            }
            let again = Hasher::resume(&hasher.save()).unwrap();
            assert_eq!(hasher.finish(), (Oid::of(&bytes[..len]), len as u64));
            assert_eq!(again.finish().0, Oid::of(&bytes[..len]));
        }
    }

    #[test]
    fn a_pair_gives_what_each_gives_alone() {
        let bytes: Vec<u8> = (0..3000_u32).map(|i| (i * 7 % 253) as u8).collect();
        for (first, second, piece) in [(3000, 2000, 100), (0, 640, 64), (1999, 2001, 333), (64, 128, 1)] {
            let (mut one, mut other) = (Hasher::default(), Hasher::default());
            let (first, second) = (&bytes[..first], &bytes[3000 - second..]);
            let (mut firsts, mut seconds) = (first.chunks(piece), second.chunks(piece + 13));
            loop {
                let next = [firsts.next(), seconds.next()];
                if next == [None, None] {
                    break;
                }
                Hasher::update_both([&mut one, &mut other], next.map(Option::unwrap_or_default));
            }
            assert_eq!(one.finish().0, Oid::of(first));
            assert_eq!(other.finish().0, Oid::of(second));
        }
    }

    #[test]
    fn upper_case_short_and_long_are_no_oid() {
        assert!(ABC.to_uppercase().parse::<Oid>().is_err());
        assert!(ABC[1..].parse::<Oid>().is_err());
        assert!(format!("{ABC}0").parse::<Oid>().is_err());
        assert!("é".repeat(32).parse::<Oid>().is_err());
    }
}
