//! [`LfsServer`] finds the locations of LFS objects by the batch API of Git LFS.
//!
//! ```text
//! POST <endpoint>/objects/batch   {"operation", "transfers", "ref", "objects": [{"oid", "size"}], "hash_algo"}
//! 200                             {"transfer", "hash_algo", "objects": [{"oid", "size", "authenticated",
//!                                   "actions": {"download": {"href", "header", "expires_in", "expires_at"}},
//!                                   "error": {"code", "message"}}]}
//! ```
//!
//! Source: `docs/api/batch.md` of Git LFS and the responses of its servers. Invariants: a response is used only for the
//! requested object and its size; the headers of an action go only to the origin of its URL. The module transfers
//! nothing: `object` downloads, `upload` uploads.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ureq::http::{HeaderValue, header};

use super::action::{Action, Get, Handed, ObjectAt, OverSsh};
use super::batch_api::{Answer, Answered, Asked, ObjectError, Question, RawAction, Reference};
use super::cause::BadAnswer;
use super::config::truth;
use super::conversation::Running;
use super::custom_agent::{self, CustomAgent};
use super::endpoint::{Endpoint, Location};
use super::error::{Error, Result};
use super::known::{Expiry, lock};
use super::links::Links;
use super::local;
use super::located::Located;
use super::login::Auth;
use super::message::{Body, MAX_TEXT, Response};
use super::operation::Operation;
use super::origin::{NotAllowed, Scheme};
use super::redirect::{Ask, own_lines};
use super::refusal::{kept, refusal};
use super::retry::patiently;
use super::secret::Secret;
use super::settings::HUB;
use super::ssh::{Granted, grant};
use super::ssh_link::Far;
use super::url::Url;
use super::wire::Wire;
use crate::hash::Oid;
use crate::lfs::Pointer;

pub(super) const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
pub(super) const SERVER: &str = "Git LFS server";

/// The results of a server for the requested objects, in their order.
pub(super) struct Answers {
    /// The URL that responded.
    pub(super) url: Url,
    /// The time of the request.
    pub(super) asked: Instant,
    /// The transfer agent that the server chose, if any.
    pub(super) agent: Option<CustomAgent>,
    pub(super) objects: Vec<Result<Answered>>,
}

/// A server of LFS objects: its location, the reference of the requests, and the login.
pub struct LfsServer<'a> {
    pub(super) auth: Auth<'a>,
    pub(super) endpoint: Endpoint,
    reference: Option<String>,
    /// The running transfer agents.
    pub(super) agents: Running,
    /// The open ssh connections.
    pub(super) links: Links,
    granted: Granted,
    located: Mutex<Located>,
}

impl<'a> LfsServer<'a> {
    /// Returns the server of an endpoint. `reference` is the full name of the branch of the objects, which some servers
    /// require.
    pub fn new(auth: Auth<'a>, endpoint: Endpoint, reference: Option<String>) -> Self {
        let (agents, links, granted) = (Running::default(), Links::default(), Granted::default());
        Self { auth, endpoint, reference, agents, links, granted, located: Mutex::default() }
    }

    /// Returns the reference of the objects.
    pub(super) fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// Returns its endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Requests the locations of objects: one result per pointer, in their order.
    ///
    /// # Errors
    /// An error of the whole request. An object that is not available is an error in its own result.
    pub fn locate(&self, pointers: &[Pointer]) -> Result<Vec<Result<Action>>> {
        let wire = &self.auth.wire;
        wire.watched(|| {
            let mut actions = Vec::with_capacity(pointers.len());
            for some in pointers.chunks(wire.settings.batch_size()) {
                actions.extend(self.ask(some)?);
            }
            Ok(actions)
        })
    }

    /// Announces objects that will be needed: the request for the first of them contains all.
    pub fn expect(&self, pointers: &[Pointer]) {
        lock(&self.located).expect(pointers);
    }

