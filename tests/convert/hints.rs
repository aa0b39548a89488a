//! Runs the hints unchanged in a shell, in the directory where the command was run.

#![expect(clippy::disallowed_methods, reason = "hints are run by a shell that finds the program")]

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::{Model, fixture, skipped};
use crate::sandbox::{BIN, Output};

/// Returns the commands of the hints.
#[track_caller]
fn hints(output: &Output) -> Vec<String> {
    let hints = output.stderr.lines().filter_map(|line| line.strip_prefix("hint: "));
    let commands = hints.flat_map(|hint| hint.split('`').skip(1).step_by(2).map(str::to_owned));
    let commands: Vec<_> = commands.collect();
    assert!(!commands.is_empty(), "{output:#?}");
    commands
}

fn paste(model: &Model, cwd: &Path, hint: &str) -> Output {
    let own = Path::new(BIN).parent().unwrap().to_owned();
    let other = std::env::var_os("PATH").unwrap_or_default();
    let path: OsString =
        std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&other))).unwrap();
    let args = [OsStr::new("-c"), OsStr::new(hint)];
    model.sandbox.command("sh".as_ref(), cwd, &args).env("PATH", path).output().unwrap().into()
}

/// Runs a command in a directory, and then its only hint, which must have this text.
#[track_caller]
fn helped(model: &Model, cwd: &str, args: &[&str], hint: &str, says: &str) {
    let output = model.sandbox.bin(&model.at(cwd), args);
    let commands = hints(&output);
    assert_eq!(commands, [hint], "{output:#?}");
    let pasted = paste(model, &model.at(cwd), hint);
    assert!(pasted.stdout.contains(says), "{hint}: {pasted:#?}");
}

#[test]
fn a_refused_file_is_named_from_where_the_person_stands() {
    let model = Model::new();
    model.write("sub/deep/x", "");
    for name in ["a b.bin", "scan", "sub/-c.bin"] {
        model.add(name, &fixture("os-system.bin"));
    }
    for (cwd, args, hint) in [
        ("", ["a b.bin"].as_slice(), "git st-convert scan 'a b.bin'"),
        ("", &["./scan"], "git st-convert scan ./scan"),
        ("sub", &["../a b.bin"], "git st-convert scan '../a b.bin'"),
        ("sub", &["../scan"], "git st-convert scan ../scan"),
        ("sub", &["--", "-c.bin"], "git st-convert scan ./-c.bin"),
        ("sub/deep", &["-C", "../..", "a b.bin"], "git -C ../.. st-convert scan 'a b.bin'"),
        ("..", &["-C", "model/sub", "--", "-c.bin"], "git -C model/sub st-convert scan ./-c.bin"),
        (
            "..",
            &["-C", "model/sub", "../a b.bin", "-o", "x"],
            "git -C model/sub st-convert scan '../a b.bin'",
        ),
    ] {
        helped(&model, cwd, args, hint, "dangerous  os.system");
    }
}

#[test]
fn a_modified_checkpoint_is_staged_or_stashed_and_no_other() {
    let model = Model::new();
    for name in ["sub/x", "a[1].bin", "a1.bin"] {
        model.add(name, &fixture("tied-2.bin"));
    }
    model.commit();
    for (at, status) in [(0, " M a1.bin\nM  a[1].bin\n"), (1, " M a1.bin\n")] {
        model.write("a[1].bin", fixture("bool-odd-bytes.bin"));
        model.write("a1.bin", fixture("bool-odd-bytes.bin"));
        let output = model.sandbox.bin(&model.at("sub"), &["--replace", "../a[1].bin"]);
        let commands = hints(&output);
        assert_eq!(
            commands,
            ["git add ':(literal)../a[1].bin'", "git stash push -- ':(literal)../a[1].bin'"]
        );
        assert_eq!(paste(&model, &model.at("sub"), &commands[at]).code, Some(0));
        assert_eq!(model.status(), status);
        model.git(&["reset", "-q", "--hard"]);
        if at == 1 {
            // The stashed change comes back.
            model.git(&["stash", "pop", "-q"]);
            assert_eq!(std::fs::read(model.at("a[1].bin")).unwrap(), fixture("bool-odd-bytes.bin"));
        }
    }
}

