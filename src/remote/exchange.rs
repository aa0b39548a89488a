//! One request and its answer: the only file that opens sockets.
//!
//! Invariants: the HTTP library follows no redirect, reads no environment, keeps no cookie and asks for no compression; a
//! body is asked for in plain bytes, so that an offset in it is an offset in the file; every header value is marked as
//! sensitive. Who may be asked, and with which login, is decided above.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Proxy, SendBody, config::Config};

use super::body::Body;
use super::cause::{BadAnswer, Transport};
use super::client::{Client, Event, lock};
use super::error::{Error, Result};
use super::origin::{Origin, Scheme};
use super::secret::Secret;
use super::url::Url;

/// How much of an answer that is read whole is taken, unless said otherwise.
pub(super) const MAX_TEXT: u64 = 16 << 20;

/// What the library may buffer of one connection.
const BUFFER: usize = 128 << 10;

/// A body longer than this is sent only once the server had a chance to refuse it, as curl has it.
const ASKED_FIRST: u64 = 1 << 20;

/// Headers that belong to the connection or to us, whatever a server asks us to send.
const OWN_HEADERS: [HeaderName; 12] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::IF_RANGE,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What is sent to one server.
pub(super) struct Request<'r> {
    pub(super) url: &'r Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Body<'r>,
}

/// An answer whose body was not read yet. Dropped, its connection is closed.
pub(super) struct Response {
    pub(super) status: u16,
    /// What was asked, after all redirects.
    pub(super) url: Url,
    headers: HeaderMap,
    body: ureq::Body,
}

