//! Tests git's own diff: the lists of `git diff`, `git show` and `git log -p` with the driver, and what it does not
//! change.
//!
//! The tests use real git and, if available, real git-lfs; a counting server is in place of the server of objects.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use safetensors::tensor::Dtype;

use super::{Weights, bin, numbers, safe, tuned};
use crate::sandbox::Output;

/// Starts a server that counts connections, and closes each at once.
fn server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(connection);
        }
    });
    (address, count)
}

impl Weights {
    /// Sets up Git LFS so that it does not smudge: git-lfs itself, or none.
    fn skip_smudge(&self) {
        if self.sandbox.git_lfs_available() {
            self.git(&["lfs", "install", "--local", "--force", "--skip-smudge"]);
        } else {
            self.git(&["config", "--unset", "filter.lfs.smudge"]);
        }
    }

    /// Runs a program that finds `git st-convert`.
    fn run(&self, program: &str, args: &[&str]) -> Output {
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        let mut command = self.sandbox.command(program.as_ref(), &self.dir, &args);
        command.env("PATH", crate::guard::path()).output().unwrap().into()
    }

    /// Returns the output of git, which must have no errors.
    #[track_caller]
    fn shown(&self, args: &[&str]) -> String {
        let run = self.run("git", args);
        assert_eq!(run.stderr, "", "{run:#?}");
        run.ok()
    }

    fn installed(&self) -> &Self {
        self.skip_smudge();
        let said = self.diff(&["--install"]).ok();
        assert_eq!(
            said,
            "installed: git diff, show and log -p list the tensors of LFS files in this repository\n"
        );
        self
    }

    fn config(&self) -> Vec<u8> {
        std::fs::read(self.dir.join(".git/config")).unwrap()
    }

    fn oid(&self, revision: &str) -> String {
        let pointer = self.git(&["cat-file", "blob", revision]);
        pointer.lines().find_map(|line| line.strip_prefix("oid ")).unwrap().to_owned()
    }
}

/// Returns the added and removed lines of a diff, without the names of the files.
fn changed(diff: &str) -> Vec<&str> {
    let is_line =
        |line: &&str| line.starts_with(['-', '+']) && !line.starts_with("---") && !line.starts_with("+++");
    diff.lines().filter(is_line).collect()
}

/// Returns the CRC-32 at the end of the only line that begins so.
fn crc32<'a>(lines: &[&'a str], beginning: &str) -> &'a str {
    let mut found = lines.iter().filter(|line| line.starts_with(beginning));
    let line = found.next().unwrap_or_else(|| panic!("{beginning}: {lines:#?}"));
    assert!(found.next().is_none(), "{beginning}: {lines:#?}");
    line.split("  crc32 ").nth(1).unwrap()
}

