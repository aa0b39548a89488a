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
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Distributed => "shard of a distributed checkpoint",
            Self::Package => "torch.package archive",
            Self::StableBaselines => "Stable-Baselines3 model",
            Self::Checkpoints => "zip archive of checkpoints",
        })
    }
}
