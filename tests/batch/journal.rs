//! Tests the journal: incomplete, locked, or not a journal.

use std::collections::BTreeSet;
use std::fs;

use super::{Fleet, id, lines, wait_until, with};
use crate::hub::{Fault, Place};
use crate::sandbox::Output;

#[test]
fn a_torn_line_costs_its_model_alone() {
    let fleet = Fleet::of(3);
    let args = ["models.txt", "--dir", "out"];
    assert_eq!(fleet.run(&args).code, Some(0));
    let path = fleet.home().join("out/st-convert-batch.jsonl");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    fleet.hub.forget_requests();
    let output = fleet.run(&args);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(
        output.stderr,
        "the last journal line is incomplete; processing its model again\n\
         2 of 3 models done earlier\n"
    );
    assert_eq!(output.stdout, "1/1 acme/m2 nothing to do\n3 models: 1 unchanged, 2 done earlier\n");
    assert!(output.last.starts_with("1 model · "), "{output:#?}");
    assert_eq!(fleet.asked(), BTreeSet::from([id(2)]));
    let journal = fleet.journal("out/st-convert-batch.jsonl");
    assert_eq!((journal.len(), with(&journal, "converted").len()), (3, 2));
}

#[test]
fn two_runs_with_one_journal_are_one_too_many() {
    let fleet = Fleet::of(2);
    fleet.hub.inject(Fault::Stall(0).at(Place::git("acme/m0")));
    let args = ["models.txt", "--dir", "out"];
    let mut child = fleet.spawn(&args);
    wait_until("nothing is asked", || !fleet.hub.requests_now().is_empty());
    let output = fleet.run(&args);
    assert_eq!(output.code, Some(2));
    let journal = fleet.home().join("out/st-convert-batch.jsonl");
    assert_eq!(
        output.stderr,
        format!(
            "error: another batch is using the journal {}\n\
             hint: use another journal (`--journal FILE`), or run one part of the list (`--shard I/N`)\n",
            journal.display()
        )
    );
    // A run with another journal is independent.
    let output = fleet.run(&["models.txt", "--journal", "other", "-n"]);
    assert_eq!(output.ok(), "acme/m0\nacme/m1\n");
    child.kill().unwrap();
    child.wait().unwrap();
    fleet.hub.heal();
    assert_eq!(fleet.run(&args).code, Some(0));
}

#[test]
fn what_is_no_journal_stays_as_it_is() {
    let fleet = Fleet::of(1);
    let output = fleet.run(&["models.txt", "--journal", "models.txt"]);
    let path = fleet.home().join("models.txt");
    assert_eq!(output.code, Some(2));
    let expected = format!("error: {}:1: not a batch journal\n", path.display());
    assert!(output.stderr.contains(&expected), "{}", output.stderr);
    assert_eq!(fs::read_to_string(path).unwrap(), "acme/m0\n");
    assert_eq!(fleet.hub.requests().len(), 0);
}

#[test]
fn foreign_text_is_escaped_wherever_it_goes() {
    let fleet = Fleet::new();
    fleet.list(&["./\u{1b}]0;title\u{7}/\u{202e}m", "acme/none\u{9b}2J"]);
    for args in [&["models.txt"][..], &["models.txt", "--json"], &["models.txt", "-v"], &["models.txt", "-n"]]
    {
        let Output { stdout, stderr, code, .. } = fleet.run(args);
        assert_eq!(code, Some(if args.contains(&"-n") { 0 } else { 2 }), "{stderr}");
        let bad = ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}'];
        assert!(!stdout.contains(bad) && !stderr.contains(bad), "{stdout} {stderr}");
    }
    let journal = fs::read_to_string(fleet.home().join("models.txt.journal.jsonl")).unwrap();
    assert!(journal.is_ascii() && !journal.contains('\u{1b}'));
    assert!(lines(&journal)[0]["model"].as_str().unwrap().contains("\u{202e}m"));
}
