//! [`Servers`] describes how servers are contacted, and [`Session`] is one action's use of them.
//!
//! Invariant: the settings come from the user's environment and configuration; a repository's own `.lfsconfig` may name
//! another host, and a note reports that. The module does not know which command it serves.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Error, Note, RemoteNote, Reporter};
use crate::git::{self, Git, Moment, Network, Token};
use crate::remote::{self, Auth, Config, Event, HUB, Hub, Settings, Wire};
use crate::repo::Repo;

/// The shortest wait that is reported.
const WORTH_A_WORD: Duration = Duration::from_secs(5);

/// How servers are contacted. By default, none is.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The settings of the environment; git's configuration is added for each repository.
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
    /// Creates it with these settings.
    ///
    /// # Errors
    /// A token that is invalid, or that cannot be read.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let servers = Self { settings, token: None };
        if servers.settings.tokens.exchanged().is_some() {
            return Ok(servers);
        }
        let token = servers.settings.tokens.token().map_err(remote::Error::from)?;
        // With an expired token, a server would refuse git even public content.
        let token = token.filter(|token| !token.is_expired());
        let token = token.map(|token| token.for_git(servers.endpoint())).transpose()?.flatten();
        Ok(Self { token, ..servers })
    }

    /// Returns the URL of the Hub.
    pub fn endpoint(&self) -> &str {
        self.settings.hub.as_deref().unwrap_or(HUB)
    }

    /// Returns it for requests that no user waits for: the user is not prompted for a password.
    #[must_use]
    pub fn in_passing(mut self) -> Self {
        self.settings.in_passing = true;
        self
    }

    /// Returns it for a batch, in which no user waits for a single response either.
    #[must_use]
    pub fn of_batch(self) -> Self {
        let mut servers = self.in_passing();
        servers.settings.patient = true;
        servers
    }
}

/// Receives each command line of git.
type OnCommand<'a> = Box<dyn Fn(&[OsString]) + Sync + 'a>;

/// One action's use of the servers: it reports requests to the action's reporter, and stops them on an interruption.
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

    /// Returns `true` if no server may be contacted.
    pub(super) fn is_offline(&self) -> bool {
        self.servers.settings.offline
    }

    /// Returns git in a directory.
    pub(super) fn git(&self, dir: &Path) -> Result<Git<'_>, Error> {
        Ok(Git::at(dir)?.observed(Some(&*self.command)))
    }

    /// Returns git in the working tree of a repository.
    pub(super) fn git_in(&self, repo: &Repo) -> Result<Git<'_>, Error> {
        Ok(repo.tied(self.git(repo.work_dir())?))
    }

    /// Returns git in the user's directory, as the user would run it there.
    pub(super) fn git_of_person(&self, dir: &Path) -> Result<Git<'_>, Error> {
        Ok(Git::in_hook(dir)?.observed(Some(&*self.command)))
    }

    /// Runs `work` with the network of git. The progress ends when it returns; an interruption is reported as one,
    /// whatever error git returned.
    pub(super) fn network<T>(&self, work: impl FnOnce(&Network<'_>) -> Result<T, Error>) -> Result<T, Error> {
        // Why no token exists, if it comes from an exchange.
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

    /// Returns the token for the server of a repository.
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

    /// Waits while the server of a repository requested a pause.
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
            // Round up to a whole second.
            let seconds = left.as_secs().saturating_add(1);
            self.reporter.note(&Note::Remote(RemoteNote::Waiting { seconds }));
        };
        match moment {
            Moment::Before => remote::await_opening(&auth, url, &tell),
            Moment::TurnedAway => remote::await_reopening(&auth, url, &tell),
        }
    }

    /// Returns a client with the configuration of a repository, and git in `dir` for logins.
    pub(super) fn auth(&self, config: Config, dir: &Path) -> Result<Auth<'_>, Error> {
        self.auth_of(config, self.git(dir).ok())
    }

    fn auth_of<'s>(&'s self, config: Config, git: Option<Git<'s>>) -> Result<Auth<'s>, Error> {
        let wire = Wire::new(self.servers.settings.clone().with_config(config));
        let wire = wire.observed(Some(&*self.request)).interruptible(&*self.stop);
        Ok(Auth::new(wire, git)?)
    }

    /// Returns a client of the Hub outside any repository.
    pub(super) fn hub(&self, dir: &Path) -> Result<Hub<'_>, Error> {
        Ok(Hub::new(self.auth(Config::new(crate::repo::global_settings()?), dir)?))
    }

    /// Returns a client of the Hub in a repository.
    pub(super) fn hub_in(&self, repo: &Repo) -> Result<Hub<'_>, Error> {
        Ok(Hub::new(self.auth(Config::new(repo.settings()), repo.work_dir())?))
    }
}
