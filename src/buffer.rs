//! [`Buffer`] stores bytes in memory aligned for direct writes to a disk, and [`Pool`] limits the number of buffers.
//!
//! A buffer that was filled is written to one or two files and hashed, each on its own thread. The threads share it
//! without a copy, and it returns to the pool when the last one has finished with it.
//!
//! Invariants: the bytes of a buffer of a pool begin at a multiple of [`ALIGNMENT`]; a pool never makes more buffers than
//! its limit, so the thread that fills buffers waits for those that empty them. Bytes that were [`Received`] become a
//! buffer that no pool made, of any length and alignment.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

/// The bytes of a buffer: enough to keep a disk busy, and few enough to stay in the cache.
pub const CAPACITY: usize = 1 << 20;

/// The alignment of buffers, which any disk needs for direct access to memory.
pub const ALIGNMENT: usize = 4096;

/// Up to [`CAPACITY`] bytes, or those that were [`Received`]. The default uses no memory.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// Creates a buffer of [`CAPACITY`] zeros.
    pub fn new() -> Self {
        let memory = vec![0; CAPACITY + ALIGNMENT];
        // Without an aligned address the bytes are only slower to write.
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { memory, start, len: CAPACITY }
    }

    /// Sets the length, at most [`CAPACITY`]; the contents of added bytes are not defined.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.memory.len().saturating_sub(self.start)).min(CAPACITY);
    }
}

impl From<Received> for Buffer {
    fn from(received: Received) -> Self {
        Self { start: 0, len: received.len, memory: received.memory }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

/// Bytes that arrive one after the other, in memory of any alignment that is used again without being cleared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    memory: Vec<u8>,
    len: usize,
}

impl Received {
    /// Returns the memory for the bytes after the received ones, up to `until`; its contents are not defined.
    pub fn space(&mut self, until: usize) -> &mut [u8] {
        if self.memory.len() < until {
            self.memory.resize(until, 0);
        }
        self.memory.get_mut(self.len..until).unwrap_or_default()
    }

    /// Counts bytes at the beginning of the space as received.
    pub fn add(&mut self, count: usize) {
        self.len = self.len.saturating_add(count).min(self.memory.len());
    }

    /// Returns the received bytes.
    pub fn into_vec(mut self) -> Vec<u8> {
        self.memory.truncate(self.len);
        self.memory
    }
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

/// Buffers to take, fill and share.
#[derive(Debug)]
pub struct Pool {
    limit: usize,
    made: usize,
    spare: Receiver<Buffer>,
    give_back: Sender<Buffer>,
}

impl Pool {
    /// Creates a pool of at most `limit` buffers, none of which exists yet.
    pub fn new(limit: usize) -> Self {
        let (give_back, spare) = mpsc::channel();
        Self { limit, made: 0, spare, give_back }
    }

    /// Returns a buffer of full length with undefined contents. Waits if all are in use.
    pub fn take(&mut self) -> Buffer {
        let mut buffer = match self.spare.try_recv() {
            Ok(buffer) => buffer,
            Err(_) if self.made < self.limit => self.make(),
            // The channel cannot close, because this pool holds an end of it.
            Err(_) => self.spare.recv().unwrap_or_else(|_| Buffer::new()),
        };
        buffer.set_len(CAPACITY);
        buffer
    }

    /// Returns the memory of a buffer that came back, or none. Does not wait.
    pub fn reclaim(&self) -> Received {
        let memory = self.spare.try_recv().map_or_else(|_| Vec::new(), |buffer| buffer.memory);
        Received { memory, len: 0 }
    }

    fn make(&mut self) -> Buffer {
        self.made += 1;
        Buffer::new()
    }

    /// Turns a filled buffer into one that several threads can read.
    pub fn share(&self, buffer: Buffer) -> Shared {
        Shared { buffer: Some(Arc::new(buffer)), give_back: Some(self.give_back.clone()) }
    }
}

/// A buffer that several threads read; the last one returns it to its pool.
#[derive(Debug, Clone)]
pub struct Shared {
    /// `None` only while it is dropped.
    buffer: Option<Arc<Buffer>>,
    /// `None` if it belongs to no pool.
    give_back: Option<Sender<Buffer>>,
}

impl Deref for Shared {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| buffer)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take().and_then(Arc::into_inner) {
            // The pool may be gone, and then no one needs the buffer.
            let _unwanted = self.give_back.as_ref().map(|pool| pool.send(buffer));
        }
    }
}

/// Bytes that pass: borrowed, or in a buffer that can be shared without a copy.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'b> {
    /// They are valid until the callee returns.
    Borrowed(&'b [u8]),
    /// They are valid as long as somebody has the buffer.
    Shared(&'b Shared),
}

impl Piece<'_> {
    /// Returns a buffer of the bytes that can be kept; borrowed bytes are copied.
    pub fn to_shared(self) -> Shared {
        match self {
            Self::Borrowed(bytes) => {
                let buffer = Buffer { memory: bytes.to_vec(), start: 0, len: bytes.len() };
                Shared { buffer: Some(Arc::new(buffer)), give_back: None }
            }
            Self::Shared(shared) => shared.clone(),
        }
    }
}

impl Deref for Piece<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(shared) => shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_as_long_as_it_is_told() {
        let mut buffer = Pool::new(1).take();
        assert_eq!((buffer.len(), buffer.as_ptr().align_offset(ALIGNMENT)), (CAPACITY, 0));
        buffer.fill(7);
        buffer.set_len(3);
        assert_eq!(&*buffer, [7; 3]);
    }

    #[test]
    fn a_piece_is_kept_without_a_copy_if_it_can_be_shared() {
        let (pool, mut received) = (Pool::new(0), Received::default());
        received.space(4).copy_from_slice(&[1, 2, 3, 4]);
        received.add(2);
        received.space(4)[0] = 3;
        received.add(1);
        assert_eq!(&*received, [1, 2, 3]);
        let shared = pool.share(received.into());
        let kept = Piece::Shared(&shared).to_shared();
        assert_eq!((&*kept, kept.as_ptr()), (&[1_u8, 2, 3][..], shared.as_ptr()));
        drop(shared);
        assert_eq!(pool.reclaim().memory.capacity(), 0);
        drop(kept);
        let again = pool.reclaim();
        assert_eq!((again.len(), again.memory.len()), (0, 4), "it is not cleared");
        assert_eq!(&*Piece::Borrowed(&[4, 5]).to_shared(), [4, 5]);
    }

    #[test]
    fn the_last_reader_gives_it_back_and_the_pool_waits_for_it() {
        let mut pool = Pool::new(2);
        let (mut first, _second) = (pool.take(), pool.take());
        first[0] = 42;
        let shared = pool.share(first);
        let other = shared.clone();
        drop(shared);
        let reader = std::thread::spawn(move || other[0]);
        assert_eq!(pool.take()[0], 42);
        assert_eq!(reader.join().unwrap(), 42);
    }
}
