//! [`Hub`] is a local server like the Hugging Face Hub, with faults.
//!
//! It uses a real `git http-backend` and files; it implements the LFS API, the links to content, the REST responses and
//! the faults itself. `check` tests it with real git, git-lfs and curl. git, LFS and the API are at [`Hub::endpoint`];
//! content is at [`Hub::content_origin`], on another port, as the Hub's is on other hosts, and a token is refused
//! there. Every origin responds to every path, so that a redirect may lead to any of them; each also works as a proxy
//! for `http_proxy`.
//!
//! ```ignore
//! let hub = Hub::start();
//! let mut model = Builder::new();
//! model.file("config.json", "{}").lfs("pytorch_model.bin", weights).commit("first").tag("v1");
//! model.pull_request(42).lfs("model.safetensors", converted).commit("Adding `safetensors` variant of this model");
//! hub.add_model("acme/bert", &model);
//! let oid = model.oid("pytorch_model.bin");
//!
//! // A fault: its kind, its place, the skipped requests (`after`), the number of requests (`times`; by default all).
//! hub.inject(Fault::Cut(1000).at(Place::content(&oid)).times(1));
//! hub.inject(Fault::RefuseGzip.at(Place::upload_pack("acme/bert")));
//!
//! git(&["clone", &hub.url("acme/bert")]);                 // and HF_ENDPOINT is hub.endpoint()
//!
//! assert_eq!(hub.fetched(&oid), [0..1000, 1000..4096]);   // the parts of an object that were sent, by request
//! assert_eq!(hub.sent_twice(&oid), 0);
//! assert!(hub.requests().iter().all(|seen| seen.origin == hub.endpoint() || !seen.carries("hf_secret")));
//! ```
//!
//! Invariant: a hub listens only on loopback addresses, its files are in one temporary directory, and both are gone
//! when it is dropped. It needs no other module of the tests, so that a bench can include it:
//!
//! `#[path = "../../tests/hub/mod.rs"] #[expect(dead_code, unused_imports, reason = "a part is needed")] mod hub;`
#![expect(clippy::disallowed_methods, reason = "git is the server")]

mod access;
mod api;
mod builder;
mod content;
mod discussions;
mod fault;
mod git;
mod http;
mod lfs;
mod listing;
mod log;
mod model;
mod nginx;
mod oidc;
mod resolve;
mod routes;
mod send;
mod server;
mod talk;
mod throttle;
mod time;
mod transfer;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) use access::{Access, Right};
pub(crate) use builder::{Builder, Content, pointer};
pub(crate) use content::{Signing, oid_of};
pub(crate) use discussions::{Discussion, Status};
pub(crate) use fault::{Fault, Injection, Place, To};
pub(crate) use git::on_path;
pub(crate) use lfs::Expiry;
pub(crate) use log::Seen;
pub(crate) use nginx::Nginx;
pub(crate) use oidc::Trust;

use access::{Token, Tokens};
use fault::Faults;
use log::Log;
use model::Model;
use server::Server;
use throttle::Throttle;

/// The state that all threads of a hub share.
struct State {
    /// Its directory, without links.
    home: PathBuf,
    models: Mutex<BTreeMap<String, Arc<Model>>>,
    tokens: Tokens,
    faults: Faults,
    log: Log,
    throttle: Throttle,
    server: Server,
    settings: Mutex<Settings>,
}

/// The settings of a hub.
struct Settings {
    /// The origin of git, LFS and the API; empty before the start.
    main_origin: String,
    /// The origin of links to content.
    content_origin: String,
    signing: Signing,
    expiry: Expiry,
    /// Objects longer than this are uploaded in parts of this size.
    part: Option<u64>,
    /// The transfer that is chosen if the client offers it, and the secret in the header of its actions.
    transfer: Option<(String, String)>,
    /// `true` if models report Xet storage.
    is_xet: bool,
    /// Until this time, all requests are refused; `true` if the refusals state the time.
    closed: Option<(Instant, bool)>,
    /// The identity service that is trusted.
    trust: Option<Trust>,
}

impl State {
    fn new(home: PathBuf) -> Self {
        let settings = Settings {
            main_origin: String::new(),
            content_origin: String::new(),
            signing: Signing::Query,
            expiry: Expiry::In,
            part: None,
            transfer: None,
            is_xet: false,
            closed: None,
            trust: None,
        };
        Self {
            home,
            models: Mutex::default(),
            tokens: Tokens::default(),
            faults: Faults::default(),
            log: Log::new(),
            throttle: Throttle::default(),
            server: Server::default(),
            settings: Mutex::new(settings),
        }
    }

