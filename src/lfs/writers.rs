//! [`Writers`] writes the same bytes to one or two new files at once, each on its own thread.
//!
//! A model is written to LFS storage and to the working tree. Both files are synced to the disk before they get a name,
//! so the page cache would only be one more copy, and the most expensive one: large files bypass it if the file system
//! allows that (`O_DIRECT`). If the file system can share blocks, the second file is not written; it becomes a clone of
//! the first at the end.
//!
//! Invariant: after [`Writers::finish`] every file has exactly the given bytes, in order, and they are on the disk,
//! unless [`Writers::cached`] left that to the system. The module does not name, hash or close the files.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use super::copy::share_blocks;
use crate::buffer::{ALIGNMENT, Shared};

/// A file of this length or more bypasses the page cache.
const DIRECT_FROM: u64 = 64 << 20;

/// How many bytes go through the page cache before they are synced to the disk.
const SYNC_EVERY: u64 = 64 << 20;

/// How many buffers may wait per file.
const WAITING: usize = 4;

/// The files that are written.
#[derive(Debug)]
pub struct Writers {
    writers: Vec<Writer>,
    /// The file that becomes a clone of the first.
    clone: Option<(File, File)>,
}

#[derive(Debug)]
struct Writer {
    give: SyncSender<Shared>,
    thread: JoinHandle<io::Result<()>>,
}

/// The required state of the bytes at the end.
#[derive(Debug, Clone, Copy)]
enum End {
    Disk,
    /// In the page cache.
    Cache,
}

impl Writers {
    /// Starts to write `first`, and `second` if given. Both are new and empty, and will have `len` bytes.
    ///
    /// # Errors
    /// If a file cannot be duplicated, or no thread can be started.
    pub fn start(first: &File, second: Option<&File>, len: u64) -> io::Result<Self> {
        let mut all = Self::behind(first, second, len)?;
        all.writers.insert(0, Writer::start(first, len, End::Disk)?);
        Ok(all)
    }

    /// Starts to write a new and empty file as `cp` would: through the page cache, without a sync to the disk. For a file
    /// that can be made again. On a file system that reports a failure only at the sync, such as a network file system,
    /// the file is synced in any case.
    ///
    /// # Errors
    /// As [`Writers::start`].
    pub fn cached(file: &File, len: u64) -> io::Result<Self> {
        let end = if is_local(file) { End::Cache } else { End::Disk };
        Ok(Self { writers: vec![Writer::start(file, len, end)?], clone: None })
    }

    /// Returns `true` if `copy`, a new and empty file, can be a clone of another file, so that nothing needs to be written.
    pub fn can_clone(from: &File, copy: &File) -> bool {
        share_blocks(from, copy)
    }

    /// Starts to write `copy`, a new and empty file of `len` bytes, with the bytes that another file gets elsewhere.
    /// `None` for no copy; then nothing is written.
    ///
    /// # Errors
    /// If a file cannot be duplicated, or no thread can be started.
    pub fn behind(from: &File, copy: Option<&File>, len: u64) -> io::Result<Self> {
        let (mut writers, mut clone) = (Vec::new(), None);
        if let Some(copy) = copy {
            if share_blocks(from, copy) {
                clone = Some((from.try_clone()?, copy.try_clone()?));
            } else {
                writers.push(Writer::start(copy, len, End::Disk)?);
            }
        }
        Ok(Self { writers, clone })
    }

    /// Writes the next bytes. Waits if too many wait already.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] if a file could not be written; [`Writers::finish`] returns the reason.
    pub fn write(&self, bytes: &Shared) -> io::Result<()> {
        let mut sent = self.writers.iter().map(|writer| writer.give.send(bytes.clone()));
        if sent.all(|sent| sent.is_ok()) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    /// Ends without the rest of the bytes. Afterwards no thread writes.
    pub fn stop(self) {
        for Writer { give, thread } in self.writers {
            drop(give);
            let _unfinished = thread.join();
        }
    }

    /// Waits until all bytes are written and on the disk.
    ///
    /// # Errors
    /// The error of the system about a file.
    pub fn finish(self) -> io::Result<()> {
        let Self { writers, clone } = self;
        let threads: Vec<_> = writers.into_iter().map(|Writer { thread, .. }| thread).collect();
        let panicked = |_| Err(io::Error::other("a writing thread panicked"));
        let written: Vec<_> =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect();
        written.into_iter().collect::<io::Result<()>>()?;
        match clone {
            Some((from, to)) => super::copy::copy_all(&from, &to).and_then(|()| to.sync_data()),
            None => Ok(()),
        }
    }
}

impl Writer {
    fn start(file: &File, len: u64, end: End) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (give, take) = mpsc::sync_channel(WAITING);
        let run = move || match end {
            End::Disk => write_all(&file, len, &take),
            End::Cache => take.iter().try_for_each(|bytes| write_cached(&file, &bytes)),
        };
        let thread = thread::Builder::new().name("writing".into()).spawn(run)?;
        Ok(Self { give, thread })
    }
}

fn write_all(file: &File, len: u64, take: &Receiver<Shared>) -> io::Result<()> {
    let mut is_direct = len >= DIRECT_FROM && set_direct(file, true);
    let written = write_each(file, take, &mut is_direct);
    // After an error as well: others can write the same open file from buffers that are not aligned.
    if is_direct {
        set_direct(file, false);
    }
    written.and_then(|()| file.sync_data())
}

