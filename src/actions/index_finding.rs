//! [`IndexFinding`] says what is wrong with the shard index of safetensors files.

use std::fmt;

use bstr::BString;

/// What is wrong with an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexFinding {
    /// It names a shard that is not there.
    NoShard {
        /// The shard.
        shard: BString,
    },
    /// It names no tensor of a shard that the checkpoint's index has.
    LeftOut {
        /// The shard, as it is called when it is converted.
        shard: BString,
    },
    /// It names a tensor that is not in its shard.
    NotInShard {
        /// The tensor.
        name: String,
        /// The shard.
        shard: String,
    },
    /// It does not name a tensor of a shard, or names another shard for it.
    NotInIndex {
        /// The tensor.
        name: String,
        /// The shard.
        shard: String,
    },
    /// Its size is not that of the tensors.
    TotalSize {
        /// What it says.
        said: String,
        /// The bytes of all tensors.
        held: u64,
    },
}

impl fmt::Display for IndexFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoShard { shard } | Self::LeftOut { shard } => write!(f, "shard {shard} is missing"),
            Self::NotInShard { name, shard } => write!(f, "tensor {name} is not in {shard}"),
            Self::NotInIndex { name, shard } => {
                write!(f, "tensor {name} of {shard} is not in the shard index")
            }
            Self::TotalSize { said, held } => write!(f, "total_size is {said}, expected {held}"),
        }
    }
}
