//! Sources of which the first bytes are known: [`Head`] has no others, [`Begun`] reads the others.

use std::io;

use crate::read_at::ReadAt;
use crate::safetensors;

/// The first bytes of a longer source; the remaining bytes cannot be read.
pub(super) struct Head<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) len: u64,
}

impl ReadAt for Head<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.bytes.read_exact_at(buf, at).map_err(|_| io::ErrorKind::WouldBlock.into())
    }
}

/// Returns `true` if a read failed because only the first bytes are known.
pub(super) fn is_beyond_head(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// A source whose first bytes were read.
pub(super) struct Begun<'a> {
    pub(super) head: &'a [u8],
    pub(super) source: &'a dyn ReadAt,
}

impl ReadAt for Begun<'_> {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let known = usize::try_from(at).ok().and_then(|at| self.head.get(at..)?.get(..buf.len()));
        match known {
            Some(known) => buf.copy_from_slice(known),
            None => self.source.read_exact_at(buf, at)?,
        }
        Ok(())
    }

    fn in_memory(&self) -> Option<&[u8]> {
        self.source.in_memory()
    }
}

/// Returns `true` if the header describes the whole file. If the header is longer than the head of a source, the
/// function relies on its stated length.
pub(super) fn is_safetensors(source: &dyn ReadAt) -> io::Result<bool> {
    match safetensors::read(source) {
        Ok(_) => Ok(true),
        Err(safetensors::Error::Io(error)) if is_beyond_head(&error) => {
            let len: [u8; 8] = source.read_vec_at(0, 8)?.try_into().unwrap_or_default();
            Ok(u64::from_le_bytes(len).checked_add(8).is_some_and(|end| end <= source.len()))
        }
        Err(safetensors::Error::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        Err(_) => Ok(false),
    }
}
