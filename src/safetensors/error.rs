//! [`Error`]: why a safetensors file was not laid out, written or read.

use std::io;

/// Why a safetensors file was not laid out, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A read or a write failed.
    #[error("cannot read or write the safetensors file")]
    Io(#[from] io::Error),
    /// The header would be longer than readers accept.
    #[error("header is {len} bytes, over the limit of {limit}")]
    HeaderLength {
        /// Its length in bytes.
        len: u64,
        /// The limit of the format.
        limit: u64,
    },
    /// The header is no valid header.
    #[error("invalid safetensors header")]
    Header(#[source] serde_json::Error),
    /// The file is not as long as its header says.
    #[error("file is {got} bytes; the header describes {expected}")]
    Length {
        /// What the header describes.
        expected: u64,
        /// The length of the file.
        got: u64,
    },
    /// The tensors of a file are together too large.
    #[error("the safetensors file is too large")]
    TooLarge,
}
