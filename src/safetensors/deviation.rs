//! [`Deviation`] measures the difference between two tensors of one shape, element by element, as their bytes pass.
//!
//! Elements of one type differ if their bits differ, so a NaN equals itself and no other, and the two zeros differ.
//! Elements of two types differ if their numbers differ. A difference is that of the numbers, exact for integers; if
//! one of them is NaN, none exists. For complex numbers it is the distance.

use std::cmp::Ordering;

use super::value::{Value, index_of, unit};
use crate::checkpoint::DType;

/// The result for two tensors.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Deviation {
    /// The number of elements.
    pub elements: u64,
    /// The number of elements that differ.
    pub differing: u64,
    /// The largest difference, if any was between numbers.
    pub largest: Option<f64>,
    /// The position of the first differing element, one number per dimension.
    pub first: Option<Vec<u64>>,
}

/// Compares as the bytes pass.
pub struct Comparer<'a> {
    shape: &'a [u64],
    old: DType,
    new: DType,
    found: Deviation,
    first: Option<u64>,
}

/// A number of any type.
#[derive(Clone, Copy, PartialEq)]
enum Number {
    Whole(i128),
    Real(f64),
    Complex(f64, f64),
    Unknown,
}

/// Returns how many numbers that run has: two of 4 bits, the low one first.
fn halves(dtype: DType) -> u64 {
    if dtype == DType::F4 { 2 } else { 1 }
}

/// Returns the bits of an element: those of its run, or of half a run.
fn element(dtype: DType, bytes: &[u8], at: u64) -> u64 {
    let (unit, halves) = (unit(dtype), halves(dtype));
    let start = usize::try_from(at / halves).unwrap_or(usize::MAX).saturating_mul(unit);
    let run = bytes.get(start..).and_then(|rest| rest.get(..unit)).unwrap_or_default();
    let mut word = [0; 8];
    word[..run.len().min(8)].copy_from_slice(&run[..run.len().min(8)]);
    let bits = u64::from_le_bytes(word);
    if halves == 2 { (bits >> (4 * (at % 2))) & 0xf } else { bits }
}

/// Returns the number of these bits.
fn number(dtype: DType, bits: u64) -> Number {
    let [low, high] = [bits & 0xffff_ffff, bits >> 32].map(|half| u32::try_from(half).unwrap_or(0));
    match dtype {
        DType::I32 => Number::Whole(low.cast_signed().into()),
        DType::U32 => Number::Whole(low.into()),
        DType::I64 => Number::Whole(bits.cast_signed().into()),
        DType::U64 => Number::Whole(bits.into()),
        DType::F32 => Number::Real(f32::from_bits(low).into()),
        DType::BF16 => Number::Real(f32::from_bits(low << 16).into()),
        DType::F64 => Number::Real(f64::from_bits(bits)),
        DType::C64 => Number::Complex(f32::from_bits(low).into(), f32::from_bits(high).into()),
        dtype => Value::new(dtype, &bits.to_le_bytes(), 0).real().map_or(Number::Unknown, Number::Real),
    }
}

impl Number {
    fn parts(self) -> Option<(f64, f64)> {
        match self {
            #[expect(
                clippy::cast_precision_loss,
                reason = "it is beside a float, or a difference that is shown"
            )]
            Self::Whole(number) => Some((number as f64, 0.0)),
            Self::Real(number) => Some((number, 0.0)),
            Self::Complex(real, imaginary) => Some((real, imaginary)),
            Self::Unknown => None,
        }
    }

    /// Returns `true` for the same number, or if both are NaN.
    fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one == other,
            _ => match (self.parts(), other.parts()) {
                (Some(one), Some(other)) => {
                    let is = |one, other| is_same(one, other) || one.is_nan() && other.is_nan();
                    is(one.0, other.0) && is(one.1, other.1)
                }
                _ => false,
            },
        }
    }

    /// Returns the distance to another number; `None` if one of them is NaN.
    fn distance(self, other: Self) -> Option<f64> {
        if let (Self::Whole(one), Self::Whole(other)) = (self, other) {
            #[expect(clippy::cast_precision_loss, reason = "it is shown")]
            return Some(one.abs_diff(other) as f64);
        }
        let (one, other) = (self.parts()?, other.parts()?);
        // Two infinities of one sign have no difference.
        let apart = |one: f64, other: f64| if is_same(one, other) { 0.0 } else { (one - other).abs() };
        let distance = apart(one.0, other.0).hypot(apart(one.1, other.1));
        (!distance.is_nan()).then_some(distance)
    }
}

/// Returns `true` also for two zeros, and never for NaN.
fn is_same(one: f64, other: f64) -> bool {
    one.partial_cmp(&other) == Some(Ordering::Equal)
}

