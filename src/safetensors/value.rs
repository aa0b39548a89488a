//! [`Value`] formats one element for the user, as its number and its bits.
//!
//! A float is decoded by the widths of its fields, so that no operation can quiet a NaN. Source of the small formats:
//! the OCP specifications of 8-bit floats and of microscaling formats, and torch's `float8_*` types, against which the
//! numbers are tested.

use std::fmt;

use crate::checkpoint::DType;

/// One element of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    dtype: DType,
    /// Little-endian, in the low bits.
    bits: u64,
}

/// A float by its fields: bits of the exponent and of the mantissa, bias, and the meaning of the highest exponent.
struct Float {
    exponent: u32,
    mantissa: u32,
    bias: i32,
    special: Special,
}

/// Which bits are not numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    /// As in IEEE 754.
    Ieee,
    /// Only all ones is NaN, and infinity does not exist.
    AllOnes,
    /// The bits of the negative zero are NaN.
    NegativeZero,
    /// All bits are numbers.
    None,
}

impl Value {
    /// Reads the element in these bytes, at most 8 of them; `half` selects one of two in a byte: 0 is the low one.
    pub(super) fn new(dtype: DType, bytes: &[u8], half: u64) -> Self {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(bytes) {
            *to = *from;
        }
        let bits = u64::from_le_bytes(word);
        let bits = if dtype == DType::F4 { (bits >> (4 * half)) & 0xf } else { bits };
        Self { dtype, bits }
    }

    /// Returns the bits, `0x` and as many digits as the element has.
    pub fn bits(&self) -> String {
        let digits = self.dtype.bitsize().div_ceil(4);
        format!("0x{:0digits$x}", self.bits)
    }

    /// Returns the number of a type of at most 16 bits; `None` for any other, and if it is not known here.
    pub(super) fn real(&self) -> Option<f64> {
        let [low, high, ..] = self.bits.to_le_bytes();
        Some(match self.dtype {
            DType::BOOL | DType::U8 => low.into(),
            DType::I8 => low.cast_signed().into(),
            DType::U16 => u16::from_le_bytes([low, high]).into(),
            DType::I16 => i16::from_le_bytes([low, high]).into(),
            DType::F8_E8M0 if low == 0xff => f64::NAN,
            // Only a power of two.
            DType::F8_E8M0 => 2_f64.powi(i32::from(low) - 127),
            dtype => float(dtype)?.number(self.bits),
        })
    }

    /// Returns the number; `None` for a type whose numbers are not known here.
    pub fn number(&self) -> Option<String> {
        let bits = self.bits;
        let signed = |width: u32| (bits << (64 - width)).cast_signed() >> (64 - width);
        Some(match self.dtype {
            DType::BOOL => match bits {
                0 => "false".to_owned(),
                1 => "true".to_owned(),
                other => other.to_string(),
            },
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => bits.to_string(),
            DType::I8 => signed(8).to_string(),
            DType::I16 => signed(16).to_string(),
            DType::I32 => signed(32).to_string(),
            DType::I64 => signed(64).to_string(),
            DType::F64 => format!("{:?}", f64::from_bits(bits)),
            DType::F32 => f32_text(bits & 0xffff_ffff),
            DType::C64 => {
                let (real, imaginary) = (f32_text(bits & 0xffff_ffff), f32_text(bits >> 32));
                let sign = if imaginary.starts_with('-') { "" } else { "+" };
                format!("{real}{sign}{imaginary}j")
            }
            _ => format!("{:?}", self.real()?),
        })
    }
}

/// Returns the bytes of the smallest run with a value: of an element, or of two elements of 4 bits.
pub(super) fn unit(dtype: DType) -> usize {
    dtype.bitsize().div_ceil(8).max(1)
}

/// Returns the position of the element with this number in a tensor, one number per dimension.
pub(super) fn index_of(mut number: u64, shape: &[u64]) -> Vec<u64> {
    let mut index = vec![0; shape.len()];
    for (digit, &size) in index.iter_mut().zip(shape).rev() {
        *digit = number % size.max(1);
        number /= size.max(1);
    }
    index
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            Some(number) => write!(f, "{number} ({})", self.bits()),
            None => f.write_str(&self.bits()),
        }
    }
}

