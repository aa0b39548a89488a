//! [`Kind`] is the format of a file by its first bytes; its name has no effect.

use std::fmt;
use std::io;

use crate::read_at::ReadAt;

/// The format of a file, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A zip archive: torch's container since 1.6, or any other.
    Zip,
    /// A legacy PyTorch file: the stream of pickles and storages before torch 1.6.
    Legacy,
    /// A tar archive: torch's container before 0.2, or any other.
    Tar,
    /// A safetensors file.
    Safetensors,
    /// A Git LFS pointer.
    Pointer,
    /// A Git LFS pointer with the conflict markers of an unfinished merge.
    Conflict,
    /// A pickle without a container.
    Pickle,
    /// A web page: an error page saved under the name of the weights.
    Html,
    /// A file that is compressed as a whole.
    Compressed,
    /// GGUF.
    Gguf,
    /// GGML, the format before GGUF.
    Ggml,
    /// HDF5.
    Hdf5,
    /// A TensorFlow Lite model.
    TensorFlowLite,
    /// An array of numpy.
    Npy,
    /// An empty file.
    Empty,
    /// Another format.
    Unknown,
}

/// How many bytes [`Kind::of_head`] reads.
const HEAD: u64 = 512;
/// torch's `MAGIC_NUMBER`, little-endian, as `LONG1` writes it.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// The same as protocols 0 and 1 write it.
const MAGIC_TEXT: &[u8] = b"L119547037146038801333356L\n.";

impl Kind {
    /// Detects the format by the first bytes of a source.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn of(source: &dyn ReadAt) -> io::Result<Self> {
        let len = usize::try_from(source.len().min(HEAD)).unwrap_or(0);
        Ok(Self::of_head(&source.read_vec_at(0, len)?))
    }

    /// The same for the first bytes, 512 of them or the whole file.
    pub fn of_head(head: &[u8]) -> Self {
        let text = head.trim_ascii_start();
        // Most bytes are not text.
        let may_start = matches!(text.first(), Some(b'v' | b'V' | b'<'));
        let starts = |prefix: &[u8]| {
            may_start && text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        match head {
            [] => Self::Empty,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            _ if is_legacy(head) => Self::Legacy,
            _ if is_conflict(head) => Self::Conflict,
            _ if starts(b"version https://git-lfs.") || starts(b"version http://git-media.") => Self::Pointer,
            _ if is_safetensors(head) => Self::Safetensors,
            _ if head.get(257..262) == Some(b"ustar") => Self::Tar,
            [0x80, 0..=5, ..] => Self::Pickle,
            _ if starts(b"<!doctype html") || starts(b"<html") || starts(b"<?xml") => Self::Html,
            [0x1f, 0x8b, ..]
            | [b'B', b'Z', b'h', ..]
            | [0xfd, b'7', b'z', b'X', b'Z', ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..]
            | [b'7', b'z', 0xbc, 0xaf, ..] => Self::Compressed,
            [b'G', b'G', b'U', b'F', ..] => Self::Gguf,
            // One word of four letters, little-endian: ggml, ggmf, ggjt, ggla.
            [b'l' | b'f', b'm', b'g', b'g', ..]
            | [b't', b'j', b'g', b'g', ..]
            | [b'a', b'l', b'g', b'g', ..] => Self::Ggml,
            [0x89, b'H', b'D', b'F', ..] => Self::Hdf5,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Npy,
            [_, _, _, _, b'T', b'F', b'L', b'3', ..] => Self::TensorFlowLite,
            _ => Self::Unknown,
        }
    }

    /// Returns `true` if the file may contain PyTorch weights that can be converted.
    pub fn is_checkpoint(self) -> bool {
        matches!(self, Self::Zip | Self::Legacy | Self::Tar)
    }
}

/// Returns `true` if the file begins with a conflict marker and contains a pointer.
fn is_conflict(head: &[u8]) -> bool {
    let holds = |text: &[u8]| head.windows(text.len()).any(|part| part == text);
    (head.starts_with(b"<<<<<<< ") || head.starts_with(b"version https://git-lfs") && holds(b"\n<<<<<<< "))
        && (holds(b"version https://git-lfs.") || holds(b"oid sha256:"))
}

/// Returns `true` if a length is first, and then JSON of an object. The format demands `{`, but its readers accept the
/// blanks of JSON before it, as many as the header can have.
fn is_safetensors(head: &[u8]) -> bool {
    let Some((length, header)) = head.split_first_chunk() else { return false };
    let length = u64::from_le_bytes(*length);
    if length > 100_000_000 {
        return false;
    }
    match header.iter().find(|byte| !b" \t\n\r".contains(byte)) {
        Some(first) => *first == b'{',
        None => !header.is_empty() && u64::try_from(header.len()).is_ok_and(|len| len < length),
    }
}

