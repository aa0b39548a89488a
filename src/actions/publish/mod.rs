//! Publishes converted files: as a pull request on the Hub, or as a branch of any other remote.
//!
//! ```text
//! content    the files, and the check of their objects
//! text       title, description, marker
//! hub        the permissions, the search for an existing pull request, the pull request
//! journal    the publication in progress
//! ```
//!
//! Order: the account and its permissions; the remote's branch; the files to publish; a search for an identical pull
//! request; every object read once. Until then nothing is sent. Then the pull request, which is a draft; the objects,
//! by LFS; a commit of only the files on top of the remote's branch, pushed to `refs/pr/N`; then it is opened. After a
//! kill at any point, the next run finds the draft by its marker, and resumes it.
//!
//! Invariant: index, working tree and references of this clone do not change; nothing of other local commits is sent; a
//! second pull request of ours for the same files is never created, except with [`Options::force`].

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
use crate::repo::{self, ObjectId, Repo, is_branch_name};

pub use content::{MadeFrom, PublishedFile};
pub use error::PublishError;

/// The default branch name for a remote without pull requests.
pub const BRANCH: &str = "safetensors";

/// The options of a publication.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory in which a repository is searched.
    pub cwd: PathBuf,
    /// How servers are contacted.
    pub servers: Servers,
    /// The title; lines after the first precede the description.
    pub message: Option<String>,
    /// Push this branch instead of creating a pull request.
    pub branch: Option<String>,
    /// Create a pull request even if an identical one is open.
    pub force: bool,
    /// Report what would be done, and send and write nothing.
    pub dry_run: bool,
}

/// The destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A pull request of a model on the Hub.
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

/// The plan of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The destination.
    pub target: Target,
    /// The remote's name here.
    pub remote: String,
    /// The remote's default branch.
    pub base_branch: String,
    /// Its commit, the parent of the new one.
    pub base: String,
    /// The title of the pull request, and of the commit.
    pub title: String,
    /// The description of the pull request.
    pub description: String,
    /// The files.
    pub files: Vec<PublishedFile>,
    /// The attributes files that get an entry.
    pub attributes: Vec<BString>,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishOutcome {
    /// The remote's branch has all files, or nothing is converted.
    Nothing,
    /// A dry run: it would be done.
    Planned,
    /// A pull request was created, or a draft of ours was finished.
    Opened,
    /// A pull request has identical files.
    Exists,
    /// A branch was pushed.
    Pushed,
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishReport {
    /// The result.
    pub how: PublishOutcome,
    /// The published files.
    pub plan: Plan,
    /// The number of the pull request.
    pub number: Option<u64>,
    /// Its web page.
    pub url: Option<String>,
    /// The reference of the remote: `refs/pr/N`, `refs/heads/…`.
    pub reference: Option<String>,
    /// Its commit.
    pub commit: Option<String>,
    /// The author of the existing pull request.
    pub author: Option<String>,
    /// The messages of the server for the push.
    pub said: String,
    /// The upload by Git LFS.
    pub sent: Sent,
}

impl PublishReport {
    fn of(how: PublishOutcome, plan: Plan) -> Self {
        let (number, url, reference, commit, author) = (None, None, None, None, None);
        let (said, sent) = (String::new(), Sent::default());
        Self { how, plan, number, url, reference, commit, author, said, sent }
    }
}

/// Publishes the converted files of this repository.
///
/// # Errors
/// [`PublishError::NoToken`], [`PublishError::ReadOnlyToken`], [`PublishError::SourceDiffers`],
/// [`PublishError::BranchDiffers`], [`PublishError::NotUnderLfs`], [`Error::NoObject`],
/// [`PublishError::DamagedObject`], [`PublishError::PublishRunning`], [`Error::NoRepository`], [`Error::NoRemote`],
/// [`Error::Offline`], or an error of git, the servers or the repository. The note [`RemoteNote::HalfWay`] reported an
/// unfinished pull request.
pub fn publish(options: &Options, reporter: &dyn Reporter) -> Result<PublishReport, Error> {
    let session = Session::new(&options.servers, reporter);
    let repo = Repo::discover(&options.cwd)?.ok_or(Error::NoRepository)?;
    if repo.extensions_configured() {
        return Err(Error::Extensions);
    }
    if session.is_offline() && !options.dry_run {
        return Err(Error::Offline { what: "publish" });
    }
    let name = repo.push_remote().ok_or(Error::NoRemote)?;
    let name = repo.as_remote(&name).ok_or(repo::Error::NoSuchRemote { name })?;
    let git = session.git_in(&repo)?;
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

/// A commit of the remote to which files are added.
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
            if !is_branch_name(&name) {
                return Err(PublishError::BranchName { name }.into());
            }
            let plan = self.plan(Target::Branch { name: name.clone() })?;
            return self.branch(plan, &format!("refs/heads/{name}"));
        };
        let account = if self.options.dry_run { None } else { Some(hub::account(&hub, &model)?) };
        let plan = self.plan(Target::PullRequest { model: model.clone() })?;
        let Some(account) = account.filter(|_| !plan.files.is_empty()) else { return Ok(planned(plan)) };
        hub::Requests { publisher: self, hub: &hub, model, account }.publish(plan)
    }

    /// Returns the plan for the remote's default branch.
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

    /// Returns the remote's default branch, whose commit is in this clone. A dry run fetches nothing.
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

    /// Pushes a branch, and moves an existing one forward.
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

    /// Checks that an existing branch has the checkpoints that were converted.
    fn check_branch(&self, there: ObjectId, reference: &str) -> Result<(), Error> {
        let changed = content::changed(self.repo, self.git, there, &self.repo.entries_of(there)?);
        changed.map(drop).map_err(|error| match error {
            Error::Unpublished(PublishError::SourceDiffers { path, .. }) => {
                PublishError::BranchDiffers { reference: reference.to_owned(), path }.into()
            }
            error => error,
        })
    }

    /// Fetches and returns the commit of a reference of the remote.
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

    /// Returns the paths of the files' objects, each read and checked.
    fn prove(&self, files: &[PublishedFile]) -> Result<Vec<PathBuf>, Error> {
        content::prove(self.repo, files, self.session.reporter)
    }

    /// Uploads the objects that the server lacks.
    fn upload(&self, files: &[PublishedFile], objects: &[PathBuf], reference: &str) -> Result<Sent, Error> {
        let server = Server::of(self.session, self.repo, Some(&self.remote.name), Some(reference))?;
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

    /// Commits the files on `base`, and pushes the commit. Returns it, and the messages of the server.
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

/// Returns a report of a publication that sends nothing.
fn planned(plan: Plan) -> PublishReport {
    PublishReport::of(
        if plan.files.is_empty() { PublishOutcome::Nothing } else { PublishOutcome::Planned },
        plan,
    )
}

/// Returns the files that need the filter of Git LFS.
fn with_pointers(files: &[PublishedFile]) -> Vec<BString> {
    files.iter().filter(|file| file.pointer.is_some()).map(|file| file.path.clone()).collect()
}

fn place(target: &Target) -> String {
    match target {
        Target::PullRequest { model } => model.to_string(),
        Target::Branch { name } => format!("refs/heads/{name}"),
    }
}
