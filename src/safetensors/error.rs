//! [`Error`]: why a safetensors file was not laid out, written or read.

use std::io;

/// Why a safetensors file was not laid out, written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A read or a write failed.
    #[error("cannot be read or written")]
    Io(#[from] io::Error),
    /// The header would be longer than readers accept.
    #[error("has a header of {len} bytes, over the limit of {limit}")]
    HeaderLength {
        /// Its length in bytes.
        len: u64,
        /// The limit of the format.
        limit: u64,
    },
    /// The header is no valid header.
    #[error("has an invalid header")]
    Header(#[source] serde_json::Error),
    /// The file is not as long as its header says.
    #[error("has {got} bytes where its header describes {expected}")]
    Length {
        /// What the header describes.
        expected: u64,
        /// The length of the file.
        got: u64,
    },
    /// The tensors of a file are together too large.
    #[error("is too large")]
    TooLarge,
}
