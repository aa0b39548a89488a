//! Finds the plain files to convert: the named ones, and those with PyTorch weights below a named directory.
//!
//! A link to a file is followed, and counts under its own name, because a Hub cache consists of links. A walk follows
//! no link to a directory, and enters neither `.git`, nor the `blobs` of such a cache, nor another repository.
//!
//! Invariant: only regular files are opened.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice as _};

use super::super::content::{self, LocalFile, Located};
use super::super::detected::detect;
use super::super::{Error, Note, Reason, Reporter, names};
use super::Options;
use super::ledger::Ledger;
use super::select::{is_done, is_wanted};
use crate::repo::Repo;
use crate::safetensors::shard::Index;

/// A file to convert.
pub(super) struct PlainFile {
    /// Its name for the user.
    pub(super) name: BString,
    /// Its path.
    pub(super) path: PathBuf,
    /// Its path below the named directory; its own name, if it was named itself.
    pub(super) below: PathBuf,
    /// `true` if the user named it, or a shard index that lists it: then it is never skipped.
    pub(super) is_named: bool,
}

/// A shard index to convert.
pub(super) struct PlainIndex {
    pub(super) file: PlainFile,
    pub(super) content: Index,
}

impl PlainIndex {
    /// Returns the paths of its shards.
    pub(super) fn shards(&self) -> BTreeSet<PathBuf> {
        self.content.weight_map.values().map(|shard| self.file.path.with_file_name(shard)).collect()
    }

    /// Returns the names of the shards that do not exist, as errors of each.
    fn missing(&self) -> Vec<(BString, Error)> {
        let shards: BTreeSet<_> = self.content.weight_map.values().collect();
        let missing = shards.into_iter().filter(|shard| !self.file.path.with_file_name(shard).is_file());
        missing
            .map(|shard| (names::beside(self.file.name.as_bstr(), shard.as_bytes()), Error::NotFound))
            .collect()
    }
}

/// All files to convert.
#[derive(Default)]
pub(super) struct PlainFiles {
    pub(super) files: Vec<PlainFile>,
    pub(super) indices: Vec<PlainIndex>,
}

/// Finds the files that `options` names. Files that are not converted go to `ledger`.
pub(super) fn find(
    repo: Option<&Repo>,
    options: &Options,
    ledger: &mut Ledger<'_>,
    reporter: &dyn Reporter,
) -> Result<PlainFiles, Error> {
    let (files, invalid) = (PlainFiles::default(), Vec::new());
    let mut walk = Walk { repo, ledger, reporter, found: files, invalid, seen: HashSet::new() };
    for given in &options.paths {
        let path = options.cwd.join(given);
        if path.is_dir() {
            walk.directory(&path, Path::new(given))?;
        } else {
            walk.named(path, given)?;
        }
    }
    let Walk { mut found, invalid, ledger, .. } = walk;
    let mut seen = HashSet::new();
    // A file may be named, and also be in a named directory.
    found.files.retain(|file| seen.insert((file.path.clone(), file.below.clone())));
    // The names also decide which shards belong to a shard index that is invalid, or lists other names.
    let is_shard_of = |file: &PlainFile, index: &PlainFile| {
        file.path.parent() == index.path.parent() && names::is_shard_of(&file.name, &index.name)
    };
    for (index, error) in invalid {
        refuse(&mut found.files, |file| is_shard_of(file, &index), &index, error, ledger)?;
    }
    for index in found.indices.extract_if(.., |index| !index.missing().is_empty()) {
        let (paths, error) = (index.shards(), Error::MissingShards { shards: index.missing() });
        let is_shard = |file: &PlainFile| paths.contains(&file.path) || is_shard_of(file, &index.file);
        if index.file.is_named && !found.files.iter().any(is_shard) {
            ledger.fail(index.file.name.as_bstr(), error)?;
            continue;
        }
        refuse(&mut found.files, is_shard, &index.file, error, ledger)?;
    }
    let shards: BTreeSet<_> = found.indices.iter().flat_map(PlainIndex::shards).collect();
    for file in found.files.iter_mut().filter(|file| shards.contains(&file.path)) {
        file.is_named = true;
    }
    Ok(found)
}

/// Refuses a shard index with the shards that were found: loaders do not find their tensors without it. One without
/// shards describes a checkpoint that is elsewhere.
fn refuse(
    files: &mut Vec<PlainFile>,
    is_shard: impl Fn(&PlainFile) -> bool,
    index: &PlainFile,
    error: Error,
    ledger: &mut Ledger<'_>,
) -> Result<(), Error> {
    let shards: Vec<_> = files.extract_if(.., |file| is_shard(file)).map(|file| file.name).collect();
    if shards.is_empty() { Ok(()) } else { ledger.fail_with(&index.name, error, shards) }
}

/// Opens the file at a path, or the object of its pointer. The path may be in another repository than the current one.
pub(super) fn open(repo: Option<&Repo>, file: &PlainFile) -> Result<LocalFile, Error> {
    match LocalFile::plain(repo, file.name.as_bstr(), &file.path) {
        Err(missing @ Error::NoObject { .. }) => {
            let beside = file.path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
            match beside.map(|dir| Repo::discover(&dir)) {
                Some(Ok(Some(repo))) => LocalFile::plain(Some(&repo), file.name.as_bstr(), &file.path),
                _ => Err(missing),
            }
        }
        source => source,
    }
}

