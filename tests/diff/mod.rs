//! Acceptance tests of `git st-convert diff`: its output for revisions and files of git and git-lfs, and what it does
//! not change.

mod driver;

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use crate::convert::torch::{Float32, checkpoint};
use crate::sandbox::{Output, Sandbox};

/// A repository whose weights are under Git LFS.
struct Weights {
    sandbox: Sandbox,
    dir: PathBuf,
}

impl Weights {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let dir = sandbox.repo("model");
        let lines =
            "*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n";
        std::fs::write(dir.join(".gitattributes"), lines).unwrap();
        Self { sandbox, dir }
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn git(&self, args: &[&str]) -> String {
        self.sandbox.git(&self.dir, args)
    }

    fn commit(&self, path: &str, content: &[u8]) {
        self.write(path, content);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", path]);
    }

    fn diff(&self, args: &[&str]) -> Output {
        self.sandbox.bin(&self.dir, &[&["diff"], args].concat())
    }

    fn json(&self, args: &[&str]) -> Vec<Value> {
        let said = self.diff(&[&["--json"], args].concat()).ok();
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Removes the object of LFS storage that a revision's pointer names.
    fn lose(&self, revision: &str) {
        let pointer = self.git(&["cat-file", "blob", revision]);
        let oid = pointer.split("sha256:").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        std::fs::remove_file(object(&self.dir, &oid)).unwrap();
    }
}

fn object(dir: &Path, oid: &str) -> PathBuf {
    dir.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid)
}

