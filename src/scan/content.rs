//! [`Content`] names the format of a file by its bytes, for reports; it never implies that the file contains no pickle.

use std::fmt;

use super::packed::{self, Packing};
use super::tar;
use crate::checkpoint::Kind;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Content {
    /// An empty file.
    Empty,
    /// A Git LFS pointer.
    Pointer,
    /// A safetensors file whose header describes it to its last byte.
    Safetensors,
    /// A PyTorch zip file: a zip archive with a `data.pkl`.
    TorchZip,
    /// A TorchScript archive: the same with code.
    TorchScript,
    /// A zip archive of numpy arrays.
    Npz,
    /// A zip archive of Keras, whose layers are not scanned.
    Keras,
    /// Any other zip archive.
    Zip,
    /// A legacy PyTorch file: a stream of pickles and storages.
    Legacy,
    /// One pickle or several.
    Pickle,
    /// A numpy array.
    Npy,
    /// A tar archive.
    Tar,
    /// A gzip stream.
    Gzip,
    /// A zlib stream as joblib writes it, also in joblib's old container.
    Zlib,
    /// A 7z archive.
    SevenZip,
    /// A RAR archive.
    Rar,
    /// An xz or LZMA stream.
    Xz,
    /// A Zstandard stream.
    Zstd,
    /// A bzip2 stream.
    Bzip2,
    /// An LZ4 stream.
    Lz4,
    /// GGUF.
    Gguf,
    /// ONNX.
    Onnx,
    /// HDF5, as in old Keras files, whose layers are not scanned.
    Hdf5,
    /// A program of `ExecuTorch`.
    ExecuTorch,
    /// An image.
    Image,
    /// Text.
    Text,
    /// Something else.
    #[default]
    Other,
}

impl Content {
    /// Detects the format by the first bytes, 512 of them or the whole file. The members of an archive decide later
    /// which archive it is. Formats that loaders open come first, because any bytes can follow their magic numbers.
    pub(super) fn of_head(head: &[u8]) -> Self {
        match head {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => return Self::Zip,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => return Self::Npy,
            // Python ignores reserved flags.
            [0x1f, 0x8b, 8, ..] => return Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => return Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => return Self::Xz,
            [4, 0x22, 0x4d, 0x18, ..] => return Self::Lz4,
            // The form that joblib detects.
            [0x5d, 0, ..] if packed::is_lzma(head) => return Self::Xz,
            [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => return Self::Rar,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', ..]
            | [0xff, 0xd8, 0xff, ..]
            | [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..]
            | [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => return Self::Image,
            [_, _, _, _, b'E', b'T', b'1', b'0'..=b'9', ..] => return Self::ExecuTorch,
            _ => {}
        }
        match Kind::of_head(head) {
            Kind::Zip => Self::Zip,
            Kind::Legacy => Self::Legacy,
            Kind::Tar => Self::Tar,
            Kind::Safetensors => Self::Safetensors,
            Kind::Pointer => Self::Pointer,
            Kind::Pickle => Self::Pickle,
            Kind::Html | Kind::Conflict => Self::Text,
            Kind::Compressed => match head {
                [0x28, ..] => Self::Zstd,
                [b'7', ..] => Self::SevenZip,
                head if is_text(head) => Self::Text,
                _ => Self::Other,
            },
            Kind::Gguf => Self::Gguf,
            Kind::Hdf5 => Self::Hdf5,
            Kind::Npy => Self::Npy,
            Kind::Empty => Self::Empty,
            Kind::Unknown if tar::is_tar(head) => Self::Tar,
            Kind::Unknown if is_onnx(head) => Self::Onnx,
            Kind::Unknown if is_text(head) => Self::Text,
            Kind::Ggml | Kind::TensorFlowLite | Kind::Unknown => Self::Other,
        }
    }

    /// Detects which archive this is by the names of its members.
    pub(super) fn of_members(names: &[&str]) -> Self {
        let is = |name: &[u8], other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let begins = |name: &str, start| name.as_bytes().get(..5).is_some_and(|first| is(first, start));
        let ends = |name: &str, end| name.as_bytes().last_chunk::<9>().is_some_and(|last| is(last, end));
        if names.iter().any(|name| ends(name, "/data.pkl")) {
            let mut below_root = names.iter().filter_map(|name| Some(name.split_once('/')?.1));
            let is_script =
                below_root.any(|name| is(name.as_bytes(), "constants.pkl") || begins(name, "code/"));
            return if is_script { Self::TorchScript } else { Self::TorchZip };
        }
        if names.iter().any(|name| is(name.as_bytes(), "model.weights.h5")) {
            return Self::Keras;
        }
        let all_npy = !names.is_empty() && names.iter().all(|name| name.as_bytes().ends_with(b".npy"));
        if all_npy { Self::Npz } else { Self::Zip }
    }

    /// Its name in `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Pointer => "pointer",
            Self::Safetensors => "safetensors",
            Self::TorchZip => "zip",
            Self::TorchScript => "torchscript",
            Self::Npz => "npz",
            Self::Keras => "keras",
            Self::Zip => "archive",
            Self::Legacy => "legacy",
            Self::Pickle => "pickle",
            Self::Npy => "npy",
            Self::Tar => "tar",
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::SevenZip => "7z",
            Self::Rar => "rar",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Gguf => "gguf",
            Self::Onnx => "onnx",
            Self::Hdf5 => "hdf5",
            Self::ExecuTorch => "executorch",
            Self::Image => "image",
            Self::Text => "text",
            Self::Other => "other",
        }
    }

