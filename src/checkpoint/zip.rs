//! Reads the zip container (torch 1.6 and later): `ROOT/data.pkl`, `ROOT/data/KEY` for each storage, `ROOT/byteorder`
//! and `ROOT/version`, with one root directory of any name.
//!
//! The `zip` crate reads the directory; additional rules make it unambiguous: one directory at the end ([`end`]), no
//! bytes before the first record, no duplicate names (case ignored, as torch does), one root, local headers that match
//! the directory ([`local`]), no overlaps, only the methods stored and deflated, no encryption. Record lengths are
//! checked against the pickle here; CRC-32 when the bytes are read ([`prove()`](super::prove()),
//! [`inflate`](super::inflate)), which torch does not do. Source: torch's `caffe2/serialize/inline_container.cc`,
//! PKWARE's APPNOTE 6.3.

mod end;
mod local;
mod script;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _};

use ::zip::read::{ArchiveOffset, Config, ZipReadOptions};
use ::zip::result::ZipError;
use ::zip::{CompressionMethod, ZipArchive};

use self::end::Directory;
pub use self::local::Header;
use super::error::is_of_source;
use super::torch::{self, Declared, Element};
use super::{Contents, Deflated, Error, Foreign, Format, Headers, Limits, Options, Record, Storage};
use crate::pickle;
use crate::read_at::{ReadAt, Reader, Window};

/// One record of the archive.
struct Entry {
    index: usize,
    header: u64,
    at: u64,
    compressed: u64,
    len: u64,
    crc32: u32,
    stored: bool,
    /// Its local header, if it was predicted and not read.
    foreseen: Option<Header>,
}

struct Archive<'a> {
    source: &'a dyn ReadAt,
    zip: ZipArchive<Reader<'a>>,
    /// By the name below the root.
    entries: HashMap<String, Entry>,
    root: String,
    /// torch writes 0 for every record if it is configured to compute no CRC.
    without_crc: bool,
}

/// Reads the container and the pickle in it.
pub(super) fn read(source: &dyn ReadAt, options: &Options) -> Result<Contents, Error> {
    let limits = &options.limits;
    let mut archive = Archive::open(source, limits, options.headers)?;
    let is_script = archive.is_script()?;
    let big_endian = archive.big_endian()?;
    let record = format!("{}/data.pkl", archive.root);
    let pickle = archive.pickle(&record, is_script, limits)?;
    let script = if is_script { Some(archive.script(&pickle, limits)?) } else { None };
    if is_script && big_endian {
        return Err(Error::TorchScript { what: "is marked as big-endian, which torch.jit.load ignores" });
    }
    let declared = torch::storages(&pickle.values, false)?;
    let (storages, deflated) = archive.storages(&declared.list, big_endian)?;
    let (records, headers) = (archive.records(), archive.headers());
    let format = if is_script { Format::Script } else { Format::Zip };
    let embedded = Vec::new();
    Ok(Contents { format, pickle, record, declared, script, storages, records, headers, deflated, embedded })
}

/// Returns `true` for an archive with a `data.pkl` in a directory of its top level, as torch writes it.
pub fn is_torch_zip(source: &dyn ReadAt) -> bool {
    let is_pickle = |name: &[u8]| name.to_ascii_lowercase().ends_with(b"/data.pkl");
    directory(source).is_ok_and(|zip| zip.file_names_raw().any(is_pickle))
}

/// Returns `true` if the last archive of the file starts directly after another one.
fn starts_behind_another(source: &dyn ReadAt) -> bool {
    const END: u64 = 22;
    let before = end::start(source).and_then(|start| start.checked_sub(END));
    before.is_some_and(|at| {
        source.read_vec_at(at, 22).is_ok_and(|end| end.starts_with(b"PK\x05\x06") && end.ends_with(&[0, 0]))
    })
}

/// The extensions of checkpoints in an archive.
const CHECKPOINTS: &[&str] = &[".bin", ".pt", ".pth", ".ckpt", ".safetensors"];

