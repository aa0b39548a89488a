//! Runs the hints about the kind and the contents of a checkpoint.

use super::situation::Situation;
use super::{Row, Then, check, row};

/// The shard that the shard index names.
const SHARD: &str = "pytorch_model-00001-of-00002.bin";

/// The files of the tensors of both fixtures.
const MAP: &str = "{\"weight_map\": {\"embed.weight\": \"pytorch_model-00001-of-00002.bin\", \
                   \"decoder.weight\": \"pytorch_model-00001-of-00002.bin\", \"bias\": \"pytorch_model-00001-of-00002.bin\", \
                   \"mask\": \"pytorch_model-00002-of-00002.bin\"}}";

fn with(fixture: &str) -> Situation {
    Situation::new().with("a.bin", fixture)
}

/// Creates a checkpoint whose object is only at the remote.
fn absent() -> Situation {
    Situation::with_remote()
        .with("a.bin", "tied-2.bin")
        .sh("git push -q -u origin main && rm -rf .git/lfs/objects a.bin && GIT_LFS_SKIP_SMUDGE=1 git checkout a.bin 2>/dev/null")
}

/// Creates two shards, and a shard index with this text about the tensors a, b and c.
fn shards(index: &str) -> Situation {
    Situation::new()
        .put(SHARD, "tied-2.bin")
        .put("pytorch_model-00002-of-00002.bin", "bool-odd-bytes.bin")
        .write("pytorch_model.bin.index.json", index)
        .sh("git add -A && git commit -qm shards")
}

