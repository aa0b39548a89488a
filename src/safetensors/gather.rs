//! The gathering of strided views in bounded memory.
//!
//! The output is cut into blocks of at most [`BLOCK`] bytes, each a box of the tensor: some outer indices
//! fixed, a range of one dimension, all of the inner ones. A block whose elements lie close together is
//! read with one read; otherwise it is read along the dimension of the smallest stride, which is
//! where the source is dense, and scattered to its place.

use super::Error;
use crate::checkpoint::Tensor;
use crate::read_at::ReadAt;

/// Bytes of output made at once.
const BLOCK: u64 = 4 << 20;
/// Bytes of source read at once for a block whose elements lie close together.
const SPAN: u64 = 8 << 20;
/// Bytes read at once along one dimension.
const RUN: u64 = 256 << 10;

/// Can the tensor be copied as it lies?
pub(super) fn is_contiguous(tensor: &Tensor) -> bool {
    crate::checkpoint::is_contiguous(&tensor.shape, &tensor.strides)
}

/// The buffers, kept from tensor to tensor.
#[derive(Default)]
pub(super) struct Gather {
    output: Vec<u8>,
    input: Vec<u8>,
}

/// One dimension of a block: its size, its stride in the source, and its stride in the output, in units.
#[derive(Debug, Clone, Copy)]
struct Dim {
    size: u64,
    source: u64,
    output: u64,
}

impl Gather {
    /// Gathers `tensor`, whose storage begins at `base`, and hands its bytes to `sink` in row-major order,
    /// whole elements at a time.
    pub(super) fn run(
        &mut self,
        tensor: &Tensor,
        base: u64,
        source: &dyn ReadAt,
        sink: &mut dyn FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (shape, strides, width) = (&tensor.shape, &tensor.strides, tensor.width);
        // The split: dimensions from `inner` on lie in a block whole, `split` in ranges of `rows`.
        let mut inner = shape.len();
        let mut inner_units = 1_u64;
        while inner > 0 && inner_units.saturating_mul(shape[inner - 1]).saturating_mul(width) <= BLOCK {
            inner -= 1;
            inner_units *= shape[inner];
        }
        let Some(split) = inner.checked_sub(1) else {
            let dims = dims(shape, strides);
            self.block(&dims, base + tensor.offset * width, width, source)?;
            return sink(&mut self.output);
        };
        let rows = (BLOCK / (inner_units * width)).max(1);
        let mut outer = vec![0_u64; split];
        loop {
            let fixed: u64 = outer.iter().zip(strides).map(|(index, stride)| index * stride).sum();
            let mut row = 0;
            while row < shape[split] {
                let count = rows.min(shape[split] - row);
                let mut block_shape = shape[split..].to_vec();
                block_shape[0] = count;
                let first = tensor.offset + fixed + row * strides[split];
                self.block(&dims(&block_shape, &strides[split..]), base + first * width, width, source)?;
                sink(&mut self.output)?;
                row += count;
            }
            if !advance(&mut outer, shape) {
                return Ok(());
            }
        }
    }

    /// Gathers one box whose first element lies at `at` into `self.output`.
    fn block(&mut self, dims: &[Dim], at: u64, width: u64, source: &dyn ReadAt) -> Result<(), Error> {
        let units: u64 = dims.iter().map(|dim| dim.size).product();
        self.output.clear();
        self.output.resize(usize_of(units * width), 0);
        let extent: u64 = 1 + dims.iter().map(|dim| (dim.size - 1) * dim.source).sum::<u64>();
        let span = extent * width;
        if span <= SPAN && span / 4 <= units * width + RUN {
            self.input.resize(usize_of(span), 0);
            source.read_exact_at(&mut self.input, at)?;
            each(dims, &mut |from, to| {
                copy_unit(&mut self.output, to, &self.input, from, width);
                Ok(())
            })
        } else {
            self.along_the_smallest_stride(dims, at, width, source)
        }
    }

    fn along_the_smallest_stride(
        &mut self,
        dims: &[Dim],
        at: u64,
        width: u64,
        source: &dyn ReadAt,
    ) -> Result<(), Error> {
        let mut dims = dims.to_vec();
        dims.sort_by_key(|dim| std::cmp::Reverse((dim.size > 1 && dim.source > 0, dim.source)));
        // Those that do not move in the source come last, so that each run is read once.
        let moving = dims.iter().position(|dim| dim.source == 0 || dim.size == 1).unwrap_or(dims.len());
        let still = dims.split_off(moving);
        let Some(run) = dims.pop() else { return Ok(()) };
        // So far apart that reading what lies between would cost more than one read an element.
        let sparse = run.source * width > 4096;
        let per_read = if sparse { 1 } else { (RUN / (run.source * width)).max(1) };
        let Self { output, input } = self;
        each(&dims, &mut |from, to| {
            let mut first = 0;
            while first < run.size {
                let count = per_read.min(run.size - first);
                let span = ((count - 1) * run.source + 1) * width;
                input.resize(usize_of(span), 0);
                source.read_exact_at(input, at + (from + first * run.source) * width)?;
                for index in 0..count {
                    let to = to + (first + index) * run.output;
                    each(&still, &mut |_, more| {
                        copy_unit(output, to + more, input, index * run.source, width);
                        Ok(())
                    })?;
                }
                first += count;
            }
            Ok(())
        })
    }
}

fn dims(shape: &[u64], strides: &[u64]) -> Vec<Dim> {
    let mut output = 1;
    let mut dims: Vec<Dim> = Vec::with_capacity(shape.len());
    for (&size, &source) in shape.iter().zip(strides).rev() {
        dims.push(Dim { size, source, output });
        output *= size;
    }
    dims.reverse();
    dims
}

/// Calls `visit` with the distance in the source and in the output of every element of a box.
fn each(dims: &[Dim], visit: &mut dyn FnMut(u64, u64) -> Result<(), Error>) -> Result<(), Error> {
    let Some((last, outer)) = dims.split_last() else { return visit(0, 0) };
    let sizes: Vec<u64> = outer.iter().map(|dim| dim.size).collect();
    let mut index = vec![0; outer.len()];
    loop {
        let (mut from, mut to) = (0, 0);
        for (index, dim) in index.iter().zip(outer) {
            from += index * dim.source;
            to += index * dim.output;
        }
        for _ in 0..last.size {
            visit(from, to)?;
            from += last.source;
            to += last.output;
        }
        if !advance(&mut index, &sizes) {
            return Ok(());
        }
    }
}

/// The next index in row-major order; `false` after the last.
fn advance(index: &mut [u64], sizes: &[u64]) -> bool {
    for (digit, &size) in index.iter_mut().zip(sizes).rev() {
        *digit += 1;
        if *digit < size {
            return true;
        }
        *digit = 0;
    }
    false
}

fn copy_unit(output: &mut [u8], to: u64, input: &[u8], from: u64, width: u64) {
    let (to, from, width) = (usize_of(to * width), usize_of(from * width), usize_of(width));
    match width {
        1 => output[to] = input[from],
        2 => output[to..to + 2].copy_from_slice(&input[from..from + 2]),
        4 => output[to..to + 4].copy_from_slice(&input[from..from + 4]),
        8 => output[to..to + 8].copy_from_slice(&input[from..from + 8]),
        _ => output[to..to + width].copy_from_slice(&input[from..from + width]),
    }
}

/// All numbers here were checked against the size of a storage, which fits.
fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
