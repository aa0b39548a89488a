//! The tensors of a checkpoint or a safetensors file: headers only.

use std::path::PathBuf;

use crate::checkpoint::DType;

use super::Error;

/// What to look at.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory that relative paths and `REV:PATH` start from.
    pub cwd: PathBuf,
    /// A path, or `REV:PATH`.
    pub target: std::ffi::OsString,
    /// The dict to take, as `--key` of convert.
    pub key: Option<String>,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// The size of each dimension in elements.
    pub shape: Vec<u64>,
    /// How many bytes it has.
    pub bytes: u64,
    /// The name that holds its values, if it is tied to another.
    pub tied_to: Option<String>,
}

/// What a file holds.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// `zip`, `legacy` or `safetensors`.
    pub format: &'static str,
    /// The size of the file in bytes.
    pub size: u64,
    /// The tensors, in the order of the file.
    pub tensors: Vec<Row>,
    /// Header metadata of a safetensors file, sorted.
    pub metadata: std::collections::BTreeMap<String, String>,
    /// What a checkpoint holds beside the weights.
    pub ignored: Vec<crate::checkpoint::Ignored>,
}

/// Reads the headers of the target.
///
/// # Errors
/// [`Error`].
pub fn inspect(_options: &Options) -> Result<Inspection, Error> {
    Err(Error::NotFound)
}
