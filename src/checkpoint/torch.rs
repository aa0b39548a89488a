//! What torch's names mean: the only file that knows them.
//!
//! A tensor is a call of one of torch's rebuild functions on a storage; a storage is a persistent id.
//! Names are compared as exact pairs of module and name, so a look-alike in another module is unknown.
//! Source: torch's `_utils.py`, `serialization.py` and the list of its weights-only loader.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::{DType, Error, Limits, Tensor, geometry};
use crate::pickle::{Arena, Call, Global, Id, Object, Value};

/// The dtype of a storage: that of its class, or none for one of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Typed(DType),
    Bytes,
}

impl Element {
    pub(super) fn width(self) -> u64 {
        match self {
            Self::Typed(dtype) => width(dtype),
            Self::Bytes => 1,
        }
    }
}

/// Bytes of one element, or of one pair of 4-bit elements.
fn width(dtype: DType) -> u64 {
    u64::try_from(dtype.bitsize().div_ceil(8)).unwrap_or(1)
}

/// A storage as the pickle declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) key: String,
    pub(super) element: Element,
    pub(super) bytes: u64,
    /// For a view that is a storage of its own (legacy only): the storage that it lies in, and where.
    pub(super) inside: Option<(usize, u64)>,
}

/// All storages that a pickle declares, in the order in which it first does.
#[derive(Debug, Default)]
pub(super) struct Storages {
    pub(super) list: Vec<Declared>,
    by_key: HashMap<String, usize>,
}

impl Storages {
    pub(super) fn index_of(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    fn declare(&mut self, declared: Declared) -> Result<usize, Error> {
        let known = self.index_of(&declared.key);
        match known.and_then(|index| Some((index, self.list.get(index)?))) {
            None => {
                self.by_key.insert(declared.key.clone(), self.list.len());
                self.list.push(declared);
                Ok(self.list.len().saturating_sub(1))
            }
            Some((index, first)) if *first == declared => Ok(index),
            Some(_) => {
                let what = "is declared twice with different types or lengths";
                Err(Error::Storage { key: declared.key, what })
            }
        }
    }
}

impl StorageId<'_> {
    /// The key of what the tensor lies in: of the storage, or of the view in it.
    fn own_key(&self) -> String {
        match self.view {
            None => self.key.to_owned(),
            Some((view, ..)) => [self.key, view].join("/"),
        }
    }
}

/// What `persistent_load` is given for a storage.
struct StorageId<'a> {
    key: &'a str,
    element: Element,
    numel: u64,
    /// The view's own key, where it begins in its storage and how long it is, in elements (legacy only).
    view: Option<(&'a str, u64, u64)>,
}

/// A pickle, read with torch's eyes.
pub(super) struct Torch<'a> {
    pub(super) values: &'a Arena,
    pub(super) declared: &'a Storages,
    holds: OnceCell<Vec<bool>>,
}

/// Finds every storage that the pickle declares and checks that no two declarations contradict.
///
/// A view of the legacy stream is a storage of its own, as torch makes it.
pub(super) fn storages(values: &Arena) -> Result<Storages, Error> {
    let mut storages = Storages::default();
    for (_, value) in values.iter() {
        let &Value::Persistent(inner) = value else { continue };
        let id = storage_id(values, inner)?;
        let width = id.element.width();
        let in_bytes = |count: u64| count.checked_mul(width).ok_or_else(|| too_large(id.key));
        let (key, element) = (id.key.to_owned(), id.element);
        let root = storages.declare(Declared { key, element, bytes: in_bytes(id.numel)?, inside: None })?;
        if let Some((_, begin, len)) = id.view {
            let (key, inside) = (id.own_key(), Some((root, in_bytes(begin)?)));
            storages.declare(Declared { key, element, bytes: in_bytes(len)?, inside })?;
        }
    }
    Ok(storages)
}

fn too_large(key: &str) -> Error {
    Error::Storage { key: key.to_owned(), what: "is longer than any file" }
}

