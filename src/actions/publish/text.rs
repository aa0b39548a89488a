//! Formats the texts of a pull request: its title, its description, and the marker that identifies it.
//!
//! Invariant: the marker is computed from the published files, so that two runs, and two clones, have the same; a path
//! in it cannot become markup.

use std::fmt::Write as _;

use bstr::ByteSlice as _;

use super::super::trailer::Trailer;
use super::content::{MadeFrom, PublishedFile};
use crate::hash::Oid;

/// The usual title of such pull requests, which the Hub's tools search.
const TITLE: &str = "Adding `safetensors` variant of this model";

/// The longest title that the Hub accepts.
const MAX_TITLE: usize = 200;

/// Returns title and message, from the user or by default.
pub(super) fn title(message: Option<&str>) -> String {
    let given = message.and_then(|message| message.trim().lines().next()).unwrap_or(TITLE);
    given.chars().filter(|c| !c.is_control()).take(MAX_TITLE).collect::<String>().trim().to_owned()
}

/// Returns the marker of this publication. `after` is the number of an earlier one that must not match.
pub(super) fn marker(place: &str, files: &[PublishedFile], after: u64) -> String {
    let mut text = format!("git-st-convert\0publish\0{place}\0{after}\0").into_bytes();
    for file in files {
        text.extend_from_slice(&file.path);
        text.extend_from_slice(format!("\0{}\0", file.blob).as_bytes());
    }
    let oid = Oid::of(&text).to_string();
    format!("publication {}", oid.get(..32).unwrap_or_default())
}

/// Returns the message after its first line, as a paragraph of its own.
fn more(message: Option<&str>) -> String {
    let more = message.and_then(|message| message.trim().split_once('\n')).map(|(_, more)| more.trim());
    more.filter(|more| !more.is_empty()).map_or_else(String::new, |more| format!("{more}\n\n"))
}

/// Describes what was converted, from which files, by which program, and how to verify it.
pub(super) fn description(message: Option<&str>, files: &[PublishedFile], marker: &str) -> String {
    let mut text = more(message);
    text += "This pull request adds safetensors versions of the checkpoints listed below. Loading a safetensors file cannot \
             execute code.\n\n\
             | file | bytes | sha256 | converted from |\n|---|---|---|---|\n";
    for file in files {
        let oid = file.pointer.map_or_else(|| "-".to_owned(), |pointer| format!("`{}`", pointer.oid));
        let sources: Vec<_> = file.sources.iter().map(source).collect();
        let path = quoted(file.path.as_ref());
        let _infallible = writeln!(text, "| {path} | {} | {oid} | {} |", file.size, sources.join("; "));
    }
    let version = env!("CARGO_PKG_VERSION");
    let _infallible = write!(
        text,
        "\nCreated with git-st-convert {version}; no pickle was executed. To verify that every tensor is bit-for-bit the one in the \
         checkpoint, run this in a clone of the repository (N is the number of this pull request):\n\n    \
         git st-convert verify --pr N\n\n{marker}\n"
    );
    text
}

/// Returns the message of the commit, with the conversions as trailers.
pub(super) fn commit(message: Option<&str>, files: &[PublishedFile]) -> String {
    let mut text = title(message) + "\n\n" + &more(message);
    for file in files {
        for MadeFrom { path, oid } in &file.sources {
            if let Some(oid) = oid {
                text += &Trailer { path: path.clone(), oid: *oid, key: None }.line();
            }
        }
    }
    text
}

fn source(source: &MadeFrom) -> String {
    let path = quoted(source.path.as_ref());
    source.oid.map_or_else(|| path.clone(), |oid| format!("{path}, sha256 `{oid}`"))
}

/// Formats a path as code in a cell of a table.
fn quoted(path: &bstr::BStr) -> String {
    let text = path.to_str_lossy().replace(|c: char| c.is_control() || matches!(c, '`' | '|'), "\u{fffd}");
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lfs::Pointer;
    use crate::repo::ObjectId;

    fn file(path: &str) -> PublishedFile {
        let pointer = Pointer { oid: Oid::of(b"abc"), size: 3 };
        let source = MadeFrom { path: "pytorch_model.bin".into(), oid: Some(Oid::of(b"source")) };
        let blob = ObjectId::from_hex(&[b'0'; 40]).unwrap();
        PublishedFile {
            path: path.into(),
            pointer: Some(pointer),
            size: 3,
            sources: vec![source],
            blob,
            executable: false,
        }
    }

    #[test]
    fn a_description_says_what_from_what_with_what_and_how_to_prove_it() {
        let files = [file("model.safetensors"), file("a`|\n# b.safetensors")];
        let text = description(Some("Title\n\nWhy."), &files, "publication 01");
        let (from, to) = (Oid::of(b"source"), Oid::of(b"abc"));
        let row = format!("| `model.safetensors` | 3 | `{to}` | `pytorch_model.bin`, sha256 `{from}` |\n");
        assert!(text.starts_with("Why.\n\n") && text.contains(&row), "{text}");
        assert!(text.contains("| `a\u{fffd}\u{fffd}\u{fffd}# b.safetensors` |"), "{text}");
        let version = env!("CARGO_PKG_VERSION");
        assert!(text.contains(&format!("git-st-convert {version}")) && text.contains("verify --pr N"));
        assert!(text.ends_with("\npublication 01\n"));
    }

    #[test]
    fn a_title_is_one_line_of_at_most_200() {
        assert_eq!(title(None), TITLE);
        assert_eq!(title(Some("\n My weights \nmore")), "My weights");
        assert_eq!(title(Some(&"x".repeat(300))).len(), 200);
        let message = commit(Some("A\n\nB"), &[file("m.safetensors")]);
        assert_eq!(
            message,
            format!("A\n\nB\n\nConverted-From: pytorch_model.bin sha256:{}\n", Oid::of(b"source"))
        );
    }

    #[test]
    fn a_marker_is_that_of_the_content() {
        let of = |place: &str, path: &str, after| marker(place, &[file(path)], after);
        assert_eq!(of("a/b", "m", 0), of("a/b", "m", 0));
        let others = [of("a/c", "m", 0), of("a/b", "n", 0), of("a/b", "m", 7)];
        assert!(others.iter().all(|other| *other != of("a/b", "m", 0)));
    }
}
