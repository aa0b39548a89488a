//! [`Follower`] hashes and copies an object while it is made, as far as it is complete; [`FollowerThread`] does that next to
//! the thread that makes it.
//!
//! Invariant: bytes are read in order, each once, and never beyond the length that was announced as complete.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use super::super::hashing::{Hashing, Sender, Side};
use crate::buffer::{CAPACITY, Pool};
use crate::lfs::Writers;
use crate::read_at::{FileSource, ReadAt as _};

/// How many buffers follow.
const BUFFERS: usize = 8;

/// Hashes an object and copies it, as far as it is complete.
pub(super) struct Follower {
    object: FileSource,
    at: u64,
    size: u64,
    pool: Pool,
    writers: Writers,
    sender: Sender,
}

impl Follower {
    /// Starts to follow `object`, which will have `size` bytes: they are the output of `hashing`.
    pub(super) fn start(
        object: &File,
        copy: Option<&File>,
        size: u64,
        hashing: &Hashing,
    ) -> io::Result<Self> {
        let writers = Writers::behind(object, copy, size)?;
        let object = FileSource::new(object.try_clone()?)?;
        Ok(Self { object, at: 0, size, pool: Pool::new(BUFFERS), writers, sender: hashing.sender()? })
    }

    /// Takes the complete bytes: full buffers, and the last one.
    pub(super) fn follow(&mut self, complete: u64) -> io::Result<()> {
        while self.follows(complete) {
            self.step()?;
        }
        Ok(())
    }

    /// Returns `true` if there is a full buffer to take, or the last one.
    fn follows(&self, complete: u64) -> bool {
        self.at < complete && (complete - self.at >= CAPACITY as u64 || complete >= self.size)
    }

    /// Takes a buffer.
    fn step(&mut self) -> io::Result<()> {
        let mut buffer = self.pool.take();
        buffer.set_len(usize::try_from(self.size - self.at).unwrap_or(CAPACITY));
        self.object.read_exact_at(&mut buffer, self.at)?;
        self.at += buffer.len() as u64;
        let bytes = self.pool.share(buffer);
        self.writers.write(&bytes)?;
        self.sender.give(Side::Output, bytes)
    }

    /// Waits until everything is copied.
    pub(super) fn finish(self) -> io::Result<()> {
        drop(self.sender);
        self.writers.finish()
    }
}

/// A follower on a thread of its own. The tensors of an object have another order than those of its source, so the complete
/// part grows in long steps, during which a download goes on.
pub(super) struct FollowerThread {
    /// Receives the complete lengths; `None` if no more follow.
    complete: Option<mpsc::Sender<u64>>,
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl FollowerThread {
    pub(super) fn start(follower: Follower) -> io::Result<Self> {
        let (complete, lengths) = mpsc::channel();
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_stopped);
        let thread = thread::Builder::new().name("following".into());
        let thread = thread.spawn(move || follow(follower, &lengths, &stop))?;
        Ok(Self { complete: Some(complete), is_stopped, thread: Some(thread) })
    }

    /// Reports that the object is complete up to this length.
    ///
    /// # Errors
    /// The error that ended the thread.
    pub(super) fn follow(&mut self, complete: u64) -> io::Result<()> {
        match self.complete.as_ref().map(|lengths| lengths.send(complete)) {
            Some(Ok(())) => Ok(()),
            _ => self.join(),
        }
    }

    /// Waits until everything is passed to the hash, and copied.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.join()
    }

    /// Stops it: afterwards nothing more is written.
    pub(super) fn stop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        if self.thread.is_some() {
            let _incomplete = self.join();
        }
    }

    fn join(&mut self) -> io::Result<()> {
        self.complete = None;
        let joined = self.thread.take().and_then(|thread| thread.join().ok());
        joined.unwrap_or_else(|| Err(io::Error::other("the following thread panicked")))
    }
}

impl Drop for FollowerThread {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Follows each length that is announced, and finishes after the last one.
fn follow(mut follower: Follower, lengths: &Receiver<u64>, is_stopped: &AtomicBool) -> io::Result<()> {
    for complete in lengths {
        // One buffer at a time.
        while follower.follows(complete) && !is_stopped.load(Ordering::Relaxed) {
            if let Err(error) = follower.step() {
                // A writer that failed says why at its end.
                return Err(follower.writers.finish().err().unwrap_or(error));
            }
        }
    }
    if is_stopped.load(Ordering::Relaxed) {
        follower.writers.stop();
        return Err(io::ErrorKind::Interrupted.into());
    }
    follower.finish()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;
    use crate::hash::{Hasher, Oid};

    const SIZE: usize = 5 * CAPACITY + 4321;

    fn object() -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..251).cycle().take(SIZE).collect();
        let mut object = tempfile::tempfile().unwrap();
        object.write_all(&bytes).unwrap();
        (object, bytes)
    }

    #[test]
    fn a_thread_follows_whatever_the_steps_are() {
        let (object, bytes) = object();
        for step in [1000, CAPACITY, CAPACITY + 1, 3 * CAPACITY, SIZE] {
            let mut copy = tempfile::tempfile().unwrap();
            let hashing = Hashing::start(Hasher::default()).unwrap();
            let follower = Follower::start(&object, Some(&copy), SIZE as u64, &hashing).unwrap();
            let mut thread = FollowerThread::start(follower).unwrap();
            for complete in (0..SIZE).step_by(step).chain([SIZE]) {
                thread.follow(complete as u64).unwrap();
            }
            thread.finish().unwrap();
            assert_eq!(hashing.finish().unwrap().output, (Oid::of(&bytes), SIZE as u64));
            let mut copied = Vec::new();
            copy.rewind().unwrap();
            copy.read_to_end(&mut copied).unwrap();
            assert!(copied == bytes, "{step}");
        }
    }

    #[test]
    fn an_error_of_the_copy_is_returned_by_the_next_call() {
        let (object, _) = object();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        std::fs::write(&path, "").unwrap();
        let read_only = File::open(&path).unwrap();
        let hashing = Hashing::start(Hasher::default()).unwrap();
        let follower = Follower::start(&object, Some(&read_only), SIZE as u64, &hashing).unwrap();
        let mut thread = FollowerThread::start(follower).unwrap();
        let error = (0..).find_map(|_| thread.follow(SIZE as u64).err()).unwrap();
        assert_ne!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(error.raw_os_error().is_some(), "{error}");
    }

    #[test]
    fn a_thread_that_nobody_waits_for_is_stopped() {
        let (object, _) = object();
        let hashing = Hashing::start(Hasher::default()).unwrap();
        let follower = Follower::start(&object, None, SIZE as u64, &hashing).unwrap();
        let thread = FollowerThread::start(follower).unwrap();
        let stopped = Arc::clone(&thread.is_stopped);
        drop(thread);
        // The thread has ended, so nothing else has this.
        assert_eq!(Arc::strong_count(&stopped), 1);
    }
}
