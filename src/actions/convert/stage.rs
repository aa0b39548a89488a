//! Gives names to products: the objects, the `.gitattributes`, the files of the working tree, the index.
//!
//! Invariant: if a name cannot be given, the names given before it are taken back, so that a failure leaves the
//! previous state. One write of the index adds them to git; after it, nothing is taken back.

use std::io::{self, Write as _};

use bstr::{BStr, BString, ByteSlice as _};

use super::super::content::{self, LocalFile, Located};
use super::super::placement::{Undo, write_attributes};
use super::super::provenance::{CONVERTED, Derived, Seen};
use super::super::workspace::Workspace;
use super::super::{Conversion, Error, Note, Status};
use super::Context;
use super::index::NewIndex;
use super::job::Written;
use super::ledger::Ledger;
use super::output::may_replace;
use super::product::Product;
use super::removal::{Removal, removals};
use crate::hash::Oid;
use crate::lfs::{NewObject, Placed, Pointer, Resumable};
use crate::repo::{Change, FileStat, Mode, Repo};

/// Gives every product of a unit its name, stages them, and records the results.
pub(super) fn stage(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    unit: Vec<Product>,
    index: Option<&NewIndex>,
) -> Result<(), Error> {
    let mut undo = Undo::new(context.repo());
    give_names(context, ledger, unit, index, &mut undo).inspect_err(|_| undo.all())
}

fn give_names(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    unit: Vec<Product>,
    index: Option<&NewIndex>,
    undo: &mut Undo<'_>,
) -> Result<(), Error> {
    let (Context { workspace, options, .. }, repo) = (context, context.repo());
    let outputs: Vec<_> = unit.iter().map(|product| product.output.clone()).collect();
    let known = all_derived(context, &unit, index);
    let (mut changes, mut notes) = write_attributes(repo, &outputs, undo)?;
    let ours = changes.len();
    let mut removed = Vec::new();
    let (mut files, mut passed) = (Vec::with_capacity(unit.len()), Vec::new());
    for product in unit {
        let Product { path, output, written, conversion, object, passing, placed, is_there, .. } = product;
        passed.extend(passing);
        object.commit(written.oid, written.size)?;
        let pointer = Pointer { oid: written.oid, size: written.size }.to_string();
        let executable = is_executable(workspace, &output)?;
        let placed = match placed {
            Some(placed) => placed,
            None => small(repo, &output, pointer.as_bytes())?,
        };
        if executable {
            placed.make_executable()?;
        }
        let replaces = may_replace(context, &output);
        if replaces {
            keep_old(context, output.as_bstr(), written.oid)?;
        }
        undo.give(output.as_bstr(), || Ok(placed.publish(replaces || is_there)?))?;
        changes.push(add(repo, &output, pointer.into_bytes(), executable)?);
        removed.extend(options.replace.then(|| path.clone()));
        files.push((path, output, written, conversion));
    }
    if let Some(index) = index {
        keep_old(context, index.path.as_bstr(), Oid::of(index.text.as_bytes()))?;
        undo.write(index.path.as_bstr(), index.text.as_bytes())?;
        let executable = is_executable(workspace, &index.path)?;
        changes.push(add(repo, &index.path, index_blob(repo, index)?, executable)?);
        notes.extend(index.notes());
        removed.extend(options.replace.then(|| index.replaces.clone()));
    }
    // A shard of two sharded checkpoints is removed with the last one.
    removed.retain(|path| workspace.contains(path.as_bstr()) && ledger.is_done_with(path));
    let removals = removals(context, removed)?;
    let gone = removals.iter().filter(|(_, removal)| *removal != Removal::None);
    changes.extend(gone.map(|(path, _)| Change::Remove { path: path.clone() }));
    // Recorded before the index, so that a later run can commit files that a kill leaves staged.
    record(context, &known);
    write_index(context, ledger, &changes, &notes, undo)?;
    // Our own commit has its own attributes files.
    ledger.touched.extend(changes.into_iter().skip(ours).map(|change| match change {
        Change::Add { path, .. } | Change::Remove { path } => path,
    }));
    ledger.pointers.extend(outputs);
    ledger.pointers.extend(index.filter(|index| index.is_under_lfs).map(|index| index.path.clone()));
    for (path, _) in removals.iter().filter(|(_, removal)| *removal == Removal::All) {
        repo.remove_file(path.as_bstr())?;
    }
    for part in passed {
        part.discard()?;
    }
    for (.., written, _) in &files {
        Resumable::forget_journal(&repo.store(), written.source_oid)?;
    }
    tell(context, ledger, removals, files);
    Ok(())
}

