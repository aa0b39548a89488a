//! [`PullRequest`] describes the changes of a pull request, by its commit and trees.
//!
//! Invariant: no text of its author counts, neither a title nor a message: its changes are the differences from its
//! merge base with `HEAD`, path by path.

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
    /// The author's name of that commit.
    pub author: String,
    /// The safetensors files that it adds.
    pub files: Vec<RequestFile>,
    /// Its state relative to the checkpoint in `HEAD`.
    pub state: Freshness,
    /// Its other changes, without shard indexes and `.gitattributes`.
    pub others: Vec<BString>,
    /// `true` if the history of this shallow clone ends before the merge base with `HEAD`, so that it is compared with
    /// its own parent.
    pub is_cut: bool,
    /// `true` if some of its changes cannot be distinguished from those of others: it is not taken.
    pub is_unclear: bool,
    /// Its merge base with `HEAD`; `None` if that is not in this clone.
    pub(in crate::actions) base: Option<ObjectId>,
    /// The commit that it is compared with, if any.
    pub(in crate::actions) from: Option<ObjectId>,
    /// The shard indexes that it adds.
    pub(in crate::actions) indices: Vec<RequestFile>,
    /// Every path that it adds or changes, with the new version.
    pub(super) brought: Vec<(BString, Version)>,
}

/// A file that a pull request adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFile {
    /// Its path.
    pub path: BString,
    /// Its pointer; `None` if it is not one, or its blob is missing.
    pub pointer: Option<Pointer>,
    /// Its version in git.
    pub version: Version,
}

/// The state of a pull request relative to the checkpoint in `HEAD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// The checkpoint is the one that it was made from.
    Current,
    /// The checkpoint has changed since.
    Stale,
}

/// The kind of a path.
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

    /// Returns `true` for the files that are taken from a pull request.
    fn is_taken(self) -> bool {
        matches!(self, Self::Safetensors | Self::Index)
    }
}

impl PullRequest {
    /// Reads the changes of the commit relative to `HEAD`.
    pub(super) fn read(
        repo: &Repo,
        relation: &Relation<'_>,
        head: ObjectId,
        number: u64,
        commit: ObjectId,
    ) -> Result<Self, Error> {
        let base = relation.base(repo, head, commit)?;
        let Compared { from, list: changes, is_cut, unclear } =
            Compared::of(repo, relation, (base, head), commit)?;
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
                // A link, or a removed file.
                (_, _) => others.push(change.path.clone()),
            }
        }
        let compared = if is_cut { from } else { base };
        let since = relation.changes(Some(compared.unwrap_or(commit)), head)?;
        let state = if since.iter().any(|change| is_source_of(change, &files)) {
            Freshness::Stale
        } else {
            Freshness::Current
        };
        let author = repo.author_of(commit)?;
        let brought = changes.into_iter().filter_map(|change| Some((change.path, change.new?))).collect();
        let is_unclear = unclear || is_cut && files.is_empty();
        Ok(Self {
            number,
            commit,
            author,
            files,
            state,
            others,
            is_cut,
            is_unclear,
            base,
            from,
            indices,
            brought,
        })
    }

    /// Returns the bytes of its safetensors files, as far as they are known.
    pub fn size(&self) -> u64 {
        self.files
            .iter()
            .filter_map(|file| file.pointer)
            .fold(0, |sum, pointer| sum.saturating_add(pointer.size))
    }

    /// Returns its safetensors files, and their shard indexes.
    pub(in crate::actions) fn taken(&self) -> impl Iterator<Item = &RequestFile> {
        self.files.iter().chain(&self.indices)
    }
}

/// The changes of a pull request, as far as they are known.
struct Compared {
    from: Option<ObjectId>,
    list: Vec<ChangedPath>,
    is_cut: bool,
    unclear: bool,
}

