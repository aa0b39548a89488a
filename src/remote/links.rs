//! [`Links`]: the connections of the pure ssh protocol that are open, one for what is got and one for what is sent.
//!
//! Source: `lfsapi/lfsapi.go` and `lfshttp/ssh.go` of Git LFS, which try it first and `git-lfs-authenticate` then, unless
//! `lfs.<url>.sshtransfer` says otherwise. Invariant: a link on which something was not as it should be is not used again.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::sync::Mutex;

use super::error::{Error, Result};
use super::known::lock;
use super::operation::Operation;
use super::ssh::Pure;
use super::ssh_link::{Far, Link};

/// The links that are open, by what they do. `None` where the server does not speak this.
#[derive(Default)]
pub(super) struct Links(Mutex<Vec<(Operation, Option<Link>)>>);

impl Links {
    /// Does something over a link, which is opened if there is none. `None` if the server does not speak this, or is not to.
    ///
    /// # Errors
    /// What keeps it from being opened where nothing else may be tried, and what `work` returns.
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
        // Who does not keep to the protocol is not spoken to again.
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
