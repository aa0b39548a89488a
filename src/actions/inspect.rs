//! Lists the tensors of a checkpoint or a safetensors file, by its headers only.
//!
//! A target is a file, `REV:PATH` for a file of a commit, `OWNER/NAME[@REV]:PATH` or `NAME@REV:PATH` for a file on the
//! Hub, or a URL; an existing file has priority, then a revision. A pointer stands for its object, in LFS storage or
//! else on its server. The headers of a file on a server are read by ranges; no tensor byte is read, and nothing is
//! stored.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice as _};

use super::content::{CONFIG_LIMIT, LocalFile, class, class_beside};
use super::hub_file::HubFile;
use super::lfs_remote::LfsRemote;
use super::servers::Session;
use super::{Error, Reporter, Servers, names};
use crate::checkpoint::{self, DType, Headers, Ignored, Kind, Note, Tensor, ties};
use crate::lfs::Pointer;
use crate::read_at::{FileSource, ReadAt};
use crate::recipe;
use crate::repo::{self, ObjectId, Repo};
use crate::safetensors::{self, shard};

/// The most bytes of a blob without Git LFS, which is read completely.
const MAX_BLOB: u64 = 1 << 30;

/// The options of an inspection.
#[derive(Debug, Clone)]
pub struct Options {
    /// The base of relative paths and of `REV:PATH`.
    pub cwd: PathBuf,
    /// A path, `REV:PATH`, `MODEL[@REV]:PATH` or a URL.
    pub target: OsString,
    /// How servers are contacted.
    pub servers: Servers,
    /// The key of the state dict, as for `--key` of convert.
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
    /// The name that has its values, if it is tied to another.
    pub tied_to: Option<String>,
}

/// The contents of a file.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// `zip`, `legacy`, `tar` or `safetensors`.
    pub format: &'static str,
    /// The size of the file in bytes.
    pub size: u64,
    /// The tensors, in the order of the file.
    pub tensors: Vec<Row>,
    /// Header metadata of a safetensors file, sorted.
    pub metadata: BTreeMap<String, String>,
    /// The contents of a checkpoint other than weights.
    pub ignored: Vec<Ignored>,
    /// Facts about how a checkpoint was read.
    pub notes: Vec<Note>,
    /// The shards of a shard index, each with the number of its tensors; empty for any other file.
    pub shards: Vec<(String, usize)>,
    /// A global that is known to execute code, if the pickle imports one. Such a file is not converted.
    pub dangerous: Option<String>,
}

impl Inspection {
    /// Returns the bytes of all tensors, those of tied tensors once.
    pub fn bytes(&self) -> u64 {
        self.own().map(|row| row.bytes).fold(0, u64::saturating_add)
    }

    /// Returns the elements of all tensors, those of tied tensors once.
    pub fn parameters(&self) -> u64 {
        let elements =
            |row: &Row| row.shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size));
        self.own().map(elements).fold(0, u64::saturating_add)
    }

    /// Returns how many tensors of each dtype exist, and their bytes, those of tied tensors once.
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
/// [`Error::NotFound`], [`Error::NoObject`] for a pointer without its object, [`Error::NoRanges`], the reason of a
/// refusal, or an error of the repository, the system or a server.
pub fn inspect(options: &Options, reporter: &dyn Reporter) -> Result<Inspection, Error> {
    let path = options.cwd.join(&options.target);
    if path.symlink_metadata().is_ok() {
        return match shard_names(&path)? {
            Some(names) => shards(names, |name| {
                let path = path.with_file_name(name);
                let wanted = Options { target: path.clone().into_os_string(), ..options.clone() };
                file(&path, &wanted, reporter)
            }),
            None => file(&path, options, reporter),
        };
    }
    if let Some(file) = HubFile::address(&options.target) {
        return far(&file, options, reporter);
    }
    let (rev, name) = split(&options.target).ok_or(Error::NotFound)?;
    // A file of a revision needs no working tree.
    let repo = Repo::discover_for_hook(&options.cwd)?;
    let found = match &repo {
        Some(repo) => {
            let name = in_repo(repo, &options.cwd, name)?;
            blob_at(repo, rev, name.as_ref()).map(|blob| blob.map(|blob| (repo, name, blob)))
        }
        None => Ok(None),
    };
    let (repo, name, blob) = match (found, HubFile::of_the_hub(rev, name)) {
        (Ok(Some(found)), _) => found,
        // A branch may have the name of a model.
        (_, Some(file)) => return far(&file, options, reporter),
        (Ok(None), None) if repo.is_none() => return Err(Error::NoRepository),
        (Ok(None), None) => return Err(Error::NotFound),
        (Err(error), None) => return Err(error),
    };
    let content = repo.blob(blob, MAX_BLOB)?;
    let class = || {
        let config = blob_at(repo, rev, names::beside(name.as_ref(), b"config.json").as_ref()).ok()??;
        class(&repo.blob(config, CONFIG_LIMIT).ok()?)
    };
    match Pointer::parse(&content) {
        Ok(pointer) => object(Some(repo), name.as_ref(), pointer, options, reporter, class),
        Err(_) if is_index(&options.target) => shards(names_in(&content)?, |name| {
            inspect(&Options { target: beside(&options.target, name), ..options.clone() }, reporter)
        }),
        Err(_) => read(&content, Headers::Read, options, class),
    }
}