    /// Returns the location of an object. It requests an expired action again, and `refused` too.
    ///
    /// # Errors
    /// The reason why the location is not known.
    pub(super) fn location(&self, pointer: Pointer, refused: Option<&Arc<Get>>) -> Result<ObjectAt> {
        // The lock is held during the request, so that several connections request only once.
        let mut located = lock(&self.located);
        let most = self.auth.wire.settings.batch_size();
        located.location(pointer, refused, most, |pointers| self.ask(pointers))
    }

    /// Returns the locations of objects that need no HTTP request: with a standalone agent, or at the other end of ssh;
    /// per object `None` if nothing is to be done. `None` as a whole if a request is needed.
    ///
    /// # Errors
    /// [`Error::NoAgent`], or an error of ssh.
    pub(super) fn elsewhere(
        &self,
        operation: Operation,
        pointers: &[Pointer],
    ) -> Result<Option<Vec<Option<ObjectAt>>>> {
        let wire = &self.auth.wire;
        let alone = custom_agent::alone(&wire.settings.config, &self.endpoint.address(), operation)?;
        if let Some(agent) = alone {
            let handed = Arc::new(Handed { agent, action: None, expiry: Expiry::never() });
            return Ok(Some(pointers.iter().map(|_| Some(ObjectAt::Agent(Arc::clone(&handed)))).collect()));
        }
        let Some(far) = self.far() else { return Ok(None) };
        let what = (operation, self.reference());
        let found =
            patiently(wire, || self.links.with(far, operation, |link| link.batch(wire, what, pointers)))?;
        let at = |found: Option<OverSsh>| found.map(|found| ObjectAt::Ssh(Arc::new(found)));
        Ok(found.map(|found| found.into_iter().map(at).collect()))
    }

