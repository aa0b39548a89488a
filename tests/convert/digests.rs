//! Tests that plain files are hashed only if that is requested, and always checked: each record by its checksum, and
//! the object of a pointer by its object ID.

use std::fs;
use std::path::Path;

use git_st_convert::checkpoint::{self, Options};
use git_st_convert::hash::Oid;

use super::{Model, fixture, json_lines, oid_of};
use crate::sandbox::{Output, Sandbox};

const NAME: &str = "tied-2.bin";

/// Creates a directory with one checkpoint, `in.bin`.
fn with(content: &[u8]) -> (Sandbox, std::path::PathBuf) {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("plain");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("in.bin"), content).unwrap();
    (sandbox, dir)
}

fn oid(path: &Path) -> String {
    Oid::of(&fs::read(path).unwrap()).to_string()
}

#[test]
fn an_object_id_is_printed_where_it_is_asked_for() {
    let source = fixture(NAME);
    let (sandbox, dir) = with(&source);
    let run = |args: &[&str]| {
        let run = sandbox.bin(&dir, args).ok();
        assert_eq!(oid(&dir.join("out.safetensors")), oid_of(NAME));
        fs::remove_file(dir.join("out.safetensors")).unwrap();
        run
    };
    let (output, source) = (oid_of(NAME), Oid::of(&source).to_string());
    let plain = run(&["in.bin", "-o", "out.safetensors"]);
    assert!(plain.contains("\n  2 tensors, 264 bytes\n") && !plain.contains("sha256"), "{plain}");
    let verbose = run(&["-v", "in.bin", "-o", "out.safetensors"]);
    assert!(!verbose.contains("sha256"), "{verbose}");
    let asked = run(&["in.bin", "--sha256", "-o", "out.safetensors"]);
    assert!(asked.contains(&format!("\n  2 tensors, 264 bytes, sha256 {}…\n", &output[..12])), "{asked}");
    let asked = run(&["-v", "in.bin", "--sha256", "-o", "out.safetensors"]);
    assert!(asked.contains(&format!(", sha256 {output}\n")), "{asked}");
    assert!(asked.contains(&format!(", sha256 {source}\n")), "{asked}");
    let json = &json_lines(&run(&["--json", "in.bin", "-o", "out.safetensors"]))[0];
    assert_eq!((&json["oid"], &json["source_oid"]), (&output.clone().into(), &source.clone().into()));
    // The same applies to an existing file.
    sandbox.bin(&dir, &["in.bin", "-o", "out.safetensors"]).ok();
    let json = &json_lines(&sandbox.bin(&dir, &["--json", "in.bin", "-o", "out.safetensors"]).ok())[0];
    assert_eq!(json["status"], "up-to-date");
    assert_eq!((&json["oid"], &json["source_oid"]), (&output.into(), &source.into()));
}

/// Returns the output for a checkpoint, read in both ways.
fn refusals(sandbox: &Sandbox, dir: &Path) -> [Output; 2] {
    [&["in.bin", "-o", "out.safetensors"][..], &["in.bin", "--sha256", "-o", "out.safetensors"]]
        .map(|args| sandbox.bin(dir, args))
}

/// Each byte of each record counts: in a view of part of a storage, with strides, in a dropped tensor, in ignored
/// values.
#[test]
fn every_byte_of_every_record_is_checked_though_nothing_is_hashed() {
    let mut tried = 0;
    for name in
        [NAME, "disjoint-slices.bin", "interleaved-views.bin", "big-endian-strided.bin", "trainer-pair.pt"]
    {
        let source = fixture(name);
        let plan = checkpoint::plan(&source, &Options::default()).unwrap();
        let (sandbox, dir) = with(&source);
        let is_weights = |record: &&checkpoint::Record| record.name.contains("/data/") && record.len > 0;
        for record in plan.records.iter().filter(is_weights) {
            for at in [record.at, record.at + record.len / 2, record.at + record.len - 1] {
                let mut damaged = source.clone();
                damaged[usize::try_from(at).unwrap()] ^= 1;
                fs::write(dir.join("in.bin"), damaged).unwrap();
                let [unhashed, hashed] = refusals(&sandbox, &dir);
                assert_eq!(unhashed.code, Some(1), "{name}, byte {at}: {unhashed:?}");
                assert!(unhashed.stderr.contains(&record.name), "{name}, byte {at}: {unhashed:?}");
                assert_eq!(unhashed.stderr, hashed.stderr.replace(" --sha256", ""));
                assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "{name}, byte {at}");
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn an_output_that_is_there_is_compared_byte_by_byte() {
    let (sandbox, dir) = with(&fixture(NAME));
    let output = dir.join("out.safetensors");
    for args in [&["in.bin", "-o", "out.safetensors"][..], &["in.bin", "--sha256", "-o", "out.safetensors"]] {
        sandbox.bin(&dir, args).ok();
        let whole = fs::read(&output).unwrap();
        assert!(sandbox.bin(&dir, args).ok().contains("(up to date)"));
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut other = whole.clone();
            other[at] ^= 1;
            fs::write(&output, &other).unwrap();
            let run = sandbox.bin(&dir, args);
            assert_eq!(run.code, Some(1), "byte {at}: {run:?}");
            assert!(run.stderr.contains(": file exists\n"), "byte {at}: {run:?}");
            assert_eq!(fs::read(&output).unwrap(), other);
        }
        fs::remove_file(&output).unwrap();
    }
}

/// The bytes between two records have no checksum in the archive.
#[test]
fn what_a_pointer_names_is_held_to_its_object_id() {
    let (model, source) = (Model::with(NAME), fixture(NAME));
    model.only_pointer("pytorch_model.bin", &source);
    let plan = checkpoint::plan(&source, &Options::default()).unwrap();
    let record = plan.records.iter().find(|record| record.name.contains("/data/")).unwrap();
    let object = model.object(Oid::of(&source));
    let mut other = source.clone();
    other[usize::try_from(record.at).unwrap() - 1] ^= 1;
    fs::remove_file(&object).unwrap();
    fs::write(&object, &other).unwrap();
    let output = ["pytorch_model.bin", "-o", "../out.safetensors"];
    let run = model.run(&output);
    assert_ne!(run.code, Some(0), "{run:?}");
    assert!(!model.sandbox.path("out.safetensors").exists(), "{run:?}");
    assert!(run.stderr.contains(&Oid::of(&source).to_string()), "{run:?}");
    fs::write(&object, &source).unwrap();
    model.run(&output).ok();
    assert_eq!(oid(&model.sandbox.path("out.safetensors")), oid_of(NAME));
}
