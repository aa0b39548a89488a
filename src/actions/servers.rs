//! [`Servers`], how they are asked, and [`Session`], one action's use of them.
//!
//! Invariant: what they are asked with comes from the person's environment and configuration; what a repository says of
//! its own (`.lfsconfig`) may name another host, and that is told. It does not know which command it serves.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Error, Note, RemoteNote, Reporter};
use crate::git::{self, Git, Moment, Network, Token};
use crate::remote::{self, Auth, Config, Event, HUB, Hub, Settings, Wire};
use crate::repo::Repo;

/// The shortest wait that is told.
const WORTH_A_WORD: Duration = Duration::from_secs(5);

/// How servers are asked. By default nobody is.
#[derive(Debug, Clone)]
pub struct Servers {
    /// What the environment says; git's configuration is added for each repository.
    pub settings: Settings,
    /// The token of the Hub, for git.
    pub token: Option<Token>,
}

impl Default for Servers {
    fn default() -> Self {
        Self { settings: Settings { offline: true, ..Settings::default() }, token: None }
    }
}

impl Servers {
    /// Asked with these settings.
    ///
    /// # Errors
    /// A token that is no token, or that cannot be read.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let servers = Self { settings, token: None };
        if servers.settings.tokens.exchanged().is_some() {
            return Ok(servers);
        }
        let token = servers.settings.tokens.token().map_err(remote::Error::from)?;
        // With one that is over git would be refused what is public.
        let token = token.filter(|token| !token.is_expired());
        let token = token.map(|token| token.for_git(servers.endpoint())).transpose()?.flatten();
        Ok(Self { token, ..servers })
    }

    /// The URL of the Hub.
    pub fn endpoint(&self) -> &str {
        self.settings.hub.as_deref().unwrap_or(HUB)
    }

    /// The same where nobody waits for the answer: the person is not asked for a password.
    #[must_use]
    pub fn in_passing(mut self) -> Self {
        self.settings.in_passing = true;
        self
    }

    /// The same of a batch, in which nobody waits for one answer either.
    #[must_use]
    pub fn of_batch(self) -> Self {
        let mut servers = self.in_passing();
        servers.settings.patient = true;
        servers
    }
}

/// Is told each command line of git.
type OnCommand<'a> = Box<dyn Fn(&[OsString]) + Sync + 'a>;

/// One action's use of the servers: what is asked is told to its reporter, and a wish to stop reaches who asks.
pub(super) struct Session<'a> {
    pub(super) reporter: &'a dyn Reporter,
    servers: &'a Servers,
    request: Box<dyn Fn(&Event<'_>) + Sync + 'a>,
    command: OnCommand<'a>,
    stop: Box<dyn Fn() -> bool + Sync + 'a>,
}

impl<'a> Session<'a> {
    pub(super) fn new(servers: &'a Servers, reporter: &'a dyn Reporter) -> Self {
        Self {
            reporter,
            servers,
            request: Box::new(|event| reporter.request(event)),
            command: Box::new(|arguments| reporter.command(arguments)),
            stop: Box::new(|| reporter.is_interrupted()),
        }
    }

    /// Returns `true` if nothing may be asked of any server.
    pub(super) fn is_offline(&self) -> bool {
        self.servers.settings.offline
    }

    /// git in a directory.
    pub(super) fn git(&self, dir: &Path) -> Result<Git<'_>, Error> {
        Ok(Git::at(dir)?.observed(Some(&*self.command)))
    }

    /// git in the directory in which a person stands, as they would call it there.
    pub(super) fn git_of_person(&self, dir: &Path) -> Result<Git<'_>, Error> {
        Ok(Git::in_hook(dir)?.observed(Some(&*self.command)))
    }

    /// Runs `work` with the network of git. The progress is over when it returns; an interruption is one whatever git
    /// made of it.
    pub(super) fn network<T>(&self, work: impl FnOnce(&Network<'_>) -> Result<T, Error>) -> Result<T, Error> {
        // Why there is no token, where one is got by exchange.
        let missing = Mutex::new(None);
        let token = |url: &str| {
            self.token(url).map_err(|error| {
                *missing.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                git::Error::Stopped { subcommand: "credential".to_owned() }
            })
        };
        let network = Network {
            token: &token,
            may_ask: !self.servers.settings.in_passing,
            tell: &|progress| self.reporter.transfer(progress),
            stop: &*self.stop,
            wait: &|url, moment| self.wait(url, moment),
        };
        let done = work(&network);
        self.reporter.finished();
        if let Some(error) = missing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        match done {
            Err(Error::Git(git::Error::Stopped { .. }) | Error::Remote(remote::Error::Interrupted)) => {
                Err(Error::Interrupted)
            }
            Err(_) if self.reporter.is_interrupted() => Err(Error::Interrupted),
            done => done,
        }
    }

    /// The token for the server of a repository.
    fn token(&self, url: &str) -> Result<Option<Token>, Error> {
        let Servers { settings, token } = self.servers;
        let endpoint = self.servers.endpoint();
        if settings.tokens.exchanged().is_none()
            || self.is_offline()
            || git::origin(url) != git::origin(endpoint)
        {
            return Ok(token.clone());
        }
        let auth = self.auth_of(Config::new(crate::repo::global_settings()?), None)?;
        let token = auth.token()?.map(|token| token.for_git(endpoint)).transpose()?;
        Ok(token.flatten())
    }

    /// Waits while the server of a repository wants to be left alone.
    fn wait(&self, url: &str, moment: Moment) -> bool {
        if self.is_offline() {
            return false;
        }
        let Ok(settings) = crate::repo::global_settings() else { return false };
        let Ok(auth) = self.auth_of(Config::new(settings), None) else { return false };
        let tell = |left: Duration| {
            if left < WORTH_A_WORD {
                return;
            }
            self.reporter.finished();
            // What is left of a second is one.
            let seconds = left.as_secs().saturating_add(1);
            self.reporter.note(&Note::Remote(RemoteNote::Waiting { seconds }));
        };
        match moment {
            Moment::Before => remote::await_opening(&auth, url, &tell),
            Moment::TurnedAway => remote::await_reopening(&auth, url, &tell),
        }
    }

    /// Asks servers with the configuration of a repository, and git in `dir` for logins.
    pub(super) fn auth(&self, config: Config, dir: &Path) -> Result<Auth<'_>, Error> {
        self.auth_of(config, self.git(dir).ok())
    }

    fn auth_of<'s>(&'s self, config: Config, git: Option<Git<'s>>) -> Result<Auth<'s>, Error> {
        let wire = Wire::new(self.servers.settings.clone().with_config(config));
        let wire = wire.observed(Some(&*self.request)).interruptible(&*self.stop);
        Ok(Auth::new(wire, git)?)
    }

    /// The Hub as it is asked outside of any repository.
    pub(super) fn hub(&self, dir: &Path) -> Result<Hub<'_>, Error> {
        Ok(Hub::new(self.auth(Config::new(crate::repo::global_settings()?), dir)?))
    }

    /// The Hub as it is asked in a repository.
    pub(super) fn hub_in(&self, repo: &Repo) -> Result<Hub<'_>, Error> {
        Ok(Hub::new(self.auth(Config::new(repo.settings()), repo.work_dir())?))
    }
}
