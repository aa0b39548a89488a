//! [`Meant`]: what the paths of a command line mean in a repository.
//!
//! ```text
//! a file or a directory that is there by this name     itself, and what is below it
//! what lies in a submodule, or another repository      an error that names it
//! anything else that can be one                        a pathspec, as `git ls-files` takes it
//! ```
//!
//! Invariants: git matches, and from where the person stands. A name that is there means that one, whatever letters it has.
//! Exclusions take away from all that is meant. Nothing is opened.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use bstr::{BStr, BString, ByteSlice as _};

use super::workspace::Workspace;
use super::{Error, names};
use crate::git::pathspec::{self, Sources, is_exclusion, is_pathspec};
use crate::repo::{self, Mode};

/// What the paths of a command line mean.
#[derive(Debug, Default)]
pub(super) struct Meant {
    words: Vec<Word>,
    is_everything: bool,
}

/// What one of them means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A file, which need not be there.
    File(BString),
    /// What is below a directory: empty, or ended by a slash.
    Directory(BString),
    /// Files of the index, of `HEAD` or of the working tree.
    Files(BTreeSet<BString>),
    /// Nothing: a pathspec that no file of git matches.
    Nothing(BString),
    /// What this repository does not have.
    Elsewhere(Elsewhere),
}

/// What lies in another repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elsewhere {
    pub(super) path: BString,
    /// The top of that one.
    dir: BString,
    is_submodule: bool,
    is_here: bool,
}

impl Elsewhere {
    pub(super) fn error(&self) -> Error {
        let rest = self.path.get(self.dir.len() + 1..).unwrap_or_default();
        let (dir, rest, is_here) = (self.dir.clone(), rest.into(), self.is_here);
        if self.is_submodule {
            repo::Error::InSubmodule { dir, rest, is_here }.into()
        } else {
            repo::Error::InOtherRepository { dir, rest }.into()
        }
    }
}

impl Meant {
    /// What `paths` mean in the directory `cwd`; without any, everything.
    ///
    /// # Errors
    /// A path outside of the repository, or a pathspec that is none.
    pub(super) fn of(workspace: &Workspace<'_>, cwd: &Path, paths: &[OsString]) -> Result<Self, Error> {
        let (less, more): (Vec<_>, Vec<_>) = paths.iter().partition(|word| is_exclusion(word));
        let match_all = |specs: &[&OsStr], ignored: bool| -> Result<BTreeSet<BString>, Error> {
            let git = workspace.session.git_of_person(cwd)?;
            let head = !workspace.repo.head_is_unborn()?;
            let found = pathspec::files(&git, specs.iter().copied(), Sources { head, ignored })?;
            Ok(found.into_iter().collect())
        };
        let less: Vec<&OsStr> = less.into_iter().map(OsString::as_os_str).collect();
        let mut words = Vec::new();
        for word in &more {
            let specs: Vec<&OsStr> = std::iter::once(word.as_os_str()).chain(less.clone()).collect();
            let matched = |specs: &[&OsStr]| match_all(specs, false);
            words.push(one(workspace, cwd, word, &specs, &matched)?);
        }
        if more.is_empty() && !less.is_empty() {
            words.push(Word::Files(match_all(&less, false)?));
        } else if !less.is_empty() {
            let by_name: Vec<OsString> = words.iter().filter_map(Word::literal).collect();
            let specs: Vec<&OsStr> = by_name.iter().map(OsString::as_os_str).chain(less).collect();
            let kept = if by_name.is_empty() { BTreeSet::new() } else { match_all(&specs, true)? };
            words = words.into_iter().filter_map(|word| word.without(workspace, &kept)).collect();
        }
        Ok(Self { words, is_everything: paths.is_empty() })
    }

    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    /// Returns `true` if nothing in particular is meant.
    pub(super) fn is_everything(&self) -> bool {
        self.is_everything
    }

    /// Returns `true` if this path is meant: itself, what is above it, or its shard index.
    pub(super) fn means(&self, path: &BStr) -> bool {
        self.is_everything || self.words.iter().any(|word| word.means(path))
    }

    /// Returns `true` if a file that is not in the working tree is meant all the same: it is named, or the directory that
    /// it is in, which is not there either.
    pub(super) fn names(&self, workspace: &Workspace<'_>, path: &BStr) -> bool {
        self.words.iter().any(|word| match word {
            Word::File(named) => named == path || names::is_shard_of(path, named),
            Word::Directory(dir) => path.starts_with(dir) && is_gone(workspace, dir.as_bstr()),
            _ => false,
        })
    }

