//! Clones a model without its weights: commits, trees and small files, with a pointer in place of each LFS object.
//!
//! ```text
//! source     interprets MODEL
//! place      the directory, which appears when the clone is complete
//! tip        the current commit of the remote, without a clone
//! clone      one branch, without a checkout ─▶ the missing files of the commit, a few per request ─▶ checkout
//! ```
//!
//! Not every server sends what a partial clone requests later. If a server does not send single files, all of them are
//! requested at once; if that fails too, all files of the last commit. A note reports the fallback.
//!
//! Invariant: the result is a clone as git makes it, on a branch that tracks its remote, or at the requested commit; no
//! filter of Git LFS ran, and the clone configures none.

mod place;
pub(super) mod source;
mod tip;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::servers::Session;
use super::{Error, Note, RemoteNote, Reporter, Servers};
use crate::git::clone::{self, Clone};
use crate::git::{self, Git, Network, Remote, Trouble, fetch};
use place::CloneDir;
use source::CloneSource;
pub(super) use tip::tip;

/// The reference that keeps a commit until `HEAD` does.
const WANTED: &str = "refs/st-convert/revision";

/// The options of a clone.
#[derive(Debug, Default)]
pub struct Options {
    /// The base of relative paths.
    pub cwd: PathBuf,
    /// A name of the Hub, a URL or a path.
    pub model: OsString,
    /// The directory of the clone; by default the last part of the model's name.
    pub dir: Option<PathBuf>,
    /// A branch, a tag, a commit or a reference; by default the remote's default branch.
    pub revision: Option<String>,
    /// This number of commits, instead of all.
    pub depth: Option<u32>,
    /// How servers are contacted.
    pub servers: Servers,
}

/// A clone.
#[derive(Debug, PartialEq, Eq)]
pub struct Cloned {
    /// Its directory.
    pub dir: PathBuf,
    /// Its source, without a password.
    pub url: OsString,
    /// The current branch; `None` if `HEAD` is detached.
    pub branch: Option<String>,
    /// The current commit.
    pub commit: String,
}

/// Clones.
///
/// # Errors
/// [`Error::CloneInTheWay`], [`Error::NeedsDirectory`], [`Error::Offline`], [`Error::NoSuchRevision`],
/// [`Error::EmptyRepository`], or an error of git or the system. Then the clone is removed.
pub fn clone(options: &Options, reporter: &dyn Reporter) -> Result<Cloned, Error> {
    let session = Session::new(&options.servers, reporter);
    let source = CloneSource::of(&options.model, options.servers.endpoint(), &options.cwd);
    source::check(&source)?;
    let dir = options.dir.as_ref().or(source.dir.as_ref());
    let dir = dir.ok_or_else(|| Error::NeedsDirectory { model: git::redacted(&options.model) })?;
    let dir = std::path::absolute(options.cwd.join(dir)).map_err(Error::io("find", dir))?;
    if session.is_offline() && !source.is_path {
        return Err(Error::Offline { what: "clone" });
    }
    let wish = Revision::of(options.revision.as_deref(), &source.url)?;
    clone::require(&Git::at(&options.cwd)?, clone::NEEDED)?;
    let place = CloneDir::prepare(&dir)?;
    let made = session.network(|network| {
        Making { options, source: &source, place: &place, wish, network, session: &session }.make()
    });
    let (branch, commit) = made?;
    let dir = place.finish()?;
    Ok(Cloned { dir, url: git::redacted(&source.url), branch, commit })
}

/// Returns the error that the repository at this URL has no such revision.
fn no_such(revision: &str, url: &OsStr) -> Error {
    Error::NoSuchRevision { revision: revision.to_owned(), remote: Some(git::redacted(url)) }
}

/// The requested revision.
#[derive(Debug, Clone, Copy)]
enum Revision<'a> {
    /// The remote's default branch.
    Default,
    /// A branch or a tag; otherwise an abbreviated commit.
    Named(&'a str),
    /// A full commit name, or any reference.
    Exact(&'a str),
}

impl<'a> Revision<'a> {
    /// Interprets the revision, which the repository at this URL must have.
    fn of(revision: Option<&'a str>, url: &OsStr) -> Result<Self, Error> {
        let Some(text) = revision else { return Ok(Self::Default) };
        // Characters that git does not allow in a reference could make it a pattern or two names.
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || ":^~?*[\\".contains(c);
        if text.is_empty() || text.starts_with('-') || text.contains(is_odd) || text.contains("..") {
            return Err(no_such(text, url));
        }
        let named = text.strip_prefix("refs/heads/").or_else(|| text.strip_prefix("refs/tags/"));
        Ok(match named {
            Some(name) => Self::Named(name),
            None if text.starts_with("refs/") || fetch::is_object_name(text) => Self::Exact(text),
            None => Self::Named(text),
        })
    }
}

/// A clone in progress.
struct Making<'a> {
    options: &'a Options,
    source: &'a CloneSource,
    place: &'a CloneDir,
    wish: Revision<'a>,
    network: &'a Network<'a>,
    session: &'a Session<'a>,
}

/// A clone before its checkout.
struct Bare<'a> {
    git: Git<'a>,
    remote: Remote,
    /// The commit to check out, if it is not that of the branch.
    detached_at: Option<String>,
    commit: String,
}

