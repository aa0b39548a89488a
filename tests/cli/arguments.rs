//! Tests help, usage errors, and the options that every command has.

use super::{assert_shown, json_lines, run, with_fixtures};
use crate::sandbox::{BIN, Sandbox};

const HELP: &str = include_str!("help.txt");

#[test]
fn help_is_short_and_on_standard_output() {
    let sandbox = Sandbox::new();
    assert_shown(&run(&sandbox, &sandbox.path(""), &["-h"]), &format!("{HELP}--- exit 0\n"));
    let output = sandbox.bin(&sandbox.path(""), &["-V"]);
    assert_eq!(output.stdout, format!("git-st-convert {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(output.code, Some(0));
}

#[test]
fn git_finds_the_program() {
    let sandbox = Sandbox::new();
    let dir = std::path::Path::new(BIN).parent().unwrap();
    let mut command =
        sandbox.command("git".as_ref(), &sandbox.path(""), &["st-convert".as_ref(), "-h".as_ref()]);
    let path =
        command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path).unwrap().to_owned();
    let dirs = std::iter::once(dir.to_owned()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(dirs).unwrap());
    assert_eq!(String::from_utf8(command.output().unwrap().stdout).unwrap(), HELP);
}

#[test]
fn a_usage_error_ends_with_2() {
    let sandbox = Sandbox::new();
    assert_shown(
        &run(&sandbox, &sandbox.path(""), &["--bogus"]),
        "--- stderr\n\
         error: unexpected argument '--bogus' found\n\n  \
         tip: to pass '--bogus' as a value, use '-- --bogus'\n\n\
         Usage: git st-convert [OPTIONS] [PATH]...\n       git st-convert <COMMAND> [OPTIONS]\n\n\
         run `git st-convert -h` for help\n\
         --- exit 2\n",
    );
    for (line, command) in [
        (&["-j", "clone", "-q"][..], "git st-convert"),
        (&["clone"], "git st-convert clone"),
        (&["-C", "clone", "pull", "x"], "git st-convert pull"),
        (&["hook", "run", "nonsense"], "git st-convert hook run"),
        (&["completions", "nonsense", "--color=always"], "git st-convert completions"),
    ] {
        let run = sandbox.bin(&sandbox.path(""), line);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.ends_with(&format!("\nrun `{command} -h` for help\n")), "{run:?}");
    }
    assert_shown(
        &run(&sandbox, &sandbox.path(""), &["-C", "nowhere", "inspect", "a"]),
        &format!(
            "--- stderr\nerror: {}: cannot change to the directory\n  \
             caused by: No such file or directory (os error 2)\n--- exit 2\n",
            sandbox.path("nowhere").display()
        ),
    );
    assert_shown(
        &run(&sandbox, &sandbox.path(""), &["-o", "x"]),
        "--- stderr\nerror: --output requires a PATH\n--- exit 2\n",
    );
    assert_shown(
        &run(&sandbox, &sandbox.path(""), &[] as &[&str]),
        "--- stderr\nerror: not a git repository\n\
         hint: convert one file: `git st-convert FILE`\n\
         hint: or try the demo: `git st-convert demo`\n--- exit 2\n",
    );
}

/// `--json` always ends with its last line; after a wrong command line, that is the only one.
#[test]
fn json_ends_with_a_summary_after_a_usage_error() {
    let sandbox = Sandbox::new();
    let commands = [
        "convert", "status", "clone", "pull", "verify", "publish", "batch", "inspect", "diff", "scan", "hook",
    ]
    .into_iter()
    .chain(["demo", "env", "man", "completions"]);
    let mut lines: Vec<Vec<&str>> = commands.map(|command| vec![command, "--bogus"]).collect();
    lines.extend([
        vec!["--bogus"],
        vec!["undo"],
        vec!["clone"],
        vec!["pull", "x"],
        vec!["hook"],
        vec!["hook", "run", "nonsense"],
        vec!["hook", "run", "pre-commit", "--bogus"],
        vec!["-j", "0"],
        vec!["-C", "nowhere", "status"],
        vec!["-C", "nowhere", "man", "pages"],
        vec!["--max-output", "5X"],
        vec!["batch"],
        vec!["--color=purple"],
        vec!["completions", "nonsense"],
        vec!["-o", "x"],
        vec!["diff", "a", "b", "c"],
        vec!["scan", "--rev", "HEAD", "--staged"],
        vec!["status"],
        vec!["hook", "status"],
        vec!["hook", "run", "pre-commit"],
        vec!["publish"],
        vec!["pull", "1"],
        vec!["verify"],
        vec![],
    ]);
    for mut line in lines {
        line.push("--json");
        let output = sandbox.bin(&sandbox.path(""), &line);
        assert_eq!(output.code, Some(2), "{line:?}: {output:#?}");
        let found = json_lines(&output.stdout);
        let [last] = found.as_slice() else { panic!("{line:?}: {output:#?}") };
        assert_eq!((&last["type"], &last["exit_code"]), (&"summary".into(), &2.into()), "{line:?}");
        let reason = last["reason"].as_str().unwrap();
        assert!(!reason.is_empty() && !reason.contains(['\n', '\x1b']), "{line:?}: {reason:?}");
        assert!(output.stderr.contains("error: ") || reason == "no command given", "{line:?}: {output:#?}");
    }
    let reason =
        |line: &[&str]| json_lines(&sandbox.bin(&sandbox.path(""), line).stdout)[0]["reason"].clone();
    assert_eq!(reason(&["--json", "--bogus"]), "unexpected argument '--bogus' found");
    assert_eq!(reason(&["--json", "clone"]), "the following required arguments were not provided: <MODEL>");
    assert_eq!(
        reason(&["--json", "undo"]),
        "'undo' is not a git st-convert command, and no such file exists"
    );
    assert_eq!(reason(&["scan", "--format", "json", "--bogus"]), "unexpected argument '--bogus' found");
    // A command line that cannot be read has no result, so `--json` ends it beside another format too.
    let both = ["scan", "--format", "sarif", "--json", "--bogus"];
    assert_eq!(reason(&both), "unexpected argument '--bogus' found");
    assert_eq!(sandbox.bin(&sandbox.path(""), &["scan", "--format", "sarif", "--bogus"]).stdout, "");
    // A run with another format has its own end.
    let sarif = sandbox.bin(&sandbox.path(""), &["--json", "scan", "--format", "sarif", "none.bin"]);
    let sarif: serde_json::Value = serde_json::from_str(&sarif.stdout).unwrap();
    assert_eq!(sarif["runs"][0]["invocations"][0]["exitCode"], 2);
}