    pub(super) fn is_zip(self) -> bool {
        matches!(self, Self::Zip | Self::TorchZip | Self::TorchScript | Self::Npz | Self::Keras)
    }

    /// Returns `true` if its first bytes identify a format that can contain data of any kind.
    pub(super) fn is_container(self) -> bool {
        matches!(self, Self::Zip | Self::Tar) || self.packing().is_some()
    }

    /// Returns the compression if the first bytes identify it. The first bytes of zlib are not specific enough.
    pub(super) fn packing(self) -> Option<Packing> {
        match self {
            Self::Gzip => Some(Packing::Gzip),
            Self::Bzip2 => Some(Packing::Bzip2),
            Self::Xz => Some(Packing::Lzma),
            Self::Lz4 => Some(Packing::Lz4),
            _ => None,
        }
    }

    /// Returns `true` if it is a container that neither this program nor a loader of pickles can open.
    pub fn is_sealed(self) -> bool {
        matches!(self, Self::SevenZip | Self::Rar | Self::Zstd)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty file",
            Self::Pointer => "LFS pointer",
            Self::Safetensors => "safetensors file",
            Self::TorchZip => "PyTorch zip file",
            Self::TorchScript => "TorchScript archive",
            Self::Npz => "numpy archive",
            Self::Keras => "Keras archive",
            Self::Zip => "zip archive",
            Self::Legacy => "legacy PyTorch file",
            Self::Pickle => "pickle",
            Self::Npy => "numpy array",
            Self::Tar => "tar archive",
            Self::Gzip => "gzip file",
            Self::Zlib => "zlib stream",
            Self::SevenZip => "7z archive",
            Self::Rar => "RAR archive",
            Self::Xz => "xz file",
            Self::Zstd => "Zstandard file",
            Self::Bzip2 => "bzip2 file",
            Self::Lz4 => "LZ4 file",
            Self::Gguf => "GGUF file",
            Self::Onnx => "ONNX file",
            Self::Hdf5 => "HDF5 file",
            Self::ExecuTorch => "ExecuTorch program",
            Self::Image => "image",
            Self::Text => "text",
            Self::Other => "unknown format",
        })
    }
}

