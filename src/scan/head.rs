//! Sources of which the first bytes are known: [`Head`] has no others, [`Begun`] reads the others.

use std::io;

use crate::read_at::ReadAt;

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
}
