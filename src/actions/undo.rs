//! [`Undo`]: names of the work tree that were given, and can be taken back.

use bstr::{BStr, BString, ByteSlice as _};

use super::Error;
use crate::lfs::Kept;
use crate::repo::Repo;

/// The names that were given, and what had them before.
pub(super) struct Undo<'a> {
    repo: &'a Repo,
    given: Vec<(BString, Option<Kept>)>,
}

impl<'a> Undo<'a> {
    /// With nothing to take back.
    pub(super) fn new(repo: &'a Repo) -> Self {
        Self { repo, given: Vec::new() }
    }

    /// From here on nothing is taken back.
    pub(super) fn keep(&mut self) {
        self.given.clear();
    }

    /// Gives a name by `publish`, and keeps what had it before.
    pub(super) fn give<T>(
        &mut self,
        path: &BStr,
        publish: impl FnOnce() -> Result<T, Error>,
    ) -> Result<(), Error> {
        let before = self.repo.keep(path)?;
        let is_new = before.is_none();
        if !is_new {
            self.given.push((path.to_owned(), before));
        }
        publish()?;
        // A name that was not given may be somebody else's by now.
        if is_new {
            self.given.push((path.to_owned(), None));
        }
        Ok(())
    }

    /// Writes a small file.
    pub(super) fn write(&mut self, path: &BStr, content: &[u8]) -> Result<(), Error> {
        let repo = self.repo;
        self.give(path, || Ok(repo.write_file(path, content, true)?))
    }

    /// Takes all back, the last first. What cannot be taken back stays as the new one, which is whole.
    pub(super) fn all(self) {
        for (path, before) in self.given.into_iter().rev() {
            let _stays_new = match before {
                Some(kept) => kept.restore().map_err(Error::from),
                None => self.repo.remove_file(path.as_bstr()).map_err(Error::from),
            };
        }
    }
}
