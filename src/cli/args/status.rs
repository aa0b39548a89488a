//! The arguments of `status`.

use std::ffi::OsString;

use super::positional::word;
use clap::ValueHint;

const STATUS: &str = "\
Show which checkpoints are converted, stale or missing a safetensors file.

Only headers and object IDs are read, and no server is contacted. A safetensors file is up to date if this clone converted \
it from the present checkpoint or verified it against that; stale if the checkpoint changed since; differs if its header \
does not fit; else unverified. Files in a merge conflict are unmerged, and files that the user has no permission to read are \
unreadable. Each group ends with the command that resolves it.

With --exit-code the exit status is 1 if a checkpoint has no safetensors file, or if a file is stale, unmerged or unreadable, \
or differs.";

/// The arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = STATUS,
    after_help = "\
Examples:
  git st-convert status
  git st-convert status --exit-code      fail in CI if a checkpoint is not converted
  git st-convert status --json unet/"
)]
pub(in crate::cli) struct Status {
    /// Files or directories to check [default: the whole repository]
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath, value_parser = word())]
    pub(in crate::cli) paths: Vec<OsString>,
    /// Exit with 1 if anything needs attention (for CI)
    #[arg(long)]
    pub(in crate::cli) exit_code: bool,
}
