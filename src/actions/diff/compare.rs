//! Compares two models: by their headers and, on request, by every byte.
//!
//! ```text
//! name in only one of them      added, removed; renamed if the bytes are known to be the same
//! name in both                  another dtype or shape; other values; the same; or not known, if nothing was read
//! ```
//!
//! The CRC-32 in the archive directory decides for two tensors that are a record each.

use std::collections::{BTreeMap, HashMap};

use super::super::{Error, Reporter};
use super::model::{Model, TensorFacts};
use crate::hash::{Hasher, Oid};
use crate::safetensors::{self, Comparer, Deviation};

/// How many bytes are read at once.
const STEP: usize = 1 << 20;

/// A change of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is new.
    Added(TensorFacts),
    /// It is gone.
    Removed(TensorFacts),
    /// It has another name and the same bytes.
    Renamed {
        /// Its old name.
        from: String,
        /// The tensor.
        tensor: TensorFacts,
    },
    /// It has another dtype or shape.
    Retyped {
        /// The old tensor.
        old: TensorFacts,
        /// The new tensor.
        new: TensorFacts,
        /// The difference of the values, if the shape is the same and values were requested.
        deviation: Option<Deviation>,
    },
    /// It has other bytes.
    Values {
        /// The tensor.
        tensor: TensorFacts,
        /// Their difference, if values were requested.
        deviation: Option<Deviation>,
    },
}

impl Change {
    /// Returns the current name of the tensor, or the removed one.
    pub fn name(&self) -> &str {
        match self {
            Self::Added(tensor)
            | Self::Removed(tensor)
            | Self::Renamed { tensor, .. }
            | Self::Values { tensor, .. } => &tensor.name,
            Self::Retyped { new, .. } => &new.name,
        }
    }
}

/// The differences between two models.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// The changes, by name.
    pub list: Vec<Change>,
    /// How many tensors are the same in every byte.
    pub same: usize,
    /// How many tensors have the same name, dtype and shape, and bytes that were not read.
    pub unread: usize,
}

/// Compares two models; `None` is a missing file.
pub(super) fn compare(
    old: Option<&Model<'_>>,
    new: Option<&Model<'_>>,
    values: bool,
    reporter: &dyn Reporter,
) -> Result<Changes, Error> {
    let pair = Pair { old, new, values, reporter };
    let nothing = BTreeMap::new();
    let was = old.map_or(&nothing, |model| &model.tensors);
    let is = new.map_or(&nothing, |model| &model.tensors);
    let mut changes = Changes::default();
    for (name, old) in was {
        let Some(new) = is.get(name) else { continue };
        pair.tensor(old, new, &mut changes)?;
    }
    let mut removed: Vec<_> = was.values().filter(|tensor| !is.contains_key(&tensor.name)).collect();
    let mut added: Vec<_> = is.values().filter(|tensor| !was.contains_key(&tensor.name)).collect();
    changes.list.extend(pair.renamed(&mut removed, &mut added)?);
    changes.list.extend(removed.into_iter().cloned().map(Change::Removed));
    changes.list.extend(added.into_iter().cloned().map(Change::Added));
    changes.list.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(changes)
}

struct Pair<'a> {
    old: Option<&'a Model<'a>>,
    new: Option<&'a Model<'a>>,
    values: bool,
    reporter: &'a dyn Reporter,
}

/// The properties that must be equal before the bytes of two tensors can be the same, and the proof that they are.
type Likeness<'a> = (String, &'a [u64], Proven);

#[derive(PartialEq, Eq, Hash)]
enum Proven {
    Crc32(u32),
    Sha256(Oid),
}

