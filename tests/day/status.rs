//! Tests `git st-convert status`: each group, with a run of the command that resolves it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::convert::torch::{Float32, checkpoint};
use crate::sandbox::{Output, Sandbox};

const ATTRIBUTES: &str =
    "*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n";

/// Returns a model after some epochs of training.
pub(super) fn trained(name: &str, epoch: u8) -> Vec<u8> {
    let bytes = vec![epoch; 64 + 4 * usize::from(epoch)];
    let shape = vec![u32::try_from(bytes.len() / 4).unwrap()];
    checkpoint(&[Float32 { name: name.to_owned(), shape, bytes }])
}

pub(super) struct Repository {
    pub(super) sandbox: Sandbox,
    pub(super) dir: PathBuf,
}

impl Repository {
    pub(super) fn new() -> Self {
        let sandbox = Sandbox::new();
        let dir = sandbox.repo("model");
        let repository = Self { sandbox, dir };
        repository.add(".gitattributes", ATTRIBUTES.as_bytes());
        repository.commit();
        repository
    }

    pub(super) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(super) fn add(&self, path: &str, content: &[u8]) {
        self.write(path, content);
        self.git(&["add", path]);
    }

    pub(super) fn git(&self, args: &[&str]) -> String {
        self.sandbox.git(&self.dir, args)
    }

    pub(super) fn commit(&self) {
        self.git(&["commit", "-q", "-m", "x"]);
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.sandbox.bin(&self.dir, args)
    }

    /// Runs a command in a shell, as it is printed.
    pub(super) fn paste(&self, command: &str) -> Output {
        let bin = Path::new(crate::sandbox::BIN).parent().unwrap().display().to_string();
        let script = format!("PATH='{bin}':\"$PATH\"; {command}");
        let mut shell = self.sandbox.command("sh".as_ref(), &self.dir, &["-c".as_ref(), script.as_ref()]);
        shell.output().unwrap().into()
    }

    pub(super) fn status(&self) -> String {
        self.run(&["status"]).ok()
    }

    /// Returns the lines of `--json`: state, checkpoint, output.
    pub(super) fn states(&self, args: &[&str]) -> Vec<(String, String, String)> {
        let output = self.run(&[&["status", "--json"], args].concat());
        let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let files = lines.filter(|line| line["type"] == "status");
        files.map(|line| (text(&line["state"]), text(&line["checkpoint"]), text(&line["output"]))).collect()
    }
}

