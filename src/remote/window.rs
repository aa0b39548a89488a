//! [`Window`] passes the chunks of a stream from the workers that fetch them to the consumer that reads them in order.
//!
//! ```text
//! chunk      0   1   2   3   4   5   6   7          4 MiB each, from the offset asked for
//! consumer       ^ in order, one at a time
//! workers            w   w   w   w                  each has a run of chunks, usually one, inside the window of 8
//! ```
//!
//! After a server refuses (429, 503), half as many workers request runs that are 16 times as long; after a while
//! without a refusal, one more worker requests, for half as much.
//!
//! Invariants: at most [`WINDOW`] chunks are in memory, whatever the server does, and those that the consumer shares;
//! every chunk is passed on once. The module itself sends nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::{Error, Result};
use super::known::lock;
use crate::buffer::{Piece, Pool, Received};

/// How many bytes are requested at once.
pub const CHUNK: u64 = 4 << 20;

/// How many chunks are in memory at most: 32 MiB.
pub const WINDOW: u64 = 8;

/// How much more is requested at once after a refusal.
const LONGER: u64 = 16;

/// How long a server must respond without a refusal before the load increases.
const CALM: Duration = Duration::from_secs(2);

/// The chunks of one request: from one up to another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) index: u64,
    pub(super) end: u64,
    /// The received bytes of the first chunk.
    pub(super) buf: Received,
}

/// The load on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    /// How many workers send requests.
    limit: u64,
    /// How many chunks each requests.
    pub(super) stretch: u64,
    most: u64,
    /// The time of its last refusal, or of the last increase.
    changed: Option<Instant>,
}

impl Load {
    /// Starts with the largest allowed load.
    pub(super) fn new(most: u64) -> Self {
        Self { limit: most, stretch: 1, most, changed: None }
    }

    /// Reduces the load after a refusal.
    pub(super) fn refused(&mut self, now: Instant) {
        self.limit = (self.limit / 2).max(1);
        self.stretch = self.stretch.saturating_mul(LONGER);
        self.changed = Some(now);
    }

    /// Increases the load after a response, if enough time has passed.
    fn gave(&mut self, now: Instant) {
        let is_calm = self.changed.is_some_and(|changed| now.duration_since(changed) >= CALM);
        if is_calm {
            self.limit = self.most.min(self.limit + 1);
            self.stretch = (self.stretch / 2).max(1);
            let is_as_before = self.limit == self.most && self.stretch == 1;
            self.changed = Some(now).filter(|_| !is_as_before);
        }
    }
}

/// The chunks between workers and consumer.
pub(super) struct Window {
    chunks: u64,
    state: Mutex<State>,
    changed: Condvar,
    is_over: AtomicBool,
}

struct State {
    /// The next chunk that no worker has.
    next: u64,
    /// How many chunks the consumer has read.
    given: u64,
    ready: BTreeMap<u64, Result<Received>>,
    /// Runs that were begun and returned, by their first chunk.
    returned: BTreeMap<u64, Run>,
    load: Load,
    /// How many workers have a run.
    active: u64,
    /// How many workers are left.
    workers: u64,
    /// Chunks that the consumer shares, and returns for reuse.
    pool: Pool,
}

