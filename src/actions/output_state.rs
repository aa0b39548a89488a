//! [`OutputState`] is the state of a safetensors file relative to the checkpoint that it is named after.
//!
//! ```text
//! record    which contents belong together, from the work of this clone      up to date, stale
//! history   another checkpoint in the commit that last changed the file      stale
//! header    other names, dtypes or shapes than the checkpoint's              differs
//! ```
//!
//! Each source is used only if the one before yields no result, so a file that does not fit because its checkpoint was
//! trained again is stale, and does not differ. If no source yields a result against it, the file is unverified.
//!
//! Invariants: only the record makes a file up to date; no tensor is read except for the hash of a file that is as new as
//! the index, as in git, and of one whose stat data changed, if [`Depth::Run`] allows it. The history is walked at most once for all files, and never for
//! recorded files. Nothing is written.

mod differences;
mod header;
mod index;
mod origins;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice as _};

pub(super) use differences::Differences;
pub(super) use index::IndexState;
pub(super) use origins::{Former, former};

use super::Error;
use super::content::{self, LocalFile};
use super::provenance::{Derived, EQUAL, Provenance, Seen};
use super::workspace::Workspace;
use crate::hash::Oid;
use crate::repo::{FileStat, ObjectId};

/// The state of a safetensors file relative to its checkpoint.
#[derive(Debug)]
pub(super) enum OutputState {
    /// The file does not exist.
    Missing,
    /// It was made from the present checkpoint, or verified against it.
    UpToDate,
    /// The checkpoint has changed, or other options were given.
    Stale {
        /// `true` if the record contains the file as a conversion of ours.
        is_ours: bool,
    },
    /// Its header does not fit the checkpoint.
    Differs(Differences),
    /// A header is not local.
    NotHere,
    /// It is not recorded, and the header fits.
    Unverified,
}

/// How much is read to determine the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Stat data, and local headers.
    Status,
    /// Also a file whose stat data changed, to hash it, and headers on a server.
    Run,
}

/// The options that determine the result of a conversion.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given<'a> {
    pub(super) key: Option<&'a str>,
    pub(super) keep: &'a [String],
}

/// The content of a file of the working tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    Known(Oid),
    /// It was not read since its stat data changed, or ever.
    Unread {
        /// `true` if it differs from the index or the record.
        is_changed: bool,
    },
}

/// Returns `true` if the recorded file has the bytes of a conversion. One with only the same tensors was not written by
/// this program.
fn is_conversion(known: &Derived) -> bool {
    known.how != EQUAL
}

/// The states of the outputs of a repository.
pub(super) struct OutputStates<'a> {
    pub(super) workspace: &'a Workspace<'a>,
    pub(super) provenance: &'a Provenance<'a>,
    depth: Depth,
    /// Checkpoints and their outputs, for the search in the history.
    pairs: Vec<(BString, BString)>,
    /// The checkpoints that outputs were committed with.
    committed: OnceCell<BTreeMap<BString, Former>>,
    index: Option<FileStat>,
    /// The files that were hashed.
    hashed: RefCell<Vec<Seen>>,
}

impl<'a> OutputStates<'a> {
    /// Creates it for these checkpoints and their outputs.
    pub(super) fn of(
        workspace: &'a Workspace<'a>,
        provenance: &'a Provenance<'a>,
        depth: Depth,
        pairs: Vec<(BString, BString)>,
    ) -> Self {
        let index = workspace.repo.index_stat();
        let (committed, hashed) = (OnceCell::new(), RefCell::default());
        Self { workspace, provenance, depth, pairs, committed, index, hashed }
    }

    /// Returns the files that were hashed, to record them.
    pub(super) fn take_hashed(&self) -> Vec<Seen> {
        self.hashed.take()
    }

    /// Returns the state of an output.
    ///
    /// # Errors
    /// An error of the repository; [`Error::Interrupted`].
    pub(super) fn state(&self, source: &BStr, output: &BStr, given: Given<'_>) -> Result<OutputState, Error> {
        let state = self.of_file(source, output, given)?;
        let is_good = matches!(state, OutputState::UpToDate | OutputState::NotHere | OutputState::Unverified);
        // A run makes such a file again, or stages it if it is identical.
        let is_to_be_staged = is_good && self.depth == Depth::Status && !self.workspace.contains(output);
        Ok(if is_to_be_staged { OutputState::Missing } else { state })
    }

