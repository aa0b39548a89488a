//! Opens the repository of a directory, and refuses one that is not trusted or has an unknown format.

use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::git::command::{has_discovery_setting, names_git_dir};
use crate::git::{overrides, system_file};

/// The extensions of a repository's format that git documents (gitrepository-layout, version 1), without those whose
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

/// Opens the repository of `dir`, as git finds it.
pub(super) fn open(dir: &Path) -> Result<Option<gix::Repository>> {
    // gix keeps a relative directory relative, which would be wrong after the process changes its own directory.
    let dir = &std::path::absolute(dir).map_err(Error::io("find", dir))?;
    // Without a repository no settings are read, so git is not asked for their file.
    if has_none(dir) {
        return Ok(None);
    }
    // The library does not read the settings of `git -c`, and would decide by another system file than git.
    let given = overrides();
    let options = || {
        let options = gix::open::Options::default().config_overrides(given.iter().cloned());
        match system_file() {
            Some(file) => options.system_config_path(file),
            None => options,
        }
    };
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
            // An ID means the object itself, not its replacement in `refs/replace/` of this clone.
            found.objects.ignore_replacements = true;
            Ok(Some(found))
        }
        Err(source) if is_absence(&source) => Ok(None),
        Err(source) => Err(open_error(dir, source)),
    }
}

/// Returns the git directory of a repository that is trusted, and has a known format.
pub(super) fn checked(inner: &gix::Repository) -> Result<PathBuf> {
    let git_dir = inner.git_dir().to_owned();
    if inner.git_dir_trust() != gix::sec::Trust::Full {
        return Err(Error::NotTrusted { git_dir });
    }
    match unheard(inner) {
        Some((key, value)) => Err(Error::UnsupportedFormat { key, value }),
        None => Ok(git_dir),
    }
}

/// Returns a format extension that neither git nor this program knows; gix opens such a repository.
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
    // Only the repository's own settings: a user's configuration is not part of its format.
    let own = sections.filter(|section| section.meta().source == gix::config::Source::Local);
    own.flat_map(|section| {
        let names = section.value_names().map(|name| String::clone(&name));
        names.map(|name| (name.clone(), section.value(&*name).unwrap_or_default())).collect::<Vec<_>>()
    })
    .find(|(name, value)| !is_known(name, value))
    .map(|(name, value)| (format!("extensions.{name}"), value))
}

/// Returns `true` if git documents the extension, and this program understands its value.
fn is_known(name: &str, value: &bstr::BString) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match &***value {
        // Each object has two names, of which this program would write one.
        _ if is("compatObjectFormat") => false,
        format if is("refStorage") => format == b"files" || format == b"reftable",
        format if is("objectFormat") => format == b"sha1" || format == b"sha256",
        _ => EXTENSIONS.iter().any(|known| is(known)),
    }
}

/// Returns `true` if the environment does not decide where the repository is, and no parent of the directory has one.
fn has_none(dir: &Path) -> bool {
    let options = gix::discover::upwards::Options { match_ceiling_dir_or_error: false, ..Default::default() };
    !(names_git_dir() || has_discovery_setting())
        && gix::discover::upwards_opts(dir, options.apply_environment())
            .is_err_and(|error| is_absence(&error))
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

/// Finds the actual reason for the user: gix refuses an object format that it was not built with.
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
