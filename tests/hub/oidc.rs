//! Exchanges tokens: the identity service at `/mint` issues the ID token of a job, and the hub exchanges it at
//! `/oauth/token`.
//!
//! Invariant: an ID token is valid only for the one resource and the one audience that it was issued for.

use std::io;

use serde_json::{Value, json};

use super::access::{Right, Token, refusal};
use super::http::Answer;
use super::server::Request;

/// A trusted identity service.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    /// The credential of a job at the service.
    pub(crate) job: String,
    /// The ID token of the service, before the audience.
    pub(crate) identity: String,
    /// The resource that the job may get a token for.
    pub(crate) resource: String,
    /// The token.
    pub(crate) token: String,
    /// The lifetime of the token in seconds.
    pub(crate) lifetime: u64,
}

pub(super) fn mint(request: &Request<'_>) -> Answer {
    let Some(trust) = request.state.trust() else { return refusal(404, None, "Not Found") };
    let shown = request.head.header("Authorization").unwrap_or_default();
    if shown != format!("Bearer {}", trust.job) {
        return refusal(403, None, "no such job");
    }
    let audience = request.head.query("audience").unwrap_or_default();
    let audience = super::http::decode(&audience);
    Answer::json(200, &json!({"count": 1, "value": format!("{}.{audience}", trust.identity)}))
}

pub(super) fn exchange(request: &mut Request<'_>) -> io::Result<Answer> {
    let bytes = request.body.all()?;
    request.record.body(&bytes);
    let asked: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let Some(trust) = request.state.trust() else { return Ok(refusal(404, None, "Not Found")) };
    let identity = format!("{}.{}", trust.identity, request.state.main_origin());
    let is_good = asked["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
        && asked["subject_token_type"] == "urn:ietf:params:oauth:token-type:id_token"
        && asked["subject_token"] == identity
        && asked["resource"] == trust.resource;
    if !is_good {
        let said = format!("not trusted: {}", asked["subject_token"]);
        return Ok(Answer::json(400, &json!({"error": "invalid_grant", "error_description": said})));
    }
    let known = Token { user: "ci".to_owned(), right: Right::Write, expired: false };
    request.state.tokens.add(&trust.token, known);
    let answer = json!({"access_token": trust.token, "token_type": "bearer", "expires_in": trust.lifetime});
    Ok(Answer::json(200, &answer))
}
