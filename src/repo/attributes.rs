//! Which filter a path has, and what has to be added to the `.gitattributes` files so that it has that of Git LFS.
//!
//! A file stands up to three times: in the work tree, in the index, in `HEAD`. Each gets the line that it lacks, at
//! the end of what it holds, and nothing of what another holds besides: what a person did not stage stays unstaged,
//! and what is staged and not ours stays out of a commit of our paths.
//!
//! Invariant: a plan is returned only if every path ends with `filter=lfs` wherever the plan reaches, and no tracked
//! safetensors file besides them has another filter than before. Nothing is written here.

mod lines;
mod rules;
mod treatment;
mod trees;

use std::collections::BTreeSet;

use bstr::{BStr, BString};

pub use treatment::{Attributes, Origin, Treatment, Treatments};
pub use trees::Trees;

#[cfg(doc)]
use super::Error;
use super::{Entry, Repo, Result};
use rules::{Rules, View, file_in};

/// The filter of a path: its attribute `filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// No line speaks of it.
    Unspecified,
    /// A line takes it away (`-filter`), or sets it without a name, which is no filter either.
    Unset,
    /// `filter=lfs`
    Lfs,
    /// Another program's, such as git-crypt's.
    Other(BString),
}

/// A `.gitattributes` file as it should become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributesChange {
    /// The file, from the top of the work tree.
    pub path: BString,
    /// Its content in the work tree, if that changes.
    pub content: Option<Vec<u8>>,
    /// Its content in the index, if that changes.
    pub blob: Option<Vec<u8>>,
    /// `true` if it may be run. As it was.
    pub executable: bool,
    /// `true` if the file of the working tree is what the index has, once both are as they should become. If not, git
    /// has to compare them.
    pub is_clean: bool,
    /// `true` if there are changes that are not staged, more than other line ends.
    pub has_other_changes: bool,
}

/// A `.gitattributes` file as a commit should have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedAttributes {
    /// The file, from the top of the work tree.
    pub path: BString,
    /// Its content: that of `HEAD`, and the lines that are missing.
    pub blob: Vec<u8>,
    /// `true` if it may be run. As it was.
    pub executable: bool,
}

impl Repo {
    /// The filter of a path, as git sees it when the path is added.
    ///
    /// # Errors
    /// [`Error::Git`], [`Error::Io`], or [`Error::MissingBlob`] if an attributes file cannot be read.
    pub fn filter_of(&self, path: &BStr) -> Result<Filter> {
        Ok(self.filters_of(&[path.to_owned()])?.pop().unwrap_or(Filter::Unspecified))
    }

    /// The filters of many paths, for one reading of the index.
    ///
    /// # Errors
    /// As [`Repo::filter_of`].
    pub fn filters_of(&self, paths: &[BString]) -> Result<Vec<Filter>> {
        self.filters_among(&self.entries()?, paths)
    }

    /// The filters of many paths, for an index that was read before.
    ///
    /// # Errors
    /// As [`Repo::filter_of`].
    pub fn filters_among(&self, entries: &[Entry], paths: &[BString]) -> Result<Vec<Filter>> {
        let mut rules = Rules::new(self, entries, View::WorkTree)?;
        paths.iter().map(|path| rules.filter(path.as_ref())).collect()
    }

