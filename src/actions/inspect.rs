//! The tensors of a checkpoint or a safetensors file: headers only.
//!
//! A target is a file, or `REV:PATH` for what a commit has there; an existing file wins. A pointer stands for its
//! object in the LFS store. Nothing is downloaded, and no tensor byte is read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice as _};

use super::convert::{Source, class_of};
use super::{Error, names};
use crate::checkpoint::{self, DType, Ignored, Kind, Tensor, ties};
use crate::lfs::Pointer;
use crate::read_at::ReadAt;
use crate::repo::{self, ObjectId, Repo};
use crate::{safetensors, scan};

/// A blob that a commit holds itself, without Git LFS, is read whole; at most so many bytes.
const MAX_BLOB: u64 = 1 << 30;
/// A `config.json` has at most so many bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// What to look at.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory that relative paths and `REV:PATH` start from.
    pub cwd: PathBuf,
    /// A path, or `REV:PATH`.
    pub target: OsString,
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
    pub metadata: BTreeMap<String, String>,
    /// What a checkpoint holds beside the weights.
    pub ignored: Vec<Ignored>,
    /// A name that is known to execute, if the pickle has one. Such a file is not converted.
    pub dangerous: Option<String>,
}

impl Inspection {
    /// The bytes of all tensors, those of a tied set once.
    pub fn bytes(&self) -> u64 {
        self.own().map(|row| row.bytes).fold(0, u64::saturating_add)
    }

    /// The elements of all tensors, those of a tied set once.
    pub fn parameters(&self) -> u64 {
        let elements =
            |row: &Row| row.shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size));
        self.own().map(elements).fold(0, u64::saturating_add)
    }

    /// How many tensors of each dtype there are, and their bytes, those of a tied set once.
    pub fn by_dtype(&self) -> BTreeMap<DType, (usize, u64)> {
        let mut totals = BTreeMap::new();
        for row in self.own() {
            let (tensors, bytes): &mut (usize, u64) = totals.entry(row.dtype).or_default();
            (*tensors, *bytes) = (*tensors + 1, bytes.saturating_add(row.bytes));
        }
        totals
    }

    fn own(&self) -> impl Iterator<Item = &Row> {
        self.tensors.iter().filter(|row| row.tied_to.is_none())
    }
}

/// Reads the headers of the target.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NoObject`] for a pointer without its object, what the file is refused for, or
/// what the repository and the system report.
pub fn inspect(options: &Options) -> Result<Inspection, Error> {
    let path = options.cwd.join(&options.target);
    if path.symlink_metadata().is_ok() {
        return file(&path, options);
    }
    let (rev, name) = split(&options.target).ok_or(Error::NotFound)?;
    let repo = Repo::discover(&options.cwd)?.ok_or(Error::NoRepository)?;
    let name = in_repo(&repo, &options.cwd, name)?;
    let blob = blob_at(&repo, rev, name.as_ref())?.ok_or(Error::NotFound)?;
    let content = repo.blob(blob, MAX_BLOB)?;
    let class = || {
        let config = blob_at(&repo, rev, names::beside(name.as_ref(), b"config.json").as_ref()).ok()??;
        architecture(&repo.blob(config, MAX_CONFIG).ok()?)
    };
    match Pointer::parse(&content) {
        Ok(pointer) => {
            let source = Source::object(Some(&repo), name.as_ref(), pointer)?;
            read(&source.file, options, class)
        }
        Err(_) => read(&content, options, class),
    }
}

fn file(path: &Path, options: &Options) -> Result<Inspection, Error> {
    let name = options.target.as_encoded_bytes().as_bstr();
    let source = match Source::plain(None, name, path.to_owned()) {
        // Only a pointer needs the repository.
        Err(Error::NoObject { oid, size }) => {
            let repo = Repo::discover(path.parent().unwrap_or(path))?;
            Source::object(repo.as_ref(), name, Pointer { oid, size })?
        }
        source => source?,
    };
    read(&source.file, options, || class_of(None, name, path))
}

fn read(
    source: &dyn ReadAt,
    options: &Options,
    class: impl FnOnce() -> Option<String>,
) -> Result<Inspection, Error> {
    match Kind::of(source).map_err(checkpoint::Error::from)? {
        Kind::Safetensors => read_safetensors(source),
        _ => read_checkpoint(source, options.key.clone(), class),
    }
}

