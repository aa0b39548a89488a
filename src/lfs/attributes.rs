//! Lines of a `.gitattributes` file: the text that puts a path under Git LFS.
//!
//! ```text
//! <pattern> filter=lfs diff=lfs merge=lfs -text
//! ```
//!
//! Source: gitattributes(5), `attr.c` of git, and `commands/command_track.go` of Git LFS, whose lines these are.
//!
//! Invariant: [`append`] keeps every byte that was there, and [`pattern`] matches the path it was made from at the
//! place of the file, whatever bytes the path has. Stricter than `git lfs track`, which leaves a tab and a leading
//! `!` as they are.
//! It does not decide whether a line is needed or where it wins: that is asked of git's own rules, in `repo`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use bstr::{BStr, BString, ByteSlice as _};

/// The attributes of a path under Git LFS, as `git lfs track` writes them.
pub const ATTRIBUTES: &str = "filter=lfs diff=lfs merge=lfs -text";

/// The pattern for every safetensors file, as `git lfs track "*.safetensors"` writes it.
pub const SAFETENSORS: &str = "*.safetensors";

/// git ignores a line of an attributes file that is as long or longer (`ATTR_MAX_LINE_LENGTH`).
pub const MAX_LINE_LEN: usize = 2048;

/// The line for a pattern, without a line end.
pub fn line(pattern: &BStr) -> BString {
    let mut line = BString::from(pattern.to_vec());
    line.push(b' ');
    line.extend_from_slice(ATTRIBUTES.as_bytes());
    line
}

/// The pattern that matches this path alone, seen from the directory of the attributes file.
///
/// It starts with `/`, so a path without a directory matches in no sub-directory, and a leading `!`, `#`, `"` or
/// `[attr]` is an ordinary name. White space would end the pattern and cannot be escaped; it becomes a class,
/// which matches any other white space in its place too.
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

/// `existing` with the line for this pattern at its end, where it wins over every other line.
///
/// The line end is that of the last line of the file, and a last line without one gets it first. A file whose last
/// line is this very line comes back as it is.
pub fn append(existing: &[u8], pattern: &BStr) -> Vec<u8> {
    append_line(existing, line(pattern).as_ref())
}

/// As [`append`], with a line as it stands in another attributes file.
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

/// The line end of the last line that has one.
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
