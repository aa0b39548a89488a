//! git's own diff: what its `textconv` driver lists of a file, and the setting that calls it.
//!
//! ```text
//! diff.lfs.textconv    git runs it on each version of a file with the attribute `diff=lfs`, which every line of Git LFS has
//! ```
//!
//! git smudges what it gives to a driver. Where Git LFS smudges, that is a copy of each version, and a download of those that are not
//! here; so the driver is only set where it does not, and then gets the pointer, whose object it reads in the LFS store. It is
//! set without `cachetextconv`, which would keep "not here" after the object has come.
//!
//! Invariant: no server is asked, and a driver that other people set stays.

use std::path::{Path, PathBuf};

use super::super::content::{LocalFile, oid, text};
use super::super::{Error, Reporter, UnfitDriver};
use super::model::{Model, TensorFacts};
use crate::git::Git;
use crate::git::hooks::{Scope, file_of, remove_empty_section, set, setting, unset};
use crate::hash::Oid;
use crate::lfs::{Pointer, pointer};
use crate::read_at::ReadAt;
use crate::repo::Repo;

const KEY: &str = "diff.lfs.textconv";
const CACHE: &str = "diff.lfs.cachetextconv";

/// Without the program, git shows the pointer.
const DRIVER: &str = "f() { git st-convert textconv \"$1\" 2>/dev/null || head -c 1024 \"$1\"; }; f";

/// What a version of a file is.
#[derive(Debug)]
pub struct FileListing {
    /// Its object ID.
    pub oid: Oid,
    /// Its size in bytes.
    pub size: u64,
    /// What it holds.
    pub content: ListedContent,
}

/// What a version of a file holds.
#[derive(Debug)]
pub enum ListedContent {
    /// Tensors, by name.
    Tensors(Vec<TensorFacts>),
    /// No tensors.
    Other,
    /// Its object is not in the LFS store.
    NotHere,
    /// It cannot be read.
    Unreadable(Error),
}

/// Lists a file that git gives to its driver: a pointer, or the content itself.
///
/// # Errors
/// [`Error::NotFound`], or what the system reports.
pub fn listing(cwd: &Path, file: &Path) -> Result<FileListing, Error> {
    let path = cwd.join(file);
    let name = file.as_os_str().as_encoded_bytes().into();
    let given = LocalFile::open(name, &path, None)?;
    let short = text(&given.file, pointer::MAX_LEN as u64 - 1);
    if let Some(pointer) = short.and_then(|text| Pointer::parse(&text).ok()) {
        let content = match object(cwd, pointer) {
            Ok(object) => content(&object.file),
            Err(Error::NoObject { .. }) => ListedContent::NotHere,
            Err(error) => ListedContent::Unreadable(error),
        };
        return Ok(FileListing { oid: pointer.oid, size: pointer.size, content });
    }
    let oid = oid(&given.file, &()).map_err(Error::io("read", &path))?;
    Ok(FileListing { oid, size: given.size(), content: content(&given.file) })
}

/// The object of a pointer, in the store of the repository that git works in.
fn object(cwd: &Path, pointer: Pointer) -> Result<LocalFile, Error> {
    let repo = Repo::discover_for_hook(cwd)?;
    LocalFile::object(repo.as_ref(), b"the object".into(), pointer)
}

fn content(source: &dyn ReadAt) -> ListedContent {
    match Model::read(source, false) {
        Ok(Some(model)) => ListedContent::Tensors(model.tensors.into_values().collect()),
        Ok(None) => ListedContent::Other,
        Err(error) => ListedContent::Unreadable(error),
    }
}

/// Where the driver is set.
#[derive(Debug, Clone, Default)]
pub struct DriverOptions {
    /// The directory that the repository is looked for in.
    pub cwd: PathBuf,
    /// For all repositories of the user.
    pub global: bool,
}

/// What became of the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverState {
    /// It is set.
    Installed,
    /// It was set before.
    Unchanged,
    /// It is gone.
    Removed,
    /// There was none.
    Absent,
}

/// Sets the driver, where git does not smudge for it.
///
/// # Errors
/// [`Error::Driver`], [`Error::NoRepository`], or what git reports.
pub fn install(options: &DriverOptions, reporter: &dyn Reporter) -> Result<DriverState, Error> {
    with_git(options, reporter, |git, scope| {
        match setting(git, Some(scope), "path", KEY)? {
            Some(value) if value == DRIVER => return Ok(DriverState::Unchanged),
            Some(value) => return Err(Error::Driver(UnfitDriver::Taken { value })),
            None => {}
        }
        // What is in force: outside of any repository, for all of them.
        let outside = options.cwd.ancestors().last().unwrap_or(&options.cwd);
        let in_force = if options.global { git.in_dir(outside) } else { git.clone() };
        if let Some((key, value)) = smudges(&in_force)? {
            return Err(Error::Driver(UnfitDriver::Smudges { key, value }));
        }
        if setting(&in_force, None, "bool", CACHE)?.is_some_and(|value| value == "true") {
            return Err(Error::Driver(UnfitDriver::Cached));
        }
        set(git, scope, KEY, DRIVER)?;
        Ok(DriverState::Installed)
    })
}

/// Takes the driver away, if it is ours.
///
/// # Errors
/// [`Error::NoRepository`], or what git reports.
pub fn uninstall(options: &DriverOptions, reporter: &dyn Reporter) -> Result<DriverState, Error> {
    with_git(options, reporter, |git, scope| {
        if setting(git, Some(scope), "path", KEY)?.as_deref() != Some(DRIVER) {
            return Ok(DriverState::Absent);
        }
        let file = file_of(git, scope, KEY);
        unset(git, scope, KEY)?;
        if let Some(file) = file {
            remove_empty_section(git, scope, "diff.lfs", &file)?;
        }
        Ok(DriverState::Removed)
    })
}

fn with_git<T>(
    options: &DriverOptions,
    reporter: &dyn Reporter,
    work: impl FnOnce(&Git<'_>, Scope) -> Result<T, Error>,
) -> Result<T, Error> {
    let observe = |line: &[std::ffi::OsString]| reporter.command(line);
    let git = Git::at(&options.cwd)?.observed(Some(&observe));
    if options.global {
        return work(&git, Scope::Global);
    }
    Repo::discover_for_hook(&options.cwd)?.ok_or(Error::NoRepository)?;
    work(&git, Scope::Local)
}

/// The setting by which git gives the content of LFS files, and not their pointers; `None` if it does not. Where there is a process, the
/// filter is not asked.
fn smudges(git: &Git<'_>) -> Result<Option<(&'static str, String)>, Error> {
    for key in ["filter.lfs.process", "filter.lfs.smudge"] {
        let value = setting(git, None, "path", key)?.filter(|value| !value.is_empty());
        if let Some(value) = value {
            let skips = value.split_whitespace().any(|word| matches!(word, "--skip" | "-s"));
            return Ok((!skips).then_some((key, value)));
        }
    }
    Ok(None)
}
