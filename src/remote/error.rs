//! [`Error`] states why a server did not send the requested data.
//!
//! Invariant: no variant contains a secret: URLs show neither login nor query, and the text of a server passed
//! `Wire::redacted` and is truncated. It may contain characters that move a cursor: `cli` escapes it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::cause::{AgentFault, BadAnswer, CredentialSource, ProxyFault, Said, Transport, meaning};
use super::origin::{NotAllowed, Origin};
use super::token::{self, TokenSource};
use super::url::Url;
use crate::hash::Oid;
use crate::{git, lfs};

/// The result of the functions of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a server did not send the requested data, or may not be contacted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program is offline (`--offline` or `HF_HUB_OFFLINE`).
    #[error("cannot contact {origin} while offline")]
    Offline {
        /// The server.
        origin: Origin,
    },
    /// The user interrupted the program.
    #[error("interrupted")]
    Interrupted,
    /// A URL may not be requested.
    #[error("invalid URL in {what}")]
    NotAllowed {
        /// The URL: `the LFS endpoint`, `the address of object …`.
        what: String,
        /// The reason.
        source: NotAllowed,
    },
    /// A server redirected too often.
    #[error("{url}: more than {limit} redirects")]
    TooManyRedirects {
        /// The first URL.
        url: Url,
        /// The most redirects that are followed.
        limit: usize,
    },
    /// The host does not exist.
    #[error("cannot find the host {host}")]
    Resolve {
        /// Its name.
        host: String,
    },
    /// The server does not respond.
    #[error("cannot connect to {origin}")]
    Connect {
        /// The server.
        origin: Origin,
        /// The reason.
        source: io::Error,
    },
    /// The certificate is not trusted, or the protocol is not TLS.
    #[error("cannot make a secure connection to {origin}")]
    Tls {
        /// The server.
        origin: Origin,
        /// The reason.
        source: Transport,
    },
    /// The proxy does not connect to the server.
    #[error("cannot reach {origin} through the proxy")]
    Proxy {
        /// The server.
        origin: Origin,
        /// The reason.
        source: ProxyFault,
    },
    /// The URL of the proxy is invalid.
    #[error("invalid proxy URL for {origin}")]
    ProxyAddress {
        /// The server.
        origin: Origin,
    },
    /// The certificates of `http.sslCAInfo` cannot be used.
    #[error("cannot read the certificates in `{}`", path.display())]
    CaInfo {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The certificate of `http.sslCert`, or its key, cannot be used.
    #[error("cannot use the client certificate in `{}`", path.display())]
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The server was silent for too long.
    #[error("{origin} timed out")]
    TimedOut {
        /// The server.
        origin: Origin,
    },
    /// The connection ended before the end of the response.
    #[error("connection to {origin} lost")]
    Cut {
        /// The server.
        origin: Origin,
        /// The reason.
        source: Transport,
    },
    /// The response is not HTTP, or longer than allowed.
    #[error("invalid HTTP response from {url}")]
    BadHttp {
        /// The URL.
        url: Url,
        /// The reason.
        source: Transport,
    },
    /// 401: no credential, or one that the server refused.
    #[error("{url}: {}", rejected.as_ref().map_or_else(|| "authentication required".to_owned(), |place| format!("authentication failed with the credentials from {place}")))]
    Unauthorized {
        /// The URL.
        url: Url,
        /// The origin of the refused credential.
        rejected: Option<CredentialSource>,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// The Hub's token has expired.
    #[error("the token from {place} has expired")]
    TokenExpired {
        /// The origin of the token.
        place: TokenSource,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// 403.
    #[error("{url}: access denied")]
    Forbidden {
        /// The URL.
        url: Url,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// 403 for an upload or a change.
    #[error("{url}: no write access")]
    MayNotWrite {
        /// The URL.
        url: Url,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// The repository does not allow discussions or pull requests.
    #[error("{url}: discussions and pull requests are disabled")]
    DiscussionsDisabled {
        /// The URL.
        url: Url,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// 403 of the Hub for a gated model: the user must accept its conditions on its page first.
    #[error("{url}: gated model")]
    Gated {
        /// The URL.
        url: Url,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// 404 without further information.
    #[error("{url}: not found")]
    NotFound {
        /// The URL.
        url: Url,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// The Hub has no such repository, or hides it.
    #[error("{url}: repository not found or private")]
    RepositoryNotFound {
        /// The URL.
        url: Url,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// The Hub's repository has no such revision.
    #[error("{url}: revision not found")]
    RevisionNotFound {
        /// The URL.
        url: Url,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// The Hub's repository has no such file.
    #[error("{url}: file not found")]
    EntryNotFound {
        /// The URL.
        url: Url,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// 429 after all retries, or for longer than the program waits.
    #[error("{origin}: rate limit exceeded{}", after.map_or_else(String::new, |after| format!(", retry in {} s", after.as_secs())))]
    RateLimited {
        /// The server.
        origin: Origin,
        /// The time that the server states.
        after: Option<Duration>,
    },
    /// Any other status.
    #[error("{url}: HTTP status {status}{}", meaning(i64::from(*status)))]
    Status {
        /// The URL.
        url: Url,
        /// The status.
        status: u16,
        /// The time that the server states before the next request.
        after: Option<Duration>,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// 400 for an object that is too long for the Hub's storage to send it as a whole.
    #[error("{url}: HTTP status 400 for an object of more than 400 GB")]
    Huge {
        /// The URL.
        url: Url,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// The response does not follow the interface.
    #[error("unexpected response from {url} ({interface})")]
    BadAnswer {
        /// The URL.
        url: Url,
        /// `Git LFS server`, `Hub`.
        interface: &'static str,
        /// The reason.
        source: BadAnswer,
    },
    /// The LFS server refused to send an object, with a reason.
    #[error("cannot download LFS object {oid} (code {code})")]
    Object {
        /// The object.
        oid: Oid,
        /// The server's code: 404, 410, 422, …
        code: i64,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// The LFS server refused an object.
    #[error("cannot upload LFS object {oid} (code {code}{})", meaning(*code))]
    NotTaken {
        /// The object.
        oid: Oid,
        /// The server's code, for the object or the request: 404, 413, 422, 507, …
        code: i64,
        /// The text of the server.
        #[source]
        said: Option<Said>,
    },
    /// The downloaded bytes do not match the object ID.
    #[error("downloaded LFS object {oid} is damaged: sha256 {got}")]
    WrongDigest {
        /// The object.
        oid: Oid,
        /// The SHA-256 of the downloaded bytes.
        got: Oid,
    },
    /// The number of bytes differs from the size in the pointer.
    #[error("LFS object {oid}: expected {expected} bytes, the server has {got}")]
    WrongSize {
        /// The object.
        oid: Oid,
        /// The size in the pointer.
        expected: u64,
        /// The size that the server states, or of the downloaded bytes.
        got: u64,
    },
    /// The server sends only whole files.
    #[error("{server} does not support range requests")]
    NoRanges {
        /// The endpoint.
        server: String,
    },
    /// The file has changed since the first request.
    #[error("{url} changed while it was read")]
    Changed {
        /// The URL.
        url: Url,
    },
    /// Neither a configuration nor a remote states where the objects are.
    #[error("no LFS server configured for remote `{remote}`")]
    NoEndpoint {
        /// The remote.
        remote: String,
    },
    /// The remote's URL has a scheme without LFS objects.
    #[error("the LFS endpoint of `{remote}` has a scheme that is not supported")]
    EndpointScheme {
        /// The remote.
        remote: String,
    },
    /// A part of an ssh address could be read as an option.
    #[error("refused: unsafe {part} in the ssh URL of the LFS server")]
    Ssh {
        /// `host`, `user`, `path`, `port`
        part: &'static str,
    },
    /// A required transfer agent is not configured for this operation.
    #[error("transfer agent `{name}` is not configured for {operation}")]
    NoAgent {
        /// Its name.
        name: String,
        /// `download`, `upload`
        operation: String,
    },
    /// A transfer agent failed.
    #[error("transfer agent `{name}` failed")]
    Agent {
        /// Its name.
        name: String,
        /// The reason.
        source: AgentFault,
    },
    /// The configured repository on this machine does not exist.
    #[error("repository of remote `{remote}` not found: {}", path.display())]
    RemoteGone {
        /// The remote.
        remote: String,
        /// The configured location.
        path: PathBuf,
        /// `true` if that is the remote's own URL, not a setting for its objects.
        is_own: bool,
    },
    /// The other repository on this machine does not contain the object.
    #[error("object {oid} is not in the repository at `{}`", path.display())]
    NotThere {
        /// The object.
        oid: Oid,
        /// The repository.
        path: PathBuf,
    },
    /// `HF_OIDC_RESOURCE` is set, and no ID token of a job is available.
    #[error(
        "no OIDC token for HF_OIDC_RESOURCE: neither HF_OIDC_ID_TOKEN nor a job of GitHub Actions that may have one"
    )]
    NoIdToken,
    /// A token would be sent in plain text.
    #[error("cannot exchange tokens with {origin}: the connection is not encrypted")]
    OpenExchange {
        /// The server.
        origin: Origin,
    },
    /// The token.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// A setting has an invalid value.
    #[error("the value of {name} cannot be used")]
    Setting {
        /// Its name: `HF_ENDPOINT`, `http.extraHeader`, `http.cookieFile`.
        name: &'static str,
    },
    /// git.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// The LFS store.
    #[error(transparent)]
    Store(#[from] lfs::store::Error),
    /// The caller could not use the bytes, or a file could not be read.
    #[error("cannot {action}")]
    Io {
        /// The action that failed: a verb and its object.
        action: &'static str,
        /// The reason.
        source: io::Error,
    },
}

impl Error {
    /// Returns the error for a response at this URL.
    pub(super) fn bad_answer(url: &Url, interface: &'static str, source: BadAnswer) -> Self {
        Self::BadAnswer { url: url.clone(), interface, source }
    }
}
