//! Measures the conversion of a checkpoint that is only on an LFS server, and the download by `curl` and by `git lfs
//! pull`, with a limited rate and without; and the bytes that are written to the disk. `docs/performance.md` explains
//! the table. At all that a server gives, it is nginx, if it is installed: the hub of the tests would use much of the same
//! processors. The bench is not a test: nothing fails because it is slow.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench for people"
)]

#[path = "../convert/checkpoint.rs"]
mod checkpoint;
#[path = "../../tests/hub/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a part is needed")]
mod hub;
#[path = "../convert/measure.rs"]
mod measure;
#[path = "../convert/options.rs"]
mod options;
#[path = "../../tests/checkpoint/pickle.rs"]
#[expect(dead_code, reason = "a checkpoint needs a few of them")]
mod pickle;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use checkpoint::Shape;
use hub::{Builder, Hub, Nginx};
use measure::{Run, measure};
use options::{Options, median};

const USAGE: &str = "cargo bench --bench download -- [--smoke] [--rounds N] [--rate MB] [--dir DIR] [CASE...]

  --smoke      a few megabytes, one round: does it run?
  --rounds N   default 3
  --rate MB    megabytes a second that the server gives in all; 0 for all it can; default 200, then 0
  --dir DIR    where the files are made and removed again, default TMPDIR; 6 GB
  CASE         bert, many, tiny; default bert";

/// The model on the hub.
const ID: &str = "bench/model";

/// The measured program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_git-st-convert");

fn main() {
    let mut rates = vec![200, 0];
    let set = |name: &str, value: &str| {
        rates = vec![(name == "--rate").then(|| value.parse().ok())??];
        Some(())
    };
    let Some(mut options) = Options::read(set) else {
        println!("{USAGE}");
        return;
    };
    if options.cases.is_empty() {
        options.cases.push("bert".to_owned());
    }
    let scratch = tempfile::Builder::new().prefix("st-convert-bench-").tempdir_in(&options.dir).unwrap();
    for shape in Shape::all(options.smoke) {
        if options.has(shape.name) {
            run(&shape, scratch.path(), options.rounds, &rates);
        }
    }
}

/// A clone of the model, with the program, without the configuration of the machine.
struct Clone {
    home: PathBuf,
    endpoint: String,
}

impl Clone {
    fn command(&self, program: &str, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).env("HOME", &self.home).env("XDG_CONFIG_HOME", &self.home);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("HF_ENDPOINT", &self.endpoint);
        command
    }

    fn work(&self) -> PathBuf {
        self.home.join("model")
    }

    /// Returns the clone for git-lfs.
    fn of_lfs(&self) -> PathBuf {
        self.home.join("lfs/model")
    }

    fn git(&self, dir: &Path, args: &[&str]) {
        let status = self.command("git", dir).args(args).stdin(Stdio::null()).status().unwrap();
        assert!(status.success(), "git {args:?}");
    }

    /// Removes the result of a conversion.
    fn reset(&self) {
        fs::remove_file(self.work().join("model.safetensors")).unwrap();
        fs::remove_dir_all(self.work().join(".git/lfs")).unwrap();
        self.git(&self.work(), &["read-tree", "HEAD"]);
    }

    /// Measures the program.
    fn ours(&self) -> Run {
        let run = measure(self.command(PROGRAM, &self.work()).args(["-q", "--no-progress"]));
        self.reset();
        run
    }

    /// Measures `git lfs pull`; `None` without git-lfs.
    fn pull(&self) -> Option<Run> {
        let (dir, file) = (self.of_lfs(), self.of_lfs().join("pytorch_model.bin"));
        let has_lfs = self.command("git", &dir).args(["lfs", "version"]).stdout(Stdio::null()).status();
        has_lfs.ok().filter(std::process::ExitStatus::success)?;
        self.git(&dir, &["lfs", "install", "--local", "--skip-smudge"]);
        let pointer = fs::read(&file).unwrap();
        let run = measure(self.command("git", &dir).args(["lfs", "pull"]).stdout(Stdio::null()));
        assert!(fs::metadata(&file).unwrap().len() > pointer.len() as u64, "nothing was pulled");
        fs::remove_dir_all(dir.join(".git/lfs")).unwrap();
        fs::write(&file, pointer).unwrap();
        Some(run)
    }

    /// Measures `curl` for the same bytes.
    fn curl(&self, url: &str, bytes: u64) -> Run {
        let out = self.home.join("downloaded");
        let run = measure(Command::new("curl").args(["-sf", "-o"]).arg(&out).arg(url));
        assert_eq!(fs::metadata(&out).unwrap().len(), bytes);
        fs::remove_file(out).unwrap();
        run
    }
}

