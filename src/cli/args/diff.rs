//! The arguments of `diff`.

use std::ffi::OsString;

use clap::ValueHint;

const DIFF: &str = "\
Show which tensors changed: added, removed, renamed, of another dtype or shape, and with --values of other bytes.

Without A, HEAD is compared with the working tree; with A, that revision; with A and B, both. A..B and A...B mean what they mean to \
git. Two files are compared with each other, each as a path or as REV:PATH, a checkpoint with a safetensors file too.

Headers alone are read, of an LFS pointer those of its object in the LFS store. Nothing is smudged, copied or downloaded; an object \
that is not here is said. Of a PyTorch zip file the directory has the CRC-32 of each tensor, so that changed and renamed ones are known \
without reading them; of others --values reads every byte.

--install sets git's own `diff`, `show` and `log -p` up to list the tensors of files under Git LFS, and not two pointers. git smudges what it \
shows so, which would copy each version and download what is missing; so it is set up only where Git LFS does not smudge. `git diff \
--no-textconv` shows the pointers.

The exit status is 0, with --exit-code 1 if anything differs.";

/// `diff`
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
    #[arg(value_names = ["A", "B"], num_args = 0..=2, value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) sides: Vec<OsString>,
    /// Compare these files or directories alone
    #[arg(value_name = "PATH", last = true, value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) paths: Vec<OsString>,
    /// Also compare tensor values (reads every byte)
    #[arg(long)]
    pub(in crate::cli) values: bool,
    /// Print one line per file
    #[arg(long)]
    pub(in crate::cli) stat: bool,
    /// Compare with what is staged, not with the working tree
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

/// `textconv`: what git runs, and nobody else.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Textconv {
    /// A version of a file, as git has written it
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: OsString,
}
