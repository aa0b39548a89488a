//! Which files are to be converted: the named ones, or every file of the index that holds torch weights.
//!
//! What a file holds is judged by its content, an LFS pointer by the object behind it; the name decides
//! only where the content cannot be seen, and where it promises what the content does not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::server::Server;
use super::super::{Error, Reason, names};
use super::far::Far;
use super::judge::{Verdict, judge};
use super::{Options, Outcomes, Source};
use crate::checkpoint;
use crate::hash::HashingWriter;
use crate::lfs::{Pointer, place, pointer};
use crate::read_at::{FileSource, ReadAt as _, Reader};
use crate::repo::{self, Entry, Mode, ObjectId, Repo};
use crate::safetensors::shard::Index;

/// A file to convert.
pub(super) struct Candidate {
    pub(super) path: BString,
    /// Was it named, so that it is no use to skip it?
    pub(super) named: bool,
}

/// Files that are converted together: one, or the shards of a set.
pub(super) struct Unit {
    pub(super) files: Vec<Candidate>,
    pub(super) set: Option<Set>,
}

/// A sharded set.
pub(super) struct Set {
    /// The path of its index.
    pub(super) index: BString,
    pub(super) content: Index,
}

/// Where the bytes of a file are.
pub(super) enum Found {
    /// On this machine.
    Here(Source),
    /// On the LFS server.
    There(Pointer),
}

impl Found {
    /// What its pointer promises.
    pub(super) fn pointer(&self) -> Option<Pointer> {
        match self {
            Self::Here(source) => source.pointer,
            Self::There(pointer) => Some(*pointer),
        }
    }
}

/// The index of a repository, by path.
pub(in crate::actions) struct Tracked<'a> {
    pub(super) repo: &'a Repo,
    far: Option<&'a Far<'a>>,
    pub(super) entries: BTreeMap<BString, Entry>,
    /// Paths in a merge conflict.
    unmerged: BTreeSet<BString>,
}

impl<'a> Tracked<'a> {
    pub(in crate::actions) fn read(repo: &'a Repo, far: Option<&'a Far<'a>>) -> Result<Self, Error> {
        let (merged, unmerged): (Vec<_>, Vec<_>) =
            repo.entries()?.into_iter().partition(|entry| entry.stage == 0);
        let entries = merged.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        Ok(Self { repo, far, entries, unmerged: unmerged.into_iter().map(|entry| entry.path).collect() })
    }

    pub(super) fn contains(&self, path: &BStr) -> bool {
        self.entries.contains_key(path)
    }

    /// What kind of thing the index has at a path.
    pub(in crate::actions) fn mode(&self, path: &BStr) -> Option<Mode> {
        self.entries.get(path).map(|entry| entry.mode)
    }

    /// The pointer that the index has at a path.
    pub(super) fn staged_pointer(&self, path: &BStr) -> Result<Option<Pointer>, Error> {
        self.entries.get(path).map_or(Ok(None), |entry| self.pointer(entry.id))
    }

    /// Has the index this content at a path?
    pub(in crate::actions) fn is_staged(&self, path: &BStr, content: &[u8]) -> Result<bool, Error> {
        let Some(entry) = self.entries.get(path) else { return Ok(false) };
        let len = content.len() as u64;
        let same_size = self.repo.blob_size(entry.id)? == Some(len);
        Ok(same_size && self.repo.blob(entry.id, len)? == content)
    }

    /// The pointer that a blob is, if it is one.
    pub(super) fn pointer(&self, blob: ObjectId) -> Result<Option<Pointer>, Error> {
        Ok(self.repo.pointer(blob)?)
    }

    /// The bytes of a tracked file: the object behind its pointer, or else the file itself.
    pub(super) fn open(&self, path: &BStr) -> Result<Source, Error> {
        if self.unmerged.contains(path) {
            return Err(repo::Error::Unmerged { path: path.to_owned() }.into());
        }
        let Some(entry) = self.entries.get(path) else { return Source::work_tree(self.repo, path, None) };
        match entry.mode {
            Mode::Symlink => return Err(Error::Symlink),
            Mode::Submodule => return Err(Error::NotFound),
            Mode::File | Mode::Executable => {}
        }
        let Some(pointer) = self.pointer(entry.id)? else { return Source::work_tree(self.repo, path, None) };
        match Source::object(Some(self.repo), path, pointer) {
            // The content may be in the work tree alone; then its oid is proven as it is read.
            Err(missing @ Error::NoObject { .. }) => {
                match Source::work_tree(self.repo, path, Some(pointer)) {
                    Ok(source) => Ok(source),
                    Err(Error::NotFound) => Err(missing),
                    Err(error) => Err(error),
                }
            }
            opened => opened,
        }
    }

