//! The integration tests, in one binary.
//!
//! The unit tests are next to the code; the tests here compare the program with the reference programs.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]

/// Tests the formats of the pure core with files that torch and safetensors wrote.
mod formats;

/// Tests files that an attacker could write, and their refusals.
mod attacks;

/// Builds checkpoints byte by byte, so that every field can be wrong.
mod checkpoint;

/// Runs the fuzz targets on mutations of the fixtures, and on earlier findings.
mod fuzzed;

/// Tests the scan: the formats of files, their pickles, and the globals in them.
mod scan;

/// Checks the rules of the architecture: dependencies between modules, printing, the length of files.
mod layers;

/// Runs every hint in the situation that prints it.
#[cfg(all(unix, feature = "cli"))]
mod hints;

/// Provides an isolated environment for programs, with git and a filter that counts its runs.
#[cfg(feature = "cli")]
mod sandbox;

/// Tests `repo/`, `lfs/` and `git/` of the library, compared with git and git-lfs.
#[cfg(feature = "cli")]
mod repo;

/// Provides a local server like the Hugging Face Hub, with faults; git, git-lfs and curl check it.
#[cfg(feature = "cli")]
mod hub;

/// Tests the hub with real clients. It is not a part of the hub, which benches include without a sandbox.
#[cfg(feature = "cli")]
#[path = "hub/check/mod.rs"]
mod hub_check;

/// Tests `remote/` of the library with that hub, and compares it with git, git-lfs and LFS servers.
#[cfg(feature = "cli")]
mod remote;

/// Acceptance tests of `git st-convert`: the program itself, in repositories that git created.
#[cfg(all(unix, feature = "cli"))]
mod convert;

/// Acceptance tests of `git st-convert diff`, and of git's own diff.
#[cfg(all(unix, feature = "cli"))]
mod diff;

/// Acceptance tests of daily work: `status`, and the commands that follow it.
#[cfg(all(unix, feature = "cli"))]
mod day;

/// Acceptance tests of `git st-convert clone`, with the hub and plain directories.
#[cfg(all(unix, feature = "cli"))]
mod clone;

/// Acceptance tests of `git st-convert batch`, with many models of the hub.
#[cfg(all(unix, feature = "cli"))]
mod batch;

/// Acceptance tests of `git st-convert pull` and of `--pr`.
#[cfg(all(unix, feature = "cli"))]
mod pull;

/// Acceptance tests of `git st-convert hook`: commits, pushes and servers, and existing hooks.
#[cfg(all(unix, feature = "cli"))]
mod guard;

/// Acceptance tests of `git st-convert verify` and of `pull --verify`.
#[cfg(all(unix, feature = "cli"))]
mod verify;

/// Acceptance tests of `git st-convert publish`.
#[cfg(all(unix, feature = "cli"))]
mod publish;

/// Acceptance tests of the conversion of a checkpoint during its download.
#[cfg(all(unix, feature = "cli"))]
mod stream;

/// Tests `cli/` of the library: the output for the user, and the exit codes.
#[cfg(feature = "cli")]
mod cli;

/// Tests the inputs of the wheel and of other packages.
#[cfg(all(unix, feature = "cli"))]
mod packaging;
