//! [`PublishedFile`] is a file to publish, with the checkpoints that it was made from.
//!
//! The files to publish are the safetensors files, and their shard indexes, that the index contains, that the remote's
//! branch lacks or has with another content, and that are named after a checkpoint of that branch. It does not matter
//! whether they are staged or committed; all other staged, committed or changed files stay local.
//!
//! Invariant: the checkpoint is the one that was converted: the index has the same blob as the branch or, if it was
//! removed since, their merge base has it.

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::{Error, Reporter, content, names};
use super::PublishError;
use crate::git::{Git, history};
use crate::hash::Oid;
use crate::lfs::Pointer;
use crate::read_at::FileSource;
use crate::repo::{self, Entry, Mode, ObjectId, Repo};
use crate::safetensors;

/// A file to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// Its path.
    pub path: BString,
    /// The pointer; `None` for a shard index without Git LFS.
    pub pointer: Option<Pointer>,
    /// Its bytes.
    pub size: u64,
    /// The checkpoints that it may have been made from: one, unless two have the same stem.
    pub sources: Vec<MadeFrom>,
    /// Its blob in git.
    pub blob: ObjectId,
    /// `true` if it is executable.
    pub executable: bool,
}

/// A checkpoint, or its shard index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeFrom {
    /// Its path.
    pub path: BString,
    /// Its SHA-256, if it is under Git LFS.
    pub oid: Option<Oid>,
}

/// The entries of a tree by their paths.
pub(super) type Tree<'t> = BTreeMap<&'t BStr, &'t Entry>;

/// Sorts entries by their paths.
pub(super) fn by_path(entries: &[Entry]) -> Tree<'_> {
    entries.iter().filter(|entry| entry.stage == 0).map(|entry| (entry.path.as_bstr(), entry)).collect()
}

/// Returns the files to publish on a commit with these entries.
pub(super) fn changed(
    repo: &Repo,
    git: &Git<'_>,
    base: ObjectId,
    entries: &[Entry],
) -> Result<Vec<PublishedFile>, Error> {
    let (tree, here) = (by_path(entries), repo.entries()?);
    let outputs = outputs(&tree);
    let mut past = Past { repo, git, base, entries: None };
    let mut files = Vec::new();
    let index = by_path(&here);
    for entry in &here {
        let Some(sources) = outputs.get(&entry.path) else { continue };
        if entry.stage != 0 {
            return Err(repo::Error::Unmerged { path: entry.path.clone() }.into());
        }
        let is_file = matches!(entry.mode, Mode::File | Mode::Executable) && !entry.intent_to_add;
        let is_known = tree.get(entry.path.as_bstr()).is_some_and(|known| known.id == entry.id);
        if !is_file || is_known {
            continue;
        }
        let mut current = Vec::new();
        for source in sources {
            if past.is_current(&index, source)? {
                let pointer = repo.pointer(source.id)?;
                let oid = pointer.map(|pointer| pointer.oid);
                current.push(MadeFrom { path: source.path.clone(), oid });
            }
        }
        if current.is_empty() {
            let head = repo.head_commit()?;
            let is_newer_here = head.map(|head| history::merge_base(git, base, head)).transpose()?;
            let is_newer_here = is_newer_here.flatten() == Some(base);
            return Err(PublishError::SourceDiffers { path: entry.path.clone(), is_newer_here }.into());
        }
        files.push(file(repo, entry, current)?);
    }
    Ok(files)
}

/// Returns the output names of the checkpoints of a tree, with the checkpoints.
fn outputs<'t>(tree: &Tree<'t>) -> BTreeMap<BString, Vec<&'t Entry>> {
    let mut outputs: BTreeMap<BString, Vec<_>> = BTreeMap::new();
    for (path, entry) in tree {
        if let Some(output) = names::output(path) {
            outputs.entry(output).or_default().push(*entry);
        }
    }
    outputs
}

fn file(repo: &Repo, entry: &Entry, sources: Vec<MadeFrom>) -> Result<PublishedFile, Error> {
    let pointer = repo.pointer(entry.id)?;
    if pointer.is_none() && entry.path.ends_with(b".safetensors") {
        return Err(Error::Unpublished(PublishError::NotUnderLfs { path: entry.path.clone() }));
    }
    let size = match pointer {
        Some(pointer) => pointer.size,
        None => repo.blob_size(entry.id)?.ok_or(repo::Error::MissingBlob { id: entry.id })?,
    };
    let executable = entry.mode == Mode::Executable;
    Ok(PublishedFile { path: entry.path.clone(), pointer, size, sources, blob: entry.id, executable })
}

