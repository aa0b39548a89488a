//! [`Workspace`] reads a repository: its index by path, its working tree, and the location of its files' bytes.
//!
//! Invariant: it writes nothing, and looks up a server when the first object is missing. It knows no command's options.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::Path;

use bstr::{BStr, BString, ByteSlice as _};

use super::content::{CONFIG_LIMIT, LocalFile, Located, class, oid_at, text};
use super::lfs_remote::LfsRemote;
use super::servers::Session;
use super::{Error, names};
use crate::git;
use crate::lfs::{Pointer, pointer};
use crate::read_at::{FileSource, ReadAt as _};
use crate::repo::{self, Entry, Found, Mode, ObjectId, Repo};

/// The longest link target that is shown.
const LINK_LIMIT: u64 = 64 << 10;

/// A repository and its index, by path.
pub(super) struct Workspace<'a> {
    pub(super) repo: &'a Repo,
    pub(super) session: &'a Session<'a>,
    /// The server of objects that are not local.
    pub(super) remote: LfsRemote<'a>,
    pub(super) entries: BTreeMap<BString, Entry>,
    /// Paths in a merge conflict.
    pub(super) unmerged: BTreeSet<BString>,
    /// The pointers of blobs that were read already.
    pointers: RefCell<HashMap<ObjectId, Option<Pointer>>>,
}

impl<'a> Workspace<'a> {
    pub(super) fn open(repo: &'a Repo, session: &'a Session<'a>) -> Result<Self, Error> {
        let (merged, unmerged): (Vec<_>, Vec<_>) =
            repo.entries()?.into_iter().partition(|entry| entry.stage == 0);
        let entries = merged.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        let unmerged = unmerged.into_iter().map(|entry| entry.path).collect();
        let (remote, pointers) = (LfsRemote::of(session, repo, None), RefCell::default());
        Ok(Self { repo, session, remote, entries, unmerged, pointers })
    }

    pub(super) fn contains(&self, path: &BStr) -> bool {
        self.entries.contains_key(path)
    }

    /// Checks that a path is not in a merge conflict.
    pub(super) fn check_merged(&self, path: &BString) -> Result<(), Error> {
        if self.unmerged.contains(path) {
            return Err(repo::Error::Unmerged { path: path.clone() }.into());
        }
        Ok(())
    }

    /// Returns the kind of a path in the index.
    pub(super) fn mode(&self, path: &BStr) -> Option<Mode> {
        self.entries.get(path).map(|entry| entry.mode)
    }

    /// Returns `true` if a sparse checkout leaves a file out of the working tree.
    pub(super) fn is_left_out(&self, entry: &Entry) -> bool {
        let is_absent = || {
            let file = self.repo.target(entry.path.as_bstr());
            file.is_ok_and(|file| file.path().symlink_metadata().is_err())
        };
        entry.skip_worktree && is_absent()
    }

    /// Returns the target of a link in the index, as it is written.
    pub(super) fn link_of(&self, entry: &Entry) -> BString {
        let link = self.repo.target(entry.path.as_bstr()).ok().and_then(|link| link.path().read_link().ok());
        let of_index = || self.repo.blob(entry.id, LINK_LIMIT).unwrap_or_default().into();
        link.map_or_else(of_index, |to| to.as_os_str().as_encoded_bytes().into())
    }

    /// Returns the file or directory of this working tree that a path reaches through links; `None` if no links are on
    /// the way, or git tracks a file of that name.
    pub(super) fn link_inside(&self, path: &BStr) -> Option<BString> {
        if !matches!(self.mode(path), None | Some(Mode::Symlink)) {
            return None;
        }
        let top = self.repo.work_dir().canonicalize().ok()?;
        let target = self.repo.target(path).ok()?.path().canonicalize().ok()?;
        let inside = names::of_path(target.strip_prefix(top).ok()?);
        let is_other = inside != path && !inside.is_empty() && self.repo.target(inside.as_bstr()).is_ok();
        is_other.then_some(inside)
    }

    /// Returns the pointer of a path in the index.
    pub(super) fn staged_pointer(&self, path: &BStr) -> Result<Option<Pointer>, Error> {
        self.entries.get(path).map_or(Ok(None), |entry| self.pointer(entry.id))
    }

    /// Returns `true` if the index has this content at a path.
    pub(super) fn is_staged(&self, path: &BStr, content: &[u8]) -> Result<bool, Error> {
        let Some(entry) = self.entries.get(path) else { return Ok(false) };
        let len = content.len() as u64;
        let same_size = self.repo.blob_size(entry.id)? == Some(len);
        Ok(same_size && self.repo.blob(entry.id, len)? == content)
    }

