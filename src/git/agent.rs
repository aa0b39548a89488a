//! [`Agent`]: a program that a person set up to transfer LFS objects (`lfs.customtransfer.<name>.path`), started and spoken
//! to line by line.
//!
//! Source: `tq/custom.go` and `subprocess/` of Git LFS: a line for the shell, the path in single quotes and the arguments
//! behind it as they are; `GIT_TRACE` is not passed on. Invariants: the line is the person's own; no token of the Hub's is
//! in the program's environment; a line that it writes has a bound, and so has what is kept of its standard error; neither
//! side waits for the other for ever; dropped, it is gone. It does not know what the lines say.
#![expect(clippy::disallowed_methods, reason = "starts the transfer agent of the person")]

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::command::{Git, find_program};
use super::error::{Error, Stderr};
use super::process::ask_to_stop;

/// The longest line that is taken.
pub const MAX_LINE: usize = 64 << 10;

/// How much of standard error is kept: the last of it.
const MAX_WORDS: usize = 4 << 10;

/// How long one that was told to end may take, as git-lfs has it; and one that was not.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));

/// How often it is looked whether it ended.
const TICK: Duration = Duration::from_millis(5);

/// What opens the person's accounts. A program that needs one is given it by the server's answer, or asks git.
const TOKENS: [&str; 4] =
    ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];

/// What came of waiting for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line of more than [`MAX_LINE`] bytes.
    TooLong,
    /// It writes no more.
    End,
    /// It wrote nothing for so long.
    Nothing,
}

/// A program that runs.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    /// Lines on their way to it; none any more once it was told to end.
    to: Option<Sender<Vec<u8>>>,
    from: Receiver<Heard>,
    words: Arc<Mutex<Vec<u8>>>,
    patience: Duration,
}

impl Agent {
    /// Starts it in the directory of `git`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotInstalled`] where there is no shell.
    pub fn start(git: &Git<'_>, path: &str, arguments: &str) -> Result<Self, Error> {
        // What stands behind the program may be a password: it is not shown.
        git.observe(&[OsString::from(path)]);
        let shell = find_program("sh").ok_or(Error::NotInstalled)?;
        let mut command = Command::new(shell);
        command.arg("-c").arg(format!("'{}' {arguments}", path.replace('\'', r"'\''")));
        git.in_its_place(&mut command);
        for name in TOKENS.into_iter().chain(["GIT_TRACE"]) {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |source| Error::Io { subcommand: path.to_owned(), source };
        let mut child = command.spawn().map_err(failed)?;
        let (to, lines) = mpsc::channel::<Vec<u8>>();
        let (say, from) = mpsc::sync_channel(64);
        let words = Arc::new(Mutex::new(Vec::new()));
        // None of them is waited for: what the program leaves behind may keep a stream open.
        if let Some(mut stdin) = child.stdin.take() {
            thread::spawn(move || {
                lines.iter().try_for_each(|line| stdin.write_all(&line).and_then(|()| stdin.flush()))
            });
        }
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || listen(stdout, &say));
        }
        if let Some(stderr) = child.stderr.take() {
            let words = Arc::clone(&words);
            thread::spawn(move || keep(stderr, &words));
        }
        Ok(Self { child, to: Some(to), from, words, patience: PATIENCE.1 })
    }

    /// Sends it a line, which is written as soon as it reads.
    pub fn say(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        if let Some(to) = &self.to {
            // One that reads no more says so by its silence.
            let _unread = to.send(line);
        }
    }

    /// Waits for its next line.
    pub fn hear(&self, patience: Duration) -> Heard {
        match self.from.recv_timeout(patience) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    /// The last of what it said on standard error.
    pub fn words(&self) -> Stderr {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        Stderr(String::from_utf8_lossy(&words).trim().to_owned())
    }

    /// Tells it, by a last line, to end, and gives it the time for that.
    pub fn end(mut self, line: Vec<u8>) {
        self.say(line);
        self.patience = PATIENCE.0;
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.to = None;
        let is_gone = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        let waited = |child: &mut Child, patience: Duration| {
            let since = Instant::now();
            while !is_gone(child) && since.elapsed() < patience {
                thread::sleep(TICK);
            }
            is_gone(child)
        };
        if self.patience == PATIENCE.0 && waited(&mut self.child, self.patience) {
            return;
        }
        let _asked = ask_to_stop(&mut self.child);
        if !waited(&mut self.child, PATIENCE.1) {
            let _killed = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

/// Hands on each line until one is too long, or nobody listens.
fn listen(stdout: impl Read, say: &SyncSender<Heard>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX).saturating_add(1);
        let read = (&mut stdout).take(limit).read_until(b'\n', &mut line);
        let heard = match read {
            Ok(0) | Err(_) => Heard::End,
            Ok(_) if line.len() > MAX_LINE => Heard::TooLong,
            Ok(_) => {
                let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
                line.truncate(end.map_or(0, |end| end.saturating_add(1)));
                Heard::Line(line)
            }
        };
        let is_last = !matches!(heard, Heard::Line(_));
        if say.send(heard).is_err() || is_last {
            return;
        }
    }
}

/// Keeps the last of what is said.
fn keep(mut stderr: impl Read, words: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1 << 10];
    loop {
        let read = match stderr.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let surplus = words.len().saturating_sub(MAX_WORDS);
        words.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(path: &str, arguments: &str) -> Agent {
        Agent::start(&Git::at(std::env::temp_dir()).unwrap(), path, arguments).unwrap()
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn lines_go_both_ways_and_the_arguments_are_for_a_shell() {
        let agent = agent("sh", "-c 'echo \"$0\"; exec cat' \"$(echo two words)\" 2>&1");
        assert_eq!(agent.hear(SOON), Heard::Line(b"two words".to_vec()));
        agent.say(b"one".to_vec());
        agent.say(vec![b'x'; MAX_LINE - 1]);
        assert_eq!(agent.hear(SOON), Heard::Line(b"one".to_vec()));
        assert_eq!(agent.hear(SOON), Heard::Line(vec![b'x'; MAX_LINE - 1]));
        assert_eq!(agent.hear(Duration::from_millis(50)), Heard::Nothing);
        agent.say(vec![b'x'; MAX_LINE]);
        assert_eq!(agent.hear(SOON), Heard::TooLong);
        agent.end(b"last".to_vec());
    }

    #[test]
    fn one_that_ends_leaves_its_last_words() {
        let agent =
            agent("sh", "-c 'head -c 9000 /dev/zero | tr \"\\0\" x >&2; echo why >&2; echo out; exit 3'");
        assert_eq!(agent.hear(SOON), Heard::Line(b"out".to_vec()));
        assert_eq!(agent.hear(SOON), Heard::End);
        let since = Instant::now();
        while !agent.words().0.ends_with("why") && since.elapsed() < SOON {
            thread::sleep(TICK);
        }
        assert!(agent.words().0.ends_with("why") && agent.words().0.len() <= MAX_WORDS);
    }

    #[test]
    fn one_that_reads_nothing_and_one_that_does_not_end_are_not_waited_for() {
        let since = Instant::now();
        let agent = agent("sh", "-c 'trap \"\" TERM; while :; do sleep 1; done'");
        agent.say(vec![b'x'; 1 << 20]);
        drop(agent);
        assert!(since.elapsed() < SOON);
    }
}
