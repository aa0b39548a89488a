//! [`Hashing`] computes the object IDs of the bytes that are read and written, next to the thread that does both.
//!
//! If there are three processors per running conversion, one thread hashes the bytes that are read, and one those that are
//! written: one message is never slower than two at once. With two processors, one thread hashes both sides, two messages
//! at once, while the senders read and write on the other processor. As soon as all of them wait, one of them hashes one
//! side and the thread the other, so that no processor is idle. With fewer processors, the total work counts, and two
//! messages at once are the least.
//!
//! Invariant: each side's pieces are hashed in the given order, by one thread at a time. Only a few can wait, so the sender
//! waits if the hashing is slower.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use crate::buffer::Shared;
use crate::checkpoint::Standing;
use crate::hash::{Hasher, Oid, Saved};

/// How many pieces of a side may wait.
const WAITING: usize = 2;

/// How many bytes of a side are hashed in one turn: few enough that nobody waits long for the side.
const TURN: usize = 128 << 10;

/// The number of running conversions in this process.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Counts as a running conversion until it is dropped. The count includes it.
struct UnderWay {
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

/// Who hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Crew {
    threads: usize,
    /// The threads hash two messages at once.
    pairs: bool,
    /// A sender that would wait hashes, too.
    helps: bool,
}

impl Crew {
    /// Chooses for this number of processors per conversion, where two messages at once cost `pair_cost` times one.
    fn of(processors: usize, under_way: usize, pair_cost: f64) -> Self {
        let pairs = pair_cost < 2.0;
        match processors / under_way {
            0 | 1 => Self { threads: 1, pairs, helps: false },
            2 => Self { threads: 1, pairs, helps: true },
            _ => Self { threads: 2, pairs: false, helps: false },
        }
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

/// A side: its running hash, and the pieces that wait.
#[derive(Default)]
struct Lane {
    hasher: Hasher,
    pieces: VecDeque<Given>,
    /// How many bytes of the first piece are hashed.
    done: usize,
    /// A thread has the hash.
    is_taken: bool,
    /// The last state from which a later run can resume, if there is a new one.
    last: Option<(Standing, Saved)>,
}

/// A piece, and the state after it if a later run can resume from there.
#[derive(Clone)]
struct Given {
    bytes: Shared,
    standing: Option<Standing>,
}

/// Both sides.
#[derive(Default)]
struct Lanes {
    sides: [Lane; 2],
    senders: usize,
    /// How many senders wait.
    waiting: usize,
    /// No more pieces follow.
    is_over: bool,
    /// A thread has ended.
    is_left: bool,
}

/// The bytes of a side that a thread hashes next.
struct Part {
    hasher: Hasher,
    piece: Given,
    from: usize,
    to: usize,
}

/// What a thread hashes next.
type Turn = [Option<Part>; 2];

/// What the threads share.
struct Board {
    crew: Crew,
    lanes: Mutex<Lanes>,
    changed: Condvar,
}

/// Starts a thread.
type Spawn = fn(Arc<Board>) -> io::Result<JoinHandle<io::Result<()>>>;

fn spawn(board: Arc<Board>) -> io::Result<JoinHandle<io::Result<()>>> {
    thread::Builder::new().name("hashing".into()).spawn(move || board.work())
}

/// The threads that hash.
pub(super) struct Hashing {
    board: Arc<Board>,
    threads: Vec<JoinHandle<io::Result<()>>>,
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
        Self::resume(Hasher::default(), output)
    }

    /// Starts the threads. Both sides continue a state.
    pub(super) fn resume(source: Hasher, output: Hasher) -> io::Result<Self> {
        let (one, processors) = (UnderWay::begin(), thread::available_parallelism().map_or(1, NonZero::get));
        Self::with(Crew::of(processors, one.count, Hasher::pair_cost()), [source, output], one, spawn)
    }

    fn with(crew: Crew, states: [Hasher; 2], one: UnderWay, spawn: Spawn) -> io::Result<Self> {
        let sides = states.map(|hasher| Lane { hasher, ..Lane::default() });
        let lanes = Lanes { sides, ..Lanes::default() };
        let board = Arc::new(Board { crew, lanes: Mutex::new(lanes), changed: Condvar::new() });
        let mut hashing = Self { board, threads: Vec::with_capacity(crew.threads), _one: one };
        for _ in 0..crew.threads {
            hashing.threads.push(spawn(Arc::clone(&hashing.board))?);
        }
        Ok(hashing)
    }

    /// Returns a sender, of which each thread that gives bytes has one until its end.
    pub(super) fn sender(&self) -> io::Result<Sender> {
        self.board.lanes()?.senders += 1;
        Ok(Sender { board: Arc::clone(&self.board) })
    }

    /// Waits for the threads.
    pub(super) fn finish(mut self) -> io::Result<Hashed> {
        self.board.lanes()?.is_over = true;
        self.board.changed.notify_all();
        for thread in mem::take(&mut self.threads) {
            thread.join().map_err(|_| panicked())??;
        }
        let [source, output] = mem::take(&mut self.board.lanes()?.sides).map(|lane| lane.hasher.finish());
        Ok(Hashed { source, output })
    }
}

impl Drop for Hashing {
    /// Ends the threads, also if nobody needs their result.
    fn drop(&mut self) {
        if let Ok(mut lanes) = self.board.lanes() {
            lanes.is_over = true;
            self.board.changed.notify_all();
        }
    }
}

/// Passes bytes on to the threads.
pub(super) struct Sender {
    board: Arc<Board>,
}

impl Sender {
    /// Passes on the next bytes of a side. If too many are waiting already, it waits, and hashes if it can.
    pub(super) fn give(&self, side: Side, bytes: Shared) -> io::Result<()> {
        self.pass(side, Given { bytes, standing: None })
    }

