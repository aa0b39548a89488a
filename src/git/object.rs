//! What git names and keeps: object ids, and what is at a path of a tree.

use bstr::BString;
pub use gix::ObjectId;

/// What kind of thing is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A file.
    File,
    /// A file that may be run.
    Executable,
    /// A symbolic link.
    Symlink,
    /// A commit of another repository.
    Submodule,
}

/// What is at a path of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// What kind of thing.
    pub mode: Mode,
    /// The blob, or for a submodule the commit.
    pub id: ObjectId,
}

impl Version {
    /// Of a mode as trees have it; `None` for a directory, or for nothing.
    pub fn new(mode: u32, id: ObjectId) -> Option<Self> {
        let mode = match mode & 0o170_000 {
            0o100_000 if mode & 0o111 != 0 => Mode::Executable,
            0o100_000 => Mode::File,
            0o120_000 => Mode::Symlink,
            0o160_000 => Mode::Submodule,
            _ => return None,
        };
        Some(Self { mode, id })
    }
}

/// A path that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPath {
    /// From the top, `/` between its parts.
    pub path: BString,
    /// What it was: `None` if it is new.
    pub old: Option<Version>,
    /// What it is: `None` if it is gone.
    pub new: Option<Version>,
}