impl Compared {
    /// Compares with the merge base.
    fn of(
        repo: &Repo,
        relation: &Relation<'_>,
        (base, head): (Option<ObjectId>, ObjectId),
        commit: ObjectId,
    ) -> Result<Self, Error> {
        let cut = repo.shallow_commits();
        let whole = |from: Option<ObjectId>| -> Result<Self, Error> {
            Ok(Self { from, list: relation.changes(from, commit)?, is_cut: false, unclear: false })
        };
        match base {
            Some(base) if base != commit => whole(Some(base)),
            // It was taken already; the changes of its last commit are its changes.
            Some(_) if !cut.contains(&commit) => whole(repo.first_parent(commit)?),
            // Its own files are all that is known.
            Some(_) => {
                let mut all = relation.changes(None, commit)?;
                all.retain(|change| Kind::of(change.path.as_ref()).is_taken());
                Ok(Self { from: None, list: all, is_cut: true, unclear: false })
            }
            // The histories have no common commit.
            None if cut.is_empty() => whole(Some(head)),
            None => Self::cut(repo.first_parent(commit)?, relation, head, commit),
        }
    }

    /// Compares if the shallow boundary hides the merge base: the difference to `HEAD` also contains changes of others,
    /// so only the changes of its last commit are certain, and each safetensors file that `HEAD` does not have.
    fn cut(
        parent: Option<ObjectId>,
        relation: &Relation<'_>,
        head: ObjectId,
        commit: ObjectId,
    ) -> Result<Self, Error> {
        let mut list = match parent {
            Some(parent) => relation.changes(Some(parent), commit)?,
            None => Vec::new(),
        };
        let mut unclear = false;
        for change in relation.changes(Some(head), commit)? {
            let is_known = list.iter().any(|own| own.path == change.path);
            if is_known || change.new.is_none() || !Kind::of(change.path.as_ref()).is_taken() {
                continue;
            }
            unclear |= change.old.is_some();
            list.push(change);
        }
        list.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Self { from: parent.or(Some(head)), list, is_cut: true, unclear })
    }
}

impl RequestFile {
    fn read(repo: &Repo, path: &BString, version: Version) -> Result<Self, Error> {
        Ok(Self { path: path.clone(), pointer: repo.pointer(version.id)?, version })
    }
}

/// Returns `true` for a change of a checkpoint that one of these files is made from.
fn is_source_of(change: &ChangedPath, files: &[RequestFile]) -> bool {
    names::is_weight_like(change.path.as_ref())
        && files.iter().any(|file| names::safetensors(change.path.as_ref()) == file.path)
}

/// The history of a repository, by libgit2, or by git if libgit2 cannot read it.
pub(super) struct Relation<'a> {
    libgit2: Option<History>,
    git: &'a Git<'a>,
}

impl<'a> Relation<'a> {
    pub(super) fn new(repo: &Repo, git: &'a Git<'a>) -> Self {
        Self { libgit2: repo.history().ok(), git }
    }

    /// Returns the merge base. The first commit of a shallow clone names its parents, which may have been fetched with
    /// the other one.
    fn base(&self, repo: &Repo, head: ObjectId, commit: ObjectId) -> Result<Option<ObjectId>, Error> {
        if let Some(base) = self.merge_base(head, commit)? {
            return Ok(Some(base));
        }
        for cut in repo.shallow_commits() {
            if self.merge_base(cut, head)? != Some(cut) {
                continue;
            }
            for parent in repo.named_parents_of(cut)? {
                if let Some(base) = self.merge_base(parent, commit)? {
                    return Ok(Some(base));
                }
            }
        }
        Ok(None)
    }

    /// Returns a common ancestor.
    pub(super) fn merge_base(&self, one: ObjectId, other: ObjectId) -> Result<Option<ObjectId>, Error> {
        match self.libgit2.as_ref().map(|history| history.merge_base(one, other)) {
            Some(Ok(base)) => Ok(base),
            None | Some(Err(repo::Error::History { .. })) => Ok(history::merge_base(self.git, one, other)?),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Returns the paths that differ between two commits.
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
