//! Tests `verify --pr N` and `pull N --verify`: only the necessary parts of the pull request are downloaded.

use std::fs;

use super::{
    CASES, CHECKPOINT, CONFIG, Case, FILE, ID, cloned, fetched, file, fixture, is_swept, lines, model,
};
use crate::convert::torch::{Float32, checkpoint, noise};
use crate::hub::{Builder, Fault, Place};

/// Stores the checkpoint in LFS storage, so that it is not downloaded either.
fn put_checkpoint(world: &crate::clone::World, dir: &std::path::Path, content: &[u8]) {
    let oid = crate::hub::oid_of(content);
    let object = dir.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]);
    fs::create_dir_all(&object).unwrap();
    fs::write(object.join(&oid), content).unwrap();
    world.hub.forget_requests();
}

#[test]
fn every_pull_request_gets_its_verdict() {
    for (number, case) in CASES.iter().enumerate() {
        let (checkpoint, bytes) = (case.checkpoint(), file(case.file));
        let (world, dir) = cloned(&model(checkpoint.clone(), bytes.clone()));
        let is_here = number % 2 == 0;
        if is_here {
            put_checkpoint(&world, &dir, &checkpoint);
        }
        let before = world.git(&dir, &["status", "--porcelain"]);
        let output = world.run(&dir, &["verify", "--pr", "1"]);
        case.check(&output);
        let taken = fetched(&world, &bytes);
        // Only the file itself shows which names `--keep` chose.
        let is_chosen = output.stdout.contains("with `--keep`");
        if case.verdict == "identical" && !is_chosen {
            assert_eq!(taken, 0, "{}: {output:#?}", case.file);
            assert!(output.stdout.contains("nothing downloaded"), "{output:#?}");
        } else {
            assert!(taken > 0, "{}: how could it know?", case.file);
        }
        if is_here {
            assert_eq!(fetched(&world, &checkpoint), 0, "{}", case.file);
        }
        assert_eq!(world.git(&dir, &["status", "--porcelain"]), before);
        assert!(is_swept(&dir), "{}", case.file);
    }
}

