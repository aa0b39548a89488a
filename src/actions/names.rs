//! Interprets names of files: the safetensors file of a checkpoint, and what a name indicates about the content.
//!
//! Names are bytes, with `/` between their parts; the module reads no file.

use std::path::Path;

use bstr::{BStr, BString, ByteSlice as _};

/// Returns the name of a path of this system.
pub(super) fn of_path(path: &Path) -> BString {
    let name = path.as_os_str().as_encoded_bytes().as_bstr();
    if cfg!(windows) { name.replace("\\", "/").into() } else { name.to_owned() }
}

/// The extensions of PyTorch weights.
const EXTENSIONS: &[&[u8]] = &[b".bin", b".pt", b".pth", b".ckpt", b".pkl", b".pickle", b".pth.tar"];
/// The extensions of other pickles.
const PICKLES: &[&[u8]] = &[b".joblib", b".dill", b".jit", b".pt.tar", b".ckpt.tar"];
/// The extensions of other files of models.
const OTHERS: &[&[u8]] = &[
    b".safetensors",
    b".onnx",
    b".onnx_data",
    b".h5",
    b".hdf5",
    b".keras",
    b".msgpack",
    b".ot",
    b".gguf",
    b".ggml",
    b".tflite",
    b".pb",
    b".mlmodel",
    b".mlpackage",
    b".parquet",
    b".arrow",
    b".json",
    b".jsonl",
    b".txt",
    b".md",
    b".model",
    b".spm",
    b".vocab",
    b".csv",
    b".tsv",
    b".png",
    b".jpg",
    b".jpeg",
    b".gif",
    b".webp",
    b".mp3",
    b".mp4",
    b".wav",
    b".flac",
    b".pdf",
    b".zst",
    b".7z",
    b".rar",
    b".wasm",
];
/// The extensions of files that loaders of pickles open, but never for PyTorch weights.
const UNPICKLED: &[&[u8]] = &[b".npy", b".npz", b".zip", b".gz", b".bz2", b".xz"];
/// The names that the loaders of the Hub treat as weights.
const WEIGHTS: &[&[u8]] =
    &[b"pytorch_model", b"diffusion_pytorch_model", b"adapter_model", b"pytorch_lora_weights"];
/// The prefixes of the names of training state, and parts that occur anywhere in them.
const TRAINING_STATE: &[&[u8]] = &[b"training_args", b"scheduler", b"random_states", b"rng_state"];
const IN_TRAINING_STATE: &[&[u8]] = &[b"optimizer", b"optim_states"];
/// The part between the stem and the variant of a shard index of checkpoints.
const INDEX: &[u8] = b".bin.index.";

/// Returns the safetensors file of a checkpoint: `pytorch_model*` becomes `model*`, any other name keeps its stem.
pub(crate) fn safetensors(path: &BStr) -> BString {
    let (dir, name) = split(path);
    let longest = EXTENSIONS.iter().filter(|extension| ends_with(name, extension)).max_by_key(|e| e.len());
    let stem = match longest {
        Some(extension) => &name[..name.len() - extension.len()],
        None => match name.rsplit_once_str(".") {
            Some((stem, _)) if !stem.is_empty() => stem,
            _ => name,
        },
    };
    [dir, &renamed(stem), b".safetensors"].concat().into()
}

/// Returns the shard index that replaces the one of checkpoints.
pub(crate) fn safetensors_index(index: &BStr) -> BString {
    let (dir, name) = split(index);
    let (stem, variant) = index_parts(name).unwrap_or((name, b""));
    [dir, &renamed(stem), b".safetensors.index.", variant, b"json"].concat().into()
}

/// Returns the file that replaces a checkpoint, or a shard index of checkpoints; `None` for any other file.
pub(crate) fn output(path: &BStr) -> Option<BString> {
    if is_index(path) {
        return Some(safetensors_index(path));
    }
    is_weight_like(path).then(|| safetensors(path))
}

fn renamed(stem: &[u8]) -> Vec<u8> {
    match stem.strip_prefix(b"pytorch_model") {
        Some(rest) => [b"model".as_slice(), rest].concat(),
        None => stem.to_vec(),
    }
}

