//! Acceptance tests of `git st-convert verify`: files that the real `save_file` of three releases wrote, and
//! manipulated ones (`fixtures/make_verify.py`), on the hub and on the disk.

mod after;
mod here;
mod requests;
mod shards;

use std::fs;
use std::path::{Path, PathBuf};

use crate::clone::{ID, World};
use crate::formats::fixtures;
use crate::hub::{Builder, oid_of};
use crate::sandbox::Output;

/// The class that has the tied tensors of the fixtures.
const CONFIG: &str = "{\"architectures\": [\"GPT2LMHeadModel\"]}\n";

const CHECKPOINT: &str = "pytorch_model.bin";
const FILE: &str = "model.safetensors";

/// Returns the bytes of a fixture.
fn fixture(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("verify").join(name)).unwrap()
}

fn file(name: &str) -> Vec<u8> {
    fixture(&format!("{name}.safetensors"))
}

/// A file, its checkpoint, and the expected result.
struct Case {
    file: &'static str,
    checkpoint: &'static str,
    verdict: &'static str,
    /// Texts of the report.
    says: &'static [&'static str],
}

const fn case(
    file: &'static str,
    checkpoint: &'static str,
    verdict: &'static str,
    says: &'static [&'static str],
) -> Case {
    Case { file, checkpoint, verdict, says }
}

const OLD: &str = "by safetensors 0.2.8 or earlier";
const PADDED: &str = "by safetensors 0.3.0";
const NEW: &str = "by safetensors 0.3.1 or later";

/// Every file of the fixtures.
const CASES: &[Case] = &[
    case("0.2.8-plain", "plain", "identical", &[OLD]),
    case("0.3.0-plain", "plain", "identical", &[PADDED]),
    case("0.3.1-plain", "plain", "identical", &[NEW]),
    case("0.8.0-plain", "plain", "identical", &[NEW]),
    case("0.2.8-tied", "tied", "identical", &["0.2.8 or earlier, tie rule before November 2023"]),
    // Both releases pad this header to the same length.
    case("0.3.0-tied", "tied", "identical", &[NEW]),
    case("0.3.1-tied", "tied", "identical", &["lm_head.weight (tied to transformer.wte.weight)"]),
    case("0.8.0-tied", "tied", "identical", &["0.3.1 or later\n"]),
    case("0.8.0-tied-unsorted", "tied", "identical", &["0.3.1 or later\n"]),
    case("bare", "tied", "identical", &["0.3.1 or later, tie rule before November 2023\n"]),
    case("no-metadata", "tied", "identical", &["without metadata"]),
    case("nan", "nan", "identical", &[NEW]),
    case("four-unsorted", "four", "identical", &["0.3.1 or later\n", "d (tied to a)"]),
    case("four-other", "four", "identical", &["0.3.1 or later, with `--keep`\n", "a (tied to d)"]),
    case(
        "reordered",
        "many",
        "equal",
        &[
            "tie.4 (tied to tie.0)",
            "bit for bit; 4 tied names are not in the file\n",
            "\n  not identical: form of the header\n",
        ],
    ),
    case("other-choice", "many", "equal", &["tie.0 (tied to tie.3)", "not identical: form of the header"]),
    case(
        "claimed",
        "apart",
        "equal",
        &["second (tied to first)", "\n  not identical: choice of names for the same values\n"],
    ),
    case(
        "flipped",
        "tied",
        "differs",
        &[
            "element  transformer.wte.weight[7, 2]: 0.4815164 (0x3ef68951) in the file, 0.48151636 (0x3ef68950) in the checkpoint",
        ],
    ),
    case("swapped", "plain", "differs", &["element  h.0.weight[0, 0]:", "element  h.1.weight[0, 0]:"]),
    case("dtype", "plain", "differs", &["dtype    h.0.bias: BF16 in the file, F16 in the checkpoint"]),
    case("shape", "plain", "differs", &["shape    wz: [3, 2] in the file, [2, 3] in the checkpoint"]),
    case("missing", "plain", "differs", &["missing  ids"]),
    case("extra", "plain", "differs", &["extra    ids\\x1b[2J"]),
    case("renamed-tensor", "plain", "differs", &["extra    wy", "missing  wz"]),
    case("renamed", "tied", "differs", &["extra    lm_heat.weight"]),
    case("lied", "tied", "differs", &["alias    lm_head.weight is recorded as transformer.h.0.weight"]),
    case("lied-apart", "apart", "differs", &["alias    second is recorded as third, which has other values"]),
    case(
        "truncated",
        "plain",
        "differs",
        &["invalid  not a safetensors file: file is 666 bytes; the header describes 675"],
    ),
    case(
        "nan-payload",
        "nan",
        "differs",
        &["n[1]: NaN (0x7fe00001) in the file, NaN (0x7fa00001) in the checkpoint"],
    ),
    // The old converter lost a tensor, so its file is not a conversion of this checkpoint.
    case("lost", "lost", "differs", &["missing  whole"]),
];

impl Case {
    #[track_caller]
    fn check(&self, output: &Output) {
        let code = i32::from(self.verdict == "differs");
        assert_eq!(output.code, Some(code), "{}: {output:#?}", self.file);
        assert!(output.stdout.contains(self.verdict), "{}: {}", self.file, output.stdout);
        for said in self.says {
            assert!(output.stdout.contains(said), "{}: {said:?} in {}", self.file, output.stdout);
        }
    }

    fn checkpoint(&self) -> Vec<u8> {
        fixture(&format!("{}.bin", self.checkpoint))
    }
}

/// Returns a model with a checkpoint, and pull request 1, which adds a safetensors file.
fn model(checkpoint: Vec<u8>, file: Vec<u8>) -> Builder {
    let mut model = Builder::new();
    model.file("config.json", CONFIG).lfs(CHECKPOINT, checkpoint).commit("first");
    model.pull_request(1).lfs(FILE, file).commit("Adding `safetensors` variant of this model").on("main");
    model
}

/// Creates a clone without any content.
fn cloned(model: &Builder) -> (World, PathBuf) {
    let world = World::with(model);
    let dir = world.clone(&[]);
    world.hub.forget_requests();
    (world, dir)
}

/// Returns how many bytes of an object the hub sent.
fn fetched(world: &World, content: &[u8]) -> u64 {
    world.hub.fetched(&oid_of(content)).iter().map(|part| part.end - part.start).sum()
}

/// Returns `true` if LFS storage has no temporary file.
fn is_swept(dir: &Path) -> bool {
    let dir = dir.join(".git/lfs/tmp");
    !dir.exists() || crate::clone::names(&dir).is_empty()
}

/// Parses the lines of `--json`.
fn lines(output: &Output) -> Vec<serde_json::Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
