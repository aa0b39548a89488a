//! [`Detected`]: what a file is, by its content, and by its name where the content does not say it.
//!
//! Invariant: a few bytes and directories are read, and no tensor.

use bstr::BStr;

use super::names;
use crate::checkpoint::{self, Held, Kind};
use crate::read_at::ReadAt;

/// What the content of a file says.
pub(super) enum Detected {
    /// Torch weights.
    Weights,
    /// The same as `TorchScript`, under a name that does not promise weights.
    Script,
    /// A pickle without a storage and without arrays.
    State,
    /// A plain pickle that may hold arrays, but no storage of torch.
    Plain,
    /// Something else, although the name promises weights.
    BrokenPromise(Kind),
    /// Something else.
    Other,
}

/// What a file is, by its content where that can say it.
pub(super) fn detect(path: &BStr, file: &dyn ReadAt) -> Detected {
    match Kind::of(file) {
        Ok(Kind::Legacy) => Detected::Weights,
        Ok(Kind::Zip) if !names::is_weight_like(path) && checkpoint::is_torch_script(file) => {
            Detected::Script
        }
        // Any archive is a zip; torch's has a pickle in it.
        Ok(Kind::Zip) if names::is_weight_like(path) || checkpoint::is_torch_zip(file) => Detected::Weights,
        Ok(kind) if names::is_weight_like(path) && checkpoint::may_be_pickle(file, kind).unwrap_or(false) => {
            match checkpoint::held(file, kind) {
                Some(Held::Storages) => Detected::Weights,
                Some(Held::Nothing) => Detected::State,
                None if names::promises_weights(path) => Detected::BrokenPromise(kind),
                None if kind == Kind::Unknown => Detected::Other,
                // Without: what other libraries put behind their pickles, or in them.
                Some(Held::Arrays) | None => Detected::Plain,
            }
        }
        Ok(kind @ Kind::Conflict) if names::is_weight_like(path) => Detected::BrokenPromise(kind),
        Ok(Kind::Tar) if checkpoint::is_torch_tar(file) => Detected::Weights,
        Ok(kind @ Kind::Tar) if names::is_weight_like(path) => Detected::BrokenPromise(kind),
        Ok(kind) if names::promises_weights(path) => Detected::BrokenPromise(kind),
        _ => Detected::Other,
    }
}
