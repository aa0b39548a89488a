//! Selects the files to convert: the named ones, or every file of the index with PyTorch weights.
//!
//! The content of a file decides, for an LFS pointer that of its object; the name decides only if the content is not
//! available, and if it indicates weights that the content does not contain.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice as _};

use super::super::checkpoints;
use super::super::content::Located;
use super::super::detected::{Detected, detect};
use super::super::harmless::Harmless;
use super::super::meant::{Meant, Word};
use super::super::provenance::Provenance;
use super::super::workspace::Workspace;
use super::super::{Error, Reason, Status, names};
use super::Options;
use super::finish::replaced;
use super::ledger::Ledger;
use super::sets::{Candidate, Unit, group, named_sets};
use crate::checkpoint::{self, Kind};
use crate::lfs::{Pointer, Resumable, worktree_file};
use crate::repo::{self, Entry, FileStat, Mode};

/// Returns every unit that is meant. Files that are not converted go to `ledger`.
pub(super) fn units<'a>(
    workspace: &Workspace<'a>,
    provenance: &Provenance<'a>,
    (options, meant): (&Options, &Meant),
    ledger: &mut Ledger<'_>,
) -> Result<Vec<Unit>, Error> {
    let (found, indices) = (BTreeMap::new(), BTreeSet::new());
    let mut selection = Selection { workspace, provenance, meant, ledger, found, indices };
    if meant.is_everything() {
        selection.search(&|_| true)?;
        // An untracked file cannot be removed from the index.
        if !options.replace {
            selection.retrained();
        }
    }
    let is_gone = |path: &BStr| options.replace && matches!(workspace.find(path), Err(Error::NotFound));
    for word in meant.words() {
        match word {
            Word::File(path) => {
                let is_gone = is_gone(path.as_bstr());
                let replaced = if is_gone { replaced(workspace, provenance, path.as_bstr())? } else { None };
                match replaced {
                    Some(output) => selection.ledger.done(path.clone(), output, Status::UpToDate, None),
                    None => selection.named(path)?,
                }
            }
            Word::Directory(dir) => selection.search(&|path| path.starts_with(dir))?,
            Word::Files(files) => {
                selection.search(&|path| files.contains(path))?;
                for path in files.iter().filter(|path| is_gone(path.as_bstr())) {
                    if let Some(output) = replaced(workspace, provenance, path.as_bstr())? {
                        selection.ledger.done(path.clone(), output, Status::UpToDate, None);
                    }
                }
            }
            Word::Nothing(given) => {
                let error = repo::Error::NoMatch { pathspec: given.clone() };
                selection.ledger.fail(given.as_bstr(), error.into())?;
            }
            Word::Elsewhere(elsewhere) => {
                selection.ledger.fail(elsewhere.path.as_bstr(), elsewhere.error())?;
            }
        }
    }
    let Selection { mut found, mut indices, ledger, .. } = selection;
    ledger.tell_links(|target| found.contains_key(target) || indices.contains(target));
    named_sets(workspace, options, &mut found, &mut indices, ledger)?;
    let units = group(workspace, found, indices, ledger)?;
    let files = || units.iter().flat_map(|unit| &unit.files).map(|file| &file.path);
    workspace.expect(files())?;
    workspace.expect(&files().map(|path| names::safetensors(path.as_bstr())).collect::<Vec<_>>())?;
    Ok(units)
}

/// The selection so far.
struct Selection<'s, 'w, 'l> {
    workspace: &'s Workspace<'w>,
    provenance: &'s Provenance<'w>,
    meant: &'s Meant,
    ledger: &'s mut Ledger<'l>,
    found: BTreeMap<BString, Candidate>,
    indices: BTreeSet<BString>,
}

