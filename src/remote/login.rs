//! Who we say we are: which login goes with a request, and in which order they are tried.
//!
//! ```text
//! 1. the Hub's token                 for the Hub's own origin, at once
//! 2. the netrc file                  for its host, at the usual port or that of the person's own remote
//! 3. the address: user:password@     for its origin
//! 4. git credential fill             for the origin; approved after 2xx, rejected after 401
//! ```
//!
//! Source: `lfsapi/auth.go` of Git LFS, gitcredentials(7), git-credential(1). Invariants: a login goes to the origin it was
//! found for and to no other; none goes over plain http, but to this machine, and one of the person's own (not the
//! token) to the origin that the person's own remote names; the first request is bare unless there is a token, or
//! `lfs.<url>.access` is `basic`. A field that could add a line to git's credential protocol is refused.

use std::fs::File;
use std::io::Read as _;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::header;

use super::cause::CredentialPlace;
use super::client::{Client, lock};
use super::error::{Error, Result};
use super::exchange::Response;
use super::netrc;
use super::origin::{Origin, Scheme};
use super::redirect::Ask;
use super::secret::Secret;
use super::url::Login;

/// A netrc file longer than this is none.
const MAX_NETRC: u64 = 1 << 20;

/// How much git's credential helper may say.
const MAX_HELPER: u64 = 64 << 10;

/// The logins that were accepted, by origin.
#[derive(Default)]
pub(super) struct Accepted(Mutex<Vec<(Origin, Credential)>>);

/// One way to say who we are.
#[derive(Clone)]
pub(super) struct Credential {
    /// The value of `Authorization`.
    authorization: Secret,
    place: CredentialPlace,
    /// What git said, to tell it how it went.
    helper: Option<Secret>,
}

/// Where a login of the person's own may be.
#[derive(Clone, Copy)]
enum Place {
    Netrc,
    Address,
    Helper,
}

/// The places in the order in which they are tried.
const PLACES: [Place; 3] = [Place::Netrc, Place::Address, Place::Helper];

