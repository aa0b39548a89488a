//! The arguments of `batch`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueHint;

use crate::actions::Size;
use crate::actions::batch::Shard;
use crate::actions::pull::Choice;

const BATCH: &str = "\
Convert many models, one after the other: each is cloned without its weights and converted, as `clone` does it.

LIST names a model a line: OWNER/NAME or OWNER/NAME@REVISION of the Hub, or any URL or path that `clone` takes. Blank lines, \
and what follows `#`, say nothing; a model that is named twice is done once.

What is finished is a line of the journal before the next model is begun, so a run that was stopped, by whatever, goes on \
where it was. A later run does what is not done, and what was refused or failed; a model that was converted, or had nothing \
to convert, is not asked for again. A model that cannot be done stops no other.

--shard I/N takes every N-th model, from number I on, which counts from 0. In a Slurm array or an indexed Job of Kubernetes \
the environment says it: SLURM_ARRAY_TASK_ID with SLURM_ARRAY_TASK_COUNT, _MIN, _MAX and _STEP, or JOB_COMPLETION_INDEX with \
ST_CONVERT_SHARD_COUNT, which also overrides Slurm's count. Each shard has a journal of its own.";

/// `batch`
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
    /// A file with a model a line, or `-` for the standard input
    #[arg(value_name = "LIST", value_hint = ValueHint::FilePath, required_unless_present = "top")]
    pub(in crate::cli) list: Option<OsString>,
    /// The N models of the Hub that are downloaded most, instead of a list
    #[arg(long, value_name = "N", conflicts_with = "list", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) top: Option<u32>,
    /// Of those the ones with this tag: a library, a task, a language; may be given again
    #[arg(long, value_name = "TAG", requires = "top")]
    pub(in crate::cli) filter: Vec<String>,
    /// Keep each clone, as DIR/OWNER/NAME; without it each is temporary, and removed with its result
    ///
    /// A clone that an earlier run kept there is brought to the remote's commit by a fast-forward, and gone on with.
    #[arg(long = "dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) kept: Option<PathBuf>,
    /// The journal; by default in DIR, or else beside LIST
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) journal: Option<PathBuf>,
    /// Print the models that are to be done, a line each, and do nothing
    #[arg(short = 'n', long)]
    pub(in crate::cli) dry_run: bool,
    /// Publish each model, as `publish` does: a pull request of the Hub
    ///
    /// Of a model with an identical pull request no second one is made; a model of which a checkpoint was refused is not
    /// published. What an earlier run converted and did not publish is published, too.
    #[arg(long)]
    pub(in crate::cli) publish: bool,
    /// Ask the server of each model that is done for its commit, and do it again if that is another one
    #[arg(long)]
    pub(in crate::cli) update: bool,
    /// Skip models whose checkpoints are larger together: in bytes, or as 500MB, 2GiB; known before anything is downloaded
    #[arg(long, value_name = "SIZE")]
    pub(in crate::cli) max_size: Option<Size>,
    /// Do every N-th model, from number I on: 0/4, 1/4, 2/4, 3/4
    #[arg(long, value_name = "I/N")]
    pub(in crate::cli) shard: Option<Shard>,
    /// Where safetensors may come from: the pull request of this number, or the conversion; `auto` adopts a pull request that has the same
    #[arg(long, value_name = "N|auto|never")]
    pub(in crate::cli) pr: Option<Choice>,
    /// Convert although the safetensors file exists
    #[arg(short, long)]
    pub(in crate::cli) force: bool,
    /// Refuse where something beside the weights would be dropped
    #[arg(long)]
    pub(in crate::cli) strict: bool,
    /// The most bytes of tensors that a checkpoint may have; by default four times its size and 64 MiB
    #[arg(long, value_name = "SIZE")]
    pub(in crate::cli) max_output: Option<Size>,
    /// Leave pointers in the work trees, the content only in their LFS stores
    #[arg(long, requires = "kept")]
    pub(in crate::cli) pointer_only: bool,
}
