//! Which files hold pickles, and what those would call.
//!
//! What is looked at: files and directories, the tracked files of the work tree, the index, a commit, or what the commits
//! of a range add. A pointer stands for its object in the store; nothing is downloaded, and a blob that a partial clone
//! left out is said to be missing. A large blob is never held in memory: its first bytes decide, or it passes through an
//! unnamed temporary file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice as _};

use super::content::LocalFile;
use super::{Error, Reporter, names};
use crate::git::{self, Git, commit, history};
use crate::lfs::{Pointer, pointer};
use crate::read_at::{FileSource, ReadAt};
use crate::repo::{Entry, Mode, ObjectId, Repo, Version};
use crate::scan::{HEAD, Limits, Report, scan as scan_content, scan_head};

/// A blob of at most so many bytes is read at once.
const SMALL: u64 = 16 << 20;

/// What to look at.
#[derive(Debug, Clone)]
pub enum Targets {
    /// Files and directories; empty: the tracked files of the work tree.
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
        let unseen = || {
            if names::is_of_another_kind(self.path.as_ref()) { Standing::Noted } else { Standing::Unseen }
        };
        match &self.result {
            Ok(report) if report.holds_pickle() => Standing::Found,
            Ok(report) if report.is_opaque() => unseen(),
            Ok(_) => Standing::Clean,
            Err(error) if is_missing(error) => unseen(),
            Err(_) => Standing::Unseen,
        }
    }

    /// Is its content not on this machine?
    pub fn is_missing(&self) -> bool {
        self.result.as_ref().is_err_and(is_missing)
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NoObject { .. } | Error::Repo(crate::repo::Error::MissingBlob { .. }))
}

