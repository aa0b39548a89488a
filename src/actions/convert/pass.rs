//! Converts a checkpoint that is not local: its bytes pass once and are never stored.
//!
//! ```text
//! download, in order ─▶ every CRC-32, every local header ─▶ each tensor to its place in the object
//! the bytes that were written, and the object, as far as it is complete ─▶ sha256 of both, next to the download
//! the same bytes ─▶ the file of the working tree, next to the download; after a resume, or as a clone, the object
//! from time to time: sync of the object to the disk, next to the download, then a journal of the progress
//! ```
//!
//! Invariant: nothing gets a name before the source's object ID matches its pointer. After an interruption, a later run
//! requests no byte again whose journal was written; inconsistent data is discarded, and the conversion starts again.

use std::fs::File;
use std::io::{self, Seek as _};
use std::iter;
use std::path::Path;
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};

use super::super::hashing::{Hashing, Sender};
use super::super::lfs_remote::Server;
use super::super::{Error, Reporter};
use super::copier::Copier;
use super::follower::{Follower, FollowerThread};
use super::job::Written;
use crate::buffer::Piece;
use crate::checkpoint::{self, Plan, Proof, Standing};
use crate::hash::{Hasher, Oid, Saved};
use crate::lfs::{Pointer, Resumable, Writers, write_cached_at};
use crate::read_at::FileSource;
use crate::safetensors::{Layout, Put, Scatter, Target};

/// How many bytes pass between two writes of the journal.
const JOURNAL_EVERY: u64 = 128 << 20;

/// A download that is converted as it passes.
pub(super) struct Pass<'a> {
    pub(super) plan: &'a Plan,
    pub(super) layout: &'a Layout,
    pub(super) pointer: Pointer,
    /// The object that is made.
    pub(super) object: &'a Resumable,
    /// The file of the working tree.
    pub(super) copy: Option<&'a File>,
    /// Its final name, for messages.
    pub(super) path: &'a Path,
}

/// The progress of an object.
#[derive(Debug, Serialize, Deserialize)]
struct PassJournal {
    /// Its source, and the options of the conversion.
    plan: String,
    standing: Standing,
    hasher: Saved,
}

/// The state of the work while bytes pass.
struct Passing<'a> {
    proof: Proof<'a>,
    scatter: Scatter,
    targets: Targets<'a>,
    follower: FollowerThread,
    /// Writes the file of the working tree, unless the follower does.
    copier: Option<Copier>,
    /// Hashes the source, whose bytes it gets from `sender`, and the object.
    hashing: Hashing,
    sender: Sender,
    saving: Saving,
    /// The damage of the bytes.
    damage: Option<checkpoint::Error>,
    /// Why they could not be written here, which is no fault of the server.
    unwritten: Option<io::Error>,
}

/// The saving of states from which a later run can resume.
struct Saving {
    /// How many bytes had passed at the last one.
    at: u64,
    /// The sync to the disk that is under way, and the journal that is written after it.
    sync: Option<(JoinHandle<io::Result<()>>, Vec<u8>)>,
    /// A sync has failed: what was written before may not be on the disk, whatever a later one says.
    has_failed: bool,
}

