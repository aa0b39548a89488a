//! Tests every kind of repository, LFS storage and index, and every current directory.

use std::fs;

use super::{Model, fixture, oid_of};

const NAME: &str = "tied-2.bin";

/// Converts, checks and commits; git must see no other change.
#[track_caller]
fn converts(model: &Model) {
    model.run::<&str>(&[]).ok();
    model.check("model.safetensors", &oid_of(NAME));
    assert_eq!(model.status(), "A  model.safetensors\n");
    let before = model.sandbox.filter_runs();
    model.git(&["commit", "-q", "-m", "converted"]);
    assert_eq!(model.status(), "");
    assert_eq!(model.sandbox.filter_runs(), before);
    model.git(&["fsck", "--strict"]);
    if model.sandbox.git_lfs_available() {
        assert_eq!(model.git(&["lfs", "fsck"]), "Git LFS fsck OK\n");
    }
}

#[test]
fn a_relative_lfs_storage() {
    let mut model = Model::new();
    model.git(&["config", "lfs.storage", "../deep/store"]);
    model.store = model.at("deep/store");
    // The directory is in the working tree, so it must be ignored.
    model.write(".git/info/exclude", "deep/\n");
    model.add("pytorch_model.bin", &fixture(NAME));
    model.commit();
    converts(&model);
    assert!(!model.at(".git/lfs/objects").exists());
}

#[test]
fn an_absolute_lfs_storage() {
    let mut model = Model::new();
    model.store = model.sandbox.path("elsewhere/lfs");
    model.git(&["config", "lfs.storage", model.store.to_str().unwrap()]);
    let object = model.add("pytorch_model.bin", &fixture(NAME));
    model.commit();
    assert!(model.object(object).exists());
    converts(&model);
    assert!(!model.at(".git/lfs/objects").exists());
}

#[test]
fn a_linked_work_tree() {
    let mut model = Model::with(NAME);
    model.git(&["worktree", "add", "-q", "-b", "other", "../linked"]);
    let main = std::mem::replace(&mut model.dir, model.sandbox.path("linked"));
    super::age(&model.at("pytorch_model.bin"));
    model.git(&["update-index", "-q", "--refresh"]);
    converts(&model);
    assert!(!main.join("model.safetensors").exists());
    assert_eq!(model.sandbox.git(&main, &["status", "--porcelain"]), "");
}

#[test]
fn a_branch_without_a_commit() {
    let mut model = Model::new();
    let root = model.sandbox.path("");
    model.sandbox.git(&root, &["init", "-q", "unborn"]);
    model.dir = model.sandbox.path("unborn");
    model.store = model.at(".git/lfs");
    model.sandbox.count_filter_runs(&model.dir);
    model.write(".gitattributes", super::ATTRIBUTES);
    model.git(&["add", ".gitattributes"]);
    model.add("pytorch_model.bin", &fixture(NAME));
    let run = model.run(&["--commit"]);
    run.ok();
    model.check("model.safetensors", &oid_of(NAME));
    // The pointer needs one attributes entry; other staged changes stay staged.
    assert_eq!(model.status(), "M  .gitattributes\nA  pytorch_model.bin\n");
    let line = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n";
    assert_eq!(model.git(&["show", "HEAD:.gitattributes"]), line);
    assert_eq!(model.git(&["ls-tree", "-r", "--name-only", "HEAD"]), ".gitattributes\nmodel.safetensors\n");
    // There is no commit, neither before nor after the run.
    model.git(&["update-ref", "-d", "HEAD"]);
    fs::remove_file(model.at("model.safetensors")).unwrap();
    model.git(&["rm", "-q", "--cached", "model.safetensors"]);
    model.run::<&str>(&[]).ok();
    assert_eq!(model.status(), "A  .gitattributes\nA  model.safetensors\nA  pytorch_model.bin\n");
}

#[test]
fn a_split_index() {
    let model = Model::with(NAME);
    model.git(&["config", "core.splitIndex", "true"]);
    model.git(&["update-index", "--split-index"]);
    model.write("more.txt", "more");
    model.git(&["add", "more.txt"]);
    model.git(&["commit", "-q", "-m", "more"]);
    converts(&model);
}

