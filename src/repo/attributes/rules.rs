//! [`Rules`] evaluates the attributes files as one reader sees them, with lines that are proposed for them.
//!
//! Order, a later line wins: built-in, system, `core.attributesFile`, `.gitattributes` from the top of the working tree
//! down to the path, `info/attributes`. Source: gitattributes(5) and `attr.c` of git. gix's own stack places
//! `info/attributes` directly after the top-level file, so this module makes the order, and gix parses and matches.
//!
//! Invariant: the effect of a proposal is checked with git's rules, in memory; a proposal without the desired effect is
//! removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice as _};
use gix::attrs::search::{MetadataCollection, Outcome};
use gix::attrs::{Search, StateRef};

use super::Filter;
use super::trees::below;
use crate::lfs::attributes::{self, MAX_LINE_LEN, SAFETENSORS};
use crate::lfs::regular;
use crate::repo::{Entry, Error, Mode, Repo, Result};

const FILE_NAME: &str = ".gitattributes";

/// git ignores longer attributes files (`ATTR_MAX_FILE_SIZE`).
const MAX_FILE_LEN: u64 = 100 << 20;

/// Which attributes files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The files of the working tree, or of the index if they are not checked out: the current view of git.
    WorkTree,
    /// The files of the index: the view of git after a commit of all staged changes.
    Index,
    /// The files of `HEAD`.
    Head,
}

/// All relevant attributes files, with proposed contents in place of the existing ones.
pub(super) struct Rules<'a> {
    repo: &'a Repo,
    entries: &'a [Entry],
    view: View,
    globals: Vec<PathBuf>,
    /// The attributes file of only this clone, if it counts.
    own: Option<PathBuf>,
    case: gix::glob::pattern::Case,
    /// The existing content by directory, which is empty for the top.
    files: BTreeMap<BString, Option<Vec<u8>>>,
    pub(super) proposed: BTreeMap<BString, Vec<u8>>,
}

/// The line that decides about a path.
struct Decides {
    file: PathBuf,
    /// The number of the line, from 1.
    line: usize,
}

impl<'a> Rules<'a> {
    pub(super) fn new(repo: &'a Repo, entries: &'a [Entry], view: View) -> Result<Self> {
        let globals = repo.inner.attribute_global_paths();
        let globals = globals.map_err(Error::git("find the global attributes files"))?;
        let fold = repo.config_bool("core.ignoreCase").unwrap_or(false);
        let case = if fold { gix::glob::pattern::Case::Fold } else { gix::glob::pattern::Case::Sensitive };
        let (files, proposed) = (BTreeMap::new(), BTreeMap::new());
        let own = Some(repo.common_dir().join("info").join("attributes"));
        Ok(Self { repo, entries, view, globals, own, case, files, proposed })
    }

    /// Returns the rules without those of this clone and this machine: the view of any other clone.
    pub(super) fn elsewhere(mut self) -> Self {
        (self.globals, self.own) = (Vec::new(), None);
        self
    }

    /// Proposes the lines that give these paths the filter of Git LFS. In `other` all of them have it already: if its
    /// line has the same effect here, that line is proposed.
    pub(super) fn give_lfs(&mut self, paths: &[BString], mut other: Option<&mut Rules<'_>>) -> Result<()> {
        let mut broad = false;
        let mut open = Vec::new();
        for path in paths {
            let is_open = match (self.filter(path.as_ref())?, &mut other) {
                (Filter::Lfs, _) => false,
                (Filter::Other(filter), None) => {
                    return Err(Error::OtherFilter { path: path.clone(), filter });
                }
                (_, None) => true,
                (_, Some(other)) => !self.follow(path, other)?,
            };
            if is_open {
                open.push(path);
                broad |=
                    path.ends_with(b".safetensors") && self.filter(path.as_ref())? == Filter::Unspecified;
            }
        }
        if broad {
            self.try_line(BStr::new(""), attributes::line(SAFETENSORS.into()).as_ref(), paths)?;
        }
        for path in open {
            self.ensure(path)?;
        }
        // A line for one path could have changed the result for another only by matching it; so all are checked again.
        for path in paths {
            if let (Filter::Unspecified | Filter::Unset | Filter::Other(_), by) =
                self.decide(path.as_ref())?
            {
                return Err(overridden(path, by));
            }
        }
        Ok(())
    }

    /// Returns the filter of a path.
    pub(super) fn filter(&mut self, path: &BStr) -> Result<Filter> {
        Ok(self.decide(path)?.0)
    }

