//! Which files are to be converted: the named ones, or every file of the index that holds torch weights.
//!
//! What a file holds is judged by its content, an LFS pointer by the object behind it; the name decides
//! only where the content cannot be seen, and where it promises what the content does not hold.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice as _};

use super::super::content::Located;
use super::super::provenance::Provenance;
use super::super::workspace::Workspace;
use super::super::{Error, Reason, Status, names};
use super::Options;
use super::finish::replaced;
use super::ledger::Ledger;
use super::sets::{Candidate, Unit, group, named_sets};
use crate::checkpoint::{self, Held, Kind};
use crate::lfs::{Resumable, worktree_file};
use crate::read_at::ReadAt;
use crate::repo::{self, FileStat, Mode};

/// Every unit that `options` ask for. What is not to be converted goes to `ledger`.
pub(super) fn units(
    workspace: &Workspace<'_>,
    provenance: &Provenance<'_>,
    options: &Options,
    ledger: &mut Ledger<'_>,
) -> Result<Vec<Unit>, Error> {
    let mut found = BTreeMap::new();
    let mut indices = BTreeSet::new();
    if options.paths.is_empty() {
        search(workspace, b"", &mut found, &mut indices, ledger)?;
        // One that git does not track cannot leave the index.
        if !options.replace {
            retrained(workspace, provenance, &mut found, &mut indices);
        }
    }
    for given in &options.paths {
        let path = workspace.repo.path_of(&options.cwd, given)?;
        let dir = if path.is_empty() { Vec::new() } else { [path.as_slice(), b"/"].concat() };
        let is_dir = path.is_empty() || workspace.entries.keys().any(|tracked| tracked.starts_with(&dir));
        let is_gone = options.replace && matches!(workspace.find(path.as_bstr()), Err(Error::NotFound));
        let replaced = if is_gone { replaced(workspace, provenance, path.as_bstr())? } else { None };
        if let Some(output) = replaced {
            ledger.kept(path, output, Status::UpToDate, None);
        } else if names::is_index(path.as_bstr()) {
            indices.insert(path);
        } else if is_dir {
            search(workspace, &dir, &mut found, &mut indices, ledger)?;
        } else {
            named(workspace, path, &mut found, ledger)?;
        }
    }
    named_sets(workspace, options, &mut found, &mut indices, ledger)?;
    let units = group(workspace, found, indices, ledger)?;
    let files = || units.iter().flat_map(|unit| &unit.files).map(|file| &file.path);
    workspace.expect(files())?;
    workspace.expect(&files().map(|path| names::safetensors(path.as_bstr())).collect::<Vec<_>>())?;
    Ok(units)
}

/// Checkpoints that git does not track, whose safetensors files it does, and which have changed since they were converted.
fn retrained(
    workspace: &Workspace<'_>,
    provenance: &Provenance<'_>,
    found: &mut BTreeMap<BString, Candidate>,
    indices: &mut BTreeSet<BString>,
) {
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
            indices.insert(path);
        } else if names::safetensors(path.as_bstr()) == output {
            found.entry(path.clone()).or_insert(Candidate { path, named: true });
        }
    }
}

fn named(
    workspace: &Workspace<'_>,
    path: BString,
    found: &mut BTreeMap<BString, Candidate>,
    ledger: &mut Ledger<'_>,
) -> Result<(), Error> {
    match workspace.find(path.as_bstr()) {
        // It is opened again when its turn comes: there may be more files than a process may hold open.
        Ok(_) => {
            found.insert(path.clone(), Candidate { path, named: true });
            Ok(())
        }
        // A directory in which nothing is tracked.
        Err(Error::Place(worktree_file::Error::InTheWay { .. })) => {
            ledger.fail(path.as_bstr(), Error::NotFound)
        }
        Err(error) => ledger.fail(path.as_bstr(), error),
    }
}

/// Looks through the index below `dir`, which is empty or ends with a slash.
fn search(
    workspace: &Workspace<'_>,
    dir: &[u8],
    found: &mut BTreeMap<BString, Candidate>,
    indices: &mut BTreeSet<BString>,
    ledger: &mut Ledger<'_>,
) -> Result<(), Error> {
    for path in workspace.unmerged.iter().filter(|path| path.starts_with(dir)) {
        if names::is_weight_like(path.as_bstr()) && !names::is_training_state(path.as_bstr()) {
            ledger.fail(path.as_bstr(), repo::Error::Unmerged { path: path.clone() }.into())?;
        }
    }
    let below = || workspace.entries.iter().filter(|(path, _)| path.starts_with(dir));
    workspace.expect(below().map(|(path, _)| path).filter(|path| is_asked_for(path.as_bstr())))?;
    for (path, entry) in below() {
        if names::is_index(path.as_bstr()) {
            indices.insert(path.clone());
            continue;
        }
        let weight_like = names::is_weight_like(path.as_bstr());
        if entry.mode == Mode::Submodule || entry.mode == Mode::Symlink && !weight_like {
            continue;
        }
        let judge = |content: &Located| judge(workspace, path.as_bstr(), content);
        if is_wanted(path.as_bstr(), workspace.find(path.as_bstr()), judge, ledger)? {
            found.entry(path.clone()).or_insert(Candidate { path: path.clone(), named: false });
        }
    }
    Ok(())
}