#[test]
fn git_lists_tensors_that_are_new_gone_renamed_and_changed() {
    let weights = tuned();
    let (url, connections) = server();
    weights.git(&["config", "lfs.url", &url]);
    weights.installed();
    let (old, new) = (weights.oid("HEAD~1:pytorch_model.bin"), weights.oid("HEAD:pytorch_model.bin"));
    for args in [&["diff", "HEAD~1", "HEAD"][..], &["show"], &["log", "-p", "-1"]] {
        let diff = weights.shown(args);
        let lines = changed(&diff);
        assert_eq!((lines[0], lines[1].starts_with("-size ")), (&*format!("-oid {old}"), true), "{diff}");
        assert!(lines.contains(&&*format!("+oid {new}")), "{diff}");
        assert_ne!(crc32(&lines, "-a.weight  F32  [2, 3]  "), crc32(&lines, "+a.weight  F32  [2, 3]  "));
        assert_eq!(crc32(&lines, "-e.weight  F32  [3]  "), crc32(&lines, "+f.weight  F32  [3]  "));
        assert_eq!(crc32(&lines, "-g.weight  F32  [2, 1]  "), crc32(&lines, "+g.weight  F32  [2]  "));
        crc32(&lines, "-c.bias  F32  [1]  ");
        crc32(&lines, "+d.bias  F32  [2]  ");
        assert!(diff.contains("\n b.weight  F32  [2]  crc32 "), "{diff}");
        assert_eq!(lines.len(), 12, "{diff}");
    }
    // The whole history is listed, and the pointers on request.
    assert_eq!(weights.shown(&["log", "-p"]).matches("+oid sha256:").count(), 2);
    assert!(
        weights
            .shown(&["log", "-p", "--no-textconv"])
            .contains("+version https://git-lfs.github.com/spec/v1\n")
    );
    // The working tree and the index are compared, also from a subdirectory.
    weights.write("pytorch_model.bin", &bin(&[("b.weight", &[2], &[1.0, 2.0])]));
    let unstaged = weights.shown(&["diff"]);
    assert!(
        unstaged.contains("\n-f.weight  F32  [3]  crc32 ") && unstaged.contains("\n b.weight  F32  [2]  "),
        "{unstaged}"
    );
    weights.git(&["add", "pytorch_model.bin"]);
    assert_eq!(changed(&weights.shown(&["diff", "--staged"])), changed(&unstaged));
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[test]
fn git_lists_a_cast_by_its_dtypes_and_other_values_by_the_object() {
    let weights = Weights::new();
    weights.installed();
    let wide = |value| safe(&[("w", Dtype::F32, &[1], numbers(&[value])), ("x", Dtype::U8, &[1], vec![7])]);
    weights.commit("sub dir/a b.safetensors", &wide(1.0));
    weights.commit("sub dir/a b.safetensors", &wide(2.0));
    let (old, new) =
        (weights.oid("HEAD~1:sub dir/a b.safetensors"), weights.oid("HEAD:sub dir/a b.safetensors"));
    let tuned = weights.shown(&["show"]);
    assert_eq!(changed(&tuned), [format!("-oid {old}"), format!("+oid {new}")]);
    assert!(
        tuned.contains("\n w  F32  [1]\n x  U8   [1]\n") || tuned.contains("\n w  F32  [1]\n x  U8  [1]\n"),
        "{tuned}"
    );
    let cast = safe(&[("w", Dtype::F16, &[1], vec![0, 0x3c]), ("x", Dtype::U8, &[1], vec![7])]);
    weights.commit("sub dir/a b.safetensors", &cast);
    let shown = weights.shown(&["show"]);
    let lines = changed(&shown);
    assert!(lines.contains(&"-w  F32  [1]") && lines.contains(&"+w  F16  [1]"), "{shown}");
    assert!(!lines.iter().any(|line| line.contains("x  U8")), "{shown}");
}

#[test]
fn git_says_what_is_not_here_and_asks_no_server_for_it() {
    let weights = tuned();
    let (url, connections) = server();
    for (key, value) in
        [("lfs.url", &*url), ("lfs.transfer.maxretries", "1"), ("lfs.concurrenttransfers", "1")]
    {
        weights.git(&["config", key, value]);
    }
    weights.installed();
    let path = "HEAD~1:pytorch_model.bin";
    let pointer = weights.git(&["cat-file", "blob", path]);
    let oid = weights.oid(path);
    let stored = super::object(&weights.dir, oid.strip_prefix("sha256:").unwrap());
    let kept = std::fs::read(&stored).unwrap();
    weights.lose(path);
    let shown = weights.shown(&["log", "-p"]);
    assert!(shown.contains(&format!("\n-oid {oid}\n")), "{shown}");
    assert!(shown.contains("\n-not in the LFS storage, so its tensors are not known\n"), "{shown}");
    assert!(shown.contains("\n+f.weight  F32  [3]  crc32 "), "{shown}");
    assert!(!stored.exists() && connections.load(Ordering::SeqCst) == 0);
    // This output is not cached.
    std::fs::write(&stored, &kept).unwrap();
    let shown = weights.shown(&["log", "-p"]);
    assert!(shown.contains("\n-e.weight  F32  [3]  crc32 ") && !shown.contains("not in the LFS"), "{shown}");
    // A damaged object is not a model, and does not stop the others.
    std::fs::write(&stored, &kept[..kept.len() / 2]).unwrap();
    let shown = weights.shown(&["log", "-p"]);
    assert!(shown.contains(&format!("\n-oid {oid}\n")) && shown.contains("\n+f.weight  "), "{shown}");
    // For comparison: if git smudges, the same driver contacts the server. So it is not installed there.
    if weights.sandbox.git_lfs_available() {
        weights.lose(path);
        weights.git(&["lfs", "install", "--local", "--force"]);
        let smudged = weights.run("git", &["-c", "diff.lfs.textconv=git st-convert textconv", "log", "-p"]);
        assert!(smudged.code != Some(0) && connections.load(Ordering::SeqCst) > 0, "{smudged:#?}");
    }
    assert!(pointer.contains(&oid));
}

#[test]
fn files_under_git_lfs_that_are_no_models_are_their_pointers() {
    let weights = Weights::new();
    weights.installed();
    for content in [
        &b""[..],
        b"not a model\n",
        b"PK\x03\x04",
        b"\x08\0\0\0\0\0\0\0{\"w\": 1}",
        &[0x80; 600],
        b"\x80\x02}q\0.",
    ] {
        weights.commit("a.bin", b"first");
        weights.commit("a.bin", content);
        let pointer = weights.git(&["cat-file", "blob", "HEAD:a.bin"]);
        let shown = weights.shown(&["show"]);
        for line in pointer.lines().filter(|line| !line.starts_with("version ")) {
            assert!(shown.contains(&format!("\n+{line}\n")), "{content:?}: {shown}");
        }
    }
}

#[test]
fn the_driver_ends_well_whatever_it_is_given() {
    let weights = tuned();
    let hostile = safe(&[("\x1b[2J\nw\u{202e}", Dtype::F32, &[1], numbers(&[1.0]))]);
    let cut = bin(&[("w", &[1], &[1.0])]);
    let garbage: Vec<u8> =
        (0..5000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for content in [
        &b""[..],
        b"\0",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize -1\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff{",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\x02cos\nsystem\nX\x02\0\0\0idtR.",
        &hostile,
        &cut[..cut.len() - 5],
        &garbage,
    ] {
        weights.write("given", content);
        let run = weights.sandbox.bin(&weights.dir, &["textconv", "given"]);
        assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:#?}");
        let first = run.stdout.lines().next().unwrap();
        let oid = git_st_convert::hash::Oid::of(content);
        assert_eq!(first, format!("oid sha256:{oid}"), "{run:#?}");
        assert!(!run.stdout.contains(['\x1b', '\u{202e}']), "{run:#?}");
    }
    weights.write("given", &hostile);
    let said = weights.sandbox.bin(&weights.dir, &["textconv", "given"]).ok();
    assert_eq!(said.lines().count(), 3, "{said}");
    for gone in ["nothing", "."] {
        let run = weights.sandbox.bin(&weights.dir, &["textconv", gone]);
        assert_eq!(run.code, Some(0), "{run:#?}");
        assert!(run.stdout.starts_with("cannot be read: "), "{run:#?}");
    }
    // Outside of a repository, a pointer is only a text.
    let dir = weights.sandbox.path("plain");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("pointer"), weights.git(&["cat-file", "blob", "HEAD:pytorch_model.bin"]))
        .unwrap();
    let said = weights.sandbox.bin(&dir, &["textconv", "pointer"]).ok();
    assert!(said.starts_with(&format!("oid {}\n", weights.oid("HEAD:pytorch_model.bin"))), "{said}");
}

#[test]
fn without_the_program_git_shows_pointers() {
    let weights = tuned();
    weights.installed();
    // The sandbox's own PATH has git-st-convert only if it is installed on the machine.
    if weights.sandbox.try_git(&weights.dir, &["st-convert", "--version"]).code == Some(0) {
        return;
    }
    let shown = weights.sandbox.git(&weights.dir, &["show"]);
    let oid = weights.oid("HEAD:pytorch_model.bin");
    assert!(shown.contains(&format!("\n+oid {oid}\n")) && !shown.contains("b.weight"), "{shown}");
}

#[test]
fn uninstalling_leaves_the_configuration_as_it_was() {
    let weights = tuned();
    weights.skip_smudge();
    let plain = String::from_utf8(weights.config()).unwrap();
    for more in [
        "",
        "# a remark\n[core]\n\tautocrlf = false\n",
        "[diff \"lfs\"]\n\tbinary = true\n",
        "[diff \"lfs\"]\n\t# a remark\n\txfuncname = \"^w\"\n[diff \"other\"]\n\ttextconv = cat\n",
        "\n\n[diff]\n\trenames = true\n",
    ] {
        let before = format!("{plain}{more}");
        std::fs::write(weights.dir.join(".git/config"), &before).unwrap();
        assert!(weights.diff(&["--install"]).ok().starts_with("installed: "), "{more}");
        let installed = weights.config();
        assert_eq!(
            weights.diff(&["--install"]).ok(),
            "unchanged: it was installed in this repository before\n",
            "{more}"
        );
        assert_eq!(weights.config(), installed, "{more}");
        assert_eq!(
            weights.diff(&["--uninstall"]).ok(),
            "removed: git diff shows pointers again in this repository\n"
        );
        assert_eq!(String::from_utf8(weights.config()).unwrap(), before, "{more}");
        assert_eq!(
            weights.diff(&["--uninstall"]).ok(),
            "unchanged: it is not installed in this repository\n"
        );
        assert_eq!(String::from_utf8(weights.config()).unwrap(), before, "{more}");
    }
    // git itself keeps the empty section after a comment. The user's own entries in a section stay.
    for (more, left) in [
        ("# the end, without a line feed", "# the end, without a line feed\n"),
        ("# the end\n[diff \"lfs\"]\n\t# mine\n", "# the end\n[diff \"lfs\"]\n\t# mine\n"),
    ] {
        std::fs::write(weights.dir.join(".git/config"), format!("{plain}{more}")).unwrap();
        weights.diff(&["--install"]).ok();
        weights.diff(&["--uninstall"]).ok();
        assert_eq!(String::from_utf8(weights.config()).unwrap(), format!("{plain}{left}"));
    }
}

#[test]
fn for_all_repositories_in_a_directory_of_none() {
    let weights = tuned();
    weights.skip_smudge();
    let global = weights.sandbox.path("gitconfig");
    let before = std::fs::read(&global).unwrap();
    let dir = weights.sandbox.path("plain");
    std::fs::create_dir(&dir).unwrap();
    let said = weights.sandbox.bin(&dir, &["diff", "--install", "--global"]).ok();
    assert_eq!(
        said,
        "installed: git diff, show and log -p list the tensors of LFS files in all repositories\n"
    );
    assert!(weights.shown(&["show"]).contains("+f.weight  F32  [3]  "));
    let said = weights.sandbox.bin(&dir, &["diff", "--uninstall", "--global"]).ok();
    assert_eq!(said, "removed: git diff shows pointers again in all repositories\n");
    assert_eq!(std::fs::read(&global).unwrap(), before);
    let run = weights.sandbox.bin(&dir, &["diff", "--install"]);
    assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{run:#?}");
    assert!(run.stderr.starts_with("error: not a git repository\n"), "{run:#?}");
    for wrong in
        [&["--global"][..], &["--install", "--uninstall"], &["--install", "HEAD"], &["--uninstall", "--stat"]]
    {
        assert_eq!(weights.diff(wrong).code, Some(2), "{wrong:?}");
    }
    let lines = weights.json(&["--install"]);
    assert_eq!(
        (&lines[0]["type"], &lines[0]["status"], &lines[0]["scope"]),
        (&"summary".into(), &"installed".into(), &"local".into())
    );
}

#[test]
fn nothing_is_installed_where_git_smudges_or_others_have_a_driver() {
    let weights = tuned();
    let said = |what: &str, why: &str| {
        let before = weights.config();
        let run = weights.diff(&["--install"]);
        assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{what}: {run:#?}");
        assert!(
            run.stderr.starts_with(&format!("error: cannot set up `git diff`: {why}")),
            "{what}: {run:#?}"
        );
        assert_eq!(weights.config(), before, "{what}");
        run.stderr
    };
    said(
        "a filter",
        "Git LFS smudges, so that git would copy or download each version of a file (filter.lfs.smudge = sh '",
    );
    if weights.sandbox.git_lfs_available() {
        weights.git(&["lfs", "install", "--local", "--force"]);
        let why = "Git LFS smudges, so that git would copy or download each version of a file (filter.lfs.process = git-lfs filter-process)\n";
        let hints = said("git-lfs", why);
        // The command of the hint lists tensors, without a server.
        let (url, connections) = server();
        weights.git(&["config", "lfs.url", &url]);
        weights.lose("HEAD~1:pytorch_model.bin");
        let once = hints.split("list the tensors once: `").nth(1).unwrap().split("`\n").next().unwrap();
        let shown = weights.run("sh", &["-c", once]).ok();
        assert!(
            shown.contains("+f.weight  F32  [3]  ") && shown.contains("-not in the LFS storage"),
            "{shown}"
        );
        assert_eq!(connections.load(Ordering::SeqCst), 0);
        let lasting = hints.split("until `git lfs pull`: `").nth(1).unwrap().split("`\n").next().unwrap();
        assert_eq!(weights.run("sh", &["-c", lasting]).code, Some(0), "{lasting}");
        assert!(weights.diff(&["--install"]).ok().starts_with("installed: "));
        weights.diff(&["--uninstall"]).ok();
    }
    weights.skip_smudge();
    weights.git(&["config", "diff.lfs.textconv", "cat"]);
    said("a driver of others", "diff.lfs.textconv is set to another driver (cat)");
    // Settings of the user stay.
    assert_eq!(weights.diff(&["--uninstall"]).ok(), "unchanged: it is not installed in this repository\n");
    assert_eq!(weights.git(&["config", "diff.lfs.textconv"]), "cat\n");
    weights.git(&["config", "--unset", "diff.lfs.textconv"]);
    weights.git(&["config", "diff.lfs.cachetextconv", "true"]);
    said("a cache", "diff.lfs.cachetextconv is set");
}
