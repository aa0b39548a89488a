//! Tests fifty models, seven of which fail in different ways.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use git_st_convert::hash::Oid;
use serde_json::{Value, json};

use super::{Fleet, fixture, id, lines, model, names, numbered, oid_of, with};
use crate::hub::{Access, Builder, Fault, Place};

const GOOD: [&str; 4] =
    ["dtype-float32.bin", "dtype-bfloat16.bin", "bool-odd-bytes.bin", "legacy-dtype-int16.bin"];

/// The models that fail, with the status, the cause and the message.
const BAD: [(&str, &str, &str, &str); 7] = [
    ("acme/gone", "failed", "not-found", "authentication required"),
    ("acme/gated", "failed", "access", "gated model"),
    ("acme/caller", "refused", "dangerous", "the pickle imports `posix.system`"),
    ("acme/lost", "failed", "missing-content", "cannot download LFS object"),
    ("acme/faulty", "failed", "server", "500"),
    ("acme/cut", "refused", "damaged", "pytorch_model.bin: "),
    ("acme/shard", "refused", "missing-shard", "pytorch_model-00002-of-00002.bin"),
];

/// Creates 43 models that can be converted, one without a checkpoint, and those that fail.
fn fleet() -> Fleet {
    let fleet = Fleet::new();
    let mut list = Vec::new();
    for number in 0..42_u16 {
        let name = GOOD[usize::from(number) % GOOD.len()];
        fleet.hub.add_model(&id(number), &model(&fixture(name)));
        list.push(id(number));
    }
    let mut empty = Builder::new();
    empty.file("README.md", "# nothing\n").lfs("optimizer.bin", fixture("dtype-int8.bin")).commit("first");
    fleet.hub.add_model("acme/empty", &empty);
    list.push("acme/empty".to_owned());

    fleet.hub.add_model("acme/gated", &model(&numbered(100)));
    fleet.hub.set_access("acme/gated", Access::Gated);
    fleet.hub.add_model("acme/caller", &model(&fixture("posix-system.bin")));
    let mut without = Builder::new();
    without.pointer("pytorch_model.bin", &Oid::of(b"lost").to_string(), 4).commit("first");
    fleet.hub.add_model("acme/lost", &without);
    fleet.hub.add_model("acme/faulty", &model(&numbered(101)));
    fleet.hub.inject(Fault::Status(500).at(Place::content(&Oid::of(&numbered(101)).to_string())));
    let whole = numbered(102);
    fleet.hub.add_model("acme/cut", &model(&whole[..whole.len() / 2]));
    let mut shard = Builder::new();
    let (first, second) = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin");
    let index = json!({"metadata": {"total_size": 32}, "weight_map": {"weight": first, "bias": second}});
    shard.lfs(first, numbered(103)).file("pytorch_model.bin.index.json", index.to_string()).commit("first");
    fleet.hub.add_model("acme/shard", &shard);
    // The failing models are not all at the end, because one must not stop the others.
    for (at, (model, ..)) in BAD.iter().enumerate() {
        list.insert(at * 5 + 2, (*model).to_owned());
    }
    fleet.list(&list);
    fleet
}

fn bad() -> BTreeSet<String> {
    BAD.iter().map(|(model, ..)| (*model).to_owned()).collect()
}

#[test]
fn forty_three_are_done_and_seven_named_and_the_next_run_does_those_alone() {
    let fleet = fleet();
    let output = fleet.run(&["models.txt", "--dir", "out", "--json"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    let told = lines(&output.stdout);
    let (summary, models) = told.split_last().unwrap();
    assert_eq!(models.len(), 50);
    let counts =
        ["models", "converted", "nothing_to_do", "skipped", "refused", "failed", "done_before", "left"];
    assert_eq!(counts.map(|name| summary[name].as_u64().unwrap()), [50, 42, 1, 0, 3, 4, 0, 0]);
    assert_eq!(with(models, "nothing-to-do"), BTreeSet::from(["acme/empty".to_owned()]));
    check(&fleet, models, summary);
    // The journal contains the printed lines.
    assert_eq!(fleet.journal("out/st-convert-batch.jsonl"), models);

    fleet.hub.forget_requests();
    let output = fleet.run(&["models.txt", "--dir", "out", "--json"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert_eq!(fleet.asked(), bad());
    let told = lines(&output.stdout);
    let (summary, models) = told.split_last().unwrap();
    assert_eq!((models.len(), &summary["done_before"], &summary["failed"]), (7, &json!(43), &json!(4)));
    check(&fleet, models, summary);

    // The repaired models are converted, and the others are reported again.
    fleet.hub.heal();
    fleet.hub.set_access("acme/gated", Access::Public);
    let output = fleet.run(&["models.txt", "--dir", "out"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert_eq!(fleet.asked(), bad());
    let table = output.stdout.split_once("50 models: ").unwrap().1;
    assert_eq!(
        table,
        "2 converted, 3 refused, 2 failed, 43 done earlier\n\
         CAUSE                   COUNT  MODELS\n\
         not found or no access      1  acme/gone\n\
         LFS object missing          1  acme/lost\n\
         shard missing               1  acme/shard\n\
         damaged                     1  acme/cut\n\
         dangerous pickle            1  acme/caller\n"
    );
    assert_eq!(names(&fleet.temp()), [""; 0]);
}

#[track_caller]
fn check(fleet: &Fleet, models: &[Value], summary: &Value) {
    let by_name: BTreeMap<_, _> = models.iter().map(|line| (line["model"].as_str().unwrap(), line)).collect();
    for (model, status, cause, says) in BAD {
        let line = by_name[model];
        assert_eq!((&line["status"], &line["cause"]), (&json!(status), &json!(cause)), "{line:#}");
        assert!(line["reason"].as_str().unwrap().contains(says), "{line:#}");
        let group =
            summary["causes"].as_array().unwrap().iter().find(|group| group["cause"] == cause).unwrap();
        assert_eq!((&group["count"], &group["models"]), (&json!(1), &json!([model])));
    }
    for (model, line) in by_name.iter().filter(|(model, _)| model.starts_with("acme/m")) {
        let number: usize = model["acme/m".len()..].parse().unwrap();
        let oid = oid_of(GOOD[number % GOOD.len()]);
        assert_eq!((&line["status"], &line["files"][0]["oid"]), (&json!("converted"), &json!(oid)));
        assert_eq!(line["commit"], json!(fleet.hub.rev(model, "main").unwrap()));
        let dir = format!("out/{model}");
        assert!(fleet.staged(&dir).contains(&oid));
        let content = fs::read(fleet.home().join(&dir).join("model.safetensors")).unwrap();
        assert_eq!(Oid::of(&content).to_string(), oid);
    }
}
