//! Tests twenty thousand tensors: the bytes are those of the reference, and the cost is proportional to the number.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use git_st_convert::checkpoint::{self, Options};
use git_st_convert::hash::Oid;
use git_st_convert::read_at::ReadAt;

use super::Model;
use super::torch::{Float32, checkpoint};
use crate::formats::expected;

/// Returns a checkpoint by the formula of `expected.json`.
fn many(count: u32) -> Vec<u8> {
    let tensor = |i: u32| {
        let rows = i % 7 + 1;
        let element = |j: u32| i.wrapping_mul(2_654_435_761).wrapping_add(j.wrapping_mul(40_503));
        Float32 {
            name: format!("layer.{i}.weight"),
            shape: vec![rows, 3],
            bytes: (0..rows * 3).flat_map(|j| element(j).to_le_bytes()).collect(),
        }
    };
    checkpoint(&(0..count).map(tensor).collect::<Vec<_>>())
}

#[test]
fn twenty_thousand_tensors_give_the_reference_s_bytes() {
    let expected = &expected()["many-20000"];
    let model = Model::new();
    model.add("pytorch_model.bin", &many(20_000));
    model.commit();
    model.run::<&str>(&[]).ok();
    model.check("model.safetensors", expected.sha256.as_ref().unwrap());
    assert_eq!(Some(model.at("model.safetensors").metadata().unwrap().len()), expected.size);
    assert_eq!(model.status(), "A  model.safetensors\n");
}

/// A source that counts its reads and their bytes.
struct Counted {
    bytes: Vec<u8>,
    reads: AtomicUsize,
    read: AtomicUsize,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        ReadAt::len(&self.bytes)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read.fetch_add(buf.len(), Ordering::Relaxed);
        self.bytes.read_exact_at(buf, at)
    }
}

/// Returns the number of reads, and of bytes read, per tensor.
fn cost(count: u32) -> (f64, f64) {
    let counted = Counted { bytes: many(count), reads: AtomicUsize::new(0), read: AtomicUsize::new(0) };
    let plan = checkpoint::plan(&counted, &Options::default()).unwrap();
    assert_eq!(plan.tensors.len(), count as usize);
    let each =
        |number: AtomicUsize| f64::from(u32::try_from(number.into_inner()).unwrap()) / f64::from(count);
    (each(counted.reads), each(counted.read))
}

#[test]
fn a_plan_reads_no_more_for_each_tensor_where_there_are_more() {
    let (few, many) = (cost(5_000), cost(20_000));
    assert!(many.0 <= few.0 * 1.05 + 0.01, "reads for each tensor: {} and {}", few.0, many.0);
    assert!(many.1 <= few.1 * 1.05 + 1.0, "bytes for each tensor: {} and {}", few.1, many.1);
    assert!(many.0 < 16.0, "{} reads for each tensor", many.0);
}

#[test]
fn the_bytes_of_a_plan_are_those_of_the_pickle_and_the_directory() {
    // The plan reads no tensor: 8 MiB cost the same as 64 bytes.
    let small = checkpoint(&[super::torch::noise(64)]);
    let large = checkpoint(&[super::torch::noise(8 << 20)]);
    assert_ne!(Oid::of(&small), Oid::of(&large));
    let read = |bytes: Vec<u8>| {
        let counted = Counted { bytes, reads: AtomicUsize::new(0), read: AtomicUsize::new(0) };
        checkpoint::plan(&counted, &Options::default()).unwrap();
        counted.read.into_inner()
    };
    let (small, large) = (read(small), read(large));
    assert!(large <= small + (256 << 10), "{small} bytes and {large} bytes");
}
