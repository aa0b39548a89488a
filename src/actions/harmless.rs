//! [`Harmless`] detects tracked files that a conversion can ignore, by their stat data and one read of their first
//! bytes.
//!
//! Invariant: it detects only files that [`detect`](super::detected::detect) classifies as another format under any
//! name that does not indicate weights, whether the file is read from the index or from the working tree. If this is
//! not certain, the answer is no, and the file is handled as any other. No blob of git is read: while the stat data
//! match the index, git considers the file unchanged, so the file is under a pointer only if it is one itself or has
//! the bytes of its object.

use bstr::{BStr, BString, ByteSlice as _};

use super::names;
use crate::checkpoint::Kind;
use crate::lfs::{Target, directory, pointer};
use crate::read_at::{FileSource, ReadAt as _};
use crate::repo::{Entry, FileStat, Mode, Repo};

/// How many bytes are read: more than a pointer can have in a working tree, where a character may have four bytes, and
/// each line end one more character.
const HEAD: usize = 8 * pointer::MAX_LEN + 8;

/// The state of the detection.
pub(super) struct Harmless<'a> {
    repo: &'a Repo,
    /// The stat data of the index: a file that is not older may have changed since.
    index: Option<FileStat>,
    /// The directory of the previous file, and whether links lead there.
    directory: Option<(BString, bool)>,
    head: [u8; HEAD],
}

impl<'a> Harmless<'a> {
    pub(super) fn new(repo: &'a Repo) -> Self {
        Self { repo, index: repo.index_stat(), directory: None, head: [0; HEAD] }
    }

    /// Returns `true` if the file of an entry certainly needs no conversion and no note.
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
            && directory::open_itself(&file).and_then(FileSource::new).is_ok_and(|file| self.reads(&file))
    }

    /// Returns `true` if no link is on the way to a file: checked once per directory, because the index is sorted.
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

    /// Returns `true` if the first bytes show another format.
    fn reads(&mut self, file: &FileSource) -> bool {
        let len = usize::try_from(file.len()).unwrap_or(HEAD).min(HEAD);
        let Some(head) = self.head.get_mut(..len) else { return false };
        file.read_exact_at(head, 0).is_ok() && is_something_else(head)
    }
}

/// Returns `true` for the first bytes of a file that is neither a PyTorch container nor a pointer, in any encoding that
/// a checkout may have written.
fn is_something_else(head: &[u8]) -> bool {
    let may_be_pointer =
        || head.len() < HEAD && (head.contains(&0) || head.to_str().is_err() || head.contains_str("sha256:"));
    match Kind::of_head(head) {
        Kind::Zip | Kind::Legacy | Kind::Tar | Kind::Pointer | Kind::Conflict => false,
        _ => !may_be_pointer(),
    }
}
