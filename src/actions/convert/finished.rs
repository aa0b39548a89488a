//! [`FinishedShard`] is a converted shard that waits for the others of its sharded checkpoint: no shard gets a name
//! before all are converted, and the work of a killed run is not repeated.
//!
//! ```text
//! <lfs>/incomplete/<source>.safetensors         the complete object
//! <lfs>/incomplete/<source>.safetensors.json    its object ID and size, its source, the options, and the facts to
//! report
//! ```
//!
//! Invariant: no journal is trusted. It counts only if it has the same source, the same release and the same options,
//! and if the file has the stated object ID and size, which a read of the file checks.

use std::collections::{BTreeMap, BTreeSet};

use bstr::ByteSlice as _;
use serde::{Deserialize, Serialize};

use super::super::hashing::Hashing;
use super::super::{Conversion, Error, Reporter, names};
use super::follower::Follower;
use super::index::ShardContents;
use super::job::Written;
use super::product::{Product, Task};
use super::{Context, Maker, Options};
use crate::checkpoint::{Format, Ignored, Note, ties};
use crate::hash::{Hasher, Oid};
use crate::lfs::{NewObject, Placed, Pointer, Resumable, Store};
use crate::read_at::FileSource;
use crate::safetensors;

/// How many bytes are read between two checks for an interruption.
const STEP: u64 = 32 << 20;

/// The journal of a finished object.
#[derive(Debug, Serialize, Deserialize)]
struct ShardJournal {
    /// Its source, and the options of the conversion.
    whole: String,
    oid: String,
    size: u64,
    format: String,
    key: String,
    dropped: BTreeMap<String, String>,
    copies: Vec<(String, String)>,
    ignored: Vec<Ignored>,
    notes: Vec<Note>,
}

/// An object that an earlier run made, if its journal is correct.
pub(super) struct FinishedShard {
    journal: ShardJournal,
    oid: Oid,
    source: Pointer,
}

/// Returns what distinguishes one conversion of a source from another.
fn identity(options: &Options, class: Option<&str>, source: Pointer) -> String {
    let aliases = ties::Policy::for_class(class).aliases;
    let mut keep = options.keep.clone();
    keep.sort();
    let told = (env!("CARGO_PKG_VERSION"), &options.key, keep, options.strict, options.max_output, aliases);
    let mut hasher = Hasher::default();
    // As JSON, two values cannot run into each other.
    hasher.update(&serde_json::to_vec(&told).unwrap_or_default());
    format!("{} {} {}", source.oid, source.size, hasher.finish().0)
}

/// Records a finished object of a sharded checkpoint.
pub(super) fn remember(
    maker: &Maker<'_>,
    class: Option<&str>,
    object: &NewObject,
    source: Pointer,
    conversion: &Conversion,
) -> Result<(), Error> {
    let Some(oid) = conversion.oid else { return Ok(()) };
    let copies = conversion.copies.iter();
    let journal = ShardJournal {
        whole: identity(maker.options, class, source),
        oid: oid.to_string(),
        size: conversion.size,
        format: conversion.format.to_owned(),
        key: conversion.key.clone(),
        dropped: conversion.dropped.clone(),
        copies: copies.map(|(name, why)| (name.clone(), why.to_string())).collect(),
        ignored: conversion.ignored.clone(),
        notes: conversion.notes.clone(),
    };
    let text = serde_json::to_vec(&journal)
        .map_err(|error| Error::io("write", &maker.store.tmp_dir())(error.into()))?;
    Ok(object.save_whole(&text)?)
}

impl FinishedShard {
    /// Finds the object that an earlier run made from a source. Nothing is opened or trusted.
    pub(super) fn find(maker: &Maker<'_>, class: Option<&str>, source: Pointer) -> Option<Self> {
        let store = &maker.store;
        let journal: ShardJournal =
            serde_json::from_slice(&Resumable::journal_of(store, source.oid)?).ok()?;
        if journal.whole != identity(maker.options, class, source) {
            return None;
        }
        let oid = journal.oid.parse().ok()?;
        let is_there = Resumable::is_there(store, source.oid, journal.size)
            || store.find(oid, journal.size).is_ok_and(|found| found.is_some());
        is_there.then_some(Self { journal, oid, source })
    }

