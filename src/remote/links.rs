//! [`Links`] keeps the open connections of the pure ssh protocol, one for downloads and one for uploads.
//!
//! Source: `lfsapi/lfsapi.go` and `lfshttp/ssh.go` of Git LFS, which tries this protocol first and
//! `git-lfs-authenticate` second, unless `lfs.<url>.sshtransfer` sets otherwise. Invariant: a link is not used again
//! after an error on it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::sync::Mutex;

use super::error::{Error, Result};
use super::known::lock;
use super::operation::Operation;
use super::ssh::Pure;
use super::ssh_link::{Far, Link};

/// The open links, by operation. `None` if the server does not support the protocol.
#[derive(Default)]
pub(super) struct Links(Mutex<Vec<(Operation, Option<Link>)>>);

impl Links {
    /// Does work over a link, and opens it if needed. `None` if the server does not support the protocol, or if it is
    /// disabled.
    ///
    /// # Errors
    /// The reason why it cannot be opened if nothing else may be tried, or an error of `work`.
    pub(super) fn with<T>(
        &self,
        far: Far<'_>,
        operation: Operation,
        work: impl FnOnce(&mut Link) -> Result<T>,
    ) -> Result<Option<T>> {
        let pure = far.ssh.pure(&far.wire.settings.config);
        if pure == Pure::Never {
            return Ok(None);
        }
        if far.wire.settings.offline {
            return Err(Error::Offline { origin: far.guess.origin().clone() });
        }
        let mut links = lock(&self.0);
        let known = links.iter().position(|(does, _)| *does == operation).map(|at| links.swap_remove(at).1);
        let link = match known {
            Some(Some(link)) => Some(link),
            Some(None) => None,
            None => match Link::open(far, operation) {
                Err(error) if pure == Pure::Always || matches!(error, Error::Interrupted) => {
                    return Err(error);
                }
                opened => opened.ok(),
            },
        };
        let Some(mut link) = link else {
            links.push((operation, None));
            return Ok(None);
        };
        let done = work(&mut link);
        // A server that violated the protocol is not contacted again by it.
        if !link.is_broken() && !matches!(done, Err(Error::BadAnswer { .. })) {
            links.push((operation, Some(link)));
        }
        done.map(Some)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for (_, link) in lock(&self.0).drain(..) {
            if let Some(link) = link {
                link.quit();
            }
        }
    }
}
