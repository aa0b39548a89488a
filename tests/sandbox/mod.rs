//! [`Sandbox`]: a directory with a home, a configuration and a clock of its own, and programs that run in it.
//!
//! Invariant: nothing of the machine's configuration reaches git or the binary; only `PATH`, and the formats of new
//! repositories, are passed on.
//! The library itself runs in the test process and sees the machine's environment: what it must know stands in the
//! repository's own configuration.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests run the reference programs")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The program under test.
pub(crate) const BIN: &str = env!("CARGO_BIN_EXE_git-st-convert");

/// What a program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    /// But for the last line of ours, which has a time in it, and the lines that long work begins and ends with.
    pub(crate) stderr: String,
    /// That line: what was done, how much that was, and how long it took.
    pub(crate) last: String,
    pub(crate) code: Option<i32>,
}

impl Output {
    /// Its standard output, if it ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }
}

/// Is it `3 converted · 2.1 GiB in 3.4 s`?
fn is_last(line: &str) -> bool {
    let Some((counts, took)) = line.trim_end().rsplit_once(" · ") else { return false };
    counts.starts_with(|char: char| char.is_ascii_digit()) && (took.ends_with(" s") || took.ends_with(" min"))
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        let mut stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        // On a machine that has much to do a small file is long work.
        let is_progress = |line: &str| {
            [": started, ", ": finished, ", ": stopped, "].iter().any(|phase| line.contains(phase))
        };
        stderr = stderr.split_inclusive('\n').filter(|line| !is_progress(line)).collect();
        let begins = stderr.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        let last = if is_last(&stderr[begins..]) { stderr.split_off(begins) } else { String::new() };
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr,
            last,
            code: output.status.code(),
        }
    }
}

/// A place for one test; gone when dropped.
pub(crate) struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let sandbox = Self { dir };
        fs::create_dir(sandbox.path("home")).unwrap();
        let config = "[user]\n\tname = A U Thor\n\temail = author@example.com\n[init]\n\tdefaultBranch = main\n\
                      [advice]\n\tdetachedHead = false\n[protocol \"file\"]\n\tallow = always\n";
        fs::write(sandbox.path("gitconfig"), config).unwrap();
        sandbox
    }

    /// A path in the sandbox.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        // Without links, as git prints it.
        self.dir.path().canonicalize().unwrap().join(relative)
    }

    /// A program in the sandbox's environment, to be changed before it is run.
    pub(crate) fn command(&self, program: &OsStr, cwd: &Path, args: &[&OsStr]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(cwd).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("TZ", "UTC").env("LC_ALL", "C");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", self.path("gitconfig"));
        command
            .env("GIT_AUTHOR_DATE", "2020-01-02T03:04:05Z")
            .env("GIT_COMMITTER_DATE", "2020-01-02T03:04:05Z");
        // The formats that git's new repositories have, in which the suite is run as well.
        for format in ["GIT_DEFAULT_REF_FORMAT", "GIT_DEFAULT_HASH"] {
            if let Some(value) = std::env::var_os(format) {
                command.env(format, value);
            }
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CEILING_DIRECTORIES", self.path(".."));
        command
    }

    fn run(&self, program: &OsStr, cwd: &Path, args: &[&OsStr]) -> Output {
        self.command(program, cwd, args).output().unwrap().into()
    }

    /// Runs git, however it ends.
    pub(crate) fn try_git<S: AsRef<OsStr>>(&self, cwd: &Path, args: &[S]) -> Output {
        self.run("git".as_ref(), cwd, &args.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    /// Runs git, which has to end well.
    #[track_caller]
    pub(crate) fn git<S: AsRef<OsStr>>(&self, cwd: &Path, args: &[S]) -> String {
        self.try_git(cwd, args).ok()
    }

    /// Runs `git-st-convert`.
    pub(crate) fn bin<S: AsRef<OsStr>>(&self, cwd: &Path, args: &[S]) -> Output {
        self.run(BIN.as_ref(), cwd, &args.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    /// Can `git lfs` be run? Without it the filter makes pointers itself, and its verdicts are not asked for.
    pub(crate) fn git_lfs_available(&self) -> bool {
        self.try_git(self.dir.path(), &["lfs", "version"]).code == Some(0)
    }

    /// A new repository with one commit and the counting filter.
    pub(crate) fn repo(&self, name: &str) -> PathBuf {
        let dir = self.path(name);
        self.git(self.dir.path(), &["init", "-q", name]);
        self.count_filter_runs(&dir);
        fs::write(dir.join("README.md"), "# a model\n").unwrap();
        self.git(&dir, &["add", "README.md"]);
        self.git(&dir, &["commit", "-q", "-m", "one"]);
        dir
    }

    /// Makes `filter.lfs` of a repository a script that writes down each run, then does what git-lfs does.
    pub(crate) fn count_filter_runs(&self, repo: &Path) {
        let script = self.path("filter.sh");
        let log = self.path("filter.log");
        let text = include_str!("filter.sh").replace("@LOG@", log.to_str().unwrap());
        fs::write(&script, text).unwrap();
        let script = script.to_str().unwrap();
        self.git(repo, &["config", "filter.lfs.clean", &format!("sh '{script}' clean %f")]);
        self.git(repo, &["config", "filter.lfs.smudge", &format!("sh '{script}' smudge %f")]);
        self.git(repo, &["config", "filter.lfs.required", "true"]);
    }

    /// What the filter did so far: one line a run, `clean <path>` or `smudge <path>`.
    pub(crate) fn filter_runs(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("filter.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}
