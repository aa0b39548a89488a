//! Lists, creates and changes pull requests on the Hub, and checks the account and its permissions.
//!
//! ```text
//! GET  <hub>/api/whoami-v2                            {"name", "auth": {"accessToken": {"role"}}}
//! GET  <hub>/api/models/<model>/auth-check            200, or why its files are not visible
//! GET  <hub>/api/models/<model>/discussions/N         {"num", "title", "status", "author": {"name"}, "isPullRequest",
//!                                                       "events": [{"type": "comment", "data": {"latest": {"raw"}}}]}
//! GET  <hub>/api/models/<model>/discussions?type=pull_request&p=N
//!      {"count", "start", "discussions": [{"num", "title", "status", "isPullRequest", "author": {"name"}}]}
//! POST <hub>/api/models/<model>/discussions           {"title", "description", "pullRequest": true} ─▶ {"num"}
//! POST <hub>/api/models/<model>/discussions/N/status  {"status": "open"} ─▶ {"newStatus"}
//! ```
//!
//! Source: `hf_api.py` of `huggingface_hub` (`create_discussion`, `change_discussion_status`, `auth_check`, `whoami`).
//! Invariant: the request for a new pull request is sent only once: if no response arrives, the caller checks whether
//! it exists. All responses are bounded, and foreign text.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::{HeaderValue, header};

use super::cause::BadAnswer;
use super::error::{Error, Result};
use super::hub::{HUB, Hub, MAX_PAGE, ModelName};
use super::message::Body;
use super::redirect::Ask;
use super::refusal::{disabled, for_writing, refusal};
use super::retry::{Retry, patiently};
use super::url::Url;

pub use super::learned::Account;

/// The most pages of pull requests that are read, more than any model has.
const MAX_PAGES: u64 = 200;

/// A pull request of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number: `refs/pr/<number>`.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its status.
    pub status: PullRequestStatus,
    /// The user who opened it, if that account still exists.
    pub author: Option<String>,
    /// The time, as the Hub formats it.
    pub created_at: Option<String>,
}

/// The status of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullRequestStatus {
    /// It can be merged.
    Open,
    /// It was rejected or withdrawn.
    Closed,
    /// It was merged.
    Merged,
    /// It is a draft.
    Draft,
    /// An unknown status.
    #[serde(other)]
    Other,
}

/// A pull request with its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discussion {
    /// Its title.
    pub title: String,
    /// Its status.
    pub status: PullRequestStatus,
    /// The user who opened it, if that account still exists.
    pub author: Option<String>,
    /// Its first comment.
    pub description: String,
}

