//! Keeps pickles out of the repository: finds the files that a hook must check, checks their content, and rejects
//! pickles.
//!
//! ```text
//! changes: index, pushed commits, received commits, named files ─▶ (path, blob)
//! judge:   blob ─▶ pointer? ─▶ object, working-tree file, else the name ─▶ scan ─▶ GuardFinding
//! allow:   .st-convert-allow: sha256, path, reason
//! ```
//!
//! Invariants: nothing is downloaded, written or executed, and no token is needed; a file costs only the bytes that
//! decide, whatever its length; the result contains the files that could not be checked.

mod advice;
mod allow;
mod changes;
mod finding;
pub mod install;
mod judge;
mod judged;
mod side_by_side;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bstr::ByteSlice as _;

pub use allow::{Broken, FILE as ALLOW_FILE, quoted as quoted_path};
pub use finding::{Advice, GuardFinding, Position, Ruling, Tracking};

use super::checkouts::Checkouts;
use super::content::open_regular;
use super::{Error, Reporter, names};
use crate::git::{self, Git};
use crate::lfs::regular;
use crate::repo::{ObjectId, Repo};
use allow::{Allow, BrokenLine};
use changes::Change;
use judge::Judge;
use judged::Judged;
use side_by_side::SideBySide;

/// The question of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The index against `HEAD`, for `pre-commit` and `pre-merge-commit`.
    Index,
    /// The objects that a push adds: the lines of standard input, and the name of the remote.
    Push {
        /// `<local ref> <local oid> <remote ref> <remote oid>`, one per line.
        lines: Vec<u8>,
        /// The argument of `git push`: a name, or a URL.
        remote: Option<String>,
    },
    /// The objects that a server receives.
    Receive {
        /// `<old oid> <new oid> <ref>`, one per line.
        lines: Vec<u8>,
    },
    /// The files that the pre-commit framework names.
    Files(Vec<OsString>),
    /// The objects of one revision that another lacks: a push, in the form of the pre-commit framework.
    Range {
        /// The known revision, which this repository may lack.
        from: String,
        /// The new revision.
        to: String,
    },
}

/// The result.
#[derive(Debug, Default)]
pub struct Guarded {
    /// How many files were checked.
    pub files: usize,
    /// How many of them only by their names, because their content is not local.
    pub by_name: usize,
    /// The files to report, by path.
    pub findings: Vec<GuardFinding>,
    /// `true` if no commit exists yet.
    pub is_unborn: bool,
    /// The exceptions file.
    pub allow_file: String,
    /// `true` if the last line of that file has no line end.
    pub is_allow_file_open: bool,
    /// `true` if the last line of the top `.gitignore` has no line end.
    pub is_ignore_file_open: bool,
}

impl Guarded {
    /// Returns how many files have this result.
    pub fn count(&self, state: &Ruling) -> usize {
        let same = |finding: &&GuardFinding| {
            std::mem::discriminant(&finding.ruling) == std::mem::discriminant(state)
        };
        self.findings.iter().filter(same).count()
    }
}

/// Answers the question of a hook, in the directory where git called it.
///
/// # Errors
/// An error of the repository, git or the exceptions file. A file that cannot be checked is not an error.
pub fn guard(cwd: &Path, question: &Question, reporter: &dyn Reporter) -> Result<Guarded, Error> {
    let tell = |line: &[OsString]| reporter.command(line);
    let git = Git::in_hook(cwd)?;
    let git = git.observed(Some(&tell));
    // The repository is opened only if something is to be checked, which most commits do not need.
    let asked = changes::ask(&git, question).or_else(|error| match Repo::discover_for_hook(cwd)? {
        Some(_) => Err(error),
        None => Err(Error::NoRepository),
    })?;
    if asked.is_empty() {
        return Ok(Guarded::default());
    }
    let repo = Repo::discover_for_hook(cwd)?.ok_or(Error::NoRepository)?;
    let mut guard = Guard::new(&git, &repo, reporter)?;
    let changes = changes::of(&git, &guard.judge, &mut guard.checkouts.treatments, asked)?;
    if changes.files.is_empty() {
        return Ok(Guarded::default());
    }
    guard.judge(&changes, cwd, reporter)
}

