//! The arguments of `verify`.

use std::ffi::OsString;

use clap::ValueHint;

const VERIFY: &str = "\
Prove that safetensors files hold the tensors of the checkpoints that they are named after, bit for bit.

Without PATH, every safetensors file that git knows is verified against the checkpoint beside it, and every shard index \
against its shards. A PATH may be a safetensors file, its checkpoint, an index or a directory. With --pr N the files of a \
pull request are verified against the checkpoints that it was made from.

What a converter would have made of the checkpoint is hashed, in every way that the reference converter had. If one of \
them has the oid that a pointer names, the file is identical, and no byte of it is downloaded. Else header and tensors \
are compared: the file is equal, or it differs, and the first differences are listed. A file of a pull request is stale \
if its checkpoint has changed since.

The exit status is 0 only if all are identical or equal, 1 if one differs or is stale, 2 if one could not be verified.";

/// `verify`
#[derive(Debug, clap::Args)]
#[command(
    long_about = VERIFY,
    after_help = "\
Examples:
  git st-convert verify                  all that are here
  git st-convert verify --pr 42          before it is taken; downloads nothing of it if its oid proves it
  git st-convert verify --rev v1.0 model.safetensors"
)]
pub(in crate::cli) struct Verify {
    /// Safetensors files, checkpoints, shard indices or directories; without any, all that git knows
    #[arg(value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) paths: Vec<OsString>,
    /// Verify the files of this pull request
    #[arg(long, value_name = "N", conflicts_with_all = ["paths", "rev"])]
    pub(in crate::cli) pr: Option<u64>,
    /// Verify the files of this commit, and not those of the work tree
    #[arg(long, value_name = "REV")]
    pub(in crate::cli) rev: Option<String>,
    /// Which nested dict is the state dict; `.` is the whole object
    #[arg(long, value_name = "A.B", allow_hyphen_values = true)]
    pub(in crate::cli) key: Option<String>,
}