/// The merge base of the branch and `HEAD`, looked up when needed.
struct Past<'a> {
    repo: &'a Repo,
    git: &'a Git<'a>,
    base: ObjectId,
    entries: Option<Vec<Entry>>,
}

impl Past<'_> {
    /// Returns `true` if the checkpoint of the branch is the one that was converted.
    fn is_current(&mut self, index: &Tree<'_>, source: &Entry) -> Result<bool, Error> {
        if let Some(here) = index.get(source.path.as_bstr()) {
            return Ok(here.id == source.id);
        }
        if self.entries.is_none() {
            let base = match self.repo.head_commit()? {
                Some(head) => history::merge_base(self.git, self.base, head)?,
                None => None,
            };
            let entries = base.map(|base| self.repo.entries_of(base)).transpose()?;
            self.entries = Some(entries.unwrap_or_default());
        }
        let past = self.entries.iter().flatten().find(|entry| entry.path == source.path);
        Ok(past.is_some_and(|entry| entry.id == source.id))
    }
}

/// Reads every object once: it must be in LFS storage, match its pointer, and be a safetensors file.
pub(super) fn prove(
    repo: &Repo,
    files: &[PublishedFile],
    reporter: &dyn Reporter,
) -> Result<Vec<std::path::PathBuf>, Error> {
    let store = repo.store();
    let mut paths = Vec::new();
    for file in files {
        let Some(Pointer { oid, size }) = file.pointer else { continue };
        let place = store.path_of(oid);
        let failed = Error::io("read", &place);
        let path = store.find(oid, size).map_err(failed)?.ok_or(Error::NoObject { oid, size })?;
        let object = FileSource::new(std::fs::File::open(&path).map_err(failed)?).map_err(failed)?;
        let got = content::oid_at(&object, &place, reporter)?;
        if got != oid {
            return Err(Error::Unpublished(PublishError::DamagedObject { path: file.path.clone(), got }));
        }
        if file.path.ends_with(b".safetensors") {
            let read = safetensors::read(&object);
            read.map_err(|source| Error::NotSafetensors { path: file.path.clone(), source })?;
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Returns about how many bytes of a safetensors file Xet storage lacks if it contains the checkpoint; 0 for another
/// file.
pub(super) fn new_in_xet(path: &std::path::Path) -> u64 {
    let file = std::fs::File::open(path).and_then(FileSource::new);
    let read = file.ok().and_then(|file| safetensors::read(&file).ok());
    let tensors = read.map(|(tensors, _)| tensors).unwrap_or_default();
    let header = tensors.iter().map(|tensor| tensor.at).min().unwrap_or(0);
    tensors.iter().fold(header, |sum, tensor| sum.saturating_add(sent_by_xet(tensor.bytes)))
}

/// Returns about how many bytes git-xet sends of a tensor in a checkpoint that the storage contains: a short one as a
/// whole, and of a longer one the chunks at both ends. The figures are those of docs/servers.md.
fn sent_by_xet(len: u64) -> u64 {
    const SHORT: u64 = 256 << 10;
    const ENDS: u64 = 128 << 10;
    if len <= SHORT { len } else { ENDS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xet_sends_about_what_was_seen() {
        // The table of docs/servers.md: the number of tensors by their size, and what git-xet sent.
        let bert = [(147, 4_194_304), (250, 5_000)];
        let seen: [(&[(u64, u64)], u64); 4] = [
            (&bert, 19_400_000),
            (&[(25, 4_000_000)], 3_300_000),
            (&[(40, 500_000)], 4_700_000),
            (&[(400, 250_000)], 71_400_000),
        ];
        for (tensors, sent) in seen {
            let about: u64 = tensors.iter().map(|(count, len)| count * sent_by_xet(*len)).sum();
            assert!(about * 100 >= sent * 99 && about * 10 <= sent * 15, "{about}, not {sent}");
        }
    }
}
