//! Sources of which some bytes are known: [`Head`] has only its first ones, [`Known`] reads the others.

use std::io;

use crate::read_at::{ReadAt, usize_of};
use crate::safetensors;

/// How many bytes of a file are read at once: those that show its format, and what a pickle reader reads first.
pub(super) const FIRST: usize = 4 << 10;
/// The same for a member of a container: most members are storages, which need no more than their first bytes.
pub(super) const FIRST_OF_MEMBER: usize = 1 << 10;

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

    fn known_at(&self, at: u64) -> &[u8] {
        self.bytes.known_at(at)
    }
}

/// Returns `true` if a read failed because only the first bytes are known.
pub(super) fn is_beyond_head(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// A source of which some bytes were read: its first ones, or its last ones.
pub(super) struct Known<'a> {
    pub(super) bytes: &'a [u8],
    /// The offset of the known bytes.
    pub(super) at: u64,
    pub(super) source: &'a dyn ReadAt,
}

impl ReadAt for Known<'_> {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        match self.known_at(at).get(..buf.len()) {
            Some(known) => buf.copy_from_slice(known),
            None => self.source.read_exact_at(buf, at)?,
        }
        Ok(())
    }

    fn known_at(&self, at: u64) -> &[u8] {
        let own = at.checked_sub(self.at).and_then(|skip| self.bytes.get(usize_of(skip)..));
        let (own, others) = (own.unwrap_or_default(), self.source.known_at(at));
        if own.len() > others.len() { own } else { others }
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
