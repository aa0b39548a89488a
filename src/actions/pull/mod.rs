//! Takes safetensors files from a pull request of the remote, `refs/pr/<number>`.
//!
//! ```text
//! requests   lists and fetches them: commits, trees and pointers
//! request    the changes of one, and its checkpoint
//! apply      writes its files to the index and the working tree, with their content
//! list       lists those with safetensors files
//! auto       runs a conversion that adopts a pull request with the same files
//! ```
//!
//! Order: the pull request is fetched and checked; the objects of its safetensors files are downloaded into LFS storage
//! and checked; then the branch moves, or the files are staged, in one step; then content replaces the pointers. After
//! a kill before that step, only LFS storage has changed; after it, the pull request is taken, and the same command
//! replaces the remaining pointers by content.
//!
//! Invariant: a pull request that changes anything except safetensors files, their shard indexes and `.gitattributes`
//! is not taken without the user's confirmation.

mod auto;
mod list;
mod request;
pub(in crate::actions) mod requests;
mod apply;

use bstr::{BString, ByteSlice as _};

use super::convert::{self, Summary};
use super::lfs_remote::Server;
use super::verify::{self, Verified};
use super::{Error, Note, RemoteNote, Reporter};
use crate::git::Merge;
use crate::git::merge::merge;
use crate::lfs::Pointer;
use crate::repo::{Mode, ObjectId, Repo};

pub use auto::Choice;
pub use list::{Listing, NEWEST, list};
pub use request::{Freshness, PullRequest, RequestFile};
pub use requests::Options;
pub(super) use requests::{Requests, look_at};

/// The options for taking a pull request.
#[derive(Debug, Clone, Copy, Default)]
pub struct TakeOptions {
    /// Merge it if the branch cannot move to it.
    pub merge: bool,
    /// Take it whatever it changes.
    pub yes: bool,
    /// Take it only if its files have the tensors of the checkpoints that they were made from.
    pub verify: bool,
}

/// How it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullOutcome {
    /// The branch had it already.
    UpToDate,
    /// The branch moved to it.
    FastForward,
    /// A merge commit contains both.
    Merged,
    /// Only its files are staged.
    Staged,
}

/// A pull request that was taken.
#[derive(Debug)]
pub struct Pulled {
    /// The pull request.
    pub request: PullRequest,
    /// How it was taken.
    pub how: PullOutcome,
}

/// The result of a conversion, or of the pull request that stands for it.
#[derive(Debug)]
pub enum Done {
    /// The conversion ran.
    Converted(Summary),
    /// The pull request was taken.
    Pulled(Pulled),
}

/// Converts, or takes the files of a pull request.
///
/// # Errors
/// As [`convert::convert`] or [`pull`].
pub fn by_choice(choice: Choice, options: &convert::Options, reporter: &dyn Reporter) -> Result<Done, Error> {
    match choice {
        Choice::Never => convert::convert(options, reporter).map(Done::Converted),
        Choice::Auto => auto::convert(options, reporter).map(Done::Converted),
        Choice::Number(number) => {
            let (cwd, servers) = (options.cwd.clone(), options.servers.clone());
            let from = Options { cwd, servers, remote: None };
            pull(&from, number, TakeOptions::default(), reporter).map(Done::Pulled)
        }
    }
}