impl Client<'_> {
    /// Asks, with a login where one is wanted and there is one.
    ///
    /// # Errors
    /// As [`Client::follow`], and [`Error::Unauthorized`] or another refusal for a 401. Any other status is an answer.
    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<Response> {
        let has_own = |line: &(header::HeaderName, _)| line.0 == header::AUTHORIZATION;
        if !ask.may_log_in || ask.own.iter().any(has_own) {
            return self.follow(ask, None);
        }
        let extra = self.settings.extra_headers(&ask.url, ask.home);
        if extra.iter().any(|(name, _)| name.eq_ignore_ascii_case(header::AUTHORIZATION.as_str())) {
            let response = self.follow(ask, None)?;
            let is_refused = response.status == 401;
            let refusal = |response| Err(self.refusal(response, Some(CredentialPlace::ExtraHeader)));
            return if is_refused { refusal(response) } else { Ok(response) };
        }
        let mut ask = ask.clone();
        let mut places = PLACES.into_iter();
        let mut used = self.first(&ask)?;
        if used.is_none() && self.settings.is_basic(&ask.url) {
            used = self.next(&mut places, &ask, &[])?;
        }
        let mut was_lifted = false;
        loop {
            let response = self.follow(&ask, used.as_ref().map(|used| &used.authorization))?;
            if response.status != 401 {
                if let Some(used) = used.filter(|_| (200..300).contains(&response.status)) {
                    self.accept(ask.url.origin(), used);
                }
                return Ok(response);
            }
            if response.url.origin() != ask.url.origin() {
                // From http to https of the same host: the login is asked for anew, for the new origin.
                if was_lifted || !is_lifted(ask.url.origin(), response.url.origin()) {
                    return Err(self.refusal(response, None));
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
            if matches!(rejected, Some(CredentialPlace::Token(_))) {
                return Err(self.refusal(response, rejected));
            }
            used = self.next(&mut places, &ask, &challenges)?;
            if used.is_none() {
                return Err(self.refusal(response, rejected));
            }
        }
    }

    /// The Hub's token, if this is the origin it belongs to.
    ///
    /// # Errors
    /// [`Error::Token`]
    pub(super) fn token_for(&self, origin: &Origin) -> Result<Option<Credential>> {
        if origin != self.hub().origin() || !origin.is_private() {
            return Ok(None);
        }
        Ok(self.token()?.map(|token| Credential {
            authorization: Secret::new(format!("Bearer {}", token.secret.expose())),
            place: CredentialPlace::Token(token.place.clone()),
            helper: None,
        }))
    }

    /// What is sent without being asked for.
    fn first(&self, ask: &Ask<'_>) -> Result<Option<Credential>> {
        let origin = ask.url.origin();
        let known =
            lock(&self.accepted.0).iter().find(|(known, _)| known == origin).map(|(_, used)| used.clone());
        match known {
            Some(known) if is_private(ask) => Ok(Some(known)),
            _ => self.token_for(origin),
        }
    }

    fn next(
        &self,
        places: &mut impl Iterator<Item = Place>,
        ask: &Ask<'_>,
        challenges: &[String],
    ) -> Result<Option<Credential>> {
        if !is_private(ask) {
            return Ok(None);
        }
        for place in places {
            let found = match place {
                Place::Netrc => self.in_netrc(ask),
                Place::Address => self.in_address(ask),
                Place::Helper => self.of_helper(ask, challenges)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn in_netrc(&self, ask: &Ask<'_>) -> Option<Credential> {
        let (path, origin) = (self.settings.netrc.as_ref()?, ask.url.origin());
        // The file names hosts, not ports: another port than the usual one is meant only where the person's remote has it.
        if !origin.has_usual_port() && ask.home != Some(origin) {
            return None;
        }
        let mut text = String::new();
        // A file that is not there or cannot be read holds no login; git and curl say nothing of it either.
        let read = File::open(path).and_then(|file| file.take(MAX_NETRC).read_to_string(&mut text));
        let user = ask.login.map(|login| login.user.as_str());
        read.ok()?;
        let login = netrc::find(&text, origin.host(), user)?;
        self.basic(&login, CredentialPlace::Netrc)
    }

    fn in_address(&self, ask: &Ask<'_>) -> Option<Credential> {
        self.basic(ask.login?, CredentialPlace::Address)
    }

    fn of_helper(&self, ask: &Ask<'_>, challenges: &[String]) -> Result<Option<Credential>> {
        let Some(git) = &self.git else { return Ok(None) };
        let input = helper_input(ask, challenges)?;
        let answer = git.command("credential").args(["fill"]).input(input.expose()).limit(MAX_HELPER).run();
        // No helper, no terminal, or a person who would not say: then there is no login.
        let Ok(answer) = answer else { return Ok(None) };
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let field = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            lines.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next_back()
        };
        let (Some(user), Some(password)) = (field("username"), field("password")) else { return Ok(None) };
        let login = Login { user, password: Some(Secret::new(password)) };
        let found = self.basic(&login, CredentialPlace::Helper);
        Ok(found.map(|found| Credential { helper: Some(Secret::new(text)), ..found }))
    }

    fn basic(&self, login: &Login, place: CredentialPlace) -> Option<Credential> {
        let password = login.password.as_ref()?;
        self.remember(password);
        let value = STANDARD.encode(format!("{}:{}", login.user, password.expose()));
        self.remember(&Secret::new(value.as_str()));
        Some(Credential { authorization: Secret::new(format!("Basic {value}")), place, helper: None })
    }

    fn accept(&self, origin: &Origin, used: Credential) {
        self.tell_helper("approve", &used);
        let mut accepted = lock(&self.accepted.0);
        if !accepted.iter().any(|(known, _)| known == origin) {
            // It is told once; later requests only use it.
            accepted.push((origin.clone(), Credential { helper: None, ..used }));
        }
    }

    fn reject(&self, origin: &Origin, used: &Credential) -> CredentialPlace {
        self.tell_helper("reject", used);
        lock(&self.accepted.0).retain(|(known, _)| known != origin);
        used.place.clone()
    }

    fn tell_helper(&self, verdict: &str, used: &Credential) {
        if let (Some(git), Some(helper)) = (&self.git, &used.helper) {
            let command = git.command("credential").args([verdict]).input(helper.expose()).limit(MAX_HELPER);
            // A helper that cannot store is no reason to stop.
            let _told = command.run();
        }
    }
}

/// May a login of the person's own go there?
fn is_private(ask: &Ask<'_>) -> bool {
    ask.url.origin().is_private() || ask.home == Some(ask.url.origin())
}

/// The same host, by TLS now.
fn is_lifted(from: &Origin, to: &Origin) -> bool {
    from.scheme() == Scheme::Http && to.scheme() == Scheme::Https && from.host() == to.host()
}

/// What `git credential fill` reads.
fn helper_input(ask: &Ask<'_>, challenges: &[String]) -> Result<Secret> {
    let origin = ask.url.origin();
    let mut input = String::new();
    let mut line = |field: &'static str, value: &str| {
        if value.contains(['\n', '\r', '\0']) {
            return Err(Error::CredentialField {
                field: field.trim_end_matches("[]"),
                origin: origin.clone(),
            });
        }
        input.push_str(field);
        input.push('=');
        input.push_str(value);
        input.push('\n');
        Ok(())
    };
    line("protocol", origin.protocol())?;
    line("host", &origin.host_and_port())?;
    let path = ask.credential_path.unwrap_or(ask.url.path()).trim_start_matches('/');
    if !path.is_empty() {
        line("path", path)?;
    }
    if let Some(login) = ask.login {
        line("username", &login.user)?;
    }
    for challenge in challenges {
        line("wwwauth[]", challenge)?;
    }
    input.push('\n');
    Ok(Secret::new(input))
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::super::url::Url;
    use super::*;

    fn ask(text: &str) -> Ask<'static> {
        Ask::get(Url::parse(text).unwrap())
    }

    #[test]
    fn a_line_end_cannot_reach_the_credential_protocol() {
        let ok = helper_input(&ask("https://h:8443/a/b"), &["Basic realm=x".to_owned()]).unwrap();
        assert_eq!(ok.expose(), "protocol=https\nhost=h:8443\npath=a/b\nwwwauth[]=Basic realm=x\n\n");
        for user in ["a\nhost=evil", "a\rb", "a\0b"] {
            let login = Login { user: user.to_owned(), password: None };
            let ask = Ask { login: Some(&login), ..ask("https://h/") };
            let err = helper_input(&ask, &[]).unwrap_err();
            assert!(matches!(err, Error::CredentialField { field: "username", .. }), "{err}");
        }
        let encoded = Url::parse("https://a%0Ahost=evil@h/").unwrap();
        let ask = Ask { login: encoded.login(), ..Ask::get(encoded.without_login()) };
        assert!(helper_input(&ask, &[]).is_err());
        let ask = Ask { credential_path: Some("a\nprotocol=http"), ..Ask::get(encoded.without_login()) };
        assert!(helper_input(&ask, &[]).is_err());
    }

    #[test]
    fn the_token_is_for_the_hub_s_own_origin() {
        let client = |hub: &str| {
            let mut settings = Settings { hub: Some(hub.to_owned()), ..Settings::default() };
            settings.tokens.hf_token = Some(Secret::new("hf_secret"));
            Client::new(settings, None).unwrap()
        };
        let has_token = |hub: &str, url: &str| {
            client(hub).token_for(Url::parse(url).unwrap().origin()).unwrap().is_some()
        };
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
}
