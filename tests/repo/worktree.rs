//! Tests the comparison of a file with the index: the answer is whether `git add` would change the entry, or an error.

use std::fs;
use std::path::PathBuf;

use bstr::ByteSlice as _;
use git_st_convert::git::worktree::is_modified;
use git_st_convert::git::{Error, Git};

use crate::sandbox::Sandbox;

/// A repository in which the filter `own` of the user cleans `*.bin`.
struct Filtered {
    sandbox: Sandbox,
    dir: PathBuf,
}

impl Filtered {
    fn new(attributes: &str, clean: &str) -> Self {
        let sandbox = Sandbox::new();
        let dir = sandbox.repo("model");
        fs::write(dir.join(".gitattributes"), format!("{attributes}\n")).unwrap();
        fs::write(dir.join("x.bin"), "A\n").unwrap();
        let filtered = Self { sandbox, dir };
        filtered.clean(clean);
        filtered.git(&["add", "."]);
        filtered.git(&["commit", "-qm", "a checkpoint"]);
        filtered
    }

    fn git(&self, args: &[&str]) -> String {
        self.sandbox.git(&self.dir, args)
    }

    fn clean(&self, command: &str) {
        self.git(&["config", "filter.own.clean", command]);
    }

    /// Writes the file with a later time, so that its stat data differs from the index.
    fn write(&self, text: &str) {
        fs::write(self.dir.join("x.bin"), text).unwrap();
        let file = fs::File::options().write(true).open(self.dir.join("x.bin")).unwrap();
        file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(60)).unwrap();
    }

    fn is_modified(&self) -> Result<bool, Error> {
        is_modified(&Git::at(&self.dir).unwrap(), b"x.bin".as_bstr())
    }

    /// Returns `true` if `git add` changes the entry. `git status` also lists a file of another length.
    fn is_added(&self) -> bool {
        self.git(&["add", "x.bin"]);
        !self.git(&["diff", "--cached", "--name-only"]).is_empty()
    }
}

#[test]
fn what_a_filter_or_the_line_ends_make_of_a_file_is_no_change() {
    let cases = [
        ("*.bin filter=own", "A\n", false),
        ("*.bin filter=own", "a\n", false),
        ("*.bin filter=own", "b\n", true),
        ("*.bin text eol=crlf", "A\r\n", false),
        ("*.bin text", "A\r\n", false),
        ("*.bin text", "B\r\n", true),
        ("*.bin -text", "A\r\n", true),
    ];
    for (attributes, text, expected) in cases {
        let filtered = Filtered::new(attributes, "tr a-z A-Z");
        filtered.write(text);
        let before = filtered.git(&["ls-files", "--stage"]);
        assert_eq!(filtered.is_modified().unwrap(), expected, "{attributes} {text:?}");
        assert_eq!(filtered.git(&["ls-files", "--stage"]), before);
        assert_eq!(filtered.is_added(), expected, "{attributes} {text:?}");
    }
}

#[test]
fn a_filter_that_fails_is_an_error_only_if_it_is_required() {
    let filtered = Filtered::new("*.bin filter=own", "tr a-z A-Z");
    filtered.clean("false");
    filtered.write("a\n");
    assert!(filtered.is_modified().unwrap() && filtered.is_added());
    filtered.git(&["config", "filter.own.required", "true"]);
    let error = filtered.is_modified().unwrap_err();
    assert!(matches!(error, Error::Failed { status: Some(128), .. }), "{error:?}");
}

#[test]
fn a_git_that_is_killed_gives_no_answer() {
    let filtered = Filtered::new("*.bin filter=own", "tr a-z A-Z");
    filtered.clean("kill -9 $PPID; sleep 1");
    filtered.write("A\n");
    let error = filtered.is_modified().unwrap_err();
    assert!(matches!(error, Error::Failed { status: None, .. }), "{error:?}");
}

#[test]
fn no_filter_of_lfs_runs() {
    let filtered = Filtered::new("*.bin filter=lfs -text", "cat");
    let before = filtered.sandbox.filter_runs().len();
    filtered.write("A\n");
    assert!(filtered.is_modified().unwrap(), "the index has a pointer");
    assert_eq!(filtered.sandbox.filter_runs().len(), before);
}