/// Returns `true` if an object of this name is asked for: to be judged, or as what stands already where a checkpoint goes.
fn is_asked_for(path: &BStr) -> bool {
    let is_seen_by_name = names::is_distributed(path) || names::is_training_state(path);
    names::is_safetensors(path) || names::is_index(path) || !names::is_no_checkpoint(path) && !is_seen_by_name
}

/// Returns `true` if a file that nobody named is to be converted. What is worth a word goes to `ledger`.
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
        Ok(Detected::Plain | Detected::Weights | Detected::State) if training_state => {
            ledger.skip(path, Reason::TrainingState);
        }
        Ok(Detected::Script) => ledger.skip(path, Reason::Script),
        Ok(Detected::Plain) => ledger.skip(path, Reason::Plain),
        Ok(Detected::State) => ledger.skip(path, Reason::NoTensors),
        Ok(Detected::BrokenPromise(kind)) => {
            ledger.fail(path, checkpoint::Error::NotCheckpoint { kind }.into())?;
        }
        // What is behind the name is unknown: only the name can say whether it matters.
        Err(error) if weight_like && !training_state => ledger.fail(path, error)?,
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Ok(Detected::Weights | Detected::Other) | Err(_) => {}
    }
    Ok(false)
}

/// What the content of a file says; of one on the server as much as is needed is read.
fn judge(workspace: &Workspace<'_>, path: &BStr, located: &Located) -> Result<Detected, Error> {
    let pointer = match located {
        Located::Here(file) => return Ok(detect(path, &file.file)),
        Located::There(pointer) => *pointer,
    };
    let Some(server) = workspace.remote.server()?.filter(|_| !names::is_no_checkpoint(path)) else {
        return Ok(Detected::Other);
    };
    // What a run began to convert was judged by it; what is wrong with it is seen when it is planned.
    if names::is_weight_like(path) && Resumable::journal_of(&workspace.repo.store(), pointer.oid).is_some() {
        return Ok(Detected::Weights);
    }
    match server.object(pointer).ranged()? {
        Some(bytes) => Ok(detect(path, &bytes)),
        // It would have to be downloaded whole to be seen.
        None if names::is_weight_like(path) => Ok(Detected::Weights),
        None => Ok(Detected::Other),
    }
}

/// What the content of a file says.
pub(in crate::actions) enum Detected {
    /// Torch weights.
    Weights,
    /// The same as `TorchScript`, under a name that does not promise weights.
    Script,
    /// A pickle without a storage and without arrays.
    State,
    /// A plain pickle that may hold arrays, but no storage of torch.
    Plain,
    /// Something else, although the name promises weights.
    BrokenPromise(Kind),
    /// Something else.
    Other,
}

/// What a file is, by its content where that can say it.
pub(in crate::actions) fn detect(path: &BStr, file: &dyn ReadAt) -> Detected {
    match Kind::of(file) {
        Ok(Kind::Legacy) => Detected::Weights,
        Ok(Kind::Zip) if !names::is_weight_like(path) && checkpoint::is_torch_script(file) => {
            Detected::Script
        }
        // Any archive is a zip; torch's has a pickle in it.
        Ok(Kind::Zip) if names::is_weight_like(path) || checkpoint::is_torch_zip(file) => Detected::Weights,
        Ok(kind) if names::is_weight_like(path) && checkpoint::may_be_pickle(file, kind).unwrap_or(false) => {
            match checkpoint::held(file, kind) {
                Some(Held::Storages) => Detected::Weights,
                Some(Held::Nothing) => Detected::State,
                None if names::promises_weights(path) => Detected::BrokenPromise(kind),
                None if kind == Kind::Unknown => Detected::Other,
                // Without: what other libraries put behind their pickles, or in them.
                Some(Held::Arrays) | None => Detected::Plain,
            }
        }
        Ok(kind @ Kind::Conflict) if names::is_weight_like(path) => Detected::BrokenPromise(kind),
        Ok(Kind::Tar) if checkpoint::is_torch_tar(file) => Detected::Weights,
        Ok(kind @ Kind::Tar) if names::is_weight_like(path) => Detected::BrokenPromise(kind),
        Ok(kind) if names::promises_weights(path) => Detected::BrokenPromise(kind),
        _ => Detected::Other,
    }
}