    /// Returns its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.journal.size
    }

    /// Checks the object of an earlier run, while it is copied to its path. `None` if the journal is wrong.
    pub(super) fn take(self, maker: &Maker<'_>, task: &Task) -> Result<Option<Product>, Error> {
        let (Self { journal, oid, source }, Maker { store, reporter, .. }) = (self, maker);
        let is_there = task.is_there(maker, journal.size)?;
        let object = if Resumable::is_there(store, source.oid, journal.size) {
            let made = Resumable::open(store, source.oid)?;
            made.keep_journal();
            Some(NewObject::from(made))
        } else {
            // The run was stopped between the names and the index.
            NewObject::stored(store, oid)
        };
        let Some(object) = object else { return Ok(None) };
        let placed = task.placed(maker)?;
        let stored = store.path_of(oid);
        let failed = Error::io("read", &stored);
        // Another process may have the file, and this one an empty file instead.
        let is_long = object.file().metadata().map_err(failed)?.len() == journal.size;
        let is_it = is_long && {
            reporter.started(task.path.as_bstr(), journal.size);
            let read = read(&object, placed.as_ref(), journal.size, *reporter);
            reporter.finished();
            reporter.check_interrupted()?;
            read.map_err(failed)? == (oid, journal.size)
        };
        let file = object.file().try_clone().and_then(FileSource::new).map_err(failed)?;
        let described = is_it.then(|| describe(journal, task, &file, oid, source)).flatten();
        let Some((conversion, contents)) = described else {
            object.discard()?;
            return Ok(None);
        };
        let (path, output) = (task.path.clone(), task.output.clone());
        let written = Written { oid, size: conversion.size, source_oid: source.oid };
        let passing = None;
        Ok(Some(Product { path, output, written, conversion, object, contents, passing, placed, is_there }))
    }

    /// Removes the object that an earlier run made for a sharded checkpoint that is now refused.
    pub(super) fn discard(&self, store: &Store) -> Result<(), Error> {
        if Resumable::is_there(store, self.source.oid, self.journal.size) {
            Resumable::open(store, self.source.oid)?.discard()?;
        }
        Ok(Resumable::forget_journal(store, self.source.oid)?)
    }
}

/// Removes the journals of a run that was killed after its write of the index: the index already names its objects.
pub(super) fn forget_staged(context: Context<'_>) -> Result<(), Error> {
    let (repo, store) = (context.repo(), context.repo().store());
    let waiting = Resumable::journals_alone(&store);
    if waiting.is_empty() {
        return Ok(());
    }
    let mut staged = BTreeSet::new();
    for entry in repo.entries()?.iter().filter(|entry| names::is_safetensors(entry.path.as_bstr())) {
        staged.extend(repo.pointer(entry.id)?.map(|pointer| pointer.oid.to_string()));
    }
    for source in waiting {
        let journal = Resumable::journal_of(&store, source);
        let journal = journal.and_then(|text| serde_json::from_slice::<ShardJournal>(&text).ok());
        if journal.is_some_and(|journal| staged.contains(&journal.oid)) {
            Resumable::forget_journal(&store, source)?;
        }
    }
    Ok(())
}

fn read(
    object: &NewObject,
    placed: Option<&Placed>,
    size: u64,
    reporter: &dyn Reporter,
) -> std::io::Result<(Oid, u64)> {
    let hashing = Hashing::start(Hasher::default())?;
    let mut follower = Follower::start(object.file(), placed.map(Placed::file), size, &hashing)?;
    let mut at = 0;
    while at < size && !reporter.is_interrupted() {
        let step = STEP.min(size - at);
        at += step;
        follower.follow(at)?;
        reporter.advanced(step);
    }
    follower.finish()?;
    Ok(hashing.finish()?.output)
}

/// Returns the facts about a checked object. `None` if they are inconsistent.
fn describe(
    journal: ShardJournal,
    task: &Task,
    file: &FileSource,
    oid: Oid,
    source: Pointer,
) -> Option<(Conversion, ShardContents)> {
    let (infos, _) = safetensors::read(file).ok()?;
    let format = Format::ALL.map(Format::name).into_iter().find(|name| *name == journal.format)?;
    let contents = ShardContents {
        path: task.path.clone(),
        output: task.output.clone(),
        bytes: infos.iter().map(|info| info.bytes).sum(),
        kept: infos.into_iter().map(|info| info.name).collect(),
        dropped: journal.dropped.keys().cloned().collect(),
    };
    let conversion = Conversion {
        oid: Some(oid),
        size: journal.size,
        source_oid: Some(source.oid),
        source_size: source.size,
        format,
        key: journal.key,
        tensors: contents.kept.len(),
        dropped: journal.dropped,
        copies: journal.copies.into_iter().map(|(name, why)| (name, why.into())).collect(),
        ignored: journal.ignored,
        notes: journal.notes,
    };
    Some((conversion, contents))
}
