//! Compares a safetensors file with a checkpoint: names, dtypes and shapes by the header, then every byte as it passes.
//!
//! ```text
//! header ──▶ Comparison      other names, dtypes or shapes end it here; no tensor byte was read
//! file, from the header on ──▶ Data::pass ◀── the same tensors of the checkpoint, in the order of the file
//! ```
//!
//! Invariants: elements compare by their bits, so a NaN equals itself and no other; a missing name is equal only if the
//! file contains its bytes under another name: one that shares its memory in the checkpoint, or one that the metadata
//! names. The memory is a few numbers per tensor.

use std::collections::{BTreeMap, BTreeSet};

use super::read::Info;
use super::value::{Value, index_of, unit};
use crate::checkpoint::ties::{self, Ties};
use crate::checkpoint::{DType, Plan, Tensor};
use crate::read_at::usize_of;

/// How many differences are listed.
pub const LIMIT: usize = 10;

/// The key of the metadata that is not the name of a tensor.
const FORMAT: &str = "format";

/// A difference between a file and a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The file lacks a tensor of the checkpoint.
    Missing {
        /// Its name.
        name: String,
    },
    /// The file, or its metadata, has a name that the checkpoint does not have.
    Extra {
        /// Its name.
        name: String,
    },
    /// The metadata states that a name is tied to a tensor, which has other values.
    Alias {
        /// The name.
        name: String,
        /// The tensor.
        keeper: String,
    },
    /// The dtypes differ.
    DType {
        /// The tensor.
        name: String,
        /// In the checkpoint.
        checkpoint: DType,
        /// In the file.
        file: DType,
    },
    /// The shapes differ.
    Shape {
        /// The tensor.
        name: String,
        /// In the checkpoint.
        checkpoint: Vec<u64>,
        /// In the file.
        file: Vec<u64>,
    },
    /// The first element of a tensor that differs.
    Element {
        /// The tensor.
        name: String,
        /// Its position, one number per dimension.
        index: Vec<u64>,
        /// In the checkpoint.
        checkpoint: Value,
        /// In the file.
        file: Value,
    },
}

/// The comparison of a header with a checkpoint.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Comparison {
    /// The differences; the first of each kind.
    pub differences: Vec<Difference>,
    /// The number of the others.
    pub more: usize,
    /// Names that the file does not contain, each with the name that has its bytes in the checkpoint's own memory.
    pub ties: BTreeMap<String, String>,
    /// The same only by the file's metadata, as indices of [`Plan::tensors`]: the bytes must be compared.
    pub claims: Vec<(usize, usize)>,
    /// The tensors of the file in its order, as indices of [`Plan::tensors`]; only valid without differences.
    pub order: Vec<usize>,
}

impl Comparison {
    /// Compares a header with a plan. `conversions` are those of the checkpoint, which determine the names that may be
    /// dropped.
    pub fn new(
        plan: &Plan,
        infos: &[Info],
        metadata: &BTreeMap<String, String>,
        conversions: &[&Ties],
    ) -> Self {
        let names = Names::new(plan, infos);
        let mut found = Self::default();
        for info in infos {
            match names.here.get(info.name.as_str()) {
                Some(&index) => found.tensor(plan, index, info),
                None => found.differs(Difference::Extra { name: info.name.clone() }),
            }
        }
        for index in 0..plan.tensors.len() {
            found.absent(plan, index, &names, metadata, conversions);
        }
        for (name, keeper) in metadata {
            let is_name = name != FORMAT && names.there.contains(keeper.as_str());
            if is_name && !names.here.contains_key(name.as_str()) {
                found.differs(Difference::Extra { name: name.clone() });
            }
        }
        found
    }

    fn differs(&mut self, difference: Difference) {
        if self.differences.len() < LIMIT {
            self.differences.push(difference);
        } else {
            self.more += 1;
        }
    }