/// Returns `true` if a target has the name of a shard index.
fn is_index(target: &OsStr) -> bool {
    target.as_encoded_bytes().ends_with(b".index.json")
}

/// Returns the shards that a shard index names; `None` for any other file.
fn shard_names(path: &Path) -> Result<Option<BTreeSet<String>>, Error> {
    if !is_index(path.as_os_str()) || !path.is_file() {
        return Ok(None);
    }
    let failed = Error::io("read", path);
    let file = std::fs::File::open(path).and_then(FileSource::new).map_err(failed)?;
    names_in(&file).map(Some)
}

fn names_in(index: &dyn ReadAt) -> Result<BTreeSet<String>, Error> {
    let index = shard::Index::read(index).map_err(checkpoint::Error::Io)??;
    Ok(index.weight_map.into_values().collect())
}

/// Returns the target next to another one, in its revision, its model or at its URL.
fn beside(target: &OsStr, name: &str) -> OsString {
    let text = target.as_encoded_bytes();
    // The name of a model contains a slash of its own.
    let from = match HubFile::address(target) {
        Some(_) => 0,
        None => split(target).map_or(0, |(before, _)| before.len() + 1),
    };
    let path = text.get(from..).unwrap_or_default();
    let separators: &[u8] = if cfg!(windows) { b"/\\" } else { b"/" };
    let dir = path.rfind_byteset(separators).map_or(0, |at| at + 1);
    let mut beside = text.get(..from + dir).unwrap_or_default().to_vec();
    beside.extend_from_slice(name.as_bytes());
    beside.to_os_str_lossy().into_owned()
}

/// Combines all shards of a shard index into one result.
fn shards(
    names: BTreeSet<String>,
    one: impl Fn(&str) -> Result<Inspection, Error>,
) -> Result<Inspection, Error> {
    let mut all: Option<Inspection> = None;
    for name in names {
        let found = match one(&name) {
            Ok(found) => found,
            Err(error) => return Err(Error::MissingShards { shards: vec![(name.into(), error)] }),
        };
        let count = found.tensors.len();
        let all = match &mut all {
            None => all.insert(found),
            Some(all) => {
                all.size = all.size.saturating_add(found.size);
                all.tensors.extend(found.tensors);
                all.metadata.extend(found.metadata);
                all.ignored.extend(found.ignored);
                all.notes.extend(found.notes);
                all.dangerous = all.dangerous.take().or(found.dangerous);
                all
            }
        };
        all.shards.push((name, count));
    }
    all.ok_or_else(|| shard::Error::NoTensors.into())
}

fn far(file: &HubFile, options: &Options, reporter: &dyn Reporter) -> Result<Inspection, Error> {
    let session = Session::new(&options.servers, reporter);
    let hub = session.hub(&options.cwd)?;
    let opened = file.open(&hub)?;
    if is_index(&options.target) {
        let one = |name: &str| {
            inspect(&Options { target: beside(&options.target, name), ..options.clone() }, reporter)
        };
        return shards(names_in(&opened)?, one);
    }
    read(&opened, Headers::Foresee, options, || file.class(&hub))
}

fn file(path: &Path, options: &Options, reporter: &dyn Reporter) -> Result<Inspection, Error> {
    let name = options.target.as_encoded_bytes().as_bstr();
    let class = || class_beside(path);
    match LocalFile::plain(None, name, path) {
        // Only a pointer needs the repository.
        Err(Error::NoObject { oid, size }) => {
            let repo = Repo::discover(path.parent().unwrap_or(path))?;
            object(repo.as_ref(), name, Pointer { oid, size }, options, reporter, class)
        }
        source => read(&source?.file, Headers::Read, options, class),
    }
}

