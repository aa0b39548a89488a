//! [`Action`] describes where one LFS object is, and for how long that is valid.
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

/// The location of one object.
#[derive(Debug, Clone)]
pub struct Action(pub(super) ObjectAt);

/// The kind of location.
#[derive(Debug, Clone)]
pub(super) enum ObjectAt {
    /// On a server.
    Server(Arc<Get>),
    /// In another repository on this machine.
    File(PathBuf),
    /// A transfer agent knows the location.
    Agent(Arc<Handed>),
    /// At the other end of an ssh connection.
    Ssh(Arc<OverSsh>),
}

impl ObjectAt {
    /// Returns `true` if it has expired, or is about to.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Server(get) => get.expiry.is_over(),
            Self::Agent(handed) => handed.expiry.is_over(),
            Self::Ssh(over) => over.expiry.is_over(),
            Self::File(_) => false,
        }
    }
}

/// The arguments that a server of the pure ssh protocol requires again for an object.
#[derive(Debug)]
pub(super) struct OverSsh {
    pub(super) arguments: Vec<(String, Secret)>,
    pub(super) expiry: Expiry,
}

impl OverSsh {
    /// Parses the arguments after an object, and skips unknown ones.
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

/// The data that a transfer agent receives for an object.
pub(super) struct Handed {
    pub(super) agent: CustomAgent,
    /// The action of the server; `None` if no server was contacted.
    pub(super) action: Option<Value>,
    pub(super) expiry: Expiry,
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The arguments and the action may contain passwords.
        f.debug_struct("Handed").field("agent", &self.agent.name).finish_non_exhaustive()
    }
}

/// The request that downloads an object.
#[derive(Debug)]
pub(super) struct Get {
    pub(super) url: Url,
    pub(super) lines: Vec<(HeaderName, HeaderValue)>,
    /// `true` if the server states that the URL needs no login of ours.
    pub(super) is_authenticated: bool,
    pub(super) expiry: Expiry,
}
