//! Tests a sharded checkpoint that is only on the server: one shard at a time is on the disk, and the next run resumes
//! a stopped one after the finished shards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use git_st_convert::hash::Oid;
use serde_json::{Value, json};

use super::{converted, leftovers, objects};
use crate::checkpoint::{self as builder, pickle};
use crate::clone::World;
use crate::convert::torch::{Float32, checkpoint, noise};
use crate::hub::{Builder, Fault, Place};

const INDEX: &str = "pytorch_model.bin.index.json";

/// The format of the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saved {
    /// They are converted during the download.
    Zip,
    /// They must be downloaded first.
    Legacy,
}

/// A model of three shards on a hub.
struct Set {
    world: World,
    shards: Vec<Vec<u8>>,
}

fn name(number: usize) -> String {
    format!("pytorch_model-{number:05}-of-00003.bin")
}

/// Returns a shard with one tensor of this many MiB, with different bytes.
fn shard(saved: Saved, number: usize, size: usize) -> Vec<u8> {
    let mut bytes = noise(size << 20).bytes;
    bytes[0] = u8::try_from(number).unwrap();
    let name = format!("layer.{number}");
    match saved {
        Saved::Zip => {
            let shape = vec![u32::try_from(bytes.len() / 4).unwrap()];
            checkpoint(&[Float32 { name, shape, bytes }])
        }
        Saved::Legacy => {
            let object = pickle::named(&[(name.as_str(), pickle::storage_of_bytes("0", bytes.len()))]);
            builder::legacy(&object, &[("0", i64::try_from(bytes.len()).unwrap(), &bytes)])
        }
    }
}

impl Set {
    fn new(saved: Saved, size: usize) -> Self {
        Self::of((1..4).map(|number| shard(saved, number, size)).collect())
    }

