//! [`Error`] states why a pickle was not read, with the opcode and the byte.

use std::io;

/// Why a pickle was not read. Offsets count from the start of the source that contains the pickle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source could not be read.
    #[error("cannot read the pickle at byte {at}")]
    Io {
        /// The offset at which the read began.
        at: u64,
        /// The error of the source.
        source: io::Error,
    },
    /// The bytes end before `STOP`.
    #[error("invalid pickle: ends at byte {at} without STOP")]
    Truncated {
        /// The end of the bytes.
        at: u64,
    },
    /// A byte that is not an opcode.
    #[error("invalid pickle: unknown opcode {byte:#04x} at byte {at}")]
    UnknownOpcode {
        /// The byte.
        byte: u8,
        /// Its offset.
        at: u64,
    },
    /// An opcode that exists and is refused.
    #[error("refused: pickle opcode {opcode} at byte {at} is not supported")]
    RefusedOpcode {
        /// Its name.
        opcode: &'static str,
        /// Its offset.
        at: u64,
    },
    /// A protocol above 5, or a second `PROTO`.
    #[error("refused: pickle protocol {version} at byte {at} is not supported")]
    Protocol {
        /// The version that it names.
        version: u8,
        /// The offset of `PROTO`.
        at: u64,
    },
    /// The operand is not what the opcode needs.
    #[error("invalid pickle: {opcode} at byte {at}: {what}")]
    Operand {
        /// The opcode.
        opcode: &'static str,
        /// Its offset.
        at: u64,
        /// The fault.
        what: &'static str,
    },
    /// Fewer values are on the stack than the opcode takes.
    #[error("invalid pickle: {opcode} at byte {at}: stack underflow")]
    StackUnderflow {
        /// The opcode.
        opcode: &'static str,
        /// Its offset.
        at: u64,
    },
    /// The opcode needs a mark, and none is open.
    #[error("invalid pickle: {opcode} at byte {at}: no mark")]
    NoMark {
        /// The opcode.
        opcode: &'static str,
        /// Its offset.
        at: u64,
    },
    /// A memo entry that was never put.
    #[error("invalid pickle: {opcode} at byte {at}: memo {index} not found")]
    MemoMiss {
        /// The opcode.
        opcode: &'static str,
        /// Its offset.
        at: u64,
        /// The entry.
        index: u64,
    },
    /// An opcode on a value of the wrong type.
    #[error("invalid pickle: {opcode} at byte {at}: unexpected operand: {on}")]
    WrongType {
        /// The opcode.
        opcode: &'static str,
        /// Its offset.
        at: u64,
        /// The type found.
        on: &'static str,
    },
    /// An opcode crosses the end of its frame, or a frame opens inside another (PEP 3154).
    #[error("invalid pickle: bad frame at byte {at}")]
    Frame {
        /// The offset of the opcode.
        at: u64,
    },
    /// Values are left on the stack at `STOP`.
    #[error("invalid pickle: {left} extra values at STOP, byte {at}")]
    LeftOver {
        /// The number of values.
        left: usize,
        /// The offset of `STOP`.
        at: u64,
    },
    /// A limit was exceeded.
    #[error("pickle exceeds the limit of {limit} {what} at byte {at}")]
    Limit {
        /// The limited quantity.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The offset at which it was exceeded.
        at: u64,
    },
}
