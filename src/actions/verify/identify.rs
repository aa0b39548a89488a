//! Finds the conversion of a checkpoint with a given object ID. The likeliest one is hashed in the pass that checks the
//! checkpoint, as a conversion hashes what it writes; another one is rare. Then the data is read once for each order of
//! the candidates, and hashed after the header of each of them.
//!
//! Limits: a file of another size is not a candidate, so more than one order is rare, and the most are six; a candidate
//! is a running hash, at most 24 per set of dropped names; 8 buffers of 1 MiB serve all.

use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::super::hashing::{Hashed, Hashing, Sender, Side};
use super::super::{Error, Reporter};
use crate::buffer::{Buffer, Pool, Shared};
use crate::checkpoint::Plan;
use crate::hash::{Hasher, Oid};
use crate::read_at::ReadAt;
use crate::recipe::{self, Steps};
use crate::safetensors::conversions::{Candidate, Conversion, Group};
use crate::safetensors::{self, Sink};

/// The number of buffers, and how many of them may wait per thread.
const BUFFERS: usize = 8;
const WAITING: usize = 2;

/// The result of one pass over a checkpoint.
pub(super) struct Likeliest {
    /// The object ID of the checkpoint, whose checksums are correct.
    pub(super) source: Oid,
    /// The object ID of the file by the first candidate.
    pub(super) file: Oid,
}

/// Hashes the file of the first candidate of a group, and the checkpoint. `whole` is the source followed by the
/// inflated records.
pub(super) fn likeliest(
    group: &Group,
    plan: &Plan,
    (source, whole): (&dyn ReadAt, &dyn ReadAt),
    reporter: &dyn Reporter,
) -> Result<Likeliest, Error> {
    let begun = group.candidates.first().map_or_else(Hasher::default, |one| one.hasher.clone());
    let hashing = Hashing::start(begun).map_err(safetensors::Error::Io)?;
    let sender = hashing.sender().map_err(safetensors::Error::Io)?;
    let mut both = Both { pool: Pool::new(BUFFERS), sender, reporter };
    let read = recipe::read(&group.order, plan, (source, whole), &mut both);
    drop(both);
    let hashed = hashing.finish().map_err(safetensors::Error::Io);
    read?;
    let Hashed { source: (source, _), output: (file, _) } = hashed?;
    Ok(Likeliest { source, file })
}

/// Hashes each buffer, of the checkpoint and of the file.
struct Both<'a> {
    pool: Pool,
    sender: Sender,
    reporter: &'a dyn Reporter,
}

impl Steps for Both<'_> {
    fn output(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        if self.reporter.is_interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.reporter.advanced(bytes.len() as u64);
        self.sender.give(Side::Output, self.pool.share(bytes))?;
        Ok(self.pool.take())
    }

    fn source(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        self.sender.give(Side::Source, self.pool.share(bytes))?;
        Ok(self.pool.take())
    }
}

/// Returns the candidate whose file has this object ID.
pub(super) fn identify(
    groups: &[Group],
    plan: &Plan,
    source: &dyn ReadAt,
    oid: Oid,
    reporter: &dyn Reporter,
) -> Result<Option<Conversion>, Error> {
    for group in groups {
        let hashed = hash(group, plan, source, reporter)?;
        let found = group.candidates.iter().zip(hashed).find(|(_, hashed)| *hashed == oid);
        if let Some((candidate, _)) = found {
            return Ok(Some(candidate.conversion));
        }
    }
    Ok(None)
}

/// Returns the object ID of each candidate of a group.
fn hash(group: &Group, plan: &Plan, source: &dyn ReadAt, reporter: &dyn Reporter) -> Result<Vec<Oid>, Error> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let each = group.candidates.len().div_ceil(threads).next_multiple_of(2);
    thread::scope(|scope| {
        let (mut senders, mut workers) = (Vec::new(), Vec::new());
        for candidates in group.candidates.chunks(each) {
            let (sender, receiver) = mpsc::sync_channel(WAITING);
            senders.push(sender);
            let worker = thread::Builder::new().spawn_scoped(scope, move || go_on(candidates, &receiver));
            workers.push(worker.map_err(safetensors::Error::Io)?);
        }
        let mut fan = Fan { pool: Pool::new(BUFFERS), senders, reporter };
        let written = safetensors::write_tensors(&group.order, plan, source, &mut fan);
        drop(fan);
        let hashed: Result<Vec<_>, _> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        written?;
        let hashed = hashed.map_err(|_| safetensors::Error::Io(gone()))?;
        Ok(hashed.into_iter().flatten().collect())
    })
}

/// Hashes the data after the header of each candidate, two at once.
fn go_on(candidates: &[Candidate], receiver: &Receiver<Shared>) -> Vec<Oid> {
    let mut hashers: Vec<Hasher> = candidates.iter().map(|candidate| candidate.hasher.clone()).collect();
    while let Ok(bytes) = receiver.recv() {
        for pair in hashers.chunks_mut(2) {
            match pair {
                [one, other] => Hasher::update_both([one, other], [&bytes, &bytes]),
                rest => rest.iter_mut().for_each(|one| one.update(&bytes)),
            }
        }
    }
    hashers.into_iter().map(|hasher| hasher.finish().0).collect()
}

/// Passes each buffer to every thread.
struct Fan<'a> {
    pool: Pool,
    senders: Vec<SyncSender<Shared>>,
    reporter: &'a dyn Reporter,
}

impl Sink for Fan<'_> {
    fn put(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        self.reporter.advanced(bytes.len() as u64);
        let bytes = self.pool.share(bytes);
        for sender in &self.senders {
            sender.send(bytes.clone()).map_err(|_| gone())?;
        }
        drop(bytes);
        Ok(self.pool.take())
    }
}

fn gone() -> io::Error {
    io::Error::other("a hashing thread panicked")
}