    fn home(&self) -> &Path {
        &self.home
    }

    fn repositories(&self) -> PathBuf {
        self.home.join("repositories")
    }

    fn git_dir(&self, id: &str) -> PathBuf {
        self.repositories().join(format!("{id}.git"))
    }

    fn model(&self, id: &str) -> Option<Arc<Model>> {
        self.models.lock().unwrap().get(id).cloned()
    }

    fn main_origin(&self) -> String {
        self.settings.lock().unwrap().main_origin.clone()
    }

    fn content_origin(&self) -> String {
        self.settings.lock().unwrap().content_origin.clone()
    }

    fn signing(&self) -> Signing {
        self.settings.lock().unwrap().signing
    }

    fn expiry(&self) -> Expiry {
        self.settings.lock().unwrap().expiry
    }

    fn part(&self) -> Option<u64> {
        self.settings.lock().unwrap().part
    }

    fn trust(&self) -> Option<Trust> {
        self.settings.lock().unwrap().trust.clone()
    }

    /// Returns how long the hub is still closed, and whether its refusals state the time.
    fn closed_for(&self) -> Option<(Duration, bool)> {
        let (until, says_when) = self.settings.lock().unwrap().closed?;
        let left = until.saturating_duration_since(Instant::now());
        Some((left, says_when)).filter(|(left, _)| !left.is_zero())
    }

    /// Returns the key of signatures: only this process knows the name of the directory.
    fn secret(&self) -> &str {
        self.home.to_str().unwrap()
    }
}

/// A running hub.
pub(crate) struct Hub {
    state: Arc<State>,
    /// The directory of its files, which exists until it is dropped.
    _dir: TempDir,
}

