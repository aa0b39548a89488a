//! [`Differences`] formats the differences between a header and a checkpoint in one line.

use std::fmt;

use super::super::index_finding::IndexFinding;
use crate::safetensors;
use crate::safetensors::compare::Difference;
use crate::safetensors::shard;

/// The differences between a header and a checkpoint.
#[derive(Debug)]
pub enum Differences {
    /// The checkpoint changed since the file was committed, and the content of the file is unknown.
    Checkpoint,
    /// The header is invalid.
    Invalid(safetensors::Error),
    /// The shard index cannot be read.
    Unreadable(shard::Error),
    /// The shard index does not fit its shards.
    Index {
        /// The first fault.
        first: IndexFinding,
        /// How many more there are.
        more: usize,
    },
    /// Tensors.
    Tensors {
        /// The first differences.
        first: Vec<Difference>,
        /// The number of the others.
        more: usize,
    },
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, more) = match self {
            Self::Checkpoint => return f.write_str("made from another checkpoint"),
            Self::Invalid(_) => return f.write_str("not a safetensors file"),
            Self::Unreadable(error) => return write!(f, "{error}"),
            Self::Index { first, more: 0 } => return write!(f, "{first}"),
            Self::Index { first, more } => return write!(f, "{first} (and {more} more)"),
            Self::Tensors { first, more } => (first, more),
        };
        match first.first() {
            Some(Difference::Missing { name }) => write!(f, "tensor {name} is missing")?,
            Some(Difference::Extra { name }) => write!(f, "tensor {name} is not in the checkpoint")?,
            Some(Difference::Alias { name, keeper }) => write!(f, "tensor {name} is not tied to {keeper}")?,
            Some(Difference::DType { name, checkpoint, file }) => {
                write!(f, "tensor {name} is {file}, in the checkpoint {checkpoint}")?;
            }
            Some(Difference::Shape { name, checkpoint, file }) => {
                write!(f, "tensor {name} has shape {file:?}, in the checkpoint {checkpoint:?}")?;
            }
            Some(Difference::Element { name, .. }) => write!(f, "tensor {name} has other values")?,
            None => f.write_str("other tensors")?,
        }
        match first.len().saturating_sub(1) + more {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl std::error::Error for Differences {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(error) => Some(error),
            Self::Unreadable(error) => error.source(),
            Self::Checkpoint | Self::Tensors { .. } | Self::Index { .. } => None,
        }
    }
}