impl Making<'_> {
    /// Clones; returns the branch and the commit that are checked out.
    fn make(&self) -> Result<(Option<String>, String), Error> {
        let bare = self.objects()?;
        clone::checkout(&bare.git, self.network, bare.detached_at.as_deref())?;
        if bare.detached_at.is_some() {
            fetch::delete_refs(&bare.git, &[WANTED.to_owned()])?;
        }
        let branch = clone::branch(&bare.git)?;
        Ok((branch, bare.commit))
    }

    /// Fetches everything that the checkout needs, in the way that the server allows.
    fn objects(&self) -> Result<Bare<'_>, Error> {
        let is_partial = !self.source.is_path;
        match self.commits(is_partial, self.options.depth) {
            Ok(bare) => match self.files(&bare) {
                Err(error) if is_partial && may_be_withheld(&error) => {}
                files => return files.map(|()| bare),
            },
            Err(error) if is_partial && is_withheld(&error) => {}
            Err(error) => return Err(error),
        }
        self.place.clear()?;
        let depth = self.options.depth.unwrap_or(1);
        let bare = self.commits(false, Some(depth))?;
        self.session.reporter.note(&Note::Remote(RemoteNote::ShallowClone { depth }));
        Ok(bare)
    }

    /// Clones one branch, and fetches the requested commit.
    fn commits(&self, is_partial: bool, depth: Option<u32>) -> Result<Bare<'_>, Error> {
        let branch = match self.wish {
            Revision::Named(name) => Some(name),
            Revision::Default | Revision::Exact(_) => None,
        };
        let dir = self.place.path();
        let outside = self.session.git(&self.options.cwd)?;
        let how = Clone { branch, depth, is_partial };
        let mut prefix = None;
        match clone::clone(&outside, self.network, &self.source.url, &dir, how) {
            Err(error) if error.is(Trouble::NoSuchRef) => {
                let text = branch.unwrap_or_default();
                if !is_abbreviation(text) {
                    return Err(no_such(text, &self.source.url));
                }
                prefix = Some(text);
                let how = Clone { branch: None, ..how };
                clone::clone(&outside, self.network, &self.source.url, &dir, how)?;
            }
            cloned => cloned?,
        }
        self.session.reporter.finished();
        let git = self.session.git(&dir)?;
        let name = clone::remote_of(&git)?.unwrap_or_else(|| "origin".to_owned());
        let remote = Remote::named(&git, &name)?;
        let detached_at = self.wanted(&git, &remote, prefix, depth)?;
        let commit = match &detached_at {
            Some(commit) => commit.clone(),
            None => self.head(&git, &remote)?,
        };
        Ok(Bare { git, remote, detached_at, commit })
    }

    /// Fetches and returns the commit to check out instead of the branch.
    fn wanted(
        &self,
        git: &Git<'_>,
        remote: &Remote,
        prefix: Option<&str>,
        depth: Option<u32>,
    ) -> Result<Option<String>, Error> {
        let no_such = |revision: &str| no_such(revision, &self.source.url);
        if let Some(prefix) = prefix {
            let commit = git::commit::rev_parse(git, &format!("{prefix}^{{commit}}"));
            return commit.map(Some).map_err(|_| no_such(prefix));
        }
        let Revision::Exact(spec) = self.wish else { return Ok(None) };
        match fetch::fetch_one(git, self.network, remote, spec, WANTED, depth) {
            Ok(commit) => Ok(Some(commit)),
            Err(error) if error.is(Trouble::NoSuchRef) || error.is(Trouble::Withheld) => Err(no_such(spec)),
            Err(error) => Err(error.into()),
        }
    }

    fn head(&self, git: &Git<'_>, remote: &Remote) -> Result<String, Error> {
        if let Ok(commit) = git::commit::rev_parse(git, "HEAD^{commit}") {
            return Ok(commit);
        }
        let branches = fetch::list(git, self.network, remote, "refs/heads/*").unwrap_or_default();
        let names = || branches.iter().filter_map(|branch| branch.name.strip_prefix("refs/heads/"));
        match names().find(|name| matches!(*name, "main" | "master")).or_else(|| names().next()) {
            Some(branch) => Err(git::Error::NoHead { branch: branch.to_owned() }.into()),
            None => Err(Error::EmptyRepository { url: git::redacted(&self.source.url) }),
        }
    }

    /// Fetches the files of the commit that the clone left out.
    fn files(&self, bare: &Bare<'_>) -> Result<(), Error> {
        let Bare { git, remote, commit, .. } = bare;
        let missing = clone::missing(git, commit)?;
        match fetch::fetch_objects(git, self.network, remote, &missing) {
            Err(error) if error.is(Trouble::Withheld) => {}
            fetched => return Ok(fetched?),
        }
        let spec = match self.wish {
            Revision::Exact(spec) => Some(format!("+{spec}:{WANTED}")),
            _ => None,
        };
        clone::make_whole(git, self.network, remote, spec.as_deref())?;
        if !clone::missing(git, commit)?.is_empty() {
            return Err(Error::FilesWithheld);
        }
        self.session.reporter.note(&Note::Remote(RemoteNote::WholeClone));
        Ok(())
    }
}

fn is_withheld(error: &Error) -> bool {
    matches!(error, Error::Git(error) if error.is(Trouble::Withheld))
}

/// Returns `true` if another way to request the same files could work.
fn may_be_withheld(error: &Error) -> bool {
    matches!(error, Error::FilesWithheld | Error::Git(git::Error::TooOld { .. })) || is_withheld(error)
}

/// Returns `true` if it could be an abbreviated commit.
fn is_abbreviation(text: &str) -> bool {
    (4..64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
