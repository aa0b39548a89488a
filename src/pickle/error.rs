//! [`Error`]: why a pickle was not read, with the opcode and the byte.

use std::io;

/// Why a pickle was not read. Offsets count from the start of the source that holds the pickle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source could not be read.
    #[error("pickle at byte {at} cannot be read")]
    Io {
        /// Where the read began.
        at: u64,
        /// What the source said.
        source: io::Error,
    },
    /// The bytes end before `STOP`.
    #[error("pickle ends at byte {at} before its STOP")]
    Truncated {
        /// The end of the bytes.
        at: u64,
    },
    /// A byte that is no opcode.
    #[error("byte {byte:#04x} at {at} is not a pickle opcode")]
    UnknownOpcode {
        /// The byte.
        byte: u8,
        /// Its offset.
        at: u64,
    },
    /// An opcode that exists and is not accepted.
    #[error("pickle opcode {opcode} at byte {at} is refused")]
    RefusedOpcode {
        /// Its name.
        opcode: &'static str,
        /// Its offset.
        at: u64,
    },
    /// A protocol above 5, or a second `PROTO`.
    #[error("pickle protocol {version} at byte {at} is refused")]
    Protocol {
        /// The version it names.
        version: u8,
        /// The offset of `PROTO`.
        at: u64,
    },
    /// The operand is not what the opcode needs.
    #[error("pickle opcode {opcode} at byte {at} has {what}")]
    Operand {
        /// The opcode.
        opcode: &'static str,
        /// Its offset.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Fewer values on the stack than the opcode takes.
    #[error("pickle opcode {opcode} at byte {at} finds too few values on the stack")]
    StackUnderflow {
        /// The opcode.
        opcode: &'static str,
        /// Its offset.
        at: u64,
    },
    /// No open mark.
    #[error("pickle opcode {opcode} at byte {at} finds no mark")]
    NoMark {
        /// The opcode.
        opcode: &'static str,
        /// Its offset.
        at: u64,
    },
    /// A memo entry that was never put.
    #[error("pickle opcode {opcode} at byte {at} asks for memo {index}, which does not exist")]
    MemoMiss {
        /// The opcode.
        opcode: &'static str,
        /// Its offset.
        at: u64,
        /// The entry.
        index: u64,
    },
    /// An opcode on a value of the wrong type.
    #[error("pickle opcode {opcode} at byte {at} works on {on}")]
    WrongType {
        /// The opcode.
        opcode: &'static str,
        /// Its offset.
        at: u64,
        /// The type found.
        on: &'static str,
    },
    /// An opcode crosses the end of its frame, or a frame opens inside another (PEP 3154).
    #[error("pickle frame is broken at byte {at}")]
    Frame {
        /// The offset of the opcode.
        at: u64,
    },
    /// Values are left on the stack at `STOP`.
    #[error("pickle leaves {left} values on the stack at its STOP at byte {at}")]
    LeftOver {
        /// How many.
        left: usize,
        /// The offset of `STOP`.
        at: u64,
    },
    /// A limit is passed.
    #[error("pickle at byte {at} is over the limit of {limit} {what}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// Where it was passed.
        at: u64,
    },
}
