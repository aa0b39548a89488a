//! Reads the header of a safetensors file: its tensors, checked by the `safetensors` crate.

use std::collections::BTreeMap;

use ::safetensors::tensor::Metadata;

use super::Error;
use super::layout::MAX_HEADER;
use crate::checkpoint::DType;
use crate::read_at::ReadAt;

/// One tensor of a safetensors file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// The size of each dimension in elements.
    pub shape: Vec<u64>,
    /// Its size in bytes.
    pub bytes: u64,
    /// The offset of its bytes from the start of the file.
    pub at: u64,
}

/// Reads the header: the tensors in the order of the file, and the metadata.
///
/// # Errors
/// [`Error`] for a header that is too long, invalid, or does not describe the whole file without gaps.
pub fn read(source: &dyn ReadAt) -> Result<(Vec<Info>, BTreeMap<String, String>), Error> {
    let mut length = [0; 8];
    let has =
        |end| if source.len() < end { Err(Error::Truncated { got: source.len(), end }) } else { Ok(()) };
    has(8)?;
    source.read_exact_at(&mut length, 0)?;
    let len = u64::from_le_bytes(length);
    if len > MAX_HEADER {
        return Err(Error::HeaderLength { len, limit: MAX_HEADER });
    }
    has(8 + len)?;
    let header = source.read_vec_at(8, usize::try_from(len).map_err(|_| Error::TooLarge)?)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(Error::Header)?;
    let expected = (metadata.data_len() as u64).checked_add(8 + len).ok_or(Error::TooLarge)?;
    if expected != source.len() {
        return Err(Error::Length { expected, got: source.len() });
    }
    let infos = metadata.offset_keys().into_iter().filter_map(|name| {
        let info = metadata.info(&name)?;
        let (begin, end) = info.data_offsets;
        let shape = info.shape.iter().map(|&size| size as u64).collect();
        let at = 8 + len + begin as u64;
        Some(Info { dtype: info.dtype, shape, bytes: (end - begin) as u64, at, name })
    });
    let infos = infos.collect();
    Ok((infos, metadata.metadata().clone().unwrap_or_default().into_iter().collect()))
}