    /// Does the same with the next bytes of the source, after which a later run can resume from `standing`.
    pub(super) fn give_source(&self, bytes: Shared, standing: Option<Standing>) -> io::Result<()> {
        self.pass(Side::Source, Given { bytes, standing })
    }

    /// Takes the last state of the source from which a later run can resume, if there is a new one.
    pub(super) fn take_last(&self) -> io::Result<Option<(Standing, Saved)>> {
        Ok(self.board.lanes()?.sides[Side::Source as usize].last.take())
    }

    /// Waits until the bytes of the source that were given are hashed. Returns their object ID and number.
    pub(super) fn wait_for_source(&self) -> io::Result<(Oid, u64)> {
        let mut lanes = self.board.lanes()?;
        while !lanes.sides[Side::Source as usize].pieces.is_empty() {
            if lanes.is_left {
                return Err(panicked());
            }
            lanes = self.board.wait(lanes)?;
        }
        Ok(lanes.sides[Side::Source as usize].hasher.clone().finish())
    }

    fn pass(&self, side: Side, piece: Given) -> io::Result<()> {
        if piece.bytes.is_empty() {
            return Ok(());
        }
        let board = &self.board;
        let mut lanes = board.lanes()?;
        lanes.sides[side as usize].pieces.push_back(piece);
        board.changed.notify_all();
        lanes.waiting += 1;
        while lanes.is_full(side) {
            if lanes.is_left {
                return Err(panicked());
            }
            let turn = if board.helps(&lanes) { lanes.turn(false) } else { None };
            let Some(turn) = turn else {
                lanes = board.wait(lanes)?;
                continue;
            };
            lanes = board.hash(lanes, turn)?;
            // The side it gave back is the thread's again, which may wait for it.
            if !lanes.is_full(side) || !board.helps(&lanes) {
                board.changed.notify_all();
            }
        }
        lanes.waiting -= 1;
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // If a thread panicked, nobody needs the number any more.
        if let Ok(mut lanes) = self.board.lanes() {
            lanes.senders -= 1;
            self.board.changed.notify_all();
        }
    }
}

fn panicked() -> io::Error {
    io::Error::other("the hashing thread panicked")
}

impl Board {
    fn lanes(&self) -> io::Result<MutexGuard<'_, Lanes>> {
        self.lanes.lock().map_err(|_| panicked())
    }

    fn wait<'a>(&'a self, lanes: MutexGuard<'a, Lanes>) -> io::Result<MutexGuard<'a, Lanes>> {
        self.changed.wait(lanes).map_err(|_| panicked())
    }

    /// Returns `true` if a sender hashes, too: a processor is idle because every sender waits.
    fn helps(&self, lanes: &Lanes) -> bool {
        self.crew.helps && lanes.waiting == lanes.senders
    }

