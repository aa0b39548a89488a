//! [`UnfitDriver`] states why git's own diff is not set up to list tensors, [`UnfitHooks`] why hooks are not installed.

use std::path::PathBuf;

use super::super::guard::install::Tool;

/// Why the driver of git's own diff is not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitDriver {
    /// git would pass the content of files to it, instead of their pointers.
    #[error("Git LFS smudges, so that git would copy or download each version of a file ({key} = {value})")]
    Smudges {
        /// The setting that causes it.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// Another driver is set.
    #[error("diff.lfs.textconv is set to another driver ({value})")]
    Taken {
        /// Its value.
        value: String,
    },
    /// git would keep the output from before an object was downloaded.
    #[error("diff.lfs.cachetextconv is set, which would keep what was listed before an object was here")]
    Cached,
}

/// Why hooks are not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitHooks {
    /// A hook manager writes the hooks of the repository.
    #[error("hooks are managed by {}; nothing installed", tool.name())]
    Managed {
        /// The hook manager.
        tool: Tool,
    },
    /// `core.hooksPath` is a file: git runs no hooks.
    #[error("cannot install hooks: core.hooksPath is not a directory: {}", path.display())]
    Off {
        /// Its value.
        path: PathBuf,
    },
    /// An existing hook cannot be kept.
    #[error("cannot install {}: not a regular file", path.display())]
    Exists {
        /// The name that it would get.
        path: PathBuf,
    },
}
