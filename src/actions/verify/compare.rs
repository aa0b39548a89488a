//! Compares a safetensors file with its checkpoint. A local file of which object IDs are needed is compared in one pass:
//! one thread reads the tensors of the checkpoint in the order of the file, the file, and the checkpoint from start to
//! end, in turn and into few buffers, which stay in the processor's cache; others hash. Otherwise, one thread reads the
//! tensors, another reads the file, from the disk or from its server, and compares, and a third may read the checkpoint
//! from start to end ([`prove`]).
//!
//! Invariant: every byte of the file is compared, or hashed if it belongs to the header, unless enough differences are
//! found before its end.

use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::super::hashing::{Hashing, Sender, Side};
use super::super::{Error, Reporter};
use crate::buffer::{Buffer, CAPACITY, Pool, Shared};
use crate::checkpoint::{self, Plan, Proof};
use crate::hash::{Hasher, HashingWriter, Oid};
use crate::read_at::{ReadAt, usize_of};
use crate::recipe::{self, Steps};
use crate::safetensors::compare::{Data, Difference};
use crate::safetensors::{self, Info, Sink};

/// The number of buffers, and how many of them may wait.
const BUFFERS: usize = 6;
const WAITING: usize = 3;

/// The two sides.
pub(super) struct Sides<'a> {
    pub(super) plan: &'a Plan,
    pub(super) checkpoint: &'a dyn ReadAt,
    /// The tensors of the file, in its order, and the tensor of the plan for each.
    pub(super) infos: Vec<Info>,
    pub(super) order: &'a [usize],
    /// The offset of the data.
    pub(super) header: u64,
}

/// The result.
pub(super) struct Compared {
    pub(super) differences: Vec<Difference>,
    /// The object ID of the header.
    pub(super) header: Oid,
    /// `true` if the whole file passed, so that it was hashed.
    pub(super) is_whole: bool,
}

impl Sides<'_> {
    /// Compares with a local file, and reads `source` from start to end: checks each checksum. `hashing` gets all bytes of
    /// the source, and those of the file until enough differences are found.
    pub(super) fn compare_in_one_pass(
        self,
        source: &dyn ReadAt,
        file: &dyn ReadAt,
        hashing: &Hashing,
        reporter: &dyn Reporter,
    ) -> Result<Compared, Error> {
        let Self { plan, checkpoint, infos, order, header } = self;
        let sender = hashing.sender().map_err(safetensors::Error::Io)?;
        let (pool, data) = (Pool::new(BUFFERS), Data::new(infos));
        let mut pass = OnePass { pool, sender, file, at: 0, reporter, data, is_enough: false };
        let header = pass.head(header).map_err(safetensors::Error::Io)?;
        recipe::read(order, plan, (source, checkpoint), &mut pass)?;
        Ok(Compared { differences: pass.data.finish(), header, is_whole: !pass.is_enough })
    }

    /// Compares; `stream` gives the bytes of the file, in order, to the pass. They also go to `hashing`.
    pub(super) fn compare(
        self,
        hashing: Option<Sender>,
        reporter: &dyn Reporter,
        stream: &mut dyn FnMut(&mut Pass<'_>) -> Result<(), Error>,
    ) -> Result<Compared, Error> {
        let Self { plan, checkpoint, infos, order, header } = self;
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(WAITING);
            let reading = thread::Builder::new().spawn_scoped(scope, move || {
                let mut feed = Feed { pool: Pool::new(BUFFERS), sender };
                safetensors::write_tensors(order, plan, checkpoint, &mut feed)
            });
            let reading = reading.map_err(safetensors::Error::Io)?;
            let mut pass = Pass {
                header,
                hashing,
                reporter,
                pool: Pool::new(BUFFERS),
                head: Hasher::default(),
                data: Data::new(infos),
                receiver,
                expected: None,
                is_enough: false,
            };
            let streamed = stream(&mut pass);
            let Pass { head, data, receiver, is_enough, .. } = pass;
            drop(receiver);
            let read = reading.join().map_err(|_| io::Error::other("the reading thread panicked"));
            let read = read.map_err(safetensors::Error::Io)?;
            if !is_enough {
                // The side that failed closes the channel, so that the other fails, too.
                match read {
                    Err(safetensors::Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                        streamed?;
                        return Err(safetensors::Error::Io(error).into());
                    }
                    read => read?,
                }
                streamed?;
            }
            let (header, _) = head.finish();
            Ok(Compared { differences: data.finish(), header, is_whole: !is_enough })
        })
    }
}

/// Returns the SHA-256 of a tensor's bytes, as they are written.
pub(super) fn oid_of(plan: &Plan, tensor: usize, checkpoint: &dyn ReadAt) -> Result<Oid, Error> {
    let mut out = HashingWriter::new(io::sink());
    safetensors::write_tensors(&[tensor], plan, checkpoint, &mut out)?;
    Ok(out.finish().1)
}