const WHAT_IT_IS: &[Row] = &[
    row(
        "download it: `git lfs pull --include \"a.bin\"`",
        absent,
        "git st-convert --offline a.bin",
        Then::Helps,
    ),
    row(
        "find a version without conflicts: `git log --oneline -- a.bin`",
        || with("pointer-conflict.bin"),
        "git st-convert a.bin",
        Then::Tells("checkpoint"),
    ),
    row("unpack it first", || with("other.tar"), "git st-convert a.bin", Then::Said),
    row(
        "download it again; the server may require you to sign in",
        || with("page.bin"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "download it again",
        || Situation::new().write("a.bin", "").sh("git add -A && git commit -qm empty"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "list what it imports: `git st-convert scan a.bin`",
        || with("pickled-nothing.pkl"),
        "git st-convert a.bin",
        Then::Tells("a.bin"),
    ),
    row("identify it: `file a.bin`", || with("noise.bin"), "git st-convert a.bin", Then::Said),
    row(
        "load it with `torch.package.PackageImporter`, and save its weights: `torch.save({})`",
        || with("package.pt"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "unpack its policy: `unzip a.bin policy.pth && git st-convert policy.pth`",
        || with("stable-baselines.zip"),
        "git st-convert a.bin",
        Then::Does,
    ),
    row(
        "unpack it first: `unzip a.bin`",
        || with("packed-checkpoints.pt"),
        "git st-convert a.bin",
        Then::Does,
    ),
    row(
        "convert it in Python: `python -c 'import sys, numpy; from safetensors.numpy import save_file; \
         save_file(dict(numpy.load(sys.argv[1])), sys.argv[2])' a.bin OUTPUT.safetensors`",
        || with("arrays.npz"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "list its members: `unzip -l a.bin`",
        || with("model.keras"),
        "git st-convert a.bin",
        Then::Tells("model.weights.h5"),
    ),
    row(
        "merge the shards: `python -m torch.distributed.checkpoint.format_utils dcp_to_torch d OUTPUT.pth`",
        || {
            Situation::new()
                .put("d/__0_0.distcp", "several-archives.distcp")
                .write("d/.metadata", "")
                .sh("git add -A && git commit -qm distributed")
        },
        "git st-convert d/__0_0.distcp",
        Then::Said,
    ),
    row(
        "compare its checksum with the publisher's: `sha256sum a.bin`",
        || with("truncated.bin"),
        "git st-convert a.bin",
        Then::Tells("  a.bin"),
    ),
    row(
        "check the LFS storage: `git lfs fsck`",
        || with("crc.bin"),
        "git st-convert a.bin",
        Then::Tells("fsck"),
    ),
];

#[test]
fn what_it_is() {
    check(WHAT_IT_IS);
}

const WHAT_IT_CONTAINS: &[Row] = &[
    row(
        "list everything it imports: `git st-convert scan a.bin`",
        || with("os-system.bin"),
        "git st-convert a.bin",
        Then::Tells("os.system"),
    ),
    row(
        "choose a state dict with `--key`:",
        || with("two-candidates-key.pt"),
        "git st-convert a.bin",
        Then::Advice("git st-convert --key ema a.bin"),
    ),
    row(
        "list all its contents: `git st-convert inspect --key . a.bin`",
        || with("two-candidates-key.pt"),
        "git st-convert --key nothing a.bin",
        Then::Tells("ema"),
    ),
    row(
        "list the tied tensors: `git st-convert inspect a.bin`",
        || with("tied-2.bin"),
        "git st-convert --keep nothing a.bin",
        Then::Tells("TIED TO"),
    ),
    row(
        "list the tied tensors: `git st-convert --dry-run --pr never`",
        || Situation::new().with("pytorch_model.bin", "tied-2.bin").with("other.bin", "tied-3.bin"),
        "git st-convert --pr never --keep nothing",
        Then::Tells("tied"),
    ),
    row(
        "if this size is expected: `git st-convert --max-output {} a.bin`",
        || with("tied-2.bin"),
        "git st-convert --max-output 1 a.bin",
        Then::Does,
    ),
    row(
        "convert only the weights: `git st-convert a.bin`",
        || with("beside.bin"),
        "git st-convert --strict a.bin",
        Then::Does,
    ),
    row(
        "save the weights of the model that it was made of with `torch.save({})`, and convert that file",
        || with("torchscript.pt"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "merge the ranks first, in the run that saved it: `torch.save({})`",
        || with("wrapped-dtensor.pt"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "where it was made, save its weights dequantized: `torch.save({})`",
        || with("wrapped-torchao.pt"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "if you trust it, load it in PyTorch and save only the weights: `torch.save({})`",
        || with("module-hooks.pt"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "merge the ranks in the directory where DeepSpeed saved `zero_to_fp32.py`: `python zero_to_fp32.py . OUTPUT_DIR`",
        || with("zero3-states.pt"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "in PyTorch, drop this tensor or convert it to a dense tensor of a supported dtype, then save again: `torch.save({})`",
        || with("sparse-coo.bin"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "in PyTorch, rename this tensor, then save again: `torch.save({})`",
        || with("name-metadata.bin"),
        "git st-convert a.bin",
        Then::Said,
    ),
];

#[test]
fn what_it_contains() {
    check(WHAT_IT_CONTAINS);
}

const WHAT_A_SHARDED_CHECKPOINT_CONTAINS: &[Row] = &[
    row(
        "list its tensors: `git st-convert inspect pytorch_model-00002-of-00002.bin`",
        || shards(MAP).sh(&format!("cp {SHARD} pytorch_model-00002-of-00002.bin && git add -A")),
        "git st-convert",
        Then::Tells("tensors"),
    ),
    row(
        "convert only this shard: `git st-convert pytorch_model-00001-of-00002.bin --output FILE`",
        || shards(&MAP.replace("\"bias\": \"pytorch_model-00001", "\"bias\": \"pytorch_model-00002")),
        "git st-convert",
        Then::Does,
    )
    .with(&[("FILE", "x.safetensors")]),
    row(
        "if the model has no such tensor, delete its line in the `weight_map` of pytorch_model.bin.index.json; \
             if it has, download the shards again",
        || shards(&MAP.replace("mask", "nothing\": \"pytorch_model-00001-of-00002.bin\", \"mask")),
        "git st-convert",
        Then::Said,
    ),
    row(
        "convert only one shard: `git st-convert SHARD --output FILE`",
        || shards("{\"weight_map\": 3}"),
        "git st-convert",
        Then::Does,
    )
    .with(&[("SHARD", SHARD), ("FILE", "x.safetensors")]),
];

#[test]
fn what_a_sharded_checkpoint_contains() {
    check(WHAT_A_SHARDED_CHECKPOINT_CONTAINS);
}
