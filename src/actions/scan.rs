//! Which files hold pickles, and what those would call.
//!
//! What is looked at: files and directories, the tracked files of the work tree, the index, a commit, what the commits
//! of a range add, or a model of the Hub by ranges. A pointer stands for its object in the store; but for a model that is
//! named no server is asked, and a blob that a partial clone left out is said to be missing. A large blob is never held in memory: its first bytes decide, or it passes through an
//! unnamed temporary file.

mod far;
mod in_order;
mod paths;
mod versions;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bstr::BString;

use super::content::LocalFile;
use super::{Error, Reporter, Servers, names};
use crate::git::{self, Git, commit, incoming};
use crate::lfs::Pointer;
use crate::read_at::ReadAt;
use crate::repo::{ObjectId, Repo};
use crate::scan::{Limits, Report, scan as scan_content};
use versions::Versions;

/// What to look at.
#[derive(Debug, Clone)]
pub enum Targets {
    /// Files, directories, and models of the Hub; empty: the tracked files of the work tree.
    Paths(Vec<OsString>),
    /// What the index holds.
    Staged,
    /// What a commit holds.
    Rev(String),
    /// What the commits of `A..B` add.
    Range(String),
}

/// One file that was looked at.
#[derive(Debug)]
pub struct Scanned {
    /// Its path: from the top of the repository, or as it was given.
    pub path: BString,
    /// The blob, where the repository was looked at and not the work tree.
    pub blob: Option<ObjectId>,
    /// What its pointer says, if it is one.
    pub pointer: Option<Pointer>,
    /// How long its content is.
    pub size: Option<u64>,
    /// What was found.
    pub result: Result<Report, Error>,
    /// What is done to the blob in a checkout, where that is what was found to be worse than the blob.
    pub checkout: Option<String>,
    /// The commit that brings it to a range.
    pub commit: Option<ObjectId>,
    /// Where it is, if that is not on this machine.
    pub far: Option<Far>,
}

/// Where a file is that is not on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Far {
    /// The model, if it is of one.
    pub model: Option<String>,
    /// The commit, if it was looked up.
    pub revision: Option<String>,
    /// How many bytes of it were read.
    pub read: u64,
}

/// How much a file matters for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// No pickle.
    Clean,
    /// It could not be looked into, but its name says that it is something else than weights.
    Noted,
    /// A pickle. Exit 1.
    Found,
    /// It could not be looked at, or into, and may be weights. Exit 2.
    Unseen,
}

