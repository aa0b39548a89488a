//! Lists the pull requests with safetensors files.

use std::collections::BTreeSet;

use super::super::{Error, Note, RemoteNote, Reporter};
use super::request::PullRequest;
use super::requests::{Known, Options, Requests, with_requests};
use crate::remote::discussions::PullRequestStatus;
use crate::remote::hub::model_of;

/// How many are read by default.
pub const NEWEST: usize = 20;

/// The result of the search.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The pull requests with safetensors files, the newest first.
    pub requests: Vec<PullRequest>,
    /// How many were read.
    pub seen: usize,
    /// How many exist.
    pub known: usize,
}

/// Reads the newest pull requests, or all.
///
/// # Errors
/// [`Error::NoRepository`], [`Error::NoRemote`], [`Error::Offline`], or an error of git or the repository.
pub fn list(options: &Options, all: bool, reporter: &dyn Reporter) -> Result<Listing, Error> {
    with_requests(options, reporter, |requests| {
        if options.remote.is_none() {
            requests.mention_home();
        }
        let mut found = requests.list()?;
        narrow(&mut found, requests)?;
        let known = found.len();
        if !all {
            found.truncate(NEWEST);
        }
        let mut read = requests.fetch(&found)?;
        read.retain(|request| !request.files.is_empty());
        Ok(Listing { requests: read, seen: found.len(), known })
    })
}

/// Keeps those that are not merged, by the server. If it does not report that, all are kept.
pub(super) fn narrow(found: &mut Vec<Known>, requests: &Requests<'_>) -> Result<(), Error> {
    if found.is_empty() {
        return Ok(());
    }
    let reporter = requests.session.reporter;
    match unmerged(requests) {
        Ok(Some(wanted)) => found.retain(|known| wanted.contains(&known.number)),
        Ok(None) => {}
        Err(error) if reporter.is_interrupted() => return Err(error),
        Err(error) => reporter.note(&Note::Remote(RemoteNote::NotNarrowed { reason: error.to_string() })),
    }
    Ok(())
}

/// Returns the numbers of those that are not merged, if the remote is a model on the Hub, which reports that cheaply.
fn unmerged(requests: &Requests<'_>) -> Result<Option<BTreeSet<u64>>, Error> {
    let Requests { session, repo, remote, .. } = requests;
    let hub = session.hub_in(repo)?;
    let Some(model) = model_of(hub.url(), &remote.url) else { return Ok(None) };
    let known = hub.pull_requests(&model)?;
    let wanted = known.into_iter().filter(|known| known.status != PullRequestStatus::Merged);
    Ok(Some(wanted.map(|known| known.number).collect()))
}
