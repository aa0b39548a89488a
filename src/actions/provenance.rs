//! [`Provenance`] records which safetensors files belong to which checkpoints, from the work of this clone.
//!
//! ```text
//! <git dir>/st-converted/provenance-1.jsonl   one record per line, for all working trees of the repository
//! <git dir>/st-converted/lock                 locked by the process that replaces it
//! ```
//!
//! A `derived` line is about contents, so it also applies on another branch and under another name. A `seen` line
//! states the content of a file of a working tree while its stat data do not change.
//!
//! Invariants: the file is the old one or the new one at every instant. A file that could change without a change of
//! its stat data (git's racy rule) is not in it. An unreadable line is ignored, and a failure to write is not an error,
//! because a lost record costs one verification.

mod line;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bstr::{BStr, BString, ByteSlice as _};

use crate::hash::Oid;
use crate::lfs::{Store, Temp, sync_parent, temp};
use crate::repo::{FileStat, Repo};

/// The longest record that is read.
const MAX_LEN: u64 = 64 << 20;

/// The value for a conversion.
pub(super) const CONVERTED: &str = "converted";
/// How a file is recorded that has the same bytes as a conversion, and one that has only the same tensors.
pub(super) const IDENTICAL: &str = "identical";
pub(super) const EQUAL: &str = "equal";

/// How many contents of one output are kept: one per branch, and the last retrainings.
const MAX_DERIVED: usize = 16;

/// How long the program waits until the clock shows that a file is older than the record.
const TICK: Duration = Duration::from_millis(4);
const TICKS: usize = 8;

/// A safetensors file that belongs to a checkpoint, or the shard index of one that belongs to that of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Derived {
    pub(super) source: BString,
    pub(super) source_oid: Oid,
    pub(super) source_size: u64,
    pub(super) output: BString,
    pub(super) output_oid: Oid,
    /// The options that it was converted with.
    pub(super) key: Option<String>,
    pub(super) keep: Vec<String>,
    /// `converted`, or the verdict of a verification.
    pub(super) how: String,
    /// The version of the program that recorded it.
    pub(super) version: String,
}

/// A file of this working tree whose content is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) path: BString,
    pub(super) oid: Oid,
    pub(super) stat: FileStat,
}

/// All records.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Records {
    /// In the order in which they were added.
    derived: Vec<Derived>,
    /// By working tree and path.
    seen: BTreeMap<(String, BString), (Oid, FileStat)>,
}

/// The record of a repository.
pub(super) struct Provenance<'a> {
    repo: &'a Repo,
    /// The working tree: empty for the main one.
    tree: String,
    records: RefCell<Records>,
}

impl<'a> Provenance<'a> {
    /// Reads the record.
    pub(super) fn open(repo: &'a Repo) -> Self {
        let records = Records::read(&path(repo));
        Self { repo, tree: tree(repo), records: RefCell::new(records) }
    }

    /// Returns the record of these two contents.
    pub(super) fn derived(&self, source: Oid, output: Oid) -> Option<Derived> {
        let records = self.records.borrow();
        let is_meant = |one: &&Derived| one.source_oid == source && one.output_oid == output;
        records.derived.iter().rev().find(is_meant).cloned()
    }

    /// Returns `true` if a safetensors file was made from this content, or verified against it.
    pub(super) fn is_source(&self, source: Oid) -> bool {
        self.records.borrow().derived.iter().any(|one| one.source_oid == source)
    }

    /// Returns the latest record of the source of a content.
    pub(super) fn of_output(&self, output: Oid) -> Option<Derived> {
        let records = self.records.borrow();
        records.derived.iter().rev().find(|one| one.output_oid == output).cloned()
    }

    /// Returns the latest record of a content that was made from the checkpoint at this path.
    pub(super) fn made_from(&self, source: &BStr, output: Oid) -> Option<Derived> {
        let records = self.records.borrow();
        records.derived.iter().rev().find(|one| one.output_oid == output && one.source == source).cloned()
    }

    /// Returns the latest record of this content under these two names.
    pub(super) fn of_pair(&self, source: &BStr, output: &BStr, made: Oid) -> Option<Derived> {
        let records = self.records.borrow();
        let is_meant =
            |one: &&Derived| one.output_oid == made && one.source == source && one.output == output;
        records.derived.iter().rev().find(is_meant).cloned()
    }

    /// The latest record of an output of this path.
    pub(super) fn latest(&self, output: &BStr) -> Option<Derived> {
        let records = self.records.borrow();
        records.derived.iter().rev().find(|one| one.output == output).cloned()
    }

    /// Returns every recorded output with its checkpoint, by their paths.
    pub(super) fn pairs(&self) -> BTreeSet<(BString, BString)> {
        let records = self.records.borrow();
        records.derived.iter().map(|one| (one.output.clone(), one.source.clone())).collect()
    }

    /// Returns `true` if a checkpoint or an output with this path is recorded.
    pub(super) fn knows(&self, path: &BStr) -> bool {
        self.records.borrow().derived.iter().any(|one| one.output == path || one.source == path)
    }

    /// Returns the content of a file with these stat data.
    pub(super) fn content(&self, path: &BStr, stat: &FileStat) -> Option<Oid> {
        let records = self.records.borrow();
        let (oid, then) = records.seen.get(&(self.tree.clone(), path.to_owned()))?;
        self.repo.is_same_stat(then, stat).then_some(*oid)
    }