fn write_each(file: &File, take: &Receiver<Shared>, is_direct: &mut bool) -> io::Result<()> {
    let (mut written, mut synced) = (0, 0);
    while let Ok(bytes) = take.recv() {
        // Only the last buffer is not full.
        if *is_direct && bytes.len() % ALIGNMENT != 0 {
            *is_direct = !set_direct(file, false);
        }
        match write(file, &bytes) {
            // Some file systems report only now that they do not support it.
            Err(error) if *is_direct && error.kind() == io::ErrorKind::InvalidInput => {
                *is_direct = !set_direct(file, false);
                write(file, &bytes)?;
            }
            done => done?,
        }
        written += bytes.len() as u64;
        if !*is_direct && written - synced >= SYNC_EVERY {
            file.sync_data()?;
            synced = written;
        }
    }
    Ok(())
}

/// How many bytes are written to the page cache at once. With 1 MiB, ext4 allocates large folios, which the host of a
/// virtual machine has to provide first: that takes three times the processor time of a copy.
const CACHED_STEP: usize = 256 << 10;

/// Writes bytes at an offset of a file, through the page cache.
///
/// # Errors
/// The error of the system.
pub fn write_cached_at(file: &File, mut at: u64, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(CACHED_STEP) {
        write_at(file, at, piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}

#[cfg(unix)]
fn write_at(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    file.write_all_at(bytes, at)
}

#[cfg(windows)]
fn write_at(file: &File, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt as _;
    while !bytes.is_empty() {
        let n = file.seek_write(bytes, at)?;
        bytes = bytes.get(n..).filter(|_| n > 0).ok_or(io::ErrorKind::WriteZero)?;
        at += n as u64;
    }
    Ok(())
}

fn write_cached(file: &File, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(CACHED_STEP).try_for_each(|piece| write(file, piece))
}

/// Writes at the file's own offset, which a failed direct write has not moved.
fn write(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)
}

/// Returns `true` if the file system is known to report at once that it has no space for the bytes. Other file systems,
/// over a network, may accept the bytes and report it only at the close or at the sync.
#[cfg(target_os = "linux")]
fn is_local(file: &File) -> bool {
    /// `statfs(2)`: btrfs, ext, F2FS, overlayfs, ramfs, tmpfs, XFS, ZFS. The numbers have 32 bits, whatever type the
    /// field has.
    const KNOWN: [u32; 8] =
        [0x9123_683e, 0xef53, 0xf2f5_2010, 0x794c_7630, 0x8584_58f6, 0x0102_1994, 0x5846_5342, 0x2fc1_2fc1];
    let kind = |found: rustix::fs::StatFs| u32::try_from(found.f_type & 0xffff_ffff).ok();
    rustix::fs::fstatfs(file).ok().and_then(kind).is_some_and(|kind| KNOWN.contains(&kind))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_: &File) -> bool {
    false
}

/// Makes further writes bypass the page cache, or use it again. Returns `false` if that is not possible.
#[cfg(target_os = "linux")]
fn set_direct(file: &File, direct: bool) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let set = |flags| fcntl_setfl(file, if direct { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT });
    fcntl_getfl(file).and_then(set).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn set_direct(_: &File, _: bool) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use super::*;
    use crate::buffer::{CAPACITY, Pool};

    fn content(mut file: &File) -> Vec<u8> {
        let mut all = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut all).unwrap();
        all
    }

    /// Writes `len` bytes as the writers get them, with `announced` as their number.
    fn run(len: usize, announced: u64) {
        let (first, second) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let expected: Vec<u8> = (0..251).cycle().take(len).collect();
        let mut pool = Pool::new(4);
        let writers = Writers::start(&first, Some(&second), announced).unwrap();
        for piece in expected.chunks(CAPACITY) {
            let mut buffer = pool.take();
            buffer.set_len(piece.len());
            buffer.copy_from_slice(piece);
            writers.write(&pool.share(buffer)).unwrap();
        }
        writers.finish().unwrap();
        assert!(content(&first) == expected && content(&second) == expected);
        let third = tempfile::tempfile().unwrap();
        let writers = Writers::cached(&third, announced).unwrap();
        for piece in expected.chunks(CAPACITY) {
            let mut buffer = pool.take();
            buffer.set_len(piece.len());
            buffer.copy_from_slice(piece);
            writers.write(&pool.share(buffer)).unwrap();
        }
        writers.finish().unwrap();
        assert!(content(&third) == expected);
    }

    #[test]
    fn both_files_have_all_bytes() {
        run(3 * CAPACITY + 17, 17);
        run(0, 0);
        run(5, 5);
    }

    #[test]
    fn a_large_file_is_written_past_the_cache_but_for_its_end() {
        run(5 * CAPACITY + 4097, DIRECT_FROM);
        run(2 * CAPACITY, DIRECT_FROM);
    }

    #[test]
    fn what_cannot_be_written_is_said_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "").unwrap();
        let read_only = File::open(&path).unwrap();
        let writers = Writers::start(&read_only, None, 1).unwrap();
        let mut pool = Pool::new(2);
        let buffer = pool.take();
        let shared = pool.share(buffer);
        while writers.write(&shared).is_ok() {}
        assert!(writers.finish().is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_could_not_be_written_uses_the_cache_again() {
        use rustix::fs::{OFlags, fcntl_getfl};
        let file = tempfile::NamedTempFile::new().unwrap();
        let read_only = File::open(file.path()).unwrap();
        let writers = Writers::start(&read_only, None, DIRECT_FROM).unwrap();
        let mut pool = Pool::new(2);
        let mut buffer = pool.take();
        buffer.set_len(CAPACITY);
        let shared = pool.share(buffer);
        while writers.write(&shared).is_ok() {}
        assert!(writers.finish().is_err());
        assert!(!fcntl_getfl(&read_only).unwrap().contains(OFlags::DIRECT));
    }
}
