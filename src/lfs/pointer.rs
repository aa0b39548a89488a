//! [`Pointer`] reads and writes the small text that git stores in place of an LFS object.
//!
//! ```text
//! version https://git-lfs.github.com/spec/v1\n
//! ext-0-name sha256:<64 hex>\n        0 to 10 lines, before the object ID
//! oid sha256:<64 lower-case hex>\n
//! size <decimal, at most 2^63-1>\n
//! ```
//!
//! Source: `docs/spec.md` and `lfs/pointer.go` of Git LFS. The order is fixed, an unknown line is an error, and the
//! text is shorter than 1024 bytes. Like the reference, the parser accepts the two older version names, CRLF line ends,
//! empty lines, surrounding white space and a missing last line end.
//!
//! Invariant: [`Pointer`] displays as the canonical text, and parsing that text gives the same pointer. The module does
//! not run extensions: a pointer with an extension is a separate error, because the content of its object is not the
//! content of the file.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;

use crate::hash::Oid;

/// A pointer is shorter than this many bytes; a text of this length or more is content.
pub const MAX_LEN: usize = 1024;

const VERSION: &str = "https://git-lfs.github.com/spec/v1";
const VERSIONS: [&str; 3] = [VERSION, "https://hawser.github.com/spec/v1", "http://git-media.io/v/2"];

/// The object ID and the length of an LFS object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pointer {
    /// The object ID.
    pub oid: Oid,
    /// Its length in bytes.
    pub size: u64,
}

/// Why some bytes are not a usable pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is too long for a pointer.
    #[error("invalid LFS pointer: {len} bytes")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// The first line names no version of the pointer format.
    #[error("not an LFS pointer")]
    NotPointer,
    /// An `lfs.extension` transformed the object of the pointer.
    #[error("LFS pointer extension `{name}` is not supported")]
    Extension {
        /// The name in `ext-N-name`.
        name: String,
    },
    /// The line is not the expected one.
    #[error("invalid LFS pointer: line {line}: expected `{expected}`")]
    UnexpectedLine {
        /// The number of the line, from 1, empty lines included.
        line: usize,
        /// The expected key.
        expected: &'static str,
    },
    /// A line follows the last one.
    #[error("invalid LFS pointer: unexpected line {line}")]
    ExtraLine {
        /// The number of the line, from 1, empty lines included.
        line: usize,
    },
    /// The text ends before this line.
    #[error("invalid LFS pointer: no `{expected}` line")]
    Missing {
        /// The expected key.
        expected: &'static str,
    },
    /// The object ID is not `sha256:` and 64 lower-case hexadecimal digits.
    #[error("invalid LFS pointer: the object ID is not a SHA-256")]
    InvalidOid,
    /// The size is not a decimal number of at most 63 bits.
    #[error("invalid LFS pointer: invalid size")]
    InvalidSize,
}

impl Pointer {
    /// Parses the text of a pointer.
    ///
    /// # Errors
    /// [`Error::NotPointer`] and [`Error::TooLong`] for content; any other variant for a pointer that is damaged or not
    /// usable. Empty input is content: an empty file has no pointer.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        if text.len() >= MAX_LEN {
            return Err(Error::TooLong { len: text.len() });
        }
        let mut lines = Lines { lines: split(trim(text)), line: 0 };
        let version = lines.value("version").map_err(|_| Error::NotPointer)?;
        if !VERSIONS.iter().any(|known| known.as_bytes() == version) {
            return Err(Error::NotPointer);
        }
        let oid = parse_oid(lines.value("oid")?).ok_or(Error::InvalidOid)?;
        let size = parse_size(lines.value("size")?).ok_or(Error::InvalidSize)?;
        match lines.next_line() {
            Some(_) => Err(Error::ExtraLine { line: lines.line }),
            None => Ok(Self { oid, size }),
        }
    }
}

impl fmt::Display for Pointer {
    /// Writes the canonical text; for an empty object nothing, as Git LFS does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size {
            0 => Ok(()),
            size => write!(f, "version {VERSION}\noid sha256:{}\nsize {size}\n", self.oid),
        }
    }
}

/// Returns `true` if this is meant to be a pointer, damaged or not. It does not check the lines after the first.
pub fn looks_like_pointer(text: &[u8]) -> bool {
    let first = split(trim(text)).next().unwrap_or_default();
    let version = strip_carriage_return(first).strip_prefix(b"version ");
    text.len() < MAX_LEN && version.is_some_and(|name| VERSIONS.iter().any(|known| known.as_bytes() == name))
}

