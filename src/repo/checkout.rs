//! Computes what a checkout makes of a blob: the bytes of the file in a clone, which can differ from those of the blob.
//!
//! git writes `blob → ident → line ends → working-tree-encoding → filter`. The attributes of the path decide which
//! steps run, and if they leave it open (`text=auto`, or nothing), the settings of each clone do: `core.autocrlf`,
//! `core.eol`. So one blob has several [`Recipe`]s, and each gives other bytes.
//!
//! Source: `convert.c` and `utf8.c` of git (`convert_attrs`, `will_convert_lf_to_crlf`, `ident_to_worktree`,
//! `encode_to_worktree`, `reencode_string_len`), gitattributes(5).
//!
//! Invariant: every file that git can write for a blob, without filters, is the blob itself or the result of one of the
//! recipes of its path; a result that cannot be computed is [`Made::Unclear`], never left out. The module does not read
//! or write files.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod convert;
mod encoding;

use std::collections::BTreeSet;

use bstr::{BString, ByteSlice as _};

pub use convert::{Converter, Survey};

use super::ObjectId;
use encoding::Encoding;
pub(super) use encoding::is_utf8;

/// The changes that a checkout makes to a blob because of the attributes of its path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Conversion {
    /// The line ends that a checkout writes.
    pub line_ends: LineEnds,
    /// `true` if `$Id$` becomes `$Id: <name of the blob> $`.
    pub ident: bool,
    /// The value of `working-tree-encoding`; `None` for UTF-8, and if git ignores it.
    pub encoding: Option<BString>,
    /// `true` if the filter is that of Git LFS.
    pub is_lfs: bool,
}

/// When a checkout writes CRLF for LF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum LineEnds {
    /// Never: `-text`, `eol=lf`, `text=input`.
    Kept,
    /// In a clone with `core.autocrlf`, if git detects text: `text=auto`, or no attribute.
    #[default]
    Detected,
    /// For any content: `text`, `eol=crlf`.
    Always,
}

/// One of the ways in which clones may write a blob.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recipe {
    ident: bool,
    line_ends: LineEnds,
    encoding: Option<Encoding>,
}

/// The result of a recipe for a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// The blob itself.
    Same,
    /// These bytes.
    Bytes(Vec<u8>),
    /// The result is not known.
    Unclear(Unclear),
}

/// Why the result of a checkout for a blob is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// An encoding that is not implemented here, or a character that its implementations write differently.
    #[error("working-tree-encoding {0} is not known here")]
    Encoding(BString),
    /// An `$Id: …` that is too long and has no end.
    #[error("an $Id: … $ is too long")]
    Ident,
}

impl Made {
    /// Returns the result for a blob: `done` is `Ok(true)` if `out` was converted from it.
    fn of(done: Result<bool, Unclear>, out: Vec<u8>, blob: &[u8]) -> Self {
        match done {
            Ok(true) if out != blob => Self::Bytes(out),
            Ok(_) => Self::Same,
            Err(unclear) => Self::Unclear(unclear),
        }
    }
}

impl Conversion {
    /// Returns the conversion of a link, whose content is written unchanged.
    pub fn none() -> Self {
        Self { line_ends: LineEnds::Kept, ident: false, encoding: None, is_lfs: false }
    }

    /// Returns the ways in which clones may write the blob, other than the blob itself.
    fn recipes(&self) -> impl Iterator<Item = Recipe> {
        let line_ends = match self.line_ends {
            LineEnds::Kept => vec![LineEnds::Kept],
            other => vec![LineEnds::Kept, other],
        };
        let encodings = self.encoding.iter().flat_map(|name| Encoding::all(name.as_bstr()));
        let encodings: Vec<_> = std::iter::once(None).chain(encodings.map(Some)).collect();
        let ident = self.ident;
        line_ends.into_iter().flat_map(move |line_ends| {
            let recipe = move |encoding| Recipe { ident, line_ends, encoding };
            encodings.clone().into_iter().map(recipe)
        })
    }
}