/// Returns the possible compression and the offset of its stream; arbitrary bytes sometimes begin in the same way. A
/// zlib stream begins with the first byte, or inside joblib's container before 0.10, which is `ZF`, the length in
/// hexadecimal in 19 bytes, and perhaps one more blank.
pub(super) fn perhaps_packed(head: &[u8]) -> Option<(Packing, u64)> {
    let at = match (head, head.get(21)) {
        ([b'Z', b'F', ..], Some(b' ')) => 22,
        ([b'Z', b'F', ..], _) => 21,
        _ => 0,
    };
    let stream = usize::try_from(at).ok().and_then(|at| head.get(at..));
    if stream.is_some_and(is_zlib) {
        return Some((Packing::Zlib, at));
    }
    // Zeros would be an empty stream with an empty dictionary.
    let is_lzma = packed::is_lzma(head) && head.get(1..5) != Some(&[0; 4]);
    is_lzma.then_some((Packing::Lzma, 0))
}

/// Returns `true` for the two bytes of a zlib header: deflate, a window of at most 32 KiB, no dictionary, correct check
/// bits.
fn is_zlib(head: &[u8]) -> bool {
    match head {
        &[method, flags, ..] => {
            let both = u16::from_be_bytes([method, flags]);
            method & 0x0f == 8 && method >> 4 <= 7 && flags & 0x20 == 0 && both.is_multiple_of(31)
        }
        _ => false,
    }
}

/// `ModelProto`: the IR version as field 1, then the producer as field 2, a text, or the next fields of a model.
fn is_onnx(head: &[u8]) -> bool {
    match head {
        [8, 1..=30, 0x12, len, rest @ ..] => {
            let producer = rest.get(..usize::from(*len)).unwrap_or_default();
            !producer.is_empty() && producer.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        }
        [8, 1..=30, 0x3a, rest @ ..] => rest.iter().take(5).any(|byte| *byte == 0x0a),
        _ => false,
    }
}

/// Returns `true` if it is UTF-8 text, except for a truncated character at the end.
pub(super) fn is_text(head: &[u8]) -> bool {
    let valid = match str::from_utf8(head) {
        Ok(_) => head.len(),
        // A character may be cut at the end.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return false,
    };
    is_printable(head.get(..valid).unwrap_or_default())
}

/// Returns `true` if it has no control characters but those of texts.
pub(super) fn is_printable(text: &[u8]) -> bool {
    controls(text).all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c))
}

/// Returns the ASCII control characters in a text. Few lines of 32 bytes contain one, and a few operations on each
/// word find the others.
pub(super) fn controls(text: &[u8]) -> impl Iterator<Item = u8> {
    let (lines, rest) = text.as_chunks::<32>();
    let lines = lines.iter().filter(|line| {
        let words = line.as_chunks::<8>().0.iter();
        words.fold(0, |found, word| found | possible_controls(u64::from_ne_bytes(*word))) != 0
    });
    lines.flatten().chain(rest).copied().filter(u8::is_ascii_control)
}

/// Returns something else than 0 if a byte of the word is below 0x20 or is 0x7f, and perhaps if a byte above such a byte
/// is 0x20 or 0x7e: the subtraction of a smaller byte borrows from the next one.
fn possible_controls(word: u64) -> u64 {
    const TOP: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = |word: u64, limit: u8| word.wrapping_sub(u64::from_ne_bytes([limit; 8])) & !word & TOP;
    below(word, 0x20) | below(word ^ u64::from_ne_bytes([0x7f; 8]), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_is_found_at_any_place() {
        for byte in 0..=u8::MAX {
            for beside in [b' ', b'~', b'a', 0x80, 0xff] {
                for at in 0..75 {
                    let mut text = [beside; 75];
                    text[at] = byte;
                    let expected: Vec<u8> = text.into_iter().filter(u8::is_ascii_control).collect();
                    assert_eq!(
                        controls(&text).collect::<Vec<_>>(),
                        expected,
                        "{byte} at {at} beside {beside}"
                    );
                }
            }
        }
    }
}
