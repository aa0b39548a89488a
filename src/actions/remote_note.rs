//! [`RemoteNote`] is a note for the user about a remote repository.
//!
//! Invariant: it contains only facts; the command line formats them.

use bstr::BString;

/// A note for the user about a remote repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteNote {
    /// The repository's own `.lfsconfig` names another host for LFS objects than the remote's.
    ServerMoved {
        /// The host.
        to: String,
    },
    /// The branch moved to a pull request that has the same files.
    Adopted {
        /// Its number.
        number: u64,
        /// `true` if no staged file is left.
        is_all: bool,
    },
    /// Refused files may be in one of these pull requests.
    PullRequests {
        /// Their numbers, the newest first.
        numbers: Vec<u64>,
    },
    /// The pull requests of the remote could not be read.
    PullRequestsNotSeen {
        /// The reason.
        reason: String,
    },
    /// The Hub did not report which pull requests are open, so the newest of all are read.
    NotNarrowed {
        /// The reason.
        reason: String,
    },
    /// Files of a pull request stay pointers in the working tree, because no entry can put them under Git LFS.
    LeftPointers {
        /// The reason.
        reason: String,
    },
    /// A pull request changes other files.
    OtherPaths {
        /// Its number.
        number: u64,
        /// Their paths.
        paths: Vec<BString>,
    },
    /// The server requested a pause, and the program waits for it.
    Waiting {
        /// The length of the pause.
        seconds: u64,
    },
    /// The model is in Xet storage, and its files were uploaded completely.
    XetWouldSend {
        /// How many bytes were sent.
        sent: u64,
        /// About how many bytes an agent for that storage would send.
        about: u64,
    },
    /// The server does not send single files of a partial clone, so all were fetched.
    WholeClone,
    /// A pull request was created, and not all steps could be done.
    HalfWay {
        /// Its number.
        number: u64,
        /// Its URL.
        url: String,
        /// Its state.
        what: HalfWay,
    },
    /// A pull request is compared with its own parent, because the history of this clone is too short.
    HistoryCut {
        /// Its number.
        number: u64,
        /// The remote that has the history.
        remote: String,
    },
    /// The used remote is not on the Hub, and another one is.
    HomeElsewhere {
        /// The used remote.
        asked: String,
        /// The other one.
        name: String,
        /// The model there.
        model: String,
    },
    /// The remote's branch has moved, and the output is based on the last fetch.
    BaseNotFetched,
    /// The server does not support partial clones, so only the files of the last commits were fetched.
    ShallowClone {
        /// The number of commits.
        depth: u32,
    },
}

/// The state of a pull request that was not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfWay {
    /// It exists, without the content of its files.
    Empty,
    /// The content of its files is on the server; the pull request does not contain the files.
    Uploaded,
    /// It contains its files, and is not open.
    Pushed,
}
