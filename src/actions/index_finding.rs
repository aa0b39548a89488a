//! [`IndexFinding`] is a difference between the shard index of safetensors files and its shards.

use bstr::BString;

/// A difference between a shard index and its shards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexFinding {
    /// The shard index names a missing shard.
    #[error("shard {shard} is missing")]
    NoShard {
        /// The shard.
        shard: BString,
    },
    /// The shard index names a file that is not a safetensors file: loaders unpickle it.
    #[error("shard {shard} is not a safetensors file")]
    NotSafetensors {
        /// The file.
        shard: BString,
    },
    /// The shard index names no tensor of a shard that the checkpoint's shard index has.
    #[error("shard {shard} is not in the shard index")]
    LeftOut {
        /// The shard, under its name after the conversion.
        shard: BString,
    },
    /// The shard index names a tensor that is not in its shard.
    #[error("tensor {name} is not in {shard}")]
    NotInShard {
        /// The tensor.
        name: String,
        /// The shard.
        shard: String,
    },
    /// The shard index does not name a tensor of a shard, or names another shard for it.
    #[error("tensor {name} of {shard} is not in the shard index")]
    NotInIndex {
        /// The tensor.
        name: String,
        /// The shard.
        shard: String,
    },
    /// The stated size is not that of the tensors.
    #[error("total_size is {said}, expected {held}")]
    TotalSize {
        /// The stated size.
        said: String,
        /// The bytes of all tensors.
        held: u64,
    },
}
