//! Which errors of servers pass: what is tried again, and when.
//!
//! Source: `tq/` of Git LFS and RFC 9110, 15. Invariant: it judges an error by its kind alone, and asks nobody.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::time::Duration;

use super::error::Error;

impl Error {
    /// Returns `true` if the next try can end better.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::Cut { .. }
            | Self::Proxy { .. }
            | Self::RateLimited { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Returns `true` if the server wants to be asked less often.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Status { status: 503, .. })
    }

    /// When to come again, if the server said so.
    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { after, .. } | Self::Status { after, .. } => *after,
            _ => None,
        }
    }

    /// Returns `true` if nobody was reached; then a long patience helps nobody.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Resolve { .. } | Self::Connect { .. } | Self::Proxy { .. })
    }
}
