//! Writes the entries of a `.gitattributes` file that put a path under Git LFS.
//!
//! ```text
//! <pattern> filter=lfs diff=lfs merge=lfs -text
//! ```
//!
//! Source: gitattributes(5), `attr.c` of git, and `commands/command_track.go` of Git LFS, which writes the same
//! entries.
//!
//! Invariant: [`append`] keeps every existing byte, and [`pattern`] matches the path that it was made from, seen from
//! the directory of the file, whatever bytes the path contains. Stricter than `git lfs track`, which does not escape a
//! tab and a leading `!`. It does not decide whether an entry is needed or where it wins: `repo` does, by git's own
//! rules.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use bstr::{BStr, BString, ByteSlice as _};

/// The attributes of a path under Git LFS, as `git lfs track` writes them.
pub const ATTRIBUTES: &str = "filter=lfs diff=lfs merge=lfs -text";

/// The pattern for every safetensors file, as `git lfs track "*.safetensors"` writes it.
pub const SAFETENSORS: &str = "*.safetensors";

/// git ignores a line of an attributes file of this length or more (`ATTR_MAX_LINE_LENGTH`).
pub const MAX_LINE_LEN: usize = 2048;

/// Returns the entry for a pattern, without a line end.
pub fn line(pattern: &BStr) -> BString {
    let mut line = BString::from(pattern.to_vec());
    line.push(b' ');
    line.extend_from_slice(ATTRIBUTES.as_bytes());
    line
}

/// Returns the pattern that matches only this path, seen from the directory of the attributes file.
///
/// It starts with `/`, so a path without a directory matches in no subdirectory, and a leading `!`, `#`, `"` or
/// `[attr]` is an ordinary name. White space would end the pattern and cannot be escaped; it becomes a class, which
/// also matches any other white space at that position.
pub fn pattern(path: &BStr) -> BString {
    let mut pattern = BString::from("/");
    for byte in path.bytes() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => pattern.extend_from_slice(b"[[:space:]]"),
            b'\\' | b'*' | b'?' | b'[' => pattern.extend_from_slice(&[b'\\', byte]),
            _ => pattern.push(byte),
        }
    }
    pattern
}

/// Returns `existing` with the entry for this pattern at its end, where it wins over every other line.
///
/// The line end is that of the last line of the file, and a last line without one gets it first. A file that ends with
/// this entry is returned unchanged.
pub fn append(existing: &[u8], pattern: &BStr) -> Vec<u8> {
    append_line(existing, line(pattern).as_ref())
}

/// As [`append`], with an entry as another attributes file spells it.
pub fn append_line(existing: &[u8], line: &BStr) -> Vec<u8> {
    let content = existing.strip_prefix(b"\xef\xbb\xbf").unwrap_or(existing);
    let last = content.trim_ascii_end().lines().next_back().unwrap_or_default();
    if last.trim_ascii() == line.trim_ascii() {
        return existing.to_vec();
    }
    let end = line_end(content);
    let mut whole = existing.to_vec();
    if !content.is_empty() && !content.ends_with(b"\n") {
        whole.extend_from_slice(end);
    }
    whole.extend_from_slice(line);
    whole.extend_from_slice(end);
    whole
}

/// Returns the line end of the last line that has one.
fn line_end(content: &[u8]) -> &'static [u8] {
    let last = content.rfind_byte(b'\n').and_then(|at| content.get(..at));
    if last.is_some_and(|before| before.ends_with(b"\r")) { b"\r\n" } else { b"\n" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = "*.safetensors filter=lfs diff=lfs merge=lfs -text";

    fn appended(existing: &str) -> String {
        String::from_utf8(append(existing.as_bytes(), SAFETENSORS.into())).unwrap()
    }

    #[test]
    fn the_line_of_git_lfs_track() {
        assert_eq!(line(SAFETENSORS.into()), LINE);
    }

    #[test]
    fn what_is_special_in_a_pattern_is_escaped() {
        for (path, expected) in [
            ("model.safetensors", "/model.safetensors"),
            ("a/b c.bin", "/a/b[[:space:]]c.bin"),
            ("tab\there", "/tab[[:space:]]here"),
            ("[x]*?\\.bin", "/\\[x]\\*\\?\\\\.bin"),
            ("!neg", "/!neg"),
            ("#hash", "/#hash"),
            ("\"quoted\"", "/\"quoted\""),
        ] {
            assert_eq!(pattern(path.into()), expected);
        }
        assert_eq!(pattern(BStr::new(b"\xff\xfe")), BStr::new(b"/\xff\xfe"));
    }

    #[test]
    fn the_line_comes_last_and_nothing_else_changes() {
        assert_eq!(appended(""), format!("{LINE}\n"));
        assert_eq!(appended("*.bin -text\n"), format!("*.bin -text\n{LINE}\n"));
        assert_eq!(appended("*.bin -text"), format!("*.bin -text\n{LINE}\n"));
        assert_eq!(appended("*.bin -text\r\n"), format!("*.bin -text\r\n{LINE}\r\n"));
        assert_eq!(appended("a b\r\n\r\n*.bin -text"), format!("a b\r\n\r\n*.bin -text\r\n{LINE}\r\n"));
        assert_eq!(appended("\u{feff}*.bin -text\n"), format!("\u{feff}*.bin -text\n{LINE}\n"));
        assert_eq!(appended("\u{feff}"), format!("\u{feff}{LINE}\n"));
    }

    #[test]
    fn a_line_that_is_overridden_is_written_again() {
        let overridden = format!("{LINE}\n*.safetensors -filter\n");
        assert_eq!(appended(&overridden), format!("{overridden}{LINE}\n"));
        assert_eq!(appended(&format!("{LINE}\n\n")), format!("{LINE}\n\n"));
    }

    proptest! {
        #[test]
        fn appending_twice_is_appending_once(existing: Vec<u8>, path: Vec<u8>) {
            let pattern = pattern(BStr::new(&path));
            let once = append(&existing, pattern.as_ref());
            prop_assert!(once.starts_with(&existing));
            prop_assert_eq!(append(&once, pattern.as_ref()), once);
        }
    }
}