/// Reads the source of a plan from start to end: checks each checksum, and passes every byte to `hashing`.
pub(super) fn prove(
    source: &dyn ReadAt,
    plan: &Plan,
    hashing: Option<&Hashing>,
) -> Result<(), checkpoint::Error> {
    let (mut proof, mut pool) = (Proof::new(plan), Pool::new(BUFFERS));
    let sender = hashing.map(Hashing::sender).transpose()?;
    while proof.at() < source.len() {
        let mut buffer = pool.take();
        buffer.set_len(usize::try_from(source.len() - proof.at()).unwrap_or(usize::MAX));
        source.read_exact_at(&mut buffer, proof.at())?;
        proof.pass(&buffer)?;
        let piece = pool.share(buffer);
        sender.as_ref().map_or(Ok(()), |sender| sender.give(Side::Source, piece))?;
    }
    Ok(())
}

/// The comparison of a local file, which is read beside its checkpoint.
struct OnePass<'a> {
    pool: Pool,
    sender: Sender,
    file: &'a dyn ReadAt,
    /// How much of the file has been read.
    at: u64,
    reporter: &'a dyn Reporter,
    data: Data,
    is_enough: bool,
}

impl OnePass<'_> {
    /// Reads the header of this length. Returns its object ID.
    fn head(&mut self, len: u64) -> io::Result<Oid> {
        let mut head = Hasher::default();
        while self.at < len {
            let bytes = self.read(usize_of(len - self.at))?;
            head.update(&bytes);
            self.sender.give(Side::Output, self.pool.share(bytes))?;
        }
        Ok(head.finish().0)
    }

    /// Reads the next bytes of the file, at most a buffer.
    fn read(&mut self, len: usize) -> io::Result<Buffer> {
        if self.reporter.is_interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut bytes = self.pool.take();
        bytes.set_len(len);
        self.file.read_exact_at(&mut bytes, self.at)?;
        self.at += bytes.len() as u64;
        self.reporter.advanced(bytes.len() as u64);
        Ok(bytes)
    }
}

impl Steps for OnePass<'_> {
    fn output(&mut self, mut bytes: Buffer) -> io::Result<Buffer> {
        // The checkpoint is read to its end all the same, for its object ID.
        if !self.is_enough {
            let file = self.read(bytes.len())?;
            self.is_enough = !self.data.pass(&bytes, &file);
            self.sender.give(Side::Output, self.pool.share(file))?;
        }
        bytes.set_len(CAPACITY);
        Ok(bytes)
    }

    fn source(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        self.sender.give(Side::Source, self.pool.share(bytes))?;
        Ok(self.pool.take())
    }
}

/// The comparison of the file, as it passes.
pub(super) struct Pass<'a> {
    header: u64,
    hashing: Option<Sender>,
    reporter: &'a dyn Reporter,
    pool: Pool,
    head: Hasher,
    data: Data,
    receiver: Receiver<Shared>,
    /// The next bytes of the checkpoint, and how many of them have passed.
    expected: Option<(Shared, usize)>,
    is_enough: bool,
}

impl Pass<'_> {
    /// Reads a whole local file.
    pub(super) fn read(&mut self, file: &dyn ReadAt) -> io::Result<()> {
        let mut at = 0;
        while at < file.len() {
            let mut buffer = self.pool.take();
            buffer.set_len(usize_of(file.len() - at));
            file.read_exact_at(&mut buffer, at)?;
            let piece = self.pool.share(buffer);
            self.compare(at, &piece)?;
            at += piece.len() as u64;
            self.hash(piece)?;
        }
        Ok(())
    }

    /// Takes the next bytes of a file on a server, at the offset `at`.
    pub(super) fn take(&mut self, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut buffer = self.pool.take();
            buffer.set_len(bytes.len());
            let (now, later) = bytes.split_at(buffer.len());
            buffer.copy_from_slice(now);
            let piece = self.pool.share(buffer);
            self.compare(at, &piece)?;
            (at, bytes) = (at + piece.len() as u64, later);
            self.hash(piece)?;
        }
        Ok(())
    }

    fn hash(&self, piece: Shared) -> io::Result<()> {
        self.hashing.as_ref().map_or(Ok(()), |sender| sender.give(Side::Output, piece))
    }

    fn compare(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.reporter.is_interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.reporter.advanced(bytes.len() as u64);
        let head = usize_of(self.header.saturating_sub(at)).min(bytes.len());
        let (head, mut bytes) = bytes.split_at(head);
        self.head.update(head);
        while !bytes.is_empty() {
            let (expected, done) = match self.expected.take() {
                Some(expected) => expected,
                None => (self.receiver.recv().map_err(|_| io::ErrorKind::UnexpectedEof)?, 0),
            };
            let rest = expected.get(done..).unwrap_or_default();
            let len = rest.len().min(bytes.len());
            let (now, later) = bytes.split_at(len);
            self.is_enough = !self.data.pass(&rest[..len], now);
            if self.is_enough {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if len < rest.len() {
                self.expected = Some((expected, done + len));
            }
            bytes = later;
        }
        Ok(())
    }
}

/// Passes the tensors of the checkpoint on.
struct Feed {
    pool: Pool,
    sender: SyncSender<Shared>,
}

impl Sink for Feed {
    fn put(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        // The receiver stops when enough differences are found.
        self.sender.send(self.pool.share(bytes)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(self.pool.take())
    }
}
