//! [`Allow`] reads the exceptions of a repository.
//!
//! ```text
//! # a comment
//! <64 hex digits: the SHA-256 of the content, the object ID in its pointer>  <path>  <reason, to the end of the line>
//! ```
//!
//! A path that contains white space, a quote or a backslash, or is not UTF-8, is in double quotes as git quotes it:
//! `"with space.bin"`, `\"`, `\\`, and `\ooo` for a byte.
//!
//! Invariant: an exception allows one content at one path, and has a reason. An invalid line is an error, and is never
//! skipped.

use std::collections::HashMap;

use bstr::{BStr, BString, ByteSlice as _};

use crate::hash::Oid;

/// The exceptions file, unless `st-convert.allow` names another one.
pub const FILE: &str = ".st-convert-allow";

/// The fault of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The line does not begin with a SHA-256.
    #[error("expected a SHA-256 (64 lower-case hex digits)")]
    Oid,
    /// The path is missing, or its quotes do not end.
    #[error("expected a path after the SHA-256")]
    Path,
    /// The reason is missing.
    #[error("expected a reason after the path")]
    Reason,
}

/// An invalid line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {source}")]
pub(super) struct BrokenLine {
    /// The number of the line, from 1.
    pub(super) line: usize,
    /// The fault.
    pub(super) source: Broken,
}

/// The exceptions of a repository.
#[derive(Debug, Default)]
pub(super) struct Allow {
    by_path: HashMap<BString, Vec<(Oid, String)>>,
}

impl Allow {
    /// Adds the exceptions of a file.
    pub(super) fn read(&mut self, text: &[u8]) -> Result<(), BrokenLine> {
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let broken = |source| BrokenLine { line: at + 1, source };
            let (oid, path, reason) = parse(line).map_err(broken)?;
            self.by_path.entry(path).or_default().push((oid, reason));
        }
        Ok(())
    }

    /// Returns `true` if an exception exists for this path, of any content.
    pub(super) fn names(&self, path: &BStr) -> bool {
        self.by_path.contains_key(path)
    }

    /// Returns the reason why this content is allowed at this path.
    pub(super) fn reason(&self, path: &BStr, oid: Oid) -> Option<&str> {
        let of_path = self.by_path.get(path)?;
        of_path.iter().find(|(known, _)| *known == oid).map(|(_, reason)| reason.as_str())
    }
}

fn parse(line: &[u8]) -> Result<(Oid, BString, String), Broken> {
    let end = line.find_byteset(b" \t").unwrap_or(line.len());
    let (oid, rest) = line.split_at(end);
    let oid = oid.to_str().ok().filter(|oid| !oid.bytes().any(|byte| byte.is_ascii_uppercase()));
    let oid = oid.and_then(|oid| oid.parse().ok()).ok_or(Broken::Oid)?;
    let (path, rest) = path(rest.trim_start()).filter(|(path, _)| !path.is_empty()).ok_or(Broken::Path)?;
    let reason = rest.trim().to_str_lossy().into_owned();
    if reason.is_empty() { Err(Broken::Reason) } else { Ok((oid, path, reason)) }
}

/// Parses a path, and returns the rest.
fn path(text: &[u8]) -> Option<(BString, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let (path, rest) = text.split_at(text.find_byteset(b" \t").unwrap_or(text.len()));
        return Some((path.into(), rest));
    };
    let mut path = BString::default();
    let mut rest = quoted;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((path, rest)),
            b'\\' => {
                let (escaped, after) = rest.split_first()?;
                rest = after;
                let byte = match escaped {
                    b'"' | b'\\' => *escaped,
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0'..=b'3' => {
                        let digits = [*escaped, *rest.first()?, *rest.get(1)?];
                        rest = rest.get(2..)?;
                        u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()?
                    }
                    _ => return None,
                };
                path.push(byte);
            }
            byte => path.push(*byte),
        }
    }
}

/// Returns a path as the file spells it.
pub fn quoted(path: &BStr) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\') || byte >= 0x80;
    match path.to_str() {
        Ok(text) if !path.is_empty() && path.bytes().all(plain) && !text.chars().any(char::is_whitespace) => {
            return text.to_owned();
        }
        _ => {}
    }
    let is_text = path.to_str().is_ok();
    let mut out = BString::from("\"");
    for byte in path.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            0x80.. if is_text => out.push(byte),
            byte => out.extend(format!("\\{byte:03o}").bytes()),
        }
    }
    out.push(b'"');
    out.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn read(text: &str) -> Result<Allow, BrokenLine> {
        let mut allow = Allow::default();
        allow.read(text.as_bytes()).map(|()| allow)
    }

    #[test]
    fn an_exception_is_for_one_content_at_one_path() {
        let text =
            format!("# why not\r\n\r\n{SHA}  a/b.bin\told  tests need it\n{SHA} \"a b\\\\\\303.bin\" x");
        let allow = read(&text).unwrap();
        let oid = Oid::of(b"abc");
        assert_eq!(allow.reason("a/b.bin".into(), oid), Some("old  tests need it"));
        assert_eq!(allow.reason(b"a b\\\xc3.bin".as_bstr(), oid), Some("x"));
        assert_eq!(allow.reason("b.bin".into(), oid), None);
        assert_eq!(allow.reason("a/b.bin".into(), Oid::of(b"abd")), None);
    }

    #[test]
    fn a_line_that_is_none_is_an_error() {
        let upper = SHA.to_uppercase();
        for (line, source) in [
            ("a.bin why", Broken::Oid),
            (&format!("{upper} a.bin why"), Broken::Oid),
            (SHA, Broken::Path),
            (&format!("{SHA} \"a.bin why"), Broken::Path),
            (&format!("{SHA} \"\" why"), Broken::Path),
            (&format!("{SHA} a.bin  "), Broken::Reason),
            (&format!("{SHA} \"a\""), Broken::Reason),
        ] {
            let err = read(&format!("\n{line}\n")).unwrap_err();
            assert_eq!(err, BrokenLine { line: 2, source }, "{line}");
        }
    }

    #[test]
    fn what_is_quoted_is_read_again() {
        for name in [&b"a.bin"[..], b"a b", b"\"", b"a\\b", b"\xff\xfe", b"a\nb\tc", "ä\u{2003}ö".as_bytes()]
        {
            let line = format!("{SHA} {} why", quoted(name.as_bstr()));
            let allow = read(&line).unwrap();
            assert_eq!(allow.reason(name.as_bstr(), Oid::of(b"abc")), Some("why"), "{line}");
        }
        assert_eq!(quoted("a/ü.bin".into()), "a/ü.bin");
    }
}
