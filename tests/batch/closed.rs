//! Tests a hub that is closed for a while: the whole run waits, and no model is lost.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::{Fleet, id, lines, wait_until, with};
use crate::hub::{Fault, Place, Right};
use crate::sandbox::Output;

#[test]
fn a_hub_that_closes_loses_no_model_and_is_hardly_asked() {
    for (is_kept, pauses) in [(false, [0, 25, 60]), (true, [10, 40, 90])] {
        for pause in pauses {
            let fleet = Fleet::of(6);
            let args: &[&str] = if is_kept { &["models.txt", "--dir", "out"] } else { &["models.txt"] };
            let journal = if is_kept { "out/st-convert-batch.jsonl" } else { "models.txt.journal.jsonl" };
            let child = fleet.spawn(args);
            wait_until("no model is finished", || !fleet.journal(journal).is_empty());
            // Each pause ends in another step of a model.
            std::thread::sleep(Duration::from_millis(pause));
            fleet.hub.close_for(Duration::from_millis(1500));
            let output = Output::from(child.wait_with_output().unwrap());
            assert_eq!(output.code, Some(0), "{output:#?}");
            assert_eq!(with(&fleet.journal(journal), "converted").len(), 6, "{output:#?}");
            let seen = fleet.hub.requests();
            let closed: Vec<_> =
                seen.iter().filter(|seen| seen.status == 429).map(|seen| &seen.target).collect();
            assert!(closed.len() <= 2, "{closed:?}");
        }
    }
}

/// Runs a batch whose hub is not available for `time`, without a stated time, beginning `pause` after the first
/// finished model; the longest pause between two attempts is `delay` seconds.
fn away(models: u16, (pause, time): (Duration, Duration), delay: &str, args: &[&str], journal: &str) {
    let fleet = Fleet::of(models);
    fleet.sandbox.git(&fleet.home(), &["config", "--global", "lfs.transfer.maxretrydelay", delay]);
    let child = fleet.spawn(args);
    wait_until("no model is finished", || !fleet.journal(journal).is_empty());
    std::thread::sleep(pause);
    fleet.hub.be_away_for(time);
    let output = Output::from(child.wait_with_output().unwrap());
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(with(&fleet.journal(journal), "converted").len(), usize::from(models), "{output:#?}");
    let seen = fleet.hub.requests();
    let closed: Vec<_> = seen.iter().filter(|seen| seen.status == 503).map(|seen| &seen.target).collect();
    assert!(!closed.is_empty() && closed.len() <= 2, "{closed:?}");
}

#[test]
fn a_hub_that_goes_away_without_a_word_loses_no_model_and_is_hardly_asked() {
    let time = Duration::from_secs(5);
    for (is_kept, pauses) in [(false, [0, 60]), (true, [25, 90])] {
        for pause in pauses.map(Duration::from_millis) {
            let args: &[&str] = if is_kept { &["models.txt", "--dir", "out"] } else { &["models.txt"] };
            let journal = if is_kept { "out/st-convert-batch.jsonl" } else { "models.txt.journal.jsonl" };
            away(6, (pause, time), "1", args, journal);
        }
    }
}

#[test]
#[ignore = "two minutes: 200 models, and a hub that is away for one"]
fn two_hundred_models_and_a_hub_that_is_away_for_a_minute() {
    let time = Duration::from_secs(60);
    away(200, (Duration::from_secs(3), time), "10", &["models.txt"], "models.txt.journal.jsonl");
}

#[test]
fn one_refusal_without_a_word_is_no_reason_to_wait() {
    let fleet = Fleet::of(3);
    fleet.hub.inject(Fault::Status(503).at(Place::git(&id(1))).times(1));
    fleet.hub.inject(Fault::Status(503).at(Place::batch(&id(2))).times(1));
    let begun = std::time::Instant::now();
    let output = fleet.run(&["models.txt"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn a_server_that_says_of_an_hour_ends_the_run_and_the_next_one_goes_on() {
    let fleet = Fleet::of(3);
    fleet.hub.inject(Fault::RateLimit(7200).at(Place::batch(&id(1))).times(1));
    let output = fleet.run(&["models.txt", "--json"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    let told = lines(&output.stdout);
    assert_eq!(told.last().unwrap()["left"], json!(2), "{output:#?}");
    assert_eq!(fleet.journal("models.txt.journal.jsonl").len(), 1);
    assert_eq!(fleet.run(&["models.txt"]).code, Some(0));
    assert_eq!(with(&fleet.journal("models.txt.journal.jsonl"), "converted").len(), 3);
}

#[test]
fn git_that_is_turned_away_is_waited_for() {
    let fleet = Fleet::of(2);
    fleet.hub.inject(Fault::RateLimit(1).at(Place::git(&id(1))).times(2));
    let mut command = fleet.command(&["models.txt"]);
    let output = Output::from(command.stdin(Stdio::null()).output().unwrap());
    assert_eq!(output.code, Some(0), "{output:#?}");
    let told = fleet.hub.requests().iter().filter(|seen| seen.status == 429).count();
    assert_eq!(told, 2, "git, and the question how long");
}

#[test]
fn who_asks_is_asked_for_once_a_run() {
    let fleet = Fleet::of(3);
    fleet.hub.add_token("hf_TheTokenOfAHelper", "helper", Right::Contribute);
    let mut command = fleet.command(&["models.txt", "--publish"]);
    let output = Output::from(command.env("HF_TOKEN", "hf_TheTokenOfAHelper").output().unwrap());
    assert_eq!(output.code, Some(0), "{output:#?}");
    let asked = fleet.hub.requests().iter().filter(|seen| seen.path() == "/api/whoami-v2").count();
    assert_eq!(asked, 1);
}
