//! The integration tests, in one binary.
//!
//! Pure questions are asked in unit tests beside the code; here the reference programs answer.

/// The formats of the pure core, against files that torch and safetensors wrote.
mod formats;

/// Where programs run: an environment of their own, with git and a filter that counts.
#[cfg(feature = "cli")]
mod sandbox;

/// `repo/`, `lfs/` and `git/` of the library, judged by git and git-lfs.
#[cfg(feature = "cli")]
mod repo;

/// `cli/` of the library: what a person sees, and the exit codes.
#[cfg(feature = "cli")]
mod cli;