fn numbers(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn bin(tensors: &[(&str, &[u32], &[f32])]) -> Vec<u8> {
    let tensors = tensors.iter().map(|(name, shape, values)| Float32 {
        name: (*name).to_owned(),
        shape: shape.to_vec(),
        bytes: numbers(values),
    });
    checkpoint(&tensors.collect::<Vec<_>>())
}

fn safe(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        ((*name).to_owned(), TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// Creates a fine-tuned checkpoint: with other values, another name, and added and removed tensors.
fn tuned() -> Weights {
    let weights = Weights::new();
    let old: [(&str, &[u32], &[f32]); 5] = [
        ("a.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("b.weight", &[2], &[1.0, 2.0]),
        ("c.bias", &[1], &[7.0]),
        ("e.weight", &[3], &[9.0, 8.0, 7.0]),
        ("g.weight", &[2, 1], &[1.0, 1.0]),
    ];
    let new: [(&str, &[u32], &[f32]); 5] = [
        ("a.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.5, 5.0, 5.0]),
        ("b.weight", &[2], &[1.0, 2.0]),
        ("d.bias", &[2], &[7.0, 0.0]),
        ("f.weight", &[3], &[9.0, 8.0, 7.0]),
        ("g.weight", &[2], &[1.0, 1.0]),
    ];
    weights.commit("pytorch_model.bin", &bin(&old));
    weights.commit("pytorch_model.bin", &bin(&new));
    weights
}

#[test]
fn the_tensors_of_two_revisions() {
    let weights = tuned();
    let smudged = weights.sandbox.filter_runs();
    let said = weights.diff(&["HEAD~1", "HEAD"]).ok();
    assert_eq!(
        said,
        "pytorch_model.bin: 1 added, 1 removed, 1 renamed, 2 changed, 1 the same\n\
         \u{20} ~ a.weight             F32  [2, 3]        other bytes, by their CRC-32\n\
         \u{20} - c.bias               F32  [1]           4 bytes\n\
         \u{20} + d.bias               F32  [2]           8 bytes\n\
         \u{20} > e.weight → f.weight  F32  [3]           same bytes\n\
         \u{20} ~ g.weight             F32  [2, 1] → [2]\n"
    );
    let said = weights.diff(&["HEAD~1..", "--values"]).ok();
    assert!(
        said.contains("F32  [2, 3]        2 of 6 elements differ, by at most 1, first at [1, 0]\n"),
        "{said}"
    );
    assert!(said.contains("> e.weight → f.weight  F32  [3]           same bytes\n"), "{said}");
    let lines = weights.json(&["HEAD~1", "HEAD", "--values"]);
    assert_eq!(
        lines[0]["values"],
        serde_json::json!({ "elements": 6, "differing": 2, "largest": 1.0, "first": [1, 0] })
    );
    assert_eq!((&lines[3]["change"], &lines[3]["from"]), (&"renamed".into(), &"e.weight".into()));
    assert_eq!((&lines[4]["old"]["shape"], &lines[4]["new"]["shape"]), (&vec![2, 1].into(), &vec![2].into()));
    let [file, summary] = &lines[5..] else { panic!("{lines:?}") };
    assert_eq!(
        (&file["status"], &file["same"], &file["new"]["format"]),
        (&"compared".into(), &1.into(), &"zip".into())
    );
    assert_eq!((&summary["changed"], &summary["exit_code"]), (&2.into(), &0.into()));
    // Nothing was smudged or written.
    assert_eq!(weights.sandbox.filter_runs(), smudged);
    assert_eq!(weights.git(&["status", "--porcelain"]), "");
    assert_eq!(weights.diff(&["HEAD~1", "HEAD", "--exit-code"]).code, Some(1));
    assert_eq!(weights.diff(&["HEAD", "HEAD", "--exit-code"]).ok(), "");
    let said = weights.diff(&["--stat", "HEAD~1", "HEAD"]).ok();
    assert_eq!(
        said,
        "pytorch_model.bin: 1 added, 1 removed, 1 renamed, 2 changed, 1 the same\n\
         1 file: 1 added, 1 removed, 1 renamed, 2 changed, 1 the same\n"
    );
}

#[test]
fn headers_alone_unless_values_are_asked_for() {
    let weights = Weights::new();
    let both = |wide: &[f32], half: &[u8]| {
        safe(&[("w", Dtype::F32, &[2], numbers(wide)), ("h", Dtype::F16, &[1], half.to_vec())])
    };
    weights.commit("sub/a b.safetensors", &both(&[1.0, 2.0], &[0, 0x3c]));
    weights.commit("sub/a b.safetensors", &both(&[1.0, 2.5], &[0, 0x3c]));
    let run = weights.diff(&["HEAD~1", "--", "sub"]);
    assert_eq!(run.stderr, "hint: compare the values: `git st-convert diff --values 'HEAD~1' -- sub`\n");
    assert_eq!(
        run.ok(),
        "sub/a b.safetensors: 2 tensors, no change in names, dtypes and shapes; values not compared\n"
    );
    let said = weights.diff(&["--values", "HEAD~1", "--", "sub"]).ok();
    assert_eq!(
        said,
        "sub/a b.safetensors: 1 changed, 1 the same\n  ~ w  F32  [2]  1 of 2 elements differ, by at most 0.5, first at [1]\n"
    );
    assert_eq!(weights.diff(&["HEAD~1", "--", "other"]).ok(), "");
    // A cast is compared by its dtypes, and with `--values` by its numbers.
    let cast =
        safe(&[("w", Dtype::F16, &[2], vec![0, 0x3c, 0, 0x41]), ("h", Dtype::F16, &[1], vec![0, 0x3c])]);
    weights.write("sub/a b.safetensors", &cast);
    let said = weights.diff(&[]).ok();
    assert!(said.contains("~ w  F32 → F16  [2]\n"), "{said}");
    let said = weights.diff(&["--values"]).ok();
    assert!(said.contains("~ w  F32 → F16  [2]  every number the same\n"), "{said}");
    // The change is only in the working tree; the index is the same as `HEAD`.
    assert_eq!(weights.diff(&["--staged"]).ok(), "");
    weights.git(&["add", "-A"]);
    assert!(weights.diff(&["--staged"]).ok().contains("1 changed"));
}

#[test]
fn what_is_not_here_is_said_and_not_downloaded() {
    let weights = tuned();
    weights.lose("HEAD~1:pytorch_model.bin");
    let run = weights.diff(&["HEAD~1", "HEAD"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout.starts_with("pytorch_model.bin: not compared: not in the LFS storage: sha256 "),
        "{run:?}"
    );
    assert!(run.stdout.contains("… of HEAD~1 ("), "{run:?}");
    assert!(
        run.stderr.contains("`git lfs fetch origin 'HEAD~1' --include \"pytorch_model.bin\"`"),
        "{run:?}"
    );
    let lines = weights.json(&["HEAD~1", "HEAD"]);
    assert_eq!((&lines[0]["status"], &lines[0]["new"]["tensors"]), (&"not-here".into(), &0.into()));
    assert_eq!(lines[1]["not_here"], 1);
    // Revisions with the same pointer need no object.
    weights.git(&["commit", "-q", "--allow-empty", "-m", "same"]);
    assert_eq!(weights.diff(&["HEAD~1", "HEAD"]).ok(), "");
    // The working tree has the content that LFS storage lost.
    weights.lose("HEAD:pytorch_model.bin");
    weights.write("pytorch_model.bin", &bin(&[("a.weight", &[1], &[1.0])]));
    let run = weights.diff(&[]);
    assert!(run.stderr.contains("`git lfs fetch --include \"pytorch_model.bin\"`"), "{run:?}");
}

#[test]
fn files_and_revisions_of_files() {
    let weights = tuned();
    let converted = weights.sandbox.bin(&weights.dir, &["pytorch_model.bin", "-o", "out.safetensors"]);
    assert_eq!(converted.code, Some(0), "{converted:?}");
    let said = weights.diff(&["--values", "pytorch_model.bin", "out.safetensors"]).ok();
    assert_eq!(said, "pytorch_model.bin → out.safetensors: 5 tensors, every byte the same\n");
    let said = weights.diff(&["HEAD~1:pytorch_model.bin", "out.safetensors", "--values"]).ok();
    assert!(
        said.starts_with("HEAD~1:pytorch_model.bin → out.safetensors: 1 added, 1 removed, 1 renamed"),
        "{said}"
    );
    // Outside of any repository.
    let dir = weights.sandbox.path("plain");
    std::fs::create_dir(&dir).unwrap();
    std::fs::copy(weights.dir.join("out.safetensors"), dir.join("a.safetensors")).unwrap();
    std::fs::write(dir.join("b.bin"), bin(&[("b.weight", &[2], &[1.0, 3.0])])).unwrap();
    let said = weights.sandbox.bin(&dir, &["diff", "a.safetensors", "b.bin", "--values"]).ok();
    assert!(said.contains("4 removed, 1 changed"), "{said}");
    let run = weights.sandbox.bin(&dir, &["diff"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    let run = weights.diff(&["nothing"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
}

#[test]
fn a_file_that_is_renamed_replaced_or_new() {
    let weights = tuned();
    weights.git(&["mv", "pytorch_model.bin", "moved.bin"]);
    weights.git(&["commit", "-q", "-m", "moved"]);
    let said = weights.diff(&["HEAD~1", "HEAD"]).ok();
    assert_eq!(said, "pytorch_model.bin → moved.bin: 5 tensors, every byte the same\n");
    // The safetensors file replaces its checkpoint.
    let run = weights.sandbox.bin(&weights.dir, &["--replace", "--commit", "moved.bin"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let said = weights.diff(&["--values", "HEAD~1", "HEAD"]).ok();
    assert_eq!(said, "moved.bin → moved.safetensors: 5 tensors, every byte the same\n");
    weights.commit("new.safetensors", &safe(&[("w", Dtype::F32, &[1], numbers(&[1.0]))]));
    weights.commit("notes.txt", b"no model\n");
    let said = weights.diff(&["HEAD~2", "HEAD"]).ok();
    assert_eq!(said, "new.safetensors: new file, 1 tensor, 68 bytes\n  + w  F32  [1]  4 bytes\n");
    weights.git(&["rm", "-q", "new.safetensors"]);
    let said = weights.diff(&[]).ok();
    assert!(said.starts_with("new.safetensors: deleted file, 1 tensor"), "{said}");
    // Before the first commit, everything is new.
    let fresh = Weights::new();
    fresh.git(&["checkout", "-q", "--orphan", "fresh"]);
    fresh.write("a.bin", &bin(&[("w", &[1], &[1.0])]));
    fresh.git(&["add", "-A"]);
    assert!(fresh.diff(&[]).ok().contains("a.bin: new file, 1 tensor"));
}

#[test]
fn a_file_that_cannot_be_read_stops_no_other() {
    let weights = Weights::new();
    weights.commit("a.safetensors", b"\x08\0\0\0\0\0\0\0{\"w\": 1}");
    weights.write("b.safetensors", &safe(&[("\x1b[2Jw", Dtype::F32, &[1], numbers(&[1.0]))]));
    weights.commit("a.safetensors", b"\x08\0\0\0\0\0\0\0{\"w\": 2}");
    let run = weights.diff(&["HEAD~1", "HEAD"]);
    assert!(run.stderr.starts_with("error: a.safetensors: "), "{run:?}");
    assert!(run.stdout.contains("b.safetensors: new file") && !run.stdout.contains('\x1b'), "{run:?}");
    assert_ne!(run.code, Some(0), "{run:?}");
}

/// A bare repository has revisions, and its own files are not models. It has no working tree to compare with.
#[test]
fn revisions_of_a_bare_repository() {
    let weights = Weights::new();
    weights.commit("a.bin", &bin(&[("w", &[1], &[1.0])]));
    weights.commit("a.bin", &bin(&[("w", &[1], &[1.0]), ("v", &[2], &[1.0, 2.0])]));
    weights.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    let bare = weights.sandbox.path("bare.git");
    let copied = weights.sandbox.command(
        "cp".as_ref(),
        &weights.dir,
        &["-r".as_ref(), ".git/lfs".as_ref(), bare.as_os_str()],
    );
    assert!({ copied }.status().unwrap().success());
    let run = |dir: &Path, args: &[&str]| weights.sandbox.bin(dir, args);
    let expected = weights.diff(&["HEAD~1", "HEAD"]).ok();
    assert!(expected.contains("+ v"), "{expected}");
    for (dir, args) in [
        (bare.clone(), &["diff", "HEAD~1", "HEAD"][..]),
        (bare.clone(), &["diff", "HEAD~1..main"]),
        (bare.clone(), &["diff", "HEAD~1", "HEAD", "--", "a.bin"]),
        (bare.join("refs"), &["diff", "HEAD~1", "HEAD"]),
        (weights.dir.join(".git"), &["diff", "HEAD~1", "HEAD"]),
    ] {
        assert_eq!(run(&dir, args).ok(), expected, "{args:?} in {}", dir.display());
    }
    // Its file `HEAD` is not taken for a model.
    for dir in [bare.clone(), weights.dir.join(".git")] {
        for args in [["diff", "HEAD", "HEAD"], ["diff", "main", "HEAD"]] {
            assert_eq!(run(&dir, &args).ok(), "", "{args:?}");
        }
    }
    let two = run(&bare, &["diff", "HEAD~1:a.bin", "HEAD:a.bin"]).ok();
    assert!(two.contains("+ v"), "{two}");
    for args in [&["diff"][..], &["diff", "HEAD~1"], &["diff", "--staged"]] {
        let run = run(&bare, args);
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.contains("bare repository"), "{run:#?}");
    }
    let read = |dir: &Path, target: &str| run(dir, &["inspect", target]).ok();
    assert_eq!(read(&bare, "HEAD:a.bin"), read(&weights.dir, "HEAD:a.bin"));
    assert_eq!(run(&bare, &["inspect", "HEAD:b.bin"]).code, Some(2));
}

#[test]
fn two_files_of_which_one_cannot_be_opened() {
    let weights = Weights::new();
    weights.commit("a.bin", &bin(&[("w", &[1], &[1.0])]));
    let plain = weights.sandbox.path("plain");
    std::fs::create_dir_all(plain.join("dir.bin")).unwrap();
    std::fs::write(plain.join("a.bin"), bin(&[("w", &[1], &[1.0])])).unwrap();
    std::fs::write(plain.join("broken.safetensors"), "").unwrap();
    for (args, line) in [
        (["a.bin", "b.bin"], "error: b.bin: file not found\n"),
        (["b.bin", "a.bin"], "error: b.bin: file not found\n"),
        (["a.bin", "dir.bin"], "error: dir.bin: not a regular file (found: directory)\n"),
    ] {
        let run = weights.sandbox.bin(&plain, &["diff", args[0], args[1]]);
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.starts_with(line), "{run:#?}");
        let json = weights.sandbox.bin(&plain, &["diff", "--json", args[0], args[1]]);
        let lines: Vec<Value> = json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let name = line.split(": ").nth(1).unwrap();
        assert!(lines[0]["path"] == name && lines[0]["status"] == "unreadable", "{json:#?}");
    }
    // In a repository: a name that is not a file, and a file that a revision does not have.
    let made = weights.sandbox.command("mkfifo".as_ref(), &weights.dir, &["pipe.bin".as_ref()]).status();
    assert!(made.unwrap().success());
    for (word, line) in [
        ("pipe.bin", "error: pipe.bin: not a regular file (found: named pipe)\n"),
        ("HEAD:nope.bin", "error: HEAD:nope.bin: file not found\n"),
    ] {
        let run = weights.diff(&["a.bin", word]);
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.starts_with(line), "{run:#?}");
    }
    // Outside of a repository, two words that are not files may be revisions.
    let run = weights.sandbox.bin(&plain, &["diff", "main", "dev"]);
    assert!(run.code == Some(2) && run.stderr.starts_with("error: not a git repository\n"), "{run:#?}");
}

/// A file in a merge conflict exists: git leaves our version of a binary file in the working tree.
#[test]
fn a_file_in_a_merge_conflict_is_not_deleted() {
    let weights = Weights::new();
    weights.git(&["rm", "-q", "--cached", "--ignore-unmatch", ".gitattributes"]);
    weights.write(".gitattributes", b"*.bin -text\n");
    weights.commit("a.bin", &bin(&[("w", &[1], &[1.0])]));
    weights.git(&["checkout", "-q", "-b", "theirs"]);
    weights.commit("a.bin", &bin(&[("w", &[1], &[2.0])]));
    weights.git(&["checkout", "-q", "main"]);
    weights.commit("a.bin", &bin(&[("w", &[1], &[3.0])]));
    let merged = weights.sandbox.try_git(&weights.dir, &["merge", "-q", "theirs"]);
    assert_eq!(merged.code, Some(1), "{merged:?}");
    assert_eq!(weights.diff(&[]).ok(), "a.bin: 1 tensor, every byte the same\n");
    assert_eq!(weights.diff(&["--staged"]).ok(), "");
    // With their version in the working tree, the values differ.
    weights.git(&["checkout", "-q", "--theirs", "a.bin"]);
    let shown = weights.diff(&["--values"]).ok();
    assert!(
        shown.starts_with("a.bin: ") && !shown.contains("deleted") && shown.contains("of 1 elements differ"),
        "{shown}"
    );
}

/// `A^!` is the change of a commit, as in git, and not the commit itself; nothing else reads it as a commit.
#[test]
fn the_change_of_a_commit() {
    let weights = tuned();
    weights.write("README.md", b"another");
    weights.git(&["commit", "-q", "-a", "-m", "text"]);
    let change = weights.diff(&["HEAD~2", "HEAD~1"]).ok();
    assert!(!change.is_empty());
    assert_eq!(weights.diff(&["HEAD~1^!"]).ok(), change);
    assert_eq!(weights.diff(&["HEAD^!"]).ok(), "");
    let verified = weights.sandbox.bin(&weights.dir, &["verify", "--rev", "HEAD^!"]);
    assert_eq!(verified.code, Some(2), "{verified:?}");
    assert!(verified.stderr.starts_with("error: revision `HEAD^!` not found\n"), "{verified:?}");
}