    fn tensor(&mut self, plan: &Plan, index: usize, info: &Info) {
        self.order.push(index);
        let Some(tensor) = plan.tensors.get(index) else { return };
        let name = info.name.clone();
        if tensor.dtype != info.dtype {
            self.differs(Difference::DType { name, checkpoint: tensor.dtype, file: info.dtype });
        } else if tensor.safetensors_shape() != info.shape {
            let (checkpoint, file) = (tensor.safetensors_shape(), info.shape.clone());
            self.differs(Difference::Shape { name, checkpoint, file });
        }
    }

    /// Handles a name that the file does not contain: another name may have its values.
    fn absent(
        &mut self,
        plan: &Plan,
        index: usize,
        names: &Names<'_>,
        metadata: &BTreeMap<String, String>,
        conversions: &[&Ties],
    ) {
        let Some(tensor) = plan.tensors.get(index) else { return };
        if names.there.contains(tensor.name.as_str()) {
            return;
        }
        let name = tensor.name.clone();
        let kept = || conversions.iter().filter_map(|ties| ties.dropped.get(&name));
        let is_held_by =
            |keeper: &Tensor| ties::holds(keeper, tensor) || kept().any(|kept| *kept == keeper.name);
        // If the file itself names one, it must be that one.
        let said = metadata.get(&name).filter(|keeper| names.there.contains(keeper.as_str()));
        if let Some(keeper) = said.filter(|_| name != FORMAT) {
            let other = names.here.get(keeper.as_str()).and_then(|&at| Some((at, plan.tensors.get(at)?)));
            match other {
                Some((_, other)) if is_held_by(other) => {
                    self.ties.insert(name, keeper.clone());
                }
                Some((at, other))
                    if other.dtype == tensor.dtype
                        && other.bytes() == tensor.bytes()
                        && tensor.bytes() > 0 =>
                {
                    self.claims.push((index, at));
                }
                _ => self.differs(Difference::Alias { name, keeper: keeper.clone() }),
            }
            return;
        }
        let by_rule = kept().filter_map(|kept| names.here.get(kept.as_str()));
        let keepers = by_rule.copied().chain(names.near(tensor)).filter_map(|index| plan.tensors.get(index));
        let mut keepers = keepers.filter(|keeper| names.there.contains(keeper.name.as_str()));
        match keepers.find(|keeper| is_held_by(keeper)) {
            Some(keeper) => {
                self.ties.insert(name, keeper.name.clone());
            }
            None => self.differs(Difference::Missing { name }),
        }
    }
}

/// How many names that begin at one offset are checked: a checkpoint may have a million.
const NEAR: usize = 64;

/// The names of both files.
struct Names<'a> {
    /// In the checkpoint, by their index.
    here: BTreeMap<&'a str, usize>,
    /// In the file.
    there: BTreeSet<&'a str>,
    /// Tensors of the checkpoint that the file contains, by the byte of a storage at which they begin.
    starts: BTreeMap<(usize, u64), Vec<usize>>,
    /// The longest tensor of each storage.
    longest: BTreeMap<usize, usize>,
}

impl<'a> Names<'a> {
    fn new(plan: &'a Plan, infos: &'a [Info]) -> Self {
        let mut names = Self {
            here: BTreeMap::new(),
            there: infos.iter().map(|info| info.name.as_str()).collect(),
            starts: BTreeMap::new(),
            longest: BTreeMap::new(),
        };
        for (index, tensor) in plan.tensors.iter().enumerate() {
            names.here.insert(&tensor.name, index);
            if !names.there.contains(tensor.name.as_str()) {
                continue;
            }
            names.starts.entry(start(tensor)).or_default().push(index);
            let longest = names.longest.entry(tensor.storage).or_insert(index);
            if plan.tensors.get(*longest).is_some_and(|longest| longest.bytes() < tensor.bytes()) {
                *longest = index;
            }
        }
        names
    }

    /// Returns tensors that may contain the bytes of a tensor.
    fn near(&self, tensor: &Tensor) -> impl Iterator<Item = usize> {
        let starts = self.starts.get(&start(tensor)).into_iter().flatten().take(NEAR);
        starts.chain(self.longest.get(&tensor.storage)).copied()
    }
}

