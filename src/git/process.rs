//! Exchanges data with a running command: [`converse`] returns its output at the end, [`watch`] reports it as it
//! arrives.
//!
//! Invariants: all streams are served at once, so that neither side waits forever; the kept part of each is bounded;
//! and a command that must stop is asked first, so that git removes its locks and temporary files itself.

use std::io::{self, Read, Write as _};
use std::ops::ControlFlow;
#[cfg(unix)]
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, poll};
#[cfg(unix)]
use rustix::io::Errno;

/// The kept bytes of a command's standard error; the rest is read and dropped.
const MAX_STDERR: usize = 1 << 20;

/// Bytes per read. Most commands say less, and the memory of a buffer costs time, too.
const STEP: usize = 16 << 10;

/// The interval of the checks of a watched command.
const TICK: Duration = Duration::from_millis(50);

/// How long the output of a command is read after it ended, if a process that it started keeps its streams open (ssh's
/// `ControlPersist`, the cache of a credential helper).
const GRACE: Duration = Duration::from_secs(1);

/// How long a command may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The output of a command, and how it ended.
pub(super) struct Said {
    /// `None` if a signal ended it.
    pub(super) status: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// The observer of a command.
pub struct Watch<'a> {
    /// Receives each line of standard error, without its end, which is a line feed or a carriage return. Returns `true`
    /// if the line need not be kept.
    pub line: &'a dyn Fn(&str) -> bool,
    /// Returns `true` to stop.
    pub stop: &'a dyn Fn() -> bool,
}

/// Feeds the process and reads its output. A process that writes more than `limit` is killed, and its output is one
/// byte too long.
pub(super) fn converse(mut child: Child, input: Option<Vec<u8>>, limit: u64) -> io::Result<Said> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        if input.is_some() {
            scope.spawn(move || feed(stdin, input));
        } else {
            drop(stdin);
        }
        let mut stdout = Kept::new(stdout, limit.saturating_add(1));
        let mut stderr = Kept::new(stderr, MAX_STDERR as u64);
        let read = read_both(&mut stdout, &mut stderr, || child.kill());
        if read.is_err() {
            child.kill()?;
        }
        let status = child.wait()?.code();
        read?;
        Ok(Said { status, stdout: stdout.bytes, stderr: stderr.bytes })
    })
}

/// A stream of which the first bytes are kept.
struct Kept<R> {
    /// `None` at its end.
    from: Option<R>,
    bytes: Vec<u8>,
    limit: u64,
}

impl<R: Read> Kept<R> {
    fn new(from: Option<R>, limit: u64) -> Self {
        Self { from, bytes: Vec::new(), limit }
    }

    fn is_full(&self) -> bool {
        self.bytes.len() as u64 >= self.limit
    }

    /// Reads once.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let Some(from) = &mut self.from else { return Ok(()) };
        match from.read(buffer) {
            Ok(0) => self.from = None,
            Ok(count) => {
                let room = usize::try_from(self.limit).unwrap_or(usize::MAX) - self.bytes.len();
                self.bytes.extend_from_slice(buffer.get(..count.min(room)).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Reads both streams to their ends in this thread, because a thread for the second one takes longer than the shortest
/// commands. If the limit of `stdout` is reached, `stop` is called and the rest of it is not read.
#[cfg(unix)]
fn read_both<O: Read + AsFd, E: Read + AsFd>(
    stdout: &mut Kept<O>,
    stderr: &mut Kept<E>,
    stop: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let mut stop = Some(stop);
    let mut buffer = vec![0; STEP];
    while stdout.from.is_some() || stderr.from.is_some() {
        let (is_out, is_err) = readable(stdout.from.as_ref(), stderr.from.as_ref())?;
        if is_out {
            stdout.step(&mut buffer)?;
        }
        // An error of the second stream loses a message, and no result.
        if is_err && stderr.step(&mut buffer).is_err() {
            stderr.from = None;
        }
        if stdout.is_full()
            && let Some(stop) = stop.take()
        {
            stdout.from = None;
            stop()?;
        }
    }
    Ok(())
}

/// Waits until at least one stream can be read or is at its end.
#[cfg(unix)]
fn readable<O: AsFd, E: AsFd>(stdout: Option<&O>, stderr: Option<&E>) -> io::Result<(bool, bool)> {
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
        return Ok((stdout.is_some(), stderr.is_some()));
    };
    let mut both = [PollFd::new(stdout, PollFlags::IN), PollFd::new(stderr, PollFlags::IN)];
    match poll(&mut both, None) {
        Ok(_) => Ok((!both[0].revents().is_empty(), !both[1].revents().is_empty())),
        Err(Errno::INTR) => Ok((false, false)),
        Err(error) => Err(error.into()),
    }
}

/// Reads both streams to their ends, the second one in a thread. If the limit of `stdout` is reached, `stop` is called
/// and the rest of it is not read.
#[cfg(not(unix))]
fn read_both<O: Read, E: Read + Send>(
    stdout: &mut Kept<O>,
    stderr: &mut Kept<E>,
    stop: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; STEP];
            while stderr.from.is_some() && stderr.step(&mut buffer).is_ok() {}
            stderr.from = None;
        });
        let mut buffer = vec![0; STEP];
        let mut read = Ok(());
        while read.is_ok() && stdout.from.is_some() && !stdout.is_full() {
            read = stdout.step(&mut buffer);
        }
        // Otherwise the thread waits for the command, and the command for a reader.
        if read.is_err() || stdout.is_full() {
            stop()?;
        }
        read
    })
}

