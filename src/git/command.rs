//! [`Git`] starts a git command, feeds it, bounds its output and checks its exit status.
//!
//! Invariants: the program is found once, in an absolute directory of `PATH`, so no file of a repository can replace
//! it; messages are in English; no command prompts for a password off a terminal; captured output is bounded; an exit
//! status other than zero is an error that contains git's messages; no observer sees the password of a URL.
#![expect(
    clippy::disallowed_methods,
    reason = "the one file that starts processes and reads git's environment"
)]

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::error::{Error, Stderr};
use super::process::{self, Watch};
use super::url;

/// The variables that tie git to one repository (`git rev-parse --local-env-vars`), without those that pass on the
/// user's own `-c` settings, and those that change the meaning of a path on the command line.
const REPOSITORY_VARIABLES: [&str; 17] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// How many bytes of a command's standard output are read by default.
const MAX_OUTPUT: u64 = 64 << 20;

/// The output of a command that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, with that of its hooks.
    pub stderr: Stderr,
}

impl Output {
    /// Returns the standard output as text, without the line end; empty if it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or_default().trim_end_matches('\n')
    }
}

/// Receives each command line before it is started.
pub type Observer<'a> = &'a (dyn Fn(&[OsString]) + Sync);

/// git, in one directory.
#[derive(Clone)]
pub struct Git<'a> {
    program: &'static Path,
    dir: PathBuf,
    clean: bool,
    /// The git directory and the working tree of a repository that git would not find in `dir`.
    repository: Option<(PathBuf, PathBuf)>,
    observer: Option<Observer<'a>>,
}

impl Git<'_> {
    /// Returns git in `dir`, whatever repository the environment names.
    ///
    /// # Errors
    /// [`Error::NotInstalled`]
    pub fn at(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        let program = program().ok_or(Error::NotInstalled)?;
        Ok(Self { program, dir: dir.into(), clean: true, repository: None, observer: None })
    }

    /// Returns git as a hook must call it: with the repository, and above all the index, that the environment names
    /// (`git commit <path>` uses a separate index), and with the objects that are sent, not their replacements in
    /// `refs/replace/`.
    ///
    /// # Errors
    /// [`Error::NotInstalled`]
    pub fn in_hook(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        Ok(Self { clean: false, ..Self::at(dir)? })
    }

    /// Reports every command line to `observer`, if one is given.
    #[must_use]
    pub fn observed(self, observer: Option<Observer<'_>>) -> Git<'_> {
        let Self { program, dir, clean, repository, .. } = self;
        Git { program, dir, clean, repository, observer }
    }

    /// Ties it to a repository, whatever repository git would find in its directory.
    #[must_use]
    pub fn tied_to(self, git_dir: impl Into<PathBuf>, work_dir: impl Into<PathBuf>) -> Self {
        Self { repository: Some((git_dir.into(), work_dir.into())), ..self }
    }

    /// Returns the path of its program.
    pub(super) fn program(&self) -> &'static Path {
        self.program
    }

    /// Returns the directory of its commands.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reports a command line of another program that git would start itself.
    pub(super) fn observe(&self, line: &[OsString]) {
        if let Some(observer) = self.observer {
            observer(line);
        }
    }

    /// Prepares the command of another program to run like one of git's own: in its directory, and tied to no other
    /// repository.
    pub(super) fn in_its_place(&self, command: &mut Command) {
        command.current_dir(&self.dir);
        self.set_repository(command);
    }

    /// Removes the variables of another repository, and names the own one where git would not find it.
    fn set_repository(&self, command: &mut Command) {
        for name in REPOSITORY_VARIABLES.iter().filter(|_| self.clean) {
            command.env_remove(name);
        }
        if let Some((git_dir, work_dir)) = &self.repository {
            command.env("GIT_DIR", git_dir).env("GIT_WORK_TREE", work_dir);
        }
    }

    /// Returns the same git in another directory.
    #[must_use]
    pub fn in_dir(&self, dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..self.clone() }
    }

    /// Returns a command with its first argument.
    pub fn command(&self, subcommand: &str) -> Invocation<'_> {
        Invocation {
            git: self,
            subcommand: subcommand.to_owned(),
            config: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            input: None,
            limit: MAX_OUTPUT,
        }
    }
}

/// One command, before it is run.
#[derive(Clone)]
#[must_use]
pub struct Invocation<'a> {
    git: &'a Git<'a>,
    subcommand: String,
    config: Vec<String>,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    input: Option<Vec<u8>>,
    limit: u64,
}