impl Scanned {
    /// How much it matters.
    pub fn standing(&self) -> Standing {
        // No name says what a checkout makes of a blob.
        let is_excused = self.checkout.is_none() && names::is_of_another_kind(self.path.as_ref());
        let unseen = || if is_excused { Standing::Noted } else { Standing::Unseen };
        match &self.result {
            Ok(report) if report.holds_pickle() => Standing::Found,
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

/// What a scan reports while it runs.
#[derive(Debug)]
pub enum ScanEvent<'a> {
    /// A file that was looked at.
    File(&'a Scanned),
    /// Something that is no such file, or more than that.
    Remark(&'a Remark),
}

/// What there is to say of a path beside a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// From the top of the repository, or below what was given.
    pub path: BString,
    /// Where it leads, if it is a link.
    pub target: Option<PathBuf>,
    /// What there is to say.
    pub about: About,
}

/// Why there is a [`Remark`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A link to nothing that is there, or to itself.
    Dangling,
    /// A link to a directory, which is not followed.
    Directory,
    /// No regular file.
    NoFile,
    /// It is the file that was scanned by this name.
    Scanned(BString),
    /// A link out of the work tree of its repository, which is followed.
    Outside,
    /// A pickle that git does not track, so it was not asked for.
    Untracked,
}

/// Says how servers are asked, or what is wrong with the settings.
pub(crate) type Asking<'a> = &'a dyn Fn() -> Result<Servers, Error>;

/// Scans the targets, and hands each file to `tell`. `servers` says how those are asked that
/// a target is on; without such a target nobody is.
///
/// # Errors
/// [`Error::NoRepository`], [`Error::Interrupted`], or what the repository, git and the servers report of the whole. What
/// is wrong with one file is in its [`Scanned`].
pub fn scan(
    cwd: &Path,
    targets: &Targets,
    servers: Asking<'_>,
    reporter: &dyn Reporter,
    tell: &mut dyn FnMut(&ScanEvent<'_>),
) -> Result<(), Error> {
    let repo = match targets {
        Targets::Staged => Repo::discover(cwd)?,
        Targets::Paths(paths) if paths.is_empty() => Repo::discover(cwd)?,
        // A bare repository has neither index nor work tree, which these do not ask for.
        Targets::Paths(_) | Targets::Rev(_) | Targets::Range(_) => Repo::discover_for_hook(cwd)?,
    };
    let observe = |line: &[OsString]| reporter.command(line);
    let git = match (&repo, targets) {
        // Files that are named need no git, and no repository.
        (_, Targets::Paths(paths)) if !paths.is_empty() => None,
        (Some(repo), _) => Some(Git::in_hook(repo.work_dir())?.observed(Some(&observe))),
        (None, _) => return Err(Error::NoRepository),
    };
    let mut scan = Scan { limits: Limits::default(), reporter, tell };
    let (Some(repo), Some(git)) = (&repo, &git) else {
        let Targets::Paths(paths) = targets else { return Err(Error::NoRepository) };
        return paths::scan(&mut scan, repo.as_ref(), cwd, paths, servers);
    };
    let mut versions = Versions::new(&mut scan, repo, git)?;
    match targets {
        Targets::Paths(_) => versions.tracked(),
        Targets::Staged => versions.staged(),
        Targets::Rev(rev) => {
            // A tree may be named, too.
            let tree = incoming::resolve(git, &format!("{}^{{tree}}", commit::rev_parse(git, rev)?))?;
            versions.tree(&tree)
        }
        Targets::Range(range) => {
            let (from, to) = ends(git, range)?;
            versions.range(from.as_deref(), &to)
        }
    }
}

/// The commits of `A..B`; an empty one is `HEAD`, and an `A` of zeros is none, as hooks have it for a new branch.
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

struct Scan<'a> {
    limits: Limits,
    reporter: &'a dyn Reporter,
    tell: &'a mut dyn FnMut(&ScanEvent<'_>),
}

/// The content of a file, and what is known of it.
struct Seen {
    pointer: Option<Pointer>,
    size: Option<u64>,
    report: Report,
    checkout: Option<String>,
    far: Option<Far>,
}

impl Scan<'_> {
    fn told(
        &mut self,
        path: BString,
        (blob, commit): (Option<ObjectId>, Option<ObjectId>),
        seen: Result<Seen, Error>,
    ) -> Result<(), Error> {
        if self.reporter.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let scanned = match seen {
            Ok(Seen { pointer, size, report, checkout, far }) => {
                Scanned { path, blob, pointer, size, result: Ok(report), checkout, commit, far }
            }
            Err(error) => {
                let (pointer, size) = match &error {
                    &Error::NoObject { oid, size } => (Some(Pointer { oid, size }), Some(size)),
                    _ => (None, None),
                };
                Scanned { path, blob, pointer, size, result: Err(error), checkout: None, commit, far: None }
            }
        };
        (self.tell)(&ScanEvent::File(&scanned));
        Ok(())
    }

    /// Says something of a path, which lies at `file`.
    fn remark(&mut self, path: BString, file: &Path, about: About) {
        let target = std::fs::read_link(file).ok();
        (self.tell)(&ScanEvent::Remark(&Remark { path, target, about }));
    }

    fn source(&self, source: &LocalFile) -> Result<Seen, Error> {
        let report = self.content(&source.file, &source.path)?;
        let (pointer, size) = (source.pointer, Some(source.file.len()));
        Ok(Seen { pointer, size, report, checkout: None, far: None })
    }

    fn content(&self, source: &dyn ReadAt, path: &Path) -> Result<Report, Error> {
        scan_content(source, &self.limits).map_err(Error::io("read", path))
    }
}
