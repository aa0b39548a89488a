//! Exchanges an ID token of a CI service for a token of the Hub ("trusted publishers").
//!
//! ```text
//! GET  <ACTIONS_ID_TOKEN_REQUEST_URL>&audience=<hub>     {"value": ID_TOKEN}, with the job's own token; not if HF_OIDC_ID_TOKEN is set
//! POST <hub>/oauth/token                                {"grant_type", "subject_token_type", "subject_token": ID_TOKEN, "resource"}
//!                                                       {"access_token", "expires_in"}
//! ```
//!
//! Source: `_oidc.py` and `utils/_auth.py` of `huggingface_hub` 2.4.0; RFC 8693. Invariants: the service's ID token
//! goes only to the Hub, and the job's token only to the URL that the service gave: no redirect is followed; neither
//! goes by plain http to another machine. A user who sets `HF_OIDC_RESOURCE` wants the exchange: a failure is an error,
//! and no other token is used.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::{HeaderValue, header};

use super::cause::BadAnswer;
use super::error::{Error, Result};
use super::message::Body;
use super::redirect::{Ask, follow, own_lines};
use super::refusal::refusal;
use super::retry::patiently;
use super::secret::Secret;
use super::token::{Oidc, RESOURCE, Token, TokenSource};
use super::url::Url;
use super::wire::Wire;

/// The most bytes of a response.
const MAX_ANSWER: u64 = 64 << 10;

/// The validity of a token without a stated time.
const HOUR: u64 = 3600;

/// How much earlier than its expiry a token is replaced.
const EARLY: u64 = 300;

#[derive(Deserialize)]
struct Minted {
    value: String,
}

#[derive(Serialize)]
struct Question<'a> {
    grant_type: &'a str,
    subject_token_type: &'a str,
    subject_token: &'a str,
    resource: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

/// Returns a token of the Hub, and its time of expiry.
///
/// # Errors
/// [`Error::NoIdToken`], [`Error::NotAllowed`], or an error of the servers.
pub(super) fn exchange(wire: &Wire<'_>, hub: &Url, oidc: &Oidc) -> Result<(Token, Instant)> {
    if !hub.origin().is_private() || wire.is_open(hub) {
        return Err(Error::OpenExchange { origin: hub.origin().clone() });
    }
    let subject = match &oidc.id_token {
        Some(token) => token.clone(),
        None => mint(wire, hub, oidc)?,
    };
    wire.remember(&subject);
    let question = Question {
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
        subject_token: subject.expose(),
        resource: &oidc.resource,
    };
    let body = serde_json::to_vec(&question)
        .map_err(|source| Error::Io { action: "write the question for a token", source: source.into() })?;
    let asked = Instant::now();
    let url = hub.with_segments(["oauth", "token"]);
    let ask = Ask { body: Body::Post(&body), ..to(url) }
        .plain(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let Answer { access_token, expires_in } = json(wire, &ask)?;
    let place = TokenSource::Variable(RESOURCE);
    let token = Token::of(&access_token, place)?.ok_or(Error::NoIdToken)?;
    wire.remember(&token.secret);
    let seconds = expires_in.unwrap_or(HOUR);
    // A given ID token cannot be renewed.
    let seconds = if oidc.id_token.is_some() { seconds } else { seconds.saturating_sub(EARLY) };
    Ok((token, asked.checked_add(Duration::from_secs(seconds)).unwrap_or(asked)))
}

/// Requests an ID token of the job from the service.
fn mint(wire: &Wire<'_>, hub: &Url, oidc: &Oidc) -> Result<Secret> {
    let (address, token) = oidc.request.as_ref().ok_or(Error::NoIdToken)?;
    let refused = |source| Error::NotAllowed { what: "ACTIONS_ID_TOKEN_REQUEST_URL".to_owned(), source };
    let url = Url::parse_foreign(address).map_err(refused)?;
    if !url.origin().is_private() || wire.is_open(&url) {
        return Err(Error::OpenExchange { origin: url.origin().clone() });
    }
    wire.remember(token);
    let audience = hub.target();
    let url = url.with_parameter("audience", audience.trim_end_matches('/'));
    let line = (header::AUTHORIZATION.to_string(), Secret::new(format!("Bearer {}", token.expose())));
    let own = own_lines(&[line]).map_err(|_| Error::NoIdToken)?;
    let Minted { value } = json(wire, &Ask { own, ..to(url) })?;
    Ok(Secret::new(value))
}

/// Returns a request that does not follow redirects.
fn to<'r>(url: Url) -> Ask<'r> {
    let json = HeaderValue::from_static("application/json");
    Ask { hops: 0, ..Ask::get(url) }.plain(header::ACCEPT, json)
}

fn json<T: DeserializeOwned>(wire: &Wire<'_>, ask: &Ask<'_>) -> Result<T> {
    let bytes = patiently(wire, || {
        let response = follow(wire, ask, None)?;
        if response.status == 200 {
            response.bytes(MAX_ANSWER, "token exchange")
        } else {
            Err(refusal(wire, response, None))
        }
    })?;
    serde_json::from_slice(&bytes).map_err(|err| {
        // The error of the library could quote a part of the token.
        let source = BadAnswer::Json(serde::de::Error::custom(format!("{:?}", err.classify())));
        Error::BadAnswer { url: ask.url.clone(), interface: "token exchange", source }
    })
}