/// `("storage", class, key, location, numel)`, in the legacy stream with a sixth item.
fn storage_id(values: &Arena, id: Id) -> Result<StorageId<'_>, Error> {
    let bad = |key: &str, what| Error::Storage { key: key.to_owned(), what };
    let place = format!("at byte {}", values.offset(id));
    let malformed = || bad(&place, "has a malformed persistent id");
    let (&[tag, class, key, _location, numel], view) =
        values.tuple(id).and_then(|items| items.split_first_chunk::<5>()).ok_or_else(malformed)?;
    if values.text(tag) == Some("module") {
        return Err(bad(&place, "is a pickled module with its source code"));
    }
    if values.text(tag) != Some("storage") {
        return Err(malformed());
    }
    let key = values.text(key).ok_or_else(malformed)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if key.is_empty() || key.len() > 128 || !key.chars().all(plain) || key.starts_with('.') {
        return Err(bad(&place, "has a key that is no plain name"));
    }
    let class = values.global(class).ok_or_else(malformed)?;
    let element = storage_class(class).map_err(|what| bad(key, what))?;
    let numel = unsigned(values, numel).ok_or_else(|| bad(key, "has no valid length"))?;
    let view = match view {
        [] => None,
        &[view] if *values.get(view) == Value::None => None,
        &[view] => match values.tuple(view) {
            Some(&[view_key, offset, size]) => {
                let range = unsigned(values, offset).zip(unsigned(values, size));
                let inside =
                    |&(offset, size): &(u64, u64)| offset.checked_add(size).is_some_and(|end| end <= numel);
                let (offset, size) =
                    range.filter(inside).ok_or_else(|| bad(key, "has a view outside of it"))?;
                Some((values.text(view_key).ok_or_else(malformed)?, offset, size))
            }
            _ => return Err(malformed()),
        },
        _ => return Err(malformed()),
    };
    Ok(StorageId { key, element, numel, view })
}

fn unsigned(values: &Arena, id: Id) -> Option<u64> {
    match values.get(id) {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn storage_class(class: &Global) -> Result<Element, &'static str> {
    let typed = matches!(&*class.module, "torch" | "torch.cuda");
    let dtype = match &*class.name {
        "UntypedStorage" if matches!(&*class.module, "torch.storage" | "torch") => return Ok(Element::Bytes),
        _ if !typed => return Err("has a class that torch does not know"),
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::BOOL,
        "ComplexFloatStorage" => DType::C64,
        "ComplexDoubleStorage" => return Err("is complex128, which safetensors cannot hold"),
        "QInt8Storage" | "QUInt8Storage" | "QInt32Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" => {
            return Err("is quantized, which safetensors cannot hold");
        }
        _ => return Err("has a class that torch does not know"),
    };
    Ok(Element::Typed(dtype))
}

/// A dtype by its global (`torch.float32`), `None` for what safetensors cannot hold.
fn dtype(global: &Global) -> Option<DType> {
    if &*global.module != "torch" {
        return None;
    }
    Some(match &*global.name {
        "float64" | "double" => DType::F64,
        "float32" | "float" => DType::F32,
        "float16" | "half" => DType::F16,
        "bfloat16" => DType::BF16,
        "int64" | "long" => DType::I64,
        "int32" | "int" => DType::I32,
        "int16" | "short" => DType::I16,
        "int8" => DType::I8,
        "uint8" => DType::U8,
        "uint16" => DType::U16,
        "uint32" => DType::U32,
        "uint64" => DType::U64,
        "bool" => DType::BOOL,
        "complex64" | "cfloat" => DType::C64,
        "float8_e4m3fn" => DType::F8_E4M3,
        "float8_e5m2" => DType::F8_E5M2,
        "float8_e4m3fnuz" => DType::F8_E4M3FNUZ,
        "float8_e5m2fnuz" => DType::F8_E5M2FNUZ,
        "float8_e8m0fnu" => DType::F8_E8M0,
        "float4_e2m1fn_x2" => DType::F4,
        _ => return None,
    })
}

/// What a function of torch does, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rebuild {
    /// `(storage, offset, size, stride, …)`
    Tensor,
    /// The same on a storage of bytes, with a dtype.
    TensorV3,
    /// `(data, requires_grad, hooks, …)`
    Parameter,
    /// `(function, class, args, state)`
    FromType,
    /// Known, and not plain storage.
    Refused(&'static str),
}

fn rebuild(global: &Global) -> Option<Rebuild> {
    Some(match (&*global.module, &*global.name) {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Rebuild::Tensor,
        ("torch._utils", "_rebuild_tensor_v3") => Rebuild::TensorV3,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Rebuild::Parameter,
        ("torch._tensor" | "torch.tensor", "_rebuild_from_type_v2") => Rebuild::FromType,
        ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
            Rebuild::Refused("sparse")
        }
        ("torch._utils", "_rebuild_qtensor") => Rebuild::Refused("quantized"),
        ("torch._utils", "_rebuild_nested_tensor") => Rebuild::Refused("nested"),
        ("torch._utils", "_rebuild_meta_tensor_no_storage") => Rebuild::Refused("a meta tensor without data"),
        ("torch._utils", "_rebuild_wrapper_subclass") => Rebuild::Refused("a wrapper subclass"),
        ("torch._utils", "_rebuild_device_tensor_from_numpy") => {
            Rebuild::Refused("a device tensor in numpy form")
        }
        ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor") => Rebuild::Refused("a device tensor"),
        ("torch._utils", "_rebuild_xla_tensor") => Rebuild::Refused("an XLA tensor"),
        ("torch._tensor" | "torch.tensor", "_rebuild_from_type") => {
            Rebuild::Refused("of an old subclass form")
        }
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
            Rebuild::Refused("a numpy array")
        }
        _ => return None,
    })
}

