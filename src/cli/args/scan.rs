//! The arguments of `scan`.

use std::ffi::OsString;

use super::positional::word;
use clap::ValueHint;

/// The arguments of `scan`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Find pickles and what they import, and other code in files.

Files are detected by content: PyTorch zip and legacy files, pickles of any protocol, joblib and numpy files, and members \
of zip, tar and gzip archives; for an LFS pointer, the LFS object. Nothing is unpickled, and nothing is downloaded unless a \
model on the Hub is named: of its files only what decides the verdict is read, by range requests. The storages of a PyTorch \
zip file over 1 MiB are not read, and the result reports that.

Code outside of pickles (layers of Keras, attributes of HDF5 files, modules of torch.package) has a verdict like that of a \
pickle, if the loader of the format executes it. Other code (auto_map, YAML tags, templates, Python files in archives) is \
only listed. A text over 1 MiB is searched for code only in its first 64 KiB, a GGUF file in its first 16 MiB, and an HDF5 \
file on a server in its first MiB; the result reports that.

Verdicts: `clean` no pickle, `weights` only allowed globals, `unknown` other globals, `dangerous` globals known to execute \
code, `unreadable` not parsable to the end.

Exit status: 0 no pickle and no other code that a loader executes, 1 one of them was found, 2 a file could not be scanned.",
    after_help = "\
Examples:
  git st-convert scan                            tracked files in the working tree
  git st-convert scan ~/downloads model.pt       files and directories
  git st-convert scan OWNER/NAME                 a model on the Hub, before it is downloaded
  git st-convert scan OWNER/NAME@refs/pr/3       a pull request of that model
  git st-convert scan --staged                   what the next commit would contain
  git st-convert scan --range origin/main..HEAD  what a branch adds (CI)
  git st-convert scan --format sarif > scan.sarif"
)]
pub(in super::super) struct Scan {
    /// Files, directories, or OWNER/NAME or OWNER/NAME@REV on the Hub [default: tracked files in the working tree]
    #[arg(value_name = "TARGET", value_hint = ValueHint::AnyPath, value_parser = word(), conflicts_with_all = ["staged", "rev", "range"])]
    pub(in super::super) targets: Vec<OsString>,
    /// Scan the staged files
    #[arg(long, conflicts_with_all = ["rev", "range"])]
    pub(in super::super) staged: bool,
    /// Scan the files of a commit
    #[arg(long, value_name = "REV", value_hint = ValueHint::Other, conflicts_with = "range")]
    pub(in super::super) rev: Option<String>,
    /// Scan every file version added by a range of commits
    #[arg(long, value_name = "A..B", value_hint = ValueHint::Other, value_parser = range)]
    pub(in super::super) range: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(in super::super) format: Format,
}

/// The format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in super::super) enum Format {
    /// Human-readable
    Text,
    /// JSON Lines, as with `--json`
    Json,
    /// SARIF 2.1.0 for code scanning
    Sarif,
}

/// Parses a range. A single revision is not a range: which files it adds depends on the revision before it.
fn range(value: &str) -> Result<String, String> {
    if value.contains("..") { Ok(value.to_owned()) } else { Err("expected A..B".to_owned()) }
}