fn feed(stdin: Option<ChildStdin>, input: Option<Vec<u8>>) {
    if let (Some(mut stdin), Some(input)) = (stdin, input) {
        // A process that needs no more input closes it; its exit status shows whether it succeeded.
        let _unread = stdin.write_all(&input);
    }
}

/// Passes on the output of a command until `take` has enough.
pub(super) fn pieces(
    from: Option<&mut impl Read>,
    take: &mut dyn FnMut(&[u8]) -> io::Result<ControlFlow<()>>,
) -> io::Result<ControlFlow<()>> {
    let Some(from) = from else { return Ok(ControlFlow::Continue(())) };
    let mut buffer = vec![0; 64 << 10];
    loop {
        let taken = match from.read(&mut buffer) {
            Ok(0) => return Ok(ControlFlow::Continue(())),
            Ok(count) => take(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if taken.is_break() {
            return Ok(taken);
        }
    }
}

/// A piece of the output of a command.
enum Piece {
    Answer(Vec<u8>),
    Word(Vec<u8>),
}

/// As [`converse`], and reports each line. `stopped` becomes `true` if the observer stopped it.
pub(super) fn watch(
    mut child: Child,
    input: Option<Vec<u8>>,
    limit: u64,
    watch: &Watch<'_>,
    stopped: &mut bool,
) -> io::Result<Said> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (tell, told) = mpsc::channel();
    // The threads are not joined: a process that the command leaves behind may keep a stream open.
    thread::spawn(move || feed(stdin, input));
    let tell_answer = tell.clone();
    thread::spawn(move || stdout.map(|stdout| pass_on(stdout, &tell_answer, Piece::Answer)));
    thread::spawn(move || stderr.map(|stderr| pass_on(stderr, &tell, Piece::Word)));

    let (mut answer, mut words) = (Vec::new(), Lines::default());
    let (mut ended, mut asked): (Option<(ExitStatus, Instant)>, Option<Instant>) = (None, None);
    let mut is_closed = false;
    let status = loop {
        match told.recv_timeout(TICK) {
            Ok(Piece::Answer(bytes)) => {
                let room = limit.saturating_add(1).saturating_sub(answer.len() as u64);
                answer.extend(bytes.into_iter().take(usize::try_from(room).unwrap_or(usize::MAX)));
                if answer.len() as u64 > limit {
                    child.kill()?;
                }
            }
            Ok(Piece::Word(bytes)) => words.push(&bytes, watch.line),
            Err(RecvTimeoutError::Timeout) => {}
            // It ends soon, and nothing else arrives.
            Err(RecvTimeoutError::Disconnected) if is_closed => thread::sleep(Duration::from_millis(2)),
            Err(RecvTimeoutError::Disconnected) => is_closed = true,
        }
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        if let Some((status, since)) = ended
            && (is_closed || since.elapsed() > GRACE)
        {
            break status;
        }
        if asked.is_none() && (watch.stop)() {
            (*stopped, asked) = (true, Some(Instant::now()));
            ask_to_stop(&mut child)?;
        }
        if asked.is_some_and(|since| since.elapsed() > PATIENCE) {
            child.kill()?;
        }
    };
    Ok(Said { status: status.code(), stdout: answer, stderr: words.finish(watch.line) })
}

fn pass_on(mut from: impl Read, tell: &Sender<Piece>, piece: impl Fn(Vec<u8>) -> Piece) {
    let mut buf = vec![0; 16 << 10];
    while let Ok(len @ 1..) = from.read(&mut buf) {
        if tell.send(piece(buf.get(..len).unwrap_or_default().to_vec())).is_err() {
            break;
        }
    }
}

/// The standard error, split into lines, without those that need not be kept.
#[derive(Default)]
struct Lines {
    kept: Vec<u8>,
    open: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], line: &dyn Fn(&str) -> bool) {
        for byte in bytes {
            if matches!(byte, b'\n' | b'\r') {
                self.close(line);
            } else if self.open.len() < MAX_STDERR {
                self.open.push(*byte);
            }
        }
    }

    fn close(&mut self, line: &dyn Fn(&str) -> bool) {
        let open = std::mem::take(&mut self.open);
        let drops = open.is_empty() || line(&String::from_utf8_lossy(&open));
        if !drops && self.kept.len() + open.len() < MAX_STDERR {
            self.kept.extend(open);
            self.kept.push(b'\n');
        }
    }

    fn finish(mut self, line: &dyn Fn(&str) -> bool) -> Vec<u8> {
        self.close(line);
        self.kept
    }
}

