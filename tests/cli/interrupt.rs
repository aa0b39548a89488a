//! Tests Ctrl-C: the work stops, no half-written file stays, and the exit code is 130.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::{BIN, Output, Sandbox};

/// Writes a legacy checkpoint with one tensor of this many zeros, which are holes in the file.
fn checkpoint(path: &Path, elements: i32) -> io::Result<()> {
    let count = elements.to_le_bytes();
    let mut out = fs::File::create(path)?;
    out.write_all(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")?;
    out.write_all(b"\x80\x02M\xe9\x03.")?;
    out.write_all(
        b"\x80\x02}(X\x10\0\0\0protocol_versionM\xe9\x03X\x0d\0\0\0little_endian\x88X\x0a\0\0\0type_sizes}(",
    )?;
    out.write_all(b"X\x05\0\0\0shortK\x02X\x03\0\0\0intK\x04X\x04\0\0\0longK\x04uu.")?;
    out.write_all(b"\x80\x02}X\x06\0\0\0weightctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n")?;
    out.write_all(b"X\x01\0\0\x000X\x03\0\0\0cpuJ")?;
    out.write_all(&count)?;
    out.write_all(b"NtQK\0J")?;
    out.write_all(&count)?;
    out.write_all(b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs.")?;
    out.write_all(b"\x80\x02]X\x01\0\0\x000a.")?;
    out.write_all(&i64::from(elements).to_le_bytes())?;
    let len = out.metadata()?.len();
    out.set_len(len + 4 * u64::try_from(elements).unwrap())
}

fn interrupt(child: &Child) {
    signal(child, "INT");
}

fn signal(child: &Child, name: &str) {
    let kill =
        std::process::Command::new("sh").arg("-c").arg(format!("kill -{name} {}", child.id())).status();
    assert!(kill.unwrap().success());
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_first_one_stops_the_work() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("here");
    fs::create_dir(&dir).unwrap();
    checkpoint(&dir.join("big.bin"), i32::MAX - 1).unwrap();
    // If the tests run under `nohup`, the signal is also ignored here.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let names =
        if mask.is_some_and(|mask| mask & 1 == 0) { &["INT", "TERM", "HUP"][..] } else { &["INT", "TERM"] };
    for name in names {
        let output = stop(&sandbox, &dir, &["big.bin"], name);
        let message = "error: interrupted\nhint: resume the run: `git st-convert big.bin`\n";
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", message), "{name}");
    }
    let output = stop(&sandbox, &dir, &["--json", "big.bin"], "INT");
    let summary: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&summary["files"], &summary["exit_code"]), (&0.into(), &130.into()));
    assert_eq!(summary["reason"], "interrupted");
}

