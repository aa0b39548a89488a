//! Writes JSON as text: one line, safe in the sense of [`sanitize`].
//!
//! Invariant: a character that is unsafe on a terminal is written as a JSON escape, with the same meaning. Bytes of a
//! path that are not UTF-8 are written as `\xff`, because JSON has no bytes.

use std::ffi::OsStr;
use std::io;

use bstr::BString;
use serde_json::Value;
use serde_json::ser::Formatter;

use super::super::sanitize;

/// Returns a path. Valid text stays unchanged, for use by a program.
pub(super) fn path(path: &BString) -> String {
    match std::str::from_utf8(path) {
        Ok(valid) => valid.to_owned(),
        Err(_) => sanitize::bytes(path.as_ref()).into_owned(),
    }
}

/// Does the same for a string of this system.
pub(super) fn native(word: &OsStr) -> String {
    path(&word.as_encoded_bytes().into())
}

/// Returns the line of an object.
pub(super) fn line(value: &Value) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Safe);
    // Writing a value to memory cannot fail, and its text is UTF-8.
    let _infallible = serde::Serialize::serialize(value, &mut serializer);
    String::from_utf8(out).unwrap_or_default()
}

/// Formats compactly, with `\u` escapes where [`sanitize`] would escape.
struct Safe;

impl Formatter for Safe {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for part in fragment.split_inclusive(sanitize::is_unsafe) {
            let plain = part.trim_end_matches(sanitize::is_unsafe);
            writer.write_all(plain.as_bytes())?;
            for unit in part.get(plain.len()..).unwrap_or_default().encode_utf16() {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_safe_and_means_the_same() {
        let name = "a\x1b[2J\u{9b}\u{202e}\u{e0041}\"ñ\\";
        let text = line(&json!({ "name": name }));
        assert_eq!(text, r#"{"name":"a\u001b[2J\u009b\u202e\udb40\udc41\"ñ\\"}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["name"], name);
    }
}
