//! Tests a server that responds to a compressed request with nothing: every request of ours must stay short.

use std::fs;

use super::{ID, World, noise};
use crate::hub::{Builder, Fault, Place, Seen};

/// The longest request that git sends without compressing it.
const LONGEST: usize = 1024;

/// Returns 60 branches and tags, 80 pull requests, 400 commits, 40 plain files over 64 kB.
pub(crate) fn large() -> Builder {
    let mut model = Builder::new();
    for n in 0..40 {
        model.file(&format!("text/{n}.txt"), noise(n, 66_000));
    }
    model.lfs("pytorch_model.bin", noise(99, 3000)).commit("files");
    for n in 1..400_u32 {
        model.file("README.md", format!("# {n}\n")).commit(&format!("card {n}"));
        if n % 13 == 0 {
            model.tag(&format!("v{n}"));
            model.on(&format!("branch-{n}")).file("BRANCH", format!("{n}\n")).commit("branch").on("main");
        }
        if n % 5 == 0 {
            model
                .pull_request(u64::from(n / 5))
                .lfs("model.safetensors", noise(n, 2000))
                .commit("safetensors");
            model.on("main");
        }
    }
    model.pull_request(80).lfs("model.safetensors", noise(400, 2000)).commit("safetensors").on("main");
    model
}

pub(crate) fn uploads(seen: &[Seen]) -> impl Iterator<Item = &Seen> {
    seen.iter().filter(|seen| seen.path().ends_with("/git-upload-pack"))
}

/// Checks that requests were sent, that none was compressed, and that none was too long.
#[track_caller]
pub(crate) fn assert_short(world: &World) {
    let seen = world.hub.requests();
    assert!(uploads(&seen).count() > 0);
    for request in uploads(&seen) {
        assert_eq!(request.header("Content-Encoding"), None, "{} bytes", request.body.len());
        let len: usize = request.header("Content-Length").unwrap().parse().unwrap();
        assert!(len <= LONGEST, "{len} bytes");
    }
}

#[test]
fn a_clone_succeeds_where_compressed_requests_are_refused_and_stock_git_fails() {
    let world = World::with(&large());
    world.hub.inject(Fault::RefuseGzip.at(Place::git(ID)));
    let refs = world.git(&world.home(), &["ls-remote", &world.hub.url(ID)]);
    assert_eq!(refs.lines().filter(|line| line.contains("refs/pr/")).count(), 80);
    assert_eq!(refs.lines().filter(|line| line.contains("/branch-") || line.contains("/tags/")).count(), 60);

    let stock = world.sandbox.try_git(&world.home(), &["clone", &world.hub.url(ID), "stock"]);
    assert_eq!(stock.code, Some(128), "{stock:?}");
    assert!(stock.stderr.contains("expected 'packfile'"), "{stock:?}");
    let filtered = ["clone", "--filter=blob:limit=64k", "--single-branch", &world.hub.url(ID), "filtered"];
    let stock = world.sandbox.try_git(&world.home(), &filtered);
    assert!(stock.stderr.contains("Clone succeeded, but checkout failed"), "{stock:?}");

    world.hub.forget_requests();
    let dir = world.clone(&[]);
    assert_short(&world);
    assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");
    assert_eq!(world.git(&dir, &["rev-list", "--count", "HEAD"]), "400\n");
    for n in 0..40 {
        assert!(fs::read(dir.join(format!("text/{n}.txt"))).unwrap() == noise(n, 66_000), "{n}");
    }

    // A fetch by hand fails in the way that the program avoids.
    let stock = world.sandbox.try_git(&dir, &["fetch", "origin", "+refs/heads/*:refs/remotes/origin/*"]);
    assert_eq!(stock.code, Some(128), "{stock:?}");
    assert!(stock.stderr.contains("expected '"), "{stock:?}");
}

#[test]
fn a_shallow_clone_and_one_at_a_pull_request_stay_short_too() {
    let world = World::with(&large());
    world.hub.inject(Fault::RefuseGzip.at(Place::git(ID)));
    for (depth, revision) in [("1", "main"), ("50", "branch-390"), ("5", "refs/pr/3"), ("400", "v13")] {
        let name = format!("at-{depth}");
        let args = ["clone", ID, &name, "--no-convert", "--depth", depth, "--revision", revision];
        let output = world.run(&world.home(), &args);
        assert_eq!(output.code, Some(0), "{revision}: {output:#?}");
        assert!(fs::read(world.home().join(name).join("text/7.txt")).unwrap() == noise(7, 66_000));
    }
    assert_short(&world);
}
