//! Tests the directory of a clone, and the leftovers of a failed one.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{ID, World, names};
use crate::hub::{Fault, Place};
use crate::sandbox::Output;

#[test]
fn a_directory_with_something_in_it_is_not_touched() {
    let world = World::new();
    let dir = world.home().join("bert");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("mine"), "mine").unwrap();
    fs::write(world.home().join("file"), "mine").unwrap();
    for (args, shown) in [(&["clone", ID][..], "bert"), (&["clone", ID, "file"], "file")] {
        let output = world.run(&world.home(), args);
        assert_eq!(output.code, Some(2));
        assert_eq!(
            output.stderr,
            format!(
                "error: acme/bert: destination {} exists and is not empty\n\
                 hint: choose a directory: `git st-convert clone acme/bert DIR`\n",
                world.home().join(shown).display()
            )
        );
    }
    assert_eq!(names(&dir), ["mine"]);
    assert_eq!(names(&world.home()), ["bert", "file"]);
    assert_eq!(world.hub.requests().len(), 0, "nothing was asked");
}

#[test]
fn an_empty_directory_and_a_new_one_below_new_ones_are_filled() {
    let world = World::new();
    let dir = world.home().join("empty");
    fs::create_dir(&dir).unwrap();
    for (cwd, target) in [(dir.clone(), "."), (world.home(), "a/b/c")] {
        let output = world.run(&cwd, &["clone", ID, target, "--no-convert"]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(world.git(&cwd.join(target), &["status", "--porcelain"]), "");
    }
    assert_eq!(names(&world.home().join("a/b")), ["c"]);
}

#[test]
fn a_clone_that_fails_leaves_nothing() {
    for after in 0..5 {
        let world = World::new();
        world.hub.inject(Fault::Status(403).at(Place::git(ID)).after(after));
        let empty = world.home().join("empty");
        fs::create_dir(&empty).unwrap();
        for target in ["new/deep", "empty"] {
            let output = world.run(&world.home(), &["clone", ID, target, "--no-convert"]);
            assert_eq!(output.code, Some(2), "{after}: {output:#?}");
        }
        assert_eq!(names(&world.home()), ["empty"]);
        assert_eq!(names(&empty), [""; 0]);
    }
}

#[test]
fn an_interrupted_clone_leaves_nothing_and_no_process() {
    let world = World::new();
    world.hub.inject(Fault::Stall(30).at(Place::upload_pack(ID)).after(1));
    let args = ["clone", ID, "the model", "--no-convert"];
    let mut child = world.command(&world.home(), &args).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !world.hub.requests_now().iter().any(|seen| !seen.faults.is_empty()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    world.sandbox.command("kill".as_ref(), &world.home(), &["-TERM".as_ref(), id.as_ref()]).status().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    let hint = format!("hint: resume the run: `git st-convert clone --no-convert {ID} 'the model'`\n");
    assert_eq!(said, format!("error: acme/bert: interrupted\n{hint}"));
    assert_eq!(names(&world.home()), [""; 0]);
    let processes = world.sandbox.command("ps".as_ref(), &world.home(), &["ax".as_ref()]).output();
    if let Ok(processes) = processes {
        let listed = String::from_utf8_lossy(&processes.stdout).into_owned();
        assert!(!listed.contains(&world.hub.endpoint()), "{listed}");
    }
}

#[test]
fn what_a_kill_leaves_is_swept_by_the_next_clone() {
    let world = World::new();
    world.hub.inject(Fault::Stall(30).at(Place::upload_pack(ID)).after(1).times(1));
    let mut child =
        world.command(&world.home(), &["clone", ID, "--no-convert"]).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !world.hub.requests_now().iter().any(|seen| !seen.faults.is_empty()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!world.home().join("bert").exists());
    assert_eq!(names(&world.home()).len(), 1);
    // git itself runs until its server disconnects; it has no lock of ours.
    world.hub.heal();
    world.clone(&[]);
    assert_eq!(names(&world.home()), ["bert"]);
}

#[test]
fn a_model_without_a_name_needs_a_directory() {
    let world = World::new();
    let output: Output = world.run(&world.home(), &["clone", ".."]);
    assert_eq!(output.code, Some(2));
    assert_eq!(
        output.stderr,
        "error: ..: cannot derive a directory name from ..\n\
         hint: choose a directory: `git st-convert clone .. DIR`\n"
    );
}
