//! Tests files that are too long to be read completely, and pointers whose object is not in LFS storage.

use std::fs;

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;

use super::{Place, checkpoint, skipped};

/// A length that is not read completely.
const LONG: usize = 17 << 20;

/// Returns bytes that do not compress, so that a part of them has a long stored form.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[4]
    });
    words.take(len).collect()
}

fn pickle() -> Vec<u8> {
    let mut content = b"\x80\x02cos\nsystem\nX\x04\0\0\0trueR.".to_vec();
    content.extend(noise(LONG));
    content
}

#[test]
fn the_first_bytes_of_a_long_blob_are_read_wherever_it_is_stored() {
    let place = Place::guarded();
    place.add("a.dat", &pickle());
    place.refused(&["a.dat: pickle (", "imports `os.system`"]);
    // The blob is a loose object, and the working tree has no file.
    fs::remove_file(place.at("a.dat")).unwrap();
    place.refused(&["a.dat: pickle (", "imports `os.system`"]);
    place.git(&["rm", "-q", "--cached", "a.dat"]).ok();

    // The blob is in a pack, from which git streams longer objects than this.
    place.write("b.dat", &pickle());
    place.git(&["-c", "core.bigFileThreshold=1m", "add", "b.dat"]).ok();
    fs::remove_file(place.at("b.dat")).unwrap();
    place.refused(&["b.dat: pickle (", "imports `os.system`"]);

    // One of these two is stored as a delta of the other.
    let longer = [pickle(), b"more".to_vec()].concat();
    place.git(&["checkout", "-q", "-b", "side"]).ok();
    place.add("b.dat", &pickle());
    place.add("c.dat", &longer);
    place.git(&["commit", "-q", "--no-verify", "-m", "long"]).ok();
    place.git(&["repack", "-q", "-a", "-d", "-f"]).ok();
    let bases = place.git(&["cat-file", "--batch-check=%(deltabase)", "--batch-all-objects"]).ok();
    assert!(bases.lines().any(|base| base.bytes().any(|byte| byte != b'0')), "{bases}");
    place.git(&["checkout", "-q", "main"]).ok();
    for name in ["b.dat", "c.dat"] {
        let blob = place.git(&["rev-parse", &format!("side:{name}")]).ok();
        let entry = format!("100644,{},{name}", blob.trim());
        place.git(&["update-index", "--add", "--cacheinfo", &entry]).ok();
        place.refused(&[&format!("{name}: pickle ("), "imports `os.system`"]);
        place.git(&["rm", "-q", "--cached", name]).ok();
    }
}

#[test]
fn an_archive_behind_other_bytes_is_seen_in_the_file_of_the_work_tree() {
    let place = Place::guarded();
    let harmless = noise(LONG);
    let mut hidden = noise(LONG);
    hidden.extend(checkpoint());
    place.add("a.dat", &hidden);
    place.refused(&["a.dat: contains a pickle ("]);
    place.git(&["rm", "-q", "--cached", "a.dat"]).ok();

    // A different file with the same length and the same first bytes is not taken for the staged one.
    let mut staged = harmless;
    staged.extend(vec![7; checkpoint().len()]);
    place.add("b.dat", &staged);
    place.write("b.dat", &hidden);
    assert_eq!(place.git(&["commit", "-q", "-m", "harmless"]).ok(), "");
}

#[test]
fn a_file_of_the_length_of_a_pointer_is_not_its_content() {
    let place = Place::guarded();
    let harmless = vec![b'\n'; checkpoint().len()];
    place.add_pointer("pytorch_model.bin", &checkpoint(), false);
    place.write("pytorch_model.bin", &harmless);
    place.refused(&["pytorch_model.bin: pickle by name", "its content is not here"]);
    place.git(&["rm", "-q", "-f", "--cached", "pytorch_model.bin"]).ok();

    // A pickle of that length is not taken for the object of a harmless pointer.
    place.add_pointer("words.txt", &harmless, false);
    place.write("words.txt", &checkpoint());
    assert_eq!(place.git(&["commit", "-q", "-m", "words"]).ok(), "");
}

#[test]
fn the_file_that_git_lfs_staged_is_its_content_whatever_its_length() {
    let place = Place::guarded();
    if !place.sandbox.git_lfs_available() {
        return skipped("git-lfs");
    }
    place.git(&["lfs", "install", "--local", "--skip-repo"]).ok();
    place.git(&["lfs", "track", "*.dat"]).ok();
    place.add("a.dat", &pickle());
    let pointer = Pointer { oid: Oid::of(&pickle()), size: pickle().len() as u64 };
    assert_eq!(place.git(&["cat-file", "blob", ":a.dat"]).ok(), pointer.to_string());
    // The file is not committed, because then git-lfs could store it again.
    fs::remove_dir_all(place.at(".git/lfs/objects")).unwrap();
    let judged = place.git(&["st-convert", "--json", "hook", "run", "pre-commit"]);
    assert!(judged.stdout.contains("\"verdict\":\"dangerous\""), "{judged:#?}");
    assert!(!place.at(".git/lfs/objects").exists());

    // A different file of that length is not read only to check its name.
    place.write("a.dat", &noise(pickle().len()));
    let said = place.git(&["st-convert", "--json", "hook", "run", "pre-commit"]).ok();
    assert!(said.contains("\"judged_by_name\":1"), "{said}");
}

/// The blob was not hashed before the search for an exception.
#[test]
fn an_exception_names_a_long_blob_that_was_judged_by_its_first_bytes() {
    let place = Place::guarded();
    place.add("a.dat", &pickle());
    fs::remove_file(place.at("a.dat")).unwrap();
    let said = place.refused(&["a.dat: pickle ("]);
    let hint = said.lines().find_map(|line| line.strip_prefix("hint: allow it: `")).unwrap();
    let pasted = hint.strip_suffix('`').unwrap().replace("REASON", "a test");
    let run = place.command("sh", &place.dir, &["-c", &pasted]).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let allowed = fs::read_to_string(place.at(".st-convert-allow")).unwrap();
    assert_eq!(allowed, format!("{} a.dat a test\n", Oid::of(&pickle())));
    place.git(&["commit", "-q", "-m", "allowed"]).ok();

    // The same applies on a server; other content is rejected.
    let server = place.sandbox.path("server.git");
    place.git_in(&place.sandbox.path(""), &["init", "-q", "--bare", "server.git"]).ok();
    place.git_in(&server, &["st-convert", "hook", "install", "--pre-receive"]).ok();
    place.git(&["push", "-q", "--no-verify", server.to_str().unwrap(), "main"]).ok();
    place.add("a.dat", &[pickle(), b"more".to_vec()].concat());
    place.git(&["commit", "-q", "--no-verify", "-m", "another"]).ok();
    let pushed = place.git(&["push", "-q", "--no-verify", server.to_str().unwrap(), "main"]);
    assert_eq!(pushed.code, Some(1), "{pushed:#?}");
    assert!(pushed.stderr.contains("a.dat: pickle ("), "{pushed:#?}");
}
