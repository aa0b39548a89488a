//! [`Limits`] bounds the cost of a pickle. The defaults admit every checkpoint that we have seen, with a margin.

/// Limits for one pickle. The reader stops with [`Error::Limit`](super::Error::Limit) at the first one that is
/// exceeded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the pickle. A state dict of 20,000 tensors has 3 MB.
    pub bytes: u64,
    /// Opcodes run. A state dict of 20,000 tensors runs 700,000.
    pub opcodes: u64,
    /// Values made. A state dict of 200,000 tensors has 4 million.
    pub values: usize,
    /// Bytes of memory for the values. A state dict of 200,000 tensors takes 300 MB.
    pub memory: usize,
    /// Bytes of memory for the values per byte of the pickle that was read, above the first 16 MiB: so a small pickle
    /// cannot use much memory. Pickles of torch need 6 to 10, a list of numbers of two bytes each needs 22.
    pub growth: usize,
    /// Values on the stack at once. A batch of items is 1,000 pairs.
    pub stack: usize,
    /// Open marks at once.
    pub marks: usize,
    /// Bytes of one text string. Names are short; a numpy array of protocol 2 is one, with two bytes for each above 127.
    pub text: u64,
    /// Bytes of one byte string. A tensor of a numpy checkpoint is one.
    pub blob: u64,
    /// Bytes of one integer; the value of an integer of more than 16 bytes is not kept.
    pub integer: u64,
    /// Bytes of one line of a text opcode.
    pub line: u64,
    /// Digits of one decimal integer.
    pub digits: usize,
}

/// Bytes of memory for any pickle, however short it is.
const FREE: usize = 16 << 20;

impl Limits {
    /// Returns how many bytes of memory a pickle may use after `read` bytes of it were read.
    pub fn memory_for(&self, read: u64) -> usize {
        let read = usize::try_from(read).unwrap_or(usize::MAX);
        self.memory.min(read.saturating_mul(self.growth).saturating_add(FREE))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 128 << 20,
            opcodes: 20_000_000,
            values: 8_000_000,
            memory: 512 << 20,
            growth: 24,
            stack: 1_000_000,
            marks: 10_000,
            text: 96 << 20,
            blob: 64 << 20,
            integer: 4096,
            line: 64 << 10,
            digits: 40,
        }
    }
}
