//! Reads and writes the shard index of a sharded checkpoint, `model.safetensors.index.json`: which shard contains which
//! tensor.
//!
//! ```json
//! {"metadata": {"total_size": 123}, "weight_map": {"name": "model-00001-of-00002.safetensors"}}
//! ```
//!
//! It is written with two spaces of indentation, sorted names, and a final line feed, as transformers does. Invariant:
//! every name of the weight map is in its shard, and `total_size` is the sum of the tensors' bytes. A shard index means
//! the same to every reader: no key occurs in it twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::{fmt, io};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::read_at::{ReadAt, usize_of};

/// The longest shard index that is read, in bytes; one of a million tensors has about 100 MB.
pub const MAX_LEN: u64 = 256 << 20;

/// The shard index of a sharded checkpoint, as far as it is used here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Index {
    /// Tensor name → file name of the shard.
    pub weight_map: BTreeMap<String, String>,
    /// The other values of `metadata`.
    pub metadata: Map<String, Value>,
}

/// Why a shard index was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not JSON.
    #[error("not a shard index")]
    Json(#[source] serde_json::Error),
    /// The text is too long.
    #[error("shard index is {len} bytes, over the limit of {limit}")]
    Length {
        /// Its length in bytes.
        len: u64,
        /// [`MAX_LEN`]
        limit: u64,
    },
    /// A key occurs twice in one object: readers use the first or the last.
    #[error("duplicate key {key}")]
    Twice {
        /// The key.
        key: String,
    },
    /// The weight map is missing.
    #[error("not a shard index: no weight_map")]
    NoWeightMap,
    /// The weight map has no tensor.
    #[error("weight_map is empty")]
    NoTensors,
    /// `metadata` is not an object.
    #[error("not a shard index: metadata is {what}")]
    Metadata {
        /// Its type.
        what: &'static str,
    },
    /// The shard of a tensor is not a text.
    #[error("shard of {name} is {what}, not a string")]
    ShardNotText {
        /// The tensor.
        name: String,
        /// The type of the value.
        what: &'static str,
    },
    /// A shard is not a plain file name next to the shard index.
    #[error("invalid shard name `{shard}`: it {why}")]
    ShardName {
        /// The name.
        shard: String,
        /// The fault.
        why: &'static str,
    },
    /// The name of a shard is not that of a checkpoint.
    #[error("shard {shard} is named like {what}")]
    NotCheckpoint {
        /// The name.
        shard: String,
        /// The kind of its name.
        what: &'static str,
    },
}

impl Index {
    /// Reads a shard index.
    ///
    /// # Errors
    /// The source cannot be read. The inner result is that of [`Index::parse`], or [`Error::Length`].
    pub fn read(source: &dyn ReadAt) -> io::Result<Result<Self, Error>> {
        let (len, limit) = (source.len(), MAX_LEN);
        if len > limit {
            return Ok(Err(Error::Length { len, limit }));
        }
        Ok(Self::parse(&source.read_vec_at(0, usize_of(len))?))
    }

    /// Parses a shard index. Shards must be plain names of files next to it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let mut value = unique(text)?;
        let metadata = match value.get_mut("metadata").map(Value::take) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(metadata)) => metadata,
            Some(other) => return Err(Error::Metadata { what: kind(&other) }),
        };
        let Some(Value::Object(map)) = value.get_mut("weight_map").map(Value::take) else {
            return Err(Error::NoWeightMap);
        };
        if map.is_empty() {
            return Err(Error::NoTensors);
        }
        let mut weight_map = BTreeMap::new();
        for (name, shard) in map {
            let Value::String(shard) = shard else {
                return Err(Error::ShardNotText { name, what: kind(&shard) });
            };
            check(&shard)?;
            weight_map.insert(name, shard);
        }
        Ok(Self { weight_map, metadata })
    }

    /// Checks that the shards are checkpoints, and neither safetensors files nor other shard indexes.
    ///
    /// # Errors
    /// [`Error::NotCheckpoint`] for the first one that is not.
    pub fn check_checkpoints(&self) -> Result<(), Error> {
        let what = |shard: &String| match shard.to_ascii_lowercase().rsplit_once('.') {
            Some((_, "safetensors")) => Some("a safetensors file"),
            Some((_, "json")) => Some("a shard index"),
            _ => None,
        };
        match self.weight_map.values().find_map(|shard| what(shard).map(|what| (shard, what))) {
            Some((shard, what)) => Err(Error::NotCheckpoint { shard: shard.clone(), what }),
            None => Ok(()),
        }
    }

    /// Returns the text of the shard index, with `total_size` set to `total` bytes.
    pub fn render(&self, total: u64) -> String {
        let mut metadata = self.metadata.clone();
        metadata.insert("total_size".to_owned(), json!(total));
        let index = json!({ "metadata": metadata, "weight_map": self.weight_map });
        format!("{index:#}\n")
    }
}