    fn of_file(&self, source: &BStr, output: &BStr, given: Given<'_>) -> Result<OutputState, Error> {
        if self.workspace.there(output)?.is_none() || self.is_deleted(source, output)? {
            return Ok(OutputState::Missing);
        }
        let recorded = self.recorded(source, output, given)?;
        if let Some(state) = recorded {
            return Ok(state);
        }
        if self.is_stale_by_history(source, output)? {
            return Ok(OutputState::Stale { is_ours: self.is_ours(source, output)? });
        }
        let latest = self.provenance.latest(output);
        let key = given.key.map(str::to_owned).or(latest.and_then(|latest| latest.key));
        header::compare(self.workspace, self.depth, source, output, key)
    }

    /// Returns `true` if an output was deleted from the working tree, so that a conversion must write it again.
    fn is_deleted(&self, source: &BStr, output: &BStr) -> Result<bool, Error> {
        let Workspace { repo, .. } = *self.workspace;
        let is_left_out = |path: &BStr| {
            self.workspace.entries.get(path).is_some_and(|entry| self.workspace.is_left_out(entry))
        };
        let is_absent = |path: &BStr| Ok::<_, Error>(FileStat::of(&repo.target(path)?.path()).is_none());
        // If the checkpoint is missing too, both were never checked out.
        Ok(is_absent(output)? && !is_left_out(output) && !is_absent(source)?)
    }

    /// Returns the state of the shard index of safetensors files.
    ///
    /// # Errors
    /// As [`OutputStates::state`].
    pub(super) fn index(&self, source: &BStr, output: &BStr) -> Result<IndexState, Error> {
        index::state(self.workspace, source, output)
    }

    /// Returns `true` if the record knows the content of an output as our conversion of the checkpoint of this path,
    /// whatever that contains now.
    ///
    /// # Errors
    /// As [`OutputStates::state`].
    pub(super) fn is_ours(&self, source: &BStr, output: &BStr) -> Result<bool, Error> {
        Ok(match self.identity(output)? {
            Identity::Known(oid) => {
                self.provenance.made_from(source, oid).is_some_and(|one| is_conversion(&one))
            }
            Identity::Unread { .. } => false,
        })
    }

    /// Returns `true` if the index and the working tree have the same content.
    ///
    /// # Errors
    /// As [`OutputStates::state`].
    pub(super) fn is_staged(&self, path: &BStr) -> Result<bool, Error> {
        if !self.workspace.contains(path) {
            return Ok(false);
        }
        let staged = self.workspace.staged_pointer(path)?;
        Ok(match (self.identity(path)?, staged) {
            (Identity::Known(oid), Some(pointer)) => oid == pointer.oid,
            (Identity::Known(_), None) => self.workspace.check_unmodified(path).is_ok(),
            (Identity::Unread { is_changed }, _) => !is_changed,
        })
    }

    /// Returns the record of a checkpoint and its output with their present contents.
    ///
    /// # Errors
    /// As [`OutputStates::state`].
    pub(super) fn derived(&self, source: &BStr, output: &BStr) -> Result<Option<Derived>, Error> {
        Ok(match (self.identity(source)?, self.identity(output)?) {
            (Identity::Known(from), Identity::Known(made)) => self.provenance.derived(from, made),
            _ => None,
        })
    }

    /// Returns the state by the record, if it contains one.
    fn recorded(&self, source: &BStr, output: &BStr, given: Given<'_>) -> Result<Option<OutputState>, Error> {
        let Identity::Known(made) = self.identity(output)? else { return Ok(None) };
        let from = self.identity(source)?;
        if let Identity::Known(from) = from
            && let Some(known) = self.provenance.derived(from, made)
        {
            let is_same_key = given.key.is_none_or(|key| Some(key) == known.key.as_deref());
            let is_same = is_same_key && (given.keep.is_empty() || *given.keep == known.keep);
            return Ok(Some(if is_same {
                OutputState::UpToDate
            } else {
                OutputState::Stale { is_ours: true }
            }));
        }
        // A file that was made from a checkpoint of another path may be the only copy of those weights.
        let known = self.provenance.made_from(source, made);
        let is_another = !matches!(from, Identity::Unread { is_changed: false });
        let stale = |one: Derived| OutputState::Stale { is_ours: is_conversion(&one) };
        Ok(known.filter(|_| is_another).map(stale))
    }