/// Scans the targets, and hands each file to `tell`.
///
/// # Errors
/// [`Error::NoRepository`], [`Error::Interrupted`], or what the repository and git report of the whole. What is wrong
/// with one file is in its [`Scanned`].
pub fn scan(
    cwd: &Path,
    targets: &Targets,
    reporter: &dyn Reporter,
    tell: &mut dyn FnMut(&Scanned),
) -> Result<(), Error> {
    let repo = match targets {
        Targets::Staged => Repo::discover(cwd)?,
        Targets::Paths(paths) if paths.is_empty() => Repo::discover(cwd)?,
        // A bare repository has neither index nor work tree, which these do not ask for.
        Targets::Paths(_) | Targets::Rev(_) | Targets::Range(_) => Repo::discover_for_hook(cwd)?,
    };
    let mut scan = Scan { repo, limits: Limits::default(), reporter, tell };
    match targets {
        Targets::Paths(paths) if !paths.is_empty() => scan.paths(cwd, paths),
        Targets::Paths(_) => scan.tracked(),
        Targets::Staged => scan.staged(),
        Targets::Rev(rev) => {
            let tree = scan.git(|git| history::tree(git, &commit::rev_parse(git, rev)?))?;
            scan.versions(tree)
        }
        Targets::Range(range) => {
            let added = scan.git(|git| {
                let (from, to) = ends(git, range)?;
                history::added(git, from.as_deref(), &to)
            })?;
            scan.versions(added)
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
    repo: Option<Repo>,
    limits: Limits,
    reporter: &'a dyn Reporter,
    tell: &'a mut dyn FnMut(&Scanned),
}

/// The content of a file, and what is known of it.
struct Seen {
    pointer: Option<Pointer>,
    size: u64,
    report: Report,
}

impl Scan<'_> {
    fn repo(&self) -> Result<&Repo, Error> {
        self.repo.as_ref().ok_or(Error::NoRepository)
    }

    fn git<T>(&self, ask: impl FnOnce(&Git<'_>) -> Result<T, git::Error>) -> Result<T, Error> {
        let observe = |line: &[OsString]| self.reporter.command(line);
        let git = Git::in_hook(self.repo()?.work_dir())?.observed(Some(&observe));
        Ok(ask(&git)?)
    }

    fn told(
        &mut self,
        path: BString,
        blob: Option<ObjectId>,
        seen: Result<Seen, Error>,
    ) -> Result<(), Error> {
        if self.reporter.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let scanned = match seen {
            Ok(Seen { pointer, size, report }) => {
                Scanned { path, blob, pointer, size: Some(size), result: Ok(report) }
            }
            Err(error) => {
                let (pointer, size) = match &error {
                    &Error::NoObject { oid, size } => (Some(Pointer { oid, size }), Some(size)),
                    _ => (None, None),
                };
                Scanned { path, blob, pointer, size, result: Err(error) }
            }
        };
        (self.tell)(&scanned);
        Ok(())
    }

    // ---- what is looked at

    fn paths(&mut self, cwd: &Path, paths: &[OsString]) -> Result<(), Error> {
        for path in paths {
            let full = cwd.join(path);
            let name = Path::new(path);
            match full.metadata() {
                Ok(metadata) if metadata.is_dir() => self.directory(&full, name)?,
                Ok(_) => {
                    let seen = self.plain(&full, name);
                    self.told(bytes(name), None, seen)?;
                }
                Err(source) if source.kind() == io::ErrorKind::NotFound => {
                    self.told(bytes(name), None, Err(Error::NotFound))?;
                }
                Err(source) => {
                    self.told(bytes(name), None, Err(Error::Io { what: "open", path: full, source }))?;
                }
            }
        }
        Ok(())
    }

    /// Every file below a directory, in order; links are not followed, and `.git` is left out.
    fn directory(&mut self, dir: &Path, name: &Path) -> Result<(), Error> {
        let mut waiting = vec![(dir.to_owned(), name.to_owned())];
        while let Some((dir, name)) = waiting.pop() {
            let entries: Result<BTreeSet<OsString>, _> = fs::read_dir(&dir)
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
            let entries = match entries {
                Ok(entries) => entries,
                Err(source) => {
                    self.told(bytes(&name), None, Err(Error::Io { what: "read", path: dir, source }))?;
                    continue;
                }
            };
            let mut below = Vec::new();
            for entry in entries.into_iter().filter(|entry| entry != ".git") {
                let (full, name) = (dir.join(&entry), name.join(&entry));
                match full.symlink_metadata() {
                    Ok(metadata) if metadata.is_dir() => below.push((full, name)),
                    Ok(metadata) if metadata.is_file() => {
                        let seen = self.plain(&full, &name);
                        self.told(bytes(&name), None, seen)?;
                    }
                    _ => {}
                }
            }
            waiting.extend(below.into_iter().rev());
        }
        Ok(())
    }

    fn tracked(&mut self) -> Result<(), Error> {
        let repo = self.repo()?;
        let entries = repo.entries()?;
        let mut last = None;
        for entry in entries.into_iter().filter(is_file) {
            if last.as_ref() == Some(&entry.path) {
                continue;
            }
            let seen = match LocalFile::work_tree(self.repo()?, entry.path.as_ref(), None) {
                Ok(source) => self.source(&source),
                // A sparse checkout leaves it out.
                Err(Error::NotFound) => self.blob(entry.id),
                Err(error) => Err(error),
            };
            self.told(entry.path.clone(), None, seen)?;
            last = Some(entry.path);
        }
        Ok(())
    }

    fn staged(&mut self) -> Result<(), Error> {
        for entry in self.repo()?.entries()?.into_iter().filter(is_file).filter(|entry| !entry.intent_to_add)
        {
            let seen = self.entry(&entry);
            self.told(entry.path, Some(entry.id), seen)?;
        }
        Ok(())
    }

    fn versions(&mut self, versions: Vec<(BString, Version)>) -> Result<(), Error> {
        for (path, version) in versions {
            if matches!(version.mode, Mode::File | Mode::Executable) {
                let seen = self.blob(version.id);
                self.told(path, Some(version.id), seen)?;
            }
        }
        Ok(())
    }

    // ---- the content of one file

    /// A file that was named, or found in a directory that was.
    fn plain(&self, full: &Path, name: &Path) -> Result<Seen, Error> {
        let name = bytes(name);
        let source = match LocalFile::plain(self.repo.as_ref(), name.as_ref(), full) {
            // The file may lie in another repository than the one that this was started in.
            Err(Error::NoObject { .. }) => {
                let repo = Repo::discover(full.parent().unwrap_or(full))?;
                LocalFile::plain(repo.as_ref(), name.as_ref(), full)
            }
            source => source,
        };
        self.source(&source?)
    }

    fn source(&self, source: &LocalFile) -> Result<Seen, Error> {
        let report = self.content(&source.file, &source.path)?;
        Ok(Seen { pointer: source.pointer, size: source.file.len(), report })
    }

    fn content(&self, source: &dyn ReadAt, path: &Path) -> Result<Report, Error> {
        let failed = |source| Error::Io { what: "read", path: path.to_owned(), source };
        scan_content(source, &self.limits).map_err(failed)
    }

    /// A file of the index: the object behind its pointer, or the work-tree file where git takes that for the same.
    fn entry(&self, entry: &Entry) -> Result<Seen, Error> {
        let repo = self.repo()?;
        let seen = match repo.blob_size(entry.id)? {
            Some(size) if size > SMALL => Err(size),
            _ => match self.blob(entry.id) {
                Err(Error::NoObject { size, .. }) => Err(size),
                seen => Ok(seen),
            },
        };
        let size = match seen {
            Ok(seen) => return seen,
            Err(size) => size,
        };
        let target = repo.target(entry.path.as_ref())?;
        if entry.is_unchanged(&target.path())
            && let Ok(source) = LocalFile::work_tree(repo, entry.path.as_ref(), None)
            && source.file.len() == size
        {
            return self.source(&source);
        }
        self.blob(entry.id)
    }

    fn blob(&self, id: ObjectId) -> Result<Seen, Error> {
        let repo = self.repo()?;
        let size = repo.blob_size(id)?.ok_or(crate::repo::Error::MissingBlob { id })?;
        if size > SMALL {
            return Ok(Seen { pointer: None, size, report: self.large_blob(id, size)? });
        }
        let content = repo.blob(id, SMALL)?;
        let pointer = if content.len() < pointer::MAX_LEN { Pointer::parse(&content).ok() } else { None };
        match pointer {
            Some(pointer) => self.source(&LocalFile::object(Some(repo), BStr::new(""), pointer)?),
            None => Ok(Seen { pointer: None, size, report: self.content(&content, Path::new(""))? }),
        }
    }

    /// A blob that is too large for memory: by its first bytes, or by way of a file without a name.
    fn large_blob(&self, id: ObjectId, size: u64) -> Result<Report, Error> {
        let mut head = Vec::new();
        let mut decided = None;
        let mut file = None;
        self.git(|git| {
            let command = git.command("cat-file").args(["blob".to_owned(), id.to_string()]);
            command.env("GIT_NO_LAZY_FETCH", "1").stream(|piece| {
                if self.reporter.is_interrupted() {
                    return Ok(ControlFlow::Break(()));
                }
                if let Some(file) = &mut file {
                    fs::File::write_all(file, piece)?;
                    return Ok(ControlFlow::Continue(()));
                }
                head.extend_from_slice(piece);
                if head.len() < HEAD {
                    return Ok(ControlFlow::Continue(()));
                }
                decided = scan_head(&head, size, &self.limits);
                if decided.is_some() {
                    return Ok(ControlFlow::Break(()));
                }
                let mut rest = tempfile::tempfile()?;
                rest.write_all(&head)?;
                file = Some(rest);
                Ok(ControlFlow::Continue(()))
            })
        })?;
        if self.reporter.is_interrupted() {
            return Err(Error::Interrupted);
        }
        match (decided, file) {
            (Some(report), _) => Ok(report),
            (None, Some(file)) => {
                let failed =
                    |source| Error::Io { what: "read", path: PathBuf::from("a temporary file"), source };
                self.content(&FileSource::new(file).map_err(failed)?, Path::new(""))
            }
            (None, None) => self.content(&head, Path::new("")),
        }
    }
}

fn is_file(entry: &Entry) -> bool {
    matches!(entry.mode, Mode::File | Mode::Executable)
}

/// A path of this system, with `/` between its parts.
fn bytes(path: &Path) -> BString {
    let name = path.as_os_str().as_encoded_bytes().as_bstr().to_owned();
    if cfg!(windows) { name.replace("\\", "/").into() } else { name }
}
