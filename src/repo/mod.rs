//! [`Repo`]: the git repository that a model lives in.
//!
//! Discovery and trust, configuration, index, attributes and objects are read with gix, which is built without any
//! network code; nothing here starts a process, and no filter is ever run.
//!
//! Invariants: the index on the disk is the old one or the new one at every instant, and holds no lock that a
//! later run cannot recognise ([`Repo::stage`]); a work-tree file is absent or whole, and no symbolic link is
//! followed to write one. It does not commit, fetch or merge: that is `git/`.

mod attributes;
mod checkout;
mod config;
mod database;
mod error;
mod history;
mod index;
mod index_file;
mod lock;
mod objects;
mod origins;
mod partial;
mod references;
mod remotes;
mod short_blobs;
mod stage;
mod worktree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bstr::BStr;
use references::References;

pub use attributes::{
    Attributes, AttributesChange, CommittedAttributes, Filter, Origin, Treatment, Treatments, Trees,
};
pub use checkout::{Conversion, Converter, LineEnds, Made, Recipe, Survey, Unclear, recipes};
pub use database::{Database, Found};
pub use error::Error;
pub use history::History;
pub use index::{Entry, FileStat};
pub use origins::{FileOrigin, WantedFile, origins};
pub use partial::PartialIndex;
pub use remotes::{Settings, global_settings};
pub use short_blobs::ShortBlobs;
pub use stage::Change;

pub use crate::git::{ChangedPath, Mode, ObjectId, Version};

/// The extensions of a repository's format that git documents (gitrepository-layout, version 1), but for those whose
/// values matter.
const EXTENSIONS: &[&str] = &[
    "noop",
    "noop-v1",
    "preciousObjects",
    "partialClone",
    "worktreeConfig",
    "relativeWorktrees",
    "submodulePathConfig",
];

/// What the functions of this module return.
pub type Result<T> = std::result::Result<T, Error>;

/// A repository with a work tree.
pub struct Repo {
    inner: gix::Repository,
    work_dir: PathBuf,
    references: References,
}

impl Repo {
    /// Finds the repository that `dir` lies in, as git does: `GIT_DIR` first, else upwards. `None` if there is
    /// none.
    ///
    /// # Errors
    /// [`Error::Bare`], [`Error::NotTrusted`], [`Error::UnsupportedFormat`], or [`Error::Open`].
    pub fn discover(dir: &Path) -> Result<Option<Self>> {
        open(dir)?.map(Self::new).transpose()
    }

    /// The repository whose top is this directory: one that was just made here, and not the one that called us.
    ///
    /// # Errors
    /// [`Error::OfEnvironment`] if a variable of the environment names another one, or another index; as
    /// [`Repo::discover`].
    pub fn at(dir: &Path) -> Result<Self> {
        let real = |path: &Path| path.canonicalize().ok();
        let is_own = |repo: &Self| {
            let index = repo.index_path();
            let index_dir = index.parent().and_then(real);
            real(&repo.work_dir) == real(dir) && index_dir == real(repo.git_dir())
        };
        Self::discover(dir)?.filter(is_own).ok_or_else(|| Error::OfEnvironment { dir: dir.to_owned() })
    }

    fn new(inner: gix::Repository) -> Result<Self> {
        let git_dir = checked(&inner)?;
        let work_dir = inner.workdir().map(Path::to_owned).ok_or(Error::Bare { git_dir })?;
        let work_dir = std::path::absolute(&work_dir).map_err(Error::io("find", work_dir))?;
        let references = References::of(&inner);
        Ok(Self { inner, work_dir, references })
    }

    /// The top of the work tree, an absolute path.
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// The directory of this work tree's index and `HEAD`.
    pub fn git_dir(&self) -> &Path {
        self.inner.git_dir()
    }

    /// The directory that linked work trees share; else [`Repo::git_dir`].
    pub fn common_dir(&self) -> &Path {
        self.inner.common_dir()
    }

    /// Removes what killed runs left: temporary files of the store and of the index, and a lock of the index that
    /// is theirs. Nothing of a living process. Returns how many files that were.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn sweep(&self) -> Result<usize> {
        let store = self.store();
        let objects = crate::lfs::object::sweep(&store).map_err(Error::io("sweep", store.tmp_dir()))?;
        Ok(objects + lock::sweep(&self.index_path())?)
    }

    /// The same in the work tree, in the directories of these paths and above them: temporary files stand there where
    /// the store is on another file system. What cannot be swept, and what is behind a link, is left alone.
    pub fn sweep_beside<'a>(&self, paths: impl IntoIterator<Item = &'a BStr>) -> usize {
        let mut dirs = BTreeSet::new();
        for path in paths {
            let Ok(target) = self.target(path) else { continue };
            if target.metadata().is_ok() {
                let full = target.path();
                let above = full.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.work_dir));
                dirs.extend(above.map(Path::to_owned));
            }
        }
        dirs.iter().map(|dir| crate::lfs::temp::sweep_hidden(dir)).sum()
    }
}

