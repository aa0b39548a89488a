//! Runs a command on another machine, by the ssh that git itself would use.
//!
//! Source: `GIT_SSH_COMMAND`, `core.sshCommand`, `GIT_SSH`, `GIT_SSH_VARIANT` and `ssh.variant` in git(1) and
//! git-config(1). Invariants: the program is the one that the user configured, or `ssh` in an absolute directory of
//! `PATH`; the destination follows `--` if the program supports that, and the caller has refused one that looks like an
//! option; the output is bounded.
#![expect(clippy::disallowed_methods, reason = "starts ssh, and reads what git's environment says about it")]

use std::ffi::OsString;
use std::process::{Command, Stdio};

use super::command::{Git, find_program};
use super::error::{Error, Stderr};
use super::pipe::Pipe;
use super::process::{Said, converse};

/// The most bytes of output.
const MAX_ANSWER: u64 = 1 << 20;

/// The exit status of a shell for an unknown command.
const NOT_FOUND: i32 = 127;

/// The destination of an ssh connection.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The user on the other machine.
    pub user: Option<&'a str>,
    /// The host, not starting with `-`.
    pub host: &'a str,
    /// The port, if it differs from ssh's own configuration.
    pub port: Option<u16>,
}

/// The result of a command on the other machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The output of the command.
    Said(Vec<u8>),
    /// The command does not exist.
    NoSuchCommand,
}

/// Runs a command on the other machine, whose shell reads it.
///
/// # Errors
/// [`Error::Io`], [`Error::Failed`] with the messages of ssh or the command, [`Error::OutputTooLong`].
pub fn run(git: &Git<'_>, to: &Destination<'_>, remote_command: &str) -> Result<Answer, Error> {
    let subcommand = "ssh".to_owned();
    let mut command = build(git, to, remote_command)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let io = |source| Error::Io { subcommand: "ssh".to_owned(), source };
    let child = command.spawn().map_err(io)?;
    let Said { status, stdout, stderr } = converse(child, None, MAX_ANSWER).map_err(io)?;
    let stderr = String::from_utf8_lossy(&stderr);
    let stderr = stderr.trim_end();
    match status {
        _ if stdout.len() as u64 > MAX_ANSWER => Err(Error::OutputTooLong { subcommand, limit: MAX_ANSWER }),
        Some(0) => Ok(Answer::Said(stdout)),
        Some(status) if is_unknown(status, stderr, remote_command) => Ok(Answer::NoSuchCommand),
        status => Err(Error::Failed { subcommand, status, stderr: Stderr::of(stderr) }),
    }
}

/// Some servers report an unknown command with another status than a shell.
fn is_unknown(status: i32, said: &str, remote_command: &str) -> bool {
    let name = remote_command.split(' ').next().unwrap_or_default();
    let said = said.to_ascii_lowercase();
    let forms = ["{}: not found", "{}: command not found", "{}: no such file", "command not found: {}"];
    status == NOT_FOUND || forms.iter().any(|form| said.contains(&form.replace("{}", name)))
}

/// Starts a command on the other machine, for an exchange of bytes.
///
/// # Errors
/// [`Error::Io`]
pub fn open(git: &Git<'_>, to: &Destination<'_>, remote_command: &str) -> Result<Pipe, Error> {
    Pipe::start(build(git, to, remote_command)?, "ssh")
}

fn build(git: &Git<'_>, to: &Destination<'_>, remote_command: &str) -> Result<Command, Error> {
    let shell = std::env::var_os("GIT_SSH_COMMAND").filter(|command| !command.is_empty());
    let shell = shell.or_else(|| setting(git, "core.sshCommand"));
    let program = std::env::var_os("GIT_SSH").filter(|program| !program.is_empty());
    let name = shell.clone().or_else(|| program.clone()).unwrap_or_else(|| "ssh".into());
    let mut args = arguments(variant(git, &name), to);
    args.push(remote_command.into());
    let (program, before): (OsString, Vec<OsString>) = match (shell, program) {
        // As git runs it: a line for the shell, with our arguments appended unchanged.
        (Some(line), _) => {
            let mut line = line;
            line.push(" \"$@\"");
            let shell = find_program("sh").ok_or(Error::NotInstalled)?;
            let name = OsString::from("ssh");
            (shell.into(), vec!["-c".into(), line, name])
        }
        (None, Some(program)) => (program, Vec::new()),
        (None, None) => (find_program("ssh").unwrap_or_else(|| "/usr/bin/ssh".into()).into(), Vec::new()),
    };
    let line: Vec<_> = std::iter::once(OsString::from("ssh")).chain(args.iter().cloned()).collect();
    git.observe(&line);
    let mut command = Command::new(program);
    command.args(before).args(args).current_dir(git.dir()).env("LC_ALL", "C").env_remove("LANGUAGE");
    Ok(command)
}

/// The variants of ssh that git knows, by their option for a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    OpenSsh,
    Simple,
    Putty,
    Tortoise,
}

fn variant(git: &Git<'_>, command: &OsString) -> Variant {
    let named = std::env::var_os("GIT_SSH_VARIANT").or_else(|| setting(git, "ssh.variant"));
    match named.as_deref().and_then(|name| name.to_str()).unwrap_or("auto") {
        "simple" => return Variant::Simple,
        "plink" | "putty" => return Variant::Putty,
        "tortoiseplink" => return Variant::Tortoise,
        "auto" => {}
        _ => return Variant::OpenSsh,
    }
    let command = command.to_string_lossy();
    let word = command.split_whitespace().next().unwrap_or_default().trim_matches(['\'', '"']);
    let base = word.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    match base.strip_suffix(".exe").unwrap_or(&base) {
        "plink" => Variant::Putty,
        "tortoiseplink" => Variant::Tortoise,
        _ => Variant::OpenSsh,
    }
}

fn arguments(variant: Variant, to: &Destination<'_>) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    if variant == Variant::Tortoise {
        args.push("-batch".into());
    }
    if let Some(port) = to.port.filter(|_| variant != Variant::Simple) {
        let option = if variant == Variant::OpenSsh { "-p" } else { "-P" };
        args.extend([option.into(), port.to_string().into()]);
    }
    if variant == Variant::OpenSsh {
        args.push("--".into());
    }
    args.push(to.user.map_or_else(|| to.host.to_owned(), |user| format!("{user}@{}", to.host)).into());
    args
}

fn setting(git: &Git<'_>, key: &str) -> Option<OsString> {
    let answer = git.command("config").args(["--get", key]).run().ok()?;
    Some(answer.text()).filter(|value| !value.is_empty()).map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_never_an_option() {
        let to = Destination { user: Some("git"), host: "h.example", port: Some(2222) };
        let args = |variant| {
            arguments(variant, &to).into_iter().map(|arg| arg.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(args(Variant::OpenSsh), ["-p", "2222", "--", "git@h.example"]);
        assert_eq!(args(Variant::Putty), ["-P", "2222", "git@h.example"]);
        assert_eq!(args(Variant::Tortoise), ["-batch", "-P", "2222", "git@h.example"]);
        assert_eq!(args(Variant::Simple), ["git@h.example"]);
    }

    #[test]
    fn a_command_that_is_not_there_is_no_failure() {
        let command = "git-lfs-authenticate a/b download";
        assert!(is_unknown(127, "", command));
        assert!(is_unknown(1, "Gerrit: git-lfs-authenticate: not found", command));
        assert!(is_unknown(2, "zsh: command not found: git-lfs-authenticate", command));
        assert!(!is_unknown(1, "repository not found", command));
        assert!(!is_unknown(255, "Permission denied (publickey).", command));
    }
}
