//! [`Harmless`]: which tracked files are nothing that a conversion knows, by their stat data and one read of their first bytes.
//!
//! Invariant: only what [`detect`](super::detected::detect) calls something else by any name that promises nothing, whether it
//! is read as the index has it or as it lies in the working tree. Where this is not certain the answer is no, and the file is
//! looked at as any other. No blob of git is read: while the stat data are those of the index, git takes a file for what it has
//! of it, so a pointer is behind it only if it is one itself or has the bytes of its object.

use bstr::{BStr, BString, ByteSlice as _};

use super::names;
use crate::checkpoint::Kind;
use crate::lfs::{Target, pointer, regular};
use crate::read_at::{FileSource, ReadAt as _};
use crate::repo::{Entry, FileStat, Mode, Repo};

/// How much is read: more than a pointer can have in a working tree, where a character may have four bytes, and each line end
/// one character more.
const HEAD: usize = 8 * pointer::MAX_LEN + 8;

/// What is looked at, and how far it is known.
pub(super) struct Harmless<'a> {
    repo: &'a Repo,
    /// The stat data of the index: a file that is not older may have changed since.
    index: Option<FileStat>,
    /// The directory of the file before, and whether links lead there.
    directory: Option<(BString, bool)>,
    head: [u8; HEAD],
}

impl<'a> Harmless<'a> {
    pub(super) fn new(repo: &'a Repo) -> Self {
        Self { repo, index: repo.index_stat(), directory: None, head: [0; HEAD] }
    }

    /// Returns `true` if the file of an entry is certainly nothing to convert, to skip or to speak of.
    pub(super) fn is(&mut self, entry: &Entry) -> bool {
        let path = entry.path.as_bstr();
        let is_file = matches!(entry.mode, Mode::File | Mode::Executable);
        let says_something =
            names::is_weight_like(path) || names::is_distributed(path) || names::is_index(path);
        if !is_file || says_something {
            return false;
        }
        let Ok(target) = self.repo.target(path) else { return false };
        let file = target.path();
        let is_as_staged =
            |now: FileStat| entry.has_stat(&now) && self.index.is_some_and(|index| now.is_older_than(&index));
        let is_older = FileStat::of(&file).is_some_and(is_as_staged);
        is_older
            && self.is_in_directory(path, &target)
            && regular::open_itself(&file).and_then(FileSource::new).is_ok_and(|file| self.reads(&file))
    }

    /// Returns `true` if no link stands in the way to a file: asked once for each directory, as the index is sorted.
    fn is_in_directory(&mut self, path: &BStr, target: &Target) -> bool {
        let directory = names::directory(path);
        match &self.directory {
            Some((known, answer)) if known == directory => *answer,
            _ => {
                let answer = matches!(target.metadata(), Ok(Some(_)));
                self.directory = Some((directory.to_owned(), answer));
                answer
            }
        }
    }

    /// Returns `true` if the first bytes say that it is something else.
    fn reads(&mut self, file: &FileSource) -> bool {
        let len = usize::try_from(file.len()).unwrap_or(HEAD).min(HEAD);
        let Some(head) = self.head.get_mut(..len) else { return false };
        file.read_exact_at(head, 0).is_ok() && is_something_else(head)
    }
}

/// Returns `true` for the first bytes of a file that is no container of torch, and no pointer, in whatever encoding a
/// checkout may have written it.
fn is_something_else(head: &[u8]) -> bool {
    let may_be_pointer =
        || head.len() < HEAD && (head.contains(&0) || head.to_str().is_err() || head.contains_str("sha256:"));
    match Kind::of_head(head) {
        Kind::Zip | Kind::Legacy | Kind::Tar | Kind::Pointer | Kind::Conflict => false,
        _ => !may_be_pointer(),
    }
}