/// The repository that `dir` lies in, as git finds it.
fn open(dir: &Path) -> Result<Option<gix::Repository>> {
    // gix keeps a relative directory relative, and would lose it when the process changes its own.
    let dir = &std::path::absolute(dir).map_err(Error::io("find", dir))?;
    let options = gix::open::Options::default;
    let by_trust =
        gix::sec::trust::Mapping { full: options(), reduced: options().with(gix::sec::Trust::Reduced) };
    let found = gix::ThreadSafeRepository::discover_with_environment_overrides_opts(
        dir,
        gix::discover::upwards::Options { match_ceiling_dir_or_error: false, ..Default::default() },
        by_trust,
    );
    match found {
        Ok(found) => {
            let mut found = found.to_thread_local();
            // An id is the object that is sent for it, not what `refs/replace/` puts in its place here.
            found.objects.ignore_replacements = true;
            Ok(Some(found))
        }
        Err(source) if is_absence(&source) => Ok(None),
        Err(source) => Err(open_error(dir, source)),
    }
}

/// The git directory of a repository that is trusted, and in a format that is known.
fn checked(inner: &gix::Repository) -> Result<PathBuf> {
    let git_dir = inner.git_dir().to_owned();
    if inner.git_dir_trust() != gix::sec::Trust::Full {
        return Err(Error::NotTrusted { git_dir });
    }
    match unheard(inner) {
        Some((key, value)) => Err(Error::UnsupportedFormat { key, value }),
        None => Ok(git_dir),
    }
}

/// What the format of a repository asks for that git does not know, nor this program; gix opens it all the same.
fn unheard(inner: &gix::Repository) -> Option<(String, bstr::BString)> {
    const VERSION: &str = "core.repositoryFormatVersion";
    let config = inner.config_snapshot();
    let version = config.string(VERSION)?;
    match version.to_string().trim() {
        "0" => return None,
        "1" => {}
        _ => return Some((VERSION.to_owned(), version)),
    }
    let sections = config.plumbing().sections_by_name("extensions").into_iter().flatten();
    // The repository's own; a user's configuration is no part of its format.
    let own = sections.filter(|section| section.meta().source == gix::config::Source::Local);
    own.flat_map(|section| {
        let names = section.value_names().map(|name| String::clone(&name));
        names.map(|name| (name.clone(), section.value(&*name).unwrap_or_default())).collect::<Vec<_>>()
    })
    .find(|(name, value)| !is_known(name, value))
    .map(|(name, value)| (format!("extensions.{name}"), value))
}

/// Returns `true` if an extension is one that git documents, with a value that is understood here.
fn is_known(name: &str, value: &bstr::BString) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match &***value {
        // Two names for each object, of which this program would write one.
        _ if is("compatObjectFormat") => false,
        format if is("refStorage") => format == b"files" || format == b"reftable",
        format if is("objectFormat") => format == b"sha1" || format == b"sha256",
        _ => EXTENSIONS.iter().any(|known| is(known)),
    }
}

fn is_absence(err: &gix::Error) -> bool {
    use gix::discover::upwards::Error as Upwards;
    err.downcast_any_ref::<Upwards>().is_some_and(|err| {
        matches!(
            err,
            Upwards::NoGitRepository { .. }
                | Upwards::NoGitRepositoryWithinCeiling { .. }
                | Upwards::NoGitRepositoryWithinFs { .. }
        )
    })
}

/// Looks for the reason that a person can act on: gix refuses an object format that it was not built with.
fn open_error(dir: &Path, source: gix::Error) -> Error {
    match object_format(dir) {
        Some(value) if value != "sha1" && value != "sha256" => {
            Error::UnsupportedFormat { key: "extensions.objectFormat".to_owned(), value }
        }
        _ => Error::Open { dir: dir.to_owned(), source },
    }
}

fn object_format(dir: &Path) -> Option<bstr::BString> {
    let (found, _) = gix::discover::upwards(dir).ok()?;
    let (git_dir, _) = found.into_repository_and_work_tree_directories();
    let common = std::fs::read_to_string(git_dir.join("commondir")).unwrap_or_default();
    let path = git_dir.join(common.trim_end()).join("config");
    let config = gix::config::File::from_path_no_includes(path, gix::config::Source::Local).ok()?;
    config.string("extensions.objectFormat")
}
