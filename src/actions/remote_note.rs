//! [`RemoteNote`]: what the user should know of a remote repository, beside what became of files.
//!
//! Invariant: it is facts alone; how they are told is the matter of the command line.

use bstr::BString;

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
        /// `true` if nothing is left that is staged.
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
    /// The server wants to be asked less often, and is waited for.
    Waiting {
        /// For so long.
        seconds: u64,
    },
    /// The model is in Xet storage, and its files were sent whole.
    XetWouldSend {
        /// How many bytes were sent.
        sent: u64,
        /// How many bytes an agent that knows that storage would send, about.
        about: u64,
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
    /// A pull request is compared with its own parent, because the history of this clone is too short.
    HistoryCut {
        /// Its number.
        number: u64,
        /// The remote that has the history.
        remote: String,
    },
    /// The remote that is asked is not on the Hub, and another one is.
    HomeElsewhere {
        /// The remote that is asked.
        asked: String,
        /// The other one.
        name: String,
        /// The model there.
        model: String,
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
