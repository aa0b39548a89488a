//! Tests the refusals by case: the first line, and hints that can be pasted and lead to a commit.

use super::{Place, checkpoint};
use crate::formats::fixtures;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join("checkpoints").join(name)).unwrap()
}

/// Returns the commands of the hints of a kind, in their order.
fn hints<'a>(stderr: &'a str, kind: &str) -> Vec<&'a str> {
    let start = format!("hint: {kind}");
    let hints = stderr.lines().filter_map(|line| line.strip_prefix(&start));
    hints.map(|hint| hint.split_once('`').unwrap().1.rsplit_once('`').unwrap().0).collect()
}

/// Runs the hints in their order, and checks that the commit passes then.
#[track_caller]
fn follow(place: &Place, commands: &[&str]) {
    for command in commands {
        let run = place.command("sh", &place.at(""), &["-c", command]).output().unwrap();
        assert!(run.status.success(), "{command}: {run:?}");
    }
    place.git(&["commit", "-q", "--allow-empty", "-m", "more"]).ok();
}

fn committed(place: &Place) -> String {
    place.git(&["ls-tree", "-r", "--name-only", "HEAD"]).ok()
}

#[test]
fn the_first_line_says_who_and_why_and_the_exception_stands_last() {
    let place = Place::guarded();
    place.add("a.pt", &checkpoint());
    place.add("b.pt", &checkpoint());
    let said = place.refused(&[]);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[0],
        "git-st-convert: commit rejected, 2 pickle files (pickles can run code when loaded); bypass: `git commit --no-verify`"
    );
    assert_eq!(lines.iter().filter(|line| line.contains(".st-convert-allow")).count(), 1, "{said}");
    assert!(lines.last().unwrap().starts_with("hint: allow them: `printf "), "{said}");
}

#[test]
fn weights_are_converted_and_the_only_copy_of_them_stays() {
    let place = Place::guarded();
    place.add("a.pt", &checkpoint());
    let said = place.refused(&["a.pt: pickle checkpoint"]);
    assert_eq!(hints(&said, "convert it"), ["git st-convert --replace a.pt"]);
    let run = place.git(&["st-convert", "--replace", "a.pt"]);
    assert_eq!(run.stderr.matches("a.pt").count(), 1, "it is said once what became of it: {run:#?}");
    follow(&place, &[]);
    assert!(!committed(&place).contains("a.pt") && committed(&place).contains("a.safetensors"));
    assert_eq!(std::fs::read(place.at("a.pt")).unwrap(), checkpoint(), "git could not give it back");
}