impl Pass<'_> {
    /// Converts the object on `server` while it is downloaded.
    ///
    /// # Errors
    /// [`Error::PointerMismatch`], [`checkpoint::Error::Damaged`] and similar errors for wrong bytes: then nothing is
    /// kept. Otherwise the reason why bytes are not available, and a later run resumes.
    pub(super) fn run(&self, server: &Server<'_>, reporter: &dyn Reporter) -> Result<Written, Error> {
        let name = self.name();
        let state = self.start(&name)?;
        let is_resumed = state.proof.at() > 0;
        match self.rest(state, &name, server, reporter) {
            // What the earlier run left may be wrong, and not the bytes of the server.
            Err(Error::PointerMismatch { .. } | Error::Checkpoint(_)) if is_resumed => {
                self.copy.map_or(Ok(()), emptied).map_err(self.failed())?;
                self.rest(self.start(&name)?, &name, server, reporter)
            }
            done => done,
        }
    }

    /// Converts the bytes that a state lacks.
    fn rest<'s>(
        &'s self,
        mut state: Passing<'s>,
        name: &str,
        server: &Server<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Written, Error> {
        let from = state.proof.at();
        reporter.resumed(from);
        let mut each = |at: u64, bytes: Piece<'_>| self.take(&mut state, name, at, bytes);
        let came = |bytes: u64| reporter.advanced(bytes);
        let streamed = server.object(self.pointer).telling(&came).stream_shared(from, &mut each);
        if let Some(damage) = state.damage.take() {
            state.follower.stop();
            self.object.forget()?;
            return Err(damage.into());
        }
        if let Err(error) = streamed {
            // The later run makes the copy. A sync of it that is slow does not delay the journal.
            state.follower.stop();
            let mut copier = state.copier.take();
            copier.iter_mut().for_each(Copier::stop);
            let unwritten = state.unwritten.take();
            self.save(&mut state, name)?;
            return Err(unwritten.map_or_else(|| error.into(), self.failed()));
        }
        let copied = state.copier.as_mut().map_or(Ok(()), Copier::end);
        let saved = state.saving.wait().map_err(self.failed())?;
        let (source_oid, _) = state.sender.wait_for_source().map_err(self.failed())?;
        if source_oid != self.pointer.oid {
            state.follower.stop();
            self.object.forget()?;
            return Err(Error::PointerMismatch { expected: self.pointer.oid, got: source_oid });
        }
        let written = copied.map_err(self.failed()).and_then(|()| self.complete(state, source_oid));
        if let (Err(_), Some(journal)) = (&written, saved) {
            self.object.save(&journal)?;
        }
        written
    }

    /// Writes what is left after the last byte of the source, and waits until both files are on the disk.
    fn complete(&self, state: Passing<'_>, source_oid: Oid) -> Result<Written, Error> {
        let Passing { mut scatter, mut targets, mut follower, mut copier, hashing, sender, .. } = state;
        drop(sender);
        if let Some(spool) = &targets.spool {
            let spool = spool.try_clone().and_then(FileSource::new).map_err(self.failed())?;
            scatter.finish(self.plan, &spool, &mut |target, at, bytes: &[u8]| {
                copier.as_mut().map_or(Ok(()), |copier| copier.write_late(at, bytes))?;
                targets.put(target, at, bytes)
            })?;
        }
        follower.follow(scatter.complete()).map_err(self.failed())?;
        follower.finish().map_err(self.failed())?;
        copier.map_or(Ok(()), Copier::finish).map_err(self.failed())?;
        let (oid, size) = hashing.finish().map_err(self.failed())?.output;
        Ok(Written { oid, size, source_oid })
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error + Copy {
        Error::io("write", self.path)
    }

    /// Returns what distinguishes one plan from another: the journal of another plan is not useful.
    fn name(&self) -> String {
        let mut hasher = Hasher::default();
        hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
        hasher.update(self.layout.header());
        for place in self.layout.places() {
            let Some(tensor) = self.plan.tensors.get(place.tensor) else { continue };
            let Some(storage) = self.plan.storages.get(tensor.storage) else { continue };
            let numbers = [place.at, storage.at, storage.len, tensor.offset];
            let all = numbers.iter().chain(&tensor.shape).chain(&tensor.strides);
            all.for_each(|number| hasher.update(&number.to_le_bytes()));
        }
        format!("{} {}", self.pointer.oid, hasher.finish().0)
    }

    /// Returns the state in which an earlier run stopped, or the initial state.
    fn start(&self, name: &str) -> Result<Passing<'_>, Error> {
        let (failed, size) = (self.failed(), self.layout.size());
        let mut scatter = Scatter::new(self.layout, self.plan);
        let spool = || scatter.needs_spool().then(|| self.object.spool()).transpose();
        let before = spool()?;
        let file = self.object.file();
        let journal: Option<PassJournal> =
            self.object.journal().and_then(|text| serde_json::from_slice(&text).ok());
        let journal = journal.filter(|journal| {
            let has_len = |file: &File, len| file.metadata().is_ok_and(|metadata| metadata.len() == len);
            let is_whole = before.iter().all(|spool| has_len(spool, scatter.spool_len()));
            journal.plan == name
                && has_len(file, size)
                && is_whole
                && journal.standing.at <= self.pointer.size
        });
        let resumed = journal.and_then(|PassJournal { standing, hasher, .. }| {
            Some((standing, Hasher::resume(&hasher).filter(|hasher| hasher.count() == standing.at)?))
        });
        let (targets, proof, hasher) = if let Some((standing, hasher)) = resumed {
            scatter.skip(standing.at);
            (Targets { file, spool: before }, Proof::resume(self.plan, standing), hasher)
        } else {
            self.object.forget()?;
            // The previous file has lost its name.
            let mut targets = Targets { file, spool: spool()? };
            let sized = targets.spool.as_ref().map_or(Ok(()), |spool| spool.set_len(scatter.spool_len()));
            sized.and_then(|()| file.set_len(0)).and_then(|()| file.set_len(size)).map_err(failed)?;
            targets.put(Target::File, 0, self.layout.header()).map_err(failed)?;
            (targets, Proof::new(self.plan), Hasher::default())
        };
        let hashing = Hashing::resume(hasher, Hasher::default()).map_err(failed)?;
        let sender = hashing.sender().map_err(failed)?;
        // The bytes of an earlier run are only in the object.
        let is_copied = |copy: &&File| proof.at() == 0 && !Writers::can_clone(file, copy);
        let copier = self.copy.filter(is_copied).map(|copy| Copier::start(copy, self.layout, self.plan));
        let copier = copier.transpose().map_err(failed)?;
        let behind = self.copy.filter(|_| copier.is_none());
        let follower = Follower::start(file, behind, size, &hashing);
        let follower = follower.and_then(FollowerThread::start).map_err(failed)?;
        let saving = Saving { at: proof.at(), sync: None, has_failed: false };
        Ok(Passing {
            proof,
            scatter,
            targets,
            follower,
            copier,
            hashing,
            sender,
            saving,
            damage: None,
            unwritten: None,
        })
    }

    /// Takes the next bytes.
    fn take(&self, state: &mut Passing<'_>, name: &str, at: u64, bytes: Piece<'_>) -> io::Result<()> {
        if let Err(damage) = state.proof.pass(&bytes) {
            state.damage = Some(damage);
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.write(state, name, at, bytes).map_err(|error| {
            let kind = error.kind();
            state.unwritten = Some(error);
            kind.into()
        })
    }

    fn write(&self, state: &mut Passing<'_>, name: &str, at: u64, bytes: Piece<'_>) -> io::Result<()> {
        let Passing { proof, scatter, targets, follower, copier, sender, .. } = &mut *state;
        let shared = bytes.to_shared();
        copier.as_mut().map_or(Ok(()), |copier| copier.give(at, shared.clone()))?;
        scatter.pass(at, &bytes, targets)?;
        follower.follow(scatter.complete())?;
        // A state to resume from follows what is written.
        sender.give_source(shared, proof.standing())?;
        if let Some(journal) = state.saving.ended()? {
            self.object.save(&journal).map_err(io::Error::other)?;
        }
        let is_due = state.proof.at() - state.saving.at >= JOURNAL_EVERY;
        let last = if is_due && state.saving.sync.is_none() { state.sender.take_last()? } else { None };
        if let Some(last) = last {
            state.saving.at = state.proof.at();
            let files = state.targets.all().map(File::try_clone).collect::<io::Result<Vec<_>>>()?;
            let sync = move || files.iter().try_for_each(File::sync_data);
            state.saving.begin(journal(name, last)?, sync)?;
            state.copier.as_mut().map_or(Ok(()), Copier::sync)?;
        }
        Ok(())
    }

    /// Syncs all files to the disk, and writes the journal; not after a sync that failed, because the system reports lost
    /// bytes once.
    fn save(&self, state: &mut Passing<'_>, name: &str) -> Result<(), Error> {
        if state.saving.has_failed {
            return Ok(());
        }
        let saved = state.saving.wait().map_err(self.failed())?;
        state.sender.wait_for_source().map_err(self.failed())?;
        let saved = match state.sender.take_last().map_err(self.failed())? {
            Some(last) => {
                state.targets.all().try_for_each(File::sync_data).map_err(self.failed())?;
                Some(journal(name, last).map_err(self.failed())?)
            }
            None => saved,
        };
        saved.map_or(Ok(()), |journal| Ok(self.object.save(&journal)?))
    }
}

