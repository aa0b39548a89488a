//! Tests `git st-convert status`: each group, with a run of the command that resolves it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::convert::torch::{Float32, checkpoint};
use crate::sandbox::{Output, Sandbox};

const ATTRIBUTES: &str =
    "*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n";

/// Returns a model after some epochs of training.
fn trained(name: &str, epoch: u8) -> Vec<u8> {
    let bytes = vec![epoch; 64 + 4 * usize::from(epoch)];
    let shape = vec![u32::try_from(bytes.len() / 4).unwrap()];
    checkpoint(&[Float32 { name: name.to_owned(), shape, bytes }])
}

struct Repository {
    sandbox: Sandbox,
    dir: PathBuf,
}

impl Repository {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let dir = sandbox.repo("model");
        let repository = Self { sandbox, dir };
        repository.add(".gitattributes", ATTRIBUTES.as_bytes());
        repository.commit();
        repository
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn add(&self, path: &str, content: &[u8]) {
        self.write(path, content);
        self.git(&["add", path]);
    }

    fn git(&self, args: &[&str]) -> String {
        self.sandbox.git(&self.dir, args)
    }

    fn commit(&self) {
        self.git(&["commit", "-q", "-m", "x"]);
    }

    fn run(&self, args: &[&str]) -> Output {
        self.sandbox.bin(&self.dir, args)
    }

    /// Runs a command in a shell, as it is printed.
    fn paste(&self, command: &str) -> Output {
        let bin = Path::new(crate::sandbox::BIN).parent().unwrap().display().to_string();
        let script = format!("PATH='{bin}':\"$PATH\"; {command}");
        let mut shell = self.sandbox.command("sh".as_ref(), &self.dir, &["-c".as_ref(), script.as_ref()]);
        shell.output().unwrap().into()
    }

    fn status(&self) -> String {
        self.run(&["status"]).ok()
    }

    /// Returns the lines of `--json`: state, checkpoint, output.
    fn states(&self, args: &[&str]) -> Vec<(String, String, String)> {
        let output = self.run(&[&["status", "--json"], args].concat());
        let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let files = lines.filter(|line| line["type"] == "status");
        files.map(|line| (text(&line["state"]), text(&line["checkpoint"]), text(&line["output"]))).collect()
    }
}

/// Returns the commands of a page.
fn commands(page: &str) -> Vec<String> {
    page.lines().filter_map(|line| line.split('`').nth(1)).map(str::to_owned).collect()
}

#[test]
fn every_group_ends_with_the_command_that_resolves_it() {
    let repository = Repository::new();
    for dir in ["new", "stale", "current", "other", "differs"] {
        // The models differ, because the record is about contents, whatever their names are.
        repository.add(&format!("{dir}/pytorch_model.bin"), &trained(dir, 1));
    }
    repository.add("optimizer.bin", &trained("w", 1));
    repository.commit();
    repository.run(&["stale", "current", "other", "differs", "--commit"]).ok();
    // One checkpoint was trained again here, one was replaced by another user who committed it, and one is untracked.
    repository.write("stale/pytorch_model.bin", trained("stale", 2));
    repository.write("untracked.bin", trained("w", 3));
    let provenance = repository.dir.join(".git/st-converted/provenance-1.jsonl");
    let text = fs::read_to_string(&provenance).unwrap();
    let known = text.lines().filter(|line| line.contains("\"stale/")).map(|line| format!("{line}\n"));
    fs::write(&provenance, known.collect::<String>()).unwrap();
    repository.add("differs/pytorch_model.bin", &trained("v", 1));
    repository.commit();
    let states = repository.states(&[]);
    let expected: Vec<_> = [
        ("unconverted", "new/pytorch_model.bin", ""),
        ("stale", "stale/pytorch_model.bin", "stale/model.safetensors"),
        ("stale", "differs/pytorch_model.bin", "differs/model.safetensors"),
        ("unverified", "current/pytorch_model.bin", "current/model.safetensors"),
        ("unverified", "other/pytorch_model.bin", "other/model.safetensors"),
        ("untracked", "untracked.bin", ""),
        ("training-state", "optimizer.bin", ""),
    ]
    .map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()))
    .into();
    assert_eq!(states, expected);
    let page = repository.status();
    for line in [
        "Not converted (1)\n    new/pytorch_model.bin  ",
        "Stale: the checkpoint changed since (1)\n    stale/pytorch_model.bin  → stale/model.safetensors, ",
        "  convert again: `git st-convert`\n",
        "Stale: committed with another checkpoint (1)\n",
        "  overwrite: `git st-convert --force differs/pytorch_model.bin`\n",
        "Unverified (2)\n",
        "  verify: `git st-convert verify`\n",
        "Untracked checkpoints (1)\n",
        "  convert: `git st-convert untracked.bin`\n",
        "Training state (1)\n",
        "  keep out of git: `git rm --cached optimizer.bin`\n",
        "commits: not guarded, pushes: not guarded\n  guard them: `git st-convert hook install`\n",
    ] {
        assert!(page.contains(line), "{line:?} in {page}");
    }
    assert_eq!(repository.run(&["status", "--exit-code"]).code, Some(1));
    // After all commands of the page, the status is clean.
    for command in commands(&page) {
        let pasted = repository.paste(&command);
        assert!(matches!(pasted.code, Some(0 | 1)), "{command}: {pasted:?}");
    }
    assert_eq!(repository.run(&["status", "--exit-code"]).code, Some(0));
    let page = repository.status();
    let closing = "6 safetensors files up to date\ncommits: guarded, pushes: guarded\n";
    assert_eq!(page, closing, "{:?}", repository.states(&[]));
    assert!(repository.dir.join("optimizer.bin").exists());
}