    /// Returns the filter of a path, and the line that decides about it.
    fn decide(&mut self, path: &BStr) -> Result<(Filter, Option<Decides>)> {
        for dir in directories(path) {
            self.load(dir)?;
        }
        let mut names = MetadataCollection::default();
        let mut buf = Vec::new();
        let unreadable = |path: &Path| Error::io("read", path.to_owned());
        let mut search = Search::new_globals(self.globals.iter().cloned(), &mut buf, &mut names)
            .map_err(unreadable(self.repo.common_dir()))?;
        for dir in directories(path) {
            let source = source(dir)?;
            search
                .add_patterns_buffer(
                    self.text(dir),
                    source.clone(),
                    Some(Path::new("")),
                    &mut names,
                    dir.is_empty(),
                )
                .map_err(unreadable(&source))?;
        }
        if let Some(own) = &self.own {
            search
                .add_patterns_file(own.clone(), true, None, &mut buf, &mut names, true)
                .map_err(unreadable(own))?;
        }
        let mut outcome = Outcome::default();
        outcome.initialize_with_selection(&names, ["filter"]);
        search.pattern_matching_relative_path(path, self.case, Some(false), &mut outcome);
        let Some(found) = outcome.iter_selected().next() else { return Ok((Filter::Unspecified, None)) };
        let filter = match found.assignment.state {
            StateRef::Unspecified => Filter::Unspecified,
            StateRef::Set | StateRef::Unset => Filter::Unset,
            StateRef::Value(name) if name.as_bstr() == "lfs" => Filter::Lfs,
            StateRef::Value(name) => Filter::Other(name.as_bstr().to_owned()),
        };
        let line = found.location.sequence_number;
        Ok((filter, found.location.source.map(|file| Decides { file: file.to_owned(), line })))
    }

    /// Returns the content of the loaded attributes file of a directory, with the proposals.
    fn text(&self, dir: &BStr) -> &[u8] {
        self.proposed.get(dir).map_or_else(|| self.file(dir).unwrap_or_default(), Vec::as_slice)
    }

    /// Returns the content of the loaded attributes file of a directory, without proposals.
    pub(super) fn file(&self, dir: &BStr) -> Option<&[u8]> {
        self.files.get(dir)?.as_deref()
    }

    pub(super) fn load(&mut self, dir: &BStr) -> Result<()> {
        if !self.files.contains_key(dir) {
            let content = match self.view {
                View::WorkTree => self.checked_out(dir)?,
                View::Index => self.staged(dir)?,
                View::Head => self.committed(dir)?,
            };
            self.files.insert(dir.to_owned(), content);
        }
        Ok(())
    }