#[test]
fn an_output_that_exists_is_named_by_the_options() {
    let place = Place::guarded();
    place.add("a.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    place.git(&["commit", "-q", "-m", "other weights"]).ok();
    place.add("a.pt", &checkpoint());
    let said = place.refused(&[]);
    assert_eq!(hints(&said, "convert it"), ["git st-convert --replace --force a.pt"]);
    follow(&place, &hints(&said, "convert it"));
    assert!(!committed(&place).contains("a.pt"));
}

#[test]
fn training_state_is_kept_out_of_git() {
    let place = Place::guarded();
    std::fs::create_dir(place.at("sub")).unwrap();
    for (path, content) in
        [("optimizer.pt", checkpoint()), ("sub/a [1].pt", fixture("state-dict-of-optimizer.pt"))]
    {
        place.add(path, &content);
        let said = place.refused(&[]);
        let hint = hints(&said, "keep it out of git");
        assert!(
            hint.len() == 1 && hint[0].contains(" rm --cached -f ") && hint[0].contains(".gitignore"),
            "{said}"
        );
        assert!(hints(&said, "convert it").is_empty(), "{said}");
        follow(&place, &hint);
        assert!(!committed(&place).contains(path));
        assert_eq!(std::fs::read(place.at(path)).unwrap(), content);
        assert_eq!(place.git(&["check-ignore", path]).code, Some(0), "{path} is not ignored");
    }
    // A file that `HEAD` contains goes back to that version.
    place.add("old/optimizer.pt", b"text");
    place.git(&["commit", "-q", "-m", "text"]).ok();
    place.add("old/optimizer.pt", &checkpoint());
    let said = place.refused(&[]);
    assert_eq!(hints(&said, "unstage it"), ["git restore --staged old/optimizer.pt"], "{said}");
    follow(&place, &hints(&said, "unstage it"));
}

#[test]
fn weights_with_a_trainer_s_state_are_converted_and_kept_out_of_git() {
    let place = Place::guarded();
    let content = fixture("lightning.ckpt");
    place.add("last.ckpt", &content);
    let said = place.refused(&[]);
    let ways = [hints(&said, "convert it"), hints(&said, "keep it out of git")].concat();
    assert_eq!(ways.len(), 2, "{said}");
    follow(&place, &ways);
    assert!(!committed(&place).contains("last.ckpt") && committed(&place).contains("last.safetensors"));
    assert_eq!(std::fs::read(place.at("last.ckpt")).unwrap(), content);
}

#[test]
fn a_pickle_that_runs_code_is_taken_back() {
    let place = Place::guarded();
    place.add("a.pt", b"cos\nsystem\n(S'id'\ntR.");
    let said = place.refused(&["imports `os.system`"]);
    follow(&place, &hints(&said, "unstage it"));
    assert!(!committed(&place).contains("a.pt"));
}

#[test]
fn code_outside_of_pickles_is_taken_back_too() {
    use crate::checkpoint::archive::{Record, write};
    let place = Place::guarded();
    let layer = br#"{"class_name": "Lambda", "config": {"function": ["4wEA", null, null]}}"#;
    place.add("model.keras", &write(&[Record::deflated("config.json", layer)]));
    place.add("setup.zip", &write(&[Record::deflated("setup.py", b"import os")]));
    let said = place.refused(&[
        "git-st-convert: commit rejected, 1 file with code that loaders execute; bypass",
        "error: model.keras: contains code that its loader executes (archive",
    ]);
    assert!(!said.contains("setup.zip"), "{said}");
    follow(&place, &hints(&said, "unstage it"));
    let committed = committed(&place);
    assert!(committed.contains("setup.zip") && !committed.contains("model.keras"), "{committed}");
}

#[test]
fn a_rejected_push_names_the_commit() {
    let place = Place::new();
    let root = place.sandbox.path("");
    place.git_in(&root, &["init", "-q", "--bare", "server.git"]).ok();
    place.git(&["remote", "add", "origin", "../server.git"]).ok();
    place.add("a.pt", &checkpoint());
    place.git(&["commit", "-q", "-m", "a pickle"]).ok();
    let first = place.git(&["rev-parse", "--short=10", "HEAD"]).ok();
    let first = first.trim();
    place.git(&["st-convert", "hook", "install"]).ok();
    let push = || place.git(&["push", "-q", "origin", "main"]);
    let tip = push();
    assert!(
        tip.stderr.starts_with("git-st-convert: push rejected, 1 pickle file (pickles can run code when loaded); bypass: `git push --no-verify`\n"),
        "{tip:#?}"
    );
    assert!(
        tip.stderr.contains(&format!("Git LFS), in commit {first}"))
            || tip.stderr.contains(&format!(", in commit {first}\n")),
        "{tip:#?}"
    );
    assert_eq!(
        hints(&tip.stderr, &format!("in commit {first}")),
        ["git st-convert --replace a.pt && git commit --amend"]
    );
    place.git(&["rm", "-q", "--cached", "a.pt"]).ok();
    place.git(&["commit", "-q", "-m", "gone"]).ok();
    let below = push();
    let hint = hints(&below.stderr, &format!("edit commit {first}"));
    assert!(
        hint[0].starts_with(&format!("git rebase -i --rebase-merges {first}^`, and in it `")),
        "{below:#?}"
    );
}

#[test]
fn the_status_lists_every_hook_and_says_what_is_guarded() {
    let place = Place::new();
    let status = || place.git(&["st-convert", "hook", "status"]);
    let said = status();
    for hook in ["pre-commit", "pre-merge-commit", "pre-push", "pre-receive"] {
        assert!(said.stdout.contains(&format!("{hook} not installed")), "{said:#?}");
    }
    assert!(
        said.stdout.contains("commits: not guarded, merges: not guarded, pushes: not guarded\n"),
        "{said:#?}"
    );
    let install = hints(&said.stderr, "install the missing hooks");
    assert_eq!(install, ["git st-convert hook install"]);
    place.git(&["st-convert", "hook", "install", "--pre-commit"]).ok();
    assert!(status().stdout.contains("commits: guarded, merges: guarded, pushes: not guarded\n"));
    place.git(&["st-convert", "hook", "install"]).ok();
    let said = status();
    assert!(said.stdout.contains("commits: guarded, merges: guarded, pushes: guarded\n"), "{said:#?}");
    assert!(said.stdout.contains("pre-receive not installed"), "{said:#?}");
    assert_eq!(hints(&said.stderr, ""), [""; 0]);
    // A hook that git does not run is not reported as installed.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let hook = place.at(".git/hooks/pre-push");
        std::fs::set_permissions(hook, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(status().stdout.contains("pushes: not guarded\n"));
    }
    let json = place.git(&["st-convert", "--json", "hook", "status"]).ok();
    let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(last["guarded"]["commits"], true, "{json}");
    assert_eq!(last["guarded"]["received"], false, "{json}");
}

#[test]
fn files_that_somebody_names_are_no_commit() {
    let place = Place::new();
    let lightning = fixture("lightning.ckpt");
    place.add("a.pt", &checkpoint());
    place.add("last.ckpt", &lightning);
    place.add("optimizer.pt", &checkpoint());
    place.add("call.pt", b"cos\nsystem\n(S'id'\ntR.");
    place.git(&["commit", "-q", "-m", "pickles"]).ok();
    place.write("new.pt", &checkpoint());
    let files = ["a.pt", "last.ckpt", "optimizer.pt", "call.pt", "new.pt"];
    let run =
        |files: &[&str]| place.git(&[&["st-convert", "hook", "run", "pre-commit-framework"], files].concat());
    let said = run(&files);
    assert_eq!(said.code, Some(1), "{said:#?}");
    let first = "git-st-convert: files rejected, 5 pickle files (pickles can run code when loaded)\n";
    assert!(said.stderr.starts_with(first), "{said:#?}");
    assert!(!said.stderr.contains("unstage") && !said.stderr.contains("bypass"), "{said:#?}");
    for file in files {
        let said = run(&[file]).stderr;
        let ways: Vec<_> = ["convert it", "keep it out of git", "remove it from git"]
            .iter()
            .flat_map(|kind| hints(&said, kind))
            .collect();
        assert!(!ways.is_empty(), "{file}: {said}");
        follow(&place, &ways);
        assert!(!committed(&place).contains(file), "{file}: {said}");
        assert!(file == "a.pt" || place.at(file).exists(), "{file} is lost: {said}");
    }
    assert!(committed(&place).contains("new.safetensors"), "what is not tracked is converted as well");
    place.add("b.pt", &checkpoint());
    let said = run(&["b.pt", "last.ckpt"]);
    assert!(said.stderr.starts_with("git-st-convert: commit rejected, "), "{said:#?}");
}

#[test]
fn outside_a_repository_a_hook_says_so() {
    let place = Place::new();
    let outside = place.sandbox.path("outside");
    std::fs::create_dir(&outside).unwrap();
    for hook in ["pre-commit", "pre-commit-framework"] {
        let run = place.git_in(&outside, &["st-convert", "hook", "run", hook]);
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.starts_with("error: not a git repository\n"), "{run:#?}");
    }
}
