//! [`References`] resolves the references of a repository by gix, or by git where gix has no reader (reftable).
//!
//! Invariants: this module reads no file of the references; it starts a process only if gix cannot answer, two per
//! state of the references; it fetches and writes nothing.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use bstr::BString;

use super::{Error, ObjectId, Result};
use crate::git::Git;

/// The storage of the references of a repository.
#[derive(Debug)]
pub(super) enum References {
    /// Files, which gix reads.
    Files,
    /// Tables, which git reads: `HEAD` in their last state.
    Tables(RefCell<Option<(Vec<u8>, Head)>>),
}

/// The target of `HEAD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The full name of the branch; `None` if `HEAD` is detached.
    pub(super) branch: Option<BString>,
    /// `None` if no commit exists yet.
    pub(super) commit: Option<ObjectId>,
}

impl References {
    /// Detects the storage by the repository's extension.
    pub(super) fn of(inner: &gix::Repository) -> Self {
        match inner.config_snapshot().string("extensions.refStorage") {
            Some(kind) if kind == "reftable" => Self::Tables(RefCell::default()),
            _ => Self::Files,
        }
    }

    /// Returns the target of `HEAD`.
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

    /// Returns the object of a revision.
    ///
    /// # Errors
    /// [`Error::NoSuchRevision`], [`Error::References`]
    pub(super) fn resolve(&self, inner: &gix::Repository, rev: &str) -> Result<ObjectId> {
        let no_such = || Error::NoSuchRevision { revision: rev.to_owned() };
        match self {
            // It means the commit without its parents, and gix would return the commit.
            Self::Files if rev.ends_with("^!") => Err(no_such()),
            Self::Files => Ok(inner.rev_parse_single(rev).map_err(|_| no_such())?.detach()),
            Self::Tables(_) => {
                let answer = ask(inner, "rev-parse", &["--verify", "--quiet", "--end-of-options", rev])?;
                ObjectId::from_hex(answer.ok_or_else(no_such)?.trim().as_bytes()).map_err(|_| no_such())
            }
        }
    }

    /// Returns `true` if a git command left a reference of this name, such as `CHERRY_PICK_HEAD`, in the tables.
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

/// Returns the names of the tables, which each change of a reference renews; those of this working tree and the shared
/// ones.
fn state_of_tables(inner: &gix::Repository) -> Vec<u8> {
    let list = |dir: &Path| fs::read(dir.join("reftable/tables.list")).unwrap_or_default();
    [list(inner.git_dir()), b"\n".to_vec(), list(inner.common_dir())].concat()
}

/// Returns the output of a git command; `None` if its exit status shows that no result exists.
fn ask(inner: &gix::Repository, subcommand: &str, args: &[&str]) -> Result<Option<String>> {
    let failed = |source| Error::References { source };
    let dir = inner.git_dir();
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let git = Git::at(&dir).map_err(failed)?;
    let command = git.command(subcommand).env("GIT_DIR", dir).env("GIT_NO_LAZY_FETCH", "1");
    let answer = command.args(args.iter().copied()).run_optional().map_err(failed)?;
    Ok(answer.map(|answer| answer.text().to_owned()))
}
