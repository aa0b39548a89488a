//! Which filter a path has, and what has to be added to the `.gitattributes` files so that it has that of Git LFS.
//!
//! Order, a later line wins: built-in, system, `core.attributesFile`, `.gitattributes` from the top of the work tree
//! down to the path, `info/attributes`. Source: gitattributes(5) and `attr.c` of git. gix's own stack puts
//! `info/attributes` right after the top-level file, so the order is made here and gix parses and matches.
//!
//! Invariant: a plan is judged by its effect. The proposed contents are evaluated in memory with git's rules, and
//! a plan is returned only if every path ends with `filter=lfs`, and no tracked safetensors file besides them has
//! another filter than before. Nothing is written here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice as _};
use gix::attrs::search::{MetadataCollection, Outcome};
use gix::attrs::{Search, StateRef};

use super::{Entry, Error, Mode, Repo, Result};
use crate::lfs::attributes::{self, MAX_LINE_LEN, SAFETENSORS};

const FILE_NAME: &str = ".gitattributes";

/// git ignores attributes files that are longer (`ATTR_MAX_FILE_SIZE`).
const MAX_FILE_LEN: u64 = 100 << 20;

/// The filter of a path: its attribute `filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// No line speaks of it.
    Unspecified,
    /// A line takes it away (`-filter`), or sets it without a name, which is no filter either.
    Unset,
    /// `filter=lfs`
    Lfs,
    /// Another program's, such as git-crypt's.
    Other(BString),
}

/// A `.gitattributes` file as it should become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributesChange {
    /// The file, from the top of the work tree.
    pub path: BString,
    /// Its content in the work tree.
    pub content: Vec<u8>,
    /// Its content in the index: the same, but with line feeds alone if the index had it so.
    pub blob: Vec<u8>,
    /// May it be run? As it was.
    pub executable: bool,
    /// A line is added; else the file is staged as it is, because the index does not have the line that it has.
    pub adds_line: bool,
    /// The work-tree file had changes that were not staged; they are part of `blob` now.
    pub had_unstaged_changes: bool,
}

impl Repo {
    /// The filter of a path, as git sees it when the path is added.
    ///
    /// # Errors
    /// [`Error::Git`], [`Error::Io`], or [`Error::MissingBlob`] if an attributes file cannot be read.
    pub fn filter_of(&self, path: &BStr) -> Result<Filter> {
        Ok(self.filters_of(&[path.to_owned()])?.pop().unwrap_or(Filter::Unspecified))
    }

    /// The filters of many paths, for one reading of the index.
    ///
    /// # Errors
    /// As [`Repo::filter_of`].
    pub fn filters_of(&self, paths: &[BString]) -> Result<Vec<Filter>> {
        let entries = self.entries()?;
        let mut rules = Rules::new(self, &entries)?;
        paths.iter().map(|path| Ok(rules.filter(path.as_ref())?.0)).collect()
    }

    /// What has to change so that every one of these paths gets the filter of Git LFS: nothing where it has it
    /// already, in the work tree and in the index; `*.safetensors` at the top, as `git lfs track` writes it, where no line speaks of the paths and no
    /// other tracked file would change its filter; else a line for the path alone, in the file where it wins.
    ///
    /// # Errors
    /// [`Error::OtherFilter`], [`Error::AttributesOverridden`], [`Error::AttributesSymlink`],
    /// [`Error::AttributesLineTooLong`], or as [`Repo::filter_of`].
    pub fn plan_attributes(&self, paths: &[BString]) -> Result<Vec<AttributesChange>> {
        let entries = self.entries()?;
        let mut rules = Rules::new(self, &entries)?;
        let mut open = Vec::new();
        for path in paths {
            match rules.filter(path.as_ref())?.0 {
                Filter::Lfs => {}
                Filter::Other(filter) => return Err(Error::OtherFilter { path: path.clone(), filter }),
                Filter::Unset => open.push((path, false)),
                Filter::Unspecified => open.push((path, path.ends_with(b".safetensors"))),
            }
        }
        if open.iter().any(|(_, broad)| *broad) {
            rules.try_broad(paths)?;
        }
        for (path, _) in open {
            rules.ensure(path)?;
        }
        // A line for one path could have undone another's only by matching it; look again at all of them.
        for path in paths {
            if let (Filter::Unspecified | Filter::Unset | Filter::Other(_), by) =
                rules.filter(path.as_ref())?
            {
                return Err(Error::AttributesOverridden { path: path.clone(), by: by.unwrap_or_default() });
            }
        }
        let unstaged = rules.unstaged(paths)?;
        rules.changes(&unstaged)
    }
}

