//! Builds `TorchScript` archives: objects, and the code that declares their classes.

use super::archive::{self, Record};
use super::{floats, pickle, records};

/// The code of `__torch__.M` with a parameter `a`.
pub(crate) const CODE: &str =
    "class M(Module):\n  __parameters__ = [\"a\", ]\n  __buffers__ = []\n  a : Tensor\n  training : bool\n";

/// Returns an object of `__torch__.NAME` as torch pickles it.
pub(crate) fn object(name: &str, attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    object_of("__torch__", name, &pickle::named(attributes))
}

/// Returns an object of any class with any state.
pub(crate) fn object_of(module: &str, name: &str, state: &[u8]) -> Vec<u8> {
    let new = [pickle::global(module, name), b")\x81".to_vec()].concat();
    pickle::built(&new, state)
}

/// Returns an object that `CODE` declares.
pub(crate) fn plain() -> Vec<u8> {
    object("M", &[("a", pickle::four()), ("training", vec![0x88])])
}

/// Returns the records of an archive: one storage `0` of 4 floats, the code by its path below `code`, no constants.
pub(crate) fn script_records(object: &[u8], code: &[(&str, &str)]) -> Vec<Record> {
    let mut all = records(object, &[("0", &floats(4))]);
    let named =
        |&(path, text): &(&str, &str)| Record::deflated(&format!("archive/code/{path}"), text.as_bytes());
    all.extend(code.iter().map(named));
    all.push(Record::stored("archive/constants.pkl", b"\x80\x02)."));
    all
}

/// Returns an archive whose code is only in `__torch__.py`.
pub(crate) fn script(object: &[u8], code: &str) -> Vec<u8> {
    archive::write(&script_records(object, &[("__torch__.py", code)]))
}
