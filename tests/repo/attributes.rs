//! Attributes: git agrees with `filter_of`, and with the plan once it is carried out.

use std::fs;
use std::path::Path;

use bstr::{BStr, BString, ByteSlice as _};
use git_st_convert::repo::{Error, Filter, Repo};

use super::{apply_attributes, open};
use crate::sandbox::Sandbox;

const LINE: &str = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n";

/// `git check-attr filter`, in the words of the library.
fn checked(sandbox: &Sandbox, dir: &Path, path: &BStr) -> Filter {
    let args = ["check-attr", "-z", "filter", "--"].map(Into::into);
    let path = path.to_path().unwrap().as_os_str().to_owned();
    let answer = sandbox.git(dir, &[&args as &[_], &[path]].concat());
    match answer.trim_end_matches('\0').rsplit('\0').next().unwrap() {
        "unspecified" => Filter::Unspecified,
        "unset" | "set" => Filter::Unset,
        "lfs" => Filter::Lfs,
        other => Filter::Other(other.into()),
    }
}

#[track_caller]
fn agree(sandbox: &Sandbox, repo: &Repo, paths: &[&str]) {
    for path in paths {
        let path = BStr::new(path);
        assert_eq!(repo.filter_of(path).unwrap(), checked(sandbox, repo.work_dir(), path), "{path}");
    }
}

/// A repository with these files, and those of attributes staged.
fn repo_with(sandbox: &Sandbox, files: &[(&str, &str)]) -> Repo {
    let dir = sandbox.repo("model");
    for (path, content) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        if path.ends_with(".gitattributes") {
            sandbox.git(&dir, &["add".as_ref(), path.as_os_str()]);
        }
    }
    open(&dir)
}

/// Carries out the plan for one path and gives the contents of the files that it changed.
#[track_caller]
fn planned(files: &[(&str, &str)], path: &str) -> Vec<(String, String)> {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, files);
    let changes = repo.plan_attributes(&[path.into()]).unwrap();
    repo.stage(&apply_attributes(&repo, &[path.into()])).unwrap();
    assert_eq!(checked(&sandbox, repo.work_dir(), path.into()), Filter::Lfs);
    assert_eq!(repo.plan_attributes(&[path.into()]).unwrap(), []);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    changes.into_iter().map(|change| (change.path.to_string(), text(change.content))).collect()
}

fn root(content: impl Into<String>) -> Vec<(String, String)> {
    vec![(".gitattributes".into(), content.into())]
}

#[test]
fn the_broad_line_where_nothing_speaks_against_it() {
    let path = "model.safetensors";
    assert_eq!(planned(&[], path), root(LINE));
    assert_eq!(planned(&[], "a/b/model.safetensors"), root(LINE));
    let bin = "*.bin filter=lfs -text";
    assert_eq!(planned(&[(".gitattributes", &format!("{bin}\n"))], path), root(format!("{bin}\n{LINE}")));
    assert_eq!(planned(&[(".gitattributes", bin)], path), root(format!("{bin}\n{LINE}")));
    let crlf = LINE.replace('\n', "\r\n");
    assert_eq!(planned(&[(".gitattributes", &format!("{bin}\r\n"))], path), root(format!("{bin}\r\n{crlf}")));
    let bom = format!("\u{feff}{bin}\n");
    assert_eq!(planned(&[(".gitattributes", &bom)], path), root(format!("{bom}{LINE}")));
}

#[test]
fn nothing_where_a_line_matches() {
    assert_eq!(planned(&[(".gitattributes", LINE)], "model.safetensors"), []);
    assert_eq!(planned(&[(".gitattributes", "model* filter=lfs")], "sub/model.safetensors"), []);
    assert_eq!(
        planned(&[(".gitattributes", "[attr]lfs filter=lfs\n*.safetensors lfs\n")], "model.safetensors"),
        []
    );
    assert_eq!(planned(&[("sub/.gitattributes", "*.safetensors filter=lfs\n")], "sub/x.safetensors"), []);
}