/// Empties a file, and lets the next writer begin at its start.
fn emptied(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()
}

/// Returns a state as a journal has it.
fn journal(name: &str, (standing, hasher): (Standing, Saved)) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&PassJournal { plan: name.to_owned(), standing, hasher })?)
}

impl Saving {
    /// Begins a sync to the disk on a thread of its own, after which a journal may be written.
    fn begin(
        &mut self,
        journal: Vec<u8>,
        sync: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let sync = thread::Builder::new().name("syncing".into()).spawn(sync)?;
        self.sync = Some((sync, journal));
        Ok(())
    }

    /// Returns the journal of a sync that succeeded, if it is over.
    fn ended(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.sync.as_ref().is_some_and(|(sync, _)| sync.is_finished()) { self.wait() } else { Ok(None) }
    }

    /// Waits for the sync that is under way, and returns its journal.
    fn wait(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some((sync, journal)) = self.sync.take() else { return Ok(None) };
        let synced = sync.join().unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked")));
        self.has_failed |= synced.is_err();
        synced.map(|()| Some(journal))
    }
}

/// The files to which bytes are written.
struct Targets<'a> {
    file: &'a File,
    spool: Option<File>,
}

impl Targets<'_> {
    fn all(&self) -> impl Iterator<Item = &File> {
        iter::once(self.file).chain(&self.spool)
    }
}

