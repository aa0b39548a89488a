//! Defines the requests and responses of the batch API of Git LFS, as JSON.
//!
//! Source: `docs/api/batch.md` of Git LFS. The module does not check them: `batch` and `upload` do.
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

/// The request to a server.
#[derive(Serialize)]
pub(super) struct Question<'a> {
    pub(super) operation: Operation,
    pub(super) transfers: &'a [String],
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<Reference<'a>>,
    pub(super) objects: Vec<Asked>,
    pub(super) hash_algo: &'a str,
}

/// The reference of a request.
#[derive(Serialize)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
}

/// A requested object.
#[derive(Serialize)]
pub(super) struct Asked {
    pub(super) oid: String,
    pub(super) size: u64,
}

/// The response of a server.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) transfer: Option<String>,
    pub(super) hash_algo: Option<String>,
    #[serde(default)]
    pub(super) objects: Vec<Answered>,
}

/// The response about one object.
#[derive(Deserialize)]
pub(super) struct Answered {
    pub(super) oid: String,
    pub(super) size: Option<u64>,
    pub(super) authenticated: Option<bool>,
    actions: Option<Actions>,
    /// The name of the field on servers before 2016.
    #[serde(rename = "_links")]
    links: Option<Actions>,
    pub(super) error: Option<ObjectError>,
}

impl Answered {
    /// Returns the possible actions.
    pub(super) fn actions(&mut self) -> Actions {
        self.actions.take().or_else(|| self.links.take()).unwrap_or_default()
    }

    /// Returns `true` if every URL of its actions is one of http.
    pub(super) fn is_by_http(&self) -> bool {
        let actions = self.actions.iter().chain(&self.links);
        let mut urls =
            actions.flat_map(|actions| [&actions.download, &actions.upload, &actions.verify]).flatten();
        urls.all(|action| {
            let scheme = action.href.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            matches!(scheme.as_deref(), Some("http" | "https"))
        })
    }
}

/// The possible actions for one object.
#[derive(Deserialize, Default)]
pub(super) struct Actions {
    pub(super) download: Option<RawAction>,
    pub(super) upload: Option<RawAction>,
    pub(super) verify: Option<RawAction>,
}

/// The target of an action; for the transfer of an agent, any data that the agent understands.
#[derive(Deserialize)]
pub(super) struct RawAction {
    pub(super) href: String,
    pub(super) header: Option<BTreeMap<String, String>>,
    pub(super) expires_in: Option<i64>,
    pub(super) expires_at: Option<String>,
}

/// Why an object has no action.
#[derive(Deserialize)]
pub(super) struct ObjectError {
    pub(super) code: Option<i64>,
    pub(super) message: Option<String>,
}

impl RawAction {
    /// The same for a transfer agent, unchanged from the server. No message of ours repeats possible secrets in it.
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