struct Guard<'a> {
    git: &'a Git<'a>,
    repo: &'a Repo,
    judge: Judge<'a>,
    checkouts: Checkouts<'a>,
}

impl<'a> Guard<'a> {
    fn new(git: &'a Git<'a>, repo: &'a Repo, reporter: &'a dyn Reporter) -> Result<Self, Error> {
        let judge = Judge::new(git, repo)?;
        let checkouts = Checkouts::new(git, repo, judge.database.clone(), reporter).of_at_most(judge::WHOLE);
        Ok(Self { git, repo, judge, checkouts })
    }

    fn side_by_side(&self) -> SideBySide<'_> {
        let Judge { database, store, limits, .. } = &self.judge;
        SideBySide { database, store, limits }
    }

    fn judge(
        &mut self,
        changes: &changes::Changes,
        cwd: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Guarded, Error> {
        let mut answer = Guarded::default();
        let mut judged = Vec::new();
        let mut changes_allow = false;
        let allow_path = self.allow_path();
        let beside = self.side_by_side().judge(&changes.files, reporter);
        for (change, beside) in changes.files.iter().zip(beside) {
            reporter.check_interrupted()?;
            let found = match change {
                Change::Given(given) => {
                    changes_allow |= given.as_encoded_bytes() == allow_path.as_bytes();
                    let mut found = self.judge.named(cwd, given, &mut self.checkouts)?;
                    if let Some(GuardFinding { tracking, blob, .. }) =
                        found.as_mut().map(|found| &mut found.finding)
                    {
                        *tracking = if blob.is_some() { Tracking::Committed } else { Tracking::Untracked };
                    }
                    found
                }
                Change::Arrival(arrival) => {
                    changes_allow |= arrival.path == allow_path.as_bytes();
                    match beside {
                        Some(judged) => Some(judged),
                        None => self.judge.arrival(arrival, &mut self.checkouts)?,
                    }
                }
            };
            let Some(mut found) = found else { continue };
            answer.files += 1;
            answer.by_name += usize::from(found.finding.report.is_none() && found.is_by_name);
            found.may_be_known &= changes.is_index && matches!(change, Change::Arrival(_));
            if found.is_worth_a_word {
                judged.push(found);
            }
        }
        if !judged.is_empty() || changes_allow {
            let allow = self.allow(changes, &allow_path)?;
            answer.findings = self.decide(judged, &allow, changes)?;
            answer.findings.sort_by(|a, b| a.path.cmp(&b.path));
            answer.is_unborn = changes.is_index && git::incoming::resolve(self.git, "HEAD").is_err();
            answer.is_allow_file_open = self.is_open(&allow_path);
            answer.is_ignore_file_open = self.is_open(".gitignore");
            answer.allow_file = allow_path;
        }
        Ok(answer)
    }

    /// Marks files that `HEAD` contains as known, and files with an exception as allowed.
    fn decide(
        &mut self,
        judged: Vec<Judged>,
        allow: &Allow,
        changes: &changes::Changes,
    ) -> Result<Vec<GuardFinding>, Error> {
        let asks = judged.iter().any(|judged| judged.may_be_known);
        let known: HashSet<ObjectId> = if asks && git::incoming::resolve(self.git, "HEAD").is_ok() {
            git::incoming::blobs(self.git, "HEAD")?
        } else {
            HashSet::new()
        };
        let mut findings = Vec::with_capacity(judged.len());
        for mut judged in judged {
            let path = judged.finding.path.clone();
            if judged.may_be_known && judged.finding.blob.is_some_and(|blob| known.contains(&blob)) {
                judged.finding.ruling = Ruling::Known;
            } else if allow.names(path.as_bstr()) {
                let oid = judged.oid(self.git)?;
                judged.finding.oid = oid;
                if let Some(reason) = oid.and_then(|oid| allow.reason(path.as_bstr(), oid)) {
                    judged.finding.ruling = Ruling::Allowed { reason: reason.to_owned() };
                }
            }
            if matches!(judged.finding.ruling, Ruling::Refused | Ruling::Unchecked) {
                self.advise(&mut judged, &changes.tips)?;
            }
            findings.push(judged.finding);
        }
        Ok(findings)
    }

    /// Collects the facts for the hint.
    fn advise(&self, judged: &mut Judged, tips: &[String]) -> Result<(), Error> {
        let advice = advice::of(&judged.finding, judged.source());
        let finding = &mut judged.finding;
        finding.advice = advice;
        finding.is_in_head = self.repo.head_file(finding.path.as_bstr())?.is_some();
        let output = names::safetensors(finding.path.as_bstr());
        // A hint overwrites only what git can restore.
        finding.has_output = match self.judge.entry(output.as_bstr())? {
            Some(entry) => {
                let is_in_head = self.repo.head_file(output.as_bstr())?.is_some_and(|(id, _)| id == entry.id);
                is_in_head && self.repo.is_unchanged(entry, &self.repo.target(output.as_bstr())?.path())
            }
            None => false,
        };
        finding.position = match finding.commit {
            None => Position::Unknown,
            Some(id) => self.position(id, tips),
        };
        Ok(())
    }

    /// Returns `true` if a file of the working tree ends without a line end.
    fn is_open(&self, path: &str) -> bool {
        let target = if self.repo.is_bare() { None } else { self.repo.target(path.into()).ok() };
        let text = target.and_then(|target| regular::read(&target.path()).ok().flatten());
        text.is_some_and(|text| text.last().is_some_and(|last| *last != b'\n'))
    }

    /// Returns the position of a commit relative to the current one; on a server, to the pushed one.
    fn position(&self, commit: ObjectId, tips: &[String]) -> Position {
        let id = commit.to_string();
        let resolved = |name: &str| git::incoming::resolve(self.git, name);
        if self.repo.is_bare() && tips.contains(&id) || resolved("HEAD").is_ok_and(|head| head == id) {
            Position::Tip
        } else if !self.repo.is_bare() && !git::incoming::is_ancestor(self.git, &id, "HEAD") {
            Position::Unknown
        } else if resolved(&format!("{id}^")).is_ok() {
            Position::Below
        } else {
            Position::Root
        }
    }

    fn allow_path(&self) -> String {
        let set = self.repo.config_str("st-convert.allow").filter(|value| !value.is_empty());
        set.and_then(|value| value.to_str().ok().map(str::to_owned)).unwrap_or_else(|| ALLOW_FILE.to_owned())
    }

    /// Returns the exceptions: from a file outside the repository, or from the checked index or commits.
    fn allow(&mut self, changes: &changes::Changes, path: &str) -> Result<Allow, Error> {
        let mut allow = Allow::default();
        let broken = |BrokenLine { line, source }| Error::Allow { file: path.to_owned(), line, source };
        if path.starts_with('~') || Path::new(path).is_absolute() {
            let named = git::hooks::setting(self.git, None, "path", "st-convert.allow")?;
            let file = PathBuf::from(named.unwrap_or_else(|| path.to_owned()));
            let mut text = Vec::new();
            let read = open_regular(&file)?.read_to_end(&mut text);
            read.map_err(Error::io("read", &file))?;
            allow.read(&text).map_err(broken)?;
            return Ok(allow);
        }
        let mut blobs = Vec::new();
        if changes.is_index {
            blobs.extend(self.judge.entry(path.into())?.map(|entry| entry.id));
        }
        for tip in &changes.tips {
            // A tag may name a blob, which has no exceptions.
            if let Ok(tree) = git::incoming::resolve(self.git, &format!("{tip}^{{tree}}")) {
                blobs.extend(git::incoming::blob_at(self.git, &tree, path)?);
            }
        }
        blobs.sort();
        blobs.dedup();
        for blob in blobs {
            allow.read(&self.judge.text(blob, path)?).map_err(broken)?;
        }
        Ok(allow)
    }
}