    /// Hashes until everything is hashed.
    fn work(&self) -> io::Result<()> {
        let _left = Left(self);
        let mut lanes = self.lanes()?;
        loop {
            let pairs = self.crew.pairs && !self.helps(&lanes);
            lanes = match lanes.turn(pairs) {
                Some(turn) => self.hash(lanes, turn)?,
                None if lanes.is_over && lanes.is_empty() => return Ok(()),
                None => self.wait(lanes)?,
            };
        }
    }

    /// Hashes what was taken, while others can use the rest.
    fn hash<'a>(&'a self, lanes: MutexGuard<'a, Lanes>, mut turn: Turn) -> io::Result<MutexGuard<'a, Lanes>> {
        drop(lanes);
        let is_pair = turn.iter().all(Option::is_some);
        match &mut turn {
            [Some(one), Some(other)] => Hasher::update_both(
                [&mut one.hasher, &mut other.hasher],
                [&one.piece.bytes[one.from..one.to], &other.piece.bytes[other.from..other.to]],
            ),
            alone => alone
                .iter_mut()
                .flatten()
                .for_each(|Part { hasher, piece, from, to }| hasher.update(&piece.bytes[*from..*to])),
        }
        let mut lanes = self.lanes()?;
        let mut is_hashed = false;
        for (lane, part) in lanes.sides.iter_mut().zip(turn) {
            is_hashed |= part.is_some_and(|part| lane.put_back(part));
        }
        // Others wait for an empty place, or, if a processor is idle, for a side. A thread that has one side keeps it.
        if is_hashed || is_pair && self.helps(&lanes) {
            self.changed.notify_all();
        }
        Ok(lanes)
    }
}

/// Reports the end of a thread, also by a panic.
struct Left<'a>(&'a Board);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if let Ok(mut lanes) = self.0.lanes() {
            lanes.is_left = true;
            self.0.changed.notify_all();
        }
    }
}

impl Lanes {
    fn is_empty(&self) -> bool {
        self.sides.iter().all(|lane| lane.pieces.is_empty())
    }

    /// Returns `true` if more pieces of a side wait than may wait.
    fn is_full(&self, side: Side) -> bool {
        self.sides[side as usize].pieces.len() > WAITING
    }

    /// Takes what a thread hashes next, of both sides if `pairs`. `None` if there is nothing.
    fn turn(&mut self, pairs: bool) -> Option<Turn> {
        let [source, output] = &mut self.sides;
        match [source.rest(), output.rest()] {
            [Some(one), Some(other)] if pairs => {
                let len = one.min(other);
                Some([source.take(len), output.take(len)])
            }
            [Some(len), other] if other.is_none() || source.pieces.len() >= output.pieces.len() => {
                Some([source.take(len), None])
            }
            [_, Some(len)] => Some([None, output.take(len)]),
            _ => None,
        }
    }
}

impl Lane {
    /// Returns how many bytes of the first piece are to hash, if nobody hashes this side.
    fn rest(&self) -> Option<usize> {
        self.pieces.front().filter(|_| !self.is_taken).map(|piece| piece.bytes.len() - self.done)
    }

    fn take(&mut self, len: usize) -> Option<Part> {
        let piece = self.pieces.front()?.clone();
        self.is_taken = true;
        let to = (self.done + len.min(TURN)).min(piece.bytes.len());
        Some(Part { hasher: mem::take(&mut self.hasher), piece, from: self.done, to })
    }

