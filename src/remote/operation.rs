//! [`Operation`] is download or upload, which each request states.
//!
//! Source: `docs/api/batch.md` and `docs/api/server-discovery.md` of Git LFS.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;

use serde::Serialize;

/// An operation on objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    /// Download them.
    Download,
    /// Upload them.
    Upload,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Download => "download",
            Self::Upload => "upload",
        })
    }
}

impl Operation {
    /// Returns the supported transfers. The second one is the Hub's, for objects that are too long for one request.
    pub(super) fn transfers(self) -> &'static [&'static str] {
        match self {
            Self::Download => &["basic"],
            Self::Upload => &["basic", "multipart"],
        }
    }
}
