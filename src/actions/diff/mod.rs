//! Compares tensors between two revisions, or between two files, for `diff`.
//!
//! ```text
//! two trees ──▶ paths whose content differs ──▶ two models, by their headers ──▶ FileDiff
//! two files ───────────────────────────────────▲
//! ```
//!
//! Invariant: nothing is smudged, copied or downloaded: an object is read in LFS storage, and a missing one is
//! reported. Only headers are read, unless values are requested.

mod compare;
mod driver;
mod model;
mod opened;
mod tree;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice as _};

pub use compare::{Change, Changes};
pub use driver::{DriverOptions, DriverState, FileListing, ListedContent, install, listing, uninstall};
pub use model::TensorFacts;

use super::{Error, Reporter, names};
use crate::hash::Oid;
use crate::lfs::{Pointer, worktree_file};
use crate::repo::{self, Repo};
use compare::compare;
use model::Model;
use opened::OpenedFile;
use tree::SideFiles;

/// The options of a comparison.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The base of relative paths.
    pub cwd: PathBuf,
    /// The old revision or file; by default `HEAD`.
    pub old: Option<OsString>,
    /// The new revision or file; by default the working tree.
    pub new: Option<OsString>,
    /// The files or directories to compare; by default all.
    pub paths: Vec<OsString>,
    /// Compare with the staged files instead of the working tree.
    pub staged: bool,
    /// Also compare the tensors byte by byte.
    pub values: bool,
}

/// One side of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffSide {
    /// Its path.
    pub path: BString,
    /// Its object ID, if git knows it.
    pub oid: Option<Oid>,
    /// Its size in bytes.
    pub size: u64,
    /// `safetensors`, or the format of a checkpoint; `None` if it could not be read.
    pub format: Option<&'static str>,
    /// How many tensors it has.
    pub tensors: usize,
}

/// The result for a file.
#[derive(Debug)]
pub struct FileDiff {
    /// The old file; `None` if the file is new.
    pub old: Option<DiffSide>,
    /// The new file; `None` if the file was removed.
    pub new: Option<DiffSide>,
    /// The differences, or why they are not known.
    pub result: Result<Changes, NotCompared>,
}

/// Why two files were not compared.
#[derive(Debug)]
pub enum NotCompared {
    /// Their objects are not in LFS storage.
    NotHere {
        /// Which of them is missing, with its revision; `None` is the working tree or the index.
        missing: Vec<(BString, Option<String>, Pointer)>,
    },
    /// One of them cannot be read.
    Unreadable {
        /// The file.
        path: BString,
        /// The reason.
        error: Error,
    },
}

/// Compares, and passes on each file that differs.
///
/// # Errors
/// [`Error::NoRepository`], [`Error::NotFound`], an unknown revision, or an error of the repository or the system. An
/// error of one file is part of its result.
pub fn diff(options: &Options, reporter: &dyn Reporter, each: &mut dyn FnMut(FileDiff)) -> Result<(), Error> {
    let repo = Repo::discover_for_hook(&options.cwd);
    if let (Some(old), Some(new)) = (&options.old, &options.new)
        && !are_revisions(&repo, &options.cwd, [old, new])
        && let Some(found) = two_files(options, [old, new], matches!(repo, Ok(Some(_))), reporter)
    {
        found.into_iter().for_each(each);
        return Ok(());
    }
    let repo = repo?.ok_or(Error::NoRepository)?;
    let asked = Asked::of(options, &repo)?;
    let old = SideFiles::revision(&repo, &asked.old)?;
    let new = match &asked.new {
        Some(revision) => SideFiles::revision(&repo, revision)?,
        None if repo.is_bare() => {
            return Err(repo::Error::Bare { git_dir: repo.git_dir().to_owned() }.into());
        }
        None if options.staged => SideFiles::index(&repo)?,
        None => SideFiles::working_tree(&repo)?,
    };
    let revisions = [Some(asked.old.clone()), asked.new.clone()];
    let comparison = Comparison { values: options.values, reporter, revisions };
    for (was, is) in pairs(&old, &new, &asked.paths) {
        reporter.check_interrupted()?;
        if let Some(found) = comparison.paths((&old, was), (&new, is)) {
            each(found);
        }
    }
    Ok(())
}

