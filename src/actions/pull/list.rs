//! The pull requests that carry safetensors.

use super::super::{Error, Note, RemoteNote, Reporter};
use super::request::PullRequest;
use super::requests::{Known, Requests};
use super::{Options, with_requests};

/// How many are looked at unless all are wanted.
pub const NEWEST: usize = 20;

/// What there is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those that carry safetensors, the newest first.
    pub requests: Vec<PullRequest>,
    /// How many were looked at.
    pub seen: usize,
    /// How many there are.
    pub known: usize,
}

/// Looks at the newest pull requests, or at all.
///
/// # Errors
/// [`Error::NoRepository`], [`Error::NoRemote`], [`Error::Offline`], or what git and the repository report.
pub fn list(options: &Options<'_>, all: bool, reporter: &dyn Reporter) -> Result<Listing, Error> {
    with_requests(options, reporter, |requests| {
        let mut found = requests.list()?;
        narrow(&mut found, options, requests, reporter)?;
        let known = found.len();
        if !all {
            found.truncate(NEWEST);
        }
        let mut read = requests.fetch(&found)?;
        read.retain(|request| !request.files.is_empty());
        Ok(Listing { requests: read, seen: found.len(), known })
    })
}

/// Leaves those that the server says are worth a look. If it cannot say, all are.
pub(super) fn narrow(
    found: &mut Vec<Known>,
    options: &Options<'_>,
    requests: &Requests<'_>,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    if found.is_empty() {
        return Ok(());
    }
    match options.server.open_pull_requests(requests.repo, &requests.remote, reporter) {
        Ok(Some(wanted)) => found.retain(|known| wanted.contains(&known.number)),
        Ok(None) => {}
        Err(error) if reporter.is_interrupted() => return Err(error),
        Err(error) => reporter.note(&Note::Remote(RemoteNote::NotNarrowed { reason: error.to_string() })),
    }
    Ok(())
}
