//! The commit of what was converted, made by git so that hooks and signing run.

use bstr::ByteSlice as _;

use super::super::{Error, Note};
use super::repository::Run;
use crate::git;

impl Run<'_> {
    /// Commits what was touched, and nothing else that is staged. Returns the commit.
    pub(super) fn commit(&self) -> Result<Option<String>, Error> {
        let Some(message) = self.options.commit.as_ref().filter(|_| !self.options.dry_run) else {
            return Ok(None);
        };
        // A commit of pointers without their line would be one of plain text files.
        let attributes = self.repo.plan_committed_attributes(&self.ledger.pointers)?;
        if attributes.is_empty() && self.repo.is_committed(&self.ledger.touched)? {
            if self.ledger.has_result() {
                self.reporter.note(&Note::NothingToCommit);
            }
            return Ok(None);
        }
        let subject = message.as_deref().unwrap_or("Convert pickle weights to safetensors");
        let mut text = format!("{}\n\n", subject.trim_end());
        for (path, oid) in &self.ledger.from {
            // A path with a line feed must not become a line of its own.
            let path = path.to_str_lossy().replace(char::is_control, "\u{fffd}");
            text = format!("{text}Converted-From: {path} sha256:{oid}\n");
        }
        let index = self.repo.partial_index(&self.ledger.touched, &attributes)?;
        let git = self.workspace.session.git(self.repo.work_dir())?;
        let (id, _said) = git::commit::commit(&git, Some(index.path()), &text)?;
        self.reporter.note(&Note::Committed { id: id.clone() });
        Ok(Some(id))
    }
}
