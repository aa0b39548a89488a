//! Tests the list of pull requests that add safetensors files.

use super::{Clone, ID, model, noise, weights};
use crate::clone::World;
use crate::hub::{Builder, Fault, Place};

/// Returns a model with 41 without safetensors files, 42 by the bot, 43 with shards, and 44 for an older checkpoint.
fn several() -> Builder {
    let mut model = Builder::new();
    model.lfs("pytorch_model.bin", noise(1, 3000)).lfs("other.bin", noise(2, 300)).commit("first");
    model.pull_request(44).lfs("model.safetensors", weights(44, 2000)).commit("old").on("main");
    model.pull_request(45).lfs("other.safetensors", weights(45, 900)).commit("of another").on("main");
    model.lfs("pytorch_model.bin", noise(3, 3000)).commit("trained on");
    model.pull_request(41).file("README.md", "# better\n").commit("card").on("main");
    model.author("SFconvertbot <bot@example.com>").pull_request(42);
    model.lfs("model.safetensors", weights(42, 2000)).commit("Adding `safetensors` variant of this model");
    model.author("A \u{1b}[31mB <a@example.com>").pull_request(43);
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        model.lfs(shard, weights(43, 1024 * 1024));
    }
    model.commit("set");
    model.author("A U Thor <author@example.com>").on("main");
    model
}

#[test]
fn a_table_with_what_a_person_decides_by() {
    let clone = Clone::of(&several());
    let output = clone.ok(&["pull"]);
    let commit = |number: u64| clone.rev(&format!("refs/pr/{number}"))[..10].to_owned();
    assert_eq!(
        output.stdout,
        format!(
            "PR  COMMIT      STATE    SIZE       AUTHOR        FILES\n\
             45  {}  current  972 bytes  A U Thor      other.safetensors\n\
             44  {}  stale    2.0 KiB    A U Thor      model.safetensors\n\
             43  {}  current  2.0 MiB    A \\x1b[31mB   model-00001-of-00002.safetensors and 1 more\n\
             42  {}  current  2.0 KiB    SFconvertbot  model.safetensors\n",
            commit(45),
            commit(44),
            commit(43),
            commit(42)
        )
    );
    assert_eq!(output.stderr, "hint: take one: `git st-convert pull 45`\n");
    assert_eq!(clone.status(), "");
    let refs = clone.git(&["for-each-ref"]);
    assert!(!refs.contains("pr/"), "{refs}");
    assert!(!clone.dir.join(".git/FETCH_HEAD").exists());
    assert!(!clone.world.hub.requests().iter().any(|seen| seen.target.contains("/content/")));

    let lines = clone.ok(&["pull", "--json"]).stdout;
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    assert_eq!((lines[1]["number"].as_u64(), lines[1]["state"].as_str()), (Some(44), Some("stale")));
    assert_eq!(lines[2]["files"][1]["path"], "model-00002-of-00002.safetensors");
    assert_eq!(lines[4]["type"], "summary");
    assert_eq!((lines[4]["pull_requests"].as_u64(), lines[4]["known"].as_u64()), (Some(4), Some(5)));
}

/// What the list says of a pull request is said again by the command that takes it.
#[test]
fn a_stale_pull_request_is_taken_with_a_warning() {
    let clone = Clone::of(&several());
    let warning = "warning: pull request 44 is stale: the checkpoint has changed since it was opened\n";
    let taken = clone.ok(&["pull", "44"]);
    assert!(taken.stderr.contains(warning), "{taken:?}");
    clone.check("model.safetensors", &weights(44, 2000));
    let current = clone.ok(&["pull", "45"]);
    assert!(!current.stderr.contains("warning: "), "{current:?}");
}

/// Returns a model with a checkpoint.
fn base() -> Builder {
    let mut model = Builder::new();
    model.lfs("pytorch_model.bin", noise(1, 3000)).commit("first");
    model.author("A U Thor <author@example.com>");
    model
}

/// A pull request that needs a confirmation is marked, and the hint names another one.
#[test]
fn a_pull_request_that_changes_other_files_is_marked() {
    let mut model = base();
    model.pull_request(1).lfs("model.safetensors", weights(1, 64)).commit("only safetensors");
    model.on("main").pull_request(2);
    model.lfs("model.safetensors", weights(2, 64)).file("code.py", "import os\n").commit("and code");
    model.on("main").pull_request(3);
    model.lfs("model.safetensors", weights(3, 64)).lfs("x.safetensors", weights(4, 64));
    model.file("a\u{1b}.py", "1\n").file("b.py", "2\n").commit("and more");
    let clone = Clone::of(&model);
    let output = clone.ok(&["pull"]);
    let files: Vec<_> =
        output.stdout.lines().skip(1).map(|line| line.split("A U Thor  ").nth(1).unwrap()).collect();
    assert_eq!(
        files,
        [
            "model.safetensors and 1 more (also changes a\\x1b.py and 1 more)",
            "model.safetensors (also changes code.py)",
            "model.safetensors"
        ]
    );
    assert_eq!(output.stderr, "hint: take one: `git st-convert pull 1`\n");
    clone.ok(&["pull", "1"]);

    let mut model = base();
    model
        .pull_request(1)
        .lfs("model.safetensors", weights(1, 64))
        .file("code.py", "import os\n")
        .commit("and code");
    let output = Clone::of(&model).ok(&["pull"]);
    assert_eq!(output.stderr, "", "none would be taken");
}

#[test]
fn the_newest_twenty_unless_all_are_wanted() {
    let world = World::with(&crate::clone::short::large());
    let dir = world.clone(&[]);
    world.hub.forget_requests();
    let output = world.run(&dir, &["pull"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout.lines().count(), 21);
    assert!(output.stdout.lines().nth(1).unwrap().starts_with("80 "), "{}", output.stdout);
    assert!(output.stderr.starts_with(
        "checked the newest 20 of 80 pull requests\nhint: list all pull requests: `git st-convert pull --all`\n"
    ));
    let requests = world.hub.requests().len();
    assert!(requests < 12, "{requests} requests for twenty pull requests");
    let output = world.run(&dir, &["pull", "--all"]);
    assert_eq!(output.stdout.lines().count(), 81, "{output:#?}");
}

#[test]
fn where_commits_cannot_be_named_they_come_by_their_references() {
    let clone = Clone::of(&several());
    // The server uses the old protocol, and serves only advertised objects.
    clone.git(&["config", "protocol.version", "0"]);
    let dir = clone.world.hub.git_dir(ID);
    clone.world.git(&dir, &["config", "uploadpack.allowAnySHA1InWant", "false"]);
    assert_eq!(clone.ok(&["pull"]).stdout.lines().count(), 5);
}

#[test]
fn a_hub_that_does_not_answer_for_its_discussions_is_no_hindrance() {
    let clone = Clone::of(&several());
    clone.world.hub.inject(Fault::Status(404).at(Place::path("/api")));
    let output = clone.ok(&["pull"]);
    assert_eq!(output.stdout.lines().count(), 5);
    assert!(output.stderr.starts_with("checking all pull requests: "), "{}", output.stderr);
}

#[test]
fn nothing_to_list() {
    let mut model = model();
    let clone = Clone::of(Builder::new().file("a", "b").commit("one"));
    let output = clone.ok(&["pull"]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", "no pull requests\n"));
    model.pull_request(42).remove("model.safetensors").commit("taken back").on("main");
    let clone = Clone::of(&model);
    let output = clone.ok(&["pull"]);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("", "no pull request adds safetensors files\n")
    );
}
