//! [`Learned`] stores what one run learned about servers, in whichever of its actions.
//!
//! Invariant: all clones of its settings share it; it contains no secret in plain text that the settings do not
//! contain.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::known::{Known, lock};
use super::pace::Pace;
use super::secret::Secret;
use super::token::Token;
use super::url::Url;

/// The account of the Hub's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name, which is the author of its discussions.
    pub name: String,
    /// `true` if the Hub reports that the token can only read.
    pub only_reads: bool,
}

/// The facts about servers.
#[derive(Default)]
struct Inner {
    pace: Pace,
    /// By the Hub and the token.
    accounts: Known<(Url, Option<Secret>), Account>,
    /// A token from an exchange, and its time of expiry.
    exchanged: Mutex<Option<(Token, Instant)>>,
}

/// The facts that a run learned about servers.
#[derive(Clone, Default)]
pub struct Learned(Arc<Inner>);

impl fmt::Debug for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Learned")
    }
}

impl Learned {
    /// Returns the servers that requested a pause.
    pub(super) fn pace(&self) -> &Pace {
        &self.0.pace
    }

    /// Returns the token from the exchange; `ask` requests it if no valid one is known.
    ///
    /// # Errors
    /// An error of `ask`.
    pub(super) fn exchanged<E>(&self, ask: impl FnOnce() -> Result<(Token, Instant), E>) -> Result<Token, E> {
        let mut known = lock(&self.0.exchanged);
        if let Some((token, _)) = known.as_ref().filter(|(_, end)| *end > Instant::now()) {
            return Ok(token.clone());
        }
        let (token, _) = known.insert(ask()?);
        Ok(token.clone())
    }

    /// Returns the account of a token, which `ask` finds if it is not known.
    ///
    /// # Errors
    /// An error of `ask`.
    pub(super) fn account<E>(
        &self,
        hub: &Url,
        token: Option<&Secret>,
        ask: impl FnOnce() -> Result<Account, E>,
    ) -> Result<Account, E> {
        self.0.accounts.get_or_learn((hub.clone(), token.cloned()), ask)
    }
}