/// Takes the pull request of this number.
///
/// # Errors
/// [`Error::NoSuchPullRequest`], [`Error::WithoutSafetensors`], [`Error::OtherPaths`], [`Error::InTheWay`],
/// [`Error::NotSafetensors`], [`Error::NoRepository`], [`Error::NoRemote`], [`Error::Offline`], or an error of git, the
/// servers or the repository. Then index, working tree and branches are unchanged.
pub fn pull(
    options: &Options,
    number: u64,
    wish: TakeOptions,
    reporter: &dyn Reporter,
) -> Result<Pulled, Error> {
    look_at(options, number, reporter, |requests, request| {
        consent(request, wish, reporter)?;
        requests.complete(request.taken().map(|file| file.version.id))?;
        let request = requests.read_again(request)?;
        if wish.verify {
            check_proven(&verify::prove(requests, &request, None)?, number)?;
        }
        let objects = missing(requests.repo, &request)?;
        if !objects.is_empty() {
            let server = Server::of(requests.session, requests.repo, Some(&requests.remote.name), None)?;
            let objects: Vec<_> = objects.iter().map(|(path, pointer)| (path.as_bstr(), *pointer)).collect();
            server.download(&requests.repo.store(), &objects, reporter)?;
        }
        apply::check(requests.repo, &request)?;
        let how = take(requests, &request, wish, reporter)?;
        Ok(Pulled { request, how })
    })
}

/// Checks that every file is verified.
fn check_proven(verified: &[Verified], number: u64) -> Result<(), Error> {
    let mut rest = verified.iter().filter(|verified| !verified.is_good()).peekable();
    if rest.peek().is_none() {
        return Ok(());
    }
    let (count, is_failure) = (rest.clone().count(), rest.all(Verified::is_failed));
    Err(Error::NotProven { number, count, is_failure })
}

/// Prompts the user if the pull request changes other files.
fn consent(request: &PullRequest, wish: TakeOptions, reporter: &dyn Reporter) -> Result<(), Error> {
    if request.others.is_empty() {
        return Ok(());
    }
    let (number, paths) = (request.number, request.others.clone());
    reporter.note(&Note::Remote(RemoteNote::OtherPaths { number, paths }));
    if wish.yes || reporter.confirm(&format!("take pull request {number} with all of that?")) {
        return Ok(());
    }
    Err(Error::OtherPaths { number, count: request.others.len() })
}

/// Returns the objects that are missing in LFS storage, each once.
fn missing(repo: &Repo, request: &PullRequest) -> Result<Vec<(BString, Pointer)>, Error> {
    let store = repo.store();
    let mut missing: Vec<(BString, Pointer)> = Vec::new();
    for file in request.taken() {
        let Some(pointer) = file.pointer else { continue };
        let found = store.find(pointer.oid, pointer.size).map_err(Error::io("look in", store.dir()))?;
        let is_here = found.is_some();
        if !is_here && !missing.iter().any(|(_, known)| *known == pointer) {
            missing.push((file.path.clone(), pointer));
        }
    }
    Ok(missing)
}

/// Takes a pull request whose objects are local and checked.
fn take(
    requests: &Requests<'_>,
    request: &PullRequest,
    wish: TakeOptions,
    reporter: &dyn Reporter,
) -> Result<PullOutcome, Error> {
    let Requests { session, repo, git, network, head, .. } = requests;
    let pieces = apply::prepare(repo, request)?;
    let how = match request.base {
        Some(base) if base == request.commit => PullOutcome::UpToDate,
        Some(base) if base == *head => PullOutcome::FastForward,
        _ if wish.merge => PullOutcome::Merged,
        _ => PullOutcome::Staged,
    };
    let rev = request.commit.to_string();
    let message = format!("Merge refs/pr/{}", request.number);
    match how {
        PullOutcome::UpToDate => {}
        PullOutcome::FastForward | PullOutcome::Merged => {
            let blobs = request.brought.iter().filter(|(_, new)| new.mode != Mode::Submodule);
            requests.complete(blobs.map(|(_, new)| new.id))?;
            let way = if how == PullOutcome::Merged { Merge::Join(&message) } else { Merge::FastForward };
            merge(git, network, &rev, way)?;
        }
        PullOutcome::Staged => {
            apply::stage(session, repo, pieces)?;
            return Ok(how);
        }
    }
    let versions: Vec<(BString, ObjectId)> =
        request.taken().map(|file| (file.path.clone(), file.version.id)).collect();
    apply::fill_in(repo, pieces, &versions, reporter)?;
    Ok(how)
}
