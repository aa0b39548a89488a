//! Compares the objects that a hook reads with git's.

use std::fs;
use std::path::Path;

use git_st_convert::repo::{Found, ObjectId};

use super::open;
use crate::sandbox::Sandbox;

const LEN: usize = 64 << 10;

/// Returns the first bytes of a blob, if they can be read without the rest.
fn prefix(dir: &Path, id: &str) -> Option<Vec<u8>> {
    let id = ObjectId::from_hex(id.as_bytes()).unwrap();
    let mut database = open(dir).database(&[]).unwrap();
    assert!(matches!(database.find(id, 1), Ok(Found::Large(_))));
    database.prefix(id, LEN)
}

#[test]
fn the_first_bytes_come_from_wherever_git_has_them() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let content: Vec<u8> = (0..300_000_u32).flat_map(|at| at.wrapping_mul(at).to_le_bytes()).collect();
    fs::write(dir.join("a"), &content).unwrap();
    let loose = sandbox.git(&dir, &["hash-object", "-w", "a"]);
    let start = Some(content[..LEN].to_vec());
    assert_eq!(prefix(&dir, loose.trim()), start);

    sandbox.git(&dir, &["add", "a"]);
    fs::write(dir.join("b"), [&content[..], b"more"].concat()).unwrap();
    sandbox.git(&dir, &["add", "b"]);
    sandbox.git(&dir, &["commit", "-q", "-m", "two"]);
    sandbox.git(&dir, &["repack", "-q", "-a", "-d"]);
    let blobs = ["HEAD:a", "HEAD:b"].map(|name| sandbox.git(&dir, &["rev-parse", name]));
    let found = blobs.each_ref().map(|blob| prefix(&dir, blob.trim()));
    // git stores one of the two as a delta of the other.
    assert!(found == [start.clone(), None] || found == [None, start.clone()]);

    sandbox.git(&sandbox.path(""), &["clone", "-q", "--shared", "--no-checkout", "model", "borrower"]);
    let borrowed = blobs.each_ref().map(|blob| prefix(&sandbox.path("borrower"), blob.trim()));
    assert_eq!(borrowed, found);

    // A shorter blob, another object or a missing one is left to the caller.
    fs::write(dir.join("c"), &content[..LEN - 1]).unwrap();
    let short = sandbox.git(&dir, &["hash-object", "-w", "c"]);
    assert_eq!(prefix(&dir, short.trim()), None);
    let database = open(&dir).database(&[]).unwrap();
    let commit = sandbox.git(&dir, &["rev-parse", "HEAD"]);
    assert_eq!(database.prefix(ObjectId::from_hex(commit.trim().as_bytes()).unwrap(), 4), None);
    assert_eq!(database.prefix(ObjectId::from_hex(&[b'1'; 40]).unwrap(), 4), None);
}
