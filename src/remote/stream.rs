//! [`Object::stream`]: the bytes of an object in order, by several connections at once.
//!
//! ```text
//! chunk      0   1   2   3   4   5   6   7          4 MiB each, from the offset asked for
//! consumer       ^ in order, one at a time
//! workers            w   w   w   w                  each takes the next chunk that is inside the window of 8
//! ```
//!
//! Invariants: at most [`WINDOW`] chunks are held, whatever the server and the consumer do; a byte that came is not asked
//! for again; the consumer runs on the calling thread and sees every byte once, in order. Where the server gives whole
//! files alone, or no parts any more, one connection does it, and what was given before is passed over.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use super::cause::Transport;
use super::error::{Error, Result};
use super::known::lock;
use super::message::BodyReader;
use super::object::{Object, Ranges, open_file};
use super::parts::{Opened, fill};
use super::retry::Retry;
use crate::read_at::ReadAt as _;

/// How many bytes are asked for at once.
pub const CHUNK: u64 = 4 << 20;

/// How many chunks are held at most: 32 MiB.
pub const WINDOW: u64 = 8;

/// How much is read at once where there is one connection, or a file.
const STEP: usize = 256 << 10;

/// Takes bytes and the offset they stand at.
pub type Consumer<'c> = &'c mut dyn FnMut(u64, &[u8]) -> io::Result<()>;

/// `true` if a stream may start at the beginning although a later offset was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    Never,
    /// The consumer drops what it has when it sees offset 0.
    Allowed,
}

impl Object<'_> {
    /// Gives the bytes from `from` up to the object's end to `each`, in order, with their offsets.
    ///
    /// # Errors
    /// [`Error::NoRanges`] if `from` is not 0 and the server gives whole files alone; [`Error::Io`] with what `each`
    /// returns; [`Error::WrongSize`]; what keeps bytes away when patience is at its end.
    pub fn stream(&self, from: u64, each: Consumer<'_>) -> Result<()> {
        self.wire().watched(|| self.stream_from(from, Restart::Never, each))
    }

    pub(super) fn stream_from(&self, from: u64, restart: Restart, each: Consumer<'_>) -> Result<()> {
        if from >= self.pointer.size {
            return Ok(());
        }
        if let Some(path) = self.file()? {
            return self.stream_file(&path, from, each);
        }
        let mut retry = Retry::new(self.wire(), &|| false);
        let first = loop {
            match self.open(from, self.pointer.size.min(from.saturating_add(CHUNK))) {
                Ok(first) => break first,
                Err(err) => retry.after(err)?,
            }
        };
        match first {
            Opened::Part(reader, len) => {
                let mut given = from;
                let result = self.parallel(from, (reader, len), &mut |at, bytes| {
                    given = at + bytes.len() as u64;
                    each(at, bytes)
                });
                match result {
                    // It served parts, and does no more.
                    Err(Error::NoRanges { .. }) => self.single(None, given, each),
                    result => result,
                }
            }
            Opened::Whole(_) | Opened::Unplaced if from > 0 && restart == Restart::Never => {
                Err(self.no_ranges())
            }
            Opened::Whole(reader) => self.single(Some(reader), 0, each),
            Opened::Unplaced => self.single(None, 0, each),
        }
    }

    fn stream_file(&self, path: &std::path::Path, from: u64, each: Consumer<'_>) -> Result<()> {
        let file = open_file(path)?;
        if file.len() != self.pointer.size {
            return Err(self.wrong_size(file.len()));
        }
        let (mut at, mut buf) = (from, vec![0; STEP]);
        while at < file.len() {
            if self.wire().is_interrupted() {
                return Err(Error::Interrupted);
            }
            let want = usize::try_from(file.len() - at).unwrap_or(STEP).min(STEP);
            let bytes = buf.get_mut(..want).unwrap_or_default();
            file.read_exact_at(bytes, at)
                .map_err(|source| Error::Io { action: "read an object of the other repository", source })?;
            each(at, bytes).map_err(consumer_error)?;
            at += want as u64;
        }
        Ok(())
    }

    /// One connection, from the beginning; what was given already, before or after a cut, is passed over.
    fn single(&self, mut first: Option<BodyReader>, mut given: u64, each: Consumer<'_>) -> Result<()> {
        let mut retry = Retry::new(self.wire(), &|| false);
        while given < self.pointer.size {
            let before = given;
            let opened = match first.take() {
                Some(reader) => Ok(reader),
                None => self.open(0, self.pointer.size).and_then(|opened| match opened {
                    Opened::Part(reader, _) | Opened::Whole(reader) => Ok(reader),
                    Opened::Unplaced => Err(self.no_ranges()),
                }),
            };
            let result = opened.and_then(|reader| self.drain(reader, &mut given, each));
            retry.progress(given - before);
            if let Err(err) = result {
                retry.after(err)?;
            }
        }
        Ok(())
    }

    fn drain(&self, mut reader: BodyReader, given: &mut u64, each: Consumer<'_>) -> Result<()> {
        let (mut at, mut buf) = (0_u64, vec![0; STEP]);
        loop {
            let read = reader.read(&mut buf)?;
            if read == 0 && at < self.pointer.size {
                let source = Transport("it ended before all bytes were sent".to_owned());
                return Err(Error::Cut { origin: reader.origin().clone(), source });
            }
            if read == 0 {
                return Ok(());
            }
            let end = at + read as u64;
            if end > self.pointer.size {
                return Err(self.wrong_size(end));
            }
            let known = usize::try_from(given.saturating_sub(at)).unwrap_or(usize::MAX).min(read);
            let new = buf.get(known..read).unwrap_or_default();
            if !new.is_empty() {
                each(*given, new).map_err(consumer_error)?;
                *given = end;
            }
            at = end;
            if self.wire().is_interrupted() {
                return Err(Error::Interrupted);
            }
        }
    }

    fn parallel(&self, from: u64, first: (BodyReader, u64), each: Consumer<'_>) -> Result<()> {
        debug_assert_eq!(self.ranges(), Ranges::Yes);
        let chunks = (self.pointer.size - from).div_ceil(CHUNK);
        let workers = chunks.min(self.wire().settings.connections() as u64);
        let window = Window::new(chunks, workers);
        let first = Mutex::new(Some(first));
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| self.work(from, &window, &first));
            }
            let _stopped = Stop(&window);
            window.give(|index, bytes| {
                if self.wire().is_interrupted() {
                    return Err(Error::Interrupted);
                }
                each(from + index * CHUNK, bytes).map_err(consumer_error)
            })
        })
    }

    /// Fetches chunk after chunk.
    fn work(&self, from: u64, window: &Window, first: &Mutex<Option<(BodyReader, u64)>>) {
        let _leaving = Leave(window);
        while let Some((index, mut buf)) = window.take() {
            let start = from + index * CHUNK;
            let wanted = usize::try_from(CHUNK.min(self.pointer.size - start)).unwrap_or(0);
            let open = |at: u64, end: u64| {
                let head = lock(first).take_if(|_| at == from);
                head.map_or_else(|| self.open_part(at, end), Ok)
            };
            let is_over = || window.is_over();
            let mut retry = Retry::new(self.wire(), &is_over);
            let result = fill(&mut retry, start, wanted, &mut buf, &open, &is_over);
            window.put(index, result.map(|()| buf));
        }
    }
}

