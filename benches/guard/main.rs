//! Measures the hook at a commit, and `git diff --cached --name-only`, which any hook needs at least;
//! `docs/performance.md` explains the table.
//!
//! The rows of a case run in turn, round by round; the median of each is printed. The bench is not a test.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench for people"
)]

#[path = "../convert/measure.rs"]
#[expect(dead_code, reason = "what reaches the disk is no question here")]
mod measure;
mod options;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;
use measure::measure;
use options::{Options, options};

const USAGE: &str = "cargo bench --bench guard -- [--smoke] [--rounds N] [--dir DIR]

  --smoke      a tenth of the files and 64 MB, one round: does it run?
  --rounds N   default 5
  --dir DIR    where the repository is made and removed again, default TMPDIR";

fn main() {
    let Some(options) = options() else {
        println!("{USAGE}");
        return;
    };
    let scratch = tempfile::Builder::new().prefix("st-convert-bench-").tempdir_in(&options.dir).unwrap();
    let dir = scratch.path();
    let (files, pointers, blob) =
        if options.smoke { (2_000, 500, 64 << 20) } else { (20_000, 5_000, 5_u64 << 30) };
    println!("{} rounds, {files} files\n", options.rounds);
    println!("| staged | git st-convert ms | git diff --cached ms | ratio |\n|---|---|---|---|");
    repository(dir, files);
    row(dir, &options, "nothing");

    stage_pointers(dir, pointers);
    row(dir, &options, &format!("{pointers} pointers"));
    git(dir, &["reset", "-q", "--hard"]);

    for (name, size) in [("a blob of 1 MB", 1_000_000), ("a long blob", blob)] {
        File::create(dir.join("long.dat")).unwrap().set_len(size).unwrap();
        git(dir, &["-c", "core.bigFileThreshold=16m", "add", "long.dat"]);
        row(dir, &options, &format!("{name}, in the work tree too ({size} bytes)"));
        fs::remove_file(dir.join("long.dat")).unwrap();
        row(dir, &options, &format!("{name}, in the index alone"));
        git(dir, &["rm", "-q", "--cached", "long.dat"]);
    }
}

fn git(dir: &Path, args: &[&str]) {
    let status = Command::new("git").current_dir(dir).args(args).status().unwrap();
    assert!(status.success(), "git {args:?}");
}

fn repository(dir: &Path, files: usize) {
    git(dir, &["init", "-q"]);
    git(dir, &["config", "user.name", "A U Thor"]);
    git(dir, &["config", "user.email", "author@example.com"]);
    git(dir, &["config", "gc.auto", "0"]);
    for at in 0..files {
        let sub = dir.join(format!("d{}", at / 200));
        fs::create_dir_all(&sub).unwrap();
        fs::write(sub.join(format!("f{at}.txt")), format!("file {at}\n")).unwrap();
    }
    git(dir, &["add", "."]);
    git(dir, &["commit", "-q", "-m", "files"]);
    git(dir, &["repack", "-q", "-a", "-d"]);
}

fn stage_pointers(dir: &Path, count: usize) {
    fs::create_dir(dir.join("p")).unwrap();
    for at in 0..count {
        let content = format!("content {at} ").repeat(400);
        let oid = Oid::of(content.as_bytes());
        let name = oid.to_string();
        let object = dir.join(format!(".git/lfs/objects/{}/{}/{name}", &name[..2], &name[2..4]));
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(object, &content).unwrap();
        let pointer = Pointer { oid, size: content.len() as u64 };
        fs::write(dir.join(format!("p/model-{at}.bin")), pointer.to_string()).unwrap();
    }
    git(dir, &["add", "p"]);
}

fn row(dir: &Path, options: &Options, what: &str) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let mut guard = Command::new(env!("CARGO_BIN_EXE_git-st-convert"));
        ours.push(measure(guard.current_dir(dir).args(["hook", "run", "pre-commit"])).wall.as_secs_f64());
        let mut diff = Command::new("git");
        theirs.push(
            measure(diff.current_dir(dir).args(["diff", "--cached", "--name-only"])).wall.as_secs_f64(),
        );
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("| {what} | {:.1} | {:.1} | {:.1} |", ours * 1e3, theirs * 1e3, ours / theirs);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
