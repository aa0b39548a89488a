//! [`Server`]: the LFS server behind a repository, as its configuration and the person's say; and [`Servers`], which finds
//! it, and the Hub's list of pull requests, for `pull`.
//!
//! Nothing is asked before the first object is read.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use bstr::ByteSlice as _;

use super::{Error, Note, Reporter, pull};
use crate::git::{self, Git};
use crate::lfs::Pointer;
use crate::remote::hub::is_model;
use crate::remote::{self, Client, Config, Endpoint, Event, Object, Operation, Remotes, Settings, Url};
use crate::repo::{Repo, global_settings};

/// Is told each command line of git.
type Runs<'a> = Box<dyn Fn(&[OsString]) + Sync + 'a>;

/// What a client of a server tells, and asks, while it works.
pub(super) struct Watch<'a> {
    tell: Box<dyn Fn(&Event<'_>) + Sync + 'a>,
    run: Runs<'a>,
    stop: Box<dyn Fn() -> bool + Sync + 'a>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(reporter: &'a dyn Reporter) -> Self {
        Self {
            tell: Box::new(|event| reporter.request(event)),
            run: Box::new(|arguments| reporter.command(arguments)),
            stop: Box::new(|| reporter.is_interrupted()),
        }
    }

    /// A client with these settings, which asks git in `dir` for logins.
    pub(super) fn client(&self, settings: Settings, dir: &Path) -> Result<Client<'_>, Error> {
        let git = Git::at(dir).ok().map(|git| git.observed(Some(&*self.run)));
        Ok(Client::new(settings, git)?.observed(Some(&*self.tell)).interruptible(&*self.stop))
    }
}

/// The LFS server behind a repository.
pub(super) struct Server<'a> {
    client: Client<'a>,
    endpoint: Endpoint,
    /// The full name of the branch that is checked out.
    reference: Option<String>,
}

impl<'a> Server<'a> {
    /// The server of the remote that git-lfs would take, or of the one named.
    pub(super) fn of(
        repo: &Repo,
        remote: Option<&str>,
        settings: &Settings,
        watch: &'a Watch<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Self, Error> {
        let (config, branch) = (Config::new(repo.settings()), repo.branch()?);
        let (lfsconfig, fetch_head) = (repo.lfsconfig()?.map(Config::new), repo.fetch_head());
        let remotes = Remotes {
            config: &config,
            lfsconfig: lfsconfig.as_ref(),
            branch: branch.as_deref(),
            fetch_head: fetch_head.as_deref(),
            work_dir: repo.work_dir(),
        };
        let endpoint = remotes.endpoint(remote)?;
        if let Some(moved) = endpoint.moved() {
            reporter.note(&Note::ServerMoved { to: moved.to.clone(), from: moved.from.clone() });
        }
        let reference = branch.map(|name| format!("refs/heads/{name}"));
        let client = watch.client(settings.clone().with_config(config), repo.work_dir())?;
        Ok(Self { client, endpoint, reference })
    }

    /// An object that is not here.
    pub(super) fn object(&self, pointer: Pointer) -> Object<'_> {
        Object::new(&self.client, &self.endpoint, pointer, self.reference.as_deref())
    }
}

/// How servers are asked: what a person said about them.
#[derive(Debug, Clone)]
pub struct Servers(pub Settings);

impl pull::Server for Servers {
    fn fetch(
        &self,
        repo: &Repo,
        remote: &git::Remote,
        objects: &[Pointer],
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        let (store, mut missing) = (repo.store(), Vec::new());
        for &pointer in objects {
            let failed = |source| Error::Io { what: "look in", path: store.dir().to_owned(), source };
            missing
                .extend(store.find(pointer.oid, pointer.size).map_err(failed)?.is_none().then_some(pointer));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let watch = Watch::new(reporter);
        let server = Server::of(repo, Some(&remote.name), &self.0, &watch, reporter)?;
        let (client, reference) = (&server.client, server.reference.as_deref());
        let actions = remote::batch(client, &server.endpoint, Operation::Download, &missing, reference)?;
        reporter.started(remote.name.as_bytes().as_bstr(), missing.iter().map(|pointer| pointer.size).sum());
        let fetched = missing.iter().zip(actions).try_for_each(|(&pointer, action)| {
            let object = server.object(pointer).with_action(action?);
            object.to_store(&store, &|bytes| reporter.advanced(bytes)).map(drop)
        });
        reporter.finished();
        Ok(fetched?)
    }

    fn open_pull_requests(
        &self,
        remote: &git::Remote,
        reporter: &dyn Reporter,
    ) -> Result<Option<BTreeSet<u64>>, Error> {
        let watch = Watch::new(reporter);
        let settings = self.0.clone().with_config(Config::new(global_settings()?));
        let client = watch.client(settings, Path::new("."))?;
        let Some(model) = model_of(client.hub(), &remote.url) else { return Ok(None) };
        let found = client.pull_requests(&model)?;
        Ok(Some(found.into_iter().map(|request| request.number).collect()))
    }
}

/// The model that a remote of the Hub holds.
fn model_of(hub: &Url, remote: &str) -> Option<String> {
    let remote = Url::parse(remote).ok()?;
    let path = remote.path().strip_prefix(hub.path().trim_end_matches('/'))?.trim_matches('/');
    let model = path.strip_suffix(".git").unwrap_or(path);
    (remote.origin() == hub.origin() && is_model(model)).then(|| model.to_owned())
}

impl From<remote::Error> for Error {
    fn from(error: remote::Error) -> Self {
        match error {
            remote::Error::Interrupted => Self::Interrupted,
            error => Self::Remote(error),
        }
    }
}