    /// Returns `true` if git can restore the file: `HEAD` has the staged version, and LFS storage has the content of a
    /// pointer in the working tree.
    pub(super) fn is_recoverable(&self, path: &BStr) -> Result<bool, Error> {
        let Some(entry) = self.entries.get(path) else { return Ok(false) };
        match self.repo.head_file(path)? {
            Some((blob, _)) if blob == entry.id => self.has_object(path, blob),
            _ => Ok(false),
        }
    }

    /// Returns `true` if a working-tree file with the content of this blob can be removed without loss: it is the
    /// pointer itself, or LFS storage has the object.
    pub(super) fn has_object(&self, path: &BStr, blob: ObjectId) -> Result<bool, Error> {
        let Some(pointer) = self.pointer(blob)? else { return Ok(true) };
        let store = self.repo.store();
        let file = self.repo.target(path)?.path();
        let is_content = file.metadata().is_ok_and(|metadata| metadata.len() == pointer.size);
        if !is_content {
            return Ok(true);
        }
        let found = store.find(pointer.oid, pointer.size).map_err(Error::io("look in", store.dir()))?;
        // The length is not enough: the object may be damaged, and the file of the working tree the only good copy.
        let Some(object) = found else { return Ok(false) };
        let file = File::open(&object).and_then(FileSource::new).map_err(Error::io("read", &object))?;
        Ok(oid_at(&file, &object, self.session.reporter)? == pointer.oid)
    }

    /// Parses a blob as a pointer, if it is one.
    pub(super) fn pointer(&self, blob: ObjectId) -> Result<Option<Pointer>, Error> {
        if let Some(known) = self.pointers.borrow().get(&blob) {
            return Ok(*known);
        }
        let pointer = match self.repo.small_blob(blob, pointer::MAX_LEN as u64 - 1)? {
            Found::Blob(text) => Pointer::parse(&text).ok(),
            Found::Large(_) => None,
            // A partial clone may fetch a missing blob later.
            Found::Other | Found::Missing => return Ok(None),
        };
        self.pointers.borrow_mut().insert(blob, pointer);
        Ok(pointer)
    }

    /// Returns the local bytes of a tracked file: the object of its pointer, or else the file itself.
    pub(super) fn local(&self, path: &BStr) -> Result<LocalFile, Error> {
        if self.unmerged.contains(path) {
            return Err(repo::Error::Unmerged { path: path.to_owned() }.into());
        }
        let Some(entry) = self.entries.get(path) else { return LocalFile::work_tree(self.repo, path, None) };
        match entry.mode {
            Mode::Symlink => return Err(Error::Symlink),
            Mode::Submodule => return Err(Error::NotFound),
            Mode::File | Mode::Executable => {}
        }
        let Some(pointer) = self.pointer(entry.id)? else {
            return LocalFile::work_tree(self.repo, path, None);
        };
        match LocalFile::object(Some(self.repo), path, pointer) {
            // Only the working tree may have the content; then its object ID is checked while it is read.
            Err(missing @ Error::NoObject { .. }) => {
                match LocalFile::work_tree(self.repo, path, Some(pointer)) {
                    Ok(source) => Ok(source),
                    Err(Error::NotFound) => Err(missing),
                    Err(error) => Err(error),
                }
            }
            opened => opened,
        }
    }

    /// Returns the size of a tracked file, or of the object of its pointer; 0 if it cannot be read.
    pub(super) fn size(&self, path: &BStr) -> u64 {
        match self.local(path) {
            Ok(source) => source.size(),
            Err(Error::NoObject { size, .. }) => size,
            Err(_) => 0,
        }
    }

    /// Returns the bytes of a tracked file, or its pointer if they are on the server.
    pub(super) fn find(&self, path: &BStr) -> Result<Located, Error> {
        match self.local(path) {
            Ok(source) => Ok(Located::Here(source)),
            Err(missing @ Error::NoObject { oid, size }) => match self.remote.server()? {
                Some(_) => Ok(Located::There(Pointer { oid, size })),
                None => Err(missing),
            },
            Err(error) => Err(error),
        }
    }

