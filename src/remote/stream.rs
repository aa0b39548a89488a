//! [`Object::stream`] downloads the bytes of an object in order, by several connections at once.
//!
//! Invariants: no byte that arrived is requested twice; the consumer runs on the calling thread and receives every byte once, in
//! order. If the server sends only whole files, or stops serving ranges, one connection is used, and bytes that were
//! passed on before are skipped. [`Window`] decides the number and size of requests.

use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use super::action::{Handed, ObjectAt, OverSsh};
use super::cause::Transport;
use super::error::{Error, Result};
use super::known::lock;
use super::message::BodyReader;
use super::object::{Object, Ranges, open_file};
use super::parts::{Opened, take};
use super::retry::Retry;
use super::window::{CHUNK, Leave, Load, Run, Stop, Window};
use crate::buffer::Piece;
use crate::read_at::{FileSource, ReadAt as _};

/// How many bytes are read at once from a single connection, or a file.
const STEP: usize = 256 << 10;

/// Receives bytes and their offset.
pub type Consumer<'c> = &'c mut dyn FnMut(u64, &[u8]) -> io::Result<()>;

/// Receives bytes that it can keep, and their offset.
pub type Keeper<'c> = &'c mut dyn FnMut(u64, Piece<'_>) -> io::Result<()>;

/// Whether a stream may start at the beginning although a later offset was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    Never,
    /// The consumer discards its bytes when it receives offset 0.
    Allowed,
}

