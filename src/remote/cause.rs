//! Defines the causes below an [`Error`](super::Error): the text of a server, the error of a library, the fault of a
//! response.
//!
//! Invariant: like the errors themselves, no cause contains a secret, and any may contain foreign text.

use std::fmt;
use std::io;
use std::time::Duration;

use super::token::TokenSource;
use crate::hash::Oid;

/// The origin of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// The Hub's token.
    Token(TokenSource),
    /// The netrc file.
    Netrc,
    /// The URL itself.
    Address,
    /// git's credential helper, or the user.
    Helper,
    /// `http.extraHeader`
    ExtraHeader,
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(place) => place.fmt(f),
            Self::Netrc => f.write_str("the netrc file"),
            Self::Address => f.write_str("the URL"),
            Self::Helper => f.write_str("git's credential helper"),
            Self::ExtraHeader => f.write_str("http.extraHeader"),
        }
    }
}

/// The server's explanation of its refusal: foreign text, to be escaped for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Said(pub String);

/// Why the transport failed, in the text of the libraries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Transport(pub String);

/// Why a proxy does not connect to a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// The proxy responded with this status.
    #[error("proxy server responded {}{}", .0, if *.0 == 407 { ": login required" } else { "" })]
    Status(u16),
    /// The proxy was not reached, or its response is not HTTP.
    #[error(transparent)]
    Transport(#[from] Transport),
}

impl ProxyFault {
    /// Converts the reason of the HTTP library, which is text.
    pub(super) fn of(reason: Transport) -> Self {
        let status = reason.0.strip_prefix("proxy server responded ").and_then(|rest| rest.get(..3));
        status.and_then(|status| status.parse().ok()).map_or(Self::Transport(reason), Self::Status)
    }
}

/// The fault of a response.
#[derive(Debug, thiserror::Error)]
pub enum BadAnswer {
    /// The JSON does not have the expected form.
    #[error("the response is not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// The response is longer than possible.
    #[error("the response exceeds {0} bytes")]
    TooLong(u64),
    /// The hash is not SHA-256.
    #[error("unsupported hash algorithm")]
    HashAlgo,
    /// The transfer is not one of those that were offered.
    #[error("unrequested transfer adapter")]
    Transfer,
    /// A requested object is missing.
    #[error("no entry for LFS object {0}")]
    Missing(Oid),
    /// An object has neither a URL nor an error.
    #[error("neither URL nor error for LFS object {0}")]
    NoAction(Oid),
    /// The parts for an upload do not add up to the object.
    #[error("upload parts do not add up to LFS object {0}")]
    Parts(Oid),
    /// The server accepted a part without an entity tag, which is required to join the parts.
    #[error("no ETag for an uploaded part of LFS object {0}")]
    PartName(Oid),
    /// A packet does not have the form of the pure ssh protocol.
    #[error("unexpected packet in the ssh protocol")]
    Packet,
    /// A header is not valid in a request.
    #[error("invalid header in the response")]
    Header,
    /// The body has another encoding than the file.
    #[error("unexpected content encoding")]
    Encoded,
    /// The next page is on another server, or its URL is invalid.
    #[error("next page on another host")]
    Page,
    /// The number of pages is too large.
    #[error("too many pages")]
    Pages,
    /// The name of a model is invalid.
    #[error("invalid model name in the list")]
    Name,
    /// The status means success, but not that the content follows.
    #[error("unexpected HTTP status {0}")]
    Status(u16),
    /// A redirect has no URL.
    #[error("redirect without a location")]
    Location,
}

/// The fault of a transfer agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentFault {
    /// The agent reported an error.
    #[error("the agent reported {}", with_code(*code, said.as_ref()))]
    Said {
        /// The error code.
        code: i64,
        /// The error text.
        said: Option<Said>,
    },
    /// The agent ended early.
    #[error("the agent ended early{}", .0.as_ref().map_or_else(String::new, |said| format!(": {said}")))]
    Ended(Option<Said>),
    /// The agent reported no progress for too long.
    #[error("no progress for {} s", .0.as_secs())]
    Silent(Duration),
    /// A line is longer than any message.
    #[error("a line exceeds {0} bytes")]
    LongLine(usize),
    /// The JSON does not have the expected form.
    #[error("the message is not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// The agent sent more messages than an object can need.
    #[error("more than {0} messages about one object")]
    TooMany(u64),
    /// A message is about another object than the requested one.
    #[error("message about another object")]
    OtherObject,
    /// A message has an unknown type.
    #[error("unknown message `{0}`")]
    Event(String),
    /// A download has no file.
    #[error("no path in the message about the downloaded object")]
    NoFile,
    /// The file of a download cannot be used.
    #[error("cannot open the file named by the agent")]
    File(#[source] io::Error),
    /// JSON cannot represent the path of a file for an upload.
    #[error("the path of the LFS store is not UTF-8")]
    Path,
    /// The program is offline.
    #[error("cannot start the agent while offline")]
    Offline,
}

fn with_code(code: i64, said: Option<&Said>) -> String {
    match said {
        Some(said) => format!("error {code}: {said}"),
        None => format!("error {code}"),
    }
}

/// Returns the meaning of a status whose number does not show it.
pub(super) fn meaning(status: i64) -> &'static str {
    match status {
        404 => ": not found",
        409 => ": conflicting object",
        413 => ": too large",
        422 => ": rejected by the server",
        507 => ": no space left on the server",
        _ => "",
    }
}