impl Invocation<'_> {
    /// Adds arguments. Put `--` or `--end-of-options` before arguments from other sources.
    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a setting for this command and its child processes; its value is visible in the list of processes.
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.config.push(format!("{key}={value}"));
        self
    }

    /// Adds a variable for this command and its child processes.
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Returns its first argument.
    pub(super) fn subcommand(&self) -> &str {
        &self.subcommand
    }

    /// Sets its standard input; by default it is empty.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Sets how many bytes of output are read.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it and returns its output.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::OutputTooLong`] or [`Error::Io`].
    pub fn run(self) -> Result<Output, Error> {
        self.judge(process::converse)
    }

    /// Runs it; `None` if its exit status is 1, by which git reports that no result exists.
    ///
    /// # Errors
    /// As [`Invocation::run`].
    pub fn run_optional(self) -> Result<Option<Output>, Error> {
        match self.run() {
            Err(Error::Failed { status: Some(1), .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Runs it as [`Invocation::run`] does, reports each line of its standard error to `watch`, and ends it politely
    /// when `watch` requests that.
    ///
    /// # Errors
    /// [`Error::Stopped`], or as [`Invocation::run`].
    pub fn run_watched(self, watch: &Watch<'_>) -> Result<Output, Error> {
        let subcommand = self.subcommand.clone();
        let mut stopped = false;
        let ended =
            self.judge(|child, input, limit| process::watch(child, input, limit, watch, &mut stopped));
        if stopped { Err(Error::Stopped { subcommand }) } else { ended }
    }

    /// Runs it and passes its output to `take`, piece by piece, until `take` has enough; none of it is kept.
    ///
    /// # Errors
    /// An error of `take` as [`Error::Io`], or as [`Invocation::run`].
    pub fn stream(self, mut take: impl FnMut(&[u8]) -> io::Result<ControlFlow<()>>) -> Result<(), Error> {
        let mut command = self.build();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let subcommand = self.subcommand;
        let failed = |source| Error::Io { subcommand: subcommand.clone(), source };
        let mut child = command.spawn().map_err(failed)?;
        let mut answer = child.stdout.take();
        let passed = process::pieces(answer.as_mut(), &mut take);
        // A command whose output is no longer needed ends when its pipe is closed.
        drop(answer);
        let status = child.wait().map_err(failed)?;
        match passed.map_err(failed)? {
            ControlFlow::Continue(()) if !status.success() => {
                let stderr = Stderr(String::new());
                Err(Error::Failed { subcommand, status: status.code(), stderr })
            }
            _ => Ok(()),
        }
    }

    fn judge(
        self,
        converse: impl FnOnce(Child, Option<Vec<u8>>, u64) -> io::Result<process::Said>,
    ) -> Result<Output, Error> {
        let mut command = self.build();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let Self { subcommand, input, limit, .. } = self;
        let failed = |source| Error::Io { subcommand: subcommand.clone(), source };
        let child = command.spawn().map_err(failed)?;
        let said = converse(child, input, limit).map_err(failed)?;
        if said.stdout.len() as u64 > limit {
            return Err(Error::OutputTooLong { subcommand, limit });
        }
        let stderr = String::from_utf8_lossy(&said.stderr);
        let stderr = stderr.trim_end();
        match said.status {
            // It can contain the URL of a page that the server offers, with its query.
            Some(0) => Ok(Output { stdout: said.stdout, stderr: Stderr(stderr.to_owned()) }),
            status => Err(Error::Failed { subcommand, status, stderr: Stderr::of(stderr) }),
        }
    }

    fn build(&self) -> Command {
        // With this option git reports the pager `cat`; but `git var` does not have it.
        let no_pager = (self.subcommand != "var").then(|| "--no-pager".into());
        let mut line: Vec<OsString> = no_pager.into_iter().collect();
        line.extend(["-c".into(), "core.fsmonitor=false".into()]);
        for setting in &self.config {
            line.extend(["-c".into(), setting.into()]);
        }
        line.push((&self.subcommand).into());
        line.extend(self.args.iter().cloned());
        if let Some(observer) = self.git.observer {
            observer(&line.iter().map(|word| url::redacted(word)).collect::<Vec<_>>());
        }
        let mut command = Command::new(self.git.program);
        command.current_dir(&self.git.dir).args(line);
        self.git.set_repository(&mut command);
        if !self.git.clean {
            command.env("GIT_NO_REPLACE_OBJECTS", "1");
        }
        command.env("LC_ALL", "C").env_remove("LANGUAGE");
        if !io::stderr().is_terminal() {
            command.env("GIT_TERMINAL_PROMPT", "0");
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Returns the object directories of other repositories that the environment names, to find their LFS storage.
pub fn alternate_object_directories() -> Vec<PathBuf> {
    let dirs = std::env::var_os("GIT_ALTERNATE_OBJECT_DIRECTORIES").unwrap_or_default();
    std::env::split_paths(&dirs).filter(|dir| !dir.as_os_str().is_empty()).collect()
}

/// Returns the directory of the objects that only a hook of a server can see: `GIT_OBJECT_DIRECTORY`.
pub fn object_directory() -> Option<PathBuf> {
    std::env::var_os("GIT_OBJECT_DIRECTORY").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// Returns `true` if the environment names a repository.
pub fn names_git_dir() -> bool {
    variable("GIT_DIR").is_some()
}

/// Returns `true` if the environment decides whether repositories are searched for across file systems.
pub fn has_discovery_setting() -> bool {
    variable("GIT_DISCOVERY_ACROSS_FILESYSTEM").is_some()
}

/// Returns a variable of the environment.
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Returns the first git in an absolute directory of `PATH`.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(|| find_program("git")).as_deref()
}

/// Returns the first program of this name in an absolute directory of `PATH`; on Windows also one that git brings.
pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    find_in(&path, name).or_else(|| {
        let git = find_in(&path, "git").filter(|_| cfg!(windows))?;
        find_in(&std::env::join_paths(tools_of(&git)).ok()?, name)
    })
}

/// Where Git for Windows has its shell and ssh, which only git itself adds to `PATH`: it is `cmd\git.exe`,
/// `bin\git.exe` or `mingw64\bin\git.exe`, and they are in `usr\bin`.
fn tools_of(git: &Path) -> impl Iterator<Item = PathBuf> {
    git.ancestors().skip(2).take(2).map(|top| top.join("usr").join("bin"))
}

fn find_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(&name))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git() -> Git<'static> {
        Git::at(std::env::temp_dir()).unwrap()
    }

    #[test]
    fn an_answer_and_a_failure() {
        assert!(git().command("version").run().unwrap().text().starts_with("git version "));
        let err = git().command("hash-object").args(["--no-such-option"]).run().unwrap_err();
        let Error::Failed { subcommand, status: Some(129), stderr } = err else { panic!("{err}") };
        assert_eq!(subcommand, "hash-object");
        assert!(stderr.0.contains("no-such-option"), "{stderr}");
    }

    #[test]
    fn input_is_read_and_output_is_bounded() {
        let hash =
            |input: Vec<u8>| git().command("hash-object").args(["--stdin"]).input(input).run().unwrap();
        assert_eq!(hash(Vec::new()).text(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(hash(vec![0; 1 << 20]).text().len(), 40);
        let err = git().command("help").args(["-a"]).limit(10).run().unwrap_err();
        assert!(matches!(err, Error::OutputTooLong { limit: 10, .. }), "{err}");
        // A command that reads nothing must not hang or fail.
        git().command("version").input(vec![0; 1 << 20]).run().unwrap();
    }

    #[test]
    fn a_setting_reaches_the_command_and_the_observer_sees_it() {
        let seen = std::sync::Mutex::new(Vec::new());
        let tell = |line: &[OsString]| seen.lock().unwrap().extend_from_slice(line);
        let git = git().observed(Some(&tell));
        let answer = git.command("config").config("st-convert.jobs", "3").args(["st-convert.jobs"]).run();
        assert_eq!(answer.unwrap().text(), "3");
        assert!(seen.lock().unwrap().contains(&"st-convert.jobs=3".into()));
    }

    #[test]
    fn the_shell_of_git_for_windows_is_beside_it() {
        for git in ["/Git/cmd/git.exe", "/Git/mingw64/bin/git.exe"] {
            assert!(tools_of(Path::new(git)).any(|dir| dir == Path::new("/Git/usr/bin")), "{git}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_working_directory_is_not_searched() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("git");
        std::fs::write(&file, "").unwrap();
        assert_eq!(find_in(dir.path().as_os_str(), "git"), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_in(dir.path().as_os_str(), "git"), Some(file));
        assert_eq!(find_in(OsStr::new(":.:bin"), "git"), None);
    }
}
