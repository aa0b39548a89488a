//! Tests paths inside a repository: pathspecs, as git matches them; names from a shell's `*`; links; submodules; and
//! the notes on files that a run without paths does not convert.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{Model, differences, fixture, json_lines, oid_of};
use crate::sandbox::{BIN, Output};

const NAME: &str = "tied-2.bin";

/// Creates committed checkpoints at these paths.
fn model(paths: &[&str]) -> Model {
    let model = Model::new();
    for path in paths {
        model.add(path, &fixture(NAME));
    }
    model.commit();
    model
}

/// Returns the files that a dry run would convert.
fn meant(model: &Model, cwd: &str, args: &[&str]) -> BTreeSet<String> {
    let args = [&["--json", "-n"], args].concat();
    let run = model.sandbox.bin(&model.at(cwd), &args);
    assert_eq!(run.code, Some(0), "{args:?}: {run:#?}");
    let files = json_lines(&run.stdout).into_iter().filter(|line| line["type"] == "file");
    files.map(|line| line["source"].as_str().unwrap().to_owned()).collect()
}

/// Runs the command of a hint in a shell, as it is printed.
pub(super) fn paste(model: &Model, command: &str) -> Output {
    let bin = Path::new(BIN).parent().unwrap().display().to_string();
    let script = format!("PATH='{bin}':\"$PATH\"; {command}");
    super::finish(model.command("sh", &model.dir).arg("-c").arg(script))
}

/// Returns the command of the only hint.
#[track_caller]
fn hint(run: &Output) -> String {
    let mut hints = run.stderr.lines().filter(|line| line.starts_with("hint: "));
    let command = hints.next().unwrap_or_else(|| panic!("{run:#?}")).split('`').nth(1).unwrap().to_owned();
    assert!(hints.next().is_none(), "{run:#?}");
    command
}

#[test]
fn pathspecs_mean_what_git_lists() {
    let paths = [
        "a.bin",
        "b.bin",
        "c.pt",
        "old/a.bin",
        "old/deep/b.bin",
        "unet/A.bin",
        "unet/vae/d.bin",
        "x y/e.bin",
        "[f].bin",
    ];
    let model = model(&paths);
    let cases: [(&str, &[&str]); 19] = [
        (".", &["*.bin"]),
        (".", &["?.bin"]),
        (".", &["[ab].bin"]),
        (".", &[":(glob)*.bin"]),
        (".", &[":(glob)**/?.bin"]),
        (".", &[":(icase)UNET/a.BIN"]),
        (".", &[":(exclude)old"]),
        (".", &[".", ":!old", ":^unet"]),
        (".", &["*.bin", "*.pt", ":(exclude)*/deep/*"]),
        (".", &["o*", ":(top)c.pt"]),
        (".", &["a.bin", "b.bin", ":!b*"]),
        (".", &["old", "unet", ":!*/vae"]),
        (".", &["x*"]),
        ("unet", &["*.bin"]),
        ("unet", &[":/"]),
        ("unet", &[":/*.pt"]),
        ("unet", &["../old/*"]),
        ("unet", &[":!vae"]),
        ("unet", &[":/", ":(top,exclude)unet", ":(exclude)../old"]),
    ];
    for (cwd, specs) in cases {
        let command = [&["ls-files", "-z", "--full-name", "--"], specs].concat();
        let listed = model.sandbox.git(&model.at(cwd), &command);
        let listed: BTreeSet<_> = listed.split_terminator('\0').map(str::to_owned).collect();
        let weights: BTreeSet<_> = listed.into_iter().filter(|path| paths.contains(&path.as_str())).collect();
        assert!(!weights.is_empty(), "{cwd}: {specs:?}");
        assert_eq!(meant(&model, cwd, specs), weights, "{cwd}: {specs:?}");
        // `status` resolves the same paths to the same files.
        let args = [&["status", "--json"], specs].concat();
        let status = json_lines(&model.sandbox.bin(&model.at(cwd), &args).stdout);
        let checkpoints = status.iter().filter_map(|line| line["checkpoint"].as_str()).map(str::to_owned);
        assert_eq!(checkpoints.collect::<BTreeSet<_>>(), weights, "status {cwd}: {specs:?}");
    }
    // An existing name is not a pattern, because a shell has already expanded patterns.
    assert_eq!(meant(&model, ".", &["[f].bin"]), ["[f].bin".to_owned()].into());
    // git passes its own options on by the environment.
    let mut command = model.command(BIN, &model.dir);
    let run = super::finish(command.args(["-n", "*.bin"]).env("GIT_LITERAL_PATHSPECS", "1"));
    assert!(run.stderr.starts_with("error: *.bin: file not found\n"), "{run:#?}");
}