/// Is the object a dict by another name?
fn is_mapping(global: &Global) -> bool {
    matches!(
        (&*global.module, &*global.name),
        ("collections", "OrderedDict" | "Counter" | "defaultdict") | ("builtins" | "__builtin__", "dict")
    )
}

fn is_sequence(global: &Global) -> bool {
    matches!((&*global.module, &*global.name), ("builtins" | "__builtin__", "list" | "tuple"))
}

impl<'a> Torch<'a> {
    pub(super) fn new(values: &'a Arena, declared: &'a Storages) -> Self {
        Self { values, declared, holds: OnceCell::new() }
    }

    /// Does the value hold a tensor or a storage, at any depth?
    pub(super) fn holds_tensor(&self, id: Id) -> bool {
        self.holds.get_or_init(|| self.mark_holders()).get(id.index()).copied().unwrap_or(false)
    }

    /// One pass from the tensors and storages up to everything that holds them.
    fn mark_holders(&self) -> Vec<bool> {
        let values = self.values;
        let parents = Parents::of(values);
        let mut holds = vec![false; values.len()];
        let mut waiting = Vec::new();
        for (id, value) in values.iter() {
            let tensor = matches!(value, Value::Persistent(_)) || self.rebuild_of(id).is_some();
            if tensor && let Some(mark) = holds.get_mut(id.index()) {
                *mark = true;
                waiting.push(id);
            }
        }
        while let Some(id) = waiting.pop() {
            for &parent in parents.above(id) {
                if let Some(mark) = holds.get_mut(parent.index()).filter(|mark| !**mark) {
                    *mark = true;
                    waiting.push(parent);
                }
            }
        }
        holds
    }

    fn rebuild_of(&self, id: Id) -> Option<Rebuild> {
        self.values.callable(id).and_then(rebuild)
    }

    /// Is the value a tensor, of any sort?
    pub(super) fn is_tensor(&self, id: Id) -> bool {
        self.rebuild_of(id).is_some()
    }

