//! A shard that is converted and waits for the others of its set: nothing of a set has a name before all of it is there, and
//! what a killed run has done of it is not done again.
//!
//! ```text
//! <lfs>/incomplete/<source>.safetensors         the object, whole
//! <lfs>/incomplete/<source>.safetensors.json    its oid and size, of what it was made and how, and what there is to say of it
//! ```
//!
//! Invariant: no journal is believed. It counts if it is of the same source, the same release and the same options, and
//! if the file has the oid and the size that it says, which is seen by reading it.

use std::collections::BTreeMap;

use bstr::{BStr, BString};
use serde::{Deserialize, Serialize};

use super::super::{Conversion, Error};
use super::index::Held;
use super::job::Written;
use super::pass::Behind;
use super::publish::Made;
use super::repository::Run;
use crate::checkpoint::{Format, Ignored, Note, ties};
use crate::hash::{Hasher, Oid};
use crate::lfs::{NewObject, Placed, Pointer, Resumable};
use crate::read_at::FileSource;
use crate::safetensors;

/// How much is read between two looks at whether to stop.
const STEP: u64 = 32 << 20;

/// What is remembered of an object.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    /// Of what it was made, and how.
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

/// An object that an earlier run made, if it is what it says.
pub(super) struct Whole {
    journal: Journal,
    oid: Oid,
    source: Pointer,
}

impl Whole {
    /// Its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.journal.size
    }
}

impl Run<'_> {
    /// What tells one conversion of a source from another.
    fn identity(&self, path: &BStr, source: Pointer) -> String {
        let class = self.workspace.class(path);
        let aliases = class.map(|class| ties::Policy::for_architecture(&class).aliases).unwrap_or_default();
        let (options, mut keep) = (self.options, self.options.keep.clone());
        keep.sort();
        let told =
            (env!("CARGO_PKG_VERSION"), &options.key, keep, options.strict, options.max_output, aliases);
        let mut hasher = Hasher::default();
        // As JSON no two of them run into each other.
        hasher.update(&serde_json::to_vec(&told).unwrap_or_default());
        format!("{} {} {}", source.oid, source.size, hasher.finish().0)
    }

    /// What an earlier run made of a source. Nothing is opened or believed.
    pub(super) fn whole(&self, path: &BStr, source: Pointer) -> Option<Whole> {
        let store = self.repo.store();
        let journal: Journal = serde_json::from_slice(&Resumable::journal_of(&store, source.oid)?).ok()?;
        if journal.whole != self.identity(path, source) {
            return None;
        }
        let oid = journal.oid.parse().ok()?;
        let is_there = Resumable::is_there(&store, source.oid, journal.size)
            || store.find(oid, journal.size).is_ok_and(|found| found.is_some());
        is_there.then_some(Whole { journal, oid, source })
    }

    /// Remembers an object of a set.
    pub(super) fn remember(
        &self,
        path: &BStr,
        object: &NewObject,
        source: Pointer,
        conversion: &Conversion,
    ) -> Result<(), Error> {
        let Some(oid) = conversion.oid else { return Ok(()) };
        let copies = conversion.copies.iter();
        let journal = Journal {
            whole: self.identity(path, source),
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
            .map_err(|error| Error::io("write", &self.repo.store().tmp_dir())(error.into()))?;
        Ok(object.save_whole(&text)?)
    }

    /// Proves what an earlier run made, by reading it into its place. `None` if it is not what it says.
    pub(super) fn take_whole(
        &self,
        whole: Whole,
        path: &BStr,
        output: &BString,
    ) -> Result<Option<Made>, Error> {
        let Whole { journal, oid, source } = whole;
        let store = self.repo.store();
        let object = if Resumable::is_there(&store, source.oid, journal.size) {
            let made = Resumable::open(&store, source.oid)?;
            made.keep_journal();
            Some(NewObject::from(made))
        } else {
            // Stopped between the names and the index.
            NewObject::stored(&store, oid)
        };
        let Some(object) = object else { return Ok(None) };
        let placed = self.placed(output)?;
        let stored = store.path_of(oid);
        let failed = Error::io("read", &stored);
        // Another process may have the file, and we an empty one in its place.
        let is_long = object.file().metadata().map_err(failed)?.len() == journal.size;
        let is_it = is_long && {
            self.reporter.started(path, journal.size);
            let read = self.read_whole(&object, placed.as_ref(), journal.size);
            self.reporter.finished();
            if self.reporter.is_interrupted() {
                return Err(Error::Interrupted);
            }
            read.map_err(failed)? == (oid, journal.size)
        };
        let file = object.file().try_clone().and_then(FileSource::new).map_err(failed)?;
        let described = is_it.then(|| describe(journal, path, output, &file, oid, source)).flatten();
        let Some((conversion, held)) = described else {
            object.discard()?;
            return Ok(None);
        };
        let written = Written { oid, size: conversion.size, source_oid: source.oid };
        Ok(Some(Made { object, placed, written, conversion, held, passing: None }))
    }

    fn read_whole(
        &self,
        object: &NewObject,
        placed: Option<&Placed>,
        size: u64,
    ) -> std::io::Result<(Oid, u64)> {
        let mut behind = Behind::start(object.file(), placed.map(Placed::file), size)?;
        let mut at = 0;
        while at < size && !self.reporter.is_interrupted() {
            let step = STEP.min(size - at);
            at += step;
            behind.follow(at)?;
            self.reporter.advanced(step);
        }
        behind.finish()
    }

    /// Removes what an earlier run made of a set that is refused now.
    pub(super) fn discard_whole(&self, whole: &Whole) -> Result<(), Error> {
        let store = self.repo.store();
        if Resumable::is_there(&store, whole.source.oid, whole.journal.size) {
            Resumable::open(&store, whole.source.oid)?.discard()?;
        }
        Ok(Resumable::forget_journal(&store, whole.source.oid)?)
    }
}

/// What there is to say of an object that is proven. `None` if it does not fit together.
fn describe(
    journal: Journal,
    path: &BStr,
    output: &BString,
    file: &FileSource,
    oid: Oid,
    source: Pointer,
) -> Option<(Conversion, Held)> {
    let (infos, _) = safetensors::read(file).ok()?;
    let format = Format::ALL.map(Format::name).into_iter().find(|name| *name == journal.format)?;
    let held = Held {
        path: path.to_owned(),
        output: output.clone(),
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
        tensors: held.kept.len(),
        dropped: journal.dropped,
        copies: journal.copies.into_iter().map(|(name, why)| (name, why.into())).collect(),
        ignored: journal.ignored,
        notes: journal.notes,
    };
    Some((conversion, held))
}
