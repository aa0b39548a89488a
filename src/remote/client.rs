//! [`Client`]: whom a session of ours asks, with what, and who is told.
//!
//! Invariants: nothing is asked offline; whatever a request carried that is secret is known here, and [`Client::redacted`]
//! takes it out of what a server says; once the person asked to stop, every connection is closed and every later
//! request is [`Error::Interrupted`]. One request is `exchange`, its redirects `redirect`, its login `login`.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Error, Result};
use super::exchange::Agents;
use super::login::Accepted;
use super::secret::Secret;
use super::settings::{HUB, Settings};
use super::ssh::Granted;
use super::token::Token;
use super::url::Url;
use crate::git::Git;

/// How often it is looked whether the person asked to stop.
const WATCH: Duration = Duration::from_millis(50);

/// A request that was made, for those who want to see each.
#[derive(Debug, Clone, Copy)]
pub struct Event<'e> {
    /// `GET`, `POST` or `PUT`.
    pub method: &'static str,
    /// What was asked; shows neither login nor query.
    pub url: &'e Url,
    /// The answer; `None` if none came.
    pub status: Option<u16>,
}

/// Is told each request after it was made.
pub type Observer<'a> = &'a (dyn Fn(&Event<'_>) + Sync);

/// Did the person ask to stop?
pub type Interrupt<'a> = &'a (dyn Fn() -> bool + Sync);

/// What asks servers.
pub struct Client<'a> {
    pub(super) settings: Settings,
    pub(super) git: Option<Git<'a>>,
    pub(super) agents: Agents,
    pub(super) accepted: Accepted,
    pub(super) granted: Granted,
    observer: Option<Observer<'a>>,
    interrupt: Option<Interrupt<'a>>,
    hub: Url,
    token: OnceLock<Option<Token>>,
    secrets: Mutex<Vec<Secret>>,
}

impl<'a> Client<'a> {
    /// A client that asks git for logins, if there is one.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] if `HF_ENDPOINT` is no address.
    pub fn new(settings: Settings, git: Option<Git<'a>>) -> Result<Self> {
        let hub = settings.hub.as_deref().unwrap_or(HUB).trim_end_matches('/');
        let hub = Url::parse(hub)
            .map_err(|source| Error::NotAllowed { what: "the value of HF_ENDPOINT".to_owned(), source })?;
        Ok(Self {
            settings,
            git,
            agents: Agents::default(),
            accepted: Accepted::default(),
            granted: Granted::default(),
            observer: None,
            interrupt: None,
            hub: hub.without_login(),
            token: OnceLock::new(),
            secrets: Mutex::default(),
        })
    }

    /// Tells `observer` every request.
    #[must_use]
    pub fn observed(self, observer: Option<Observer<'a>>) -> Self {
        Self { observer, ..self }
    }

    /// Stops as soon as `interrupt` says so.
    #[must_use]
    pub fn interruptible(self, interrupt: Interrupt<'a>) -> Self {
        Self { interrupt: Some(interrupt), ..self }
    }

    /// The Hub: `HF_ENDPOINT`, or the public one.
    pub fn hub(&self) -> &Url {
        &self.hub
    }

    /// The Hub's token, wherever it is.
    ///
    /// # Errors
    /// [`Error::Token`]
    pub fn token(&self) -> Result<Option<&Token>> {
        if let Some(token) = self.token.get() {
            return Ok(token.as_ref());
        }
        let token = self.settings.tokens.token()?;
        if let Some(token) = &token {
            self.remember(&token.secret);
        }
        Ok(self.token.get_or_init(|| token).as_ref())
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Some(observer) = self.observer {
            observer(event);
        }
    }

    /// Did the person ask to stop?
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt.is_some_and(|interrupt| interrupt())
    }

    /// Remembers a text that no message may hold.
    pub(super) fn remember(&self, secret: &Secret) {
        let mut secrets = lock(&self.secrets);
        if secret.expose().len() > 3 && !secrets.contains(secret) {
            secrets.push(secret.clone());
        }
    }

    /// Remembers the value of a header line, and what stands behind its first word: `Basic`, `Bearer`.
    pub(super) fn remember_line(&self, value: &Secret) {
        self.remember(value);
        if let Some((_, rest)) = value.expose().split_once(' ') {
            self.remember(&Secret::new(rest.trim()));
        }
    }

    /// A text without the secrets that we know: a server may repeat what it was sent.
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

    /// Waits, unless there is a reason not to.
    ///
    /// # Errors
    /// [`Error::Interrupted`]
    pub(super) fn pause(&self, time: Duration, is_over: &dyn Fn() -> bool) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            if self.is_interrupted() {
                return Err(Error::Interrupted);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || is_over() {
                return Ok(());
            }
            thread::sleep(left.min(WATCH));
        }
    }

    /// Does work that waits for servers; all of its connections are closed when the person asks to stop.
    pub(super) fn watched<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.interrupt.is_none() {
            return work();
        }
        let done = Done::default();
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                while !done.wait(WATCH) {
                    if self.is_interrupted() {
                        self.agents.shut_down();
                        return;
                    }
                }
            });
            let _told = Tell(&done);
            work()
        });
        match result {
            Err(_) if self.is_interrupted() => Err(Error::Interrupted),
            result => result,
        }
    }
}

/// Tells a waiting thread that there is nothing to wait for.
#[derive(Default)]
struct Done {
    is_done: Mutex<bool>,
    changed: Condvar,
}

impl Done {
    fn wait(&self, time: Duration) -> bool {
        let guard = lock(&self.is_done);
        let waited = self.changed.wait_timeout_while(guard, time, |is_done| !*is_done);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Tells it even if the work panics; the thread would be waited for.
struct Tell<'d>(&'d Done);

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        *lock(&self.0.is_done) = true;
        self.0.changed.notify_all();
    }
}

/// What is behind a lock, also where another thread panicked: nothing here is left half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_pause_ends_when_the_person_asks_to_stop() {
        let stop = AtomicBool::new(false);
        let asked = || stop.load(Ordering::Relaxed);
        let client = Client::new(Settings::default(), None).unwrap().interruptible(&asked);
        client.pause(Duration::from_millis(1), &|| false).unwrap();
        client.pause(Duration::from_secs(600), &|| true).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(client.pause(Duration::from_secs(600), &|| false), Err(Error::Interrupted)));
    }

    #[test]
    fn what_a_server_repeats_is_taken_out() {
        let client = Client::new(Settings::default(), None).unwrap();
        client.remember(&Secret::new("hf_abc"));
        client.remember(&Secret::new("hf_abcdef"));
        client.remember(&Secret::new("ab"));
        assert_eq!(client.redacted("token hf_abcdef, hf_abc, ab"), "token [redacted], [redacted], ab");
    }

    #[test]
    fn the_hub_is_an_address() {
        let hub = |text: &str| {
            let settings = Settings { hub: Some(text.to_owned()), ..Settings::default() };
            Client::new(settings, None).map(|client| client.hub().to_string())
        };
        assert_eq!(hub("https://mirror.example/hub/").unwrap(), "https://mirror.example/hub");
        assert_eq!(hub("https://u:p@mirror.example").unwrap(), "https://mirror.example/");
        assert!(matches!(hub("mirror.example"), Err(Error::NotAllowed { .. })));
    }
}