impl Hub {
    pub(crate) fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let home = dir.path().canonicalize().unwrap();
        fs::write(home.join("gitconfig"), "").unwrap();
        let state = Arc::new(State::new(home));
        let hub = Self { state, _dir: dir };
        let (main, content) = (hub.open_origin(), hub.open_origin());
        let mut settings = hub.state.settings.lock().unwrap();
        (settings.main_origin, settings.content_origin) = (main, content);
        drop(settings);
        hub
    }

    /// Returns its main origin, `http://127.0.0.1:PORT`, the value for `HF_ENDPOINT`.
    pub(crate) fn endpoint(&self) -> String {
        self.state.main_origin()
    }

    /// Returns the URL of a model's repository.
    pub(crate) fn url(&self, id: &str) -> String {
        format!("{}/{id}", self.endpoint())
    }

    /// Opens another origin on another port, with the same responses. Returns its URL.
    pub(crate) fn open_origin(&self) -> String {
        Server::listen(&self.state, "127.0.0.1").unwrap()
    }

    /// Opens an origin at another address, if this machine has it: Linux has `127.0.0.2`.
    pub(crate) fn open_origin_at(&self, host: &str) -> Option<String> {
        Server::listen(&self.state, host).ok()
    }

    /// Returns the origin of the links to content; by default one of its own, as the Hub's.
    pub(crate) fn content_origin(&self) -> String {
        self.state.content_origin()
    }

    /// Sets the origin of the links to content, which may also be [`Self::endpoint`].
    pub(crate) fn serve_content_from(&self, origin: &str) {
        origin.clone_into(&mut self.state.settings.lock().unwrap().content_origin);
    }

    /// Sets the form in which a batch states the end of its actions; by default `expires_in`.
    pub(crate) fn say_expiry(&self, expiry: Expiry) {
        self.state.settings.lock().unwrap().expiry = expiry;
    }

    /// Lets capable clients upload objects longer than this in parts of this size; by default, all are uploaded whole.
    pub(crate) fn take_parts(&self, size: Option<u64>) {
        self.state.settings.lock().unwrap().part = size;
    }

    /// Refuses all requests for this time as over the limit, as the Hub does, and states the time.
    pub(crate) fn close_for(&self, time: Duration) {
        self.state.settings.lock().unwrap().closed = Some((Instant::now() + time, true));
    }

    /// Disables or enables the discussions and pull requests of a model.
    pub(crate) fn close_discussions(&self, id: &str, is_closed: bool) {
        self.model(id).is_closed.store(is_closed, Ordering::Relaxed);
    }

    /// Limits the rate of all content together, in bytes per second.
    pub(crate) fn throttle(&self, bytes_a_second: Option<u64>) {
        self.state.throttle.set(bytes_a_second);
    }

    /// Adds a model, or adds the commits of a [`Builder::more`] to an existing one.
    pub(crate) fn add_model(&self, id: &str, builder: &Builder) {
        self.open_model(id).take(builder);
    }

    /// Adds a model from the git directory of a repository: all its refs, and the objects of its LFS storage.
    pub(crate) fn import_model(&self, id: &str, git_dir: &Path) {
        self.open_model(id).import(git_dir);
    }

    fn open_model(&self, id: &str) -> Arc<Model> {
        let mut models = self.state.models.lock().unwrap();
        let model = models.entry(id.to_owned());
        Arc::clone(model.or_insert_with(|| Arc::new(Model::create(self.state.home(), id))))
    }

    #[track_caller]
    fn model(&self, id: &str) -> Arc<Model> {
        self.state.model(id).unwrap()
    }

    /// Returns the bare repository of a model.
    pub(crate) fn git_dir(&self, id: &str) -> PathBuf {
        self.model(id).git_dir.clone()
    }

    /// Returns the object id of a revision of a model, such as `refs/pr/42` or `main:config.json`.
    pub(crate) fn rev(&self, id: &str, name: &str) -> Option<String> {
        self.model(id).rev(name)
    }

    /// Returns the path of a model's LFS object, which need not exist.
    pub(crate) fn object(&self, id: &str, oid: &str) -> PathBuf {
        self.model(id).object(oid)
    }

    /// Adds an LFS object to a model, without a commit. Returns its object ID.
    pub(crate) fn put_object(&self, id: &str, content: &Content) -> String {
        self.model(id).put(content)
    }

    /// Sets who may read a model; by default everyone.
    pub(crate) fn set_access(&self, id: &str, access: Access) {
        self.model(id).set_access(access);
    }

    /// Sets the number of downloads of a model and its tags, for lists.
    pub(crate) fn set_popularity(&self, id: &str, downloads: u64, tags: &[&str]) {
        self.model(id).set_popularity(downloads, tags);
    }

    /// Returns the discussions of a model, by number.
    pub(crate) fn discussions(&self, id: &str) -> Vec<Discussion> {
        self.model(id).discussions.all()
    }

    /// Adds a discussion, or replaces the one with its number.
    pub(crate) fn set_discussion(&self, id: &str, discussion: Discussion) {
        let model = self.model(id);
        model.discussions.add(discussion.clone());
        model.discussions.change(discussion.number, |old| *old = discussion);
    }

    /// Removes a ref of a model, such as that of a closed pull request.
    pub(crate) fn remove_ref(&self, id: &str, name: &str) {
        self.model(id).git(&["update-ref", "-d", name], b"");
    }

    /// Adds a valid token.
    pub(crate) fn add_token(&self, token: &str, user: &str, right: Right) {
        self.state.tokens.add(token, Token { user: user.to_owned(), right, expired: false });
    }

    /// Adds an expired token.
    pub(crate) fn add_expired_token(&self, token: &str, user: &str) {
        self.state.tokens.add(token, Token { user: user.to_owned(), right: Right::Write, expired: true });
    }

    /// Trusts an identity service, which is also at [`Self::endpoint`], at `/mint`.
    pub(crate) fn trust(&self, trust: Trust) {
        self.state.settings.lock().unwrap().trust = Some(trust);
    }

    /// Adds a fault.
    pub(crate) fn inject(&self, injection: Injection) {
        self.state.faults.inject(injection);
    }

    /// Removes all faults.
    pub(crate) fn heal(&self) {
        self.state.faults.clear();
    }

    /// Returns every request so far, in the order of arrival. Waits up to two seconds for those in progress.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.log.read()
    }

    /// Returns the same without waiting.
    pub(crate) fn requests_now(&self) -> Vec<Seen> {
        self.state.log.peek()
    }

    /// Removes the requests so far.
    pub(crate) fn forget_requests(&self) {
        self.state.log.clear();
    }

    /// Returns the parts of an object's content that were sent, in the order of the requests for them.
    pub(crate) fn fetched(&self, oid: &str) -> Vec<Range<u64>> {
        log::fetched(&self.requests(), oid)
    }

    /// Returns how many bytes of an object's content were sent more than once.
    pub(crate) fn sent_twice(&self, oid: &str) -> u64 {
        log::sent_twice(&self.fetched(oid))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let well = self.state.server.close();
        assert!(well || thread::panicking(), "a thread of the hub panicked");
    }
}
