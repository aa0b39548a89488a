//! [`Hub`]: a server like the Hugging Face Hub, on this machine, with faults.
//!
//! Behind it are a real `git http-backend` and files; the LFS API, the links to content, the REST answers and the faults
//! are its own. `check` asks it with real git, git-lfs and curl. Git, LFS and the API are at [`Hub::endpoint`], content is
//! at [`Hub::content_origin`], another port, as the Hub's is on other hosts; there a token is refused. Every origin answers
//! every path, so a redirect may lead anywhere, and answers as a proxy too: `http_proxy` may be one of them.
//!
//! ```ignore
//! let hub = Hub::start();
//! let mut model = Builder::new();
//! model.file("config.json", "{}").lfs("pytorch_model.bin", weights).commit("first").tag("v1");
//! model.pull_request(42).lfs("model.safetensors", converted).commit("Adding `safetensors` variant of this model");
//! hub.add_model("acme/bert", &model);
//! let oid = model.oid("pytorch_model.bin");
//!
//! // What goes wrong: a fault, where, from which request on (`after`), how often (`times`; without it always).
//! hub.inject(Fault::Cut(1000).at(Place::content(&oid)).times(1));
//! hub.inject(Fault::RefuseGzip.at(Place::upload_pack("acme/bert")));
//!
//! git(&["clone", &hub.url("acme/bert")]);                 // and HF_ENDPOINT is hub.endpoint()
//!
//! assert_eq!(hub.fetched(&oid), [0..1000, 1000..4096]);   // what was sent of an object, request by request
//! assert_eq!(hub.sent_twice(&oid), 0);
//! assert!(hub.requests().iter().all(|seen| seen.origin == hub.endpoint() || !seen.carries("hf_secret")));
//! ```
//!
//! Invariant: a hub listens on loopback addresses alone, its files are in one temporary directory, and both are gone
//! when it is dropped. It stands on its own, so that a bench can include it:
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
pub(crate) use lfs::Expiry;
pub(crate) use log::Seen;
pub(crate) use oidc::Trust;

use access::{Token, Tokens};
use fault::Faults;
use log::Log;
use model::Model;
use server::Server;
use throttle::Throttle;

/// What all threads of a hub share.
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

/// How it answers.
struct Settings {
    /// Where git, LFS and the API are; empty before they are.
    main_origin: String,
    /// Where links to content lead.
    content_origin: String,
    signing: Signing,
    expiry: Expiry,
    /// Objects longer than this are taken in parts of this size.
    part: Option<u64>,
    /// The transfer that is chosen where it is offered, and what is in the header of its actions.
    transfer: Option<(String, String)>,
    /// Models say that they are in Xet storage.
    is_xet: bool,
    /// Until then everybody is turned away; is anybody told until when?
    closed: Option<(Instant, bool)>,
    /// Whose word is taken for who asks.
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

    /// For how long it is closed still, and whether it says so.
    fn closed_for(&self) -> Option<(Duration, bool)> {
        let (until, says_when) = self.settings.lock().unwrap().closed?;
        let left = until.saturating_duration_since(Instant::now());
        Some((left, says_when)).filter(|(left, _)| !left.is_zero())
    }

    /// What links are signed with: nobody else knows the name of this directory.
    fn secret(&self) -> &str {
        self.home.to_str().unwrap()
    }
}

/// A running hub.
pub(crate) struct Hub {
    state: Arc<State>,
    /// Its files, until it is dropped.
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

    /// Its main origin, `http://127.0.0.1:PORT`: what `HF_ENDPOINT` is to be.
    pub(crate) fn endpoint(&self) -> String {
        self.state.main_origin()
    }

    /// The URL of a model's repository.
    pub(crate) fn url(&self, id: &str) -> String {
        format!("{}/{id}", self.endpoint())
    }

    /// Opens another origin, on another port, that answers the same, and says it.
    pub(crate) fn open_origin(&self) -> String {
        Server::listen(&self.state, "127.0.0.1").unwrap()
    }

    /// The same at another address, if this machine has it: `127.0.0.2` is one on Linux.
    pub(crate) fn open_origin_at(&self, host: &str) -> Option<String> {
        Server::listen(&self.state, host).ok()
    }

    /// Where the links to content lead: an origin of its own unless told, as the Hub's lead to others.
    pub(crate) fn content_origin(&self) -> String {
        self.state.content_origin()
    }

    /// Lets the links to content lead elsewhere; to [`Self::endpoint`] too.
    pub(crate) fn serve_content_from(&self, origin: &str) {
        origin.clone_into(&mut self.state.settings.lock().unwrap().content_origin);
    }

    /// How links to content are signed; in their query unless told.
    pub(crate) fn sign(&self, signing: Signing) {
        self.state.settings.lock().unwrap().signing = signing;
    }