impl Response {
    /// A header's value, if it is text.
    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All values of a header that are text.
    pub(super) fn headers(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Is the body something else than the file's own bytes, against our asking?
    pub(super) fn is_encoded(&self) -> bool {
        let encoding = self.header(header::CONTENT_ENCODING).unwrap_or("identity");
        !encoding.eq_ignore_ascii_case("identity")
    }

    /// How long the body is said to be.
    pub(super) fn length(&self) -> Option<u64> {
        self.body.content_length()
    }

    /// The body's bytes as they come.
    pub(super) fn into_reader(self) -> BodyReader {
        let left = self.length();
        BodyReader { url: self.url, inner: self.body.into_reader(), left }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Error::BadAnswer`] if it is longer than `limit`, [`Error::Cut`] or [`Error::TimedOut`].
    pub(super) fn bytes(self, limit: u64, interface: &'static str) -> Result<Vec<u8>> {
        let url = self.url.clone();
        let mut bytes = Vec::new();
        let mut reader = self.into_reader();
        let read = reader.inner.by_ref().take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|err| body_error(&url, &err))?;
        if bytes.len() as u64 > limit {
            return Err(Error::BadAnswer { url, interface, source: BadAnswer::TooLong(limit) });
        }
        Ok(bytes)
    }
}

/// Reads a body.
pub(super) struct BodyReader {
    url: Url,
    inner: ureq::BodyReader<'static>,
    /// How many bytes are to come, if that was said.
    left: Option<u64>,
}

impl BodyReader {
    /// Whose bytes they are.
    pub(super) fn origin(&self) -> &Origin {
        self.url.origin()
    }

    /// As [`io::Read::read`]; an end that comes before the length that was promised is an error.
    ///
    /// # Errors
    /// [`Error::Cut`], [`Error::TimedOut`]
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(buf).map_err(|err| body_error(&self.url, &err))?;
        self.left = self.left.map(|left| left.saturating_sub(read as u64));
        if self.left == Some(0) {
            // Seeing the end, which asks nobody, lets the connection be used again.
            let _end = self.inner.read(&mut [0]);
            self.left = None;
        }
        Ok(read)
    }
}

/// How one origin is reached: requests of one route share connections.
#[derive(Clone, PartialEq, Eq)]
struct Route {
    proxy: Option<Secret>,
    ca_bundle: Option<std::path::PathBuf>,
    verifies: bool,
}

/// The connections.
#[derive(Default)]
pub(super) struct Agents(Mutex<Vec<(Route, Agent)>>);

impl Agents {
    /// Closes all connections, and lets no new one be made on their routes.
    pub(super) fn shut_down(&self) {
        lock(&self.0).iter().for_each(|(_, agent)| agent.clone().shutdown());
    }
}

impl Client<'_> {
    /// Asks once.
    ///
    /// # Errors
    /// [`Error::Offline`], [`Error::Interrupted`], or what keeps an answer away; any status is an answer.
    pub(super) fn exchange(&self, request: &Request<'_>) -> Result<Response> {
        let url = request.url;
        if self.settings.offline {
            return Err(Error::Offline { origin: url.origin().clone() });
        }
        if self.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let route = Route {
            proxy: self.settings.proxy(url),
            ca_bundle: self.settings.ca_bundle(url),
            verifies: self.settings.verifies(url),
        };
        let agent = self.agent(url, &route)?;
        let result = run(&agent, request)?;
        let status = result.as_ref().ok().map(|response| response.status().as_u16());
        self.tell(&Event { method: request.body.method(), url, status });
        if let (Err(_), Body::Put(part)) = (&result, request.body)
            && let Some(source) = lock(&part.failure).take()
        {
            return Err(Error::Io { action: READ, source });
        }
        match result {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                Ok(Response { status: parts.status.as_u16(), url: url.clone(), headers: parts.headers, body })
            }
            Err(_) if self.is_interrupted() => Err(Error::Interrupted),
            Err(err) => Err(self.transport_error(url, err, route.proxy.is_some())),
        }
    }

    fn agent(&self, url: &Url, route: &Route) -> Result<Agent> {
        let mut agents = lock(&self.agents.0);
        if let Some((_, agent)) = agents.iter().find(|(known, _)| known == route) {
            return Ok(agent.clone());
        }
        let patience = self.settings.patience();
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(self.settings.user_agent.as_str())
            .accept_encoding("identity")
            .proxy(self.proxy(url, route)?)
            .tls_config(tls(route)?)
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_per_read(Some(patience.timeout))
            .timeout_per_write(Some(patience.timeout))
            .max_idle_age(Duration::from_secs(60))
            .max_idle_connections_per_host(8)
            .input_buffer_size(BUFFER)
            .build();
        let agent = Agent::from(config);
        agents.push((route.clone(), agent.clone()));
        Ok(agent)
    }

    fn proxy(&self, url: &Url, route: &Route) -> Result<Option<Proxy>> {
        let Some(proxy) = &route.proxy else { return Ok(None) };
        if let Some((login, _)) = proxy.expose().rsplit_once('@') {
            let login = login.rsplit_once("://").map_or(login, |(_, login)| login);
            let password = login.split_once(':').map_or(login, |(_, password)| password);
            self.remember(&Secret::new(password));
        }
        let proxy = Proxy::new(proxy.expose());
        proxy.map(Some).map_err(|_| Error::ProxyAddress { origin: url.origin().clone() })
    }

    /// The variant for what the library reports.
    fn transport_error(&self, url: &Url, err: ureq::Error, is_proxied: bool) -> Error {
        let origin = url.origin().clone();
        let said = |text: String| Transport(self.redacted(&text));
        match err {
            ureq::Error::Timeout(_) => Error::TimedOut { origin },
            ureq::Error::HostNotFound if is_proxied => {
                Error::Proxy { origin, source: Transport("its host is not found".to_owned()) }
            }
            ureq::Error::Io(err) if is_no_host(&err) && is_proxied => {
                Error::Proxy { origin, source: Transport("its host is not found".to_owned()) }
            }
            ureq::Error::Io(err) if is_no_host(&err) => Error::Resolve { host: origin.host().to_owned() },
            ureq::Error::HostNotFound => Error::Resolve { host: origin.host().to_owned() },
            ureq::Error::ConnectProxyFailed(reason) => Error::Proxy { origin, source: said(reason) },
            ureq::Error::InvalidProxyUrl => Error::ProxyAddress { origin },
            ureq::Error::Tls(reason) => Error::Tls { origin, source: said(reason.to_owned()) },
            ureq::Error::Rustls(err) => Error::Tls { origin, source: said(err.to_string()) },
            ureq::Error::Io(err) if is_no_connection(&err) && is_proxied => {
                Error::Proxy { origin, source: said(err.to_string()) }
            }
            ureq::Error::Io(source) if is_no_connection(&source) => Error::Connect { origin, source },
            ureq::Error::Io(err) if err.kind() == io::ErrorKind::TimedOut => Error::TimedOut { origin },
            ureq::Error::Io(err)
                if err.kind() == io::ErrorKind::InvalidData && origin.scheme() == Scheme::Https =>
            {
                Error::Tls { origin, source: said(err.to_string()) }
            }
            ureq::Error::Io(err) => Error::Cut { origin, source: said(err.to_string()) },
            err => Error::BadHttp { url: url.clone(), source: said(err.to_string()) },
        }
    }
}

/// What is done with a file that is sent.
const READ: &str = "read the object that is sent";

/// Sends the request and waits for the head of the answer.
fn run(
    agent: &Agent,
    request: &Request<'_>,
) -> Result<std::result::Result<http::Response<ureq::Body>, ureq::Error>> {
    let mut message = http::Request::builder().method(request.body.method()).uri(request.url.target());
    for (name, value) in &request.headers {
        message = message.header(name, value);
    }
    Ok(match request.body {
        Body::None => message.body(()).map_err(ureq::Error::from).and_then(|message| agent.run(message)),
        Body::Post(bytes) => {
            message.body(bytes).map_err(ureq::Error::from).and_then(|message| agent.run(message))
        }
        Body::Put(part) => {
            let mut reader = part.open().map_err(|source| Error::Io { action: READ, source })?;
            message = message.header(header::CONTENT_LENGTH, part.len);
            if part.len > ASKED_FIRST {
                message = message.header(header::EXPECT, "100-continue");
            }
            let message = message.body(SendBody::from_reader(&mut reader)).map_err(ureq::Error::from);
            message.and_then(|message| agent.run(message))
        }
    })
}

/// A name and a value for a request; `None` where a server or a setting gives what no header holds or what is ours.
pub(super) fn header_line(name: &str, value: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(value.expose()).ok()?;
    value.set_sensitive(true);
    (!OWN_HEADERS.contains(&name)).then_some((name, value))
}

/// The standard library has no kind for a name that nobody knows: on Unix this text, on Windows these numbers.
fn is_no_host(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(11001..=11004)) && cfg!(windows)
        || err.to_string().starts_with("failed to lookup address")
}

fn is_no_connection(err: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable,
        PermissionDenied,
    };
    matches!(
        err.kind(),
        AddrNotAvailable
            | ConnectionRefused
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
    )
}

fn body_error(url: &Url, err: &io::Error) -> Error {
    let origin = url.origin().clone();
    let is_timeout = err.kind() == io::ErrorKind::TimedOut
        || err
            .get_ref()
            .and_then(|err| err.downcast_ref())
            .is_some_and(|err| matches!(err, ureq::Error::Timeout(_)));
    if is_timeout {
        return Error::TimedOut { origin };
    }
    Error::Cut { origin, source: Transport(err.to_string()) }
}

fn tls(route: &Route) -> Result<TlsConfig> {
    let roots = match &route.ca_bundle {
        Some(path) => certificates(path)?,
        None => RootCerts::PlatformVerifier,
    };
    Ok(TlsConfig::builder().root_certs(roots).disable_verification(!route.verifies).build())
}

fn certificates(path: &Path) -> Result<RootCerts> {
    let error = |source| Error::CaInfo { path: path.to_owned(), source };
    let pem = std::fs::read(path).map_err(error)?;
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        if let PemItem::Certificate(certificate) =
            item.map_err(|err| error(io::Error::other(err.to_string())))?
        {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(error(io::ErrorKind::InvalidData.into()));
    }
    Ok(RootCerts::Specific(Arc::new(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_ours_or_none_is_not_taken() {
        let line = |name: &str, value: &str| header_line(name, &Secret::new(value));
        let (name, value) = line("authorization", "RemoteAuth x").unwrap();
        assert!(name == "Authorization" && value.is_sensitive());
        for (name, value) in [
            ("Host", "evil"),
            ("range", "bytes=0-1"),
            ("Transfer-Encoding", "chunked"),
            ("Proxy-Authorization", "Basic x"),
            ("X-A", "b\r\nHost: evil"),
            ("X A", "b"),
            ("X-A\r\nHost", "b"),
            ("", "b"),
        ] {
            assert!(line(name, value).is_none(), "{name}: {value}");
        }
    }
}
