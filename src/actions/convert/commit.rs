//! The commit of what was converted, made by git so that hooks and signing run.

use std::collections::BTreeSet;
use std::ffi::OsString;

use bstr::{BString, ByteSlice as _};

use super::super::{Error, Note};
use super::repository::Run;
use crate::git::{self, Git};

impl Run<'_> {
    /// The tracked `.gitattributes` that speak of these paths: one may be staged by an earlier run, and a
    /// commit of pointers without it would be one of plain text files.
    fn attributes_of(&self, paths: &[BString]) -> Vec<BString> {
        let mut found = BTreeSet::new();
        for path in paths {
            let slashes = path.find_iter("/").map(|slash| slash + 1);
            for end in std::iter::once(0).chain(slashes) {
                found.insert(BString::from([&path[..end], b".gitattributes"].concat()));
            }
        }
        found
            .into_iter()
            .filter(|path| self.tracked.contains(path.as_bstr()) && !paths.contains(path))
            .collect()
    }

    /// Commits what was touched, and nothing else that is staged. Returns the commit.
    pub(super) fn commit(&self) -> Result<Option<String>, Error> {
        let Some(message) = self.options.commit.as_ref().filter(|_| !self.touched.is_empty()) else {
            return Ok(None);
        };
        let subject = message.as_deref().unwrap_or("Convert pickle weights to safetensors");
        let mut text = format!("{}\n\n", subject.trim_end());
        for (path, oid) in &self.from {
            // A path with a line feed must not become a line of its own.
            let path = path.to_str_lossy().replace(char::is_control, "\u{fffd}");
            text = format!("{text}Converted-From: {path} sha256:{oid}\n");
        }
        let paths = [self.touched.clone(), self.attributes_of(&self.touched)].concat();
        let index = self.repo.partial_index(&paths)?;
        let tell = |arguments: &[OsString]| self.reporter.command(arguments);
        let git = Git::at(self.repo.work_dir())?.observed(Some(&tell));
        let (id, _said) = git::commit::commit(&git, Some(index.path()), &text)?;
        self.reporter.note(&Note::Committed { id: id.clone() });
        Ok(Some(id))
    }
}
