//! [`Asking`]: who asks a server, and whether anybody may.
//!
//! It joins the reporter to the commands of git: their progress is told, and a wish to stop reaches them.

use bstr::BString;

use super::{Error, Reporter};
use crate::git::{self, Network, Token};
use crate::remote;

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

/// Something about a remote repository that the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteNote {
    /// The repository's own `.lfsconfig` says that its LFS objects are on another host than the remote's.
    ServerMoved {
        /// The host.
        to: String,
    },
    /// The branch moved to a pull request that has the same files.
    Adopted {
        /// Its number.
        number: u64,
        /// Is nothing left that is staged?
        is_all: bool,
    },
    /// What was refused may be in one of these pull requests.
    PullRequests {
        /// Their numbers, the newest first.
        numbers: Vec<u64>,
    },
    /// The pull requests of the remote could not be looked at.
    PullRequestsNotSeen {
        /// Why.
        reason: String,
    },
    /// The Hub did not say which pull requests are open, so that the newest of all are looked at.
    NotNarrowed {
        /// Why.
        reason: String,
    },
    /// Files of a pull request stay pointers in the work tree, since no line can put them under Git LFS.
    LeftPointers {
        /// Why.
        reason: String,
    },
    /// A pull request changes more than safetensors.
    OtherPaths {
        /// Its number.
        number: u64,
        /// What it changes besides.
        paths: Vec<BString>,
    },
    /// The server does not send single files of a partial clone, so all were fetched.
    WholeClone,
    /// A pull request was made, and not all of it could be done.
    HalfWay {
        /// Its number.
        number: u64,
        /// Where it is.
        url: String,
        /// What is there of it.
        what: HalfWay,
    },
    /// The remote's branch has moved, and what is shown is made from what was fetched before.
    BaseNotFetched,
    /// The server sends nothing of a partial clone, so the files of the last commits alone were fetched.
    ShallowClone {
        /// How many commits.
        depth: u32,
    },
}

/// What there is of a pull request that was not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfWay {
    /// The pull request, without the content of its files.
    Empty,
    /// The content of its files is on the server; the pull request does not have them.
    Uploaded,
    /// It has its files, and is not open.
    Pushed,
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
            Err(Error::Git(git::Error::Stopped { .. }) | Error::Remote(remote::Error::Interrupted)) => {
                Err(Error::Interrupted)
            }
            Err(_) if reporter.is_interrupted() => Err(Error::Interrupted),
            done => done,
        }
    }
}
