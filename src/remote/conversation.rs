//! [`Conversation`] exchanges lines of JSON with a transfer agent.
//!
//! ```text
//! {"event": "init", "operation", "remote", "concurrent", "concurrenttransfers"}   ─▶
//!                                                       ◀─  {} or {"error": {"code", "message"}}
//! {"event": "download" | "upload", "oid", "size", "path", "action"}               ─▶
//!                      ◀─  {"event": "progress", "oid", "bytesSoFar", "bytesSinceLast"}, any number of times
//!                      ◀─  {"event": "complete", "oid", "path" | "error": {"code", "message"}}
//! {"event": "terminate"}                                                          ─▶
//! ```
//!
//! Source: `docs/custom-transfers.md` and `tq/custom.go` of Git LFS. Invariants: a line, the number of lines for one
//! object, and the time without progress are bounded; an agent that violates the protocol is stopped; its own text is
//! redacted and truncated. The module does not read the file that an agent names.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cause::{AgentFault, Said};
use super::custom_agent::CustomAgent;
use super::error::{Error, Result};
use super::known::lock;
use super::operation::Operation;
use super::refusal::kept;
use super::wire::Wire;
use crate::git::agent::{Agent, Heard, MAX_LINE};
use crate::git::{self, Git, Token};
use crate::lfs::Pointer;

/// The most lines for one object.
const MAX_MESSAGES: u64 = 1 << 20;

/// How much longer than a server an agent may be silent: one that reports no progress still works.
const SILENCE: u32 = 20;

/// How many bytes extend the time by a second.
const BYTES_A_SECOND: u64 = 1 << 20;

/// The interval of the checks for an interruption by the user.
const WATCH: Duration = Duration::from_millis(50);

/// The interval of the checks for its last output.
const TICK: Duration = Duration::from_millis(5);