    /// Removes the leftovers of killed runs next to the record, even if nothing is to be recorded.
    pub(super) fn sweep(&self) {
        if let Some(dir) = path(self.repo).parent() {
            let _left_behind = temp::sweep(dir, |_| Ok(()));
        }
    }

    /// Records new facts. `is_tracked` returns `true` for a path in the index.
    pub(super) fn record(&self, derived: &[Derived], seen: &[Seen], is_tracked: &dyn Fn(&BStr) -> bool) {
        if derived.is_empty() && seen.is_empty() {
            return;
        }
        self.records.borrow_mut().add(&self.tree, derived, seen);
        // A lost record costs a verification, so the run does not fail.
        let _is_lost = self.save(derived, seen, is_tracked);
    }

    fn save(&self, derived: &[Derived], seen: &[Seen], is_tracked: &dyn Fn(&BStr) -> bool) -> io::Result<()> {
        let path = path(self.repo);
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let lock = File::options().write(true).create(true).truncate(false).open(dir.join("lock"))?;
        // A file system without locks: this works as long as one process runs.
        let _is_alone = lock.lock();
        temp::sweep(dir, |_| Ok(()))?;
        let old = Records::read(&path);
        let mut new = old.clone();
        new.add(&self.tree, derived, seen);
        new.prune(self.repo, &self.tree, is_tracked);
        if new == old {
            return Ok(());
        }
        new.drop_racy(&self.tree, seen, dir)?;
        let temp = Temp::new_in(dir)?;
        let mut file = temp.file();
        file.write_all(&line::write(&new))?;
        file.sync_all()?;
        temp.rename(&path).map_err(|(error, _)| error)?;
        sync_parent(&path)
    }
}

impl Records {
    fn read(path: &Path) -> Self {
        let mut text = Vec::new();
        let is_file = fs::symlink_metadata(path).is_ok_and(|there| there.is_file());
        let read = || File::open(path)?.take(MAX_LEN + 1).read_to_end(&mut text);
        match is_file.then(read) {
            Some(Ok(len)) if len as u64 <= MAX_LEN => line::read(&text),
            _ => Self::default(),
        }
    }

    fn add(&mut self, tree: &str, derived: &[Derived], seen: &[Seen]) {
        for one in derived {
            let is_same = |other: &Derived| {
                (other.source_oid, other.output_oid) == (one.source_oid, one.output_oid)
                    && (&other.source, &other.output) == (&one.source, &one.output)
            };
            match self.derived.iter().position(is_same) {
                // A conversion is a stronger record than a verification.
                Some(at) if one.how != CONVERTED && self.derived[at].how == CONVERTED => {}
                Some(at) if self.derived[at] == *one => {}
                found => {
                    found.map(|at| self.derived.remove(at));
                    self.derived.push(one.clone());
                }
            }
            let of_path = self.derived.iter().filter(|other| other.output == one.output).count();
            if of_path > MAX_DERIVED
                && let Some(oldest) = self.derived.iter().position(|other| other.output == one.output)
            {
                self.derived.remove(oldest);
            }
        }
        for Seen { path, oid, stat } in seen {
            self.seen.insert((tree.to_owned(), path.clone()), (*oid, *stat));
        }
    }

    /// Removes records of files that are gone: both from the index and the working tree, and both contents from LFS
    /// storage.
    fn prune(&mut self, repo: &Repo, tree: &str, is_tracked: &dyn Fn(&BStr) -> bool) {
        let on_disk =
            |path: &BStr| repo.target(path).is_ok_and(|target| target.path().symlink_metadata().is_ok());
        let store = repo.store();
        self.derived.retain(|one| {
            let (source, output) = (one.source.as_bstr(), one.output.as_bstr());
            is_tracked(output)
                || is_tracked(source)
                || on_disk(output)
                || on_disk(source)
                || has_object(&store, one.output_oid)
                || has_object(&store, one.source_oid)
        });
        let trees = repo.common_dir().join("worktrees");
        self.seen.retain(|(of, path), _| match of.as_str() {
            of if of == tree => on_disk(path.as_bstr()),
            "" => true,
            of => trees.join(of).is_dir(),
        });
    }

    /// Removes files that are as new as the record: they could change without a change of their stat data. It waits a
    /// moment until the clock of the file system shows that they are older.
    fn drop_racy(&mut self, tree: &str, seen: &[Seen], dir: &Path) -> io::Result<()> {
        let mut young: Vec<&Seen> = seen.iter().collect();
        for left in (0..TICKS).rev() {
            let probe = Temp::new_in(dir)?;
            let now = FileStat::of(probe.path());
            young.retain(|one| now.as_ref().is_none_or(|now| !one.stat.is_older_than(now)));
            if young.is_empty() || left == 0 {
                break;
            }
            thread::sleep(TICK);
        }
        for one in young {
            self.seen.remove(&(tree.to_owned(), one.path.clone()));
        }
        Ok(())
    }
}

/// Returns `true` if LFS storage contains the object.
fn has_object(store: &Store, oid: Oid) -> bool {
    store.path_of(oid).symlink_metadata().is_ok()
}

fn path(repo: &Repo) -> PathBuf {
    repo.common_dir().join("st-converted").join("provenance-1.jsonl")
}

/// Returns the name of a linked working tree; empty for the main one.
fn tree(repo: &Repo) -> String {
    let dir = repo.git_dir();
    let is_linked = dir.join("commondir").is_file();
    let name = dir.file_name().filter(|_| is_linked);
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
