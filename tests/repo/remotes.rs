//! Compares the remote for uploads with the one that `git push` takes.

use std::fmt::Write as _;
use std::fs;

use git_st_convert::repo::Repo;

use crate::sandbox::Sandbox;

/// Each kind of name, in each setting that counts.
#[test]
fn the_remote_for_uploads_is_that_of_git_push() {
    let sandbox = Sandbox::new();
    let home = sandbox.path("");
    let dir = sandbox.path("repo");
    sandbox.git(&home, &["init", "-q", "-b", "main", "repo"]);
    sandbox.git(&dir, &["commit", "-q", "--allow-empty", "-m", "one"]);
    let config = dir.join(".git/config");
    let before = fs::read_to_string(&config).unwrap() + "[push]\n\tdefault = current\n";
    let url = |name: &str| format!("file://{}", sandbox.path(format!("{name}.git")).display());
    for name in ["origin", "fork", "third"] {
        sandbox.git(&home, &["init", "-q", "--bare", &format!("{name}.git")]);
    }
    let third = url("third");
    let names =
        [None, Some("origin"), Some("fork"), Some(third.as_str()), Some("../third.git"), Some("gone")];
    let keys = [("branch \"main\"", "pushRemote"), ("remote", "pushDefault"), ("branch \"main\"", "remote")];
    for remotes in [&["origin"][..], &["fork"], &["origin", "fork"]] {
        for number in 0..names.len().pow(3) {
            let chosen = [number / 36, number / 6 % 6, number % 6].map(|index| names[index]);
            let mut text = before.clone();
            for name in remotes {
                write!(text, "[remote \"{name}\"]\n\turl = {}\n", url(name)).unwrap();
            }
            for ((section, key), name) in keys.iter().zip(chosen) {
                let _unset = name.map(|name| write!(text, "[{section}]\n\t{key} = {name}\n").unwrap());
            }
            fs::write(&config, &text).unwrap();
            let ours = Repo::discover(&dir).unwrap().unwrap().push_remote().unwrap();
            let git = sandbox.try_git(&dir, &["push", "--dry-run", "--no-verify", "--porcelain"]);
            let led = git.stdout.lines().find_map(|line| line.strip_prefix("To "));
            let ours = if remotes.contains(&ours.as_str()) { url(&ours) } else { ours };
            match led {
                Some(to) => assert_eq!(ours, to, "{text}"),
                None => assert!(
                    git.stderr.contains(&format!("'{ours}' does not appear to be a git repository")),
                    "{text}{git:#?}"
                ),
            }
        }
    }
}