    /// The first path that lies in another repository.
    pub(super) fn elsewhere(&self) -> Option<&Elsewhere> {
        self.words.iter().find_map(|word| match word {
            Word::Elsewhere(elsewhere) => Some(elsewhere),
            _ => None,
        })
    }
}

impl Word {
    /// The pathspec that means the same.
    fn literal(&self) -> Option<OsString> {
        match self {
            Self::File(path) => Some(pathspec::literal(path.as_bstr())),
            Self::Directory(dir) => Some(pathspec::literal(dir.strip_suffix(b"/").unwrap_or(dir).as_bstr())),
            _ => None,
        }
    }

    /// What is left of it if only this is kept of what is there.
    fn without(self, workspace: &Workspace<'_>, kept: &BTreeSet<BString>) -> Option<Self> {
        match self {
            Self::File(path) => {
                let is_there = workspace.contains(path.as_bstr()) || !is_gone(workspace, path.as_bstr());
                (!is_there || kept.contains(&path)).then_some(Self::File(path))
            }
            Self::Directory(dir) => {
                let below = kept.iter().filter(|path| path.starts_with(&dir)).cloned();
                Some(Self::Files(below.collect()))
            }
            word => Some(word),
        }
    }

    fn means(&self, path: &BStr) -> bool {
        match self {
            Self::File(named) => named == path || names::is_shard_of(path, named),
            Self::Directory(dir) => path.starts_with(dir),
            Self::Files(files) => files.contains(path),
            Self::Nothing(_) | Self::Elsewhere(_) => false,
        }
    }
}

/// Asks git for the files that pathspecs mean.
type Matching<'a> = dyn Fn(&[&OsStr]) -> Result<BTreeSet<BString>, Error> + 'a;

/// What one word means. `specs`: it as a pathspec, and the exclusions.
fn one(
    workspace: &Workspace<'_>,
    cwd: &Path,
    word: &OsStr,
    specs: &[&OsStr],
    matched: &Matching<'_>,
) -> Result<Word, Error> {
    let on_disk = || cwd.join(word).symlink_metadata().is_ok();
    let has_magic = word.as_encoded_bytes().starts_with(b":") && is_pathspec(word) && !on_disk();
    if !has_magic {
        let path = workspace.repo.path_of(cwd, word)?;
        let dir = if path.is_empty() { path.clone() } else { [path.as_slice(), b"/"].concat().into() };
        let is_known = workspace.contains(path.as_bstr()) || workspace.unmerged.contains(&path);
        if path.is_empty() || workspace.entries.keys().any(|tracked| tracked.starts_with(&dir)) {
            return Ok(Word::Directory(dir));
        }
        if let Some(elsewhere) = elsewhere(workspace, &path) {
            return Ok(Word::Elsewhere(elsewhere));
        }
        if is_known || on_disk() || !is_pathspec(word) {
            return Ok(Word::File(path));
        }
    }
    let given = || Word::Nothing(word.as_encoded_bytes().into());
    let files = matched(specs)?;
    let is_known = |files: &BTreeSet<BString>| {
        let is_tracked = |path: &BString| {
            let in_index = workspace.contains(path.as_bstr()) || workspace.unmerged.contains(path);
            in_index || workspace.repo.head_file(path.as_bstr()).is_ok_and(|file| file.is_some())
        };
        files.iter().any(is_tracked)
    };
    Ok(if is_known(&files) || specs.len() > 1 && is_known(&matched(&[word])?) {
        Word::Files(files)
    } else {
        given()
    })
}

/// The repository that a path lies in, if it is another one: a submodule, or one that git does not track.
fn elsewhere(workspace: &Workspace<'_>, path: &BString) -> Option<Elsewhere> {
    let ends = path.find_iter("/").chain([path.len()]);
    let mut tops = ends.filter_map(|end| path.get(..end)).map(BStr::new);
    let is_top = |dir: &BStr| {
        let git_dir = workspace.repo.work_dir().join(dir.to_path_lossy()).join(".git");
        git_dir.symlink_metadata().is_ok()
    };
    let found = |dir: &BStr| match workspace.mode(dir) {
        Some(Mode::Submodule) => Some((true, is_top(dir))),
        None if !workspace.contains(path.as_bstr()) && is_top(dir) => Some((false, true)),
        _ => None,
    };
    tops.find_map(|dir| {
        let (is_submodule, is_here) = found(dir)?;
        Some(Elsewhere { path: path.clone(), dir: dir.to_owned(), is_submodule, is_here })
    })
}

/// Returns `true` if the working tree has nothing at a path.
fn is_gone(workspace: &Workspace<'_>, path: &BStr) -> bool {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let place = workspace.repo.target(path.as_bstr());
    place.is_ok_and(|target| target.path().symlink_metadata().is_err())
}
