//! Tests file names that are difficult for shells, patterns and terminals.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use super::{Model, fixture, oid_of};

const NAME: &str = "tied-2.bin";

/// Converts with and without the name of the file, in a repository without an entry for safetensors files.
fn converts(stem: &[u8]) {
    for named in [false, true] {
        let model = Model::with_attributes(Some("*.bin filter=lfs diff=lfs merge=lfs -text\n"));
        let source = OsString::from_vec([stem, b".bin"].concat());
        let output = OsString::from_vec([stem, b".safetensors"].concat());
        model.add(&source, &fixture(NAME));
        // The general pattern would match a tracked file, so each path needs its own entry.
        model.add("tiny.safetensors", b"tiny");
        model.commit();
        let path = Path::new("./").join(&source).into_os_string();
        let run = if named { model.run(&[path]) } else { model.run::<&str>(&[]) };
        assert!(!run.stdout.contains(['\u{1b}', '\u{7}']), "{run:?}");
        run.ok();
        model.check(&output, &oid_of(NAME));
        assert_eq!(filter(&model, OsStr::new("tiny.safetensors")), "unspecified");
        model.run(&["--json", "--commit", "-f"]).ok();
        assert_eq!(model.status(), "");
        if model.sandbox.git_lfs_available() {
            assert_eq!(model.git(&["lfs", "fsck"]), "Git LFS fsck OK\n");
        }
    }
}

fn filter(model: &Model, path: &OsStr) -> String {
    let args = ["check-attr", "-z", "filter", "--"].map(OsStr::new);
    let said = model.git(&[&args as &[_], &[path]].concat());
    said.trim_end_matches('\0').rsplit('\0').next().unwrap().to_owned()
}

#[test]
fn spaces() {
    converts(b"my model (final) v2");
    converts(b" lead and trail ");
    converts(b"dir with space/my model");
}

#[test]
fn tabs_and_line_feeds() {
    converts(b"a\ttab");
    converts(b"a\nline");
}

#[test]
fn quotes_and_backslashes() {
    converts(b"\"quoted\"");
    converts(b"it's");
    converts(b"back\\slash");
}

#[test]
fn a_leading_exclamation_mark_or_hash() {
    converts(b"!important");
    converts(b"#1");
    converts(b"sub/!important");
}

#[test]
fn what_patterns_know() {
    converts(b"[a-z]*?");
    converts(b"[attr]x");
}

#[test]
fn options_and_subcommands() {
    converts(b"-n");
    converts(b"demo");
}

#[test]
fn other_scripts_and_control_characters() {
    converts("模型-ñ".as_bytes());
    converts(b"bell\x07esc\x1b[2J");
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf_8() {
    converts(b"\xff\xfe model");
    let model = Model::new();
    let source = OsStr::from_bytes(b"\xe9t\xe9.bin");
    model.add(source, &fixture(NAME));
    model.commit();
    let run = super::json_lines(&model.run(&["--json", "--commit"]).ok());
    assert_eq!(run[0]["source"], "\\xe9t\\xe9.bin");
    let message = model.git(&["show", "-s", "--format=%B", "HEAD"]);
    assert!(message.contains("Converted-From: "), "{message}");
}

#[test]
fn two_sources_to_one_output_are_refused() {
    let model = Model::new();
    model.add("model.bin", &fixture(NAME));
    model.add("model.pt", &fixture("strided.bin"));
    model.add("pytorch_model.bin", &fixture("strided.bin"));
    model.add("sub/pytorch_model.bin", &fixture(NAME));
    model.commit();
    let run = model.run::<&str>(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    for (source, other) in
        [("model.bin", "model.pt"), ("model.pt", "model.bin"), ("pytorch_model.bin", "model.bin")]
    {
        let line =
            format!("error: {source}: cannot write model.safetensors: {other} converts to the same name");
        assert!(run.stderr.contains(&line), "{line}: {run:?}");
    }
    assert!(run.stderr.contains("hint: choose another output: "), "{run:?}");
    // A file that fails does not stop the others.
    assert_eq!(model.status(), "A  sub/model.safetensors\n");
    // A single file does not collide.
    model.run(&["model.pt"]).ok();
    model.check("model.safetensors", &oid_of("strided.bin"));
}

#[test]
fn variants_keep_their_names() {
    let model = Model::new();
    for path in ["pytorch_model.fp16.bin", "adapter_model.bin", "v1-5.ckpt", "sub/checkpoint.pth.tar"] {
        model.add(path, &fixture(NAME));
    }
    model.commit();
    model.run::<&str>(&[]).ok();
    let staged = "A  adapter_model.safetensors\nA  model.fp16.safetensors\nA  sub/checkpoint.safetensors\n\
                  A  v1-5.safetensors\n";
    assert_eq!(model.status(), staged);
    model.check("model.fp16.safetensors", &oid_of(NAME));
}
