//! Finds the clone of an earlier run by its remote, and moves it to the current commit of that remote.
//!
//! Invariant: a directory that is not a clone of exactly this model is not changed; a clone moves only by a
//! fast-forward of git, so that no change in it is lost.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use super::Options;
use super::list::{Item, address, shown};
use crate::actions::servers::Session;
use crate::actions::{Error, Reporter};
use crate::git::merge::merge;
use crate::git::{self, Merge, Remote, clone, fetch};
use crate::repo::Repo;

/// The reference that keeps the remote's commit until the branch has it and files made from another commit are
/// replaced: a run that is killed or fails in between leaves it to the next one.
const WANTED: &str = "refs/st-convert/revision";

/// Finds the existing clone of the model. An empty directory is removed, so that an existing clone is always complete.
///
/// # Errors
/// [`Error::CloneInTheWay`] if the directory contains something else.
pub(super) fn find(dir: &Path, item: &Item) -> Result<Option<Repo>, Error> {
    match fs::remove_dir(dir) {
        Ok(()) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) => {}
    }
    let in_the_way = || Error::CloneInTheWay { dir: dir.to_owned() };
    let real = dir.canonicalize().map_err(|_| in_the_way())?;
    let repo = Repo::discover(&real)?.filter(|repo| repo.work_dir() == real).ok_or_else(in_the_way)?;
    let url = repo.default_remote().and_then(|name| repo.config_str(&format!("remote.{name}.url")));
    let is_same = url.is_some_and(|url| {
        let url = shown(&git::without_password(&OsString::from(url.to_string())));
        let is_path = Path::new(&url).is_absolute();
        address(&url, is_path.then_some(Path::new(""))) == item.url
    });
    if is_same { Ok(Some(repo)) } else { Err(in_the_way()) }
}

/// Moves the branch to the commit of the remote. Returns that commit, and whether the branch moved, now or in a run
/// that did not reach [`settle`].
///
/// # Errors
/// An error of git or the server; then the clone is unchanged.
pub(super) fn bring_up(
    repo: &Repo,
    options: &Options,
    item: &Item,
    reporter: &dyn Reporter,
) -> Result<(String, bool), Error> {
    let session = Session::new(&options.servers, reporter);
    if session.is_offline() {
        return Err(Error::Offline { what: "look for a newer commit" });
    }
    let git = session.git_in(repo)?;
    session.network(|network| {
        let is_unsettled = git::commit::rev_parse(&git, WANTED).is_ok();
        let name = repo.default_remote().ok_or(Error::NoRemote)?;
        let remote = Remote::named(&git, &name)?;
        let spec = item.revision.as_deref().unwrap_or("HEAD");
        let commit =
            fetch::fetch_one(&git, network, &remote, spec, WANTED, None).map_err(|error| match error {
                git::Error::Remote { trouble: git::Trouble::NoSuchRef, .. } => {
                    let url = git::redacted(remote.url.as_ref());
                    Error::NoSuchRevision { revision: spec.to_owned(), remote: Some(url) }
                }
                error => error.into(),
            })?;
        let before = repo.head_commit()?.map(|commit| commit.to_string());
        let has_another = before.as_ref() != Some(&commit);
        if has_another {
            let missing = clone::missing(&git, &commit)?;
            fetch::fetch_objects(&git, network, &remote, &missing)?;
            merge(&git, network, &commit, Merge::FastForward)?;
        }
        // An adopted pull request is based on the remote's commit, and stays.
        let after = git::commit::rev_parse(&git, "HEAD^{commit}")?;
        let has_moved = is_unsettled || Some(after) != before;
        if !has_moved {
            settle(repo, &session)?;
        }
        Ok((commit, has_moved))
    })
}

/// Records that files made from another commit were replaced.
///
/// # Errors
/// An error of git.
pub(super) fn settle(repo: &Repo, session: &Session<'_>) -> Result<(), Error> {
    let git = session.git_in(repo)?;
    Ok(fetch::delete_refs(&git, &[WANTED.to_owned()])?)
}
