//! [`IndexFinding`] is a difference between the shard index of safetensors files and its shards.

use std::fmt;

use bstr::BString;

/// A difference between a shard index and its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexFinding {
    /// The shard index names a missing shard.
    NoShard {
        /// The shard.
        shard: BString,
    },
    /// The shard index names no tensor of a shard that the checkpoint's shard index has.
    LeftOut {
        /// The shard, under its name after the conversion.
        shard: BString,
    },
    /// The shard index names a tensor that is not in its shard.
    NotInShard {
        /// The tensor.
        name: String,
        /// The shard.
        shard: String,
    },
    /// The shard index does not name a tensor of a shard, or names another shard for it.
    NotInIndex {
        /// The tensor.
        name: String,
        /// The shard.
        shard: String,
    },
    /// The stated size is not that of the tensors.
    TotalSize {
        /// The stated size.
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