/// All attributes files that matter, with proposed contents in the place of those on the disk.
struct Rules<'a> {
    repo: &'a Repo,
    entries: &'a [Entry],
    globals: Vec<PathBuf>,
    case: gix::glob::pattern::Case,
    /// By directory, empty for the top: what git reads there.
    files: BTreeMap<BString, Vec<u8>>,
    proposed: BTreeMap<BString, Vec<u8>>,
}

impl<'a> Rules<'a> {
    fn new(repo: &'a Repo, entries: &'a [Entry]) -> Result<Self> {
        let globals = repo.inner.attribute_global_paths();
        let globals = globals.map_err(Error::git("find the global attributes files"))?;
        let fold = repo.config_bool("core.ignoreCase").unwrap_or(false);
        let case = if fold { gix::glob::pattern::Case::Fold } else { gix::glob::pattern::Case::Sensitive };
        Ok(Self { repo, entries, globals, case, files: BTreeMap::new(), proposed: BTreeMap::new() })
    }

    /// The filter of a path, and the file that decides about it.
    fn filter(&mut self, path: &BStr) -> Result<(Filter, Option<PathBuf>)> {
        for dir in directories(path) {
            self.load(dir)?;
        }
        self.evaluate(path, |dir| self.proposed.get(dir).or_else(|| self.files.get(dir)))
    }

