//! [`check_token`] checks that a token for publishing exists, before the first model.
//!
//! Invariant: no server is contacted.

use crate::actions::publish::PublishError;
use crate::actions::{Error, Servers};
use crate::remote;

/// Checks that a token exists, as far as that is possible without a server.
///
/// # Errors
/// [`remote::Error::TokenExpired`], [`PublishError::NoToken`], or a token that cannot be read.
pub(super) fn check_token(servers: &Servers) -> Result<(), Error> {
    let tokens = &servers.settings.tokens;
    if servers.token.is_some() || tokens.exchanged().is_some() {
        return Ok(());
    }
    match tokens.token().map_err(remote::Error::from)? {
        Some(token) if token.is_expired() => {
            Err(remote::Error::TokenExpired { place: token.place, said: None }.into())
        }
        _ => Err(Error::Unpublished(PublishError::NoToken)),
    }
}