impl Selection<'_, '_, '_> {
    /// Adds the untracked checkpoints that changed since their conversion and whose safetensors files are tracked.
    fn retrained(&mut self) {
        let (workspace, provenance) = (self.workspace, self.provenance);
        for (output, path) in provenance.pairs() {
            if workspace.contains(path.as_bstr()) || !workspace.contains(output.as_bstr()) {
                continue;
            }
            let file = workspace.repo.target(path.as_bstr()).map(|target| target.path());
            let Some(now) = file.ok().and_then(|file| FileStat::of(&file)) else { continue };
            if provenance.content(path.as_bstr(), &now).is_some() {
                continue;
            }
            if names::is_index(path.as_bstr()) {
                self.indices.insert(path);
            } else if names::safetensors(path.as_bstr()) == output {
                self.found.entry(path.clone()).or_insert(Candidate { path, named: true });
            }
        }
    }

    /// Finds a file. The content of a checkpoint that the record knows need not be read, so it may be out of reach.
    fn find(&self, path: &BStr) -> Result<Located, Error> {
        match self.workspace.find(path) {
            Err(Error::NoObject { oid, size }) if self.provenance.is_source(oid) => {
                Ok(Located::There(Pointer { oid, size }))
            }
            found => found,
        }
    }

    /// Handles a file that was named.
    fn named(&mut self, path: &BString) -> Result<(), Error> {
        if let Some(target) = self.workspace.link_inside(path.as_bstr()) {
            self.ledger.links.push((path.clone(), target));
            return Ok(());
        }
        if names::is_index(path.as_bstr()) {
            self.indices.insert(path.clone());
            return Ok(());
        }
        let found = self.find(path.as_bstr());
        if is_done(path.as_bstr(), &found) {
            self.ledger.skip(path.as_bstr(), Reason::Safetensors);
            return Ok(());
        }
        match found {
            // It is opened again in its turn: there may be more files than a process may have open.
            Ok(_) => {
                self.found.insert(path.clone(), Candidate { path: path.clone(), named: true });
                Ok(())
            }
            // This is a directory without tracked files.
            Err(Error::Place(worktree_file::Error::InTheWay { .. })) => {
                self.ledger.fail(path.as_bstr(), Error::NotFound)
            }
            Err(error) => self.ledger.fail(path.as_bstr(), error),
        }
    }

    /// Searches the requested paths of the index.
    fn search(&mut self, is_asked: &dyn Fn(&BStr) -> bool) -> Result<(), Error> {
        let (workspace, provenance) = (self.workspace, self.provenance);
        for path in workspace.unmerged.iter().filter(|path| is_asked(path.as_bstr())) {
            if names::is_weight_like(path.as_bstr()) && !names::is_training_state(path.as_bstr()) {
                self.ledger.fail(path.as_bstr(), repo::Error::Unmerged { path: path.clone() }.into())?;
            }
        }
        let asked = || workspace.entries.iter().filter(|(path, _)| is_asked(path.as_bstr()));
        let is_left_out = |entry: &Entry| {
            workspace.is_left_out(entry) && !self.meant.names(workspace, entry.path.as_bstr())
        };
        // A path that a conversion writes may be requested, whatever file the working tree has there.
        let mut harmless = Harmless::new(workspace.repo);
        let is_done = |path: &BStr| names::is_safetensors(path) || names::is_safetensors_index(path);
        let others: Vec<_> =
            asked().filter(|(path, entry)| is_done(path.as_bstr()) || !harmless.is(entry)).collect();
        let expected = others.iter().filter(|(path, entry)| is_read(path.as_bstr()) && !is_left_out(entry));
        workspace.expect(expected.map(|(path, _)| *path))?;
        for (path, entry) in others {
            let (weight_like, is_index) =
                (names::is_weight_like(path.as_bstr()), names::is_index(path.as_bstr()));
            if entry.mode == Mode::Submodule {
                continue;
            }
            if entry.mode == Mode::Symlink {
                if weight_like || is_index {
                    let target = workspace.link_of(entry);
                    self.ledger.skip(path.as_bstr(), Reason::Link { target, command: false });
                }
                continue;
            }
            if is_left_out(entry) {
                let is_converted = workspace.contains(names::safetensors(path.as_bstr()).as_bstr());
                if checkpoints::is_by_name(path.as_bstr()) && !is_converted {
                    self.ledger.left_out.push(path.clone());
                }
                continue;
            }
            if is_index {
                self.indices.insert(path.clone());
                continue;
            }
            let judge = |content: &Located| match content {
                Located::There(pointer) if provenance.is_source(pointer.oid) => Ok(Detected::Weights),
                _ => judge(workspace, path.as_bstr(), content),
            };
            if is_wanted(path.as_bstr(), self.find(path.as_bstr()), judge, self.ledger)? {
                self.found.entry(path.clone()).or_insert(Candidate { path: path.clone(), named: false });
            }
        }
        Ok(())
    }
}

