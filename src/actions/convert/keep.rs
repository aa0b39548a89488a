//! Refuses names of `--keep` that no checkpoint of a run has, before anything is written.

use std::collections::HashSet;

use super::super::Error;
use super::super::content::{LocalFile, Located};
use super::Options;
use crate::checkpoint::{self, Kind};

/// Fails for the first name of `--keep` that none of several checkpoints has. If one of them is not local or cannot be
/// read, the check is skipped, because that one may have the name.
pub(super) fn check(
    options: &Options,
    checkpoints: impl Iterator<Item = Result<Located, Error>>,
) -> Result<(), Error> {
    if options.keep.is_empty() {
        return Ok(());
    }
    let mut seen = HashSet::new();
    for located in checkpoints {
        let Ok(Located::Here(LocalFile { file, .. })) = located else { return Ok(()) };
        let wanted = checkpoint::Options::with_key(options.key.as_deref());
        match checkpoint::plan(&file, &wanted) {
            Ok(plan) => seen.extend(plan.tensors.into_iter().map(|tensor| tensor.name)),
            // The run skips it.
            Err(checkpoint::Error::NotCheckpoint { kind: Kind::Safetensors }) => {}
            Err(_) => return Ok(()),
        }
    }
    match options.keep.iter().find(|name| !seen.contains(*name)) {
        Some(name) => Err(checkpoint::Error::Keep { name: name.clone() }.into()),
        None => Ok(()),
    }
}
