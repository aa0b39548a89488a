//! Tests that `status`, a bare run, a dry run and `verify` agree about one situation, and that the commands of their hints
//! lead where they say.

use std::fs::{self, File};
use std::path::Path;

use serde_json::Value;

use super::status::{Repository, commands, trained};
use crate::convert::torch::{Float32, checkpoint};
use crate::sandbox::Output;

const CHECKPOINT: &str = "pytorch_model.bin";
const FILE: &str = "model.safetensors";

/// Returns a field of every line of a type.
fn fields(output: &Output, kind: &str, field: &str) -> Vec<String> {
    let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["type"] == kind);
    lines.map(|line| line[field].as_str().unwrap_or_default().to_owned()).collect()
}

/// Returns the state of the only pair by `status`, and by a dry run and a run.
fn by_all(repository: &Repository) -> (String, String, String) {
    let state = fields(&repository.run(&["status", "--json"]), "status", "state").join(" ");
    let planned = fields(&repository.run(&["-n", "--json"]), "file", "status").join(" ");
    let done = fields(&repository.run(&["--json"]), "file", "status").join(" ");
    (state, planned, done)
}

fn are(found: &(String, String, String), state: &str, run: &str) -> bool {
    (&*found.0, &*found.1, &*found.2) == (state, run, run)
}

/// Makes the index as new as a file, as after a checkout in one tick of the clock.
fn make_racy(repository: &Repository, path: &str) {
    let modified = fs::metadata(repository.dir.join(path)).unwrap().modified().unwrap();
    let index = File::options().append(true).open(repository.dir.join(".git/index")).unwrap();
    index.set_modified(modified).unwrap();
}

fn converted() -> Repository {
    let repository = Repository::new();
    repository.add(CHECKPOINT, &trained("w", 1));
    repository.commit();
    repository.run(&["--commit"]).ok();
    repository
}

#[test]
fn a_file_as_new_as_the_index_is_read_as_git_reads_it() {
    let repository = converted();
    for path in [CHECKPOINT, FILE] {
        fs::remove_file(repository.dir.join(path)).unwrap();
    }
    repository.git(&["checkout-index", "-q", "-u", "-f", "-a"]);
    make_racy(&repository, FILE);
    make_racy(&repository, CHECKPOINT);
    let state = fields(&repository.run(&["status", "--json"]), "status", "state");
    assert_eq!(state, ["up-to-date"]);
    assert!(are(&by_all(&repository), "up-to-date", "up-to-date"));
    // Other bytes of that length, with the same stat data as far as git compares them.
    repository.git(&["config", "core.trustctime", "false"]);
    fs::remove_file(repository.dir.join(CHECKPOINT)).unwrap();
    repository.git(&["checkout-index", "-q", "-u", "-f", "-a"]);
    let file = repository.dir.join(CHECKPOINT);
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(64).position(|bytes| bytes == [1; 64]).unwrap();
    bytes[at] = 2;
    fs::write(&file, &bytes).unwrap();
    File::options().append(true).open(&file).unwrap().set_modified(modified).unwrap();
    make_racy(&repository, CHECKPOINT);
    let state = fields(&repository.run(&["status", "--json"]), "status", "state");
    assert_eq!(repository.git(&["diff", "--name-only"]), format!("{CHECKPOINT}\n"));
    assert_eq!(state, ["stale"]);
}

