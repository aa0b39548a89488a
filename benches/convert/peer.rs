//! The same conversion by two libraries: pytorch-reader reads the checkpoint, safetensors writes the file.

use std::path::Path;

use pytorch_reader::{DType, PytorchReader};
use safetensors::tensor::{Dtype, TensorView};

/// The argument by which the bench runs itself as this program.
pub(crate) const PEER: &str = "--peer";

/// Converts a plain file. All tensors are in memory at once, as the library that writes them needs them.
pub(crate) fn convert(source: &Path, output: &Path) {
    let reader = PytorchReader::new(source).unwrap();
    let tensors: Vec<_> = reader.tensors().iter().collect();
    let bytes: Vec<_> = tensors.iter().map(|(_, tensor)| tensor.read().unwrap()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        // The bench writes no other.
        assert_eq!(tensor.dtype(), DType::F32);
        (name.as_str(), TensorView::new(Dtype::F32, tensor.shape().to_vec(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, output).unwrap();
}