    fn checked_out(&self, dir: &BStr) -> Result<Option<Vec<u8>>> {
        let path = self.repo.target(file_in(dir).as_ref())?.path();
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() && meta.len() <= MAX_FILE_LEN => {
                regular::read(&path).map_err(Error::io("read", path))
            }
            Ok(_) => Ok(None),
            Err(_) => self.staged(dir),
        }
    }

    fn entry(&self, dir: &BStr) -> Option<&'a Entry> {
        let path = file_in(dir);
        self.entries.iter().find(|entry| entry.path == path && entry.stage == 0 && !entry.intent_to_add)
    }

    fn staged(&self, dir: &BStr) -> Result<Option<Vec<u8>>> {
        let file = self.entry(dir).filter(|entry| matches!(entry.mode, Mode::File | Mode::Executable));
        file.map(|entry| self.repo.blob(entry.id, MAX_FILE_LEN)).transpose()
    }

    fn committed(&self, dir: &BStr) -> Result<Option<Vec<u8>>> {
        let file = self.repo.head_file(file_in(dir).as_ref())?;
        file.map(|(id, _)| self.repo.blob(id, MAX_FILE_LEN)).transpose()
    }

    /// Returns `true` if its attributes file is executable.
    pub(super) fn is_executable(&self, dir: &BStr) -> Result<bool> {
        let mode = match self.view {
            View::WorkTree | View::Index => self.entry(dir).map(|entry| entry.mode),
            View::Head => self.repo.head_file(file_in(dir).as_ref())?.map(|(_, mode)| mode),
        };
        Ok(mode == Some(Mode::Executable))
    }

    /// Proposes the line that decides about a path in `other`. Returns `true` if the path then has the filter.
    fn follow(&mut self, path: &BString, other: &mut Rules<'_>) -> Result<bool> {
        let (Filter::Lfs, Some(decides)) = other.decide(path.as_ref())? else { return Ok(false) };
        for dir in directories(path.as_ref()) {
            if source(dir)? == decides.file {
                let text = other.text(dir);
                let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
                let line = text.lines().nth(decides.line.saturating_sub(1)).unwrap_or_default().to_owned();
                self.try_line(dir, line.as_bstr(), std::slice::from_ref(path))?;
                return Ok(self.filter(path.as_ref())? == Filter::Lfs);
            }
        }
        Ok(false)
    }

    /// Proposes a line, and removes it if it changes a tracked file other than `paths`, or gives none of them the
    /// filter.
    fn try_line(&mut self, dir: &BStr, line: &BStr, paths: &[BString]) -> Result<()> {
        let entries = self.entries;
        let others = entries.iter().map(|entry| &entry.path);
        let others = others.filter(|path| path.ends_with(b".safetensors") && !paths.contains(path));
        let mut before = Vec::new();
        for path in others {
            // A file that is only staged is not in a commit of other paths.
            if self.view != View::Head || self.repo.head_file(path.as_ref())?.is_some() {
                before.push((path, self.filter(path.as_ref())?));
            }
        }
        let old = self.proposed.get(dir).cloned();
        self.propose(dir, line)?;
        let mut serves = false;
        for path in paths {
            serves |= self.filter(path.as_ref())? == Filter::Lfs;
        }
        for (path, filter) in before {
            serves = serves && self.filter(path.as_ref())? == filter;
        }
        if !serves {
            self.restore(dir, old);
        }
        Ok(())
    }

    /// Proposes a line for one path, in the topmost attributes file where it wins.
    fn ensure(&mut self, path: &BString) -> Result<()> {
        let mut decides = self.decide(path.as_ref())?;
        for dir in directories(path.as_ref()) {
            if decides.0 == Filter::Lfs {
                return Ok(());
            }
            if !dir.is_empty() && self.text(dir).is_empty() {
                continue;
            }
            let skip = if dir.is_empty() { 0 } else { dir.len() + 1 };
            let pattern = attributes::pattern(path.get(skip..).unwrap_or_default().as_bstr());
            let line = attributes::line(pattern.as_ref());
            if line.len() >= MAX_LINE_LEN {
                return Err(Error::AttributesLineTooLong { path: path.clone(), len: line.len() });
            }
            let old = self.proposed.get(dir).cloned();
            self.propose(dir, line.as_ref())?;
            decides = self.decide(path.as_ref())?;
            if decides.0 != Filter::Lfs {
                self.restore(dir, old);
            }
        }
        match decides {
            (Filter::Lfs, _) => Ok(()),
            (_, by) => Err(overridden(path, by)),
        }
    }

    fn propose(&mut self, dir: &BStr, line: &BStr) -> Result<()> {
        let path = file_in(dir);
        let full = self.repo.target(path.as_ref())?.path();
        if full.is_symlink() || self.entry(dir).is_some_and(|entry| entry.mode == Mode::Symlink) {
            return Err(Error::AttributesSymlink { path });
        }
        self.load(dir)?;
        let content = attributes::append_line(self.text(dir), line);
        self.proposed.insert(dir.to_owned(), content);
        Ok(())
    }

    fn restore(&mut self, dir: &BStr, old: Option<Vec<u8>>) {
        match old {
            Some(old) => self.proposed.insert(dir.to_owned(), old),
            None => self.proposed.remove(dir),
        };
    }
}

fn overridden(path: &BString, by: Option<Decides>) -> Error {
    let by = by.map(|decides| decides.file).unwrap_or_default();
    Error::AttributesOverridden { path: path.clone(), by }
}

/// Returns the directories of a path, the top (empty) first.
pub(super) fn directories(path: &BStr) -> impl Iterator<Item = &BStr> {
    let below = path.find_iter(b"/").map(|at| path.get(..at).unwrap_or_default().as_bstr());
    std::iter::once(BStr::new("")).chain(below)
}

/// Returns the name of the attributes file of a directory, as a source of lines.
fn source(dir: &BStr) -> Result<PathBuf> {
    gix::path::from_bstring(file_in(dir)).map_err(Error::git("read the name of a file"))
}

/// Returns the attributes file of a directory.
pub(super) fn file_in(dir: &BStr) -> BString {
    below(dir, FILE_NAME.into())
}
