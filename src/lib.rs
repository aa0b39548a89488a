//! Converts the pickle weights of a model repository: PyTorch checkpoints become safetensors files under Git LFS, and
//! no pickle is ever executed.
//!
//! The modules are in dependency order; each uses only those above it. The first ten are the pure core: bytes in
//! ([`read_at::ReadAt`]), bytes out, no path, process, network, clock or environment.
//!
//! # The path of one tensor
//!
//! ```text
//! source: ReadAt ──plan──▶ Plan          a file or an LFS object; reads kilobytes, no tensor byte
//! Plan ──Layout::new──▶ header, order, final size                       before a byte is written
//! for each tensor: read ─▶ shared buffer ─▶ hash; write to LFS storage and the working tree   the only loop over data
//! finish: on the disk, size and source object ID checked, rename to objects/ab/cd/<oid> ─▶ Pointer
//! index entry = pointer blob + the stat of the working-tree file
//! ```
//!
//! No tensor is ever in memory as a whole, the program writes nothing twice, and no clean filter reads the file again.
//! `docs/architecture.md` describes which module does what, and why.
//!
//! # Examples
//!
//! Convert one checkpoint to one safetensors file, in one pass, which checks every checksum of the checkpoint before it
//! returns:
//!
//! ```
//! use git_st_convert::convert_file;
//! use git_st_convert::recipe::Options;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = std::fs::read("tests/fixtures/checkpoints/tied-2.bin")?; // or a read_at::FileSource
//! let mut output = Vec::new(); // or a file
//! let report = convert_file(&source, &mut output, &Options::default())?;
//! assert_eq!(report.size, output.len() as u64);
//! assert_eq!(report.dropped.len(), 1); // a tied name, which the metadata of the file has
//! # Ok(())
//! # }
//! ```
//!
//! List the contents of a checkpoint, and the globals that a loader would execute:
//!
//! ```
//! use git_st_convert::{checkpoint, scan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = std::fs::read("tests/fixtures/checkpoints/tied-2.bin")?;
//! let plan = checkpoint::plan(&source, &checkpoint::Options::default())?;
//! assert_eq!(plan.tensors[0].name, "embed.weight");
//!
//! let source = std::fs::read("tests/fixtures/checkpoints/os-system.bin")?;
//! let report = scan::scan(&source, &scan::Limits::default())?;
//! assert_eq!(report.verdict, scan::Verdict::Dangerous);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/` has a small program each for converting, listing, verifying and scanning.

// Numbers of bytes as users write and read them.
pub mod size;

// Reading and writing: bytes at an offset, bytes in memory, and bytes that are hashed as they pass.
pub mod read_at;
pub mod buffer;
pub mod hash;

// The formats: a pickle as data, the tensors of a checkpoint, safetensors, LFS text, the globals of a pickle.
pub mod pickle;
pub mod checkpoint;
pub mod safetensors;
pub mod lfs;
pub mod scan;

// The conversion of one checkpoint to one safetensors file.
pub mod recipe;

pub use bstr;
pub use recipe::convert_file;

// The git executable, and the repository by gix.
#[cfg(feature = "git")]
pub mod git;
#[cfg(feature = "repo")]
pub mod repo;

// Servers: where LFS objects are, how they are downloaded, and which server receives a token.
#[cfg(feature = "remote")]
pub mod remote;

// The order of steps, and the user interface.
#[cfg(feature = "remote")]
pub mod actions;
#[cfg(feature = "cli")]
pub mod cli;
