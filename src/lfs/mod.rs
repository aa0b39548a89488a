//! Implements Git LFS on this machine: pointer text, `.gitattributes` entries, and the local LFS storage.
//!
//! Invariant: an object gets its final name only when it is complete, of the promised size, and on the disk. This
//! module contacts no server and runs no `git`; the caller provides the directories.
//!
//! [`mod@pointer`] and [`attributes`] handle only text and belong to the core; the others access the disk and need the
//! feature `repo`.

pub mod attributes;
#[cfg(feature = "repo")]
pub mod backup;
#[cfg(feature = "repo")]
mod claim;
#[cfg(feature = "repo")]
pub(crate) mod copy;
#[cfg(feature = "repo")]
pub mod directory;
#[cfg(feature = "repo")]
pub(crate) mod exclusive;
#[cfg(feature = "repo")]
pub mod incomplete;
#[cfg(feature = "repo")]
pub mod object;
pub mod pointer;
#[cfg(feature = "repo")]
pub mod regular;
#[cfg(feature = "repo")]
pub mod space;
#[cfg(feature = "repo")]
pub mod store;
#[cfg(feature = "repo")]
pub(crate) mod temp;
#[cfg(feature = "repo")]
pub mod worktree_file;
#[cfg(feature = "repo")]
pub mod writers;

#[cfg(feature = "repo")]
pub use backup::Kept;
#[cfg(feature = "repo")]
pub use directory::Directory;
#[cfg(feature = "repo")]
pub use incomplete::Incomplete;
#[cfg(feature = "repo")]
pub use object::{NewObject, Resumable};
pub use pointer::Pointer;
#[cfg(feature = "repo")]
pub(crate) use store::sync_parent;
#[cfg(feature = "repo")]
pub use store::{Sharing, Store};
#[cfg(feature = "repo")]
pub use temp::Temp;
#[cfg(feature = "repo")]
pub use worktree_file::{Placed, Target};
#[cfg(feature = "repo")]
pub use writers::{Writers, write_cached_at};
