//! Lists torch's names: storage classes, dtypes, rebuild functions, containers.
//!
//! Names are compared as exact pairs of module and name, so a look-alike in another module is unknown.

use super::{DType, Error};
use crate::pickle::Global;

/// The dtype of a storage: that of its class, or none for a storage of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Element {
    Typed(DType),
    Bytes,
}

impl Element {
    pub(in super::super) fn width(self) -> u64 {
        match self {
            Self::Typed(dtype) => width(dtype),
            Self::Bytes => 1,
        }
    }
}

/// Returns the bytes of one element, or of one pair of 4-bit elements.
pub(super) fn width(dtype: DType) -> u64 {
    u64::try_from(dtype.bitsize().div_ceil(8)).unwrap_or(1)
}

/// Returns the element of a storage by its class; `key` names the storage in the error.
pub(super) fn storage_class(class: &Global, key: &str) -> Result<Element, Error> {
    let unknown = || Error::Storage { key: key.to_owned(), what: "has an unknown class" };
    let unsupported = |what| Error::StorageType { key: key.to_owned(), what };
    let typed = matches!(&*class.module, "torch" | "torch.cuda");
    let dtype = match &*class.name {
        "UntypedStorage" if matches!(&*class.module, "torch.storage" | "torch") => return Ok(Element::Bytes),
        _ if !typed => return Err(unknown()),
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
        // The C++ name of storages without a class in Python, which only `torch.jit.save` writes.
        "UInt16Storage" => DType::U16,
        "UInt32Storage" => DType::U32,
        "UInt64Storage" => DType::U64,
        "Float8_e4m3fnStorage" => DType::F8_E4M3,
        "Float8_e5m2Storage" => DType::F8_E5M2,
        "Float8_e4m3fnuzStorage" => DType::F8_E4M3FNUZ,
        "Float8_e5m2fnuzStorage" => DType::F8_E5M2FNUZ,
        "Float8_e8m0fnuStorage" => DType::F8_E8M0,
        "ComplexDoubleStorage" => return Err(unsupported("complex128")),
        "ComplexHalfStorage" => return Err(unsupported("complex32")),
        "QInt8Storage" | "QUInt8Storage" | "QInt32Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" => {
            return Err(unsupported("quantized"));
        }
        _ => return Err(unknown()),
    };
    Ok(Element::Typed(dtype))
}

/// Returns a dtype by its global (`torch.float32`), `None` if safetensors cannot store it.
pub(super) fn dtype(global: &Global) -> Option<DType> {
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

/// The result of a function of torch, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebuild {
    /// `(storage, offset, size, stride, …)`
    Tensor,
    /// The same on a storage of bytes, with a dtype.
    TensorV3,
    /// `(data, requires_grad, hooks, …)`
    Parameter,
    /// `(function, class, args, state)`
    FromType,
    /// `(data, dtype, device, requires_grad)`: a CPU tensor that is copied to a device
    ToDevice,
    /// The same of a numpy array
    ArrayToDevice,
    /// `(class, …)`: a tensor without a storage, which contains other tensors
    Wrapper,
    /// A known function whose result is not plain storage.
    Refused(&'static str),
}

/// The class of parameters before torch 0.4. No weights-only loader accepts it.
const VARIABLE: (&str, &str) = ("torch.autograd.variable", "Variable");

pub(super) fn rebuild(global: &Global) -> Option<Rebuild> {
    Some(match (&*global.module, &*global.name) {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Rebuild::Tensor,
        ("torch._utils", "_rebuild_tensor_v3") => Rebuild::TensorV3,
        // The names of the classes before torch 0.4.
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
        | ("torch.nn.parameter", "Parameter")
        | VARIABLE => Rebuild::Parameter,
        ("torch._tensor" | "torch.tensor", "_rebuild_from_type_v2") => Rebuild::FromType,
        ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
            Rebuild::Refused("sparse")
        }
        ("torch._utils", "_rebuild_qtensor") => Rebuild::Refused("quantized"),
        ("torch._utils", "_rebuild_nested_tensor") => Rebuild::Refused("nested"),
        ("torch._utils", "_rebuild_meta_tensor_no_storage") => Rebuild::Refused("meta tensor without data"),
        ("torch._utils", "_rebuild_wrapper_subclass") => Rebuild::Wrapper,
        ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor") => Rebuild::ToDevice,
        ("torch._utils", "_rebuild_device_tensor_from_numpy" | "_rebuild_xla_tensor") => {
            Rebuild::ArrayToDevice
        }
        ("torch._tensor" | "torch.tensor", "_rebuild_from_type") => {
            Rebuild::Refused("of an old subclass form")
        }
        _ => return None,
    })
}

/// Returns `true` if the object is a dict by another name.
pub(super) fn is_mapping(global: &Global) -> bool {
    matches!(
        (&*global.module, &*global.name),
        ("collections", "OrderedDict" | "Counter" | "defaultdict") | ("builtins" | "__builtin__", "dict")
    )
}

pub(super) fn is_sequence(global: &Global) -> bool {
    matches!((&*global.module, &*global.name), ("builtins" | "__builtin__", "list" | "tuple"))
}

/// Returns `true` for the call with which `torch.jit.save` states the type of a dict or a list.
pub(super) fn is_type_tag(global: &Global) -> bool {
    (&*global.module, &*global.name) == ("torch.jit._pickle", "restore_type_tag")
}

/// Returns `true` for the function with which `torch.jit.save` creates a list of one type: `build_tensorlist(list)`.
pub(super) fn is_list_of_type(global: &Global) -> bool {
    &*global.module == "torch.jit._pickle"
        && global.name.starts_with("build_")
        && global.name.ends_with("list")
}

/// Returns `true` if the object is a number of numpy's.
pub(super) fn is_scalar(global: &Global) -> bool {
    matches!((&*global.module, &*global.name), ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar"))
}

/// Returns `true` for a global that weights checkpoints use: those that the converter reads, and the plain values next
/// to the weights. None of them calls or looks up anything except its arguments. Source: the list of torch's
/// weights-only loader.
pub(in super::super) fn is_weights(module: &str, name: &str) -> bool {
    let global = Global { module: module.into(), name: name.into() };
    let known_storage = matches!(storage_class(&global, ""), Ok(_) | Err(Error::StorageType { .. }));
    let known_rebuild = rebuild(&global).is_some() && (module, name) != VARIABLE;
    known_storage
        || known_rebuild
        || dtype(&global).is_some()
        || is_mapping(&global)
        || is_sequence(&global)
        || PLAIN.iter().any(|(plain, names)| *plain == module && names.contains(&name))
}

/// Further globals that weights checkpoints use.
#[rustfmt::skip]
const PLAIN: &[(&str, &[&str])] = &[
    ("builtins", &["set", "frozenset", "bytearray", "complex", "int", "float", "str", "bool"]),
    ("__builtin__", &["set", "frozenset", "bytearray", "complex", "int", "float", "str", "bool"]),
    ("torch", &["complex128", "cdouble", "complex32", "chalf", "Size", "device", "Tensor", "strided", "sparse_coo", "sparse_csr"]),
    ("torch", &["quint8", "qint8", "qint32", "quint4x2", "quint2x4"]),
    ("torch", &["per_tensor_affine", "per_channel_affine", "per_tensor_symmetric", "per_channel_symmetric"]),
    ("torch._tensor", &["Tensor"]),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    ("torch.storage", &["TypedStorage"]),
    ("torch.serialization", &["_get_layout"]),
    ("_codecs", &["encode"]),
];
