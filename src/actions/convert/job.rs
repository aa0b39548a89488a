//! [`Job`]: one checkpoint to one safetensors file, wherever that goes.
//!
//! Two threads: one reads the source from front to back for its oid and the checksums of its records,
//! the other reads it tensor by tensor, hashes and writes. Each finds in the page cache what the other
//! has read. Invariant: what [`Job::run`] returns was read from a source that is proven.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bstr::ByteSlice as _;

use super::super::{Conversion, Error, Reporter};
use super::{Options, Source};
use crate::checkpoint::{self, Plan, ties};
use crate::hash::{HashingWriter, Oid};
use crate::read_at::{FileSource, Joined, ReadAt as _};
use crate::safetensors::{self, Layout};
use crate::scan;

/// A conversion that is decided, with nothing written.
pub(super) struct Job {
    pub(super) source: Source,
    pub(super) plan: Plan,
    pub(super) layout: Layout,
    pub(super) ties: ties::Ties,
}

/// What a conversion gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) oid: Oid,
    pub(super) size: u64,
    pub(super) source_oid: Oid,
}

impl Job {
    /// Reads the description of the checkpoint and decides everything.
    pub(super) fn prepare(source: Source, class: Option<&str>, options: &Options) -> Result<Self, Error> {
        let wanted = checkpoint::Options { key: options.key.clone(), ..checkpoint::Options::default() };
        let plan = checkpoint::plan(&source.file, &wanted)?;
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
        Ok(Self { source, plan, layout, ties })
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
                .or(self.source.pointer.map(|pointer| pointer.oid)),
            source_size: self.source.file.len(),
            format: self.plan.format.name(),
            key: self.plan.key.clone(),
            tensors: self.ties.kept.len(),
            dropped: self.ties.dropped.clone(),
            copies: self.ties.copies.clone(),
            ignored: self.plan.ignored.clone(),
        }
    }

    /// Writes the file to `sink`. `spool` makes a temporary file for records that must be inflated first.
    pub(super) fn run(
        &self,
        sink: &mut (dyn Write + Send),
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Written, Error> {
        reporter.started(self.source.name.as_bstr(), self.layout.size());
        let result = self.both(sink, spool, reporter);
        reporter.finished();
        if reporter.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let written = result?;
        self.source.check_unchanged()?;
        match self.source.pointer {
            Some(pointer) if pointer.oid != written.source_oid => {
                Err(Error::PointerMismatch { expected: pointer.oid, got: written.source_oid })
            }
            _ => Ok(written),
        }
    }

    fn both(
        &self,
        sink: &mut (dyn Write + Send),
        spool: &dyn Fn() -> Result<File, Error>,
        reporter: &dyn Reporter,
    ) -> Result<Written, Error> {
        // Whichever thread fails stops the other.
        let stop = AtomicBool::new(false);
        let go_on = |_| {
            if stop.load(Ordering::Relaxed) || reporter.is_interrupted() {
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            Ok(())
        };
        // The writing is the longer of the two, so its bytes are the progress.
        let tell = |bytes: u64| {
            reporter.advanced(bytes);
            go_on(bytes)
        };
        thread::scope(|scope| {
            let proof = scope.spawn(|| {
                let proof = checkpoint::prove(&self.source.file, &self.plan, &go_on);
                stop.fetch_or(proof.is_err(), Ordering::Relaxed);
                proof
            });
            let written = self.write(sink, spool, &tell);
            stop.fetch_or(written.is_err(), Ordering::Relaxed);
            let proof = proof.join().map_err(|_| Error::Interrupted)?;
            // The thread that was only stopped has nothing to say.
            match (proof, written) {
                (Ok(source_oid), Ok((oid, size))) => Ok(Written { oid, size, source_oid }),
                (Err(error), Err(other)) if is_stopped(&error) => Err(other),
                (Err(error), _) => Err(error.into()),
                (Ok(_), Err(error)) => Err(error),
            }
        })
    }

    fn write(
        &self,
        sink: &mut (dyn Write + Send),
        spool: &dyn Fn() -> Result<File, Error>,
        tell: &dyn Fn(u64) -> io::Result<()>,
    ) -> Result<(Oid, u64), Error> {
        let mut out = HashingWriter::new(Told { sink, tell });
        if self.plan.deflated.is_empty() {
            safetensors::write(&self.layout, &self.plan, &self.source.file, &mut out)?;
        } else {
            let mut inflated = spool()?;
            checkpoint::inflate(&self.source.file, &self.plan, &mut inflated)?;
            let inflated = FileSource::new(inflated).map_err(checkpoint::Error::Io)?;
            let joined = Joined::new(&self.source.file, &inflated);
            safetensors::write(&self.layout, &self.plan, &joined, &mut out)?;
        }
        let (_, oid, size) = out.finish();
        Ok((oid, size))
    }
}

fn is_stopped(error: &checkpoint::Error) -> bool {
    matches!(error, checkpoint::Error::Io(error) if error.kind() == io::ErrorKind::Interrupted)
}

/// A sink that tells of every piece.
struct Told<'a> {
    sink: &'a mut (dyn Write + Send),
    tell: &'a dyn Fn(u64) -> io::Result<()>,
}

impl Write for Told<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_all(buf)?;
        Ok(buf.len())
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.sink.write_all(buf)?;
        (self.tell)(buf.len() as u64)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
