//! Compares the origins of files with `git log`, in random histories with branches, merges, renames and changes of the
//! mode, and in clones without the whole history.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bstr::{BString, ByteSlice as _};
use git_st_convert::repo::{FileOrigin, ObjectId, Repo, WantedFile, origins};

use crate::convert::torch::next;
use crate::sandbox::Sandbox;

fn id(hex: &str) -> ObjectId {
    ObjectId::from_hex(hex.as_bytes()).unwrap()
}

/// Imports commits from a stream for `git fast-import`.
fn import(sandbox: &Sandbox, stream: &str) -> PathBuf {
    let dir = sandbox.path("history");
    sandbox.git(&sandbox.path(""), &["init", "-q", "history"]);
    let mut command = sandbox.command("git".as_ref(), &dir, &["fast-import".as_ref(), "--quiet".as_ref()]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{stream}");
    dir
}

/// Returns a history of about forty commits on two branches.
fn history(mut chance: u64) -> String {
    let mut draw = |below: u64| {
        chance = next(chance);
        (chance >> 33) % below
    };
    let name = |at: u64| {
        let dir = ["", "a/", "a/b/", "a.b/", "c/"][usize::try_from(at % 5).unwrap()];
        format!("{dir}f{}", at / 5)
    };
    let mut stream = String::new();
    let mut files: [BTreeMap<String, (u64, bool)>; 2] = [BTreeMap::new(), BTreeMap::new()];
    for mark in 1..=40 {
        let branch = usize::from(mark > 3 && draw(3) == 0);
        let is_merge = mark > 10 && draw(8) == 0;
        if mark == 4 {
            files[1] = files[0].clone();
        }
        let refname = ["refs/heads/main", "refs/heads/side"][branch];
        let time = 1_700_000_000 + if draw(4) == 0 { mark } else { mark * 10 };
        let committer = format!("committer A <a@example.com> {time} +0000");
        write!(stream, "commit {refname}\nmark :{mark}\n{committer}\ndata 1\nx\n").unwrap();
        if branch == 1 && !stream.contains("from :3\n") {
            stream += "from :3\n";
        }
        if is_merge && stream.contains("from :3\n") {
            writeln!(stream, "merge {}", ["refs/heads/side", "refs/heads/main"][branch]).unwrap();
            let other: Vec<_> = files[1 - branch].clone().into_iter().collect();
            for (path, (content, mode)) in other.into_iter().filter(|_| draw(2) == 0) {
                stream += &change(&path, content, mode);
                files[branch].insert(path, (content, mode));
            }
        }
        for _ in 0..=draw(4) {
            let (path, content, mode) = (name(draw(20)), draw(12), draw(5) == 0);
            let known: Vec<_> = files[branch].keys().cloned().collect();
            match (draw(4), known.get(usize::try_from(draw(20)).unwrap())) {
                (0, Some(old)) if *old != path => {
                    let kept = files[branch].remove(old).unwrap();
                    write!(stream, "D {old}\n{}", change(&path, kept.0, kept.1)).unwrap();
                    files[branch].insert(path, kept);
                }
                (1, Some(old)) => {
                    writeln!(stream, "D {old}").unwrap();
                    files[branch].remove(old);
                }
                _ => {
                    stream += &change(&path, content, mode);
                    files[branch].insert(path, (content, mode));
                }
            }
        }
    }
    stream
}

fn change(path: &str, content: u64, is_executable: bool) -> String {
    let (mode, text) = (if is_executable { "100755" } else { "100644" }, format!("content {content}\n"));
    format!("M {mode} inline {path}\ndata {}\n{text}\n", text.len())
}

/// Returns the result of `git log`: the latest commit, except merges, that gave a name this content; exact renames are
/// followed.
fn by_log(sandbox: &Sandbox, dir: &Path, wanted: &WantedFile) -> Option<(ObjectId, BString, BString)> {
    let log = [
        "log",
        "--raw",
        "-M100%",
        "-l0",
        "--no-abbrev",
        "--root",
        "--no-merges",
        "--format=commit %H",
        "HEAD",
    ];
    let log = sandbox.git(dir, &log);
    let (mut path, mut beside) = (wanted.path.to_string(), wanted.beside.to_string());
    for commit in log.split("commit ").skip(1) {
        let mut lines = commit.lines();
        let commit = lines.next().unwrap();
        let mut renamed = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (facts, names) = line.split_once('\t').unwrap();
            let facts: Vec<_> = facts.split(' ').collect();
            if let Some((old, new)) = names.split_once('\t') {
                renamed.push((old.to_owned(), new.to_owned()));
            } else if names == path && id(facts[3]) == wanted.blob && facts[2] != facts[3] {
                return Some((id(commit), path.into(), beside.into()));
            }
        }
        let old = |name: &String| renamed.iter().find(|(_, new)| new == name).map(|(old, _)| old.clone());
        (path, beside) = (old(&path).unwrap_or(path), old(&beside).unwrap_or(beside));
    }
    None
}

