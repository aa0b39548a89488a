//! [`Chosen`] resolves the given paths to safetensors files, by their own names or by their checkpoints, and shard
//! indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use bstr::{BString, ByteSlice as _};

use super::super::content::{is_repository, is_store};
use super::super::meant::{Meant, Word};
use super::super::{Error, Note, Reporter, checkpoints, names};
use super::tree::Tree;
use crate::checkpoint::{self, Kind};
use crate::lfs::worktree_file;
use crate::repo;

/// The files to verify.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) files: BTreeSet<BString>,
    pub(super) indices: BTreeSet<BString>,
    /// The checkpoints of each file that was named by its checkpoints.
    pub(super) checkpoints: BTreeMap<BString, BTreeSet<BString>>,
}

impl Chosen {
    /// Adds every requested safetensors file and shard index.
    pub(super) fn search(&mut self, tree: &Tree<'_>, is_asked: &dyn Fn(&BString) -> bool) {
        tree.paths().filter(|path| is_asked(path)).for_each(|path| self.insert(path.clone()));
    }

    /// Adds a path if its name is that of a safetensors file or a shard index.
    fn insert(&mut self, path: BString) {
        if names::is_safetensors(path.as_bstr()) {
            self.files.insert(path);
        } else if names::is_safetensors_index(path.as_bstr()) {
            self.indices.insert(path);
        }
    }

    /// Adds the files that paths mean, including pathspecs. Returns those that mean nothing here.
    pub(super) fn mean(&mut self, tree: &Tree<'_>, meant: &Meant) -> Vec<(BString, Error)> {
        let mut missing = Vec::new();
        for word in meant.words() {
            match word {
                Word::File(path) => {
                    if let Err(error) = self.path(tree, path.clone()) {
                        missing.push((path.clone(), error));
                    }
                }
                Word::Directory(dir) => self.search(tree, &|path| path.starts_with(dir)),
                Word::Files(files) => {
                    self.search(tree, &|path| files.contains(path));
                    let is_converted = |path: &&BString| {
                        checkpoints::is_by_name(path.as_bstr())
                            && tree.blob(names::safetensors(path.as_bstr()).as_bstr()).is_some()
                    };
                    for path in files.iter().filter(is_converted) {
                        // A file that a pattern matches was not named itself.
                        let _may_be_no_file = self.path(tree, path.clone());
                    }
                }
                Word::Nothing(given) => {
                    let error = repo::Error::NoMatch { pathspec: given.clone() };
                    missing.push((given.clone(), error.into()));
                }
                Word::Elsewhere(elsewhere) => missing.push((elsewhere.path.clone(), elsewhere.error())),
            }
        }
        missing
    }

    /// Adds a named path: a safetensors file, the checkpoint of one, a shard index, a directory.
    pub(super) fn add(
        &mut self,
        tree: &Tree<'_>,
        cwd: &Path,
        given: &OsString,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        let path = match tree.repo() {
            Some(repo) => repo.path_of(cwd, given)?,
            None if cwd.join(given).is_dir() => return self.below(cwd, Path::new(given), reporter),
            None => given.as_encoded_bytes().into(),
        };
        self.path(tree, path)
    }

    /// Adds the safetensors files and shard indexes below a directory that is in no repository. As a conversion does, it
    /// follows links to files and no links to directories, and skips `.git`, the `blobs` of a Hub cache, and other
    /// repositories.
    fn below(&mut self, cwd: &Path, top: &Path, reporter: &dyn Reporter) -> Result<(), Error> {
        let mut waiting = vec![top.to_owned()];
        while let Some(dir) = waiting.pop() {
            let full = cwd.join(&dir);
            let entries = fs::read_dir(&full).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            for entry in entries.map_err(Error::io("read", &full))? {
                let path = if dir == Path::new(".") {
                    entry.file_name().into()
                } else {
                    dir.join(entry.file_name())
                };
                let name = BString::from(path.as_os_str().as_encoded_bytes());
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let full = cwd.join(&path);
                    if is_repository(&full) {
                        reporter.note(&Note::OtherRepository { path: name });
                    } else if entry.file_name() != ".git" && !is_store(&full) {
                        waiting.push(path);
                    }
                } else if cwd.join(&path).is_file() {
                    self.insert(name);
                }
            }
        }
        Ok(())
    }

    fn path(&mut self, tree: &Tree<'_>, path: BString) -> Result<(), Error> {
        let dir = if path.is_empty() { Vec::new() } else { [path.as_slice(), b"/"].concat() };
        if path.is_empty() || tree.paths().any(|known| known.starts_with(&dir)) {
            self.search(tree, &|known| known.starts_with(&dir));
        } else if names::is_safetensors_index(path.as_bstr()) {
            self.indices.insert(path);
        } else if names::is_safetensors(path.as_bstr()) {
            self.files.insert(path);
        } else if names::is_index(path.as_bstr()) {
            self.indices.insert(names::safetensors_index(path.as_bstr()));
        } else {
            let found = match tree.open(path.as_bstr()) {
                // This is a directory without tracked files.
                Err(Error::Place(worktree_file::Error::InTheWay { .. })) => return Err(Error::NotFound),
                found => found?,
            };
            let file = names::safetensors(path.as_bstr());
            // The missing conversion of something else is not what the user asks for.
            if !names::is_weight_like(path.as_bstr())
                && tree.open(file.as_bstr()).is_err()
                && let Ok(content) = found.here()
                && let Ok(kind) = Kind::of(content)
                && !kind.is_checkpoint()
            {
                return Err(checkpoint::Error::NotCheckpoint { kind }.into());
            }
            self.checkpoints.entry(file.clone()).or_default().insert(path);
            self.files.insert(file);
        }
        Ok(())
    }
}
