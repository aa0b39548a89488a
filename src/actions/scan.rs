//! Finds files with pickles, and lists what those import.
//!
//! It scans files and directories, the tracked files of the working tree, the index, a commit, the files that the
//! commits of a range add, or a model on the Hub by ranges. A pointer stands for its object in LFS storage; no server
//! is contacted except for a model that the user named, and a blob that a partial clone left out is reported as
//! missing. A large blob is never in memory as a whole: its first bytes decide, or it passes through an unnamed
//! temporary file.
//!
//! Files of this machine are scanned side by side, and reported in the order in which they were found.

mod far;
mod order;
mod paths;
mod versions;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bstr::BString;

use super::jobs::Jobs;
use super::{Error, Reporter, Servers, names};
use crate::git::{self, Git, commit};
use crate::lfs::Pointer;
use crate::repo::{ObjectId, Repo};
use crate::scan::Report;
use order::Scan;
use versions::Versions;

/// The targets of a scan.
#[derive(Debug, Clone)]
pub enum Targets {
    /// Files, directories, and models on the Hub; empty: the tracked files of the working tree.
    Paths(Vec<OsString>),
    /// The index.
    Staged,
    /// A commit.
    Rev(String),
    /// The versions that the commits of `A..B` add.
    Range(String),
}

/// One scanned file.
#[derive(Debug)]
pub struct Scanned {
    /// Its path: from the top of the repository, or as it was given.
    pub path: BString,
    /// The blob, if the repository was scanned and not the working tree.
    pub blob: Option<ObjectId>,
    /// Its pointer, if it is one.
    pub pointer: Option<Pointer>,
    /// The length of its content.
    pub size: Option<u64>,
    /// The result.
    pub result: Result<Report, Error>,
    /// The conversion by a checkout, if its result is worse than the blob.
    pub checkout: Option<String>,
    /// The commit that adds it to a range.
    pub commit: Option<ObjectId>,
    /// Its location, if that is not on this machine.
    pub far: Option<Far>,
}

/// The location of a file that is not on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Far {
    /// The model, if it belongs to one.
    pub model: Option<String>,
    /// The commit, if it was looked up.
    pub revision: Option<String>,
    /// How many bytes of it were read.
    pub read: u64,
}

/// The effect of a file on the whole result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// No pickle, and no other code that its loader executes.
    Clean,
    /// It could not be scanned, but its name indicates a format other than weights.
    Noted,
    /// A pickle, or other code that its loader executes. Exit 1.
    Found,
    /// It could not be scanned, and may be weights. Exit 2.
    Unseen,
}

impl Scanned {
    /// Returns the effect on the whole result.
    pub fn standing(&self) -> Standing {
        // A name does not show what a checkout makes of a blob.
        let is_excused = self.checkout.is_none() && names::is_of_another_kind(self.path.as_ref());
        let unseen = || if is_excused { Standing::Noted } else { Standing::Unseen };
        match &self.result {
            Ok(report) if report.holds_pickle() || report.executes() => Standing::Found,
            Ok(report) if report.is_opaque() => unseen(),
            Ok(_) => Standing::Clean,
            Err(error) if is_missing(error) => unseen(),
            Err(_) => Standing::Unseen,
        }
    }

    /// Returns `true` if its content is not on this machine.
    pub fn is_missing(&self) -> bool {
        self.result.as_ref().is_err_and(is_missing)
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NoObject { .. } | Error::Repo(crate::repo::Error::MissingBlob { .. }))
}

/// The reports of a scan while it runs.
#[derive(Debug)]
pub enum ScanEvent<'a> {
    /// A scanned file.
    File(&'a Scanned),
    /// A note about a path.
    Remark(&'a Remark),
}

/// A note about a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Its path from the top of the repository, or below the given target.
    pub path: BString,
    /// Its target, if it is a link.
    pub target: Option<PathBuf>,
    /// The kind of note.
    pub about: About,
}

