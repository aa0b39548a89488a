//! Converts, and uses pull requests that have the same files, or files that cannot be converted.
//!
//! A conversion needs no trust in other authors, so it always runs; then a pull request with identical files, to which
//! the branch can move, is merged into the branch, so that local history equals what upstream will have. If a
//! checkpoint is refused, the pull requests with safetensors files are listed.
//!
//! Invariant: no user is prompted for a password, and a server that does not respond is not an error: the conversion
//! succeeded.

use bstr::BString;

use super::super::convert::{self, Adopt, Adopted, Summary};
use super::super::servers::Session;
use super::super::{Error, Note, Reason, RemoteNote, Reporter, Status};
use super::list::{NEWEST, list, narrow};
use super::request::PullRequest;
use super::requests::{Options, Requests, open};
use crate::git::Merge;
use crate::git::merge::merge;
use crate::lfs::Pointer;
use crate::repo::{Entry, Repo};

/// The source of the safetensors files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// This pull request.
    Number(u64),
    /// The conversion; an identical pull request is adopted.
    Auto,
    /// The conversion, and no remote is contacted.
    Never,
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Auto => f.write_str("auto"),
            Self::Never => f.write_str("never"),
        }
    }
}

impl std::str::FromStr for Choice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "never" => Ok(Self::Never),
            number => number
                .parse()
                .map(Self::Number)
                .map_err(|_| "expected a pull request number, `auto` or `never`"),
        }
    }
}

impl Choice {
    /// Returns the setting of the repository (`st-convert.pr`), or else [`Choice::Auto`].
    ///
    /// # Errors
    /// [`Error::Setting`], or an error of the repository.
    pub fn configured(cwd: &std::path::Path) -> Result<Self, Error> {
        let Some(repo) = Repo::discover(cwd)? else { return Ok(Self::Auto) };
        let Some(value) = repo.config_str("st-convert.pr") else { return Ok(Self::Auto) };
        let parsed = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        parsed.ok_or(Error::Setting { key: "st-convert.pr", value })
    }
}

/// Converts, and checks the pull requests of the remote, if it may be contacted.
///
/// # Errors
/// As [`convert::convert`].
pub(super) fn convert(options: &convert::Options, reporter: &dyn Reporter) -> Result<Summary, Error> {
    if options.dry_run || options.output.is_some() || options.servers.settings.offline {
        return convert::convert(options, reporter);
    }
    let in_passing =
        Options { cwd: options.cwd.clone(), servers: options.servers.clone().in_passing(), remote: None };
    let auto = Auto { options: in_passing, reporter };
    let summary = convert::convert_adopting(options, Some(&auto), reporter)?;
    if summary.in_repository && summary.outcomes.iter().any(is_unconvertible) {
        auto.suggest()?;
    }
    Ok(summary)
}

/// Returns `true` if it was refused because of its content, rather than because of the output.
fn is_unconvertible(outcome: &super::super::Outcome) -> bool {
    let Some(Reason::Error(error)) = &outcome.reason else { return false };
    outcome.status == Status::Refused && matches!(error, Error::Checkpoint(_) | Error::Recipe(_))
}

struct Auto<'a> {
    options: Options,
    reporter: &'a dyn Reporter,
}

impl Adopt for Auto<'_> {
    fn adopt(&self, repo: &Repo, converted: &[(BString, Pointer)]) -> Result<Option<Adopted>, Error> {
        if repo.default_remote().is_none() || repo.head_commit()?.is_none() {
            return Ok(None);
        }
        let session = Session::new(&self.options.servers, self.reporter);
        let adopted = open(&session, repo, None, |requests| look(requests, converted));
        self.forgive(adopted).map(Option::flatten)
    }
}

impl Auto<'_> {
    /// Lists the pull requests with files that could not be converted.
    fn suggest(&self) -> Result<(), Error> {
        let listed = match list(&self.options, false, self.reporter) {
            Err(Error::NoRemote | Error::NoCommits) => return Ok(()),
            listed => self.forgive(listed)?,
        };
        let numbers: Vec<_> =
            listed.into_iter().flat_map(|listing| listing.requests).map(|request| request.number).collect();
        if !numbers.is_empty() {
            self.reporter.note(&Note::Remote(RemoteNote::PullRequests { numbers }));
        }
        Ok(())
    }

    /// Reports an error of a server or git as a note, because it is not an error of the conversion.
    fn forgive<T>(&self, done: Result<T, Error>) -> Result<Option<T>, Error> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(error @ Error::Interrupted) => Err(error),
            Err(error) => {
                self.reporter
                    .note(&Note::Remote(RemoteNote::PullRequestsNotSeen { reason: error.to_string() }));
                Ok(None)
            }
        }
    }
}

/// Returns a pull request that has the converted files, and to which the branch can move.
fn look(requests: &Requests<'_>, converted: &[(BString, Pointer)]) -> Result<Option<Adopted>, Error> {
    let mut known = requests.list()?;
    narrow(&mut known, requests)?;
    known.truncate(NEWEST);
    let entries = requests.repo.entries()?;
    for request in requests.fetch(&known)? {
        let has_ours = request.files.iter().any(|file| converted.iter().any(|(path, _)| *path == file.path));
        if has_ours && request.base == Some(requests.head) && is_staged(&request, &entries) {
            // The index already has all of its files, so no file of the working tree changes.
            merge(requests.git, requests.network, &request.commit.to_string(), Merge::FastForward)?;
            let paths = request.taken().map(|file| file.path.clone()).collect();
            return Ok(Some(Adopted { number: request.number, paths }));
        }
    }
    Ok(None)
}

/// Returns `true` if the index has every path in the version of the pull request.
fn is_staged(request: &PullRequest, entries: &[Entry]) -> bool {
    let is_staged = |(path, new): &(BString, crate::repo::Version)| {
        let entry = entries.iter().find(|entry| entry.path == *path && entry.stage == 0);
        entry.is_some_and(|entry| entry.id == new.id && entry.mode == new.mode)
    };
    request.others.is_empty() && request.brought.iter().all(is_staged)
}
