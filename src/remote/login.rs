//! [`Auth`] decides which login a request contains, and tries the possible logins in order.
//!
//! ```text
//! 1. the Hub's token                 for the Hub's own origin, at once
//! 2. the netrc file                  for its host, at the default port or that of the user's own remote
//! 3. the URL: user:password@         for its origin
//! 4. git credential fill             for the origin; approved after 2xx, rejected after 401
//! ```
//!
//! Source: `lfsapi/auth.go` of Git LFS, gitcredentials(7), git-credential(1). Invariants: a login goes only to the
//! origin that it was found for; none goes over plain http, except to this machine, and a login of the user's own (not
//! the token) to the origin of the user's own remote; the first request has no login unless a token exists, or
//! `lfs.<url>.access` is `basic`. If a token from a file is refused, requests that only read are repeated without it,
//! because it may have expired since it was saved, and public content needs none; a token of the environment was given
//! on purpose. A token that is known to have expired is not sent.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::header;

use super::cause::CredentialSource;
use super::error::{Error, Result};
use super::known::Known;
use super::message::Response;
use super::netrc;
use super::oidc::exchange;
use super::origin::{Origin, Scheme};
use super::redirect::{Ask, follow};
use super::refusal::refusal;
use super::secret::Secret;
use super::settings::HUB;
use super::token::{Token, TokenSource};
use super::url::{Login, Url};
use super::wire::Wire;
use crate::git::{Git, credential};

/// A longer netrc file is ignored.
const MAX_NETRC: u64 = 1 << 20;

/// One form of login.
#[derive(Clone)]
pub(super) struct Credential {
    /// The value of `Authorization`.
    authorization: Secret,
    place: CredentialSource,
    /// The answer of git's helper, to report the result to it.
    helper: Option<credential::Credential>,
}

/// A possible source of the user's own login.
#[derive(Clone, Copy)]
enum LoginSource {
    Netrc,
    Address,
    Helper,
}

/// The sources, in the order in which they are tried.
const SOURCES: [LoginSource; 3] = [LoginSource::Netrc, LoginSource::Address, LoginSource::Helper];

/// Sends requests with a login.
pub struct Auth<'a> {
    pub(super) wire: Wire<'a>,
    pub(super) git: Option<Git<'a>>,
    accepted: Known<Origin, Credential>,
    /// The origins that refused a token from a file.
    refused: Known<Origin, ()>,
    hub: Url,
    token: OnceLock<Option<Token>>,
}

impl<'a> Auth<'a> {
    /// Uses git for logins, if it is given.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] if `HF_ENDPOINT` is not a valid URL.
    pub fn new(wire: Wire<'a>, git: Option<Git<'a>>) -> Result<Self> {
        let hub = wire.settings.hub.as_deref().unwrap_or(HUB).trim_end_matches('/');
        let hub = Url::parse(hub)
            .map_err(|source| Error::NotAllowed { what: "the value of HF_ENDPOINT".to_owned(), source })?
            .without_login();
        Ok(Self {
            wire,
            git,
            accepted: Known::default(),
            refused: Known::default(),
            hub,
            token: OnceLock::new(),
        })
    }

    /// Returns the URL of the Hub: `HF_ENDPOINT`, or the public one.
    pub fn hub(&self) -> &Url {
        &self.hub
    }

    /// Returns the Hub's token, whatever its source.
    ///
    /// # Errors
    /// [`Error::Token`], or an error of the exchange.
    pub fn token(&self) -> Result<Option<&Token>> {
        if let Some(token) = self.token.get() {
            return Ok(token.as_ref());
        }
        let (wire, settings) = (&self.wire, &self.wire.settings);
        let token = match settings.tokens.exchanged() {
            Some(oidc) => {
                Some(settings.learned.exchanged(|| wire.watched(|| exchange(wire, &self.hub, oidc)))?)
            }
            None => settings.tokens.token()?,
        };
        if let Some(token) = &token {
            self.wire.remember(&token.secret);
        }
        Ok(self.token.get_or_init(|| token).as_ref())
    }

