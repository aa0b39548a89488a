//! Lists the checkpoints of a repository without a safetensors file, and the state of each safetensors file relative to
//! its checkpoint.
//!
//! ```text
//! index, recorded and untracked files ──▶ checkpoints by content   names, and the first bytes of what is here
//!                                          └──▶ OutputStates        record, one walk of the history, headers
//! ```
//!
//! Invariant: nothing is written, no server is contacted, and no tensor is read: stat data, headers and object IDs
//! suffice.

mod file_state;
mod unreadable;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice as _};

pub use file_state::{FileState, FileStatus, RepositoryStatus};

use super::checkpoints::{self, Class};
use super::content::Located;
use super::guard::install;
use super::harmless::Harmless;
use super::meant::Meant;
use super::output_state::{Depth, Given, IndexState, OutputState, OutputStates};
use super::provenance::Provenance;
use super::servers::{Servers, Session};
use super::workspace::Workspace;
use super::{Error, Reporter, names};
use crate::checkpoint;
use crate::recipe;
use crate::repo::{self, Entry, Mode, Repo};

/// The options of `status`.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The base of relative paths, and the directory in which a repository is searched.
    pub cwd: PathBuf,
    /// Files and directories; empty: the whole repository.
    pub paths: Vec<OsString>,
}

/// Determines the status.
///
/// # Errors
/// [`Error`] for an error of the whole run: no repository, git, the index.
pub fn status(options: &Options, reporter: &dyn Reporter) -> Result<RepositoryStatus, Error> {
    let repo = Repo::discover(&options.cwd)?.ok_or(Error::NoRepository)?;
    let servers = Servers::default();
    let session = Session::new(&servers, reporter);
    let workspace = Workspace::open(&repo, &session)?;
    let provenance = Provenance::open(&repo);
    let meant = Meant::of(&workspace, &options.cwd, &options.paths)?;
    if let Some(elsewhere) = meant.elsewhere() {
        return Err(elsewhere.error());
    }
    let mut look = Look {
        workspace: &workspace,
        provenance: &provenance,
        meant: &meant,
        found: BTreeMap::new(),
        files: Vec::new(),
        left_out: 0,
    };
    look.tracked()?;
    look.recorded();
    look.unmerged();
    look.untracked()?;
    look.states()?;
    let (mut files, left_out) = (look.files, look.left_out);
    files.sort_by(|a, b| (a.state, &a.checkpoint, &a.output).cmp(&(b.state, &b.checkpoint, &b.output)));
    let hooks = install::Options { cwd: options.cwd.clone(), ..install::Options::default() };
    Ok(RepositoryStatus { files, left_out, hooks: install::status(&hooks).ok() })
}

struct Look<'a> {
    workspace: &'a Workspace<'a>,
    provenance: &'a Provenance<'a>,
    meant: &'a Meant,
    /// Checkpoints, with their size and whether their content is local.
    found: BTreeMap<BString, (u64, bool)>,
    files: Vec<FileStatus>,
    left_out: usize,
}

/// Returns `true` if a file without the name of a checkpoint is one that a run opens, however short it is.
fn is_opened(entry: &Entry, harmless: &mut Harmless<'_>) -> bool {
    let path = entry.path.as_bstr();
    let is_file = matches!(entry.mode, Mode::File | Mode::Executable) && !entry.intent_to_add;
    let is_known = names::is_index(path) || names::is_safetensors(path) || names::is_safetensors_index(path);
    is_file && !is_known && !harmless.is(entry)
}

