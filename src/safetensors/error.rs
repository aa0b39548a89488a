//! [`Error`] states why a safetensors file was not laid out, written or read.

use std::io;

/// Why a safetensors file was not laid out, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A read or a write failed.
    #[error("cannot read or write the safetensors file")]
    Io(#[from] io::Error),
    /// The source of the tensors could not be read.
    #[error("cannot read the checkpoint")]
    Source(#[source] io::Error),
    /// The header would be longer than readers accept.
    #[error("header is {len} bytes, over the limit of {limit}")]
    HeaderLength {
        /// Its length in bytes.
        len: u64,
        /// The limit of the format.
        limit: u64,
    },
    /// The header is not valid.
    #[error("invalid safetensors header")]
    Header(#[source] serde_json::Error),
    /// The length of the file differs from its header.
    #[error("file is {got} bytes; the header describes {expected}")]
    Length {
        /// The length by the header.
        expected: u64,
        /// The length of the file.
        got: u64,
    },
    /// The file ends before its header does.
    #[error("file is truncated: {got} bytes, and the header ends at byte {end}")]
    Truncated {
        /// The length of the file.
        got: u64,
        /// The end of the header, or of its length if that is not complete.
        end: u64,
    },
    /// The tensors of a file are too large in total.
    #[error("the safetensors file is too large")]
    TooLarge,
}

impl Error {
    /// Counts the source of the tensors as a part of the output.
    pub(super) fn into_output(self) -> Self {
        match self {
            Self::Source(error) => Self::Io(error),
            error => error,
        }
    }
}
