//! The arguments of `diff`.

use std::ffi::OsString;

use super::positional::word;
use clap::ValueHint;

const DIFF: &str = "\
Show which tensors changed: added, removed or renamed, with a different dtype or shape, and, with --values, with different \
values.

Without A, compare HEAD with the working tree; with A, that revision; with A and B, both. A..B and A...B work as in git. Two \
files, each a path or REV:PATH, are compared with each other, also a checkpoint with a safetensors file.

Only headers are read; for an LFS pointer, those of its object in LFS storage. Nothing is smudged, copied or downloaded; a \
missing object is reported. The directory of a PyTorch zip file has the CRC-32 of each tensor, so changed and renamed \
tensors are known without reading them; for other formats --values reads every byte.

--install sets up `git diff`, `git show` and `git log -p` to list the tensors of files under Git LFS instead of two pointers. \
git smudges the files for that, which would copy each version and download missing ones, so it is set up only where Git LFS \
does not smudge. `git diff --no-textconv` shows the pointers.

Exit status: 0, or, with --exit-code, 1 if anything differs.";

/// The arguments of `diff`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
#[command(
    long_about = DIFF,
    override_usage = "git st-convert diff [OPTIONS] [A] [B] [-- PATH...]",
    after_help = "\
Examples:
  git st-convert diff HEAD~1 HEAD
  git st-convert diff old.safetensors new.safetensors --values
  git st-convert diff main...tuned -- encoder
  git st-convert diff --install          list tensors in git diff, show and log -p"
)]
pub(in crate::cli) struct Diff {
    /// Revisions or files to compare [default: HEAD and the working tree]
    #[arg(value_names = ["A", "B"], num_args = 0..=2, value_hint = ValueHint::AnyPath, value_parser = word())]
    pub(in crate::cli) sides: Vec<OsString>,
    /// Compare only these files or directories
    #[arg(value_name = "PATH", last = true, value_hint = ValueHint::AnyPath, value_parser = word())]
    pub(in crate::cli) paths: Vec<OsString>,
    /// Also compare tensor values (reads every byte)
    #[arg(long)]
    pub(in crate::cli) values: bool,
    /// Print one line per file
    #[arg(long)]
    pub(in crate::cli) stat: bool,
    /// Compare with the index instead of the working tree
    #[arg(long, visible_alias = "cached")]
    pub(in crate::cli) staged: bool,
    /// Exit with 1 if anything differs
    #[arg(long)]
    pub(in crate::cli) exit_code: bool,
    /// Set up git diff, show and log to list tensors (`diff.lfs.textconv`)
    #[arg(long, conflicts_with_all = ["sides", "paths", "values", "stat", "staged", "exit_code"])]
    pub(in crate::cli) install: bool,
    /// Undo --install
    #[arg(long, conflicts_with_all = ["install", "sides", "paths", "values", "stat", "staged", "exit_code"])]
    pub(in crate::cli) uninstall: bool,
    /// With --install: for all repositories
    #[arg(long, conflicts_with_all = ["sides", "paths", "values", "stat", "staged", "exit_code"])]
    pub(in crate::cli) global: bool,
}

/// The arguments of `textconv`, which only git runs.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Textconv {
    /// A version of a file, as git has written it
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: OsString,
}
