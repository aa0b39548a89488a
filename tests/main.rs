//! The integration tests, in one binary.
//!
//! Pure questions are asked in unit tests beside the code; here the reference programs answer.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]

/// The formats of the pure core, against files that torch and safetensors wrote.
mod formats;

/// What an attacker would write, and how it is refused.
mod attacks;

/// Checkpoints made by Rust code, so that every field can lie.
mod checkpoint;

/// The fuzz targets on mutations of the fixtures, and on what was found before.
mod fuzzed;

/// What a file is, whether it holds a pickle, and what that would call.
mod scan;

/// The fences of the architecture: who uses whom, who may print, how long a file is.
mod layers;

/// Every hint, pasted in the situation that prints it.
#[cfg(all(unix, feature = "cli"))]
mod hints;

/// Where programs run: an environment of their own, with git and a filter that counts.
#[cfg(feature = "cli")]
mod sandbox;

/// `repo/`, `lfs/` and `git/` of the library, judged by git and git-lfs.
#[cfg(feature = "cli")]
mod repo;

/// A server like the Hugging Face Hub, on this machine, with faults; checked by git, git-lfs and curl.
#[cfg(feature = "cli")]
mod hub;

/// The hub asked by real clients. Not in it: benches include the hub, and have no sandbox.
#[cfg(feature = "cli")]
#[path = "hub/check/mod.rs"]
mod hub_check;

/// `remote/` of the library, judged by that hub, by git, git-lfs and LFS servers.
#[cfg(feature = "cli")]
mod remote;

/// The acceptance of `git st-convert`: the program itself, in repositories that git made.
#[cfg(all(unix, feature = "cli"))]
mod convert;

/// The acceptance of `git st-convert diff`, and of git's own diff.
#[cfg(all(unix, feature = "cli"))]
mod diff;

/// The working day: `status`, and what a person does by it.
#[cfg(all(unix, feature = "cli"))]
mod day;

/// The acceptance of `git st-convert clone`, against the hub and plain directories.
#[cfg(all(unix, feature = "cli"))]
mod clone;

/// The acceptance of `git st-convert batch`: many models of the hub.
#[cfg(all(unix, feature = "cli"))]
mod batch;

/// The acceptance of `git st-convert pull`, and of `--pr`.
#[cfg(all(unix, feature = "cli"))]
mod pull;

/// The acceptance of `git st-convert hook`: commits, pushes and servers, and the hooks that others wrote.
#[cfg(all(unix, feature = "cli"))]
mod guard;

/// The acceptance of `git st-convert verify`, and of `pull --verify`.
#[cfg(all(unix, feature = "cli"))]
mod verify;

/// The acceptance of `git st-convert publish`.
#[cfg(all(unix, feature = "cli"))]
mod publish;

/// The acceptance of converting a checkpoint while it is downloaded.
#[cfg(all(unix, feature = "cli"))]
mod stream;

/// `cli/` of the library: what a person sees, and the exit codes.
#[cfg(feature = "cli")]
mod cli;

/// What the wheel and other packages are made of.
#[cfg(all(unix, feature = "cli"))]
mod packaging;
