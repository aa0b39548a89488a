//! Copies a file: by shared blocks if the file system supports them, else in the kernel, else through a buffer.
//!
//! It uses its own offsets, so it never moves those of the files, and it does not sync the copy to the disk.

use std::fs::File;
use std::io;

/// How much one call copies.
const STEP: u64 = 64 << 20;

/// Makes `to`, which is empty, a copy of `from`.
pub(super) fn copy_all(from: &File, to: &File) -> io::Result<()> {
    if share_blocks(from, to) {
        return Ok(());
    }
    let (mut copied, len) = (0, from.metadata()?.len());
    while copied < len {
        copied += copy_range(from, to, copied, STEP.min(len - copied))?;
    }
    Ok(())
}

/// Makes `to` a clone of `from` with shared blocks. Returns `false` if the file system does not support that.
#[cfg(target_os = "linux")]
pub(super) fn share_blocks(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn share_blocks(_: &File, _: &File) -> bool {
    false
}

/// Copies up to `len` bytes at `at` to the same offset; at least one byte, or it is an error.
#[cfg(target_os = "linux")]
fn copy_range(from: &File, to: &File, at: u64, len: u64) -> io::Result<u64> {
    use rustix::io::Errno;
    let (mut read_at, mut write_at) = (at, at);
    let step = usize::try_from(len).unwrap_or(usize::MAX);
    match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), step) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(copied) => Ok(copied as u64),
        Err(Errno::INTR) => copy_range(from, to, at, len),
        Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
            copy_by_buffer(from, to, at, len)
        }
        Err(err) => Err(err.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn copy_range(from: &File, to: &File, at: u64, len: u64) -> io::Result<u64> {
    copy_by_buffer(from, to, at, len)
}

/// Does the same through a buffer, for pairs of file systems between which the kernel does not copy.
#[cfg(unix)]
fn copy_by_buffer(from: &File, to: &File, at: u64, len: u64) -> io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let mut buf = vec![0; usize::try_from(len.min(1 << 20)).unwrap_or(1 << 20)];
    from.read_exact_at(&mut buf, at)?;
    to.write_all_at(&buf, at)?;
    Ok(buf.len() as u64)
}

#[cfg(windows)]
fn copy_by_buffer(from: &File, to: &File, at: u64, len: u64) -> io::Result<u64> {
    use std::os::windows::fs::FileExt as _;
    let mut buf = vec![0; usize::try_from(len.min(1 << 20)).unwrap_or(1 << 20)];
    let read = from.seek_read(&mut buf, at)?;
    let written = to.seek_write(buf.get(..read).unwrap_or_default(), at)?;
    if written == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(written as u64) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    fn content(mut file: File) -> Vec<u8> {
        let mut all = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut all).unwrap();
        all
    }

    #[test]
    fn a_copy_has_all_bytes() {
        let (mut from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all(&vec![7; 3_000_001]).unwrap();
        copy_all(&from, &to).unwrap();
        assert!(content(to) == vec![7; 3_000_001]);
    }

    #[test]
    fn the_buffer_does_the_same() {
        let (mut from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all(&[7; 3000]).unwrap();
        assert_eq!(copy_by_buffer(&from, &to, 0, 1000).unwrap(), 1000);
        assert_eq!(copy_by_buffer(&from, &to, 1000, 2000).unwrap(), 2000);
        assert_eq!(content(to), vec![7; 3000]);
    }
}
