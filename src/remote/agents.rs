//! [`Agents`] keeps the connections to servers by their route, and sends single requests over them.
//!
//! Invariants: the HTTP library follows no redirect, reads no environment, keeps no cookie and requests no compression.
//! The callers decide which server may be contacted, and with which login.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::{self, HeaderValue, StatusCode, header};
use ureq::{Agent, Proxy, ProxyProtocol, SendBody, config::Config};

use super::cause::{ProxyFault, Transport};
use super::connect::{WHOLE, direct, through, whole};
use super::error::{Error, Result};
use super::known::Known;
use super::message::{Body, Part, Request};
use super::origin::{Origin, Scheme};
use super::secret::Secret;
use super::settings::Settings;
use super::tls::{self, Trust};
use super::url::Url;

/// The value of `User-Agent`.
const USER_AGENT: &str = concat!("git-st-convert/", env!("CARGO_PKG_VERSION"));

/// The most bytes that the library may buffer per connection.
const BUFFER: usize = 128 << 10;

/// A longer body is sent only after the server had a chance to refuse it, as in curl.
const ASKED_FIRST: u64 = 1 << 20;

/// The action on a file that is uploaded.
pub(super) const READ: &str = "read the object that is sent";

/// The route to an origin: requests of one route share connections.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Route {
    proxy: Option<Secret>,
    /// `true` if the server uses plain http.
    is_plain: bool,
    trust: Trust,
}

impl Route {
    /// Returns the route to the server of a URL. `home` is the origin of the user's own remote.
    pub(super) fn of(settings: &Settings, url: &Url, home: Option<&Origin>) -> Self {
        let is_plain = url.origin().scheme() == Scheme::Http;
        let trust = if is_plain { Trust::default() } else { settings.trust(url, home) };
        Self { proxy: settings.proxy(url), is_plain, trust }
    }

    /// Returns the proxy, if requests to it contain the whole URL.
    fn asked_wholly(&self, url: &Url) -> Result<Option<Proxy>> {
        let proxy = self.proxy(url)?;
        Ok(proxy.filter(|proxy| self.is_plain && proxy.protocol() == ProxyProtocol::Http))
    }

    /// Returns `true` if a response with this status comes from the proxy.
    pub(super) fn is_of_proxy(&self, status: u16) -> bool {
        self.is_plain && self.is_proxied() && status == 407
    }

    pub(super) fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    /// Returns the password for the proxy.
    pub(super) fn password(&self) -> Option<Secret> {
        let (login, _) = self.proxy.as_ref()?.expose().rsplit_once('@')?;
        let login = login.rsplit_once("://").map_or(login, |(_, login)| login);
        Some(Secret::new(login.split_once(':').map_or(login, |(_, password)| password)))
    }

    fn proxy(&self, url: &Url) -> Result<Option<Proxy>> {
        let proxy = self.proxy.as_ref().map(|proxy| Proxy::new(proxy.expose())).transpose();
        proxy.map_err(|_| Error::ProxyAddress { origin: url.origin().clone() })
    }
}

/// The connections.
#[derive(Default)]
pub(super) struct Agents(Known<Route, Agent>);

impl Agents {
    /// Closes all connections, and allows no new one on their routes.
    pub(super) fn shut_down(&self) {
        self.0.each(|agent| agent.clone().shutdown());
    }

    /// Returns the connections of a route.
    ///
    /// # Errors
    /// [`Error::ProxyAddress`], [`Error::CaInfo`], [`Error::ClientCertificate`]
    pub(super) fn get(&self, settings: &Settings, url: &Url, route: &Route) -> Result<Agent> {
        self.0.get_or_learn(route.clone(), || {
            let patience = settings.patience();
            let config = Config::builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(USER_AGENT)
                .accept_encoding("identity")
                .timeout_resolve(Some(patience.connect))
                .timeout_connect(Some(patience.connect))
                .timeout_per_read(Some(patience.timeout))
                .timeout_per_write(Some(patience.timeout))
                .max_idle_age(Duration::from_secs(60))
                .max_idle_connections_per_host(8)
                .input_buffer_size(BUFFER);
            match route.asked_wholly(url)? {
                Some(proxy) => Ok(through(config.proxy(None).build(), &proxy)),
                None => Ok(direct(config.proxy(route.proxy(url)?).build(), tls::config(&route.trust)?)),
            }
        })
    }
}