struct Walk<'a, 'l> {
    repo: Option<&'a Repo>,
    ledger: &'a mut Ledger<'l>,
    reporter: &'a dyn Reporter,
    found: PlainFiles,
    /// The shard indexes that could not be read.
    invalid: Vec<(PlainFile, Error)>,
    /// The output directories, with the files that were found for them.
    seen: HashSet<(PathBuf, PathBuf)>,
}

impl Walk<'_, '_> {
    fn named(&mut self, path: PathBuf, given: &OsString) -> Result<(), Error> {
        let below = path.file_name().map(PathBuf::from).unwrap_or_default();
        let file = PlainFile { name: names::of_path(Path::new(given)), path, below, is_named: true };
        if !names::is_index(file.name.as_bstr()) {
            let content = open(self.repo, &file).map(Located::Here);
            if is_done(file.name.as_bstr(), &content) {
                self.ledger.skip(file.name.as_bstr(), Reason::Safetensors);
            } else {
                self.found.files.push(file);
            }
            return Ok(());
        }
        match read_index(self.repo, &file) {
            Ok(content) => {
                let shards: BTreeSet<_> = content.weight_map.values().cloned().collect();
                for shard in shards.into_iter().filter(|shard| file.path.with_file_name(shard).is_file()) {
                    let name = names::beside(file.name.as_bstr(), shard.as_bytes());
                    let (path, below) = (file.path.with_file_name(&shard), shard.into());
                    self.found.files.push(PlainFile { name, path, below, is_named: true });
                }
                self.found.indices.push(PlainIndex { file, content });
                Ok(())
            }
            Err(error) => self.ledger.fail(file.name.as_bstr(), error),
        }
    }

    /// Finds every file below a directory, in order; the targets of links follow the other files of their directory.
    fn directory(&mut self, top: &Path, name: &Path) -> Result<(), Error> {
        let mut waiting = vec![(top.to_owned(), PathBuf::new())];
        while let Some((dir, below)) = waiting.pop() {
            self.reporter.check_interrupted()?;
            let listed = || -> io::Result<BTreeSet<OsString>> {
                fs::read_dir(&dir)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
            };
            let entries = match listed() {
                Ok(entries) => entries,
                Err(source) => {
                    self.ledger.fail(
                        names::of_path(&name.join(&below)).as_bstr(),
                        Error::io("read", &dir)(source),
                    )?;
                    continue;
                }
            };
            let (mut links, mut dirs) = (Vec::new(), Vec::new());
            for entry in entries {
                let (path, below) = (dir.join(&entry), below.join(&entry));
                let file = || PlainFile {
                    name: names::of_path(&name.join(&below)),
                    path: path.clone(),
                    below: below.clone(),
                    is_named: false,
                };
                match path.symlink_metadata() {
                    Ok(metadata) if metadata.is_dir() && entry != ".git" && !content::is_store(&path) => {
                        if content::is_repository(&path) {
                            self.reporter.note(&Note::OtherRepository { path: file().name });
                        } else {
                            dirs.push((path, below));
                        }
                    }
                    Ok(metadata) if metadata.is_file() => self.file(file())?,
                    Ok(metadata) if metadata.is_symlink() && !path.is_dir() => links.push(file()),
                    // Not a file, or removed meanwhile.
                    _ => {}
                }
            }
            links.into_iter().try_for_each(|file| self.file(file))?;
            waiting.extend(dirs.into_iter().rev());
        }
        Ok(())
    }

    /// Handles a file that was found, and not named.
    fn file(&mut self, file: PlainFile) -> Result<(), Error> {
        let name = file.name.as_bstr();
        if names::is_index(name) {
            match read_index(self.repo, &file) {
                Ok(content) => self.found.indices.push(PlainIndex { file, content }),
                Err(error) => self.invalid.push((file, error)),
            }
            return Ok(());
        }
        let content = open(self.repo, &file).map(Located::Here);
        let judge = |content: &Located| match content {
            Located::Here(local) => Ok(detect(name, &local.file)),
            Located::There(pointer) => Err(Error::NoObject { oid: pointer.oid, size: pointer.size }),
        };
        if !is_wanted(name, content, judge, self.ledger)? {
            return Ok(());
        }
        let folder = file.path.parent().map(Path::to_owned).unwrap_or_default();
        let target = file.path.canonicalize().map_err(Error::io("open", &file.path))?;
        if self.seen.insert((folder, target)) {
            self.found.files.push(file);
        } else {
            self.ledger.skip(name, Reason::SameFile);
        }
        Ok(())
    }
}

fn read_index(repo: Option<&Repo>, file: &PlainFile) -> Result<Index, Error> {
    let source = open(repo, file)?.file;
    let content = Index::read(&source).map_err(Error::io("read", &file.path))??;
    content.check_checkpoints()?;
    Ok(content)
}
