//! [`Operation`]: whether objects are got or sent, which a server is told with each question.
//!
//! Source: `docs/api/batch.md` and `docs/api/server-discovery.md` of Git LFS.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;

use serde::Serialize;

/// What is to be done with objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    /// To get them.
    Download,
    /// To send them.
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
    /// The ways of transfer that are spoken. The second is the Hub's, for what is too long for one request.
    pub(super) fn transfers(self) -> &'static [&'static str] {
        match self {
            Self::Download => &["basic"],
            Self::Upload => &["basic", "multipart"],
        }
    }
}
