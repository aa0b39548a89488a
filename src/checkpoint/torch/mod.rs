//! Interprets torch's names in a pickle; no other module knows them.
//!
//! A tensor is a call of one of torch's rebuild functions on a storage; a storage is a persistent ID. A numpy array
//! next to tensors is a weight, too; in a pickle with only arrays, the arrays take the role of the tensors. Source:
//! torch's `_utils.py`, `serialization.py` and the list of its weights-only loader.

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
pub(super) use storages::{Declared, MAX_KEY, NumberedTensor, Storages, storages, unsigned};

use super::{DType, Error, Limits, Tensor, geometry};
use crate::pickle::{self, Arena, Call, Id, Object, Value};
use names::{Rebuild, is_list_of_type, is_mapping, is_scalar, is_sequence, rebuild};

/// A pickle, interpreted as torch does.
pub(super) struct Torch<'a> {
    pub(super) values: &'a Arena,
    pub(super) declared: &'a Storages,
    holds: OnceCell<Holds>,
}

/// The contents of each value.
struct Holds {
    marks: Vec<u8>,
    /// `true` if the pickle contains arrays, but no tensor and no storage.
    arrays_alone: bool,
}

/// The value contains a tensor or a storage of torch.
const TENSOR: u8 = 1;
/// The value contains a numpy array.
const ARRAY: u8 = 2;

impl<'a> Torch<'a> {
    pub(super) fn new(values: &'a Arena, declared: &'a Storages) -> Self {
        Self { values, declared, holds: OnceCell::new() }
    }

    /// Returns `true` if the value contains a tensor or a storage, at any depth. If the pickle has only arrays, they
    /// count as tensors.
    pub(super) fn holds_tensor(&self, id: Id) -> bool {
        let wanted = if self.holds().arrays_alone { TENSOR | ARRAY } else { TENSOR };
        self.marks(id) & wanted != 0
    }

    /// The same, including arrays next to tensors.
    pub(super) fn holds_weight(&self, id: Id) -> bool {
        self.marks(id) != 0
    }

    fn marks(&self, id: Id) -> u8 {
        self.holds().marks.get(id.index()).copied().unwrap_or(0)
    }

    fn holds(&self) -> &Holds {
        self.holds.get_or_init(|| self.mark_holders())
    }

    /// Marks, in one pass, everything that contains tensors, storages and arrays.
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

    /// Returns `true` for a persistent ID of anything except a class.
    fn is_stored(&self, value: &Value) -> bool {
        matches!(value, Value::Persistent(inner) if module::class_with_source(self.values, *inner).is_none())
    }

    fn rebuild_of(&self, id: Id) -> Option<Rebuild> {
        self.values.callable(id).and_then(rebuild)
    }

    /// Returns `true` if the value is a tensor of any kind. If the pickle has only arrays, they count as tensors.
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

    /// Returns the pairs of a dict or of an object that is one, in order.
    pub(super) fn entries(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        let object = match self.values.get(id) {
            Value::Dict(pairs) => return Some(pairs.clone()),
            Value::Object(object) if self.values.callable(id).is_some_and(is_mapping) => object,
            _ => return None,
        };
        let class = self.values.callable(id)?;
        // A dict that is created from another has the contents that the other had then.
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

    /// Returns `true` if the value, which a call or `BUILD` at `at` copied, has not changed since, nor have the items
    /// of a list.
    fn is_unchanged(&self, id: Id, at: u64) -> bool {
        let before = |id: Id| self.values.offset(id) < at;
        before(id) && self.values.sequence(id).into_iter().flatten().all(|&item| before(item))
    }

    fn is_factory(&self, id: Id) -> bool {
        matches!(self.values.get(id), Value::Global(_) | Value::None)
    }

    /// Returns the pairs that a dict is created from: of another dict, or of a list of pairs.
    fn given(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        match self.values.get(id) {
            Value::Dict(given) => Some(given.clone()),
            _ => self.pairs(self.values.sequence(id)?),
        }
    }

    fn pairs(&self, items: &[Id]) -> Option<Vec<(Id, Id)>> {
        let pair = |&item: &Id| <[Id; 2]>::try_from(self.values.sequence(item)?).ok();
        items.iter().map(|item| pair(item).map(|[key, value]| (key, value))).collect()
    }

    /// Returns the items of a list or tuple, or of an object that is one.
    pub(super) fn items(&self, id: Id) -> Option<Vec<Id>> {
        match self.values.get(id) {
            Value::Object(object) if self.values.callable(id).is_some_and(is_sequence) => {
                let mut all = match self.values.tuple(object.args)? {
                    [] => Vec::new(),
                    // `list.__new__` ignores its argument.
                    &[given] if object.call == Call::Function && self.is_unchanged(given, object.made) => {
                        self.values.sequence(given)?.to_vec()
                    }
                    _ => return None,
                };
                all.extend_from_slice(&object.appended);
                (object.items.is_empty() && !self.hides_tensor(object)).then_some(all)
            }
            _ => self.values.sequence(id).map(<[Id]>::to_vec),
        }
    }

    /// Returns `true` if the object's state contains a tensor where a dict or tensor has none.
    fn hides_tensor(&self, object: &Object) -> bool {
        [object.state, object.kwargs].into_iter().flatten().any(|id| self.holds_weight(id))
    }

    /// Describes a value for messages.
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

/// The containers of each value: all lists one after the other, and the start of each.
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
            // Each list is filled from its start; its mark ends where the next list begins.
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