impl Put for Targets<'_> {
    fn put(&mut self, target: Target, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = match (target, &self.spool) {
            (Target::File, _) => self.file,
            (Target::Spool, Some(spool)) => spool,
            (Target::Spool, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        write_cached_at(file, at, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saving() -> Saving {
        Saving { at: 0, sync: None, has_failed: false }
    }

    #[test]
    fn a_journal_is_written_only_after_a_sync_that_succeeded() {
        let mut saving = saving();
        assert!(saving.ended().unwrap().is_none() && saving.wait().unwrap().is_none());
        let (go, wait) = std::sync::mpsc::channel::<()>();
        saving.begin(b"one".to_vec(), move || wait.recv().map_err(io::Error::other)).unwrap();
        assert!(saving.ended().unwrap().is_none(), "it is under way");
        go.send(()).unwrap();
        assert_eq!(saving.wait().unwrap().unwrap(), b"one");
        assert!(saving.wait().unwrap().is_none(), "it was written twice");
    }

    #[test]
    fn after_a_sync_that_failed_there_is_no_journal() {
        let full = || Err(io::ErrorKind::StorageFull.into());
        let mut saving = saving();
        saving.begin(b"one".to_vec(), full).unwrap();
        assert!(!saving.has_failed);
        assert_eq!(saving.wait().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(saving.has_failed, "a later sync would succeed");
        assert!(saving.wait().unwrap().is_none(), "the journal of a failed sync is not written later");
        saving.begin(b"one".to_vec(), full).unwrap();
        while saving.sync.as_ref().is_some_and(|(sync, _)| !sync.is_finished()) {
            thread::yield_now();
        }
        assert_eq!(saving.ended().unwrap_err().kind(), io::ErrorKind::StorageFull);
        saving.begin(b"one".to_vec(), || panic!("in the thread")).unwrap();
        assert!(saving.wait().unwrap_err().to_string().contains("panicked"));
    }
}