fn start(tensor: &Tensor) -> (usize, u64) {
    (tensor.storage, tensor.offset.saturating_mul(tensor.width))
}

/// The state of one tensor of the file.
#[derive(Debug)]
struct Part {
    info: Info,
    /// `true` if it differs; then no more of it is read.
    differs: bool,
}

/// The first differing element of a tensor, as far as its bytes have passed.
#[derive(Debug)]
struct Element {
    part: usize,
    /// Its number in the tensor, in units of one byte or more ([`unit()`]).
    number: u64,
    /// Its offset in the data.
    at: u64,
    checkpoint: Vec<u8>,
    file: Vec<u8>,
}

/// The comparison of the data of a file and of the checkpoint, as the bytes pass.
#[derive(Debug)]
pub struct Data {
    parts: Vec<Part>,
    /// The first part that is not complete.
    next: usize,
    at: u64,
    /// The last bytes of the file: the beginning of an element before its first difference is equal in both.
    tail: Vec<u8>,
    open: Vec<Element>,
    differences: Vec<Difference>,
}

impl Data {
    /// Starts after the header of a file with these tensors, in their order.
    pub fn new(infos: Vec<Info>) -> Self {
        let at = infos.first().map_or(0, |info| info.at);
        let parts = infos.into_iter().map(|info| Part { info, differs: false }).collect();
        Self { parts, next: 0, at, tail: Vec::new(), open: Vec::new(), differences: Vec::new() }
    }

    /// Compares the next bytes of both, which have the same length. Returns `false` when enough differences are found.
    pub fn pass(&mut self, checkpoint: &[u8], file: &[u8]) -> bool {
        let len = checkpoint.len().min(file.len());
        let (checkpoint, file) = (&checkpoint[..len], &file[..len]);
        self.complete(checkpoint, file);
        if checkpoint != file {
            self.look(checkpoint, file);
        }
        let end = self.at + len as u64;
        while self.parts.get(self.next).is_some_and(|part| part.info.at + part.info.bytes <= end) {
            self.next += 1;
        }
        let kept = self.tail.len().saturating_sub(8_usize.saturating_sub(len));
        self.tail.drain(..kept);
        self.tail.extend_from_slice(&file[len.saturating_sub(8)..]);
        self.at = end;
        self.differences.len() < LIMIT
    }

    /// Returns the differences, after all bytes have passed.
    pub fn finish(self) -> Vec<Difference> {
        self.differences
    }

    /// Searches the first differing byte of each tensor.
    fn look(&mut self, checkpoint: &[u8], file: &[u8]) {
        let (begin, end) = (self.at, self.at + file.len() as u64);
        for index in self.next..self.parts.len() {
            let Part { info, differs } = &self.parts[index];
            if info.at >= end {
                break;
            }
            let (from, to) = (info.at.max(begin), (info.at + info.bytes).min(end));
            if *differs || from >= to {
                continue;
            }
            let (from, to) = (usize_of(from - begin), usize_of(to - begin));
            let pairs = checkpoint[from..to].iter().zip(&file[from..to]);
            let Some(first) = pairs.into_iter().position(|(one, other)| one != other) else { continue };
            let width = unit(info.dtype) as u64;
            let number = (begin + (from + first) as u64 - info.at) / width;
            let at = info.at + number * width;
            self.parts[index].differs = true;
            // How much of it has passed already.
            let passed = usize_of(begin.saturating_sub(at));
            let head = self.tail[self.tail.len().saturating_sub(passed)..].to_vec();
            self.open.push(Element { part: index, number, at, checkpoint: head.clone(), file: head });
        }
        self.complete(checkpoint, file);
    }

