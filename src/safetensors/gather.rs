//! Gathers strided views in bounded memory.
//!
//! The output is divided into blocks of at most [`BLOCK`] bytes, each a box of the tensor: some outer indices fixed, a
//! range of one dimension, all inner ones. A block is gathered in one of two ways, whichever costs less by its
//! geometry:
//!
//! ```text
//! windows   reads everything between its first and its last element, window by window, and uses of each window the
//!           elements in it: for elements that are close together, and for many that are not
//! runs      reads along the dimension of the smallest stride, where the source is dense; in the worst case element
//!           by element, through [`Pages`]
//! ```
//!
//! So for any strides, an element costs at most one small read ([`CALL`]).

use super::Error;
use super::pages::Pages;
use crate::checkpoint::Tensor;
use crate::read_at::{ReadAt, usize_of};

/// Bytes of output per block.
const BLOCK: u64 = 4 << 20;
/// Bytes of source in a window: a multiple of every width, so that no element crosses its end.
const WINDOW: u64 = 8 << 20;
/// Bytes per read along one dimension.
const RUN: u64 = 256 << 10;
/// The cost of a read in addition to its bytes, in bytes of a long read.
const CALL: u64 = 2048;
/// The cost of a check whether an element is in a window, in the same unit.
const LOOK: u64 = 8;
/// A stride of this length is a hole: reading the bytes between costs more than one read per element.
const HOLE: u64 = 4096;

/// Returns `true` if the tensor can be copied as it is.
pub(super) fn is_contiguous(tensor: &Tensor) -> bool {
    crate::checkpoint::is_contiguous(&tensor.shape, &tensor.strides)
}

/// The buffers, kept from tensor to tensor.
#[derive(Default)]
pub(super) struct Gather {
    output: Vec<u8>,
    input: Vec<u8>,
    pages: Pages,
}

/// One dimension of a block: its size, its stride in the source, and its stride in the output, in units.
#[derive(Debug, Clone, Copy)]
struct Dim {
    size: u64,
    source: u64,
    output: u64,
}

impl Gather {
    /// Gathers `tensor`, whose storage begins at `base`, and passes its bytes to `sink` in row-major order, whole
    /// elements at a time.
    pub(super) fn run(
        &mut self,
        tensor: &Tensor,
        base: u64,
        source: &dyn ReadAt,
        sink: &mut dyn FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (shape, strides, width) = (&tensor.shape, &tensor.strides, tensor.width);
        // The split: a block contains all of the dimensions from `inner` on, and `rows` of `split`.
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

    /// Gathers one box, whose first element is at `at`, into `self.output`.
    fn block(&mut self, dims: &[Dim], at: u64, width: u64, source: &dyn ReadAt) -> Result<(), Error> {
        let units: u64 = dims.iter().map(|dim| dim.size).product();
        self.output.clear();
        self.output.resize(usize_of(units * width), 0);
        let extent: u64 = 1 + dims.iter().map(|dim| (dim.size - 1) * dim.source).sum::<u64>();
        let span = extent * width;
        let runs = Runs::new(dims, width);
        // Each way visits each element once.
        let looks = units.saturating_mul(LOOK).saturating_mul((span - 1) / WINDOW);
        if span.saturating_add(looks) <= runs.cost() {
            self.windows(dims, at, span, width, source)
        } else {
            self.runs(&runs, at, source)
        }
    }

    fn windows(
        &mut self,
        dims: &[Dim],
        at: u64,
        span: u64,
        width: u64,
        source: &dyn ReadAt,
    ) -> Result<(), Error> {
        let Self { output, input, .. } = self;
        let mut begin = 0;
        while begin < span {
            let len = WINDOW.min(span - begin);
            input.resize(usize_of(len), 0);
            source.read_exact_at(input, at + begin).map_err(Error::Source)?;
            // In units; the last window may be smaller.
            let (first, count) = (begin / width, len / width);
            each(dims, &mut |from, to, line| {
                let index =
                    |distance: u64| distance.saturating_sub(from).div_ceil(line.source.max(1)).min(line.size);
                let (skip, end) = match line.source {
                    0 if (first..first + count).contains(&from) => (0, line.size),
                    0 => (0, 0),
                    _ => (index(first), index(first + count)),
                };
                let (from, line) = (from + skip * line.source, Dim { size: end - skip, ..line });
                if line.size > 0 {
                    copy_line(output, to + skip * line.output, input, from - first, line, width);
                }
                Ok(())
            })?;
            begin += len;
        }
        Ok(())
    }

    fn runs(&mut self, runs: &Runs, at: u64, source: &dyn ReadAt) -> Result<(), Error> {
        let Self { output, input, pages } = self;
        let Runs { outer, run, still, per_read, width } = runs;
        let width = *width;
        let mut read = |from: u64, to: u64| {
            let mut first = 0;
            while first < run.size {
                let count = (*per_read).min(run.size - first);
                let span = ((count - 1) * run.source + 1) * width;
                input.resize(usize_of(span), 0);
                let begin = at + (from + first * run.source) * width;
                if span < HOLE {
                    pages.read(input, begin, source).map_err(Error::Source)?;
                } else {
                    source.read_exact_at(input, begin).map_err(Error::Source)?;
                }
                let (to, part) = (to + first * run.output, Dim { size: count, ..*run });
                each(still, &mut |_, more, line| {
                    for copy in 0..line.size {
                        copy_line(output, to + more + copy * line.output, input, 0, part, width);
                    }
                    Ok(())
                })?;
                first += count;
            }
            Ok(())
        };
        each(outer, &mut |from, to, line| {
            (0..line.size).try_for_each(|index| read(from + index * line.source, to + index * line.output))
        })
    }
}

/// A block as runs along its densest dimension.
struct Runs {
    outer: Vec<Dim>,
    /// The dimension of the smallest stride that is not 0.
    run: Dim,
    /// The dimensions with stride 0, so that each run is read once.
    still: Vec<Dim>,
    /// How many elements of a run are read at once.
    per_read: u64,
    width: u64,
}

impl Runs {
    fn new(dims: &[Dim], width: u64) -> Self {
        let mut outer = dims.to_vec();
        outer.sort_by_key(|dim| std::cmp::Reverse((dim.size > 1 && dim.source > 0, dim.source)));
        let moving = outer.iter().position(|dim| dim.source == 0 || dim.size == 1).unwrap_or(outer.len());
        let still = outer.split_off(moving);
        let run = outer.pop().unwrap_or(Dim { size: 1, source: 0, output: 0 });
        let stride = run.source.saturating_mul(width);
        let per_read = if stride > HOLE { 1 } else { (RUN / stride.max(1)).max(1) };
        Self { outer, run, still, per_read, width }
    }

