//! [`Action`]: how one object can be had, and for how long.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use ureq::http::{HeaderName, HeaderValue};

use super::custom_agent::CustomAgent;
use super::known::Expiry;
use super::secret::Secret;
use super::url::Url;
use super::wire::Wire;

/// How one object can be had.
#[derive(Debug, Clone)]
pub struct Action(pub(super) ObjectAt);

/// Where its bytes are.
#[derive(Debug, Clone)]
pub(super) enum ObjectAt {
    /// On a server.
    Server(Arc<Get>),
    /// In another repository on this machine.
    File(PathBuf),
    /// A transfer agent knows where.
    Agent(Arc<Handed>),
    /// At the other end of ssh.
    Ssh(Arc<OverSsh>),
}

impl ObjectAt {
    /// Returns `true` if what was said of it is over, or about to be.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Server(get) => get.is_over(),
            Self::Agent(handed) => handed.expiry.is_over(),
            Self::Ssh(over) => over.expiry.is_over(),
            Self::File(_) => false,
        }
    }
}

/// What a server that is reached by ssh alone wants to hear of an object again.
#[derive(Debug)]
pub(super) struct OverSsh {
    pub(super) arguments: Vec<(String, Secret)>,
    pub(super) expiry: Expiry,
}

impl OverSsh {
    /// From the words behind an object; others than those that are known are passed over.
    pub(super) fn of<'w>(wire: &Wire<'_>, words: impl Iterator<Item = &'w str>, asked: Instant) -> Self {
        let (mut arguments, mut seconds, mut at) = (Vec::new(), None, None);
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            match name {
                "id" | "token" => {
                    let value = Secret::new(value);
                    wire.remember(&value);
                    arguments.push((name.to_owned(), value));
                }
                "expires-in" => seconds = value.parse().ok(),
                "expires-at" => at = Some(value),
                _ => {}
            }
        }
        Self { arguments, expiry: Expiry::new(asked, seconds, at) }
    }
}

/// What a transfer agent is handed for an object.
pub(super) struct Handed {
    pub(super) agent: CustomAgent,
    /// As the server gave it; none if the server was not asked.
    pub(super) action: Option<Value>,
    pub(super) expiry: Expiry,
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The arguments and the action may hold passwords.
        f.debug_struct("Handed").field("agent", &self.agent.name).finish_non_exhaustive()
    }
}

/// The request that gets an object.
#[derive(Debug)]
pub(super) struct Get {
    pub(super) url: Url,
    pub(super) lines: Vec<(HeaderName, HeaderValue)>,
    /// The server says that the address needs no login of ours.
    pub(super) is_authenticated: bool,
    pub(super) expiry: Expiry,
}

impl Get {
    /// Returns `true` if it is over, or about to be.
    pub(super) fn is_over(&self) -> bool {
        self.expiry.is_over()
    }
}
