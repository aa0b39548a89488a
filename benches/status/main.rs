//! Measures `git st-convert status` and `git status`, in a repository of 20,000 files, 500 checkpoints with their
//! safetensors files and 5,000 commits; `docs/performance.md` explains the table. It needs git-lfs.
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
#[path = "../guard/options.rs"]
mod options;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use measure::measure;
use options::{Options, options};

const USAGE: &str = "cargo bench --bench status -- [--smoke] [--rounds N] [--dir DIR]

  --smoke      a tenth of the files, one round: does it run?
  --rounds N   default 5
  --dir DIR    where the repository is made and removed again, default TMPDIR";

const BIN: &str = env!("CARGO_BIN_EXE_git-st-convert");
const ATTRIBUTES: &str =
    "*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n";

fn main() {
    let Some(options) = options() else {
        println!("{USAGE}");
        return;
    };
    let scratch = tempfile::Builder::new().prefix("st-convert-bench-").tempdir_in(&options.dir).unwrap();
    let dir = scratch.path();
    let (files, checkpoints, commits) = if options.smoke { (2_000, 50, 500) } else { (20_000, 500, 5_000) };
    println!("{} rounds, {files} files, {checkpoints} checkpoints, {commits} commits\n", options.rounds);
    println!("| recorded | git st-convert status ms | git status ms | ratio |\n|---|---|---|---|");
    repository(dir, files, checkpoints, commits);
    let record = dir.join(".git/st-converted/provenance-1.jsonl");
    let whole = fs::read_to_string(&record).unwrap();
    for (name, known) in [("all", checkpoints), ("half", checkpoints / 2), ("none", 0)] {
        let is_known = |line: &str| {
            let number =
                line.split("\"m").nth(1).and_then(|rest| rest.split('/').next()?.parse::<usize>().ok());
            number.is_none_or(|number| number < known)
        };
        let lines: Vec<_> = whole.lines().filter(|line| is_known(line)).collect();
        fs::write(&record, lines.join("\n") + "\n").unwrap();
        row(dir, &options, name);
    }
}

fn git(dir: &Path, args: &[&str]) {
    let status = Command::new("git").current_dir(dir).args(args).status().unwrap();
    assert!(status.success(), "git {args:?}");
}

fn repository(dir: &Path, files: usize, checkpoints: usize, commits: usize) {
    git(dir, &["init", "-q", "-b", "main"]);
    git(dir, &["lfs", "install", "--local"]);
    for (key, value) in [("user.name", "A U Thor"), ("user.email", "author@example.com"), ("gc.auto", "0")] {
        git(dir, &["config", key, value]);
    }
    fs::write(dir.join(".gitattributes"), ATTRIBUTES).unwrap();
    for at in 0..files {
        let sub = dir.join(format!("d{}", at / 200));
        fs::create_dir_all(&sub).unwrap();
        fs::write(sub.join(format!("f{at}.txt")), format!("file {at}\n")).unwrap();
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixture = fs::read(manifest.join("tests/fixtures/checkpoints/tied-2.bin")).unwrap();
    for at in 0..checkpoints {
        let mut bytes = fixture.clone();
        // The comment of the archive makes each content different.
        let (len, more) = (bytes.len(), u16::try_from(at).unwrap());
        bytes[len - 2..].copy_from_slice(&more.to_le_bytes());
        bytes.resize(len + at, b' ');
        fs::create_dir_all(dir.join(format!("m{at}"))).unwrap();
        fs::write(dir.join(format!("m{at}/pytorch_model.bin")), bytes).unwrap();
    }
    git(dir, &["add", "."]);
    git(dir, &["commit", "-q", "-m", "files"]);
    let converted =
        Command::new(BIN).current_dir(dir).args(["-q", "--commit"]).stdout(Stdio::null()).status();
    assert!(converted.unwrap().success());
    let mut stream = String::new();
    for at in 0..commits - 2 {
        let file = at % files;
        let text = format!("file {file} of commit {at}\n");
        write!(
            stream,
            "commit refs/heads/main\ncommitter A <a@example.com> {} +0000\ndata 1\nx\n{}M 100644 inline d{}/f{file}.txt\ndata {}\n{text}\n",
            1_700_000_000 + at,
            if at == 0 { "from refs/heads/main^0\n" } else { "" },
            file / 200,
            text.len(),
        )
        .unwrap();
    }
    let mut import = Command::new("git");
    let mut import =
        import.current_dir(dir).args(["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
    git(dir, &["reset", "-q", "--hard"]);
    git(dir, &["repack", "-q", "-a", "-d"]);
    // The files must be older than the index, so that git trusts its entries.
    std::thread::sleep(Duration::from_millis(1_100));
    git(dir, &["update-index", "-q", "--really-refresh"]);
}

fn row(dir: &Path, options: &Options, what: &str) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let mut status = Command::new(BIN);
        ours.push(measure(status.current_dir(dir).arg("status")).wall.as_secs_f64());
        let mut status = Command::new("git");
        theirs.push(measure(status.current_dir(dir).arg("status")).wall.as_secs_f64());
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("| {what} | {:.1} | {:.1} | {:.1} |", ours * 1e3, theirs * 1e3, ours / theirs);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