/// Returns `true` for a shard index of checkpoints.
pub(crate) fn is_index(path: &BStr) -> bool {
    index_parts(split(path).1).is_some()
}

/// Returns the stem, and the variant with its dot, if any: `X.bin.index.json`, `X.bin.index.fp16.json`.
fn index_parts(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = name.rfind(INDEX)?;
    let variant = name[at + INDEX.len()..].strip_suffix(b"json")?;
    let plain =
        variant.is_empty() || variant.ends_with(b".") && !variant[..variant.len() - 1].contains(&b'.');
    plain.then_some((&name[..at], variant))
}

/// Returns `true` for a shard of this shard index by its name: `X-00001-of-00002.bin` of `X.bin.index.json`, with the
/// variant after the stem, `X.fp16-00001-of-00002.bin`.
pub(crate) fn is_shard_of(path: &[u8], index: &[u8]) -> bool {
    let Some((stem, variant)) = index_parts(index) else { return false };
    let variant = variant.strip_suffix(b".").map_or(Vec::new(), |variant| [b".", variant].concat());
    let start = [stem, &variant, b"-"].concat();
    let rest = path.strip_prefix(start.as_slice()).and_then(|rest| rest.strip_suffix(b".bin"));
    rest.is_some_and(|rest| !rest.contains(&b'/'))
}

/// Returns `true` if the name indicates weights, so that any other content is an error.
pub(crate) fn promises_weights(path: &BStr) -> bool {
    let name = split(path).1;
    let extension = EXTENSIONS.iter().any(|extension| ends_with(name, extension));
    extension && WEIGHTS.iter().any(|start| name.starts_with(start))
}

/// Returns `true` for the extension of a format that no loader of pickles opens.
pub(crate) fn is_of_another_kind(path: &BStr) -> bool {
    OTHERS.iter().any(|extension| ends_with(split(path).1, extension))
}

/// Returns `true` for the extension of a format without weights, so that the file need not be downloaded to check it.
pub(crate) fn is_no_checkpoint(path: &BStr) -> bool {
    is_of_another_kind(path) || UNPICKLED.iter().any(|extension| ends_with(split(path).1, extension))
}

/// Returns `true` if the file could contain weights, by its extension.
pub(crate) fn is_weight_like(path: &BStr) -> bool {
    EXTENSIONS.iter().any(|extension| ends_with(split(path).1, extension))
}

/// Returns `true` for an ending of files in models that names of models do not have.
pub(crate) fn is_of_a_file(path: &BStr) -> bool {
    is_weight_like(path) || is_no_checkpoint(path) || PICKLES.iter().any(|end| ends_with(path, end))
}

/// Returns `true` for the name of a pickle. Used only if the content is not available, so `.bin` by itself does not
/// count: many tools write plain numbers under that name.
pub(crate) fn is_pickle_like(path: &BStr) -> bool {
    let is_bin = ends_with(split(path).1, b".bin");
    let is_named = EXTENSIONS.iter().chain(PICKLES).any(|extension| ends_with(split(path).1, extension));
    is_named && (!is_bin || promises_weights(path) || is_training_state(path))
}

/// Returns `true` for the name of a safetensors file.
pub(crate) fn is_safetensors(path: &BStr) -> bool {
    ends_with(split(path).1, b".safetensors")
}

/// Returns `true` for the name of a shard index of safetensors files.
pub(crate) fn is_safetensors_index(path: &BStr) -> bool {
    let name = split(path).1;
    name.find(b".safetensors.index.").is_some_and(|at| at > 0) && name.ends_with(b"json")
}

/// Returns `true` for the name of a shard that `torch.distributed.checkpoint` wrote. A shard with a single tensor looks
/// like any checkpoint.
pub(crate) fn is_distributed(path: &BStr) -> bool {
    ends_with(split(path).1, b".distcp")
}

/// Returns `true` for the name of training state.
pub(crate) fn is_training_state(path: &BStr) -> bool {
    let name = split(path).1;
    TRAINING_STATE.iter().any(|start| name.starts_with(start))
        || IN_TRAINING_STATE.iter().any(|part| name.contains_str(part))
}

