//! Tests repositories in the formats of Git 3: references in tables (reftable), and objects named by SHA-256. The same
//! work in each gives the same output, except for the names of objects.

use std::fs;
use std::path::{Path, PathBuf};

use crate::formats::fixtures;
use crate::guard::path;
use crate::sandbox::{Output, Sandbox};

const ATTRIBUTES: &str =
    "*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n";

/// The formats of references and of object names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    references: &'static str,
    objects: &'static str,
}

const FILES: Format = Format { references: "files", objects: "sha1" };
const OTHERS: [Format; 3] = [
    Format { references: "reftable", objects: "sha1" },
    Format { references: "files", objects: "sha256" },
    Format { references: "reftable", objects: "sha256" },
];

/// A repository of one format, with a shell for its user's commands.
struct Desk {
    sandbox: Sandbox,
    format: Format,
    dir: PathBuf,
}

impl Desk {
    /// Creates it; `None` if this git does not know the format, or without git-lfs.
    fn new(format: Format) -> Option<Self> {
        let sandbox = Sandbox::new();
        let dir = sandbox.path("model");
        let desk = Self { sandbox, format, dir };
        let top = desk.sandbox.path("");
        let init = desk.shell_in(&top, &format!("{} init -q model && git lfs version", desk.git()));
        (init.code == Some(0)).then_some(())?;
        // This is the default of Git 3.
        desk.ok("git config --global safe.bareRepository explicit && git lfs install --local >/dev/null");
        desk.write(".gitattributes", ATTRIBUTES.as_bytes());
        Some(desk)
    }

    /// Returns git with this format for new repositories.
    fn git(&self) -> String {
        let Format { references, objects } = self.format;
        format!("GIT_DEFAULT_REF_FORMAT={references} GIT_DEFAULT_HASH={objects} git")
    }

    fn write(&self, path: &str, content: &[u8]) {
        fs::write(self.dir.join(path), content).unwrap();
    }

    fn put(&self, path: &str, fixture: &str) {
        self.write(path, &fs::read(fixtures().join("checkpoints").join(fixture)).unwrap());
    }

    fn shell_in(&self, cwd: &Path, line: &str) -> Output {
        let mut shell = self.sandbox.command("sh".as_ref(), cwd, &["-c".as_ref(), line.as_ref()]);
        shell.env("PATH", path()).env("HF_ENDPOINT", "http://127.0.0.1:1").output().unwrap().into()
    }

    fn shell(&self, line: &str) -> Output {
        self.shell_in(&self.dir, line)
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let output = self.shell(line);
        assert_eq!(output.code, Some(0), "{:?}: {line}: {output:#?}", self.format);
        output.stdout + &output.stderr
    }

    /// Returns the output and the exit code of a line, without the names of this directory and of objects.
    fn says(&self, line: &str) -> String {
        let output = self.shell(line);
        let text = format!("$ {line}\n{}{}= {:?}\n", output.stdout, output.stderr, output.code);
        without_names(&text.replace(self.sandbox.path("").to_str().unwrap(), "TOP"))
    }
}

/// Replaces each word that could be the name of an object by `ID`, and removes times.
fn without_names(text: &str) -> String {
    let mut words = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || c == '.' {
            word.push(c);
            continue;
        }
        let is_name = word.len() >= 7 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_time = c == ' ' && word.contains('.') && word.parse::<f64>().is_ok();
        words += if is_name {
            "ID"
        } else if is_time {
            "TIME"
        } else {
            &word
        };
        word.clear();
        words.push(c);
    }
    words
}

