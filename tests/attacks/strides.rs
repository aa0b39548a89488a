//! Tests views that are expensive to read: the number of reads of the source counts, and their bytes.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use git_st_convert::checkpoint::{self, Options, ties};
use git_st_convert::read_at::ReadAt;
use git_st_convert::safetensors::{self, Layout};

use super::pickle;
use crate::checkpoint::zip;

/// A source that counts its reads.
struct Counted {
    bytes: Vec<u8>,
    reads: AtomicU64,
    read: AtomicU64,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.bytes.read_exact_at(buf, at)
    }
}

/// Returns the safetensors file, the number of reads of the checkpoint, and the number of bytes.
fn written(file: Vec<u8>) -> (Vec<u8>, u64, u64) {
    super::measured::record(&file);
    let plan = checkpoint::plan(&file, &Options::default()).unwrap();
    let ties = ties::resolve(&plan, &ties::Policy::default()).unwrap();
    let metadata = std::iter::once(("format".to_owned(), "pt".to_owned())).collect();
    let layout = Layout::new(&plan, &ties.kept, &metadata).unwrap();
    let source = Counted { bytes: file, reads: AtomicU64::new(0), read: AtomicU64::new(0) };
    let mut out = Vec::new();
    safetensors::write(&layout, &plan, &source, &mut out).unwrap();
    (out, source.reads.into_inner(), source.read.into_inner())
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 7 + at / 256) % 256).unwrap()).collect()
}

/// Returns a byte tensor with these sizes and strides.
fn view(key: &str, len: usize, offset: usize, size: &[usize], stride: &[usize]) -> Vec<u8> {
    let numbers = |numbers: &[usize]| numbers.iter().map(|&n| i128::try_from(n).unwrap()).collect::<Vec<_>>();
    let storage = pickle::storage("ByteStorage", key, i128::try_from(len).unwrap());
    pickle::tensor(&storage, i128::try_from(offset).unwrap(), &numbers(size), &numbers(stride))
}

#[test]
fn a_view_whose_every_stride_is_large() {
    // Eight million bytes, of which no two successive ones are in one kilobyte: each would be a read of its own.
    let storage = bytes(9_000_000);
    let (size, stride) = ([200, 200, 200], [14_001, 15_013, 16_007]);
    let tensor = view("0", storage.len(), 1, &size, &stride);
    let (out, reads, read) = written(zip(&pickle::named(&[("a", tensor)]), &[("0", &storage)]));
    assert!(reads < 20, "{reads} reads");
    assert!(read < 5 * 9_000_000, "{read} bytes");
    let read = ::safetensors::SafeTensors::deserialize(&out).unwrap();
    let data = read.tensor("a").unwrap().data().to_vec();
    for (x, y, z) in [(0, 0, 0), (199, 199, 199), (1, 2, 3), (150, 0, 77)] {
        assert_eq!(data[(x * 200 + y) * 200 + z], storage[1 + x * stride[0] + y * stride[1] + z * stride[2]]);
    }
}

#[test]
fn many_views_of_a_few_elements_far_apart() {
    // Each view is so small that its bytes are read one by one, from two storages in turn.
    let storages = [bytes(3_000_000), bytes(2_900_000)];
    let views = (0..5_000_usize).map(|n| {
        let key = n % 2;
        let tensor = view(&key.to_string(), storages[key].len(), n, &[6, 6, 6], &[190_001, 180_001, 170_001]);
        (pickle::text(&format!("{n:04}")), tensor)
    });
    let object = pickle::dict(&views.collect::<Vec<_>>());
    let (out, reads, _) = written(zip(&object, &[("0", &storages[0]), ("1", &storages[1])]));
    // These are a million elements.
    assert!(reads < 10_000, "{reads} reads");
    let read = ::safetensors::SafeTensors::deserialize(&out).unwrap();
    for n in [0, 1, 2_000, 4_999] {
        let tensor = read.tensor(&format!("{n:04}")).unwrap().data().to_vec();
        assert_eq!(tensor[6 * 6 + 2 * 6 + 3], storages[n % 2][n + 190_001 + 2 * 180_001 + 3 * 170_001]);
    }
}

#[test]
fn views_of_two_elements_do_not_read_what_lies_between() {
    let storage = bytes(1_000_000);
    let views = (0..2_000_usize)
        .map(|n| (pickle::text(&n.to_string()), view("0", storage.len(), n, &[2, 1], &[900_000, 1])));
    let object = pickle::dict(&views.collect::<Vec<_>>());
    let (_, _, read) = written(zip(&object, &[("0", &storage)]));
    assert!(read < 2 * 1_100_000, "{read} bytes");
}
