//! Makes foreign text safe to print: names of tensors, paths, globals, output of programs and servers.
//!
//! Invariant: the result moves no cursor, sets no color and no title, and does not reverse text: every control
//! character, every invisible format character (bidirectional overrides, zero-width, tags) and every byte that is not
//! UTF-8 is written as an escape. All other text stays complete and unchanged. This also applies to pipes and files,
//! because their content can reach a terminal later.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;

use bstr::{BStr, ByteSlice as _};

/// Returns a text in one line.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unsafe) { Cow::Owned(escaped(text.as_bytes().as_bstr())) } else { text.into() }
}

/// Returns bytes in one line, such as a path of a repository.
pub(super) fn bytes(bytes: &BStr) -> Cow<'_, str> {
    match bytes.to_str() {
        Ok(valid) => text(valid),
        Err(_) => Cow::Owned(escaped(bytes)),
    }
}

/// Returns an argument or a path of this system.
pub(super) fn path(path: &(impl AsRef<OsStr> + ?Sized)) -> Cow<'_, str> {
    let path = path.as_ref();
    match path.to_str() {
        Some(valid) => text(valid),
        None => Cow::Owned(escaped(path.as_encoded_bytes().as_bstr())),
    }
}

/// Returns the lines of a text, each made safe.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.lines().map(self::text)
}

/// Returns `true` if the character may not reach a terminal unchanged.
pub(super) fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn escaped(bytes: &BStr) -> String {
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|char| push(&mut out, char));
        for byte in chunk.invalid() {
            let _infallible = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn push(out: &mut String, char: char) {
    let _infallible = match char {
        '\n' => out.write_str("\\n"),
        '\t' => out.write_str("\\t"),
        '\r' => out.write_str("\\r"),
        // Distinguishes an escape from a name that contains the text of one.
        '\\' => out.write_str("\\\\"),
        '\0'..='\x1f' | '\x7f' => write!(out, "\\x{:02x}", u32::from(char)),
        char if is_unsafe(char) => write!(out, "\\u{{{:x}}}", u32::from(char)),
        char => out.write_char(char),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_as_it_is() {
        for plain in ["transformer.wte.weight", "模型/ñ\\é.bin", "", "a b", "👩"] {
            assert!(matches!(text(plain), Cow::Borrowed(same) if same == plain));
        }
    }

    #[test]
    fn what_moves_a_cursor_or_turns_text_is_escaped() {
        assert_eq!(text("a\x1b]0;title\x07b"), "a\\x1b]0;title\\x07b");
        assert_eq!(text("x\u{9b}2J"), "x\\u{9b}2J");
        assert_eq!(text("nib.\u{202e}gpj"), "nib.\\u{202e}gpj");
        assert_eq!(text("a\nerror: b\t\\"), "a\\nerror: b\\t\\\\");
        assert_eq!(text("zero\u{200b}width\u{e0041}"), "zero\\u{200b}width\\u{e0041}");
        assert_eq!(bytes(b"\xff\xfeok\x1b".as_bstr()), "\\xff\\xfeok\\x1b");
        assert_eq!(lines("a\x07\nb").collect::<Vec<_>>(), ["a\\x07", "b"]);
    }
}
