//! Reads a pickle as data: it turns bytes into an arena of values, and imports and calls nothing.
//!
//! A pickle is a program for a stack machine. [`read`] runs it symbolically: a global stays a pair of names, a call
//! stays a node with its callable and its arguments ([`Value::Object`]), a persistent ID stays the value that it was.
//! So a pickle can do nothing here except use memory, and [`Limits`] bounds that.
//!
//! Invariants: every [`Id`] in a [`Pickle`] is valid in its arena; values may form cycles, so a walk must bound itself;
//! time and memory are proportional to the input, whatever the pickle states (a shared value stays shared). This module
//! does not know torch.
//!
//! Source of the format: `CPython`'s `pickletools` documentation of the opcodes, protocols 0 to 5, and PEP 307, 3154
//! and 574. Refused although they exist: `INST`, `OBJ`, `PERSID`, `EXT1/2/4`, `NEXT_BUFFER`, `READONLY_BUFFER`.
//! Stricter than `CPython`: `PROTO` only as the first opcode, one spelling of integers, frames that no opcode crosses,
//! `BUILD` only on the result of a call.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod error;
mod inert;
mod input;
mod limits;
mod machine;
mod memo;
mod opcode;
mod operands;
mod text;
pub mod symbol;
mod value;

pub use error::Error;
pub(crate) use inert::{inert, symbol as symbol_of};
pub(crate) use input::Input;
pub use limits::Limits;
pub(crate) use memo::{Index, Memo};
pub(crate) use opcode::name as opcode_name;
pub use value::{Arena, Call, Global, Id, Object, Value};

use crate::read_at::ReadAt;

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle {
    /// All values.
    pub values: Arena,
    /// The value that `STOP` returned.
    pub root: Id,
    /// The offset of the first byte after `STOP`.
    pub end: u64,
}

impl Pickle {
    /// Returns how deeply values are nested below the root, or `None` if it is more than `limit` (or a cycle).
    pub fn depth(&self, limit: usize) -> Option<usize> {
        let mut level = vec![self.root];
        for depth in 0..=limit {
            let mut next = Vec::new();
            for &id in &level {
                self.values.children(id, |child| next.push(child));
            }
            if next.is_empty() {
                return Some(depth);
            }
            if next.len() > self.values.len() {
                return None;
            }
            level = next;
        }
        None
    }
}

/// Reads the pickle that starts at offset `at` of `source`, up to its `STOP`.
///
/// # Errors
/// [`Error`] names the opcode and the byte where the pickle is malformed, refused, or over a limit.
pub fn read(source: &dyn ReadAt, at: u64, limits: &Limits) -> Result<Pickle, Error> {
    machine::Machine::new(source, at, limits).run()
}

/// The same for a pickle that C++ wrote, in which the argument of a call may be any value, not only a tuple.
///
/// # Errors
/// As [`read`].
pub fn read_bare(source: &dyn ReadAt, at: u64, limits: &Limits) -> Result<Pickle, Error> {
    machine::Machine::new(source, at, limits).bare().run()
}

/// The same as [`read`], but byte strings are not read: each stays in the source ([`Value::Outside`]), however long it
/// is.
///
/// # Errors
/// As [`read`].
pub fn read_outside(source: &dyn ReadAt, at: u64, limits: &Limits) -> Result<Pickle, Error> {
    machine::Machine::new(source, at, limits).outside().run()
}

#[cfg(test)]
mod tests;
