//! [`References`]: what the references of a repository point at, read by gix, or by git where gix has no reader (reftable).
//!
//! Invariants: no file of the references is read here; a process is started only where gix cannot answer, two for each
//! state of the references that is asked for; nothing is fetched and nothing is written.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use bstr::BString;

use super::{Error, ObjectId, Result};
use crate::git::{self, Git};

/// How the references of a repository are kept.
#[derive(Debug)]
pub(super) enum References {
    /// In files, which gix reads.
    Files,
    /// In tables, which git reads: what `HEAD` was in the last state of them.
    Tables(RefCell<Option<(Vec<u8>, Head)>>),
}

/// What `HEAD` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The full name of the branch; `None` if none is checked out.
    pub(super) branch: Option<BString>,
    /// `None` if there is no commit yet.
    pub(super) commit: Option<ObjectId>,
}

impl References {
    /// By the extension that says so.
    pub(super) fn of(inner: &gix::Repository) -> Self {
        match inner.config_snapshot().string("extensions.refStorage") {
            Some(kind) if kind == "reftable" => Self::Tables(RefCell::default()),
            _ => Self::Files,
        }
    }

    /// What `HEAD` stands for.
    ///
    /// # Errors
    /// [`Error::Git`], [`Error::References`]
    pub(super) fn head(&self, inner: &gix::Repository) -> Result<Head> {
        let Self::Tables(known) = self else { return in_files(inner) };
        let state = state_of_tables(inner);
        if let Some((of, head)) = &*known.borrow()
            && *of == state
        {
            return Ok(head.clone());
        }
        let commit = ask(inner, "rev-parse", &["--verify", "--quiet", "HEAD^{commit}"])?;
        let commit = commit.and_then(|id| ObjectId::from_hex(id.trim().as_bytes()).ok());
        let branch = ask(inner, "symbolic-ref", &["--quiet", "HEAD"])?;
        let head = Head { branch: branch.map(BString::from), commit };
        *known.borrow_mut() = Some((state, head.clone()));
        Ok(head)
    }

    /// The object that a revision means.
    ///
    /// # Errors
    /// [`Error::NoSuchRevision`], [`Error::References`]
    pub(super) fn resolve(&self, inner: &gix::Repository, rev: &str) -> Result<ObjectId> {
        let no_such = || Error::NoSuchRevision { revision: rev.to_owned() };
        match self {
            Self::Files => Ok(inner.rev_parse_single(rev).map_err(|_| no_such())?.detach()),
            Self::Tables(_) => {
                let answer = ask(inner, "rev-parse", &["--verify", "--quiet", "--end-of-options", rev])?;
                ObjectId::from_hex(answer.ok_or_else(no_such)?.trim().as_bytes()).map_err(|_| no_such())
            }
        }
    }

    /// Returns `true` if a command of git left a reference of this name, such as `CHERRY_PICK_HEAD`, where that is no file.
    pub(super) fn is_left(&self, inner: &gix::Repository, name: &str) -> bool {
        matches!(self, Self::Tables(_)) && self.resolve(inner, name).is_ok()
    }
}

fn in_files(inner: &gix::Repository) -> Result<Head> {
    let head = inner.head().map_err(Error::git("read HEAD"))?;
    let branch = head.referent_name().map(|name| name.as_bstr().to_owned());
    let commit = if head.is_unborn() {
        None
    } else {
        Some(inner.head_id().map_err(Error::git("read HEAD"))?.detach())
    };
    Ok(Head { branch, commit })
}

/// The names of the tables, which each change of a reference renews; of this work tree and of all.
fn state_of_tables(inner: &gix::Repository) -> Vec<u8> {
    let list = |dir: &Path| fs::read(dir.join("reftable/tables.list")).unwrap_or_default();
    [list(inner.git_dir()), b"\n".to_vec(), list(inner.common_dir())].concat()
}

/// The answer of a command of git; `None` if it says by its status that there is none.
fn ask(inner: &gix::Repository, subcommand: &str, args: &[&str]) -> Result<Option<String>> {
    let failed = |source| Error::References { source };
    let dir = inner.git_dir();
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let git = Git::at(&dir).map_err(failed)?;
    let command = git.command(subcommand).env("GIT_DIR", dir).env("GIT_NO_LAZY_FETCH", "1");
    match command.args(args.iter().copied()).run() {
        Ok(answer) => Ok(Some(answer.text().to_owned())),
        Err(git::Error::Failed { status: Some(1), .. }) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}
