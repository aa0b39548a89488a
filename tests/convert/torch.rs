//! Writes checkpoints that are too big to commit, in torch's zip container.
//!
//! They are what `torch.save` writes for a dict of contiguous tensors (protocol 2, `_rebuild_tensor_v2`), each in its
//! own storage. The reference is torch itself, whose fixtures `formats` tests.

use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A float32 tensor.
pub(crate) struct Float32 {
    pub(crate) name: String,
    pub(crate) shape: Vec<u32>,
    pub(crate) bytes: Vec<u8>,
}

/// Returns the checkpoint with these tensors.
pub(crate) fn checkpoint(tensors: &[Float32]) -> Vec<u8> {
    saved(tensors, "little")
}

/// Returns the same for a machine of this byte order; the bytes are not changed.
pub(crate) fn saved(tensors: &[Float32], byte_order: &str) -> Vec<u8> {
    let size = tensors.iter().map(|tensor| tensor.bytes.len() + 256).sum::<usize>();
    let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(size + 1024)));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut record = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    };
    record("data.pkl", &pickle(tensors));
    record("byteorder", byte_order.as_bytes());
    for (key, tensor) in tensors.iter().enumerate() {
        record(&format!("data/{key}"), &tensor.bytes);
    }
    record("version", b"3\n");
    zip.finish().unwrap().into_inner()
}

/// Returns a tensor with this many bytes, in which no two blocks are alike.
pub(crate) fn noise(len: usize) -> Float32 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = next(state);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    Float32 { name: "noise".to_owned(), shape: vec![u32::try_from(len / 4).unwrap()], bytes }
}

/// Returns the next of a sequence of pseudorandom numbers (xorshift64).
pub(crate) fn next(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ state << 17
}

fn pickle(tensors: &[Float32]) -> Vec<u8> {
    let mut out = b"\x80\x02}(".to_vec();
    for (key, tensor) in tensors.iter().enumerate() {
        text(&mut out, &tensor.name);
        out.extend_from_slice(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend_from_slice(b"ctorch\nFloatStorage\n");
        text(&mut out, &key.to_string());
        text(&mut out, "cpu");
        number(&mut out, u32::try_from(tensor.bytes.len() / 4).unwrap());
        out.extend_from_slice(b"tQ");
        number(&mut out, 0);
        tuple(&mut out, &tensor.shape);
        let mut strides = vec![1; tensor.shape.len()];
        for dim in (1..tensor.shape.len()).rev() {
            strides[dim - 1] = strides[dim] * tensor.shape[dim];
        }
        tuple(&mut out, &strides);
        out.extend_from_slice(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend_from_slice(b"u.");
    out
}

/// `BINUNICODE`
fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// `BININT`
fn number(out: &mut Vec<u8>, number: u32) {
    out.push(b'J');
    out.extend_from_slice(&number.to_le_bytes());
}

/// `MARK … TUPLE`
fn tuple(out: &mut Vec<u8>, numbers: &[u32]) {
    out.push(b'(');
    for &each in numbers {
        number(out, each);
    }
    out.push(b't');
}
