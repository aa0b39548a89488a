//! Publishing converted files: a pull request of the Hub, or a branch of any other remote.
//!
//! ```text
//! content    which files, and that their objects are what they should be
//! text       title, description, marker
//! hub        may we, is it there already, the pull request itself
//! journal    what was begun
//! ```
//!
//! Order: who asks and whether they may; the remote's branch; what is published; is there an identical pull request; every
//! object read once. Until then nothing is sent. Then the pull request, which is a draft; the objects, by LFS; a commit of the
//! files alone on top of the remote's branch, pushed to `refs/pr/N`; then it is opened. Killed anywhere, the next run finds
//! the draft by its marker, and goes on.
//!
//! Invariant: neither index, work tree nor any reference here is changed; nothing of other local commits is sent; there is
//! never a second pull request of ours for the same files, but by [`Options::force`].

mod content;
mod error;
mod hub;
mod journal;
mod text;

use std::path::PathBuf;

use bstr::{BString, ByteSlice as _};

use super::lfs_remote::{Sent, Server};
use super::servers::Session;
use super::{Error, Note, RemoteNote, Reporter, Servers};
use crate::git::{self, Git, Network, Ref, Remote, fetch, push};
use crate::hash::Oid;
use crate::lfs::Pointer;
use crate::remote::ModelName;
use crate::remote::hub::model_of;
use crate::repo::{ObjectId, Repo};

pub use content::{MadeFrom, PublishedFile};
pub use error::PublishError;

/// The branch that is pushed where there are no pull requests, unless one is named.
pub const BRANCH: &str = "safetensors";

/// What is published, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory in which a repository is looked for.
    pub cwd: PathBuf,
    /// How servers are asked.
    pub servers: Servers,
    /// The title, and behind its first line what stands above the description.
    pub message: Option<String>,
    /// Push this branch instead of a pull request.
    pub branch: Option<String>,
    /// Make a pull request although an identical one is open.
    pub force: bool,
    /// Say what would be done, and send and write nothing.
    pub dry_run: bool,
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A pull request of a model of the Hub.
    PullRequest {
        /// The model.
        model: ModelName,
    },
    /// A branch.
    Branch {
        /// Its name, without `refs/heads/`.
        name: String,
    },
}

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where it goes.
    pub target: Target,
    /// The remote's name here.
    pub remote: String,
    /// The remote's default branch.
    pub base_branch: String,
    /// Its commit, which the new one follows.
    pub base: String,
    /// The title of the pull request, and of the commit.
    pub title: String,
    /// What the pull request says of itself.
    pub description: String,
    /// The files.
    pub files: Vec<PublishedFile>,
    /// The attributes files that get a line.
    pub attributes: Vec<BString>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The remote's branch has all of it, or nothing is converted.
    Nothing,
    /// It would be done.
    Planned,
    /// A pull request was made, or a draft of ours was finished.
    Opened,
    /// A pull request has the very same files.
    Exists,
    /// A branch was pushed.
    Pushed,
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishReport {
    /// What became of it.
    pub how: PublishOutcome,
    /// What is published.
    pub plan: Plan,
    /// The number of the pull request.
    pub number: Option<u64>,
    /// Where a person finds it.
    pub url: Option<String>,
    /// The reference of the remote that has it: `refs/pr/N`, `refs/heads/…`.
    pub reference: Option<String>,
    /// Its commit.
    pub commit: Option<String>,
    /// Who opened the pull request that exists.
    pub author: Option<String>,
    /// What the server said to the push.
    pub said: String,
    /// What was sent by Git LFS.
    pub sent: Sent,
}

impl PublishReport {
    fn of(how: PublishOutcome, plan: Plan) -> Self {
        let (number, url, reference, commit, author) = (None, None, None, None, None);
        let (said, sent) = (String::new(), Sent::default());
        Self { how, plan, number, url, reference, commit, author, said, sent }
    }
}

/// Publishes what was converted here.
///
/// # Errors
/// [`PublishError::NoToken`], [`PublishError::ReadOnlyToken`], [`PublishError::SourceDiffers`], [`PublishError::BranchDiffers`],
/// [`PublishError::NotUnderLfs`], [`Error::NoObject`], [`PublishError::DamagedObject`], [`PublishError::PublishRunning`], [`Error::NoRepository`], [`Error::NoRemote`], [`Error::Offline`], or what
/// git, the servers and the repository report. What is there of a pull request then was told as [`RemoteNote::HalfWay`].
pub fn publish(options: &Options, reporter: &dyn Reporter) -> Result<PublishReport, Error> {
    let session = Session::new(&options.servers, reporter);
    let repo = Repo::discover(&options.cwd)?.ok_or(Error::NoRepository)?;
    if repo.extensions_configured() {
        return Err(Error::Extensions);
    }
    if session.is_offline() && !options.dry_run {
        return Err(Error::Offline { what: "publish" });
    }
    let name = repo.default_remote().ok_or(Error::NoRemote)?;
    let git = session.git(repo.work_dir())?;
    if !options.dry_run {
        repo.sweep()?;
    }
    session.network(|network| {
        let remote = Remote::for_push(&git, &name)?;
        Publisher { options, session: &session, repo: &repo, git: &git, network, remote }.run()
    })
}