#[test]
fn a_pathspec_converts_and_replaces() {
    let model = model(&["a.bin", "old/a.bin"]);
    model.run(&["--replace", "--commit", "*.bin", ":!old"]).ok();
    let files = model.git(&["ls-tree", "-r", "--name-only", "HEAD"]);
    assert_eq!(files, ".gitattributes\nREADME.md\na.safetensors\nold/a.bin\n");
    model.check("a.safetensors", &oid_of(NAME));
    // A repeated command has nothing to do.
    let again = model.run(&["--replace", "--commit", "a.*", "a.bin", ":!old"]);
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert_eq!(model.status(), "");
}

#[test]
fn a_pathspec_without_a_file_is_an_error_in_the_words_of_git() {
    let model = model(&["a.bin", "old/a.bin"]);
    model.write("untracked.pt", fixture(NAME));
    for (spec, args) in [
        ("*.ckpt", &["*.ckpt", "a.bin"][..]),
        (":(icase)nope", &[":(icase)nope", "a.bin"]),
        ("untr*", &["untr*", "a.bin"]),
        ("*.ckpt", &["a.bin", "*.ckpt", ":!old"]),
    ] {
        let git = model.sandbox.try_git(&model.dir, &["ls-files", "--error-unmatch", "--", spec]);
        let words = git.stderr.lines().next().unwrap().strip_prefix("error: ").unwrap().to_owned();
        let run = model.run(&[&["-n"], args].concat());
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.contains(&format!("error: {spec}: {words}\n")), "{run:#?}\n{words}");
        assert_eq!(hint(&run), "git ls-files");
        // An invalid path does not stop the others.
        assert!(run.stdout.contains("a.bin"), "{run:#?}");
    }
    // An excluded existing file is not an error, as in git.
    assert!(meant(&model, ".", &["a.bin", ":!a.bin"]).is_empty());
    assert!(meant(&model, ".", &["*.bin", ":!*.bin"]).is_empty());
    let run = model.run(&[":(nope)a.bin"]);
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains("Invalid pathspec magic 'nope'"), "{run:#?}");
}

