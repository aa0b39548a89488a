//! [`Oid`], the SHA-256 that names an LFS object, and [`HashingWriter`], which computes it.
//!
//! Invariant: every byte that reaches the inner writer has been hashed and counted, in order, once.
//! Source of the name: the Git LFS pointer specification, `oid sha256:<64 lower-case hex digits>`.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a file's content, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid([u8; 32]);

impl Oid {
    /// The oid of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The raw digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
#[derive(Clone, Default)]
pub struct Hasher {
    sha: Sha256,
    len: u64,
}

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha.update(bytes);
        self.len += bytes.len() as u64;
    }

    /// The oid of all bytes so far, and how many they were.
    pub fn finish(self) -> (Oid, u64) {
        (Oid(self.sha.finalize().into()), self.len)
    }
}

/// A writer that hashes and counts what passes through it.
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> HashingWriter<W> {
    /// Starts with nothing written.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    /// The inner writer, the oid of what was written, and its length in bytes.
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
    fn upper_case_short_and_long_are_no_oid() {
        assert!(ABC.to_uppercase().parse::<Oid>().is_err());
        assert!(ABC[1..].parse::<Oid>().is_err());
        assert!(format!("{ABC}0").parse::<Oid>().is_err());
        assert!("é".repeat(32).parse::<Oid>().is_err());
    }
}
