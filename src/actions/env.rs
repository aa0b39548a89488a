//! [`environment`] collects the settings in effect, and their origin, to read or to paste into a report.
//!
//! Invariant: it writes nothing and contacts no server, and of a secret it returns only the origin.

use std::path::{Path, PathBuf};

use super::guard::install::{self, InstallReport};
use super::{Error, Reporter, Servers};
use crate::git::settings::{self, Setting};
use crate::git::{self, Git, hooks};
use crate::remote::TokenSource;
use crate::repo::Repo;

/// The settings that affect this program.
const KEYS: &str = r"^(st-convert\..*|lfs\.(url|pushurl|storage|concurrenttransfers|standalonetransferagent|dialtimeout|activitytimeout|transfer\..*)|remote\.(.*\.)?(lfsdefault|lfsurl|url|promisor|partialclonefilter)|http\.(.*\.)?(proxy|sslcainfo|sslcapath|sslverify)|core\.(hookspath|autocrlf|symlinks|bigfilethreshold|pager)|filter\.lfs\..*|diff\.lfs\..*|extensions\..*)$";

/// The settings in effect.
#[derive(Debug)]
pub struct Setup {
    /// The output of `git version`.
    pub git: String,
    /// The output of `git lfs version`, if it is installed.
    pub git_lfs: Option<String>,
    /// The URL of the Hub.
    pub endpoint: String,
    /// The origin of the Hub's token, if one exists.
    pub token: Option<TokenSource>,
    /// `true` if no server may be contacted.
    pub is_offline: bool,
    /// Settings of git's configuration, by key.
    pub settings: Vec<Setting>,
    /// The current repository.
    pub repository: Option<RepositorySetup>,
    /// Why the current repository cannot be opened, e.g. because another user owns it.
    pub unopened: Option<Error>,
}

/// A repository.
#[derive(Debug)]
pub struct RepositorySetup {
    /// The top of its working tree; for a bare one its git directory.
    pub work_dir: PathBuf,
    /// The directory that linked work trees share.
    pub git_dir: PathBuf,
    /// The directory of its LFS objects.
    pub lfs_dir: PathBuf,
    /// `true` if git knows the filter of Git LFS.
    pub has_lfs_filter: bool,
    /// Its hooks.
    pub hooks: InstallReport,
}

/// Collects the settings in effect in a directory. A repository that cannot be opened is part of the report.
///
/// # Errors
/// An error of git.
pub fn environment(cwd: &Path, servers: &Servers, reporter: &dyn Reporter) -> Result<Setup, Error> {
    let observe = |line: &[std::ffi::OsString]| reporter.command(line);
    let (repo, unopened) = match Repo::discover_for_hook(cwd) {
        Ok(repo) => (repo, None),
        Err(error) => (None, Some(error.into())),
    };
    let git = match &repo {
        Some(repo) => repo.tied(Git::at(repo.work_dir())?),
        None => Git::at(cwd)?,
    };
    let git = git.observed(Some(&observe));
    let settings = settings::matching(&git, KEYS)?;
    let repository = repo.map(|repo| of_repository(cwd, &repo, &settings)).transpose()?;
    let token = servers.settings.tokens.source().map_err(crate::remote::Error::from)?;
    Ok(Setup {
        git: hooks::version(&git)?,
        git_lfs: settings::lfs_version(&git),
        endpoint: git::redacted(servers.endpoint().as_ref()).to_string_lossy().into_owned(),
        token,
        is_offline: servers.settings.offline,
        settings,
        repository,
        unopened,
    })
}

fn of_repository(cwd: &Path, repo: &Repo, settings: &[Setting]) -> Result<RepositorySetup, Error> {
    Ok(RepositorySetup {
        work_dir: repo.work_dir().to_owned(),
        git_dir: repo.common_dir().to_owned(),
        lfs_dir: repo.lfs_dir(),
        has_lfs_filter: settings::is_lfs_filter(settings),
        hooks: install::status(&install::Options { cwd: cwd.to_owned(), ..install::Options::default() })?,
    })
}
