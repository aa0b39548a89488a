//! Reads blobs: their bytes, their length, and the blob of a revision at a path.
//!
//! Invariant: a blob that a partial clone left out is [`Error::MissingBlob`] and no other error; it is never fetched.
//! No blob longer than the caller's limit is read.

use std::collections::{BTreeSet, HashMap};

use bstr::{BStr, BString, ByteSlice as _};

use super::{Error, Found, Mode, ObjectId, Repo, Result, database};
use crate::lfs::{Pointer, pointer};

impl Repo {
    /// Returns the length of a blob, by only its header; `None` if it is not in this clone.
    ///
    /// # Errors
    /// [`Error::NotABlob`], or [`Error::Git`] for a damaged object database.
    pub fn blob_size(&self, id: ObjectId) -> Result<Option<u64>> {
        let header = self.inner.try_find_header(id).map_err(Error::git("read the header of an object"))?;
        match header {
            None => Ok(None),
            Some(header) if header.kind() == gix::objs::Kind::Blob => Ok(Some(header.size())),
            Some(_) => Err(Error::NotABlob { id }),
        }
    }

    /// Returns the bytes of a blob of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::MissingBlob`], [`Error::BlobTooLarge`], [`Error::NotABlob`] or [`Error::Git`].
    pub fn blob(&self, id: ObjectId, limit: u64) -> Result<Vec<u8>> {
        let size = self.blob_size(id)?.ok_or(Error::MissingBlob { id })?;
        if size > limit {
            return Err(Error::BlobTooLarge { id, size, limit });
        }
        let mut blob = self.inner.find_blob(id).map_err(Error::git("read a blob"))?;
        Ok(blob.take_data())
    }

    /// Parses a blob as a pointer; `None` if it is not one, or not in this clone.
    ///
    /// # Errors
    /// [`Error::NotABlob`] or [`Error::Git`].
    pub fn pointer(&self, id: ObjectId) -> Result<Option<Pointer>> {
        match self.small_blob(id, pointer::MAX_LEN as u64 - 1)? {
            Found::Blob(text) => Ok(Pointer::parse(&text).ok()),
            Found::Large(_) | Found::Other | Found::Missing => Ok(None),
        }
    }

    /// Returns a blob of at most `limit` bytes, read once if it is a loose file, as a newly added blob is.
    ///
    /// # Errors
    /// [`Error::NotABlob`] or [`Error::Git`].
    pub fn small_blob(&self, id: ObjectId, limit: u64) -> Result<Found> {
        if let Some(found) = database::short(self.inner.objects.store_ref().path(), id, limit) {
            return Ok(found);
        }
        match self.blob_size(id)? {
            None => Ok(Found::Missing),
            Some(size) if size > limit => Ok(Found::Large(size)),
            Some(_) => Ok(Found::Blob(self.blob(id, limit)?)),
        }
    }

    /// Returns `true` if the object is in this clone.
    pub fn has_object(&self, id: ObjectId) -> bool {
        self.inner.has_object(id)
    }

    /// Returns the author's name of a commit; invalid UTF-8 is replaced.
    ///
    /// # Errors
    /// [`Error::Git`]
    pub fn author_of(&self, commit: ObjectId) -> Result<String> {
        let commit = self.inner.find_commit(commit).map_err(Error::git("read a commit"))?;
        let author = commit.author().map_err(Error::git("read the author of a commit"))?;
        Ok(author.name.to_str_lossy().into_owned())
    }

    /// Returns the message of a commit.
    ///
    /// # Errors
    /// [`Error::Git`]
    pub fn message_of(&self, commit: ObjectId) -> Result<BString> {
        let commit = self.inner.find_commit(commit).map_err(Error::git("read a commit"))?;
        Ok(commit.message_raw().map_err(Error::git("read the message of a commit"))?.to_owned())
    }

    /// Returns the parents of a commit that are in this clone.
    ///
    /// # Errors
    /// [`Error::Git`]
    pub fn parents_of(&self, commit: ObjectId) -> Result<Vec<ObjectId>> {
        let commit = self.inner.find_commit(commit).map_err(Error::git("read a commit"))?;
        Ok(commit.parent_ids().map(gix::Id::detach).filter(|id| self.inner.has_object(*id)).collect())
    }

