//! [`Learned`]: what one run learned of servers, whichever of its actions did.
//!
//! Invariant: it is shared by all clones of the settings that it stands in; it holds no secret in clear that those do not.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::known::{Known, lock};
use super::pace::Pace;
use super::secret::Secret;
use super::token::Token;
use super::url::Url;

/// Who asks the Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name, which its discussions carry.
    pub name: String,
    /// `true` if the Hub says that the token only reads.
    pub only_reads: bool,
}

/// What is learned.
#[derive(Default)]
struct Inner {
    pace: Pace,
    /// By the Hub and the token.
    accounts: Known<(Url, Option<Secret>), Account>,
    /// A token that was got by exchange, and until when it is good.
    exchanged: Mutex<Option<(Token, Instant)>>,
}

/// What a run learned of servers.
#[derive(Clone, Default)]
pub struct Learned(Arc<Inner>);

impl fmt::Debug for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Learned")
    }
}

impl Learned {
    /// Who asked to be left alone.
    pub(super) fn pace(&self) -> &Pace {
        &self.0.pace
    }

    /// The token that is got by exchange: by `ask`, if none is known that is good.
    ///
    /// # Errors
    /// What `ask` returns.
    pub(super) fn exchanged<E>(&self, ask: impl FnOnce() -> Result<(Token, Instant), E>) -> Result<Token, E> {
        let mut known = lock(&self.0.exchanged);
        if let Some((token, _)) = known.as_ref().filter(|(_, end)| *end > Instant::now()) {
            return Ok(token.clone());
        }
        let (token, _) = known.insert(ask()?);
        Ok(token.clone())
    }

    /// Whose token it is, which `ask` finds if that is not known.
    ///
    /// # Errors
    /// What `ask` returns.
    pub(super) fn account<E>(
        &self,
        hub: &Url,
        token: Option<&Secret>,
        ask: impl FnOnce() -> Result<Account, E>,
    ) -> Result<Account, E> {
        self.0.accounts.get_or_learn((hub.clone(), token.cloned()), ask)
    }
}
