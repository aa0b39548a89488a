//! Compares pointers with git-lfs: it accepts the same texts as [`Pointer::parse`], and writes the same text.

use std::fs;

use git_st_convert::hash::Oid;
use git_st_convert::lfs::{Pointer, pointer};

use crate::sandbox::Sandbox;

/// Changes of the canonical pointer to `abc`.
const CHANGES: [(&str, &str); 24] = [
    ("", ""),
    ("size 3\n", "size 3"),
    ("size 3\n", "size 3\n \t\n"),
    ("size 3\n", "size 3\u{b}"),
    ("size 3\n", "size 3\u{a0}"),
    ("size 3\n", "size 3 \nx"),
    ("size 3", "size +3"),
    ("size 3", "size 03"),
    ("size 3", "size -0"),
    ("size 3", "size -3"),
    ("size 3", "size 3x"),
    ("size 3", "size 0x3"),
    ("size 3", "size 9223372036854775807"),
    ("size 3", "size 9223372036854775808"),
    ("size 3\n", ""),
    ("size 3\n", "size 3\nmore 1\n"),
    ("size 3\n", "size 3\nsize 3\n"),
    ("oid sha", "oid  sha"),
    ("oid sha", "foo bar\noid sha"),
    ("oid sha", " \noid sha"),
    ("oid sha", "\n\noid sha"),
    ("sha256", "sha1"),
    ("15ad", "15AD"),
    ("git-lfs.github.com", "example.com"),
];

#[test]
fn git_lfs_takes_the_same_texts() {
    let sandbox = Sandbox::new();
    if !sandbox.git_lfs_available() {
        return;
    }
    let canonical = Pointer { oid: Oid::of(b"abc"), size: 3 }.to_string();
    let file = sandbox.path("pointer");
    let mut texts: Vec<_> = CHANGES.iter().map(|(from, to)| canonical.replacen(from, to, 1)).collect();
    texts.push(canonical.replace('\n', "\r\n"));
    texts.push(canonical.replace("https://git-lfs.github.com/spec/v1", "https://hawser.github.com/spec/v1"));
    texts.push(canonical.replace("https://git-lfs.github.com/spec/v1", "http://git-media.io/v/2"));
    for text in texts {
        fs::write(&file, &text).unwrap();
        let answer = sandbox.try_git(&sandbox.path(""), &["lfs", "pointer", "--check", "--file", "pointer"]);
        assert_eq!(Pointer::parse(text.as_bytes()).is_ok(), answer.code == Some(0), "{text:?}");
    }
}

#[test]
fn git_lfs_writes_the_same_text() {
    let sandbox = Sandbox::new();
    if !sandbox.git_lfs_available() {
        return;
    }
    for content in ["abc", "", "a longer text\n"] {
        fs::write(sandbox.path("content"), content).unwrap();
        let written = sandbox.git(&sandbox.path(""), &["lfs", "pointer", "--file", "content"]);
        let size = content.len() as u64;
        assert_eq!(Pointer { oid: Oid::of(content.as_bytes()), size }.to_string(), written);
        assert!(written.len() < pointer::MAX_LEN);
    }
}
