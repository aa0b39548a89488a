//! Git LFS on this machine: pointer text, `.gitattributes` lines, and the local object store.
//!
//! Invariant: an object gets its final name only when it is whole, of the promised size, and on the disk.
//! This module speaks to no server and to no `git`; the directories are given to it.
//!
//! [`mod@pointer`] and [`attributes`] are text alone and belong to the core. `store`, `place`, `keep`, `copy` and
//! `writers` touch the disk and come with the feature `repo`.

pub mod attributes;
#[cfg(feature = "repo")]
pub(crate) mod copy;
#[cfg(feature = "repo")]
pub mod incomplete;
#[cfg(feature = "repo")]
pub mod keep;
#[cfg(feature = "repo")]
pub mod place;
pub mod pointer;
#[cfg(feature = "repo")]
pub mod resumable;
#[cfg(feature = "repo")]
pub mod space;
#[cfg(feature = "repo")]
pub mod store;
#[cfg(feature = "repo")]
pub(crate) mod temp;
#[cfg(feature = "repo")]
pub mod writers;

#[cfg(feature = "repo")]
pub use incomplete::Incomplete;
#[cfg(feature = "repo")]
pub use keep::Kept;
#[cfg(feature = "repo")]
pub use place::{Placed, Target};
pub use pointer::Pointer;
#[cfg(feature = "repo")]
pub use resumable::Resumable;
#[cfg(feature = "repo")]
pub(crate) use store::sync_parent;
#[cfg(feature = "repo")]
pub use store::{NewObject, Sharing, Store};
#[cfg(feature = "repo")]
pub use temp::Temp;
#[cfg(feature = "repo")]
pub use writers::Writers;
