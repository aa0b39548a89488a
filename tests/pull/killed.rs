//! Tests a pull that is killed at any point: the repository is unchanged, or the pull request is taken.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{Clone, ID, weights};
use crate::hub::{Fault, Place, oid_of};
use crate::sandbox::Output;

fn start(clone: &Clone) -> Child {
    let mut command = clone.world.command(&clone.dir, &["pull", "42"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Checks that `HEAD` is at one of both commits, nothing is modified, no lock is left, and the same command succeeds.
#[track_caller]
fn assert_before_or_after(clone: &Clone, before: &str, at: Duration) {
    let (old, new) = (clone.rev("main"), clone.rev("refs/pr/42"));
    // git itself may still be running, because it was not killed.
    let until = Instant::now() + Duration::from_secs(10);
    while clone.dir.join(".git/index.lock").exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(20));
    let head = clone.head();
    assert!(head == old || head == new, "{at:?}: {head}");
    if head == old {
        assert_eq!(clone.state(), before, "{at:?}");
    } else if clone.status() != "" {
        // The kill came between the name of the content and the write of the index. Without the filter of Git LFS, as
        // here, git compares the content with the pointer. The content is correct, and the same command below corrects
        // the index.
        assert_eq!(clone.status(), " M model.safetensors\n", "{at:?}");
        clone.check_bytes("model.safetensors", &weights(42, 200_000));
    }
    clone.ok(&["pull", "42"]);
    clone.check_bytes("model.safetensors", &weights(42, 200_000));
    assert_eq!((clone.head(), clone.status().as_str()), (new, ""), "{at:?}");
}

#[test]
fn thirty_kills_from_the_start_to_the_end() {
    let clone = Clone::new();
    let before = clone.state();
    let since = Instant::now();
    assert!(start(&clone).wait().unwrap().success());
    let whole = since.elapsed();
    for n in 0..30 {
        let clone = Clone::new();
        let mut child = start(&clone);
        let at = whole * n / 28;
        std::thread::sleep(at);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_before_or_after(&clone, &before, at);
    }
}

#[test]
fn a_download_that_is_killed_goes_on_where_it_was() {
    let clone = Clone::new();
    let before = clone.state();
    let oid = oid_of(&weights(42, 200_000));
    clone.world.hub.inject(Fault::Stall(150_000).at(Place::content(&oid)).times(1));
    let mut child = start(&clone);
    let until = Instant::now() + Duration::from_secs(20);
    while !clone.world.hub.requests_now().iter().any(|seen| seen.sent >= 150_000) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    clone.world.hub.heal();
    assert_before_or_after(&clone, &before, Duration::ZERO);
}

#[test]
fn an_interruption_ends_it_politely() {
    let clone = Clone::new();
    let before = clone.state();
    clone.world.hub.inject(Fault::Stall(1000).at(Place::content(&oid_of(&weights(42, 200_000)))));
    let mut command = clone.world.command(&clone.dir, &["pull", "42", "--yes"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !clone.world.hub.requests_now().iter().any(|seen| !seen.faults.is_empty()) && Instant::now() < until
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    let kill =
        clone.world.sandbox.command("kill".as_ref(), &clone.dir, &["-INT".as_ref(), id.as_ref()]).status();
    assert!(kill.unwrap().success());
    let output = Output::from(child.wait_with_output().unwrap());
    assert_eq!(output.code, Some(130), "{output:#?}");
    let message = "error: interrupted\nhint: resume the run: `git st-convert pull --yes 42`\n";
    assert!(output.stderr.ends_with(message), "{output:#?}");
    assert_eq!(clone.state(), before);
    assert!(clone.world.hub.rev(ID, "main").is_some());
}
