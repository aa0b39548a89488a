//! [`Wire`] sends one request, reports it to observers, and ends it when the user interrupts.
//!
//! Invariants: no request is sent offline, or to a server in a pause that it requested; every secret of a request is
//! recorded here, and [`Wire::redacted`] removes it from the text of a server; after an interruption by the user every
//! connection is closed and every later request is [`Error::Interrupted`]. The module knows no redirect and no login.

use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::agents::{Agents, READ, Route, failure, run};
use super::cause::ProxyFault;
use super::error::{Error, Result};
use super::known::lock;
use super::message::{Body, Request, Response};
use super::origin::{Origin, Scheme};
use super::pace::{MAX_AFTER, Turn, is_refusal, wait_of};
use super::secret::Secret;
use super::settings::Settings;
use super::url::Url;

/// The interval of the checks for an interruption by the user.
const WATCH: Duration = Duration::from_millis(50);

/// A request that was sent, for observers.
#[derive(Debug, Clone, Copy)]
pub struct Event<'e> {
    /// `GET`, `POST` or `PUT`.
    pub method: &'static str,
    /// The URL; its `Display` shows neither login nor query.
    pub url: &'e Url,
    /// The status of the response; `None` if none arrived.
    pub status: Option<u16>,
}

/// Receives each request after it was sent.
pub type Observer<'a> = &'a (dyn Fn(&Event<'_>) + Sync);

/// Returns `true` if the user interrupted the program.
pub type Interrupt<'a> = &'a (dyn Fn() -> bool + Sync);

/// The sender of requests.
pub struct Wire<'a> {
    pub(super) settings: Settings,
    agents: Agents,
    observer: Option<Observer<'a>>,
    interrupt: Option<Interrupt<'a>>,
    secrets: Mutex<Vec<Secret>>,
}

impl<'a> Wire<'a> {
    /// Creates a sender with these settings.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            agents: Agents::default(),
            observer: None,
            interrupt: None,
            secrets: Mutex::default(),
        }
    }

    /// Reports every request to `observer`.
    #[must_use]
    pub fn observed(self, observer: Option<Observer<'a>>) -> Self {
        Self { observer, ..self }
    }

    /// Stops as soon as `interrupt` returns `true`.
    #[must_use]
    pub fn interruptible(self, interrupt: Interrupt<'a>) -> Self {
        Self { interrupt: Some(interrupt), ..self }
    }

    /// Sends one request.
    ///
    /// # Errors
    /// [`Error::Offline`], [`Error::Interrupted`], or the reason why no response arrived; any status is a response.
    pub(super) fn exchange(&self, request: &Request<'_>) -> Result<Response> {
        let url = request.url;
        if self.settings.offline {
            return Err(Error::Offline { origin: url.origin().clone() });
        }
        self.check_interrupted()?;
        let route = Route::of(&self.settings, url, request.home);
        if let Some(password) = route.password() {
            self.remember(&password);
        }
        let agent = self.agents.get(&self.settings, url, &route)?;
        let turn = self.turn(url.origin())?;
        let result = run(&agent, &route, request)
            .map(|result| result.map(|answer| Response::new(url.clone(), answer)));
        let answer = result.as_ref().ok().and_then(|result| result.as_ref().ok());
        self.learn(url.origin(), turn, answer);
        let status = answer.map(|answer| answer.status);
        if let Some(observer) = self.observer {
            observer(&Event { method: request.body.method(), url, status });
        }
        let result = result?;
        if let (Err(_), Body::Put(part)) = (&result, request.body)
            && let Some(source) = lock(&part.failure).take()
        {
            return Err(Error::Io { action: READ, source });
        }
        match result {
            Ok(answer) if route.is_of_proxy(answer.status) => {
                Err(Error::Proxy { origin: url.origin().clone(), source: ProxyFault::Status(answer.status) })
            }
            Ok(answer) => Ok(answer),
            Err(_) if self.is_interrupted() => Err(Error::Interrupted),
            Err(err) => Err(failure(url, err, route.is_proxied(), &|text| self.redacted(text))),
        }
    }

    /// Records whether an origin requested a pause.
    fn learn(&self, origin: &Origin, turn: Turn, answer: Option<&Response>) {
        let (pace, wait) = (self.settings.learned.pace(), answer.and_then(wait_of));
        if wait.is_none() && self.settings.patient && answer.is_some_and(is_refusal) {
            pace.refused(origin, turn, self.settings.patience().max_delay);
        } else {
            pace.answered(origin, turn, wait);
        }
    }

    /// Waits until requests to an origin are allowed.
    ///
    /// # Errors
    /// [`Error::RateLimited`] if that is too long, [`Error::Interrupted`].
    fn turn(&self, origin: &Origin) -> Result<Turn> {
        loop {
            match self.settings.learned.pace().turn(origin) {
                turn @ (Turn::Free | Turn::First) => return Ok(turn),
                Turn::In(left) if left > MAX_AFTER => {
                    return Err(Error::RateLimited { origin: origin.clone(), after: Some(left) });
                }
                Turn::In(left) => self.pause(left, &|| false)?,
                Turn::Behind => self.pause(WATCH, &|| false)?,
            }
        }
    }

    /// Returns `true` if the user interrupted the program.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt.is_some_and(|interrupt| interrupt())
    }

    /// Returns an error if the user interrupted the program.
    ///
    /// # Errors
    /// [`Error::Interrupted`]
    pub(super) fn check_interrupted(&self) -> Result<()> {
        if self.is_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Returns `true` if a proxy can read requests to this URL.
    pub(super) fn is_open(&self, url: &Url) -> bool {
        url.origin().scheme() == Scheme::Http && self.settings.proxy(url).is_some()
    }

    /// Records a text that no message may contain.
    pub(super) fn remember(&self, secret: &Secret) {
        let mut secrets = lock(&self.secrets);
        if secret.expose().len() > 3 && !secrets.contains(secret) {
            secrets.push(secret.clone());
        }
    }

    /// Records the value of a header, and the text after its first word: `Basic`, `Bearer`.
    pub(super) fn remember_line(&self, value: &Secret) {
        self.remember(value);
        if let Some((_, rest)) = value.expose().split_once(' ') {
            self.remember(&Secret::new(rest.trim()));
        }
    }

    /// Returns a text without the recorded secrets: a server may repeat a request.
    pub(super) fn redacted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let mut secrets = lock(&self.secrets).clone();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        for secret in secrets {
            if text.contains(secret.expose()) {
                text = text.replace(secret.expose(), "[redacted]");
            }
        }
        text
    }

    /// Waits, unless `is_over` or the user ends the pause.
    ///
    /// # Errors
    /// [`Error::Interrupted`]
    pub(super) fn pause(&self, time: Duration, is_over: &dyn Fn() -> bool) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            self.check_interrupted()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || is_over() {
                return Ok(());
            }
            thread::sleep(left.min(WATCH));
        }
    }

    /// Does work that waits for servers; closes all of its connections when the user interrupts.
    pub(super) fn watched<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.interrupt.is_none() {
            return work();
        }
        let (running, over) = mpsc::channel::<()>();
        let result = thread::scope(|scope| {
            // It is also dropped if the work panics; otherwise the thread would be joined forever.
            let _running = running;
            // If no thread can be started, an interruption waits for the server.
            let _unwatched = thread::Builder::new().spawn_scoped(scope, move || {
                while over.recv_timeout(WATCH) == Err(RecvTimeoutError::Timeout) {
                    if self.is_interrupted() {
                        self.agents.shut_down();
                        return;
                    }
                }
            });
            work()
        });
        match result {
            Err(_) if self.is_interrupted() => Err(Error::Interrupted),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_pause_ends_when_the_person_asks_to_stop() {
        let stop = AtomicBool::new(false);
        let asked = || stop.load(Ordering::Relaxed);
        let wire = Wire::new(Settings::default()).interruptible(&asked);
        wire.pause(Duration::from_millis(1), &|| false).unwrap();
        wire.pause(Duration::from_secs(600), &|| true).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(wire.pause(Duration::from_secs(600), &|| false), Err(Error::Interrupted)));
    }

    #[test]
    fn what_a_server_repeats_is_taken_out() {
        let wire = Wire::new(Settings::default());
        wire.remember(&Secret::new("hf_abc"));
        wire.remember(&Secret::new("hf_abcdef"));
        wire.remember(&Secret::new("ab"));
        assert_eq!(wire.redacted("token hf_abcdef, hf_abc, ab"), "token [redacted], [redacted], ab");
    }
}
