//! Tests taking a pull request: its files, byte for byte, and a clean state afterwards.

use std::fs;

use super::{Clone, ID, model, noise, weights};
use crate::clone::World;
use crate::clone::short::{assert_short, large};
use crate::hub::{Builder, Fault, Place, oid_of};

#[test]
fn clone_and_pull_give_the_bytes_of_the_pull_request() {
    let clone = Clone::new();
    let output = clone.ok(&["pull", "42"]);
    assert_eq!(
        output.stdout,
        format!(
            "model.safetensors ← refs/pr/42\n  195.4 KiB, sha256 {}…\n",
            &oid_of(&weights(42, 200_000))[..12]
        )
    );
    assert_eq!(output.stderr, "fast-forwarded to pull request 42\n");
    assert!(output.last.starts_with("1 pulled · 195.4 KiB in "), "{output:#?}");
    assert_eq!(clone.head(), clone.rev("refs/pr/42"));
    assert_eq!(clone.git(&["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    clone.check("model.safetensors", &weights(42, 200_000));
    assert_eq!(clone.status(), "");
    let log = clone.git(&["reflog", "-1", "--format=%gs"]);
    assert!(log.contains("Fast-forward"), "{log}");
    // Only the object of the pull request was downloaded.
    let seen = clone.world.hub.requests();
    let content: Vec<_> = seen.iter().filter(|seen| seen.path().starts_with("/content/")).collect();
    assert!(!content.is_empty());
    assert!(content.iter().all(|seen| seen.path().ends_with(&oid_of(&weights(42, 200_000)))), "{content:?}");

    let again = clone.ok(&["pull", "42", "--json"]);
    assert!(again.last.starts_with("1 up to date · "), "{again:#?}");
    let line: serde_json::Value = serde_json::from_str(again.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((line["type"].as_str(), line["status"].as_str()), (Some("pull"), Some("up-to-date")));
    assert_eq!(line["files"][0]["oid"], oid_of(&weights(42, 200_000)));
    assert_eq!(clone.status(), "");
}

#[test]
fn git_and_git_lfs_find_nothing_to_say_afterwards() {
    let clone = Clone::new();
    if !clone.world.set_up_lfs() {
        return;
    }
    clone.git(&["config", "--remove-section", "filter.lfs"]);
    clone.ok(&["pull", "42"]);
    clone.check("model.safetensors", &weights(42, 200_000));
    clone.git(&["lfs", "pull"]);
    clone.git(&["lfs", "fsck"]);
    let files = clone.git(&["lfs", "ls-files"]);
    assert!(files.lines().any(|line| line.ends_with("* model.safetensors")), "{files}");
    clone.git(&["checkout", "-q", "HEAD~1"]);
    clone.git(&["checkout", "-q", "main"]);
    assert!(clone.read("model.safetensors") == weights(42, 200_000));
    clone.git(&["fsck", "--strict"]);
    assert_eq!(clone.status(), "");
}

#[test]
fn where_the_branch_has_moved_on_its_files_alone_are_staged() {
    let clone = Clone::new();
    clone.write("note.txt", "mine\n");
    clone.commit("mine");
    let head = clone.head();
    let output = clone.ok(&["pull", "42"]);
    assert_eq!(
        output.stderr,
        "cannot fast-forward to pull request 42; staged only its safetensors files (`--merge` merges it)\n\
         hint: commit: `git commit -m \"add safetensors\"`\n"
    );
    assert_eq!((clone.head(), clone.status().as_str()), (head, "A  model.safetensors\n"));
    clone.check("model.safetensors", &weights(42, 200_000));
    // A second run changes nothing.
    clone.ok(&["pull", "42"]);
    assert_eq!(clone.status(), "A  model.safetensors\n");
    clone.git(&["commit", "-q", "-m", "add safetensors"]);
    assert_eq!(clone.status(), "");
    assert_eq!(clone.world.sandbox.filter_runs(), [""; 0]);
}

#[test]
fn merge_joins_both() {
    let clone = Clone::new();
    clone.write("note.txt", "mine\n");
    clone.commit("mine");
    let output = clone.ok(&["pull", "42", "--merge"]);
    assert_eq!(output.stderr, "merged pull request 42\n");
    assert_eq!(clone.git(&["log", "-1", "--format=%s|%P"]).matches(' ').count(), 2, "two parents");
    clone.check("model.safetensors", &weights(42, 200_000));
    assert_eq!(clone.status(), "");
    clone.git(&["merge-base", "--is-ancestor", &clone.rev("refs/pr/42"), "HEAD"]);
}

/// Returns a model without an entry for `*.safetensors`, and two pull requests with shards, one of them with the entry.
fn old_model() -> Builder {
    let mut model = Builder::without_attributes();
    model.file(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    model.lfs("pytorch_model.bin", noise(1, 3000)).commit("first");
    let index = "{\"metadata\":{\"total_size\":1},\"weight_map\":{}}\n";
    for number in [1, 2] {
        model.pull_request(number);
        if number == 1 {
            let line = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n";
            model.file(".gitattributes", format!("*.bin filter=lfs diff=lfs merge=lfs -text\n{line}"));
        }
        model.lfs("model-00001-of-00002.safetensors", weights(1, 70_000));
        model.lfs("sub/model-00002-of-00002.safetensors", weights(2, 80_000));
        model.file("model.safetensors.index.json", index.repeat(2000)).commit("set").on("main");
    }
    model
}

#[test]
fn a_set_comes_with_its_index_and_its_attributes() {
    for (moved_on, number) in [(false, "1"), (false, "2"), (true, "1"), (true, "2")] {
        let clone = Clone::of(&old_model());
        if moved_on {
            clone.write("note.txt", "mine\n");
            clone.commit("mine");
        }
        clone.ok(&["pull", number]);
        clone.check("model-00001-of-00002.safetensors", &weights(1, 70_000));
        clone.check("sub/model-00002-of-00002.safetensors", &weights(2, 80_000));
        assert_eq!(clone.read("model.safetensors.index.json").len(), 46 * 2000);
        let attribute = clone.git(&["check-attr", "--cached", "filter", "model-00001-of-00002.safetensors"]);
        assert!(attribute.ends_with(": filter: lfs\n"), "{attribute}");
        let expected = match (moved_on, number) {
            (false, "1") => "",
            // The pull request lacks the entry, without which git would show the content as a change.
            (false, _) => "M  .gitattributes\n",
            (true, _) => {
                "M  .gitattributes\nA  model-00001-of-00002.safetensors\nA  model.safetensors.index.json\n\
                 A  sub/model-00002-of-00002.safetensors\n"
            }
        };
        assert_eq!(clone.status(), expected);
    }
}

#[test]
fn attributes_that_keep_its_files_from_lfs_leave_pointers() {
    let mut model = model();
    let attributes = "*.bin filter=lfs\n*.safetensors filter=lfs\n";
    model.file(".gitattributes", attributes).commit("attributes").pull_request(6);
    model.file(".gitattributes", format!("{attributes}*.safetensors filter=evil\n"));
    model.lfs("model.safetensors", weights(6, 5000)).commit("evil").on("main");
    let clone = Clone::of(&model);
    let output = clone.ok(&["pull", "6"]);
    assert!(
        output.stderr.starts_with(
            "warning: leaving pointers in the working tree: `model.safetensors` uses the filter `evil`, not lfs\n"
        ),
        "{output:#?}"
    );
    assert!(clone.read("model.safetensors").starts_with(b"version https://git-lfs"));
    assert_eq!(clone.status(), "");
}

#[test]
fn a_pull_request_that_changes_more_needs_a_word() {
    let mut model = model();
    model.pull_request(43).lfs("model.safetensors", weights(43, 5000));
    model
        .file("modeling.py", "import os\n")
        .file("a\u{1b}[2Jb", "x")
        .remove("config.json")
        .commit("more")
        .on("main");
    let clone = Clone::of(&model);
    let before = clone.state();
    let output = clone.run(&["pull", "43"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(
        output.stderr,
        "warning: pull request 43 also changes other files:\n  a\\x1b[2Jb\n  config.json\n  modeling.py\n\
         error: pull request 43 also changes 3 other files\n\
         hint: review them: `git fetch origin refs/pr/43 && git diff ...FETCH_HEAD`\n\
         hint: then accept them: `git st-convert pull 43 --yes`\n"
    );
    assert_eq!(clone.state(), before);
    assert!(super::is_empty(&clone.dir.join(".git/lfs/objects")), "nothing was downloaded");

    clone.ok(&["pull", "43", "--yes"]);
    assert_eq!(clone.head(), clone.rev("refs/pr/43"));
    assert!(clone.dir.join("modeling.py").exists() && !clone.dir.join("config.json").exists());
    clone.check("model.safetensors", &weights(43, 5000));
    assert_eq!(clone.status(), "");

    // If only its safetensors files are staged, no other file is taken.
    let clone = Clone::of(&model);
    clone.write("note.txt", "mine\n");
    clone.commit("mine");
    clone.ok(&["pull", "43", "--yes"]);
    assert_eq!(clone.status(), "A  model.safetensors\n");
    assert!(!clone.dir.join("modeling.py").exists());
}

#[test]
fn what_is_a_link_or_taken_away_is_no_safetensors_file() {
    let mut model = model();
    model.lfs("old.safetensors", weights(5, 100)).commit("old");
    model.pull_request(7).lfs("model.safetensors", weights(7, 100)).link("evil.safetensors", "/etc/passwd");
    model.remove("old.safetensors").commit("link").on("main");
    let clone = Clone::of(&model);
    let output = clone.run(&["pull", "7"]);
    assert!(output.stderr.contains(":\n  evil.safetensors\n  old.safetensors\n"), "{output:#?}");
    assert_eq!(output.code, Some(1));
}

#[test]
fn a_newer_file_replaces_the_one_of_the_branch() {
    let mut model = model();
    model.lfs("model.safetensors", weights(1, 9000)).commit("old");
    model.pull_request(50).lfs("model.safetensors", weights(50, 8000)).commit("new").on("main");
    for moved_on in [false, true] {
        let clone = Clone::of(&model);
        if moved_on {
            clone.write("note.txt", "mine\n");
            clone.commit("mine");
        }
        clone.ok(&["pull", "50"]);
        clone.check("model.safetensors", &weights(50, 8000));
        assert_eq!(clone.status(), if moved_on { "M  model.safetensors\n" } else { "" });
    }
}

#[test]
fn weights_that_are_not_under_lfs_are_put_there() {
    let mut model = model();
    model.pull_request(9).file("small.safetensors", weights(9, 70_000)).commit("raw").on("main");
    let clone = Clone::of(&model);
    clone.write("note.txt", "mine\n");
    clone.commit("mine");
    clone.ok(&["pull", "9"]);
    clone.check("small.safetensors", &weights(9, 70_000));
    assert_eq!(clone.status(), "A  small.safetensors\n");
    // A fast-forward takes the files unchanged.
    let clone = Clone::of(&model);
    clone.ok(&["pull", "9"]);
    assert!(clone.read("small.safetensors") == weights(9, 70_000));
    assert_eq!(clone.head(), clone.rev("refs/pr/9"));
}

#[test]
fn all_of_it_stays_short_where_compressed_requests_are_refused_and_stock_git_fails() {
    let mut model = large();
    model.pull_request(81).lfs("model.safetensors", weights(81, 5000));
    for n in 0..30 {
        model.file(&format!("more/{n}.txt"), noise(1000 + n, 66_000));
    }
    model.commit("many files").on("main");
    let world = World::with(&model);
    world.hub.inject(Fault::RefuseGzip.at(Place::git(ID)));
    let dir = world.clone(&[]);
    let stock = world.sandbox.try_git(&dir, &["fetch", "origin", "+refs/pr/*:refs/remotes/origin/pr/*"]);
    assert_eq!(stock.code, Some(128), "{stock:?}");
    assert!(stock.stderr.contains("expected '"), "{stock:?}");

    world.hub.forget_requests();
    let output = world.run(&dir, &["pull"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout.lines().count(), 21, "{}", output.stdout);
    let output = world.run(&dir, &["pull", "81", "--yes"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_short(&world);
    assert!(fs::read(dir.join("more/29.txt")).unwrap() == noise(1029, 66_000));
    assert!(fs::read(dir.join("model.safetensors")).unwrap() == weights(81, 5000));
    assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");
}

#[test]
fn kinds_of_clones_and_places_in_them() {
    // The clones: a subdirectory, a linked working tree, a shallow clone, a partial clone of an older git, and a full
    // one.
    let clone = Clone::new();
    fs::create_dir(clone.dir.join("sub")).unwrap();
    let output = clone.world.run(&clone.dir.join("sub"), &["pull", "42"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    clone.check("model.safetensors", &weights(42, 200_000));

    let clone = Clone::new();
    let linked = clone.world.home().join("linked");
    clone.git(&["worktree", "add", "-q", linked.to_str().unwrap(), "-b", "linked"]);
    let output = clone.world.run(&linked, &["pull", "42"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(fs::read(linked.join("model.safetensors")).unwrap() == weights(42, 200_000));
    assert_eq!(clone.world.git(&linked, &["status", "--porcelain"]), "");
    assert_eq!(clone.status(), "");

    let clone = Clone::new();
    clone.git(&["config", "extensions.partialClone", "origin"]);
    clone.ok(&["pull", "42"]);
    clone.check("model.safetensors", &weights(42, 200_000));

    for (name, args) in [("shallow", &["--depth", "1"][..]), ("whole", &[])] {
        let clone = Clone::new();
        let dir = clone.world.home().join(name);
        let url = clone.world.hub.url(ID);
        let git = [&["clone", "-q"][..], args, &[&url, name]].concat();
        clone.world.git(&clone.world.home(), &git);
        let config = clone.world.git(&dir, &["config", "--local", "--list"]);
        let output = clone.world.run(&dir, &["pull", "42"]);
        assert_eq!(output.code, Some(0), "{name}: {output:#?}");
        assert!(fs::read(dir.join("model.safetensors")).unwrap() == weights(42, 200_000), "{name}");
        assert_eq!(clone.world.git(&dir, &["status", "--porcelain"]), "", "{name}");
        assert_eq!(
            clone.world.git(&dir, &["config", "--local", "--list"]),
            config,
            "a whole clone stays one"
        );
    }
}
