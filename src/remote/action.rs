//! [`Action`]: how one object can be had, and for how long.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::path::PathBuf;
use std::sync::Arc;

use ureq::http::{HeaderName, HeaderValue};

use super::known::Expiry;
use super::url::Url;

/// How one object can be had.
#[derive(Debug, Clone)]
pub struct Action(pub(super) ObjectAt);

/// Where its bytes are.
#[derive(Debug, Clone)]
pub(super) enum ObjectAt {
    /// On a server.
    Server(Arc<Get>),
    /// In another repository on this machine.
    File(PathBuf),
}

/// The request that gets an object.
#[derive(Debug)]
pub(super) struct Get {
    pub(super) url: Url,
    pub(super) lines: Vec<(HeaderName, HeaderValue)>,
    /// The server says that the address needs no login of ours.
    pub(super) is_authenticated: bool,
    pub(super) expiry: Expiry,
}

impl Get {
    /// Returns `true` if it is over, or about to be.
    pub(super) fn is_over(&self) -> bool {
        self.expiry.is_over()
    }
}
