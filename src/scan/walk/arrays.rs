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
use super::item::{Attributes, Dtype, Item, Named};

/// Returns `true` if a name, which may be dotted, means the class that stands for an array.
pub(super) fn is_wrapper(name: &str) -> bool {
    name.rsplit('.').next() == Some("NumpyArrayWrapper")
}

/// What a call makes that has to do with arrays.
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
        // Called itself it sets what it is given.
        (Item::Global(Named::Wrapper), _) => {
            Some(Item::Wrapper(Rc::new(RefCell::new(Attributes::unknown()))))
        }
        // `copyreg._reconstructor`, below protocol 2.
        (Item::Global(_), [Item::Global(Named::Wrapper), ..]) => Some(Item::Wrapper(Attributes::none())),
        _ => None,
    }
}
