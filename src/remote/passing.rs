//! Decides which errors of servers are temporary, and when a request is repeated.
//!
//! Source: `tq/` of Git LFS and RFC 9110, 15. Invariant: only the kind of an error decides; the module contacts no
//! server.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::time::Duration;

use super::cause::ProxyFault;
use super::error::Error;

impl Error {
    /// Returns `true` if the next attempt may succeed.
    pub fn is_passing(&self) -> bool {
        match self {
            // What a proxy requires or forbids, it requires and forbids again.
            Self::Proxy { source: ProxyFault::Status(status), .. } => matches!(status, 408 | 429 | 500..),
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

    /// Returns `true` if the server wants fewer requests.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Status { status: 503, .. })
    }

    /// Returns `true` if a server responded with a status that refuses this request, and not requests as such.
    pub(super) fn is_of_request(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized { rejected: None, .. }
                | Self::Forbidden { .. }
                | Self::NotFound { .. }
                | Self::RepositoryNotFound { .. }
                | Self::EntryNotFound { .. }
                | Self::Status { after: None, .. }
        )
    }

    /// Returns the time before the next request, if the server stated it.
    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { after, .. } | Self::Status { after, .. } => *after,
            _ => None,
        }
    }

    /// Returns `true` if no server was reached; then many retries do not help.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Resolve { .. } | Self::Connect { .. } | Self::Proxy { .. })
    }
}
