//! [`Recorder`] records verifications, and finds the checkpoints of files that have none next to them, by the record, a
//! trailer or the history.
//!
//! Invariant: the source of a checkpoint only selects what a file is compared with.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::content::{self, Bytes, LocalFile};
use super::super::output_state::{Depth, Former, Given, OutputState, OutputStates, former};
use super::super::provenance::{Derived, EQUAL, IDENTICAL, Provenance, Seen};
use super::super::servers::Session;
use super::super::workspace::Workspace;
use super::super::{Error, Reporter, names};
use super::tree::Tree;
use super::verdict::{MadeBy, Verdict, Verified};
use crate::hash::Oid;
use crate::lfs::Pointer;
use crate::repo::{FileStat, ObjectId, Repo, WantedFile, origins};

/// Collects verifications, and writes them to the record.
pub(super) struct Recorder<'a> {
    repo: &'a Repo,
    session: &'a Session<'a>,
    provenance: Provenance<'a>,
    /// The commit whose files are verified; `None` for the working tree.
    commit: Option<ObjectId>,
    derived: RefCell<Vec<Derived>>,
    seen: RefCell<Vec<Seen>>,
}

/// The stat data of files of the working tree before they were read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stats {
    file: Option<FileStat>,
    checkpoint: Option<FileStat>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(repo: &'a Repo, session: &'a Session<'a>, commit: Option<ObjectId>) -> Self {
        let (derived, seen) = (RefCell::default(), RefCell::default());
        Self { repo, session, provenance: Provenance::open(repo), commit, derived, seen }
    }

    /// Returns the key that a file was converted with.
    pub(super) fn key(&self, path: &BStr) -> Option<String> {
        self.provenance.latest(path)?.key
    }

    /// Returns the stat data of a file and its checkpoint. It must be taken before they are read.
    pub(super) fn stats(&self, file: &BStr, checkpoint: Option<&BStr>) -> Stats {
        let stat = |path: &BStr| {
            let target = self.repo.target(path).ok().filter(|_| self.commit.is_none())?;
            FileStat::of(&target.path())
        };
        Stats { file: stat(file), checkpoint: checkpoint.and_then(stat) }
    }

    /// Returns `true` if the record shows that a file was made from another checkpoint than this one.
    pub(super) fn is_stale(&self, path: &BStr, stats: Stats, verified: &Verified) -> bool {
        let by_stat = || self.provenance.content(path, &stats.file?);
        let Some(made) = verified.oid.or_else(by_stat) else { return false };
        // A conversion of another checkpoint with the same output name does not make the file stale.
        let Some(checkpoint) = &verified.checkpoint else { return false };
        let known =
            self.provenance.made_from(checkpoint.as_bstr(), made).filter(|known| known.output == path);
        let now = verified
            .checkpoint_oid
            .or_else(|| self.provenance.content(verified.checkpoint.as_ref()?.as_bstr(), &stats.checkpoint?));
        known.is_some_and(|known| now.is_none_or(|now| known.source_oid != now))
    }

    /// Returns `true` if the history shows that a file was committed with another checkpoint, as `status` finds it.
    pub(super) fn is_stale_by_history(&self, tree: &Tree<'_>, verified: &Verified) -> bool {
        let (path, Some(checkpoint)) = (&verified.path, &verified.checkpoint) else { return false };
        let Some(commit) = self.commit else {
            let Ok(workspace) = Workspace::open(self.repo, self.session) else { return false };
            let pair = vec![(checkpoint.clone(), path.clone())];
            let states = OutputStates::of(&workspace, &self.provenance, Depth::Status, pair);
            let state = states.state(checkpoint.as_bstr(), path.as_bstr(), Given::default());
            return matches!(state, Ok(OutputState::Stale { .. }));
        };
        let (Some(blob), Some(now)) = (tree.blob(path.as_bstr()), tree.blob(checkpoint.as_bstr())) else {
            return false;
        };
        let wanted = WantedFile { path: path.clone(), blob, beside: checkpoint.clone() };
        let reporter = self.session.reporter;
        let origin = origins(self.repo, commit, &[wanted], &|| reporter.is_interrupted()).into_iter().next();
        origin.flatten().and_then(|origin| origin.beside_blob).is_some_and(|then| then != now)
    }

    /// Collects a successful verification.
    pub(super) fn good(&self, verified: &Verified, size: u64, key: Option<&str>, stats: Stats) {
        let (Some(source), Some(source_oid), Some(output_oid), Some(verdict)) =
            (&verified.checkpoint, verified.checkpoint_oid, verified.oid, verified.verdict)
        else {
            return;
        };
        self.derived.borrow_mut().push(Derived {
            source: source.clone(),
            source_oid,
            source_size: size,
            output: verified.path.clone(),
            output_oid,
            key: key.map(str::to_owned),
            keep: Vec::new(),
            how: if verdict == Verdict::Identical { IDENTICAL } else { EQUAL }.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        let mut seen = self.seen.borrow_mut();
        let mut push = |path: &BString, oid, stat: Option<FileStat>| {
            seen.extend(stat.map(|stat| Seen { path: path.clone(), oid, stat }));
        };
        push(&verified.path, output_oid, stats.file);
        push(source, source_oid, stats.checkpoint);
    }

    /// Writes the collected verifications to the record.
    pub(super) fn save(&self) {
        let (derived, seen) = (self.derived.take(), self.seen.take());
        if derived.is_empty() {
            return;
        }
        let tracked = self.repo.entries().unwrap_or_default();
        let tracked: BTreeSet<BString> = tracked.into_iter().map(|entry| entry.path).collect();
        self.provenance.record(&derived, &seen, &|path| tracked.contains(path));
    }

    /// Returns the checkpoint of the same name that a file at this path was last made from, whatever both contain now.
    pub(super) fn namesake(&self, path: &BStr) -> Option<BString> {
        let source = self.provenance.latest(path)?.source;
        (names::safetensors(source.as_bstr()) == path).then_some(source)
    }

    /// Returns the checkpoint that a file was made from, if none is next to it.
    pub(super) fn former(
        &self,
        tree: &Tree<'_>,
        path: &BStr,
        file: &Bytes,
        reporter: &dyn Reporter,
    ) -> Result<Option<(BString, Bytes, MadeBy)>, Error> {
        let recorded = match self.oid_of(path, file, reporter)? {
            Some(oid) => self.provenance.of_output(oid),
            None => None,
        };
        let recorded = recorded.map(|known| {
            let pointer = Pointer { oid: known.source_oid, size: known.source_size };
            let here = LocalFile::object(Some(self.repo), known.source.as_bstr(), pointer).ok();
            (known.source, pointer, here)
        });
        match recorded {
            Some((source, _, Some(here))) => Ok(Some((source, Bytes::Here(here), MadeBy::Record))),
            // A checkpoint that is not in LFS storage may be in git itself.
            recorded => match self.committed(tree, path)? {
                None => {
                    Ok(recorded.map(|(source, pointer, _)| (source, Bytes::There(pointer), MadeBy::Record)))
                }
                committed => Ok(committed),
            },
        }
    }

    fn oid_of(&self, path: &BStr, file: &Bytes, reporter: &dyn Reporter) -> Result<Option<Oid>, Error> {
        if let Some(pointer) = file.pointer() {
            return Ok(Some(pointer.oid));
        }
        let known = self.stats(path, None).file.and_then(|stat| self.provenance.content(path, &stat));
        match (known, file.here()) {
            (None, Ok(bytes)) => match content::oid(bytes, reporter) {
                Err(_) if reporter.is_interrupted() => Err(Error::Interrupted),
                oid => oid.map(Some).map_err(Error::io("read", &path.to_path_lossy())),
            },
            (known, _) => Ok(known),
        }
    }

    /// Returns the checkpoint that the file was committed with, by the history.
    fn committed(&self, tree: &Tree<'_>, path: &BStr) -> Result<Option<(BString, Bytes, MadeBy)>, Error> {
        let from = match self.commit {
            Some(commit) => Some(commit),
            None => self.repo.head_commit()?,
        };
        let (Some(from), Some(blob)) = (from, tree.blob(path)) else { return Ok(None) };
        let reporter = self.session.reporter;
        let former = former(self.repo, from, (path, blob), &|| reporter.is_interrupted());
        reporter.check_interrupted()?;
        let Some(Former { commit, path, blob, said, .. }) = former else { return Ok(None) };
        let by = said.map_or(MadeBy::Commit(commit), |_| MadeBy::Trailer(commit));
        let bytes = match (blob, said) {
            (Some(blob), _) => tree.bytes(path.as_bstr(), blob)?,
            (None, Some(oid)) => {
                let store = self.repo.store();
                let Ok(object) = store.path_of(oid).metadata() else { return Ok(None) };
                Bytes::Here(LocalFile::stored(&store, path.as_bstr(), Pointer { oid, size: object.len() })?)
            }
            (None, None) => return Ok(None),
        };
        Ok(Some((path, bytes, by)))
    }
}