impl Pair<'_> {
    /// Compares a tensor that both models have.
    fn tensor(&self, old: &TensorFacts, new: &TensorFacts, changes: &mut Changes) -> Result<(), Error> {
        let is_read = self.values && old.shape == new.shape;
        if (old.dtype, &old.shape) != (new.dtype, &new.shape) {
            let deviation = if is_read { Some(self.deviation(old, new)?) } else { None };
            changes.list.push(Change::Retyped { old: old.clone(), new: new.clone(), deviation });
            return Ok(());
        }
        if is_read && new.bytes > 0 {
            let deviation = self.deviation(old, new)?;
            if deviation.differing == 0 {
                changes.same += 1;
            } else {
                changes.list.push(Change::Values { tensor: new.clone(), deviation: Some(deviation) });
            }
            return Ok(());
        }
        match (old.crc32, new.crc32) {
            _ if new.bytes == 0 => changes.same += 1,
            (Some(old), Some(new)) if old == new => changes.same += 1,
            (Some(_), Some(_)) => {
                changes.list.push(Change::Values { tensor: new.clone(), deviation: None });
            }
            _ => changes.unread += 1,
        }
        Ok(())
    }

    /// Removes tensors with the same bytes under another name from both lists.
    fn renamed(
        &self,
        removed: &mut Vec<&TensorFacts>,
        added: &mut Vec<&TensorFacts>,
    ) -> Result<Vec<Change>, Error> {
        let alike = |one: &TensorFacts, others: &[&TensorFacts]| {
            others.iter().any(|other| (other.dtype, &other.shape) == (one.dtype, &one.shape))
        };
        let mut waiting: HashMap<Likeness<'_>, Vec<&TensorFacts>> = HashMap::new();
        for &tensor in removed.iter().filter(|tensor| alike(tensor, added)) {
            if let Some(proven) = self.proven(self.old, tensor)? {
                waiting.entry((tensor.dtype.to_string(), &tensor.shape, proven)).or_default().push(tensor);
            }
        }
        let (mut renamed, mut gone) = (Vec::new(), Vec::new());
        let mut left = Vec::new();
        for &tensor in added.iter() {
            let proven = if alike(tensor, removed) { self.proven(self.new, tensor)? } else { None };
            let found = proven.and_then(|proven| {
                let known = waiting.get_mut(&(tensor.dtype.to_string(), tensor.shape.as_slice(), proven))?;
                (!known.is_empty()).then(|| known.remove(0))
            });
            match found {
                Some(old) => {
                    gone.push(old.name.clone());
                    renamed.push(Change::Renamed { from: old.name.clone(), tensor: tensor.clone() });
                }
                None => left.push(tensor),
            }
        }
        removed.retain(|tensor| !gone.contains(&tensor.name));
        *added = left;
        Ok(renamed)
    }

    /// Returns a value that identifies the bytes of a tensor, if they were read or the archive contains a checksum.
    /// Empty tensors have none.
    fn proven(&self, model: Option<&Model<'_>>, tensor: &TensorFacts) -> Result<Option<Proven>, Error> {
        let Some(model) = model.filter(|_| tensor.bytes > 0) else { return Ok(None) };
        if !self.values {
            return Ok(tensor.crc32.map(Proven::Crc32));
        }
        let tensor_bytes = model.tensor_bytes(tensor)?;
        let (mut hasher, mut buffer, mut at) = (Hasher::default(), vec![0; STEP], 0_u64);
        while at < tensor.bytes {
            self.reporter.check_interrupted()?;
            let len = usize::try_from(tensor.bytes - at).unwrap_or(STEP).min(STEP);
            tensor_bytes.read(&mut buffer[..len], at).map_err(safetensors::Error::Io)?;
            hasher.update(&buffer[..len]);
            at += len as u64;
        }
        Ok(Some(Proven::Sha256(hasher.finish().0)))
    }

    /// Returns the difference between two tensors of one shape.
    fn deviation(&self, old: &TensorFacts, new: &TensorFacts) -> Result<Deviation, Error> {
        let mut comparer = Comparer::new(&new.shape, old.dtype, new.dtype);
        let (Some(was), Some(is)) = (self.old, self.new) else { return Ok(comparer.finish()) };
        let (was, is) = (was.tensor_bytes(old)?, is.tensor_bytes(new)?);
        let (unit, other_unit) = comparer.units();
        let runs = STEP / unit.max(other_unit);
        let (mut one, mut other) = (vec![0; runs * unit], vec![0; runs * other_unit]);
        let (mut at, mut other_at) = (0_u64, 0_u64);
        while at < old.bytes {
            self.reporter.check_interrupted()?;
            let len = usize::try_from(old.bytes - at).unwrap_or(one.len()).min(one.len());
            let other_len = usize::try_from(new.bytes - other_at).unwrap_or(other.len()).min(other.len());
            was.read(&mut one[..len], at).map_err(safetensors::Error::Io)?;
            is.read(&mut other[..other_len], other_at).map_err(safetensors::Error::Io)?;
            comparer.pass(&one[..len], &other[..other_len]);
            (at, other_at) = (at + len as u64, other_at + other_len as u64);
        }
        Ok(comparer.finish())
    }
}
