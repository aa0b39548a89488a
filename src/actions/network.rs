//! [`Asking`]: who asks a server, and whether anybody may.
//!
//! It joins the reporter to the commands of git: their progress is told, and a wish to stop reaches them.

use super::{Error, Reporter};
use crate::git::{self, Network, Token};

/// How servers are asked.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// The token of the Hub.
    pub token: Option<Token>,
    /// Nothing is asked of any server.
    pub offline: bool,
    /// Nobody waits for the answer: the person is not asked for a password.
    pub in_passing: bool,
}

impl Asking {
    /// Runs `work` with the network. The progress is over when it returns; an interruption is one whatever git made of
    /// it.
    pub(super) fn with<T>(
        &self,
        reporter: &dyn Reporter,
        work: impl FnOnce(&Network<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let network = Network {
            token: self.token.as_ref(),
            may_ask: !self.in_passing,
            tell: &|progress| reporter.transfer(progress),
            stop: &|| reporter.is_interrupted(),
        };
        let done = work(&network);
        reporter.finished();
        match done {
            Err(Error::Git(git::Error::Stopped { .. })) => Err(Error::Interrupted),
            Err(_) if reporter.is_interrupted() => Err(Error::Interrupted),
            done => done,
        }
    }
}