    /// How a batch says when its actions expire; by `expires_in` unless told.
    pub(crate) fn say_expiry(&self, expiry: Expiry) {
        self.state.settings.lock().unwrap().expiry = expiry;
    }

    /// Objects longer than this are taken in parts of this size, by a client that can; all in one piece unless told.
    pub(crate) fn take_parts(&self, size: Option<u64>) {
        self.state.settings.lock().unwrap().part = size;
    }

    /// Everybody is told for so long that the limit is reached, as the Hub tells it.
    pub(crate) fn close_for(&self, time: Duration) {
        self.state.settings.lock().unwrap().closed = Some((Instant::now() + time, true));
    }

    /// A model takes no discussions and no pull requests, or takes them again.
    pub(crate) fn close_discussions(&self, id: &str, is_closed: bool) {
        self.model(id).is_closed.store(is_closed, Ordering::Relaxed);
    }

    /// All content together is sent at no more than so many bytes a second.
    pub(crate) fn throttle(&self, bytes_a_second: Option<u64>) {
        self.state.throttle.set(bytes_a_second);
    }

    /// Adds a model, or what a [`Builder::more`] holds to one that is there.
    pub(crate) fn add_model(&self, id: &str, builder: &Builder) {
        self.open_model(id).take(builder);
    }

    /// Adds a model from the git directory of a repository: all its refs, and the objects of its LFS store.
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

    /// The bare repository of a model.
    pub(crate) fn git_dir(&self, id: &str) -> PathBuf {
        self.model(id).git_dir.clone()
    }

    /// The object id of a revision of a model, as `refs/pr/42` or `main:config.json`.
    pub(crate) fn rev(&self, id: &str, name: &str) -> Option<String> {
        self.model(id).rev(name)
    }

    /// Where a model's LFS object is, or would be.
    pub(crate) fn object(&self, id: &str, oid: &str) -> PathBuf {
        self.model(id).object(oid)
    }

    /// Adds an LFS object to a model, without a commit, and says its oid.
    pub(crate) fn put_object(&self, id: &str, content: &Content) -> String {
        self.model(id).put(content)
    }

    /// Who may read a model; everyone unless told.
    pub(crate) fn set_access(&self, id: &str, access: Access) {
        self.model(id).set_access(access);
    }

    /// How often a model was downloaded, and its tags, for lists.
    pub(crate) fn set_popularity(&self, id: &str, downloads: u64, tags: &[&str]) {
        self.model(id).set_popularity(downloads, tags);
    }

    /// The discussions of a model, by their number.
    pub(crate) fn discussions(&self, id: &str) -> Vec<Discussion> {
        self.model(id).discussions.all()
    }

    /// Adds a discussion, or changes the one of that number.
    pub(crate) fn set_discussion(&self, id: &str, discussion: Discussion) {
        let model = self.model(id);
        model.discussions.add(discussion.clone());
        model.discussions.change(discussion.number, |old| *old = discussion);
    }

    /// Removes a ref of a model, as the one of a closed pull request can be.
    pub(crate) fn remove_ref(&self, id: &str, name: &str) {
        self.model(id).git(&["update-ref", "-d", name], b"");
    }

    /// Makes a token known.
    pub(crate) fn add_token(&self, token: &str, user: &str, right: Right) {
        self.state.tokens.add(token, Token { user: user.to_owned(), right, expired: false });
    }

    /// Makes a token known that was good once.
    pub(crate) fn add_expired_token(&self, token: &str, user: &str) {
        self.state.tokens.add(token, Token { user: user.to_owned(), right: Right::Write, expired: true });
    }

    /// Takes the word of a service for who asks, which is at [`Self::endpoint`] too, at `/mint`.
    pub(crate) fn trust(&self, trust: Trust) {
        self.state.settings.lock().unwrap().trust = Some(trust);
    }

    /// Lets something go wrong.
    pub(crate) fn inject(&self, injection: Injection) {
        self.state.faults.inject(injection);
    }

    /// Forgets all faults.
    pub(crate) fn heal(&self) {
        self.state.faults.clear();
    }

    /// Every request so far, in the order of arrival. Waits up to two seconds for those under way.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.log.read()
    }

    /// The same, at once.
    pub(crate) fn requests_now(&self) -> Vec<Seen> {
        self.state.log.peek()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget_requests(&self) {
        self.state.log.clear();
    }

    /// The parts of an object's content that were sent, in the order of the requests for them.
    pub(crate) fn fetched(&self, oid: &str) -> Vec<Range<u64>> {
        log::fetched(&self.requests(), oid)
    }

    /// How many bytes of an object's content were sent more than once.
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
