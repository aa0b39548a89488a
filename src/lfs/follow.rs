//! [`Follower`]: copies an object to a second file while the object is still being written.
//!
//! A copy in the kernel (`copy_file_range`) behind the writer reads the page cache, never the disk, and spreads
//! over the time that the writer waits for its source. Handing both files to the disk on the way leaves little
//! for the sync at the end.
//!
//! Invariant: after [`Follower::finish`] the second file has exactly the first `len` bytes of the first. It copies
//! only what it was told is written, and uses offsets of its own, so it never moves the writer's.
//! Where the file system can share blocks nothing is copied at all: the clone is made at the end.
//! It does not name, hash or close the files.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};

/// How much is copied before both files are handed to the disk.
const SYNC_EVERY: u64 = 64 << 20;

/// How much is written before the follower is woken: waking costs more than a late start.
const WAKE_EVERY: u64 = 4 << 20;

/// How much is copied in one call; a bound on how long a new message waits.
const STEP: u64 = 64 << 20;

/// A thread that copies one growing file to another.
#[derive(Debug)]
pub struct Follower {
    written: Option<Sender<u64>>,
    told: Cell<u64>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Follower {
    /// Starts to follow `from` into `to`, which is empty.
    ///
    /// # Errors
    /// If a file cannot be duplicated, or no thread started.
    pub fn start(from: &File, to: &File) -> io::Result<Self> {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (written, told) = mpsc::channel();
        let thread =
            thread::Builder::new().name("follower".into()).spawn(move || follow(&from, &to, &told))?;
        Ok(Self { written: Some(written), told: Cell::new(0), thread: Some(thread) })
    }

    /// Says that the first `len` bytes are written. Does not wait.
    pub fn advance(&self, len: u64) {
        if len >= self.told.get() + WAKE_EVERY {
            self.tell(len);
        }
    }

    fn tell(&self, len: u64) {
        self.told.set(len);
        if let Some(written) = &self.written {
            // A follower that failed has gone; `finish` says why.
            let _gone = written.send(len);
        }
    }

    /// Says that the file is whole with `len` bytes, and waits for the copy.
    ///
    /// # Errors
    /// What the system reported about either file.
    pub fn finish(mut self, len: u64) -> io::Result<()> {
        self.tell(len);
        self.written = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            Some(Err(_)) | None => Err(io::Error::other("the copying thread panicked")),
        }
    }
}

impl Drop for Follower {
    /// Stops after the step at hand.
    fn drop(&mut self) {
        self.written = None;
        if let Some(thread) = self.thread.take() {
            let _abandoned = thread.join();
        }
    }
}

fn follow(from: &File, to: &File, told: &Receiver<u64>) -> io::Result<()> {
    // A sync can wait for the journal of the file system for half a second; the copy must not wait with it.
    let (tick, ticks) = mpsc::sync_channel(1);
    thread::scope(|scope| {
        let mut ticks = ticks.into_iter();
        let syncer =
            scope.spawn(move || ticks.try_for_each(|()| from.sync_data().and_then(|()| to.sync_data())));
        let copied = copy_behind(from, to, told, &tick);
        drop(tick);
        let result = syncer.join().unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked")));
        copied.and(result)
    })
}

fn copy_behind(from: &File, to: &File, told: &Receiver<u64>, tick: &SyncSender<()>) -> io::Result<()> {
    let share = share_blocks(from, to);
    let (mut copied, mut synced, mut goal) = (0, 0, 0);
    while let Ok(len) = told.recv() {
        goal = told.try_iter().fold(goal.max(len), u64::max);
        while !share && copied < goal {
            copied += copy_range(from, to, copied, STEP.min(goal - copied))?;
            goal = told.try_iter().fold(goal, u64::max);
            if copied - synced >= SYNC_EVERY {
                // One that is still at work takes this part, too.
                let _busy = tick.try_send(());
                synced = copied;
            }
        }
    }
    if share && !share_blocks(from, to) {
        while copied < goal {
            copied += copy_range(from, to, copied, STEP.min(goal - copied))?;
        }
    }
    to.set_len(goal)
}

