//! A safetensors file and its checkpoint side by side: one thread reads the tensors of the checkpoint in the order of the
//! file, the other takes the file as it comes, from the disk or from its server, and compares.
//!
//! Invariant: every byte of the file is hashed as it passes, unless enough differs before its end.

use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::super::{Error, Reporter};
use crate::buffer::{Buffer, Pool, Shared};
use crate::checkpoint::Plan;
use crate::hash::{Hasher, HashingWriter, Oid};
use crate::read_at::ReadAt;
use crate::remote::Consumer;
use crate::safetensors::compare::{Data, Difference};
use crate::safetensors::{self, Info, Sink};

/// How many buffers there are, and how many of them wait.
const BUFFERS: usize = 6;
const WAITING: usize = 3;

/// The two sides.
pub(super) struct Sides<'a> {
    pub(super) plan: &'a Plan,
    pub(super) checkpoint: &'a dyn ReadAt,
    /// The tensors of the file, in its order, and which of the plan each is.
    pub(super) infos: Vec<Info>,
    pub(super) order: &'a [usize],
    /// Where the data begins.
    pub(super) header: u64,
}

/// What came of it.
pub(super) struct Compared {
    pub(super) differences: Vec<Difference>,
    /// The oid of the header, and of the file if it passed whole.
    pub(super) header: Oid,
    pub(super) file: Option<Oid>,
}

impl Sides<'_> {
    /// Compares; `stream` gives the bytes of the file in order.
    pub(super) fn compare(
        self,
        stream: &mut dyn FnMut(Consumer<'_>) -> Result<(), Error>,
        reporter: &dyn Reporter,
    ) -> Result<Compared, Error> {
        let Self { plan, checkpoint, infos, order, header } = self;
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(WAITING);
            let reading = scope.spawn(move || {
                let mut feed = Feed { pool: Pool::new(BUFFERS), sender };
                safetensors::write_tensors(order, plan, checkpoint, &mut feed)
            });
            let mut pass = Pass {
                header,
                hasher: Hasher::default(),
                head: None,
                data: Data::new(infos),
                receiver,
                expected: None,
                is_enough: false,
            };
            let streamed = stream(&mut |at, bytes| {
                if reporter.is_interrupted() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                reporter.advanced(bytes.len() as u64);
                pass.take(at, bytes)
            });
            let Pass { hasher, head, data, receiver, is_enough, .. } = pass;
            drop(receiver);
            let read = reading.join().map_err(|_| io::Error::other("the reading thread panicked"));
            let read = read.map_err(safetensors::Error::Io)?;
            if !is_enough {
                // What kept the checkpoint away is why the stream was stopped.
                read?;
                streamed?;
            }
            let (file, _) = hasher.finish();
            let file = (!is_enough).then_some(file);
            Ok(Compared { differences: data.finish(), header: head.unwrap_or(Oid::of(b"")), file })
        })
    }
}

/// The oid of a tensor's bytes, as they are written.
pub(super) fn oid_of(plan: &Plan, tensor: usize, checkpoint: &dyn ReadAt) -> Result<Oid, Error> {
    let mut out = HashingWriter::new(io::sink());
    safetensors::write_tensors(&[tensor], plan, checkpoint, &mut out)?;
    Ok(out.finish().1)
}

/// The file, as it passes.
struct Pass {
    header: u64,
    hasher: Hasher,
    head: Option<Oid>,
    data: Data,
    receiver: Receiver<Shared>,
    /// What the checkpoint has next, and how much of it has passed.
    expected: Option<(Shared, usize)>,
    is_enough: bool,
}

impl Pass {
    fn take(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let head = usize::try_from(self.header.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len());
        let (head, mut bytes) = bytes.split_at(head);
        self.hasher.update(head);
        if self.head.is_none() && self.hasher.count() == self.header {
            self.head = Some(self.hasher.clone().finish().0);
        }
        self.hasher.update(bytes);
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

/// Hands the tensors of the checkpoint on.
struct Feed {
    pool: Pool,
    sender: SyncSender<Shared>,
}

impl Sink for Feed {
    fn put(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        // Nobody takes them if enough differs.
        self.sender.send(self.pool.share(bytes)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(self.pool.take())
    }
}