impl Object<'_> {
    /// Passes the bytes from `from` up to the object's end to `each`, in order, with their offsets.
    ///
    /// # Errors
    /// [`Error::NoRanges`] if `from` is not 0 and the server sends only whole files; [`Error::Io`] with an error of
    /// `each`; [`Error::WrongSize`]; the last error after all retries.
    pub fn stream(&self, from: u64, each: Consumer<'_>) -> Result<()> {
        self.stream_shared(from, &mut |at, bytes| each(at, &bytes))
    }

    /// Does the same for a consumer that keeps bytes: most arrive in buffers that it can share.
    ///
    /// # Errors
    /// As [`Object::stream`].
    pub fn stream_shared(&self, from: u64, each: Keeper<'_>) -> Result<()> {
        self.wire().watched(|| self.stream_from(from, Restart::Never, each))
    }

    pub(super) fn stream_from(&self, from: u64, restart: Restart, each: Keeper<'_>) -> Result<()> {
        if from >= self.pointer.size {
            return Ok(());
        }
        self.begin();
        match self.at()? {
            ObjectAt::File(path) => return self.stream_file(&open_file(&path)?, from, each),
            ObjectAt::Agent(handed) => return self.stream_brought(&handed, from, each),
            ObjectAt::Ssh(_) if from > 0 && restart == Restart::Never => return Err(self.no_ranges()),
            ObjectAt::Ssh(at) => return self.stream_over_ssh(&at, each),
            ObjectAt::Server(_) => {}
        }
        let mut retry = Retry::new(self.wire(), &|| false);
        let mut load = Load::new(self.wire().settings.connections() as u64);
        let first = loop {
            let wanted = CHUNK.saturating_mul(load.stretch);
            match self.open(from, self.pointer.size.min(from.saturating_add(wanted))) {
                Ok(first) => break first,
                Err(err) => {
                    if err.is_refusal() {
                        load.refused(Instant::now());
                    }
                    retry.after(err)?;
                }
            }
        };
        match first {
            Opened::Part(reader, len) => {
                let mut given = from;
                let result = self.parallel(from, (reader, len), load, &mut |at, bytes| {
                    given = at + bytes.len() as u64;
                    each(at, bytes)
                });
                match result {
                    // The server no longer serves ranges.
                    Err(Error::NoRanges { .. }) => self.single(None, (from, given), each),
                    result => result,
                }
            }
            Opened::Whole(_) | Opened::Unplaced if from > 0 && restart == Restart::Never => {
                Err(self.no_ranges())
            }
            Opened::Whole(reader) => self.single(Some(reader), (0, 0), each),
            Opened::Unplaced => self.single(None, (0, 0), each),
        }
    }

    /// Uses one ssh connection, from the beginning, and skips bytes that were passed on before the connection was lost.
    fn stream_over_ssh(&self, at: &OverSsh, each: Keeper<'_>) -> Result<()> {
        let mut retry = Retry::new(self.wire(), &|| false);
        let mut given = 0_u64;
        loop {
            let (before, mut here) = (given, 0_u64);
            let result = self.over_ssh(at, &mut |bytes| {
                let end = here + bytes.len() as u64;
                let known =
                    usize::try_from(given.saturating_sub(here)).unwrap_or(usize::MAX).min(bytes.len());
                let new = bytes.get(known..).unwrap_or_default();
                if !new.is_empty() {
                    each(given, Piece::Borrowed(new)).map_err(consumer_error)?;
                    given = end;
                }
                here = end;
                Ok(())
            });
            retry.progress(given - before);
            match result {
                Ok(()) => return Ok(()),
                Err(error) => retry.after(error)?,
            }
        }
    }

    /// Lets a transfer agent download it, and passes on its file; the caller hashes it.
    fn stream_brought(&self, handed: &Handed, from: u64, each: Keeper<'_>) -> Result<()> {
        let arrived = self.brought(handed, &|here| self.came_to(here))?;
        let read = |source| Error::Io { action: "read what the transfer agent brought", source };
        let file = arrived.file.try_clone().and_then(FileSource::new).map_err(read)?;
        self.stream_file(&file, from, each)?;
        arrived.taken();
        Ok(())
    }

    fn stream_file(&self, file: &FileSource, from: u64, each: Keeper<'_>) -> Result<()> {
        if file.len() != self.pointer.size {
            return Err(self.wrong_size(file.len()));
        }
        let (mut at, mut buf) = (from, vec![0; STEP]);
        while at < file.len() {
            self.wire().check_interrupted()?;
            let want = usize::try_from(file.len() - at).unwrap_or(STEP).min(STEP);
            let bytes = buf.get_mut(..want).unwrap_or_default();
            file.read_exact_at(bytes, at)
                .map_err(|source| Error::Io { action: "read an object of the other repository", source })?;
            // The bytes of an agent were reported while it worked.
            self.came_to(at + want as u64 - from);
            each(at, Piece::Borrowed(bytes)).map_err(consumer_error)?;
            at += want as u64;
        }
        Ok(())
    }

    /// Uses one connection, from the beginning, and skips bytes that were passed on already by a stream that began at
    /// `from`, before or after a lost connection.
    fn single(
        &self,
        mut first: Option<BodyReader>,
        (from, mut given): (u64, u64),
        each: Keeper<'_>,
    ) -> Result<()> {
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
            let result = opened.and_then(|reader| self.drain(reader, from, &mut given, each));
            retry.progress(given - before);
            if let Err(err) = result {
                retry.after(err)?;
            }
        }
        Ok(())
    }

    fn drain(&self, mut reader: BodyReader, from: u64, given: &mut u64, each: Keeper<'_>) -> Result<()> {
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
                self.came_to(end - from);
                each(*given, Piece::Borrowed(new)).map_err(consumer_error)?;
                *given = end;
            }
            at = end;
            self.wire().check_interrupted()?;
        }
    }

    fn parallel(&self, from: u64, first: (BodyReader, u64), load: Load, each: Keeper<'_>) -> Result<()> {
        debug_assert_eq!(self.ranges(), Ranges::Yes);
        let chunks = (self.pointer.size - from).div_ceil(CHUNK);
        let workers = chunks.min(self.wire().settings.connections() as u64);
        let window = Window::new(chunks, workers, load);
        let first = Mutex::new(Some(first));
        thread::scope(|scope| {
            let _stopped = Stop(&window);
            for number in 0..workers {
                let worker = || self.work(from, &window, &first);
                match thread::Builder::new().spawn_scoped(scope, worker) {
                    Err(source) if number == 0 => return Err(Error::Io { action: "start a thread", source }),
                    // The others fetch its chunks.
                    Err(_) => drop(Leave(&window)),
                    Ok(_) => {}
                }
            }
            window.give(|index, bytes| {
                self.wire().check_interrupted()?;
                each(from + index * CHUNK, bytes).map_err(consumer_error)
            })
        })
    }

    /// Fetches one run after the other.
    fn work(&self, from: u64, window: &Window, first: &Mutex<Option<(BodyReader, u64)>>) {
        let _leaving = Leave(window);
        while let Some((run, _at_work)) = window.take() {
            let opened = lock(first).take_if(|_| run.index == 0 && run.buf.is_empty());
            self.fetch(from, window, run, opened);
        }
    }

    /// Fetches the chunks of a run, by one request as long as no error occurs. `opened` is the response to it, and how
    /// many of its bytes are left.
    fn fetch(&self, from: u64, window: &Window, mut run: Run, mut opened: Option<(BodyReader, u64)>) {
        let is_over = || window.is_over();
        let mut retry = Retry::new(self.wire(), &is_over);
        loop {
            let start = from + run.index * CHUNK;
            let wanted = usize::try_from(CHUNK.min(self.pointer.size - start)).unwrap_or(0);
            let had = run.buf.len();
            if had >= wanted || is_over() {
                window.put(&mut run, Ok(()));
                match window.go_on(run) {
                    Some(next) => run = next,
                    None => return,
                }
                continue;
            }
            let end = self.pointer.size.min(from + run.end * CHUNK);
            let open = || self.open_part(start + had as u64, end);
            let result = opened.take().map_or_else(open, Ok).and_then(|(mut reader, left)| {
                let until = wanted.min(had.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)));
                take(&mut reader, &mut run.buf, until, &is_over, &|bytes| self.came(bytes))?;
                let left = left.saturating_sub((run.buf.len() - had) as u64);
                opened = Some((reader, left)).filter(|_| left > 0);
                Ok(())
            });
            retry.progress((run.buf.len() - had) as u64);
            let Err(err) = result else { continue };
            if err.is_refusal() {
                match window.refused(run) {
                    Some(longer) => run = longer,
                    None => return,
                }
            }
            if let Err(err) = retry.after(err) {
                return window.put(&mut run, Err(err));
            }
            run = window.after_wait(run);
        }
    }
}

fn consumer_error(source: io::Error) -> Error {
    Error::Io { action: "process the downloaded data", source }
}
