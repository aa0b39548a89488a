//! Scans files and directories that the user named, and targets on a server ([`far`]).
//!
//! Links to files are followed, and each file is scanned once: by its own name if that is below the named path,
//! otherwise by the name of the link. In a Hub cache every file is in `blobs` under its hash, so the name in the
//! snapshot is used.
//!
//! Invariant: everything below a directory is scanned, or reported as left out, except `.git`; only regular files are
//! opened.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString};

use super::super::content::{LocalFile, is_store};
use super::super::{Error, names};
use super::{About, Asking, Scan, Seen, far};
use crate::lfs::worktree_file;
use crate::repo::Repo;

/// Scans the named targets.
pub(super) fn scan(
    scan: &mut Scan<'_>,
    repo: Option<&Repo>,
    cwd: &Path,
    paths: &[OsString],
    servers: Asking<'_>,
) -> Result<(), Error> {
    let mut walk = Walk { scan, repo, known: Visited::default() };
    for path in paths {
        match far::FarTarget::of(cwd, path) {
            Some(target) => far::scan(walk.scan, cwd, &servers()?, &target, path)?,
            None => walk.named(&cwd.join(path), Path::new(path))?,
        }
    }
    Ok(())
}

struct Walk<'a, 'b> {
    scan: &'a mut Scan<'b>,
    repo: Option<&'a Repo>,
    known: Visited,
}

/// The scanned files, by their paths, with their names in the report.
#[derive(Debug, Default)]
pub(super) struct Visited(HashMap<PathBuf, BString>);

impl Visited {
    /// Returns the earlier name of a file in the report, or sets it to this one.
    pub(super) fn or_insert(&mut self, file: PathBuf, name: &BStr) -> Option<BString> {
        match self.0.entry(file) {
            std::collections::hash_map::Entry::Occupied(known) => Some(known.get().clone()),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(name.to_owned());
                None
            }
        }
    }
}

/// The target of a link.
pub(super) enum Led {
    /// To this file.
    File(PathBuf),
    /// A target that is not scanned.
    Nowhere(About),
}

/// Resolves a link.
///
/// # Errors
/// An error of the system, except that the target does not exist.
pub(super) fn target(link: &Path) -> io::Result<Led> {
    let is_absent = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::LOOP)
    };
    match fs::metadata(link) {
        Ok(metadata) if metadata.is_dir() => Ok(Led::Nowhere(About::Directory)),
        Ok(metadata) if metadata.is_file() => link.canonicalize().map(Led::File),
        Ok(_) => Ok(Led::Nowhere(About::NoFile)),
        Err(error) if is_absent(&error) => Ok(Led::Nowhere(About::Dangling)),
        Err(error) => Err(error),
    }
}

/// The work for the end of a walk.
#[derive(Default)]
struct Later {
    links: Vec<(PathBuf, PathBuf)>,
    /// The files of Hub caches.
    blobs: Vec<(PathBuf, PathBuf)>,
}

impl Walk<'_, '_> {
    fn named(&mut self, full: &Path, name: &Path) -> Result<(), Error> {
        let failed = Error::io("open", full);
        match full.metadata() {
            Ok(metadata) if metadata.is_dir() => self.directory(full, name),
            Ok(metadata) if metadata.is_file() => self.file(full, full.canonicalize().map_err(failed)?, name),
            Ok(metadata) => {
                self.told(name, Err(worktree_file::Error::not_regular(metadata.file_type()).into()))
            }
            Err(source) if source.kind() == io::ErrorKind::NotFound => self.told(name, Err(Error::NotFound)),
            Err(source) => self.told(name, Err(failed(source))),
        }
    }

    /// Scans every file below a directory, in order, then the targets of links.
    fn directory(&mut self, dir: &Path, name: &Path) -> Result<(), Error> {
        let mut later = Later::default();
        let mut waiting = vec![(dir.to_owned(), name.to_owned())];
        while let Some((dir, name)) = waiting.pop() {
            let listed = |dir: &Path| -> io::Result<(PathBuf, BTreeSet<OsString>)> {
                let names = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name()));
                Ok((dir.canonicalize()?, names.collect::<io::Result<_>>()?))
            };
            let (real, entries) = match listed(&dir) {
                Ok(listed) => listed,
                Err(source) => {
                    self.told(&name, Err(Error::io("read", &dir)(source)))?;
                    continue;
                }
            };
            let is_store = is_store(&real);
            let mut below = Vec::new();
            for entry in entries.into_iter().filter(|entry| entry != ".git") {
                let (full, name) = (dir.join(&entry), name.join(&entry));
                match full.symlink_metadata() {
                    Ok(metadata) if metadata.is_dir() => below.push((full, name)),
                    Ok(metadata) if metadata.is_file() && is_store => later.blobs.push((full, name)),
                    Ok(metadata) if metadata.is_file() => self.file(&full, real.join(&entry), &name)?,
                    Ok(metadata) if metadata.is_symlink() => later.links.push((full, name)),
                    Ok(_) => self.remark(&full, &name, About::NoFile)?,
                    // The file was removed meanwhile.
                    Err(_) => {}
                }
            }
            waiting.extend(below.into_iter().rev());
        }
        self.later(dir, later)
    }

    fn later(&mut self, top: &Path, later: Later) -> Result<(), Error> {
        let inside = match &later.links[..] {
            [] => None,
            _ => Repo::discover_for_hook(top)?.filter(|repo| !repo.is_bare()),
        };
        let inside = inside.and_then(|repo| repo.work_dir().canonicalize().ok());
        for (full, name) in later.links {
            match target(&full) {
                Ok(Led::Nowhere(about)) => self.remark(&full, &name, about)?,
                Ok(Led::File(file)) => {
                    if inside.as_ref().is_some_and(|inside| !file.starts_with(inside)) {
                        self.remark(&full, &name, About::Outside)?;
                    }
                    self.file(&full, file, &name)?;
                }
                Err(source) => self.told(&name, Err(Error::io("open", &full)(source)))?,
            }
        }
        for (full, name) in later.blobs {
            let Ok(file) = full.canonicalize() else { continue };
            // The report names files of a snapshot by that snapshot.
            if !self.known.0.contains_key(&file) {
                self.file(&full, file, &name)?;
            }
        }
        Ok(())
    }

    /// Scans a file with the path `file`.
    fn file(&mut self, full: &Path, file: PathBuf, name: &Path) -> Result<(), Error> {
        let told_by = names::of_path(name);
        if let Some(other) = self.known.or_insert(file, told_by.as_ref()) {
            return self.remark(full, name, About::Scanned(other));
        }
        match self.plain(full, told_by.as_ref()) {
            Ok(source) => self.scan.begin(told_by, source),
            Err(error) => self.told(name, Err(error)),
        }
    }

    fn told(&mut self, name: &Path, seen: Result<Seen, Error>) -> Result<(), Error> {
        self.scan.told(names::of_path(name), (None, None), seen)
    }

    fn remark(&mut self, full: &Path, name: &Path, about: About) -> Result<(), Error> {
        self.scan.remark(names::of_path(name), full, about)
    }

    fn plain(&self, full: &Path, name: &BStr) -> Result<LocalFile, Error> {
        match LocalFile::plain(self.repo, name, full) {
            // The file may be in another repository than the current one.
            Err(Error::NoObject { .. }) => {
                let repo = Repo::discover(full.parent().unwrap_or(full))?;
                LocalFile::plain(repo.as_ref(), name, full)
            }
            source => source,
        }
    }
}
