//! The index of a sharded set, `model.safetensors.index.json`: which shard holds which tensor.
//!
//! ```json
//! {"metadata": {"total_size": 123}, "weight_map": {"name": "model-00001-of-00002.safetensors"}}
//! ```
//!
//! Written with two spaces of indentation, names sorted, and a final line feed, as transformers does.
//! Invariant: every name of the weight map is in the shard it is mapped to, and `total_size` is the sum
//! of the tensors' bytes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The index of a set of checkpoint shards, as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Tensor name → file name of the shard.
    pub weight_map: BTreeMap<String, String>,
    /// What else stands under `metadata`.
    pub metadata: Map<String, Value>,
}

/// Why an index was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No JSON of the right shape.
    #[error("is no shard index")]
    Json(#[source] serde_json::Error),
    /// No weight map.
    #[error("is no shard index: it has no weight map")]
    NoWeightMap,
    /// A shard that is not a plain file name beside the index.
    #[error("names the shard {shard}, which is no plain file name")]
    ShardName {
        /// The name.
        shard: String,
    },
}

impl Index {
    /// Reads an index. Shards must be plain names of files beside it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let value: Value = serde_json::from_slice(text).map_err(Error::Json)?;
        let map = value.get("weight_map").and_then(Value::as_object).ok_or(Error::NoWeightMap)?;
        let mut weight_map = BTreeMap::new();
        for (name, shard) in map {
            let shard = shard.as_str().ok_or(Error::NoWeightMap)?;
            if shard.is_empty() || shard.contains(['/', '\\', '\0']) || shard.starts_with('.') {
                return Err(Error::ShardName { shard: shard.to_owned() });
            }
            weight_map.insert(name.clone(), shard.to_owned());
        }
        let metadata = value.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Self { weight_map, metadata })
    }

    /// The text of the index, with `total_size` set to `total` bytes.
    pub fn render(&self, total: u64) -> String {
        let mut metadata = self.metadata.clone();
        metadata.insert("total_size".to_owned(), json!(total));
        let index = json!({ "metadata": metadata, "weight_map": self.weight_map });
        format!("{index:#}\n")
    }
}
