//! [`Network`] runs git commands that contact a server.
//!
//! Invariants:
//! - the token reaches the origin that it belongs to and no other host. git receives it as the answer of a credential
//!   helper for only that origin; a header set by `http.<url>.extraHeader` would be sent again, to another host, in the
//!   request after a redirect (git 2.47 does so). No other helper is used for that origin, so none of them stores the
//!   token;
//! - the token is in no command line and in no file: git's configuration names the variable that contains it;
//! - a request of ours to `git-upload-pack` has less than 1,024 bytes if possible, because git compresses a longer one,
//!   and some servers send an empty response to that. So no `have` is sent (`fetch.negotiationAlgorithm=noop`), and
//!   callers request at most [`batch`] objects at a time;
//! - no background process continues after the command has ended.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use super::command::{Invocation, Output, variable};
use super::error::{Error, Stderr};
use super::process::Watch;
use super::remote_error::Trouble;
use super::url;

/// The longest request that git sends without compressing it.
const MAX_REQUEST: usize = 1024;

/// The bytes of a request other than its `want` and `shallow` lines, generously: 137 bytes with git 2.47, and what a
/// longer version string or `server-option` adds.
const FIXED: usize = 400;

/// The variable with the token.
const VARIABLE: &str = "GIT_ST_CONVERT_TOKEN";

/// The command that git runs, with a shell, to get the token, in the format of `git-credential(1)`.
const HELPER: &str = "!f() { if test \"$1\" = get; then \
                      printf 'username=hf_user\\npassword=%s\\n' \"$GIT_ST_CONVERT_TOKEN\"; fi; }; f";

/// The pauses before a command is repeated after a temporary fault of a server.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// A secret of a user for one origin.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    origin: String,
    secret: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Token {
    /// Returns a token for the origin of `endpoint`; `None` if that is not a URL with an origin, or the token is empty.
    ///
    /// # Errors
    /// [`Error::UnsafeCredential`] if the secret would be read as more than one line.
    pub fn new(endpoint: &str, secret: &str) -> Result<Option<Self>, Error> {
        if secret.contains(['\n', '\r', '\0']) {
            return Err(Error::UnsafeCredential { field: "password" });
        }
        let origin = url::origin(endpoint).filter(|_| !secret.is_empty());
        Ok(origin.map(|origin| Self { origin, secret: secret.to_owned() }))
    }

    /// Returns the settings with which git gets it for its origin. The empty value removes the helpers of the
    /// configuration.
    fn settings(&self) -> [(String, &'static str); 2] {
        let key = format!("credential.{}.helper", self.origin);
        [(key.clone(), ""), (key, HELPER)]
    }

    /// Adds it to the environment of a program whose git commands may need it.
    pub(super) fn give(&self, command: &mut Command) {
        // The user's own settings in such variables stay.
        let count = variable("GIT_CONFIG_COUNT").and_then(|count| count.to_str()?.parse::<u32>().ok());
        let mut count = count.unwrap_or(0);
        for (key, value) in self.settings() {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count = count.saturating_add(1);
        }
        command.env("GIT_CONFIG_COUNT", count.to_string()).env(VARIABLE, &self.secret);
    }

    /// Returns `true` if it belongs to the server of this URL.
    pub fn is_for(&self, url: &str) -> bool {
        url::origin(url).is_some_and(|origin| origin == self.origin)
    }
}

/// The progress of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The current phase.
    pub phase: Phase,
    /// The number of finished objects or files.
    pub done: u64,
    /// Their total number.
    pub total: u64,
}

/// A phase of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The server counts the objects.
    Counting,
    /// The server compresses them.
    Compressing,
    /// The objects arrive.
    Receiving,
    /// Deltas become objects.
    Resolving,
    /// Files are written.
    Updating,
}

impl Progress {
    /// Parses a line such as `remote: Counting objects:  45% (123/456)`.
    fn of(line: &str) -> Option<Self> {
        let line = line.strip_prefix("remote: ").unwrap_or(line);
        let (title, rest) = line.split_once(": ")?;
        let phase = match title {
            "Counting objects" => Phase::Counting,
            "Compressing objects" => Phase::Compressing,
            "Receiving objects" | "Unpacking objects" => Phase::Receiving,
            "Resolving deltas" => Phase::Resolving,
            "Updating files" | "Checking out files" => Phase::Updating,
            _ => return None,
        };
        let (_, rest) = rest.split_once("% (")?;
        let (done, rest) = rest.split_once('/')?;
        let (total, _) = rest.split_once(')')?;
        Some(Self { phase, done: done.parse().ok()?, total: total.parse().ok()? })
    }
}

/// Returns `true` for an informational message of git.
fn is_small_talk(line: &str) -> bool {
    let line = line.trim_end();
    line.is_empty()
        || line.starts_with("Cloning into ")
        || ["Enumerating objects: ", "Total ", "Counting objects: ", "Compressing objects: "]
            .iter()
            .any(|start| line.strip_prefix("remote: ").is_some_and(|line| line.starts_with(start)))
}

/// The environment that all commands with a server share.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    /// Returns the token for the server of a URL, if its origin has one.
    pub token: &'a (dyn Fn(&str) -> Result<Option<Token>, Error> + Sync),
    /// `true` if git and its helpers may prompt the user.
    pub may_ask: bool,
    /// Receives the progress.
    pub tell: &'a (dyn Fn(Progress) + Sync),
    /// Returns `true` to stop.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Waits while the server of a URL requested a pause, and returns `true` if it may be contacted again.
    pub wait: &'a (dyn Fn(&str, Moment) -> bool + Sync),
}

/// When the program checks for a pause that a server requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the first request.
    Before,
    /// After the server rejected a request of git, and may state a time.
    TurnedAway,
}

