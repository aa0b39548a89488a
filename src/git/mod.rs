//! Runs the git executable, and the other programs that git would start.
//!
//! git does the work that only git does correctly: commit with hooks and signing, clone, fetch, push, credentials; it
//! also reads references in a format that gix cannot read. `repo` does all other reading and staging, without a
//! process.
//!
//! ```text
//! command ─▶ process        one command: its line, its environment, its streams
//! pipe                      a program that exchanges bytes while it runs
//! network ─▶ trouble        a command that contacts a server: its login, its progress, its faults
//! clone, fetch, merge, push, history, incoming, pathspec, hooks, commit, credential     the commands
//! agent                     a program of the user that transfers LFS objects
//! ```
//!
//! Invariant: only [`command`], [`ssh`], [`agent`] and [`pager`] in this package start a process, by an absolute path,
//! with arguments that cannot be read as options, and without a shell except for the line that a user configured as
//! ssh, transfer agent or pager.

pub mod command;
mod error;
mod process;
pub mod pipe;
mod remote_error;
mod home;
mod url;
pub mod worktree;
pub mod object;
pub mod network;
pub mod clone;
pub mod fetch;
pub mod history;
pub mod incoming;
pub mod pathspec;
pub mod hooks;
pub mod settings;
mod system_file;
pub mod merge;
pub mod push;
pub mod commit;
pub mod credential;
pub mod ssh;
pub mod agent;
mod overrides;
pub mod pager;

pub use command::{Git, Output};
pub use commit::Identity;
pub use credential::Credential;
pub use error::{Error, Stderr};
pub use fetch::{Ref, Remote};
pub use home::home;
pub use merge::Merge;
pub use network::{Moment, Network, Phase, Progress, Token};
pub use object::{ChangedPath, Mode, ObjectId, Version};
pub use overrides::overrides;
pub use process::Watch;
pub use remote_error::Trouble;
pub use system_file::system_file;
pub use url::{origin, redacted, unsafe_transport, without_password, without_suffix};