    /// Returns `true` if the whole piece is hashed.
    fn put_back(&mut self, part: Part) -> bool {
        let Part { hasher, piece, to, .. } = part;
        (self.hasher, self.done, self.is_taken) = (hasher, to, false);
        let is_hashed = to == piece.bytes.len();
        if is_hashed {
            self.done = 0;
            self.last = piece.standing.map(|standing| (standing, self.hasher.save())).or(self.last.take());
            // With the part, this returns the buffer to its pool.
            self.pieces.pop_front();
        }
        is_hashed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Pool;

    #[test]
    fn the_crew_is_as_large_as_the_processors_allow() {
        for (processors, under_way, threads, helps) in [
            (1, 1, 1, false),
            (2, 1, 1, true),
            (3, 1, 2, false),
            (5, 2, 1, true),
            (6, 2, 2, false),
            (16, 5, 2, false),
            (16, 6, 1, true),
            (2, 2, 1, false),
        ] {
            for (pair_cost, pairs) in [(1.07, true), (1.45, true), (2.0, false)] {
                let crew = Crew { threads, pairs: pairs && threads == 1, helps };
                assert_eq!(Crew::of(processors, under_way, pair_cost), crew, "{processors}, {under_way}");
            }
        }
    }

    fn pieces(pool: &mut Pool, bytes: &[u8], len: usize) -> impl Iterator<Item = Shared> {
        bytes.chunks(len).map(|piece| {
            let mut buffer = pool.take();
            buffer.set_len(piece.len());
            buffer.copy_from_slice(piece);
            pool.share(buffer)
        })
    }

    /// Every crew, with one sender for both sides and with one for each.
    #[test]
    fn both_sides_get_their_oid_whoever_hashes_them() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 7 % 253) as u8).collect();
        let crews = [(1, true, false), (1, true, true), (1, false, true), (2, false, false)];
        let lens =
            [(100_000, 90_001), (1, 77_777), (50_000, 0), (0, 0), (99_999, 99_999), (3_000_000, 2_999_999)];
        for (threads, pairs, helps) in crews {
            for ((source, output), has_two) in lens.into_iter().flat_map(|lens| [(lens, false), (lens, true)])
            {
                let (source, output) = (&bytes[..source], &bytes[bytes.len() - output..]);
                let crew = Crew { threads, pairs, helps };
                let hashing = Hashing::with(crew, Default::default(), UnderWay::begin(), spawn).unwrap();
                let give = |side, bytes: &[u8], len| {
                    let (sender, mut pool) = (hashing.sender().unwrap(), Pool::new(6));
                    pieces(&mut pool, bytes, len).for_each(|piece| sender.give(side, piece).unwrap());
                };
                if has_two {
                    thread::scope(|scope| {
                        scope.spawn(|| give(Side::Source, source, 300_000));
                        scope.spawn(|| give(Side::Output, output, 70_001));
                    });
                } else {
                    let (sender, mut pool, mut other) =
                        (hashing.sender().unwrap(), Pool::new(6), Pool::new(6));
                    let (mut read, mut written) =
                        (pieces(&mut pool, source, 4096), pieces(&mut other, output, 1000));
                    loop {
                        let next = [(Side::Source, read.next()), (Side::Output, written.next())];
                        let is_end = next.iter().all(|(_, piece)| piece.is_none());
                        for (side, piece) in next {
                            piece.map_or(Ok(()), |piece| sender.give(side, piece)).unwrap();
                        }
                        if is_end {
                            break;
                        }
                    }
                }
                let hashed = hashing.finish().unwrap();
                assert_eq!(hashed.source, (Oid::of(source), source.len() as u64), "{crew:?}");
                assert_eq!(hashed.output, (Oid::of(output), output.len() as u64), "{crew:?}");
            }
        }
    }

    /// A sender that hashes in place of waiting gives back the side of another one. If it then only waits for that one, the
    /// thread has to know.
    #[test]
    fn a_side_that_a_sender_gave_back_is_hashed_while_the_sender_lives() {
        let bytes: Vec<u8> = (0..251).cycle().take(4_000_000).collect();
        for round in 0..200 {
            let crew = Crew { threads: 1, pairs: true, helps: true };
            let hashing = Hashing::with(crew, Default::default(), UnderWay::begin(), spawn).unwrap();
            let (sender, other) = (hashing.sender().unwrap(), hashing.sender().unwrap());
            let (mut pool, mut others) = (Pool::new(16), Pool::new(16));
            thread::scope(|scope| {
                let (ended, end) = std::sync::mpsc::channel();
                let output = &bytes;
                scope.spawn(move || {
                    pieces(&mut others, output, 700_000)
                        .for_each(|piece| other.give(Side::Output, piece).unwrap());
                    ended.send(()).unwrap();
                });
                let source = &bytes[..1_000_000 + round * 12_000];
                pieces(&mut pool, source, 500_000)
                    .for_each(|piece| sender.give(Side::Source, piece).unwrap());
                assert_eq!(sender.wait_for_source().unwrap().1, source.len() as u64);
                let waited = end.recv_timeout(std::time::Duration::from_secs(60));
                drop(sender);
                waited.expect("the other sender waits for ever");
            });
            assert_eq!(hashing.finish().unwrap().output.0, Oid::of(&bytes));
        }
    }

    #[test]
    fn the_output_continues_what_was_hashed_before() {
        let mut before = Hasher::default();
        before.update(b"header");
        let hashing = Hashing::start(before).unwrap();
        let mut pool = Pool::new(1);
        let sender = hashing.sender().unwrap();
        pieces(&mut pool, b"data", 4).for_each(|piece| sender.give(Side::Output, piece).unwrap());
        drop(sender);
        assert_eq!(hashing.finish().unwrap().output, (Oid::of(b"headerdata"), 10));
    }

    #[test]
    fn a_state_to_resume_from_is_that_of_its_length() {
        let standing =
            |at: u64| -> Standing { serde_json::from_str(&format!(r#"{{"at":{at},"crc32":0}}"#)).unwrap() };
        let bytes: Vec<u8> = (0..251).cycle().take(1_000_000).collect();
        let hashing = Hashing::start(Hasher::default()).unwrap();
        let (sender, mut pool) = (hashing.sender().unwrap(), Pool::new(6));
        let (mut at, mut last) = (0, None);
        for (number, piece) in pieces(&mut pool, &bytes, 99_999).enumerate() {
            at += piece.len() as u64;
            // Inside the header of a record there is none.
            sender.give_source(piece, (number % 3 != 1).then(|| standing(at))).unwrap();
            if let Some((standing, saved)) = sender.take_last().unwrap() {
                assert_eq!(Hasher::resume(&saved).unwrap().count(), standing.at);
                assert!(standing.at <= at);
                last = Some((standing, saved));
            }
        }
        assert_eq!(sender.wait_for_source().unwrap(), (Oid::of(&bytes), 1_000_000));
        let (last, saved) = sender.take_last().unwrap().or(last).unwrap();
        assert_eq!(last, standing(999_990));
        assert!(sender.take_last().unwrap().is_none());
        drop(sender);
        assert_eq!(hashing.finish().unwrap().source, (Oid::of(&bytes), 1_000_000));
        let hashing = Hashing::resume(Hasher::resume(&saved).unwrap(), Hasher::default()).unwrap();
        let sender = hashing.sender().unwrap();
        pieces(&mut pool, &bytes[999_990..], 10).for_each(|piece| sender.give_source(piece, None).unwrap());
        drop(sender);
        assert_eq!(hashing.finish().unwrap().source, (Oid::of(&bytes), 1_000_000));
    }

    #[test]
    fn nobody_waits_for_threads_that_have_ended() {
        let hashing = Hashing::start(Hasher::default()).unwrap();
        let (sender, mut pool) = (hashing.sender().unwrap(), Pool::new(6));
        let board = Arc::clone(&hashing.board);
        drop(hashing);
        while !board.lanes().unwrap().is_left {
            thread::yield_now();
        }
        let mut given = (0..=WAITING).map(|_| {
            let buffer = pool.take();
            sender.give(Side::Source, pool.share(buffer))
        });
        assert!(given.any(|given| given.is_err()));
        assert!(sender.wait_for_source().is_err());
        drop(sender);
        while Arc::strong_count(&board) > 1 {
            thread::yield_now();
        }
    }

    #[test]
    fn a_thread_ends_if_the_next_one_cannot_start() {
        static FIRST: Mutex<Option<Arc<Board>>> = Mutex::new(None);
        let only_one = |board: Arc<Board>| {
            let mut first = FIRST.lock().unwrap();
            if first.is_some() {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            *first = Some(Arc::clone(&board));
            spawn(board)
        };
        let crew = Crew { threads: 2, pairs: false, helps: false };
        assert!(Hashing::with(crew, Default::default(), UnderWay::begin(), only_one).is_err());
        let board = FIRST.lock().unwrap().take().unwrap();
        let begun = std::time::Instant::now();
        while Arc::strong_count(&board) > 1 {
            assert!(begun.elapsed().as_secs() < 20, "it waits");
            thread::yield_now();
        }
    }
}