/// Returns `true` if a file of this name is read: to detect its format, or to check it as an existing output.
fn is_read(path: &BStr) -> bool {
    let is_seen_by_name = names::is_distributed(path) || names::is_training_state(path);
    names::is_safetensors(path) || names::is_index(path) || !names::is_no_checkpoint(path) && !is_seen_by_name
}

/// Returns `true` if a named file is itself an output: a safetensors file, or a shard index of safetensors files. The
/// shell's `*` names those too.
pub(super) fn is_done(name: &BStr, content: &Result<Located, Error>) -> bool {
    match content {
        Ok(_) | Err(Error::NoObject { .. }) if names::is_safetensors_index(name) => true,
        Ok(Located::Here(local)) => matches!(Kind::of(&local.file), Ok(Kind::Safetensors)),
        Ok(Located::There(_)) | Err(Error::NoObject { .. }) => names::is_safetensors(name),
        Err(_) => false,
    }
}

/// Returns `true` if a file that was not named must be converted. A result that the user should see goes to `ledger`.
pub(super) fn is_wanted(
    path: &BStr,
    content: Result<Located, Error>,
    judge: impl FnOnce(&Located) -> Result<Detected, Error>,
    ledger: &mut Ledger<'_>,
) -> Result<bool, Error> {
    let (weight_like, training_state) = (names::is_weight_like(path), names::is_training_state(path));
    let is_far = matches!(content, Ok(Located::There(_)) | Err(Error::NoObject { .. }));
    if names::is_distributed(path) {
        ledger.skip(path, Reason::Distributed);
        return Ok(false);
    }
    if weight_like && training_state && is_far {
        ledger.skip(path, Reason::TrainingState);
        return Ok(false);
    }
    match content.and_then(|content| judge(&content)) {
        Ok(Detected::Weights) if !training_state => return Ok(true),
        Ok(Detected::Plain | Detected::Pickle | Detected::Weights | Detected::State) if training_state => {
            ledger.skip(path, Reason::TrainingState);
        }
        Ok(Detected::Script) => ledger.skip(path, Reason::Script),
        Ok(Detected::Plain) => ledger.skip(path, Reason::Plain),
        Ok(Detected::Pickle) => ledger.skip(path, Reason::Pickle),
        Ok(Detected::State) => ledger.skip(path, Reason::NoTensors),
        Ok(Detected::BrokenPromise(kind)) => {
            ledger.fail(path, checkpoint::Error::NotCheckpoint { kind }.into())?;
        }
        // The content is unknown, so only the name shows whether the error matters.
        Err(error) if weight_like && !training_state => ledger.fail(path, error)?,
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Ok(Detected::Weights | Detected::Other) | Err(_) => {}
    }
    Ok(false)
}

/// Detects the format of a file by its content. Of a file on the server, only the necessary part is read.
fn judge(workspace: &Workspace<'_>, path: &BStr, located: &Located) -> Result<Detected, Error> {
    let pointer = match located {
        Located::Here(file) => return Ok(detect(path, &file.file)),
        Located::There(pointer) => *pointer,
    };
    let Some(server) = workspace.remote.server()?.filter(|_| !names::is_no_checkpoint(path)) else {
        return Ok(Detected::Other);
    };
    // An earlier run detected a checkpoint and began its conversion; the plan finds its errors.
    if names::is_weight_like(path) && Resumable::journal_of(&workspace.repo.store(), pointer.oid).is_some() {
        return Ok(Detected::Weights);
    }
    match server.object(pointer).ranged()? {
        Some(bytes) => Ok(detect(path, &bytes)),
        // The format would only be known after a download of the whole file.
        None if names::is_weight_like(path) => Ok(Detected::Weights),
        None => Ok(Detected::Other),
    }
}
