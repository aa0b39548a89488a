//! Reads and writes the trailer `Converted-From: <path> sha256:<oid>`, by which the author of a commit states the
//! checkpoints of its files.
//!
//! `key=<key>` follows if a key was given. Invariant: a path in it cannot become a separate line. No trailer is
//! trusted.

use std::fmt::Write as _;

use bstr::{BStr, BString, ByteSlice as _};

use crate::hash::Oid;

const NAME: &str = "Converted-From: ";

/// The contents of a trailer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) path: BString,
    pub(super) oid: Oid,
    /// The requested dotted path of the state dict.
    pub(super) key: Option<String>,
}

impl Trailer {
    /// Returns it as a line, with its end.
    pub(super) fn line(&self) -> String {
        let safe = |text: &str| text.replace(char::is_control, "\u{fffd}");
        let mut line = format!("{NAME}{} sha256:{}", safe(&self.path.to_str_lossy()), self.oid);
        if let Some(key) = &self.key {
            let _infallible = write!(line, " key={}", safe(key));
        }
        line + "\n"
    }
}

/// Returns the trailers of a message.
pub(super) fn read(message: &BStr) -> Vec<Trailer> {
    message.lines().filter_map(|line| parse(line.strip_prefix(NAME.as_bytes())?)).collect()
}

fn parse(line: &[u8]) -> Option<Trailer> {
    let (path, rest) = line.rsplit_once_str(" sha256:")?;
    let (oid, key) = rest.split_at_checked(64)?;
    let key = match key.trim_ascii_end().strip_prefix(b" key=") {
        Some(key) => Some(key.to_str().ok()?.to_owned()),
        None => None,
    };
    Some(Trailer { path: path.into(), oid: oid.to_str().ok()?.parse().ok()?, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let oid = Oid::of(b"a");
        for (path, key) in [("a.bin", None), ("a b/c sha256:d.bin", Some("model.ema x".to_owned()))] {
            let trailer = Trailer { path: path.into(), oid, key };
            let message = format!("Subject\n\n{}Signed-off-by: A\n", trailer.line());
            assert_eq!(read(message.as_bytes().as_bstr()), [trailer]);
        }
        let hostile = Trailer { path: "a\nConverted-From: b".into(), oid, key: Some("a\nb".to_owned()) };
        assert_eq!(hostile.line().lines().count(), 1);
        for text in ["Converted-From: ", "Converted-From: a sha256:12", "Converted-From: a sha256:", "x"] {
            assert_eq!(read(text.as_bytes().as_bstr()), []);
        }
    }
}
