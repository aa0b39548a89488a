//! [`Job`]: one checkpoint to one safetensors file, wherever that goes.
//!
//! One thread reads and writes: tensor by tensor for the output, and from front to back for the oid of the source and
//! the checksums of its records. The hashing is beside it ([`Hashing`]).
//! Invariant: what [`Job::run`] returns was read from a source that is proven.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::Path;

use bstr::{BStr, ByteSlice as _};

use super::super::content::{LocalFile, Located, oid};
use super::super::hashing::{Hashed, Hashing, Side};
use super::super::{Conversion, Error, Note, Reporter};
use super::Options;
use crate::buffer::{Buffer, Pool};
use crate::checkpoint::{self, Headers, Kind};
use crate::hash::{Hasher, Oid};
use crate::lfs::{Incomplete, Pointer, Writers};
use crate::read_at::{FileSource, ReadAt};
use crate::recipe::{self, Recipe, Steps};
use crate::safetensors::SHOWN_HEADER;

/// A conversion that is decided, with nothing written.
pub(super) struct Job {
    pub(super) located: Located,
    pub(super) recipe: Recipe,
    /// The source, if it was downloaded for this conversion alone.
    pub(super) passing: RefCell<Option<Incomplete>>,
}

/// What a conversion gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) oid: Oid,
    pub(super) size: u64,
    pub(super) source_oid: Oid,
}

/// Where a conversion goes: new and empty files.
pub(super) struct Into<'a> {
    /// The name that it will have, for messages.
    pub(super) path: &'a Path,
    pub(super) first: &'a File,
    pub(super) second: Option<&'a File>,
}

impl Job {
    /// Reads the description of the checkpoint and decides everything.
    pub(super) fn prepare(source: LocalFile, class: Option<&str>, options: &Options) -> Result<Self, Error> {
        let wanted = wanted(class, Headers::Read, options);
        let plan = recipe::plan(&source.file, &wanted.checkpoint)?;
        let recipe = Recipe::new(plan, &wanted)?;
        Ok(Self { located: Located::Here(source), recipe, passing: RefCell::default() })
    }

    /// The same for a checkpoint on the server, of which `bytes` can be read here and there. `None` if it cannot be
    /// converted while it passes by: a legacy stream says only on its way what comes next, and the bytes of deflated records
    /// and of arrays in the pickle do not lie in it as they are.
    pub(super) fn prepare_there(
        pointer: Pointer,
        bytes: &dyn ReadAt,
        class: Option<&str>,
        options: &Options,
    ) -> Result<Option<Self>, Error> {
        // Nothing passes by in a dry run.
        let passes = Kind::of(bytes).map_err(checkpoint::Error::Io)? == Kind::Zip || options.dry_run;
        if !passes {
            return Ok(None);
        }
        let wanted = wanted(class, Headers::Foresee, options);
        let plan = recipe::plan(bytes, &wanted.checkpoint)?;
        if !plan.is_in_place() && !options.dry_run {
            return Ok(None);
        }
        let recipe = Recipe::new(plan, &wanted)?;
        Ok(Some(Self { located: Located::There(pointer), recipe, passing: RefCell::default() }))
    }

    /// What there is to say beside the facts.
    pub(super) fn note(&self, path: &BStr) -> Option<Note> {
        let (len, limit) = (self.recipe.layout.header().len() as u64, SHOWN_HEADER);
        (len > limit).then(|| Note::LongHeader { path: path.to_owned(), len, limit })
    }

    /// Removes the source, if it was downloaded for this conversion alone.
    pub(super) fn drop_source(&self) -> Result<(), Error> {
        match self.passing.take() {
            Some(part) => Ok(part.discard()?),
            None => Ok(()),
        }
    }

