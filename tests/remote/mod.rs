//! Tests `remote/` of the library with the hub of `tests/hub`, real git, git-lfs, ssh stand-ins and an LFS server.
//!
//! The library runs in the test process: its facts are in [`Settings`], and git runs in a repository whose own
//! configuration is complete.

mod agents;
mod certificates;
mod endpoint;
mod faults;
mod hub;
mod leaks;
mod logins;
mod manners;
mod oidc;
mod peers;
mod proxies;
mod ranges;
mod raw;
mod servers;
#[cfg(unix)]
mod ssh;
#[cfg(unix)]
mod ssh_transfer;
mod storages;
mod tls;
mod tokens;
mod transport;
mod upload;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use git_st_convert::git::Git;
use git_st_convert::hash::Oid;
use git_st_convert::lfs::{Pointer, Sharing, Store};
use git_st_convert::remote::{
    self, Auth, Config, Error, LfsServer, ModelName, Object, Remotes, Secret, Settings, Wire, to_store,
};

use crate::hub::{Builder, Hub};
use crate::sandbox::Sandbox;

/// The model of these tests.
const ID: &str = "acme/bert";

fn model_id() -> ModelName {
    ModelName::parse(ID).unwrap()
}

/// A token that may read everything.
const TOKEN: &str = "hf_TheTokenOfTheOwner";

/// A hub with one model, and a log of the client.
struct World {
    hub: Hub,
    sandbox: Sandbox,
    /// A repository whose remote is the model.
    repo: PathBuf,
    content: Vec<u8>,
    pointer: Pointer,
    /// Every request that the client reported, as the user sees it with `-vv`.
    events: Mutex<Vec<String>>,
    /// Every command line of git.
    lines: Mutex<Vec<String>>,
}

/// Returns pseudorandom bytes.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

impl World {
    fn new() -> Self {
        Self::with_content(bytes(300_000))
    }

    fn with_content(content: Vec<u8>) -> Self {
        let (hub, sandbox) = (Hub::start(), Sandbox::new());
        let mut model = Builder::new();
        model.file("config.json", "{}\n").lfs("pytorch_model.bin", content.clone()).commit("first");
        hub.add_model(ID, &model);
        hub.add_token(TOKEN, "owner", crate::hub::Right::Write);
        let repo = sandbox.repo("repo");
        sandbox.git(&repo, &["remote", "add", "origin", &hub.url(ID)]);
        // Only the test's own helper is used, whatever the machine configures.
        sandbox.git(&repo, &["config", "credential.helper", ""]);
        sandbox.git(&repo, &["config", "credential.interactive", "false"]);
        let pointer = Pointer { oid: Oid::of(&content), size: content.len() as u64 };
        Self { hub, sandbox, repo, content, pointer, events: Mutex::default(), lines: Mutex::default() }
    }

    fn oid(&self) -> String {
        self.pointer.oid.to_string()
    }

    /// Returns settings with few retries, and the hub as `HF_ENDPOINT`; without a token.
    fn settings(&self, config: &[(&str, &str)]) -> Settings {
        let patience = [("lfs.transfer.maxretries", "3"), ("lfs.transfer.maxretrydelay", "0")];
        let remote = ("remote.origin.url", self.hub.url(ID));
        let config = patience.iter().chain(config).map(|(key, value)| (*key, (*value).to_owned()));
        let config = Config::new(std::iter::once(remote).chain(config));
        let timeout = Some(Duration::from_secs(1));
        Settings { config, hub: Some(self.hub.endpoint()), timeout, ..Settings::default() }
    }

    /// Returns the same settings with the token.
    fn with_token(&self, config: &[(&str, &str)]) -> Settings {
        let mut settings = self.settings(config);
        settings.tokens.hf_token = Some(Secret::new(TOKEN));
        settings
    }

    /// Runs a function with the server of the endpoint that its settings and `.lfsconfig` give, and with the Hub. Both
    /// are logged.
    fn ask<T>(
        &self,
        settings: Settings,
        lfsconfig: &[(&str, &str)],
        work: impl FnOnce(&LfsServer<'_>, &remote::Hub<'_>) -> T,
    ) -> Result<T, Error> {
        self.ask_for("refs/heads/main", settings, lfsconfig, work)
    }

    /// Does the same for objects of this reference.
    fn ask_for<T>(
        &self,
        reference: &str,
        settings: Settings,
        lfsconfig: &[(&str, &str)],
        work: impl FnOnce(&LfsServer<'_>, &remote::Hub<'_>) -> T,
    ) -> Result<T, Error> {
        let tell_line = |line: &[std::ffi::OsString]| {
            let line: Vec<_> = line.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
            self.lines.lock().unwrap().push(line.join(" "));
        };
        let tell_event = |event: &remote::Event<'_>| {
            self.events
                .lock()
                .unwrap()
                .push(format!("{} {} {:?} {event:?}", event.method, event.url, event.status));
        };
        let git = Git::at(&self.repo).unwrap().observed(Some(&tell_line));
        let theirs = Config::new(lfsconfig.to_vec());
        let config = settings.config.clone();
        let remotes = Remotes {
            config: &config,
            lfsconfig: Some(&theirs),
            branch: Some("main"),
            fetch_head: None,
            work_dir: &self.repo,
        };
        let auth = |settings| Auth::new(Wire::new(settings).observed(Some(&tell_event)), Some(git.clone()));
        let (server, hub) = (auth(settings.clone())?, auth(settings)?);
        let server = LfsServer::new(server, remotes.endpoint(None)?, Some(reference.to_owned()));
        Ok(work(&server, &remote::Hub::new(hub)))
    }

    /// Reads the object of the model by [`Object::stream`].
    fn stream(&self, settings: Settings) -> Result<Vec<u8>, Error> {
        self.ask(settings, &[], |server, _| stream(&Object::new(server, self.pointer)))?
    }

    /// Reads the object of the model by [`to_store`].
    fn download(&self, settings: Settings) -> Result<PathBuf, Error> {
        let store = self.store();
        self.ask(settings, &[], |server, _| to_store(&Object::new(server, self.pointer), &store, &|_| {}))?
    }

    fn store(&self) -> Store {
        Store::new(self.sandbox.path("lfs"), Sharing::Umask, Vec::new())
    }

    /// Removes the object, its parts, all faults and all logged requests.
    fn reset(&self) {
        self.hub.heal();
        self.hub.forget_requests();
        match fs::remove_dir_all(self.sandbox.path("lfs")) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => panic!("{err}"),
            _ => {}
        }
    }
}

/// Returns the Hub of these settings.
fn hub_of<'a>(settings: Settings) -> remote::Hub<'a> {
    remote::Hub::new(Auth::new(Wire::new(settings), None).unwrap())
}

/// Returns all bytes of an object, and checks that each arrives once and in order.
fn stream(object: &Object<'_>) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    object.stream(0, &mut |at, bytes| {
        assert_eq!(at, all.len() as u64);
        all.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(all)
}

/// Returns an error with everything below it, for the user and for a bug report.
fn everything(error: &Error) -> String {
    let first: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(first), |error| error.source());
    chain.map(|error| format!("{error}\n{error:?}")).collect::<Vec<_>>().join("\n")
}

/// Returns the files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