#[test]
fn as_git_log_says_it() {
    let (mut said, mut moved, mut silent) = (0, 0, 0);
    for seed in 0..24 {
        let sandbox = Sandbox::new();
        let dir = import(&sandbox, &history(0x5eed + seed));
        sandbox.git(&dir, &["config", "core.bare", "false"]);
        if seed % 2 == 0 {
            sandbox.git(&dir, &["repack", "-q", "-a", "-d"]);
        }
        sandbox.git(&dir, &["reset", "-q", "--hard"]);
        let repo = Repo::discover(&dir).unwrap().unwrap();
        let head = repo.head_commit().unwrap().unwrap();
        let files = repo.files_at("HEAD").unwrap();
        let wanted: Vec<_> = files
            .iter()
            .enumerate()
            .map(|(at, (path, blob))| {
                let beside = files[(at + 1) % files.len()].0.clone();
                WantedFile { path: path.clone(), blob: *blob, beside }
            })
            .collect();
        assert!(!wanted.is_empty());
        let found = origins(&repo, head, &wanted, &|| false);
        for (wanted, found) in wanted.iter().zip(found) {
            let expected = by_log(&sandbox, &dir, wanted);
            let got = found.clone().map(|FileOrigin { commit, path, beside, .. }| (commit, path, beside));
            assert_eq!(got, expected, "history {seed}: {wanted:?}");
            let Some(FileOrigin { commit, beside, beside_blob, .. }) = found else {
                silent += 1;
                continue;
            };
            let blob = repo.blob_at(&commit.to_string(), beside.as_bstr()).unwrap();
            assert_eq!(beside_blob, blob, "history {seed}: {wanted:?}");
            said += 1;
            moved += usize::from(expected.is_some_and(|(_, path, _)| path != wanted.path));
        }
    }
    assert!(said > 100 && moved > 10 && silent > 0, "{said} said, {moved} moved, {silent} not known");
}

#[test]
fn what_is_not_here_says_nothing() {
    let sandbox = Sandbox::new();
    let commit = |mark: u32, text: &str| {
        let time = 1_700_000_000 + mark;
        format!(
            "commit refs/heads/main\nmark :{mark}\ncommitter A <a@example.com> {time} +0000\ndata 1\nx\n{text}"
        )
    };
    let stream = commit(1, &(change("a/model", 1, false) + &change("a/bin", 2, false)))
        + &commit(2, &change("other", 3, false))
        + &commit(3, &change("other", 4, false));
    let dir = import(&sandbox, &stream);
    let wanted = |repo: &Repo, path: &str| {
        let blob = repo.blob_at("HEAD", path.into()).unwrap().unwrap();
        WantedFile { path: path.into(), blob, beside: "a/bin".into() }
    };
    let asked = |dir: &Path, stop: bool| {
        let repo = Repo::discover(dir).unwrap().unwrap();
        let head = repo.head_commit().unwrap().unwrap();
        let found = origins(&repo, head, &[wanted(&repo, "a/model"), wanted(&repo, "other")], &|| stop);
        found.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(asked(&dir, false), [true, true]);
    assert_eq!(asked(&dir, true), [false, false]);
    let url = format!("file://{}", dir.display());
    // The last commit is at the boundary of the clone, so it proves nothing; with two commits, it does.
    for (depth, expected) in [("1", [false, false]), ("2", [false, true])] {
        sandbox.git(&sandbox.path(""), &["clone", "-q", "--depth", depth, &url, depth]);
        assert_eq!(asked(&sandbox.path(depth), false), expected, "--depth {depth}");
    }
    // Such a clone has no trees of older commits, and none is fetched.
    sandbox.git(&dir, &["config", "uploadpack.allowFilter", "true"]);
    sandbox.git(&sandbox.path(""), &["clone", "-q", "--filter=tree:0", &url, "treeless"]);
    let treeless = sandbox.path("treeless");
    let packs = || std::fs::read_dir(treeless.join(".git/objects/pack")).unwrap().count();
    let before = packs();
    assert_eq!(asked(&treeless, false), [false, false]);
    assert_eq!(packs(), before);
}
