//! [`Job`] converts one checkpoint to one safetensors file, at any location.
//!
//! One thread reads: tensor by tensor for the output, and from start to end for the object ID of the source and the
//! checksums of its records. [`Hashing`] runs next to it. If no object ID is needed ([`Digests`]), nothing is hashed, and
//! each byte is read once.
//!
//! Invariant: the result of [`Job::run`] and [`Job::run_plain`] was read from a source whose checksums are correct, and
//! whose object ID matches its pointer, if it has one.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::Path;

use bstr::{BStr, ByteSlice as _};

use super::super::content::{LocalFile, Located};
use super::super::hashing::{Hashed, Hashing, Sender, Side};
use super::super::{Conversion, Error, Note, Reporter};
use super::Options;
use crate::buffer::{Buffer, Pool};
use crate::checkpoint::{self, Headers, Kind};
use crate::hash::{Hasher, Oid};
use crate::lfs::{Incomplete, Pointer, Writers};
use crate::read_at::{FileSource, ReadAt};
use crate::recipe::{self, Recipe, Steps};
use crate::safetensors::SHOWN_HEADER;

/// A conversion that is decided, with nothing written yet.
pub(super) struct Job {
    pub(super) located: Located,
    pub(super) recipe: Recipe,
    /// The source, if it was downloaded only for this conversion.
    pub(super) passing: RefCell<Option<Incomplete>>,
}

/// The result of a conversion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) oid: Oid,
    pub(super) size: u64,
    pub(super) source_oid: Oid,
}

/// Which bytes of a conversion are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digests {
    /// Source and output.
    Both,
    /// The source, because a pointer names it.
    Source,
    /// None; checksums are still compared.
    Neither,
}

/// The known object IDs of a conversion.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Oids {
    pub(super) output: Option<Oid>,
    pub(super) source: Option<Oid>,
}

impl From<Written> for Oids {
    fn from(written: Written) -> Self {
        Self { output: Some(written.oid), source: Some(written.source_oid) }
    }
}

/// The destination of a conversion: new and empty files.
pub(super) struct Into<'a> {
    /// Its final name, for messages.
    pub(super) path: &'a Path,
    pub(super) first: &'a File,
    pub(super) second: Option<&'a File>,
}

impl Job {
    /// Reads the description of the checkpoint and makes all decisions.
    pub(super) fn prepare(source: LocalFile, class: Option<&str>, options: &Options) -> Result<Self, Error> {
        let wanted = wanted(class, Headers::Read, options);
        let plan = recipe::plan(&source.file, &wanted.checkpoint)?;
        let recipe = Recipe::new(plan, &wanted)?;
        Ok(Self { located: Located::Here(source), recipe, passing: RefCell::default() })
    }

    /// Does the same for a checkpoint on the server, which `bytes` reads by ranges. `None` if it cannot be converted
    /// while it is downloaded: the layout of a legacy PyTorch file is known only during the download, and the bytes of
    /// deflated records and of arrays in the pickle are not in it in place.
    pub(super) fn prepare_there(
        pointer: Pointer,
        bytes: &dyn ReadAt,
        class: Option<&str>,
        options: &Options,
    ) -> Result<Option<Self>, Error> {
        // A dry run downloads nothing.
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

    /// Returns the note about the conversion.
    pub(super) fn note(&self, path: &BStr) -> Option<Note> {
        let (len, limit) = (self.recipe.layout.header().len() as u64, SHOWN_HEADER);
        (len > limit).then(|| Note::LongHeader { path: path.to_owned(), len, limit })
    }

    /// Removes the source, if it was downloaded only for this conversion.
    pub(super) fn drop_source(&self) -> Result<(), Error> {
        match self.passing.take() {
            Some(part) => Ok(part.discard()?),
            None => Ok(()),
        }
    }

    /// Returns `true` for the name of a tensor of this checkpoint.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.recipe.plan.tensors.iter().any(|tensor| tensor.name == name)
    }