#[test]
#[cfg(unix)]
fn a_link_is_converted_without_the_repository() {
    let model = Model::with("tied-2.bin");
    model.write("sub/x", "");
    // tests/convert/paths.rs tests links into the repository.
    std::fs::write(model.sandbox.path("outside.bin"), fixture("tied-2.bin")).unwrap();
    std::os::unix::fs::symlink("../outside.bin", model.at("link.bin")).unwrap();
    for (args, file) in [(["verify", "../link.bin"], "A"), (["convert", "../link.bin"], "B")] {
        let output = model.sandbox.bin(&model.at("sub"), &args);
        assert!(output.stderr.starts_with("error: link.bin: "), "{output:#?}");
        let commands = hints(&output);
        assert_eq!(commands, ["git st-convert ../link.bin --output FILE"]);
        let pasted = paste(&model, &model.at("sub"), &commands[0].replace("FILE", file));
        assert_eq!(pasted.code, Some(0), "{pasted:#?}");
        assert!(model.at("sub").join(file).exists());
    }
}

#[test]
fn the_commit_is_made_where_the_files_are() {
    let model = Model::with("tied-2.bin");
    let output = model.sandbox.bin(&model.sandbox.path(""), &["-C", "model"]);
    let commands = hints(&output);
    assert_eq!(commands, ["git -C model commit -m \"convert weights to safetensors\""], "{output:#?}");
    assert_eq!(paste(&model, &model.sandbox.path(""), &commands[0]).code, Some(0));
    assert_eq!(model.status(), "");
}

#[test]
fn an_object_is_downloaded_from_any_directory_by_its_own_name() {
    let model = Model::new();
    if !model.sandbox.git_lfs_available() {
        return skipped("git-lfs is not installed, so it cannot download");
    }
    model.write("other/x", "");
    let checkpoint = fixture("tied-2.bin");
    let oid = model.add("sub/a,b[1]* .bin", &checkpoint);
    model.commit();
    model.push();
    for (cwd, name) in [("", "sub/a,b[1]* .bin"), ("sub", "./a,b[1]* .bin"), ("other", "../sub/a,b[1]* .bin")]
    {
        for command in ["convert", "inspect", "scan"] {
            std::fs::remove_file(model.object(oid)).unwrap();
            model.only_pointer("sub/a,b[1]* .bin", &checkpoint);
            let output = model.sandbox.bin(&model.at(cwd), &["--offline", command, name]);
            paste(&model, &model.at(cwd), &hints(&output)[0]);
            assert!(model.object(oid).exists(), "{output:#?}");
        }
    }
}

#[test]
fn hints_repeat_the_options_that_were_given() {
    let model = Model::new();
    model.write("two.pt", fixture("two-candidates-key.pt"));
    model.write("x.safetensors", "there");
    let run = model.run(&["--key", "ema", "-o", "x.safetensors", "two.pt"]);
    let hint = "hint: choose another output: `git st-convert --key ema two.pt --output FILE`\n";
    assert!(run.stderr.contains(hint), "{run:?}");
    model.run(&["--key", "ema", "--force", "two.pt", "--output", "x.safetensors"]).ok();
    // The hint repeats the given options.
    let run = model.run(&["--key", "model", "--max-output", "1", "-n", "-o", "y z.safetensors", "two.pt"]);
    let hint = "`git st-convert --dry-run --output 'y z.safetensors' --key model --max-output 60 two.pt`\n";
    assert!(run.stderr.contains(hint), "{run:?}");
    let run = model.run(&["--key", "a b", "--max-output", "1", "-o", "y.safetensors", "two.pt"]);
    assert!(!run.stderr.contains("--key a b"), "{run:?}");
    let run = model.run(&["--key", "ema", "--keep", "none", "two.pt", "-C", "."]);
    let hint = "hint: list the tied tensors: `git st-convert inspect --key ema two.pt`\n";
    assert!(run.stderr.contains(hint), "{run:?}");
    model.add("pytorch_model.bin", &fixture("tied-3.bin"));
    model.add("other.bin", &fixture("tied-2.bin"));
    let top = model.sandbox.path("");
    let run = model.sandbox.bin(&top, &["-C", "model", "--offline", "--pr", "never", "--keep", "none"]);
    let hint = "hint: list the tied tensors: `git -C model st-convert --dry-run --offline --pr never`\n";
    assert!(run.stderr.contains(hint), "{run:?}");
    // With an output path no repository changes, so the hint leaves out `--replace` and `--commit`.
    model.add("model.bin", &fixture("tied-3.bin"));
    let run = model.run(&["--replace", "--keep", "z.weight", "--commit", "-m", "a b"]);
    let hint = "hint: choose another output: `git st-convert --keep z.weight model.bin --output FILE`\n";
    assert!(run.stderr.contains(hint), "{run:?}");
}
