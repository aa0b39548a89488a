//! Reads the tar archive of torch 0.1: four members, of which three are used.
//!
//! ```text
//! sys_info   not read, because nothing depends on it
//! storages   storages and their views
//! tensors    tensors, by number
//! pickle     the object: a tensor is a persistent ID, its number as text; a class can be one, with its source
//! each member: a header of 512 bytes, its bytes, zeros up to a multiple of 512; at the end two blocks of zeros or more
//! ```
//!
//! Invariant: the members are regular files with these names, each once, with nothing between or after them. Python's
//! tarfile accepts much more, and differs from other readers. Source: torch's `serialization.py`, `legacy_load`;
//! POSIX.1-2001 `pax` for the header.

mod parts;

use super::{Contents, Error, Format, Limits, torch};
use crate::pickle;
use crate::read_at::{ReadAt, Window};

/// The size of a header, and the unit of padding.
const BLOCK: usize = 512;
const MEMBERS: [&str; 4] = ["sys_info", "storages", "tensors", "pickle"];
/// The most bytes of an extended header, which has times and names of a file.
const MAX_EXTENDED: u64 = 4096;
/// The most bytes after the last member: tar writes blocks of 10,240 bytes.
const MAX_END: u64 = 64 << 10;
/// The keys that an extended header may have: none of them changes which bytes are a member.
const HARMLESS: [&[u8]; 7] = [b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname"];

/// The position of a member's bytes.
#[derive(Clone, Copy)]
struct Member {
    at: u64,
    len: u64,
}

/// The contents of a header.
struct Header {
    name: Vec<u8>,
    kind: u8,
    data: Member,
    /// The offset of the next header.
    next: u64,
}

/// Returns `true` if the archive begins with one of torch's members.
pub fn is_torch_tar(source: &dyn ReadAt) -> bool {
    begins_as_torch_s(source).unwrap_or(false)
}

/// The same; a source that fails is an error.
pub(super) fn begins_as_torch_s(source: &dyn ReadAt) -> Result<bool, Error> {
    let first = match header(source, 0) {
        Ok(Some(extended)) if extended.kind == b'x' => header(source, extended.next),
        first => first,
    };
    match first {
        Ok(Some(header)) => Ok(MEMBERS.iter().any(|name| name.as_bytes() == header.name)),
        Err(error) if error.is_io() => Err(error),
        _ => Ok(false),
    }
}

/// Returns `true` if Python would read the first block as the header of an archive: only by the checksum, signed or
/// unsigned.
pub(super) fn has_header(source: &dyn ReadAt) -> Result<bool, Error> {
    if source.len() < 512 {
        return Ok(false);
    }
    let block = source.read_vec_at(0, BLOCK)?;
    let sums = octal(block.get(148..156).unwrap_or_default()).map(|sum| (sum, checksums(&block)));
    Ok(sums.is_some_and(|(sum, (unsigned, signed))| sum == unsigned || i64::try_from(sum) == Ok(signed)))
}

/// Reads the container and the pickles in it.
pub(super) fn read(source: &dyn ReadAt, limits: &Limits) -> Result<Contents, Error> {
    let [_, storages, tensors, object] = members(source)?;
    let missing = |record: &str| Error::MissingRecord { record: record.to_owned() };
    let storages = storages.ok_or_else(|| missing("storages"))?;
    let tensors = tensors.ok_or_else(|| missing("tensors"))?;
    let object = object.ok_or_else(|| missing("pickle"))?;
    let (mut declared, storages) = parts::storages(source, storages, limits)?;
    let tensors = parts::tensors(source, tensors, &declared, limits)?;
    let window = Window::new(source, object.at, object.len)?;
    let read = pickle::read(&window, 0, &limits.pickle);
    let pickle = read.map_err(|source| Error::Pickle { record: "pickle".to_owned(), source })?;
    if pickle.end != object.len {
        return Err(Error::tar(
            "trailing bytes after the object pickle",
            object.at.saturating_add(pickle.end),
        ));
    }
    declared.given = torch::by_number(&pickle.values, &tensors, &declared)?;
    Ok(Contents::of(Format::Tar, pickle, "pickle", declared, storages))
}

/// Returns the members, in the order of [`MEMBERS`].
fn members(source: &dyn ReadAt) -> Result<[Option<Member>; 4], Error> {
    let mut members = [None; 4];
    let (mut at, mut is_extended) = (0, false);
    while let Some(header) = header(source, at)? {
        let found = MEMBERS.iter().position(|name| name.as_bytes() == header.name);
        match (header.kind, found) {
            (b'x', _) if !is_extended => {
                check_extended(source, header.data)?;
                is_extended = true;
            }
            (b'0' | 0, Some(index)) => {
                let Some(place) = members.get_mut(index) else { continue };
                if place.replace(header.data).is_some() {
                    return Err(Error::tar("duplicate member", at));
                }
                is_extended = false;
            }
            (b'0' | 0, None) => return Err(Error::tar("unexpected member", at)),
            _ => return Err(Error::tar("member that is not a regular file", at)),
        }
        at = header.next;
    }
    let left = source.len().saturating_sub(at);
    if is_extended || left > MAX_END {
        return Err(Error::tar("trailing data", at));
    }
    let end = source.read_vec_at(at, usize::try_from(left).unwrap_or(0))?;
    if end.len() < BLOCK.saturating_mul(2) || end.iter().any(|&byte| byte != 0) {
        return Err(Error::tar("wrong padding", at));
    }
    Ok(members)
}

/// Reads the header at `at`; `None` for a block of zeros.
fn header(source: &dyn ReadAt, at: u64) -> Result<Option<Header>, Error> {
    let block = match source.read_vec_at(at, BLOCK) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(Error::tar("missing end marker", at));
        }
        block => block?,
    };
    if block.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let field = |from: usize, to: usize| block.get(from..to).unwrap_or_default();
    let (unsigned, _) = checksums(&block);
    if octal(field(148, 156)) != Some(unsigned) {
        return Err(Error::tar("wrong header checksum", at));
    }
    if field(257, 265) != b"ustar\x0000" {
        return Err(Error::tar("unsupported header format", at));
    }
    let name = field(0, 100);
    let len = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let (name, rest) = name.split_at_checked(len).unwrap_or_default();
    if rest.iter().chain(field(345, 500)).any(|&byte| byte != 0) {
        return Err(Error::tar("split member name", at));
    }
    let len = octal(field(124, 136)).ok_or_else(|| Error::tar("invalid member size", at))?;
    let data = Member { at: at.saturating_add(512), len };
    let end = data.at.checked_add(len).filter(|&end| end <= source.len());
    let next = end.and_then(|end| end.checked_next_multiple_of(512));
    let next = next.ok_or_else(|| Error::tar("truncated member", at))?;
    let kind = block.get(156).copied().unwrap_or_default();
    Ok(Some(Header { name: name.to_vec(), kind, data, next }))
}

