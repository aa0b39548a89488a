//! The index of a sharded set, made anew from what the shards hold.

use std::collections::HashSet;

use bstr::{BString, ByteSlice as _};

use super::super::{Error, names};
use super::candidates::Set;
use super::repository::Planned;
use crate::repo::{self, Filter, Repo};

/// The shard index to write.
pub(super) struct NewIndex {
    pub(super) path: BString,
    pub(super) text: String,
    /// Do the attributes put it under Git LFS?
    pub(super) is_under_lfs: bool,
    /// The index that it stands for.
    pub(super) replaces: BString,
}

/// The index of the converted set: what each file really holds, and a true size.
pub(super) fn new_index(repo: &Repo, set: &Set, planned: &[Planned]) -> Result<NewIndex, Error> {
    let mut content = set.content.clone();
    content.weight_map.clear();
    let mut total = 0;
    for Planned { path, output, job, .. } in planned {
        let name =
            |path: &BString| path.rsplit_str("/").next().unwrap_or_default().to_str_lossy().into_owned();
        let (old, new) = (name(path), name(output));
        let held: HashSet<_> = job.plan.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        for (key, _) in set.content.weight_map.iter().filter(|(_, shard)| **shard == old) {
            if !held.contains(key.as_str()) {
                let (index, shard) = (set.index.clone(), path.clone());
                return Err(Error::IndexDisagrees { index, shard, name: key.clone() });
            }
        }
        for &kept in &job.ties.kept {
            if let Some(tensor) = job.plan.tensors.get(kept)
                && let Some(other) = content.weight_map.insert(tensor.name.clone(), new.clone())
            {
                return Err(Error::TwoShards { name: tensor.name.clone(), other });
            }
        }
        total += job.layout.data_len();
    }
    let path = names::safetensors_index(set.index.as_bstr());
    let is_under_lfs = match repo.filter_of(path.as_bstr())? {
        Filter::Lfs => true,
        Filter::Other(filter) => return Err(repo::Error::OtherFilter { path, filter }.into()),
        Filter::Unspecified | Filter::Unset => false,
    };
    // A link in its place is refused before the long work.
    repo.target(path.as_bstr())?.metadata()?;
    Ok(NewIndex { path, text: content.render(total), is_under_lfs, replaces: set.index.clone() })
}
