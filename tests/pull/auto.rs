//! Tests `--pr`: a conversion with an identical pull request, and the messages without one.

use std::fs;
use std::path::Path;

use super::{Clone, ID, model, shown, weights};
use crate::clone::World;
use crate::formats::fixtures;
use crate::hub::{Access, Builder, Fault, Place, oid_of};
use crate::sandbox::Output;

/// Returns a checkpoint that torch saved; [`converted`] returns the file that `save_file` wrote for it.
fn checkpoint() -> Vec<u8> {
    fs::read(fixtures().join("checkpoints/plain-dict.bin")).unwrap()
}

fn converted() -> Vec<u8> {
    fs::read(fixtures().join("expected/plain-dict.safetensors")).unwrap()
}

/// Returns a checkpoint with pull request 42, which has the same tensors; 43 is about something else.
fn convertible() -> Builder {
    let mut model = Builder::new();
    model.lfs("pytorch_model.bin", checkpoint()).commit("first");
    model.author("SFconvertbot <bot@example.com>").pull_request(42);
    model.lfs("model.safetensors", converted()).commit("Adding `safetensors` variant of this model");
    model.pull_request(43).lfs("extra.safetensors", weights(43, 100)).commit("extra").on("main");
    model
}

/// Creates a clone that has the content of the checkpoint.
#[track_caller]
fn clone_of(model: &Builder) -> Clone {
    let clone = Clone::of(model);
    let oid = oid_of(&checkpoint());
    let object = clone.object(&oid);
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(object, checkpoint()).unwrap();
    clone
}

