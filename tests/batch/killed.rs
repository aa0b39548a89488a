//! Tests a run that ends before its list does: killed, or stopped.

#![expect(clippy::disallowed_methods, reason = "a signal is sent by the shell")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use git_st_convert::actions::batch::{Item, Options, Progress, Record, parse, run};
use git_st_convert::actions::pull::Choice;
use git_st_convert::actions::{Error, Outcome, Reporter, Servers};
use git_st_convert::remote::Settings;
use serde_json::Value;

use super::{Fleet, id, names, wait_until, with};
use crate::hub::{Fault, Place};
use crate::sandbox::Output;

const COUNT: u16 = 8;

/// Returns the finished models: after a kill between the conversion and the line, a kept clone has nothing to do.
fn done(lines: &[Value]) -> BTreeSet<String> {
    &with(lines, "converted") | &with(lines, "nothing-to-do")
}

#[test]
fn killed_anywhere_no_finished_model_is_lost() {
    for is_kept in [true, false] {
        let fleet = Fleet::of(COUNT);
        let (args, journal) = if is_kept {
            (vec!["models.txt", "--dir", "out"], "out/st-convert-batch.jsonl")
        } else {
            (vec!["models.txt"], "models.txt.journal.jsonl")
        };
        let all: BTreeSet<_> = (0..COUNT).map(id).collect();
        let mut finished = BTreeSet::new();
        // Each kill comes a little later after the end of a model, so that every step is covered.
        for (round, pause) in [0, 15, 40, 90, 160, 300].into_iter().enumerate() {
            fleet.hub.forget_requests();
            let mut child = fleet.spawn(&args);
            let lines = || fleet.journal(journal).len();
            let before = lines();
            let mut ended = false;
            let begun = Instant::now();
            while lines() == before && (round > 0 || fleet.hub.requests_now().is_empty()) {
                let is_late = begun.elapsed() > Duration::from_secs(120);
                if is_late || child.try_wait().unwrap().is_some_and(|status| !status.success()) {
                    let _it_may_be_over = child.kill();
                    let output = Output::from(child.wait_with_output().unwrap());
                    panic!("round {round}, late: {is_late}: {output:#?}");
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            std::thread::sleep(Duration::from_millis(pause));
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success());
                ended = true;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            // The finished models were not requested again, and are still finished.
            assert!(fleet.asked().is_disjoint(&finished));
            let now = done(&fleet.journal(journal));
            assert!(now.is_superset(&finished), "{now:?} {finished:?}");
            finished = now;
            if ended || finished == all {
                break;
            }
        }
        let output = fleet.run(&args);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert!(fleet.asked().is_disjoint(&finished));
        let journal = fleet.journal(journal);
        // Each model has one line.
        assert_eq!((done(&journal), journal.len()), (all.clone(), all.len()));
        assert_eq!(names(&fleet.temp()), [""; 0]);
        if is_kept {
            // A git process that outlived the kill may have left a hidden directory, which the next clone there
            // removes.
            let kept =
                names(&fleet.home().join("out/acme")).into_iter().filter(|name| !name.starts_with('.'));
            assert_eq!(kept.count(), all.len());
            for model in all {
                assert!(fleet.staged(&format!("out/{model}")).starts_with("version "), "{model}");
            }
        }
    }
}

#[test]
fn what_was_stopped_by_a_person_is_gone_on_with() {
    for is_kept in [true, false] {
        let fleet = Fleet::of(4);
        let args: &[&str] = if is_kept { &["models.txt", "--dir", "out"] } else { &["models.txt"] };
        let journal = if is_kept { "out/st-convert-batch.jsonl" } else { "models.txt.journal.jsonl" };
        let child = fleet.spawn(&[args, &["--json"]].concat());
        wait_until("no model is finished", || !fleet.journal(journal).is_empty());
        let kill = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("kill -INT {}", child.id()))
            .stderr(Stdio::null())
            .status();
        let output = Output::from(child.wait_with_output().unwrap());
        let finished = with(&fleet.journal(journal), "converted");
        if finished.len() == 4 || !kill.unwrap().success() {
            // The run was faster than the signal.
            continue;
        }
        assert_eq!(output.code, Some(130), "{output:#?}");
        let told = super::lines(&output.stdout);
        let summary = told.last().unwrap();
        assert_eq!((&summary["type"], &summary["exit_code"]), (&"summary".into(), &130.into()));
        assert_eq!(summary["left"], 4 - finished.len());
        assert_eq!(with(&told, "converted"), finished);
        assert_eq!(names(&fleet.temp()), [""; 0]);
        fleet.hub.forget_requests();
        assert_eq!(fleet.run(args).code, Some(0));
        assert!(fleet.asked().is_disjoint(&finished));
        assert_eq!(with(&fleet.journal(journal), "converted").len(), 4);
        assert_eq!(fs::read_dir(fleet.temp()).unwrap().count(), 0);
    }
}