#[test]
fn index_version_four() {
    let model = Model::with(NAME);
    model.git(&["update-index", "--index-version", "4"]);
    converts(&model);
    assert_eq!(fs::read(model.at(".git/index")).unwrap()[..8], *b"DIRC\0\0\0\x04");
}

#[test]
fn a_subdirectory_as_the_place_to_stand_in() {
    let model = Model::new();
    model.add("encoder/pytorch_model.bin", &fixture(NAME));
    model.add("pytorch_model.bin", &fixture("strided.bin"));
    model.commit();
    // Paths are relative to that directory.
    model.sandbox.bin(&model.at("encoder"), &["pytorch_model.bin"]).ok();
    model.check("encoder/model.safetensors", &oid_of(NAME));
    assert!(!model.at("model.safetensors").exists());
    model.sandbox.bin(&model.at("encoder"), &["../pytorch_model.bin"]).ok();
    model.check("model.safetensors", &oid_of("strided.bin"));
}

#[test]
fn without_a_path_a_subdirectory_means_the_whole_repository() {
    let model = Model::new();
    model.add("encoder/pytorch_model.bin", &fixture(NAME));
    model.add("pytorch_model.bin", &fixture("strided.bin"));
    model.commit();
    model.sandbox.bin::<&str>(&model.at("encoder"), &[]).ok();
    model.check("encoder/model.safetensors", &oid_of(NAME));
    model.check("model.safetensors", &oid_of("strided.bin"));
}

#[test]
fn another_place_to_stand_in() {
    let model = Model::with(NAME);
    let root = model.sandbox.path("");
    model.sandbox.bin(&root, &["-C", "model", "pytorch_model.bin"]).ok();
    model.check("model.safetensors", &oid_of(NAME));
    let none = model.sandbox.bin(&root, &["-C", "none"]);
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.stderr.starts_with("error: "), "{none:?}");
    let none = model.sandbox.bin::<&str>(&root, &[]);
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.stderr.contains("hint: "), "{none:?}");
}

#[test]
fn directories_as_paths() {
    let model = Model::new();
    for path in ["a/pytorch_model.bin", "a/deep/pytorch_model.bin", "b/pytorch_model.bin", "ab/x.bin"] {
        model.add(path, &fixture(NAME));
    }
    model.commit();
    model.run(&["a"]).ok();
    assert_eq!(model.status(), "A  a/deep/model.safetensors\nA  a/model.safetensors\n");
    model.run(&["ab/", "./b/../b"]).ok();
    assert_eq!(model.status().lines().count(), 4);
    model.git(&["commit", "-q", "-m", "converted"]);
    let again = model.run(&["--json", "."]).ok();
    assert_eq!(super::json_lines(&again).pop().unwrap()["up_to_date"], 4);
}

#[test]
fn a_repository_with_an_environment_of_its_own() {
    // git runs the programs of its hooks in this way.
    let model = Model::with(NAME);
    let mut command = model.command(crate::sandbox::BIN, &model.sandbox.path("home"));
    command.env("GIT_DIR", model.at(".git")).env("GIT_WORK_TREE", &model.dir);
    super::finish(&mut command).ok();
    model.check("model.safetensors", &oid_of(NAME));
}

#[test]
fn a_second_run_is_up_to_date_and_changes_nothing() {
    let model = Model::with(NAME);
    model.run::<&str>(&[]).ok();
    let before = model.listing();
    for args in [&["--json"] as &[&str], &["--json", "pytorch_model.bin"]] {
        let run = super::json_lines(&model.run(args).ok());
        assert_eq!(run[0]["status"], "up-to-date");
        assert_eq!(run[0]["output"], "model.safetensors");
        assert_eq!(run[1]["up_to_date"], 1);
        assert_eq!(run[1]["staged"], false);
    }
    model.git(&["commit", "-q", "-m", "converted"]);
    let committed = model.listing();
    model.run::<&str>(&[]).ok();
    assert_eq!(super::differences(&committed, &model.listing()), [""; 0]);
    assert_ne!(before, committed);
    // `--force` converts again, with the same bytes.
    model.run(&["-f"]).ok();
    model.check("model.safetensors", &oid_of(NAME));
    assert_eq!(model.status(), "");
}