/// Returns `true` if two words are revisions although files have their names, as in a git directory, whose `HEAD` is
/// not a model.
fn are_revisions(repo: &repo::Result<Option<Repo>>, cwd: &Path, words: [&OsString; 2]) -> bool {
    let Ok(Some(repo)) = repo else { return false };
    let real = |path: &Path| path.canonicalize().ok();
    let is_in_git_dir = || {
        let cwd = real(cwd);
        [repo.git_dir(), repo.common_dir()].iter().any(|dir| {
            let dir = real(dir);
            cwd.as_ref().zip(dir).is_some_and(|(cwd, dir)| cwd.starts_with(dir))
        })
    };
    let is_revision = |word: &OsString| word.to_str().is_some_and(|word| repo.files_at(word).is_ok());
    is_in_git_dir() && words.into_iter().all(is_revision)
}

/// Returns the result for two files, also if they cannot be opened; `None` if the arguments are not two files. Outside
/// a repository, if one argument is a file, the other must be one.
fn two_files(
    options: &Options,
    words: [&OsString; 2],
    in_repository: bool,
    reporter: &dyn Reporter,
) -> Option<Vec<FileDiff>> {
    let opened = words.map(|word| OpenedFile::open(options, word));
    if let [Ok(Some(old)), Ok(Some(new))] = &opened {
        let comparison = Comparison { values: options.values, reporter, revisions: [None, None] };
        return Some(vec![comparison.files(Some(old), Some(new))]);
    }
    let is_file = opened.iter().any(|side| matches!(side, Ok(Some(_)) | Err(_)));
    let is_known = opened.iter().any(Result::is_err) || is_file && !in_repository;
    let mut failed = Vec::new();
    for (word, side) in words.into_iter().zip(opened).filter(|_| is_known) {
        let error = match side {
            Ok(Some(_)) => continue,
            Ok(None) if in_repository => continue,
            Ok(None) => not_opened(&options.cwd.join(word)),
            Err(error) => error,
        };
        let path: BString = word.as_encoded_bytes().into();
        let side = DiffSide { path: path.clone(), oid: None, size: 0, format: None, tensors: 0 };
        let result = Err(NotCompared::Unreadable { path, error });
        failed.push(FileDiff { old: Some(side), new: None, result });
    }
    Some(failed).filter(|failed| !failed.is_empty())
}

/// Returns why an argument is not a file.
fn not_opened(path: &Path) -> Error {
    match path.metadata() {
        Ok(metadata) => worktree_file::Error::not_regular(metadata.file_type()).into(),
        Err(_) => Error::NotFound,
    }
}

/// The requested revisions and paths.
struct Asked {
    old: String,
    /// `None` for the working tree, or the index.
    new: Option<String>,
    paths: Vec<BString>,
}

impl Asked {
    fn of(options: &Options, repo: &Repo) -> Result<Self, Error> {
        let mut paths: Vec<&OsStr> = options.paths.iter().map(OsString::as_os_str).collect();
        let mut revisions = Vec::new();
        for given in [&options.old, &options.new].into_iter().flatten() {
            let text = given.to_str().unwrap_or_default();
            match text.split_once("..") {
                Some((old, new)) if revisions.is_empty() => {
                    let or_head = |text: &str| if text.is_empty() { "HEAD" } else { text }.to_owned();
                    let (is_from_base, new) = new.strip_prefix('.').map_or((false, new), |new| (true, new));
                    let (old, new) = (or_head(old), or_head(new));
                    let old = if is_from_base { merge_base(repo, &old, &new)? } else { old };
                    revisions.extend([old, new]);
                }
                None if revisions.is_empty() && text.ends_with("^!") => {
                    let commit = text.trim_end_matches("^!");
                    revisions.extend([format!("{commit}^"), commit.to_owned()]);
                }
                _ => match repo.files_at(text) {
                    Ok(_) => revisions.push(text.to_owned()),
                    // As in git: an argument that is not a revision is a file.
                    Err(repo::Error::NoSuchRevision { .. })
                        if options.cwd.join(given).symlink_metadata().is_ok() =>
                    {
                        paths.push(given);
                    }
                    Err(repo::Error::NoSuchRevision { .. }) if text == "HEAD" => {
                        revisions.push(text.to_owned());
                    }
                    Err(error) => return Err(error.into()),
                },
            }
        }
        let paths =
            paths.into_iter().map(|path| repo.path_of(&options.cwd, path)).collect::<Result<_, _>>()?;
        let mut revisions = revisions.into_iter();
        let old = revisions.next().unwrap_or_else(|| "HEAD".to_owned());
        Ok(Self { old, new: revisions.next(), paths })
    }
}

