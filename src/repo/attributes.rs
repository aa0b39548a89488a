//! Determines the filter of a path, and the changes to `.gitattributes` files that give it the filter of Git LFS.
//!
//! A file exists in up to three versions: in the working tree, in the index, in `HEAD`. Each version gets the line that
//! it lacks, at its end, and nothing else from another version: unstaged changes stay unstaged, and staged changes that
//! are not ours stay out of a commit of our paths.
//!
//! Invariant: a plan is returned only if every path then has `filter=lfs` in all versions that the plan covers, and no
//! other tracked safetensors file has another filter than before. The module writes nothing.

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
    /// No line sets it.
    Unspecified,
    /// A line unsets it (`-filter`), or sets it without a name, which is not a filter either.
    Unset,
    /// `filter=lfs`
    Lfs,
    /// That of another program, such as git-crypt.
    Other(BString),
}

/// The planned changes to a `.gitattributes` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributesChange {
    /// Its path from the top of the working tree.
    pub path: BString,
    /// Its content in the working tree, if that changes.
    pub content: Option<Vec<u8>>,
    /// Its content in the index, if that changes.
    pub blob: Option<Vec<u8>>,
    /// `true` if it is executable. Unchanged.
    pub executable: bool,
    /// `true` if the file of the working tree equals that of the index, after both changes. If not, git must compare
    /// them.
    pub is_clean: bool,
    /// `true` if it has unstaged changes other than line ends.
    pub has_other_changes: bool,
}

/// The planned content of a `.gitattributes` file in a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedAttributes {
    /// Its path from the top of the working tree.
    pub path: BString,
    /// Its content: that of `HEAD`, and the missing lines.
    pub blob: Vec<u8>,
    /// `true` if it is executable. Unchanged.
    pub executable: bool,
}

impl Repo {
    /// Returns the filter that git applies when the path is added.
    ///
    /// # Errors
    /// [`Error::Git`], [`Error::Io`], or [`Error::MissingBlob`] if an attributes file cannot be read.
    pub fn filter_of(&self, path: &BStr) -> Result<Filter> {
        Ok(self.filters_among(&self.entries()?, &[path.to_owned()])?.pop().unwrap_or(Filter::Unspecified))
    }

    /// Returns the filters of many paths, for an index that was read before.
    ///
    /// # Errors
    /// As [`Repo::filter_of`].
    pub fn filters_among(&self, entries: &[Entry], paths: &[BString]) -> Result<Vec<Filter>> {
        let mut rules = Rules::new(self, entries, View::WorkTree)?;
        paths.iter().map(|path| rules.filter(path.as_ref())).collect()
    }

    /// Plans the changes that give each of these paths the filter of Git LFS, in the working tree and in the index
    /// separately: nothing if it has the filter already; `*.safetensors` at the top, as `git lfs track` writes it, if
    /// no line applies to the paths and no other tracked file would get another filter; else a line for the single
    /// path, in the file where it wins. The index gets the line of the working tree, if that has the same effect.
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
                .any(|entry| entry.path == path && entry.stage == 0 && self.is_unchanged(entry, &file));
            // git ignores other line ends only if the configuration sets that; then the file was clean.
            let is_clean = in_index == in_tree || was_clean && !has_other_changes;
            changes.push(AttributesChange { path, content, blob, executable, is_clean, has_other_changes });
        }
        Ok(changes)
    }

    /// Plans the further changes of a commit of only these paths that give them the filter of Git LFS: the lines of the
    /// index that decide about them, appended to the content of `HEAD`.
    ///
    /// # Errors
    /// As [`Repo::plan_attributes`], whose changes must already be in the index.
    pub fn plan_committed_attributes(&self, paths: &[BString]) -> Result<Vec<CommittedAttributes>> {
        let entries = self.entries()?;
        let mut index = Rules::new(self, &entries, View::Index)?;
        let mut head = Rules::new(self, &entries, View::Head)?;
        head.give_lfs(paths, Some(&mut index))?;
        committed(&head)
    }

    /// Plans the changes to the attributes files of a commit's tree, given by its entries, that give these paths the
    /// filter of Git LFS in every clone: the line of the index, if that has the same effect.
    ///
    /// # Errors
    /// As [`Repo::plan_attributes`].
    pub fn plan_attributes_in(&self, tree: &[Entry], paths: &[BString]) -> Result<Vec<CommittedAttributes>> {
        let entries = self.entries()?;
        let mut index = Rules::new(self, &entries, View::Index)?;
        let mut rules = Rules::new(self, tree, View::Index)?.elsewhere();
        rules.give_lfs(paths, Some(&mut index))?;
        committed(&rules)
    }
}

/// Returns the files that rules propose to commit.
fn committed(rules: &Rules<'_>) -> Result<Vec<CommittedAttributes>> {
    let file = |(dir, blob): (&BString, &Vec<u8>)| {
        let executable = rules.is_executable(dir.as_ref())?;
        Ok(CommittedAttributes { path: file_in(dir.as_ref()), blob: blob.clone(), executable })
    };
    rules.proposed.iter().map(file).collect()
}

/// Returns `true` if the file of the working tree equals that of the index. Its line ends may be those of another
/// system, if the index has only line feeds.
fn same_text(in_index: Option<&[u8]>, in_tree: Option<&[u8]>) -> bool {
    use bstr::ByteSlice as _;
    match (in_index, in_tree) {
        (Some(index), Some(tree)) if !index.contains(&b'\r') => tree.replace("\r\n", "\n") == index,
        (index, tree) => index == tree,
    }
}