#[test]
fn a_checkpoint_without_lfs_is_compared_by_its_bytes() {
    let repository = Repository::new();
    repository.add(".gitattributes", b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n");
    repository.add(CHECKPOINT, &trained("w", 1));
    repository.commit();
    repository.run(&["--commit"]).ok();
    // The file has other stat data than those of the record.
    fs::remove_file(repository.dir.join(CHECKPOINT)).unwrap();
    repository.git(&["checkout-index", "-q", "-u", "-f", "-a"]);
    assert!(are(&by_all(&repository), "up-to-date", "up-to-date"));
    // Another clone has no record, only the history.
    fs::remove_dir_all(repository.dir.join(".git/st-converted")).unwrap();
    assert!(are(&by_all(&repository), "unverified", "unverified"));
    repository.write(CHECKPOINT, trained("w", 2));
    let found = by_all(&repository);
    assert!(are(&found, "stale", "refused"), "{found:?}");
    let hint = repository.run(&[]);
    let hint = commands(&hint.stderr).pop().unwrap_or_else(|| panic!("{hint:?}"));
    assert_eq!(repository.paste(&hint).code, Some(0), "{hint}");
    assert!(are(&by_all(&repository), "up-to-date", "up-to-date"));
}

#[test]
fn a_file_that_is_not_staged_is_still_to_be_converted() {
    let repository = Repository::new();
    repository.add(CHECKPOINT, &trained("w", 1));
    repository.commit();
    repository.run(&[]).ok();
    for is_recorded in [true, false] {
        repository.git(&["rm", "-q", "--cached", "-f", FILE]);
        if !is_recorded {
            fs::remove_dir_all(repository.dir.join(".git/st-converted")).unwrap();
        }
        let page = repository.status();
        assert!(
            page.starts_with("Not converted (1)\n") && page.contains("  convert: `git st-convert`\n"),
            "{page}"
        );
        let found = by_all(&repository);
        assert!(are(&found, "unconverted", "converted"), "{found:?}");
        assert_eq!(repository.git(&["status", "--porcelain"]), "A  model.safetensors\n");
        assert_eq!(fields(&repository.run(&["status", "--json"]), "status", "state"), ["up-to-date"]);
    }
}

/// Removes the LFS objects of a repository.
fn remove_objects(repository: &Repository) {
    let objects = repository.dir.join(".git/lfs/objects");
    fs::remove_dir_all(&objects).unwrap();
    fs::create_dir(&objects).unwrap();
}

#[test]
fn the_record_suffices_where_no_content_is_left() {
    for is_deleted in [false, true] {
        let repository = converted();
        let pointer = repository.git(&["cat-file", "blob", &format!("HEAD:{CHECKPOINT}")]);
        if is_deleted {
            fs::remove_file(repository.dir.join(CHECKPOINT)).unwrap();
        } else {
            repository.write(CHECKPOINT, pointer);
        }
        remove_objects(&repository);
        let found = by_all(&repository);
        assert!(are(&found, "up-to-date", "up-to-date"), "{is_deleted}: {found:?}");
        let named = repository.run(&["--json", CHECKPOINT]);
        assert_eq!(fields(&named, "file", "status"), ["up-to-date"], "{named:?}");
        // Without the record, the content is necessary, and only that of the checkpoint is missing.
        let verified = repository.run(&["verify"]);
        assert!(
            verified.stderr.starts_with(&format!("error: {CHECKPOINT}: the LFS object is not downloaded\n")),
            "{verified:?}"
        );
        if repository.sandbox.git_lfs_available() {
            assert!(
                verified.stderr.contains(&format!("git lfs pull --include \"{CHECKPOINT}\"")),
                "{verified:?}"
            );
        }
        fs::remove_dir_all(repository.dir.join(".git/st-converted")).unwrap();
        assert!(are(&by_all(&repository), "not-here", "failed"));
    }
}

#[test]
fn an_error_of_the_checkpoint_names_the_checkpoint() {
    let repository = converted();
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name);
        fs::read(path).unwrap()
    };
    repository.write(CHECKPOINT, file("os-system.bin"));
    let run = repository.run(&["verify"]);
    assert!(run.stderr.starts_with(&format!("error: {CHECKPOINT}: refused: the pickle imports")), "{run:?}");
    let hint = commands(&run.stderr).pop().unwrap();
    let scanned = repository.paste(&hint);
    assert!(scanned.stdout.contains("dangerous"), "{hint}: {scanned:?}");
    repository.write(CHECKPOINT, &trained("w", 1)[..200]);
    let run = repository.run(&["verify"]);
    assert!(run.stderr.starts_with(&format!("error: {CHECKPOINT}: truncated zip archive")), "{run:?}");
}

#[test]
fn a_file_that_is_named_after_two_checkpoints_is_verified_against_each() {
    let repository = converted();
    let other = Float32 { name: "w".to_owned(), shape: vec![17], bytes: vec![2; 68] };
    repository.add("pytorch_model.pt", &checkpoint(&[other]));
    repository.add("model.ckpt", &trained("w", 1));
    repository.commit();
    for text in [repository.status(), repository.run(&["-n"]).stderr] {
        let hints: Vec<_> = commands(&text).into_iter().filter(|one| one.contains("verify")).collect();
        let [hint] = hints.as_slice() else { panic!("{text}") };
        let run = repository.paste(hint);
        assert!(run.stderr.is_empty(), "{hint}: {run:?}");
        assert!(run.stdout.contains(&format!("{FILE}: differs from pytorch_model.pt\n")), "{hint}: {run:?}");
        if hint.contains("model.ckpt") {
            assert!(run.stdout.contains(&format!("{FILE}: identical to model.ckpt ")), "{hint}: {run:?}");
        }
    }
    // The verification against the other checkpoint is recorded.
    let states = repository.states(&[]);
    let unverified: Vec<_> = states.iter().filter(|(state, ..)| state == "unverified").collect();
    assert!(matches!(unverified.as_slice(), [(_, of, _)] if of == "pytorch_model.pt"), "{states:?}");
    let all = repository.run(&["verify", "pytorch_model.pt", CHECKPOINT, "model.ckpt"]);
    // One with another shape is in another group.
    repository.add("pytorch_model.pth", &trained("w", 2));
    let page = repository.status();
    let hint = commands(&page).into_iter().find(|one| one.contains("verify pytorch_model.pth")).unwrap();
    let run = repository.paste(&hint);
    assert!(run.stdout.contains(&format!("{FILE}: differs from pytorch_model.pth\n")), "{hint}: {run:?}");
    assert_eq!((all.code, all.stdout.matches(&format!("{FILE}: ")).count()), (Some(1), 3), "{all:?}");
}
