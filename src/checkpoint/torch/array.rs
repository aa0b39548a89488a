//! Reads numpy arrays as `torch.from_numpy` would.
//!
//! ```text
//! _reconstruct(numpy.ndarray, (0,), b"b")      BUILD (1, shape, dtype, is_fortran, bytes)
//! _frombuffer(bytes, dtype, shape, "C" | "F")  protocol 5
//! dtype("f4", False, True)                     BUILD (3, "<" | ">" | "|", None, None, None, -1, -1, 0)
//! bytes: a byte string, or in protocol 2 and below _codecs.encode(text, "latin1"), bytes()
//! ```
//!
//! Invariant: an array has exactly the bytes that its shape and dtype need. Arrays of objects, text, records and dates
//! have no safetensors type and are refused by name. Source: numpy's `array_setstate`, `arraydescr_setstate` and
//! `numeric.py`.

use super::names::{Rebuild, width};
use super::{DType, Error, Limits, Torch, geometry};
use crate::pickle::{Call, Global, Id, Object, Value};

/// An array that can be a tensor.
pub(in super::super) struct Array {
    pub(in super::super) dtype: DType,
    pub(in super::super) shape: Vec<u64>,
    pub(in super::super) strides: Vec<u64>,
    pub(in super::super) big_endian: bool,
    /// The value with its bytes, their offset if they are in the source, and their number.
    pub(in super::super) bytes: Id,
    pub(in super::super) at: Option<u64>,
    pub(in super::super) len: u64,
}

/// A callable that creates an array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Maker {
    Reconstruct,
    FromBuffer,
    /// A masked array, which safetensors cannot store.
    Masked,
}

impl Maker {
    fn of(global: &Global) -> Option<Self> {
        Some(match (&*global.module, &*global.name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::Reconstruct,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy.ma.core" | "numpy.ma", "_mareconstruct") => Self::Masked,
            _ => return None,
        })
    }
}

/// Returns `true` if the global creates arrays.
pub(in super::super) fn makes_array(global: &Global) -> bool {
    Maker::of(global).is_some()
}