fn read_safetensors(source: &dyn ReadAt) -> Result<Inspection, Error> {
    let (tensors, metadata) = safetensors::read(source)?;
    let tensors = tensors.into_iter().map(|info| Row {
        name: info.name,
        dtype: info.dtype,
        shape: info.shape,
        bytes: info.bytes,
        tied_to: None,
    });
    Ok(Inspection {
        format: "safetensors",
        size: source.len(),
        tensors: tensors.collect(),
        metadata,
        ignored: Vec::new(),
        dangerous: None,
    })
}

fn read_checkpoint(
    source: &dyn ReadAt,
    key: Option<String>,
    class: impl FnOnce() -> Option<String>,
) -> Result<Inspection, Error> {
    let options = checkpoint::Options { key, ..checkpoint::Options::default() };
    let plan = checkpoint::plan(source, &options)?;
    let aliases = class().map(|class| ties::Policy::for_architecture(&class).aliases).unwrap_or_default();
    let ties = ties::resolve(&plan, &ties::Policy { aliases, keep: BTreeSet::new() })?;
    let row = |tensor: &Tensor| Row {
        name: tensor.name.clone(),
        dtype: tensor.dtype,
        shape: tensor.safetensors_shape(),
        bytes: tensor.bytes(),
        tied_to: ties.dropped.get(&tensor.name).cloned(),
    };
    Ok(Inspection {
        format: plan.format.name(),
        size: source.len(),
        tensors: plan.tensors.iter().map(row).collect(),
        metadata: BTreeMap::new(),
        dangerous: scan::dangerous(&plan.globals).map(|named| format!("{}.{}", named.module, named.name)),
        ignored: plan.ignored,
    })
}

/// The class of the model, as `architectures[0]` of a `config.json` names it.
fn architecture(config: &[u8]) -> Option<String> {
    let config: serde_json::Value = serde_json::from_slice(config).ok()?;
    Some(config.get("architectures")?.get(0)?.as_str()?.to_owned())
}

/// `REV` and `PATH`: as in git, the first colon that is in no braces parts them.
fn split(target: &OsStr) -> Option<(&str, &[u8])> {
    let target = target.as_encoded_bytes();
    let mut depth = 0_usize;
    let at = target.iter().position(|byte| {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *byte == b':' && depth == 0
    })?;
    let (rev, path) = target.split_at(at);
    Some((std::str::from_utf8(rev).ok()?, path.get(1..)?))
}

/// As in git, a path counts from the top unless it begins with `./` or `../`.
fn in_repo(repo: &Repo, cwd: &Path, path: &[u8]) -> Result<BString, Error> {
    let is_relative = path.starts_with(b"./") || path.starts_with(b"../");
    match path.to_os_str() {
        Ok(path) if is_relative => Ok(repo.path_of(cwd, path)?),
        _ => Ok(path.into()),
    }
}

/// The blob of a path in a revision; in the index, if the revision is empty.
fn blob_at(repo: &Repo, rev: &str, path: &BStr) -> Result<Option<ObjectId>, Error> {
    if !rev.is_empty() {
        return Ok(repo.blob_at(rev, path)?);
    }
    let mut entries = repo.entries()?.into_iter();
    let is_file = |mode| matches!(mode, repo::Mode::File | repo::Mode::Executable);
    Ok(entries
        .find(|entry| entry.path == path && entry.stage == 0 && is_file(entry.mode))
        .map(|entry| entry.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_ends_at_the_first_colon_outside_of_braces() {
        let split = |target: &'static str| split(OsStr::new(target));
        assert_eq!(split("HEAD:a/b.bin"), Some(("HEAD", b"a/b.bin".as_slice())));
        assert_eq!(split("HEAD^{/fix: it}:a"), Some(("HEAD^{/fix: it}", b"a".as_slice())));
        assert_eq!(split(":a:b"), Some(("", b"a:b".as_slice())));
        assert_eq!(split("a.bin"), None);
    }

    #[test]
    fn the_class_of_a_model() {
        assert_eq!(architecture(br#"{"architectures":["Bert"]}"#).as_deref(), Some("Bert"));
        assert_eq!(architecture(b"{}"), None);
    }
}