/// One run.
struct Publisher<'a> {
    options: &'a Options,
    session: &'a Session<'a>,
    repo: &'a Repo,
    git: &'a Git<'a>,
    network: &'a Network<'a>,
    remote: Remote,
}

/// A commit of the remote that something is put on.
struct Base {
    branch: String,
    commit: ObjectId,
}

impl Publisher<'_> {
    fn run(&self) -> Result<PublishReport, Error> {
        let hub = self.session.hub_in(self.repo)?;
        let model = model_of(hub.url(), &self.remote.url).filter(|_| self.options.branch.is_none());
        let Some(model) = model else {
            let name = self.options.branch.clone().unwrap_or_else(|| BRANCH.to_owned());
            let plan = self.plan(Target::Branch { name: name.clone() })?;
            return self.branch(plan, &format!("refs/heads/{name}"));
        };
        let account = if self.options.dry_run { None } else { Some(hub::account(&hub, &model)?) };
        let plan = self.plan(Target::PullRequest { model: model.clone() })?;
        let Some(account) = account.filter(|_| !plan.files.is_empty()) else { return Ok(planned(plan)) };
        hub::Requests { publisher: self, hub: &hub, model, account }.publish(plan)
    }

    /// What is published on the remote's default branch.
    fn plan(&self, target: Target) -> Result<Plan, Error> {
        let base = self.base()?;
        let entries = self.repo.entries_of(base.commit)?;
        let files = content::changed(self.repo, self.git, base.commit, &entries)?;
        let attributes = self.repo.plan_attributes_in(&entries, &with_pointers(&files))?;
        let message = self.options.message.as_deref();
        Ok(Plan {
            description: text::description(message, &files, &text::marker(&place(&target), &files, 0)),
            target,
            remote: self.remote.name.clone(),
            base_branch: base.branch,
            base: base.commit.to_string(),
            title: text::title(message),
            files,
            attributes: attributes.into_iter().map(|file| file.path).collect(),
        })
    }

    /// The remote's default branch, whose commit is here. A dry run fetches nothing.
    fn base(&self) -> Result<Base, Error> {
        let short = |name: &str| name.strip_prefix("refs/heads/").unwrap_or(name).to_owned();
        if !self.session.is_offline() {
            let there = fetch::default_branch(self.git, self.network, &self.remote)?;
            let empty = || PublishError::EmptyRemote { remote: self.remote.name.clone() };
            let there = there.ok_or_else(|| Error::Unpublished(empty()))?;
            let (branch, commit) = (short(&there.name), fetch::object_id(&there.id)?);
            if !self.repo.has_object(commit) && !self.options.dry_run {
                fetch::fetch_commits(self.git, self.network, &self.remote, &[there])?;
            }
            if self.repo.has_object(commit) {
                return Ok(Base { branch, commit });
            }
        }
        self.session.reporter.note(&Note::Remote(RemoteNote::BaseNotFetched));
        let head = format!("refs/remotes/{}/HEAD", self.remote.name);
        let unknown = || PublishError::NoDefaultBranch { remote: self.remote.name.clone() };
        let commit = git::commit::rev_parse(self.git, &format!("{head}^{{commit}}"));
        let commit = fetch::object_id(&commit.map_err(|_| Error::Unpublished(unknown()))?)?;
        let name = self.git.command("symbolic-ref").args(["--quiet", &head]).run()?;
        let prefix = format!("refs/remotes/{}/", self.remote.name);
        Ok(Base { branch: name.text().strip_prefix(&prefix).unwrap_or("HEAD").to_owned(), commit })
    }

    /// Pushes a branch. One that is there is moved forward.
    fn branch(&self, plan: Plan, reference: &str) -> Result<PublishReport, Error> {
        if plan.files.is_empty() || self.options.dry_run {
            return Ok(planned(plan));
        }
        let there = self.there(reference)?;
        let (reference, mut published) =
            (reference.to_owned(), PublishReport::of(PublishOutcome::Exists, plan));
        published.reference = Some(reference.clone());
        if let Some(there) = there
            && self.has(there, &published.plan.files)?
        {
            published.commit = Some(there.to_string());
            return Ok(published);
        }
        if let Some(there) = there {
            self.check_branch(there, &reference)?;
        }
        let objects = self.prove(&published.plan.files)?;
        let sent = self.upload(&published.plan.files, &objects, &reference)?;
        let base = there.map_or_else(|| fetch::object_id(&published.plan.base), Ok)?;
        let (commit, said) = self.push(base, &published.plan.files, &reference)?;
        Ok(PublishReport { how: PublishOutcome::Pushed, commit: Some(commit), said, sent, ..published })
    }

    /// Checks that a branch that is moved on has the checkpoints that were converted.
    fn check_branch(&self, there: ObjectId, reference: &str) -> Result<(), Error> {
        let changed = content::changed(self.repo, self.git, there, &self.repo.entries_of(there)?);
        changed.map(drop).map_err(|error| match error {
            Error::Unpublished(PublishError::SourceDiffers { path, .. }) => {
                PublishError::BranchDiffers { reference: reference.to_owned(), path }.into()
            }
            error => error,
        })
    }

    /// The commit of a reference of the remote, fetched.
    fn there(&self, reference: &str) -> Result<Option<ObjectId>, Error> {
        let found = fetch::list(self.git, self.network, &self.remote, reference)?;
        let Some(there) = found.into_iter().find(|found: &Ref| found.name == reference) else {
            return Ok(None);
        };
        let commit = fetch::object_id(&there.id)?;
        if !self.repo.has_object(commit) {
            fetch::fetch_commits(self.git, self.network, &self.remote, &[there])?;
        }
        Ok(Some(commit))
    }

    /// Returns `true` if a commit has all of these files.
    fn has(&self, commit: ObjectId, files: &[PublishedFile]) -> Result<bool, Error> {
        let entries = self.repo.entries_of(commit)?;
        let tree = content::by_path(&entries);
        Ok(files.iter().all(|file| tree.get(file.path.as_bstr()).is_some_and(|known| known.id == file.blob)))
    }

    /// Where the objects of the files are, each of them read and right.
    fn prove(&self, files: &[PublishedFile]) -> Result<Vec<PathBuf>, Error> {
        content::prove(self.repo, files, self.session.reporter)
    }

    /// Sends what the server lacks.
    fn upload(&self, files: &[PublishedFile], objects: &[PathBuf], reference: &str) -> Result<Sent, Error> {
        let server = Server::for_push(self.session, self.repo, &self.remote.name, reference)?;
        let mut seen: Vec<Oid> = Vec::new();
        let mut all = Vec::new();
        let named = files.iter().filter_map(|file| Some((file.path.as_bstr(), file.pointer?)));
        for ((name, pointer), path) in named.zip(objects) {
            let Pointer { oid, .. } = pointer;
            if !seen.contains(&oid) {
                seen.push(oid);
                all.push((name, pointer, path.clone()));
            }
        }
        server.upload(&all, self.session.reporter)
    }

    /// Commits the files on `base`, and pushes that. Returns the commit, and what the server said.
    fn push(
        &self,
        base: ObjectId,
        files: &[PublishedFile],
        reference: &str,
    ) -> Result<(String, String), Error> {
        let entries = self.repo.entries_of(base)?;
        let mut tree = Vec::new();
        for file in self.repo.plan_attributes_in(&entries, &with_pointers(files))? {
            let id = self.repo.write_blob(&file.blob)?.to_string();
            tree.push(push::File { path: file.path.into(), id, executable: file.executable });
        }
        tree.extend(files.iter().map(|file| push::File {
            path: file.path.clone().into(),
            id: file.blob.to_string(),
            executable: file.executable,
        }));
        let index = self.repo.scratch_index()?;
        let message = text::commit(self.options.message.as_deref(), files);
        let commit = push::commit_on(self.git, index.path(), &base.to_string(), &tree, &message)?;
        let output = push::push(self.git, self.network, &self.remote, &commit, reference)?;
        Ok((commit, output.stderr.0))
    }
}

/// A publication that sends nothing.
fn planned(plan: Plan) -> PublishReport {
    PublishReport::of(
        if plan.files.is_empty() { PublishOutcome::Nothing } else { PublishOutcome::Planned },
        plan,
    )
}

/// What has to have the filter of Git LFS.
fn with_pointers(files: &[PublishedFile]) -> Vec<BString> {
    files.iter().filter(|file| file.pointer.is_some()).map(|file| file.path.clone()).collect()
}

fn place(target: &Target) -> String {
    match target {
        Target::PullRequest { model } => model.to_string(),
        Target::Branch { name } => format!("refs/heads/{name}"),
    }
}