/// Returns the recipes of these conversions that none of `before` has, other than the blob itself.
pub fn recipes(conversions: &[Conversion], before: &[Conversion]) -> BTreeSet<Recipe> {
    let of = |conversions: &[Conversion]| -> BTreeSet<Recipe> {
        conversions.iter().flat_map(Conversion::recipes).filter(|recipe| !recipe.is_identity()).collect()
    };
    let before = of(before);
    of(conversions).into_iter().filter(|recipe| !before.contains(recipe)).collect()
}

impl Recipe {
    fn is_identity(&self) -> bool {
        !self.ident && self.line_ends == LineEnds::Kept && self.encoding.is_none()
    }

    /// Returns `true` if it keeps line ends.
    pub fn keeps_line_ends(&self) -> bool {
        self.line_ends == LineEnds::Kept
    }

    /// Applies it to this blob.
    pub fn apply(&self, id: ObjectId, blob: &[u8]) -> Made {
        let mut survey = self.survey(id);
        let converter = survey.push(blob).and_then(|()| survey.finish());
        let mut out = Vec::new();
        let done = converter.and_then(|converter| match converter {
            Some(mut converter) => Ok(converter.push(blob, &mut out)? && converter.finish(&mut out)?),
            None => Ok(false),
        });
        Made::of(done, out, blob)
    }

    /// Applies it to a long blob that begins with these bytes, and returns the first bytes of the result.
    pub fn apply_to_head(&self, id: ObjectId, head: &[u8]) -> Made {
        let mut survey = self.survey(id);
        let converter = survey.push(head).map(|()| survey.finish_early());
        let mut out = Vec::new();
        let done = converter.and_then(|converter| match converter {
            Some(mut converter) => converter.push(head, &mut out),
            None => Ok(false),
        });
        Made::of(done, out, head)
    }

    /// Starts the first of the two passes over a blob that is too long for memory.
    pub fn survey(&self, id: ObjectId) -> Survey<'_> {
        Survey::new(self, id)
    }
}

