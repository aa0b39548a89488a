//! The arguments of `verify`.

use std::ffi::OsString;

use super::positional::word;
use clap::ValueHint;

const VERIFY: &str = "\
Compare each safetensors file with its checkpoint (next to it, by name) and each shard index with its shards. A PATH is a \
safetensors file, a checkpoint, a shard index or a directory. With --pr N, compare the files of a pull request with the \
checkpoints they were converted from.

First the checkpoint is converted in memory, in every way the reference converter ever used, and hashed: if one object ID \
matches the pointer, the file is `identical` and is not downloaded. Otherwise header and tensors are compared: `equal`, or \
`differs` with the first differences. `stale`: the checkpoint changed since.

Exit status: 0 all identical or equal, 1 a file differs or is stale, 2 a file could not be verified.";

/// The arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = VERIFY,
    after_help = "\
Examples:
  git st-convert verify                  verify every tracked safetensors file
  git st-convert verify --pr 42          verify pull request 42 before taking it
  git st-convert verify --rev v1.0 model.safetensors"
)]
pub(in crate::cli) struct Verify {
    /// Safetensors files, checkpoints, shard indexes or directories [default: all tracked]
    #[arg(value_name = "PATH", value_hint = ValueHint::FilePath, value_parser = word())]
    pub(in crate::cli) paths: Vec<OsString>,
    /// Verify the files of pull request N
    #[arg(
        long, value_name = "N", value_hint = ValueHint::Other, conflicts_with_all = ["paths", "rev"],
        value_parser = super::remote::pull_request
    )]
    pub(in crate::cli) pr: Option<u64>,
    /// Verify the files of a commit instead of the working tree
    #[arg(long, value_name = "REV", value_hint = ValueHint::Other)]
    pub(in crate::cli) rev: Option<String>,
    /// Key of the state dict in the checkpoint; `.` for the whole object
    #[arg(long, value_name = "A.B", value_hint = ValueHint::Other, allow_hyphen_values = true)]
    pub(in crate::cli) key: Option<String>,
}
