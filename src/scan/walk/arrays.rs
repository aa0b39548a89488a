//! Reads the arrays of a joblib file, which follow the opcode that sets the state of the object that represents each
//! array.
//!
//! ```text
//! joblib.numpy_pickle.NumpyArrayWrapper, made without arguments
//! BUILD with {"subclass", "shape": (3, 4), "order", "dtype": numpy.dtype, "allow_mmap", "numpy_array_alignment_bytes": 16}
//! objects: a separate pickle       else, since joblib 1.2: a byte n, then n bytes; then the elements
//! ```
//! When joblib's reader executes that `BUILD`, it reads the array from the file, which continues after the frame, and
//! replaces the object by the array. If the array has the form that joblib writes, its length is known; with any other
//! array, the position where the reader continues is unknown. Source: `NumpyArrayWrapper.read_array` and
//! `NumpyUnpickler.load_build` of joblib 1.6, `arraydescr_setstate` of numpy.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::numpy::{self, Objects};
use super::item::{Attributes, Dtype, Item, Named};

/// Returns `true` if a name, which may be dotted, is that of the class that represents an array.
pub(super) fn is_wrapper(name: &str) -> bool {
    name.rsplit('.').next() == Some("NumpyArrayWrapper")
}

/// Returns the result of a call that concerns arrays.
pub(super) fn made(callable: &Item, arguments: &Item) -> Option<Item> {
    let Item::Tuple(arguments) = arguments else { return None };
    match (callable, &**arguments) {
        (Item::Global(Named::Dtype), [Item::Text(name), ..]) => {
            let known = numpy::of_type(name.as_bytes());
            let objects = known.map(|(objects, _)| objects == Objects::Yes);
            let size = known.and_then(|(_, size)| size);
            let is_flexible = name.trim_start_matches(['|', '<', '>', '=']).starts_with(['S', 'a', 'U', 'V']);
            Some(Item::Dtype(Rc::new(RefCell::new(Dtype { objects, is_flexible, size }))))
        }
        (Item::Global(Named::Dtype), _) => Some(Item::Dtype(Rc::new(RefCell::new(Dtype::unknown())))),
        // A direct call sets its arguments as attributes.
        (Item::Global(Named::Wrapper), _) => {
            Some(Item::Wrapper(Rc::new(RefCell::new(Attributes::unknown()))))
        }
        // `copyreg._reconstructor`, below protocol 2.
        (Item::Global(_), [Item::Global(Named::Wrapper), ..]) => Some(Item::Wrapper(Attributes::none())),
        _ => None,
    }
}
