//! Reads what a repository configures about its remotes: all settings, its `.lfsconfig`, its branch, the last fetch.
//!
//! Invariant: a setting of a file that another user owns is ignored, because it could name a program or a proxy; an
//! `.lfsconfig` is bounded, includes nothing and is not followed through a link. `remote` decides which of its keys are
//! used.

use std::fs::{self, File};
use std::io::{self, Read as _};

use bstr::ByteSlice as _;
use gix::config::file::Metadata;
use gix::sec::Trust;

use super::{Error, ObjectId, Repo, Result};
use crate::git;

/// The file of a repository that names its LFS server.
const LFSCONFIG: &str = ".lfsconfig";

/// A longer `.lfsconfig` is ignored.
const MAX_LFSCONFIG: u64 = 64 << 10;

/// Settings as keys (`section.name`, `section.sub.name`) and values, in git's order: of two with one key the last wins.
pub type Settings = Vec<(String, String)>;

/// Returns the settings of git outside of any repository: of the system, of the user and of `git -c`.
///
/// # Errors
/// [`Error::Git`] if a file cannot be read.
pub fn global_settings() -> Result<Settings> {
    let mut config = gix::config::File::from_globals().map_err(Error::git("read git's configuration"))?;
    let overrides = gix::config::File::from_environment_overrides();
    let overrides = overrides.map_err(Error::git("read git's configuration"))?;
    config.append(overrides).map_err(Error::git("read git's configuration"))?;
    let given = git::overrides();
    let given = given.iter().map(|setting| {
        let (key, value) = setting.split_once_str("=").unwrap_or((setting, b"true"));
        (key.to_str_lossy().into_owned(), value.to_str_lossy().into_owned())
    });
    Ok(list(&config).into_iter().chain(given).collect())
}

impl Repo {
    /// Returns all settings of git in this repository.
    pub fn settings(&self) -> Settings {
        list(self.inner.config_snapshot().plumbing())
    }

    /// Returns the settings in `.lfsconfig`: of the working tree, else of the index, else of `HEAD`, in the order of
    /// Git LFS.
    ///
    /// # Errors
    /// [`Error::MissingBlob`] if a partial clone left it out, [`Error::BlobTooLarge`], [`Error::Io`], or [`Error::Git`]
    /// if it cannot be parsed.
    pub fn lfsconfig(&self) -> Result<Option<Settings>> {
        let text = match self.lfsconfig_file()? {
            Some(text) => text,
            None => match self.lfsconfig_blob()? {
                Some(id) => self.blob(id, MAX_LFSCONFIG)?,
                None => return Ok(None),
            },
        };
        let meta = Metadata::from(gix::config::Source::Worktree);
        let config = gix::config::File::from_bytes_no_includes(
            &text,
            meta,
            gix::config::file::init::Options::default(),
        );
        Ok(Some(list(&config.map_err(Error::git("parse `.lfsconfig`"))?)))
    }

    fn lfsconfig_file(&self) -> Result<Option<Vec<u8>>> {
        let path = self.work_dir().join(LFSCONFIG);
        let error = |err| Error::io("read", &path)(err);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() => {}
            Ok(_) => return Ok(None),
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(error(err)),
        }
        let mut text = Vec::new();
        let file = File::open(&path).map_err(error)?;
        file.take(MAX_LFSCONFIG + 1).read_to_end(&mut text).map_err(error)?;
        if text.len() as u64 > MAX_LFSCONFIG {
            return Err(error(io::ErrorKind::FileTooLarge.into()));
        }
        Ok(Some(text))
    }

    fn lfsconfig_blob(&self) -> Result<Option<ObjectId>> {
        let index = self.read_index()?;
        if let Some(entry) = index.entry_by_path(LFSCONFIG.into()) {
            return Ok(Some(entry.id).filter(|_| entry.mode != gix::index::entry::Mode::SYMLINK));
        }
        if self.head_is_unborn()? { Ok(None) } else { self.blob_at("HEAD", LFSCONFIG.into()) }
    }

    /// Returns the first line of `FETCH_HEAD`.
    pub fn fetch_head(&self) -> Option<String> {
        let text = fs::read(self.git_dir().join("FETCH_HEAD")).ok()?;
        text.lines().next().map(|line| line.to_str_lossy().into_owned())
    }
}

fn list(config: &gix::config::File) -> Settings {
    let mut settings = Settings::new();
    for section in config.sections() {
        if section.meta().trust != Trust::Full {
            continue;
        }
        let header = section.header();
        let prefix = match header.subsection_name() {
            Some(subsection) => format!("{}.{}", header.name().to_str_lossy(), subsection.to_str_lossy()),
            None => header.name().to_str_lossy().into_owned(),
        };
        let mut names: Vec<String> = section.value_names().map(|name| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            // A key without a value means `true`; only for the last of several can it be distinguished from an empty
            // value here.
            let is_implicit = section.body().value_implicit(&name) == Some(None);
            let mut values = section.values(&name);
            if is_implicit {
                values.pop();
                values.push("true".into());
            }
            let pair = |value: bstr::BString| (format!("{prefix}.{name}"), value.to_str_lossy().into_owned());
            settings.extend(values.into_iter().map(pair));
        }
    }
    settings
}

/// Returns `true` if a branch may have this name (`git check-ref-format --branch`).
pub fn is_branch_name(name: &str) -> bool {
    let full = format!("refs/heads/{name}");
    name != "HEAD"
        && !name.starts_with('-')
        && gix::validate::reference::name(full.as_bytes().as_bstr()).is_ok()
}
