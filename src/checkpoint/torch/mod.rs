//! What torch's names mean: the only place that knows them.
//!
//! A tensor is a call of one of torch's rebuild functions on a storage; a storage is a persistent id. A numpy array among
//! tensors is a weight, too; alone, arrays are what tensors are elsewhere.
//! Source: torch's `_utils.py`, `serialization.py` and the list of its weights-only loader.

mod array;
pub(super) mod module;
mod names;
mod numbered;
mod storages;
mod tensor;

use std::cell::OnceCell;

pub(super) use array::{Array, ByteString, makes_array};
pub(super) use names::{Element, is_weights};
pub(super) use numbered::{Numbered, by_number, number};
pub(super) use storages::{Declared, MAX_KEY, NumberedTensor, Storages, storages};

use super::{DType, Error, Limits, Tensor, geometry};
use crate::pickle::{self, Arena, Call, Id, Object, Value};
use names::{Rebuild, is_list_of_type, is_mapping, is_scalar, is_sequence, rebuild};

/// A pickle, read with torch's eyes.
pub(super) struct Torch<'a> {
    pub(super) values: &'a Arena,
    pub(super) declared: &'a Storages,
    holds: OnceCell<Holds>,
}

/// What is below each value.
struct Holds {
    marks: Vec<u8>,
    /// `true` if there is no tensor and no storage, but arrays.
    arrays_alone: bool,
}

/// A tensor or a storage of torch is below a value.
const TENSOR: u8 = 1;
/// An array of numpy is.
const ARRAY: u8 = 2;

impl<'a> Torch<'a> {
    pub(super) fn new(values: &'a Arena, declared: &'a Storages) -> Self {
        Self { values, declared, holds: OnceCell::new() }
    }

    /// Returns `true` if the value holds a tensor or a storage, at any depth. Where there are only arrays, they are tensors.
    pub(super) fn holds_tensor(&self, id: Id) -> bool {
        let wanted = if self.holds().arrays_alone { TENSOR | ARRAY } else { TENSOR };
        self.marks(id) & wanted != 0
    }

    /// The same, with the arrays that are beside tensors.
    pub(super) fn holds_weight(&self, id: Id) -> bool {
        self.marks(id) != 0
    }

    fn marks(&self, id: Id) -> u8 {
        self.holds().marks.get(id.index()).copied().unwrap_or(0)
    }

    fn holds(&self) -> &Holds {
        self.holds.get_or_init(|| self.mark_holders())
    }

    /// One pass from the tensors, storages and arrays up to everything that holds them.
    fn mark_holders(&self) -> Holds {
        let values = self.values;
        let parents = Parents::of(values);
        let mut marks = vec![0; values.len()];
        let mut arrays_alone = true;
        let mut waiting = Vec::new();
        for (id, value) in values.iter() {
            let is_loaded = self.declared.loaded.contains_key(&id);
            let mark = if is_loaded || self.is_stored(value) || self.rebuild_of(id).is_some() {
                arrays_alone = false;
                TENSOR
            } else if self.is_array(id) {
                ARRAY
            } else {
                continue;
            };
            if let Some(place) = marks.get_mut(id.index()) {
                *place |= mark;
                waiting.push((id, mark));
            }
        }
        while let Some((id, mark)) = waiting.pop() {
            for &parent in parents.above(id) {
                if let Some(place) = marks.get_mut(parent.index()).filter(|place| **place & mark == 0) {
                    *place |= mark;
                    waiting.push((parent, mark));
                }
            }
        }
        Holds { marks, arrays_alone }
    }

    /// Returns `true` if it is a persistent id of anything but a class.
    fn is_stored(&self, value: &Value) -> bool {
        matches!(value, Value::Persistent(inner) if module::class_with_source(self.values, *inner).is_none())
    }

    fn rebuild_of(&self, id: Id) -> Option<Rebuild> {
        self.values.callable(id).and_then(rebuild)
    }

    /// Returns `true` if the value is a tensor, of any sort. Where there are only arrays, they are tensors.
    pub(super) fn is_tensor(&self, id: Id) -> bool {
        self.is_torch_tensor(id) || (self.holds().arrays_alone && self.is_array(id))
    }

    /// Returns `true` if the value is a tensor or an array.
    pub(super) fn is_weight(&self, id: Id) -> bool {
        self.is_torch_tensor(id) || self.is_array(id)
    }

    fn is_torch_tensor(&self, id: Id) -> bool {
        self.rebuild_of(id).is_some() || self.declared.given.contains_key(&id)
    }

    /// The pairs of a dict or of an object that is one, in order.
    pub(super) fn entries(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        let object = match self.values.get(id) {
            Value::Dict(pairs) => return Some(pairs.clone()),
            Value::Object(object) if self.values.callable(id).is_some_and(is_mapping) => object,
            _ => return None,
        };
        let class = self.values.callable(id)?;
        // A dict that is made of another holds what that did when it was made.
        if self.values.tuple(object.args)?.iter().any(|&given| !self.is_unchanged(given, object.made)) {
            return None;
        }
        let mut pairs = match (&*class.name, self.values.tuple(object.args)?) {
            (_, []) => Vec::new(),
            ("defaultdict", &[factory]) if self.is_factory(factory) => Vec::new(),
            ("defaultdict", &[factory, given]) if self.is_factory(factory) => self.given(given)?,
            // A Counter of pairs counts the pairs.
            ("Counter", &[given]) if !matches!(self.values.get(given), Value::Dict(_)) => return None,
            ("OrderedDict" | "Counter" | "dict", &[given]) => self.given(given)?,
            _ => return None,
        };
        pairs.extend_from_slice(&object.items);
        let plain = object.call == Call::Function || pairs.len() == object.items.len();
        (plain && object.appended.is_empty() && !self.hides_tensor(object)).then_some(pairs)
    }