    /// The same by these contents of the attributes files.
    fn evaluate<'c>(
        &self,
        path: &BStr,
        content: impl Fn(&BStr) -> Option<&'c Vec<u8>>,
    ) -> Result<(Filter, Option<PathBuf>)> {
        let mut names = MetadataCollection::default();
        let mut buf = Vec::new();
        let unreadable = |path: &Path| Error::io("read", path.to_owned());
        let mut search = Search::new_globals(self.globals.iter().cloned(), &mut buf, &mut names)
            .map_err(unreadable(self.repo.common_dir()))?;
        for dir in directories(path) {
            let source =
                gix::path::from_bstring(file_in(dir)).map_err(Error::git("read the name of a file"))?;
            let content = content(dir).map(Vec::as_slice).unwrap_or_default();
            search
                .add_patterns_buffer(content, source.clone(), Some(Path::new("")), &mut names, dir.is_empty())
                .map_err(unreadable(&source))?;
        }
        let info = self.repo.common_dir().join("info").join("attributes");
        search
            .add_patterns_file(info.clone(), true, None, &mut buf, &mut names, true)
            .map_err(unreadable(&info))?;
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
        Ok((filter, found.location.source.map(Path::to_owned)))
    }

    /// Reads the attributes file of a directory: from the work tree, or from the index where it is not checked out.
    fn load(&mut self, dir: &BStr) -> Result<()> {
        if self.files.contains_key(dir) {
            return Ok(());
        }
        let path = self.repo.target(file_in(dir).as_ref())?.path();
        let content = match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() && meta.len() <= MAX_FILE_LEN => {
                std::fs::read(&path).map_err(Error::io("read", path))?
            }
            Ok(_) => Vec::new(),
            Err(_) => self.staged(dir)?.unwrap_or_default(),
        };
        self.files.insert(dir.to_owned(), content);
        Ok(())
    }

    fn entry(&self, dir: &BStr) -> Option<&'a Entry> {
        let path = file_in(dir);
        self.entries.iter().find(|entry| entry.path == path && entry.stage == 0 && !entry.intent_to_add)
    }

    /// The attributes file of a directory in the index.
    fn staged(&self, dir: &BStr) -> Result<Option<Vec<u8>>> {
        let file = self.entry(dir).filter(|entry| matches!(entry.mode, Mode::File | Mode::Executable));
        file.map(|entry| self.repo.blob(entry.id, MAX_FILE_LEN)).transpose()
    }

    /// Proposes `*.safetensors`, and takes it back if that changes a file that nobody asked about.
    fn try_broad(&mut self, paths: &[BString]) -> Result<()> {
        let others: Vec<_> = self.entries.iter().map(|entry| &entry.path).collect();
        let others =
            others.into_iter().filter(|path| path.ends_with(b".safetensors") && !paths.contains(path));
        let mut before = Vec::new();
        for path in others {
            before.push((path, self.filter(path.as_ref())?.0));
        }
        self.propose(BStr::new(""), SAFETENSORS.into())?;
        for (path, filter) in before {
            if self.filter(path.as_ref())?.0 != filter {
                self.proposed.remove(BStr::new(""));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Proposes a line for one path, in the topmost attributes file where it wins.
    fn ensure(&mut self, path: &BString) -> Result<()> {
        let mut decides = self.filter(path.as_ref())?;
        for dir in directories(path.as_ref()) {
            if decides.0 == Filter::Lfs {
                return Ok(());
            }
            if !dir.is_empty() && self.files.get(dir).is_none_or(Vec::is_empty) {
                continue;
            }
            let skip = if dir.is_empty() { 0 } else { dir.len() + 1 };
            let pattern = attributes::pattern(path.get(skip..).unwrap_or_default().as_bstr());
            let len = attributes::line(pattern.as_ref()).len();
            if len >= MAX_LINE_LEN {
                return Err(Error::AttributesLineTooLong { path: path.clone(), len });
            }
            let old = self.proposed.get(dir).cloned();
            self.propose(dir, pattern.as_ref())?;
            decides = self.filter(path.as_ref())?;
            if decides.0 != Filter::Lfs {
                match old {
                    Some(old) => self.proposed.insert(dir.to_owned(), old),
                    None => self.proposed.remove(dir),
                };
            }
        }
        match decides {
            (Filter::Lfs, _) => Ok(()),
            (_, by) => Err(Error::AttributesOverridden { path: path.clone(), by: by.unwrap_or_default() }),
        }
    }

    fn propose(&mut self, dir: &BStr, pattern: &BStr) -> Result<()> {
        let path = file_in(dir);
        let full = self.repo.target(path.as_ref())?.path();
        if full.is_symlink() || self.entry(dir).is_some_and(|entry| entry.mode == Mode::Symlink) {
            return Err(Error::AttributesSymlink { path });
        }
        self.load(dir)?;
        let content = self.proposed.get(dir).or_else(|| self.files.get(dir));
        let content = attributes::append(content.map(Vec::as_slice).unwrap_or_default(), pattern);
        self.proposed.insert(dir.to_owned(), content);
        Ok(())
    }

    /// The directories whose attributes file has to be staged as it is: the work tree's puts a path under Git LFS,
    /// and the index's does not. A commit of the pointer without it would be one of a plain text file.
    fn unstaged(&self, paths: &[BString]) -> Result<BTreeSet<BString>> {
        let mut found = BTreeSet::new();
        let mut staged: BTreeMap<&BStr, Vec<u8>> = BTreeMap::new();
        for path in paths {
            for dir in directories(path.as_ref()).filter(|dir| !staged.contains_key(dir)).collect::<Vec<_>>()
            {
                let content = match self.proposed.get(dir) {
                    Some(proposed) => proposed.clone(),
                    None => self.staged(dir)?.unwrap_or_default(),
                };
                staged.insert(dir, content);
            }
            for dir in directories(path.as_ref()) {
                if self.evaluate(path.as_ref(), |dir| staged.get(dir))?.0 == Filter::Lfs {
                    break;
                }
                if let Some(content) = self.files.get(dir).filter(|content| staged.get(dir) != Some(content))
                {
                    staged.insert(dir, content.clone());
                    found.insert(dir.to_owned());
                }
            }
        }
        found.retain(|dir| !self.proposed.contains_key(dir));
        Ok(found)
    }

    /// The proposals as changes, without those that change nothing, and what is to be staged as it is.
    fn changes(self, unstaged: &BTreeSet<BString>) -> Result<Vec<AttributesChange>> {
        let mut changes = Vec::new();
        let as_it_is = unstaged.iter().filter_map(|dir| self.files.get_key_value(dir));
        for (dir, content) in self.proposed.iter().chain(as_it_is) {
            let old = self.files.get(dir).map(Vec::as_slice).unwrap_or_default();
            let adds_line = content != old;
            if !adds_line && !unstaged.contains(dir) {
                continue;
            }
            let staged = self.staged(dir.as_ref())?;
            let normal = staged.as_ref().is_some_and(|staged| !staged.contains(&b'\r'));
            let as_staged = |text: &[u8]| if normal { text.replace("\r\n", "\n") } else { text.to_vec() };
            changes.push(AttributesChange {
                path: file_in(dir.as_ref()),
                blob: as_staged(content),
                content: content.clone(),
                executable: self.entry(dir.as_ref()).is_some_and(|entry| entry.mode == Mode::Executable),
                adds_line,
                had_unstaged_changes: as_staged(old) != staged.unwrap_or_default(),
            });
        }
        Ok(changes)
    }
}

/// The directories of a path, the top (empty) first.
fn directories(path: &BStr) -> impl Iterator<Item = &BStr> {
    let below = path.find_iter(b"/").map(|at| path.get(..at).unwrap_or_default().as_bstr());
    std::iter::once(BStr::new("")).chain(below)
}

fn file_in(dir: &BStr) -> BString {
    let mut path = dir.to_owned();
    if !dir.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(FILE_NAME.as_bytes());
    path
}
