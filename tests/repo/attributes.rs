//! Compares attributes with git: `filter_of`, and the plan after it is carried out.

use std::fs;
use std::path::Path;

use bstr::{BStr, BString, ByteSlice as _};
use git_st_convert::repo::{AttributesChange, Error, Filter, Repo};

use super::{apply_attributes, open};
use crate::sandbox::Sandbox;

const LINE: &str = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n";

/// Returns the result of `git check-attr filter`, as a value of the library.
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

/// Creates a repository with these files, of which the attributes files are staged.
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

/// Carries out the plan for one path. Returns the contents of the changed files.
#[track_caller]
fn planned(files: &[(&str, &str)], path: &str) -> Vec<(String, String)> {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, files);
    let changes = repo.plan_attributes(&[path.into()]).unwrap();
    repo.stage(&apply_attributes(&repo, &[path.into()])).unwrap();
    assert_eq!(checked(&sandbox, repo.work_dir(), path.into()), Filter::Lfs);
    assert_eq!(repo.plan_attributes(&[path.into()]).unwrap(), []);
    // The working tree has the content of the index.
    for change in &changes {
        assert!(change.is_clean && change.content == change.blob, "{change:?}");
    }
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
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

/// Returns the change of the only attributes file that changes.
#[track_caller]
fn only_change(repo: &Repo, path: &str) -> AttributesChange {
    let mut changes = repo.plan_attributes(&[path.into()]).unwrap();
    assert_eq!(changes.len(), 1, "{changes:?}");
    changes.remove(0)
}

#[track_caller]
fn assert_text(content: Option<&Vec<u8>>, expected: &str) {
    assert_eq!(content.map(|content| content.as_bstr()), Some(expected.into()));
}

#[test]
fn a_line_that_is_not_staged_is_staged_and_nothing_else_of_its_file() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", "*.bin -text\n")]);
    let file = repo.work_dir().join(".gitattributes");
    let sub = "sub/model.safetensors";
    fs::create_dir(repo.work_dir().join("sub")).unwrap();
    fs::write(repo.work_dir().join("sub/.gitattributes"), "*.md text\n").unwrap();
    // The entry is added as the user wrote it.
    for line in [LINE, "*.safetensors   filter=lfs -text\n", "/sub/*.safetensors filter=lfs\n"] {
        fs::write(&file, format!("*.bin -text\n{line}")).unwrap();
        let change = only_change(&repo, sub);
        assert_eq!((change.path.as_bstr(), change.content.as_ref()), (".gitattributes".into(), None));
        assert_text(change.blob.as_ref(), &format!("*.bin -text\n{line}"));
        assert!(change.is_clean);
        // The file has other edits around the entry.
        fs::write(&file, format!("*.md text\n{line}*.bin text\n")).unwrap();
        let change = only_change(&repo, sub);
        assert_eq!(change.content, None);
        assert_text(change.blob.as_ref(), &format!("*.bin -text\n{line}"));
        assert!(!change.is_clean);
    }
    // An entry that depends on another line of the working tree is not added.
    fs::write(&file, "[attr]big filter=lfs -text\n*.safetensors big\n").unwrap();
    assert_text(only_change(&repo, sub).blob.as_ref(), &format!("*.bin -text\n{LINE}"));
    repo.stage(&apply_attributes(&repo, &[sub.into()])).unwrap();
    assert_eq!(repo.plan_attributes(&[sub.into()]).unwrap(), []);
    assert_eq!(fs::read_to_string(&file).unwrap(), "[attr]big filter=lfs -text\n*.safetensors big\n");
    assert_eq!(sandbox.git(repo.work_dir(), &["diff", "--name-only"]), ".gitattributes\n");
}

#[test]
fn the_index_may_have_what_the_work_tree_lacks() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", LINE)]);
    fs::write(repo.work_dir().join(".gitattributes"), "*.md text\n").unwrap();
    let change = only_change(&repo, "model.safetensors");
    assert_text(change.content.as_ref(), &format!("*.md text\n{LINE}"));
    assert_eq!((change.blob, change.is_clean), (None, false));
    // The index has another filter, which an edit removes: the path gets its own entry.
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", "* filter=crypt\n")]);
    fs::write(repo.work_dir().join(".gitattributes"), LINE).unwrap();
    let change = only_change(&repo, "model.safetensors");
    assert_eq!(change.content, None);
    assert_text(change.blob.as_ref(), &format!("* filter=crypt\n{LINE}"));
}

#[test]
fn a_commit_gets_the_lines_that_it_lacks_and_no_other() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", "*.bin -text\n")]);
    let dir = repo.work_dir();
    sandbox.git(dir, &["commit", "-q", "-m", "attributes"]);
    let path = BString::from("sub/model.safetensors");
    let committed = || {
        let mut files = repo.plan_committed_attributes(std::slice::from_ref(&path)).unwrap();
        files
            .pop()
            .map(|file| (file.path.to_string(), String::from_utf8(file.blob).unwrap(), file.executable))
    };
    // The user staged another line, which the commit must not contain.
    fs::write(dir.join(".gitattributes"), "*.md text\n*.bin -text\n").unwrap();
    sandbox.git(dir, &["add", ".gitattributes"]);
    repo.stage(&apply_attributes(&repo, std::slice::from_ref(&path))).unwrap();
    let top = || ".gitattributes".to_owned();
    assert_eq!(committed(), Some((top(), format!("*.bin -text\n{LINE}"), false)));
    sandbox.git(dir, &["commit", "-q", "-m", "all"]);
    assert_eq!(committed(), None, "the commit has its line already");
    // An entry is staged in the file of a subdirectory.
    fs::write(dir.join(".gitattributes"), "*.bin -text\n").unwrap();
    sandbox.git(dir, &["commit", "-q", "-m", "without", ".gitattributes"]);
    fs::create_dir(dir.join("sub")).unwrap();
    fs::write(dir.join("sub/.gitattributes"), "*.txt text\n*.safetensors filter=lfs\n").unwrap();
    sandbox.git(dir, &["add", "sub"]);
    let line = "*.safetensors filter=lfs\n".to_owned();
    assert_eq!(committed(), Some(("sub/.gitattributes".to_owned(), line, false)));
}

