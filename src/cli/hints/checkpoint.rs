//! Chooses hints for checkpoints that the reader refuses.

use std::fmt::Write as _;

use bstr::ByteSlice as _;

use super::super::shell_paths::shell;
use super::super::sizes::{bytes, counted};
use super::named::Named;
use crate::checkpoint::{Candidate, Error, Foreign, Kind};

/// Saves only weights.
const SAVE: &str = "torch.save(model.state_dict(), …)";

/// Returns the state dict of a model that is divided among the ranks of a run.
const WHOLE: &str = "get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))";
/// Returns the state dict of a quantized model.
const DENSE: &str =
    "{k: v if type(v) is torch.Tensor else v.dequantize() for k, v in model.state_dict().items()}";

/// Returns `true` if a tensor of this class contains the part of one rank.
fn is_of_ranks(class: &str) -> bool {
    ["DTensor", "ShardedTensor"].iter().any(|name| class.ends_with(name))
}

/// Returns the hints for an error of the reader.
pub(super) fn of(error: &Error, named: &Named<'_>) -> Vec<String> {
    let (git, file) = (named.here.git(), named.argument());
    let hint = match error {
        Error::Ambiguous { candidates, total, .. } => keys(candidates, *total),
        Error::NotCheckpoint { kind: Kind::Pointer } if !named.here.has_lfs() => return Vec::new(),
        Error::NotCheckpoint { kind } => return vec![other_kind(*kind, named)],
        Error::Foreign { kind } => return vec![of_foreign(*kind, named)],
        Error::TorchScript { .. } | Error::ScriptModule { .. } => {
            format!("save the weights of the model that it was made of with `{SAVE}`, and convert that file")
        }
        Error::Wrapped { class, .. } | Error::Opaque { global: class, .. } if is_of_ranks(class) => {
            format!("merge the ranks first, in the run that saved it: `torch.save({WHOLE}, …)`")
        }
        Error::Wrapped { .. } => {
            format!("where it was made, save its weights dequantized: `torch.save({DENSE}, …)`")
        }
        Error::WholeObject { .. } | Error::Module { .. } | Error::Opaque { .. } => {
            format!("if you trust it, load it in PyTorch and save only the weights: `{SAVE}`")
        }
        Error::Empty { .. } => "merge the ranks in the directory where DeepSpeed saved `zero_to_fp32.py`: \
                                `python zero_to_fp32.py . OUTPUT_DIR`"
            .to_owned(),
        Error::StorageType { .. } | Error::Unsupported { .. } => format!(
            "in PyTorch, drop this tensor or convert it to a dense tensor of a supported dtype, then save again: `{SAVE}`"
        ),
        Error::ReservedName { .. } | Error::DuplicateName { .. } | Error::Key { .. } => {
            format!("in PyTorch, rename this tensor, then save again: `{SAVE}`")
        }
        Error::NoSuchKey { .. } => {
            format!("list all its contents: `{git} st-convert inspect --key . {file}`")
        }
        Error::Keep { .. } | Error::KeepDropped { .. } => ties(named),
        Error::Output { bytes, .. } => allowed(*bytes, named),
        Error::Damaged(_) => format!("check the LFS storage: `{git} lfs fsck`"),
        // The bytes are not what torch wrote: truncated, changed, or crafted.
        Error::Pickle { .. }
        | Error::Zip(_)
        | Error::NoEndRecord
        | Error::Ambiguity { .. }
        | Error::Unforeseen { .. }
        | Error::MissingRecord { .. }
        | Error::Legacy { .. }
        | Error::LegacyPart { .. }
        | Error::Tar { .. }
        | Error::Plain { .. }
        | Error::StorageLength { .. }
        | Error::Storage { .. }
        | Error::Geometry { .. }
        | Error::ScriptCode { .. } => {
            format!("compare its checksum with the publisher's: `sha256sum {}`", named.path())
        }
        // The user does not want to convert training state.
        Error::Io(_) | Error::NoTensors | Error::TrainingState | Error::Limit { .. } => return Vec::new(),
    };
    vec![hint]
}

