//! Creates the errors of the machine, each with the current opcode and its offset.

use super::super::opcode;
use super::{Error, Id, Machine, Value};

impl Machine<'_> {
    pub(super) fn expect(&self, id: Id, is: fn(&Value) -> bool) -> Result<(), Error> {
        if is(self.values.get(id)) { Ok(()) } else { Err(self.wrong_type(id)) }
    }

    pub(in super::super) fn within(&self, what: &'static str, len: u64, limit: u64) -> Result<(), Error> {
        if len > limit { Err(Error::Limit { what, limit, at: self.at }) } else { Ok(()) }
    }

    pub(in super::super) fn over(&self, what: &'static str, limit: usize) -> Error {
        Error::Limit { what, limit: u64::try_from(limit).unwrap_or(u64::MAX), at: self.at }
    }

    pub(in super::super) fn name(&self) -> &'static str {
        opcode::name(self.op).unwrap_or("?")
    }

    pub(super) fn underflow(&self) -> Error {
        Error::StackUnderflow { opcode: self.name(), at: self.at }
    }

    pub(in super::super) fn operand(&self, what: &'static str) -> Error {
        Error::Operand { opcode: self.name(), at: self.at, what }
    }

    pub(super) fn wrong_type(&self, id: Id) -> Error {
        Error::WrongType { opcode: self.name(), at: self.at, on: self.values.get(id).type_name() }
    }
}
