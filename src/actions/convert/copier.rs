//! [`Copier`] writes the bytes of a download into the file of the working tree, next to the thread that writes them into the
//! object. A copy needs no order, so it has all of these bytes when the download ends.
//!
//! Invariants: few bytes wait; they are on the disk only after [`Copier::finish`]. A sync of the copy that is slow, or fails,
//! does not delay those of the object.

use std::fs::File;
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use crate::buffer::Shared;
use crate::checkpoint::Plan;
use crate::lfs::write_cached_at;
use crate::safetensors::{Layout, Scatter, Target};

/// How many pieces may wait.
const WAITING: usize = 1;

/// What the thread receives.
enum Told {
    /// Bytes of the source at an offset.
    Bytes(u64, Shared),
    /// No more follow.
    End,
}

/// Writes a copy on a thread of its own.
pub(super) struct Copier {
    copy: File,
    give: Option<SyncSender<Told>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// A sync to the disk that is under way, or whose result nobody has seen.
    syncing: Option<JoinHandle<io::Result<()>>>,
    /// `true` if tensors were written after the bytes of the source.
    has_late: bool,
}

impl Copier {
    /// Starts to write `copy`, a new and empty file, as `layout` determines.
    pub(super) fn start(copy: &File, layout: &Layout, plan: &Plan) -> io::Result<Self> {
        copy.set_len(layout.size())?;
        write_cached_at(copy, 0, layout.header())?;
        let (give, take) = mpsc::sync_channel(WAITING);
        let (copy, scatter, out) = (copy.try_clone()?, Scatter::new(layout, plan), copy.try_clone()?);
        let thread = thread::Builder::new().name("copying".into());
        let thread = thread.spawn(move || write(&out, scatter, &take))?;
        Ok(Self { copy, give: Some(give), thread: Some(thread), syncing: None, has_late: false })
    }

    /// Passes on the next bytes of the source. Waits if others wait already.
    ///
    /// # Errors
    /// The error that ended the thread.
    pub(super) fn give(&mut self, at: u64, bytes: Shared) -> io::Result<()> {
        self.send(Told::Bytes(at, bytes))
    }

    /// Begins to bring the copy to the disk: all bytes of the source have passed.
    ///
    /// # Errors
    /// The error that ended the thread.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.send(Told::End)
    }

    /// Writes bytes of a tensor that is not in the source as it is in the file.
    pub(super) fn write_late(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.has_late = true;
        write_cached_at(&self.copy, at, bytes)
    }

    /// Begins to bring what is written to the disk, so that less is left for the end; not while that is under way.
    ///
    /// # Errors
    /// The error of the sync before: the system reports lost bytes once.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.syncing.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        self.synced()?;
        let (copy, thread) = (self.copy.try_clone()?, thread::Builder::new().name("syncing".into()));
        self.syncing = Some(thread.spawn(move || copy.sync_data())?);
        Ok(())
    }

    /// Ends without the rest of the bytes. Afterwards nothing more is written; a sync can be under way until this is dropped.
    pub(super) fn stop(&mut self) {
        if self.thread.is_some() {
            let _incomplete = self.join();
        }
    }

    fn synced(&mut self) -> io::Result<()> {
        let joined = self.syncing.take().map(JoinHandle::join);
        joined.unwrap_or(Ok(Ok(()))).unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked")))
    }

    /// Waits until everything is on the disk.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.join()?;
        self.synced()?;
        if self.has_late { self.copy.sync_data() } else { Ok(()) }
    }

    fn send(&mut self, given: Told) -> io::Result<()> {
        match self.give.as_ref().map(|give| give.send(given)) {
            Some(Ok(())) => Ok(()),
            _ => self.join(),
        }
    }

    fn join(&mut self) -> io::Result<()> {
        self.give = None;
        let joined = self.thread.take().and_then(|thread| thread.join().ok());
        joined.unwrap_or_else(|| Err(io::Error::other("the copying thread panicked")))
    }
}

impl Drop for Copier {
    /// Afterwards, nothing more is written.
    fn drop(&mut self) {
        self.stop();
        let _incomplete = self.synced();
    }
}

