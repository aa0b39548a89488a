//! Parses the text operands of protocol 0: decimal numbers, quoted strings, escaped unicode.
//!
//! Invariant: any text that is not exactly the canonical spelling is `None`, never a guess; `CPython`'s readers
//! disagree on the rest (`I0x10`, `I1_0`).

use super::value::Value;

/// Parses `-?[0-9]+` of at most `digits` digits.
pub(super) fn integer(text: &[u8], digits: usize) -> Option<Value> {
    let text = std::str::from_utf8(text).ok()?;
    let magnitude = text.strip_prefix('-').unwrap_or(text);
    if magnitude.is_empty() || magnitude.len() > digits || !magnitude.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match text.parse::<i128>() {
        Ok(number) => Some(shrink(number)),
        Err(_) => Some(Value::Huge),
    }
}

/// Returns the smallest variant for the number.
pub(super) fn shrink(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::Big(Box::new(number)), Value::Int)
}

/// Reads two's complement, little-endian, of any length.
pub(super) fn twos_complement(bytes: &[u8]) -> Value {
    let Some(&last) = bytes.last() else { return Value::Int(0) };
    let mut number = if last >= 0x80 { [0xff; 16] } else { [0; 16] };
    match number.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return Value::Huge,
    }
    shrink(i128::from_le_bytes(number))
}

/// Parses a Python float as `repr` writes it.
pub(super) fn float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let named = ["inf", "-inf", "nan", "-nan"].contains(&text);
    if plain || named { text.parse().ok() } else { None }
}

/// Returns the value of a quoted Python 2 string literal (opcode `STRING`).
pub(super) fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let (&quote, rest) = line.split_first().filter(|(quote, _)| b"'\"".contains(quote))?;
    let (&end, body) = rest.split_last()?;
    if end != quote {
        return None;
    }
    let mut out = Vec::with_capacity(body.len());
    let mut bytes = body.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.push(escape(&mut bytes)?),
            byte if byte == quote => return None,
            byte => out.push(byte),
        }
    }
    Some(out)
}

fn escape(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match bytes.next()? {
        byte @ (b'\\' | b'\'' | b'"') => byte,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'v' => 0x0b,
        b'x' => u8::try_from(hex(bytes, 2)?).ok()?,
        _ => return None,
    })
}

fn hex(bytes: &mut impl Iterator<Item = u8>, digits: usize) -> Option<u32> {
    let mut number = 0_u32;
    for _ in 0..digits {
        let digit = char::from(bytes.next()?).to_digit(16)?;
        number = number.checked_mul(16)?.checked_add(digit)?;
    }
    Some(number)
}

/// Returns the value of a line in Python's raw-unicode-escape (opcode `UNICODE`): Latin-1, with `\u` and four
/// hexadecimal digits, and `\U` and eight. `None` also for lone surrogates.
pub(super) fn raw_unicode_escape(line: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(line.len());
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let digits = match (byte, bytes.peek()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(char::from(byte));
                continue;
            }
        };
        bytes.next();
        out.push(char::from_u32(hex(&mut bytes, digits)?)?);
    }
    Some(out)
}
