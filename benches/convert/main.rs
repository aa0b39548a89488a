//! Measures the time of a conversion, and that of tools that do parts of it; `docs/performance.md` explains the table.
//!
//! All rows of a case run in turn, round by round, so that a slow moment of the machine affects all of them; the median
//! of each is printed. The bench is not a test: nothing fails because it is slow.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench for people"
)]

mod checkpoint;
mod measure;
mod options;
mod peer;
#[path = "../../tests/checkpoint/pickle.rs"]
#[expect(dead_code, reason = "a checkpoint needs a few of them")]
mod pickle;
mod repository;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpoint::Shape;
use measure::{Run, measure};
use options::{Options, median};
use repository::Repository;

const USAGE: &str = "cargo bench --bench convert -- [--smoke] [--rounds N] [--dir DIR] [CASE...]

  --smoke      a few megabytes, one round: does it run?
  --rounds N   default 3
  --dir DIR    where the files are made and removed again, default TMPDIR; 6 GB
  CASE         bert, many, tiny; default all

  $PYTHON      a Python that has torch and safetensors: adds torch.load + save_file and `git add`";

/// The converted file is verified by the object ID of its pointer, which needs one more read of the checkpoint.
const VERIFY: &str = "git st-convert verify";

/// The same conversion of a plain file, which writes it and hashes nothing.
const PLAIN: &str = "git st-convert -o FILE";

fn main() {
    let args: Vec<_> = env::args_os().skip(1).collect();
    if let [role, source, output] = args.as_slice()
        && role == peer::PEER
    {
        return peer::convert(Path::new(source), Path::new(output));
    }
    let Some(options) = Options::read(|_, _| None) else {
        println!("{USAGE}");
        return;
    };
    let scratch = tempfile::Builder::new().prefix("st-convert-bench-").tempdir_in(&options.dir).unwrap();
    let python = env::var_os("PYTHON").map(PathBuf::from).filter(|python| has_torch(python));
    println!(
        "{} rounds, {} processors",
        options.rounds,
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    for shape in Shape::all(options.smoke) {
        if options.has(shape.name) {
            run(&shape, scratch.path(), options.rounds, python.as_deref());
        }
    }
}

fn has_torch(python: &Path) -> bool {
    let probe = Command::new(python).args(["-c", "import torch, safetensors.torch"]).output();
    probe.is_ok_and(|output| output.status.success())
}

/// A row of the table: its name, and its runs.
struct Row {
    name: &'static str,
    runs: Vec<Run>,
}

impl Row {
    fn seconds(&self) -> f64 {
        median(self.runs.iter().map(|run| run.wall.as_secs_f64()).collect())
    }

    fn peak(&self) -> f64 {
        let peak = self.runs.iter().map(|run| run.peak).max().unwrap_or(0);
        f64::from(u32::try_from(peak / 1024).unwrap_or(u32::MAX)) / 1024.0
    }
}

/// Returns the most that a run wrote to the disk, in megabytes.
fn written(row: &Row) -> u64 {
    row.runs.iter().map(|run| run.written / 1_000_000).max().unwrap_or(0)
}

fn run(shape: &Shape, scratch: &Path, rounds: usize, python: Option<&Path>) {
    let repository = Repository::new(&scratch.join(shape.name), shape);
    let (source, copy) = (repository.object(), repository.outside("copy"));
    let ours = Path::new(env!("CARGO_BIN_EXE_git-st-convert"));
    let names = ["git st-convert", VERIFY, "openssl dgst -sha256", "cp", "sha256sum", PLAIN];
    let names = names.into_iter().chain(["pytorch-reader + safetensors", "load + save_file", "git add"]);
    let mut rows: Vec<Row> = names.map(|name| Row { name, runs: Vec::new() }).collect();
    for _ in 0..rounds {
        let mut done = Vec::new();
        let mut convert = repository.command(ours);
        done.push(Some(measure(convert.args(["-q", "--no-progress"]))));
        let mut verify = repository.command(ours);
        done.push(Some(measure(verify.args(["verify", "-q", "--no-progress"]))));
        repository.reset();
        let mut digest = Command::new("openssl");
        done.push(repository.has("openssl").then(|| measure(digest.args(["dgst", "-sha256"]).arg(&source))));
        done.push(Some(measure(Command::new("cp").arg(&source).arg(&copy))));
        done.push(repository.has("sha256sum").then(|| measure(Command::new("sha256sum").arg(&copy))));
        std::fs::remove_file(&copy).unwrap();
        done.extend(plain(&source, &repository, ours).map(Some));
        done.extend(reference(&repository, python));
        for (row, run) in rows.iter_mut().zip(done) {
            row.runs.extend(run);
        }
    }
    rows.retain(|row| !row.runs.is_empty());
    print(shape, &source, &rows);
    repository.remove();
}

/// Converts the checkpoint outside of the repository, by this program and by two libraries.
fn plain(source: &Path, repository: &Repository, ours: &Path) -> [Run; 2] {
    let output = repository.outside("plain.safetensors");
    let mut convert = Command::new(ours);
    convert.args(["-q", "--no-progress", "convert"]).arg(source).arg("-o").arg(&output);
    let converted = measure(convert.current_dir(repository.outside(".")));
    std::fs::remove_file(&output).unwrap();
    let mut peer = Command::new(env::current_exe().unwrap());
    let read = measure(peer.arg(peer::PEER).arg(source).arg(&output));
    std::fs::remove_file(&output).unwrap();
    [converted, read]
}

/// Runs the usual way: torch reads, safetensors writes, git and git-lfs store.
fn reference(repository: &Repository, python: Option<&Path>) -> [Option<Run>; 2] {
    const SCRIPT: &str = "import sys, torch; from safetensors.torch import save_file; \
        save_file(torch.load(sys.argv[1], weights_only=True), sys.argv[2], metadata={'format': 'pt'})";
    let Some(python) = python else { return [None, None] };
    let mut convert = repository.command(python);
    convert.args(["-c", SCRIPT]).arg(repository.object()).arg("model.safetensors");
    let converted = measure(&mut convert);
    let added = repository.has("git-lfs").then(|| measure(&mut repository.add_with_lfs()));
    repository.reset();
    [Some(converted), added]
}

fn print(shape: &Shape, source: &Path, rows: &[Row]) {
    let bytes = std::fs::metadata(source).unwrap().len();
    println!(
        "\n{}: {} tensors, {}.{} MB",
        shape.name,
        shape.tensors.len(),
        bytes / 1_000_000,
        bytes / 100_000 % 10
    );
    println!("| what | wall s | times ours | peak MiB | MB written |\n|---|---|---|---|---|");
    let ours = rows[0].seconds();
    for row in rows {
        let (seconds, written) = (row.seconds(), written(row));
        println!("| {} | {seconds:.3} | {:.2} | {:.0} | {written} |", row.name, seconds / ours, row.peak());
    }
    for (name, parts) in
        [("cp, then sha256sum", ["cp", "sha256sum"]), ("the usual way", ["load + save_file", "git add"])]
    {
        let of = |part: &str| rows.iter().find(|row| row.name == part).map(Row::seconds);
        if let (Some(first), Some(second)) = (of(parts[0]), of(parts[1])) {
            println!("| {name} | {:.3} | {:.2} | | |", first + second, (first + second) / ours);
        }
    }
}
