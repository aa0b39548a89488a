//! [`Agent`] runs a program that the user set up to transfer LFS objects (`lfs.customtransfer.<name>.path`), and
//! exchanges lines with it.
//!
//! Source: `tq/custom.go` and `subprocess/` of Git LFS: a line for the shell, the path in single quotes and the
//! arguments after it unchanged; `GIT_TRACE` is not passed on. Invariants: the line comes from the user's own
//! configuration; the program's environment contains no token of the user, except one that the caller gives to its git
//! commands for one origin; a line that it writes is bounded; the program ends with the [`Agent`]. The module does not
//! know the meaning of the lines.
#![expect(clippy::disallowed_methods, reason = "starts the transfer agent of the person")]

use std::ffi::OsString;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use super::command::{Git, find_program};
use super::error::{Error, Stderr};
use super::network::Token;
use super::pipe::{Pipe, Received};

/// The longest line that is read.
pub const MAX_LINE: usize = 64 << 10;

/// Variables with tokens of the user. A program that needs one gets it from the server's response, or from git.
const TOKENS: [&str; 4] =
    ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];

/// The result of waiting for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line of more than [`MAX_LINE`] bytes.
    TooLong,
    /// The program closed its output.
    End,
    /// The program wrote nothing for that time.
    Nothing,
}

/// A running program.
#[derive(Debug)]
pub struct Agent {
    pipe: Pipe,
    /// The bytes after the last line.
    rest: Vec<u8>,
}

impl Agent {
    /// Starts it in the directory of `git`. Its `git credential fill` returns `token` for the origin of that token.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotInstalled`] without a shell.
    pub fn start(git: &Git<'_>, path: &str, arguments: &str, token: Option<&Token>) -> Result<Self, Error> {
        // The arguments may contain a password, so they are not shown.
        git.observe(&[OsString::from(path)]);
        let shell = find_program("sh").ok_or(Error::NotInstalled)?;
        let mut command = Command::new(shell);
        command.arg("-c").arg(line(path, arguments));
        git.in_its_place(&mut command);
        for name in TOKENS.into_iter().chain(["GIT_TRACE"]) {
            command.env_remove(name);
        }
        if let Some(token) = token {
            token.give(&mut command);
        }
        Ok(Self { pipe: Pipe::start(command, path)?, rest: Vec::new() })
    }

    /// Sends it a line, which is written as soon as it reads. A program that no longer reads is detected by its
    /// silence.
    pub fn say(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.pipe.send(line, &|| true);
    }

    /// Waits for its next line.
    pub fn hear(&mut self, patience: Duration) -> Heard {
        let since = Instant::now();
        loop {
            if let Some(end) =
                self.rest.iter().take(MAX_LINE.saturating_add(1)).position(|byte| *byte == b'\n')
            {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.truncate(line.trim_ascii_end().len());
                return Heard::Line(line);
            }
            if self.rest.len() > MAX_LINE {
                return Heard::TooLong;
            }
            match self.pipe.receive(patience.saturating_sub(since.elapsed())) {
                Received::Bytes(bytes) => self.rest.extend(bytes),
                Received::End if self.rest.is_empty() => return Heard::End,
                Received::End => return Heard::Line(std::mem::take(&mut self.rest)),
                Received::Nothing => return Heard::Nothing,
            }
        }
    }

    /// Returns the end of its standard error.
    pub fn words(&self) -> Stderr {
        self.pipe.words()
    }

    /// Returns its exit status, after a moment for it to end; `None` if it runs on.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.pipe.status()
    }

    /// Asks it to end by a last line, and waits for that.
    pub fn end(self, line: Vec<u8>) {
        self.say(line);
        self.pipe.end();
    }
}

/// Returns the line for the shell. A shell between this program and the agent would end in place of the agent, so the
/// agent replaces it. A shell that has to do more waits for the agent before it obeys a signal, which also keeps
/// the agent in the list of its child processes.
fn line(path: &str, arguments: &str) -> String {
    let path = path.replace('\'', r"'\''");
    if arguments.contains(['&', ';', '|', '\n']) {
        format!("trap 'exit 143' TERM; '{path}' {arguments}")
    } else {
        format!("exec '{path}' {arguments}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(path: &str, arguments: &str) -> Agent {
        Agent::start(&Git::at(std::env::temp_dir()).unwrap(), path, arguments, None).unwrap()
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn lines_go_both_ways_and_the_arguments_are_for_a_shell() {
        let mut agent = agent("sh", "-c 'echo \"$0\"; exec cat' \"$(echo two words)\" 2>&1");
        assert_eq!(agent.hear(SOON), Heard::Line(b"two words".to_vec()));
        agent.say(b"one".to_vec());
        agent.say(vec![b'x'; MAX_LINE]);
        assert_eq!(agent.hear(SOON), Heard::Line(b"one".to_vec()));
        // `assert_eq` would print the long line.
        assert!(agent.hear(SOON) == Heard::Line(vec![b'x'; MAX_LINE]));
        assert_eq!(agent.hear(Duration::from_millis(50)), Heard::Nothing);
        agent.say(vec![b'x'; MAX_LINE + 1]);
        assert!(agent.hear(SOON) == Heard::TooLong);
        agent.end(b"last".to_vec());
    }

    #[test]
    fn one_that_ends_leaves_its_last_words() {
        let mut agent =
            agent("sh", "-c 'head -c 90000 /dev/zero | tr \"\\0\" x >&2; echo why >&2; echo out; exit 3'");
        assert_eq!(agent.hear(SOON), Heard::Line(b"out".to_vec()));
        assert_eq!(agent.hear(SOON), Heard::End);
        let since = Instant::now();
        while !agent.words().0.ends_with("why") && since.elapsed() < SOON {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(agent.words().0.ends_with("why") && agent.words().0.len() <= 64 << 10);
    }

    #[test]
    fn one_that_reads_nothing_and_one_that_does_not_end_are_not_waited_for() {
        let script = "-c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done'";
        // With more for the shell to do, the shell is the parent of the agent.
        for arguments in [script.to_owned(), format!("{script}; echo more")] {
            let since = Instant::now();
            let mut agent = agent("sh", &arguments);
            let Heard::Line(id) = agent.hear(SOON) else { panic!("{arguments}") };
            let line = format!("/proc/{}/cmdline", String::from_utf8(id).unwrap());
            agent.say(vec![b'x'; 1 << 20]);
            drop(agent);
            while std::fs::read(&line).is_ok_and(|line| !line.is_empty()) && since.elapsed() < SOON {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(since.elapsed() < SOON, "{arguments}");
        }
    }

    #[test]
    fn its_exit_status_is_its_own() {
        for arguments in ["-c 'exit 3'", "-c 'exit 3' 2>&1"] {
            let mut agent = agent("sh", arguments);
            assert_eq!(agent.hear(SOON), Heard::End);
            assert_eq!(agent.status().and_then(|status| status.code()), Some(3), "{arguments}");
        }
    }
}