#[test]
fn a_line_that_is_not_staged_is_to_be_staged_as_it_is() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", "*.bin -text\n")]);
    let text = format!("*.bin -text\n{LINE}");
    fs::write(repo.work_dir().join(".gitattributes"), &text).unwrap();
    fs::create_dir(repo.work_dir().join("sub")).unwrap();
    fs::write(repo.work_dir().join("sub/.gitattributes"), "*.md text\n").unwrap();
    let changes = repo.plan_attributes(&["sub/model.safetensors".into()]).unwrap();
    let [change] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(
        (change.path.as_bstr(), change.blob.as_bstr()),
        (".gitattributes".into(), text.as_str().into())
    );
    assert!(!change.adds_line && change.had_unstaged_changes);
    apply_attributes(&repo, &["sub/model.safetensors".into()]);
    sandbox.git(repo.work_dir(), &["add", ".gitattributes"]);
    assert_eq!(repo.plan_attributes(&["sub/model.safetensors".into()]).unwrap(), []);
}

#[test]
fn a_line_for_the_path_alone_where_the_broad_one_would_reach_too_far() {
    let attributes = "filter=lfs diff=lfs merge=lfs -text\n";
    let unset = "*.safetensors -filter\n";
    let exact = format!("{unset}/model.safetensors {attributes}");
    assert_eq!(planned(&[(".gitattributes", unset)], "model.safetensors"), root(exact));
    assert_eq!(planned(&[], "weights file.st"), root(format!("/weights[[:space:]]file.st {attributes}")));

    // A tracked file that is no LFS file must not become one.
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[("tiny.safetensors", "tiny")]);
    sandbox.git(repo.work_dir(), &["add", "tiny.safetensors"]);
    let changes =
        repo.plan_attributes(&["model.safetensors".into(), "sub/model.safetensors".into()]).unwrap();
    let expected = format!("/model.safetensors {attributes}/sub/model.safetensors {attributes}");
    assert_eq!(changes[0].content.as_bstr(), expected);
}

#[test]
fn the_file_of_a_sub_directory_has_the_last_word() {
    let attributes = "filter=lfs diff=lfs merge=lfs -text\n";
    let unset = "*.safetensors -filter\n";
    let exact = format!("{unset}/model.safetensors {attributes}");
    let changed =
        planned(&[(".gitattributes", LINE), ("sub/.gitattributes", unset)], "sub/model.safetensors");
    assert_eq!(changed, [("sub/.gitattributes".into(), exact.clone())]);
    let changed =
        planned(&[("a/.gitattributes", "x y\n"), ("a/b/.gitattributes", unset)], "a/b/model.safetensors");
    assert_eq!(changed, [("a/b/.gitattributes".into(), exact)]);
}

#[test]
fn info_attributes_cannot_be_overridden() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[("sub/.gitattributes", LINE)]);
    fs::create_dir_all(repo.git_dir().join("info")).unwrap();
    fs::write(repo.git_dir().join("info/attributes"), "*.safetensors -filter\n").unwrap();
    agree(&sandbox, &repo, &["model.safetensors", "sub/model.safetensors", "README.md"]);
    let err = repo.plan_attributes(&["sub/model.safetensors".into()]).unwrap_err();
    let Error::AttributesOverridden { by, .. } = err else { panic!("{err}") };
    assert!(by.ends_with("info/attributes"), "{by:?}");
    fs::write(repo.git_dir().join("info/attributes"), LINE).unwrap();
    assert_eq!(repo.plan_attributes(&["model.safetensors".into()]).unwrap(), []);
}

#[test]
fn another_filter_is_refused() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", "* filter=git-crypt\n")]);
    let err = repo.plan_attributes(&["model.safetensors".into()]).unwrap_err();
    assert!(matches!(&err, Error::OtherFilter { filter, .. } if filter == "git-crypt"), "{err}");
}

#[cfg(unix)]
#[test]
fn a_linked_attributes_file_is_refused() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[("real", LINE)]);
    std::os::unix::fs::symlink("real", repo.work_dir().join(".gitattributes")).unwrap();
    agree(&sandbox, &repo, &["model.safetensors"]);
    let err = repo.plan_attributes(&["model.safetensors".into()]).unwrap_err();
    assert!(matches!(err, Error::AttributesSymlink { .. }), "{err}");
    assert_eq!(fs::read_to_string(repo.work_dir().join("real")).unwrap(), LINE);
}