    /// Returns the other end of ssh.
    pub(super) fn far(&self) -> Option<Far<'_>> {
        let Location::Ssh { ssh, guess } = &self.endpoint.location else { return None };
        Some(Far { wire: &self.auth.wire, git: self.auth.git.as_ref(), ssh, guess })
    }

    /// Sends one request.
    fn ask(&self, pointers: &[Pointer]) -> Result<Vec<Result<Action>>> {
        if let Some(found) = self.elsewhere(Operation::Download, pointers)? {
            let found = pointers.iter().zip(found).map(|(pointer, at)| {
                at.map(Action).ok_or(Error::Object { oid: pointer.oid, code: 404, said: None })
            });
            return Ok(found.collect());
        }
        if let Location::Local(path) = &self.endpoint.location {
            let found = local::find(self.auth.git.as_ref(), &self.endpoint, path, pointers)?;
            return Ok(found.into_iter().map(|file| Ok(Action(ObjectAt::File(file?)))).collect());
        }
        let Answers { url, asked, agent, objects } =
            self.question(Operation::Download, self.reference(), pointers)?;
        let actions = pointers.iter().zip(objects);
        let of = (asked, agent.as_ref());
        Ok(actions.map(|(pointer, object)| action(&self.auth.wire, &url, pointer, object?, of)).collect())
    }

    /// Sends one request, for any operation.
    ///
    /// # Errors
    /// The reason why it has no response.
    pub(super) fn question(
        &self,
        operation: Operation,
        reference: Option<&str>,
        pointers: &[Pointer],
    ) -> Result<Answers> {
        let objects =
            pointers.iter().map(|pointer| Asked { oid: pointer.oid.to_string(), size: pointer.size });
        let config = &self.auth.wire.settings.config;
        let native = operation.transfers();
        let agents = custom_agent::offered(config, operation).into_iter();
        // Transfers that this program does itself need no agent, even if git-lfs uses one.
        let agents = agents.filter(|name| !native.contains(&name.as_str()));
        let transfers: Vec<String> = native.iter().map(|name| (*name).to_owned()).chain(agents).collect();
        let question = Question {
            operation,
            transfers: &transfers,
            reference: reference.map(|name| Reference { name }),
            objects: objects.collect(),
            hash_algo: "sha256",
        };
        let failed = |err: serde_json::Error| Error::Io {
            action: "write the question to the LFS server",
            source: err.into(),
        };
        let body = serde_json::to_vec(&question).map_err(failed)?;
        let (answer, url, asked) = patiently(&self.auth.wire, || {
            let ask = self.api_request("/objects/batch", &body, operation)?;
            let asked = Instant::now();
            let response = self.send(ask, operation)?;
            if response.status != 200 {
                return Err(refusal(&self.auth.wire, response, None));
            }
            let url = response.url.clone();
            Ok((response.bytes(MAX_TEXT, SERVER)?, url, asked))
        })?;
        let bad = |source| Error::BadAnswer { url: url.clone(), interface: SERVER, source };
        let answer: Answer = serde_json::from_slice(&answer).map_err(|err| bad(BadAnswer::Json(err)))?;
        if !matches!(answer.hash_algo.as_deref(), None | Some("" | "sha256")) {
            return Err(bad(BadAnswer::HashAlgo));
        }
        let transfer = answer.transfer.unwrap_or_default();
        // As in git-lfs, a transfer that was not offered means `basic`, if its URLs permit that.
        let is_offered = transfer.is_empty() || transfers.contains(&transfer);
        if !is_offered && !answer.objects.iter().all(Answered::is_by_http) {
            return Err(bad(BadAnswer::Transfer));
        }
        let is_native = !is_offered || native.contains(&transfer.as_str());
        let agent = Some(transfer).filter(|name| !name.is_empty() && !is_native);
        let agent = agent.and_then(|name| custom_agent::named(config, &name, operation));
        let mut answered: HashMap<String, Answered> =
            answer.objects.into_iter().map(|object| (object.oid.clone(), object)).collect();
        let objects = pointers.iter().map(|pointer| {
            let object = answered.remove(&pointer.oid.to_string());
            object.ok_or(BadAnswer::Missing(pointer.oid)).map_err(bad)
        });
        let objects = objects.collect();
        Ok(Answers { url, asked, agent, objects })
    }

    /// Returns a request to the URL of an action.
    pub(super) fn to_action<'r>(&'r self, get: &Get) -> Ask<'r> {
        let endpoint = &self.endpoint;
        let is_beside = endpoint.origin() == Some(get.url.origin());
        Ask {
            own: get.lines.clone(),
            home: endpoint.home.as_ref(),
            login: endpoint.login.as_ref().filter(|_| is_beside),
            credential_path: endpoint.credential_path.as_deref(),
            may_log_in: is_beside && !get.is_authenticated,
            ..Ask::get(get.url.clone())
        }
    }

    /// Sends a request to the interface. A login from ssh may permit less than a token of the user: if an upload is
    /// refused with it, the user's own login is tried.
    fn send(&self, ask: Ask<'_>, operation: Operation) -> Result<Response> {
        let response = self.auth.send(&ask)?;
        let is_granted = ask.own.iter().any(|(name, _)| name == header::AUTHORIZATION);
        if operation == Operation::Download || !is_granted || !matches!(response.status, 401 | 403) {
            return Ok(response);
        }
        let own = ask.own.iter().filter(|(name, _)| name != header::AUTHORIZATION).cloned().collect();
        match self.auth.send(&Ask { own, ..ask }) {
            Ok(answer) if !matches!(answer.status, 401 | 403) => Ok(answer),
            // No other login is known: the first refusal is the result.
            _ => Ok(response),
        }
    }

    /// Returns a request to the interface of an endpoint.
    fn api_request<'r>(&'r self, suffix: &str, body: &'r [u8], operation: Operation) -> Result<Ask<'r>> {
        let (auth, endpoint) = (&self.auth, &self.endpoint);
        let (base, lines) = match &endpoint.location {
            Location::Http(url) => (url.clone(), Vec::new()),
            Location::Ssh { ssh, guess } => {
                match grant(&auth.wire, auth.git.as_ref(), &self.granted, (ssh, operation), guess)? {
                    Some(grant) => {
                        let url = grant.href.as_deref().map_or(Ok(guess.clone()), Url::parse_foreign);
                        let what = || "the LFS endpoint that ssh gave".to_owned();
                        (url.map_err(|source| Error::NotAllowed { what: what(), source })?, grant.header)
                    }
                    None => (guess.clone(), Vec::new()),
                }
            }
            Location::Local(_) | Location::Agent(_) => {
                return Err(Error::NoEndpoint { remote: endpoint.to_string() });
            }
        };
        let url = base.with_suffix(suffix);
        let own = own_lines(&lines).map_err(|source| Error::bad_answer(&url, SERVER, source))?;
        Ok(Ask {
            own,
            body: Body::Post(body),
            home: endpoint.home.as_ref(),
            login: endpoint.login.as_ref(),
            credential_path: endpoint.credential_path.as_deref(),
            may_log_in: true,
            is_download: operation == Operation::Download,
            ..Ask::get(url).plain(header::ACCEPT, HeaderValue::from_static(MEDIA_TYPE)).plain(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/vnd.git-lfs+json; charset=utf-8"),
            )
        })
    }
}