/// The default number of concurrent transfers in git-lfs.
const CONCURRENT: u64 = 8;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Message<'m> {
    Init { operation: Operation, remote: &'m str, concurrent: bool, concurrenttransfers: u64 },
    Upload { oid: String, size: u64, path: &'m str, action: Option<&'m Value> },
    Download { oid: String, size: u64, action: Option<&'m Value> },
    Terminate {},
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reply {
    event: Option<String>,
    oid: Option<String>,
    error: Option<Problem>,
    path: Option<String>,
    #[serde(rename = "bytesSoFar")]
    bytes_so_far: Option<i64>,
}

#[derive(Deserialize)]
struct Problem {
    code: Option<i64>,
    message: Option<String>,
}

/// The purpose of an agent.
pub(super) struct Purpose<'p> {
    pub(super) operation: Operation,
    /// The name of the remote, or its URL.
    pub(super) remote: &'p str,
    /// The token for the server that chose the agent.
    pub(super) token: Option<Token>,
}

/// A running agent.
pub(super) struct Conversation {
    agent: Agent,
    name: String,
    /// `true` if it violated the protocol, or did not finish a transfer.
    is_broken: bool,
}

/// The running agents, by name and operation: one of each at a time.
#[derive(Default)]
pub(super) struct Running(Mutex<Vec<(String, Operation, Conversation)>>);

impl Running {
    /// Does work with an agent, and starts it if it is not running.
    ///
    /// # Errors
    /// As [`Conversation::start`], or an error of `work`.
    pub(super) fn with<T>(
        &self,
        wire: &Wire<'_>,
        git: Option<&Git<'_>>,
        (agent, purpose): (&CustomAgent, &Purpose<'_>),
        work: impl FnOnce(&mut Conversation) -> Result<T>,
    ) -> Result<T> {
        if wire.settings.offline {
            return Err(Error::Agent { name: agent.name.clone(), source: AgentFault::Offline });
        }
        let mut running = lock(&self.0);
        let is_it =
            |(name, does, _): &(String, Operation, _)| *name == agent.name && *does == purpose.operation;
        let (name, operation, mut conversation) = if let Some(at) = running.iter().position(is_it) {
            running.swap_remove(at)
        } else {
            let git = git.ok_or(git::Error::NotInstalled)?;
            (agent.name.clone(), purpose.operation, Conversation::start(wire, git, agent, purpose)?)
        };
        let done = work(&mut conversation);
        if !conversation.is_broken {
            running.push((name, operation, conversation));
        }
        done
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for (.., conversation) in lock(&self.0).drain(..) {
            conversation.end();
        }
    }
}

/// The operation on an object.
#[derive(Clone, Copy)]
pub(super) enum Deed<'d> {
    /// Download it into a file.
    Download,
    /// Upload this file.
    Upload(&'d str),
}

impl Conversation {
    /// Starts an agent for an operation on the objects of a remote.
    ///
    /// # Errors
    /// [`Error::Agent`], [`Error::Git`], [`Error::Interrupted`]
    fn start(wire: &Wire<'_>, git: &Git<'_>, agent: &CustomAgent, purpose: &Purpose<'_>) -> Result<Self> {
        let CustomAgent { name, path, args, is_concurrent } = agent;
        let &Purpose { operation, remote, ref token } = purpose;
        let started = Agent::start(git, path, args, token.as_ref())?;
        let mut conversation = Self { agent: started, name: name.clone(), is_broken: false };
        conversation.say(&Message::Init {
            operation,
            remote,
            concurrent: *is_concurrent,
            concurrenttransfers: wire.settings.config.number("lfs.concurrenttransfers").unwrap_or(CONCURRENT),
        });
        let reply = conversation.reply(wire, (Instant::now(), silence(wire, 0)))?;
        match reply.error {
            Some(problem) => {
                conversation.is_broken = true;
                Err(conversation.fault(said(wire, problem)))
            }
            None => Ok(conversation),
        }
    }

    /// Transfers an object, and reports how many of its bytes are transferred. Returns the file of a download.
    ///
    /// # Errors
    /// [`Error::Agent`], [`Error::Interrupted`]
    pub(super) fn transfer(
        &mut self,
        wire: &Wire<'_>,
        (pointer, action): (Pointer, Option<&Value>),
        deed: Deed<'_>,
        tell: &dyn Fn(u64),
    ) -> Result<Option<String>> {
        let (oid, size) = (pointer.oid.to_string(), pointer.size);
        self.say(&match deed {
            Deed::Download => Message::Download { oid: oid.clone(), size, action },
            Deed::Upload(path) => Message::Upload { oid: oid.clone(), size, path, action },
        });
        let (mut through, mut since) = (0, Instant::now());
        for _ in 0..MAX_MESSAGES {
            let reply = self.reply(wire, (since, silence(wire, size)))?;
            let event = reply.event.unwrap_or_default();
            if matches!(event.as_str(), "progress" | "complete") && reply.oid.as_deref() != Some(&oid) {
                return Err(self.broken(AgentFault::OtherObject));
            }
            match event.as_str() {
                "progress" => {
                    let now = reply.bytes_so_far.and_then(|bytes| u64::try_from(bytes).ok());
                    let now = now.unwrap_or(0).min(size);
                    if now > through {
                        (through, since) = (now, Instant::now());
                        tell(through);
                    }
                }
                "complete" => {
                    return match reply.error {
                        Some(problem) => Err(self.fault(said(wire, problem))),
                        None => Ok(reply.path.filter(|path| !path.is_empty())),
                    };
                }
                other => {
                    let event = kept(wire, other).map_or_else(String::new, |said| said.0);
                    return Err(self.broken(AgentFault::Event(event)));
                }
            }
        }
        Err(self.broken(AgentFault::TooMany(MAX_MESSAGES)))
    }

    /// Returns an error of this agent.
    pub(super) fn fault(&self, source: AgentFault) -> Error {
        Error::Agent { name: self.name.clone(), source }
    }

    /// Asks it to end.
    fn end(self) {
        if let Ok(line) = serde_json::to_vec(&Message::Terminate {})
            && !self.is_broken
        {
            self.agent.end(line);
        }
    }

    fn broken(&mut self, source: AgentFault) -> Error {
        self.is_broken = true;
        self.fault(source)
    }

    fn say(&self, message: &Message<'_>) {
        // Texts and numbers are always valid JSON.
        self.agent.say(serde_json::to_vec(message).unwrap_or_default());
    }

    /// Waits for its next message, at most for the time without progress.
    fn reply(&mut self, wire: &Wire<'_>, (since, limit): (Instant, Duration)) -> Result<Reply> {
        loop {
            if wire.is_interrupted() {
                self.is_broken = true;
                return Err(Error::Interrupted);
            }
            let fault = match self.agent.hear(WATCH.min(limit)) {
                _ if since.elapsed() >= limit => AgentFault::Silent(limit),
                Heard::Nothing => continue,
                Heard::Line(line) => match serde_json::from_slice(&line) {
                    Ok(reply) => return Ok(reply),
                    Err(error) => AgentFault::Json(error),
                },
                Heard::TooLong => AgentFault::LongLine(MAX_LINE),
                Heard::End => AgentFault::Ended(self.last_words(wire)),
            };
            return Err(self.broken(fault));
        }
    }

    /// Returns the reason for its end: the line of its standard error that contains it, or its exit status.
    fn last_words(&mut self, wire: &Wire<'_>) -> Option<Said> {
        let status = self.agent.status();
        // Its last output may still arrive after its other stream is closed.
        let since = Instant::now();
        while self.agent.words().0.is_empty() && since.elapsed() < WATCH {
            thread::sleep(TICK);
        }
        match reason(&self.agent.words().0) {
            Some(line) => kept(wire, line),
            None => kept(wire, &status?.to_string()),
        }
    }
}

/// Returns the line of a program's last output that contains the reason for its end: usually the last one. A panic of
/// Rust or Go writes a list of calls, or a note about one, after it.
fn reason(words: &str) -> Option<&str> {
    let lines: Vec<_> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_reason = |line: &&str| !line.starts_with("note: ") && *line != "stack backtrace:";
    let of_go = |line: &&str| ["panic: ", "fatal error: "].iter().any(|start| line.starts_with(start));
    if let Some(at) = lines.iter().rposition(|line| line.contains(" panicked at ")) {
        // The text is in the next line, or, in old versions, in the same one.
        return lines.into_iter().skip(at).take(2).rfind(is_reason);
    }
    let go = lines.iter().copied().rfind(of_go);
    go.or_else(|| lines.into_iter().rfind(is_reason))
}

/// Returns how long it may go without progress.
fn silence(wire: &Wire<'_>, size: u64) -> Duration {
    let own = wire.settings.patience().timeout.saturating_mul(SILENCE);
    own.saturating_add(Duration::from_secs(size.checked_div(BYTES_A_SECOND).unwrap_or(0)))
}

fn said(wire: &Wire<'_>, Problem { code, message }: Problem) -> AgentFault {
    AgentFault::Said { code: code.unwrap_or(0), said: message.and_then(|message| kept(wire, &message)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_an_agent_is_not_its_list_of_calls() {
        let note = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        let calls =
            "stack backtrace:\n   0: main\n             at ./src/main.rs:2\nnote: Some details are omitted";
        let new = "starting\nthread 'main' (7) panicked at src/main.rs:2:5:\nno login\n";
        let old = "thread 'main' panicked at 'no login', src/main.rs:2:5\n";
        let go =
            "panic: no login\n\ngoroutine 1 [running]:\nmain.main()\n\t/x/main.go:4 +0x1d\nexit status 2";
        let python = "Traceback (most recent call last):\n  File \"x\", line 1\nOSError: no login\n\n";
        for (words, expected) in [
            (format!("{new}{note}"), "no login"),
            (format!("{new}{calls}"), "no login"),
            (format!("{old}{note}"), "thread 'main' panicked at 'no login', src/main.rs:2:5"),
            (format!("{old}{calls}"), "thread 'main' panicked at 'no login', src/main.rs:2:5"),
            (go.to_owned(), "panic: no login"),
            (python.to_owned(), "OSError: no login"),
            (format!("no login\n{note}"), "no login"),
        ] {
            assert_eq!(reason(&words), Some(expected), "{words}");
        }
        assert_eq!(reason(" \n"), None);
    }

    #[test]
    fn messages_as_git_lfs_writes_them() {
        let text = |message: &Message<'_>| serde_json::to_string(message).unwrap();
        let init = Message::Init {
            operation: Operation::Upload,
            remote: "origin",
            concurrent: true,
            concurrenttransfers: 8,
        };
        assert_eq!(
            text(&init),
            r#"{"event":"init","operation":"upload","remote":"origin","concurrent":true,"concurrenttransfers":8}"#
        );
        let action = serde_json::json!({"href": "nfs://server/path"});
        let upload = Message::Upload { oid: "ab".to_owned(), size: 3, path: "/f", action: Some(&action) };
        assert_eq!(
            text(&upload),
            r#"{"event":"upload","oid":"ab","size":3,"path":"/f","action":{"href":"nfs://server/path"}}"#
        );
        let download = Message::Download { oid: "ab".to_owned(), size: 3, action: None };
        assert_eq!(text(&download), r#"{"event":"download","oid":"ab","size":3,"action":null}"#);
        assert_eq!(text(&Message::Terminate {}), r#"{"event":"terminate"}"#);
    }
}