#[cfg(unix)]
#[test]
fn odd_names() {
    let names: [&[u8]; 16] = [
        b"with space",
        b"tab\there",
        b"quo\"te",
        b"\"quoted\"",
        b"!bang",
        b"#hash",
        b"[attr]x",
        b"[x].bin",
        b"star*",
        b"ques?tion",
        b"back\\slash",
        b"\xff\xfe.bin",
        b"new\nline",
        b" leading",
        b"trailing ",
        b"dir with [x]/!\xe9 #",
    ];
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[]);
    let paths: Vec<BString> = names.iter().map(|name| BString::from(*name)).collect();
    apply_attributes(&repo, &paths);
    for path in &paths {
        assert_eq!(checked(&sandbox, repo.work_dir(), path.as_ref()), Filter::Lfs, "{path:?}");
        assert_eq!(repo.filter_of(path.as_ref()).unwrap(), Filter::Lfs, "{path:?}");
    }
    // Patterns reach no name that they do not mean.
    agree(&sandbox, &repo, &["x.bin", "starry", "questtion", "bang", "a", "sub/#hash", "sub/star*"]);
    assert_eq!(repo.filter_of("x.bin".into()).unwrap(), Filter::Unspecified);
    assert_eq!(repo.filter_of("sub/#hash".into()).unwrap(), Filter::Unspecified);
}

#[test]
fn git_agrees_about_every_source_of_attributes() {
    let sandbox = Sandbox::new();
    let files = [
        (
            ".gitattributes",
            "[attr]big filter=lfs -text\n*.bin big\n*.pt filter=lfs\n# c\n\"q x\" filter=q\n!n filter=n\n",
        ),
        ("a/.gitattributes", "*.bin -filter\n[attr]big filter=other\nb/*.pt !filter\n"),
        ("a/b/.gitattributes", "/x.bin filter=deep\nx.st filter\n"),
    ];
    let repo = repo_with(&sandbox, &files);
    let dir = repo.work_dir();
    fs::write(sandbox.path("global"), "*.st filter=global\n*.bin filter=global\n").unwrap();
    sandbox.git(dir, &["config", "core.attributesFile", sandbox.path("global").to_str().unwrap()]);
    fs::create_dir_all(dir.join(".git/info")).unwrap();
    fs::write(dir.join(".git/info/attributes"), "last.* filter=info\n").unwrap();
    let repo = open(dir);
    let paths = [
        "x.bin",
        "x.pt",
        "x.st",
        "a/x.bin",
        "a/x.pt",
        "a/b/x.bin",
        "a/b/y.bin",
        "a/b/x.pt",
        "a/b/x.st",
        "a/b/c/x.bin",
        "last.bin",
        "a/b/last.bin",
        "q x",
        "!n",
        "n",
        "README.md",
    ];
    agree(&sandbox, &repo, &paths);

    // An attributes file that is not checked out is read from the index.
    sandbox.git(dir, &["add", "."]);
    fs::remove_file(dir.join("a/.gitattributes")).unwrap();
    agree(&sandbox, &repo, &paths);
}

#[test]
fn the_index_keeps_its_line_ends_and_unstaged_edits_are_told() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", "* text=auto\n*.bin -text\n")]);
    sandbox.git(repo.work_dir(), &["add", "."]);
    fs::write(repo.work_dir().join(".gitattributes"), "* text=auto\r\n*.bin -text\r\n").unwrap();
    let change = repo.plan_attributes(&["x.safetensors".into()]).unwrap().remove(0);
    assert!(change.content.ends_with(b"-text\r\n") && !change.blob.contains(&b'\r'));
    assert!(!change.had_unstaged_changes);
    fs::write(repo.work_dir().join(".gitattributes"), "* text=auto\n").unwrap();
    assert!(repo.plan_attributes(&["x.safetensors".into()]).unwrap()[0].had_unstaged_changes);
}