fn write(copy: &File, mut scatter: Scatter, take: &Receiver<Told>) -> io::Result<()> {
    let mut put = |target, at, bytes: &[u8]| match target {
        Target::File => write_cached_at(copy, at, bytes),
        // From there, the tensors are written at the end.
        Target::Spool => Ok(()),
    };
    for given in take {
        match given {
            Told::Bytes(at, bytes) => scatter.pass(at, &bytes, &mut put)?,
            Told::End => return copy.sync_data(),
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::buffer::Piece;
    use crate::checkpoint::{self, ties};

    /// Returns each fixture whose tensors are all in place, with its plan and layout.
    fn sources() -> Vec<(Vec<u8>, Plan, Layout)> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints");
        let read = |file: io::Result<fs::DirEntry>| {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            let plan = checkpoint::plan(&bytes, &checkpoint::Options::default()).ok()?;
            let ties = ties::resolve(&plan, &ties::Policy::default()).ok()?;
            let layout = Layout::new(&plan, &ties.kept, &BTreeMap::new()).ok()?;
            let is_whole = plan.is_in_place() && !Scatter::new(&layout, &plan).needs_spool();
            (is_whole && bytes.len() < 4 << 20).then_some((bytes, plan, layout))
        };
        fs::read_dir(dir).unwrap().filter_map(read).collect()
    }

    #[test]
    fn the_copy_is_the_file_whatever_the_pieces_are() {
        let sources = sources();
        assert!(sources.len() > 50, "{}", sources.len());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        for ((bytes, plan, layout), len) in sources.iter().zip([1_000_000, 64, 1000].into_iter().cycle()) {
            let mut expected = Vec::new();
            crate::safetensors::write(layout, plan, bytes, &mut expected).unwrap();
            let mut copier = Copier::start(&File::create(&path).unwrap(), layout, plan).unwrap();
            let mut at = 0;
            for piece in bytes.chunks(len) {
                copier.give(at, Piece::Borrowed(piece).to_shared()).unwrap();
                at += piece.len() as u64;
            }
            copier.sync().unwrap();
            copier.end().unwrap();
            copier.finish().unwrap();
            assert!(fs::read(&path).unwrap() == expected, "{len}");
        }
    }

    #[test]
    fn an_error_of_the_copy_is_returned_by_a_later_call() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        let (bytes, plan, layout) = sources().into_iter().max_by_key(|(bytes, ..)| bytes.len()).unwrap();
        fs::write(&path, "").unwrap();
        let (give, take) = mpsc::sync_channel(WAITING);
        let (copy, scatter) = (File::open(&path).unwrap(), Scatter::new(&layout, &plan));
        let read_only = copy.try_clone().unwrap();
        let thread = thread::spawn(move || write(&read_only, scatter, &take));
        let mut copier =
            Copier { copy, give: Some(give), thread: Some(thread), syncing: None, has_late: false };
        let whole = Piece::Borrowed(&bytes).to_shared();
        let error = (0..).find_map(|_| copier.give(0, whole.clone()).err()).unwrap();
        assert!(error.raw_os_error().is_some(), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_sync_that_failed_is_an_error_of_the_next_one_and_of_the_end() {
        let copier = |thread: fn() -> io::Result<()>| {
            // The system cannot sync a pipe.
            let (_, pipe) = io::pipe().unwrap();
            let copy = File::from(std::os::fd::OwnedFd::from(pipe));
            let thread = Some(thread::spawn(thread));
            Copier { copy, give: None, thread, syncing: None, has_late: false }
        };
        let mut one = copier(|| Ok(()));
        one.sync().unwrap();
        let error = (0..).find_map(|_| one.sync().err()).unwrap();
        assert!(error.raw_os_error().is_some(), "{error}");
        let mut other = copier(|| Ok(()));
        other.sync().unwrap();
        assert!(other.finish().unwrap_err().raw_os_error().is_some());
        assert!(copier(|| Ok(())).finish().is_ok(), "the thread has synced");
        assert!(copier(|| Err(io::ErrorKind::StorageFull.into())).finish().is_err());
    }

    #[test]
    fn a_copy_that_nobody_waits_for_is_not_brought_to_the_disk() {
        let (bytes, plan, layout) = sources().swap_remove(0);
        let mut copier = Copier::start(&tempfile::tempfile().unwrap(), &layout, &plan).unwrap();
        copier.give(0, Piece::Borrowed(&bytes).to_shared()).unwrap();
        assert_eq!(copier.join().unwrap_err().kind(), io::ErrorKind::Interrupted);
        drop(copier);
    }
}
