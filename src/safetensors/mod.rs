//! Implements the safetensors format: the header and order of a file ([`Layout`]), writing, reading, and the shard
//! index of a sharded checkpoint.
//!
//! ```text
//! u64 little-endian   N, the length of the header
//! N bytes             JSON, padded with spaces so that N is a multiple of 8
//! tensor bytes        one after the other, without gaps, in the order of the header
//! ```
//!
//! Invariant: a file is byte for byte what `safetensors.torch.save_file` (0.3.1 to 0.8.0) writes for the same tensors
//! and metadata; where the reference orders metadata at random, the keys are sorted. Source: the safetensors README
//! ("Format") and the `safetensors` crate, which defines the header types. Writing is our own, because the crate cannot
//! stream, hash or fail.

pub mod compare;
pub mod conversions;
mod deviation;
mod error;
mod gather;
mod layout;
mod pages;
mod read;
mod scatter;
pub mod shard;
mod value;
mod variation;
mod write;

pub use deviation::{Comparer, Deviation};
pub use error::Error;
pub use layout::{Layout, Release, SHOWN_HEADER, Slot};
pub use read::{Info, read};
pub use scatter::{Put, Scatter, Target};
pub use value::Value;
pub use variation::Variation;
pub use write::{Sink, write, write_tensors};
