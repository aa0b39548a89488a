//! From products to names: the objects, the `.gitattributes`, the files of the work tree, the index.
//!
//! Invariant: if a name cannot be given, the names that were given before it are taken back, so that a failure leaves what
//! was there. One write of the index makes them git's; from there on nothing is taken back.

use std::io::Write as _;

use bstr::{BString, ByteSlice as _};

use super::super::placement::{Undo, write_attributes};
use super::super::workspace::Workspace;
use super::super::{Error, Note};
use super::Context;
use super::index::NewIndex;
use super::ledger::Ledger;
use super::product::Product;
use crate::hash::Oid;
use crate::lfs::{NewObject, Placed, Pointer, Resumable};
use crate::repo::{Change, Mode, Repo};

/// Gives every product of a unit its name, stages them, and writes down what became of them.
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
    let (Context { workspace, options }, repo) = (context, context.repo());
    let outputs: Vec<_> = unit.iter().map(|product| product.output.clone()).collect();
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
        undo.give(output.as_bstr(), || Ok(placed.publish(options.force || is_there)?))?;
        changes.push(add(repo, &output, pointer.into_bytes(), executable)?);
        removed.extend(options.replace.then(|| path.clone()));
        files.push((path, output, written, conversion));
    }
    if let Some(index) = index {
        undo.write(index.path.as_bstr(), index.text.as_bytes())?;
        let executable = is_executable(workspace, &index.path)?;
        changes.push(add(repo, &index.path, index_blob(repo, index)?, executable)?);
        notes.extend(index.notes());
        removed.extend(options.replace.then(|| index.replaces.clone()));
    }
    // A shard of two sets goes with the last.
    removed.retain(|path| workspace.contains(path.as_bstr()) && ledger.is_done_with(path));
    let removals = removals(context, removed)?;
    let gone = removals.iter().filter(|(_, removal)| *removal != Removal::None);
    changes.extend(gone.map(|(path, _)| Change::Remove { path: path.clone() }));
    write_index(context, ledger, &changes, &notes, undo)?;
    // A commit of our own has attributes files of its own.
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
    for (path, removal) in removals {
        context.reporter().note(&removal.note(path));
    }
    for (path, output, written, conversion) in files {
        ledger.from.push((path.clone(), written.source_oid));
        ledger.converted(path, output, conversion);
    }
    Ok(())
}

/// From where a checkpoint is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    /// From the index and the working tree.
    All,
    /// From the index: git could not give the file back.
    Index,
    /// From nowhere: only the index has it.
    None,
}

impl Removal {
    fn note(self, path: BString) -> Note {
        match self {
            Self::All => Note::Removed { path },
            Self::Index => Note::Unstaged { path },
            Self::None => Note::Kept { path },
        }
    }
}

fn removals(context: Context<'_>, paths: Vec<BString>) -> Result<Vec<(BString, Removal)>, Error> {
    let removal = |path: BString| {
        let file = context.repo().target(path.as_bstr())?.path();
        let removal = if context.workspace.is_recoverable(path.as_bstr())? {
            Removal::All
        } else if file.symlink_metadata().is_ok() {
            Removal::Index
        } else {
            Removal::None
        };
        Ok((path, removal))
    };
    paths.into_iter().map(removal).collect()
}

/// Takes what an earlier run staged, and which was proven, into the commit.
pub(super) fn take_staged(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    outputs: Vec<BString>,
    index: Option<&NewIndex>,
) -> Result<(), Error> {
    if let Some(index) = index {
        let blob = if index.is_under_lfs { pointer_to(&index.text).to_string() } else { index.text.clone() };
        if !context.workspace.is_staged(index.path.as_bstr(), blob.as_bytes())? {
            return Err(Error::OutputExists { output: index.path.clone() });
        }
    }
    let mut undo = Undo::new(context.repo());
    let written = write_attributes(context.repo(), &outputs, &mut undo);
    written
        .and_then(|(changes, notes)| write_index(context, ledger, &changes, &notes, &mut undo))
        .inspect_err(|_| undo.all())?;
    let of_set = index.map(|index| index.path.clone());
    ledger.touched.extend(outputs.iter().cloned().chain(of_set.clone()));
    ledger.pointers.extend(outputs);
    ledger.pointers.extend(of_set.filter(|_| index.is_some_and(|index| index.is_under_lfs)));
    Ok(())
}

/// One write of the index. From there on it names what is new, and nothing is taken back.
fn write_index(
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

/// What the shard index is in the index of git: its text, or a pointer to it.
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

/// A small file on its way to its place.
fn small(repo: &Repo, path: &BString, content: &[u8]) -> Result<Placed, Error> {
    let target = repo.target(path.as_bstr())?;
    let into = target.path();
    let placed = Placed::create(&repo.store(), target)?;
    placed.file().write_all(content).map_err(Error::io("write", &into))?;
    Ok(placed)
}

/// Is the file that is replaced one that may be run? As the index says; of a file that nobody tracks, as `git add`
/// would see it.
fn is_executable(workspace: &Workspace<'_>, path: &BString) -> Result<bool, Error> {
    match workspace.mode(path.as_bstr()) {
        Some(mode) => Ok(mode == Mode::Executable),
        None if workspace.repo.config_bool("core.fileMode") == Some(false) => Ok(false),
        None => Ok(workspace.repo.target(path.as_bstr())?.is_executable()?),
    }
}

fn pointer_to(text: &str) -> Pointer {
    Pointer { oid: Oid::of(text.as_bytes()), size: text.len() as u64 }
}
