//! Tests pushes: the files of a clone, and the decision of a server.

use std::fs;

use git_st_convert::hash::Oid;

use super::{Place, checkpoint};

fn with_server() -> (Place, std::path::PathBuf) {
    let place = Place::new();
    let server = place.sandbox.path("server.git");
    place.git_in(&place.sandbox.path(""), &["init", "-q", "--bare", "server.git"]).ok();
    place.git(&["remote", "add", "origin", server.to_str().unwrap()]).ok();
    place.git(&["push", "-q", "origin", "main"]).ok();
    (place, server)
}

#[test]
fn every_reference_of_a_push_is_judged() {
    let (place, _server) = with_server();
    place.git(&["st-convert", "hook", "install", "--pre-push"]).ok();
    place.add("a.txt", b"fine\n");
    place.git(&["commit", "-q", "-m", "fine"]).ok();
    place.git(&["tag", "fine"]).ok();
    place.git(&["checkout", "-q", "-b", "bad"]).ok();
    place.add("weights.dat", &checkpoint());
    place.git(&["commit", "-q", "-m", "bad"]).ok();
    place.git(&["rm", "-q", "weights.dat"]).ok();
    place.git(&["commit", "-q", "-m", "taken back"]).ok();
    place.git(&["tag", "-a", "-m", "bad", "v1"]).ok();

    for args in [&["main", "bad"][..], &["bad:new"], &["v1"], &["--all"], &["bad:main"]] {
        let output = place.git(&[&["push", "-q", "origin"], args].concat());
        assert_eq!(output.code, Some(1), "{args:?} {output:#?}");
        assert!(output.stderr.contains("weights.dat: pickle checkpoint"), "{output:#?}");
        assert!(output.stderr.contains("bypass: `git push --no-verify`"), "{output:#?}");
    }
    place.git(&["push", "-q", "origin", "main", "fine"]).ok();
    place.git(&["push", "-q", "origin", ":fine"]).ok();
    // A tag may name a file or a directory that no commit contains.
    let whole = [&checkpoint()[..], b" "].concat();
    place.write("loose", &whole);
    let blob = place.git(&["hash-object", "-w", "loose"]).ok();
    place.git(&["tag", "file", blob.trim()]).ok();
    place.git(&["tag", "-a", "-m", "file", "noted", blob.trim()]).ok();
    for tag in ["file", "noted"] {
        let output = place.git(&["push", "-q", "origin", tag]);
        assert_eq!(output.code, Some(1), "{tag} {output:#?}");
        assert!(output.stderr.contains(&format!("{}: ", blob.trim())), "{output:#?}");
    }
    place.git(&["tag", "readme", "main:README.md"]).ok();
    place.git(&["push", "-q", "origin", "readme"]).ok();
    // Commits that the server already has are not checked again.
    place.git(&["push", "-q", "--no-verify", "origin", "bad"]).ok();
    place.add("b.txt", b"more\n");
    place.git(&["commit", "-q", "-m", "more"]).ok();
    place.git(&["push", "-q", "origin", "bad", "bad:other"]).ok();
    // A URL has no remote-tracking branches; git passes the server's commits to the hook.
    let url = place.git(&["remote", "get-url", "origin"]).ok();
    assert_eq!(place.git(&["push", "-q", url.trim(), "bad"]).code, Some(0));
}

#[test]
fn an_exception_counts_in_the_commit_that_is_pushed() {
    let (place, _server) = with_server();
    place.git(&["st-convert", "hook", "install", "--pre-push"]).ok();
    place.add("a.pt", &checkpoint());
    place.git(&["commit", "-q", "-m", "a"]).ok();
    assert_eq!(place.git(&["push", "-q", "origin", "main"]).code, Some(1));
    place.add(".st-convert-allow", format!("{} a.pt for the tests\n", Oid::of(&checkpoint())).as_bytes());
    assert_eq!(place.git(&["push", "-q", "origin", "main"]).code, Some(1), "it is staged only");
    place.git(&["commit", "-q", "-m", "kept"]).ok();
    place.git(&["push", "-q", "origin", "main"]).ok();
}

