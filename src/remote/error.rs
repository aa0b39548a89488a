//! [`Error`]: why a server did not give what was asked.
//!
//! Invariant: no variant holds a secret: addresses show neither login nor query, and what a server said passed
//! `Wire::redacted` and is cut. It may hold what moves a cursor: `cli` escapes it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::cause::{AgentFault, BadAnswer, CredentialSource, Said, Transport};
use super::origin::{NotAllowed, Origin};
use super::token::{self, TokenSource};
use super::url::Url;
use crate::hash::Oid;
use crate::{git, lfs};

/// What the functions of this module return.
pub type Result<T> = std::result::Result<T, Error>;

/// A server did not give what was asked, or may not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `--offline` or `HF_HUB_OFFLINE`.
    #[error("cannot contact {origin} while offline")]
    Offline {
        /// Whom.
        origin: Origin,
    },
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// An address that is not asked.
    #[error("invalid URL in {what}")]
    NotAllowed {
        /// Which: `the LFS endpoint`, `the address of object …`.
        what: String,
        /// Why.
        source: NotAllowed,
    },
    /// One redirect after another.
    #[error("{url}: more than {limit} redirects")]
    TooManyRedirects {
        /// What was asked first.
        url: Url,
        /// How many are followed.
        limit: usize,
    },
    /// No such host.
    #[error("cannot find the host {host}")]
    Resolve {
        /// Its name.
        host: String,
    },
    /// Nobody answers there.
    #[error("cannot connect to {origin}")]
    Connect {
        /// Whom.
        origin: Origin,
        /// Why.
        source: io::Error,
    },
    /// The certificate is not trusted, or what is spoken is not TLS.
    #[error("cannot make a secure connection to {origin}")]
    Tls {
        /// Whom.
        origin: Origin,
        /// Why.
        source: Transport,
    },
    /// The proxy does not lead there.
    #[error("cannot reach {origin} through the proxy")]
    Proxy {
        /// Whom.
        origin: Origin,
        /// Why.
        source: Transport,
    },
    /// The proxy's address is none.
    #[error("invalid proxy URL for {origin}")]
    ProxyAddress {
        /// Whom.
        origin: Origin,
    },
    /// The bundle of `http.sslCAInfo` cannot be used.
    #[error("cannot read the certificates in `{}`", path.display())]
    CaInfo {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The certificate of `http.sslCert`, or its key, cannot be used.
    #[error("cannot use the client certificate in `{}`", path.display())]
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server was silent for too long.
    #[error("{origin} timed out")]
    TimedOut {
        /// Whom.
        origin: Origin,
    },
    /// The connection ended before the answer did.
    #[error("connection to {origin} lost")]
    Cut {
        /// Whom.
        origin: Origin,
        /// Why.
        source: Transport,
    },
    /// What came is not HTTP, or more than an answer may be.
    #[error("invalid HTTP response from {url}")]
    BadHttp {
        /// What was asked.
        url: Url,
        /// Why.
        source: Transport,
    },
    /// 401: no credential, or one that is not taken.
    #[error("{url}: {}", rejected.as_ref().map_or_else(|| "authentication required".to_owned(), |place| format!("authentication failed with the credentials from {place}")))]
    Unauthorized {
        /// What was asked.
        url: Url,
        /// Where the credential came from that was not taken.
        rejected: Option<CredentialSource>,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// The Hub's token is past its end.
    #[error("the token from {place} has expired")]
    TokenExpired {
        /// Where it came from.
        place: TokenSource,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// 403.
    #[error("{url}: access denied")]
    Forbidden {
        /// What was asked.
        url: Url,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// 403 for something that is sent.
    #[error("{url}: no write access")]
    MayNotWrite {
        /// What was asked.
        url: Url,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// The repository takes neither discussions nor pull requests.
    #[error("{url}: discussions and pull requests are disabled")]
    DiscussionsDisabled {
        /// What was asked.
        url: Url,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// 403 of the Hub: its conditions have to be accepted on its page first.
    #[error("{url}: gated model")]
    Gated {
        /// What was asked.
        url: Url,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// 404, and nothing more is known.
    #[error("{url}: not found")]
    NotFound {
        /// What was asked.
        url: Url,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// The Hub has no such repository, or does not show it.
    #[error("{url}: repository not found or private")]
    RepositoryNotFound {
        /// What was asked.
        url: Url,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// The Hub's repository has no such revision.
    #[error("{url}: revision not found")]
    RevisionNotFound {
        /// What was asked.
        url: Url,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// The Hub's repository has no such file.
    #[error("{url}: file not found")]
    EntryNotFound {
        /// What was asked.
        url: Url,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// 429, again and again, or for longer than we wait.
    #[error("{origin}: rate limit exceeded{}", after.map_or_else(String::new, |after| format!(", retry in {} s", after.as_secs())))]
    RateLimited {
        /// Whom.
        origin: Origin,
        /// How long it says.
        after: Option<Duration>,
    },
    /// Another status than those above.
    #[error("{url}: HTTP status {status}{}", named(u32::from(*status)))]
    Status {
        /// What was asked.
        url: Url,
        /// Its number.
        status: u16,
        /// When to come again, if it says so.
        after: Option<Duration>,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// 400 for an object that is longer than what the Hub's storage gives whole.
    #[error("{url}: HTTP status 400 for an object of more than 400 GB")]
    Huge {
        /// What was asked.
        url: Url,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// The answer is not what the interface says.
    #[error("unexpected response from {url} ({interface})")]
    BadAnswer {
        /// What was asked.
        url: Url,
        /// `Git LFS server`, `Hub`.
        interface: &'static str,
        /// Why.
        source: BadAnswer,
    },
    /// The LFS server says why it does not give an object.
    #[error("cannot download LFS object {oid} (code {code})")]
    Object {
        /// Which.
        oid: Oid,
        /// The server's code: 404, 410, 422, …
        code: u32,
        /// What it said.
        #[source]
        said: Option<Said>,
    },
    /// The LFS server does not take an object.
    #[error("cannot upload LFS object {oid} (code {code}{})", named(*code))]
    NotTaken {
        /// Which.
        oid: Oid,
        /// The server's code, of the object or of the request: 404, 413, 422, 507, …
        code: u32,
        /// What it said.
        #[source]
        said: Option<Said>,
    },
    /// The bytes are not those that the oid names.
    #[error("downloaded LFS object {oid} is damaged: sha256 {got}")]
    WrongDigest {
        /// Which.
        oid: Oid,
        /// The SHA-256 of what came.
        got: Oid,
    },
    /// There are not as many bytes as the pointer says.
    #[error("LFS object {oid}: expected {expected} bytes, the server has {got}")]
    WrongSize {
        /// Which.
        oid: Oid,
        /// What the pointer says.
        expected: u64,
        /// What the server says, or what came.
        got: u64,
    },
    /// The server gives whole files alone.
    #[error("{server} does not support range requests")]
    NoRanges {
        /// The endpoint.
        server: String,
    },
    /// The file is another one than at the first request.
    #[error("{url} changed while it was read")]
    Changed {
        /// What was asked.
        url: Url,
    },
    /// Neither a configuration nor a remote says where the objects are.
    #[error("no LFS server configured for remote `{remote}`")]
    NoEndpoint {
        /// The remote.
        remote: String,
    },
    /// The remote's address is of a kind that has no objects for us.
    #[error("the LFS endpoint of `{remote}` has a scheme that is not supported")]
    EndpointScheme {
        /// The remote.
        remote: String,
    },
    /// An ssh address with a part that could be taken for an option.
    #[error("refused: unsafe {part} in the ssh URL of the LFS server")]
    Ssh {
        /// `host`, `user`, `path`, `port`
        part: &'static str,
    },
    /// A transfer agent that is to be used is not set up for this.
    #[error("transfer agent `{name}` is not configured for {operation}")]
    NoAgent {
        /// Its name.
        name: String,
        /// `download`, `upload`
        operation: String,
    },
    /// A transfer agent did not do its work.
    #[error("transfer agent `{name}` failed")]
    Agent {
        /// Its name.
        name: String,
        /// Why.
        source: AgentFault,
    },
    /// The other repository of this machine does not hold the object.
    #[error("object {oid} is not in the repository at `{}`", path.display())]
    NotThere {
        /// Which.
        oid: Oid,
        /// The repository.
        path: PathBuf,
    },
    /// `HF_OIDC_RESOURCE` is set, and nobody says which job this is.
    #[error(
        "no OIDC token for HF_OIDC_RESOURCE: neither HF_OIDC_ID_TOKEN nor a job of GitHub Actions that may have one"
    )]
    NoIdToken,
    /// A token would go over the wire in clear text.
    #[error("cannot exchange tokens with {origin}: the connection is not encrypted")]
    OpenExchange {
        /// With whom.
        origin: Origin,
    },
    /// The token.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// A setting that cannot be meant.
    #[error("the value of {name} cannot be used")]
    Setting {
        /// Its name: `HF_ENDPOINT`, `http.extraHeader`.
        name: &'static str,
    },
    /// git.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// The LFS store.
    #[error(transparent)]
    Store(#[from] lfs::store::Error),
    /// The caller could not take the bytes, or a file could not be read.
    #[error("cannot {action}")]
    Io {
        /// What was tried: a verb and its object.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// What a status means that is not said by its number.
fn named(status: u32) -> &'static str {
    match status {
        404 => ": not found",
        409 => ": conflicting object",
        413 => ": too large",
        422 => ": rejected by the server",
        507 => ": no space left on the server",
        _ => "",
    }
}
