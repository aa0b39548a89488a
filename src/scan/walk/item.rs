//! [`Item`] describes what is known of a value, and of the attributes of an object that represents an array.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Carrier, Span};

/// The known facts about a value, as far as a global, or a call with an effect here, can be made from it.
#[derive(Clone)]
pub(super) enum Item {
    Text(Rc<str>),
    Global(Named),
    /// The result of a carrier in a form that does nothing until it is called.
    Inert(Carrier),
    /// The result of a call, which may be anything.
    Made,
    /// A value that only some loaders have: of a persistent ID, or of the extension registry. Noise contains such
    /// values too, so a call of one is not evidence.
    Given,
    /// A few values without tuples among them: so it has no depth.
    Tuple(Rc<[Self]>),
    None,
    /// A number that is not negative.
    Number(u64),
    /// A string of bytes.
    Bytes(Span),
    /// A text that is longer than its kept beginning, with its position.
    Long(Rc<str>, Span),
    /// A dict, if joblib's reader is followed.
    Dict(Rc<RefCell<Attributes>>),
    /// An object that joblib's reader replaces by an array.
    Wrapper(Rc<RefCell<Attributes>>),
    /// The type of an array's elements, if joblib's reader is followed.
    Dtype(Rc<RefCell<Dtype>>),
    Plain,
}

/// The meaning of the name of a global on the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Carrier(Carrier),
    /// A name that is spelled as a class, and not dangerous.
    Class,
    /// The class that represents an array in a joblib file.
    Wrapper,
    /// `numpy.dtype`.
    Dtype,
    /// `_codecs.encode`, which spells bytes below protocol 3.
    Encode,
    /// Any other name that is not dangerous.
    Other,
    Dangerous,
}

/// The known facts about one attribute.
#[derive(Clone, Copy, Default)]
enum Known<T> {
    #[default]
    Absent,
    /// It exists, or may exist.
    Unknown,
    Is(T),
}

/// The known facts about a dict, or about the attributes of an object.
#[derive(Clone, Default)]
pub(super) struct Attributes {
    /// The number of elements in the shape.
    count: Known<u64>,
    dtype: Known<Rc<RefCell<Dtype>>>,
    /// `true` if a padding byte precedes the elements.
    padded: Known<bool>,
}

impl<T: Clone> Known<T> {
    fn of(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, Self::Is)
    }

    /// Overwrites attributes with those that `other` has.
    fn update(&mut self, other: &Self) {
        if !matches!(other, Self::Absent) {
            self.clone_from(other);
        }
    }

    fn get(&self) -> Option<&T> {
        if let Self::Is(value) = self { Some(value) } else { None }
    }
}

/// The known facts about the type of elements.
#[derive(Clone, Copy)]
pub(super) struct Dtype {
    pub(super) objects: Option<bool>,
    /// `true` for a type of any length.
    pub(super) is_flexible: bool,
    pub(super) size: Option<u64>,
}

/// The bytes of an array in the file.
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
    /// Creates an empty dict, or an object without attributes.
    pub(super) fn none() -> Rc<RefCell<Self>> {
        Rc::default()
    }

    pub(super) fn shared_unknown() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self::unknown()))
    }

    pub(super) fn unknown() -> Self {
        Self { count: Known::Unknown, dtype: Known::Unknown, padded: Known::Unknown }
    }

    /// Adds keys and values, which alternate.
    pub(super) fn add(&mut self, items: &[Item]) {
        for pair in items.chunks_exact(2) {
            match pair {
                [Item::Text(key), value] => self.add_one(key, value),
                // The value may be one of the keys.
                [Item::Made | Item::Given | Item::Inert(_) | Item::Global(_), _] => *self = Self::unknown(),
                _ => {}
            }
        }
    }

    fn add_one(&mut self, key: &str, value: &Item) {
        match key {
            "shape" => self.count = Known::of(count(value)),
            "dtype" => {
                self.dtype = match value {
                    Item::Dtype(dtype) => Known::Is(Rc::clone(dtype)),
                    _ => Known::Unknown,
                };
            }
            "subclass" | "order" | "allow_mmap" => {}
            "numpy_array_alignment_bytes" => {
                self.padded = match value {
                    Item::None => Known::Is(false),
                    Item::Made | Item::Given | Item::Inert(_) => Known::Unknown,
                    _ => Known::Is(true),
                };
            }
            // For example, an attribute that its class looks up.
            _ => *self = Self::unknown(),
        }
    }

    /// Sets the state of an object.
    pub(super) fn set(&mut self, state: &Item) {
        let states = match state {
            Item::Tuple(states) if states.len() == 2 => states,
            state => std::slice::from_ref(state),
        };
        for state in states {
            match state {
                Item::Dict(state) => self.update(&state.borrow()),
                Item::None => {}
                _ => *self = Self::unknown(),
            }
        }
    }

    fn update(&mut self, other: &Self) {
        self.count.update(&other.count);
        self.dtype.update(&other.dtype);
        self.padded.update(&other.padded);
    }

    /// Returns the array that these attributes describe, as far as they are known.
    pub(super) fn array(&self) -> Option<Array> {
        let dtype = *self.dtype.get()?.borrow();
        let count = *self.count.get()?;
        if dtype.objects? {
            return Some(Array::Objects);
        }
        let padded = match self.padded {
            Known::Absent => false,
            Known::Unknown => return None,
            Known::Is(padded) => padded,
        };
        Some(Array::Elements { padded, len: count.checked_mul(dtype.size?)? })
    }
}

/// Returns the number of elements of this shape.
fn count(shape: &Item) -> Option<u64> {
    let Item::Tuple(shape) = shape else { return None };
    shape.iter().try_fold(1_u64, |count, len| match len {
        Item::Number(len) => count.checked_mul(*len),
        _ => None,
    })
}

impl Dtype {
    pub(super) fn unknown() -> Self {
        Self { objects: None, is_flexible: false, size: None }
    }

    /// Sets its state: the version, the byte order, a shape, fields, the size, the alignment, and flags, of which the
    /// first states whether the elements contain objects.
    pub(super) fn set(&mut self, state: &Item) {
        let Item::Tuple(state) = state else {
            *self = Self::unknown();
            return;
        };
        match &**state {
            [Item::Number(3 | 4), _, Item::None, _, _, size, _, Item::Number(flags), ..] => {
                // numpy uses the size only for types of any length; it uses the flags as they are.
                match size {
                    Item::Number(size) if self.is_flexible => self.size = Some(*size),
                    Item::Number(_) => self.size = None,
                    _ => {}
                }
                let has_objects = flags & 1 == 1;
                self.objects = self.objects.filter(|objects| self.is_flexible || *objects == has_objects);
                self.objects = self.objects.map(|_| has_objects);
            }
            _ => *self = Self::unknown(),
        }
    }
}