/// Returns the kind of an archive that could not be read as a checkpoint, by its members.
pub(super) fn foreign(source: &dyn ReadAt) -> Option<Foreign> {
    if starts_behind_another(source) {
        return Some(Foreign::Distributed);
    }
    let zip = directory(source).ok()?;
    let names: Vec<Vec<u8>> = zip.file_names_raw().map(<[u8]>::to_ascii_lowercase).collect();
    let ends = |end: &str| names.iter().any(|name| name.ends_with(end.as_bytes()));
    let has = |wanted: &str| names.iter().any(|name| name == wanted.as_bytes());
    if ends("/.data/extern_modules") {
        return Some(Foreign::Package);
    }
    if has("policy.pth") && has("data") {
        return Some(Foreign::StableBaselines);
    }
    // What PyTorch could load keeps the error of its reader.
    if is_torch_zip(source) {
        return None;
    }
    if has("model.weights.h5") {
        return Some(Foreign::Keras);
    }
    if !names.is_empty() && names.iter().all(|name| name.ends_with(b".npy")) {
        return Some(Foreign::Npz);
    }
    let is_packed = CHECKPOINTS.iter().any(|end| ends(end));
    is_packed.then_some(Foreign::Checkpoints)
}

/// Returns `true` for an archive of `torch.jit.save`, with code next to its objects.
pub fn is_torch_script(source: &dyn ReadAt) -> bool {
    let is_code = |name: &[u8]| {
        let below = name.iter().position(|&byte| byte == b'/').and_then(|at| name.get(at..)).unwrap_or(name);
        below == b"/constants.pkl" || below.starts_with(b"/code/")
    };
    is_torch_zip(source) && directory(source).is_ok_and(|zip| zip.file_names_raw().any(is_code))
}

/// Reads the directory of an archive that begins at the first byte. (If an archive may begin later, the crate guesses
/// its start, and misreads some of torch's archives.)
pub(super) fn directory(source: &dyn ReadAt) -> Result<ZipArchive<Reader<'_>>, Error> {
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    ZipArchive::with_config(config, Reader::new(source)).map_err(Error::Zip)
}

/// Returns why a record could not be inflated: because of its contents, or because the source could not be read.
pub(super) fn broken(error: io::Error) -> Error {
    if is_of_source(&error) { Error::Io(error) } else { Error::Zip(ZipError::Io(error)) }
}

/// Returns `true` for one of torch's records in another case, which torch ignores when it looks one up.
fn is_misspelt(below: &str) -> bool {
    let lower = below.to_ascii_lowercase();
    let known = ["data.pkl", "byteorder", "version", "constants.pkl", "model.json"].contains(&lower.as_str());
    // Directories of code have the names of Python's modules, in any case.
    let code = lower.starts_with("code/") && !below.starts_with("code/");
    lower != below && (known || lower.starts_with("data/") || code)
}

impl<'a> Archive<'a> {
    fn open(source: &'a dyn ReadAt, limits: &Limits, headers: Headers) -> Result<Self, Error> {
        let mut listed = Directory::read(source, limits)?;
        let zip = directory(source)?;
        if zip.has_duplicate_names() {
            return Err(Error::ambiguous("duplicate record name"));
        }
        if u64::try_from(zip.len()).ok() != Some(listed.records) || zip.central_directory_start() != listed.at
        {
            return Err(Error::ambiguous("the central directory is not where the end record points"));
        }
        let mut entries = HashMap::with_capacity(zip.len());
        let mut seen = HashSet::with_capacity(zip.len());
        let mut root: Option<String> = None;
        for index in 0..zip.len() {
            let file = zip.by_index_data(index).map_err(Error::Zip)?;
            listed.check(&file)?;
            let name = std::str::from_utf8(file.name_raw())
                .map_err(|_| Error::ambiguous("a record name is not UTF-8"))?;
            check_name(name)?;
            if !seen.insert(name.to_ascii_lowercase()) {
                return Err(Error::ambiguous(format!("duplicate record {name}")));
            }
            let (first, below) = name
                .split_once('/')
                .ok_or_else(|| Error::ambiguous(format!("{name} is outside the archive's root directory")))?;
            match &root {
                None => root = Some(first.to_owned()),
                Some(root) if root == first => {}
                Some(root) => {
                    return Err(Error::ambiguous(format!("two root directories, {root} and {first}")));
                }
            }
            if is_misspelt(below) {
                return Err(Error::ambiguous(format!("PyTorch reads {name} as a different record")));
            }
            check_method(name, file.compression())?;
            let stored = file.compression() == CompressionMethod::Stored;
            let header = Header::of(&file, name);
            let foreseen = headers == Headers::Foresee && stored && below.starts_with("data/");
            let entry = Entry {
                index,
                header: file.header_start(),
                at: if foreseen { header.at() } else { header.read(source)? },
                compressed: file.compressed_size(),
                len: file.size(),
                crc32: file.crc32(),
                stored,
                foreseen: foreseen.then_some(header),
            };
            check_flags(name, file.flags().as_u16())?;
            check_entry(name, &entry, source.len())?;
            entries.insert(below.to_owned(), entry);
        }
        let root = root.ok_or(Error::NoTensors)?;
        if !listed.is_read() {
            return Err(Error::ambiguous("trailing bytes in the central directory"));
        }
        foresee(source, &mut entries, listed.at)?;
        check_overlaps(&entries, listed.at)?;
        let without_crc = entries.values().all(|entry| entry.crc32 == 0);
        Ok(Self { source, zip, entries, root, without_crc })
    }

