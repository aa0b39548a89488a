//! [`Pipe`]: a program that is spoken to while it runs.
//!
//! Invariants: neither side waits for the other for ever: what is sent and what came is passed on by threads, through
//! channels of a bounded length; what is kept of standard error has a bound; dropped, the program is gone. It does not know
//! what is said.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Error, Stderr};
use super::process::ask_to_stop;

/// How much of standard error is kept: the last of it.
const MAX_WORDS: usize = 4 << 10;

/// How much is read at once.
const STEP: usize = 64 << 10;

/// How many pieces may be on their way.
const PIECES: usize = 16;

/// How long one that was told to end may take, as git-lfs has it; and one that was not.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));

/// How often it is looked whether it ended, or reads on.
const TICK: Duration = Duration::from_millis(5);

/// What came of waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// The program writes no more.
    End,
    /// Nothing in that time.
    Nothing,
}

/// A program that runs.
#[derive(Debug)]
pub struct Pipe {
    child: Child,
    /// Bytes on their way to it; none any more once it was told to end.
    to: Option<SyncSender<Vec<u8>>>,
    from: Receiver<Vec<u8>>,
    words: Arc<Mutex<Vec<u8>>>,
    patience: Duration,
}

impl Pipe {
    /// Starts a program, which messages call by this name.
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
        // None of them is waited for: what the program leaves behind may keep a stream open.
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

    /// A shell that runs this script.
    #[cfg(test)]
    #[expect(clippy::disallowed_methods, reason = "tests speak to a script")]
    pub(crate) fn of_script(script: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Self::start(command, "sh").unwrap()
    }

    /// Sends it bytes, as soon as it takes them. Returns `false` if it takes no more, or if `gives_up` says so first.
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

    /// Waits for what it writes next.
    pub fn receive(&self, patience: Duration) -> Received {
        match self.from.recv_timeout(patience) {
            Ok(bytes) => Received::Bytes(bytes),
            Err(RecvTimeoutError::Timeout) => Received::Nothing,
            Err(RecvTimeoutError::Disconnected) => Received::End,
        }
    }

    /// The last of what it said on standard error.
    pub fn words(&self) -> Stderr {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        Stderr(String::from_utf8_lossy(&words).trim().to_owned())
    }

    /// Why it ended, as an error of this command: it is given a moment to do so.
    pub fn failure(mut self, name: &str) -> Error {
        self.to = None;
        waited(&mut self.child, PATIENCE.1);
        let status = self.child.try_wait().ok().flatten().and_then(|status| status.code());
        // Its last words may be on their way when its other stream is closed already.
        thread::sleep(TICK);
        Error::Failed { subcommand: name.to_owned(), status, stderr: self.words() }
    }

    /// Lets it end by itself, for which it has time: it was told to.
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
            let _killed = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

/// Waits until it ended, but no longer than this.
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

/// Hands on what is read until nobody listens.
fn listen(stdout: impl Read, say: &SyncSender<Vec<u8>>) {
    let mut buffer = vec![0; STEP];
    each(stdout, &mut buffer, |bytes| say.send(bytes.to_vec()).is_ok());
}

/// Keeps the last of what is said.
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