    /// Returns the parents that a commit names and that are in this clone, although it may be a boundary of a shallow
    /// clone.
    ///
    /// # Errors
    /// [`Error::Git`]
    pub fn named_parents_of(&self, commit: ObjectId) -> Result<Vec<ObjectId>> {
        let object = self.inner.find_object(commit).map_err(Error::git("read a commit"))?;
        let named = gix::objs::CommitRefIter::from_bytes(&object.data, commit.kind()).parent_ids();
        Ok(named.filter(|id| self.inner.has_object(*id)).collect())
    }

    /// Returns the commits that have parents, none of which is in this clone.
    pub fn shallow_commits(&self) -> BTreeSet<ObjectId> {
        let text = std::fs::read(self.common_dir().join("shallow")).unwrap_or_default();
        text.lines().filter_map(|line| ObjectId::from_hex(line.trim_ascii()).ok()).collect()
    }

    /// Returns the first parent of a commit; `None` if it has none, or if it is not in this clone.
    ///
    /// # Errors
    /// [`Error::Git`]
    pub fn first_parent(&self, commit: ObjectId) -> Result<Option<ObjectId>> {
        let commit = self.inner.find_commit(commit).map_err(Error::git("read a commit"))?;
        let parent = commit.parent_ids().next().map(gix::Id::detach);
        Ok(parent.filter(|id| self.inner.has_object(*id)))
    }

    /// Returns `true` if the branch of `HEAD` has no commit yet.
    ///
    /// # Errors
    /// [`Error::Git`], [`Error::References`]
    pub fn head_is_unborn(&self) -> Result<bool> {
        Ok(self.head_commit()?.is_none())
    }

    /// Returns the commit of `HEAD`; `None` if none exists yet.
    ///
    /// # Errors
    /// [`Error::Git`], [`Error::References`]
    pub fn head_commit(&self) -> Result<Option<ObjectId>> {
        Ok(self.references.head(&self.inner)?.commit)
    }

    /// Returns the branch of `HEAD`, without `refs/heads/`; `None` if `HEAD` is detached.
    ///
    /// # Errors
    /// [`Error::Git`], [`Error::References`]
    pub fn branch(&self) -> Result<Option<String>> {
        let short = |name: BString| {
            let name = name.strip_prefix(b"refs/heads/").unwrap_or(&name);
            name.to_str_lossy().into_owned()
        };
        Ok(self.references.head(&self.inner)?.branch.map(short))
    }

    /// Returns the tree of `HEAD`, which is empty before the first commit.
    pub(super) fn head_tree(&self) -> Result<ObjectId> {
        let Some(commit) = self.head_commit()? else {
            return Ok(ObjectId::empty_tree(self.inner.object_hash()));
        };
        let commit = self.inner.find_commit(commit).map_err(Error::git("read the commit of HEAD"))?;
        Ok(commit.tree_id().map_err(Error::git("read the tree of HEAD"))?.detach())
    }

    fn resolve(&self, rev: &str) -> Result<ObjectId> {
        self.references.resolve(&self.inner, rev)
    }

    /// Returns the commit of a revision.
    ///
    /// # Errors
    /// [`Error::NoSuchRevision`], [`Error::WrongRevision`], [`Error::Git`], [`Error::References`]
    pub fn commit_of(&self, rev: &str) -> Result<ObjectId> {
        let wrong = || Error::WrongRevision { revision: rev.to_owned(), expected: "a commit" };
        let object = self.behind(rev)?;
        object.try_into_commit().map(|commit| commit.id).map_err(|_| wrong())
    }

