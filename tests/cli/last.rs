//! Tests the last line: each run that works ends with its counts, its bytes and its time, on standard error.

use std::fs;

use super::{copy, with_fixtures};
use crate::sandbox::{BIN, Output, Sandbox};

/// Returns the counts and the bytes of the line, without the duration.
fn told(output: &Output) -> &str {
    let (counts, rest) = output.last.trim_end().split_once(" · ").unwrap_or_else(|| panic!("{output:#?}"));
    match rest.split_once(" in ") {
        Some((_, took)) => {
            assert!(took.ends_with(" s"), "{took}");
            &output.last[..output.last.len() - took.len() - 1 - " in ".len()]
        }
        None => counts,
    }
}

/// Creates a repository with a committed checkpoint and committed training state.
fn model() -> (Sandbox, std::path::PathBuf) {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    fs::write(dir.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    copy("tied-2.bin", &dir.join("pytorch_model.bin"));
    copy("tied-2.bin", &dir.join("optimizer.bin"));
    sandbox.git(&dir, &["add", "-A"]);
    sandbox.git(&dir, &["commit", "-q", "-m", "two"]);
    (sandbox, dir)
}

#[test]
fn a_conversion_counts_its_files_and_what_it_made() {
    let (sandbox, dir) = model();
    let size = |name: &str| fs::metadata(dir.join(name)).unwrap().len();
    let planned = sandbox.bin(&dir, &["-n"]);
    assert!(told(&planned).starts_with("1 to convert, 1 skipped · "), "{planned:#?}");
    let made = sandbox.bin(&dir, &["--commit"]);
    let bytes = size("model.safetensors");
    assert!(bytes < 1024, "it is shown in bytes");
    assert_eq!(told(&made), format!("1 converted, 1 skipped · {bytes} bytes"), "{made:#?}");
    assert!(made.stderr.lines().last().unwrap().starts_with("committed "), "it is the last: {made:#?}");
    assert_eq!(told(&sandbox.bin(&dir, &[""; 0])), "1 up to date, 1 skipped");
    let replaced = sandbox.bin(&dir, &["--replace"]);
    assert_eq!(told(&replaced), "1 up to date, 1 skipped, 1 removed", "{replaced:#?}");
}

#[test]
fn a_run_that_ends_with_an_error_says_what_it_did_before() {
    let (sandbox, dir) = with_fixtures(&["tied-2.bin"]);
    fs::write(dir.join("bad.bin"), "none").unwrap();
    let output = sandbox.bin(&dir, &["tied-2.bin", "bad.bin"]);
    assert!(told(&output).starts_with("1 converted, 1 refused · "), "{output:#?}");
    assert_eq!(output.code, Some(1));
    assert_eq!(told(&sandbox.bin(&dir, &["nowhere.bin"])), "1 failed");
    // A run without work has no counts.
    assert_eq!(sandbox.bin(&dir, &["--output", "x"]).last, "");
}

#[test]
fn a_verification_and_a_scan_count_theirs() {
    let (sandbox, dir) = model();
    sandbox.bin(&dir, &[""; 0]).ok();
    let verified = sandbox.bin(&dir, &["verify"]);
    assert!(told(&verified).starts_with("1 identical · "), "{verified:#?}");
    fs::write(dir.join("model.safetensors"), "none").unwrap();
    let verified = sandbox.bin(&dir, &["verify"]);
    assert!(verified.last.starts_with("1 different · "), "{verified:#?}");
    let scanned = sandbox.bin(&dir, &["scan"]);
    let files = ["README.md", ".gitattributes", "pytorch_model.bin", "optimizer.bin", "model.safetensors"];
    assert!(told(&scanned).starts_with(&format!("{} scanned · ", files.len())), "{scanned:#?}");
}

#[test]
fn a_scan_counts_only_what_it_scanned() {
    let (sandbox, dir) = model();
    for name in ["pytorch_model.bin", "optimizer.bin"] {
        fs::remove_file(dir.join(name)).unwrap();
    }
    fs::remove_dir_all(dir.join(".git/lfs/objects")).ok();
    let absent = sandbox.bin(&dir, &["scan"]);
    let bytes: u64 =
        ["README.md", ".gitattributes"].iter().map(|name| fs::metadata(dir.join(name)).unwrap().len()).sum();
    assert_eq!(told(&absent), format!("2 scanned, 2 not downloaded · {bytes} bytes"), "{absent:#?}");
    let missing = sandbox.bin(&dir, &["scan", "README.md", "nowhere"]);
    let bytes = fs::metadata(dir.join("README.md")).unwrap().len();
    assert_eq!(told(&missing), format!("1 scanned, 1 failed · {bytes} bytes"), "{missing:#?}");
}

#[test]
fn quiet_is_quiet_and_json_stays_on_its_own_stream() {
    let (sandbox, dir) = model();
    let quiet = sandbox.bin(&dir, &["-q", "-n"]);
    assert_eq!((quiet.stderr.as_str(), quiet.last.as_str()), ("", ""));
    let json = sandbox.bin(&dir, &["--json"]);
    assert!(json.stdout.lines().all(|line| line.starts_with('{')), "{json:#?}");
    assert!(told(&json).starts_with("1 converted, 1 skipped · "), "{json:#?}");
    // An inspection has no results to count.
    assert_eq!(sandbox.bin(&dir, &["inspect", "pytorch_model.bin"]).last, "");
    // A closed standard error is not a failure.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed = sandbox.command(BIN.as_ref(), &dir, &["scan".as_ref()]).stderr(writer).output().unwrap();
    assert_eq!(closed.status.code(), Some(1));
}
