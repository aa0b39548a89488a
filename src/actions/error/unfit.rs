//! [`UnfitDriver`] states why git's own diff is not set up to list tensors.

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