/// Returns the sums of the bytes of a header, unsigned and signed, with blanks for its own field.
fn checksums(block: &[u8]) -> (u64, i64) {
    let bytes = block.iter().enumerate();
    let bytes = bytes.map(|(at, &byte)| if (148..156).contains(&at) { b' ' } else { byte });
    bytes.fold((0, 0), |(unsigned, signed), byte| {
        let small = i64::from(i8::from_le_bytes([byte]));
        (u64::saturating_add(unsigned, byte.into()), i64::saturating_add(signed, small))
    })
}

/// Parses octal digits that zeros and blanks end; blanks may precede them.
fn octal(field: &[u8]) -> Option<u64> {
    let end = field.iter().rposition(|&byte| byte != 0 && byte != b' ')?.checked_add(1)?;
    let digits = field.get(..end)?.trim_ascii_start();
    digits.iter().try_fold(0_u64, |number, &digit| match digit {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(u64::from(digit.checked_sub(b'0')?)),
        _ => None,
    })
}

/// Checks an extended header: `LENGTH KEY=VALUE\n`, with a few keys.
fn check_extended(source: &dyn ReadAt, Member { at, len }: Member) -> Result<(), Error> {
    let malformed = || Error::tar("unsupported extended header", at);
    if len > MAX_EXTENDED {
        return Err(malformed());
    }
    let bytes = source.read_vec_at(at, usize::try_from(len).unwrap_or(0))?;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let blank = rest.iter().position(|&byte| byte == b' ').ok_or_else(malformed)?;
        let length = rest.get(..blank).and_then(|digits| std::str::from_utf8(digits).ok());
        let length = length.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let length = length.and_then(|digits| digits.parse::<usize>().ok()).ok_or_else(malformed)?;
        let (record, after) = rest.split_at_checked(length).ok_or_else(malformed)?;
        let pair = record.get(blank.saturating_add(1)..).and_then(|pair| pair.strip_suffix(b"\n"));
        let key = pair.and_then(|pair| pair.split(|&byte| byte == b'=').next()).ok_or_else(malformed)?;
        let is_one = pair.is_some_and(|pair| pair.contains(&b'=') && !pair.contains(&b'\n'));
        if !is_one || !HARMLESS.contains(&key) {
            return Err(malformed());
        }
        rest = after;
    }
    Ok(())
}
