//! [`Ask`]: a request that may be sent on by redirects, and what it takes with it.
//!
//! Source: RFC 9110, 15.4. Invariants: `Authorization`, and every header that an action or an ssh server gave, go to the
//! origin they were given for; once another one was on the way, they are gone for good, also where the way leads back.
//! From `https` to `http` nobody is followed. Method and body stay, as git-lfs has it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use ureq::http::{HeaderName, HeaderValue, header};

use super::cause::BadAnswer;
use super::error::{Error, Result};
use super::message::{Body, Request, Response, header_line};
use super::origin::Origin;
use super::secret::Secret;
use super::url::{Login, Url};
use super::wire::Wire;

/// How many redirects of an interface are followed.
pub(super) const API_HOPS: usize = 3;

/// How many redirects of content are followed.
pub(super) const CONTENT_HOPS: usize = 8;

/// A request, before it is known who answers it.
#[derive(Clone)]
pub(super) struct Ask<'r> {
    pub(super) url: Url,
    /// Lines that hold no secret and go wherever the request goes: `Accept`, `Content-Type`, `Range`.
    pub(super) plain: Vec<(HeaderName, HeaderValue)>,
    /// Lines for the origin of `url` alone.
    pub(super) own: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Body<'r>,
    /// Whose unscoped `http.extraHeader` is meant.
    pub(super) home: Option<&'r Origin>,
    /// The login that stood in the address.
    pub(super) login: Option<&'r Login>,
    /// The path that git's credential helper knows this origin by.
    pub(super) credential_path: Option<&'r str>,
    /// A login may be added.
    pub(super) may_log_in: bool,
    /// What a body asks for is to be read, not written.
    pub(super) is_download: bool,
    pub(super) hops: usize,
}

impl Ask<'_> {
    /// Returns `true` if it changes nothing on the server.
    pub(super) fn only_reads(&self) -> bool {
        self.is_download || matches!(self.body, Body::None)
    }

    /// A request without a body and without a login.
    pub(super) fn get(url: Url) -> Self {
        Self {
            url,
            plain: Vec::new(),
            own: Vec::new(),
            body: Body::None,
            home: None,
            login: None,
            credential_path: None,
            may_log_in: false,
            is_download: false,
            hops: API_HOPS,
        }
    }

    /// Adds a line that holds no secret.
    pub(super) fn plain(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.plain.push((name, value));
        self
    }
}

/// Lines that a server gave for its origin.
///
/// # Errors
/// [`BadAnswer::Header`] for one that no request can hold; one that is ours to set is left out.
pub(super) fn own_lines(
    lines: &[(String, Secret)],
) -> std::result::Result<Vec<(HeaderName, HeaderValue)>, BadAnswer> {
    let mut own = Vec::new();
    for (name, value) in lines {
        let is_valid =
            HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value.expose()).is_ok();
        if !is_valid {
            return Err(BadAnswer::Header);
        }
        own.extend(header_line(name, value));
    }
    Ok(own)
}

/// Asks, and follows where it is sent, with `authorization` for the first origin.
///
/// # Errors
/// As [`Wire::exchange`]; [`Error::NotAllowed`], [`Error::TooManyRedirects`], [`Error::BadAnswer`].
pub(super) fn follow(wire: &Wire<'_>, ask: &Ask<'_>, authorization: Option<&Secret>) -> Result<Response> {
    let mut url = ask.url.clone();
    let mut is_own = true;
    for _ in 0..=ask.hops {
        let headers = lines(wire, ask, &url, is_own.then_some(authorization).flatten(), is_own)?;
        let response = wire.exchange(&Request { url: &url, headers, body: ask.body, home: ask.home })?;
        if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(response);
        }
        let Some(location) = response.header(header::LOCATION) else {
            let source = BadAnswer::Location;
            return Err(Error::BadAnswer { url, interface: "server", source });
        };
        let next = url.join(location).map_err(|source| Error::NotAllowed {
            what: format!("the URL that {url} redirects to"),
            source,
        })?;
        is_own = is_own && next.origin() == url.origin();
        url = next;
    }
    Err(Error::TooManyRedirects { url: ask.url.without_login(), limit: ask.hops })
}

/// All lines for one step. Of two with one name the more particular is sent: a server's, then the person's, then ours.
fn lines(
    wire: &Wire<'_>,
    ask: &Ask<'_>,
    url: &Url,
    authorization: Option<&Secret>,
    is_own: bool,
) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let mut lines = if is_own { ask.own.clone() } else { Vec::new() };
    let given = lines.len();
    for (name, value) in wire.settings.extra_headers(url, ask.home) {
        wire.remember_line(&value);
        let (name, value) = header_line(&name, &value).ok_or(Error::Setting { name: "http.extraHeader" })?;
        if !lines.iter().take(given).any(|(known, _)| *known == name) {
            lines.push((name, value));
        }
    }
    let own = authorization.and_then(|value| header_line(header::AUTHORIZATION.as_str(), value));
    for (name, value) in own.into_iter().chain(ask.plain.iter().cloned()) {
        if !lines.iter().any(|(known, _)| *known == name) {
            lines.push((name, value));
        }
    }
    Ok(lines)
}
