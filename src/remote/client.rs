//! [`Client`]: whom a session of ours asks, and who it says it is.

use std::sync::OnceLock;

use super::error::{Error, Result};
use super::known::Known;
use super::login::Credential;
use super::origin::Origin;
use super::settings::{HUB, Settings};
use super::ssh::Granted;
use super::token::Token;
use super::url::Url;
use super::wire::{Interrupt, Observer, Wire};
use crate::git::Git;

/// What asks servers.
pub struct Client<'a> {
    pub(super) wire: Wire<'a>,
    pub(super) git: Option<Git<'a>>,
    pub(super) accepted: Known<Origin, Credential>,
    pub(super) granted: Granted,
    hub: Url,
    token: OnceLock<Option<Token>>,
}

impl<'a> Client<'a> {
    /// A client that asks git for logins, if there is one.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] if `HF_ENDPOINT` is no address.
    pub fn new(settings: Settings, git: Option<Git<'a>>) -> Result<Self> {
        let hub = settings.hub.as_deref().unwrap_or(HUB).trim_end_matches('/');
        let hub = Url::parse(hub)
            .map_err(|source| Error::NotAllowed { what: "the value of HF_ENDPOINT".to_owned(), source })?;
        Ok(Self {
            wire: Wire::new(settings),
            git,
            accepted: Known::default(),
            granted: Granted::default(),
            hub: hub.without_login(),
            token: OnceLock::new(),
        })
    }

    /// Tells `observer` every request.
    #[must_use]
    pub fn observed(self, observer: Option<Observer<'a>>) -> Self {
        Self { wire: self.wire.observed(observer), ..self }
    }

    /// Stops as soon as `interrupt` says so.
    #[must_use]
    pub fn interruptible(self, interrupt: Interrupt<'a>) -> Self {
        Self { wire: self.wire.interruptible(interrupt), ..self }
    }

    /// The Hub: `HF_ENDPOINT`, or the public one.
    pub fn hub(&self) -> &Url {
        &self.hub
    }

    /// The Hub's token, wherever it is.
    ///
    /// # Errors
    /// [`Error::Token`]
    pub fn token(&self) -> Result<Option<&Token>> {
        if let Some(token) = self.token.get() {
            return Ok(token.as_ref());
        }
        let token = self.wire.settings.tokens.token()?;
        if let Some(token) = &token {
            self.wire.remember(&token.secret);
        }
        Ok(self.token.get_or_init(|| token).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_is_an_address() {
        let hub = |text: &str| {
            let settings = Settings { hub: Some(text.to_owned()), ..Settings::default() };
            Client::new(settings, None).map(|client| client.hub().to_string())
        };
        assert_eq!(hub("https://mirror.example/hub/").unwrap(), "https://mirror.example/hub");
        assert_eq!(hub("https://u:p@mirror.example").unwrap(), "https://mirror.example/");
        assert!(matches!(hub("mirror.example"), Err(Error::NotAllowed { .. })));
    }
}