impl Window {
    /// Creates a window for this many chunks, the first of which are a run that was begun: as many as `load` allows.
    pub(super) fn new(chunks: u64, workers: u64, load: Load) -> Self {
        let first = Run { index: 0, end: load.stretch.min(chunks), buf: Received::default() };
        let state = State {
            next: first.end,
            given: 0,
            ready: BTreeMap::new(),
            returned: BTreeMap::from([(0, first)]),
            load,
            active: 0,
            workers,
            pool: Pool::new(0),
        };
        Self { chunks, state: Mutex::new(state), changed: Condvar::new(), is_over: AtomicBool::new(false) }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next run to fetch; waits until another request is allowed and the run is inside the window. `None`
    /// if nothing is left.
    pub(super) fn take(&self) -> Option<(Run, AtWork<'_>)> {
        let mut state = lock(&self.state);
        loop {
            let is_done = state.next >= self.chunks && state.returned.is_empty() && state.active == 0;
            if self.is_over() || is_done {
                return None;
            }
            if state.active < state.load.limit
                && let Some(run) = state.next_run(self.chunks)
            {
                state.active += 1;
                return Some((run, AtWork(self)));
            }
            state = self.wait(state);
        }
    }

    /// Passes the first chunk of a run to the consumer.
    pub(super) fn put(&self, run: &mut Run, result: Result<()>) {
        let bytes = std::mem::take(&mut run.buf);
        lock(&self.state).ready.insert(run.index, result.map(|()| bytes));
        run.index += 1;
        self.changed.notify_all();
    }

    /// Returns the run when its next chunk is inside the window. `None` if the run is complete, or if no chunk can follow
    /// before an earlier one, for which no other worker may send a request: then the run was returned.
    pub(super) fn go_on(&self, mut run: Run) -> Option<Run> {
        let mut state = lock(&self.state);
        if run.index >= run.end {
            state.load.gave(Instant::now());
            return None;
        }
        loop {
            let is_behind = state.returned.first_key_value().is_some_and(|(first, _)| *first < run.index);
            if self.is_over() {
                return None;
            }
            if run.index < state.given + WINDOW {
                run.buf = state.pool.reclaim();
                return Some(run);
            }
            // The rest of the response is lost.
            if is_behind && state.active >= state.load.limit {
                state.returned.insert(run.index, run);
                return None;
            }
            state = self.wait(state);
        }
    }

    /// Handles a refusal of a run. Returns the run to request instead if the number of workers is still allowed: the
    /// first one that no worker has, extended by free chunks.
    pub(super) fn refused(&self, run: Run) -> Option<Run> {
        let mut state = lock(&self.state);
        state.load.refused(Instant::now());
        if state.active > state.load.limit {
            state.returned.insert(run.index, run);
            return None;
        }
        let first = state.first_of(run);
        Some(state.extended(first, self.chunks))
    }

    /// Returns the run to request after a wait: this one, or one before it that was returned in the meantime. Otherwise
    /// [`Self::go_on`] would end a response that the server has begun to send.
    pub(super) fn after_wait(&self, run: Run) -> Run {
        let mut state = lock(&self.state);
        let index = run.index;
        let first = state.first_of(run);
        if first.index == index { first } else { state.extended(first, self.chunks) }
    }

    /// Passes all chunks to the consumer, in order.
    pub(super) fn give(&self, mut each: impl FnMut(u64, Piece<'_>) -> Result<()>) -> Result<()> {
        for index in 0..self.chunks {
            let mut state = lock(&self.state);
            let chunk = loop {
                if let Some(chunk) = state.ready.remove(&index) {
                    break chunk;
                }
                if state.workers == 0 {
                    // A worker panicked; the panic continues when its thread is joined.
                    let source = io::Error::other("nobody fetches it any more");
                    return Err(Error::Io { action: "fetch a part of the object", source });
                }
                state = self.wait(state);
            };
            let chunk = state.pool.share(chunk?.into());
            drop(state);
            each(index, Piece::Shared(&chunk))?;
            drop(chunk);
            lock(&self.state).given = index + 1;
            self.changed.notify_all();
        }
        Ok(())
    }
}

impl State {
    /// Exchanges a run for one before it that was returned.
    fn first_of(&mut self, run: Run) -> Run {
        match self.returned.first_entry() {
            Some(entry) if *entry.key() < run.index => {
                let first = entry.remove();
                self.returned.insert(run.index, run);
                self.with_memory(first)
            }
            _ => run,
        }
    }

    /// Returns a run that was returned, with memory for its bytes.
    fn with_memory(&self, mut run: Run) -> Run {
        if run.buf.is_empty() {
            run.buf = self.pool.reclaim();
        }
        run
    }

    /// Extends a run by free chunks to the length that the load demands.
    fn extended(&mut self, mut run: Run, chunks: u64) -> Run {
        let wanted = run.index.saturating_add(self.load.stretch).min(chunks);
        while run.end < wanted {
            if run.end == self.next {
                (run.end, self.next) = (wanted, wanted);
            } else if self.returned.get(&run.end).is_some_and(|next| next.buf.is_empty())
                && let Some(next) = self.returned.remove(&run.end)
            {
                run.end = next.end;
            } else {
                break;
            }
        }
        run
    }

    /// Returns the run that is needed first, if it is inside the window.
    fn next_run(&mut self, chunks: u64) -> Option<Run> {
        let end = self.given + WINDOW;
        if let Some(entry) = self.returned.first_entry() {
            let is_inside = *entry.key() < end;
            return is_inside.then(|| entry.remove()).map(|run| self.with_memory(run));
        }
        if self.next >= chunks.min(end) {
            return None;
        }
        let index = self.next;
        self.next = index.saturating_add(self.load.stretch).min(chunks);
        Some(Run { index, end: self.next, buf: self.pool.reclaim() })
    }
}

/// Marks that a worker has a run, until it is dropped.
pub(super) struct AtWork<'w>(&'w Window);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).active -= 1;
        self.0.changed.notify_all();
    }
}