/// Returns the status of the only file.
#[track_caller]
fn status(output: &Output) -> String {
    let line: serde_json::Value = serde_json::from_str(output.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(line["type"], "file", "{output:#?}");
    line["status"].as_str().unwrap().to_owned()
}

#[test]
fn the_same_bytes_in_a_pull_request_are_adopted() {
    for args in [&["--json"][..], &["--json", "--pr", "auto"], &["--json", "--commit"], &["--json", "-f"]] {
        let clone = clone_of(&convertible());
        let output = clone.ok(args);
        assert_eq!(status(&output), "adopted", "{args:?}: {output:#?}");
        assert_eq!(clone.head(), clone.rev("refs/pr/42"), "{args:?}");
        assert_eq!(clone.status(), "", "{args:?}");
        clone.check("model.safetensors", &converted());
        let last: serde_json::Value = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
        assert_eq!((last["adopted"].as_u64(), last["converted"].as_u64()), (Some(1), Some(0)));
        assert_eq!((last["staged"].as_bool(), last["commit"].as_str()), (Some(false), None), "{last}");
        let content = clone.world.hub.requests();
        assert!(!content.iter().any(|seen| seen.path().starts_with("/content/")), "nothing was downloaded");
    }
    let clone = clone_of(&convertible());
    let output = clone.ok(&[]);
    assert_eq!(output.stderr, "adopted pull request 42: its files are identical\n");
    assert!(output.stdout.starts_with("pytorch_model.bin → model.safetensors\n"), "{}", output.stdout);
    assert_eq!(clone.ok(&["--json"]).stdout.matches("\"up-to-date\"").count(), 1);
}

#[test]
fn what_the_pull_request_has_not_stays_staged() {
    // The pull request has no file for the second checkpoint, and `--replace` removes both checkpoints.
    let mut model = convertible();
    model.lfs("other.bin", checkpoint()).commit("other");
    model.pull_request(44).lfs("model.safetensors", converted()).commit("one of two").on("main");
    let clone = clone_of(&model);
    let output = clone.ok(&["--replace"]);
    assert_eq!(clone.head(), clone.rev("refs/pr/44"));
    assert_eq!(clone.status(), "D  other.bin\nA  other.safetensors\nD  pytorch_model.bin\n");
    assert!(output.stderr.contains("hint: commit: `git commit -m "), "{output:#?}");
    let clone = clone_of(&model);
    let output = clone.ok(&["--commit", "--json"]);
    assert_eq!(clone.status(), "");
    assert_eq!(clone.git(&["rev-parse", "HEAD~1"]).trim(), clone.rev("refs/pr/44"));
    let names = clone.git(&["show", "--name-only", "--format=%(trailers)", "HEAD"]);
    assert!(names.contains("Converted-From: other.bin") && !names.contains("pytorch_model"), "{names}");
    assert_eq!(output.stdout.matches("\"adopted\",").count(), 1, "{}", output.stdout);
}

#[test]
fn the_line_of_the_attributes_counts_too() {
    let old = "*.bin filter=lfs diff=lfs merge=lfs -text\n";
    let new = format!("{old}*.safetensors filter=lfs diff=lfs merge=lfs -text\n");
    for (theirs, adopts, left) in [
        (Some(new.as_str()), true, ""),
        (None, true, "M  .gitattributes\n"),
        (Some("*.safetensors filter=lfs\n"), false, "M  .gitattributes\nA  model.safetensors\n"),
    ] {
        let mut model = Builder::without_attributes();
        model.file(".gitattributes", old).lfs("pytorch_model.bin", checkpoint()).commit("first");
        model.pull_request(5).lfs("model.safetensors", converted());
        if let Some(theirs) = theirs {
            model.file(".gitattributes", theirs);
        }
        model.commit("safetensors").on("main");
        let clone = clone_of(&model);
        let output = clone.ok(&["--json"]);
        assert_eq!(status(&output), if adopts { "adopted" } else { "converted" }, "{theirs:?}");
        assert_eq!(clone.status(), left);
        clone.check("model.safetensors", &converted());
    }
}

#[test]
fn another_pull_request_is_not_adopted() {
    type Change = fn(&mut Builder);
    let changes: [(&str, Change); 4] = [
        ("other bytes", |model| {
            model.lfs("model.safetensors", weights(1, 100)).commit("x");
        }),
        ("more files", |model| {
            model.lfs("model.safetensors", converted()).file("run.py", "x").commit("x");
        }),
        ("more weights", |model| {
            model.lfs("model.safetensors", converted()).lfs("b.safetensors", weights(1, 9)).commit("x");
        }),
        ("taken away", |model| {
            model.lfs("model.safetensors", converted()).remove("pytorch_model.bin").commit("x");
        }),
    ];
    for (name, change) in changes {
        let mut model = Builder::new();
        model.lfs("pytorch_model.bin", checkpoint()).commit("first").pull_request(42);
        change(&mut model);
        model.on("main");
        let clone = clone_of(&model);
        let head = clone.head();
        assert_eq!(status(&clone.ok(&["--json"])), "converted", "{name}");
        assert_eq!((clone.head(), clone.status().as_str()), (head, "A  model.safetensors\n"), "{name}");
    }
    // The bytes are identical, but the branch has other commits.
    let clone = clone_of(&convertible());
    clone.write("note.txt", "mine\n");
    clone.commit("mine");
    assert_eq!(status(&clone.ok(&["--json"])), "converted");
    assert_eq!(clone.status(), "A  model.safetensors\n");
}

#[test]
fn no_remote_is_asked_where_that_is_not_wanted() {
    for args in
        [&["--pr", "never"][..], &["--offline"], &["-n"], &["pytorch_model.bin", "-o", "out.safetensors"]]
    {
        let clone = clone_of(&convertible());
        let output = clone.run(args);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(clone.world.hub.requests().len(), 0, "{args:?}");
        assert!(!output.stderr.contains("pull request"), "{output:#?}");
    }
    let clone = clone_of(&convertible());
    clone.git(&["config", "st-convert.pr", "never"]);
    assert_eq!(status(&clone.ok(&["--json"])), "converted");
    assert_eq!(clone.world.hub.requests().len(), 0);
    let clone = clone_of(&convertible());
    clone.git(&["remote", "remove", "origin"]);
    let output = clone.ok(&[]);
    assert!(!output.stderr.contains("pull request"), "{output:#?}");
}

#[test]
fn a_server_that_does_not_answer_is_a_note() {
    let clone = clone_of(&convertible());
    clone.git(&["remote", "set-url", "origin", "http://127.0.0.1:1/m"]);
    let output = clone.ok(&["--json"]);
    assert_eq!(status(&output), "converted");
    assert_eq!(output.stderr.lines().next(), Some("cannot check pull requests: cannot reach the server"));
    assert_eq!(clone.status(), "A  model.safetensors\n");

    let clone = clone_of(&convertible());
    clone.world.hub.set_access(ID, Access::Private);
    let output = clone.ok(&[]);
    let note = "cannot check pull requests: authentication required\n";
    assert!(output.stderr.contains(note), "{output:#?}");

    let clone = clone_of(&convertible());
    clone.world.hub.inject(Fault::Status(500).at(Place::git(ID)));
    assert_eq!(status(&clone.ok(&["--json"])), "converted");
}

#[test]
fn where_a_checkpoint_is_refused_the_pull_requests_are_named() {
    let mut model = Builder::new();
    let evil = fs::read(fixtures().join("checkpoints/os-system.bin")).unwrap();
    model.file("pytorch_model.bin", &evil).commit("first");
    for number in [7, 42] {
        model.pull_request(number).lfs("model.safetensors", weights(1, 100)).commit("safetensors").on("main");
    }
    let clone = Clone::of(&model);
    let output = clone.run(&[]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(
        output.stderr.ends_with(
            "pull requests 42, 7 add safetensors files\nhint: take one: `git st-convert pull 42`\n"
        ),
        "{output:#?}"
    );
    let output = clone.run(&["--pr", "never"]);
    assert!(output.code == Some(1) && !output.stderr.contains("pull request"), "{output:#?}");
}

#[test]
fn a_number_takes_that_pull_request() {
    let clone = Clone::of(&model());
    clone.ok(&["--pr", "42"]);
    clone.check("model.safetensors", &weights(42, 200_000));
    assert_eq!(clone.head(), clone.rev("refs/pr/42"));

    let clone = Clone::of(&model());
    clone.git(&["config", "st-convert.pr", "42"]);
    clone.ok(&[]);
    assert_eq!(clone.head(), clone.rev("refs/pr/42"));

    for option in ["-n", "--replace", "pytorch_model.bin"] {
        let output = clone.run(&["--pr", "42", option]);
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert!(output.stderr.contains(" cannot be combined with `--pr N`\n"), "{output:#?}");
        assert!(output.stderr.contains("hint: convert instead: `git st-convert --pr never"), "{output:#?}");
    }
    let output = clone.run(&["--pr", "often"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("expected a pull request number, `auto` or `never`"), "{output:#?}");
    clone.git(&["config", "st-convert.pr", "often"]);
    assert_eq!(
        shown(&clone.run(&[])),
        "error: invalid value `often` for st-convert.pr\n\
         hint: set `auto`, `never` or a number: `git config st-convert.pr auto`\n"
    );
}

#[test]
fn clone_takes_a_pull_request_or_adopts_one() {
    let world = World::with(&model());
    let output = world.run(&world.home(), &["clone", ID, "--pr", "42"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let dir = world.home().join("bert");
    assert!(fs::read(dir.join("model.safetensors")).unwrap() == weights(42, 200_000));
    let head = world.git(&dir, &["rev-parse", "HEAD"]);
    assert_eq!(world.hub.rev(ID, "refs/pr/42").as_deref(), Some(head.trim()));
    assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");

    // The checkpoint is only on the server, and is converted while it is downloaded.
    let world = World::with(&convertible());
    let output = world.run(&world.home(), &["clone", ID]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let dir = world.home().join("bert");
    let head = world.git(&dir, &["rev-parse", "HEAD"]);
    assert_eq!(world.hub.rev(ID, "refs/pr/42").as_deref(), Some(head.trim()));
    assert!(fs::read(dir.join("model.safetensors")).unwrap() == converted());
    assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");
    let oid = oid_of(&converted());
    assert!(
        !world.hub.requests().iter().any(|seen| seen.path().ends_with(&oid)),
        "it was made, not downloaded"
    );
    assert!(fs::read_to_string(dir.join("pytorch_model.bin")).unwrap().starts_with("version "));
    let output = world.run(&world.home(), &["clone", ID, "second", "--pr", "never"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let status = world.git(Path::new(&world.home().join("second")), &["status", "--porcelain"]);
    assert_eq!(status, "A  model.safetensors\n");
}

#[test]
fn a_conversion_that_is_interrupted_while_it_looks_is_done_and_told() {
    let clone = clone_of(&convertible());
    clone.world.hub.inject(Fault::Stall(10).at(Place::upload_pack(ID)));
    let mut command = clone.world.command(&clone.dir, &["--json"]);
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !clone.world.hub.requests_now().iter().any(|seen| !seen.faults.is_empty())
        && std::time::Instant::now() < until
    {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = child.id().to_string();
    let kill =
        clone.world.sandbox.command("kill".as_ref(), &clone.dir, &["-TERM".as_ref(), id.as_ref()]).status();
    assert!(kill.unwrap().success());
    let output: Output = child.wait_with_output().unwrap().into();
    assert_eq!(output.code, Some(130), "{output:#?}");
    assert_eq!(status(&output), "converted");
    assert_eq!(clone.status(), "A  model.safetensors\n");
}