/// The work of a day: lines that are typed one after the other.
const DAY: &[&str] = &[
    "git st-convert status",
    "git st-convert --commit",
    "git add . && git commit -qm one",
    "git st-convert status",
    "git st-convert -n",
    "git st-convert --commit",
    "git st-convert status",
    "git status --porcelain",
    "git lfs fsck && git fsck",
    "git log --format='%s %(trailers)'",
    "git st-convert hook install",
    "git st-convert hook status",
    "cp ../tied a.bin && git add a.bin && git commit -qm two",
    "git st-convert --replace a.bin && git commit -qm two && git status --porcelain",
    "git st-convert verify",
    "git st-convert verify --rev HEAD~1",
    "git st-convert diff HEAD~1",
    "git st-convert diff HEAD~2..HEAD",
    "git st-convert scan --rev HEAD~1",
    "git st-convert scan --range HEAD~2..HEAD",
    "git st-convert inspect HEAD:model.safetensors",
    "git st-convert inspect nope:model.safetensors",
    "git push -q origin main; git push -q --no-verify origin main; git push -q --no-verify origin HEAD:refs/pr/7",
    "git st-convert pull",
    // A pull request whose base is the previous commit.
    "git checkout -q -b old HEAD~1 && git st-convert pull 7 && git log --format=%s && git status --porcelain",
    "git checkout -q main",
    // The checkpoint was trained again, and is not staged.
    "cp ../other pytorch_model.bin && git st-convert status",
    "git add -u && git commit -q --no-verify -m trained; git st-convert --commit; git st-convert status",
    "git push -q --no-verify origin main~1:main; git st-convert publish --branch weights",
    // Another working tree, and a detached `HEAD`.
    "git worktree add -q ../tree old && cd ../tree && git st-convert --commit --force; git log --format=%s old -2; git st-convert status",
    "git checkout -q --detach && git st-convert status && git st-convert -n",
    "git st-convert --replace --commit && git log --format=%s -1 && git status --porcelain && git branch --show-current",
    // An operation of git is in progress.
    "git checkout -q -b side main && echo 1 > text && git add text && git commit -q --no-verify -m 1",
    "git checkout -q main && echo 2 > text && git add text && git commit -q --no-verify -m 2",
    "cp ../tied b.bin && git add b.bin && git commit -q --no-verify -m b",
    "git cherry-pick side >/dev/null 2>&1; git st-convert --commit; git cherry-pick --abort; git status --porcelain",
    "echo 3 > text && git commit -qam 3 --no-verify && git revert --no-edit HEAD~2 >/dev/null 2>&1; git st-convert --commit; \
     git revert --abort; git status --porcelain",
    "git st-convert clone --no-convert ../server.git ../clone 2>&1 | sed 's/, commit.*//'; cd ../clone && git st-convert status",
    "cd ../clone && git rev-parse --show-object-format",
];

fn day(format: Format) -> Option<Vec<String>> {
    let desk = Desk::new(format)?;
    for (name, fixture) in
        [("pytorch_model.bin", "bert-tied.bin"), ("../tied", "tied-2.bin"), ("../other", "tied-3.bin")]
    {
        desk.put(name, fixture);
    }
    desk.ok(&format!(
        "{} init -q --bare ../server.git && git remote add origin \"file://$PWD/../server.git\"",
        desk.git()
    ));
    let said = DAY.iter().map(|line| desk.says(line)).collect();
    // The repository has the requested format.
    let objects = desk.ok("git rev-parse --show-object-format");
    assert_eq!(objects.trim(), format.objects);
    assert_eq!(desk.dir.join(".git/reftable").exists(), format.references == "reftable");
    Some(said)
}