impl Network<'_> {
    /// Runs a command that contacts the server of `url`, and repeats it after a pause if the fault may be temporary.
    ///
    /// # Errors
    /// [`Error::Remote`] for a known fault of the remote repository, [`Error::Stopped`], or as [`Invocation::run`].
    pub fn run(&self, command: Invocation<'_>, url: &str) -> Result<Output, Error> {
        let mut command = command
            .config("fetch.negotiationAlgorithm", "noop")
            .config("maintenance.auto", "false")
            .config("gc.auto", "0")
            .config("submodule.recurse", "false");
        if let Some(token) = (self.token)(url)?.filter(|token| token.is_for(url)) {
            for (key, value) in token.settings() {
                command = command.config(&key, value);
            }
            command = command.env(VARIABLE, token.secret.as_str());
        }
        if !self.may_ask {
            command = command
                .env("GIT_TERMINAL_PROMPT", "0")
                .env("GIT_ASKPASS", "")
                .env("GCM_INTERACTIVE", "never");
            command = command.config("http.lowSpeedLimit", "1").config("http.lowSpeedTime", "30");
        }
        let (mut pauses, mut waited) = (PAUSES.iter(), None);
        (self.wait)(url, Moment::Before);
        loop {
            let error = match self.attempt(command.clone()) {
                Err(error) => error,
                done => return done,
            };
            let is_turned_away = match &error {
                Error::Remote { trouble: Trouble::TooOften, .. } => true,
                // A user at a terminal prefers another attempt to a wait of a minute.
                Error::Remote { trouble: Trouble::Unavailable, .. } => !self.may_ask,
                _ => false,
            };
            if is_turned_away {
                match waited {
                    // The server is asked for the time once, in place of another attempt.
                    None => {
                        waited = Some((self.wait)(url, Moment::TurnedAway));
                        let _instead = pauses.next();
                        if waited == Some(true) {
                            continue;
                        }
                    }
                    // The server stated no time, so the fault is a different one.
                    Some(true) => return Err(error),
                    Some(false) => {}
                }
            }
            match (&error, pauses.next()) {
                (Error::Remote { trouble, .. }, Some(pause)) if trouble.is_passing() => {
                    self.pause(*pause, command.subcommand())?;
                }
                _ => return Err(error),
            }
        }
    }

    fn attempt(&self, command: Invocation<'_>) -> Result<Output, Error> {
        let line = |line: &str| match Progress::of(line) {
            Some(progress) => {
                (self.tell)(progress);
                true
            }
            None => is_small_talk(line),
        };
        let stop = || (self.stop)();
        match command.run_watched(&Watch { line: &line, stop: &stop }) {
            Err(Error::Failed { subcommand, status, stderr }) => Err(classified(subcommand, status, stderr)),
            done => done,
        }
    }

    fn pause(&self, pause: Duration, subcommand: &str) -> Result<(), Error> {
        let step = Duration::from_millis(50);
        for _ in 0..pause.as_millis() / step.as_millis() {
            if (self.stop)() {
                return Err(Error::Stopped { subcommand: subcommand.to_owned() });
            }
            std::thread::sleep(step);
        }
        Ok(())
    }
}

/// Returns the error for a message of git, as a fault of the remote repository if it is a known one.
pub(super) fn classified(subcommand: String, status: Option<i32>, stderr: Stderr) -> Error {
    match Trouble::of(&stderr.0) {
        Some(trouble) => Error::Remote { trouble, stderr },
        None => Error::Failed { subcommand, status, stderr },
    }
}

/// Returns how many objects one request may name: names of `digits` digits, in a repository with `shallow` boundary
/// commits, each of which every request contains. At least one.
pub fn batch(digits: usize, shallow: usize) -> usize {
    // `0032want <name>\n`, `0035shallow <name>`
    let (want, cut) = (digits + 10, digits + 13);
    (MAX_REQUEST.saturating_sub(FIXED + shallow * cut) / want).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_and_everything_else_is_not() {
        let progress = |phase, done, total| Some(Progress { phase, done, total });
        for (line, expected) in [
            ("remote: Counting objects:   7% (87/1237)        ", progress(Phase::Counting, 87, 1237)),
            ("Receiving objects: 100% (3/3), 1.20 MiB | 3.00 MiB/s, done.", progress(Phase::Receiving, 3, 3)),
            ("Updating files:  50% (1/2)", progress(Phase::Updating, 1, 2)),
            ("remote: Enumerating objects: 1237, done.", None),
            ("fatal: 5% (1/2)", None),
            ("Resolving deltas: 1% (x/2)", None),
        ] {
            assert_eq!(Progress::of(line), expected, "{line}");
        }
        assert!(is_small_talk("remote: Enumerating objects: 1237, done.        "));
        assert!(!is_small_talk("remote: Access to this model is restricted."));
    }

    #[test]
    fn a_request_stays_short() {
        assert_eq!(batch(40, 0), 12);
        assert_eq!(batch(40, 1), 11);
        assert_eq!(batch(64, 0), 8);
        assert_eq!(batch(40, 100), 1);
    }

    #[test]
    fn a_token_is_for_one_origin_and_is_not_shown() {
        let token = Token::new("https://hub.example/prefix", "hf_secret").unwrap().unwrap();
        assert!(token.is_for("https://hub.example/a/b") && token.is_for("https://u@HUB.example:443/a"));
        for other in [
            "http://hub.example/a",
            "https://hub.example:8443/a",
            "https://x.hub.example/",
            "git@hub.example:a",
        ] {
            assert!(!token.is_for(other), "{other}");
        }
        assert!(!format!("{token:?}").contains("secret"));
        assert!(Token::new("https://hub.example", "a\nb").is_err());
        assert_eq!(Token::new("https://hub.example", "").unwrap(), None);
    }
}
