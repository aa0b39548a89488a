//! The arguments of `batch`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueHint;

use super::positional::word;
use crate::actions::batch::Shard;
use crate::actions::pull::Choice;
use crate::size::Size;

const BATCH: &str = "\
Clone and convert many models, one after the other, as `clone` does.

LIST has one model per line: OWNER/NAME, OWNER/NAME@REVISION, a URL or a path; `#` starts a comment. A model that is listed \
twice is processed once.

Each finished model is one line in the journal, so a stopped run resumes; refused and failed models are retried, converted \
ones are not. One failing model does not stop the others.

--shard I/N processes every N-th model starting at I; Slurm arrays and indexed Kubernetes Jobs set it through their \
environment: SLURM_ARRAY_TASK_ID with SLURM_ARRAY_TASK_COUNT, _MIN, _MAX and _STEP, or JOB_COMPLETION_INDEX with \
ST_CONVERT_SHARD_COUNT, which also overrides Slurm's count. Each part has its own journal.";

/// The arguments of `batch`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = BATCH,
    after_help = "\
Examples:
  git st-convert batch models.txt --dir converted
  git st-convert batch --top 100 --filter pytorch --max-size 2G -n > models.txt
  git st-convert batch models.txt --dir /scratch/models --shard 0/4"
)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(in crate::cli) struct Batch {
    /// File with one model per line, or `-` for standard input
    #[arg(value_name = "LIST", value_hint = ValueHint::FilePath, value_parser = word(), required_unless_present = "top")]
    pub(in crate::cli) list: Option<OsString>,
    /// Use the N most downloaded models of the Hub instead of LIST
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, conflicts_with = "list", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) top: Option<u32>,
    /// With --top: only models with this tag, e.g. pytorch (repeatable)
    #[arg(long, value_name = "TAG", value_hint = ValueHint::Other, requires = "top")]
    pub(in crate::cli) filter: Vec<String>,
    /// Keep each clone in DIR/OWNER/NAME [default: temporary clones]
    ///
    /// A clone of an earlier run is fast-forwarded to the remote's commit and reused.
    #[arg(long = "dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) kept: Option<PathBuf>,
    /// Journal file [default: in DIR, or next to LIST]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) journal: Option<PathBuf>,
    /// List the models to process, one per line, and exit
    #[arg(short = 'n', long)]
    pub(in crate::cli) dry_run: bool,
    /// Also publish each converted model
    ///
    /// An identical pull request is not opened again; a model with a refused checkpoint is not published. A model that an
    /// earlier run converted but did not publish is published.
    #[arg(long)]
    pub(in crate::cli) publish: bool,
    /// Process finished models again if their remote commit changed
    #[arg(long)]
    pub(in crate::cli) update: bool,
    /// Skip models whose checkpoints total more than SIZE, e.g. 500MB
    #[arg(long, value_name = "SIZE", value_hint = ValueHint::Other)]
    pub(in crate::cli) max_size: Option<Size>,
    /// Process part I of N of the list (I counts from 0), e.g. 0/4
    #[arg(long, value_name = "I/N", value_hint = ValueHint::Other)]
    pub(in crate::cli) shard: Option<Shard>,
    /// Take pull request N, convert only (never), or convert and adopt an identical pull request (auto) [default: auto]
    #[arg(long, value_name = "N|auto|never", value_hint = ValueHint::Other)]
    pub(in crate::cli) pr: Option<Choice>,
    /// Overwrite existing safetensors files
    #[arg(short, long)]
    pub(in crate::cli) force: bool,
    /// Refuse checkpoints that contain anything besides weights
    #[arg(long)]
    pub(in crate::cli) strict: bool,
    /// Maximum total size of the tensors, e.g. 20GB [default: 4x the checkpoint + 64MiB]
    #[arg(long, value_name = "SIZE", value_hint = ValueHint::Other)]
    pub(in crate::cli) max_output: Option<Size>,
    /// Leave pointers in the clones; keep the content only in LFS storage
    #[arg(long, requires = "kept")]
    pub(in crate::cli) pointer_only: bool,
}