/// Nothing is begun yet while the server lists its models, and the same command begins again.
#[test]
fn a_list_that_was_interrupted_names_the_way_on() {
    let fleet = Fleet::of(1);
    let hint = "error: interrupted\nhint: resume the run: run the same command again\n";
    for (args, expected) in
        [(vec!["--top", "3", "--dir", "out"], hint), (vec!["--top", "3", "-n"], "error: interrupted\n")]
    {
        fleet.hub.inject(Fault::Stall(1).at(Place::path("/api/models")));
        fleet.hub.forget_requests();
        let child = fleet.spawn(&args);
        wait_until("no list is requested", || {
            fleet.hub.requests_now().iter().any(|seen| !seen.faults.is_empty())
        });
        let kill =
            std::process::Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status();
        assert!(kill.unwrap().success());
        let output = Output::from(child.wait_with_output().unwrap());
        assert_eq!((output.stderr.as_str(), output.code), (expected, Some(130)), "{output:#?}");
        fleet.hub.heal();
    }
}

/// Stops the run as soon as a file is converted.
#[derive(Default)]
struct Stop(AtomicBool);

impl Reporter for Stop {
    fn outcome(&self, _: &Outcome) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Progress for Stop {
    fn reporter(&self) -> &dyn Reporter {
        self
    }
    fn listed(&self, _: usize, _: usize, _: usize) {}
    fn begun(&self, at: usize, _: &Item) {
        assert_eq!(at, 1, "one more is begun");
    }
    fn ended(&self, _: usize, _: &Record) {}
}

#[test]
fn what_was_finished_when_somebody_asked_to_stop_is_written_down() {
    let fleet = Fleet::of(0);
    let home = fleet.home();
    for name in ["a", "b"] {
        fleet.sandbox.git(&home, &["init", "-q", name]);
        fs::write(home.join(name).join("pytorch_model.bin"), super::numbered(0)).unwrap();
        fleet.sandbox.git(&home.join(name), &["add", "."]);
        fleet.sandbox.git(&home.join(name), &["commit", "-q", "-m", "one"]);
    }
    let settings = Settings { hub: Some(fleet.hub.endpoint()), in_passing: true, ..Settings::default() };
    let options = Options {
        cwd: home.clone(),
        servers: Servers { settings, token: None },
        dir: Some("out".into()),
        temp: fleet.temp(),
        journal: home.join("journal"),
        pr: Some(Choice::Never),
        force: false,
        strict: false,
        max_output: None,
        pointer_only: false,
        publish: false,
        max_size: None,
        update: false,
        jobs: None,
    };
    let items = parse(b"./a\n./b\n", &home, &fleet.hub.endpoint());
    let summary = run(&options, items, &Stop::default()).unwrap();
    assert!(matches!(summary.stopped, Some(Error::Interrupted)), "{summary:#?}");
    assert_eq!((summary.records.len(), summary.left), (1, 1), "{summary:#?}");
    assert_eq!(with(&fleet.journal("journal"), "converted").len(), 1);
    assert!(!fleet.staged("out/a").is_empty());
}
