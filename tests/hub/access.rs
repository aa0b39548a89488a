//! Checks access: tokens and their rights, models that are public, gated or private, and the Hub's refusals.
//!
//! Invariant: a refusal looks like the Hub's. Without the right to read it, a private model seems not to exist: that is
//! 401 without a token, and 404 with one. git and LFS get a request for a password, the API for a token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::http::{Answer, Head, base64};
use super::model::Model;

/// Who may read a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Public,
    Gated,
    Private,
}

/// The rights of a token; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    /// The rights of a request without a token.
    Public,
    /// Reads gated and private models.
    Read,
    /// Opens pull requests, and pushes to `refs/pr/N`.
    Contribute,
    /// Pushes to every ref.
    Write,
}

/// A known token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) user: String,
    pub(super) right: Right,
    pub(super) expired: bool,
}

/// All tokens.
#[derive(Default)]
pub(super) struct Tokens(Mutex<BTreeMap<String, Token>>);

/// The form of authentication that a refused client is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// For git and git-lfs.
    Password,
    /// For the API.
    Token,
}

impl Tokens {
    pub(super) fn add(&self, text: &str, token: Token) {
        self.0.lock().unwrap().insert(text.to_owned(), token);
    }

    /// Returns the sender of a request: `None` without credentials, a refusal for wrong ones.
    pub(super) fn identify(&self, head: &Head, asks: Asks) -> Result<Option<Token>, Answer> {
        let Some(value) = head.header("Authorization") else { return Ok(None) };
        let text = match value.split_once(' ') {
            Some((scheme, text)) if scheme.eq_ignore_ascii_case("bearer") => Some(text.to_owned()),
            // The name of the user has no effect.
            Some((scheme, text)) if scheme.eq_ignore_ascii_case("basic") => {
                let pair = base64(text).and_then(|bytes| String::from_utf8(bytes).ok());
                pair.and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_owned()))
            }
            _ => None,
        };
        let tokens = self.0.lock().unwrap();
        match text.and_then(|text| tokens.get(&text).cloned()).filter(|token| !token.expired) {
            Some(token) => Ok(Some(token)),
            None => Err(unauthorized(asks, "Invalid credentials in Authorization header")),
        }
    }

    /// Returns the model and the sender, if the sender has this right on it; otherwise a refusal like the Hub's.
    /// `model` is `None` if no such model exists.
    pub(super) fn check(
        &self,
        head: &Head,
        asks: Asks,
        model: Option<Arc<Model>>,
        id: &str,
        need: Right,
    ) -> Result<(Arc<Model>, Option<Token>), Answer> {
        let token = self.identify(head, asks)?;
        let right = token.as_ref().map_or(Right::Public, |token| token.right);
        let hidden = || match token {
            None => unauthorized(asks, "Invalid username or password."),
            Some(_) => refusal(404, Some("RepoNotFound"), "Repository not found"),
        };
        let Some(model) = model else { return Err(hidden()) };
        match model.access() {
            Access::Private if right < Right::Read => return Err(hidden()),
            Access::Gated if right < Right::Read => {
                let answer = if token.is_none() {
                    let text = format!(
                        "Access to model {id} is restricted. You must have access to it and be authenticated to access it. Please log in."
                    );
                    challenge(refusal(401, Some("GatedRepo"), &text), asks)
                } else {
                    let text = format!(
                        "Access to model {id} is restricted and you are not in the authorized list. Visit the page of the model to ask for access."
                    );
                    refusal(403, Some("GatedRepo"), &text)
                };
                return Err(answer);
            }
            Access::Public | Access::Gated | Access::Private => {}
        }
        if right < need {
            return Err(match token {
                None => unauthorized(asks, "Invalid username or password."),
                Some(_) => {
                    refusal(403, None, "You don't have the required permissions to perform this action.")
                }
            });
        }
        Ok((model, token))
    }
}

/// Returns an error as the Hub formats it: in headers, and as JSON for both its API and LFS.
pub(super) fn refusal(status: u16, code: Option<&str>, message: &str) -> Answer {
    let answer = Answer::json(status, &json!({"error": message, "message": message}));
    let answer = answer.header("X-Error-Message", message);
    match code {
        Some(code) => answer.header("X-Error-Code", code),
        None => answer,
    }
}

/// Returns 401, with the way to authenticate.
pub(super) fn unauthorized(asks: Asks, message: &str) -> Answer {
    challenge(refusal(401, None, message), asks)
}

fn challenge(answer: Answer, asks: Asks) -> Answer {
    let scheme = if asks == Asks::Password { "Basic" } else { "Bearer" };
    answer
        .header("WWW-Authenticate", format!("{scheme} realm=\"Authentication required\", charset=\"UTF-8\""))
}
