//! Writes checkpoints of realistic sizes: zip archives as torch writes them, streamed to a file.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crate::pickle;

/// The alignment of a record's data in torch's archives, in bytes.
const ALIGNMENT: usize = 64;

/// A checkpoint of float32 tensors.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) tensors: Vec<(String, Vec<u32>)>,
}

impl Shape {
    /// Returns the cases, or small ones of the same form.
    pub(crate) fn all(smoke: bool) -> [Self; 3] {
        if smoke {
            return [bert(64, 2, 1000), even("many", 500, 1000), even("tiny", 500, 137)];
        }
        [bert(1024, 24, 30_522), even("many", 20_000, 16_188), even("tiny", 20_000, 137)]
    }
}

/// Returns BERT with this hidden size, number of layers and vocabulary; the large one has 1024, 24 and 30522.
fn bert(hidden: u32, layers: u32, vocabulary: u32) -> Shape {
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[u32]| tensors.push((name, shape.to_vec()));
    let norm = |add: &mut dyn FnMut(String, &[u32]), name: &str| {
        add(format!("{name}.LayerNorm.weight"), &[hidden]);
        add(format!("{name}.LayerNorm.bias"), &[hidden]);
    };
    let dense = |add: &mut dyn FnMut(String, &[u32]), name: &str, rows: u32, columns: u32| {
        add(format!("{name}.weight"), &[rows, columns]);
        add(format!("{name}.bias"), &[rows]);
    };
    for (name, rows) in [("word", vocabulary), ("position", 512), ("token_type", 2)] {
        add(format!("bert.embeddings.{name}_embeddings.weight"), &[rows, hidden]);
    }
    norm(&mut add, "bert.embeddings");
    for layer in 0..layers {
        let layer = format!("bert.encoder.layer.{layer}");
        for part in ["query", "key", "value"] {
            dense(&mut add, &format!("{layer}.attention.self.{part}"), hidden, hidden);
        }
        dense(&mut add, &format!("{layer}.attention.output.dense"), hidden, hidden);
        norm(&mut add, &format!("{layer}.attention.output"));
        dense(&mut add, &format!("{layer}.intermediate.dense"), 4 * hidden, hidden);
        dense(&mut add, &format!("{layer}.output.dense"), hidden, 4 * hidden);
        norm(&mut add, &format!("{layer}.output"));
    }
    dense(&mut add, "bert.pooler.dense", hidden, hidden);
    dense(&mut add, "cls.predictions.transform.dense", hidden, hidden);
    norm(&mut add, "cls.predictions.transform");
    add("cls.predictions.bias".to_owned(), &[vocabulary]);
    dense(&mut add, "cls.seq_relationship", 2, hidden);
    Shape { name: "bert", tensors }
}

/// Returns this many tensors of one size.
fn even(name: &'static str, count: u32, elements: u32) -> Shape {
    let tensors = (0..count).map(|n| (format!("layer.{n}.weight"), vec![elements])).collect();
    Shape { name, tensors }
}

/// Writes the checkpoint, with numbers in its tensors that do not compress.
pub(crate) fn write(shape: &Shape, path: &Path) -> io::Result<()> {
    let mut archive = Archive {
        out: BufWriter::with_capacity(1 << 20, File::create(path)?),
        at: 0,
        directory: Vec::new(),
        count: 0,
    };
    archive.record("archive/data.pkl", &object(shape))?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::new();
    for (key, (_, dims)) in shape.tensors.iter().enumerate() {
        bytes.clear();
        let len: u32 = dims.iter().product();
        for _ in 0..len.div_ceil(2) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // The highest bit of each exponent is 0, so no number is NaN or infinite.
            bytes.extend((random & 0xbfff_ffff_bfff_ffff).to_le_bytes());
        }
        bytes.truncate(usize::try_from(len).unwrap() * 4);
        archive.record(&format!("archive/data/{key}"), &bytes)?;
    }
    archive.record("archive/version", b"3\n")?;
    archive.finish()
}

fn object(shape: &Shape) -> Vec<u8> {
    let tensor = |(key, (name, dims)): (usize, &(String, Vec<u32>))| {
        let dims: Vec<i128> = dims.iter().map(|&dim| dim.into()).collect();
        let mut strides = vec![1; dims.len()];
        for at in (1..dims.len()).rev() {
            strides[at - 1] = strides[at] * dims[at];
        }
        let storage = pickle::storage("FloatStorage", &key.to_string(), dims.iter().product());
        [pickle::text(name), pickle::tensor(&storage, 0, &dims, &strides)].concat()
    };
    let entries: Vec<u8> = shape.tensors.iter().enumerate().flat_map(tensor).collect();
    pickle::whole(&[b"}(".as_slice(), &entries, b"u"].concat())
}

struct Archive {
    out: BufWriter<File>,
    at: usize,
    directory: Vec<u8>,
    count: u16,
}

/// Returns the fields that the local header and the directory share: version, flags, method, time, CRC, sizes, length
/// of the name.
fn common(name: &str, bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let name_len = u16::try_from(name.len()).unwrap().to_le_bytes();
    let fixed = [20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0];
    [&fixed[..], &crc32fast::hash(bytes).to_le_bytes(), &len, &len, &name_len].concat()
}

impl Archive {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len();
        self.out.write_all(bytes)
    }

    /// Writes a stored record, whose data an extra field aligns.
    fn record(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let at = u32::try_from(self.at).unwrap();
        let padding =
            (self.at + 30 + name.len() + 4).next_multiple_of(ALIGNMENT) - (self.at + 30 + name.len() + 4);
        let padding_len = u16::try_from(padding).unwrap();
        let common = common(name, bytes);
        self.put(b"PK\x03\x04")?;
        self.put(&common)?;
        self.put(&(padding_len + 4).to_le_bytes())?;
        self.put(name.as_bytes())?;
        self.put(b"FB")?;
        self.put(&padding_len.to_le_bytes())?;
        self.put(&b"Z".repeat(padding))?;
        self.put(bytes)?;
        self.directory.extend(b"PK\x01\x02\x14\x00");
        self.directory.extend(common);
        self.directory.extend([0; 12]);
        self.directory.extend(at.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let (at, len) = (u32::try_from(self.at).unwrap(), u32::try_from(self.directory.len()).unwrap());
        let directory = std::mem::take(&mut self.directory);
        self.put(&directory)?;
        self.put(b"PK\x05\x06\0\0\0\0")?;
        self.put(&[self.count.to_le_bytes(), self.count.to_le_bytes()].concat())?;
        self.put(&[len.to_le_bytes(), at.to_le_bytes()].concat())?;
        self.put(&[0, 0])?;
        self.out.flush()
    }
}
