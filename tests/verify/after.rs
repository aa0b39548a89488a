//! Tests `verify` after `--replace`: the record, a trailer or the history identifies the checkpoint.

use std::fs;

use super::{CHECKPOINT, FILE};
use crate::convert::torch::{Float32, checkpoint};
use crate::sandbox::{Output, Sandbox};

fn trained(epoch: u8) -> Vec<u8> {
    checkpoint(&[Float32 { name: "w".to_owned(), shape: vec![64], bytes: vec![epoch; 256] }])
}

struct Replaced {
    sandbox: Sandbox,
    dir: std::path::PathBuf,
}

impl Replaced {
    /// Converts and replaces: in one commit with its trailer, or by hand without one.
    fn new(has_trailer: bool) -> Self {
        let sandbox = Sandbox::new();
        let dir = sandbox.repo("model");
        let attributes =
            "*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n";
        fs::write(dir.join(".gitattributes"), attributes).unwrap();
        fs::write(dir.join(CHECKPOINT), trained(1)).unwrap();
        let replaced = Self { sandbox, dir };
        replaced.git(&["add", "."]);
        replaced.git(&["commit", "-q", "-m", "trained"]);
        if has_trailer {
            replaced.run(&["--replace", "--commit"]).ok();
        } else {
            replaced.run(&["--replace"]).ok();
            replaced.git(&["commit", "-q", "-m", "by hand"]);
        }
        assert!(!replaced.dir.join(CHECKPOINT).exists());
        replaced
    }

    fn git(&self, args: &[&str]) -> String {
        self.sandbox.git(&self.dir, args)
    }

    fn run(&self, args: &[&str]) -> Output {
        self.sandbox.bin(&self.dir, args)
    }

    fn forget(&self) {
        fs::remove_dir_all(self.dir.join(".git/st-converted")).unwrap();
    }

    #[track_caller]
    fn is_identical(&self, by: &str) {
        let run = self.run(&["verify"]);
        assert!(run.stdout.contains(&format!("identical to {CHECKPOINT} ({by}")), "{run:?}");
        run.ok();
    }
}

#[test]
fn by_the_record_the_trailer_and_the_history() {
    let replaced = Replaced::new(true);
    replaced.is_identical("by the record");
    replaced.forget();
    replaced.is_identical("by the trailer of ");
    // The verification recorded it.
    replaced.is_identical("by the record");
    let replaced = Replaced::new(false);
    replaced.forget();
    replaced.is_identical("by commit ");
    // A commit is verified as it was.
    let run = replaced.run(&["verify", "--rev", "HEAD"]);
    assert!(run.stdout.contains("identical"), "{run:?}");
    run.ok();
}

/// A trailer is a claim: it selects the checkpoint for the comparison, and proves nothing.
#[test]
fn a_trailer_that_lies_is_found_out() {
    for has_trailer in [true, false] {
        let replaced = Replaced::new(has_trailer);
        replaced.forget();
        let mut bytes = fs::read(replaced.dir.join(FILE)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(replaced.dir.join(FILE), bytes).unwrap();
        let message = replaced.git(&["show", "-s", "--format=%B", "HEAD"]);
        replaced.git(&["add", FILE]);
        replaced.git(&["commit", "-q", "--amend", "-m", &message]);
        let run = replaced.run(&["verify"]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stdout.contains("differs"), "{run:?}");
    }
}

#[test]
fn without_any_of_them_there_is_nothing_to_compare_with() {
    let replaced = Replaced::new(true);
    replaced.forget();
    // The history begins with the file.
    replaced.git(&["checkout", "-q", "--orphan", "new"]);
    replaced.git(&["commit", "-q", "-m", "one commit"]);
    for args in [&["verify"] as &[&str], &["verify", FILE], &["verify", "--rev", "HEAD"]] {
        let run = replaced.run(args);
        assert_eq!(run.code, Some(2), "{args:?}: {run:?}");
        let said = run.stdout + &run.stderr;
        assert!(said.contains(FILE) && said.contains("checkpoint"), "{said}");
    }
    // Without any safetensors file, the error states that.
    replaced.git(&["rm", "-q", "-f", FILE]);
    let run = replaced.run(&["verify"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("safetensors"), "{run:?}");
}

/// `status` and `verify` have one word for a file whose checkpoint was trained again by somebody without a record.
#[test]
fn a_file_that_was_committed_with_another_checkpoint_is_stale() {
    let lfs = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n";
    for attributes in [lfs.to_owned(), format!("*.bin filter=lfs diff=lfs merge=lfs -text\n{lfs}")] {
        let sandbox = Sandbox::new();
        let dir = sandbox.repo("model");
        fs::write(dir.join(".gitattributes"), attributes).unwrap();
        fs::write(dir.join(CHECKPOINT), trained(1)).unwrap();
        sandbox.git(&dir, &["add", "."]);
        sandbox.git(&dir, &["commit", "-q", "-m", "trained"]);
        sandbox.bin(&dir, &["--commit"]).ok();
        fs::write(dir.join(CHECKPOINT), trained(2)).unwrap();
        sandbox.git(&dir, &["commit", "-q", "-a", "-m", "trained again"]);
        fs::remove_dir_all(dir.join(".git/st-converted")).unwrap();
        let status = sandbox.bin(&dir, &["status"]).ok();
        assert!(status.contains("Stale: committed with another checkpoint (1)"), "{status}");
        let stale = format!("{FILE}: stale: {CHECKPOINT} changed since the conversion\n");
        for args in [&["verify"][..], &["verify", "--rev", "HEAD"]] {
            let run = sandbox.bin(&dir, args);
            assert!(run.code == Some(1) && run.stdout.starts_with(&stale), "{args:?}: {run:#?}");
        }
        let run = sandbox.bin(&dir, &["verify", "--rev", "HEAD~1"]);
        assert!(run.code == Some(0) && run.stdout.contains("identical"), "{run:#?}");
        // The history says nothing about a file that was edited since.
        let mut bytes = fs::read(dir.join(FILE)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(dir.join(FILE), bytes).unwrap();
        let run = sandbox.bin(&dir, &["verify"]);
        assert!(run.code == Some(1) && run.stdout.contains(": differs from "), "{run:#?}");
    }
}