/// `docs/json.md` lists the commands whose result is a text: a program that reads one saves it as it is.
#[test]
fn a_result_that_is_a_text_stays_one() {
    let sandbox = Sandbox::new();
    let texts = [
        &["-h"][..],
        &["--help"],
        &["-V"],
        &["--version"],
        &["pull", "-h"],
        &["man"],
        &["completions", "fish"],
    ];
    for line in texts {
        let plain = sandbox.bin(&sandbox.path(""), line);
        let json = sandbox.bin(&sandbox.path(""), &[line, &["--json"]].concat());
        assert!(!plain.stdout.is_empty() && plain.stdout == json.stdout, "{line:?}: {json:#?}");
        assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""), "{line:?}");
    }
    // What writes files, or cannot print its text, ends with a summary.
    for (line, code) in [(vec!["man", "--json", "pages"], 0), (vec!["completions", "--json", "csh"], 2)] {
        let output = sandbox.bin(&sandbox.path(""), &line);
        let last = json_lines(&output.stdout).pop().unwrap();
        assert_eq!((&last["type"], &last["exit_code"]), (&"summary".into(), &code.into()), "{output:#?}");
    }
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md")).unwrap();
    assert!(
        docs.contains("`-h`, `--help`, `-V`, `--version`, `completions SHELL` and `man` without a directory")
    );
}

#[test]
fn colour_is_only_where_it_is_wanted() {
    let (sandbox, dir) = with_fixtures(&["tied-2.bin", "os-system.bin"]);
    let args = ["inspect", "tied-2.bin"];
    assert!(!run(&sandbox, &dir, &args).contains('\x1b'));
    assert!(run(&sandbox, &dir, &["--color", "always", "inspect", "tied-2.bin"]).contains("\x1b[1mNAME"));
    assert!(run(&sandbox, &dir, &["--color=always", "os-system.bin"]).contains("\x1b[31merror:"));
    assert!(run(&sandbox, &dir, &["--color=always", "--bogus"]).contains('\x1b'));
    let with = |name: &str, extra: &[&str]| {
        let args: Vec<_> = extra.iter().chain(&args).map(std::ffi::OsStr::new).collect();
        let output = sandbox.command(BIN.as_ref(), &dir, &args).env(name, "1").output().unwrap();
        String::from_utf8(output.stdout).unwrap().contains('\x1b')
    };
    assert!(with("CLICOLOR_FORCE", &[]));
    assert!(!with("CLICOLOR_FORCE", &["--color", "never"]));
    assert!(!with("NO_COLOR", &[]));
}

#[test]
fn a_number_of_a_pull_request_is_asked_for_by_name() {
    let sandbox = Sandbox::new();
    for (args, words) in [
        (&["pull", "x"][..], "invalid value 'x' for '[N]': expected a pull request number\n"),
        (&["verify", "--pr", "x"], "invalid value 'x' for '--pr <N>': expected a pull request number\n"),
        (&["--pr", "x"], "'--pr <N|auto|never>': expected a pull request number, `auto` or `never`\n"),
    ] {
        let output = sandbox.bin(&sandbox.path(""), args);
        assert_eq!(output.code, Some(2));
        assert!(output.stderr.contains(words), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn a_directory_to_work_in() {
    let (sandbox, dir) = with_fixtures(&["tied-2.bin"]);
    let above = dir.parent().unwrap();
    for args in [
        &["-C", "here", "inspect", "--summary", "tied-2.bin"][..],
        &["inspect", "-C", "here", "tied-2.bin", "--summary"],
        &["-C", "home", "-C", "../here", "inspect", "tied-2.bin", "--summary"],
    ] {
        assert_eq!(sandbox.bin(above, args).code, Some(0), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
    use std::process::Stdio;
    let (sandbox, dir) = with_fixtures(&["tied-2.bin"]);
    let args = ["inspect".as_ref(), "tied-2.bin".as_ref()];
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed =
        sandbox.command(BIN.as_ref(), &dir, &args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((closed.status.code(), closed.stderr.as_slice()), (Some(0), b"".as_slice()));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let full =
        sandbox.command(BIN.as_ref(), &dir, &args).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(full.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(full.stderr).unwrap(),
        "error: standard output: cannot be written\n  caused by: No space left on device (os error 28)\n"
    );
}
