//! `git-st-convert`: free a model repository from pickle weights, never executing a pickle.
//!
//! The modules, in dependency order; each uses only those above it.
#![cfg_attr(not(feature = "cli"), allow(rustdoc::broken_intra_doc_links, reason = "the map names all rooms"))]

pub mod hash;
pub mod lfs;
pub mod read_at;
#[cfg(feature = "repo")]
pub mod repo;
