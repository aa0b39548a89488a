//! Reads a tensor, which is a call of one of torch's rebuild functions on a storage, and checks that it is inside that
//! storage.

use super::super::geometry;
use super::names::{Element, Rebuild, dtype, is_type_tag, rebuild, width};
use super::storages::{storage_id, unsigned};
use super::{DType, Error, Limits, NumberedTensor, Tensor, Torch};
use crate::pickle::{Call, Id, Value};

/// How deeply a tensor may be wrapped: a parameter of a subclass of a parameter.
const WRAPPERS: usize = 8;

impl Torch<'_> {
    /// Refuses a state of a tensor, except the one that torch before 0.4 gives its parameters.
    pub(in super::super) fn check_states(&self) -> Result<(), Error> {
        for (id, value) in self.values.iter() {
            let Value::Object(object) = value else { continue };
            let state = object.state.filter(|_| self.is_torch_tensor(id));
            if state.is_some_and(|state| !self.is_state_of_parameter(state)) {
                let what = "changed by a state that torch does not give";
                return Err(Error::unsupported(format!("at byte {}", object.built), what));
            }
        }
        Ok(())
    }

    /// Returns `true` for `(requires_grad, volatile, backward hooks)`.
    fn is_state_of_parameter(&self, id: Id) -> bool {
        let is_flag = |id| matches!(self.values.get(id), Value::Bool(_));
        match self.values.tuple(id) {
            Some(&[requires_grad, volatile, hooks]) => {
                let is_none = *self.values.get(hooks) == Value::None;
                is_flag(requires_grad) && is_flag(volatile) && (is_none || self.entries(hooks).is_some())
            }
            _ => false,
        }
    }

    /// Returns `true` if the tensor or array is one number, and not declared as a parameter.
    pub(in super::super) fn is_number(&self, id: Id, limits: &Limits) -> bool {
        if let Some(array) = self.array_of(id) {
            return self
                .array(array, "", limits)
                .is_ok_and(|array| geometry::elements(&array.shape) == Some(1));
        }
        let is_parameter = |id| self.values.global(id).and_then(rebuild) == Some(Rebuild::Parameter);
        let declared = match self.values.get(id) {
            // A subclass has its function as the first argument.
            Value::Object(object) => {
                let first = self.values.tuple(object.args).and_then(|args| args.first());
                is_parameter(object.callable) || first.is_some_and(|&function| is_parameter(function))
            }
            _ => false,
        };
        !declared && self.tensor(id, "", limits, &mut Vec::new()).is_ok_and(|tensor| tensor.units() == 1)
    }

    /// Reads the tensor at `id`. Python attributes with tensors are not weights; they are returned in `attributes`.
    pub(in super::super) fn tensor(
        &self,
        id: Id,
        name: &str,
        limits: &Limits,
        attributes: &mut Vec<Id>,
    ) -> Result<Tensor, Error> {
        self.tensor_within(id, name, limits, attributes, WRAPPERS)
    }

    fn tensor_within(
        &self,
        id: Id,
        name: &str,
        limits: &Limits,
        attributes: &mut Vec<Id>,
        depth: usize,
    ) -> Result<Tensor, Error> {
        let unsupported = |what| Error::unsupported(name, what);
        let mut id = id;
        for _ in 0..depth {
            if let Some(given) = self.declared.given.get(&id) {
                return self.numbered(given, name, limits);
            }
            let malformed = || unsupported("malformed");
            let Value::Object(object) = self.values.get(id) else { return Err(malformed()) };
            let callable = self.values.global(object.callable).ok_or_else(malformed)?;
            let args = self.values.tuple(object.args).ok_or_else(malformed)?;
            if object.call != Call::Function || !object.items.is_empty() || !object.appended.is_empty() {
                return Err(malformed());
            }
            if self.hides_tensor(object) {
                let global = callable.to_string();
                return Err(Error::Opaque { path: name.to_owned(), global });
            }
            let made = object.made;
            match (rebuild(callable), args) {
                (Some(kind @ (Rebuild::Tensor | Rebuild::TensorV3)), args) => {
                    let (view, rest) = View::of(kind, args, made).ok_or_else(malformed)?;
                    attributes.extend(rest.iter().filter(|&&other| self.holds_weight(other)));
                    return self.strided(&view, name, limits);
                }
                (Some(Rebuild::Parameter), &[data, ref rest @ ..]) => {
                    attributes.extend(rest.iter().filter(|&&other| self.holds_weight(other)));
                    id = data;
                }
                (Some(Rebuild::ToDevice), &[data, wanted, ..]) => {
                    // The dtype that it is converted to must be its own.
                    let tensor =
                        self.tensor_within(data, name, limits, attributes, depth.saturating_sub(1))?;
                    return match self.values.global(wanted).and_then(dtype) {
                        Some(wanted) if wanted == tensor.dtype => Ok(tensor),
                        _ => Err(unsupported("device tensor of another dtype")),
                    };
                }
                (Some(Rebuild::ArrayToDevice), _) => {
                    return Err(unsupported("device tensor of another dtype than its numpy array"));
                }
                (Some(Rebuild::FromType), &[function, class, inner, state]) => {
                    let of = self.values.global(function).and_then(rebuild);
                    if of == Some(Rebuild::Wrapper) {
                        return Err(self.wrapped(class, name));
                    }
                    attributes.extend(Some(state).filter(|&state| self.holds_weight(state)));
                    return self.typed(name, limits, function, inner, made);
                }
                (Some(Rebuild::Wrapper), &[class, ..]) => return Err(self.wrapped(class, name)),
                (Some(Rebuild::Refused(what)), _) => return Err(unsupported(what)),
                (None, _) => {
                    return Err(Error::Opaque { path: name.to_owned(), global: callable.to_string() });
                }
                _ => return Err(malformed()),
            }
        }
        Err(unsupported("nested too deeply"))
    }

    /// Reads `_rebuild_from_type_v2(function, class, args, state)`: the result of `function` on `args`, turned into a
    /// `class`. Only the plain rebuild functions are followed.
    fn typed(
        &self,
        name: &str,
        limits: &Limits,
        function: Id,
        inner: Id,
        made: u64,
    ) -> Result<Tensor, Error> {
        let malformed = || Error::unsupported(name, "malformed");
        let function = self.values.global(function).ok_or_else(malformed)?;
        let args = self.values.tuple(inner).ok_or_else(malformed)?;
        let (dtype, flags) = match rebuild(function) {
            Some(Rebuild::Tensor) => (None, args.get(6).copied()),
            Some(Rebuild::TensorV3) => (args.get(6).copied(), args.get(7).copied()),
            Some(Rebuild::Parameter) => {
                let &data = args.first().ok_or_else(malformed)?;
                let nested = self.values.callable(data).and_then(rebuild);
                if nested == Some(Rebuild::FromType) {
                    return Err(malformed());
                }
                return self.tensor(data, name, limits, &mut Vec::new());
            }
            Some(Rebuild::Refused(what)) => {
                return Err(Error::unsupported(name, what));
            }
            Some(Rebuild::ToDevice | Rebuild::ArrayToDevice) => {
                return Err(Error::unsupported(name, "device tensor of a custom class"));
            }
            _ => return Err(Error::Opaque { path: name.to_owned(), global: function.to_string() }),
        };
        let &[storage, offset, size, stride] = args.first_chunk::<4>().ok_or_else(malformed)?;
        self.strided(&View { storage, offset, size, stride, dtype, flags, made }, name, limits)
    }

    /// Refuses a tensor without data of its own, whose class combines other tensors.
    fn wrapped(&self, class: Id, name: &str) -> Error {
        match self.values.global(class) {
            Some(class) => Error::Wrapped { name: name.to_owned(), class: class.to_string() },
            None => Error::unsupported(name, "malformed"),
        }
    }

    /// Returns the tensor of a number.
    fn numbered(&self, given: &NumberedTensor, name: &str, limits: &Limits) -> Result<Tensor, Error> {
        let storage = self.declared.list.get(given.storage);
        let Some((Element::Typed(dtype), len)) = storage.map(|storage| (storage.element, storage.bytes))
        else {
            return Err(Error::geometry(name, "has no storage"));
        };
        let tensor = Tensor {
            name: name.to_owned(),
            dtype,
            shape: given.shape.clone(),
            strides: given.strides.clone(),
            offset: given.offset,
            width: width(dtype),
            storage: given.storage,
            conjugate: false,
            negate: false,
        };
        check(&tensor, Some(len), limits)?;
        Ok(tensor)
    }

    fn strided(&self, view: &View, name: &str, limits: &Limits) -> Result<Tensor, Error> {
        let wrong = |what| Error::geometry(name, what);
        let Stored { element, len, index: storage } = self.stored(view.storage, name)?;
        let dtype = self.dtype_of(view, element, name)?;
        let width = width(dtype);
        let shape = self.numbers(view.size).ok_or_else(|| wrong("has malformed sizes"))?;
        let strides = self.numbers(view.stride).ok_or_else(|| wrong("has malformed strides"))?;
        let offset = unsigned(self.values, view.offset).ok_or_else(|| wrong("has a malformed offset"))?;
        let (conjugate, negate) = self.flags(view, dtype).ok_or_else(|| wrong("has unknown flags"))?;
        let name = name.to_owned();
        let tensor = Tensor { name, dtype, shape, strides, offset, width, storage, conjugate, negate };
        check(&tensor, len, limits)?;
        Ok(tensor)
    }

    /// Returns the storage that a persistent ID names, or that was loaded from bytes.
    fn stored(&self, id: Id, name: &str) -> Result<Stored, Error> {
        let none = || Error::geometry(name, "has no storage");
        if let Some(&index) = self.declared.loaded.get(&id) {
            let storage = self.declared.list.get(index).ok_or_else(none)?;
            return Ok(Stored { element: storage.element, len: Some(storage.bytes), index });
        }
        let Value::Persistent(inner) = *self.values.get(id) else {
            return Err(Error::unsupported(name, "without a storage"));
        };
        let storage = storage_id(self.values, inner)?;
        let numel = storage.view.map_or(storage.numel, |(_, _, len)| len);
        let len = numel.checked_mul(storage.element.width());
        let index = self.declared.index_of(&storage.own_key()).ok_or_else(none)?;
        Ok(Stored { element: storage.element, len, index })
    }

    fn dtype_of(&self, view: &View, element: Element, name: &str) -> Result<DType, Error> {
        match (element, view.dtype) {
            (Element::Typed(dtype), None) => Ok(dtype),
            (Element::Bytes, None) => Ok(DType::U8),
            (element, Some(id)) => {
                let global = self.values.global(id);
                // torch uses a separate dtype only with storages of bytes.
                if let (Element::Typed(of_storage), Some(named)) = (element, global.and_then(dtype))
                    && of_storage != named
                {
                    return Err(Error::unsupported(name, "view of a storage with a different dtype"));
                }
                let what = global.map_or("malformed", |global| &*global.name);
                global.and_then(dtype).ok_or_else(|| Error::unsupported(name, what))
            }
        }
    }

    pub(super) fn numbers(&self, id: Id) -> Option<Vec<u64>> {
        let mut items = self.values.tuple(id);
        // A torch.Size is a tuple by another name.
        if let Value::Object(object) = self.values.get(id)
            && let Some(global) = self.values.global(object.callable)
            && (&*global.module, &*global.name) == ("torch", "Size")
            && let Some(&[inner]) = self.values.tuple(object.args)
        {
            items = self.values.tuple(inner);
        }
        items?.iter().map(|&item| unsigned(self.values, item)).collect()
    }

    /// Returns the value whose type `torch.jit.save` states: `restore_type_tag(value, type)`.
    pub(super) fn untagged(&self, id: Id) -> Id {
        match self.values.get(id) {
            Value::Object(object) if self.values.callable(id).is_some_and(is_type_tag) => {
                self.values.tuple(object.args).and_then(|args| args.first()).copied().unwrap_or(id)
            }
            _ => id,
        }
    }

    /// Reads `{"conj": bool, "neg": bool}`: whether the value is conjugated and negated. `None` for anything else.
    fn flags(&self, view: &View, dtype: DType) -> Option<(bool, bool)> {
        let (mut conjugate, mut negate) = (false, false);
        let Some(id) = view.flags.filter(|&id| *self.values.get(id) != Value::None) else {
            return Some((false, false));
        };
        // Only the flags at the time of the call count.
        if self.values.offset(id) >= view.made {
            return None;
        }
        for (key, value) in self.entries(self.untagged(id))? {
            let &Value::Bool(flag) = self.values.get(value) else { return None };
            match self.values.text(key)? {
                "conj" => conjugate = flag,
                "neg" => negate = flag,
                _ => return None,
            }
        }
        let complex = dtype == DType::C64;
        let unsigned = matches!(dtype, DType::BOOL | DType::F4 | DType::F8_E8M0);
        ((!conjugate || complex) && !(negate && unsigned)).then_some((conjugate, negate))
    }
}

