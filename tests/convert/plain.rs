//! Tests plain files: with `--output`, and without a repository.

use std::fs;

use git_st_convert::hash::Oid;

use super::{Model, differences, fixture, oid_of};
use crate::sandbox::Sandbox;

const NAME: &str = "tied-2.bin";

fn oid(path: std::path::PathBuf) -> String {
    Oid::of(&fs::read(path).unwrap()).to_string()
}

#[test]
fn an_output_touches_no_repository() {
    let model = Model::with(NAME);
    let before = super::listing(&model.dir);
    model.run(&["-o", "../out.safetensors", "pytorch_model.bin"]).ok();
    assert_eq!(oid(model.sandbox.path("out.safetensors")), oid_of(NAME));
    assert_eq!(super::listing(&model.dir), before);
    // In the working tree, it is an untracked file.
    model.run(&["-o", "sub.safetensors", "pytorch_model.bin"]).ok();
    assert_eq!(model.status(), "?? sub.safetensors\n");
    let mut after = super::listing(&model.dir);
    after.retain(|path, _| !path.ends_with("sub.safetensors") && !path.ends_with("index"));
    let mut before = before;
    before.retain(|path, _| !path.ends_with("index"));
    assert_eq!(after, before);
}

#[test]
fn an_output_that_exists_is_refused_unless_forced() {
    let model = Model::with(NAME);
    fs::write(model.sandbox.path("out.safetensors"), "mine").unwrap();
    let before = model.listing();
    let run = model.run(&["-o", "../out.safetensors", "pytorch_model.bin"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(": file exists\n") && run.stderr.contains("hint: "), "{run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
    model.run(&["-f", "-o", "../out.safetensors", "pytorch_model.bin"]).ok();
    assert_eq!(oid(model.sandbox.path("out.safetensors")), oid_of(NAME));
}

#[test]
fn an_output_that_is_no_file_is_never_replaced() {
    use std::os::unix::fs::FileTypeExt as _;
    let model = Model::with(NAME);
    let pipe = model.sandbox.path("pipe");
    let made = model.command("mkfifo", &model.dir).arg(&pipe).status().unwrap();
    assert!(made.success());
    for args in [&["-o", "../pipe", "pytorch_model.bin"][..], &["-f", "-o", "../pipe", "pytorch_model.bin"]] {
        let run = model.run(args);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains("cannot write ../pipe: not a regular file\nhint: "), "{run:?}");
    }
    assert!(fs::symlink_metadata(pipe).unwrap().file_type().is_fifo());
}

#[test]
fn an_output_takes_a_file() {
    let model = Model::with(NAME);
    let run = model.run(&["-o", "x"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("error: --output requires a PATH\n"), "{run:?}");
    assert!(!model.at("x").exists());
    // One of two files is converted, and the other is refused.
    let run = model.run(&["-o", "x", "pytorch_model.bin", "README.md"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(oid(model.at("x/model.safetensors")), oid_of(NAME));
}

#[test]
fn an_output_from_a_pointer_reads_the_object() {
    let model = Model::with(NAME);
    model.only_pointer("pytorch_model.bin", &fixture(NAME));
    model.run(&["-o", "../out.safetensors", "pytorch_model.bin"]).ok();
    assert_eq!(oid(model.sandbox.path("out.safetensors")), oid_of(NAME));
}

#[test]
fn outside_of_a_repository_the_file_stands_beside_its_source() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("plain");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("pytorch_model.bin"), fixture("gpt2-tied.bin")).unwrap();
    fs::write(dir.join("config.json"), "{\"architectures\": [\"GPT2LMHeadModel\"]}").unwrap();
    sandbox.bin(&sandbox.path(""), &["plain/pytorch_model.bin"]).ok();
    assert_eq!(oid(dir.join("model.safetensors")), oid_of("gpt2-tied.bin"));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 3, "no leftovers");
    let again = sandbox.bin(&dir, &["pytorch_model.bin", "--json"]).ok();
    assert_eq!(super::json_lines(&again)[0]["status"], "up-to-date");
    let deflated = fixture("rezipped-deflated.bin");
    fs::write(dir.join("deflated.pt"), deflated).unwrap();
    sandbox.bin(&dir, &["deflated.pt"]).ok();
    assert_eq!(oid(dir.join("deflated.safetensors")), oid_of("rezipped-deflated.bin"));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 5, "no leftovers");
}

#[test]
fn a_refusal_of_a_plain_file_leaves_nothing() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("plain");
    fs::create_dir(&dir).unwrap();
    for name in ["crc.bin", "os-system.bin", "truncated.bin"] {
        fs::write(dir.join("in.bin"), fixture(name)).unwrap();
        let run = sandbox.bin(&dir, &["in.bin", "-o", "out.safetensors"]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "{name}");
    }
    let run = sandbox.bin(&dir, &["none.bin", "-o", "out.safetensors"]);
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[test]
fn an_output_that_is_a_link_to_nothing_is_refused_as_what_it_is() {
    let model = Model::with(NAME);
    let link = model.sandbox.path("link.safetensors");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for args in [&["-n"][..], &[]] {
        let run = model.run(&[&["-o", "../link.safetensors", "pytorch_model.bin"], args].concat());
        assert_eq!(run.code, Some(1), "{run:?}");
        let error = "cannot write ../link.safetensors: not a regular file\nhint: choose another output: ";
        assert!(run.stderr.contains(error), "{run:?}");
    }
    assert!(link.is_symlink() && !model.sandbox.path("nowhere").exists());
    // The link itself is replaced, never what it leads to.
    model.run(&["-f", "-o", "../link.safetensors", "pytorch_model.bin"]).ok();
    assert!(link.symlink_metadata().unwrap().is_file() && !model.sandbox.path("nowhere").exists());
}

/// `status` and a run report it in the same words.
#[test]
fn a_directory_at_the_path_of_an_output_is_a_refusal() {
    let model = Model::with(NAME);
    fs::create_dir(model.at("model.safetensors")).unwrap();
    let reason = "cannot write model.safetensors: not a regular file\n";
    assert!(model.run(&["status"]).stdout.contains(reason));
    for args in [&["-n"][..], &["-f"], &[]] {
        let run = model.run(args);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(&format!("error: pytorch_model.bin: {reason}hint: ")), "{run:?}");
    }
}
