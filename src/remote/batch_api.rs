//! The batch API of Git LFS, as JSON: what a server is asked, and what it answers.
//!
//! Source: `docs/api/batch.md` of Git LFS. It judges nothing of it: `batch` and `upload` do.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::action::Handed;
use super::custom_agent::CustomAgent;
use super::known::Expiry;
use super::operation::Operation;
use super::secret::Secret;
use super::wire::Wire;

/// What a server is asked.
#[derive(Serialize)]
pub(super) struct Question<'a> {
    pub(super) operation: Operation,
    pub(super) transfers: &'a [String],
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<Reference<'a>>,
    pub(super) objects: Vec<Asked>,
    pub(super) hash_algo: &'a str,
}

/// For which reference.
#[derive(Serialize)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
}

/// An object that is asked for.
#[derive(Serialize)]
pub(super) struct Asked {
    pub(super) oid: String,
    pub(super) size: u64,
}

/// What a server answers.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) transfer: Option<String>,
    pub(super) hash_algo: Option<String>,
    #[serde(default)]
    pub(super) objects: Vec<Answered>,
}

/// What a server says of one object.
#[derive(Deserialize)]
pub(super) struct Answered {
    pub(super) oid: String,
    pub(super) size: Option<u64>,
    pub(super) authenticated: Option<bool>,
    actions: Option<Actions>,
    /// How servers before 2016 called them.
    #[serde(rename = "_links")]
    links: Option<Actions>,
    pub(super) error: Option<ObjectError>,
}

impl Answered {
    /// What can be done with it.
    pub(super) fn actions(&mut self) -> Actions {
        self.actions.take().or_else(|| self.links.take()).unwrap_or_default()
    }
}

/// What can be done with one object.
#[derive(Deserialize, Default)]
pub(super) struct Actions {
    pub(super) download: Option<RawAction>,
    pub(super) upload: Option<RawAction>,
    pub(super) verify: Option<RawAction>,
}

/// Where something can be done; of an agent's transfer, whatever the agent knows what to do with.
#[derive(Deserialize)]
pub(super) struct RawAction {
    pub(super) href: String,
    pub(super) header: Option<BTreeMap<String, String>>,
    pub(super) expires_in: Option<i64>,
    pub(super) expires_at: Option<String>,
}

/// Why nothing can be done with an object.
#[derive(Deserialize)]
pub(super) struct ObjectError {
    pub(super) code: Option<u32>,
    pub(super) message: Option<String>,
}

impl RawAction {
    /// The same for a transfer agent: as the server gave it. No message of ours repeats what may be secret in it.
    pub(super) fn handed(self, wire: &Wire<'_>, agent: &CustomAgent, asked: Instant) -> Handed {
        let Self { href, header, expires_in, expires_at } = self;
        if let Some((_, query)) = href.split_once('?') {
            wire.remember(&Secret::new(query));
        }
        for value in header.iter().flat_map(BTreeMap::values) {
            wire.remember_line(&Secret::new(value));
        }
        let expiry = Expiry::new(asked, expires_in, expires_at.as_deref());
        let mut action = Map::from_iter([("href".to_owned(), Value::from(href))]);
        action.extend(header.map(|header| ("header".to_owned(), header.into_iter().collect())));
        action.extend(expires_at.map(|at| ("expires_at".to_owned(), at.into())));
        action.extend(expires_in.map(|seconds| ("expires_in".to_owned(), seconds.into())));
        Handed { agent: agent.clone(), action: Some(Value::Object(action)), expiry }
    }
}
