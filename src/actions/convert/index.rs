//! Compares the shard index of a sharded checkpoint with the contents of its shards, and creates the new one from them.
//!
//! Invariant: no tensor is in two shards, and every tensor that the shard index names is in the named shard. Tensors
//! that it does not list are reported, and the new one lists them.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice as _};

use super::super::{Error, Note, names};
use super::job::Job;
use super::sets::ShardedCheckpoint;
use crate::repo::{self, Filter, Repo};

/// The contents of a shard.
pub(super) struct ShardContents {
    /// The checkpoint.
    pub(super) path: BString,
    /// Its safetensors file.
    pub(super) output: BString,
    /// The tensors that are written.
    pub(super) kept: BTreeSet<String>,
    /// The dropped names.
    pub(super) dropped: BTreeSet<String>,
    /// The bytes of the written tensors.
    pub(super) bytes: u64,
}

impl ShardContents {
    pub(super) fn of(path: &BStr, output: &BStr, job: &Job) -> Self {
        let tensors = job.recipe.ties.kept.iter().filter_map(|&kept| job.recipe.plan.tensors.get(kept));
        Self {
            path: path.to_owned(),
            output: output.to_owned(),
            kept: tensors.map(|tensor| tensor.name.clone()).collect(),
            dropped: job.recipe.ties.dropped.keys().cloned().collect(),
            bytes: job.recipe.layout.data_len(),
        }
    }

    /// Returns every name of the checkpoint.
    fn names(&self) -> impl Iterator<Item = &String> {
        self.kept.iter().chain(&self.dropped)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.kept.contains(name) || self.dropped.contains(name)
    }
}

/// The path of the new shard index.
#[derive(Clone)]
pub(super) struct IndexTarget {
    path: BString,
    is_under_lfs: bool,
    /// The shard index that it replaces.
    replaces: BString,
}

impl IndexTarget {
    /// Returns the path outside a repository.
    pub(super) fn plain(path: &BString, set: &ShardedCheckpoint) -> Self {
        Self { path: path.clone(), is_under_lfs: false, replaces: set.index.clone() }
    }
}

/// The shard index to write.
pub(super) struct NewIndex {
    pub(super) path: BString,
    pub(super) text: String,
    /// `true` if the attributes put it under Git LFS.
    pub(super) is_under_lfs: bool,
    /// The shard index that it replaces.
    pub(super) replaces: BString,
    /// The tensors that the old one does not list.
    pub(super) unlisted: Vec<String>,
}

/// Returns the path of the new shard index. An error that would occur at the end is reported before the long work.
pub(super) fn target(repo: &Repo, set: &ShardedCheckpoint) -> Result<IndexTarget, Error> {
    let path = names::safetensors_index(set.index.as_bstr());
    let is_under_lfs = match repo.filter_of(path.as_bstr())? {
        Filter::Lfs => true,
        Filter::Other(filter) => return Err(repo::Error::OtherFilter { path, filter }.into()),
        Filter::Unspecified | Filter::Unset => false,
    };
    repo.target(path.as_bstr())?.metadata()?;
    Ok(IndexTarget { path, is_under_lfs, replaces: set.index.clone() })
}

/// Compares the shard index with the shards known so far. With all of them, it may name only tensors that one of them
/// contains.
pub(super) fn agree(
    set: &ShardedCheckpoint,
    shards: &[impl Borrow<ShardContents>],
    is_all: bool,
) -> Result<(), Error> {
    let mut holders: BTreeMap<&String, &ShardContents> = BTreeMap::new();
    for shard in shards.iter().map(Borrow::borrow) {
        for name in shard.names() {
            if let Some(first) = holders.insert(name, shard) {
                let (name, first, second) = (name.clone(), first.path.clone(), shard.path.clone());
                return Err(Error::TwoShards { name, first, second });
            }
        }
    }
    let by_name: BTreeMap<&[u8], &ShardContents> =
        shards.iter().map(Borrow::borrow).map(|shard| (file_name(&shard.path), shard)).collect();
    let wrong = set.content.weight_map.iter().filter_map(|(name, shard)| {
        let shard = by_name.get(shard.as_bytes()).filter(|shard| !shard.has(name))?;
        Some((name, *shard, holders.get(name)))
    });
    // A tensor in another shard is a more useful message than a missing one.
    let (elsewhere, nowhere): (Vec<_>, Vec<_>) = wrong.partition(|(.., holder)| holder.is_some());
    let more = elsewhere.len().max(1) - 1;
    if let Some(&(name, shard, Some(other))) = elsewhere.first() {
        let (name, shard, other) = (name.clone(), shard.path.clone(), other.path.clone());
        return Err(Error::InOtherShard { name, shard, other, more });
    }
    let more = nowhere.len().max(1) - 1;
    match nowhere.first() {
        Some((name, ..)) if is_all => Err(Error::InNoShard { name: (*name).clone(), more }),
        Some((name, shard, _)) => {
            Err(Error::NotInShard { name: (*name).clone(), shard: shard.path.clone(), more })
        }
        None => Ok(()),
    }
}

/// Returns the new shard index: the actual contents of each file, and the correct size.
pub(super) fn new_index(
    target: IndexTarget,
    set: &ShardedCheckpoint,
    shards: &[impl Borrow<ShardContents>],
) -> Result<NewIndex, Error> {
    agree(set, shards, true)?;
    let mut content = set.content.clone();
    content.weight_map.clear();
    let (mut total, mut unlisted) = (0_u64, Vec::new());
    for shard in shards.iter().map(Borrow::borrow) {
        let output = file_name(&shard.output).to_str_lossy();
        for name in &shard.kept {
            if !set.content.weight_map.contains_key(name) {
                unlisted.push(name.clone());
            }
            content.weight_map.insert(name.clone(), output.to_string());
        }
        total = total.saturating_add(shard.bytes);
    }
    let IndexTarget { path, is_under_lfs, replaces } = target;
    Ok(NewIndex { path, text: content.render(total), is_under_lfs, replaces, unlisted })
}

impl NewIndex {
    /// Returns the notes about it.
    pub(super) fn notes(&self) -> Vec<Note> {
        let unlisted = (!self.unlisted.is_empty())
            .then(|| Note::Unlisted { path: self.replaces.clone(), names: self.unlisted.clone() });
        unlisted.into_iter().chain([Note::IndexWritten { path: self.path.clone() }]).collect()
    }
}

fn file_name(path: &BString) -> &[u8] {
    path.rsplit_str("/").next().unwrap_or_default()
}
