//! Defines git's object IDs, and the versions of files at the paths of a tree.

use bstr::BString;
pub use gix::ObjectId;

/// The kind of a path's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A file.
    File,
    /// An executable file.
    Executable,
    /// A symbolic link.
    Symlink,
    /// A commit of another repository.
    Submodule,
}

/// The version at a path of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// Its kind.
    pub mode: Mode,
    /// The blob, or for a submodule the commit.
    pub id: ObjectId,
}

impl Version {
    /// Interprets a mode of a tree; `None` for a directory, or for nothing.
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
    /// The path from the top, with `/` between its parts.
    pub path: BString,
    /// The old version; `None` if the path is new.
    pub old: Option<Version>,
    /// The new version; `None` if the path was removed.
    pub new: Option<Version>,
}
