//! [`Foreign`] names files of other kinds with weights in them, so that an error can tell how to use them.

use std::fmt;

/// A file with weights in the form of another tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// A shard that `torch.distributed.checkpoint` wrote: archives of one tensor each, one after the other.
    Distributed,
    /// A `torch.package` archive: code, and pickles that need it.
    Package,
    /// A model of Stable-Baselines3: `policy.pth` next to its optimizer.
    StableBaselines,
    /// An archive of several checkpoints.
    Checkpoints,
    /// The arrays of `numpy.savez`.
    Npz,
    /// A Keras 3 model: `model.weights.h5` next to its configuration.
    Keras,
    /// A pickle of joblib, with the bytes of its arrays between the opcodes.
    Joblib,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Distributed => "shard of a distributed checkpoint",
            Self::Package => "torch.package archive",
            Self::StableBaselines => "Stable-Baselines3 model",
            Self::Checkpoints => "zip archive of checkpoints",
            Self::Npz => "zip archive of numpy arrays",
            Self::Keras => "Keras model",
            Self::Joblib => "joblib file",
        })
    }
}
