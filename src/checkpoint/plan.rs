//! [`Plan`] lists every tensor of a checkpoint and the position of its bytes. It contains no tensor data.

use std::collections::HashMap;

use super::{DType, Header};
use crate::pickle::{self, Pickle, Value};

/// The container of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A zip archive.
    Zip,
    /// A TorchScript archive: a zip archive of `torch.jit.save`.
    Script,
    /// A legacy PyTorch file.
    Legacy,
    /// A tar archive.
    Tar,
    /// A pickle without a container.
    Pickle,
}

impl Format {
    /// All containers.
    pub const ALL: [Self; 5] = [Self::Zip, Self::Script, Self::Legacy, Self::Tar, Self::Pickle];

    /// The name in `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Script => "torchscript",
            Self::Legacy => "legacy",
            Self::Tar => "tar",
            Self::Pickle => "pickle",
        }
    }
}

/// Every tensor of a checkpoint, and the position of its bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// The container.
    pub format: Format,
    /// The dotted path of the state dict; empty for the top level.
    pub key: String,
    /// The tensors, in the order of the state dict. Names are unique.
    pub tensors: Vec<Tensor>,
    /// The storages of the tensors.
    pub storages: Vec<Storage>,
    /// The contents of the checkpoint other than these tensors.
    pub ignored: Vec<Ignored>,
    /// Every class and function that the pickle names, each once, with its first position.
    pub globals: Vec<Named>,
    /// The records whose checksum is known, by offset.
    pub records: Vec<Record>,
    /// The local headers that were not read, by offset.
    pub headers: Vec<Header>,
    /// The records that must be inflated before storages in them can be read.
    pub deflated: Vec<Deflated>,
    /// Bytes that are in the pickle itself: those of numpy arrays, and of storages in a plain pickle.
    pub embedded: Vec<Box<[u8]>>,
    /// Facts about how it was read, for the user.
    pub notes: Vec<Note>,
}

impl Plan {
    /// Returns `true` if the source contains all bytes of the tensors in place.
    pub fn is_in_place(&self) -> bool {
        self.deflated.is_empty() && self.embedded.is_empty()
    }
}

/// A fact about how a checkpoint was read, for the user.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum Note {
    /// The checkpoint is a single tensor, which got this name.
    Unnamed {
        /// The name.
        name: String,
    },
    /// The state dict was read from the structure of a module.
    Module {
        /// The dotted path of the module; `.` is the whole object.
        path: String,
        /// Its class, and those of the modules in it, each once.
        classes: Vec<String>,
    },
    /// Another dict has the names and shapes of the state dict.
    Twin {
        /// Its key.
        key: String,
    },
    /// One of several tied names was kept, and no table knows the model's class, so another name may be the right one.
    Tied {
        /// The name that was kept.
        kept: String,
        /// The names that could be kept instead.
        dropped: Vec<String>,
        /// The class, if there is one.
        class: Option<String>,
        /// How many more groups of tied names are like it.
        more: usize,
    },
    /// Most names have a prefix that a wrapper around the model adds; they keep it.
    Prefix {
        /// The prefix.
        prefix: String,
        /// How many names have it.
        names: usize,
        /// The number of names.
        of: usize,
    },
    /// Most names contain a part that a wrapper around a part of the model adds; they keep it.
    Wrapped {
        /// The part.
        wrapper: String,
        /// How many names have it.
        names: usize,
        /// The number of names.
        of: usize,
    },
}

/// A tensor: a strided view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tensor {
    /// The name in the state dict; nested dicts are joined by dots.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// The size of each dimension, in units of `width` bytes.
    pub shape: Vec<u64>,
    /// The distance between neighbors of each dimension, in units of `width` bytes.
    pub strides: Vec<u64>,
    /// The first element, in units of `width` bytes from the start of the storage.
    pub offset: u64,
    /// Bytes of one unit: of an element, or of a pair of 4-bit elements.
    pub width: u64,
    /// The index of its storage in [`Plan::storages`].
    pub storage: usize,
    /// `true` if reading conjugates the values.
    pub conjugate: bool,
    /// `true` if reading negates the values.
    pub negate: bool,
}

impl Tensor {
    /// Returns how many units the tensor has.
    pub fn units(&self) -> u64 {
        self.shape.iter().fold(1, |product, &size| product.saturating_mul(size))
    }

    /// Returns how many bytes the tensor has.
    pub fn bytes(&self) -> u64 {
        self.units().saturating_mul(self.width)
    }

    /// Returns the shape as safetensors writes it: two 4-bit elements in a byte are two in the last dimension.
    pub fn safetensors_shape(&self) -> Vec<u64> {
        let mut shape = self.shape.clone();
        if self.dtype == DType::F4
            && let Some(last) = shape.last_mut()
        {
            *last = last.saturating_mul(2);
        }
        shape
    }
}

/// A storage: a run of bytes of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Storage {
    /// Its key in the checkpoint.
    pub key: String,
    /// The offset of its bytes. Offsets from the length of the source on are in the inflated records, and then in the
    /// embedded bytes.
    pub at: u64,
    /// How many bytes it has.
    pub len: u64,
    /// `true` if its elements are big-endian.
    pub big_endian: bool,
}

/// A value in the checkpoint that is not one of the tensors.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Ignored {
    /// The dotted path.
    pub path: String,
    /// Its kind.
    pub reason: String,
}

/// A class or function that the pickle names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Named {
    /// The module.
    pub module: String,
    /// The name in the module.
    pub name: String,
    /// The byte of the pickle where it is first named.
    pub at: u64,
    /// The record that contains the pickle.
    pub record: String,
    /// `true` if each use of it only names an object, so that it does nothing, whatever its name is.
    pub inert: bool,
}

impl Named {
    /// Returns the classes and functions that a pickle names, each once, with its first position; with the position of
    /// its first use that is not inert, if one exists.
    pub(super) fn all(pickle: &Pickle, record: &str) -> Vec<Self> {
        let values = &pickle.values;
        let uses = pickle::inert(values, pickle.root);
        let mut places = HashMap::new();
        let mut all: Vec<Self> = Vec::new();
        for (id, value) in values.iter() {
            let Value::Global(global) = value else { continue };
            let (at, inert) = (values.offset(id), uses.contains(&id));
            let place = *places.entry(global).or_insert(all.len());
            match all.get_mut(place) {
                Some(named) if named.inert && !inert => (named.at, named.inert) = (at, false),
                Some(_) => {}
                None => {
                    let (module, name) = (global.module.to_string(), global.name.to_string());
                    all.push(Self { module, name, at, record: record.to_owned(), inert });
                }
            }
        }
        all
    }
}

/// A run of the source whose CRC-32 is known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Its offset.
    pub at: u64,
    /// How many bytes it has.
    pub len: u64,
    /// The CRC-32 of its bytes.
    pub crc32: u32,
}

/// A record that is compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflated {
    /// Its index in the archive.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Its inflated length in bytes.
    pub len: u64,
    /// The CRC-32 of its inflated bytes, if one was computed.
    pub crc32: Option<u32>,
}