#[test]
fn what_differs_and_what_is_not_here() {
    let repository = Repository::new();
    repository.add("pytorch_model.bin", &trained("w", 1));
    repository.commit();
    repository.run(&["--commit"]).ok();
    fs::remove_dir_all(repository.dir.join(".git/st-converted")).unwrap();
    repository.add("pytorch_model.bin", &trained("v", 1));
    repository.git(&["commit", "-q", "--amend", "-m", "both"]);
    repository.git(&["update-index", "-q", "--refresh"]);
    let page = repository.status();
    let differs = "Different from the checkpoint (1)\n    pytorch_model.bin  → model.safetensors, ";
    assert!(
        page.contains(differs) && page.contains(": tensor w is not in the checkpoint (and 1 more)\n"),
        "{page}"
    );
    let compare = "  list the differences: `git st-convert verify model.safetensors`\n  \
                   overwrite: `git st-convert --force pytorch_model.bin`\n";
    assert!(page.contains(compare), "{page}");
    assert_eq!(repository.run(&["status", "--exit-code"]).code, Some(1));
    // The working tree has only pointers.
    for path in ["pytorch_model.bin", "model.safetensors"] {
        repository.write(path, repository.git(&["show", &format!("HEAD:{path}")]));
    }
    fs::remove_dir_all(repository.dir.join(".git/lfs/objects")).unwrap();
    let states = repository.states(&[]);
    assert_eq!(states.len(), 1);
    assert_eq!(states[0].0, "not-here");
    assert!(repository.status().contains("Not downloaded, not compared (1)\n"));
    assert_eq!(repository.run(&["status", "--exit-code"]).code, Some(0));
}

#[test]
fn a_set_is_a_line_and_a_path_is_a_question() {
    let repository = Repository::new();
    for shard in ["1", "2", "3"] {
        let path = format!("pytorch_model-0000{shard}-of-00003.bin");
        repository.add(&path, &trained(&format!("w{shard}"), 1));
    }
    let map: serde_json::Map<_, _> = (1..=3)
        .map(|shard| (format!("w{shard}"), format!("pytorch_model-0000{shard}-of-00003.bin").into()))
        .collect();
    let index = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
    repository.add("pytorch_model.bin.index.json", index.as_bytes());
    repository.add("vae/model.bin", &trained("w", 1));
    repository.commit();
    let page = repository.status();
    assert!(page.contains("Not converted (4)\n    pytorch_model-*-of-00003.bin  3 shards, "), "{page}");
    assert_eq!(repository.states(&["vae"]).len(), 1);
    assert_eq!(repository.states(&["vae/model.safetensors"]).len(), 1);
    let page = repository.run(&["status", "vae"]).ok();
    assert!(page.contains("  convert: `git st-convert vae`\n"), "{page}");
    assert_eq!(repository.states(&["README.md"]), []);
    let nothing = repository.run(&["status", "README.md"]).ok();
    assert!(nothing.starts_with("no checkpoints and no safetensors files\n"), "{nothing}");
    // `status` writes nothing.
    assert!(!repository.dir.join(".git/st-converted").exists());
}

#[test]
fn outside_of_a_repository_and_in_an_empty_one() {
    let sandbox = Sandbox::new();
    let outside = sandbox.bin(&sandbox.path(""), &["status", "--json"]);
    assert_eq!(outside.code, Some(2), "{outside:?}");
    let last: Value = serde_json::from_str(outside.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["exit_code"]), (&"summary".into(), &2.into()));
    assert_eq!(last["reason"], "not a git repository");
    sandbox.git(&sandbox.path(""), &["init", "-q", "empty"]);
    let empty = sandbox.bin(&sandbox.path("empty"), &["status"]).ok();
    assert!(empty.starts_with("no checkpoints and no safetensors files\n"), "{empty}");
}
