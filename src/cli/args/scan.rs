//! The arguments of `scan`.

use std::ffi::OsString;

use clap::ValueHint;

/// `scan`
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Find pickles, and say what they would call.

Every file is judged by its content: torch archives and legacy files, raw pickles of any protocol, joblib and numpy \
files, and the members of zip, tar and gzip archives. An LFS pointer stands for its object. Nothing is unpickled. \
Nothing is downloaded, unless a model of the Hub is named: of its files as little is read as says what they are, by \
ranges. Of a PyTorch zip file longer than 1 MiB the storages are not read, and the result says so.

Verdicts: `weights` names only what checkpoints of weights are made of, `unknown` names something else, `dangerous` \
names what is known to execute, `unreadable` cannot be read to its end.

Exit status: 0 if no pickle was found, 1 if one was, 2 if something could not be looked at.",
    after_help = "\
Examples:
  git st-convert scan                            the tracked files of the work tree
  git st-convert scan ~/downloads model.pt       files and directories
  git st-convert scan OWNER/NAME                 a model of the Hub, before it is downloaded
  git st-convert scan OWNER/NAME@refs/pr/3       the same at a revision
  git st-convert scan --staged                   what the next commit would hold
  git st-convert scan --range origin/main..HEAD  what a branch adds, for CI
  git st-convert scan --format sarif > scan.sarif"
)]
pub(in super::super) struct Scan {
    /// Files, directories, or models of the Hub: MODEL, MODEL@REV (default: tracked files)
    #[arg(value_name = "TARGET", value_hint = ValueHint::AnyPath, conflicts_with_all = ["staged", "rev", "range"])]
    pub(in super::super) targets: Vec<OsString>,
    /// What the index holds
    #[arg(long, conflicts_with_all = ["rev", "range"])]
    pub(in super::super) staged: bool,
    /// What a commit holds
    #[arg(long, value_name = "REV", value_hint = ValueHint::Other, conflicts_with = "range")]
    pub(in super::super) rev: Option<String>,
    /// What the commits of a range add or change, also if a later one removes it
    #[arg(long, value_name = "A..B", value_hint = ValueHint::Other, value_parser = range)]
    pub(in super::super) range: Option<String>,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(in super::super) format: Format,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in super::super) enum Format {
    /// For a person
    Text,
    /// JSON Lines, as with `--json`
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// One revision is no range: what it adds is a question of what it is compared with.
fn range(value: &str) -> Result<String, String> {
    if value.contains("..") { Ok(value.to_owned()) } else { Err("expected A..B".to_owned()) }
}