fn action(
    wire: &Wire<'_>,
    batch: &Url,
    pointer: &Pointer,
    mut object: Answered,
    (asked, agent): (Instant, Option<&CustomAgent>),
) -> Result<Action> {
    let oid = pointer.oid;
    let bad = |source| Error::BadAnswer { url: batch.clone(), interface: SERVER, source };
    if let Some(ObjectError { code, message }) = object.error {
        let said = message.and_then(|message| kept(wire, &message));
        return Err(Error::Object { oid, code: code.unwrap_or(0), said });
    }
    // Some servers leave the size at 0 in their response.
    if let Some(got) = object.size.filter(|size| *size != pointer.size && *size != 0) {
        return Err(Error::WrongSize { oid, expected: pointer.size, got });
    }
    let raw = object.actions().download.ok_or_else(|| bad(BadAnswer::NoAction(oid)))?;
    if let Some(agent) = agent {
        return Ok(Action(ObjectAt::Agent(Arc::new(raw.handed(wire, agent, asked)))));
    }
    let get = request(wire, batch, raw, pointer, object.authenticated, (asked, Operation::Download))?;
    Ok(Action(ObjectAt::Server(Arc::new(get))))
}

/// Returns the request of an action.
pub(super) fn request(
    wire: &Wire<'_>,
    batch: &Url,
    raw: RawAction,
    pointer: &Pointer,
    authenticated: Option<bool>,
    (asked, operation): (Instant, Operation),
) -> Result<Get> {
    let url = address(wire, batch, &raw, (pointer.oid, operation))?;
    let lines: Vec<_> =
        raw.header.unwrap_or_default().into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
    for (_, value) in &lines {
        wire.remember_line(value);
    }
    if let Some(query) = url.query() {
        wire.remember(query);
    }
    let bad = |source| Error::BadAnswer { url: batch.clone(), interface: SERVER, source };
    Ok(Get {
        url,
        lines: own_lines(&lines).map_err(bad)?,
        is_authenticated: authenticated == Some(true),
        expiry: Expiry::new(asked, raw.expires_in, raw.expires_at.as_deref()),
    })
}

/// Returns the URL of an action. An encrypted interface may not lead to plain http with headers that contain a login.
fn address(wire: &Wire<'_>, batch: &Url, raw: &RawAction, (oid, operation): (Oid, Operation)) -> Result<Url> {
    let refused = |source| Error::NotAllowed { what: format!("the URL of object {oid}"), source };
    let config = &wire.settings.config;
    let href = at_mirror(wire, batch, &raw.href);
    let mut url = Url::parse_foreign(&href).map_err(refused)?;
    if config.get("lfs.transfer.enablehrefrewrite").and_then(truth) == Some(true) {
        let rewritten = config.rewritten(&href, operation == Operation::Upload);
        if rewritten != *href {
            // A login in it is the user's, for a remote, and not for an object.
            url = Url::parse(&rewritten).map_err(refused)?.without_login();
        }
    }
    let is_downgrade = (batch.origin().scheme(), url.origin().scheme()) == (Scheme::Https, Scheme::Http);
    let has_lines = raw.header.as_ref().is_some_and(|header| !header.is_empty());
    if is_downgrade && has_lines && !url.origin().is_loopback() {
        return Err(refused(NotAllowed::Downgrade));
    }
    Ok(url)
}

