//! Implements git's own diff: the list that its `textconv` driver prints for a file, and the setting that calls the
//! driver.
//!
//! ```text
//! diff.lfs.textconv    git runs it on each version of a file with the attribute `diff=lfs`, which every Git LFS entry has
//! ```
//!
//! git smudges the files that it passes to a driver. If Git LFS smudges, that copies each version and downloads missing
//! ones; so the driver is only set if Git LFS does not smudge, and then receives the pointer, whose object it reads in
//! LFS storage. It is set without `cachetextconv`, which would keep "not local" after the object was downloaded.
//!
//! Invariant: no server is contacted, and a driver of another program stays.

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

/// Without this program, git shows the pointer.
const DRIVER: &str = "f() { git st-convert textconv \"$1\" 2>/dev/null || head -c 1024 \"$1\"; }; f";

/// A version of a file.
#[derive(Debug)]
pub struct FileListing {
    /// Its object ID.
    pub oid: Oid,
    /// Its size in bytes.
    pub size: u64,
    /// Its contents.
    pub content: ListedContent,
}

/// The contents of a version of a file.
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

/// Lists a file that git passes to its driver: a pointer, or the content itself.
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

/// Opens the object of a pointer, in LFS storage of git's current repository.
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

/// The options of the driver's setup.
#[derive(Debug, Clone, Default)]
pub struct DriverOptions {
    /// The directory in which the repository is searched.
    pub cwd: PathBuf,
    /// `true` for all repositories of the user.
    pub global: bool,
}

/// The result for the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DriverState {
    /// It is set.
    Installed,
    /// It was set before.
    Unchanged,
    /// It was removed.
    Removed,
    /// It was not set.
    Absent,
}

/// Sets the driver, if git does not smudge for it.
///
/// # Errors
/// [`Error::Driver`], [`Error::NoRepository`], or an error of git.
pub fn install(options: &DriverOptions, reporter: &dyn Reporter) -> Result<DriverState, Error> {
    with_git(options, reporter, |git, scope| {
        match setting(git, Some(scope), "path", KEY)? {
            Some(value) if value == DRIVER => return Ok(DriverState::Unchanged),
            Some(value) => return Err(Error::Driver(UnfitDriver::Taken { value })),
            None => {}
        }
        // For all repositories, the setting in effect outside any repository counts.
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

/// Removes the driver, if it is ours.
///
/// # Errors
/// [`Error::NoRepository`], or an error of git.
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
    if options.global {
        return work(&Git::at(&options.cwd)?.observed(Some(&observe)), Scope::Global);
    }
    let repo = Repo::discover_for_hook(&options.cwd)?.ok_or(Error::NoRepository)?;
    work(&repo.tied(Git::at(repo.work_dir())?).observed(Some(&observe)), Scope::Local)
}

/// Returns the setting by which git passes on the content of LFS files, instead of their pointers; `None` if it does
/// not. If a process is set, git does not use the filter.
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