#[test]
fn a_day_says_the_same_in_every_format() {
    let Some(expected) = day(FILES) else { return skipped("git-lfs") };
    let text = expected.concat();
    // The test worked, instead of failing in the same way for every format.
    for part in [
        "committed ID",
        "a cherrypick is in progress",
        "a revert is in progress",
        "commit rejected",
        "as converted by",
        "would convert",
        "pushed refs/heads/weights",
        "(updated)",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    for format in OTHERS {
        let Some(said) = day(format) else {
            skipped(&format!("{format:?}"));
            continue;
        };
        for (said, expected) in said.iter().zip(&expected) {
            let (said, expected) = (said.replace("sha256\n", "sha1\n"), expected);
            assert!(said == *expected, "{format:?}\n{said}\nbut with files:\n{expected}");
        }
    }
}

#[test]
fn a_repository_that_is_migrated_between_two_runs() {
    let Some(desk) = Desk::new(FILES) else { return skipped("git-lfs") };
    desk.put("pytorch_model.bin", "bert-tied.bin");
    desk.ok("git add . && git commit -qm one && git st-convert");
    if desk.shell("git refs migrate --ref-format=reftable").code != Some(0) {
        return skipped("git refs migrate");
    }
    assert!(desk.ok("git st-convert status").contains("1 safetensors file up to date"));
    desk.ok("git st-convert --commit");
    assert_eq!(desk.ok("git status --porcelain"), "");
    desk.ok("git refs migrate --ref-format=files");
    assert!(desk.ok("git st-convert status").contains("1 safetensors file up to date"));
    assert!(desk.ok("git st-convert verify").contains("identical"));
}

/// Returns how many processes of git a line starts.
fn processes(desk: &Desk, line: &str) -> usize {
    let log = desk.sandbox.path("processes");
    fs::write(&log, "").unwrap();
    let counted = format!("PATH='{}':\"$PATH\"; {line}", desk.sandbox.path("counting").display());
    let output = desk.shell(&counted);
    assert_eq!(output.code, Some(0), "{output:#?}");
    fs::read_to_string(log).unwrap().lines().count()
}

#[test]
fn tables_cost_two_processes_of_git_at_most() {
    let lines = [
        "git-st-convert status",
        "git-st-convert -n",
        "git-st-convert hook run pre-commit",
        "git-st-convert verify",
    ];
    let counts = |format| {
        let desk = Desk::new(format)?;
        desk.put("pytorch_model.bin", "bert-tied.bin");
        desk.ok("git add . && git commit -qm one && git st-convert --commit");
        // This git writes a line into a log for each run.
        let counting = desk.sandbox.path("counting");
        fs::create_dir(&counting).unwrap();
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> '{}'\nPATH=${{PATH#*:}} exec git \"$@\"\n",
            desk.sandbox.path("processes").display()
        );
        fs::write(counting.join("git"), script).unwrap();
        desk.ok("chmod +x ../counting/git");
        Some(lines.map(|line| processes(&desk, line)))
    };
    let Some(files) = counts(FILES) else { return skipped("git-lfs") };
    let Some(tables) = counts(OTHERS[0]) else { return skipped("reftable") };
    for ((line, files), tables) in lines.iter().zip(files).zip(tables) {
        assert!(tables <= files + 2, "{line}: {tables} processes of git, and {files} with files");
    }
}

#[test]
fn a_format_that_git_does_not_know_is_refused_as_git_does() {
    let Some(desk) = Desk::new(FILES) else { return skipped("git-lfs") };
    desk.put("pytorch_model.bin", "bert-tied.bin");
    desk.ok("git add . && git commit -qm one");
    for (setting, is_fine) in [
        ("core.repositoryFormatVersion 2", false),
        ("extensions.unheard true", false),
        ("extensions.refStorage other", false),
        ("extensions.compatObjectFormat sha256", false),
        ("extensions.noop true", true),
        ("extensions.preciousObjects true", true),
        ("extensions.worktreeConfig true", true),
    ] {
        let config = fs::read(desk.dir.join(".git/config")).unwrap();
        let extension = setting.starts_with("extensions.");
        let version = if extension { "git config core.repositoryFormatVersion 1 && " } else { "" };
        desk.ok(&format!("{version}git config {setting}"));
        let (git, ours) = (desk.shell("git status"), desk.shell("git-st-convert -n"));
        fs::write(desk.dir.join(".git/config"), config).unwrap();
        assert_eq!(ours.code == Some(0), is_fine, "{setting}: {ours:#?}");
        if setting != "extensions.compatObjectFormat sha256" {
            assert_eq!(git.code == Some(0), is_fine, "{setting}: {git:#?}");
        }
        let name = setting.split(' ').next().unwrap_or_default();
        assert!(is_fine || ours.stderr.to_lowercase().contains(&name.to_lowercase()), "{setting}: {ours:#?}");
    }
}

fn skipped(what: &str) {
    use std::io::Write as _;
    let _nobody_reads = std::io::stderr().write_all(format!("skipped: {what} is not here\n").as_bytes());
}
