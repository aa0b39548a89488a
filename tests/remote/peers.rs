//! Compares custom transfer agents with git-lfs, and tests one of another author.
#![expect(clippy::disallowed_methods, reason = "looks for the programs of others")]

use std::fs;
use std::path::{Path, PathBuf};

use git_st_convert::hash::Oid;
use git_st_convert::remote::Uploaded;

use super::agents::Desk;
use super::{World, bytes};

/// With the same setup, git-lfs sends the same messages to the agent.
#[test]
fn git_lfs_tells_an_agent_the_same() {
    let Some(desk) = Desk::new() else { return };
    let world = &desk.world;
    if !world.sandbox.git_lfs_available() {
        return;
    }
    let mut pairs = desk.alone("");
    // The program starts at most one agent per object, and git-lfs starts eight; with this setting, both start one.
    pairs.push(("lfs.customtransfer.dir.concurrent".to_owned(), "false".to_owned()));
    let object = desk.content[..5000].to_vec();
    desk.send(desk.settings(&pairs), &object).unwrap();
    let ours = desk.told();
    for (key, value) in &pairs {
        world.sandbox.git(&world.repo, &["config", key, value]);
    }
    let oid = Oid::of(&object).to_string();
    let dir = world.repo.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(&oid), &object).unwrap();
    world.sandbox.git(&world.repo, &["lfs", "push", "--object-id", "origin", &oid]);
    assert_eq!(desk.told(), ours);
    desk.download(desk.settings(&pairs), &|_| ()).unwrap();
    let ours = desk.told();
    drop(fs::remove_dir_all(desk.store().dir()));
    fs::write(world.repo.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    let pointer = crate::hub::pointer(&desk.pointer().oid.to_string(), desk.pointer().size);
    fs::write(world.repo.join("m.bin"), pointer).unwrap();
    world.sandbox.git(&world.repo, &["-c", "filter.lfs.clean=cat", "add", "."]);
    world.sandbox.git(&world.repo, &["commit", "-q", "-m", "two"]);
    world.sandbox.git(&world.repo, &["lfs", "fetch", "origin", "main"]);
    assert_eq!(desk.told(), ours);
}

/// The agent of another author (`cargo install lfs-dal`), whose server here is a directory.
#[test]
fn lfs_dal_sends_and_brings() {
    let Some(program) = peer("lfs-dal") else { return };
    let world = World::with_content(bytes(1000));
    let (content, at) = (bytes(20_000_003), world.sandbox.path("dal"));
    fs::create_dir_all(&at).unwrap();
    fs::write(
        world.repo.join(".lfsdalconfig"),
        format!("[lfs-dal]\n\tscheme = fs\n\troot = {}\n", at.display()),
    )
    .unwrap();
    let desk = Desk { world, at, content };
    let pairs = vec![
        ("lfs.standalonetransferagent".to_owned(), "lfs-dal".to_owned()),
        ("lfs.customtransfer.lfs-dal.path".to_owned(), program.to_str().unwrap().to_owned()),
        ("lfs.url".to_owned(), "lfs-dal".to_owned()),
    ];
    let content = desk.content.clone();
    assert_eq!(desk.send(desk.settings(&pairs), &content).unwrap(), Uploaded::Sent);
    assert!(fs::read(desk.at.join(desk.pointer().oid.to_string())).unwrap() == content);
    let path = desk.download(desk.settings(&pairs), &|_| ()).unwrap();
    assert!(fs::read(path).unwrap() == content);
}

/// Returns a program of another author: on `PATH`, or where `.ci/run` installs it.
pub(super) fn peer(name: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).chain([own]).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        crate::clone::skipped(&format!("{name} is not here; .ci/run installs it"));
    }
    found
}