/// A stopped run of several files prints its results, the unfinished files, and the command that resumes it.
#[test]
fn a_stopped_run_prints_its_counts_and_how_it_is_resumed() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    fs::write(dir.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    sandbox.git(&dir, &["add", "-A"]);
    sandbox.git(&dir, &["commit", "-q", "-m", "none"]);
    super::copy("tied-2.bin", &dir.join("a.bin"));
    checkpoint(&dir.join("big.bin"), 1 << 29).unwrap();
    super::copy("tied-2.bin", &dir.join("c d.bin"));
    let args = ["--key".as_ref(), ".".as_ref(), "a.bin".as_ref(), "big.bin".as_ref(), "c d.bin".as_ref()];
    let mut command = sandbox.command(BIN.as_ref(), &dir, &args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let is_big = |dir: &Path| {
        let mut files = fs::read_dir(dir).into_iter().flatten().map(Result::unwrap);
        files.any(|file| file.metadata().is_ok_and(|meta| meta.len() > 1 << 20))
    };
    // All three may be converted at once, and each is staged in its turn.
    let is_staged = || {
        let index = fs::read(dir.join(".git/index")).unwrap_or_default();
        index.windows(13).any(|part| part == b"a.safetensors")
    };
    wait_until("nothing is written", || is_staged() && is_big(&dir.join(".git/lfs/tmp")));
    signal(&child, "TERM");
    let output = Output::from(child.wait_with_output().unwrap());
    assert_eq!(output.code, Some(130), "{output:#?}");
    assert!(output.last.starts_with("1 converted, 2 not finished · "), "{output:#?}");
    let hint = "hint: resume the run: `git st-convert --key . a.bin big.bin 'c d.bin'`\n";
    assert!(output.stderr.ends_with(&format!("error: interrupted\n{hint}")), "{output:#?}");
    assert!(!dir.join("big.safetensors").exists());
}

/// Without a terminal, a file that takes long has a line at its start and one at its end.
#[test]
fn long_work_has_lines_where_nothing_can_be_drawn() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("here");
    fs::create_dir(&dir).unwrap();
    let name = "big\u{1b}[2J.bin";
    checkpoint(&dir.join(name), i32::MAX - 1).unwrap();
    let mut command = sandbox.command(BIN.as_ref(), &dir, &[name.as_ref()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "big\\x1b[2J.bin: started, 8.0 GiB");
    signal(&child, "INT");
    let stopped = lines.next().unwrap().unwrap();
    let is_stopped = stopped.starts_with("big\\x1b[2J.bin: stopped, ") && stopped.contains(" of 8.0 GiB in ");
    assert!(is_stopped && stopped.ends_with(" s"), "{stopped}");
    assert_eq!(lines.next().unwrap().unwrap(), "error: interrupted");
    let hint = lines.next().unwrap().unwrap();
    assert!(hint.starts_with("hint: resume the run: `git st-convert "), "{hint}");
    let last = lines.next().unwrap().unwrap();
    assert!(last.starts_with("1 not finished · "), "{last}");
    assert_eq!(child.wait().unwrap().code(), Some(130));

    let hidden = ["--no-progress".as_ref(), "-n".as_ref(), name.as_ref()];
    let hidden = sandbox.command(BIN.as_ref(), &dir, &hidden).output().unwrap();
    assert!(!String::from_utf8_lossy(&hidden.stderr).contains("started"));
}

/// Interrupts a run as soon as it writes, and checks that it leaves nothing.
#[track_caller]
fn stop(sandbox: &Sandbox, dir: &Path, args: &[&str], name: &str) -> Output {
    let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
    let mut command = sandbox.command(BIN.as_ref(), dir, &args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("nothing is written", || {
        let written = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        written
            .filter(|entry| entry.file_name() != "big.bin")
            .any(|entry| entry.metadata().is_ok_and(|meta| meta.len() > 0))
    });
    signal(&child, name);
    // git also gets the signal of the key, and passes it on.
    signal(&child, name);
    let output = Output::from(child.wait_with_output().unwrap());
    assert_eq!(output.code, Some(130));
    let left: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["big.bin"]);
    output
}

#[test]
fn the_second_one_ends_the_process() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("");
    // No process writes into the pipe, so opening it would not end: it is refused as a checkpoint, and read as a token
    // file.
    let fifo = sandbox.command("mkfifo".as_ref(), &dir, &["fifo".as_ref()]).status();
    if !fifo.is_ok_and(|status| status.success()) {
        return;
    }
    let mut command = sandbox.command(BIN.as_ref(), &dir, &["inspect".as_ref(), "acme/bert".as_ref()]);
    command.env("HF_TOKEN_PATH", dir.join("fifo")).env("HF_ENDPOINT", "http://127.0.0.1:1");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
        // A signal before the handler is installed ends the process by itself.
        std::thread::sleep(Duration::from_millis(300));
        interrupt(&child);
    };
    assert_eq!(status.code(), Some(130));
}

/// `nohup` ignores the signal before it starts the program, which continues when the terminal is closed.
#[test]
fn what_was_ignored_from_the_start_stays_so() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("here");
    fs::create_dir(&dir).unwrap();
    checkpoint(&dir.join("big.bin"), 1 << 24).unwrap();
    let line = format!("trap '' HUP; exec {BIN} big.bin");
    let mut command = sandbox.command("sh".as_ref(), &dir, &["-c".as_ref(), line.as_ref()]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("nothing is written", || fs::read_dir(&dir).unwrap().count() > 1);
    signal(&child, "HUP");
    let output = Output::from(child.wait_with_output().unwrap());
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(dir.join("big.safetensors").exists());
}
