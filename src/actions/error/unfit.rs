//! [`UnfitDriver`]: why git's own diff is not set up to list tensors.

/// Why the driver of git's own diff is not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitDriver {
    /// git would give it the content of files, and not their pointers.
    #[error("Git LFS smudges, so that git would copy or download each version of a file ({key} = {value})")]
    Smudges {
        /// The setting that says so.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// Another one is set.
    #[error("diff.lfs.textconv is set to another driver ({value})")]
    Taken {
        /// It.
        value: String,
    },
    /// git would keep what it said before an object was here.
    #[error("diff.lfs.cachetextconv is set, which would keep what was listed before an object was here")]
    Cached,
}
