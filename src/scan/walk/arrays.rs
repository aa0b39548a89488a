//! The arrays of a joblib file, which stand between its opcodes: behind the state of the object that stands for each.
//!
//! ```text
//! joblib.numpy_pickle.NumpyArrayWrapper, made without arguments
//! BUILD with {"subclass", "shape": (3, 4), "order", "dtype": numpy.dtype, "allow_mmap", "numpy_array_alignment_bytes": 16}
//! objects: a pickle of its own     else, since joblib 1.2: a byte n, then n bytes; then the elements
//! ```
//! Where joblib's reader comes to that `BUILD`, it reads the array from the file, which is behind the frame, and puts it
//! in the place of the object. Of what is known here by the form that joblib writes, the length follows; of anything else
//! nobody knows where the reader goes on.
//! Source: `NumpyArrayWrapper.read_array` and `NumpyUnpickler.load_build` of joblib 1.6, `arraydescr_setstate` of numpy.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::numpy::{self, Objects};
use super::stack::{Item, Named};

/// Does a name, which may be dotted, mean the class that stands for an array?
pub(super) fn is_wrapper(name: &str) -> bool {
    name.rsplit('.').next() == Some("NumpyArrayWrapper")
}

/// What is known of a dict, or of the attributes of an object: nothing, or that it is there, or what it is.
#[derive(Clone, Default)]
pub(super) struct Attributes {
    /// How many elements the shape has.
    count: Option<Option<u64>>,
    dtype: Option<Option<Rc<RefCell<Dtype>>>>,
    /// Does a byte of padding come before the elements?
    padded: Option<Option<bool>>,
}

/// What is known of the type of elements.
#[derive(Clone, Copy)]
pub(super) struct Dtype {
    objects: Option<bool>,
    size: Option<u64>,
}

/// What stands in the file for an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Array {
    /// A pickle.
    Objects,
    Elements {
        padded: bool,
        len: u64,
    },
}

impl Attributes {
    /// A dict that is empty, or an object without attributes.
    pub(super) fn none() -> Rc<RefCell<Self>> {
        Rc::default()
    }

    fn unknown() -> Self {
        Self { count: Some(None), dtype: Some(None), padded: Some(None) }
    }

    /// Keys and values, in turn.
    pub(super) fn add(&mut self, items: &[Item]) {
        for pair in items.chunks_exact(2) {
            match pair {
                [Item::Text(key), value] => self.add_one(key, value),
                // It may be one of the keys.
                [Item::Made | Item::Given | Item::Inert(_) | Item::Global(_), _] => *self = Self::unknown(),
                _ => {}
            }
        }
    }

    fn add_one(&mut self, key: &str, value: &Item) {
        match key {
            "shape" => self.count = Some(count(value)),
            "dtype" => {
                self.dtype = Some(match value {
                    Item::Dtype(dtype) => Some(Rc::clone(dtype)),
                    _ => None,
                });
            }
            "numpy_array_alignment_bytes" => {
                self.padded = Some(match value {
                    Item::None => Some(false),
                    Item::Made | Item::Given | Item::Inert(_) => None,
                    _ => Some(true),
                });
            }
            _ => {}
        }
    }

    /// Sets the state of an object.
    pub(super) fn set(&mut self, state: &Item) {
        match state {
            Item::Dict(state) => self.update(&state.borrow()),
            Item::None => {}
            Item::Tuple(states) => match &**states {
                [first, second] => {
                    for state in [first, second] {
                        match state {
                            Item::Dict(state) => self.update(&state.borrow()),
                            Item::None => {}
                            _ => *self = Self::unknown(),
                        }
                    }
                }
                _ => *self = Self::unknown(),
            },
            _ => *self = Self::unknown(),
        }
    }

    fn update(&mut self, other: &Self) {
        self.count = other.count.or(self.count);
        self.padded = other.padded.or(self.padded);
        if other.dtype.is_some() {
            self.dtype.clone_from(&other.dtype);
        }
    }

    /// The array that these attributes describe, as far as they are known.
    pub(super) fn array(&self) -> Option<Array> {
        let dtype = *self.dtype.as_ref()?.as_ref()?.borrow();
        let count = self.count??;
        if dtype.objects? {
            return Some(Array::Objects);
        }
        let padded = self.padded.unwrap_or(Some(false))?;
        Some(Array::Elements { padded, len: count.checked_mul(dtype.size?)? })
    }
}

/// How many elements an array of this shape has.
fn count(shape: &Item) -> Option<u64> {
    let Item::Tuple(shape) = shape else { return None };
    shape.iter().try_fold(1_u64, |count, len| match len {
        Item::Number(len) => count.checked_mul(*len),
        _ => None,
    })
}

impl Dtype {
    /// Sets its state: the version, the order of bytes, a shape, fields, the size, the alignment, and flags, of which the
    /// first says whether there are objects.
    pub(super) fn set(&mut self, state: &Item) {
        let Item::Tuple(state) = state else {
            *self = Self { objects: None, size: None };
            return;
        };
        match &**state {
            [Item::Number(3 | 4), _, Item::None, _, _, size, _, Item::Number(flags), ..] => {
                if let Item::Number(size) = size {
                    self.size = Some(*size);
                }
                self.objects = self.objects.map(|objects| objects || flags & 1 == 1);
            }
            _ => *self = Self { objects: None, size: None },
        }
    }
}

/// What a call makes that has to do with arrays.
pub(super) fn made(callable: &Item, arguments: &Item) -> Option<Item> {
    let Item::Tuple(arguments) = arguments else { return None };
    match (callable, &**arguments) {
        (Item::Global(Named::Dtype), [Item::Text(name), ..]) => {
            let known = numpy::of_type(name.as_bytes());
            let objects = known.map(|(objects, _)| objects == Objects::Yes);
            let size = known.and_then(|(_, size)| size);
            Some(Item::Dtype(Rc::new(RefCell::new(Dtype { objects, size }))))
        }
        (Item::Global(Named::Dtype), _) => {
            Some(Item::Dtype(Rc::new(RefCell::new(Dtype { objects: None, size: None }))))
        }
        // Called itself it sets what it is given.
        (Item::Global(Named::Wrapper), _) => {
            Some(Item::Wrapper(Rc::new(RefCell::new(Attributes::unknown()))))
        }
        // `copyreg._reconstructor`, below protocol 2.
        (Item::Global(_), [Item::Global(Named::Wrapper), ..]) => Some(Item::Wrapper(Attributes::none())),
        _ => None,
    }
}