/// Reads the object of a pointer: from LFS storage, or else from its server.
fn object(
    repo: Option<&Repo>,
    name: &BStr,
    pointer: Pointer,
    options: &Options,
    reporter: &dyn Reporter,
    class: impl FnOnce() -> Option<String>,
) -> Result<Inspection, Error> {
    let missing = match LocalFile::object(repo, name, pointer) {
        Ok(source) => return read(&source.file, Headers::Read, options, class),
        Err(error) => error,
    };
    let session = Session::new(&options.servers, reporter);
    match (missing, repo) {
        (Error::NoObject { .. }, Some(repo)) => {
            let remote = LfsRemote::of(&session, repo, None);
            let far = remote.server_for(pointer)?.object(pointer);
            let bytes = far.ranged()?.ok_or(Error::NoRanges)?;
            read(&bytes, Headers::Foresee, options, class)
        }
        (missing, ..) => Err(missing),
    }
}

fn read(
    source: &dyn ReadAt,
    headers: Headers,
    options: &Options,
    class: impl FnOnce() -> Option<String>,
) -> Result<Inspection, Error> {
    match Kind::of(source).map_err(checkpoint::Error::from)? {
        Kind::Safetensors => read_safetensors(source),
        _ => read_checkpoint(source, headers, options.key.clone(), class),
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
        notes: Vec::new(),
        shards: Vec::new(),
        dangerous: None,
    })
}

fn read_checkpoint(
    source: &dyn ReadAt,
    headers: Headers,
    key: Option<String>,
    class: impl FnOnce() -> Option<String>,
) -> Result<Inspection, Error> {
    // Nothing is written, so the size of the output has no limit.
    let limits = checkpoint::Limits { output: Some(u64::MAX), ..checkpoint::Limits::default() };
    let options = checkpoint::Options { key, headers, limits };
    let plan = checkpoint::plan(source, &options)?;
    let ties = ties::resolve(&plan, &ties::Policy::for_class(class().as_deref()))?;
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
        shards: Vec::new(),
        dangerous: recipe::dangerous(&plan).map(|named| format!("{}.{}", named.module, named.name)),
        ignored: plan.ignored,
        notes: plan.notes,
    })
}

/// Splits `REV:PATH`: as in git, at the first colon outside braces.
pub(super) fn split(target: &OsStr) -> Option<(&str, &[u8])> {
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

/// As in git, a path is relative to the top unless it begins with `./` or `../`.
pub(super) fn in_repo(repo: &Repo, cwd: &Path, path: &[u8]) -> Result<BString, Error> {
    let is_relative = path.starts_with(b"./") || path.starts_with(b"../");
    match path.to_os_str() {
        Ok(path) if is_relative => Ok(repo.path_of(cwd, path)?),
        _ => Ok(path.into()),
    }
}

/// Returns the blob of a path in a revision, or in the index if the revision is empty.
pub(super) fn blob_at(repo: &Repo, rev: &str, path: &BStr) -> Result<Option<ObjectId>, Error> {
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
    fn a_shard_lies_beside_its_index() {
        for (index, expected) in [
            ("HEAD:m.index.json", "HEAD:s"),
            ("HEAD~1:a/b/m.index.json", "HEAD~1:a/b/s"),
            ("feature/x:./m.index.json", "feature/x:./s"),
            (":m.index.json", ":s"),
            ("acme/bert:m.index.json", "acme/bert:s"),
            ("acme/bert@main:a/m.index.json", "acme/bert@main:a/s"),
            ("https://h/acme/bert/resolve/main/m.index.json", "https://h/acme/bert/resolve/main/s"),
        ] {
            assert_eq!(beside(index.as_ref(), "s"), expected, "{index}");
        }
    }

    #[test]
    fn a_revision_ends_at_the_first_colon_outside_of_braces() {
        let split = |target: &'static str| split(OsStr::new(target));
        assert_eq!(split("HEAD:a/b.bin"), Some(("HEAD", b"a/b.bin".as_slice())));
        assert_eq!(split("HEAD^{/fix: it}:a"), Some(("HEAD^{/fix: it}", b"a".as_slice())));
        assert_eq!(split(":a:b"), Some(("", b"a:b".as_slice())));
        assert_eq!(split("a.bin"), None);
    }
}