impl<'a> Comparer<'a> {
    /// Creates it for tensors of this shape, with these element types.
    pub fn new(shape: &'a [u64], old: DType, new: DType) -> Self {
        let found = Deviation { elements: 0, differing: 0, largest: None, first: None };
        Self { shape, old, new, found, first: None }
    }

    /// Returns the bytes of equal numbers of elements; each piece must be a multiple of them.
    pub fn units(&self) -> (usize, usize) {
        // Half bytes next to other types come in pairs.
        let (old, new) = (halves(self.old), halves(self.new));
        let times = |other: u64, own: u64| if other > own { 2 } else { 1 };
        (unit(self.old) * times(new, old), unit(self.new) * times(old, new))
    }

    /// Compares the next elements of both, the same number of each.
    pub fn pass(&mut self, old: &[u8], new: &[u8]) {
        let count = (old.len() / unit(self.old)) as u64 * halves(self.old);
        let is_one_type = self.old == self.new;
        if !(is_one_type && old == new) {
            for at in 0..count {
                let (was, is) = (element(self.old, old, at), element(self.new, new, at));
                if is_one_type && was == is {
                    continue;
                }
                let (was, is) = (number(self.old, was), number(self.new, is));
                if is_one_type || !was.is(is) {
                    self.differs(at, was, is);
                }
            }
        }
        self.found.elements += count;
    }

    fn differs(&mut self, at: u64, was: Number, is: Number) {
        self.found.differing += 1;
        self.first.get_or_insert(self.found.elements + at);
        if let Some(distance) = was.distance(is) {
            self.found.largest = Some(self.found.largest.map_or(distance, |most| most.max(distance)));
        }
    }

    /// Returns the result.
    pub fn finish(self) -> Deviation {
        Deviation { first: self.first.map(|number| index_of(number, self.shape)), ..self.found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(shape: &[u64], (old, was): (DType, &[u8]), (new, is): (DType, &[u8])) -> Deviation {
        let mut comparer = Comparer::new(shape, old, new);
        let (step, other) = comparer.units();
        for (was, is) in was.chunks(step).zip(is.chunks(other)) {
            comparer.pass(was, is);
        }
        comparer.finish()
    }

    fn floats(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn elements_differ_by_their_bits_and_by_how_much() {
        let (was, is) =
            (floats(&[1.0, -0.0, f32::NAN, 4.0, 5.0, 6.0]), floats(&[1.0, 0.0, f32::NAN, 4.5, 2.0, 6.0]));
        let found = compared(&[2, 3], (DType::F32, &was), (DType::F32, &is));
        assert_eq!((found.elements, found.differing, found.largest), (6, 3, Some(3.0)));
        assert_eq!(found.first, Some(vec![0, 1]));
        let found = compared(&[2, 3], (DType::F32, &was), (DType::F32, &was));
        assert_eq!((found.differing, found.largest, found.first), (0, None, None));
        let found = compared(&[1], (DType::F32, &floats(&[f32::NAN])), (DType::F32, &floats(&[1.0])));
        assert_eq!((found.differing, found.largest), (1, None));
    }

    #[test]
    fn integers_are_exact_and_types_are_compared_by_number() {
        let (was, is) = (i64::MAX.to_le_bytes(), (i64::MAX - 1).to_le_bytes());
        let found = compared(&[1], (DType::I64, &was), (DType::I64, &is));
        assert_eq!((found.differing, found.largest), (1, Some(1.0)));
        let found = compared(&[1], (DType::U64, &u64::MAX.to_le_bytes()), (DType::U64, &[0; 8]));
        assert_eq!(found.largest, Some(18_446_744_073_709_551_615.0));
        let halves: Vec<u8> =
            [0x3c00_u16, 0x3c01, 0x7e00].iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let found = compared(&[3], (DType::F32, &floats(&[1.0, 1.0, f32::NAN])), (DType::F16, &halves));
        assert_eq!((found.elements, found.differing, found.largest), (3, 1, Some(0.000_976_562_5)));
    }

    #[test]
    fn halves_of_bytes_and_complex_numbers() {
        let found = compared(&[1, 4], (DType::F4, &[0x21, 0x43]), (DType::F4, &[0x22, 0x53]));
        assert_eq!((found.elements, found.differing, found.first), (4, 2, Some(vec![0, 0])));
        let found = compared(&[1, 2], (DType::F4, &[0x42]), (DType::F32, &floats(&[1.0, 3.0])));
        assert_eq!((found.elements, found.differing, found.largest), (2, 1, Some(1.0)));
        let found = compared(&[1], (DType::C64, &floats(&[1.0, 1.0])), (DType::C64, &floats(&[4.0, 5.0])));
        assert_eq!(found.largest, Some(5.0));
    }
}
