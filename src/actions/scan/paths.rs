//! Files and directories that were named.
//!
//! Invariant: nothing that exists below a directory is passed over without a word, but for `.git`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use bstr::{BString, ByteSlice as _};

use super::super::Error;
use super::super::content::LocalFile;
use super::{Scan, Seen};
use crate::repo::Repo;

/// Scans what was named.
pub(super) fn scan(
    scan: &mut Scan<'_>,
    repo: Option<&Repo>,
    cwd: &Path,
    paths: &[OsString],
) -> Result<(), Error> {
    Walk { scan, repo }.paths(cwd, paths)
}

struct Walk<'a, 'b> {
    scan: &'a mut Scan<'b>,
    repo: Option<&'a Repo>,
}

impl Walk<'_, '_> {
    fn paths(&mut self, cwd: &Path, paths: &[OsString]) -> Result<(), Error> {
        for path in paths {
            let full = cwd.join(path);
            let name = Path::new(path);
            match full.metadata() {
                Ok(metadata) if metadata.is_dir() => self.directory(&full, name)?,
                Ok(_) => {
                    let seen = self.plain(&full, name);
                    self.told(bytes(name), seen)?;
                }
                Err(source) if source.kind() == io::ErrorKind::NotFound => {
                    self.told(bytes(name), Err(Error::NotFound))?;
                }
                Err(source) => {
                    self.told(bytes(name), Err(Error::Io { what: "open", path: full, source }))?;
                }
            }
        }
        Ok(())
    }

    /// Every file below a directory, in order; links are not followed, and `.git` is left out.
    fn directory(&mut self, dir: &Path, name: &Path) -> Result<(), Error> {
        let mut waiting = vec![(dir.to_owned(), name.to_owned())];
        while let Some((dir, name)) = waiting.pop() {
            let entries: Result<BTreeSet<OsString>, _> = fs::read_dir(&dir)
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
            let entries = match entries {
                Ok(entries) => entries,
                Err(source) => {
                    self.told(bytes(&name), Err(Error::Io { what: "read", path: dir, source }))?;
                    continue;
                }
            };
            let mut below = Vec::new();
            for entry in entries.into_iter().filter(|entry| entry != ".git") {
                let (full, name) = (dir.join(&entry), name.join(&entry));
                match full.symlink_metadata() {
                    Ok(metadata) if metadata.is_dir() => below.push((full, name)),
                    Ok(metadata) if metadata.is_file() => {
                        let seen = self.plain(&full, &name);
                        self.told(bytes(&name), seen)?;
                    }
                    _ => {}
                }
            }
            waiting.extend(below.into_iter().rev());
        }
        Ok(())
    }

    fn told(&mut self, path: BString, seen: Result<Seen, Error>) -> Result<(), Error> {
        self.scan.told(path, (None, None), seen)
    }

    /// A file that was named, or found in a directory that was.
    fn plain(&self, full: &Path, name: &Path) -> Result<Seen, Error> {
        let name = bytes(name);
        let source = match LocalFile::plain(self.repo, name.as_ref(), full) {
            // The file may lie in another repository than the one that this was started in.
            Err(Error::NoObject { .. }) => {
                let repo = Repo::discover(full.parent().unwrap_or(full))?;
                LocalFile::plain(repo.as_ref(), name.as_ref(), full)
            }
            source => source,
        };
        self.scan.source(&source?)
    }
}

/// A path of this system, with `/` between its parts.
fn bytes(path: &Path) -> BString {
    let name = path.as_os_str().as_encoded_bytes().as_bstr().to_owned();
    if cfg!(windows) { name.replace("\\", "/").into() } else { name }
}