/// Checks that the tensor is inside its storage of `len` bytes.
pub(super) fn check(tensor: &Tensor, len: Option<u64>, limits: &Limits) -> Result<(), Error> {
    let Tensor { shape, strides, offset, width, dtype, .. } = tensor;
    let wrong = |what| Error::geometry(&*tensor.name, what);
    if shape.len() != strides.len() {
        return Err(wrong("has different numbers of sizes and strides"));
    }
    if shape.len() > limits.rank {
        return Err(wrong("has too many dimensions"));
    }
    if *dtype == DType::F4 && shape.is_empty() {
        return Err(wrong("is a 4-bit scalar"));
    }
    geometry::elements(shape)
        .and_then(|units| units.checked_mul(*width))
        .ok_or_else(|| wrong("has an impossible size"))?;
    let extent = geometry::extent(shape, strides)
        .and_then(|extent| if extent == 0 { Some(0) } else { offset.checked_add(extent) })
        .and_then(|end| end.checked_mul(*width));
    if extent.zip(len).is_none_or(|(extent, len)| extent > len) {
        return Err(wrong("extends past the end of its storage"));
    }
    Ok(())
}

/// A storage: its elements, its length in bytes, its index.
struct Stored {
    element: Element,
    len: Option<u64>,
    index: usize,
}

/// The arguments of a rebuild function.
struct View {
    storage: Id,
    offset: Id,
    size: Id,
    stride: Id,
    dtype: Option<Id>,
    flags: Option<Id>,
    /// The offset of the call.
    made: u64,
}

impl View {
    /// Splits the arguments of a call into its view and its hooks with their contents.
    fn of(kind: Rebuild, args: &[Id], made: u64) -> Option<(Self, &[Id])> {
        let (&[storage, offset, size, stride], rest) = args.split_first_chunk()?;
        let (dtype, flags) = match kind {
            Rebuild::TensorV3 => (Some(*rest.get(2)?), rest.get(3).copied()),
            _ => (None, rest.get(2).copied()),
        };
        let attributes = if kind == Rebuild::TensorV3 { rest.get(..2)? } else { rest };
        Some((Self { storage, offset, size, stride, dtype, flags, made }, attributes))
    }
}
