//! The arguments of `convert`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueHint;

use super::positional::{path, word};
use crate::actions::pull::Choice;
use crate::size::Size;

/// The arguments of `convert`, also without the subcommand's name.
#[derive(Debug, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(crate) struct Convert {
    /// Checkpoints or directories to convert [default: every tracked checkpoint]
    #[arg(value_name = "PATH", value_hint = ValueHint::FilePath, value_parser = word())]
    pub(crate) paths: Vec<OsString>,
    /// Show what would be written, without writing anything
    ///
    /// Reads only headers: tensors, size, tied tensors and ignored values are known, the object ID is not.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Write to FILE or below DIR and leave the repository unchanged
    ///
    /// A directory if one of that name exists, if it ends in a slash, or if several files are converted: each file keeps its
    /// path below PATH. Two outputs of one name are an error, before anything is written.
    #[arg(
        short, long, value_name = "FILE|DIR", value_hint = ValueHint::AnyPath, value_parser = path(),
        conflicts_with_all = ["replace", "pointer_only", "commit"]
    )]
    pub(crate) output: Option<PathBuf>,
    /// Take pull request N, convert only (never), or convert and adopt an identical pull request (auto) [default: auto]
    ///
    /// `auto` converts the checkpoint; if a pull request of the remote contains identical files and the branch can be
    /// fast-forwarded, it is adopted. If a checkpoint is refused, pull requests that add safetensors files are listed.
    /// `never` does not contact the remote for pull requests. N takes pull request N, as `pull N` does. The setting
    /// `st-convert.pr` changes the default.
    #[arg(long, value_name = "N|auto|never", value_hint = ValueHint::Other, conflicts_with_all = ["output"])]
    pub(crate) pr: Option<Choice>,
    /// Overwrite safetensors files that are not earlier conversions
    ///
    /// Without it, a safetensors file of unknown origin is kept. The old file stays in LFS storage.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Key of the state dict in the checkpoint; `.` for the whole object
    ///
    /// Default: the dict at `state_dict`; else the top level if it contains tensors; else the only state dict outside
    /// training state. If several remain, the checkpoint is refused and each key is listed. The whole object is flattened
    /// by dotted path.
    #[arg(long, value_name = "A.B", value_hint = ValueHint::Other, allow_hyphen_values = true)]
    pub(crate) key: Option<String>,
    /// Name to keep from a group of tied tensors (repeatable)
    ///
    /// Tied tensors are written once, under the name the model class expects; the other names are recorded in the
    /// metadata.
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other, allow_hyphen_values = true)]
    pub(crate) keep: Vec<String>,
    /// Refuse checkpoints that contain anything besides weights
    ///
    /// Without it, other values (numbers, strings, optimizer state) are ignored and listed.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Also remove the converted checkpoints and their shard index from git
    #[arg(long)]
    pub(crate) replace: bool,
    /// Leave pointers in the working tree; keep the content only in LFS storage
    #[arg(long)]
    pub(crate) pointer_only: bool,
    /// Also store downloaded checkpoints in LFS storage
    ///
    /// By default, a checkpoint that is only on the LFS server is converted while it downloads and is not stored.
    #[arg(long)]
    pub(crate) keep_source: bool,
    /// Plain files: also compute the SHA-256 of the checkpoint and of the output
    ///
    /// In a repository both are always computed, and `--json` contains both. Every CRC-32 of a checkpoint is checked in any
    /// case.
    #[arg(long)]
    pub(crate) sha256: bool,
    /// Maximum total size of the tensors, e.g. 20GB [default: 4x the checkpoint + 64MiB]
    ///
    /// Protects against small files that describe huge tensors. The setting `st-convert.maxOutput` changes the default.
    #[arg(long, value_name = "SIZE", value_hint = ValueHint::Other)]
    pub(crate) max_output: Option<Size>,
    /// Commit the result
    #[arg(long)]
    pub(crate) commit: bool,
    /// Commit message
    ///
    /// The `Converted-From: <path> sha256:<oid>` trailers are always added.
    #[arg(short, long, value_name = "MSG", value_hint = ValueHint::Other, requires = "commit", allow_hyphen_values = true)]
    pub(crate) message: Option<String>,
}
