//! Tests failed clones: one message, the output of git, and one hint.

use super::{ID, World, names};
use crate::hub::{Access, Fault, Place, Right};
use crate::sandbox::Output;

/// Returns the message without the output of git, which differs between its releases.
fn shown(output: &Output) -> String {
    assert!(!output.stderr.contains("panicked") && !output.stderr.contains("backtrace"), "{output:#?}");
    let lines = output.stderr.lines().filter(|line| !line.starts_with(' '));
    lines.fold(String::new(), |shown, line| shown + line + "\n")
}

#[track_caller]
fn assert_error(world: &World, output: &Output, message: &str, hint: &str) {
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert_eq!(shown(output), format!("error: {message}\nhint: {hint}\n"));
    assert_eq!(names(&world.home()), [""; 0]);
}

const SIGN_IN: &str = "sign in: `hf auth login` (or set HF_TOKEN), or configure a git credential helper";

#[test]
fn a_private_or_missing_model_asks_who_is_there() {
    let world = World::new();
    world.hub.set_access(ID, Access::Private);
    for id in [ID, "acme/none"] {
        let output = world.run(&world.home(), &["clone", id]);
        assert_error(&world, &output, &format!("{id}: authentication required"), SIGN_IN);
    }
    world.hub.add_token("hf_reader", "reader", Right::Read);
    let output = world.run_as("hf_reader", &world.home(), &["clone", "acme/none"]);
    let message = "acme/none: repository not found or private";
    assert_error(
        &world,
        &output,
        message,
        "check the name; a private model needs a token: `hf auth login` (or set HF_TOKEN)",
    );
    let output = world.run_as("hf_reader", &world.home(), &["clone", ID, "--no-convert"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
}

#[test]
fn a_gated_model_needs_access_first() {
    let world = World::new();
    world.hub.set_access(ID, Access::Gated);
    let output = world.run(&world.home(), &["clone", ID]);
    assert_error(&world, &output, "acme/bert: authentication required", SIGN_IN);
    world.hub.add_token("hf_stranger", "stranger", Right::Public);
    let output = world.run_as("hf_stranger", &world.home(), &["clone", ID]);
    assert_error(
        &world,
        &output,
        "acme/bert: access denied",
        "request access on the model's page, then set HF_TOKEN to a token of that account",
    );
}

#[test]
fn an_expired_token_and_one_that_is_none() {
    let world = World::new();
    world.hub.set_access(ID, Access::Private);
    world.hub.add_expired_token("hf_old", "reader");
    for token in ["hf_old", "nonsense"] {
        let output = world.run_as(token, &world.home(), &["clone", ID]);
        assert_error(
            &world,
            &output,
            "acme/bert: authentication failed",
            "the token may have expired; sign in again: `hf auth login` (or set HF_TOKEN)",
        );
        assert!(!output.stderr.contains(token));
    }
    let output = world.run_as("two\nlines", &world.home(), &["clone", ID]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.starts_with("error: acme/bert: no valid token in HF_TOKEN\n"), "{output:#?}");
}

#[test]
fn nobody_there_and_nobody_asked() {
    let world = World::new();
    let output: Output = world
        .command(&world.home(), &["clone", ID])
        .env("HF_ENDPOINT", "http://127.0.0.1:1")
        .output()
        .unwrap()
        .into();
    let hint = "check the network, and HF_ENDPOINT if it is set";
    assert_error(&world, &output, "acme/bert: cannot reach the server", hint);
    let output = world.run(&world.home(), &["clone", "http://host.invalid/m"]);
    let elsewhere = "check the network and the URL";
    assert_error(&world, &output, "http://host.invalid/m: cannot reach the server", elsewhere);
    let output: Output = world
        .command(&world.home(), &["clone", "ssh://127.0.0.1:1/m"])
        .env("GIT_SSH_COMMAND", "ssh -F /dev/null")
        .output()
        .unwrap()
        .into();
    if !output.stderr.contains("not found") {
        assert_error(&world, &output, "ssh://127.0.0.1:1/m: cannot reach the server", elsewhere);
    }

    let message = "acme/bert: cannot clone while offline";
    let hint = "go online: drop `--offline` and unset HF_HUB_OFFLINE";
    let output = world.run(&world.home(), &["clone", ID, "--offline"]);
    assert_error(&world, &output, message, hint);
    let output: Output =
        world.command(&world.home(), &["clone", ID]).env("HF_HUB_OFFLINE", "1").output().unwrap().into();
    assert_error(&world, &output, message, hint);
    assert_eq!(world.hub.requests().len(), 0);
}

#[test]
fn what_is_no_repository() {
    let world = World::new();
    world.hub.inject(Fault::Html.at(Place::git(ID)));
    let output = world.run(&world.home(), &["clone", ID]);
    let hint = "give the model as OWNER/NAME or as the URL of its repository";
    assert_error(&world, &output, "acme/bert: not a git repository", hint);
    world.git(&world.home(), &["init", "-q", "--bare", "../empty.git"]);
    let output = world.run(&world.home(), &["clone", "../empty.git"]);
    let message = "../empty.git: ../empty.git is empty or not a model repository";
    assert_error(&world, &output, message, hint);
    std::fs::create_dir(world.sandbox.path("plain")).unwrap();
    let output = world.run(&world.home(), &["clone", "../plain"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(shown(&output).contains("hint: "), "{output:#?}");
    let output = world.run(&world.home(), &["clone", "../none"]);
    assert_error(&world, &output, "../none: repository not found", "check the path of the repository");
}

#[test]
fn a_remote_without_a_head_is_cloned_by_its_branch() {
    let world = World::new();
    let (home, source) = (world.home(), world.sandbox.repo("source"));
    std::fs::write(source.join("config.json"), "{}\n").unwrap();
    world.git(&source, &["add", "."]);
    world.git(&source, &["commit", "-q", "-m", "one"]);
    world.git(&source, &["branch", "-M", "trunk"]);
    world.git(&source, &["bundle", "create", "-q", "../headless.bundle", "trunk"]);
    world.git(&home, &["init", "-q", "--bare", "../headless.git"]);
    world.git(&source, &["push", "-q", "../headless.git", "trunk"]);
    world.git(&home, &["--git-dir", "../headless.git", "symbolic-ref", "HEAD", "refs/heads/none"]);
    for name in ["../headless.bundle", "../headless.git"] {
        let output = world.run(&home, &["clone", name, "--no-convert"]);
        assert_eq!(output.code, Some(2), "{output:#?}");
        let hint = format!("git st-convert clone --no-convert --revision trunk {name}");
        assert!(shown(&output).ends_with(&format!("hint: choose a branch: `{hint}`\n")), "{output:#?}");
        let args: Vec<_> = hint.split(' ').skip(2).collect();
        let output = world.run(&home, &args);
        assert_eq!(output.code, Some(0), "{output:#?}");
        std::fs::remove_dir_all(home.join("headless")).unwrap();
    }
}

/// git clones a file or a directory of that name, and no model of the Hub has such a name.
#[test]
fn a_bundle_and_a_bare_repository_of_this_directory_are_cloned() {
    let world = World::with(&crate::clone::model());
    let (home, from) = (world.home(), world.hub.git_dir(ID));
    world.git(&home, &["clone", "-q", "--bare", from.to_str().unwrap(), "one.git"]);
    world.git(&home.join("one.git"), &["bundle", "create", "-q", "../two.bundle", "HEAD", "main"]);
    world.git(&home, &["clone", "-q", "--bare", from.to_str().unwrap(), "acme/three.git"]);
    for (source, dir) in [("one.git", "one"), ("two.bundle", "two"), ("acme/three.git", "three")] {
        world.run(&home, &["clone", "--no-convert", "--offline", source]).ok();
        let head = |dir: &std::path::Path| world.git(dir, &["rev-parse", "HEAD"]);
        assert_eq!(head(&home.join(dir)), head(&home.join("one.git")), "{source}");
    }
    assert!(world.hub.requests().is_empty());
    // Without such a file, it is a name on the Hub.
    let absent = world.run(&home, &["clone", "--offline", "four.git"]);
    assert!(absent.stderr.contains("cannot clone while offline"), "{absent:#?}");
}

#[test]
fn what_starts_a_program_is_not_cloned() {
    let world = World::new();
    let home = world.home();
    let trace = world.sandbox.path("trace");
    let command = format!("ext::touch {}", trace.display());
    for transport in ["ext", "fd"] {
        world.git(&home, &["config", "--global", &format!("protocol.{transport}.allow"), "always"]);
    }
    world.git(&home, &["config", "--global", &format!("url.{command}.insteadOf"), "https://alias.invalid/"]);
    for url in [command.as_str(), &command.replace("ext", "EXT"), "fd::0", "https://alias.invalid/"] {
        let output = world.run(&home, &["clone", url, "model"]);
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert!(!trace.exists(), "{url}");
        std::fs::write(home.join("list"), format!("{url}\n")).unwrap();
        for args in [&["batch", "list", "--dir", "out"][..], &["batch", "list", "--dir", "out", "--update"]] {
            let output = world.run(&home, args);
            assert_eq!(output.code, Some(2), "{output:#?}");
            assert!(!trace.exists(), "{url}");
        }
    }
    let output = world.run(&home, &["clone", "fd::0", "model"]);
    assert!(shown(&output).starts_with("error: fd::0: refused: unsafe transport `fd::`\n"), "{output:#?}");
}

#[test]
fn a_server_in_trouble_is_given_up_after_a_while() {
    for (fault, message, hint) in [
        (Fault::Status(500), "server error", "try again later"),
        (
            Fault::RetryAfter(429, 1),
            "rate limit exceeded",
            "try again later, or set HF_TOKEN for a higher rate limit",
        ),
        (Fault::Drop, "connection lost", "try again later"),
    ] {
        let world = World::new();
        world.hub.inject(fault.at(Place::git(ID)));
        let output = world.run(&world.home(), &["clone", ID]);
        assert_error(&world, &output, &format!("acme/bert: {message}"), hint);
        assert_eq!(world.hub.requests().len(), 3);
    }
}
