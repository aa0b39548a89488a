//! [`environment`]: what is in force here, and where it comes from, to read or to paste into a report.
//!
//! Invariant: it writes nothing and asks no server, and of a secret it gives the place alone.

use std::path::{Path, PathBuf};

use super::guard::install::{self, InstallReport};
use super::{Error, Reporter, Servers};
use crate::git::settings::{self, Setting};
use crate::git::{Git, hooks};
use crate::remote::TokenSource;
use crate::repo::Repo;

/// What decides how this program works.
const KEYS: &str = r"^(st-convert\..*|lfs\.(url|pushurl|storage|concurrenttransfers|standalonetransferagent|dialtimeout|activitytimeout|transfer\..*)|remote\.(.*\.)?(lfsdefault|lfsurl|url|promisor|partialclonefilter)|http\.(.*\.)?(proxy|sslcainfo|sslcapath|sslverify)|core\.(hookspath|autocrlf|symlinks|bigfilethreshold|pager)|filter\.lfs\..*|diff\.lfs\..*|extensions\..*)$";

/// What is in force.
#[derive(Debug)]
pub struct Setup {
    /// What `git version` prints.
    pub git: String,
    /// What `git lfs version` prints, if it is installed.
    pub git_lfs: Option<String>,
    /// The URL of the Hub.
    pub endpoint: String,
    /// Where the token of the Hub was found, if there is one.
    pub token: Option<TokenSource>,
    /// Returns `true` if no server may be asked.
    pub is_offline: bool,
    /// Settings of git's configuration, by key.
    pub settings: Vec<Setting>,
    /// The repository in which this is asked.
    pub repository: Option<RepositorySetup>,
}

/// A repository.
#[derive(Debug)]
pub struct RepositorySetup {
    /// The top of its working tree; of a bare one its git directory.
    pub work_dir: PathBuf,
    /// The directory that linked work trees share.
    pub git_dir: PathBuf,
    /// Where its LFS objects are.
    pub lfs_dir: PathBuf,
    /// Returns `true` if git knows the filter of Git LFS.
    pub has_lfs_filter: bool,
    /// Its hooks.
    pub hooks: InstallReport,
}

/// Looks at what is in force in a directory.
///
/// # Errors
/// What git and the repository report.
pub fn environment(cwd: &Path, servers: &Servers, reporter: &dyn Reporter) -> Result<Setup, Error> {
    let observe = |line: &[std::ffi::OsString]| reporter.command(line);
    let git = Git::at(cwd)?.observed(Some(&observe));
    let repository = match Repo::discover_for_hook(cwd)? {
        Some(repo) => Some(RepositorySetup {
            work_dir: repo.work_dir().to_owned(),
            git_dir: repo.common_dir().to_owned(),
            lfs_dir: repo.lfs_dir(),
            has_lfs_filter: repo.filter_configured(),
            hooks: install::status(&install::Options { cwd: cwd.to_owned(), ..install::Options::default() })?,
        }),
        None => None,
    };
    let token = servers.settings.tokens.source().map_err(crate::remote::Error::from)?;
    Ok(Setup {
        git: hooks::version(&git)?,
        git_lfs: settings::lfs_version(&git),
        endpoint: servers.endpoint().to_owned(),
        token,
        is_offline: servers.settings.offline,
        settings: settings::matching(&git, KEYS)?,
        repository,
    })
}