impl Torch<'_> {
    /// Returns `true` if the value is a numpy array.
    pub(in super::super) fn is_array(&self, id: Id) -> bool {
        self.maker(id).is_some()
    }

    /// Returns `true` if the value is the state of one of numpy's random generators. It contains an array that is not a
    /// weight.
    pub(in super::super) fn is_random_state(&self, id: Id) -> bool {
        let is = |id: Id, text: &str| self.values.text(id) == Some(text);
        match self.values.get(id) {
            Value::Dict(pairs) => pairs.first().is_some_and(|&(key, _)| is(key, "bit_generator")),
            _ => self.values.sequence(id).and_then(<[_]>::first).is_some_and(|&id| is(id, "MT19937")),
        }
    }

    /// Returns the array of a tensor: the value itself, or an array that is copied to a device.
    pub(in super::super) fn array_of(&self, id: Id) -> Option<Id> {
        if self.is_array(id) {
            return Some(id);
        }
        if self.rebuild_of(id) != Some(Rebuild::ArrayToDevice) {
            return None;
        }
        let Value::Object(object) = self.values.get(id) else { return None };
        let plain = object.call == Call::Function && object.items.is_empty() && object.appended.is_empty();
        let &[array, wanted, ..] = self.values.tuple(object.args).filter(|_| plain)? else { return None };
        let found = self.array(array, "", &Limits::default()).ok()?;
        let wanted = self.values.global(wanted).and_then(super::names::dtype);
        (wanted == Some(found.dtype)).then_some(array)
    }

    fn maker(&self, id: Id) -> Option<Maker> {
        self.values.callable(id).and_then(Maker::of)
    }

    /// Reads the array at `id`.
    pub(in super::super) fn array(&self, id: Id, name: &str, limits: &Limits) -> Result<Array, Error> {
        let unsupported = |what: String| Error::Unsupported { name: name.to_owned(), what };
        let malformed = || unsupported("malformed numpy array".to_owned());
        let Value::Object(object) = self.values.get(id) else { return Err(malformed()) };
        if object.call != Call::Function || !object.has_only_args_and_state() {
            return Err(malformed());
        }
        let (shape, dtype, is_fortran, bytes) = match self.maker(id) {
            Some(Maker::Masked) => return Err(unsupported("masked numpy array".to_owned())),
            Some(Maker::FromBuffer) => self.of_buffer(object).ok_or_else(malformed)?,
            _ => {
                let class = self.values.tuple(object.args).and_then(|args| args.first());
                let class = class.and_then(|&class| self.values.global(class)).ok_or_else(malformed)?;
                if (&*class.module, &*class.name) != ("numpy", "ndarray") {
                    return Err(unsupported(format!("numpy array of class {class}")));
                }
                self.reconstruct(object).ok_or_else(malformed)?
            }
        };
        // A dtype that changes later would change the meaning of bytes that numpy has already read.
        if self.values.offset(dtype) >= object.made.max(object.built) {
            return Err(malformed());
        }
        let (dtype, big_endian) = match self.array_dtype(dtype).ok_or_else(malformed)? {
            Ok(found) => found,
            Err(what) => return Err(unsupported(format!("numpy array of {what}"))),
        };
        let shape = self.numbers(shape).ok_or_else(malformed)?;
        if shape.len() > limits.rank {
            return Err(Error::geometry(name, "has too many dimensions"));
        }
        let len = geometry::elements(&shape).and_then(|count| count.checked_mul(width(dtype)));
        let held = self.byte_string(bytes).ok_or_else(malformed)?;
        let at = match held {
            ByteString::Outside { at, .. } => Some(at),
            _ => None,
        };
        match len {
            Some(len) if held.len().ok_or_else(malformed)? == len => {
                let strides = strides(&shape, is_fortran);
                Ok(Array { dtype, shape, strides, big_endian, bytes, at, len })
            }
            _ => Err(Error::geometry(name, "has the wrong number of bytes for its shape")),
        }
    }

    /// Returns shape, dtype, whether it is column-major, and bytes.
    fn reconstruct(&self, object: &Object) -> Option<(Id, Id, bool, Id)> {
        let &[_, _, _] = self.values.tuple(object.args)? else { return None };
        let &[version, shape, dtype, is_fortran, bytes] = self.values.tuple(object.state?)? else {
            return None;
        };
        let &Value::Bool(is_fortran) = self.values.get(is_fortran) else { return None };
        matches!(self.values.get(version), Value::Int(0 | 1)).then_some((shape, dtype, is_fortran, bytes))
    }

    fn of_buffer(&self, object: &Object) -> Option<(Id, Id, bool, Id)> {
        let &[bytes, dtype, shape, order] = self.values.tuple(object.args)? else { return None };
        let is_fortran = match self.values.text(order)? {
            "C" => false,
            "F" => true,
            _ => return None,
        };
        object.state.is_none().then_some((shape, dtype, is_fortran, bytes))
    }

    /// Reads a `numpy.dtype`: the type of the elements and whether they are big-endian, or the name of an unsupported
    /// type.
    fn array_dtype(&self, id: Id) -> Option<Result<(DType, bool), String>> {
        let Value::Object(object) = self.values.get(id) else { return None };
        let callable = self.values.global(object.callable)?;
        if (&*callable.module, &*callable.name) != ("numpy", "dtype") || object.call != Call::Function {
            return None;
        }
        let &code = self.values.tuple(object.args)?.first()?;
        let Some(code) = self.values.text(code) else { return Some(Err(self.describe(code))) };
        let dtype = match code {
            "f8" => DType::F64,
            "f4" => DType::F32,
            "f2" => DType::F16,
            "i8" => DType::I64,
            "i4" => DType::I32,
            "i2" => DType::I16,
            "i1" => DType::I8,
            "u8" => DType::U64,
            "u4" => DType::U32,
            "u2" => DType::U16,
            "u1" => DType::U8,
            "b1" => DType::BOOL,
            "c8" => DType::C64,
            other => return Some(Err(kind_of(other))),
        };
        let &[version, order, none, names, fields, size, alignment, flags] =
            self.values.tuple(object.state?)?
        else {
            return None;
        };
        let is = |id: Id, number: i64| *self.values.get(id) == Value::Int(number);
        if ![none, names, fields].into_iter().all(|id| *self.values.get(id) == Value::None) {
            return Some(Err("records".to_owned()));
        }
        if !(is(version, 3) && is(size, -1) && is(alignment, -1) && is(flags, 0)) {
            return None;
        }
        match (self.values.text(order)?, width(dtype)) {
            ("<", _) | ("|", 1) => Some(Ok((dtype, false))),
            (">", _) => Some(Ok((dtype, true))),
            _ => None,
        }
    }

    /// Returns the byte string at `id`, in any protocol's spelling.
    pub(in super::super) fn byte_string(&self, id: Id) -> Option<ByteString<'_>> {
        match self.values.get(id) {
            Value::Bytes(bytes) | Value::ByteArray(bytes) => Some(ByteString::Bytes(bytes)),
            &Value::Outside { at, len } => Some(ByteString::Outside { at, len }),
            // A Python 2 `str`, which readers decode differently unless it is ASCII.
            Value::Str(text) if text.is_ascii() => Some(ByteString::Bytes(text.as_bytes())),
            Value::Object(object) if object.is_plain_call() => {
                let callable = self.values.global(object.callable)?;
                match ((&*callable.module, &*callable.name), self.values.tuple(object.args)?) {
                    (("_codecs", "encode"), &[text, encoding])
                        if self.values.text(encoding) == Some("latin1") =>
                    {
                        self.values.text(text).map(ByteString::Latin1)
                    }
                    (("builtins" | "__builtin__", "bytes"), []) => Some(ByteString::Bytes(&[])),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The bytes of an array.
#[derive(Clone, Copy)]
pub(in super::super) enum ByteString<'a> {
    Bytes(&'a [u8]),
    /// Text with one byte per character.
    Latin1(&'a str),
    /// Bytes in the source.
    Outside {
        at: u64,
        len: u64,
    },
}

impl ByteString<'_> {
    pub(in super::super) fn len(self) -> Option<u64> {
        let len = match self {
            Self::Outside { len, .. } => return Some(len),
            Self::Bytes(bytes) => bytes.len(),
            Self::Latin1(text) => {
                text.chars().try_fold(0_usize, |count, c| Some(count.saturating_add(byte(c).map(|_| 1)?)))?
            }
        };
        u64::try_from(len).ok()
    }

    /// Returns the bytes that are in the pickle itself.
    pub(in super::super) fn to_bytes(self) -> Box<[u8]> {
        match self {
            Self::Outside { .. } => Box::default(),
            Self::Bytes(bytes) => bytes.into(),
            Self::Latin1(text) => text.chars().filter_map(byte).collect(),
        }
    }
}

/// Returns the byte of a latin1 character.
fn byte(c: char) -> Option<u8> {
    u8::try_from(u32::from(c)).ok()
}

fn strides(shape: &[u64], is_fortran: bool) -> Vec<u64> {
    let mut strides = vec![1_u64; shape.len()];
    let mut step = 1_u64;
    let mut place = |(stride, &size): (&mut u64, &u64)| {
        *stride = step;
        step = step.saturating_mul(size.max(1));
    };
    if is_fortran {
        strides.iter_mut().zip(shape).for_each(&mut place);
    } else {
        strides.iter_mut().zip(shape).rev().for_each(&mut place);
    }
    strides
}

/// Names the elements of a dtype that no tensor can have.
fn kind_of(code: &str) -> String {
    let kind = match code.as_bytes().first() {
        Some(b'O') => "objects",
        Some(b'S' | b'U' | b'a') => "text",
        Some(b'V') => "records",
        Some(b'M' | b'm') => "datetime",
        _ => return format!("dtype {code}"),
    };
    kind.to_owned()
}
