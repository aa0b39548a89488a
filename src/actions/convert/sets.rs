//! [`Unit`] is what is converted together: a file, or the shards of a sharded checkpoint, by their shard index.
//!
//! Invariant: no shard of a requested sharded checkpoint is converted without the others. The module does not read the
//! shards.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BString, ByteSlice as _};

use super::super::content::Located;
use super::super::workspace::Workspace;
use super::super::{Error, names};
use super::Options;
use super::ledger::Ledger;
use crate::safetensors::shard::Index;

/// A file to convert.
pub(super) struct Candidate {
    pub(super) path: BString,
    /// `true` if it was named, so that it is not skipped.
    pub(super) named: bool,
}

/// Files that are converted together: one file, or the shards of a sharded checkpoint.
pub(super) struct Unit {
    pub(super) files: Vec<Candidate>,
    pub(super) set: Option<ShardedCheckpoint>,
}

/// The shards of a checkpoint, by their shard index.
pub(super) struct ShardedCheckpoint {
    /// The path of its shard index.
    pub(super) index: BString,
    pub(super) content: Index,
}

/// The outputs and names of all units of a run.
pub(super) struct Others {
    /// The outputs with two sources, and both sources.
    outputs: BTreeMap<BString, Vec<BString>>,
    /// `true` if the run has one unit, so that every name of `--keep` must be in it.
    pub(super) is_alone: bool,
}

impl Others {
    pub(super) fn of(units: &[Unit]) -> Self {
        let mut outputs: BTreeMap<BString, Vec<BString>> = BTreeMap::new();
        for file in units.iter().flat_map(|unit| &unit.files) {
            outputs.entry(names::safetensors(file.path.as_bstr())).or_default().push(file.path.clone());
        }
        for ShardedCheckpoint { index, .. } in units.iter().filter_map(|unit| unit.set.as_ref()) {
            outputs.entry(names::safetensors_index(index.as_bstr())).or_default().push(index.clone());
        }
        outputs.retain(|_, sources| sources.len() > 1);
        Self { outputs, is_alone: units.len() == 1 }
    }

    /// Checks that an output has only one source.
    pub(super) fn check(&self, output: &BString, source: &BString) -> Result<(), Error> {
        let mut others = self.outputs.get(output).into_iter().flatten();
        match others.find(|other| *other != source) {
            Some(other) => Err(Error::OutputCollision { output: output.clone(), other: other.clone() }),
            None => Ok(()),
        }
    }
}

/// Shards that were all named are a sharded checkpoint. If some were not named, none can be removed, because the shard
/// index would name removed files.
pub(super) fn named_sets(
    workspace: &Workspace<'_>,
    options: &Options,
    found: &mut BTreeMap<BString, Candidate>,
    indices: &mut BTreeSet<BString>,
    ledger: &mut Ledger<'_>,
) -> Result<(), Error> {
    let dirs: BTreeSet<_> = found.keys().map(|path| names::beside(path.as_bstr(), b"")).collect();
    let is_near = |path: &BString| dirs.contains(&names::beside(path.as_bstr(), b""));
    let is_index = |path: &BString| names::is_index(path.as_bstr()) && is_near(path);
    let others: Vec<_> =
        workspace.entries.keys().filter(|path| is_index(path) && !indices.contains(*path)).cloned().collect();
    let (mut whole, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for index in others {
        let content = match read_index(workspace, &index) {
            Ok(content) => content,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            // It names no shards.
            Err(_) => continue,
        };
        let shards = content.weight_map.values();
        let shards: BTreeSet<_> =
            shards.map(|shard| names::beside(index.as_bstr(), shard.as_bytes())).collect();
        let (named, others): (Vec<_>, Vec<_>) =
            shards.into_iter().partition(|shard| found.contains_key(shard));
        match others.into_iter().next() {
            None if !named.is_empty() => {
                whole.insert(index, named);
            }
            Some(shard) if options.replace => {
                refused.extend(named.into_iter().map(|path| (path, shard.clone())));
            }
            _ => {}
        }
    }
    // If one shard index prevents the removal of a shard, no other may remove it, and the same applies to the other
    // shards of that one.
    let keeper = |shards: &Vec<BString>, refused: &BTreeMap<BString, BString>| {
        shards.iter().find_map(|path| refused.get(path)).cloned()
    };
    while let Some((index, shard)) =
        whole.iter().find_map(|(index, shards)| Some((index.clone(), keeper(shards, &refused)?)))
    {
        for path in whole.remove(&index).into_iter().flatten() {
            refused.entry(path).or_insert_with(|| shard.clone());
        }
    }
    indices.extend(whole.into_keys());
    for (path, shard) in refused {
        found.remove(&path);
        ledger.fail(path.as_bstr(), Error::IncompleteSet { shard })?;
    }
    Ok(())
}

/// Groups the shards of each sharded checkpoint.
pub(super) fn group(
    workspace: &Workspace<'_>,
    mut found: BTreeMap<BString, Candidate>,
    indices: BTreeSet<BString>,
    ledger: &mut Ledger<'_>,
) -> Result<Vec<Unit>, Error> {
    let mut units = Vec::new();
    for index in indices {
        match set(workspace, &index, &mut found) {
            Ok(unit) => units.push(unit),
            Err(error) => {
                ledger.fail(index.as_bstr(), error)?;
                // Then only the names decide which shards belong to it.
                let members: Vec<_> =
                    found.keys().filter(|path| names::is_shard_of(path, &index)).cloned().collect();
                for path in members {
                    found.remove(&path);
                    ledger.fail(path.as_bstr(), Error::IncompleteSet { shard: index.clone() })?;
                }
            }
        }
    }
    units.extend(found.into_values().map(|file| Unit { files: vec![file], set: None }));
    Ok(units)
}

/// Reads a shard index.
fn read_index(workspace: &Workspace<'_>, index: &BString) -> Result<Index, Error> {
    if let Located::There(pointer) = workspace.find(index.as_bstr())? {
        let server = workspace.remote.server_for(pointer)?;
        server.download(&workspace.repo.store(), &[(index.as_bstr(), pointer)], &())?;
    }
    let source = workspace.local(index.as_bstr())?;
    let content = Index::read(&source.file).map_err(Error::io("read", &source.path))??;
    content.check_checkpoints()?;
    Ok(content)
}

fn set(
    workspace: &Workspace<'_>,
    index: &BString,
    found: &mut BTreeMap<BString, Candidate>,
) -> Result<Unit, Error> {
    let content = read_index(workspace, index)?;
    let named: BTreeSet<&String> = content.weight_map.values().collect();
    let mut paths: BTreeSet<_> =
        named.iter().map(|shard| names::beside(index.as_bstr(), shard.as_bytes())).collect();
    // For a shard index with unstaged changes, the names also decide which shards belong to it.
    if workspace.check_unmodified(index.as_bstr()).is_err() {
        paths.extend(found.keys().filter(|path| names::is_shard_of(path, index)).cloned());
    }
    // All are removed from the list, so that none is converted without a missing one.
    for path in &paths {
        found.remove(path);
    }
    let mut shards = Vec::new();
    for path in &paths {
        match workspace.find(path.as_bstr()) {
            Ok(_) => {}
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(why) => shards.push((path.clone(), why)),
        }
    }
    if !shards.is_empty() {
        return Err(Error::MissingShards { shards });
    }
    let files = paths.into_iter().map(|path| Candidate { path, named: true }).collect();
    Ok(Unit { files, set: Some(ShardedCheckpoint { index: index.clone(), content }) })
}
