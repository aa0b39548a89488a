//! Everything that is said to the git executable.
//!
//! git does what only git does right: commit with hooks and signing, clone, fetch, push, credentials. Reading and
//! staging are in `repo`, without a process.
//!
//! Invariant: a process is started in [`command`] and nowhere else in this package, by an absolute path, with no
//! shell, and with arguments that cannot be taken for options.

pub mod command;
pub mod commit;
pub mod credential;

pub use command::{Error, Git, Output, Stderr};
pub use commit::Identity;
pub use credential::Credential;