#[test]
fn a_bare_run_names_the_checkpoints_that_git_does_not_track() {
    let model = model(&["a.bin"]);
    fs::write(model.at(".gitignore"), "ignored.bin\n").unwrap();
    for path in ["ignored.bin", "new.bin", "run 2/new.pt", "optimizer.pt"] {
        model.write(path, fixture(NAME));
    }
    // The content decides, too: the hint must name no file that its command refuses.
    for (name, path) in [("state-optimizer.pt", "run 3/a.pt"), ("state-moments.pt", "run 3/b.pt")] {
        model.write(path, fixture(name));
    }
    model.write("numbers.bin", [7; 4096]);
    let run = model.run::<&str>(&[]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(
        run.stderr.contains("2 untracked checkpoints not converted: new.bin, run 2/new.pt\n"),
        "{run:#?}"
    );
    let command = run.stderr.lines().find(|line| line.starts_with("hint: convert them: `")).unwrap();
    let command = command.split('`').nth(1).unwrap();
    assert_eq!(command, "git st-convert new.bin 'run 2/new.pt'");
    assert_eq!(paste(&model, command).code, Some(0));
    assert!(model.at("run 2/new.safetensors").exists() && model.at("new.safetensors").exists());
    // A converted file is not reported as untracked.
    let again = model.run::<&str>(&[]);
    assert!(again.code == Some(0) && !again.stderr.contains("untracked"), "{again:#?}");
    // With paths, the run does not search for untracked files.
    model.write("more.bin", fixture("tied-3.bin"));
    let named = model.run(&["a.bin"]);
    assert!(named.code == Some(0) && !named.stderr.contains("untracked"), "{named:#?}");
    // In a repository without tracked files, the note is the whole result.
    let fresh = Model::new();
    fresh.write("new.bin", fixture(NAME));
    let run = fresh.run(&["--key", "."]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(hint(&run), "git st-convert --key . new.bin");
}

#[test]
fn what_a_shell_names_with_a_star_is_no_error() {
    let model = model(&["model.bin", "other.bin"]);
    model.run::<&str>(&[]).ok();
    model.commit();
    model.write("model.safetensors.index.json", "{\"metadata\":{},\"weight_map\":{}}");
    symlink("model.bin", model.at("model-latest.bin")).unwrap();
    symlink("model.safetensors", model.at("model-latest.safetensors")).unwrap();
    // The kind of a pointer without its object is detected by its name.
    model.only_pointer("other.safetensors", &fs::read(model.at("other.safetensors")).unwrap());
    let store = model.at(".git/lfs/objects");
    let before = model.listing();
    let run = paste(&model, "git st-convert model* other.safetensors");
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
    for line in [
        "model.safetensors: skipped: already a safetensors file\n",
        "other.safetensors: skipped: already a safetensors file\n",
        "model.safetensors.index.json: skipped: already a safetensors file\n",
        "model-latest.bin: skipped: symbolic link to model.bin\n",
        "model-latest.safetensors: skipped: symbolic link to model.safetensors\n",
    ] {
        assert!(run.stderr.contains(line), "{line}{run:#?}");
    }
    fs::remove_dir_all(store).unwrap();
    let run = model.run(&["other.safetensors"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
}

#[test]
fn a_link_to_a_checkpoint_names_it() {
    let model = model(&["runs/5/model.bin"]);
    symlink("5", model.at("runs/latest")).unwrap();
    symlink("runs/5/model.bin", model.at("best.bin")).unwrap();
    model.git(&["add", "runs/latest", "best.bin"]);
    model.commit();
    // Without paths, a link is only noted, and its target is converted by its own name.
    let run = model.run(&["-n"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.stderr.contains("best.bin: skipped: symbolic link to runs/5/model.bin\n"), "{run:#?}");
    assert!(run.stdout.contains("runs/5/model.bin"), "{run:#?}");
    for name in ["best.bin", "runs/latest/model.bin"] {
        let run = model.run(&["--strict", name]);
        assert_eq!(run.code, Some(0), "{run:#?}");
        let command = "git st-convert --strict runs/5/model.bin";
        let note = format!("{name}: skipped: symbolic link to runs/5/model.bin; convert that: `{command}`\n");
        assert!(run.stderr.contains(&note), "{run:#?}");
        assert_eq!(model.status(), "", "{name}");
    }
    let run = model.run(&["runs/latest"]);
    assert!(run.code == Some(0) && run.stderr.contains("symbolic link to runs/5\n"), "{run:#?}");
    assert_eq!(paste(&model, "git st-convert --strict runs/5/model.bin").code, Some(0));
    model.check("runs/5/model.safetensors", &oid_of(NAME));
}

/// Creates a model with another one as a submodule, whose checkpoint is `weights/pytorch_model.bin`.
fn with_submodule() -> Model {
    let model = model(&["pytorch_model.bin"]);
    let inner = model.sandbox.repo("inner");
    fs::create_dir(inner.join("weights")).unwrap();
    fs::write(inner.join("weights/pytorch_model.bin"), fixture(NAME)).unwrap();
    fs::write(inner.join("weights/training_args.bin"), fixture(NAME)).unwrap();
    model.sandbox.git(&inner, &["add", "."]);
    model.sandbox.git(&inner, &["commit", "-q", "-m", "inner"]);
    let url = inner.display().to_string();
    model.git(&["submodule", "-q", "add", &url, "vendor/sub one"]);
    model.commit();
    model
}

#[test]
fn a_path_in_a_submodule_says_so_and_names_its_repository() {
    let model = with_submodule();
    for (args, rest) in [
        (&["vendor/sub one/weights/pytorch_model.bin"][..], " weights/pytorch_model.bin"),
        (&["vendor/sub one/weights"], " weights"),
        (&["vendor/sub one/*.bin"], " '*.bin'"),
        (&["vendor/sub one"], ""),
        (&["--strict", "vendor/sub one/"], ""),
    ] {
        let before = model.listing();
        let run = model.run(args);
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.contains("path is in the submodule `vendor/sub one`\n"), "{run:#?}");
        assert_eq!(differences(&before, &model.listing()), [""; 0]);
        let options = if args.len() > 1 { " --strict" } else { "" };
        let command = hint(&run);
        assert_eq!(command, format!("git -C 'vendor/sub one' st-convert{options}{rest}"));
        assert_eq!(paste(&model, &format!("{command} -n")).code, Some(0), "{command}");
    }
    let run = model.sandbox.bin(&model.at("vendor"), &["status", "sub one/weights"]);
    assert_eq!((run.code, hint(&run)), (Some(2), "git -C 'sub one' st-convert status weights".to_owned()));
    // In the directory of a submodule that is not checked out, a command would use this repository.
    model.git(&["submodule", "-q", "deinit", "vendor/sub one"]);
    let run = model.run(&["vendor/sub one/weights/pytorch_model.bin"]);
    let command = hint(&run);
    assert_eq!(command, "git submodule update --init 'vendor/sub one'");
    assert_eq!(paste(&model, &command).code, Some(0));
    // A repository that git does not track.
    let other = model.sandbox.path("model/other");
    fs::create_dir(&other).unwrap();
    model.sandbox.git(&other, &["init", "-q"]);
    fs::write(other.join("new.bin"), fixture(NAME)).unwrap();
    let run = model.run(&["other/new.bin"]);
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains("path is in another git repository, `other`\n"), "{run:#?}");
    assert_eq!(hint(&run), "git -C other st-convert new.bin");
    assert!(!model.at("other/new.safetensors").exists());
}

#[test]
fn a_bare_run_names_the_submodules_that_hold_checkpoints() {
    let model = with_submodule();
    let run = model.run::<&str>(&[]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.stderr.contains("submodule vendor/sub one: 1 checkpoint not converted\n"), "{run:#?}");
    let command = "git -C 'vendor/sub one' st-convert";
    assert!(run.stderr.contains(&format!("hint: convert it: `{command}`\n")), "{run:#?}");
    assert_eq!(paste(&model, command).code, Some(0));
    let run = model.run::<&str>(&[]);
    assert!(run.code == Some(0) && !run.stderr.contains("submodule"), "{run:#?}");
    // A submodule whose index is missing or cannot be read does not affect this run.
    let index = model.at(".git/modules/vendor/sub one/index");
    fs::write(&index, "no index").unwrap();
    let run = model.run::<&str>(&[]);
    assert!(run.code == Some(0) && !run.stderr.contains("submodule"), "{run:#?}");
    fs::remove_dir_all(model.at("vendor")).unwrap();
    model.run::<&str>(&[]).ok();
}

#[test]
fn verify_takes_pathspecs() {
    let model = model(&["a.bin", "b.bin", "old/c.bin", "alone.bin"]);
    model.run(&["a.bin", "b.bin", "old"]).ok();
    let verified = |args: &[&str]| {
        let run = model.run(&[&["verify", "--json"], args].concat());
        let lines = json_lines(&run.stdout).into_iter();
        let paths = lines.filter_map(|line| line["path"].as_str().map(str::to_owned));
        (run.code, paths.collect::<Vec<_>>())
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (args, expected) in [
        (&["*.safetensors"][..], &["a.safetensors", "b.safetensors", "old/c.safetensors"][..]),
        (&[":(glob)*.safetensors"], &["a.safetensors", "b.safetensors"]),
        (&["*.bin", ":!b.*"], &["a.safetensors", "old/c.safetensors"]),
        (&[".", ":!old"], &["a.safetensors", "b.safetensors"]),
    ] {
        assert_eq!(verified(args), (Some(0), names(expected)), "{args:?}");
    }
    let run = model.run(&["verify", "*.nope", "a.safetensors"]);
    assert_eq!(run.code, Some(2), "{run:#?}");
    let words = "error: *.nope: pathspec '*.nope' did not match any file(s) known to git\n";
    assert!(run.stderr.contains(words) && run.stdout.contains("a.safetensors"), "{run:#?}");
}