    fn big_endian(&mut self) -> Result<bool, Error> {
        match self.contents("byteorder", 16)?.as_deref() {
            None | Some(b"little") => Ok(false),
            Some(b"big") => Ok(true),
            Some(_) => Err(Error::ambiguous("byteorder is neither little nor big")),
        }
    }

    /// Reads a whole small record.
    fn contents(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        if entry.len > limit {
            return Err(Error::Limit { what: "bytes per record", limit });
        }
        let mut bytes = Vec::new();
        let options = ZipReadOptions::new().ignore_crc32(self.without_crc);
        let index = entry.index;
        let len = entry.len;
        let file = self.zip.by_index_with_options(index, options).map_err(Error::Zip)?;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(broken)?;
        if u64::try_from(bytes.len()).ok() != Some(len) {
            return Err(Error::ambiguous(format!("the size of {name} differs from the central directory")));
        }
        Ok(Some(bytes))
    }

    fn pickle(&mut self, record: &str, is_script: bool, limits: &Limits) -> Result<pickle::Pickle, Error> {
        let entry = self.entries.get("data.pkl");
        let entry = entry.ok_or_else(|| Error::MissingRecord { record: record.to_owned() })?;
        let (len, stored, at) = (entry.len, entry.stored, entry.at);
        let fail = |source| Error::Pickle { record: record.to_owned(), source };
        let read = if is_script { pickle::read_bare } else { pickle::read };
        let pickle = if stored {
            let window = Window::new(self.source, at, len)?;
            read(&window, 0, &limits.pickle).map_err(fail)?
        } else {
            let bytes = self.contents("data.pkl", limits.pickle.bytes)?.unwrap_or_default();
            read(&bytes, 0, &limits.pickle).map_err(fail)?
        };
        if pickle.end != len {
            return Err(Error::ambiguous(format!("{record} has trailing bytes after its pickle")));
        }
        Ok(pickle)
    }

    /// Finds the position of each storage. Deflated ones follow the source, one after the other.
    fn storages(
        &self,
        declared: &[Declared],
        big_endian: bool,
    ) -> Result<(Vec<Storage>, Vec<Deflated>), Error> {
        let mut behind = self.source.len();
        let (mut storages, mut deflated) = (Vec::with_capacity(declared.len()), Vec::new());
        for Declared { key, element, bytes, inside } in declared {
            if inside.is_some() {
                return Err(Error::Storage { key: key.clone(), what: "has an unexpected view" });
            }
            let name = format!("data/{key}");
            let entry = self.entries.get(&name);
            let entry =
                entry.ok_or_else(|| Error::MissingRecord { record: format!("{}/{name}", self.root) })?;
            if entry.len != *bytes {
                return Err(Error::StorageLength { key: key.clone(), expected: *bytes, got: entry.len });
            }
            if big_endian && *element == Element::Bytes {
                let what = "is big-endian and untyped (PyTorch misreads its byte order)";
                return Err(Error::Storage { key: key.clone(), what });
            }
            let at = if entry.stored { entry.at } else { behind };
            if !entry.stored {
                behind = behind
                    .checked_add(entry.len)
                    .ok_or_else(|| Error::ambiguous("the records exceed the file"))?;
                let name = format!("{}/{name}", self.root);
                let crc32 = (!self.without_crc).then_some(entry.crc32);
                deflated.push(Deflated { index: entry.index, name, len: entry.len, crc32 });
            }
            storages.push(Storage { key: key.clone(), at, len: entry.len, big_endian });
        }
        Ok((storages, deflated))
    }