    /// The bytes of a tracked file, or what the server would have to be asked for.
    pub(super) fn find(&self, path: &BStr) -> Result<Found, Error> {
        match self.open(path) {
            Ok(source) => Ok(Found::Here(source)),
            Err(missing @ Error::NoObject { oid, size }) => match self.server()? {
                Some(_) => Ok(Found::There(Pointer { oid, size })),
                None => Err(missing),
            },
            Err(error) => Err(error),
        }
    }

    /// Is the file of the work tree, if there is one, what the index says of it?
    pub(in crate::actions) fn check_unmodified(&self, path: &BStr) -> Result<(), Error> {
        let Some(entry) = self.entries.get(path) else { return Ok(()) };
        let target = self.repo.target(path)?;
        let file = match target.metadata()? {
            None => return Ok(()),
            Some(_) if entry.is_unchanged(&target.path()) => return Ok(()),
            Some(metadata) if metadata.is_file() => target.path(),
            Some(_) => return Err(Error::Modified),
        };
        if self.is_content(entry.id, &file)? { Ok(()) } else { Err(Error::Modified) }
    }

    /// Is a file what a blob says: the blob itself, or the object that it points to?
    pub(super) fn is_content(&self, blob: ObjectId, file: &Path) -> Result<bool, Error> {
        let failed = Error::io("read", file);
        let content = File::open(file).and_then(FileSource::new).map_err(failed)?;
        Ok(match self.pointer(blob)? {
            Some(pointer) if content.len() == pointer.size => {
                let mut hasher = HashingWriter::new(io::sink());
                io::copy(&mut Reader::new(&content), &mut hasher).map_err(failed)?;
                hasher.finish().1 == pointer.oid
            }
            Some(pointer) if content.len() < pointer::MAX_LEN as u64 => {
                let text =
                    content.read_vec_at(0, usize::try_from(content.len()).unwrap_or(0)).map_err(failed)?;
                Pointer::parse(&text).is_ok_and(|other| other == pointer)
            }
            Some(_) => false,
            // Blobs beyond this are not held in memory to be compared.
            None if content.len() > 1 << 30 => false,
            None => {
                let len = usize::try_from(content.len()).unwrap_or(0);
                let same_size = self.repo.blob_size(blob)? == Some(content.len());
                same_size
                    && self.repo.blob(blob, content.len())? == content.read_vec_at(0, len).map_err(failed)?
            }
        })
    }

    /// A small file: of the work tree, or else as the index has it.
    pub(super) fn text(&self, path: &BStr, limit: u64) -> Option<Vec<u8>> {
        let on_disk =
            self.repo.target(path).ok().is_some_and(|target| target.path().symlink_metadata().is_ok());
        let entry = self.entries.get(path).filter(|_| !on_disk);
        if let Some((entry, None)) = entry.map(|entry| (entry, self.pointer(entry.id).ok().flatten())) {
            self.repo.blob(entry.id, limit).ok()
        } else {
            let file = self.open(path).ok()?.file;
            let len = usize::try_from(file.len()).ok().filter(|_| file.len() <= limit)?;
            file.read_vec_at(0, len).ok()
        }
    }

    /// Every unit that `options` ask for. What is not to be converted goes to `outcomes`.
    pub(super) fn units(&self, options: &Options, outcomes: &mut Outcomes<'_>) -> Result<Vec<Unit>, Error> {
        let mut found = BTreeMap::new();
        let mut indices = BTreeSet::new();
        if options.paths.is_empty() {
            self.search(b"", &mut found, &mut indices, outcomes)?;
        }
        for given in &options.paths {
            let path = self.repo.path_of(&options.cwd, given)?;
            let dir = if path.is_empty() { Vec::new() } else { [path.as_slice(), b"/"].concat() };
            let is_dir = path.is_empty() || self.entries.keys().any(|tracked| tracked.starts_with(&dir));
            if names::is_index(path.as_bstr()) {
                indices.insert(path);
            } else if is_dir {
                self.search(&dir, &mut found, &mut indices, outcomes)?;
            } else {
                self.named(path, &mut found, outcomes)?;
            }
        }
        self.named_sets(options, &mut found, &mut indices, outcomes)?;
        self.group(found, indices, outcomes)
    }

