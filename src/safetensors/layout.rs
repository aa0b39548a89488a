//! [`Layout`] determines the header, the order and the final size of a file, before a byte is written.
//!
//! Order: by dtype, the widest first (the rank that the crate gives its dtypes), then by name in the order of its UTF-8
//! bytes. JSON is compact; `__metadata__` comes first, with sorted keys. Files of older releases ([`Release`]) are also
//! laid out, to identify them; they are never written.

use std::collections::BTreeMap;

use ::safetensors::tensor::TensorInfo;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::Error;
use crate::checkpoint::{DType, Plan, Tensor};

/// The limit of the format: readers refuse longer headers.
pub(super) const MAX_HEADER: u64 = 100_000_000;

/// The longest header that the Hub reads to show the tensors of a file: `SAFETENSORS_MAX_HEADER_LENGTH` of
/// `huggingface_hub`.
pub const SHOWN_HEADER: u64 = 25_000_000;

/// How a release of safetensors lays a file out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Release {
    /// 0.3.1 and later: the layout that this program writes.
    Current,
    /// 0.3.0: the same order; as many spaces of padding as the length of the header exceeds a multiple of 8.
    V0_3_0,
    /// Up to 0.2.8: only by name, without padding.
    V0_2_8,
}

/// The position of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slot {
    /// Its index in [`Plan::tensors`].
    pub tensor: usize,
    /// The offset of its first byte from the start of the data.
    pub at: u64,
}

/// The header, order and size of a safetensors file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Layout {
    header: Vec<u8>,
    places: Vec<Slot>,
    data_len: u64,
}

impl Layout {
    /// Lays out the tensors of `plan` with the indices `kept`.
    ///
    /// # Errors
    /// [`Error::HeaderLength`] or [`Error::TooLarge`].
    pub fn new(plan: &Plan, kept: &[usize], metadata: &BTreeMap<String, String>) -> Result<Self, Error> {
        let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Self::of_release(plan, kept, Some(&metadata), Release::Current)
    }

    /// Does the same for a release, with the metadata in this order; `None` for a header without metadata.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn of_release(
        plan: &Plan,
        kept: &[usize],
        metadata: Option<&[(&str, &str)]>,
        release: Release,
    ) -> Result<Self, Error> {
        let mut order: Vec<(usize, &Tensor)> =
            kept.iter().filter_map(|&index| Some((index, plan.tensors.get(index)?))).collect();
        let by_dtype = release != Release::V0_2_8;
        order.sort_by(|(_, a), (_, b)| {
            let by_name = a.name.cmp(&b.name);
            if by_dtype { b.dtype.cmp(&a.dtype).then(by_name) } else { by_name }
        });
        let mut places = Vec::with_capacity(order.len());
        let mut infos = Vec::with_capacity(order.len());
        let mut at = 0_u64;
        for (index, tensor) in order {
            let end = at.checked_add(tensor.bytes()).ok_or(Error::TooLarge)?;
            infos.push((tensor.name.as_str(), info(tensor, at, end)?));
            places.push(Slot { tensor: index, at });
            at = end;
        }
        let header = header(&Header { metadata, infos: &infos }, release)?;
        Ok(Self { header, places, data_len: at })
    }

    /// Returns the header, with its length before it and its padding.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Returns every tensor in the order of the file.
    pub fn places(&self) -> &[Slot] {
        &self.places
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.data_len.saturating_add(self.header.len() as u64)
    }

    /// Returns the size of the tensors in bytes.
    pub fn data_len(&self) -> u64 {
        self.data_len
    }
}

fn info(tensor: &Tensor, begin: u64, end: u64) -> Result<TensorInfo, Error> {
    let small = |number: u64| usize::try_from(number).map_err(|_| Error::TooLarge);
    Ok(TensorInfo {
        dtype: tensor.dtype,
        shape: tensor.safetensors_shape().into_iter().map(small).collect::<Result<_, _>>()?,
        data_offsets: (small(begin)?, small(end)?),
    })
}

struct Header<'a> {
    metadata: Option<&'a [(&'a str, &'a str)]>,
    infos: &'a [(&'a str, TensorInfo)],
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(pairs) = self.metadata {
            map.serialize_entry("__metadata__", &Metadata(pairs))?;
        }
        for (name, info) in self.infos {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}

struct Metadata<'a>(&'a [(&'a str, &'a str)]);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

fn header(header: &Header<'_>, release: Release) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; 8];
    serde_json::to_writer(&mut bytes, header).map_err(Error::Header)?;
    let padded = match release {
        Release::Current => bytes.len().next_multiple_of(8),
        Release::V0_3_0 => bytes.len() + bytes.len() % 8,
        Release::V0_2_8 => bytes.len(),
    };
    bytes.resize(padded, b' ');
    let len = (bytes.len() - 8) as u64;
    if len > MAX_HEADER {
        return Err(Error::HeaderLength { len, limit: MAX_HEADER });
    }
    let (length, _) = bytes.split_at_mut(8);
    length.copy_from_slice(&len.to_le_bytes());
    Ok(bytes)
}

/// Returns the bytes of the smallest part of an element that has a byte order: a component of a complex number.
pub(super) fn component(dtype: DType) -> usize {
    match dtype {
        DType::C64 => 4,
        _ => dtype.bitsize().div_ceil(8),
    }
}
