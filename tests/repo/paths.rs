//! Tests the discovery of repositories, paths of the command line, and blobs.

use std::ffi::OsStr;
use std::fs;

use git_st_convert::repo::{Error, Repo};

use super::{convert, open};
use crate::sandbox::Sandbox;

#[test]
fn what_is_no_repository_of_ours() {
    let sandbox = Sandbox::new();
    sandbox.git(&sandbox.path(""), &["init", "-q", "--bare", "bare"]);
    assert!(matches!(Repo::discover(&sandbox.path("bare")), Err(Error::Bare { .. })));
    let other = sandbox.repo("other");
    sandbox.git(&other, &["config", "core.repositoryFormatVersion", "1"]);
    sandbox.git(&other, &["config", "extensions.compatObjectFormat", "sha256"]);
    let err = Repo::discover(&other).err().unwrap();
    let is_named = matches!(&err, Error::UnsupportedFormat { key, .. } if key.eq_ignore_ascii_case("extensions.compatObjectFormat"));
    assert!(is_named, "{err:?}");
}

#[test]
fn a_path_means_what_git_takes_it_for() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    fs::create_dir_all(dir.join("sub/deep")).unwrap();
    let repo = open(&dir.join("sub"));
    let path = |cwd: &str, arg: &OsStr| repo.path_of(&dir.join(cwd), arg).map(|path| path.to_string());
    for (cwd, arg, expected) in [
        ("", "a", "a"),
        ("sub", "a", "sub/a"),
        ("sub", "../a", "a"),
        ("sub/deep", "./../b/../a", "sub/a"),
        ("sub", "..", ""),
        ("sub", "a b\"!", "sub/a b\"!"),
    ] {
        assert_eq!(path(cwd, arg.as_ref()).unwrap(), expected, "{cwd} {arg}");
    }
    assert_eq!(path("sub", dir.join("x/y").as_os_str()).unwrap(), "x/y");
    for arg in ["../..", "../../outside", "/etc/passwd"] {
        assert!(matches!(path("sub", arg.as_ref()), Err(Error::OutsideWorkTree { .. })), "{arg}");
    }
    #[cfg(unix)]
    {
        let link = sandbox.path("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        assert_eq!(path("sub", link.join("a").as_os_str()).unwrap(), "a");
        let through = open(&link);
        assert_eq!(through.path_of(&dir, OsStr::new("sub/a")).unwrap(), "sub/a");
    }
}

#[test]
fn blobs_are_bounded_and_a_missing_one_is_told_apart() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let repo = open(&dir);
    let id = repo.blob_at("HEAD", "README.md".into()).unwrap().unwrap();
    assert_eq!(repo.blob(id, 100).unwrap(), b"# a model\n");
    assert_eq!(repo.blob_size(id).unwrap(), Some(10));
    assert!(matches!(repo.blob(id, 9), Err(Error::BlobTooLarge { size: 10, limit: 9, .. })));
    assert_eq!(repo.blob_at("HEAD", "none/there".into()).unwrap(), None);
    assert!(repo.blob_at("no-such-revision", "README.md".into()).is_err());

    let url = format!("file://{}", dir.display());
    sandbox.git(&dir, &["config", "uploadpack.allowFilter", "true"]);
    sandbox.git(&sandbox.path(""), &["clone", "-q", "--filter=blob:none", "--no-checkout", &url, "partial"]);
    let partial = open(&sandbox.path("partial"));
    let id = partial.blob_at("HEAD", "README.md".into()).unwrap().unwrap();
    assert_eq!(partial.blob_size(id).unwrap(), None);
    assert!(matches!(partial.blob(id, 100), Err(Error::MissingBlob { .. })));
}

#[test]
fn what_the_configuration_says_about_lfs() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    assert!(!open(&dir).extensions_configured());
    sandbox.git(&dir, &["config", "lfs.extension.foo.clean", "foo"]);
    assert!(open(&dir).extensions_configured());
    assert_eq!(open(&dir).config_bool("filter.lfs.required"), Some(true));
}

#[test]
fn the_store_of_an_alternate_is_read() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let pointer = convert(&open(&dir), "model.safetensors", b"converted");
    sandbox.git(&sandbox.path(""), &["clone", "-q", "--shared", "--no-checkout", "model", "borrower"]);
    let found = open(&sandbox.path("borrower")).store().find(pointer.oid, pointer.size).unwrap();
    assert!(found.unwrap().starts_with(dir.canonicalize().unwrap()));
}