#[test]
fn another_set_of_tensors_is_seen_by_the_headers_alone() {
    let tensors = |first: &str| {
        let tensor = |(number, bytes): (usize, &[u8])| Float32 {
            name: if number == 0 { first.to_owned() } else { format!("t.{number}") },
            shape: vec![1 << 18],
            bytes: bytes.to_vec(),
        };
        noise(8 << 20).bytes.chunks(1 << 20).enumerate().map(tensor).collect::<Vec<_>>()
    };
    let ours = checkpoint(&tensors("t.0"));
    let world = crate::clone::World::new();
    let dir = world.sandbox.path("here");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("other.bin"), checkpoint(&tensors("u.0"))).unwrap();
    world.run(&dir, &["-o", FILE, "other.bin"]).ok();
    let theirs = fs::read(dir.join(FILE)).unwrap();
    let mut model = model(ours.clone(), theirs.clone());
    model.file("README.md", "# later\n").commit("later");
    let (world, dir) = cloned(&model);
    let output = world.run(&dir, &["verify", "--pr", "1", "--json"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    // A tensor name of the same length gives a file of the same size, whose object ID must be compared first; for that,
    // the checkpoint is read and its own object ID checked.
    let found = lines(&output);
    assert_eq!(found[0]["verdict"], "differs");
    let kinds: Vec<_> = found[0]["differences"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["extra", "missing"]);
    assert!(fetched(&world, &theirs) < 1 << 20, "{} bytes", fetched(&world, &theirs));

    // A file of another size differs by kilobytes of both.
    let mut shorter = tensors("u.0");
    shorter.pop();
    fs::write(world.sandbox.path("home/short.bin"), checkpoint(&shorter)).unwrap();
    world.run(&world.home(), &["-o", "short.safetensors", "short.bin"]).ok();
    let theirs = fs::read(world.home().join("short.safetensors")).unwrap();
    let (world, dir) = cloned(&super::model(ours.clone(), theirs.clone()));
    let output = world.run(&dir, &["verify", "--pr", "1"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(fetched(&world, &ours) < 2 << 20, "{} bytes of the checkpoint", fetched(&world, &ours));
    assert!(fetched(&world, &theirs) < 1 << 20, "{} bytes", fetched(&world, &theirs));
}

#[test]
fn a_change_of_the_card_leaves_it_current_and_a_new_checkpoint_makes_it_stale() {
    let (checkpoint, bytes) = (fixture("tied.bin"), file("0.8.0-tied"));
    let mut card = model(checkpoint.clone(), bytes.clone());
    card.file("README.md", "# better\n").commit("card");
    let (world, dir) = cloned(&card);
    let output = world.run(&dir, &["verify", "--pr", "1"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stdout.contains("identical"), "{output:#?}");

    let mut trained = model(checkpoint, bytes.clone());
    let newer = fixture("many.bin");
    trained.lfs(CHECKPOINT, newer.clone()).commit("trained on");
    let (world, dir) = cloned(&trained);
    let output = world.run(&dir, &["verify", "--pr", "1"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(output.stdout, "model.safetensors: stale: pytorch_model.bin changed since the conversion\n");
    assert_eq!((fetched(&world, &bytes), fetched(&world, &newer)), (0, 0));
    let found = lines(&world.run(&dir, &["verify", "--pr", "1", "--json"]));
    assert_eq!((found[0]["verdict"].as_str(), found[1]["stale"].as_u64()), (Some("stale"), Some(1)));
}

#[test]
fn pull_verify_takes_what_is_proven_and_nothing_else() {
    let good = Case { file: "0.2.8-tied", checkpoint: "tied", verdict: "identical", says: &[] };
    let (world, dir) = cloned(&model(good.checkpoint(), file(good.file)));
    let output = world.run(&dir, &["pull", "1", "--verify"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stdout.contains("as converted by"), "{output:#?}");
    assert!(fs::read(dir.join(FILE)).unwrap() == file(good.file));

    let (world, dir) = cloned(&model(good.checkpoint(), file("flipped")));
    let before = world.git(&dir, &["rev-parse", "HEAD"]) + &world.git(&dir, &["ls-files", "-s"]);
    let output = world.run(&dir, &["pull", "1", "--verify"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stdout.contains("transformer.wte.weight[7, 2]"), "{output:#?}");
    assert_eq!(
        output.stderr,
        "error: pull request 1 not taken: 1 file not verified\n\
         hint: list the differences: `git st-convert verify --pr 1`\n"
    );
    let after = world.git(&dir, &["rev-parse", "HEAD"]) + &world.git(&dir, &["ls-files", "-s"]);
    assert_eq!(before, after);
    assert!(!dir.join(FILE).exists());
}

#[test]
fn a_server_that_gives_whole_files_alone_is_enough() {
    for (converted, code) in [("0.8.0-tied", 0), ("flipped", 1), ("bare", 0), ("renamed", 1)] {
        let bytes = file(converted);
        let (world, dir) = cloned(&model(fixture("tied.bin"), bytes.clone()));
        world.hub.inject(Fault::NoRanges.at(Place::path("/content")));
        let output = world.run(&dir, &["verify", "--pr", "1"]);
        assert_eq!(output.code, Some(code), "{converted}: {output:#?}");
        assert!(is_swept(&dir));
    }
}

#[test]
fn what_cannot_be_verified_is_exit_2() {
    let mut lora = Builder::new();
    lora.file("config.json", CONFIG).commit("first");
    lora.pull_request(1).lfs(FILE, file("0.8.0-tied")).commit("from nowhere").on("main");
    let (world, dir) = cloned(&lora);
    let output = world.run(&dir, &["verify", "--pr", "1"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(
        output.stderr.starts_with("error: model.safetensors: no checkpoint to compare with"),
        "{output:#?}"
    );
    assert_eq!(world.run(&dir, &["verify", "--pr", "9"]).code, Some(2));
    assert_eq!(world.run(&dir, &["verify", "--pr", "1", "a.bin"]).code, Some(2));
    // A checkpoint on the server that does not match its pointer proves nothing.
    let (tied, bytes) = (fixture("tied.bin"), file("0.8.0-tied"));
    let (world, dir) = cloned(&model(tied.clone(), bytes));
    let mut other = tied.clone();
    let at = other.len() - 700;
    other[at] ^= 1;
    fs::write(world.hub.object(ID, &crate::hub::oid_of(&tied)), other).unwrap();
    let output = world.run(&dir, &["verify", "--pr", "1"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(!output.stdout.contains("identical"), "{output:#?}");
}

#[test]
fn what_a_pull_request_changes_besides_is_told() {
    let mut model = Builder::new();
    model.lfs(CHECKPOINT, fixture("plain.bin")).commit("first").pull_request(1);
    model.lfs(FILE, file("0.8.0-plain")).file("modeling\u{1b}[2J.py", "import os\n").commit("x").on("main");
    let (world, dir) = cloned(&model);
    let output = world.run(&dir, &["verify", "--pr", "1"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let said = "pull request 1 also changes other files:\n  modeling\\x1b[2J.py\n";
    assert!(output.stderr.contains(said), "{output:#?}");
}

/// To take nothing is a refusal (1); a verification that compared nothing is no answer (2).
#[test]
fn a_pull_request_without_safetensors_files_has_nothing_to_verify() {
    let mut model = model(fixture("tied.bin"), file("0.8.0-tied"));
    model.pull_request(43).file("README.md", "# b\n").commit("card").on("main");
    let (world, dir) = cloned(&model);
    world.git(&world.hub.git_dir(ID), &["update-ref", "refs/pr/44", "refs/heads/main"]);
    for number in ["43", "44"] {
        let output = world.run(&dir, &["verify", "--pr", number]);
        assert_eq!(output.code, Some(2), "{output:#?}");
        let error = format!(
            "error: nothing to verify: no safetensors files in pull request {number}\n\
             hint: list the pull requests that add safetensors files: `git st-convert pull`\n"
        );
        assert!(output.stdout.is_empty() && output.stderr.ends_with(&error), "{output:#?}");
    }
    assert_eq!(world.run(&dir, &["pull", "43"]).code, Some(1));
}
