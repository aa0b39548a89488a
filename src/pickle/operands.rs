//! Reads the operands of opcodes, which are lengths, numbers and strings, and pushes them.

use super::machine::Machine;
use super::value::Value;
use super::{Error, text};

impl Machine<'_> {
    pub(super) fn length_u32(&mut self) -> Result<u64, Error> {
        Ok(u32::from_le_bytes(self.input.array()?).into())
    }

    pub(super) fn length_u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.input.array()?))
    }

    pub(super) fn length_i32(&mut self) -> Result<u64, Error> {
        let len = i32::from_le_bytes(self.input.array()?);
        u64::try_from(len).map_err(|_| self.operand("negative length"))
    }

    pub(super) fn int(&mut self) -> Result<(), Error> {
        let digits = self.limits.digits;
        let line = self.input.line(self.limits.line)?;
        let value = match line {
            b"00" => Some(Value::Bool(false)),
            b"01" => Some(Value::Bool(true)),
            line => text::integer(line, digits),
        };
        value.ok_or_else(|| self.operand("not a decimal integer")).and_then(|value| self.push(value))
    }

    pub(super) fn long(&mut self) -> Result<(), Error> {
        let digits = self.limits.digits;
        let line = self.input.line(self.limits.line)?;
        let value = text::integer(line.strip_suffix(b"L").unwrap_or(line), digits);
        value.ok_or_else(|| self.operand("not a decimal integer")).and_then(|value| self.push(value))
    }

    pub(super) fn long_bytes(&mut self, len: u64) -> Result<(), Error> {
        self.within("bytes in an integer", len, self.limits.integer)?;
        let value = text::twos_complement(self.input.take(len)?);
        self.push(value)
    }

    pub(super) fn float(&mut self) -> Result<(), Error> {
        let value = text::float(self.input.line(self.limits.line)?);
        value.ok_or_else(|| self.operand("not a float")).and_then(|value| self.push(Value::Float(value)))
    }

    pub(super) fn string(&mut self) -> Result<(), Error> {
        let value = text::quoted(self.input.line(self.limits.line)?).map(text_or_bytes);
        value.ok_or_else(|| self.operand("not a quoted string")).and_then(|value| self.push(value))
    }

    pub(super) fn unicode(&mut self) -> Result<(), Error> {
        let value = text::raw_unicode_escape(self.input.line(self.limits.line)?);
        let value = value.ok_or_else(|| self.operand("invalid escape"))?;
        self.push(Value::Str(value.into()))
    }

    pub(super) fn text(&mut self, len: u64) -> Result<(), Error> {
        self.within("bytes in a string", len, self.limits.text)?;
        let (at, outside) = (self.input.at(), self.outside);
        let bytes = self.input.take(len)?;
        let value = match std::str::from_utf8(bytes) {
            Ok(text) => Value::Str(text.into()),
            Err(_) if outside => Value::Outside { at, len },
            Err(_) => Value::Bytes(bytes.into()),
        };
        self.push(value)
    }

    pub(super) fn bytes(&mut self, len: u64, variant: fn(Box<[u8]>) -> Value) -> Result<(), Error> {
        if self.outside {
            let at = self.input.at();
            self.input.skip(len)?;
            return self.push(Value::Outside { at, len });
        }
        self.within("bytes in a byte string", len, self.limits.blob)?;
        let value = variant(self.input.take(len)?.into());
        self.push(value)
    }

    pub(super) fn text_index(&mut self) -> Result<u64, Error> {
        let digits = self.limits.digits;
        let line = self.input.line(self.limits.line)?;
        match text::integer(line, digits) {
            Some(Value::Int(index)) if index >= 0 => Ok(index.unsigned_abs()),
            _ => Err(self.operand("not a memo index")),
        }
    }
}

fn text_or_bytes(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Str(text.into()),
        Err(error) => Value::Bytes(error.into_bytes().into()),
    }
}
