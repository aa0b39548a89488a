//! Converts an unexpected status of a response to an error.
//!
//! Source: RFC 9110; `docs/api/batch.md` of Git LFS (`{"message", "documentation_url", "request_id"}`); the headers
//! `X-Error-Code` and `X-Error-Message` of the Hub (`utils/_http.py` of `huggingface_hub`). Invariant: the text of a
//! server is redacted and truncated to one paragraph before it is kept.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use serde::Deserialize;
use ureq::http::header;

use super::cause::{CredentialSource, Said};
use super::error::Error;
use super::message::Response;
use super::pace::wait_of;
use super::wire::Wire;

/// The most bytes of an error's body.
const MAX_BODY: u64 = 64 << 10;

/// The most characters of a server's text.
const MAX_SAID: usize = 500;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Words {
    message: Option<String>,
    /// For OAuth, in addition to `error`.
    error_description: Option<String>,
    error: Option<serde_json::Value>,
}

/// Returns the error for a status. `rejected` is the login of the request.
pub(super) fn refusal(wire: &Wire<'_>, response: Response, rejected: Option<CredentialSource>) -> Error {
    let (status, url) = (response.status, response.url.without_login());
    let code = response.header("x-error-code").unwrap_or_default().to_owned();
    let after = wait_of(&response).or_else(|| wire.settings.learned.pace().left(url.origin()));
    let said = said(wire, response);
    let is_expired = said.as_ref().is_some_and(|said| said.0.to_ascii_lowercase().contains("expired"));
    match (status, code.as_str(), rejected) {
        (401, _, Some(CredentialSource::Token(place))) if is_expired => Error::TokenExpired { place, said },
        (401 | 403, "GatedRepo", _) => Error::Gated { url, said },
        (401 | 404, "RepoNotFound", None) | (404, "RepoNotFound", _) => {
            Error::RepositoryNotFound { url, said }
        }
        (404, "RevisionNotFound", _) => Error::RevisionNotFound { url, said },
        (404, "EntryNotFound", _) => Error::EntryNotFound { url, said },
        (401, _, rejected) => Error::Unauthorized { url, rejected, said },
        (403, ..) => Error::Forbidden { url, said },
        (404, ..) => Error::NotFound { url, said },
        (429, ..) => Error::RateLimited { origin: url.origin().clone(), after },
        _ => Error::Status { url, status, after, said },
    }
}

fn said(wire: &Wire<'_>, response: Response) -> Option<Said> {
    let header = response.header("x-error-message").map(str::to_owned);
    let kind = response.header(header::CONTENT_TYPE).unwrap_or_default().to_owned();
    // A body that cannot be read adds nothing; the status is the error.
    let body = || response.bytes(MAX_BODY, "server").ok();
    let text = header.or_else(|| text_of(&kind, &body()?))?;
    kept(wire, &text)
}

/// Returns a server's text in the form in which it is kept; `None` if it is empty.
pub(super) fn kept(wire: &Wire<'_>, text: &str) -> Option<Said> {
    let mut text = wire.redacted(text.trim());
    if let Some((end, _)) = text.char_indices().nth(MAX_SAID) {
        text.truncate(end);
        text.push('…');
    }
    (!text.is_empty()).then_some(Said(text))
}

/// Converts the error of a request that does not only read.
pub(super) fn for_writing(error: Error) -> Error {
    match error {
        Error::Forbidden { url, said } => Error::MayNotWrite { url, said },
        error => error,
    }
}

/// The Hub has no code for this error, so its text decides.
pub(super) fn disabled(error: Error) -> Error {
    match error {
        Error::Forbidden { url, said: Some(said) }
        | Error::NotFound { url, said: Some(said) }
        | Error::Status { url, said: Some(said), .. }
            if said.0.to_ascii_lowercase().contains("disabled") =>
        {
            Error::DiscussionsDisabled { url, said: Some(said) }
        }
        error => error,
    }
}

fn text_of(kind: &str, body: &[u8]) -> Option<String> {
    if kind.contains("json") {
        let Words { message, error_description, error } = serde_json::from_slice(body).ok()?;
        let error = || match error? {
            serde_json::Value::String(text) => Some(text),
            other => other.get("message")?.as_str().map(str::to_owned),
        };
        return message.or(error_description).or_else(error);
    }
    if kind.contains("xml") {
        // The form of object storage servers.
        let text = std::str::from_utf8(body).ok()?;
        let (_, rest) = text.split_once("<Message>")?;
        let (message, _) = rest.split_once("</Message>")?;
        let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
        let plain = entities.iter().fold(message.to_owned(), |text, (from, to)| text.replace(from, to));
        return Some(plain);
    }
    // A web page is not useful here.
    let text = std::str::from_utf8(body).ok().filter(|_| kind.starts_with("text/plain"))?;
    text.lines().find(|line| !line.trim().is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_each_kind_of_server() {
        let json = "application/vnd.git-lfs+json; charset=utf-8";
        assert_eq!(text_of(json, br#"{"message":"no such repository"}"#).unwrap(), "no such repository");
        assert_eq!(text_of(json, br#"{"error":"Access denied"}"#).unwrap(), "Access denied");
        assert_eq!(text_of(json, br#"{"error":{"message":"m","code":4}}"#).unwrap(), "m");
        assert_eq!(text_of(json, b"{}"), None);
        assert_eq!(text_of("text/plain; charset=utf-8", b"\n denied \nmore").unwrap(), " denied ");
        assert_eq!(text_of("text/html", b"<html>"), None);
        let xml = b"<?xml version=\"1.0\"?>\n<Error><Code>InvalidRange</Code><Message>not &lt;whole&gt; &amp;lt;</Message></Error>";
        assert_eq!(text_of("application/xml", xml).unwrap(), "not <whole> &lt;");
        assert_eq!(text_of("application/xml", b"<Error><Message>x"), None);
        assert_eq!(text_of("text/plain", b"\xff"), None);
    }
}
