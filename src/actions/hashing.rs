//! [`Hashing`] computes the object IDs of the bytes that are read and written, next to the thread that does both.
//!
//! If there are three processors per running conversion, one thread hashes the bytes that are read, and one those that are
//! written: one message is never slower than two at once. With two processors per conversion, two threads share them with
//! the reading and the writing, so one thread hashes both sides if the processor hashes two messages at once in less time
//! than that takes. With fewer processors, the total work counts, and two messages at once are the least.
//!
//! Invariant: each side's pieces are hashed in the given order. Only a few can wait, so the sender waits if the hashing
//! is slower.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use crate::buffer::Shared;
use crate::hash::{Hasher, Oid};

/// How many pieces may wait per thread.
const WAITING: usize = 2;

/// How many pieces of one side may wait for the other before they are hashed by themselves.
const AHEAD: usize = 2;

/// The wall time of two threads on two processors, in times of the hash of one message: they share the processors with
/// the reading and the writing. On Sapphire Rapids, where a pair costs 1.45, both ways took the same time.
const TWO_THREADS: f64 = 1.5;

/// The number of running conversions in this process.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Counts as a running conversion until it is dropped.
struct UnderWay {
    /// The number of running conversions, with this one.
    count: usize,
}

impl UnderWay {
    fn begin() -> Self {
        Self { count: UNDER_WAY.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns `true` if one thread hashes both sides, where two messages at once cost `pair_cost` times one.
fn is_one_enough(processors: usize, under_way: usize, pair_cost: f64) -> bool {
    match processors / under_way {
        0 | 1 => pair_cost < 2.0,
        2 => pair_cost < TWO_THREADS,
        _ => false,
    }
}

/// The side of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The bytes that are read: the checkpoint.
    Source,
    /// The bytes that are written: the safetensors file.
    Output,
}

/// A buffer on its way to a thread.
struct Piece {
    side: Side,
    bytes: Shared,
}

/// The threads that hash.
pub(super) struct Hashing {
    source: SyncSender<Piece>,
    output: SyncSender<Piece>,
    threads: Vec<JoinHandle<[Hasher; 2]>>,
    _one: UnderWay,
}

/// The object IDs of both sides, each with its length.
pub(super) struct Hashed {
    pub(super) source: (Oid, u64),
    pub(super) output: (Oid, u64),
}

impl Hashing {
    /// Starts the threads. The output continues the state of `output`.
    pub(super) fn start(output: Hasher) -> io::Result<Self> {
        let start = |output| {
            let (give, take) = mpsc::sync_channel(WAITING);
            let thread = thread::Builder::new().name("hashing".into());
            thread.spawn(move || hash(&take, output)).map(|thread| (give, thread))
        };
        let (one, processors) = (UnderWay::begin(), thread::available_parallelism().map_or(1, NonZero::get));
        let is_one = is_one_enough(processors, one.count, Hasher::pair_cost());
        let (source, first) = start(if is_one { output.clone() } else { Hasher::default() })?;
        let mut threads = vec![first];
        let output = if is_one {
            source.clone()
        } else {
            let (output, second) = start(output)?;
            threads.push(second);
            output
        };
        Ok(Self { source, output, threads, _one: one })
    }

    /// Passes on the next bytes of a side. Waits if too many are waiting already.
    pub(super) fn give(&self, side: Side, bytes: Shared) -> io::Result<()> {
        let to = if side == Side::Source { &self.source } else { &self.output };
        to.send(Piece { side, bytes }).map_err(|_| panicked())
    }

    /// Waits for the threads.
    pub(super) fn finish(self) -> io::Result<Hashed> {
        let Self { source, output, threads, _one } = self;
        drop((source, output));
        let mut sides = [Hasher::default(), Hasher::default()];
        for thread in threads {
            // A thread of one side has no bytes of the other.
            for (all, part) in sides.iter_mut().zip(thread.join().map_err(|_| panicked())?) {
                if !part.is_empty() {
                    *all = part;
                }
            }
        }
        let [source, output] = sides;
        Ok(Hashed { source: source.finish(), output: output.finish() })
    }
}

fn panicked() -> io::Error {
    io::Error::other("the hashing thread panicked")
}

/// The waiting pieces of one side, and the hashed part of the first one.
#[derive(Default)]
struct Waiting {
    pieces: VecDeque<Shared>,
    done: usize,
}

impl Waiting {
    fn next(&self) -> Option<&[u8]> {
        self.pieces.front().map(|bytes| &bytes[self.done..])
    }

    fn hashed(&mut self, len: usize) {
        self.done += len;
        if self.pieces.front().is_some_and(|bytes| bytes.len() == self.done) {
            self.done = 0;
            // This returns the buffer to its pool.
            self.pieces.pop_front();
        }
    }
}

/// Hashes the pieces, in pairs as long as both sides have one.
fn hash(take: &Receiver<Piece>, output: Hasher) -> [Hasher; 2] {
    let mut hashers = [Hasher::default(), output];
    let mut waiting = [Waiting::default(), Waiting::default()];
    while let Ok(Piece { side, bytes }) = take.recv() {
        waiting[side as usize].pieces.push_back(bytes);
        while waiting.iter().all(|side| side.next().is_some())
            || waiting.iter().any(|side| side.pieces.len() > AHEAD)
        {
            step(&mut hashers, &mut waiting);
        }
    }
    while waiting.iter().any(|side| side.next().is_some()) {
        step(&mut hashers, &mut waiting);
    }
    hashers
}

/// Hashes the common length of the first pieces, or all of the only one.
fn step(hashers: &mut [Hasher; 2], waiting: &mut [Waiting; 2]) {
    let [one, other] = hashers;
    let [first, second] = match [waiting[0].next(), waiting[1].next()] {
        [Some(first), Some(second)] => {
            let common = first.len().min(second.len());
            [&first[..common], &second[..common]]
        }
        alone => alone.map(Option::unwrap_or_default),
    };
    let hashed = [first.len(), second.len()];
    Hasher::update_both([one, other], [first, second]);
    for (side, hashed) in waiting.iter_mut().zip(hashed) {
        side.hashed(hashed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Pool;

    #[test]
    fn each_side_has_a_thread_where_there_are_processors_for_it() {
        for (processors, under_way, is_one) in [
            (1, 1, true),
            (2, 1, true),
            (3, 1, false),
            (5, 2, true),
            (6, 2, false),
            (16, 5, false),
            (16, 6, true),
        ] {
            assert_eq!(is_one_enough(processors, under_way, 1.07), is_one, "{processors}, {under_way}");
            assert!(!is_one_enough(processors, under_way, 2.0));
        }
    }

    #[test]
    fn two_processors_hash_in_pairs_only_where_that_is_faster() {
        for (processors, under_way, is_one) in
            [(1, 1, true), (2, 1, false), (2, 2, true), (16, 6, false), (16, 9, true)]
        {
            assert_eq!(is_one_enough(processors, under_way, 1.7), is_one, "{processors}, {under_way}");
        }
    }

    #[test]
    fn both_sides_get_their_oid_however_they_come() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i * 7 % 253) as u8).collect();
        for (source, output) in [(100_000, 90_001), (1, 77_777), (50_000, 0), (0, 0), (99_999, 99_999)] {
            let (source, output) = (&bytes[..source], &bytes[..output]);
            let (hashing, mut pool) = (Hashing::start(Hasher::default()).unwrap(), Pool::new(10));
            let (mut read, mut written) = (source.chunks(4096), output.chunks(1000));
            loop {
                let next = [(Side::Source, read.next()), (Side::Output, written.next())];
                for (side, piece) in next {
                    let Some(piece) = piece else { continue };
                    let mut buffer = pool.take();
                    buffer.set_len(piece.len());
                    buffer.copy_from_slice(piece);
                    hashing.give(side, pool.share(buffer)).unwrap();
                }
                if next.iter().all(|(_, piece)| piece.is_none()) {
                    break;
                }
            }
            let hashed = hashing.finish().unwrap();
            assert_eq!(hashed.source, (Oid::of(source), source.len() as u64));
            assert_eq!(hashed.output, (Oid::of(output), output.len() as u64));
        }
    }
}
