//! Compares the shard index of safetensors files with the contents of its shards ([`compare`]).
//!
//! Invariant: a shard index is correct if every key is in the shard that it names, every tensor of a shard is a key, a
//! stated size is that of all tensors, and every shard of the checkpoint's shard index has its counterpart.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice as _};

use super::index_finding::IndexFinding;
use super::{Error, names};
use crate::safetensors::shard::Index;

/// The names and sizes of the tensors of a file.
pub(super) type Tensors = Vec<(String, u64)>;

/// Returns the tensors of a shard; `None` if no such file exists.
pub(super) type Lookup<'a> = &'a dyn Fn(&BStr) -> Result<Option<Tensors>, Error>;

/// Returns the paths of the shards of a shard index.
pub(super) fn shards_of(path: &BStr, index: &Index) -> BTreeSet<BString> {
    index.weight_map.values().map(|shard| names::beside(path, shard.as_bytes())).collect()
}

/// Returns the paths that the shards of a checkpoint's shard index have after the conversion.
pub(super) fn converted(path: &BStr, index: &Index) -> BTreeSet<BString> {
    shards_of(path, index).iter().map(|shard| names::safetensors(shard.as_bstr())).collect()
}

/// Compares a shard index with its shards, and with the shards that it must have. `tensors` reads a shard.
pub(super) fn compare(
    path: &BStr,
    index: &Index,
    wanted: &BTreeSet<BString>,
    tensors: Lookup<'_>,
) -> Result<Vec<IndexFinding>, Error> {
    let left_out = wanted.difference(&shards_of(path, index)).cloned().collect::<Vec<_>>().into_iter();
    let mut findings: Vec<_> = left_out.map(|shard| IndexFinding::LeftOut { shard }).collect();
    let (mut total, mut is_whole) = (0_u64, true);
    let shards: BTreeSet<&String> = index.weight_map.values().collect();
    let mut held: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for shard in shards {
        let file = names::beside(path, shard.as_bytes());
        if !names::is_safetensors(file.as_bstr()) {
            is_whole = false;
            findings.push(IndexFinding::NotSafetensors { shard: file });
            continue;
        }
        let Some(tensors) = tensors(file.as_bstr())? else {
            is_whole = false;
            findings.push(IndexFinding::NoShard { shard: file });
            continue;
        };
        let names = held.entry(shard).or_default();
        for (name, bytes) in tensors {
            total = total.saturating_add(bytes);
            if index.weight_map.get(&name) != Some(shard) {
                findings.push(IndexFinding::NotInIndex { name: name.clone(), shard: shard.clone() });
            }
            names.insert(name);
        }
    }
    for (name, shard) in &index.weight_map {
        if held.get(shard.as_str()).is_some_and(|names| !names.contains(name)) {
            findings.push(IndexFinding::NotInShard { name: name.clone(), shard: shard.clone() });
        }
    }
    if let Some(said) = index.metadata.get("total_size").filter(|_| is_whole)
        // Some writers store it as a float.
        && said.to_string().trim_end_matches(".0") != total.to_string()
    {
        findings.push(IndexFinding::TotalSize { said: said.to_string(), held: total });
    }
    Ok(findings)
}