    /// Sends a request, with a login if the server requires one and one exists.
    ///
    /// # Errors
    /// As [`follow`], and [`Error::Unauthorized`] or another refusal for a 401. Any other status is a response.
    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<Response> {
        let has_own = |line: &(header::HeaderName, _)| line.0 == header::AUTHORIZATION;
        if !ask.may_log_in || ask.own.iter().any(has_own) {
            return follow(&self.wire, ask, None);
        }
        let extra = self.wire.settings.extra_headers(&ask.scope(&ask.url), ask.home);
        if extra.iter().any(|(name, _)| name.eq_ignore_ascii_case(header::AUTHORIZATION.as_str())) {
            let response = follow(&self.wire, ask, None)?;
            let is_refused = response.status == 401;
            if !is_refused {
                return Ok(response);
            }
            return Err(refusal(&self.wire, response, Some(CredentialSource::ExtraHeader)));
        }
        let mut ask = ask.clone();
        let mut places = SOURCES.into_iter();
        let mut used = self.first(&ask)?;
        if used.is_none() && self.wire.settings.is_basic(&ask.url) {
            used = self.next(&mut places, &ask, &[])?;
        }
        let mut was_lifted = false;
        let mut refused = None;
        loop {
            let response = follow(&self.wire, &ask, used.as_ref().map(|used| &used.authorization))?;
            if response.status != 401 {
                if let Some(used) = used.filter(|_| (200..300).contains(&response.status)) {
                    self.accept(ask.url.origin(), used);
                }
                return Ok(response);
            }
            if response.url.origin() != ask.url.origin() {
                // From http to https on the same host: the login is requested again, for the new origin.
                if was_lifted || !is_lifted(ask.url.origin(), response.url.origin()) {
                    return Err(refusal(&self.wire, response, None));
                }
                was_lifted = true;
                ask.url = response.url.clone();
                used = self.first(&ask)?;
                if used.is_some() {
                    continue;
                }
            }
            let challenges: Vec<String> =
                response.headers(header::WWW_AUTHENTICATE).take(8).map(str::to_owned).collect();
            let rejected = used.take().map(|used| self.reject(ask.url.origin(), &used));
            if let Some(CredentialSource::Token(place)) = &rejected {
                let may_leave_out = ask.only_reads() && matches!(place, TokenSource::File(_));
                let error = refusal(&self.wire, response, rejected);
                if !may_leave_out {
                    return Err(error);
                }
                self.refused.add(ask.url.origin().clone(), ());
                refused = Some(error);
                continue;
            }
            used = self.next(&mut places, &ask, &challenges)?;
            if used.is_none() {
                let expired = || self.expired(ask.url.origin()).filter(|_| rejected.is_none());
                let refused = refused.or_else(expired);
                return Err(refused.unwrap_or_else(|| refusal(&self.wire, response, rejected)));
            }
        }
    }

    /// Returns the Hub's token, if this is its origin.
    fn token_of(&self, origin: &Origin) -> Result<Option<&Token>> {
        // A proxy to a plain http server reads every request, even if the server is this machine or has its name.
        if origin != self.hub().origin() || !origin.is_private() || self.wire.is_open(self.hub()) {
            return Ok(None);
        }
        self.token()
    }

    /// Returns the Hub's token for git commands, if this is its origin and the token may be valid.
    ///
    /// # Errors
    /// [`Error::Token`], [`Error::Git`]
    pub(super) fn token_for_git(&self, origin: &Origin) -> Result<Option<crate::git::Token>> {
        let is_refused = self.refused.get(origin).is_some();
        let token = self.token_of(origin)?.filter(|token| !is_refused && !token.is_expired());
        Ok(token.map(|token| token.for_git(&origin.to_string())).transpose()?.flatten())
    }

    /// Returns the Hub's token as a login, if this is its origin.
    ///
    /// # Errors
    /// [`Error::Token`]
    pub(super) fn token_for(&self, origin: &Origin) -> Result<Option<Credential>> {
        Ok(self.token_of(origin)?.map(|token| Credential {
            authorization: Secret::new(format!("Bearer {}", token.secret.expose())),
            place: CredentialSource::Token(token.place.clone()),
            helper: None,
        }))
    }

    /// Returns an error for an expired token that would have been sent.
    fn expired(&self, origin: &Origin) -> Option<Error> {
        let is_its = origin == self.hub().origin() && origin.is_private();
        let token = self.token().ok().flatten().filter(|token| is_its && token.is_expired())?;
        Some(Error::TokenExpired { place: token.place.clone(), said: None })
    }

    /// Returns the login for the first request.
    fn first(&self, ask: &Ask<'_>) -> Result<Option<Credential>> {
        let origin = ask.url.origin();
        if let Some(error) = self.expired(origin).filter(|_| self.accepted.get(origin).is_none()) {
            return if ask.only_reads() { Ok(None) } else { Err(error) };
        }
        match self.accepted.get(origin) {
            Some(known) if is_private(ask) => Ok(Some(known)),
            _ if ask.only_reads() && self.refused.get(origin).is_some() => Ok(None),
            _ => self.token_for(origin),
        }
    }