/// Makes `to`, which is empty, a copy of `from`.
pub(crate) fn copy_all(from: &File, to: &File) -> io::Result<()> {
    if share_blocks(from, to) {
        return Ok(());
    }
    let (mut copied, len) = (0, from.metadata()?.len());
    while copied < len {
        copied += copy_range(from, to, copied, STEP.min(len - copied))?;
    }
    Ok(())
}

/// Makes `to` a clone of `from` with shared blocks. False where the file system cannot.
#[cfg(target_os = "linux")]
fn share_blocks(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn share_blocks(_: &File, _: &File) -> bool {
    false
}

/// Copies up to `len` bytes at `at` to the same place; at least one, or it is an error.
#[cfg(target_os = "linux")]
fn copy_range(from: &File, to: &File, at: u64, len: u64) -> io::Result<u64> {
    use rustix::io::Errno;
    let (mut read_at, mut write_at) = (at, at);
    let step = usize::try_from(len).unwrap_or(usize::MAX);
    match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), step) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(copied) => Ok(copied as u64),
        Err(Errno::INTR) => copy_range(from, to, at, len),
        Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
            copy_by_buffer(from, to, at, len)
        }
        Err(err) => Err(err.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn copy_range(from: &File, to: &File, at: u64, len: u64) -> io::Result<u64> {
    copy_by_buffer(from, to, at, len)
}

/// The same through a buffer of ours, for pairs of file systems between which the kernel does not copy.
#[cfg(unix)]
fn copy_by_buffer(from: &File, to: &File, at: u64, len: u64) -> io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let mut buf = vec![0; usize::try_from(len.min(1 << 20)).unwrap_or(1 << 20)];
    from.read_exact_at(&mut buf, at)?;
    to.write_all_at(&buf, at)?;
    Ok(buf.len() as u64)
}

#[cfg(windows)]
fn copy_by_buffer(from: &File, to: &File, at: u64, len: u64) -> io::Result<u64> {
    use std::os::windows::fs::FileExt as _;
    let mut buf = vec![0; usize::try_from(len.min(1 << 20)).unwrap_or(1 << 20)];
    let read = from.seek_read(&mut buf, at)?;
    let written = to.seek_write(buf.get(..read).unwrap_or_default(), at)?;
    if written == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(written as u64) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    fn content(mut file: File) -> Vec<u8> {
        let mut all = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut all).unwrap();
        all
    }

    #[test]
    fn it_copies_what_is_written_and_no_more() {
        let (mut from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let follower = Follower::start(&from, &to).unwrap();
        let mut len = 0;
        for piece in 0_u8..50 {
            from.write_all(&vec![piece; 100_003]).unwrap();
            len += 100_003;
            follower.advance(len);
        }
        from.write_all(b"not announced").unwrap();
        follower.finish(len).unwrap();
        let mut expected = content(from);
        expected.truncate(usize::try_from(len).unwrap());
        assert!(content(to) == expected);
    }

    #[test]
    fn an_abandoned_follower_stops_and_a_lied_to_one_fails() {
        let (mut from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all(b"0123456789").unwrap();
        let follower = Follower::start(&from, &to).unwrap();
        follower.advance(4);
        drop(follower);
        let follower = Follower::start(&from, &to).unwrap();
        let err = follower.finish(11).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_buffer_does_the_same() {
        let (mut from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all(&[7; 3000]).unwrap();
        assert_eq!(copy_by_buffer(&from, &to, 0, 1000).unwrap(), 1000);
        assert_eq!(copy_by_buffer(&from, &to, 1000, 2000).unwrap(), 2000);
        assert_eq!(content(to), vec![7; 3000]);
    }
}
