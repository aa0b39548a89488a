//! Writes the data of a file: each tensor is read from its storage, made row-major and little-endian, and written at
//! its offset.
//!
//! Invariant: the buffer is bounded, whatever the size of a tensor; exactly [`Layout::size`] bytes are written, in
//! order, each once.

use std::io::{self, Write};

use super::gather::Gather;
use super::layout::{Layout, component};
use super::{Error, gather};
use crate::buffer::{Buffer, CAPACITY};
use crate::checkpoint::{DType, Plan, Storage, Tensor};
use crate::read_at::ReadAt;

/// Receives the bytes of a file, buffer by buffer.
pub trait Sink {
    /// Takes the next bytes, and returns a buffer to fill, with any contents.
    ///
    /// # Errors
    /// The error of the write; then the file is incomplete.
    fn put(&mut self, bytes: Buffer) -> io::Result<Buffer>;

    /// Sees bytes of the source as they were read, before anything is changed in them: those of tensors that are copied as
    /// they lie.
    ///
    /// # Errors
    /// A defect of the bytes; then the file is not written.
    fn read(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let _ = (at, bytes);
        Ok(())
    }
}

impl<W: Write> Sink for W {
    fn put(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        self.write_all(&bytes)?;
        Ok(bytes)
    }
}

/// Writes the file that `layout` describes. `source` is the source of `plan`, followed by the inflated records.
///
/// # Errors
/// [`Error::Source`] from the source, [`Error::Io`] from the sink.
pub fn write(layout: &Layout, plan: &Plan, source: &dyn ReadAt, sink: &mut dyn Sink) -> Result<(), Error> {
    let mut out = Output::new(sink, Buffer::new());
    out.bytes(layout.header())?;
    let order = layout.places().iter().map(|place| place.tensor);
    tensors(out, order, plan, source)
}

/// Writes the tensors of these indices one after the other, without a header.
///
/// # Errors
/// As [`write()`].
pub fn write_tensors(
    order: &[usize],
    plan: &Plan,
    source: &dyn ReadAt,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    tensors(Output::new(sink, Buffer::new()), order.iter().copied(), plan, source)
}

fn tensors(
    mut out: Output<'_>,
    order: impl Iterator<Item = usize>,
    plan: &Plan,
    source: &dyn ReadAt,
) -> Result<(), Error> {
    let mut gather = Gather::default();
    for index in order {
        let Some(one) = plan.tensors.get(index) else { continue };
        let Some(storage) = plan.storages.get(one.storage) else { continue };
        tensor(&mut out, &mut gather, one, storage, source)?;
    }
    out.finish().map(drop)
}

/// Writes one tensor of `storage` in `source`.
pub(super) fn tensor(
    out: &mut Output<'_>,
    gather: &mut Gather,
    tensor: &Tensor,
    storage: &Storage,
    source: &dyn ReadAt,
) -> Result<(), Error> {
    // An empty tensor may have any offset, even one that does not fit.
    if tensor.bytes() == 0 {
        return Ok(());
    }
    let fix = Fix::of(tensor, storage.big_endian);
    if gather::is_contiguous(tensor) {
        let at = storage.at + tensor.offset * tensor.width;
        return out.copy(source, at, tensor.bytes(), fix.as_ref());
    }
    gather.run(tensor, storage.at, source, &mut |bytes| {
        if let Some(fix) = &fix {
            fix.apply(bytes);
        }
        out.bytes(bytes)
    })
}

/// Collects tensors so that the sink gets full buffers, and only the last one is shorter.
pub(super) struct Output<'a> {
    sink: &'a mut dyn Sink,
    /// Only its first `filled` bytes are to be written.
    buffer: Buffer,
    filled: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink, buffer: Buffer) -> Self {
        Self { sink, buffer, filled: 0 }
    }

    /// Writes the rest; returns the buffer.
    pub(super) fn finish(mut self) -> Result<Buffer, Error> {
        self.flush()?;
        Ok(self.buffer)
    }

    fn bytes(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CAPACITY - self.filled));
            self.buffer[self.filled..][..now.len()].copy_from_slice(now);
            self.filled += now.len();
            self.flush_if_full()?;
            bytes = later;
        }
        Ok(())
    }

    /// Copies a run of the source. Elements that must be changed are never split.
    fn copy(
        &mut self,
        source: &dyn ReadAt,
        mut at: u64,
        mut len: u64,
        fix: Option<&Fix>,
    ) -> Result<(), Error> {
        while len > 0 {
            let room = CAPACITY - self.filled;
            let n = usize::try_from(len).unwrap_or(room).min(room);
            let whole = if fix.is_some() && (n as u64) < len { n - n % LONGEST } else { n };
            if let (Some(fix), 0) = (fix, whole) {
                let mut border = [0; LONGEST];
                source.read_exact_at(&mut border, at).map_err(Error::Source)?;
                self.sink.read(at, &border)?;
                fix.apply(&mut border);
                self.bytes(&border)?;
                (at, len) = (at + LONGEST as u64, len - LONGEST as u64);
                continue;
            }
            let fresh = &mut self.buffer[self.filled..][..whole];
            source.read_exact_at(fresh, at).map_err(Error::Source)?;
            self.sink.read(at, fresh)?;
            if let Some(fix) = fix {
                fix.apply(fresh);
            }
            self.filled += whole;
            self.flush_if_full()?;
            (at, len) = (at + whole as u64, len - whole as u64);
        }
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<(), Error> {
        if self.filled == CAPACITY { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.filled == 0 {
            return Ok(());
        }
        let mut full = std::mem::take(&mut self.buffer);
        full.set_len(self.filled);
        self.filled = 0;
        self.buffer = self.sink.put(full)?;
        self.buffer.set_len(CAPACITY);
        Ok(())
    }
}

/// The bytes of the longest element, a multiple of every other length.
const LONGEST: usize = 16;

/// The changes to the bytes of elements, component by component.
pub(super) struct Fix {
    component: usize,
    /// Reverse the byte order.
    swap: bool,
    /// Flip the sign of the imaginary parts.
    conjugate: bool,
    negate: Option<Negate>,
}

/// How a number is negated: floats have a sign bit, integers are complemented.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Negate {
    SignBit,
    TwosComplement,
}

impl Fix {
    pub(super) fn of(tensor: &Tensor, big_endian: bool) -> Option<Self> {
        use DType::{I8, I16, I32, I64, U8, U16, U32, U64};
        let component = component(tensor.dtype);
        let swap = big_endian && component > 1;
        let integer = matches!(tensor.dtype, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64);
        let how = if integer { Negate::TwosComplement } else { Negate::SignBit };
        let (conjugate, negate) = (tensor.conjugate, tensor.negate.then_some(how));
        (swap || conjugate || negate.is_some()).then_some(Self { component, swap, conjugate, negate })
    }

    /// Changes `bytes`, which contain whole elements.
    fn apply(&self, bytes: &mut [u8]) {
        for (index, part) in bytes.chunks_exact_mut(self.component).enumerate() {
            if self.swap {
                part.reverse();
            }
            if self.negate == Some(Negate::TwosComplement) {
                negate_integer(part);
                continue;
            }
            let imaginary = self.conjugate && index % 2 == 1;
            if imaginary != self.negate.is_some()
                && let Some(top) = part.last_mut()
            {
                *top ^= 0x80;
            }
        }
    }
}

fn negate_integer(little_endian: &mut [u8]) {
    let mut carry = true;
    for byte in little_endian {
        (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
    }
}