/// Records the result for each file.
fn tell(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    removals: Vec<(BString, Removal)>,
    files: Vec<(BString, BString, Written, Conversion)>,
) {
    let Context { workspace, options, choice, .. } = context;
    for (path, removal) in removals {
        context.reporter().note(&removal.note(path));
    }
    for (path, output, written, conversion) in files {
        see(context, ledger, &path, &output, written);
        // An object is what the index has, unless its changes were meant; what git itself stores is read as it is here.
        let may_differ = choice.takes_changes || matches!(workspace.staged_pointer(path.as_bstr()), Ok(None));
        if may_differ && workspace.check_unmodified(path.as_bstr()).is_err() {
            context.reporter().note(&Note::SourceUnstaged { path: path.clone() });
        }
        ledger.from.push((path.clone(), written.source_oid, options.key.clone()));
        ledger.done(path, output, made_status(context), Some(conversion));
    }
}

/// Returns the status of a converted file, or of one in a dry run.
pub(super) fn made_status(context: Context<'_>) -> Status {
    if context.choice.is_update { Status::Updated } else { Status::Converted }
}

/// Notes the contents of both files.
fn see(context: Context<'_>, ledger: &mut Ledger<'_>, path: &BString, output: &BString, written: Written) {
    let stat = |path: &BString| FileStat::of(&context.repo().target(path.as_bstr()).ok()?.path());
    let source = ledger.stats.get(path).copied().map(|stat| (path, written.source_oid, stat));
    let output = stat(output).map(|stat| (output, written.oid, stat));
    let seen = source.into_iter().chain(output);
    ledger.seen.extend(seen.map(|(path, oid, stat)| Seen { path: path.clone(), oid, stat }));
}

/// Records which contents belong together. This is true for the contents, whatever names the files get.
pub(super) fn record(context: Context<'_>, derived: &[Derived]) {
    context.states.provenance.record(derived, &[], &|path| context.workspace.contains(path));
}

