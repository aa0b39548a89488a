//! What the content of a file says: torch weights, or something else.

use bstr::BStr;

use super::super::names;
use crate::checkpoint::{self, Kind};
use crate::read_at::ReadAt;

/// What the content of a file says.
pub(super) enum Verdict {
    /// Torch weights.
    Weights,
    /// A pickle of torch without a storage.
    State,
    /// Something else, although the name promises weights.
    BrokenPromise(Kind),
    /// Something else.
    Other,
}

/// What a file is, by its content where that can say it.
pub(super) fn judge(path: &BStr, file: &dyn ReadAt) -> Verdict {
    match Kind::of(file) {
        Ok(Kind::Legacy) => Verdict::Weights,
        // Any archive is a zip; torch's has a pickle in it.
        Ok(Kind::Zip) if names::is_weight_like(path) || checkpoint::is_torch_zip(file) => Verdict::Weights,
        Ok(kind @ Kind::Pickle) if names::is_weight_like(path) && !names::promises_weights(path) => {
            if checkpoint::is_plain_pickle(file) {
                Verdict::State
            } else {
                Verdict::BrokenPromise(kind)
            }
        }
        Ok(Kind::Tar) if checkpoint::is_torch_tar(file) => Verdict::Weights,
        Ok(kind @ Kind::Tar) if names::is_weight_like(path) => Verdict::BrokenPromise(kind),
        Ok(kind) if names::promises_weights(path) => Verdict::BrokenPromise(kind),
        _ => Verdict::Other,
    }
}