/// Sends the request and waits for the head of the response.
///
/// # Errors
/// [`Error::ProxyAddress`], [`Error::Io`] for a file that cannot be uploaded.
pub(super) fn run(
    agent: &Agent,
    route: &Route,
    request: &Request<'_>,
) -> Result<std::result::Result<http::Response<ureq::Body>, ureq::Error>> {
    let message = head(route, request)?;
    Ok(match request.body {
        Body::None => message.body(()).map_err(ureq::Error::from).and_then(|message| agent.run(message)),
        Body::Post(bytes) => {
            message.body(bytes).map_err(ureq::Error::from).and_then(|message| agent.run(message))
        }
        Body::Put(part) if part.len > ASKED_FIRST => {
            match put(agent, message.header(header::EXPECT, "100-continue"), part)? {
                // The server, or a proxy before it, does not support the question.
                Ok(answer) if answer.status() == StatusCode::EXPECTATION_FAILED => {
                    put(agent, head(route, request)?, part)?
                }
                answer => answer,
            }
        }
        Body::Put(part) => put(agent, message, part)?,
    })
}

/// Returns the head of a request, without the headers of its body.
fn head(route: &Route, request: &Request<'_>) -> Result<http::request::Builder> {
    let mut message = http::Request::builder().method(request.body.method()).uri(request.url.target());
    for (name, value) in &request.headers {
        message = message.header(name, value);
    }
    if let Some(proxy) = route.asked_wholly(request.url)? {
        message = message.header(WHOLE, secret(&whole(&request.url.target())));
        if let Some(user) = proxy.username() {
            let login = STANDARD.encode(format!("{user}:{}", proxy.password().unwrap_or_default()));
            message = message.header(header::PROXY_AUTHORIZATION, secret(&format!("Basic {login}")));
        }
    }
    Ok(message)
}

/// Sends a part of a file.
fn put(
    agent: &Agent,
    message: http::request::Builder,
    part: &Part<'_>,
) -> Result<std::result::Result<http::Response<ureq::Body>, ureq::Error>> {
    let mut reader = part.open().map_err(|source| Error::Io { action: READ, source })?;
    let message = message.header(header::CONTENT_LENGTH, part.len);
    let message = message.body(SendBody::from_reader(&mut reader)).map_err(ureq::Error::from);
    Ok(message.and_then(|message| agent.run(message)))
}

/// Returns a header value that no message shows. It contains only valid characters.
fn secret(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Converts an error of the library; `redacted` removes our secrets from its text.
pub(super) fn failure(
    url: &Url,
    err: ureq::Error,
    is_proxied: bool,
    redacted: &dyn Fn(&str) -> String,
) -> Error {
    let origin = url.origin().clone();
    let said = |text: String| Transport(redacted(&text));
    match err {
        ureq::Error::Timeout(_) => Error::TimedOut { origin },
        ureq::Error::HostNotFound if is_proxied => {
            Error::Proxy { origin, source: Transport("host not found".to_owned()).into() }
        }
        ureq::Error::Io(err) if is_no_host(&err) && is_proxied => {
            Error::Proxy { origin, source: Transport("host not found".to_owned()).into() }
        }
        ureq::Error::Io(err) if is_no_host(&err) => Error::Resolve { host: origin.host().to_owned() },
        ureq::Error::HostNotFound => Error::Resolve { host: origin.host().to_owned() },
        ureq::Error::ConnectProxyFailed(reason) => {
            Error::Proxy { origin, source: ProxyFault::of(said(reason)) }
        }
        ureq::Error::InvalidProxyUrl => Error::ProxyAddress { origin },
        ureq::Error::Tls(reason) => Error::Tls { origin, source: said(reason.to_owned()) },
        ureq::Error::Rustls(err) => Error::Tls { origin, source: said(err.to_string()) },
        ureq::Error::Io(err) if is_no_connection(&err) && is_proxied => {
            Error::Proxy { origin, source: said(err.to_string()).into() }
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

/// The standard library has no error kind for an unknown host: on Unix it has this text, on Windows these numbers.
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
