//! What stands below an [`Error`](super::Error): what a server said, what a library reported, what is wrong with an answer.
//!
//! Invariant: as of the errors themselves, none holds a secret, and any may hold foreign text.

use std::fmt;
use std::io;
use std::time::Duration;

use super::token::TokenSource;
use crate::hash::Oid;

/// Where a credential came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// The Hub's token.
    Token(TokenSource),
    /// The netrc file.
    Netrc,
    /// The address itself.
    Address,
    /// git's credential helper, or the person it asked.
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

/// What a server said about its refusal: foreign text, to be escaped for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said(pub String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

/// Why the transport failed, in the words of the libraries below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport(pub String);

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Transport {}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub enum BadAnswer {
    /// Not the JSON that belongs there.
    #[error("the response is not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// Longer than such an answer can be.
    #[error("the response exceeds {0} bytes")]
    TooLong(u64),
    /// Another hash than SHA-256.
    #[error("unsupported hash algorithm")]
    HashAlgo,
    /// Another way of transfer than the one that was offered.
    #[error("unrequested transfer adapter")]
    Transfer,
    /// It says nothing of an object that was asked for.
    #[error("no entry for LFS object {0}")]
    Missing(Oid),
    /// An object with neither an address nor an error.
    #[error("neither URL nor error for LFS object {0}")]
    NoAction(Oid),
    /// The parts that an object is to be sent in do not make up the object.
    #[error("upload parts do not add up to LFS object {0}")]
    Parts(Oid),
    /// A part was taken, and its name is missing, without which the parts cannot be joined.
    #[error("no ETag for an uploaded part of LFS object {0}")]
    PartName(Oid),
    /// Not what the pure ssh protocol has there.
    #[error("unexpected packet in the ssh protocol")]
    Packet,
    /// A header that no request can hold.
    #[error("invalid header in the response")]
    Header,
    /// Other bytes than those of the file.
    #[error("unexpected content encoding")]
    Encoded,
    /// A next page on another server, or at no address at all.
    #[error("next page on another host")]
    Page,
    /// One page after another.
    #[error("too many pages")]
    Pages,
    /// A model whose name is none.
    #[error("invalid model name in the list")]
    Name,
    /// A redirect without an address.
    #[error("redirect without a location")]
    Location,
}

/// What is wrong with a transfer agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentFault {
    /// It reports an error.
    #[error("the agent reported {}", with_code(*code, said.as_ref()))]
    Said {
        /// The number of the error.
        code: i64,
        /// Its text.
        said: Option<Said>,
    },
    /// It ended early.
    #[error("the agent ended early{}", .0.as_ref().map_or_else(String::new, |said| format!(": {said}")))]
    Ended(Option<Said>),
    /// It reported no progress for too long.
    #[error("no progress for {} s", .0.as_secs())]
    Silent(Duration),
    /// A line that is longer than any message.
    #[error("a line exceeds {0} bytes")]
    LongLine(usize),
    /// Not the JSON that belongs there.
    #[error("the message is not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// More messages than an object can need.
    #[error("more than {0} messages about one object")]
    TooMany(u64),
    /// A message about an object that it was not asked for.
    #[error("message about another object")]
    OtherObject,
    /// A message of a kind that the protocol does not have.
    #[error("unknown message `{0}`")]
    Event(String),
    /// A download that is in no file.
    #[error("no path in the message about the downloaded object")]
    NoFile,
    /// The file of a download cannot be taken.
    #[error("cannot open the file named by the agent")]
    File(#[source] io::Error),
    /// The path of a file that is to be sent cannot be said in JSON.
    #[error("the path of the LFS store is not UTF-8")]
    Path,
    /// Nobody may be asked.
    #[error("cannot start the agent while offline")]
    Offline,
}

fn with_code(code: i64, said: Option<&Said>) -> String {
    match said {
        Some(said) => format!("error {code}: {said}"),
        None => format!("error {code}"),
    }
}