/// The lines that are not empty, without their ends, with their numbers.
struct Lines<'a, I: Iterator<Item = &'a [u8]>> {
    lines: I,
    line: usize,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Lines<'a, I> {
    fn next_line(&mut self) -> Option<&'a [u8]> {
        loop {
            let line = strip_carriage_return(self.lines.next()?);
            self.line = self.line.saturating_add(1);
            if !line.is_empty() {
                return Some(line);
            }
        }
    }

    /// Returns the value of the next line, which must have this key.
    fn value(&mut self, expected: &'static str) -> Result<&'a [u8], Error> {
        let line = self.next_line().ok_or(Error::Missing { expected })?;
        let rest = line.strip_prefix(expected.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
        rest.ok_or_else(|| match extension(line) {
            Some(name) => Error::Extension { name },
            None => Error::UnexpectedLine { line: self.line, expected },
        })
    }
}

/// Returns the name in a line `ext-N-name …`.
fn extension(line: &[u8]) -> Option<String> {
    let (digit, rest) = line.strip_prefix(b"ext-")?.split_first()?;
    let key = rest.strip_prefix(b"-")?.split(|byte| *byte == b' ').next()?;
    let name = std::str::from_utf8(key).ok()?;
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    (digit.is_ascii_digit() && plain && !name.is_empty()).then(|| name.to_owned())
}

fn parse_oid(value: &[u8]) -> Option<Oid> {
    std::str::from_utf8(value.strip_prefix(b"sha256:")?).ok()?.parse().ok()
}

/// Parses a number like Go's `ParseInt` in base 10, which accepts a sign.
fn parse_size(value: &[u8]) -> Option<u64> {
    let size: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    u64::try_from(size).ok()
}

fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

fn strip_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Removes Unicode white space from both ends, as Go does. Text that is not UTF-8 is not a pointer, trimmed or not.
fn trim(text: &[u8]) -> &[u8] {
    std::str::from_utf8(text).map_or(text, |text| text.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OID: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn canonical() -> String {
        format!("version {VERSION}\noid sha256:{OID}\nsize 3\n")
    }

    fn parsed(text: &str) -> Result<Pointer, Error> {
        Pointer::parse(text.as_bytes())
    }

    #[test]
    fn canonical_text_goes_both_ways() {
        let pointer = parsed(&canonical()).unwrap();
        assert_eq!(pointer, Pointer { oid: Oid::of(b"abc"), size: 3 });
        assert_eq!(pointer.to_string(), canonical());
        assert_eq!(Pointer { size: 0, ..pointer }.to_string(), "");
    }

    #[test]
    fn what_the_reference_takes_besides() {
        for text in [
            canonical().trim_end().to_owned(),
            canonical().replace('\n', "\r\n"),
            format!("\n \t{}\n\n  ", canonical()),
            canonical().replace('\n', "\n\n"),
            canonical().replace(VERSION, "http://git-media.io/v/2"),
            canonical().replace(VERSION, "https://hawser.github.com/spec/v1"),
            canonical().replace("size 3", "size +03"),
        ] {
            assert_eq!(parsed(&text).unwrap().to_string(), canonical(), "{text:?}");
            assert!(looks_like_pointer(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_pointer_says_why() {
        let swapped = format!("version {VERSION}\nsize 3\noid sha256:{OID}\n");
        let extended = canonical().replace("oid", &format!("ext-0-foo sha256:{OID}\noid"));
        for (text, error) in [
            (String::new(), Error::NotPointer),
            (canonical().replace("spec/v1", "spec/v2"), Error::NotPointer),
            (canonical().replace("size 3\n", ""), Error::Missing { expected: "size" }),
            (canonical() + "more 1\n", Error::ExtraLine { line: 4 }),
            (swapped, Error::UnexpectedLine { line: 2, expected: "oid" }),
            (extended, Error::Extension { name: "foo".into() }),
            (canonical().replace(OID, &OID.to_uppercase()), Error::InvalidOid),
            (canonical().replace(OID, &OID[1..]), Error::InvalidOid),
            (canonical().replace("sha256", "sha512"), Error::InvalidOid),
            (canonical().replace("size 3", "size -3"), Error::InvalidSize),
            (canonical().replace("size 3", "size 9223372036854775808"), Error::InvalidSize),
            (canonical().replace("size 3", "size 3 4"), Error::InvalidSize),
            (canonical() + &" ".repeat(MAX_LEN), Error::TooLong { len: canonical().len() + MAX_LEN }),
        ] {
            assert_eq!(parsed(&text).unwrap_err(), error, "{text:?}");
        }
        assert!(!looks_like_pointer(b"version 1\n"));
        assert!(looks_like_pointer(format!("version {VERSION}\nrubbish").as_bytes()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            drop(Pointer::parse(&bytes));
        }

        #[test]
        fn any_pointer_survives(content: Vec<u8>, size in 1..=u64::MAX >> 1) {
            let pointer = Pointer { oid: Oid::of(&content), size };
            prop_assert_eq!(Pointer::parse(pointer.to_string().as_bytes()), Ok(pointer));
        }
    }
}