fn run(shape: &Shape, scratch: &Path, rounds: usize, rates: &[u64]) {
    let dir = scratch.join(shape.name);
    fs::create_dir_all(dir.join("lfs")).unwrap();
    let source = dir.join("checkpoint");
    checkpoint::write(shape, &source).unwrap();
    let bytes = fs::metadata(&source).unwrap().len();
    let hub = Hub::start();
    let mut model = Builder::new();
    model.file("config.json", "{}\n").lfs_file("pytorch_model.bin", &source).commit("checkpoint");
    let oid = model.oid("pytorch_model.bin");
    hub.add_model(ID, &model);
    let served = dir.join("content");
    fs::create_dir_all(served.join("content").join(ID)).unwrap();
    fs::rename(&source, served.join("content").join(ID).join(&oid)).unwrap();
    let clone = Clone { home: dir.clone(), endpoint: hub.endpoint() };
    for parent in [&dir, &dir.join("lfs")] {
        let made = clone.command(PROGRAM, parent).args(["-q", "clone", "--no-convert", ID]).status().unwrap();
        assert!(made.success());
    }
    let of_hub = hub.content_origin();
    for &rate in rates {
        hub.throttle((rate > 0).then_some(rate * 1_000_000));
        let fast = (rate == 0)
            .then(|| Nginx::start(&dir, "sendfile on;", &format!("root {};", served.display())))
            .flatten();
        hub.serve_content_from(&fast.as_ref().map_or(of_hub.clone(), |nginx| nginx.origin.clone()));
        let mut rows = [("git st-convert", Vec::new()), ("curl", Vec::new()), ("git lfs pull", Vec::new())];
        let of_nginx = |nginx: &Nginx| format!("{}/content/{ID}/{oid}", nginx.origin);
        let url = || fast.as_ref().map_or_else(|| content(&hub, &oid), of_nginx);
        for _ in 0..rounds {
            rows[0].1.push(clone.ours());
            rows[1].1.push(clone.curl(&url(), bytes));
            rows[2].1.extend(clone.pull());
        }
        let given = if rate == 0 {
            format!("all that {} gives", if fast.is_some() { "nginx" } else { "the hub" })
        } else {
            format!("{rate} MB/s")
        };
        println!("\n{}: {} MB at {given}", shape.name, bytes / 1_000_000);
        print(&rows);
    }
}

fn print(rows: &[(&str, Vec<Run>)]) {
    println!("| what | wall s | times curl | peak MiB | MB written |\n|---|---|---|---|---|");
    let alone = rows.iter().find(|(name, _)| *name == "curl").map_or(1.0, |(_, runs)| seconds(runs));
    for (name, runs) in rows.iter().filter(|(_, runs)| !runs.is_empty()) {
        let peak = runs.iter().map(|run| run.peak >> 20).max().unwrap_or(0);
        let written = runs.iter().map(|run| run.written / 1_000_000).max().unwrap_or(0);
        println!("| {name} | {:.3} | {:.3} | {peak} | {written} |", seconds(runs), seconds(runs) / alone);
    }
}

/// Returns the URL of the bytes on the hub, which is that of the last request for them.
fn content(hub: &Hub, oid: &str) -> String {
    let seen = hub.requests();
    let last = seen.iter().rev().find(|seen| seen.method == "GET" && seen.path().contains(oid)).unwrap();
    format!("{}{}", last.origin, last.target)
}

fn seconds(runs: &[Run]) -> f64 {
    median(runs.iter().map(|run| run.wall.as_secs_f64()).collect())
}
