//! [`Pipe`] exchanges bytes with a program while it runs.
//!
//! Invariants: neither side waits for the other forever: threads pass on the bytes of both directions, through channels
//! of bounded length; the kept part of standard error is bounded; if the pipe is dropped, the program ends. The module
//! does not know the meaning of the bytes.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Error, Stderr};
use super::process::{ask_to_stop, kill};

/// The kept bytes of standard error: the last ones. A reason may precede a list of calls.
const MAX_WORDS: usize = 64 << 10;

/// How many of them an error quotes.
const MAX_QUOTED: usize = 4 << 10;

/// Bytes per read.
const STEP: usize = 64 << 10;

/// How many pieces the channels contain at most.
const PIECES: usize = 16;

/// How long the program may take to end after it was asked to, as in git-lfs; and if it was not asked.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));

/// The interval of the checks whether the program has ended or reads on.
const TICK: Duration = Duration::from_millis(5);

/// The result of waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// The program closed its output.
    End,
    /// Nothing arrived in that time.
    Nothing,
}

/// A running program.
#[derive(Debug)]
pub struct Pipe {
    child: Child,
    /// The channel to it; `None` after it was asked to end.
    to: Option<SyncSender<Vec<u8>>>,
    from: Receiver<Vec<u8>>,
    words: Arc<Mutex<Vec<u8>>>,
    patience: Duration,
}

impl Pipe {
    /// Starts a program; `name` is its name in messages.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub(super) fn start(mut command: Command, name: &str) -> Result<Self, Error> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|source| Error::Io { subcommand: name.to_owned(), source })?;
        let (to, pieces) = mpsc::sync_channel::<Vec<u8>>(PIECES);
        let (say, from) = mpsc::sync_channel(PIECES);
        let words = Arc::new(Mutex::new(Vec::new()));
        // The threads are not joined: a process that the program leaves behind may keep a stream open.
        if let Some(mut stdin) = child.stdin.take() {
            thread::spawn(move || {
                pieces.iter().try_for_each(|piece| stdin.write_all(&piece).and_then(|()| stdin.flush()))
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

    /// Starts a shell that runs this script.
    #[cfg(test)]
    #[expect(clippy::disallowed_methods, reason = "tests speak to a script")]
    pub(crate) fn of_script(script: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Self::start(command, "sh").unwrap()
    }

    /// Sends bytes as soon as the program reads. Returns `false` if it does not read any more, or if `gives_up` returns
    /// `true` first.
    pub fn send(&self, mut bytes: Vec<u8>, gives_up: &dyn Fn() -> bool) -> bool {
        let Some(to) = &self.to else { return false };
        loop {
            match to.try_send(bytes) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(_)) if gives_up() => return false,
                Err(TrySendError::Full(back)) => bytes = back,
            }
            thread::sleep(TICK);
        }
    }

    /// Waits for its next output.
    pub fn receive(&self, patience: Duration) -> Received {
        match self.from.recv_timeout(patience) {
            Ok(bytes) => Received::Bytes(bytes),
            Err(RecvTimeoutError::Timeout) => Received::Nothing,
            Err(RecvTimeoutError::Disconnected) => Received::End,
        }
    }

    /// Returns the end of its standard error.
    pub fn words(&self) -> Stderr {
        self.last_words(MAX_WORDS)
    }

    fn last_words(&self, limit: usize) -> Stderr {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let last = words.get(words.len().saturating_sub(limit)..).unwrap_or_default();
        Stderr::of(String::from_utf8_lossy(last).trim())
    }

    /// Returns its exit status, after a moment for it to end; `None` if it runs on.
    pub fn status(&mut self) -> Option<ExitStatus> {
        waited(&mut self.child, PATIENCE.1);
        self.child.try_wait().ok().flatten()
    }

    /// Returns why it ended, as an error of this command, after a moment for the program to end.
    pub fn failure(mut self, name: &str) -> Error {
        self.to = None;
        let status = self.status().and_then(|status| status.code());
        // Its last message may still arrive after its other stream is closed.
        thread::sleep(TICK);
        Error::Failed { subcommand: name.to_owned(), status, stderr: self.last_words(MAX_QUOTED) }
    }

    /// Waits until the program, which was asked to end, ends by itself.
    pub fn end(mut self) {
        self.patience = PATIENCE.0;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.to = None;
        if self.patience == PATIENCE.0 && waited(&mut self.child, self.patience) {
            return;
        }
        if waited(&mut self.child, Duration::ZERO) {
            return;
        }
        let _asked = ask_to_stop(&mut self.child);
        if !waited(&mut self.child, PATIENCE.1) {
            kill(&mut self.child);
        }
    }
}

/// Waits until it has ended, at most for this time.
fn waited(child: &mut Child, patience: Duration) -> bool {
    let since = Instant::now();
    loop {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        if since.elapsed() >= patience {
            return false;
        }
        thread::sleep(TICK);
    }
}

/// Passes on its output until the receiver is gone.
fn listen(stdout: impl Read, say: &SyncSender<Vec<u8>>) {
    let mut buffer = vec![0; STEP];
    each(stdout, &mut buffer, |bytes| say.send(bytes.to_vec()).is_ok());
}

/// Keeps the end of its standard error.
fn keep(stderr: impl Read, words: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1 << 10];
    each(stderr, &mut buffer, |bytes| {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend_from_slice(bytes);
        let surplus = words.len().saturating_sub(MAX_WORDS);
        words.drain(..surplus);
        true
    });
}

fn each(mut from: impl Read, buffer: &mut [u8], mut take: impl FnMut(&[u8]) -> bool) {
    loop {
        match from.read(buffer) {
            Ok(0) => return,
            Ok(read) if take(buffer.get(..read).unwrap_or_default()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}
