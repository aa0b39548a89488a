//! Tests pipes in place of text files: no process writes into them, and no command waits.
#![cfg(unix)]

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::convert::torch::{Float32, checkpoint};
use crate::sandbox::{BIN, Output, Sandbox};

/// Much longer than any of these commands takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a command, which is killed if it does not end.
fn run(sandbox: &Sandbox, args: &[&str]) -> Output {
    let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
    let mut command = sandbox.command(BIN.as_ref(), &sandbox.path("model"), &args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{args:?} waits: {:?}", child.wait_with_output().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap().into()
}

#[test]
fn no_command_waits_for_a_pipe() {
    let hook = ["hook", "run", "pre-commit"];
    for (pipe, args, code) in [
        (".st-convert-allow", &hook[..], 1),
        (".gitattributes", &["hook", "run", "pre-commit"], 1),
        (".pre-commit-config.yaml", &["hook", "status"], 0),
        ("lefthook.yml", &["hook", "status"], 0),
        (".husky/pre-commit", &["hook", "status"], 0),
        (".git/hooks/pre-commit", &["hook", "status"], 0),
        (".git/info/attributes", &["scan", "--staged"], 1),
        ("../pipe", &hook, 2),
        (".gitattributes", &["status"], 0),
        (".lfsconfig", &["-n", "weights.bin"], 0),
    ] {
        let sandbox = Sandbox::new();
        let dir = sandbox.repo("model");
        let tensor = Float32 { name: "w".into(), shape: vec![1], bytes: vec![0; 4] };
        fs::write(dir.join("weights.bin"), checkpoint(&[tensor])).unwrap();
        sandbox.git(&dir, &["add", "weights.bin"]);
        if pipe.starts_with("..") {
            sandbox.git(&dir, &["config", "st-convert.allow", sandbox.path("pipe").to_str().unwrap()]);
        }
        let path = dir.join(pipe);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _may_be_absent = fs::remove_file(&path);
        let made = sandbox.command("mkfifo".as_ref(), &dir, &[path.as_os_str()]).status();
        assert!(made.unwrap().success());
        let output = run(&sandbox, args);
        assert_eq!(output.code, Some(code), "{pipe}: {args:?}: {output:#?}");
        if code == 2 {
            assert!(output.stderr.contains("not a regular file (found: named pipe)"), "{output:#?}");
        }
    }
}