    fn next(
        &self,
        places: &mut impl Iterator<Item = LoginSource>,
        ask: &Ask<'_>,
        challenges: &[String],
    ) -> Result<Option<Credential>> {
        if !is_private(ask) {
            return Ok(None);
        }
        for place in places {
            let found = match place {
                LoginSource::Netrc => self.in_netrc(ask),
                LoginSource::Address => {
                    ask.login.and_then(|login| self.basic(login, CredentialSource::Address))
                }
                LoginSource::Helper => self.of_helper(ask, challenges)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn in_netrc(&self, ask: &Ask<'_>) -> Option<Credential> {
        let (path, origin) = (self.wire.settings.netrc.as_ref()?, ask.url.origin());
        // The file contains hosts, not ports: a port other than the default counts only if the user's remote has it.
        if !origin.has_usual_port() && ask.home != Some(origin) {
            return None;
        }
        let mut text = String::new();
        // A file that does not exist or cannot be read contains no login; git and curl do not report it either.
        let read = open_netrc(path).and_then(|file| file.take(MAX_NETRC).read_to_string(&mut text));
        let user = ask.login.map(|login| login.user.as_str());
        read.ok()?;
        let login = netrc::find(&text, origin.host(), user)?;
        self.basic(&login, CredentialSource::Netrc)
    }

    fn of_helper(&self, ask: &Ask<'_>, challenges: &[String]) -> Result<Option<Credential>> {
        let Some(git) = &self.git else { return Ok(None) };
        let origin = ask.url.origin();
        let path = ask.credential_path.unwrap_or(ask.url.path()).trim_start_matches('/');
        let request = credential::Request {
            protocol: origin.protocol(),
            host: &origin.host_and_port(),
            path: Some(path).filter(|path| !path.is_empty()),
            username: ask.login.map(|login| login.user.as_str()),
            challenges,
            may_ask: !self.wire.settings.in_passing,
        };
        let Some(helper) = credential::fill(git, &request)? else { return Ok(None) };
        if let Some(authorization) = &helper.authorization {
            let authorization = Secret::new(authorization.as_str());
            self.wire.remember_line(&authorization);
            return Ok(Some(Credential {
                authorization,
                place: CredentialSource::Helper,
                helper: Some(helper),
            }));
        }
        let password = Some(Secret::new(helper.password.as_str()));
        let login = Login { user: helper.username.clone(), password };
        let found = self.basic(&login, CredentialSource::Helper);
        Ok(found.map(|found| Credential { helper: Some(helper), ..found }))
    }

    fn basic(&self, login: &Login, place: CredentialSource) -> Option<Credential> {
        let password = login.password.as_ref()?;
        self.wire.remember(password);
        let value = STANDARD.encode(format!("{}:{}", login.user, password.expose()));
        self.wire.remember(&Secret::new(value.as_str()));
        Some(Credential { authorization: Secret::new(format!("Basic {value}")), place, helper: None })
    }

    fn accept(&self, origin: &Origin, used: Credential) {
        if let (Some(git), Some(helper)) = (&self.git, &used.helper) {
            // A helper that cannot store is not an error; nor is one that cannot erase, below.
            let _told = credential::approve(git, helper);
        }
        // The helper is informed once; later requests only use the login.
        self.accepted.add(origin.clone(), Credential { helper: None, ..used });
    }

    fn reject(&self, origin: &Origin, used: &Credential) -> CredentialSource {
        if let (Some(git), Some(helper)) = (&self.git, &used.helper) {
            let _told = credential::reject(git, helper);
        }
        self.accepted.retain(|known, _| known != origin);
        used.place.clone()
    }
}

/// Opens a netrc file: as curl does on Windows, one whose name is `_netrc` if there is none with a dot.
fn open_netrc(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(_) if cfg!(windows) => File::open(path.with_file_name("_netrc")),
        opened => opened,
    }
}

/// Returns `true` if the user's own login may be sent to that origin.
fn is_private(ask: &Ask<'_>) -> bool {
    ask.url.origin().is_private() || ask.home == Some(ask.url.origin())
}

/// Returns `true` for the same host, now with TLS.
fn is_lifted(from: &Origin, to: &Origin) -> bool {
    from.scheme() == Scheme::Http && to.scheme() == Scheme::Https && from.host() == to.host()
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::super::url::Url;
    use super::*;

    #[test]
    fn the_token_is_for_the_hub_s_own_origin() {
        let auth = |hub: &str| {
            let mut settings = Settings { hub: Some(hub.to_owned()), ..Settings::default() };
            settings.tokens.hf_token = Some(Secret::new("hf_secret"));
            Auth::new(Wire::new(settings), None).unwrap()
        };
        let has_token =
            |hub: &str, url: &str| auth(hub).token_for(Url::parse(url).unwrap().origin()).unwrap().is_some();
        assert!(has_token("https://hub.example", "https://hub.example/a/b.git/info/lfs"));
        assert!(has_token("https://hub.example:444/", "https://HUB.example:444/x"));
        assert!(has_token("http://127.0.0.1:8080", "http://127.0.0.1:8080/x"));
        for (hub, other) in [
            ("https://hub.example", "http://hub.example/"),
            ("https://hub.example", "https://hub.example:444/"),
            ("https://hub.example", "https://sub.hub.example/"),
            ("https://hub.example", "https://hub.example.evil/"),
            ("https://hub.example", "https://hub.example@evil.example/"),
            ("http://hub.example", "http://hub.example/"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8081/"),
            ("http://127.0.0.1:8080", "http://localhost:8080/"),
        ] {
            assert!(!has_token(hub, other), "{hub} {other}");
        }
    }

    #[test]
    fn the_hub_is_an_address() {
        let hub = |text: &str| {
            let settings = Settings { hub: Some(text.to_owned()), ..Settings::default() };
            Auth::new(Wire::new(settings), None).map(|auth| auth.hub().to_string())
        };
        assert_eq!(hub("https://mirror.example/hub/").unwrap(), "https://mirror.example/hub");
        assert_eq!(hub("https://u:p@mirror.example").unwrap(), "https://mirror.example/");
        assert!(matches!(hub("mirror.example"), Err(Error::NotAllowed { .. })));
    }
}