impl Look<'_> {
    /// Returns `true` if a checkpoint was requested, by its own name or by its safetensors file.
    fn is_meant(&self, checkpoint: &BStr) -> bool {
        self.meant.means(checkpoint) || self.meant.means(names::safetensors(checkpoint).as_bstr())
    }

    /// Collects the checkpoints and the training state of the index.
    fn tracked(&mut self) -> Result<(), Error> {
        let workspace = self.workspace;
        let mut harmless = Harmless::new(workspace.repo);
        for (path, entry) in &workspace.entries {
            let path = path.as_bstr();
            if !self.is_meant(path) || !checkpoints::may_be(entry) && !is_opened(entry, &mut harmless) {
                continue;
            }
            workspace.session.reporter.check_interrupted()?;
            // A converted checkpoint is listed in any case: the index entries of both files are enough.
            if self.is_left_out(path) && !workspace.contains(names::safetensors(path).as_bstr()) {
                self.left_out += usize::from(checkpoints::is_by_name(path));
                continue;
            }
            match checkpoints::tracked(workspace, entry) {
                Some((Class::Weights, there)) => self.checkpoint(path, &there),
                Some((Class::TrainingState, there)) => self.training(path, &there),
                None if checkpoints::is_by_name(path) => self.refused(path),
                None => {}
            }
        }
        Ok(())
    }

    /// Lists a checkpoint that a run refuses: in the working tree, its path is that of a link, a directory or a pipe, or
    /// it cannot be opened.
    fn refused(&mut self, path: &BStr) {
        match self.workspace.there(path) {
            Err(Error::Place(error) | Error::Repo(repo::Error::Place(error))) if error.is_other_kind() => {
                self.with_reason(path, None, FileState::Unconverted, error.to_string());
            }
            Err(error) => {
                let output = names::safetensors(path);
                self.files.extend(unreadable::checkpoint(self.workspace, path, output.as_bstr(), &error));
            }
            Ok(_) => {}
        }
    }

    /// Returns `true` if a sparse checkout leaves a file out, and the user did not name it.
    fn is_left_out(&self, path: &BStr) -> bool {
        let is_left_out =
            self.workspace.entries.get(path).is_some_and(|entry| self.workspace.is_left_out(entry));
        is_left_out && !self.meant.names(self.workspace, path)
    }

    /// Collects recorded checkpoints that are untracked or have an unusual name.
    fn recorded(&mut self) {
        for (output, path) in self.provenance.pairs() {
            let is_pair = !names::is_index(path.as_bstr()) && names::safetensors(path.as_bstr()) == output;
            let is_known = self.found.contains_key(&path) || self.is_left_out(path.as_bstr());
            if is_pair && self.is_meant(path.as_bstr()) && !is_known {
                // If only the output exists, it is a safetensors file without a checkpoint.
                match self.workspace.there(path.as_bstr()) {
                    Ok(Some(there @ Located::Here(_))) => self.checkpoint(path.as_bstr(), &there),
                    Err(_) if !self.workspace.contains(path.as_bstr()) => self.refused(path.as_bstr()),
                    _ => {}
                }
            }
        }
    }

    /// Collects checkpoints in a merge conflict, by their names: the working tree may contain text with conflict markers.
    fn unmerged(&mut self) {
        for path in &self.workspace.unmerged {
            if checkpoints::is_by_name(path.as_bstr()) && self.is_meant(path.as_bstr()) {
                let there = self.workspace.there(path.as_bstr()).unwrap_or_default();
                self.found.insert(path.clone(), (there.as_ref().map_or(0, Located::size), true));
            }
        }
    }

    /// Collects checkpoints that git neither tracks nor ignores.
    fn untracked(&mut self) -> Result<(), Error> {
        let is_listed = |path: &BStr| {
            self.files.iter().any(|file| file.checkpoint.as_ref().is_some_and(|one| one == path))
        };
        let is_asked =
            |path: &BStr| !self.found.contains_key(path) && self.is_meant(path) && !is_listed(path);
        for (path, there) in checkpoints::untracked(self.workspace, is_asked)? {
            match there {
                Ok(there) => self.checkpoint(path.as_bstr(), &there),
                Err(_) => self.refused(path.as_bstr()),
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, path: &BStr, there: &Located) {
        let is_here = matches!(there, Located::Here(_));
        self.found.insert(path.to_owned(), (there.size(), is_here));
    }

    fn training(&mut self, path: &BStr, there: &Located) {
        self.files.push(FileStatus {
            state: FileState::TrainingState,
            checkpoint: Some(path.to_owned()),
            output: None,
            size: there.size(),
            is_here: matches!(there, Located::Here(_)),
            is_tracked: self.workspace.contains(path),
            reason: None,
        });
    }

    /// Returns the checkpoints with the paths of their safetensors files, and lists those whose file cannot be opened.
    fn pairs(&mut self) -> Vec<(BString, BString)> {
        let (mut pairs, mut unreadable) = (Vec::new(), Vec::new());
        for (path, &(size, is_here)) in &self.found {
            let output = names::safetensors(path.as_bstr());
            let given = Some((path.as_bstr(), size, is_here));
            match unreadable::output(self.workspace, output.as_bstr(), given) {
                Some(file) => unreadable.push(file),
                None => pairs.push((path.clone(), output)),
            }
        }
        self.files.extend(unreadable);
        pairs
    }

    /// Determines the state of each safetensors file.
    fn states(&mut self) -> Result<(), Error> {
        let pairs = self.pairs();
        let states = OutputStates::of(self.workspace, self.provenance, Depth::Status, pairs.clone());
        let mut outputs = BTreeSet::new();
        for (path, output) in pairs {
            let mut reason = self.obstacle(output.as_bstr())?;
            let is_unmerged = |path: &BString| self.workspace.unmerged.contains(path);
            let state = match reason {
                _ if is_unmerged(&path) || is_unmerged(&output) => None,
                Some(_) => Some(OutputState::Missing),
                None => Some(states.state(path.as_bstr(), output.as_bstr(), Given::default())?),
            };
            let (size, is_here) = self.found.get(&path).copied().unwrap_or_default();
            let is_tracked = self.workspace.contains(path.as_bstr());
            let state = match state {
                None => FileState::Unmerged,
                Some(OutputState::Missing) => match self.unconverted(path.as_bstr(), is_tracked) {
                    Some(state) => state,
                    None => continue,
                },
                Some(OutputState::UpToDate) => FileState::UpToDate,
                Some(OutputState::Stale { is_ours: true }) => FileState::Stale,
                Some(OutputState::Stale { is_ours: false }) => FileState::StaleElsewhere,
                Some(OutputState::Differs(differences)) => {
                    reason = Some(differences.to_string());
                    FileState::Differs
                }
                Some(OutputState::NotHere) => FileState::NotHere,
                Some(OutputState::Unverified) => FileState::Unverified,
            };
            let has_output = match state {
                FileState::Unconverted | FileState::Untracked | FileState::TrainingState => false,
                FileState::Unmerged => is_unmerged(&output) || self.workspace.contains(output.as_bstr()),
                _ => true,
            };
            if has_output {
                outputs.insert(output.clone());
            }
            let output = Some(output).filter(|_| has_output);
            self.files.push(FileStatus {
                state,
                checkpoint: Some(path),
                output,
                size,
                is_here,
                is_tracked,
                reason,
            });
        }
        self.indices(&states, &outputs)?;
        self.alone();
        Ok(())
    }

    /// Returns why no safetensors file can be written at a path: a link, a directory or another kind of file is there.
    fn obstacle(&self, output: &BStr) -> Result<Option<String>, Error> {
        let (target, name) = (self.workspace.repo.target(output)?, output.to_owned());
        let error = match target.metadata() {
            Ok(_) => return Ok(None),
            Err(_) if target.path().is_symlink() => Error::OutputSymlink { output: name },
            Err(_) if target.path().exists() => Error::OutputNotFile { output: name },
            Err(error) => error.into(),
        };
        Ok(Some(error.to_string()))
    }

    /// Adds the shard indexes because of which a loader does not find converted tensors: missing ones, and those that
    /// do not fit the shards.
    fn indices(&mut self, states: &OutputStates<'_>, outputs: &BTreeSet<BString>) -> Result<(), Error> {
        let workspace = self.workspace;
        for index in workspace.entries.keys().filter(|path| names::is_index(path.as_bstr())) {
            let output = names::safetensors_index(index.as_bstr());
            if !self.is_meant(index.as_bstr()) && !self.is_meant(output.as_bstr()) {
                continue;
            }
            let is_shard = |path: &BString| {
                names::is_shard_of(path, index) && outputs.contains(&names::safetensors(path.as_bstr()))
            };
            if let Err(error) = workspace.there(index.as_bstr())
                && let Some(file) =
                    unreadable::checkpoint(workspace, index.as_bstr(), output.as_bstr(), &error)
            {
                self.files.push(file);
                continue;
            }
            if let Some(reason) = self.obstacle(output.as_bstr())? {
                self.with_reason(index.as_bstr(), None, FileState::Unconverted, reason);
                continue;
            }
            let found = match states.index(index.as_bstr(), output.as_bstr()) {
                // A shard that is a link or a directory is reported as one.
                Err(Error::Place(_) | Error::Repo(repo::Error::Place(_))) => continue,
                found => found?,
            };
            let (state, reason) = match found {
                IndexState::Missing(shards) if shards.is_subset(outputs) => {
                    (FileState::Unconverted, "shard index missing".to_owned())
                }
                // Without the shard index, only the names show which files are its shards.
                IndexState::Invalid(error) if self.found.keys().any(is_shard) => {
                    (FileState::Unconverted, error.to_string())
                }
                IndexState::Differs(differences) => (FileState::Differs, differences.to_string()),
                IndexState::UpToDate | IndexState::Missing(_) | IndexState::Invalid(_) => continue,
            };
            let output = Some(output).filter(|_| state == FileState::Differs);
            self.with_reason(index.as_bstr(), output, state, reason);
        }
        Ok(())
    }

    fn with_reason(&mut self, path: &BStr, output: Option<BString>, state: FileState, reason: String) {
        let there = self.workspace.there(path).unwrap_or_default();
        self.files.push(FileStatus {
            state,
            checkpoint: Some(path.to_owned()),
            output,
            size: there.as_ref().map_or_else(|| self.workspace.size(path), Located::size),
            is_here: !matches!(there, Some(Located::There(_))),
            is_tracked: true,
            reason: Some(reason),
        });
    }

    /// Returns the state of a checkpoint without a safetensors file; `None` if it contains no tensors.
    fn unconverted(&self, path: &BStr, is_tracked: bool) -> Option<FileState> {
        if !is_tracked {
            return Some(FileState::Untracked);
        }
        let Ok(Some(Located::Here(file))) = self.workspace.there(path) else {
            return Some(FileState::Unconverted);
        };
        match recipe::plan(&file.file, &checkpoint::Options::default()) {
            Err(recipe::Error::Checkpoint(checkpoint::Error::TrainingState)) => {
                Some(FileState::TrainingState)
            }
            Err(recipe::Error::Checkpoint(checkpoint::Error::NoTensors)) => None,
            _ => Some(FileState::Unconverted),
        }
    }

    /// Collects safetensors files without a checkpoint.
    fn alone(&mut self) {
        let mut outputs: BTreeSet<_> =
            self.found.keys().map(|path| names::safetensors(path.as_bstr())).collect();
        outputs.extend(self.files.iter().filter_map(|file| file.output.clone()));
        for path in self.workspace.entries.keys() {
            let is_it = names::is_safetensors(path.as_bstr()) && !outputs.contains(path);
            if !is_it || !self.meant.means(path.as_bstr()) || self.is_left_out(path.as_bstr()) {
                continue;
            }
            self.files.extend(unreadable::output(self.workspace, path.as_bstr(), None));
            let Some(there) = self.workspace.there(path.as_bstr()).unwrap_or_default() else { continue };
            self.files.push(FileStatus {
                state: FileState::Alone,
                checkpoint: None,
                output: Some(path.clone()),
                size: there.size(),
                is_here: matches!(there, Located::Here(_)),
                is_tracked: true,
                reason: None,
            });
        }
    }
}