    /// Returns the cost of the reads, in bytes of a long read.
    fn cost(&self) -> u64 {
        let Self { outer, run, per_read, width, .. } = self;
        let runs = outer.iter().fold(1_u64, |runs, dim| runs.saturating_mul(dim.size));
        let reads = run.size.div_ceil(*per_read).saturating_mul(runs);
        let longest =
            (run.size.min(*per_read).saturating_sub(1)).saturating_mul(run.source).saturating_add(1);
        reads.saturating_mul(longest.saturating_mul(*width).saturating_add(CALL))
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

/// Calls `visit` for every line of a box along its last dimension, with the distance of its first element in the source
/// and in the output.
fn each(dims: &[Dim], visit: &mut dyn FnMut(u64, u64, Dim) -> Result<(), Error>) -> Result<(), Error> {
    let Some((&last, outer)) = dims.split_last() else {
        return visit(0, 0, Dim { size: 1, source: 0, output: 0 });
    };
    let sizes: Vec<u64> = outer.iter().map(|dim| dim.size).collect();
    let mut index = vec![0; outer.len()];
    loop {
        let (mut from, mut to) = (0, 0);
        for (index, dim) in index.iter().zip(outer) {
            from += index * dim.source;
            to += index * dim.output;
        }
        visit(from, to, last)?;
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

/// Copies the elements of a line.
fn copy_line(output: &mut [u8], to: u64, input: &[u8], from: u64, line: Dim, width: u64) {
    match width {
        1 => copy_units::<1>(output, to, input, from, line),
        2 => copy_units::<2>(output, to, input, from, line),
        4 => copy_units::<4>(output, to, input, from, line),
        8 => copy_units::<8>(output, to, input, from, line),
        _ => {
            let len = usize_of(width);
            for index in 0..line.size {
                let from = usize_of((from + index * line.source) * width);
                output[usize_of((to + index * line.output) * width)..][..len]
                    .copy_from_slice(&input[from..][..len]);
            }
        }
    }
}

/// The same for elements of a width that the processor copies at once.
fn copy_units<const WIDTH: usize>(output: &mut [u8], to: u64, input: &[u8], from: u64, line: Dim) {
    let (to, _) = output[usize_of(to) * WIDTH..].as_chunks_mut::<WIDTH>();
    let (from, _) = input[usize_of(from) * WIDTH..].as_chunks::<WIDTH>();
    let (target, source) = (usize_of(line.output), usize_of(line.source));
    for index in 0..usize_of(line.size) {
        to[index * target] = from[index * source];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::checkpoint::DType;

    /// Returns pseudorandom bytes, in which no two runs are alike.
    fn source(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let next = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..len).map(|_| next(&mut state)).collect()
    }

    fn tensor(shape: &[u64], strides: &[u64], offset: u64, width: u64) -> Tensor {
        let (name, shape, strides) = (String::new(), shape.to_vec(), strides.to_vec());
        let (dtype, storage, conjugate, negate) = (DType::U8, 0, false, false);
        Tensor { name, dtype, shape, strides, offset, width, storage, conjugate, negate }
    }

    fn gathered(gather: &mut Gather, tensor: &Tensor, base: u64, source: &dyn ReadAt) -> Vec<u8> {
        let mut out = Vec::new();
        gather
            .run(tensor, base, source, &mut |bytes| {
                out.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        out
    }

    /// Gathers element by element.
    fn plainly(tensor: &Tensor, base: u64, source: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut index = vec![0; tensor.shape.len()];
        loop {
            let at: u64 = index.iter().zip(&tensor.strides).map(|(index, stride)| index * stride).sum();
            let at = usize_of(base + (tensor.offset + at) * tensor.width);
            out.extend_from_slice(&source[at..at + usize_of(tensor.width)]);
            if !advance(&mut index, &tensor.shape) {
                return out;
            }
        }
    }

    #[test]
    fn each_way_gives_what_a_plain_loop_gives() {
        let source = source(40 << 20);
        let mut gather = Gather::default();
        let cases: [(&[u64], &[u64], u64, u64); 12] = [
            // Many elements far apart are read in windows: bytes, wider elements, and an incomplete last window.
            (&[150, 150, 150], &[80_001, 79_987, 70_099], 5, 1),
            (&[60, 60, 60], &[20_001, 19_997, 30_011], 0, 8),
            (&[60, 60, 60], &[10_001, 9_997, 15_011], 1, 16),
            // Few elements are read one by one.
            (&[3, 5], &[9_000_000, 1_000_003], 2, 1),
            (&[2, 2, 2], &[1, 4_000_000, 2_000_000], 0, 4),
            // Elements that are dense in one dimension are read in runs.
            (&[30, 5000], &[1_000_003, 1], 7, 1),
            (&[5000, 30], &[1, 1_000_003], 7, 1),
            (&[9, 700, 9], &[700_001, 2, 90_001], 0, 4),
            // Elements that are close together are read in one window.
            (&[700, 500], &[1, 700], 3, 8),
            (&[64, 64, 64], &[3, 64 * 64 * 3, 64 * 3], 1, 2),
            // Strides of 0, in all dimensions and in some.
            (&[1000, 1000], &[0, 0], 9, 4),
            (&[1000, 40, 10], &[0, 500_009, 0], 0, 1),
        ];
        for (shape, strides, offset, width) in cases {
            let tensor = tensor(shape, strides, offset, width);
            let same = gathered(&mut gather, &tensor, 16, &source) == plainly(&tensor, 16, &source);
            assert!(same, "{shape:?} {strides:?}");
        }
    }

    proptest! {
        #[test]
        fn any_view_is_gathered(
            dims in prop::collection::vec((1_u64..12, prop_oneof![0_u64..9, 0_u64..70_000]), 0..4),
            width in prop::sample::select(vec![1_u64, 2, 4, 8, 16]),
            offset in 0_u64..5,
        ) {
            let (shape, strides): (Vec<_>, Vec<_>) = dims.into_iter().unzip();
            let source = source(1 << 20);
            let tensor = tensor(&shape, &strides, offset, width);
            let extent: u64 = shape.iter().zip(&strides).map(|(size, stride)| (size - 1) * stride).sum();
            prop_assume!((offset + extent + 1) * width <= source.len() as u64);
            let got = gathered(&mut Gather::default(), &tensor, 0, &source);
            prop_assert!(got == plainly(&tensor, 0, &source));
        }
    }
}
