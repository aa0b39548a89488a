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
    /// The history of this shallow clone ends before the commit that it and `HEAD` come from, so that it is compared with
    /// its own parent.
    pub is_cut: bool,
    /// Something of it cannot be told from what others have changed since: it is not taken.
    pub(super) is_unclear: bool,
    /// The commit that it and `HEAD` come from; `None` if that is not here.
    pub(in crate::actions) base: Option<ObjectId>,
    /// The commit that it is compared with, if there is one.
    pub(in crate::actions) from: Option<ObjectId>,
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

impl Kind {
    /// Returns `true` for what is taken of a pull request.
    fn is_taken(self) -> bool {
        matches!(self, Self::Safetensors | Self::Index)
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
                // A link, or a file that is taken away.
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

/// What a pull request changes, as far as it is known.
struct Compared {
    from: Option<ObjectId>,
    list: Vec<ChangedPath>,
    is_cut: bool,
    unclear: bool,
}

impl Compared {
    /// Against the commit that it and `HEAD` come from.
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
            // It was taken already; what its last commit changed is what it brought.
            Some(_) if !cut.contains(&commit) => whole(repo.first_parent(commit)?),
            // All that there is of it is its files.
            Some(_) => {
                let mut all = relation.changes(None, commit)?;
                all.retain(|change| Kind::of(change.path.as_ref()).is_taken());
                Ok(Self { from: None, list: all, is_cut: true, unclear: false })
            }
            // Nothing is common to both.
            None if cut.is_empty() => whole(Some(head)),
            None => Self::cut(repo.first_parent(commit)?, relation, head, commit),
        }
    }

    /// Where the common past is cut off, what others have changed since is in the difference to `HEAD` as well: certain is
    /// what its last commit changes, and each safetensors file that `HEAD` does not have.
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

    /// A commit that both come from. The first commit of a shallow clone names its parents, which may have come with the
    /// other one.
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