/// Returns the merge base of two revisions.
fn merge_base(repo: &Repo, old: &str, new: &str) -> Result<String, Error> {
    let commit = |revision: &str| repo.commit_of(revision);
    let base = repo.history()?.merge_base(commit(old)?, commit(new)?)?;
    let none = || Error::NoSuchRevision { revision: format!("{old}...{new}"), remote: None };
    base.map(|base| base.to_string()).ok_or_else(none)
}

/// Returns the paths that differ, the old one and the new one. A renamed file is one pair; so are a removed checkpoint
/// and the new safetensors file that is named after it.
fn pairs(
    old: &SideFiles<'_>,
    new: &SideFiles<'_>,
    asked: &[BString],
) -> Vec<(Option<BString>, Option<BString>)> {
    let is_asked = |path: &BStr| {
        asked.is_empty()
            || asked.iter().any(|asked| {
                let rest = path.strip_prefix(asked.as_slice());
                asked.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            })
    };
    let all: BTreeSet<&BString> = old.paths().chain(new.paths()).collect();
    let (mut gone, mut fresh, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    for path in all.into_iter().filter(|path| is_asked(path.as_bstr())) {
        match (old.content(path.as_bstr()), new.content(path.as_bstr())) {
            (Some(was), Some(is)) if was == is => {}
            (Some(_), Some(_)) => pairs.push((Some(path.clone()), Some(path.clone()))),
            (Some(was), None) => gone.push((path, was)),
            (None, Some(is)) => fresh.push((path, is)),
            (None, None) => {}
        }
    }
    for (path, is) in fresh {
        let same = gone.iter().position(|(_, was)| *was == is);
        let made = || {
            gone.iter().position(|(old, _)| {
                names::is_weight_like(old.as_bstr()) && names::safetensors(old.as_bstr()) == *path
            })
        };
        let was = same.or_else(made).map(|at| gone.remove(at).0.clone());
        pairs.push((was, Some(path.clone())));
    }
    pairs.extend(gone.into_iter().map(|(path, _)| (Some(path.clone()), None)));
    pairs.sort_by(|one, other| one.1.as_ref().or(one.0.as_ref()).cmp(&other.1.as_ref().or(other.0.as_ref())));
    pairs
}

/// How files are compared.
struct Comparison<'a> {
    values: bool,
    reporter: &'a dyn Reporter,
    /// The revisions of both sides, if they are revisions.
    revisions: [Option<String>; 2],
}