/// Records that a worker has ended, when dropped.
pub(super) struct Leave<'w>(pub(super) &'w Window);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).workers -= 1;
        self.0.changed.notify_all();
    }
}

/// Stops the workers, when dropped.
pub(super) struct Stop<'w>(pub(super) &'w Window);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let _state = lock(&self.0.state);
        self.0.is_over.store(true, Ordering::Relaxed);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(index: u64, end: u64) -> Run {
        Run { index, end, buf: Received::default() }
    }

    #[test]
    fn after_a_refusal_fewer_ask_for_more_and_later_more_for_less() {
        let (mut load, start) = (Load::new(4), Instant::now());
        let shown = |load: &Load| (load.limit, load.stretch);
        load.gave(start);
        assert_eq!(shown(&load), (4, 1));
        load.refused(start);
        assert_eq!(shown(&load), (2, 16));
        load.refused(start);
        load.refused(start);
        assert_eq!(shown(&load), (1, 4096));
        load.gave(start + CALM / 2);
        assert_eq!(shown(&load), (1, 4096));
        let mut now = start;
        let mut steps = Vec::new();
        for _ in 0..13 {
            now += CALM;
            load.gave(now);
            steps.push(shown(&load));
        }
        assert_eq!(steps.first(), Some(&(2, 2048)));
        assert_eq!(steps.last(), Some(&(4, 1)));
        assert_eq!(load, Load::new(4));
    }

    #[test]
    fn who_is_left_requests_the_first_of_the_free_chunks() {
        let window = Window::new(20, 4, Load::new(4));
        let mut taken: Vec<_> = (0..4).map(|_| window.take().unwrap()).collect();
        let last = taken.pop().unwrap();
        for (run, at_work) in taken {
            assert_eq!(window.refused(run), None);
            drop(at_work);
        }
        assert_eq!(window.refused(last.0), Some(run(0, 20)));
        assert!(lock(&window.state).returned.is_empty());
    }

    #[test]
    fn a_run_that_was_returned_during_a_wait_is_requested_first() {
        let window = Window::new(200, 4, Load::new(4));
        let [(first, its), (second, _at_work)] = [(); 2].map(|()| window.take().unwrap());
        // Two workers are allowed still, so the later one waits; then the earlier one is refused, too.
        let waiting = window.refused(second).unwrap();
        assert_eq!(waiting, run(1, 17));
        assert_eq!(window.refused(first), None);
        drop(its);
        let next = window.after_wait(waiting);
        assert_eq!(next, run(0, 200));
        assert_eq!(window.after_wait(next), run(0, 200));
    }

    #[test]
    fn a_run_that_was_returned_uses_memory_again() {
        let window = Window::new(2, 1, Load::new(1));
        let mut received = Received::default();
        received.space(4);
        drop(lock(&window.state).pool.share(received.into()));
        let (taken, _at_work) = window.take().unwrap();
        assert_ne!(taken.buf, Received::default());
        assert_eq!(lock(&window.state).pool.reclaim(), Received::default());
    }

    #[test]
    fn who_is_one_too_many_gives_back_what_the_others_fetch() {
        let window = Window::new(20, 4, Load::new(4));
        let mut taken: Vec<_> = (0..4).map(|_| window.take().unwrap()).collect();
        assert_eq!(taken.iter().map(|(run, _)| run.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
        // Three workers are refused and leave; the last one continues with all free chunks.
        for _ in 0..3 {
            let (run, at_work) = taken.pop().unwrap();
            assert_eq!(window.refused(run), None);
            drop(at_work);
        }
        let (run_of_first, at_work) = taken.pop().unwrap();
        let mut long = window.refused(run_of_first).unwrap();
        assert_eq!((long.index, long.end), (0, 20));
        for index in 0..WINDOW {
            window.put(&mut long, Ok(()));
            assert_eq!(long.index, index + 1);
            if index + 1 < WINDOW {
                long = window.go_on(long).unwrap();
            }
        }
        // Inside the window the response goes on.
        lock(&window.state).returned.insert(0, run(0, 1));
        let inside = window.go_on(run(WINDOW - 1, 20)).unwrap();
        assert_eq!((inside.index, lock(&window.state).returned.remove(&0)), (WINDOW - 1, Some(run(0, 1))));
        // The chunk that the consumer waits for is fetched before what lies behind it.
        lock(&window.state).returned.insert(3, run(3, 4));
        assert_eq!(window.go_on(long), None);
        drop(at_work);
        let (next, _at_work) = window.take().unwrap();
        assert_eq!(next, run(3, 4));
        assert_eq!(lock(&window.state).returned.keys().copied().collect::<Vec<_>>(), [WINDOW]);
    }
}
