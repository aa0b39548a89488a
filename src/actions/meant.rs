//! [`Meant`] resolves the paths of a command line in a repository.
//!
//! ```text
//! an existing file or directory of this name           itself, and everything below it
//! a path in a submodule, or in another repository      an error that names it
//! anything else that can be one                        a pathspec, as `git ls-files` accepts it
//! ```
//!
//! Invariants: git matches pathspecs, relative to the user's directory. An existing name means that file, whatever
//! characters it has. Exclusions apply to all paths. No file is opened.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use bstr::{BStr, BString, ByteSlice as _};

use super::workspace::Workspace;
use super::{Error, names};
use crate::git::pathspec::{self, Sources, is_exclusion, is_pathspec};
use crate::repo::{self, Mode};

/// The meaning of the paths of a command line.
#[derive(Debug, Default)]
pub(super) struct Meant {
    words: Vec<Word>,
    is_everything: bool,
}

/// The meaning of one path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A file, which need not exist.
    File(BString),
    /// Everything below a directory: empty, or with a slash at its end.
    Directory(BString),
    /// Files of the index, of `HEAD` or of the working tree.
    Files(BTreeSet<BString>),
    /// Nothing: a pathspec that matches no file of git.
    Nothing(BString),
    /// A path in another repository.
    Elsewhere(Elsewhere),
}

/// A path in another repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elsewhere {
    pub(super) path: BString,
    /// The top of that repository.
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
    /// Resolves `paths` in the directory `cwd`; without paths, everything is meant.
    ///
    /// # Errors
    /// A path outside the repository, or an invalid pathspec.
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

    /// Returns `true` if no path was given.
    pub(super) fn is_everything(&self) -> bool {
        self.is_everything
    }

    /// Returns `true` if this path is meant: itself, a directory above it, or its shard index.
    pub(super) fn means(&self, path: &BStr) -> bool {
        self.is_everything || self.words.iter().any(|word| word.means(path))
    }

    /// Returns `true` if a file that is missing in the working tree is meant by its own name, or by its directory,
    /// which is also missing.
    pub(super) fn names(&self, workspace: &Workspace<'_>, path: &BStr) -> bool {
        self.words.iter().any(|word| match word {
            Word::File(named) => named == path || names::is_shard_of(path, named),
            Word::Directory(dir) => path.starts_with(dir) && is_gone(workspace, dir.as_bstr()),
            _ => false,
        })
    }

    /// Returns the first path in another repository.
    pub(super) fn elsewhere(&self) -> Option<&Elsewhere> {
        self.words.iter().find_map(|word| match word {
            Word::Elsewhere(elsewhere) => Some(elsewhere),
            _ => None,
        })
    }
}

impl Word {
    /// Returns the equivalent pathspec.
    fn literal(&self) -> Option<OsString> {
        match self {
            Self::File(path) => Some(pathspec::literal(path.as_bstr())),
            Self::Directory(dir) => Some(pathspec::literal(dir.strip_suffix(b"/").unwrap_or(dir).as_bstr())),
            _ => None,
        }
    }

    /// Returns the rest if only `kept` remains of the existing files.
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

/// Returns the files that match pathspecs, by git.
type Matching<'a> = dyn Fn(&[&OsStr]) -> Result<BTreeSet<BString>, Error> + 'a;

/// Resolves one path. `specs`: the path as a pathspec, and the exclusions.
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

/// Returns the repository of a path, if it is another one: a submodule, or one that git does not track.
pub(super) fn elsewhere(workspace: &Workspace<'_>, path: &BString) -> Option<Elsewhere> {
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

/// Returns `true` if the path does not exist in the working tree.
fn is_gone(workspace: &Workspace<'_>, path: &BStr) -> bool {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let place = workspace.repo.target(path.as_bstr());
    place.is_ok_and(|target| target.path().symlink_metadata().is_err())
}
