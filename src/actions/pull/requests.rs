//! [`Requests`] lists and fetches the pull requests of a remote.
//!
//! Invariant: no reference, tag or `FETCH_HEAD` is written for a pull request that is only read. Only its commits,
//! trees and pointers are fetched.

use std::path::PathBuf;

use super::super::servers::{Servers, Session};
use super::super::{Error, Note, RemoteNote, Reporter};
use super::request::{PullRequest, Relation};
use crate::git::{self, Git, Network, Ref, Remote, fetch};
use crate::remote::hub::model_of;
use crate::repo::{self, ObjectId, Repo};

/// The prefix of pull requests at a remote.
const THERE: &str = "refs/pr/";

/// The options for reading pull requests.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The directory in which a repository is searched.
    pub cwd: PathBuf,
    /// How servers are contacted.
    pub servers: Servers,
    /// The remote; `None` for the one that the branch tracks.
    pub remote: Option<String>,
}

/// The pull requests of a remote.
pub(in crate::actions) struct Requests<'a> {
    pub(in crate::actions) session: &'a Session<'a>,
    pub(in crate::actions) repo: &'a Repo,
    pub(in crate::actions) git: &'a Git<'a>,
    pub(in crate::actions) network: &'a Network<'a>,
    pub(in crate::actions) remote: Remote,
    pub(in crate::actions) head: ObjectId,
    relation: Relation<'a>,
}

/// A pull request at the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::actions) struct Known {
    pub(in crate::actions) number: u64,
    there: Ref,
}

impl<'a> Requests<'a> {
    pub(in crate::actions) fn of(
        session: &'a Session<'a>,
        repo: &'a Repo,
        git: &'a Git<'a>,
        network: &'a Network<'a>,
        remote: Option<&str>,
    ) -> Result<Self, Error> {
        let name = match remote {
            Some(name) if repo.remotes().iter().any(|known| known == name) => name.to_owned(),
            Some(name) => return Err(repo::Error::NoSuchRemote { name: name.to_owned() }.into()),
            None => repo.default_remote().ok_or(Error::NoRemote)?,
        };
        let head = repo.head_commit()?.ok_or(Error::NoCommits)?;
        git::clone::require(git, git::clone::NEEDED)?;
        let remote = Remote::named(git, &name)?;
        Ok(Self { session, repo, git, network, remote, head, relation: Relation::new(repo, git) })
    }

    /// Notes which remote has the model, if it is another one.
    pub(super) fn mention_home(&self) {
        let Ok(hub) = self.session.hub_in(self.repo) else { return };
        if model_of(hub.url(), &self.remote.url).is_some() {
            return;
        }
        for name in self.repo.remotes().into_iter().filter(|name| *name != self.remote.name) {
            let other = Remote::named(self.git, &name).ok();
            if let Some(model) = other.and_then(|other| model_of(hub.url(), &other.url)) {
                let (asked, model) = (self.remote.name.clone(), model.to_string());
                let note = RemoteNote::HomeElsewhere { asked, name, model };
                self.session.reporter.note(&Note::Remote(note));
                return;
            }
        }
    }

    /// Returns all pull requests, the newest first.
    pub(in crate::actions) fn list(&self) -> Result<Vec<Known>, Error> {
        let mut known = self.matching(&format!("{THERE}*"))?;
        known.sort_by_key(|known| std::cmp::Reverse(known.number));
        Ok(known)
    }

    /// Returns the pull request with this number.
    pub(in crate::actions) fn find(&self, number: u64) -> Result<Option<Known>, Error> {
        let known = self.matching(&format!("{THERE}{number}"))?;
        Ok(known.into_iter().find(|known| known.number == number))
    }

    fn matching(&self, pattern: &str) -> Result<Vec<Known>, Error> {
        let refs = fetch::list(self.git, self.network, &self.remote, pattern)?;
        let known = refs.into_iter().filter_map(|there| {
            let number = there.name.strip_prefix(THERE)?.parse().ok()?;
            // Names such as `refs/pr/+1` and `refs/pr/01` are not valid.
            (there.name == format!("{THERE}{number}")).then_some(Known { number, there })
        });
        Ok(known.collect())
    }

