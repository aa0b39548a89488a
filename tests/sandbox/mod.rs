//! [`Sandbox`] runs programs in a directory with its own home, configuration and clock.
//!
//! Invariant: git and the binary see nothing of the machine's configuration; only `PATH`, and the formats of new
//! repositories, are passed on. The library itself runs in the test process and sees the machine's environment, so its
//! settings must be in the configuration of the repository.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests run the reference programs")]

#[cfg(unix)]
pub(crate) mod disk;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::hub::on_path;

/// The program under test.
pub(crate) const BIN: &str = env!("CARGO_BIN_EXE_git-st-convert");

/// The output of a program, and its exit code.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    /// Without the program's last line, which contains a time, and without the lines at the start and the end of long
    /// work.
    pub(crate) stderr: String,
    /// That last line: the results, the amount, and the time.
    pub(crate) last: String,
    pub(crate) code: Option<i32>,
}

impl Output {
    /// Returns the standard output; the program must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }
}

/// Returns `true` for a line like `3 converted · 2.1 GiB in 3.4 s`.
fn is_last(line: &str) -> bool {
    let Some((counts, took)) = line.trim_end().rsplit_once(" · ") else { return false };
    counts.starts_with(|char: char| char.is_ascii_digit()) && (took.ends_with(" s") || took.ends_with(" min"))
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        let mut stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        // On a busy machine, even a small file can take long enough for these lines.
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

/// The directory of one test, which is removed when it is dropped.
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

    /// Returns a path in the sandbox.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        // The path has no links, as git prints it.
        self.dir.path().canonicalize().unwrap().join(relative)
    }

    /// Returns a program in the sandbox's environment, which can be changed before it runs.
    pub(crate) fn command(&self, program: &OsStr, cwd: &Path, args: &[&OsStr]) -> Command {
        let mut command = Command::new(on_path(program));
        command.args(args).current_dir(cwd).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("TZ", "UTC").env("LC_ALL", "C");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", self.path("gitconfig"));
        command
            .env("GIT_AUTHOR_DATE", "2020-01-02T03:04:05Z")
            .env("GIT_COMMITTER_DATE", "2020-01-02T03:04:05Z");
        // The suite also runs with other formats of new repositories.
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

    /// Runs git, with any result.
    pub(crate) fn try_git<S: AsRef<OsStr>>(&self, cwd: &Path, args: &[S]) -> Output {
        self.run("git".as_ref(), cwd, &args.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    /// Runs git, which must succeed.
    #[track_caller]
    pub(crate) fn git<S: AsRef<OsStr>>(&self, cwd: &Path, args: &[S]) -> String {
        self.try_git(cwd, args).ok()
    }

    /// Runs `git-st-convert`.
    pub(crate) fn bin<S: AsRef<OsStr>>(&self, cwd: &Path, args: &[S]) -> Output {
        self.run(BIN.as_ref(), cwd, &args.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    /// Returns `true` if `git lfs` can be run. Without it, the filter creates pointers itself, and nothing is compared
    /// with git-lfs.
    pub(crate) fn git_lfs_available(&self) -> bool {
        self.try_git(self.dir.path(), &["lfs", "version"]).code == Some(0)
    }

    /// Creates a repository with one commit and the counting filter.
    pub(crate) fn repo(&self, name: &str) -> PathBuf {
        let dir = self.path(name);
        self.git(self.dir.path(), &["init", "-q", name]);
        self.count_filter_runs(&dir);
        fs::write(dir.join("README.md"), "# a model\n").unwrap();
        self.git(&dir, &["add", "README.md"]);
        self.git(&dir, &["commit", "-q", "-m", "one"]);
        dir
    }

    /// Sets `filter.lfs` of a repository to a script that logs each run and then does the same as git-lfs.
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

    /// Returns the runs of the filter so far, one line each: `clean <path>` or `smudge <path>`.
    pub(crate) fn filter_runs(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("filter.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}