/// Checks that a shard is a plain name of a file next to the shard index.
fn check(shard: &str) -> Result<(), Error> {
    let why = if shard.is_empty() {
        "is empty"
    } else if shard.contains('\0') {
        "contains a NUL"
    } else if shard.starts_with(['/', '\\']) {
        "is an absolute path"
    } else if shard.contains(['/', '\\']) {
        "is in another directory"
    } else if shard.starts_with('.') {
        "starts with a dot"
    } else {
        return Ok(());
    };
    Err(Error::ShardName { shard: shard.to_owned(), why })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Parses any JSON in which no object has a key twice.
fn unique(text: &[u8]) -> Result<Value, Error> {
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Unique(&twice).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| match twice.take() {
        Some(key) => Error::Twice { key },
        None => Error::Json(error),
    })
}

/// Parses a value. The cell gets the first key that an object has twice.
#[derive(Clone, Copy)]
struct Unique<'a>(&'a RefCell<Option<String>>);

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                *self.0.borrow_mut() = Some(key);
                return Err(A::Error::custom("a key stands there twice"));
            }
            map.insert(key, entries.next_value_seed(self)?);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let read = Index::parse(text.as_bytes());
        read.and_then(|index| index.check_checkpoints()).unwrap_err().to_string()
    }

    fn names(shard: &str) -> String {
        refused(&json!({ "weight_map": { "a": shard } }).to_string())
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_wherever_it_stands() {
        for text in [
            r#"{"weight_map": {"a": "x.bin", "a": "y.bin"}}"#,
            r#"{"weight_map": {"a": "x.bin", "\u0061": "x.bin"}}"#,
            r#"{"weight_map": {"b": "x.bin"}, "a": {"a": [{"a": 1, "a": 2}]}}"#,
            r#"{"a": {}, "weight_map": {"b": "x.bin"}, "a": {}}"#,
        ] {
            assert_eq!(refused(text), "duplicate key a");
        }
    }

    #[test]
    fn a_shard_is_a_plain_name_of_a_checkpoint() {
        for (shard, says) in [
            ("", "invalid shard name ``: it is empty"),
            ("/etc/x.bin", "it is an absolute path"),
            ("\\\\host\\x.bin", "it is an absolute path"),
            ("../x.bin", "it is in another directory"),
            ("a/x.bin", "it is in another directory"),
            ("a\\x.bin", "it is in another directory"),
            ("..", "it starts with a dot"),
            (".x.bin", "it starts with a dot"),
            ("x\0.bin", "it contains a NUL"),
            ("model.safetensors", "named like a safetensors file"),
            ("Model.SafeTensors", "named like a safetensors file"),
            ("pytorch_model.bin.index.json", "named like a shard index"),
        ] {
            assert!(names(shard).contains(says), "{shard:?}: {}", names(shard));
        }
        for shard in ["x", "pytorch_model-00001-of-00002.bin", "a b.pt", "模型.bin"] {
            let text = json!({ "weight_map": { "a": shard } }).to_string();
            let index = Index::parse(text.as_bytes()).unwrap();
            assert_eq!(index.weight_map["a"], shard);
            index.check_checkpoints().unwrap();
        }
    }

    #[test]
    fn what_has_another_shape_is_refused() {
        for (text, says) in [
            ("", "not a shard index"),
            ("{} x", "not a shard index"),
            ("[]", "no weight_map"),
            ("{}", "no weight_map"),
            (r#"{"weight_map": [["a", "x.bin"]]}"#, "no weight_map"),
            (r#"{"weight_map": {}}"#, "weight_map is empty"),
            (r#"{"weight_map": {"a": 3}}"#, "shard of a is a number, not a string"),
            (r#"{"weight_map": {"a": null}}"#, "shard of a is null, not a string"),
            (r#"{"metadata": [], "weight_map": {"a": "x"}}"#, "metadata is a list"),
            (r#"{"metadata": "x", "weight_map": {"a": "x"}}"#, "metadata is a string"),
        ] {
            assert!(refused(text).contains(says), "{text}: {}", refused(text));
        }
        for text in [r#"{"weight_map": {"a": "x"}}"#, r#"{"metadata": null, "weight_map": {"a": "x"}}"#] {
            let index = Index::parse(text.as_bytes()).unwrap();
            let written: Value = serde_json::from_str(&index.render(5)).unwrap();
            assert_eq!(written, json!({ "metadata": { "total_size": 5 }, "weight_map": { "a": "x" } }));
        }
    }
}