    /// Fetches these, and reads the changes of each. One that moved or disappeared meanwhile is left out.
    pub(in crate::actions) fn fetch(&self, known: &[Known]) -> Result<Vec<PullRequest>, Error> {
        let wanted: Vec<_> = known.iter().map(|known| known.there.clone()).collect();
        fetch::fetch_commits(self.git, self.network, &self.remote, &wanted)?;
        let mut requests = Vec::with_capacity(known.len());
        for known in known {
            let commit = ObjectId::from_hex(known.there.id.as_bytes())
                .map_err(|_| git::Error::UnexpectedOutput { subcommand: "ls-remote".to_owned() })?;
            if self.repo.has_object(commit) {
                requests.push(PullRequest::read(self.repo, &self.relation, self.head, known.number, commit)?);
            }
        }
        Ok(requests)
    }

    /// Fetches the blobs of these that a partial clone left out.
    pub(in crate::actions) fn complete(
        &self,
        blobs: impl IntoIterator<Item = ObjectId>,
    ) -> Result<(), Error> {
        let mut missing = Vec::new();
        for blob in blobs {
            if self.repo.blob_size(blob)?.is_none() {
                missing.push(blob.to_string());
            }
        }
        missing.sort();
        missing.dedup();
        Ok(fetch::fetch_objects(self.git, self.network, &self.remote, &missing)?)
    }

    /// Reads a pull request again when all of its blobs are in this clone.
    pub(in crate::actions) fn read_again(&self, request: &PullRequest) -> Result<PullRequest, Error> {
        PullRequest::read(self.repo, &self.relation, self.head, request.number, request.commit)
    }
}

/// Fetches the pull request with this number, and passes it on.
///
/// # Errors
/// [`Error::NoSuchPullRequest`], [`Error::WithoutSafetensors`], or as [`super::pull`].
pub(in crate::actions) fn look_at<T>(
    options: &Options,
    number: u64,
    reporter: &dyn Reporter,
    work: impl FnOnce(&Requests<'_>, &PullRequest) -> Result<T, Error>,
) -> Result<T, Error> {
    with_requests(options, reporter, |requests| {
        if options.remote.is_none() {
            requests.mention_home();
        }
        let known = requests.find(number)?.ok_or(Error::NoSuchPullRequest { number })?;
        let request =
            requests.fetch(&[known])?.into_iter().next().ok_or(Error::NoSuchPullRequest { number })?;
        if request.is_cut && request.base.is_none() {
            let remote = requests.remote.name.clone();
            reporter.note(&Note::Remote(RemoteNote::HistoryCut { number, remote }));
        }
        if request.is_unclear {
            let action = format!("see all that pull request {number} changes");
            return Err(repo::Error::HistoryCut { action }.into());
        }
        if request.files.is_empty() && request.base != Some(request.commit) {
            return Err(Error::WithoutSafetensors { number });
        }
        work(requests, &request)
    })
}

/// Opens the current repository, and the pull requests of its remote.
pub(super) fn with_requests<T>(
    options: &Options,
    reporter: &dyn Reporter,
    work: impl FnOnce(&Requests<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let session = Session::new(&options.servers, reporter);
    let repo = Repo::discover(&options.cwd)?.ok_or(Error::NoRepository)?;
    if repo.extensions_configured() {
        return Err(Error::Extensions);
    }
    if session.is_offline() {
        return Err(Error::Offline { what: "look at pull requests" });
    }
    repo.sweep()?;
    open(&session, &repo, options.remote.as_deref(), work)
}

/// Does the same in an open repository.
pub(super) fn open<T>(
    session: &Session<'_>,
    repo: &Repo,
    remote: Option<&str>,
    work: impl FnOnce(&Requests<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let git = session.git_in(repo)?;
    session.network(|network| work(&Requests::of(session, repo, &git, network, remote)?))
}
