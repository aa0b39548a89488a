//! Collects seeds from the fixtures, and creates mutations that are the same in every run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checkpoint::{archive, floats, legacy, legacy_storages, pickle, zip_of};

type Named = (String, Vec<u8>);

fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files of a directory, small ones first; none if it does not exist.
fn files(dir: &Path) -> Vec<Named> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let mut files: Vec<Named> =
        paths.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect();
    files.sort_by_key(|(_, bytes)| bytes.len());
    files
}

/// Returns the findings of a fuzzer.
pub(super) fn artifacts(target: &str) -> Vec<Named> {
    files(&package().join("fuzz/artifacts").join(target))
}

/// Returns the seeds of a target: those of `fuzz/seeds`, and those that are derived from the fixtures.
pub(super) fn of(target: &str) -> Vec<Named> {
    [files(&package().join("fuzz/seeds").join(target)), known(target)].concat()
}

fn known(target: &str) -> Vec<Named> {
    let fixtures = package().join("tests/fixtures");
    let checkpoints = || files(&fixtures.join("checkpoints"));
    match target {
        "plan" => [checkpoints(), built()].concat(),
        "zip" => {
            let zips = checkpoints().into_iter().filter(|(_, bytes)| bytes.starts_with(b"PK"));
            zips.chain(built()).filter(|(_, bytes)| bytes.starts_with(b"PK")).collect()
        }
        "legacy" => legacy_parts(),
        "scan" => [checkpoints(), built(), files(&fixtures.join("expected"))].concat(),
        "pickle" => [checkpoints().iter().filter_map(pickle_of).collect(), built()].concat(),
        "header" => files(&fixtures.join("expected")),
        "pointer" => {
            let kept = |(path, _): &Named| path.ends_with("pointer.bin");
            [checkpoints().into_iter().filter(kept).collect(), vec![("pointer".to_owned(), POINTER.into())]]
                .concat()
        }
        "attributes" => {
            ATTRIBUTES.iter().map(|text| (format!("{text:?}"), text.as_bytes().to_vec())).collect()
        }
        "shard_index" => {
            let index = br#"{"metadata": {"total_size": 12}, "weight_map": {"a.b": "m-00001-of-00002.bin", "\u00e9": "m-00002-of-00002.bin"}}"#;
            vec![("index".to_owned(), index.to_vec()), ("empty".to_owned(), br#"{"weight_map":{}}"#.to_vec())]
        }
        _ => Vec::new(),
    }
}

const POINTER: &str = "version http://git-media.io/v/2\r\noid sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\r\nsize +03";
const ATTRIBUTES: [&str; 4] = [
    "*.safetensors\0*.bin filter=lfs diff=lfs merge=lfs -text\n",
    "a b\tc\0\u{feff}[attr]weights filter=lfs\r\n*.pt weights\r\n",
    "!x\0# comment\n/!x filter=lfs diff=lfs merge=lfs -text",
    "\"q\"\0",
];

/// Returns checkpoints with tiny storages, so that mutations change their descriptions.
fn built() -> Vec<Named> {
    let object = pickle::named(&[("a", pickle::four()), ("b", pickle::list(&[pickle::four()]))]);
    let deflated = [
        archive::Record::deflated("x/data.pkl", &pickle::whole(&object)),
        archive::Record::deflated("x/data/0", &floats(4)),
    ];
    vec![
        ("built zip".to_owned(), zip_of(&object)),
        ("built deflated zip".to_owned(), archive::write(&deflated)),
        ("built legacy".to_owned(), legacy(&object, &[("0", 4, &floats(4))])),
    ]
}

/// Returns objects of legacy PyTorch files, with the bytes after them.
fn legacy_parts() -> Vec<Named> {
    let tied = pickle::named(&[("a", pickle::four()), ("b", pickle::four())]);
    let nested = pickle::named(&[("model", tied.clone()), ("step", pickle::int(7))]);
    let part = |(name, object): (&str, Vec<u8>)| {
        let storages = legacy_storages(&[("0", 4, &floats(4))]);
        (name.to_owned(), [pickle::whole(&object), storages].concat())
    };
    [("tied", tied), ("nested", nested)].map(part).to_vec()
}

/// Returns the pickle of a zip fixture, or a legacy fixture as it is, because its first pickle is at 0.
fn pickle_of((path, bytes): &Named) -> Option<Named> {
    if !bytes.starts_with(b"PK") {
        return bytes.starts_with(b"\x80").then(|| (path.clone(), bytes.clone()));
    }
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).ok()?;
    let name = zip.file_names().flatten().find(|name| name.ends_with("/data.pkl"))?.into_owned();
    let mut pickle = Vec::new();
    std::io::Read::read_to_end(&mut zip.by_name(&name).ok()?, &mut pickle).ok()?;
    Some((path.clone(), pickle))
}

/// Returns every prefix of a small file; of a larger one, those of its beginning, its end and some between.
pub(super) fn cuts(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let len = bytes.len();
    let step = if len <= 1024 { 1 } else { (len / 256).max(1) };
    let ends = (0..len).filter(move |end| end % step == 0 || *end < 128 || len - end < 128);
    ends.map(|end| bytes[..end].to_vec())
}

/// Pseudorandom numbers, the same in every run (xorshift64*).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: &str) -> Self {
        Self(u64::from(crc32fast::hash(seed.as_bytes())) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).unwrap() % limit.max(1)
    }
}

/// Bytes that formats may interpret differently from the original ones.
const BYTES: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'.', b'(', b'h', b'R', b'Q', b'\n', 0x95];

/// Changes some bytes of the file, in three ways.
pub(super) fn flips(bytes: &[u8], random: &mut Random) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    if bytes.is_empty() {
        return all;
    }
    for change in 0..4 {
        let mut input = bytes.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(input.len());
            input[at] = match change {
                0 => input[at] ^ 1 << random.below(8),
                1 => BYTES[random.below(BYTES.len())],
                2 => input[at].wrapping_add(1),
                _ => u8::try_from(random.below(256)).unwrap(),
            };
        }
        all.push(input);
    }
    all
}

/// Removes, repeats or moves parts of the file; and joins the beginning of one file with the end of another.
pub(super) fn splices(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<Vec<u8>> {
    let mut cut = |bytes: &[u8]| {
        let (a, b) = (random.below(bytes.len() + 1), random.below(bytes.len() + 1));
        (a.min(b), a.max(b))
    };
    let (from, to) = cut(bytes);
    let (head, tail) = cut(other);
    vec![
        [&bytes[..from], &bytes[to..]].concat(),
        [&bytes[..to], &bytes[from..]].concat(),
        [&bytes[..from], &other[head..tail], &bytes[to..]].concat(),
        [&bytes[..from], &other[tail..]].concat(),
    ]
}
