//! [`Model`] contains the tensors of a checkpoint or of a safetensors file by its header, and reads their bytes on
//! request.
//!
//! Invariant: no pickle is executed, and no tensor byte is read until [`Model::tensor_bytes`]. If no dict of a
//! checkpoint is clearly the state dict, the whole object is used, each tensor by its path: the comparison is about
//! changes in the file, not about the result of a conversion.

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::super::Error;
use crate::checkpoint::{self, DType, Kind, Plan, Storage, Tensor};
use crate::read_at::{Joined, ReadAt};
use crate::safetensors;

/// A tensor without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorFacts {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// The size of each dimension in elements.
    pub shape: Vec<u64>,
    /// How many bytes it has.
    pub bytes: u64,
    /// Their CRC-32, if the directory of an archive contains it.
    pub crc32: Option<u32>,
    place: BytesAt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BytesAt {
    /// Contiguous, from this offset on.
    At(u64),
    /// The tensor with this number in a plan, which must be gathered.
    Gathered(usize),
}

/// The tensors of a file.
pub(in super::super) struct Model<'a> {
    /// By name.
    pub(super) tensors: BTreeMap<String, TensorFacts>,
    /// `safetensors`, or the format of a checkpoint.
    pub(in super::super) format: &'static str,
    source: &'a dyn ReadAt,
    plan: Option<Plan>,
    /// The inflated records, which the source does not contain in place.
    inflated: Vec<u8>,
}

/// The bytes of one tensor, row by row.
pub(super) enum TensorBytes<'a> {
    In { source: Joined<'a>, at: u64 },
    Held(Vec<u8>),
}

impl TensorBytes<'_> {
    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Self::In { source, at: begin } => source.read_exact_at(buffer, begin.saturating_add(at)),
            Self::Held(bytes) => bytes.read_exact_at(buffer, at),
        }
    }
}

impl<'a> Model<'a> {
    /// Reads the header; `None` for a file without tensors. `is_read` states whether its bytes will be requested.
    pub(in super::super) fn read(source: &'a dyn ReadAt, is_read: bool) -> Result<Option<Self>, Error> {
        if Kind::of(source).map_err(checkpoint::Error::from)? == Kind::Safetensors {
            return Self::of_safetensors(source).map(Some);
        }
        let plan = |key: Option<&str>| {
            let limits = checkpoint::Limits { output: Some(u64::MAX), ..checkpoint::Limits::default() };
            checkpoint::plan(source, &checkpoint::Options { limits, ..checkpoint::Options::with_key(key) })
        };
        let planned = match plan(None) {
            Err(error @ checkpoint::Error::Ambiguous { .. }) => plan(Some(".")).map_err(|_| error),
            planned => planned,
        };
        match planned {
            Ok(plan) => Ok(Some(Self::of_plan(source, plan, is_read))),
            Err(
                checkpoint::Error::NotCheckpoint { .. }
                | checkpoint::Error::Foreign { .. }
                | checkpoint::Error::NoTensors
                | checkpoint::Error::TrainingState,
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn of_safetensors(source: &'a dyn ReadAt) -> Result<Self, Error> {
        let (infos, metadata) = safetensors::read(source)?;
        let mut tensors: BTreeMap<_, _> = infos
            .into_iter()
            .map(|info| {
                let (name, place) = (info.name.clone(), BytesAt::At(info.at));
                let facts = TensorFacts {
                    name: info.name,
                    dtype: info.dtype,
                    shape: info.shape,
                    bytes: info.bytes,
                    crc32: None,
                    place,
                };
                (name, facts)
            })
            .collect();
        // A dropped name stands for the kept one.
        let tied: Vec<_> = metadata
            .into_iter()
            .filter(|(name, _)| name != "format" && !tensors.contains_key(name))
            .filter_map(|(name, kept)| Some(TensorFacts { name, ..tensors.get(&kept)?.clone() }))
            .collect();
        tensors.extend(tied.into_iter().map(|facts| (facts.name.clone(), facts)));
        Ok(Self { tensors, format: "safetensors", source, plan: None, inflated: Vec::new() })
    }

    fn of_plan(source: &'a dyn ReadAt, plan: Plan, is_read: bool) -> Self {
        let checksums: HashMap<_, _> =
            plan.records.iter().map(|record| ((record.at, record.len), record.crc32)).collect();
        let facts = |(number, tensor): (usize, &Tensor)| {
            let storage = plan.storages.get(tensor.storage);
            let in_place = storage.filter(|storage| is_plain(tensor, storage));
            let crc32 = in_place.filter(|storage| tensor.offset == 0 && storage.len == tensor.bytes());
            let facts = TensorFacts {
                name: tensor.name.clone(),
                dtype: tensor.dtype,
                shape: tensor.safetensors_shape(),
                bytes: tensor.bytes(),
                crc32: crc32.and_then(|storage| checksums.get(&(storage.at, storage.len)).copied()),
                place: in_place.map_or(BytesAt::Gathered(number), |storage| {
                    BytesAt::At(storage.at.saturating_add(tensor.offset.saturating_mul(tensor.width)))
                }),
            };
            (tensor.name.clone(), facts)
        };
        let tensors = plan.tensors.iter().enumerate().map(facts).collect();
        let format = plan.format.name();
        Self { tensors, format, source, plan: Some(plan).filter(|_| is_read), inflated: Vec::new() }
    }

    /// Inflates deflated records.
    pub(super) fn inflate(&mut self) -> Result<(), Error> {
        match &self.plan {
            Some(plan) if self.inflated.is_empty() => {
                Ok(checkpoint::inflate(self.source, plan, &mut self.inflated)?)
            }
            _ => Ok(()),
        }
    }

    /// Returns the bytes of a tensor, as in a safetensors file.
    pub(super) fn tensor_bytes(&self, facts: &TensorFacts) -> Result<TensorBytes<'_>, Error> {
        let source = Joined::new(self.source, &self.inflated);
        match (facts.place, &self.plan) {
            (BytesAt::Gathered(number), Some(plan)) => {
                let mut held = Vec::new();
                safetensors::write_tensors(&[number], plan, &source, &mut held)?;
                Ok(TensorBytes::Held(held))
            }
            (BytesAt::At(at), _) => Ok(TensorBytes::In { source, at }),
            (BytesAt::Gathered(_), None) => Ok(TensorBytes::Held(Vec::new())),
        }
    }
}

/// Returns `true` if the tensor has the same layout in its storage as in a safetensors file.
fn is_plain(tensor: &Tensor, storage: &Storage) -> bool {
    checkpoint::is_contiguous(&tensor.shape, &tensor.strides)
        && !(tensor.conjugate || tensor.negate || storage.big_endian)
}
