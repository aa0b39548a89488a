//! Tests the options that are passed on, the skipped models, and the sources of lists.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use git_st_convert::hash::Oid;
use serde_json::json;

use super::{Fleet, fixture, id, lines, model, names, numbered, oid_of};
use crate::hub::{Access, Builder, Fault, Place};
use crate::sandbox::Output;

#[test]
fn what_is_too_large_is_known_before_it_is_downloaded() {
    let fleet = Fleet::of(2);
    let large = fixture("dtypes-together.bin");
    let size = large.len();
    let mut two = Builder::new();
    // Neither training state nor converted checkpoints count.
    two.lfs("optimizer.bin", vec![0; 9000]).lfs("done.bin", vec![1; 9000]).file("done.safetensors", "x");
    two.lfs("a/pytorch_model.bin", large.clone()).commit("first");
    fleet.hub.add_model("acme/m1", &Builder::more().remove("pytorch_model.bin").commit("no more").clone());
    fleet.hub.add_model("acme/large", &two);
    fleet.list(&["acme/m0", "acme/large"]);
    let most = (size - 1).to_string();
    assert!(numbered(0).len() < size);
    for round in 0..2 {
        fleet.hub.forget_requests();
        let output = fleet.run(&["models.txt", "--dir", "out", "--max-size", &most, "--json"]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(fleet.hub.fetched(&Oid::of(&large).to_string()), []);
        let told = lines(&output.stdout);
        if round == 1 {
            // The model is known to be too large, so no request is sent.
            assert_eq!((told.len(), fleet.hub.requests().len()), (1, 0));
            continue;
        }
        let line = &told[1];
        assert_eq!(
            (&line["status"], &line["cause"], &line["size"]),
            (&json!("skipped"), &json!("too-large"), &json!(size))
        );
        let [size, most] = [size, size - 1].map(|bytes| format!("{bytes} bytes"));
        let reason = format!("checkpoints total {size}, over the limit of {most} (`--max-size`)");
        assert_eq!(line["reason"], json!(reason));
        assert_eq!(told[2]["skipped"], 1);
    }
    let output = fleet.run(&["models.txt", "--dir", "out", "--max-size", &size.to_string()]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let pointer = fleet
        .sandbox
        .git(&fleet.home().join("out/acme/large"), &["cat-file", "blob", ":a/model.safetensors"]);
    assert!(pointer.contains(&oid_of("dtypes-together.bin")));
}

#[test]
fn a_list_from_the_standard_input_and_results_that_nobody_keeps() {
    let fleet = Fleet::of(2);
    let mut child = fleet
        .command(&["-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"# two\nacme/m0\n\nacme/m1 # the second\nacme/m0").unwrap();
    let output = Output::from(child.wait_with_output().unwrap());
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(
        output
            .stderr
            .starts_with("warning: the converted files are not kept: pass `--dir DIR` or `--publish`\n")
    );
    let mut told = output.stdout.lines();
    assert!(told.next().unwrap().starts_with("1/2 acme/m0 converted, 1 file, "));
    assert_eq!(told.last(), Some("2 models: 2 converted"));
    assert_eq!(names(&fleet.temp()), [""; 0]);
    assert_eq!(fleet.journal("st-convert-batch.jsonl").len(), 2);
    // With a kept clone, the model is processed again.
    fleet.hub.forget_requests();
    fleet.list(&[id(0)]);
    let args = ["models.txt", "--dir", "out", "--journal", "st-convert-batch.jsonl"];
    assert_eq!(fleet.run(&args).code, Some(0));
    assert!(fleet.staged("out/acme/m0").starts_with("version "));
}

#[test]
fn strict_pull_requests_and_pointers() {
    let fleet = Fleet::new();
    let mut beside = model(&fixture("beside.bin"));
    beside.pull_request(3).lfs("model.safetensors", fixture("dtype-int8.bin")).commit("Adding safetensors");
    fleet.hub.add_model("acme/beside", &beside);
    fleet.list(&["acme/beside"]);
    let output = fleet.run(&["models.txt", "--dir", "strict", "--strict", "--pr", "never", "--json"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    let line = &lines(&output.stdout)[0];
    assert_eq!((&line["status"], &line["cause"]), (&json!("refused"), &json!("more-than-weights")));
    assert!(!fleet.hub.requests().iter().any(|seen| seen.path().contains("discussions")));

    let output = fleet.run(&["models.txt", "--dir", "out", "--pointer-only"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let file = fs::read_to_string(fleet.home().join("out/acme/beside/model.safetensors")).unwrap();
    assert_eq!(file, fleet.staged("out/acme/beside"));
}

#[test]
fn content_that_is_not_what_its_pointer_says() {
    let fleet = Fleet::of(4);
    let oid = |number| Oid::of(&numbered(number)).to_string();
    // A byte of a tensor is wrong; half of the object is missing on the server; half of it is lost during the download.
    let at = numbered(0).len() as u64 - 200;
    fleet.hub.inject(Fault::WrongByte(at).at(Place::content(&oid(0))));
    let object = fleet.hub.object("acme/m1", &oid(1));
    let content = fs::read(&object).unwrap();
    fs::write(&object, &content[..content.len() / 2]).unwrap();
    fleet.hub.inject(Fault::Truncated.at(Place::content(&oid(2))));
    let output = fleet.run(&["models.txt", "--dir", "out", "--json"]);
    let told = lines(&output.stdout);
    for (line, cause) in told.iter().zip(["damaged", "damaged", "server"]) {
        assert_eq!(line["cause"], cause, "{line:#}");
    }
    assert_eq!((&told[3]["status"], output.code.is_some_and(|code| code > 0)), (&json!("converted"), true));
}

#[test]
fn nobody_is_asked_for_a_password() {
    let fleet = Fleet::of(2);
    let asked = fleet.sandbox.path("asked");
    let script = fleet.sandbox.path("askpass");
    fs::write(&script, format!("#!/bin/sh\necho \"$1\" >> '{}'\necho secret\n", asked.display())).unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    fleet.hub.set_access("acme/m0", Access::Private);
    fleet.hub.inject(Fault::Status(401).at(Place::batch("acme/m1")));
    let run = |args: &[&str]| {
        let output = fleet.command(args).env("GIT_ASKPASS", &script).output().unwrap();
        Output::from(output)
    };
    let output = run(&["models.txt", "--dir", "out", "--json"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    let told = lines(&output.stdout);
    let causes: Vec<_> = told[..2].iter().map(|line| &line["cause"]).collect();
    assert_eq!(causes, [&json!("not-found"), &json!("access")], "{output:#?}");
    assert!(!asked.exists());
}

#[test]
fn a_list_that_is_not_there() {
    let fleet = Fleet::new();
    let output = fleet.run(&["acme/bert"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.starts_with("error: acme/bert: cannot read the list\n"), "{}", output.stderr);
    assert!(output.stderr.contains(": `git st-convert clone acme/bert`\n"), "{}", output.stderr);
    fleet.list(&["# nothing"]);
    assert_eq!(fleet.run(&["models.txt", "--dir", "out"]).ok(), "0 models: nothing to do\n");
}
