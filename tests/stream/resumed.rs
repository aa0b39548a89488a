//! Tests a stopped conversion that resumes: nothing is downloaded twice without need.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use git_st_convert::hash::Oid;

use super::{check, large, large_of, leftovers, objects, world};
use crate::clone::{World, skipped};
use crate::hub::{Fault, Place};
use crate::sandbox::Output;
use crate::sandbox::disk::Disk;

/// The bytes that may be sent twice: the blocks of the plan in each of two runs, and the bytes that were in transit.
const AGAIN: u64 = 40 << 20;

#[test]
fn a_run_that_lost_the_server_is_gone_on_with() {
    let bytes = large(48);
    let world = world(&bytes);
    let oid = Oid::of(&bytes).to_string();
    let repo = world.clone(&[]);
    world.git(&repo, &["config", "lfs.transfer.maxretries", "1"]);
    // After twelve requests, all requests fail.
    world.hub.inject(Fault::Status(500).at(Place::content(&oid)).after(12));
    let output = world.run(&repo, &[]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert_eq!(objects(&repo), <[String; 0]>::default());
    assert_eq!(world.git(&repo, &["status", "--porcelain"]), "");
    assert!(
        leftovers(&repo).iter().any(|name| name.ends_with(".safetensors.json")),
        "{:?}",
        leftovers(&repo)
    );
    world.hub.heal();
    let before: u64 = world.hub.fetched(&oid).iter().map(|range| range.end - range.start).sum();
    assert!(before > 20 << 20, "{before}");
    let output = world.run(&repo, &[]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let all: u64 = world.hub.fetched(&oid).iter().map(|range| range.end - range.start).sum();
    // More than the 48 MiB are sent: the bytes in transit at the failure, and the blocks of two plans.
    assert!(all < bytes.len() as u64 + (26 << 20), "{all} of {}", bytes.len());
    check(&world, &repo, &bytes);
}

/// In the other byte order, every tensor is swapped at the end, from bytes that were stored on the way.
#[test]
fn what_was_laid_aside_is_there_when_it_is_gone_on_with() {
    let bytes = large_of(48, "big");
    let world = world(&bytes);
    let oid = Oid::of(&bytes).to_string();
    let repo = world.clone(&[]);
    world.git(&repo, &["config", "lfs.transfer.maxretries", "1"]);
    for chunks in [8, 5] {
        world.hub.inject(Fault::Status(500).at(Place::content(&oid)).after(chunks));
        let output = world.run(&repo, &[]);
        assert_eq!(output.code, Some(2), "{output:#?}");
        world.hub.heal();
    }
    world.run(&repo, &[]).ok();
    let all: u64 = world.hub.fetched(&oid).iter().map(|range| range.end - range.start).sum();
    assert!(all < bytes.len() as u64 + (40 << 20), "{all} of {}", bytes.len());
    check(&world, &repo, &bytes);
}

#[test]
fn a_person_s_interruption_is_gone_on_with() {
    let bytes = large(64);
    let world = world(&bytes);
    let oid = Oid::of(&bytes).to_string();
    let repo = world.clone(&[]);
    world.hub.throttle(Some(20 << 20));
    let mut child = world.command(&repo, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until_sent(&world, &oid, 24 << 20);
    rustix_interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(world.git(&repo, &["status", "--porcelain"]), "");
    assert_eq!(objects(&repo), <[String; 0]>::default());
    world.hub.throttle(None);
    world.run(&repo, &[]).ok();
    let all: u64 = world.hub.fetched(&oid).iter().map(|range| range.end - range.start).sum();
    assert!(all < bytes.len() as u64 + AGAIN, "{all} of {}", bytes.len());
    check(&world, &repo, &bytes);
}

/// Waits until the hub has sent this many bytes of an object.
fn wait_until_sent(world: &World, oid: &str, len: u64) {
    let sent = || -> u64 {
        let seen = world.hub.requests_now();
        seen.iter().filter(|seen| seen.path().contains(oid)).map(|seen| seen.sent).sum()
    };
    let began = Instant::now();
    while sent() < len && began.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(20));
    }
}

/// The object is on another disk, so it is complete or resumed whatever happens to the copy.
#[test]
fn a_disk_of_the_working_tree_that_fills_during_the_download_loses_nothing() {
    let bytes = large(48);
    let world = world(&bytes);
    let oid = Oid::of(&bytes).to_string();
    let Some(disk) = Disk::new(&world.sandbox, "128m") else {
        return skipped("no file system can be mounted here, so no disk is full");
    };
    let repo = world.clone(&[]);
    let git = world.sandbox.path("git");
    std::fs::rename(repo.join(".git"), &git).unwrap();
    std::os::unix::fs::symlink(&git, repo.join(".git")).unwrap();
    let repo = disk.copy(&repo);
    // Slow enough that a busy machine fills the disk in time.
    world.hub.throttle(Some(6 << 20));
    let child = world.command(&repo, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until_sent(&world, &oid, 8 << 20);
    disk.fill(4096);
    let output = Output::from(child.wait_with_output().unwrap());
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.stderr.contains("No space left"), "{output:#?}");
    assert!(output.stderr.contains("model.safetensors"), "{output:#?}");
    assert_eq!(objects(&repo), <[String; 0]>::default());
    disk.free();
    assert_eq!(world.git(&repo, &["status", "--porcelain"]), "");
    world.hub.throttle(None);
    world.run(&repo, &[]).ok();
    let all: u64 = world.hub.fetched(&oid).iter().map(|range| range.end - range.start).sum();
    assert!(all < bytes.len() as u64 + AGAIN, "{all} of {}", bytes.len());
    check(&world, &repo, &bytes);
}

#[test]
fn a_killed_run_leaves_the_repository_as_it_was_and_a_later_one_finishes() {
    let bytes = large(24);
    let world = world(&bytes);
    let repo = world.clone(&[]);
    let index = || std::fs::read(repo.join(".git/index")).unwrap();
    let before = index();
    world.hub.throttle(Some(40 << 20));
    for after in [50, 200, 350] {
        let mut child =
            world.command(&repo, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(after));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(index() == before && objects(&repo).is_empty(), "after {after} ms");
        assert_eq!(world.git(&repo, &["status", "--porcelain"]), "");
    }
    world.hub.throttle(None);
    world.run(&repo, &[]).ok();
    check(&world, &repo, &bytes);
}

/// Sends the signal of Ctrl-C.
pub(super) fn rustix_interrupt(process: u32) {
    let process = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
}

#[test]
fn what_another_checkpoint_left_is_of_no_use_and_does_no_harm() {
    let bytes = large(5);
    let world = world(&bytes);
    let oid = Oid::of(&bytes).to_string();
    let repo = world.clone(&[]);
    let dir = repo.join(".git/lfs/incomplete");
    std::fs::create_dir_all(&dir).unwrap();
    for journal in ["", "{}", "{\"plan\":\"x\",\"standing\":{\"at\":5,\"crc32\":0}}", "\u{0}\u{1}"] {
        std::fs::write(dir.join(format!("{oid}.safetensors")), vec![7; 99]).unwrap();
        std::fs::write(dir.join(format!("{oid}.safetensors.json")), journal).unwrap();
        world.run(&repo, &["--force"]).ok();
        check(&world, &repo, &bytes);
        world.git(&repo, &["rm", "-q", "--cached", "-f", "model.safetensors"]);
        std::fs::remove_file(repo.join("model.safetensors")).unwrap();
        std::fs::remove_dir_all(repo.join(".git/lfs/objects")).unwrap();
    }
}

#[test]
fn a_damaged_journal_costs_bytes_and_never_a_wrong_file() {
    let bytes = large(24);
    let world = world(&bytes);
    let oid = Oid::of(&bytes).to_string();
    let repo = world.clone(&[]);
    world.git(&repo, &["config", "lfs.transfer.maxretries", "1"]);
    let fault = || Fault::Status(500).at(Place::content(&oid)).after(8);
    world.hub.inject(fault());
    assert_eq!(world.run(&repo, &[]).code, Some(2));
    world.hub.heal();
    let incomplete = repo.join(".git/lfs/incomplete");
    let names = crate::clone::names(&incomplete).into_iter();
    let kept: Vec<_> = names.map(|name| incomplete.join(name)).collect();
    let kept: Vec<_> = kept.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    let journal = incomplete.join(format!("{oid}.safetensors.json"));
    let text = &kept.iter().find(|(path, _)| *path == journal).unwrap().1;
    let text = String::from_utf8(text.clone()).unwrap();
    // Every number gets another digit, once each; and the end is missing.
    let digits: Vec<usize> =
        text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()).map(|(at, _)| at).collect();
    let mut damaged: Vec<Vec<u8>> =
        [0, 1, text.len() / 2, text.len() - 1].map(|len| text.as_bytes()[..len].to_vec()).into();
    for at in digits.iter().step_by(digits.len().div_ceil(9)) {
        let mut bytes = text.clone().into_bytes();
        bytes[*at] = if bytes[*at] == b'9' { b'1' } else { bytes[*at] + 1 };
        damaged.push(bytes);
    }
    for bytes_of_journal in damaged {
        std::fs::create_dir_all(&incomplete).unwrap();
        for (path, content) in &kept {
            std::fs::write(path, content).unwrap();
        }
        std::fs::write(&journal, &bytes_of_journal).unwrap();
        let run = world.run(&repo, &[]);
        let said = String::from_utf8_lossy(&bytes_of_journal);
        assert_eq!(run.code, Some(0), "{said}: {run:#?}");
        check(&world, &repo, &bytes);
        world.git(&repo, &["rm", "-q", "--cached", "-f", "model.safetensors"]);
        std::fs::remove_file(repo.join("model.safetensors")).unwrap();
        std::fs::remove_dir_all(repo.join(".git/lfs/objects")).unwrap();
    }
}