    fn of(shards: Vec<Vec<u8>>) -> Self {
        let mut model = Builder::new();
        let map: Value = (1..4)
            .map(|number| (format!("layer.{number}"), json!(name(number))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        model.file(INDEX, json!({ "metadata": {}, "weight_map": map }).to_string());
        for (number, shard) in shards.iter().enumerate() {
            model.lfs(&name(number + 1), shard.clone());
        }
        model.commit("shards");
        Self { world: World::with(&model), shards }
    }

    /// Clones without a conversion, with few retries.
    fn clone(&self) -> PathBuf {
        let repo = self.world.clone(&[]);
        self.world.git(&repo, &["config", "lfs.transfer.maxretries", "1"]);
        repo
    }

    fn oid(&self, number: usize) -> String {
        Oid::of(&self.shards[number - 1]).to_string()
    }

    fn fetched(&self, number: usize) -> u64 {
        self.world.hub.fetched(&self.oid(number)).iter().map(|range| range.end - range.start).sum()
    }

    /// Starts a run, at this many bytes per second.
    fn start(&self, repo: &Path, speed: u64) -> Child {
        self.world.hub.throttle(Some(speed));
        self.world.command(repo, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Waits until more bytes of a shard were sent than the plan reads.
    fn wait_for(&self, number: usize) {
        let (oid, began) = (self.oid(number), Instant::now());
        let sent = || -> u64 {
            let seen = self.world.hub.requests_now();
            seen.iter().filter(|seen| seen.path().contains(&oid)).map(|seen| seen.sent).sum()
        };
        while sent() < 2 << 20 {
            assert!(began.elapsed() < Duration::from_secs(120));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Checks that no new name exists.
    #[track_caller]
    fn check_unchanged(&self, repo: &Path) {
        assert_eq!(objects(repo), <[String; 0]>::default());
        assert_eq!(self.world.git(repo, &["status", "--porcelain"]), "");
    }

    /// Checks that each shard is converted as by itself, and that nothing else is left.
    #[track_caller]
    fn check(&self, repo: &Path) {
        let mut expected = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let file = fs::read(repo.join(format!("model-{:05}-of-00003.safetensors", number + 1))).unwrap();
            assert!(file == converted(&self.world, shard));
            expected.push(Oid::of(&file).to_string());
        }
        expected.sort();
        assert_eq!(objects(repo), expected);
        assert_eq!(leftovers(repo), <[String; 0]>::default());
        let status = self.world.git(repo, &["status", "--porcelain"]);
        assert_eq!(status.lines().filter(|line| line.starts_with("A  model")).count(), 4, "{status}");
        assert_eq!(status.lines().count(), 4, "{status}");
    }
}

/// Returns how many bytes of sources are on the disk: downloads, objects, and bytes that are stored for the end.
fn sources_here(set: &Set, repo: &Path) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let incomplete = repo.join(".git/lfs/incomplete");
    let names = fs::read_dir(&incomplete).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let halves = names.filter(|name| {
        let extension = Path::new(name).extension();
        extension.is_some_and(|extension| extension == "part" || extension == "spool")
    });
    let halves: u64 = halves.map(|name| size(&incomplete.join(name))).sum();
    let stored = (1..4).map(|number| set.oid(number));
    let stored: u64 = stored
        .map(|oid| size(&repo.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(&oid)))
        .sum();
    halves + stored
}

#[test]
fn one_source_at_a_time_is_on_the_disk() {
    for saved in [Saved::Legacy, Saved::Zip] {
        let set = Set::new(saved, 3);
        if saved == Saved::Zip {
            // The server does not support ranges, so nothing is converted during the download.
            for number in 1..4 {
                set.world.hub.inject(Fault::NoRanges.at(Place::content(&set.oid(number))));
            }
        }
        let repo = set.clone();
        let mut child = set.start(&repo, 4 << 20);
        let (mut most, mut looks) = (0, 0);
        while child.try_wait().unwrap().is_none() {
            most = most.max(sources_here(&set, &repo));
            looks += 1;
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let one = set.shards.iter().map(|shard| shard.len() as u64).max().unwrap();
        assert!(looks > 50 && most > one / 2, "{saved:?}: {looks} looks saw {most} of {one}");
        assert!(most <= one, "{saved:?}: {most} of {one}");
        set.world.hub.throttle(None);
        set.check(&repo);
    }
}

#[test]
fn with_keep_source_all_of_them_stay() {
    let set = Set::new(Saved::Legacy, 1);
    let repo = set.clone();
    set.world.run(&repo, &["--keep-source"]).ok();
    let stored = objects(&repo);
    assert_eq!(stored.len(), 6);
    for number in 1..4 {
        assert!(stored.contains(&set.oid(number)));
    }
    assert_eq!(leftovers(&repo), <[String; 0]>::default());
}

#[test]
fn a_server_that_is_lost_after_some_shards() {
    for saved in [Saved::Legacy, Saved::Zip] {
        let set = Set::new(saved, 3);
        let repo = set.clone();
        lose(&set, &repo, saved);
        let output = set.world.run(&repo, &[]);
        assert_eq!(output.code, Some(2), "{saved:?}: {output:#?}");
        set.check_unchanged(&repo);
        set.world.hub.heal();
        set.world.hub.forget_requests();
        set.world.run(&repo, &[]).ok();
        assert_eq!((set.fetched(1), set.fetched(2)), (0, 0), "{saved:?}");
        set.check(&repo);
    }
}

#[test]
fn killed_after_some_shards() {
    for (saved, is_killed) in [(Saved::Legacy, true), (Saved::Legacy, false), (Saved::Zip, true)] {
        let set = Set::new(saved, 4);
        let repo = set.clone();
        let mut child = set.start(&repo, 8 << 20);
        set.wait_for(2);
        if is_killed {
            child.kill().unwrap();
            child.wait().unwrap();
        } else {
            super::resumed::rustix_interrupt(child.id());
            assert_eq!(child.wait().unwrap().code(), Some(130));
        }
        set.check_unchanged(&repo);
        set.world.hub.throttle(None);
        set.world.hub.forget_requests();
        set.world.run(&repo, &[]).ok();
        assert_eq!(set.fetched(1), 0, "{saved:?}");
        assert!(set.fetched(3) > 0, "{saved:?}");
        set.check(&repo);
    }
}

/// Lets the server fail for the third shard, after the bytes for its plan.
fn lose(set: &Set, repo: &Path, saved: Saved) {
    // One block shows the format, and one that the shard must be downloaded first.
    let mut blocks = 2;
    if saved == Saved::Zip {
        set.world.run(repo, &["-n"]).ok();
        blocks = u32::try_from(set.world.hub.fetched(&set.oid(3)).len()).unwrap();
    }
    set.world.hub.inject(Fault::Status(500).at(Place::content(&set.oid(3))).after(blocks));
}

/// Creates a clone whose first run ended after two shards.
fn stopped(set: &Set) -> PathBuf {
    let repo = set.clone();
    lose(set, &repo, Saved::Legacy);
    assert_eq!(set.world.run(&repo, &[]).code, Some(2));
    let whole = [1, 2].map(|number| format!("{}.safetensors.json", set.oid(number)));
    assert!(whole.iter().all(|name| leftovers(&repo).contains(name)), "{:?}", leftovers(&repo));
    set.world.hub.heal();
    set.world.hub.forget_requests();
    repo
}

#[test]
fn what_was_left_is_not_believed() {
    let set = Set::new(Saved::Legacy, 1);
    let repo = stopped(&set);
    let at =
        |oid: &str, extension| repo.join(".git/lfs/incomplete").join(format!("{oid}.safetensors{extension}"));
    // A file with another byte, and a journal with another object ID.
    let (file, journal) = (at(&set.oid(1), ""), at(&set.oid(2), ".json"));
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    let mut told: Value = serde_json::from_slice(&fs::read(&journal).unwrap()).unwrap();
    told["oid"] = Oid::of(b"").to_string().into();
    fs::write(&journal, told.to_string()).unwrap();
    set.world.run(&repo, &[]).ok();
    assert!(set.fetched(1) > 1 << 20 && set.fetched(2) > 1 << 20);
    set.check(&repo);
}

#[test]
fn what_another_process_has_is_made_again() {
    let set = Set::new(Saved::Legacy, 1);
    let repo = stopped(&set);
    let left = repo.join(".git/lfs/incomplete").join(format!("{}.safetensors", set.oid(1)));
    let theirs = fs::File::open(&left).unwrap();
    theirs.lock().unwrap();
    set.world.run(&repo, &[]).ok();
    assert!(set.fetched(1) > 1 << 20 && set.fetched(2) == 0);
    assert!(left.exists());
    drop(theirs);
    fs::remove_file(&left).unwrap();
    set.check(&repo);
}

#[test]
fn with_another_option_it_is_another_conversion() {
    for args in [&["--key", "."][..], &["--strict"], &["--max-output", "1GB"]] {
        let set = Set::new(Saved::Legacy, 1);
        let repo = stopped(&set);
        set.world.run(&repo, args).ok();
        assert!(set.fetched(1) > 1 << 20 && set.fetched(2) > 1 << 20, "{args:?}");
        set.check(&repo);
    }
}

#[test]
fn a_set_that_is_refused_leaves_nothing() {
    let mut shards: Vec<_> = (1..3).map(|number| shard(Saved::Legacy, number, 1)).collect();
    // The last shard is refused after its download; it is dangerous, or has a tensor of another shard.
    for last in [
        builder::legacy(&pickle::named(&[("layer.3", pickle::global("os", "system"))]), &[]),
        shard(Saved::Legacy, 1, 2),
    ] {
        shards.truncate(2);
        shards.push(last);
        let set = Set::of(shards.clone());
        let repo = set.clone();
        let output = set.world.run(&repo, &[]);
        assert_eq!(output.code, Some(1), "{output:#?}");
        set.check_unchanged(&repo);
        assert_eq!(leftovers(&repo), <[String; 0]>::default(), "{output:#?}");
        assert!(set.fetched(2) > 1 << 20);
    }
}

#[test]
fn names_that_cannot_be_given_cost_no_second_download() {
    let set = Set::new(Saved::Legacy, 1);
    let repo = set.clone();
    let lock = repo.join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let output = set.world.run(&repo, &[]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    fs::remove_file(&lock).unwrap();
    assert_eq!(set.world.git(&repo, &["status", "--porcelain"]), "");
    set.world.hub.forget_requests();
    set.world.run(&repo, &[]).ok();
    assert_eq!((set.fetched(1), set.fetched(2), set.fetched(3)), (0, 0, 0));
    set.check(&repo);
}