impl Comparison<'_> {
    /// Compares the files of two trees at these paths; `None` if neither is a model.
    fn paths(
        &self,
        (old, was): (&SideFiles<'_>, Option<BString>),
        (new, is): (&SideFiles<'_>, Option<BString>),
    ) -> Option<FileDiff> {
        let open = |tree: &SideFiles<'_>, path: &Option<BString>| match path {
            Some(path) => {
                OpenedFile::of_tree(tree, path.as_bstr()).map_err(|error| Box::new((path.clone(), error)))
            }
            None => Ok(None),
        };
        match (open(old, &was), open(new, &is)) {
            (Ok(None), Ok(None)) => None,
            (Ok(was), Ok(is)) => Some(self.files(was.as_ref(), is.as_ref())).filter(FileDiff::is_of_models),
            (Err(error), _) | (_, Err(error)) => {
                let side = |path: Option<BString>| {
                    path.map(|path| DiffSide { path, oid: None, size: 0, format: None, tensors: 0 })
                };
                let (path, error) = *error;
                let result = Err(NotCompared::Unreadable { path, error });
                Some(FileDiff { old: side(was), new: side(is), result })
            }
        }
    }

    /// Returns the contents of a file for the comparison.
    fn model<'t>(&self, target: Option<&'t OpenedFile>) -> Result<Option<Model<'t>>, NotCompared> {
        let Some(target) = target else { return Ok(None) };
        let unreadable = |error| NotCompared::Unreadable { path: target.path.clone(), error };
        let Ok(source) = target.bytes.here() else { return Ok(None) };
        let mut model = Model::read(source, self.values).map_err(unreadable)?;
        if let Some(model) = model.as_mut().filter(|_| self.values) {
            model.inflate().map_err(unreadable)?;
        }
        Ok(model)
    }

    fn files(&self, old: Option<&OpenedFile>, new: Option<&OpenedFile>) -> FileDiff {
        let result = |old_side, new_side, result| FileDiff { old: old_side, new: new_side, result };
        let side = |target: Option<&OpenedFile>| target.map(|target| target.side(None));
        let mut missing = Vec::new();
        for (target, revision) in [old, new].into_iter().zip(&self.revisions) {
            let Some(target) = target else { continue };
            if let Err(pointer) = target.bytes.here() {
                missing.push((target.path.clone(), revision.clone(), pointer));
            }
        }
        if !missing.is_empty() {
            return result(side(old), side(new), Err(NotCompared::NotHere { missing }));
        }
        let (was, is) = match (self.model(old), self.model(new)) {
            (Ok(was), Ok(is)) => (was, is),
            (Err(error), _) | (_, Err(error)) => return result(side(old), side(new), Err(error)),
        };
        let is_one = |old: &OpenedFile, new: &OpenedFile| old.oid.is_some() && old.oid == new.oid;
        let compared = match (old, new) {
            (Some(old), Some(new)) if is_one(old, new) => {
                let same = is.as_ref().map_or(0, |model| model.tensors.len());
                Ok(Changes { same, ..Changes::default() })
            }
            _ => compare(was.as_ref(), is.as_ref(), self.values, self.reporter),
        };
        let path = new.or(old).map(|target| target.path.clone()).unwrap_or_default();
        let compared = compared.map_err(|error| NotCompared::Unreadable { path, error });
        let (old, new) = (old.map(|old| old.side(was.as_ref())), new.map(|new| new.side(is.as_ref())));
        result(old, new, compared)
    }
}

impl FileDiff {
    /// Returns its current or old path.
    pub fn path(&self) -> &BStr {
        let side = self.new.as_ref().or(self.old.as_ref());
        side.map_or(b"".as_bstr(), |side| side.path.as_bstr())
    }

    /// Returns `true` if one of the files contains tensors, as far as it is known. The name decides about a missing
    /// file.
    fn is_of_models(&self) -> bool {
        let mut sides = self.old.iter().chain(&self.new);
        match &self.result {
            Ok(_) => sides.any(|side| side.format.is_some()),
            Err(_) => sides.any(|side| {
                let path = side.path.as_bstr();
                (names::is_weight_like(path) && !names::is_training_state(path))
                    || names::is_safetensors(path)
            }),
        }
    }

    /// Returns `true` if it is known to differ.
    pub fn differs(&self) -> bool {
        match &self.result {
            Ok(changes) => !changes.list.is_empty() || changes.unread > 0 || self.is_renamed(),
            Err(_) => true,
        }
    }

    /// Returns `true` if its path changed.
    pub fn is_renamed(&self) -> bool {
        matches!((&self.old, &self.new), (Some(old), Some(new)) if old.path != new.path)
    }
}
