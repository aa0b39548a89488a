//! Free a model repository from pickle weights: torch checkpoints become safetensors under Git LFS,
//! and no pickle is ever executed.
//!
//! The modules stand in dependency order; each uses only those above it. The first nine are the pure
//! core: bytes in ([`read_at::ReadAt`]), bytes out, no path, process, network, clock or environment.
//!
//! # The way of one tensor
//!
//! ```text
//! source: ReadAt ──plan──▶ Plan          a file or an LFS object; reads kilobytes, no tensor byte
//! Plan ──Layout::new──▶ header, order, final size                       before a byte is written
//! for each tensor: read ─▶ hash + write ─▶ temp file in the LFS store   the only loop over data
//! finish: fsync, size and source oid checked, rename to objects/ab/cd/<oid> ─▶ Pointer
//! work tree file = reflink, else one kernel copy; index entry = pointer blob + that file's stat
//! ```
//!
//! No tensor is ever held whole, nothing is written twice by us, and no clean filter reads the file
//! again. `docs/architecture.md` says who does what, and why.

// What is read and written: bytes at an offset, bytes in memory, and bytes that are hashed on their way.
pub mod read_at;
pub mod buffer;
pub mod hash;

// The formats: a pickle as data, the tensors of a checkpoint, safetensors, LFS text, what a pickle names.
pub mod pickle;
pub mod checkpoint;
pub mod safetensors;
pub mod lfs;
pub mod scan;

// The repository by gix, and the git executable.
#[cfg(feature = "repo")]
pub mod repo;
#[cfg(feature = "git")]
pub mod git;

// Servers: where LFS objects are, how they are fetched, and who may see a token.
#[cfg(feature = "remote")]
pub mod remote;

// The order of steps, and what a person sees.
#[cfg(all(feature = "repo", feature = "git"))]
pub mod actions;
#[cfg(feature = "cli")]
pub mod cli;