    /// Returns `true` if it is the name of a tensor here.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.recipe.plan.tensors.iter().any(|tensor| tensor.name == name)
    }

    /// The facts, with the oids if they are known.
    pub(super) fn facts(&self, written: Option<Written>) -> Conversion {
        Conversion {
            oid: written.map(|written| written.oid),
            size: self.recipe.layout.size(),
            source_oid: written
                .map(|written| written.source_oid)
                .or(self.located.pointer().map(|pointer| pointer.oid)),
            source_size: self.located.size(),
            format: self.recipe.plan.format.name(),
            key: self.recipe.plan.key.clone(),
            tensors: self.recipe.ties.kept.len(),
            dropped: self.recipe.ties.dropped.clone(),
            copies: self.recipe.ties.copies.iter().map(|(name, why)| (name.clone(), (*why).into())).collect(),
            ignored: self.recipe.plan.ignored.clone(),
            notes: self.recipe.plan.notes.clone(),
        }
    }

    /// Holds what the conversion gives against a file that is there; nothing is written. `None` if they differ.
    pub(super) fn is_at(
        &self,
        there: &Path,
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Option<Written>, Error> {
        let (failed, len) = (Error::io("read", there), self.recipe.layout.size());
        let file = FileSource::new(File::open(there).map_err(failed)?).map_err(failed)?;
        if file.len() != len {
            return Ok(None);
        }
        let writers = Writers::behind(file.file(), None, len).map_err(failed)?;
        let written = self.drive(there, writers, spool, reporter)?;
        Ok((oid(&file, reporter).map_err(failed)? == written.oid).then_some(written))
    }

    /// Writes the file, or both; they are on the disk after it. `spool` makes a temporary file for records that
    /// must be inflated first.
    ///
    /// # Errors
    /// [`Error::NoObject`] for what is on the server: that is a [`Pass`](super::pass::Pass).
    pub(super) fn run(
        &self,
        into: &Into<'_>,
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Written, Error> {
        let writers = Writers::start(into.first, into.second, self.recipe.layout.size());
        self.drive(into.path, writers.map_err(Error::io("write", into.path))?, spool, reporter)
    }

    fn drive(
        &self,
        path: &Path,
        writers: Writers,
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Written, Error> {
        let source = match &self.located {
            Located::Here(source) => source,
            &Located::There(Pointer { oid, size }) => return Err(Error::NoObject { oid, size }),
        };
        reporter.started(source.name.as_bstr(), self.recipe.layout.size());
        let result = self.read(source, path, writers, spool, reporter);
        reporter.finished();
        if reporter.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let written = result?;
        source.check_unchanged()?;
        match source.pointer {
            Some(pointer) if pointer.oid != written.source_oid => {
                Err(Error::PointerMismatch { expected: pointer.oid, got: written.source_oid })
            }
            _ => Ok(written),
        }
    }

    fn read(
        &self,
        source: &LocalFile,
        path: &Path,
        writers: Writers,
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Written, Error> {
        let failed = Error::io("write", path);
        let hashing = Hashing::start(Hasher::default()).map_err(failed)?;
        let mut drive = Drive { pool: Pool::new(BUFFERS), writers, hashing, reporter };
        let passed = self.inflate(&source.file, spool).and_then(|inflated| {
            let inflated = inflated.as_ref().map(|inflated| inflated as &dyn ReadAt);
            Ok(self.recipe.run(&source.file, inflated, &mut drive)?)
        });
        let Drive { writers, hashing, .. } = drive;
        writers.finish().map_err(failed)?;
        passed?;
        let Hashed { source: (source_oid, _), output: (oid, size) } = hashing.finish().map_err(failed)?;
        Ok(Written { oid, size, source_oid })
    }

    /// What does not lie in the source as it is.
    fn inflate(
        &self,
        source: &FileSource,
        spool: &dyn Fn() -> Result<File, Error>,
    ) -> Result<Option<FileSource>, Error> {
        if self.recipe.plan.is_in_place() {
            return Ok(None);
        }
        let mut inflated = spool()?;
        checkpoint::inflate(source, &self.recipe.plan, &mut inflated)?;
        Ok(Some(FileSource::new(inflated).map_err(checkpoint::Error::Io)?))
    }
}

/// How [`recipe`] is asked.
fn wanted(class: Option<&str>, headers: Headers, options: &Options) -> recipe::Options {
    let limits = checkpoint::Limits { output: options.max_output, ..checkpoint::Limits::default() };
    recipe::Options {
        checkpoint: checkpoint::Options { key: options.key.clone(), headers, limits },
        class: class.map(str::to_owned),
        keep: options.keep.iter().cloned().collect(),
        strict: options.strict,
    }
}

/// How many buffers a conversion has: those that wait for each thread, and those in its hands.
const BUFFERS: usize = 16;

/// Each buffer of output is written and hashed, each of the source is hashed.
struct Drive<'a> {
    pool: Pool,
    writers: Writers,
    hashing: Hashing,
    reporter: &'a dyn Reporter,
}

impl Steps for Drive<'_> {
    fn output(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        let bytes = self.pool.share(bytes);
        self.writers.write(&bytes)?;
        self.reporter.advanced(bytes.len() as u64);
        self.hashing.give(Side::Output, bytes)?;
        Ok(self.pool.take())
    }

    fn source(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        if self.reporter.is_interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.hashing.give(Side::Source, self.pool.share(bytes))?;
        Ok(self.pool.take())
    }
}
