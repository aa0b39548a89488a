//! Lists the files of a model at a commit by the Hub's interface.
//!
//! ```text
//! GET <hub>/api/models/<model>/tree/<commit>?recursive=true     [{"type", "path", "oid", "size", "lfs": {"oid", "size"}}],
//!                                                               and `Link: <next page>; rel="next"`
//! ```
//!
//! Source: `list_repo_tree` of `huggingface_hub`'s `hf_api.py`. Invariant: responses are bounded, in length and in
//! pages; a path is foreign text, and is used only in a URL or in a report.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use serde::Deserialize;

use super::cause::BadAnswer;
use super::error::{Error, Result};
use super::hub::{HUB, Hub, ModelName, next_page};
use crate::hash::Oid;
use crate::lfs::Pointer;

/// The most pages that are read: a page has about a thousand files.
const MAX_PAGES: usize = 200;

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Its path from the top of the repository.
    pub path: String,
    /// Its git blob.
    pub blob: Option<String>,
    /// Its length: for a file under Git LFS, that of the object.
    pub size: u64,
    /// Its pointer, if it is under Git LFS.
    pub pointer: Option<Pointer>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    oid: Option<String>,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// Returns the files of a model at a commit, in the order of their paths.
///
/// # Errors
/// [`Error::RepositoryNotFound`], [`Error::RevisionNotFound`], [`Error::BadAnswer`], …
pub fn files(hub: &Hub<'_>, model: &ModelName, commit: &str) -> Result<Vec<TreeFile>> {
    let segments = ["api", "models"].into_iter().chain(model.parts()).chain(["tree", commit]);
    let first = hub.url().with_segments(segments).with_query(&[("recursive", "true")]);
    hub.auth().wire.watched(|| {
        let (mut found, mut next) = (Vec::new(), Some(first));
        for _ in 0..MAX_PAGES {
            let Some(url) = next else { break };
            let (page, links): (Vec<Listed>, _) = hub.linked(&url)?;
            // A page may contain directories only.
            found.extend(page.into_iter().filter(|listed| listed.kind != "directory").map(file));
            next = next_page(&url, &links)?;
        }
        if let Some(url) = next {
            return Err(Error::BadAnswer { url, interface: HUB, source: BadAnswer::Pages });
        }
        found.sort_by(|one: &TreeFile, other| one.path.cmp(&other.path));
        found.dedup_by(|one, other| one.path == other.path);
        Ok(found)
    })
}

fn file(listed: Listed) -> TreeFile {
    let pointer =
        listed.lfs.and_then(|lfs| Some(Pointer { oid: lfs.oid.parse::<Oid>().ok()?, size: lfs.size }));
    TreeFile {
        path: listed.path,
        blob: listed.oid,
        size: pointer.map_or(listed.size, |pointer| pointer.size),
        pointer,
    }
}
