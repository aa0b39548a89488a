//! [`Detected`] is the class of a file, by its content, and by its name if the content does not decide.
//!
//! Invariant: only a few bytes and archive directories are read, and no tensor.

use bstr::BStr;

use super::names;
use crate::checkpoint::{self, Held, Kind};
use crate::read_at::ReadAt;
use crate::recipe;

/// The class of a file's content.
pub(super) enum Detected {
    /// PyTorch weights.
    Weights,
    /// A TorchScript archive, under a name that does not indicate weights.
    Script,
    /// A pickle without a storage and without arrays.
    State,
    /// A plain pickle that may contain arrays, but no PyTorch storage.
    Plain,
    /// A plain pickle that is refused: it imports a dangerous global, or it cannot be read.
    Pickle,
    /// Another format, although the name indicates weights.
    BrokenPromise(Kind),
    /// Another format.
    Other,
}

/// Detects the class of a file, by its content if that decides.
pub(super) fn detect(path: &BStr, file: &dyn ReadAt) -> Detected {
    match Kind::of(file) {
        Ok(Kind::Legacy) => Detected::Weights,
        Ok(Kind::Zip) if !names::is_weight_like(path) && checkpoint::is_torch_script(file) => {
            Detected::Script
        }
        // Any archive may be a zip file; PyTorch's contains a pickle.
        Ok(Kind::Zip) if names::is_weight_like(path) || checkpoint::is_torch_zip(file) => Detected::Weights,
        Ok(kind) if names::is_weight_like(path) && checkpoint::may_be_pickle(file, kind).unwrap_or(false) => {
            match checkpoint::held(file, kind) {
                Some(Held::Storages) => Detected::Weights,
                Some(Held::Nothing) => Detected::State,
                None if names::promises_weights(path) => Detected::BrokenPromise(kind),
                None if kind == Kind::Unknown => Detected::Other,
                Some(Held::Arrays) => arrays(file),
                // Other libraries may write bytes after their pickles, or in them.
                None => Detected::Pickle,
            }
        }
        Ok(kind @ Kind::Conflict) if names::is_weight_like(path) => Detected::BrokenPromise(kind),
        Ok(Kind::Tar) if checkpoint::is_torch_tar(file) => Detected::Weights,
        Ok(kind @ Kind::Tar) if names::is_weight_like(path) => Detected::BrokenPromise(kind),
        Ok(kind) if names::promises_weights(path) => Detected::BrokenPromise(kind),
        _ => Detected::Other,
    }
}

/// Detects if the arrays that a pickle seems to contain can be converted.
fn arrays(file: &dyn ReadAt) -> Detected {
    match recipe::plan(file, &checkpoint::Options::default()) {
        Err(recipe::Error::Dangerous { .. }) => Detected::Pickle,
        Err(recipe::Error::Checkpoint(checkpoint::Error::NotCheckpoint { .. })) => Detected::State,
        _ => Detected::Plain,
    }
}
