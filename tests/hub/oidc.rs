//! Tokens by exchange: the service that says which job asks, at `/mint`, and the hub that takes its word, at `/oauth/token`.
//!
//! Invariant: an identity is good for the one resource and the one audience that it was made for.

use std::io;

use serde_json::{Value, json};

use super::access::{Right, Token, refusal};
use super::http::Answer;
use super::server::Request;

/// Whose word is taken.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    /// What a job shows the service.
    pub(crate) job: String,
    /// What the service says of it, before the audience.
    pub(crate) identity: String,
    /// What it may have a token for.
    pub(crate) resource: String,
    /// The token.
    pub(crate) token: String,
    /// For so many seconds.
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