    /// The pairs of a dict or of an object that is one, in order.
    pub(super) fn entries(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        let object = match self.values.get(id) {
            Value::Dict(pairs) => return Some(pairs.clone()),
            Value::Object(object) if self.values.callable(id).is_some_and(is_mapping) => object,
            _ => return None,
        };
        let mut pairs = Vec::new();
        for &arg in self.values.tuple(object.args)? {
            match self.values.get(arg) {
                Value::Dict(given) => pairs.extend_from_slice(given),
                Value::List(items) => pairs.extend(self.pairs(items)?),
                Value::Tuple(items) => pairs.extend(self.pairs(items)?),
                // The factory of a defaultdict.
                Value::Global(_) | Value::None => {}
                _ => return None,
            }
        }
        pairs.extend_from_slice(&object.items);
        let plain = object.call == Call::Function || pairs.len() == object.items.len();
        (plain && object.appended.is_empty() && !self.hides_tensor(object)).then_some(pairs)
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
                let mut all = Vec::new();
                for &arg in self.values.tuple(object.args)? {
                    all.extend(self.items_of_plain(arg)?);
                }
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

    /// Is there a tensor in the object's state, where a dict or tensor has none?
    fn hides_tensor(&self, object: &Object) -> bool {
        [object.state, object.kwargs].into_iter().flatten().any(|id| self.holds_tensor(id))
    }

    /// What a value is, for people.
    pub(super) fn describe(&self, id: Id) -> String {
        match (self.values.callable(id), self.values.get(id)) {
            (Some(global), _) => global.to_string(),
            (None, value) => value.type_name().to_owned(),
        }
    }

    /// Reads the tensor at `id`. Python attributes that hold tensors are no weights; they are returned in
    /// `attributes`.
    pub(super) fn tensor(
        &self,
        id: Id,
        name: &str,
        limits: &Limits,
        attributes: &mut Vec<Id>,
    ) -> Result<Tensor, Error> {
        let unsupported = |what: String| Error::Unsupported { name: name.to_owned(), what };
        let mut id = id;
        // A parameter of a subclass of a parameter: a few layers at most.
        for _ in 0..8 {
            let malformed = || unsupported("malformed".to_owned());
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
            match (rebuild(callable), args) {
                (Some(Rebuild::Tensor), &[storage, offset, size, stride, ref rest @ ..]) => {
                    let view =
                        View { storage, offset, size, stride, dtype: None, flags: rest.get(2).copied() };
                    return self.strided(&view, name, limits);
                }
                (Some(Rebuild::TensorV3), &[storage, offset, size, stride, _, _, dtype, ref rest @ ..]) => {
                    let flags = rest.first().copied();
                    let view = View { storage, offset, size, stride, dtype: Some(dtype), flags };
                    return self.strided(&view, name, limits);
                }
                (Some(Rebuild::Parameter), &[data, ref rest @ ..]) => {
                    attributes.extend(rest.iter().filter(|&&other| self.holds_tensor(other)));
                    id = data;
                }
                (Some(Rebuild::FromType), &[function, _class, inner, state]) => {
                    attributes.extend(Some(state).filter(|&state| self.holds_tensor(state)));
                    return self.from_type(name, limits, function, inner);
                }
                (Some(Rebuild::Refused(what)), _) => return Err(unsupported(what.to_owned())),
                (None, _) => {
                    return Err(Error::Opaque { path: name.to_owned(), global: callable.to_string() });
                }
                _ => return Err(malformed()),
            }
        }
        Err(unsupported("wrapped too often".to_owned()))
    }

    /// `_rebuild_from_type_v2(function, class, args, state)`: the call of `function` on `args`, made a
    /// `class`. Only the plain rebuild functions are followed.
    fn from_type(&self, name: &str, limits: &Limits, function: Id, inner: Id) -> Result<Tensor, Error> {
        let malformed = || Error::Unsupported { name: name.to_owned(), what: "malformed".to_owned() };
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
                return Err(Error::Unsupported { name: name.to_owned(), what: what.to_owned() });
            }
            _ => return Err(Error::Opaque { path: name.to_owned(), global: function.to_string() }),
        };
        let &[storage, offset, size, stride] = args.first_chunk::<4>().ok_or_else(malformed)?;
        self.strided(&View { storage, offset, size, stride, dtype, flags }, name, limits)
    }

    fn strided(&self, view: &View, name: &str, limits: &Limits) -> Result<Tensor, Error> {
        let wrong = |what| Error::Geometry { name: name.to_owned(), what };
        let Value::Persistent(inner) = *self.values.get(view.storage) else {
            return Err(Error::Unsupported { name: name.to_owned(), what: "without a storage".to_owned() });
        };
        let storage = storage_id(self.values, inner)?;
        let dtype = self.dtype_of(view, storage.element, name)?;
        let width = width(dtype);
        let shape = self.numbers(view.size).ok_or_else(|| wrong("has malformed sizes"))?;
        let strides = self.numbers(view.stride).ok_or_else(|| wrong("has malformed strides"))?;
        let offset = unsigned(self.values, view.offset).ok_or_else(|| wrong("has a malformed offset"))?;
        if shape.len() != strides.len() {
            return Err(wrong("has other dimensions in its sizes than in its strides"));
        }
        if shape.len() > limits.rank {
            return Err(wrong("has too many dimensions"));
        }
        if dtype == DType::F4 && shape.is_empty() {
            return Err(wrong("is half a byte"));
        }
        geometry::elements(&shape)
            .and_then(|units| units.checked_mul(width))
            .ok_or_else(|| wrong("is larger than any file"))?;
        let numel = storage.view.map_or(storage.numel, |(_, _, len)| len);
        let extent = geometry::extent(&shape, &strides)
            .and_then(|extent| if extent == 0 { Some(0) } else { offset.checked_add(extent) })
            .and_then(|end| end.checked_mul(width));
        let len = numel.checked_mul(storage.element.width());
        if extent.zip(len).is_none_or(|(extent, len)| extent > len) {
            return Err(wrong("reaches over the end of its storage"));
        }
        let storage = self.declared.index_of(&storage.own_key()).ok_or_else(|| wrong("has no storage"))?;
        let (conjugate, negate) = self.flags(view.flags, dtype).ok_or_else(|| wrong("has unknown flags"))?;
        let name = name.to_owned();
        Ok(Tensor { name, dtype, shape, strides, offset, width, storage, conjugate, negate })
    }

    fn dtype_of(&self, view: &View, element: Element, name: &str) -> Result<DType, Error> {
        match (element, view.dtype) {
            (Element::Typed(dtype), None) => Ok(dtype),
            (Element::Bytes, None) => Ok(DType::U8),
            (_, Some(id)) => {
                let global = self.values.global(id);
                global.and_then(dtype).ok_or_else(|| Error::Unsupported {
                    name: name.to_owned(),
                    what: global.map_or_else(|| "malformed".to_owned(), |global| global.name.to_string()),
                })
            }
        }
    }

    fn numbers(&self, id: Id) -> Option<Vec<u64>> {
        let mut items = self.values.tuple(id);
        // A torch.Size, which is a tuple by another name.
        if let Value::Object(object) = self.values.get(id)
            && let Some(global) = self.values.global(object.callable)
            && (&*global.module, &*global.name) == ("torch", "Size")
            && let Some(&[inner]) = self.values.tuple(object.args)
        {
            items = self.values.tuple(inner);
        }
        items?.iter().map(|&item| unsigned(self.values, item)).collect()
    }

    /// `{"conj": bool, "neg": bool}`: is the value conjugated, negated? `None` for anything else.
    fn flags(&self, id: Option<Id>, dtype: DType) -> Option<(bool, bool)> {
        let (mut conjugate, mut negate) = (false, false);
        let Some(id) = id.filter(|&id| *self.values.get(id) != Value::None) else {
            return Some((false, false));
        };
        for (key, value) in self.entries(id)? {
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

/// The arguments of a rebuild function.
struct View {
    storage: Id,
    offset: Id,
    size: Id,
    stride: Id,
    dtype: Option<Id>,
    flags: Option<Id>,
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
        let mut all = vec![first; usize::try_from(total).unwrap_or(0)];
        for (id, _) in values.iter() {
            // Each list is filled from its beginning; its mark ends where the next list begins.
            values.children(id, |child| {
                let Some(place) = begin.get_mut(child.index().saturating_add(1)) else { return };
                if let Some(slot) = usize::try_from(*place).ok().and_then(|place| all.get_mut(place)) {
                    *slot = Some(id);
                }
                *place = place.saturating_add(1);
            });
        }
        Self { begin, all: all.into_iter().flatten().collect() }
    }

    fn above(&self, id: Id) -> &[Id] {
        let at = |index: usize| self.begin.get(index).and_then(|&place| usize::try_from(place).ok());
        let range = at(id.index()).zip(at(id.index().saturating_add(1)));
        range.and_then(|(from, to)| self.all.get(from..to)).unwrap_or_default()
    }
}
