//! [`Differences`] formats the differences between a header and a checkpoint in one line.

use super::super::index_finding::IndexFinding;
use crate::safetensors;
use crate::safetensors::compare::Difference;
use crate::safetensors::shard;

/// The differences between a header and a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum Differences {
    /// The checkpoint changed since the file was committed, and the content of the file is unknown.
    #[error("made from another checkpoint")]
    Checkpoint,
    /// The header is invalid.
    #[error("not a safetensors file")]
    Invalid(#[source] safetensors::Error),
    /// The shard index cannot be read.
    #[error(transparent)]
    Unreadable(shard::Error),
    /// The shard index does not fit its shards.
    #[error("{first}{}", and_more(*more))]
    Index {
        /// The first fault.
        first: IndexFinding,
        /// How many more there are.
        more: usize,
    },
    /// Tensors.
    #[error("{}{}", tensor(first.first()), and_more(first.len().saturating_sub(1) + more))]
    Tensors {
        /// The first differences.
        first: Vec<Difference>,
        /// The number of the others.
        more: usize,
    },
}

/// Returns how the first of several tensors differs.
fn tensor(first: Option<&Difference>) -> String {
    match first {
        Some(Difference::Missing { name }) => format!("tensor {name} is missing"),
        Some(Difference::Extra { name }) => format!("tensor {name} is not in the checkpoint"),
        Some(Difference::Alias { name, keeper }) => format!("tensor {name} is not tied to {keeper}"),
        Some(Difference::DType { name, checkpoint, file }) => {
            format!("tensor {name} is {file}, in the checkpoint {checkpoint}")
        }
        Some(Difference::Shape { name, checkpoint, file }) => {
            format!("tensor {name} has shape {file:?}, in the checkpoint {checkpoint:?}")
        }
        Some(Difference::Element { name, .. }) => format!("tensor {name} has other values"),
        None => "other tensors".to_owned(),
    }
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" (and {more} more)") }
}