/// Replaces a URL of the public Hub from a mirror by one of the mirror, as `fix_hf_endpoint_in_url` of
/// `huggingface_hub` does.
fn at_mirror<'h>(wire: &Wire<'_>, batch: &Url, href: &'h str) -> Cow<'h, str> {
    let mirrored = || {
        let mirror = wire.settings.hub.as_deref()?.trim_end_matches('/');
        let path = href.strip_prefix(HUB).filter(|path| path.is_empty() || path.starts_with(['/', '?']))?;
        let is_mirror = Url::parse(mirror).is_ok_and(|mirror| mirror.origin() == batch.origin());
        is_mirror.then(|| format!("{mirror}{path}"))
    };
    mirrored().map_or(Cow::Borrowed(href), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    fn answered(json: &str) -> Result<Action> {
        let wire = Wire::new(Settings::default());
        let pointer = Pointer { oid: Oid::of(b"abc"), size: 3 };
        let batch = Url::parse("https://h/objects/batch").unwrap();
        action(&wire, &batch, &pointer, serde_json::from_str(json).unwrap(), (Instant::now(), None))
    }

    fn get(action: Action) -> Arc<Get> {
        let ObjectAt::Server(get) = action.0 else { panic!("{action:?}") };
        get
    }

    /// If the user asks for it, by the aliases of the URLs that the user gives.
    #[test]
    fn the_url_of_an_action_is_rewritten_as_a_user_wants() {
        let raw = |href: &str| serde_json::from_value(serde_json::json!({ "href": href })).unwrap();
        let at = |config: &[(&str, &str)], operation, href| {
            let config = super::super::config::Config::new(config.iter().copied());
            let wire = Wire::new(Settings::default().with_config(config));
            let batch = Url::parse("https://h/objects/batch").unwrap();
            address(&wire, &batch, &raw(href), (Oid::of(b"abc"), operation)).map(|url| url.to_string())
        };
        let alias = [
            ("url.https://in.example/.insteadOf", "https://s.example/"),
            ("url.https://push.example/.pushInsteadOf", "https://s.example/"),
        ];
        let asked = [&alias[..], &[("lfs.transfer.enablehrefrewrite", "true")]].concat();
        let (down, up) = (Operation::Download, Operation::Upload);
        assert_eq!(at(&alias, down, "https://s.example/o").unwrap(), "https://s.example/o");
        assert_eq!(at(&asked, down, "https://s.example/o").unwrap(), "https://in.example/o");
        assert_eq!(at(&asked, up, "https://s.example/o").unwrap(), "https://push.example/o");
        assert_eq!(at(&asked, up, "https://other.example/o").unwrap(), "https://other.example/o");
        let login = [&asked[1..], &[("url.https://me:secret@in.example/.insteadOf", "https://s.example/")]];
        assert_eq!(at(&login.concat(), down, "https://s.example/o").unwrap(), "https://in.example/o");
        assert!(at(&asked, down, "https://me:x@s.example/o").is_err());
    }

    #[test]
    fn an_action_of_each_kind_of_server() {
        let plain =
            answered(r#"{"oid":"x","size":3,"actions":{"download":{"href":"https://s/o","header":null}}}"#);
        let plain = get(plain.unwrap());
        assert!(!plain.is_authenticated && !plain.expiry.is_over() && plain.lines.is_empty());
        let old = answered(r#"{"oid":"x","_links":{"download":{"href":"https://s/o","expires_in":3600}}}"#);
        assert!(!get(old.unwrap()).expiry.is_over());
        let zero = answered(r#"{"oid":"x","size":0,"actions":{"download":{"href":"https://s/o"}}}"#);
        assert!(zero.is_ok(), "{zero:?}");
        let over = answered(
            r#"{"oid":"x","authenticated":true,"actions":{"download":
            {"href":"https://s/o","header":{"Authorization":"RemoteAuth x"},"expires_in":-3}}}"#,
        );
        let over = get(over.unwrap());
        assert!(over.expiry.is_over() && over.is_authenticated && over.lines.len() == 1);
        assert!(!format!("{over:?}").contains("RemoteAuth"));
    }

    #[test]
    fn a_mirror_of_the_hub_means_itself() {
        let wire =
            |hub: Option<&str>| Wire::new(Settings { hub: hub.map(str::to_owned), ..Settings::default() });
        let batch = |text: &str| Url::parse(text).unwrap();
        let href =
            |hub: Option<&str>, at: &str, href: &str| at_mirror(&wire(hub), &batch(at), href).into_owned();
        let mirror = Some("https://mirror.example/hub/");
        let public = "https://huggingface.co/api/complete?x=1";
        let at = "https://mirror.example/hub/a/b.git/info/lfs/objects/batch";
        assert_eq!(href(mirror, at, public), "https://mirror.example/hub/api/complete?x=1");
        // Other servers, a setup without a mirror, and other addresses are not affected.
        assert_eq!(href(mirror, "https://other.example/x", public), public);
        assert_eq!(href(None, "https://huggingface.co/x", public), public);
        for other in ["https://huggingface.com/x", "https://huggingface.co.evil/x", "https://cdn.example/x"] {
            assert_eq!(href(mirror, at, other), other);
        }
    }

    #[test]
    fn an_action_that_is_not_taken() {
        let with =
            |action: &str| answered(&format!(r#"{{"oid":"x","size":3,"actions":{{"download":{action}}}}}"#));
        for href in ["file:///etc/passwd", "ftp://h/", "https://u:p@h/", "https://h/\\r\\nX: y", "o"] {
            let err = with(&format!(r#"{{"href":"{href}"}}"#)).unwrap_err();
            assert!(matches!(err, Error::NotAllowed { .. }), "{href}: {err}");
        }
        let clear = with(r#"{"href":"http://h/","header":{"Authorization":"x"}}"#).unwrap_err();
        assert!(matches!(clear, Error::NotAllowed { source: NotAllowed::Downgrade, .. }));
        assert!(with(r#"{"href":"http://h/"}"#).is_ok());
        let line = with(r#"{"href":"https://h/","header":{"X-A":"a\r\nHost: evil"}}"#).unwrap_err();
        assert!(matches!(line, Error::BadAnswer { source: BadAnswer::Header, .. }), "{line}");
        let size =
            answered(r#"{"oid":"x","size":4,"actions":{"download":{"href":"https://h/"}}}"#).unwrap_err();
        assert!(matches!(size, Error::WrongSize { expected: 3, got: 4, .. }), "{size}");
        let gone = answered(r#"{"oid":"x","size":3,"error":{"code":410,"message":"removed"}}"#).unwrap_err();
        assert!(matches!(gone, Error::Object { code: 410, said: Some(_), .. }), "{gone}");
        for code in [-1, 9_000_000_000_i64] {
            let odd = answered(&format!(r#"{{"oid":"x","error":{{"code":{code},"message":"odd"}}}}"#));
            assert!(matches!(odd, Err(Error::Object { code: got, .. }) if got == code), "{odd:?}");
        }
        let none = answered(r#"{"oid":"x","size":3}"#).unwrap_err();
        assert!(matches!(none, Error::BadAnswer { source: BadAnswer::NoAction(_), .. }), "{none}");
    }
}
