//! [`PullRequest`]: what a pull request brings, by its commit and trees.
//!
//! Invariant: nothing that its author says of it counts, neither a title nor a message: what it brings is what differs
//! from the commit that it and `HEAD` come from, path by path.

use bstr::{BStr, BString, ByteSlice as _};

use super::super::{Error, names};
use crate::git::{Git, history};
use crate::lfs::Pointer;
use crate::repo::{self, ChangedPath, History, Mode, ObjectId, Repo, Version};

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number: it is `refs/pr/<number>`.
    pub number: u64,
    /// Its last commit.
    pub commit: ObjectId,
    /// Who wrote that, by name.
    pub author: String,
    /// The safetensors files that it brings.
    pub files: Vec<RequestFile>,
    /// How it stands to the checkpoint that `HEAD` has.
    pub state: Freshness,
    /// What it changes besides, but for shard indices and `.gitattributes`.
    pub others: Vec<BString>,
    /// The commit that it and `HEAD` come from; `None` if that is not here.
    pub(in crate::actions) base: Option<ObjectId>,
    /// The shard indices that it brings.
    pub(in crate::actions) indices: Vec<RequestFile>,
    /// Everything that is at a path with it, and was not, or was another.
    pub(super) brought: Vec<(BString, Version)>,
}

/// A file that a pull request brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFile {
    /// Its path.
    pub path: BString,
    /// What its pointer says; `None` if it is no pointer, or its blob is not here.
    pub pointer: Option<Pointer>,
    /// What git has at the path.
    pub version: Version,
}

/// How a pull request stands to the checkpoint that `HEAD` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The checkpoint is the one that it was made from.
    Current,
    /// The checkpoint has changed since.
    Stale,
}

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Safetensors,
    Index,
    Attributes,
    Other,
}

impl Kind {
    fn of(path: &BStr) -> Self {
        let name = path.rsplit_once_str("/").map_or(path.as_bytes(), |(_, name)| name);
        if name == b".gitattributes" {
            Self::Attributes
        } else if name.len() > 12 && name.ends_with(b".safetensors") {
            Self::Safetensors
        } else if names::is_safetensors_index(path) {
            Self::Index
        } else {
            Self::Other
        }
    }
}

impl PullRequest {
    /// Reads what the commit brings to a `HEAD`.
    pub(super) fn read(
        repo: &Repo,
        relation: &Relation<'_>,
        head: ObjectId,
        number: u64,
        commit: ObjectId,
    ) -> Result<Self, Error> {
        let base = relation.merge_base(head, commit)?;
        let from = match base {
            // It was taken already; what its last commit changed is what it brought.
            Some(base) if base == commit => repo.first_parent(commit)?,
            // Where the common past is cut off, the difference to `HEAD` is all that can be known.
            base => Some(base.unwrap_or(head)),
        };
        let changes = relation.changes(from, commit)?;
        let (mut files, mut indices, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for change in &changes {
            let kind = Kind::of(change.path.as_ref());
            let version = change.new.filter(|new| matches!(new.mode, Mode::File | Mode::Executable));
            match (kind, version) {
                (Kind::Safetensors, Some(version)) => {
                    files.push(RequestFile::read(repo, &change.path, version)?);
                }
                (Kind::Index, Some(version)) => indices.push(RequestFile::read(repo, &change.path, version)?),
                (Kind::Attributes, Some(_)) => {}
                // A link, or a file that is taken away.
                (_, _) => others.push(change.path.clone()),
            }
        }
        let since = relation.changes(Some(base.unwrap_or(commit)), head)?;
        let state = if since.iter().any(|change| is_source_of(change, &files)) {
            Freshness::Stale
        } else {
            Freshness::Current
        };
        let author = repo.author_of(commit)?;
        let brought = changes.into_iter().filter_map(|change| Some((change.path, change.new?))).collect();
        Ok(Self { number, commit, author, files, state, others, base, indices, brought })
    }

    /// The bytes of its safetensors files, as far as that is known.
    pub fn size(&self) -> u64 {
        self.files
            .iter()
            .filter_map(|file| file.pointer)
            .fold(0, |sum, pointer| sum.saturating_add(pointer.size))
    }

    /// Its safetensors files, and their indices.
    pub(in crate::actions) fn taken(&self) -> impl Iterator<Item = &RequestFile> {
        self.files.iter().chain(&self.indices)
    }
}

impl RequestFile {
    fn read(repo: &Repo, path: &BString, version: Version) -> Result<Self, Error> {
        Ok(Self { path: path.clone(), pointer: repo.pointer(version.id)?, version })
    }
}

/// Returns `true` if a checkpoint was changed that one of these files is made from.
fn is_source_of(change: &ChangedPath, files: &[RequestFile]) -> bool {
    names::is_weight_like(change.path.as_ref())
        && files.iter().any(|file| names::safetensors(change.path.as_ref()) == file.path)
}

/// The commits of a repository: asked of libgit2, and of git where that cannot read it.
pub(super) struct Relation<'a> {
    libgit2: Option<History>,
    git: &'a Git<'a>,
}

impl<'a> Relation<'a> {
    pub(super) fn new(repo: &Repo, git: &'a Git<'a>) -> Self {
        Self { libgit2: repo.history().ok(), git }
    }

    /// A commit that both come from.
    pub(super) fn merge_base(&self, one: ObjectId, other: ObjectId) -> Result<Option<ObjectId>, Error> {
        match self.libgit2.as_ref().map(|history| history.merge_base(one, other)) {
            Some(Ok(base)) => Ok(base),
            None | Some(Err(repo::Error::History { .. })) => Ok(history::merge_base(self.git, one, other)?),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// The paths that differ between two commits.
    pub(super) fn changes(&self, from: Option<ObjectId>, to: ObjectId) -> Result<Vec<ChangedPath>, Error> {
        match self.libgit2.as_ref().map(|history| history.changes(from, to)) {
            Some(Ok(changes)) => Ok(changes),
            None | Some(Err(repo::Error::History { .. })) => Ok(history::changes(self.git, from, to)?),
            Some(Err(error)) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_by_their_names() {
        for (path, kind) in [
            ("model.safetensors", Kind::Safetensors),
            ("unet/model.fp16.safetensors", Kind::Safetensors),
            (".safetensors", Kind::Other),
            ("a/.safetensors", Kind::Other),
            ("model.safetensors.index.json", Kind::Index),
            ("model.safetensors.index.fp16.json", Kind::Index),
            ("model.safetensors.index.json/run.py", Kind::Other),
            ("model.safetensors.py", Kind::Other),
            (".gitattributes", Kind::Attributes),
            ("sub/.gitattributes", Kind::Attributes),
            ("x.gitattributes", Kind::Other),
            ("README.md", Kind::Other),
        ] {
            assert_eq!(Kind::of(path.into()), kind, "{path}");
        }
    }
}
