//! Tests what is cloned, and what is checked out.

use std::fs;
use std::path::Path;

use super::{ID, World, model};

/// Creates a model with a branch, a tag and a pull request.
fn world() -> World {
    let mut model = model();
    model.on("wide").file("WIDE", "w\n").commit("wide");
    model.pull_request(7).file("PR", "p\n").commit("pull request").on("main");
    World::with(&model)
}

fn branch(world: &World, dir: &Path) -> Option<String> {
    let output = world.sandbox.try_git(dir, &["symbolic-ref", "--short", "HEAD"]);
    (output.code == Some(0)).then(|| output.stdout.trim().to_owned())
}

#[test]
fn branches_tags_commits_and_references() {
    let world = world();
    let commit = world.hub.rev(ID, "main~1").unwrap();
    for (revision, expected, on) in [
        ("wide", "wide", Some("wide")),
        ("refs/heads/wide", "wide", Some("wide")),
        ("v1", "v1", None),
        ("refs/tags/v1", "v1", None),
        ("refs/pr/7", "refs/pr/7", None),
        (commit.as_str(), "main~1", None),
        (&commit[..10], "main~1", None),
    ] {
        let name = revision.replace('/', "-");
        let args = ["clone", ID, &name, "--no-convert", "--revision", revision, "--json"];
        let output = world.run(&world.home(), &args);
        assert_eq!(output.code, Some(0), "{revision}: {output:#?}");
        let dir = world.home().join(&name);
        let head = world.git(&dir, &["rev-parse", "HEAD"]);
        assert_eq!(Some(head.trim().to_owned()), world.hub.rev(ID, expected), "{revision}");
        assert_eq!(branch(&world, &dir).as_deref(), on, "{revision}");
        let line: serde_json::Value = serde_json::from_str(output.stdout.lines().next().unwrap()).unwrap();
        assert_eq!((line["type"].as_str(), line["branch"].as_str()), (Some("clone"), on));
        assert_eq!(line["commit"], head.trim());
        assert_eq!(line["dir"], dir.to_str().unwrap());
        let refs = world.git(&dir, &["for-each-ref", "--format=%(refname)"]);
        assert!(!refs.contains("st-convert"), "{refs}");
        assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");
    }
}

#[test]
fn depth_cuts_the_history_of_any_revision() {
    let world = world();
    for revision in ["main", "refs/pr/7"] {
        let name = revision.replace('/', "-");
        let args = ["clone", ID, &name, "--no-convert", "--depth", "1", "--revision", revision];
        assert_eq!(world.run(&world.home(), &args).code, Some(0));
        let dir = world.home().join(&name);
        assert_eq!(world.git(&dir, &["rev-list", "--count", "HEAD"]), "1\n", "{revision}");
        assert_eq!(fs::metadata(dir.join("vocab.txt")).unwrap().len(), 100_000);
    }
    let output = world.run(&world.home(), &["clone", ID, "x", "--depth", "0"]);
    assert_eq!(output.code, Some(2));
}

#[test]
fn what_is_no_revision_is_an_error_and_leaves_nothing() {
    let world = world();
    let gone = "1234567890123456789012345678901234567890";
    for revision in ["none", "abcdef", gone, "refs/pr/99", "a:b", "-x", "main~1", "", "a b", "*"] {
        let args = ["clone", ID, "--no-convert", &format!("--revision={revision}")];
        let output = world.run(&world.home(), &args);
        assert_eq!(output.code, Some(2), "{revision}: {output:#?}");
        assert_eq!(
            output.stderr,
            format!(
                "error: acme/bert: revision `{revision}` not found\n\
                 hint: list the revisions: `git ls-remote {}` (a commit needs its full ID)\n",
                world.hub.url(ID)
            )
        );
        assert_eq!(super::names(&world.home()), [""; 0]);
    }
}

#[test]
fn urls_and_paths_as_git_takes_them() {
    let world = world();
    let bare = world.sandbox.path("srv/model.git");
    fs::create_dir_all(bare.parent().unwrap()).unwrap();
    let git_dir = world.hub.git_dir(ID);
    world.git(&world.home(), &["clone", "-q", "--mirror", git_dir.to_str().unwrap(), bare.to_str().unwrap()]);
    let (path, file) = (bare.to_str().unwrap().to_owned(), format!("file://{}", bare.display()));
    for (model, name) in [
        (world.hub.url(ID).as_str(), "bert"),
        (&format!("{}.git/", world.hub.url(ID)), "bert"),
        (&path, "model"),
        ("../srv/model.git", "model"),
        (&file, "model"),
    ] {
        let output = world.run(&world.home(), &["clone", model, "--no-convert"]);
        assert_eq!(output.code, Some(0), "{model}: {output:#?}");
        let dir = world.home().join(name);
        assert_eq!(fs::metadata(dir.join("vocab.txt")).unwrap().len(), 100_000, "{model}");
        assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");
        // The path of the remote is also correct from another directory.
        world.git(&dir, &["fetch", "-q"]);
        fs::remove_dir_all(dir).unwrap();
    }
    assert_eq!(super::names(&world.home()), [""; 0]);
}

#[test]
fn a_name_is_looked_for_at_the_endpoint_with_its_path() {
    let world = world();
    let endpoint = format!("{}/", world.hub.endpoint());
    let output: crate::sandbox::Output = world
        .command(&world.home(), &["clone", ID, "--no-convert"])
        .env("HF_ENDPOINT", endpoint)
        .output()
        .unwrap()
        .into();
    assert_eq!(output.code, Some(0), "{output:#?}");
    let url = world.git(&world.home().join("bert"), &["config", "remote.origin.url"]);
    assert_eq!(url.trim(), world.hub.url(ID));
}