/// Returns the command that lists the tied tensors of a file, or of all files of the run.
fn ties(named: &Named<'_>) -> String {
    let (git, file) = (named.here.git(), named.argument());
    if named.file.is_some() {
        return format!(
            "list the tied tensors: `{git} st-convert inspect{} {file}`",
            named.here.options_of(&["--key"])
        );
    }
    let options = named.here.options_but(&["--dry-run", "--keep"]);
    format!("list the tied tensors: `{git} st-convert --dry-run{options}{}`", named.here.paths())
}

/// Returns the command that converts a checkpoint with this many bytes of tensors.
fn allowed(bytes: u64, named: &Named<'_>) -> String {
    let (git, file) = (named.here.git(), named.argument());
    let options = named.here.options_but(&["--max-output"]);
    format!("if this size is expected: `{git} st-convert{options} --max-output {bytes} {file}`")
}

/// Returns how to get the weights that another tool packed.
fn of_foreign(kind: Foreign, named: &Named<'_>) -> String {
    let file = named.path();
    match kind {
        Foreign::Distributed => merge(named),
        Foreign::Package => {
            format!("load it with `torch.package.PackageImporter`, and save its weights: `{SAVE}`")
        }
        Foreign::StableBaselines => {
            let options = named.here.options();
            format!("unpack its policy: `unzip {file} policy.pth && git st-convert{options} policy.pth`")
        }
        Foreign::Checkpoints => format!("unpack it first: `unzip {file}`"),
        Foreign::Npz => of_arrays("dict(numpy.load(sys.argv[1]))", &file),
        Foreign::Keras => format!("list its members: `unzip -l {file}`"),
        Foreign::Joblib => {
            format!("list what it imports: `{} st-convert scan {}`", named.here.git(), named.argument())
        }
    }
}

/// Returns the command that writes numpy's arrays to a safetensors file: the file is read without its pickles.
fn of_arrays(arrays: &str, file: &str) -> String {
    format!(
        "convert it in Python: `python -c 'import sys, numpy; from safetensors.numpy import save_file; \
         save_file({arrays}, sys.argv[2])' {file} OUTPUT.safetensors`"
    )
}

/// Returns how to merge the shards of a distributed checkpoint into one file.
pub(in super::super) fn merge(named: &Named<'_>) -> String {
    let dir = named.dir();
    format!(
        "merge the shards: `python -m torch.distributed.checkpoint.format_utils dcp_to_torch {dir} OUTPUT.pth`"
    )
}

/// Returns what to do with a file that is not a checkpoint.
fn other_kind(kind: Kind, named: &Named<'_>) -> String {
    let git = named.here.git();
    match kind {
        Kind::Pointer => {
            format!("download it: `{git} {}`", named.here.lfs_download(&named.lfs_pattern()))
        }
        Kind::Conflict => {
            format!("find a version without conflicts: `{git} log --oneline -- {}`", named.pathspec())
        }
        Kind::Safetensors => {
            format!("list its tensors: `{git} st-convert inspect {}`", named.argument())
        }
        Kind::Compressed | Kind::Tar => "unpack it first".to_owned(),
        Kind::Html => "download it again; the server may require you to sign in".to_owned(),
        Kind::Empty => "download it again".to_owned(),
        Kind::Pickle => {
            format!("list what it imports: `{git} st-convert scan {}`", named.argument())
        }
        Kind::Npy => of_arrays("{\"NAME\": numpy.load(sys.argv[1])}", &named.path()),
        _ => {
            format!("identify it: `file {}`", named.path())
        }
    }
}

fn keys(candidates: &[Candidate], total: usize) -> String {
    let keys: Vec<_> = candidates.iter().map(|candidate| shell(candidate.key.as_bytes().as_bstr())).collect();
    let width = keys.iter().map(|key| key.chars().count()).max().unwrap_or(0);
    let digits = candidates.iter().map(|candidate| candidate.tensors.to_string().len()).max().unwrap_or(0);
    let listed = candidates.iter().filter(|candidate| candidate.key != ".").count();
    let mut hint = if listed < total {
        format!("choose a state dict with `--key` (the first {listed} of {total}):")
    } else {
        "choose a state dict with `--key`:".to_owned()
    };
    for (key, candidate) in keys.iter().zip(candidates) {
        let pad = digits - candidate.tensors.to_string().len();
        let tensors = counted(candidate.tensors, "tensor");
        let size = bytes(candidate.bytes);
        let _infallible = write!(hint, "\n  --key {key:width$}  {:pad$}{tensors}, {size}", "");
    }
    hint
}
