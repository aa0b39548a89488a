//! The arguments of the commands that speak to a remote repository.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueHint;

use crate::actions::Size;
use crate::actions::pull::Choice;

const CLONE: &str = "\
Clone a model without its weights, then convert it as the bare command does.

The clone is partial: commits, trees and small files come, and a pointer in the place of each file under Git LFS. \
Files longer than 64 KiB that are not under Git LFS follow for the commit that is checked out. One branch is cloned. \
Afterwards it is a clone like any other, for git and for git-lfs.

A token in HF_TOKEN goes to the server of HF_ENDPOINT, by default the public Hub, and to no other.";

/// `clone`
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
    /// OWNER/NAME or NAME of the Hub, or any URL or path that git takes; a path needs `./` or `/` in front
    #[arg(value_name = "MODEL", value_hint = ValueHint::Url)]
    pub(in crate::cli) model: OsString,
    /// Where to: a new or empty directory; by default the last part of MODEL
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) target: Option<PathBuf>,
    /// What to check out: a branch, a tag, a commit, or a reference such as refs/pr/3
    #[arg(long, value_name = "REV")]
    pub(in crate::cli) revision: Option<String>,
    /// Fetch the last N commits alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) depth: Option<u32>,
    /// Where safetensors may come from: pull request N, or the conversion; `auto` adopts a pull request that has the same
    #[arg(long, value_name = "N|auto|never", conflicts_with = "no_convert")]
    pub(in crate::cli) pr: Option<Choice>,
    /// How many bytes the tensors of a checkpoint may have together: `20GB`, `64MiB`, `1048576`
    #[arg(long, value_name = "SIZE", conflicts_with = "no_convert")]
    pub(in crate::cli) max_output: Option<Size>,
    /// Stop after the clone
    #[arg(long)]
    pub(in crate::cli) no_convert: bool,
}

const PULL: &str = "\
Take the safetensors files of a pull request of the remote, refs/pr/N.

The branch moves to the pull request where it can. Where it cannot, the safetensors files and their index alone are \
staged, or, with --merge, the pull request is merged. Their content is downloaded into the LFS store, checked, and put \
into the work tree.

A pull request that changes anything but safetensors files, their index and .gitattributes is shown with what it \
changes, and taken only if you say so.

Without N, the pull requests that carry safetensors are listed: `current` if the checkpoint is the one that they were \
made from, `stale` if it has changed since.";

/// `pull`
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
#[command(
    long_about = PULL,
    after_help = "\
Examples:
  git st-convert pull                    list the pull requests that carry safetensors
  git st-convert pull 42                 take pull request 42
  git st-convert pull 42 --verify        the same, if it holds what the checkpoint holds
  git st-convert pull --remote hub       ask another remote"
)]
pub(in crate::cli) struct Pull {
    /// The number of the pull request; without it those that carry safetensors are listed
    #[arg(value_name = "N")]
    pub(in crate::cli) number: Option<u64>,
    /// List all that there are, not the newest 20 alone
    #[arg(long, conflicts_with_all = ["number", "merge", "verify", "yes"])]
    pub(in crate::cli) all: bool,
    /// The remote to ask; without it, the one that the branch follows
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) remote: Option<String>,
    /// Merge it where the branch cannot move to it
    #[arg(long, requires = "number")]
    pub(in crate::cli) merge: bool,
    /// Take it only if its files are proven to hold the checkpoint's tensors, as `verify --pr N` does
    #[arg(long, requires = "number")]
    pub(in crate::cli) verify: bool,
    /// Take it whatever else it changes
    #[arg(long, requires = "number")]
    pub(in crate::cli) yes: bool,
}

const PUBLISH: &str = "\
Open a pull request on the Hub with the safetensors files.

Published are the safetensors files and shard indices that are staged or committed here, that the remote's default \
branch does not have, and that are made from a checkpoint of that branch. Nothing else of the work tree, the index or \
other commits is. The pull request is a draft until the content of its files has been sent by Git LFS and the commit \
pushed; then it is opened. Stopped half-way, the same command goes on with it.

If an open pull request has the very same files, whoever made it, it is named and no second one is made.

A remote that is not the Hub gets a branch. A token in HF_TOKEN goes to the server of HF_ENDPOINT, by default the \
public Hub, and to no other.";

/// `publish`
#[derive(Debug, clap::Args)]
#[command(
    long_about = PUBLISH,
    after_help = "\
Examples:
  git st-convert publish -n              say what would be published, and how
  git st-convert publish
  git st-convert publish --branch safetensors"
)]
pub(in crate::cli) struct Publish {
    /// Say what would be done: title, description, files, steps; write and send nothing
    #[arg(short = 'n', long)]
    pub(in crate::cli) dry_run: bool,
    /// The title; what follows its first line stands above the description
    #[arg(short, long, value_name = "MSG", allow_hyphen_values = true)]
    pub(in crate::cli) message: Option<String>,
    /// Push this branch instead of making a pull request
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) branch: Option<String>,
    /// Make a pull request although one with the same files is open
    #[arg(short, long, conflicts_with = "branch")]
    pub(in crate::cli) force: bool,
}
