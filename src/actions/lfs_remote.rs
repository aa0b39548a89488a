//! [`LfsRemote`] is the LFS server of a remote, by the configuration of the repository and the user; it reports the
//! progress of transfers.
//!
//! Invariant: it is looked up when the first object is missing, and no server is contacted before the first object is
//! read.

use std::cell::{Cell, OnceCell, RefCell};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bstr::BStr;

use super::servers::Session;
use super::{Error, Note, RemoteNote, Reporter};
use crate::lfs::{Incomplete, Pointer, Store};
use crate::remote::{self, Config, LfsServer, Object, Remotes, Uploaded, to_part, to_store};
use crate::repo::Repo;

/// The LFS server of a remote, if it may be contacted.
pub(super) struct LfsRemote<'a> {
    repo: &'a Repo,
    session: &'a Session<'a>,
    /// The name of the remote, if it is not git-lfs's default.
    name: Option<&'a str>,
    server: OnceCell<Option<Server<'a>>>,
    /// The objects that will be requested, while the server is not looked up yet.
    expected: RefCell<Vec<Pointer>>,
}

impl<'a> LfsRemote<'a> {
    /// Creates it for the remote of this name, or for git-lfs's default.
    pub(super) fn of(session: &'a Session<'a>, repo: &'a Repo, name: Option<&'a str>) -> Self {
        Self { repo, session, name, server: OnceCell::new(), expected: RefCell::default() }
    }

    /// Returns the server. `None` offline, and if no remote has one.
    ///
    /// # Errors
    /// An error of the configuration.
    pub(super) fn server(&self) -> Result<Option<&Server<'a>>, Error> {
        if self.server.get().is_none() {
            let is_asked = !self.session.is_offline();
            let found =
                match is_asked.then(|| Server::of(self.session, self.repo, self.name, None)).transpose() {
                    Err(Error::Remote(remote::Error::NoEndpoint { .. })) => None,
                    found => found?,
                };
            if let Some(Server(server)) = &found {
                server.expect(&self.expected.take());
            }
            let _first = self.server.set(found);
        }
        Ok(self.found())
    }

    /// Announces objects that will be needed, so that one request finds all of them.
    pub(super) fn expect(&self, pointers: &[Pointer]) {
        match self.found() {
            Some(Server(server)) => server.expect(pointers),
            None => self.expected.borrow_mut().extend(pointers),
        }
    }

    /// Returns the server, if it was looked up and found.
    pub(super) fn found(&self) -> Option<&Server<'a>> {
        self.server.get().and_then(Option::as_ref)
    }

    /// Returns the server from which an object is requested.
    ///
    /// # Errors
    /// [`Error::NoObject`] if no server exists.
    pub(super) fn server_for(&self, Pointer { oid, size }: Pointer) -> Result<&Server<'a>, Error> {
        self.server()?.ok_or(Error::NoObject { oid, size })
    }
}

/// The result of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// The bytes of the files that were sent, without objects that the server had.
    pub bytes: u64,
    /// The transfer agent that sent them, if any.
    pub agent: Option<String>,
}

/// A server that was looked up.
pub(super) struct Server<'a>(LfsServer<'a>);

impl<'a> Server<'a> {
    /// Looks up the server of the remote of this name, or of git-lfs's default; for uploads if it gets the full name of
    /// the reference that is pushed.
    pub(super) fn of(
        session: &'a Session<'_>,
        repo: &Repo,
        remote: Option<&str>,
        pushed: Option<&str>,
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
        let endpoint =
            if pushed.is_some() { remotes.push_endpoint(remote)? } else { remotes.endpoint(remote)? };
        if let Some(moved) = endpoint.moved() {
            session.reporter.note(&Note::Remote(RemoteNote::ServerMoved { to: moved.to.clone() }));
        }
        let reference = pushed.map(str::to_owned).or_else(|| branch.map(|name| format!("refs/heads/{name}")));
        let auth = session.auth(config, repo.work_dir())?;
        Ok(Self(LfsServer::new(auth, endpoint, reference)))
    }

    /// Returns an object that is not local.
    pub(super) fn object(&self, pointer: Pointer) -> Object<'_> {
        Object::new(&self.0, pointer)
    }

    /// Downloads objects into LFS storage, each under its own name and with its own progress.
    pub(super) fn download(
        &self,
        store: &Store,
        objects: &[(&BStr, Pointer)],
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        let pointers: Vec<_> = objects.iter().map(|(_, pointer)| *pointer).collect();
        let actions = self.0.locate(&pointers)?;
        if objects.len() > 1 {
            let files: Vec<_> = objects.iter().map(|(name, pointer)| (*name, pointer.size)).collect();
            reporter.planned(&files);
        }
        for (&(name, pointer), action) in objects.iter().zip(actions) {
            reporter.started(name, pointer.size);
            let (here, came) = (was_here(reporter), |bytes| reporter.advanced(bytes));
            let fetched = action.and_then(|action| {
                to_store(&self.object(pointer).with_action(action).telling(&came), store, &here)
            });
            reporter.finished();
            fetched?;
        }
        Ok(())
    }

    /// Downloads an object that is needed for a while: next to the objects of LFS storage, not among them.
    pub(super) fn download_beside(
        &self,
        store: &Store,
        name: &BStr,
        pointer: Pointer,
        reporter: &dyn Reporter,
    ) -> Result<Incomplete, Error> {
        reporter.started(name, pointer.size);
        let (here, came) = (was_here(reporter), |bytes| reporter.advanced(bytes));
        let part = to_part(&self.object(pointer).telling(&came), store, &here);
        reporter.finished();
        Ok(part?)
    }

    /// Uploads those of these files that the server lacks, each under its own name and with its own progress.
    pub(super) fn upload(
        &self,
        objects: &[(&BStr, Pointer, PathBuf)],
        reporter: &dyn Reporter,
    ) -> Result<Sent, Error> {
        let pointers: Vec<_> = objects.iter().map(|(_, pointer, _)| *pointer).collect();
        let plans = self.0.plan_upload(&pointers)?;
        let wanted = objects.iter().zip(&plans);
        let wanted = wanted.filter(|(_, plan)| plan.as_ref().is_ok_and(|plan| !plan.is_there()));
        let wanted: Vec<_> = wanted.map(|((name, pointer, _), _)| (*name, pointer.size)).collect();
        reporter.planned(&wanted);
        let mut sent = Sent::default();
        for ((name, pointer, file), plan) in objects.iter().zip(plans) {
            let plan = plan?;
            if plan.is_there() {
                continue;
            }
            reporter.started(name, pointer.size);
            let told = AtomicU64::new(0);
            let tell = |now: u64| {
                let before = told.fetch_max(now, Ordering::Relaxed);
                reporter.advanced(now.saturating_sub(before));
            };
            let agent = plan.agent().map(str::to_owned);
            let done = self.0.upload(*pointer, plan, file, &tell);
            reporter.finished();
            if done? == Uploaded::Sent {
                sent.bytes = sent.bytes.saturating_add(pointer.size);
                sent.agent = sent.agent.or(agent);
            }
        }
        Ok(sent)
    }
}

/// Reports the bytes of an earlier run, at the first call.
fn was_here(reporter: &dyn Reporter) -> impl Fn(u64) {
    let is_told = Cell::new(false);
    move |here: u64| {
        if !is_told.replace(true) {
            reporter.resumed(here);
        }
    }
}