#[test]
fn a_server_refuses_what_is_in_quarantine() {
    let (place, server) = with_server();
    let said = place.git_in(&server, &["st-convert", "hook", "install"]).ok();
    assert!(said.starts_with("pre-receive installed"), "{said}");
    place.add("a.txt", b"fine\n");
    place.git(&["commit", "-q", "-m", "fine"]).ok();
    place.git(&["push", "-q", "origin", "main", "main:new"]).ok();
    let objects = || place.git_in(&server, &["count-objects"]).ok();
    let before = objects();
    place.add("weights.dat", &checkpoint());
    place.git(&["commit", "-q", "-m", "raw"]).ok();
    let output = place.git(&["push", "-q", "origin", "main"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("remote: error: weights.dat: pickle checkpoint"), "{output:#?}");
    assert_eq!(objects(), before);

    place.git(&["reset", "-q", "--hard", "HEAD~1"]).ok();
    place.add_pointer("pytorch_model.bin", &checkpoint(), true);
    place.git(&["commit", "-q", "-m", "pointer"]).ok();
    let output = place.git(&["push", "-q", "origin", "HEAD:refs/heads/other"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("pytorch_model.bin: pickle by name"), "{output:#?}");
    // With the object in the server's LFS storage, its content is checked, whatever its name is.
    place.git(&["mv", "pytorch_model.bin", "x.dat"]).ok();
    place.git(&["commit", "-q", "--amend", "-m", "pointer"]).ok();
    let name = Oid::of(&checkpoint()).to_string();
    let object = server.join(format!("lfs/objects/{}/{}/{name}", &name[..2], &name[2..4]));
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(object, checkpoint()).unwrap();
    assert_eq!(place.git(&["push", "-q", "origin", "HEAD:refs/heads/other"]).code, Some(1));
    place.git(&["push", "-q", "origin", ":new"]).ok();
}

#[test]
fn what_a_replacement_hides_is_judged() {
    let (place, server) = with_server();
    place.git_in(&server, &["st-convert", "hook", "install"]).ok();
    let head = || place.git(&["rev-parse", "HEAD"]).ok().trim().to_owned();
    place.add("a.txt", b"fine\n");
    place.git(&["commit", "-q", "-m", "fine"]).ok();
    let clean = head();
    place.git(&["reset", "-q", "--hard", "HEAD~1"]).ok();
    place.add("weights.dat", &checkpoint());
    place.git(&["commit", "-q", "-m", "bad"]).ok();
    let bad = head();
    place.git(&["push", "-q", "origin", &format!("{clean}:refs/replace/{bad}")]).ok();
    // A clone gets the pushed object, not its replacement on the server.
    let output = place.git(&["push", "-q", "origin", "main"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("weights.dat: pickle checkpoint"), "{output:#?}");
    let blob = |file: &str| place.git(&["rev-parse", file]).ok().trim().to_owned();
    place.git(&["replace", &blob(&format!("{bad}:weights.dat")), &blob(&format!("{clean}:a.txt"))]).ok();
    let scanned = place.git(&["st-convert", "scan", "--rev", &bad]);
    assert_eq!(scanned.code, Some(1), "{scanned:#?}");
}

#[test]
fn every_path_of_what_comes_is_judged() {
    let (place, server) = with_server();
    place.git_in(&server, &["st-convert", "hook", "install"]).ok();
    // The same pointer without its object has a permitted name and a rejected one.
    place.add_pointer("a.dat", b"not here", false);
    place.add_pointer("pytorch_model.bin", b"not here", false);
    place.git(&["commit", "-q", "-m", "two"]).ok();
    let output = place.git(&["push", "-q", "origin", "main"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("pytorch_model.bin: pickle by name"), "{output:#?}");
    assert!(!output.stderr.contains("a.dat"), "{output:#?}");
    place.git(&["reset", "-q", "--hard", "HEAD~1"]).ok();
    // A name may contain a line feed.
    place.add("a\nb.pt", &checkpoint());
    let oid = Oid::of(&checkpoint());
    place.add(".st-convert-allow", format!("{oid} \"a\\nb.pt\" for the tests\n").as_bytes());
    place.git(&["commit", "-q", "-m", "a name with a line feed"]).ok();
    place.git(&["push", "-q", "origin", "main"]).ok();
    // An exception for one path does not apply to the other.
    place.add("b.pt", &[&checkpoint()[..], b" "].concat());
    place.add("c.pt", &[&checkpoint()[..], b" "].concat());
    let oid = Oid::of(&[&checkpoint()[..], b" "].concat());
    place.add(".st-convert-allow", format!("{oid} b.pt for the tests\n").as_bytes());
    place.git(&["commit", "-q", "-m", "copies"]).ok();
    let output = place.git(&["push", "-q", "origin", "main"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("c.pt: ") && !output.stderr.contains("b.pt: "), "{output:#?}");
}