    /// Returns `true` if the value, which a call or `BUILD` at `at` took a copy of, is unchanged since, with the items of a list.
    fn is_unchanged(&self, id: Id, at: u64) -> bool {
        let before = |id: Id| self.values.offset(id) < at;
        before(id)
            && match self.values.get(id) {
                Value::List(items) => items.iter().all(|&item| before(item)),
                Value::Tuple(items) => items.iter().all(|&item| before(item)),
                _ => true,
            }
    }

    fn is_factory(&self, id: Id) -> bool {
        matches!(self.values.get(id), Value::Global(_) | Value::None)
    }

    /// The pairs that a dict is made of: of another dict, or a list of them.
    fn given(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        match self.values.get(id) {
            Value::Dict(given) => Some(given.clone()),
            Value::List(items) => self.pairs(items),
            Value::Tuple(items) => self.pairs(items),
            _ => None,
        }
    }

    fn pairs(&self, items: &[Id]) -> Option<Vec<(Id, Id)>> {
        let pair = |&item: &Id| match self.values.get(item) {
            Value::Tuple(pair) => <[Id; 2]>::try_from(&**pair).ok(),
            Value::List(pair) => <[Id; 2]>::try_from(pair.as_slice()).ok(),
            _ => None,
        };
        items.iter().map(|item| pair(item).map(|[key, value]| (key, value))).collect()
    }

    /// The items of a list or tuple, or of an object that is one.
    pub(super) fn items(&self, id: Id) -> Option<Vec<Id>> {
        match self.values.get(id) {
            Value::List(items) => Some(items.clone()),
            Value::Tuple(items) => Some(items.to_vec()),
            Value::Object(object) if self.values.callable(id).is_some_and(is_sequence) => {
                let mut all = match self.values.tuple(object.args)? {
                    [] => Vec::new(),
                    // `list.__new__` leaves its argument alone.
                    &[given] if object.call == Call::Function && self.is_unchanged(given, object.made) => {
                        self.items_of_plain(given)?
                    }
                    _ => return None,
                };
                all.extend_from_slice(&object.appended);
                (object.items.is_empty() && !self.hides_tensor(object)).then_some(all)
            }
            _ => None,
        }
    }

    fn items_of_plain(&self, id: Id) -> Option<Vec<Id>> {
        match self.values.get(id) {
            Value::List(items) => Some(items.clone()),
            Value::Tuple(items) => Some(items.to_vec()),
            _ => None,
        }
    }

    /// Returns `true` if there is a tensor in the object's state, where a dict or tensor has none.
    fn hides_tensor(&self, object: &Object) -> bool {
        [object.state, object.kwargs].into_iter().flatten().any(|id| self.holds_weight(id))
    }

    /// What a value is, for people.
    pub(super) fn describe(&self, id: Id) -> String {
        let id = self.untagged(id);
        if let Some(name) = pickle::symbol_of(self.values, id) {
            return name.to_string();
        }
        match (self.class_name(id), self.values.get(id)) {
            _ if self.is_array(id) => "numpy array".to_owned(),
            _ if self.is_weight(id) => "tensor".to_owned(),
            (Some(global), _) if is_scalar(global) => "numpy number".to_owned(),
            (Some(global), _) if is_list_of_type(global) => "list".to_owned(),
            (Some(global), _) => global.to_string(),
            (None, value) => value.type_name().to_owned(),
        }
    }
}

/// What holds each value directly: all lists one after the other, and where each begins.
struct Parents {
    begin: Vec<u32>,
    all: Vec<Id>,
}

impl Parents {
    fn of(values: &Arena) -> Self {
        let mut begin = vec![0_u32; values.len().saturating_add(2)];
        let mut count = |child: Id| {
            if let Some(count) = begin.get_mut(child.index().saturating_add(2)) {
                *count = count.saturating_add(1);
            }
        };
        let mut first = None;
        for (id, _) in values.iter() {
            values.children(id, &mut count);
            first.get_or_insert(id);
        }
        let mut total = 0_u32;
        for count in &mut begin {
            total = total.saturating_add(*count);
            *count = total;
        }
        let Some(first) = first else { return Self { begin, all: Vec::new() } };
        let mut all = vec![first; usize::try_from(total).unwrap_or(0)];
        for (id, _) in values.iter() {
            // Each list is filled from its beginning; its mark ends where the next list begins.
            values.children(id, |child| {
                let Some(place) = begin.get_mut(child.index().saturating_add(1)) else { return };
                if let Some(slot) = usize::try_from(*place).ok().and_then(|place| all.get_mut(place)) {
                    *slot = id;
                }
                *place = place.saturating_add(1);
            });
        }
        Self { begin, all }
    }

    fn above(&self, id: Id) -> &[Id] {
        let at = |index: usize| self.begin.get(index).and_then(|&place| usize::try_from(place).ok());
        let range = at(id.index()).zip(at(id.index().saturating_add(1)));
        range.and_then(|(from, to)| self.all.get(from..to)).unwrap_or_default()
    }
}