/// Returns the file `name` in the directory of `path`.
pub(crate) fn beside(path: &BStr, name: &[u8]) -> BString {
    [split(path).0, name].concat().into()
}

/// Returns the directory of `path` with its slash; empty at the top.
pub(crate) fn directory(path: &BStr) -> &BStr {
    split(path).0.into()
}

/// Returns the directory with its slash, and the name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.split_at(path.rfind_byte(b'/').map_or(0, |slash| slash + 1))
}

fn ends_with(name: &[u8], extension: &[u8]) -> bool {
    let start = name.len().saturating_sub(extension.len());
    start > 0 && name[start..].eq_ignore_ascii_case(extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> String {
        safetensors(path.into()).to_string()
    }

    #[test]
    fn names_as_loaders_look_for_them() {
        assert_eq!(name("pytorch_model.bin"), "model.safetensors");
        assert_eq!(name("a/b/pytorch_model.fp16.bin"), "a/b/model.fp16.safetensors");
        assert_eq!(name("pytorch_model-00001-of-00002.bin"), "model-00001-of-00002.safetensors");
        assert_eq!(name("unet/diffusion_pytorch_model.bin"), "unet/diffusion_pytorch_model.safetensors");
        assert_eq!(name("checkpoint.pth.tar"), "checkpoint.safetensors");
        assert_eq!(name("v1-5.ckpt"), "v1-5.safetensors");
        assert_eq!(name("weights.dat"), "weights.safetensors");
        assert_eq!(name("pytorch_model/weights"), "pytorch_model/weights.safetensors");
        assert_eq!(name(".bin"), ".bin.safetensors");
        assert_eq!(
            safetensors_index("x/pytorch_model.bin.index.json".into()),
            "x/model.safetensors.index.json"
        );
        let variant = "pytorch_model.bin.index.fp16.json";
        assert_eq!(safetensors_index(variant.into()), "model.safetensors.index.fp16.json");
        assert!(is_shard_of(b"pytorch_model.fp16-00001-of-00002.bin", variant.as_bytes()));
        assert!(!is_shard_of(b"pytorch_model-00001-of-00002.bin", variant.as_bytes()));
        assert!(!is_index("pytorch_model.bin.index.a.b.json".into()));
    }

    #[test]
    fn shards_by_name() {
        let is = |path: &str| is_shard_of(path.as_bytes(), b"a/pytorch_model.bin.index.json");
        assert!(is("a/pytorch_model-00001-of-00002.bin"));
        assert!(!is("a/pytorch_model.bin") && !is("pytorch_model-00001-of-00002.bin"));
        assert!(!is("a/pytorch_model-x/y.bin"));
    }

    #[test]
    fn pickles_by_name() {
        for path in ["pytorch_model.fp16.bin", "a/MODEL.PT", "x.joblib", "training_args.bin", "last.pth.tar"]
        {
            assert!(is_pickle_like(path.into()), "{path}");
        }
        for path in ["tokens.bin", "a.pt/b.bin", "model.safetensors", ".pt", "weights.dat"] {
            assert!(!is_pickle_like(path.into()), "{path}");
        }
    }

    #[test]
    fn what_a_loader_unpickles_is_not_excused_by_its_name() {
        for path in ["a.npy", "a.NPZ", "policy.zip", "a.pkl.gz", "a.xz", "a.bz2"] {
            assert!(!is_of_another_kind(path.into()) && is_no_checkpoint(path.into()), "{path}");
        }
        assert!(is_of_another_kind("a.7z".into()) && is_no_checkpoint("a.7z".into()));
        assert!(!is_no_checkpoint("a.pt".into()));
    }

    #[test]
    fn training_state_by_name() {
        assert!(is_training_state("checkpoint-5/training_args.bin".into()));
        assert!(is_training_state("rng_state_0.pth".into()));
        for name in ["optimizer.pt", "policy.optimizer.pth", "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"]
        {
            assert!(is_training_state(name.into()), "{name}");
        }
        assert!(!is_training_state("optimizer/pytorch_model.bin".into()));
        // Feature scalers also have this name, so it is not enough; the scalers of a loss contain no tensors.
        assert!(!is_training_state("scaler.pt".into()));
    }
}