fn f32_text(bits: u64) -> String {
    format!("{:?}", f32::from_bits(u32::try_from(bits).unwrap_or(0)))
}

fn float(dtype: DType) -> Option<Float> {
    let (exponent, mantissa, bias, special) = match dtype {
        DType::F16 => (5, 10, 15, Special::Ieee),
        DType::BF16 => (8, 7, 127, Special::Ieee),
        DType::F8_E5M2 => (5, 2, 15, Special::Ieee),
        DType::F8_E4M3 => (4, 3, 7, Special::AllOnes),
        DType::F8_E5M2FNUZ => (5, 2, 16, Special::NegativeZero),
        DType::F8_E4M3FNUZ => (4, 3, 8, Special::NegativeZero),
        DType::F4 => (2, 1, 1, Special::None),
        _ => return None,
    };
    Some(Float { exponent, mantissa, bias, special })
}

impl Float {
    fn number(&self, bits: u64) -> f64 {
        let Self { exponent, mantissa, bias, special } = *self;
        let fraction = bits & ((1 << mantissa) - 1);
        let power = (bits >> mantissa) & ((1 << exponent) - 1);
        let is_negative = (bits >> (mantissa + exponent)) & 1 == 1;
        let (top, all) = ((1 << exponent) - 1, (1 << mantissa) - 1);
        let sign = if is_negative { -1.0 } else { 1.0 };
        match special {
            Special::Ieee if power == top => {
                return if fraction == 0 { sign * f64::INFINITY } else { f64::NAN };
            }
            Special::AllOnes if power == top && fraction == all => return f64::NAN,
            Special::NegativeZero if is_negative && power == 0 && fraction == 0 => return f64::NAN,
            _ => {}
        }
        // At most 11 bits: exact.
        let whole = u32::try_from(if power == 0 { fraction } else { fraction | 1 << mantissa }).unwrap_or(0);
        let scale = i32::try_from(power.max(1)).unwrap_or(0) - bias - mantissa.cast_signed();
        sign * f64::from(whole) * 2_f64.powi(scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_torch_reads() {
        let table = include_str!("../../tests/fixtures/verify/numbers.tsv");
        let mut lines = 0;
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let cells: Vec<&str> = line.split('\t').collect();
            let [dtype, bits, number] = cells[..] else { panic!("{line}") };
            let dtype: DType = serde_json::from_value(serde_json::json!(dtype)).unwrap();
            let bytes = u64::from_str_radix(bits, 16).unwrap().to_le_bytes();
            let value = Value::new(dtype, &bytes, 0);
            let got = value.number().unwrap();
            let same = match number {
                "nan" => got == "NaN",
                "True" | "False" => got == number.to_lowercase(),
                // torch and Python widen short floats, so the texts may differ where the numbers are equal.
                number => match (number.parse::<f64>(), got.parse::<f64>()) {
                    (Ok(number), Ok(got)) if dtype != DType::F32 => number.to_bits() == got.to_bits(),
                    (Ok(number), Ok(_)) => {
                        number.to_bits() == f64::from(got.parse::<f32>().unwrap()).to_bits()
                    }
                    _ => number == got,
                },
            };
            assert!(same, "{line}: {got}");
            lines += 1;
        }
        assert!(lines > 1000, "{lines}");
    }

    #[test]
    fn bits_have_all_their_digits() {
        assert_eq!(Value::new(DType::F16, &[1, 0], 0).to_string(), "5.960464477539063e-8 (0x0001)");
        assert_eq!(Value::new(DType::F4, &[0x5a], 1).to_string(), "3.0 (0x5)");
        assert_eq!(Value::new(DType::BOOL, &[1], 0).to_string(), "true (0x01)");
        let complex = [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0];
        assert_eq!(Value::new(DType::C64, &complex, 0).to_string(), "1.0-2.0j (0xc00000003f800000)");
        assert_eq!(Value::new(DType::F6_E2M3, &[7], 0).to_string(), "0x07");
    }
}