    /// Returns the content of a file: by the record, by the index or, if that is allowed and useful, by its bytes.
    fn identity(&self, path: &BStr) -> Result<Identity, Error> {
        let Workspace { repo, .. } = *self.workspace;
        let of_index = || {
            let pointer = self.workspace.staged_pointer(path)?;
            Ok(pointer.map_or(Identity::Unread { is_changed: false }, |pointer| Identity::Known(pointer.oid)))
        };
        let file = repo.target(path)?.path();
        // A sparse checkout leaves the file out.
        let Some(now) = FileStat::of(&file) else { return of_index() };
        if let Some(oid) = self.provenance.content(path, &now) {
            return Ok(Identity::Known(oid));
        }
        let entry = self.workspace.entries.get(path);
        let is_same = entry.is_some_and(|entry| repo.is_same_stat(&entry.stat(), &now));
        let is_in_doubt = entry.is_some_and(|entry| repo.is_in_doubt(&entry.stat(), &now));
        if is_same && self.index.is_some_and(|index| now.is_older_than(&index)) {
            let found = of_index()?;
            if matches!(found, Identity::Known(_)) || !self.is_of_use(path) {
                return Ok(found);
            }
        }
        match LocalFile::work_tree(repo, path, None) {
            Err(Error::NoObject { oid, .. }) => Ok(Identity::Known(oid)),
            Ok(LocalFile { pointer: Some(pointer), .. }) => Ok(Identity::Known(pointer.oid)),
            // git, too, reads a file that is as new as the index.
            Ok(opened) if is_same || is_in_doubt || self.depth == Depth::Run => {
                self.hash(path, &opened, now).map(Identity::Known)
            }
            _ => Ok(Identity::Unread { is_changed: !is_same && !is_in_doubt }),
        }
    }

    /// Returns `true` if the record may contain a content under this name.
    fn is_of_use(&self, path: &BStr) -> bool {
        self.provenance.knows(path)
    }

    fn hash(&self, path: &BStr, opened: &LocalFile, stat: FileStat) -> Result<Oid, Error> {
        let reporter = self.workspace.session.reporter;
        let is_known = |seen: &&Seen| seen.path == path && seen.stat == stat;
        if let Some(known) = self.hashed.borrow().iter().find(is_known) {
            return Ok(known.oid);
        }
        reporter.started(path, opened.size());
        let hashed = content::oid_at(&opened.file, &opened.path, reporter);
        reporter.finished();
        let oid = hashed?;
        opened.check_unchanged()?;
        self.hashed.borrow_mut().push(Seen { path: path.to_owned(), oid, stat });
        Ok(oid)
    }

    /// Returns `true` if the output was committed in its present form with another checkpoint.
    fn is_stale_by_history(&self, source: &BStr, output: &BStr) -> Result<bool, Error> {
        // An uncommitted file has no history.
        let Some(blob) = self.blob_here(output)? else { return Ok(false) };
        if self.committed.get().is_none() {
            let _first = self.committed.set(self.walk()?);
        }
        let Some(former) = self.committed.get().and_then(|all| all.get(output)) else { return Ok(false) };
        if former.output_blob != blob {
            return Ok(false);
        }
        let repo = self.workspace.repo;
        let then =
            former.blob.map(|blob| repo.pointer(blob)).transpose()?.flatten().map(|pointer| pointer.oid);
        let then = then.or(former.said);
        Ok(match (self.identity(source)?, then) {
            (Identity::Known(now), Some(then)) => now != then,
            // Any former checkpoint differs from the present one.
            (Identity::Unread { is_changed: true }, _) => former.blob.is_some(),
            (Identity::Unread { is_changed: false }, _) => self.has_another_blob(source, former.blob),
            // Without Git LFS, only the bytes show whether it is the former one.
            (Identity::Known(_), None) => match former.blob {
                Some(blob) if self.blob_here(source)? != Some(blob) => {
                    let file = repo.target(source)?.path();
                    if FileStat::of(&file).is_some() {
                        !self.workspace.is_content(blob, &file)?
                    } else {
                        self.has_another_blob(source, former.blob)
                    }
                }
                _ => false,
            },
        })
    }

    /// Returns `true` if the index has another version of a checkpoint than the former one.
    fn has_another_blob(&self, source: &BStr, former: Option<ObjectId>) -> bool {
        let now = self.workspace.entries.get(source).map(|entry| entry.id);
        matches!((former, now), (Some(then), Some(now)) if then != now)
    }

    /// Returns the blob of a path in the index, if the working tree has the same content.
    fn blob_here(&self, path: &BStr) -> Result<Option<ObjectId>, Error> {
        let entry = self.workspace.entries.get(path);
        Ok(if self.is_staged(path)? { entry.map(|entry| entry.id) } else { None })
    }

    /// Walks the history once for all outputs without a record.
    fn walk(&self) -> Result<BTreeMap<BString, Former>, Error> {
        let mut wanted = Vec::new();
        for (source, output) in &self.pairs {
            let (source, output) = (source.as_bstr(), output.as_bstr());
            let Some(blob) = self.blob_here(output)? else { continue };
            if self.recorded(source, output, Given::default())?.is_none() {
                wanted.push((source.to_owned(), output.to_owned(), blob));
            }
        }
        origins::former_of(self.workspace, &wanted)
    }
}
