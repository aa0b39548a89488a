//! The arguments of the commands that contact a remote repository.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueHint;

use super::positional::word;
use crate::actions::pull::Choice;
use crate::size::Size;

const CLONE: &str = "\
Make a partial clone of one branch: commits, trees, files up to 64 KiB, and LFS pointers instead of LFS objects; larger \
files outside Git LFS are fetched for the checked-out commit. Then convert, as `convert` does. The result is an ordinary \
clone for git and git-lfs.

HF_TOKEN is sent only to the server of HF_ENDPOINT (default: the public Hub).";

/// The arguments of `clone`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = CLONE,
    after_help = "\
Examples:
  git st-convert clone OWNER/NAME
  git st-convert clone OWNER/NAME --no-convert --revision v1.0
  git st-convert clone https://example.org/models/bert.git work/bert"
)]
pub(in crate::cli) struct Clone {
    /// OWNER/NAME on the Hub, a URL, or a path starting with `./` or `/`
    #[arg(value_name = "MODEL", value_hint = ValueHint::Url, value_parser = word())]
    pub(in crate::cli) model: OsString,
    /// New or empty directory [default: last part of MODEL]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) target: Option<PathBuf>,
    /// Branch, tag, commit or reference to check out, e.g. refs/pr/3
    #[arg(long, value_name = "REV", value_hint = ValueHint::Other)]
    pub(in crate::cli) revision: Option<String>,
    /// Fetch only the last N commits
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) depth: Option<u32>,
    /// Take pull request N, convert only (never), or convert and adopt an identical pull request (auto) [default: auto]
    #[arg(long, value_name = "N|auto|never", value_hint = ValueHint::Other, conflicts_with = "no_convert")]
    pub(in crate::cli) pr: Option<Choice>,
    /// Maximum total size of the tensors, e.g. 20GB [default: 4x the checkpoint + 64MiB]
    #[arg(long, value_name = "SIZE", value_hint = ValueHint::Other, conflicts_with = "no_convert")]
    pub(in crate::cli) max_output: Option<Size>,
    /// Clone only, do not convert
    #[arg(long)]
    pub(in crate::cli) no_convert: bool,
}

const PULL: &str = "\
Take the safetensors files of the pull request refs/pr/N of the remote.

The branch is fast-forwarded if possible; otherwise only the safetensors files and their shard index are staged, or, with \
--merge, the pull request is merged. LFS objects are downloaded and checked first.

If the pull request changes other files than safetensors files, shard indexes and .gitattributes, they are listed and you \
are asked.

Without N, list pull requests that add safetensors files: `current` if the checkpoint is unchanged since, else `stale`.";

/// The arguments of `pull`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
#[command(
    long_about = PULL,
    after_help = "\
Examples:
  git st-convert pull                    list pull requests that add safetensors files
  git st-convert pull 42                 take pull request 42
  git st-convert pull 42 --verify        take it only if it matches the checkpoint
  git st-convert pull --remote hub       list the pull requests of another remote"
)]
pub(in crate::cli) struct Pull {
    /// Pull request to take; without it, list the pull requests
    #[arg(value_name = "N", value_hint = ValueHint::Other, value_parser = pull_request)]
    pub(in crate::cli) number: Option<u64>,
    /// List all pull requests [default: the newest 20]
    #[arg(long, conflicts_with_all = ["number", "merge", "verify", "yes"])]
    pub(in crate::cli) all: bool,
    /// Remote of the pull requests [default: the branch's remote]
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    pub(in crate::cli) remote: Option<String>,
    /// Merge the pull request if the branch cannot be fast-forwarded
    #[arg(long, requires = "number")]
    pub(in crate::cli) merge: bool,
    /// Take the pull request only if its files match the checkpoints
    #[arg(long, requires = "number")]
    pub(in crate::cli) verify: bool,
    /// Accept changes to other files without asking
    #[arg(long, requires = "number")]
    pub(in crate::cli) yes: bool,
}

const PUBLISH: &str = "\
Open a pull request on the Hub with the safetensors files.

Send the staged or committed safetensors files and shard indexes that the remote's default branch lacks and that were \
converted from its checkpoints; nothing else. The pull request stays a draft until LFS objects and commit are pushed. An \
interrupted publish resumes when run again.

If an open pull request, by anyone, has identical files, it is reported instead.

Other remotes than the Hub get a branch. HF_TOKEN is sent only to the server of HF_ENDPOINT (default: the public Hub).";

/// The arguments of `publish`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = PUBLISH,
    after_help = "\
Examples:
  git st-convert publish -n              show what would be published
  git st-convert publish
  git st-convert publish --branch safetensors"
)]
pub(in crate::cli) struct Publish {
    /// Show the title, description, files and steps, without sending anything
    #[arg(short = 'n', long)]
    pub(in crate::cli) dry_run: bool,
    /// Title; further lines go above the description
    #[arg(short, long, value_name = "MSG", value_hint = ValueHint::Other, allow_hyphen_values = true)]
    pub(in crate::cli) message: Option<String>,
    /// Push a branch instead of opening a pull request
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    pub(in crate::cli) branch: Option<String>,
    /// Open a pull request even if an identical one is open
    #[arg(short, long, conflicts_with = "branch")]
    pub(in crate::cli) force: bool,
}

/// Reads the number of a pull request.
pub(super) fn pull_request(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "expected a pull request number")
}