    /// Returns the object of a revision, or the one that a tag of that name points to.
    fn behind(&self, rev: &str) -> Result<gix::Object<'_>> {
        let object = self.inner.find_object(self.resolve(rev)?).map_err(Error::git("read the revision"))?;
        object.peel_tags_to_end().map_err(Error::git("read the object of a tag"))
    }

    /// Returns the tree of a revision.
    fn tree_at(&self, rev: &str) -> Result<gix::Tree<'_>> {
        let object = self.behind(rev)?;
        if object.kind == gix::objs::Kind::Blob {
            let revision = rev.to_owned();
            return Err(Error::WrongRevision { revision, expected: "a commit or a tree" });
        }
        object.peel_to_tree().map_err(Error::git("read the tree of the revision"))
    }

    /// Returns the blob of `REV:PATH`; `None` if the revision has no file at the path.
    ///
    /// # Errors
    /// [`Error::NoSuchRevision`], [`Error::Git`]
    pub fn blob_at(&self, rev: &str, path: &BStr) -> Result<Option<ObjectId>> {
        let tree = self.tree_at(rev)?;
        let entry = tree.lookup_entry(path.split_str("/")).map_err(Error::git("read a tree"))?;
        Ok(entry.filter(|entry| entry.mode().is_blob()).map(|entry| entry.object_id()))
    }

    /// Returns every file of a revision, by path, without links and submodules.
    ///
    /// # Errors
    /// [`Error::NoSuchRevision`], [`Error::Git`]
    pub fn files_at(&self, rev: &str) -> Result<Vec<(BString, ObjectId)>> {
        let tree = self.tree_at(rev)?;
        let index =
            self.inner.index_from_tree(&tree.id).map_err(Error::git("read the tree of the revision"))?;
        let is_file = |entry: &&gix::index::Entry| entry.mode.intersects(gix::index::entry::Mode::FILE);
        let entries = index.entries().iter().filter(is_file);
        Ok(entries.map(|entry| (entry.path(&index).to_owned(), entry.id)).collect())
    }

    /// Returns the file of `HEAD` at a path; `None` if it has none there, or no commit exists.
    ///
    /// # Errors
    /// [`Error::Git`]
    pub fn head_file(&self, path: &BStr) -> Result<Option<(ObjectId, Mode)>> {
        let head = self.head_tree()?;
        let tree = self.inner.find_tree(head).map_err(Error::git("read the tree of HEAD"))?;
        let entry = tree.lookup_entry(path.split_str("/")).map_err(Error::git("read a tree"))?;
        let file = entry.filter(|entry| entry.mode().is_blob());
        Ok(file.map(|file| {
            let mode = if file.mode().is_executable() { Mode::Executable } else { Mode::File };
            (file.object_id(), mode)
        }))
    }

    /// Returns `true` if `HEAD` and the index are equal at each of these paths.
    ///
    /// # Errors
    /// [`Error::Git`]
    pub fn is_committed<'a>(&self, paths: impl IntoIterator<Item = &'a BString>) -> Result<bool> {
        let entries: HashMap<_, _> =
            self.entries()?.into_iter().map(|entry| (entry.path, (entry.id, entry.mode))).collect();
        for path in paths {
            if self.head_file(path.as_ref())? != entries.get(path).copied() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes a blob and syncs it to the disk, as git does by default.
    ///
    /// # Errors
    /// [`Error::Git`], [`Error::Io`]
    pub fn write_blob(&self, content: &[u8]) -> Result<ObjectId> {
        let id = self.inner.write_blob(content).map_err(Error::git("write a blob"))?.detach();
        let name = id.to_string();
        let (dir, file) = name.split_at(2);
        let path = self.inner.objects.store_ref().path().join(dir).join(file);
        // Windows syncs only a file that is open for writing. One that cannot be opened existed already: in a pack, or on
        // Windows as a file of git's, which is read-only.
        if let Ok(file) = std::fs::File::options().read(true).write(cfg!(windows)).open(&path) {
            file.sync_all().map_err(Error::io("sync", &path))?;
            crate::lfs::sync_parent(&path).map_err(Error::io("sync the directory of", &path))?;
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also by wine: Windows syncs no file that is open for reading alone, and git makes its objects read-only.
    #[test]
    fn a_blob_is_synced_and_one_that_is_there_already_stays() {
        let dir = tempfile::tempdir().unwrap();
        let git = dir.path().join(".git");
        for name in ["objects", "refs"] {
            std::fs::create_dir_all(git.join(name)).unwrap();
        }
        std::fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        std::fs::write(git.join("config"), "[core]\n\trepositoryformatversion = 0\n").unwrap();
        let repo = Repo::at(dir.path()).unwrap();
        let id = repo.write_blob(b"text\n").unwrap();
        assert_eq!(id.to_string(), "8e27be7d6154a1f68ea9160ef0e18691d20560dc");
        let path = git.join("objects/8e/27be7d6154a1f68ea9160ef0e18691d20560dc");
        let mut permissions = path.metadata().unwrap().permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(&path, permissions).unwrap();
        assert_eq!(repo.write_blob(b"text\n").unwrap(), id);
    }
}