    /// What has to change so that every one of these paths gets the filter of Git LFS, in the work tree and in the
    /// index, each by itself: nothing where it has it already; `*.safetensors` at the top, as `git lfs track` writes
    /// it, where no line speaks of the paths and no other tracked file would change its filter; else a line for the
    /// path alone, in the file where it wins. The index gets the line that the work tree has, if that serves.
    ///
    /// # Errors
    /// [`Error::OtherFilter`], [`Error::AttributesOverridden`], [`Error::AttributesSymlink`],
    /// [`Error::AttributesLineTooLong`], or as [`Repo::filter_of`].
    pub fn plan_attributes(&self, paths: &[BString]) -> Result<Vec<AttributesChange>> {
        let entries = self.entries()?;
        let mut tree = Rules::new(self, &entries, View::WorkTree)?;
        tree.give_lfs(paths, None)?;
        let mut index = Rules::new(self, &entries, View::Index)?;
        index.give_lfs(paths, Some(&mut tree))?;
        let dirs: BTreeSet<_> = tree.proposed.keys().chain(index.proposed.keys()).cloned().collect();
        let mut changes = Vec::new();
        for dir in &dirs {
            tree.load(dir.as_ref())?;
            index.load(dir.as_ref())?;
            let new = |rules: &Rules<'_>| rules.proposed.get(dir).cloned();
            let (content, blob) = (new(&tree), new(&index));
            let in_index = blob.as_deref().or(index.file(dir.as_ref()));
            let in_tree = content.as_deref().or(tree.file(dir.as_ref()));
            let has_other_changes = !same_text(in_index, in_tree);
            let (path, executable) = (file_in(dir.as_ref()), index.is_executable(dir.as_ref())?);
            let file = self.target(path.as_ref())?.path();
            let was_clean = entries
                .iter()
                .any(|entry| entry.path == path && entry.stage == 0 && entry.is_unchanged(&file));
            // Other line ends are none to git only where the configuration says so; then the file was clean.
            let is_clean = in_index == in_tree || was_clean && !has_other_changes;
            changes.push(AttributesChange { path, content, blob, executable, is_clean, has_other_changes });
        }
        Ok(changes)
    }

    /// What a commit of these paths alone has to change, beside them, so that they have the filter of Git LFS in it:
    /// the lines of the index that decide about them, at the end of what `HEAD` has.
    ///
    /// # Errors
    /// As [`Repo::plan_attributes`], of which the index must have the changes already.
    pub fn plan_committed_attributes(&self, paths: &[BString]) -> Result<Vec<CommittedAttributes>> {
        let entries = self.entries()?;
        let mut index = Rules::new(self, &entries, View::Index)?;
        let mut head = Rules::new(self, &entries, View::Head)?;
        head.give_lfs(paths, Some(&mut index))?;
        let file = |(dir, blob): (&BString, &Vec<u8>)| {
            let executable = head.is_executable(dir.as_ref())?;
            Ok(CommittedAttributes { path: file_in(dir.as_ref()), blob: blob.clone(), executable })
        };
        head.proposed.iter().map(file).collect()
    }
}

impl Repo {
    /// What has to change in the attributes files of a commit's tree, given by its entries, so that these paths have the
    /// filter of Git LFS in every clone of it: the line that the index has for them, where that serves.
    ///
    /// # Errors
    /// As [`Repo::plan_attributes`].
    pub fn plan_attributes_in(&self, tree: &[Entry], paths: &[BString]) -> Result<Vec<CommittedAttributes>> {
        let entries = self.entries()?;
        let mut index = Rules::new(self, &entries, View::Index)?;
        let mut rules = Rules::new(self, tree, View::Index)?.elsewhere();
        rules.give_lfs(paths, Some(&mut index))?;
        let file = |(dir, blob): (&BString, &Vec<u8>)| {
            let executable = rules.is_executable(dir.as_ref())?;
            Ok(CommittedAttributes { path: file_in(dir.as_ref()), blob: blob.clone(), executable })
        };
        rules.proposed.iter().map(file).collect()
    }
}

/// Returns `true` if the file of the working tree has what the index has. Its line ends may be those of another system, where the index
/// has line feeds alone.
fn same_text(in_index: Option<&[u8]>, in_tree: Option<&[u8]>) -> bool {
    use bstr::ByteSlice as _;
    match (in_index, in_tree) {
        (Some(index), Some(tree)) if !index.contains(&b'\r') => tree.replace("\r\n", "\n") == index,
        (index, tree) => index == tree,
    }
}
