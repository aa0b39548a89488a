//! [`Job`]: one checkpoint to one safetensors file, wherever that goes.
//!
//! One thread reads and writes: tensor by tensor for the output, and from front to back for the oid of the source and
//! the checksums of its records. The hashing is beside it ([`Hashing`]).
//! Invariant: what [`Job::run`] returns was read from a source that is proven.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use bstr::{BStr, ByteSlice as _};

use super::super::content::{LocalFile, Located};
use super::super::{Conversion, Error, Note, Reporter};
use super::Options;
use super::hashing::{Hashed, Hashing, Side};
use crate::buffer::{Buffer, Pool};
use crate::checkpoint::{self, Headers, Kind, Plan, Proof, ties};
use crate::hash::Oid;
use crate::lfs::{Incomplete, Pointer, Writers};
use crate::read_at::{FileSource, Joined, ReadAt};
use crate::safetensors::{self, Layout, SHOWN_HEADER, Sink};
use crate::scan;

/// A conversion that is decided, with nothing written.
pub(super) struct Job {
    pub(super) located: Located,
    pub(super) plan: Plan,
    pub(super) layout: Layout,
    pub(super) ties: ties::Ties,
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
        let plan = read(&source.file, Headers::Read, options)?;
        Self::decide(Located::Here(source), plan, class, options)
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
        let plan = read(bytes, Headers::Foresee, options)?;
        if !plan.is_in_place() && !options.dry_run {
            return Ok(None);
        }
        Self::decide(Located::There(pointer), plan, class, options).map(Some)
    }

    fn decide(located: Located, plan: Plan, class: Option<&str>, options: &Options) -> Result<Self, Error> {
        if let Some(named) = scan::dangerous(&plan.globals) {
            let global = format!("{}.{}", named.module, named.name);
            return Err(Error::Dangerous { global, at: named.at, record: named.record.clone() });
        }
        if let (true, Some(first)) = (options.strict, plan.ignored.first()) {
            let (path, reason) = (first.path.clone(), first.reason.clone());
            return Err(Error::Strict { path, reason, more: plan.ignored.len() - 1 });
        }
        let mut policy = class.map(ties::Policy::for_architecture).unwrap_or_default();
        policy.keep = options.keep.iter().cloned().collect();
        let ties = ties::resolve(&plan, &policy)?;
        let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        for (dropped, kept) in &ties.dropped {
            metadata.entry(dropped.clone()).or_insert_with(|| kept.clone());
        }
        let layout = Layout::new(&plan, &ties.kept, &metadata)?;
        Ok(Self { located, plan, layout, ties, passing: RefCell::default() })
    }

    /// What there is to say beside the facts.
    pub(super) fn note(&self, path: &BStr) -> Option<Note> {
        let (len, limit) = (self.layout.header().len() as u64, SHOWN_HEADER);
        (len > limit).then(|| Note::LongHeader { path: path.to_owned(), len, limit })
    }

    /// Removes the source, if it was downloaded for this conversion alone.
    pub(super) fn drop_source(&self) -> Result<(), Error> {
        match self.passing.take() {
            Some(part) => Ok(part.discard()?),
            None => Ok(()),
        }
    }

    /// Is it the name of a tensor here?
    pub(super) fn holds(&self, name: &str) -> bool {
        self.plan.tensors.iter().any(|tensor| tensor.name == name)
    }

    /// The facts, with the oids if they are known.
    pub(super) fn facts(&self, written: Option<Written>) -> Conversion {
        Conversion {
            oid: written.map(|written| written.oid),
            size: self.layout.size(),
            source_oid: written
                .map(|written| written.source_oid)
                .or(self.located.pointer().map(|pointer| pointer.oid)),
            source_size: self.located.size(),
            format: self.plan.format.name(),
            key: self.plan.key.clone(),
            tensors: self.ties.kept.len(),
            dropped: self.ties.dropped.clone(),
            copies: self.ties.copies.iter().map(|(name, why)| (name.clone(), (*why).into())).collect(),
            ignored: self.plan.ignored.clone(),
            notes: self.plan.notes.clone(),
        }
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
        let source = match &self.located {
            Located::Here(source) => source,
            &Located::There(Pointer { oid, size }) => return Err(Error::NoObject { oid, size }),
        };
        reporter.started(source.name.as_bstr(), self.layout.size());
        let result = self.drive(source, into, spool, reporter);
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

    fn drive(
        &self,
        source: &LocalFile,
        into: &Into<'_>,
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Written, Error> {
        let failed = Error::io("write", into.path);
        let mut drive = Drive {
            pool: Pool::new(BUFFERS),
            writers: Writers::start(into.first, into.second, self.layout.size()).map_err(failed)?,
            hashing: Hashing::start().map_err(failed)?,
            proof: Proof::new(&self.plan),
            source: &source.file,
            damage: None,
            reporter,
        };
        let passed = self.write(&source.file, &mut drive, spool).and_then(|()| {
            while drive.read().map_err(checkpoint::Error::Io)? {}
            Ok(())
        });
        let Drive { writers, hashing, damage, .. } = drive;
        // What stopped the pass is the reason, not that it was stopped.
        writers.finish().map_err(failed)?;
        if let Some(damage) = damage {
            return Err(damage.into());
        }
        passed?;
        let Hashed { source: (source_oid, _), output: (oid, size) } = hashing.finish().map_err(failed)?;
        Ok(Written { oid, size, source_oid })
    }

    fn write(
        &self,
        source: &FileSource,
        out: &mut dyn Sink,
        spool: &dyn Fn() -> Result<File, Error>,
    ) -> Result<(), Error> {
        if self.plan.is_in_place() {
            return Ok(safetensors::write(&self.layout, &self.plan, source, out)?);
        }
        let mut inflated = spool()?;
        checkpoint::inflate(source, &self.plan, &mut inflated)?;
        let inflated = FileSource::new(inflated).map_err(checkpoint::Error::Io)?;
        let joined = Joined::new(source, &inflated);
        Ok(safetensors::write(&self.layout, &self.plan, &joined, out)?)
    }
}

/// Plans a checkpoint.
fn read(source: &dyn ReadAt, headers: Headers, options: &Options) -> Result<Plan, Error> {
    let limits = checkpoint::Limits { output: options.max_output, ..checkpoint::Limits::default() };
    let wanted = checkpoint::Options { key: options.key.clone(), headers, limits };
    Ok(checkpoint::plan(source, &wanted)?)
}

/// How many buffers a conversion has: those that wait for each thread, and those in its hands.
const BUFFERS: usize = 16;

/// What happens to each buffer of output: it is written and hashed, and as much of the source is read for its own oid,
/// so that both keep step and each finds in the page cache what the other has read.
struct Drive<'a> {
    pool: Pool,
    writers: Writers,
    hashing: Hashing,
    proof: Proof<'a>,
    source: &'a FileSource,
    damage: Option<checkpoint::Error>,
    reporter: &'a dyn Reporter,
}

impl Drive<'_> {
    /// Reads the next piece of the source. False at its end.
    fn read(&mut self) -> io::Result<bool> {
        if self.reporter.is_interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let left = self.source.len() - self.proof.at();
        if left == 0 {
            return Ok(false);
        }
        let mut piece = self.pool.take();
        piece.set_len(usize::try_from(left).unwrap_or(usize::MAX));
        self.source.read_exact_at(&mut piece, self.proof.at())?;
        if let Err(damage) = self.proof.pass(&piece) {
            self.damage = Some(damage);
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.hashing.give(Side::Source, self.pool.share(piece))?;
        Ok(true)
    }
}

impl Sink for Drive<'_> {
    fn put(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        let bytes = self.pool.share(bytes);
        self.writers.write(&bytes)?;
        self.reporter.advanced(bytes.len() as u64);
        self.hashing.give(Side::Output, bytes)?;
        self.read()?;
        Ok(self.pool.take())
    }
}