/// Returns the record of a converted file.
pub(super) fn derived(
    context: Context<'_>,
    source: &BString,
    output: &BString,
    facts: &Conversion,
) -> Option<Derived> {
    Some(Derived {
        source: source.clone(),
        source_oid: facts.source_oid?,
        source_size: facts.source_size,
        output: output.clone(),
        output_oid: facts.oid?,
        key: context.options.key.clone(),
        keep: context.options.keep.clone(),
        how: CONVERTED.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Returns the record of a shard index.
pub(super) fn derived_index(
    context: Context<'_>,
    source: &BString,
    output: &BString,
    output_oid: Oid,
    how: &str,
) -> Option<Derived> {
    let Some(Located::Here(old)) = context.workspace.there(source.as_bstr()).ok()? else { return None };
    Some(Derived {
        source: source.clone(),
        source_oid: content::oid(&old.file, &()).ok()?,
        source_size: old.size(),
        output: output.clone(),
        output_oid,
        key: None,
        keep: Vec::new(),
        how: how.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Returns the records of a unit, its shard index included.
fn all_derived(context: Context<'_>, unit: &[Product], index: Option<&NewIndex>) -> Vec<Derived> {
    let files = unit.iter().filter_map(|product| {
        let Product { path, output, conversion, .. } = product;
        derived(context, path, output, conversion)
    });
    let of_index = index.and_then(|index| {
        let oid = Oid::of(index.text.as_bytes());
        derived_index(context, &index.replaces, &index.path, oid, CONVERTED)
    });
    files.chain(of_index).collect()
}

/// Stores the overwritten content in LFS storage, if git does not have it.
fn keep_old(context: Context<'_>, path: &BStr, new: Oid) -> Result<(), Error> {
    let Context { workspace, .. } = context;
    let (repo, store) = (context.repo(), context.repo().store());
    let old = match LocalFile::work_tree(repo, path, None) {
        Ok(old) if old.pointer.is_none() => old,
        _ => return Ok(()),
    };
    let (oid, size) = (content::oid_at(&old.file, &old.path, context.reporter())?, old.size());
    let is_stored = || store.find(oid, size).map_err(Error::io("look in", store.dir()));
    let entry = workspace.entries.get(path);
    let is_blob = || {
        entry.map_or(Ok(false), |entry| {
            Ok::<_, Error>(
                workspace.pointer(entry.id)?.is_none() && workspace.is_content(entry.id, &old.path)?,
            )
        })
    };
    if oid == new || is_stored()?.is_some() || is_blob()? {
        return Ok(());
    }
    let object = NewObject::create(&store)?;
    let (mut from, mut to) = (old.file.file(), object.file());
    io::copy(&mut from, &mut to).map_err(Error::io("write", &store.tmp_dir()))?;
    object.commit(oid, size)?;
    context.reporter().note(&Note::OldKept { path: path.to_owned(), oid });
    Ok(())
}

/// Writes the index once. From then on it names the new files, and nothing is taken back.
pub(super) fn write_index(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    changes: &[Change],
    notes: &[Note],
    undo: &mut Undo<'_>,
) -> Result<(), Error> {
    if !changes.is_empty() {
        context.repo().stage(changes)?;
        ledger.stage();
    }
    undo.keep();
    for note in notes {
        context.reporter().note(note);
    }
    Ok(())
}

/// Returns the blob of the shard index in git's index: its text, or a pointer to it.
fn index_blob(repo: &Repo, index: &NewIndex) -> Result<Vec<u8>, Error> {
    let text = index.text.as_bytes();
    if !index.is_under_lfs {
        return Ok(text.to_vec());
    }
    let store = repo.store();
    let mut object = NewObject::create(&store)?;
    object.write_all(text).map_err(Error::io("write", &store.tmp_dir()))?;
    let pointer = pointer_to(&index.text);
    object.commit(pointer.oid, pointer.size)?;
    Ok(pointer.to_string().into_bytes())
}

fn add(repo: &Repo, path: &BString, blob: Vec<u8>, executable: bool) -> Result<Change, Error> {
    let stat_of = Some(repo.target(path.as_bstr())?.path());
    Ok(Change::Add { path: path.clone(), blob, stat_of, executable })
}

/// Creates a small file before it has its name.
fn small(repo: &Repo, path: &BString, content: &[u8]) -> Result<Placed, Error> {
    let target = repo.target(path.as_bstr())?;
    let into = target.path();
    let placed = Placed::create(&repo.store(), target)?;
    placed.file().write_all(content).map_err(Error::io("write", &into))?;
    Ok(placed)
}

/// Returns `true` if the overwritten file is executable: by the index or, for an untracked file, as `git add` would see
/// it.
fn is_executable(workspace: &Workspace<'_>, path: &BString) -> Result<bool, Error> {
    match workspace.mode(path.as_bstr()) {
        Some(mode) => Ok(mode == Mode::Executable),
        None if workspace.repo.config_bool("core.fileMode") == Some(false) => Ok(false),
        None => Ok(workspace.repo.target(path.as_bstr())?.is_executable()?),
    }
}

pub(super) fn pointer_to(text: &str) -> Pointer {
    Pointer { oid: Oid::of(text.as_bytes()), size: text.len() as u64 }
}