/// The reason for a [`Remark`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A dangling link, or a link to itself.
    Dangling,
    /// A link to a directory, which is not followed.
    Directory,
    /// Not a regular file.
    NoFile,
    /// The file was already scanned by this name.
    Scanned(BString),
    /// A link out of the working tree of its repository, which is followed.
    Outside,
    /// A pickle that git does not track, so it was not scanned as a target.
    Untracked,
}

/// Returns how servers are contacted, or an error of the settings.
pub(crate) type Asking<'a> = &'a dyn Fn() -> Result<Servers, Error>;

/// Scans the targets, `jobs` files at once (default: one per processor), and passes each file to `tell`. `servers` is
/// called only for targets on a server.
///
/// # Errors
/// [`Error::NoRepository`], [`Error::Interrupted`], or an error of the repository, git or a server that affects the
/// whole scan. An error of one file is in its [`Scanned`].
pub fn scan(
    cwd: &Path,
    targets: &Targets,
    jobs: Option<usize>,
    servers: Asking<'_>,
    reporter: &dyn Reporter,
    tell: &mut dyn FnMut(&ScanEvent<'_>),
) -> Result<(), Error> {
    let repo = match targets {
        Targets::Staged => Repo::discover(cwd)?,
        Targets::Paths(paths) if paths.is_empty() => Repo::discover(cwd)?,
        // A bare repository has neither index nor working tree, which these targets do not need.
        Targets::Paths(_) | Targets::Rev(_) | Targets::Range(_) => Repo::discover_for_hook(cwd)?,
    };
    let observe = |line: &[OsString]| reporter.command(line);
    let git = match (&repo, targets) {
        // Named files need no git, and no repository.
        (_, Targets::Paths(paths)) if !paths.is_empty() => None,
        (Some(repo), _) => Some(repo.tied(Git::in_hook(repo.work_dir())?).observed(Some(&observe))),
        (None, _) => return Err(Error::NoRepository),
    };
    let (repo, git) = (repo.as_ref(), git.as_ref());
    let jobs = match (jobs, repo) {
        (None, Some(repo)) => Jobs::configured(repo)?,
        (given, _) => given,
    };
    let jobs = Jobs::of(jobs);
    order::in_order(jobs, reporter, tell, |scan| match (repo, git) {
        (Some(repo), Some(git)) => of_repository(scan, targets, repo, git),
        _ => match targets {
            Targets::Paths(paths) => paths::scan(scan, repo, cwd, paths, servers),
            _ => Err(Error::NoRepository),
        },
    })
}

fn of_repository(scan: &mut Scan<'_>, targets: &Targets, repo: &Repo, git: &Git<'_>) -> Result<(), Error> {
    let mut versions = Versions::new(scan, repo, git)?;
    match targets {
        Targets::Paths(_) => versions.tracked(),
        Targets::Staged => versions.staged(),
        Targets::Rev(rev) => {
            // The revision may also be a tree.
            versions.tree(&commit::tree_of(git, rev)?)
        }
        Targets::Range(range) => {
            let (from, to) = ends(git, range)?;
            versions.range(from.as_deref(), &to)
        }
    }
}

/// Parses `A..B`; an empty one is `HEAD`, and an `A` of zeros means none, as in hooks for a new branch.
fn ends(git: &Git<'_>, range: &str) -> Result<(Option<String>, String), git::Error> {
    let (from, to) = range.split_once("..").unwrap_or((range, ""));
    let to = to.strip_prefix('.').unwrap_or(to);
    let resolve = |rev: &str| {
        let rev = if rev.is_empty() { "HEAD" } else { rev };
        commit::rev_parse(git, &format!("{rev}^{{commit}}"))
    };
    let is_none = from.len() >= 40 && from.bytes().all(|byte| byte == b'0');
    Ok((if is_none { None } else { Some(resolve(from)?) }, resolve(to)?))
}

/// The content of a file, with the facts about it.
#[derive(Default)]
struct Seen {
    pointer: Option<Pointer>,
    size: Option<u64>,
    report: Report,
    checkout: Option<String>,
    far: Option<Far>,
}
