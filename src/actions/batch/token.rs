//! [`check_token`]: whether there is a token to publish with, before the first model.
//!
//! Invariant: no server is asked.

use crate::actions::publish::PublishError;
use crate::actions::{Error, Servers};
use crate::remote;

/// Checks that there is a token, as far as that can be known before anybody is asked.
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
