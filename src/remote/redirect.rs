//! [`Ask`] is a request that may follow redirects, with the headers for each step.
//!
//! Source: RFC 9110, 15.4. Invariants: `Authorization`, and every header of an action or an ssh server, go to the
//! origin that they were given for; after a redirect to another origin they are not sent again, even if a later
//! redirect leads back. Redirects from `https` to `http` are not followed. Method and body stay, as in git-lfs.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use ureq::http::{HeaderName, HeaderValue, header};

use super::cause::BadAnswer;
use super::cookies;
use super::error::{Error, Result};
use super::message::{Body, Request, Response, header_line};
use super::origin::Origin;
use super::secret::Secret;
use super::url::{Login, Url};
use super::wire::Wire;

/// The most redirects of an interface.
pub(super) const API_HOPS: usize = 3;

/// The most redirects of content.
pub(super) const CONTENT_HOPS: usize = 8;

/// A request, before its final server is known.
#[derive(Clone)]
pub(super) struct Ask<'r> {
    pub(super) url: Url,
    /// Headers without secrets that go to every server: `Accept`, `Content-Type`, `Range`.
    pub(super) plain: Vec<(HeaderName, HeaderValue)>,
    /// Headers only for the origin of `url`.
    pub(super) own: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Body<'r>,
    /// The origin whose unscoped `http.extraHeader` applies.
    pub(super) home: Option<&'r Origin>,
    /// The login in the URL.
    pub(super) login: Option<&'r Login>,
    /// The path of this origin for git's credential helper.
    pub(super) credential_path: Option<&'r str>,
    /// `true` if a login may be added.
    pub(super) may_log_in: bool,
    /// `true` if the request in the body is for a download.
    pub(super) is_download: bool,
    pub(super) hops: usize,
}

impl Ask<'_> {
    /// Returns `true` if it changes nothing on the server.
    pub(super) fn only_reads(&self) -> bool {
        self.is_download || matches!(self.body, Body::None)
    }

    /// Returns a URL of this request as git compares it with `http.<url>`: with the user in the remote's URL.
    pub(super) fn scope(&self, url: &Url) -> Url {
        let login = self.login.filter(|_| url.origin() == self.url.origin());
        login.map_or_else(|| url.clone(), |login| url.with_login(login))
    }

    /// Returns a request without a body and without a login.
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

    /// Adds a header without a secret.
    pub(super) fn plain(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.plain.push((name, value));
        self
    }
}

/// Adds the headers that a server gave for its origin.
///
/// # Errors
/// [`BadAnswer::Header`] for a header that is invalid in a request; a header that this program sets is left out.
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

/// Sends it, and follows redirects, with `authorization` for the first origin.
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
        let Some(location) = response.location() else {
            let source = BadAnswer::Location;
            return Err(Error::BadAnswer { url, interface: "server", source });
        };
        let next = url.join(&location).map_err(|source| Error::NotAllowed {
            what: format!("the URL that {url} redirects to"),
            source,
        })?;
        is_own = is_own && next.origin() == url.origin();
        url = next;
    }
    Err(Error::TooManyRedirects { url: ask.url.without_login(), limit: ask.hops })
}

/// Returns all headers for one step. Of two with one name the more specific is sent: a server's, then the user's, then
/// ours.
fn lines(
    wire: &Wire<'_>,
    ask: &Ask<'_>,
    url: &Url,
    authorization: Option<&Secret>,
    is_own: bool,
) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let mut lines = if is_own { ask.own.clone() } else { Vec::new() };
    let given = lines.len();
    for (name, value) in wire.settings.extra_headers(&ask.scope(url), ask.home) {
        wire.remember_line(&value);
        let (name, value) = header_line(&name, &value).ok_or(Error::Setting { name: "http.extraHeader" })?;
        if !lines.iter().take(given).any(|(known, _)| *known == name) {
            lines.push((name, value));
        }
    }
    if let Some(cookies) = cookies::value(&wire.settings, url, ask.home).filter(|_| is_own) {
        let values = cookies.expose().split("; ").filter_map(|cookie| cookie.split_once('='));
        values.for_each(|(_, value)| wire.remember(&Secret::new(value)));
        let line = header_line(header::COOKIE.as_str(), &cookies);
        let (name, value) = line.ok_or(Error::Setting { name: "http.cookieFile" })?;
        if !lines.iter().any(|(known, _)| *known == name) {
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