/// Returns the commands of a page.
pub(super) fn commands(page: &str) -> Vec<String> {
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

#[test]
#[cfg(unix)]
fn what_is_at_the_path_of_one_output_hides_no_other_file() {
    let repository = Repository::new();
    for dir in ["a", "b", "c", "d"] {
        repository.add(&format!("{dir}/pytorch_model.bin"), &trained(dir, 1));
    }
    let index = r#"{"metadata": {}, "weight_map": {"w": "pytorch_model-00001-of-00001.bin"}}"#;
    repository.add("d/pytorch_model.bin.index.json", index.as_bytes());
    repository.add("a/model.safetensors/notes.txt", b"a directory");
    repository.add("d/model.safetensors.index.json/notes.txt", b"a directory");
    std::os::unix::fs::symlink("nowhere", repository.dir.join("b/model.safetensors")).unwrap();
    repository.git(&["add", "b/model.safetensors"]);
    repository.commit();
    let page = repository.status();
    for line in [
        "Not converted (5)\n",
        "    a/pytorch_model.bin             ",
        ": cannot write a/model.safetensors: not a regular file\n",
        ": cannot write b/model.safetensors: symbolic link\n",
        "    c/pytorch_model.bin  ",
        ": cannot write d/model.safetensors.index.json: not a regular file\n",
    ] {
        assert!(page.contains(line), "{line:?} in {page}");
    }
    assert_eq!(repository.states(&["c"]).len(), 1);
    assert_eq!(repository.run(&["status", "--exit-code"]).code, Some(1));
}

#[test]
fn what_is_in_a_merge_conflict_is_listed() {
    let repository = Repository::new();
    for (dir, epoch) in [("both", 1), ("output", 1), ("other", 1)] {
        repository.add(&format!("{dir}/pytorch_model.bin"), &trained(dir, epoch));
    }
    repository.commit();
    repository.git(&["checkout", "-q", "-b", "theirs"]);
    repository.add("both/pytorch_model.bin", &trained("both", 2));
    repository.add("output/model.safetensors", b"theirs");
    repository.commit();
    repository.git(&["checkout", "-q", "main"]);
    repository.add("both/pytorch_model.bin", &trained("both", 3));
    repository.add("output/model.safetensors", b"ours");
    repository.commit();
    let merged = repository.sandbox.try_git(&repository.dir, &["merge", "-q", "theirs"]);
    assert_eq!(merged.code, Some(1), "{merged:?}");
    let state = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let expected = [
        state("unconverted", "other/pytorch_model.bin", ""),
        state("unmerged", "both/pytorch_model.bin", ""),
        state("unmerged", "output/pytorch_model.bin", "output/model.safetensors"),
    ];
    assert_eq!(repository.states(&[]), expected);
    let page = repository.status();
    assert!(page.contains("In a merge conflict (2)\n    both/pytorch_model.bin"), "{page}");
    assert!(page.contains("  finish the merge first: `git status`\n"), "{page}");
    assert_eq!(repository.run(&["status", "output", "--exit-code"]).code, Some(1));
    // `--force` writes over no file in a conflict, so no hint names it.
    for options in [&["output/pytorch_model.bin"][..], &["--force", "output/pytorch_model.bin"]] {
        let output = repository.run(options);
        assert_eq!(output.code, Some(2), "{output:?}");
        let error = "error: output/pytorch_model.bin: `output/model.safetensors` is unmerged\n\
                     hint: finish the merge first: `git status`\n";
        assert_eq!(output.stderr, error);
    }
}

#[test]
fn a_deleted_output_is_not_one_without_a_checkpoint() {
    let repository = Repository::new();
    repository.add("pytorch_model.bin", &trained("w", 1));
    repository.run(&["--commit"]).ok();
    repository.commit();
    fs::remove_file(repository.dir.join("model.safetensors")).unwrap();
    let states = repository.states(&[]);
    assert_eq!(states, [("unconverted".to_owned(), "pytorch_model.bin".to_owned(), String::new())]);
    // The run writes what HEAD already has: nothing is left to commit, and no hint says so.
    let output = repository.run(&[]);
    assert!(output.code == Some(0) && !output.stderr.contains("commit:"), "{output:?}");
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}

#[test]
fn no_hint_concludes_a_merge() {
    let repository = Repository::new();
    repository.add("pytorch_model.bin", &trained("w", 1));
    repository.commit();
    repository.git(&["checkout", "-q", "-b", "theirs"]);
    repository.add("notes.txt", b"theirs");
    repository.commit();
    repository.git(&["checkout", "-q", "main"]);
    repository.git(&["merge", "-q", "--no-ff", "--no-commit", "theirs"]);
    let output = repository.run(&[]);
    assert!(output.code == Some(0) && !output.stderr.contains("commit:"), "{output:?}");
    assert!(repository.git(&["status", "--porcelain"]).contains("A  model.safetensors\n"));
}

/// Returns the lines of the commands below in a repository whose working tree is elsewhere.
fn elsewhere(repository: &Repository, cwd: &Path, variables: &[(&str, &Path)]) {
    let run = |args: &[&str]| -> Output {
        let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
        let mut command = repository.sandbox.command(crate::sandbox::BIN.as_ref(), cwd, &args);
        command.envs(variables.iter().copied()).output().unwrap().into()
    };
    let page = run(&["status"]).ok();
    assert!(page.starts_with("Not converted (1)\n    pytorch_model.bin  "), "{page}");
    assert!(run(&["scan"]).stdout.starts_with("weights     pytorch_model.bin "));
    assert!(run(&["scan", "--rev", "HEAD"]).stdout.starts_with("weights     pytorch_model.bin "));
    let output = run(&["--commit"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(run(&["status"]).ok().lines().next(), Some("1 safetensors file up to date"));
    let env = run(&["env", "--json"]).ok();
    assert!(env.contains("\"key\":\"lfs.url\""), "{env}");
}

#[test]
fn a_working_tree_elsewhere_is_the_one_of_its_repository() {
    // By `core.worktree`, from the directory of the repository.
    let repository = Repository::new();
    repository.add("pytorch_model.bin", &trained("w", 1));
    repository.commit();
    let tree = repository.sandbox.path("tree");
    fs::create_dir(&tree).unwrap();
    for file in [".gitattributes", "README.md", "pytorch_model.bin"] {
        fs::rename(repository.dir.join(file), tree.join(file)).unwrap();
    }
    repository.git(&["config", "st-convert.pr", "never"]);
    let git_dir = repository.dir.join(".git");
    repository.git(&["config", "core.worktree", tree.to_str().unwrap()]);
    repository.git(&["config", "lfs.url", "https://lfs.example/marker"]);
    elsewhere(&repository, &repository.dir, &[]);
    assert_eq!(repository.git(&["log", "--format=%s"]).lines().count(), 4);
    // By the environment, in a directory with another repository, which must stay as it is.
    repository.git(&["config", "--unset", "core.worktree"]);
    repository.git(&["reset", "-q", "--soft", "HEAD~1"]);
    let _nothing = fs::remove_dir_all(git_dir.join("st-converted"));
    fs::remove_file(tree.join("model.safetensors")).unwrap();
    repository.git(&["rm", "-q", "--cached", "model.safetensors"]);
    repository.sandbox.git(&tree, &["init", "-q"]);
    elsewhere(&repository, &tree, &[("GIT_DIR", &git_dir), ("GIT_WORK_TREE", &tree)]);
    assert!(!tree.join(".git/index").exists());
}

#[test]
#[cfg(unix)]
fn a_checkpoint_that_became_something_else_is_listed_and_hides_no_other_file() {
    let repository = Repository::new();
    for dir in ["a", "b", "c"] {
        repository.add(&format!("{dir}/pytorch_model.bin"), &trained(dir, 1));
    }
    repository.commit();
    for dir in ["a", "b"] {
        fs::remove_file(repository.dir.join(dir).join("pytorch_model.bin")).unwrap();
    }
    std::os::unix::fs::symlink("nowhere", repository.dir.join("a/pytorch_model.bin")).unwrap();
    repository.write("b/pytorch_model.bin/notes.txt", "a directory");
    let states = repository.states(&[]);
    assert_eq!(states.iter().map(|(state, ..)| state.as_str()).collect::<Vec<_>>(), ["unconverted"; 3]);
    let page = repository.status();
    assert!(page.contains("a/pytorch_model.bin` is a symbolic link\n"), "{page}");
    assert!(page.contains("b/pytorch_model.bin`: expected another kind of file\n"), "{page}");
    // git lists the two as deleted; no hint converts a file that a comparison or a scan cannot open.
    let compared = repository.run(&["diff"]);
    assert_eq!((compared.code, compared.stderr.as_str()), (Some(0), ""), "{compared:?}");
    let deleted = |dir: &str| compared.stdout.contains(&format!("{dir}/pytorch_model.bin: deleted file, "));
    assert!(deleted("a") && deleted("b") && !deleted("c"), "{compared:?}");
    let scanned = repository.run(&["scan"]);
    assert!(!scanned.stderr.contains("--output"), "{scanned:?}");
}