    fn named(
        &self,
        path: BString,
        found: &mut BTreeMap<BString, Candidate>,
        outcomes: &mut Outcomes<'_>,
    ) -> Result<(), Error> {
        match self.find(path.as_bstr()) {
            // It is opened again when its turn comes: there may be more files than a process may hold open.
            Ok(_) => {
                found.insert(path.clone(), Candidate { path, named: true });
                Ok(())
            }
            // A directory in which nothing is tracked.
            Err(Error::Place(place::Error::InTheWay { .. })) => {
                outcomes.fail(path.as_bstr(), Error::NotFound)
            }
            Err(error) => outcomes.fail(path.as_bstr(), error),
        }
    }

    /// Looks through the index below `dir`, which is empty or ends with a slash.
    fn search(
        &self,
        dir: &[u8],
        found: &mut BTreeMap<BString, Candidate>,
        indices: &mut BTreeSet<BString>,
        outcomes: &mut Outcomes<'_>,
    ) -> Result<(), Error> {
        for path in self.unmerged.iter().filter(|path| path.starts_with(dir)) {
            if names::is_weight_like(path.as_bstr()) && !names::is_training_state(path.as_bstr()) {
                outcomes.fail(path.as_bstr(), repo::Error::Unmerged { path: path.clone() }.into())?;
            }
        }
        for (path, entry) in self.entries.iter().filter(|(path, _)| path.starts_with(dir)) {
            if names::is_index(path.as_bstr()) {
                indices.insert(path.clone());
                continue;
            }
            let weight_like = names::is_weight_like(path.as_bstr());
            let training_state = names::is_training_state(path.as_bstr());
            if entry.mode == Mode::Submodule || entry.mode == Mode::Symlink && !weight_like {
                continue;
            }
            let content = self.find(path.as_bstr());
            let is_far = matches!(content, Ok(Found::There(_)) | Err(Error::NoObject { .. }));
            if weight_like && training_state && is_far {
                outcomes.skip(path.as_bstr(), Reason::TrainingState);
                continue;
            }
            let verdict = match content.and_then(|content| self.judge(path.as_bstr(), &content)) {
                Ok(verdict) => verdict,
                // What is behind the name is unknown: only the name can say whether it matters.
                Err(error) if weight_like && !training_state => {
                    outcomes.fail(path.as_bstr(), error)?;
                    continue;
                }
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(_) => continue,
            };
            match verdict {
                Verdict::Weights | Verdict::State if training_state => {
                    outcomes.skip(path.as_bstr(), Reason::TrainingState);
                }
                Verdict::Weights => {
                    let path = path.clone();
                    found.entry(path.clone()).or_insert(Candidate { path, named: false });
                }
                Verdict::State => outcomes.skip(path.as_bstr(), Reason::NoTensors),
                Verdict::BrokenPromise(kind) => {
                    outcomes.fail(path.as_bstr(), checkpoint::Error::NotCheckpoint { kind }.into())?;
                }
                Verdict::Other => {}
            }
        }
        Ok(())
    }

    pub(super) fn server(&self) -> Result<Option<&Server<'a>>, Error> {
        self.far.map_or(Ok(None), Far::server)
    }

    /// What the content of a file says; of one on the server as much as is needed is read.
    fn judge(&self, path: &BStr, found: &Found) -> Result<Verdict, Error> {
        let pointer = match found {
            Found::Here(source) => return Ok(judge(path, &source.file)),
            Found::There(pointer) => *pointer,
        };
        let Some(server) = self.server()?.filter(|_| !names::is_of_another_kind(path)) else {
            return Ok(Verdict::Other);
        };
        // What a run began to convert was judged by it; what is wrong with it is seen when it is planned.
        if names::is_weight_like(path) && self.repo.store().journal(pointer.oid).is_some() {
            return Ok(Verdict::Weights);
        }
        match server.object(pointer).ranged()? {
            Some(bytes) => Ok(judge(path, &bytes)),
            // It would have to be downloaded whole to be seen.
            None if names::is_weight_like(path) => Ok(Verdict::Weights),
            None => Ok(Verdict::Other),
        }
    }
}
