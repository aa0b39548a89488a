//! Checks every plan: names that differ, a size that the source can explain, a depth that can be walked.

use std::collections::HashSet;

use super::{Error, Limits, Tensor};
use crate::checkpoint::DType;

pub(super) fn check_names(tensors: &[Tensor]) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(tensors.len());
    for tensor in tensors {
        if tensor.name == "__metadata__" {
            return Err(Error::ReservedName { name: tensor.name.clone() });
        }
        if !seen.insert(tensor.name.as_str()) {
            return Err(Error::DuplicateName { name: tensor.name.clone() });
        }
    }
    Ok(())
}

/// A number of empty tensors that cannot be an accident.
const MANY: usize = 8;

/// A model whose weights are all empty comes from `DeepSpeed` (ZeRO-3), whose ranks store them; loaders would accept
/// the empty file as the model. It can still contain position numbers, which are not weights.
pub(super) fn check_filled(tensors: &[Tensor]) -> Result<(), Error> {
    let is_weight = |tensor: &&Tensor| {
        !matches!(
            tensor.dtype,
            DType::BOOL
                | DType::U8
                | DType::I8
                | DType::U16
                | DType::I16
                | DType::U32
                | DType::I32
                | DType::U64
                | DType::I64
        )
    };
    let empty = tensors.iter().filter(|tensor| tensor.bytes() == 0).count();
    let is_filled = tensors.iter().filter(is_weight).any(|tensor| tensor.bytes() > 0);
    // Buffers are not divided among the ranks; a parameter is left as one dimension of size 0.
    let is_left = |tensor: &&Tensor| *tensor.shape == [0];
    let left = tensors.iter().filter(is_left).count();
    let is_of_a_model = left >= MANY && left > tensors.len() / 2;
    if !is_of_a_model && (is_filled || empty <= tensors.len() / 2) {
        return Ok(());
    }
    Err(Error::Empty { empty, tensors: tensors.len() })
}

/// A few bytes can describe a petabyte of zeros; a checkpoint does not.
pub(super) fn check_expansion(tensors: &[Tensor], source_len: u64, limits: &Limits) -> Result<(), Error> {
    let by_source = source_len.saturating_mul(limits.expansion).saturating_add(64 << 20);
    let limit = limits.output.unwrap_or(by_source);
    let bytes = tensors.iter().fold(0_u64, |total, tensor| total.saturating_add(tensor.bytes()));
    if bytes > limit { Err(Error::Output { bytes, limit }) } else { Ok(()) }
}

pub(super) fn deep(limits: &Limits) -> Error {
    Error::Limit { what: "nesting levels", limit: u64::try_from(limits.depth).unwrap_or(u64::MAX) }
}