/// Returns `true` if the stream begins with torch's magic number, in any protocol.
fn is_legacy(head: &[u8]) -> bool {
    let bare = match head {
        [0x80, 4 | 5, 0x95, _, _, _, _, _, _, _, _, rest @ ..] | [0x80, 0..=5, rest @ ..] => rest,
        _ => head,
    };
    bare.starts_with(MAGIC) || bare.starts_with(MAGIC_TEXT)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zip => "zip archive",
            Self::Legacy => "legacy PyTorch file",
            Self::Tar => "tar archive",
            Self::Safetensors => "safetensors file",
            Self::Pointer => "LFS pointer",
            Self::Conflict => "LFS pointer with conflict markers",
            Self::Pickle => "pickle without tensors",
            Self::Html => "web page",
            Self::Compressed => "compressed file",
            Self::Gguf => "GGUF file",
            Self::Ggml => "GGML file",
            Self::Hdf5 => "HDF5 file",
            Self::TensorFlowLite => "TensorFlow Lite model",
            Self::Npy => "numpy array",
            Self::Empty => "empty file",
            Self::Unknown => "unknown format",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_their_first_bytes() {
        let magic = |head: &[u8]| Kind::of_head(&[head, MAGIC].concat());
        assert_eq!(magic(b"\x80\x02"), Kind::Legacy);
        assert_eq!(magic(b"\x80\x05"), Kind::Legacy);
        assert_eq!(magic(b"\x80\x04\x95\x0d\0\0\0\0\0\0\0"), Kind::Legacy);
        assert_eq!(Kind::of_head(MAGIC_TEXT), Kind::Legacy);
        assert_eq!(Kind::of_head(b"\x80\x02}q\0."), Kind::Pickle);
        assert_eq!(Kind::of_head(b"\n <!DOCTYPE html>"), Kind::Html);
        assert_eq!(Kind::of_head(b"version https://git-lfs.github.com/spec/v1\n"), Kind::Pointer);
        // A header whose length begins with the byte of PROTO is still safetensors.
        assert_eq!(Kind::of_head(b"\x80\x02\0\0\0\0\0\0{\"a\""), Kind::Safetensors);
        assert_eq!(
            Kind::of_head(b"<<<<<<< HEAD\nversion https://git-lfs.github.com/spec/v1\n"),
            Kind::Conflict
        );
        let between = b"version https://git-lfs.github.com/spec/v1\n<<<<<<< HEAD\noid sha256:4d7a\n=======\n";
        assert_eq!(Kind::of_head(between), Kind::Conflict);
        assert_eq!(Kind::of_head(b"<<<<<<< HEAD\n"), Kind::Unknown);
        assert_eq!(Kind::of_head(b""), Kind::Empty);
        assert_eq!(Kind::of_head(b"PK\x03\x04"), Kind::Zip);
    }

    #[test]
    fn kinds_have_names_and_few_are_checkpoints() {
        let tar = [vec![b'0'; 257], b"ustar\x0000".to_vec()].concat();
        for (head, name, is_checkpoint) in [
            (b"PK\x05\x06".as_slice(), "zip archive", true),
            (MAGIC_TEXT, "legacy PyTorch file", true),
            (&tar, "tar archive", true),
            (b"\x10\0\0\0\0\0\0\0{", "safetensors file", false),
            (b"\x10\0\0\0\0\0\0\0 \t\r\n{}", "safetensors file", false),
            (b"\x10\0\0\0\0\0\0\0 \t\r\n", "safetensors file", false),
            (b"\x04\0\0\0\0\0\0\0    ", "unknown format", false),
            (b"\x10\0\0\0\0\0\0\0\x0c{}", "unknown format", false),
            (b"\x10\0\0\0\0\0\0\0", "unknown format", false),
            (b"version http://git-media.io/v/2\n", "LFS pointer", false),
            (b"\x80\x05N.", "pickle without tensors", false),
            (b"<?xml version=\"1.0\"?>", "web page", false),
            (b"<HTML>", "web page", false),
            (b"\x1f\x8b\x08", "compressed file", false),
            (b"BZh9", "compressed file", false),
            (b"\xfd7zXZ\0", "compressed file", false),
            (b"\x28\xb5\x2f\xfd", "compressed file", false),
            (b"7z\xbc\xaf\x27\x1c", "compressed file", false),
            (b"GGUF\x03", "GGUF file", false),
            (b"lmgg", "GGML file", false),
            (b"tjgg\x03\0\0\0", "GGML file", false),
            (b"\x89HDF\r\n\x1a\n", "HDF5 file", false),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite model", false),
            (b"\x93NUMPY\x01\0v\0{", "numpy array", false),
            (b"", "empty file", false),
            (b"\x80\x06N.", "unknown format", false),
            // A safetensors header has at most 100 MB.
            (b"\x01\xe1\xf5\x05\0\0\0\0{", "unknown format", false),
        ] {
            let kind = Kind::of(&head.to_vec()).unwrap();
            assert_eq!((kind.to_string().as_str(), kind.is_checkpoint()), (name, is_checkpoint), "{head:?}");
        }
    }
}