    /// Returns the facts, with the object IDs if they are known.
    pub(super) fn facts(&self, oids: Oids) -> Conversion {
        Conversion {
            oid: oids.output,
            size: self.recipe.layout.size(),
            source_oid: oids.source.or(self.located.pointer().map(|pointer| pointer.oid)),
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

    /// Compares the result of the conversion with an existing file; nothing is written. `None` if they differ.
    pub(super) fn is_at(
        &self,
        there: &Path,
        spool: &dyn Fn() -> Result<File, Error>,
        sha256: bool,
        reporter: &dyn Reporter,
    ) -> Result<Option<Oids>, Error> {
        let failed = Error::io("read", there);
        let file = FileSource::new(File::open(there).map_err(failed)?).map_err(failed)?;
        if file.len() != self.recipe.layout.size() {
            return Ok(None);
        }
        let same = Same { file, at: 0, buffer: Buffer::new(), is_other: false };
        let mut to = To::Compare(same);
        let oids = self.drive(there, &mut to, self.digests(sha256), spool, reporter);
        match to {
            // The comparison stopped at the first difference.
            To::Compare(Same { is_other: true, .. }) if !reporter.is_interrupted() => Ok(None),
            _ => oids.map(Some),
        }
    }

    /// Writes the file, or both files; they are on the disk afterwards. `spool` creates a temporary file for records
    /// that must be inflated first.
    ///
    /// # Errors
    /// [`Error::NoObject`] for a source on the server, which needs a [`Pass`](super::pass::Pass).
    pub(super) fn run(
        &self,
        into: &Into<'_>,
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Written, Error> {
        let failed = Error::io("write", into.path);
        let size = self.recipe.layout.size();
        let writers = Writers::start(into.first, into.second, size).map_err(failed)?;
        let mut to = To::Write(Some(writers));
        match self.drive(into.path, &mut to, Digests::Both, spool, reporter)? {
            Oids { output: Some(oid), source: Some(source_oid) } => Ok(Written { oid, size, source_oid }),
            _ => Err(failed(io::Error::other("the conversion was not hashed"))),
        }
    }

    /// Writes one file outside LFS storage. It is synced to the disk only if `is_durable`.
    ///
    /// # Errors
    /// As [`Job::run`].
    pub(super) fn run_plain(
        &self,
        into: &Into<'_>,
        is_durable: bool,
        sha256: bool,
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Oids, Error> {
        let size = self.recipe.layout.size();
        let writers = if is_durable {
            Writers::start(into.first, into.second, size)
        } else {
            Writers::cached(into.first, size)
        };
        let mut to = To::Write(Some(writers.map_err(Error::io("write", into.path))?));
        self.drive(into.path, &mut to, self.digests(sha256), spool, reporter)
    }

    /// Returns what is hashed outside a repository: a source with a pointer must match that pointer.
    fn digests(&self, sha256: bool) -> Digests {
        match self.located.pointer() {
            _ if sha256 => Digests::Both,
            Some(_) => Digests::Source,
            None => Digests::Neither,
        }
    }

    fn drive(
        &self,
        path: &Path,
        to: &mut To,
        digests: Digests,
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Oids, Error> {
        let source = match &self.located {
            Located::Here(source) => source,
            &Located::There(Pointer { oid, size }) => return Err(Error::NoObject { oid, size }),
        };
        reporter.started(source.name.as_bstr(), self.recipe.layout.size());
        let result = self.read(source, path, to, digests, spool, reporter);
        reporter.finished();
        if reporter.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let oids = result?;
        source.check_unchanged()?;
        match (source.pointer, oids.source) {
            (Some(Pointer { oid: expected, .. }), Some(got)) if got != expected => {
                Err(Error::PointerMismatch { expected, got })
            }
            _ => Ok(oids),
        }
    }

    fn read(
        &self,
        source: &LocalFile,
        path: &Path,
        to: &mut To,
        digests: Digests,
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Oids, Error> {
        let failed = Error::io("write", path);
        let hashing = match digests {
            Digests::Neither => None,
            _ => Some(Hashing::start(Hasher::default()).map_err(failed)?),
        };
        let sender = hashing.as_ref().map(Hashing::sender).transpose().map_err(failed)?;
        let mut drive = Drive { pool: Pool::new(BUFFERS), to, sender, digests, reporter };
        let passed = self.inflate(&source.file, spool).and_then(|inflated| {
            let inflated = inflated.as_ref().map(|inflated| inflated as &dyn ReadAt);
            let (source, steps) = (&source.file, &mut drive);
            Ok(if digests == Digests::Neither {
                self.recipe.run_once(source, inflated, steps)
            } else {
                self.recipe.run(source, inflated, steps)
            }?)
        });
        let Drive { to, sender, .. } = drive;
        drop(sender);
        if let To::Write(writers) = to {
            writers.take().map_or(Ok(()), Writers::finish).map_err(failed)?;
        }
        passed?;
        let Some(hashing) = hashing else { return Ok(Oids::default()) };
        let Hashed { source: (source, _), output: (output, _) } = hashing.finish().map_err(failed)?;
        Ok(Oids { output: (digests == Digests::Both).then_some(output), source: Some(source) })
    }

    /// Inflates the bytes that the source does not contain in place.
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

/// Returns the options for [`recipe`].
fn wanted(class: Option<&str>, headers: Headers, options: &Options) -> recipe::Options {
    let limits = checkpoint::Limits { output: options.max_output, ..checkpoint::Limits::default() };
    recipe::Options {
        checkpoint: checkpoint::Options { key: options.key.clone(), headers, limits },
        class: class.map(str::to_owned),
        keep: options.keep.iter().cloned().collect(),
        strict: options.strict,
    }
}

/// The number of buffers: those that wait for each thread, and those in use.
const BUFFERS: usize = 16;

/// The destination of the output.
enum To {
    /// It is written. `None` when the writing has ended.
    Write(Option<Writers>),
    /// It is compared with a file.
    Compare(Same),
}

/// An existing file that may be the output.
struct Same {
    file: FileSource,
    /// How many bytes are the same.
    at: u64,
    buffer: Buffer,
    is_other: bool,
}

impl Same {
    /// Compares the next bytes.
    ///
    /// # Errors
    /// At the first difference.
    fn compare(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.set_len(bytes.len());
        self.file.read_exact_at(&mut self.buffer, self.at)?;
        self.at += bytes.len() as u64;
        self.is_other = *self.buffer != *bytes;
        if self.is_other { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
    }
}

/// Writes or compares each buffer of output, and hashes it and each buffer of the source, as configured.
struct Drive<'a> {
    pool: Pool,
    to: &'a mut To,
    sender: Option<Sender>,
    digests: Digests,
    reporter: &'a dyn Reporter,
}

impl Steps for Drive<'_> {
    fn output(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        self.checked()?;
        let bytes = self.pool.share(bytes);
        match self.to {
            To::Write(writers) => writers.as_ref().map_or(Ok(()), |writers| writers.write(&bytes))?,
            To::Compare(same) => same.compare(&bytes)?,
        }
        self.reporter.advanced(bytes.len() as u64);
        if let Some(sender) = self.sender.as_ref().filter(|_| self.digests == Digests::Both) {
            sender.give(Side::Output, bytes)?;
        }
        Ok(self.pool.take())
    }

    fn source(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        self.checked()?;
        let bytes = self.pool.share(bytes);
        if let Some(sender) = &self.sender {
            sender.give(Side::Source, bytes)?;
        }
        Ok(self.pool.take())
    }

    fn checked(&mut self) -> io::Result<()> {
        if self.reporter.is_interrupted() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}