    /// Completes the elements that have begun.
    fn complete(&mut self, checkpoint: &[u8], file: &[u8]) {
        for mut element in std::mem::take(&mut self.open) {
            let width = unit(self.parts[element.part].info.dtype);
            let from = usize_of((element.at + element.file.len() as u64).saturating_sub(self.at));
            let to = (from + width - element.file.len()).min(file.len());
            if from < to {
                element.checkpoint.extend_from_slice(&checkpoint[from..to]);
                element.file.extend_from_slice(&file[from..to]);
            }
            if element.file.len() == width {
                self.differences.push(self.difference(&element));
            } else {
                self.open.push(element);
            }
        }
    }

    fn difference(&self, element: &Element) -> Difference {
        let info = &self.parts[element.part].info;
        let (mut number, mut half) = (element.number, 0);
        if info.dtype == DType::F4 {
            // The low half comes first.
            let is_low =
                element.checkpoint.iter().zip(&element.file).any(|(one, other)| (one ^ other) & 0xf != 0);
            half = u64::from(!is_low);
            number = number * 2 + half;
        }
        let value = |bytes: &[u8]| Value::new(info.dtype, bytes, half);
        let (checkpoint, file) = (value(&element.checkpoint), value(&element.file));
        let index = index_of(number, &info.shape);
        Difference::Element { name: info.name.clone(), index, checkpoint, file }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(name: &str, dtype: DType, shape: &[u64], at: u64) -> Info {
        let elements: u64 = shape.iter().product();
        let bytes = elements * dtype.bitsize() as u64 / 8;
        Info { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes, at }
    }

    fn infos() -> Vec<Info> {
        let shapes: [(&str, DType, &[u64]); 6] = [
            ("a", DType::F64, &[2, 3]),
            ("none", DType::F64, &[0, 3]),
            ("b", DType::BF16, &[5]),
            ("c", DType::U8, &[3]),
            ("d", DType::C64, &[2, 2]),
            ("e", DType::F4, &[2, 4]),
        ];
        let mut at = 40;
        let mut infos = Vec::new();
        for (name, dtype, shape) in shapes {
            infos.push(info(name, dtype, shape, at));
            at += infos.last().unwrap().bytes;
        }
        infos
    }

    proptest! {
        #[test]
        fn the_first_element_that_differs_is_found_however_the_bytes_come(
            flips in prop::collection::vec((0_usize..97, 1_u8..=255), 0..4),
            piece in 1_usize..40,
        ) {
            let len: u64 = infos().iter().map(|info| info.bytes).sum();
            let checkpoint: Vec<u8> = (0..len).map(|byte| (byte * 37 % 251) as u8).collect();
            let mut file = checkpoint.clone();
            for (at, flip) in flips {
                file[at % usize_of(len)] ^= flip;
            }
            let mut data = Data::new(infos());
            for (one, other) in checkpoint.chunks(piece).zip(file.chunks(piece)) {
                prop_assert!(data.pass(one, other));
            }
            let mut got = data.finish();
            // The expected result is computed element by element.
            let mut expected = Vec::new();
            for info in infos() {
                let (halves, width) = if info.dtype == DType::F4 { (2, 1) } else { (1, unit(info.dtype)) };
                let value = |from: &[u8], number: u64| {
                    let at = usize_of(info.at - 40) + usize_of(number / halves) * width;
                    Value::new(info.dtype, &from[at..at + width], number % halves)
                };
                let count: u64 = info.shape.iter().product();
                let first = (0..count).find(|&number| value(&checkpoint, number) != value(&file, number));
                if let Some(number) = first {
                    let mut index = vec![];
                    let mut left = number;
                    for size in info.shape.iter().rev() {
                        index.insert(0, left % size);
                        left /= size;
                    }
                    let (checkpoint, file) = (value(&checkpoint, number), value(&file, number));
                    expected.push(Difference::Element { name: info.name.clone(), index, checkpoint, file });
                }
            }
            got.sort_by_key(|difference| format!("{difference:?}"));
            expected.sort_by_key(|difference| format!("{difference:?}"));
            prop_assert_eq!(got, expected);
        }
    }
}
