//! Installs, removes and reads one hook, next to existing ones.
//!
//! Invariant: the hook is the old one or the new one at every instant. The module does not know the directory of hooks.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::super::super::{Error, UnfitHooks};
use super::script::{self, Existing, Put, Take};
use super::{Hook, HookState, InstalledHook};
use crate::lfs::Temp;

/// The suffix for an existing hook that cannot contain our lines.
const PREVIOUS: &str = ".st-convert-prev";

pub(super) fn previous(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PREVIOUS);
    name.into()
}

/// Returns `true` if our hook runs the previous one, which it does only if git would have run it.
pub(super) fn runs_previous(path: &Path) -> bool {
    previous(path).metadata().is_ok_and(|metadata| metadata.is_file() && is_executable(&metadata))
}

pub(super) fn write(dir: &Path, hook: Hook) -> Result<InstalledHook, Error> {
    let path = dir.join(hook.name());
    let kept = previous(&path);
    let found = existing(&path)?;
    let mut state = HookState::Installed;
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    match script::put(found.as_ref(), hook.script()) {
        Put::Nothing => state = HookState::Unchanged,
        Put::New => replace(&path, hook.script(), None)?,
        Put::Into(bytes) => {
            // Our own hook that git ignores becomes executable again.
            let like = found.is_some_and(|found| found.is_executable).then_some(path.as_path());
            replace(&path, &bytes, like)?;
        }
        Put::Beside => {
            if kept.symlink_metadata().is_ok() {
                return Err(UnfitHooks::Exists { path: kept }.into());
            }
            // The existing hook has both names until ours has the first.
            if fs::hard_link(&path, &kept).is_err() {
                fs::rename(&path, &kept).map_err(Error::io("rename", &path))?;
            }
            replace(&path, hook.script(), None)?;
        }
    }
    let has_previous = runs_previous(&path);
    Ok(InstalledHook { hook, path, state, has_previous })
}

pub(super) fn remove(dir: &Path, hook: Hook) -> Result<InstalledHook, Error> {
    let path = dir.join(hook.name());
    let kept = previous(&path);
    let has_previous = kept.symlink_metadata().is_ok();
    let Some(found) = existing(&path)? else {
        return Ok(InstalledHook { hook, path, state: HookState::Absent, has_previous });
    };
    let state = match script::take(&found, hook.script()) {
        Take::Nothing => HookState::Other,
        Take::File if has_previous => {
            fs::rename(&kept, &path).map_err(Error::io("rename", &kept))?;
            HookState::Removed
        }
        Take::File => {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            HookState::Removed
        }
        Take::Back(bytes) => {
            replace(&path, &bytes, Some(&path))?;
            HookState::Removed
        }
    };
    crate::lfs::sync_parent(&path).map_err(Error::io("sync the directory of", &path))?;
    Ok(InstalledHook { hook, path, state, has_previous })
}

pub(super) fn existing(path: &Path) -> Result<Option<Existing>, Error> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        // git finds no hook below a file, either: `core.hooksPath=/dev/null` turns hooks off.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let is_link = metadata.is_symlink();
    // A dangling link is a hook without effect, and a pipe would be waited for.
    let is_file = metadata.is_file();
    let bytes = if is_file { fs::read(path).map_err(Error::io("read", path))? } else { Vec::new() };
    Ok(Some(Existing { bytes, is_executable: is_executable(&metadata), is_link }))
}

/// Writes an executable hook: as a temporary file, synced to the disk, then renamed.
fn replace(path: &Path, bytes: &[u8], like: Option<&Path>) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(path);
    let temp = Temp::new_in(dir).map_err(Error::io("create a file in", dir))?;
    temp.file().write_all(bytes).map_err(Error::io("write", path))?;
    let like = like.map(|like| like.metadata().map_err(Error::io("read", like))).transpose()?;
    make_executable(&temp, like.as_ref()).map_err(Error::io("set the mode of", path))?;
    temp.file().sync_all().map_err(Error::io("sync", path))?;
    temp.rename(path).map(drop).map_err(|(error, _)| Error::io("rename a file to", path)(error))?;
    crate::lfs::sync_parent(path).map_err(Error::io("sync the directory of", path))
}

#[cfg(unix)]
fn make_executable(temp: &Temp, like: Option<&fs::Metadata>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = if let Some(like) = like {
        like.permissions().mode()
    } else {
        // Every user who may read it may execute it.
        let mode = temp.file().metadata()?.permissions().mode();
        mode | 0o100 | (mode & 0o444) >> 2
    };
    temp.file().set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn make_executable(_: &Temp, _: Option<&fs::Metadata>) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    true
}