/// Asks git to stop with a signal at which it cleans up. A helper of it that waits for a server would not notice that
/// git is gone, so it gets the signal, too, if it can be found. (At a terminal, the key sends the signal to all of
/// them.)
#[cfg(unix)]
pub(super) fn ask_to_stop(child: &mut Child) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let id = Pid::from_child(child);
    let helpers = pids(child.id());
    match kill_process(id, Signal::TERM) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(err) => return Err(err.into()),
    }
    for helper in helpers {
        // It may have ended together with git.
        let _gone = kill_process(helper, Signal::TERM);
    }
    Ok(())
}

/// Kills a process, and the helpers of it that can be found, which may have ignored the other signal.
#[cfg(unix)]
pub(super) fn kill(child: &mut Child) {
    use rustix::process::{Signal, kill_process};
    let helpers = pids(child.id());
    let _killed = child.kill();
    for helper in helpers {
        let _gone = kill_process(helper, Signal::KILL);
    }
    let _status = child.wait();
}

#[cfg(not(unix))]
pub(super) fn kill(child: &mut Child) {
    let _killed = child.kill();
    let _status = child.wait();
}

#[cfg(unix)]
fn pids(id: u32) -> Vec<rustix::process::Pid> {
    let helpers = descendants(id).into_iter();
    helpers.filter_map(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?)).collect()
}

/// Returns the child processes of a process, and theirs; none if the system does not list them.
#[cfg(unix)]
fn descendants(id: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children: Vec<u32> = listed.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    children.iter().flat_map(|child| std::iter::once(*child).chain(descendants(*child))).collect()
}

#[cfg(not(unix))]
pub(super) fn ask_to_stop(child: &mut Child) -> io::Result<()> {
    child.kill()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Starts a shell with these lines.
    #[cfg(unix)]
    #[expect(clippy::disallowed_methods, reason = "a process of this test")]
    fn sh(lines: &str) -> Child {
        use std::process::{Command, Stdio};
        let mut command = Command::new("sh");
        command.args(["-c", lines]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn both_streams_are_read_at_once_and_the_input_is_fed() {
        // Each stream gets more than a pipe contains before the other one gets anything.
        let zeros = "head -c 300000 /dev/zero";
        let child = sh(&format!("{zeros}; {zeros} >&2; cat; {zeros}; {zeros} >&2; exit 3"));
        let input = vec![b'x'; 200_000];
        let said = converse(child, Some(input.clone()), 1 << 20).unwrap();
        assert_eq!((said.status, said.stderr), (Some(3), vec![0; 600_000]));
        assert_eq!(said.stdout, [vec![0; 300_000], input, vec![0; 300_000]].concat());
    }

    #[cfg(unix)]
    #[test]
    fn one_stream_may_end_long_before_the_other() {
        let said = converse(sh("echo a; exec >&-; sleep 0.1; echo b >&2"), None, 100).unwrap();
        assert_eq!((said.stdout, said.stderr), (b"a\n".to_vec(), b"b\n".to_vec()));
        let said = converse(sh("echo a >&2; exec 2>&-; sleep 0.1; echo b"), None, 100).unwrap();
        assert_eq!((said.stdout, said.stderr), (b"b\n".to_vec(), b"a\n".to_vec()));
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_says_too_much_is_killed() {
        let said = converse(sh("while :; do echo aaaaaaaaaaaaaaaaaaa; done"), None, 1000).unwrap();
        assert_eq!((said.status, said.stdout.len()), (None, 1001));
        let said = converse(sh("head -c 1000 /dev/zero"), None, 1000).unwrap();
        assert_eq!((said.status, said.stdout.len()), (Some(0), 1000));
        // What is dropped of the other stream is read all the same.
        let said = converse(sh("head -c 3000000 /dev/zero >&2"), None, 1000).unwrap();
        assert_eq!((said.status, said.stderr.len()), (Some(0), MAX_STDERR));
    }

    #[test]
    fn lines_end_at_either_end_and_some_are_not_kept() {
        let seen = RefCell::new(Vec::new());
        let tell = |line: &str| {
            seen.borrow_mut().push(line.to_owned());
            line.contains('%')
        };
        let mut lines = Lines::default();
        for bytes in [&b"Receiving: 1%\rRecei"[..], b"ving: 2%\r\nfatal: ", b"no\xff\nlast"] {
            lines.push(bytes, &tell);
        }
        assert_eq!(lines.finish(&tell), b"fatal: no\xff\nlast\n");
        assert_eq!(*seen.borrow(), ["Receiving: 1%", "Receiving: 2%", "fatal: no\u{fffd}", "last"]);
    }
}