#[derive(Deserialize)]
struct Whoami {
    name: String,
    #[serde(default)]
    auth: Auth,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Auth {
    access_token: AccessToken,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AccessToken {
    role: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    count: u64,
    discussions: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    num: u64,
    #[serde(default)]
    title: String,
    status: PullRequestStatus,
    #[serde(default)]
    is_pull_request: bool,
    author: Option<Author>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    title: String,
    status: PullRequestStatus,
    author: Option<Author>,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Author {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Opened {
    num: u64,
}

impl Hub<'_> {
    /// Returns the account of the token; requested once per run.
    ///
    /// # Errors
    /// [`Error::Unauthorized`], [`Error::TokenExpired`], …
    pub fn account(&self) -> Result<Account> {
        let token = self.auth.token()?;
        if let Some(token) = token.filter(|token| token.is_expired()) {
            return Err(Error::TokenExpired { place: token.place.clone(), said: None });
        }
        let token = token.map(|token| &token.secret);
        self.auth.wire.settings.learned.account(self.url(), token, || {
            let url = self.url().with_segments(["api", "whoami-v2"]);
            let who: Whoami = self.auth.wire.watched(|| self.json(&url))?;
            Ok(Account { name: who.name, only_reads: who.auth.access_token.role == "read" })
        })
    }

    /// Checks that the account may read the model's files.
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`], [`Error::Gated`], …
    pub fn check_access(&self, model: &ModelName) -> Result<()> {
        let url = self
            .url()
            .with_segments(["api", "models"].into_iter().chain(model.parts()).chain(["auth-check"]));
        self.auth.wire.watched(|| {
            patiently(&self.auth.wire, || {
                let response = self.auth.send(&Ask { may_log_in: true, ..Ask::get(url.clone()) })?;
                if (200..300).contains(&response.status) {
                    let _ignored = response.bytes(MAX_PAGE, HUB);
                    return Ok(());
                }
                match refusal(&self.auth.wire, response, None) {
                    // A server without this endpoint; the next requests will show it.
                    Error::NotFound { .. } => Ok(()),
                    err => Err(err),
                }
            })
        })
    }

    /// Returns the pull requests of a model, newest first, whatever their status.
    ///
    /// # Errors
    /// As [`Hub::model`].
    pub fn pull_requests(&self, model: &ModelName) -> Result<Vec<PullRequest>> {
        let url = self.discussions(model, &[]);
        let mut found = Vec::new();
        self.auth.wire.watched(|| {
            let mut seen = 0_usize;
            for number in 0..MAX_PAGES {
                let url = url.with_query(&[("type", "pull_request"), ("p", &number.to_string())]);
                let page: Page = self.json(&url).map_err(disabled)?;
                seen = seen.saturating_add(page.discussions.len());
                let is_last =
                    page.discussions.is_empty() || u64::try_from(seen).is_ok_and(|seen| seen >= page.count);
                found.extend(
                    page.discussions.into_iter().filter(|one| one.is_pull_request).map(PullRequest::from),
                );
                if is_last {
                    break;
                }
            }
            Ok(())
        })?;
        found.sort_by_key(|one: &PullRequest| std::cmp::Reverse(one.number));
        found.dedup_by_key(|one| one.number);
        Ok(found)
    }

    /// Returns a pull request with its description.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it does not exist, or as [`Hub::model`].
    pub fn discussion(&self, model: &ModelName, number: u64) -> Result<Discussion> {
        let url = self.discussions(model, &[&number.to_string()]);
        let details: Details = self.auth.wire.watched(|| self.json(&url)).map_err(disabled)?;
        let first = details.events.into_iter().find(|event| event.kind == "comment");
        let text = first.and_then(|event| event.data.pointer("/latest/raw")?.as_str().map(str::to_owned));
        Ok(Discussion {
            title: details.title,
            status: details.status,
            author: details.author.and_then(|author| author.name),
            description: text.unwrap_or_default(),
        })
    }

    /// Creates a pull request, which is a draft with a reference that can be pushed to, and returns its number. The
    /// request is sent once: after an error that does not contain the Hub's decision, the pull request may exist.
    ///
    /// # Errors
    /// [`Error::MayNotWrite`], [`Error::DiscussionsDisabled`], or as [`Hub::model`].
    pub fn create_pull_request(&self, model: &ModelName, title: &str, description: &str) -> Result<u64> {
        let url = self.discussions(model, &[]);
        let opening = json!({ "title": title, "description": description, "pullRequest": true });
        let answer = self.auth.wire.watched(|| {
            let mut retry = Retry::new(&self.auth.wire, &|| false);
            loop {
                match self.post_json(&url, &opening) {
                    // The request did not arrive, or was not processed.
                    Err(
                        err @ (Error::RateLimited { .. } | Error::Connect { .. } | Error::Resolve { .. }),
                    ) => {
                        retry.after(err)?;
                    }
                    done => return done,
                }
            }
        })?;
        let opened: Opened = serde_json::from_slice(&answer)
            .map_err(|err| Error::bad_answer(&url, HUB, BadAnswer::Json(err)))?;
        Ok(opened.num)
    }

    /// Opens a draft pull request. Has no effect on an open one.
    ///
    /// # Errors
    /// As [`Hub::create_pull_request`].
    pub fn open_pull_request(&self, model: &ModelName, number: u64) -> Result<()> {
        let url = self.discussions(model, &[&number.to_string(), "status"]);
        let change = json!({ "status": "open" });
        self.auth.wire.watched(|| patiently(&self.auth.wire, || self.post_json(&url, &change))).map(drop)
    }

    /// Waits, unless the user interrupts.
    ///
    /// # Errors
    /// [`Error::Interrupted`]
    pub fn wait(&self, time: Duration) -> Result<()> {
        self.auth.wire.pause(time, &|| false)
    }

    /// Returns the web page of a pull request.
    pub fn pull_request_url(&self, model: &ModelName, number: u64) -> Url {
        self.url().with_segments(model.parts().chain(["discussions", &number.to_string()]))
    }

    fn discussions(&self, model: &ModelName, more: &[&str]) -> Url {
        let first = ["api", "models"].into_iter().chain(model.parts()).chain(["discussions"]);
        self.url().with_segments(first.chain(more.iter().copied()))
    }

    fn post_json(&self, url: &Url, body: &Value) -> Result<Vec<u8>> {
        let body = body.to_string();
        let json = || HeaderValue::from_static("application/json");
        let ask = Ask { may_log_in: true, body: Body::Post(body.as_bytes()), ..Ask::get(url.clone()) };
        let response =
            self.auth.send(&ask.plain(header::ACCEPT, json()).plain(header::CONTENT_TYPE, json()))?;
        if !(200..300).contains(&response.status) {
            return Err(for_writing(disabled(refusal(&self.auth.wire, response, None))));
        }
        response.bytes(MAX_PAGE, HUB)
    }
}

impl From<Listed> for PullRequest {
    fn from(one: Listed) -> Self {
        let author = one.author.and_then(|author| author.name);
        Self { number: one.num, title: one.title, status: one.status, author, created_at: one.created_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_is_not_known() {
        let status: PullRequestStatus = serde_json::from_str("\"reopened\"").unwrap();
        assert_eq!(status, PullRequestStatus::Other);
    }
}