fn consumer_error(source: io::Error) -> Error {
    Error::Io { action: "take the downloaded bytes", source }
}

/// The chunks between workers and consumer.
struct Window {
    chunks: u64,
    state: Mutex<WindowState>,
    changed: Condvar,
    is_over: AtomicBool,
}

#[derive(Default)]
struct WindowState {
    /// The next chunk that nobody works on.
    next: u64,
    /// How many the consumer is done with.
    given: u64,
    ready: BTreeMap<u64, Result<Vec<u8>>>,
    /// How many workers there are still.
    workers: u64,
    /// Buffers that are done with.
    spare: Vec<Vec<u8>>,
}

impl Window {
    fn new(chunks: u64, workers: u64) -> Self {
        let state = Mutex::new(WindowState { workers, ..WindowState::default() });
        Self { chunks, state, changed: Condvar::new(), is_over: AtomicBool::new(false) }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The next chunk to fetch and an empty buffer for it; waits until it is inside the window.
    fn take(&self) -> Option<(u64, Vec<u8>)> {
        let mut state = lock(&self.state);
        loop {
            if self.is_over() || state.next >= self.chunks {
                return None;
            }
            if state.next < state.given + WINDOW {
                let index = state.next;
                state.next += 1;
                return Some((index, state.spare.pop().unwrap_or_default()));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put(&self, index: u64, result: Result<Vec<u8>>) {
        lock(&self.state).ready.insert(index, result);
        self.changed.notify_all();
    }

    /// Gives all chunks to the consumer, in order.
    fn give(&self, mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        for index in 0..self.chunks {
            let mut state = lock(&self.state);
            let chunk = loop {
                if let Some(chunk) = state.ready.remove(&index) {
                    break chunk;
                }
                if state.workers == 0 {
                    // One of them panicked, which is raised again when their threads are joined.
                    let source = io::Error::other("nobody fetches it any more");
                    return Err(Error::Io { action: "fetch a part of the object", source });
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            let mut buf = chunk?;
            each(index, &buf)?;
            buf.clear();
            let mut state = lock(&self.state);
            state.given = index + 1;
            state.spare.push(buf);
            drop(state);
            self.changed.notify_all();
        }
        Ok(())
    }
}

/// Says that a worker is gone, however it ended.
struct Leave<'w>(&'w Window);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).workers -= 1;
        self.0.changed.notify_all();
    }
}

/// Ends the workers, however the consumer ended.
struct Stop<'w>(&'w Window);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let _state = lock(&self.0.state);
        self.0.is_over.store(true, Ordering::Relaxed);
        self.0.changed.notify_all();
    }
}