impl std::fmt::Display for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line_ends = match self.line_ends {
            LineEnds::Kept => None,
            LineEnds::Detected => Some("core.autocrlf"),
            LineEnds::Always => Some("CRLF line ends"),
        };
        let ident = self.ident.then_some("ident");
        let encoding = self.encoding.as_ref().map(|encoding| format!("working-tree-encoding={encoding}"));
        let parts = [encoding, ident.map(str::to_owned), line_ends.map(str::to_owned)];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ObjectId {
        ObjectId::from_hex(&[b'a'; 40]).unwrap()
    }

    fn made(conversion: Conversion, blob: &[u8]) -> Vec<BString> {
        let made = recipes(&[conversion], &[]).into_iter().map(|recipe| recipe.apply(id(), blob));
        let mut all: Vec<BString> = made
            .filter_map(|made| match made {
                Made::Bytes(bytes) => Some(bytes.into()),
                Made::Same => None,
                Made::Unclear(why) => Some(why.to_string().into()),
            })
            .collect();
        all.dedup();
        all
    }

    #[test]
    fn an_id_is_one_where_git_finds_one() {
        let name = "a".repeat(40);
        for (blob, expected) in [
            ("$Id$", "$Id: @ $"),
            ("$Id: old $ b", "$Id: @ $ b"),
            ("$Id:$", "$Id: @ $"),
            ("$$Id$$Id$", "$$Id: @ $$Id: @ $"),
            ("$I$Id$", "$I$Id: @ $"),
            ("$Id: of another kind $Id$", "$Id: of another kind $Id: @ $"),
            ("$Id: cut\n$Id$", "$Id: cut\n$Id: @ $"),
            ("$Id", ""),
            ("$Id: a", ""),
            ("$id$ $Ix$", ""),
        ] {
            let conversion = Conversion { ident: true, ..Conversion::none() };
            let made = made(conversion, blob.as_bytes());
            let expected: Vec<BString> =
                if expected.is_empty() { Vec::new() } else { vec![expected.replace('@', &name).into()] };
            assert_eq!(made, expected, "{blob}");
        }
    }

    #[test]
    fn line_ends_change_where_git_takes_it_for_text() {
        let detected = |blob: &[u8]| made(Conversion::default(), blob);
        assert_eq!(detected(b"a\nb"), ["a\r\nb"]);
        let mut long = b"some text ".repeat(13);
        long.extend(b"\x01\n");
        assert_eq!(detected(&long).len(), 1);
        for blob in [&b"a\r\nb\n"[..], b"a\rb\n", b"a\n\r", b"a\0\n", b"a\x01\n", b"a", b""] {
            assert_eq!(detected(blob), [""; 0], "{blob:?}");
        }
        // A control-Z at the end of a file does not count as content.
        assert_eq!(detected(b"a\n\x1a"), ["a\r\n\x1a"]);
        let always = Conversion { line_ends: LineEnds::Always, ..Conversion::none() };
        assert_eq!(made(always, b"\0\r\n\n\r\r\n"), [&b"\0\r\n\r\n\r\r\n"[..]]);
    }

    #[test]
    fn a_cut_changes_nothing() {
        let encoding = Some("utf-16".into());
        let conversion = Conversion { ident: true, line_ends: LineEnds::Always, encoding, is_lfs: false };
        let blob = "é\n€\r\n$Id: x $😀\n$Id".as_bytes();
        for recipe in recipes(&[conversion], &[]) {
            let Made::Bytes(whole) = recipe.apply(id(), blob) else { panic!("{recipe}") };
            for cut in 0..blob.len() {
                let (first, second) = blob.split_at(cut);
                let mut survey = recipe.survey(id());
                survey.push(first).and_then(|()| survey.push(second)).unwrap();
                let mut converter = survey.finish().unwrap().unwrap();
                let mut out = Vec::new();
                assert!(converter.push(first, &mut out).unwrap(), "{recipe}");
                assert!(converter.push(second, &mut out).unwrap());
                assert!(converter.finish(&mut out).unwrap());
                assert_eq!(out, whole, "{recipe} at {cut}");
            }
        }
    }

    #[test]
    fn what_was_made_before_is_not_made_again() {
        let old = Conversion { ident: true, ..Conversion::default() };
        assert!(recipes(std::slice::from_ref(&old), std::slice::from_ref(&old)).is_empty());
        let new = Conversion { ident: false, ..old.clone() };
        let crlf: Vec<_> =
            recipes(&[new], std::slice::from_ref(&old)).iter().map(Recipe::to_string).collect();
        assert_eq!(crlf, ["core.autocrlf"]);
        assert!(recipes(&[Conversion::none()], &[old]).is_empty());
    }

    #[test]
    fn what_iconv_cannot_write_stays_and_what_is_not_known_is_said() {
        let of = |name: &str, blob: &[u8]| {
            made(Conversion { encoding: Some(name.into()), ..Conversion::none() }, blob)
        };
        assert_eq!(of("latin-1", "é€".as_bytes()), [""; 0]);
        assert_eq!(of("ISO-8859-1", b"\xff"), [""; 0]);
        assert_eq!(of("UTF-16", b""), [""; 0]);
        assert_eq!(of("utf8", "é".as_bytes()), [""; 0]);
        assert_eq!(of("ASCII", "é".as_bytes()), [""; 0]);
        assert_eq!(of("UTF-32BE", b"a"), ["\0\0\0a"]);
        assert_eq!(of("BIG5", b"plain"), [""; 0]);
        for (name, blob) in [("BIG5", "字"), ("cp1252", "字"), ("UTF-8//IGNORE", "a"), ("gb2312", "―")] {
            let said = of(name, blob.as_bytes());
            assert!(said.len() == 1 && said[0].contains_str("is not known here"), "{name}: {said:?}");
        }
    }
}