#[cfg(unix)]
#[test]
fn an_executable_attributes_file_stays_executable() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", "*.bin -text\n")]);
    let dir = repo.work_dir();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir.join(".gitattributes"), mode).unwrap();
    sandbox.git(dir, &["add", "."]);
    sandbox.git(dir, &["commit", "-q", "-m", "executable"]);
    let path = BString::from("model.safetensors");
    repo.stage(&apply_attributes(&repo, std::slice::from_ref(&path))).unwrap();
    assert!(sandbox.git(dir, &["ls-files", "-s"]).starts_with("100755 "));
    assert!(repo.plan_committed_attributes(&[path]).unwrap()[0].executable);
    assert_eq!(sandbox.git(dir, &["status", "--porcelain"]), "M  .gitattributes\n");
}

#[test]
fn a_file_that_is_only_staged_is_no_reason_against_the_broad_line_in_a_commit() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", LINE), ("other.safetensors", "pointer")]);
    let path = BString::from("model.safetensors");
    let committed = || {
        let files = repo.plan_committed_attributes(std::slice::from_ref(&path)).unwrap();
        String::from_utf8(files[0].blob.clone()).unwrap()
    };
    // The raw content was added without a filter.
    sandbox.git(repo.work_dir(), &["-c", "filter.lfs.clean=cat", "add", "other.safetensors"]);
    assert_eq!(committed(), LINE);
    // A committed file would become another kind of file.
    sandbox.git(repo.work_dir(), &["commit", "-q", "-m", "other", "other.safetensors"]);
    assert_eq!(committed(), "/model.safetensors filter=lfs diff=lfs merge=lfs -text\n");
}

#[test]
fn a_line_for_the_path_alone_where_the_broad_one_would_reach_too_far() {
    let attributes = "filter=lfs diff=lfs merge=lfs -text\n";
    let unset = "*.safetensors -filter\n";
    let exact = format!("{unset}/model.safetensors {attributes}");
    assert_eq!(planned(&[(".gitattributes", unset)], "model.safetensors"), root(exact));
    assert_eq!(planned(&[], "weights file.st"), root(format!("/weights[[:space:]]file.st {attributes}")));

    // A tracked file outside of Git LFS must not become an LFS file.
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[("tiny.safetensors", "tiny")]);
    sandbox.git(repo.work_dir(), &["add", "tiny.safetensors"]);
    let changes =
        repo.plan_attributes(&["model.safetensors".into(), "sub/model.safetensors".into()]).unwrap();
    let expected = format!("/model.safetensors {attributes}/sub/model.safetensors {attributes}");
    assert_text(changes[0].content.as_ref(), &expected);
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
    // Patterns match no other name.
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
fn line_ends_that_nobody_staged_stay_unstaged() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", "*.bin -text\n")]);
    sandbox.git(repo.work_dir(), &["commit", "-q", "-m", "attributes"]);
    let crlf = format!("*.bin -text\r\n{}", LINE.replace('\n', "\r\n"));
    fs::write(repo.work_dir().join(".gitattributes"), &crlf).unwrap();
    let change = only_change(&repo, "x.safetensors");
    assert!(!change.is_clean && !change.has_other_changes);
    repo.stage(&apply_attributes(&repo, &["x.safetensors".into()])).unwrap();
    assert_eq!(sandbox.git(repo.work_dir(), &["status", "--porcelain"]), "MM .gitattributes\n");
}

#[test]
fn the_index_keeps_its_line_ends_and_unstaged_edits_are_told() {
    let sandbox = Sandbox::new();
    let repo = repo_with(&sandbox, &[(".gitattributes", "* text=auto\n*.bin -text\n")]);
    sandbox.git(repo.work_dir(), &["add", "."]);
    fs::write(repo.work_dir().join(".gitattributes"), "* text=auto\r\n*.bin -text\r\n").unwrap();
    let change = only_change(&repo, "x.safetensors");
    let (content, blob) = (change.content.unwrap(), change.blob.unwrap());
    assert!(content.ends_with(b"-text\r\n") && !blob.contains(&b'\r'));
    assert!(!change.has_other_changes);
    // git sees no difference in the content, and need not compare it again later.
    sandbox.git(repo.work_dir(), &["add", ".gitattributes"]);
    assert!(only_change(&repo, "x.safetensors").is_clean);
    fs::write(repo.work_dir().join(".gitattributes"), "* text=auto\n").unwrap();
    let change = only_change(&repo, "x.safetensors");
    assert!(!change.is_clean && change.has_other_changes);
    assert_text(change.content.as_ref(), &format!("* text=auto\n{LINE}"));
    assert_text(change.blob.as_ref(), &format!("* text=auto\n*.bin -text\n{LINE}"));
}
