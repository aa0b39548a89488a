//! Tests how often a server is asked for the locations of objects: once for all objects of a command.

use std::collections::BTreeSet;

use git_st_convert::hash::Oid;
use serde_json::{Value, json};

use crate::checkpoint::{self as builder, pickle};
use crate::clone::{ID, World};
use crate::hub::{Builder, Expiry, Fault, Place, Right};

const TOKEN: &str = "hf_TheTokenOfAHelper";

const COUNT: usize = 8;

fn name(number: usize) -> String {
    format!("pytorch_model-{number:05}-of-{COUNT:05}.bin")
}

/// Returns a shard, different for each number.
fn shard(number: usize, is_zip: bool) -> Vec<u8> {
    let bytes = [u8::try_from(number).unwrap(); 16];
    let tensor = format!("layer.{number}");
    if is_zip {
        builder::zip(&pickle::named(&[(&tensor, pickle::four())]), &[("0", &bytes)])
    } else {
        builder::legacy(&pickle::named(&[(&tensor, pickle::four())]), &[("0", 4, &bytes)])
    }
}

fn world(is_zip: bool) -> World {
    let mut model = Builder::new();
    let map = (1..=COUNT).map(|number| (format!("layer.{number}"), json!(name(number))));
    let map: Value = map.collect::<serde_json::Map<_, _>>().into();
    model.file("pytorch_model.bin.index.json", json!({"metadata": {}, "weight_map": map}).to_string());
    for number in 1..=COUNT {
        model.lfs(&name(number), shard(number, is_zip));
    }
    model.commit("shards");
    World::with(&model)
}

/// Returns how many objects each batch request of one operation named since the last call.
fn asked(world: &World, operation: &str) -> Vec<usize> {
    let seen = world.hub.requests();
    let bodies = seen.iter().filter(|seen| seen.path().ends_with("/objects/batch"));
    let bodies = bodies.map(|seen| serde_json::from_slice::<Value>(&seen.body).unwrap());
    let of_kind = bodies.filter(|body| body["operation"] == operation);
    let counts = of_kind.map(|body| body["objects"].as_array().unwrap().len()).collect();
    world.hub.forget_requests();
    counts
}

#[test]
fn the_shards_of_a_checkpoint_are_asked_for_by_one_request() {
    for is_zip in [true, false] {
        let world = world(is_zip);
        world.hub.add_token(TOKEN, "helper", Right::Contribute);
        let output = world.run(&world.home(), &["clone", ID]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(asked(&world, "download"), [COUNT], "zip: {is_zip}");
        let repo = world.home().join("bert");
        let output = world.run_as(TOKEN, &repo, &["publish"]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(asked(&world, "upload"), [COUNT], "zip: {is_zip}");
        world.git(&repo, &["commit", "-q", "-m", "converted"]);
        // The checkpoints are still only on the server, and are read there.
        let output = world.run(&repo, &["verify"]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(asked(&world, "download"), [COUNT], "zip: {is_zip}");
    }
}

#[test]
fn what_is_over_or_not_there_is_asked_for_again_and_nothing_else() {
    let world = world(true);
    let oid = |number| Oid::of(&shard(number, true)).to_string();
    let repo = world.clone(&[]);
    world.git(&repo, &["config", "lfs.transfer.maxretries", "0"]);
    for expiry in [Expiry::In, Expiry::At] {
        world.hub.say_expiry(expiry);
        world.hub.inject(Fault::Expired.at(Place::object(&oid(5))).times(1));
        world.hub.forget_requests();
        let output = world.run(&repo, &["--force"]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(asked(&world, "download"), [COUNT, 1]);
        world.git(&repo, &["reset", "-q", "--hard"]);
    }
    // A missing object is an error only of its own file.
    world.hub.inject(Fault::ObjectError(404).at(Place::object(&oid(5))));
    let output = world.run(&repo, &["--force", "--json"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    let lines: Vec<Value> =
        output.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let is_named = |line: &&Value| line["reason"].as_str().is_some_and(|text| text.contains(&oid(5)));
    let failed: BTreeSet<_> =
        lines.iter().filter(is_named).filter_map(|line| line["source"].as_str()).collect();
    assert_eq!(failed, BTreeSet::from([name(5).as_str()]), "{output:#?}");
    world.hub.heal();
    world.git(&repo, &["reset", "-q", "--hard"]);
    // The server refuses the whole request because of one object, as some do.
    world.hub.inject(Fault::Status(404).at(Place::batch(ID)).times(1));
    let output = world.run(&repo, &["--force"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
}