    /// Returns the local headers that were not read, by offset.
    fn headers(&mut self) -> Vec<Header> {
        let mut headers: Vec<_> =
            self.entries.values_mut().filter_map(|entry| entry.foreseen.take()).collect();
        headers.sort_unstable_by_key(Header::at);
        headers
    }

    /// Returns the stored records, by offset.
    fn records(&self) -> Vec<Record> {
        if self.without_crc {
            return Vec::new();
        }
        let checked = self.entries.iter().filter(|(_, entry)| entry.stored);
        let mut records: Vec<_> = checked
            .map(|(name, entry)| Record {
                name: format!("{}/{name}", self.root),
                at: entry.at,
                len: entry.len,
                crc32: entry.crc32,
            })
            .collect();
        records.sort_unstable_by_key(|record| record.at);
        records
    }
}

/// Predicts the offset of the data of records whose headers were not read. A header that cannot be predicted is read.
fn foresee(source: &dyn ReadAt, entries: &mut HashMap<String, Entry>, directory: u64) -> Result<(), Error> {
    let mut places: Vec<u64> = entries.values().map(|entry| entry.header).chain([directory]).collect();
    places.sort_unstable();
    for entry in entries.values_mut() {
        let Some(header) = &mut entry.foreseen else { continue };
        let after = places.partition_point(|&place| place <= entry.header);
        let next = places.get(after).copied().unwrap_or(directory);
        if let Some(at) = header.foresee(next) {
            entry.at = at;
        } else {
            entry.at = header.read(source)?;
            entry.foreseen = None;
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Error> {
    let strange = name.is_empty()
        || name.starts_with('/')
        || name.contains(['\\', '\0'])
        || name.split('/').any(|part| part == "..");
    if strange { Err(Error::ambiguous("unsafe record name")) } else { Ok(()) }
}

/// Refuses two records that share bytes, or a record that reaches into the directory: a zip bomb or a trick.
fn check_overlaps(entries: &HashMap<String, Entry>, directory: u64) -> Result<(), Error> {
    let mut ranges: Vec<_> = entries
        .iter()
        .map(|(name, entry)| (entry.header, entry.at.saturating_add(entry.compressed), name))
        .collect();
    ranges.sort_unstable();
    if ranges.first().is_some_and(|(start, ..)| *start != 0) {
        return Err(Error::ambiguous("leading bytes before the first record"));
    }
    let mut end = 0;
    for (start, stop, name) in ranges {
        if start < end || stop > directory {
            return Err(Error::ambiguous(format!("{name} overlaps another record")));
        }
        end = stop;
    }
    Ok(())
}

/// Refuses encrypted (bits 0 and 6), patched (5) and masked (13) data: torch refuses it or reads something else.
fn check_flags(name: &str, flags: u16) -> Result<(), Error> {
    let refused = 1 | 1 << 5 | 1 << 6 | 1 << 13;
    if flags & refused == 0 {
        Ok(())
    } else {
        Err(Error::ambiguous(format!("{name} is encrypted or patch data")))
    }
}

fn check_method(name: &str, method: CompressionMethod) -> Result<(), Error> {
    match method {
        CompressionMethod::Stored | CompressionMethod::Deflated => Ok(()),
        _ => Err(Error::ambiguous(format!("{name} uses an unsupported compression method"))),
    }
}

fn check_entry(name: &str, entry: &Entry, source_len: u64) -> Result<(), Error> {
    if entry.stored && entry.compressed != entry.len {
        return Err(Error::ambiguous(format!("{name} is stored but has two sizes")));
    }
    if entry.at.checked_add(entry.compressed).is_none_or(|end| end > source_len) {
        return Err(Error::ambiguous(format!("{name} extends past the end of the file")));
    }
    Ok(())
}