    /// Announces files that will be read, so that one request finds all missing objects.
    pub(super) fn expect<'p>(&self, paths: impl IntoIterator<Item = &'p BString>) -> Result<(), Error> {
        if self.session.is_offline() {
            return Ok(());
        }
        let (store, mut pointers) = (self.repo.store(), Vec::new());
        for entry in paths.into_iter().filter_map(|path| self.entries.get(path)) {
            if matches!(entry.mode, Mode::File | Mode::Executable)
                && let Some(pointer) = self.pointer(entry.id)?
                && !matches!(store.find(pointer.oid, pointer.size), Ok(Some(_)))
            {
                pointers.push(pointer);
            }
        }
        self.remote.expect(&pointers);
        Ok(())
    }

    /// Returns the file of a name: in the working tree, or else in the index.
    pub(super) fn there(&self, path: &BStr) -> Result<Option<Located>, Error> {
        let opened = match LocalFile::work_tree(self.repo, path, None) {
            Err(Error::NotFound) if self.contains(path) => self.local(path),
            opened => opened,
        };
        match opened {
            Ok(file) => Ok(Some(Located::Here(file))),
            Err(Error::NoObject { oid, size }) => Ok(Some(Located::There(Pointer { oid, size }))),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checks that the file of the working tree, if it exists, matches the index. If a flag of the index hides its changes
    /// from git, they can neither be staged nor stashed, and the error names the flag.
    pub(super) fn check_unmodified(&self, path: &BStr) -> Result<(), Error> {
        let Some(entry) = self.entries.get(path) else { return Ok(()) };
        let modified = || match (entry.assume_unchanged, entry.skip_worktree) {
            (true, _) => Error::Hidden { flag: "assume-unchanged" },
            (_, true) => Error::Hidden { flag: "skip-worktree" },
            _ => Error::Modified,
        };
        let target = self.repo.target(path)?;
        let file = match target.metadata()? {
            None => return Ok(()),
            Some(_) if self.repo.is_unchanged(entry, &target.path()) => return Ok(()),
            Some(metadata) if metadata.is_file() => target.path(),
            Some(_) => return Err(modified()),
        };
        // The bytes differ where a checkout converts line ends or the encoding, which git knows. It does not look at a file
        // with one of the flags.
        let asked = || Ok::<_, Error>(git::worktree::is_modified(&self.session.git_in(self.repo)?, path)?);
        let is_seen = !entry.assume_unchanged && !entry.skip_worktree;
        let is_same = self.is_content(entry.id, &file)? || is_seen && !asked().unwrap_or(true);
        if is_same { Ok(()) } else { Err(modified()) }
    }

    /// Returns `true` if a file matches a blob: the blob itself, or the object that it points to.
    pub(super) fn is_content(&self, blob: ObjectId, file: &Path) -> Result<bool, Error> {
        let failed = Error::io("read", file);
        let content = File::open(file).and_then(FileSource::new).map_err(failed)?;
        Ok(match self.pointer(blob)? {
            Some(pointer) if content.len() == pointer.size => oid_at(&content, file, &())? == pointer.oid,
            Some(pointer) if content.len() < pointer::MAX_LEN as u64 => {
                let text =
                    content.read_vec_at(0, usize::try_from(content.len()).unwrap_or(0)).map_err(failed)?;
                Pointer::parse(&text).is_ok_and(|other| other == pointer)
            }
            Some(_) => false,
            // Longer blobs are not loaded into memory for a comparison.
            None if content.len() > 1 << 30 => false,
            None => {
                let len = usize::try_from(content.len()).unwrap_or(0);
                let same_size = self.repo.blob_size(blob)? == Some(content.len());
                same_size
                    && self.repo.blob(blob, content.len())? == content.read_vec_at(0, len).map_err(failed)?
            }
        })
    }

    /// Reads a small file: of the working tree, or else of the index.
    fn text(&self, path: &BStr, limit: u64) -> Option<Vec<u8>> {
        let on_disk =
            self.repo.target(path).ok().is_some_and(|target| target.path().symlink_metadata().is_ok());
        let entry = self.entries.get(path).filter(|_| !on_disk);
        if let Some((entry, None)) = entry.map(|entry| (entry, self.pointer(entry.id).ok().flatten())) {
            self.repo.blob(entry.id, limit).ok()
        } else {
            text(&self.local(path).ok()?.file, limit)
        }
    }

    /// Returns the model's class, from the `config.json` next to a checkpoint.
    pub(super) fn class(&self, path: &BStr) -> Option<String> {
        class(&self.text(names::beside(path, b"config.json").as_bstr(), CONFIG_LIMIT)?)
    }

    /// Returns the total size in bytes of all files of the index that have names of checkpoints and would be converted:
    /// from their pointers, or as they are. With `force`, including those with an existing safetensors file.
    pub(super) fn weight(&self, force: bool) -> Result<u64, Error> {
        let is_meant = |path: &BStr| {
            names::is_weight_like(path)
                && !names::is_training_state(path)
                && (force || !self.contains(names::safetensors(path).as_bstr()))
        };
        let mut total = 0_u64;
        for (_, entry) in self.entries.iter().filter(|(path, _)| is_meant(path.as_bstr())) {
            if matches!(entry.mode, Mode::File | Mode::Executable) {
                let size = match self.pointer(entry.id)? {
                    Some(pointer) => pointer.size,
                    None => self.repo.blob_size(entry.id)?.unwrap_or(0),
                };
                total = total.saturating_add(size);
            }
        }
        Ok(total)
    }
}
