//! Runs the library on any bytes: one function for each target of `fuzz/`, which includes this file.
//!
//! Invariant: none of them panics, whatever the bytes are; their assertions are the promises of the library. The module
//! has no tests of its own and knows no files: libFuzzer and `cargo test` pass the bytes.

use std::collections::BTreeMap;
use std::io::Write;

use bstr::BStr;
use git_st_convert::checkpoint::{self, Headers, Kind, Options, Plan, ties};
use git_st_convert::hash::Oid;
use git_st_convert::lfs::{Pointer, attributes, pointer};
use git_st_convert::read_at::Joined;
use git_st_convert::safetensors::{self, Layout, shard};
use git_st_convert::{pickle, scan};

/// Larger outputs are planned and not written.
const OUTPUT: u64 = 1 << 20;

/// Returns limits that keep one input quick. The defaults are for files of gigabytes.
fn limits() -> checkpoint::Limits {
    let mut limits = checkpoint::Limits::default();
    (limits.pickle.opcodes, limits.pickle.bytes) = (1_000_000, 4 << 20);
    (limits.records, limits.tensors, limits.names) = (10_000, 10_000, 8 << 20);
    limits
}

fn options(key: Option<&str>) -> Options {
    let mut options = Options::with_key(key);
    options.limits = limits();
    options
}

/// Treats the bytes as a checkpoint: it is planned, checked, laid out and written, and the reference crate reads it.
pub(crate) fn plan(bytes: &[u8]) {
    let source = bytes.to_vec();
    for key in [None, Some("."), Some("model")] {
        if let Ok(plan) = checkpoint::plan(&source, &options(key)) {
            write(&source, &plan);
        }
    }
}

/// Treats the bytes as a zip archive. Without its local headers the plan is the same, or the check finds the
/// difference.
pub(crate) fn zip(bytes: &[u8]) {
    if Kind::of_head(bytes) != Kind::Zip {
        return;
    }
    let source = bytes.to_vec();
    let planned = |headers| {
        let mut options = options(Some("."));
        options.headers = headers;
        checkpoint::plan(&source, &options)
    };
    let (read, foreseen) = (planned(Headers::Read), planned(Headers::Foresee));
    if let Ok(plan) = &read {
        write(&source, plan);
        let foreseen = foreseen.as_ref().expect("what is read with its headers is read without");
        assert_eq!(foreseen.tensors, plan.tensors);
    }
    let Ok(foreseen) = foreseen else { return };
    match (checkpoint::prove(&source, &foreseen), read) {
        (Ok(oid), Ok(plan)) => {
            assert_eq!(oid, Oid::of(&source));
            assert_eq!(foreseen.storages, plan.storages);
        }
        (Ok(_), Err(error)) => panic!("proven, and refused with its headers: {error}"),
        (Err(_), _) => {}
    }
}

/// The bytes before the object of a legacy PyTorch file: the magic number, the version, the sizes of C's types.
const PREAMBLE: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}(\
    X\x0d\0\0\0little_endian\x88X\x0a\0\0\0type_sizes}(X\x05\0\0\0shortK\x02X\x03\0\0\0intK\x04X\x04\0\0\0longK\x04uu.";

/// Treats the bytes as the rest of a legacy PyTorch file after the preamble, so that a fuzzer need not find that again.
pub(crate) fn legacy(bytes: &[u8]) {
    let source = [PREAMBLE, bytes].concat();
    assert_eq!(Kind::of_head(&source), Kind::Legacy);
    if let Ok(plan) = checkpoint::plan(&source, &options(None)) {
        write(&source, &plan);
    }
}

/// Treats the bytes as a file to scan: the verdict is the worst finding, a file with a pickle is not clean, the first
/// bytes give the same verdict as all of them, and a file that can be converted contains a pickle.
pub(crate) fn look(bytes: &[u8]) {
    let source = bytes.to_vec();
    let mut limits = scan::Limits::default();
    (limits.pickle.opcodes, limits.pickle.bytes) = (200_000, 4 << 20);
    (limits.stream, limits.members, limits.inflated) = (100, 1_000, 4 << 20);
    let report = scan::scan(&source, &limits).expect("memory can be read");
    let worst = report.pickles.iter().map(|pickle| pickle.verdict).max();
    assert!(worst.is_none_or(|worst| worst > scan::Verdict::Clean && report.verdict >= worst), "{report:?}");
    assert!(
        report.verdict != scan::Verdict::Unreadable
            || report.reason.is_some()
            || worst == Some(report.verdict)
    );
    for pickle in &report.pickles {
        assert!(pickle.member.is_some() || pickle.at < bytes.len() as u64, "{pickle:?}");
        assert!(pickle.globals.iter().all(|global| global.verdict <= pickle.verdict), "{pickle:?}");
        assert!(pickle.verdict != scan::Verdict::Weights || pickle.reason.is_none(), "{pickle:?}");
    }
    let head = bytes.get(..64).unwrap_or(bytes);
    if let Some(judged) = scan::scan_head(head, bytes.len() as u64, &limits) {
        assert_eq!(judged.pickles, report.pickles);
    }
    if checkpoint::plan(&source, &options(None)).is_ok() {
        assert!(report.holds_pickle(), "{report:?}");
    }
}

#[expect(clippy::ptr_arg, reason = "what is read at an offset is a Vec")]
fn write(source: &Vec<u8>, plan: &Plan) {
    let len = source.len() as u64;
    for storage in &plan.storages {
        assert!(storage.at.checked_add(storage.len).is_some(), "{storage:?}");
        assert!(!plan.is_in_place() || storage.at + storage.len <= len, "{storage:?} of {len}");
    }
    let dangerous = scan::dangerous(&plan.globals);
    assert!(dangerous.is_none_or(|named| plan.globals.contains(named)));
    if let Ok(oid) = checkpoint::prove(source, plan) {
        assert_eq!(oid, Oid::of(source));
    }
    let mut inflated = Bounded::default();
    if checkpoint::inflate(source, plan, &mut inflated).is_err() {
        return;
    }
    let Ok(ties) = ties::resolve(plan, &ties::Policy::for_class(Some("BertForMaskedLM"))) else { return };
    let kept: Vec<&str> = ties.kept.iter().map(|&index| plan.tensors[index].name.as_str()).collect();
    assert_eq!(kept.len() + ties.dropped.len(), plan.tensors.len());
    let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    for (dropped, keeper) in &ties.dropped {
        assert!(kept.contains(&keeper.as_str()), "{dropped} is held by {keeper}, which is not written");
        metadata.entry(dropped.clone()).or_insert_with(|| keeper.clone());
    }
    let Ok(layout) = Layout::new(plan, &ties.kept, &metadata) else { return };
    if layout.size() > OUTPUT {
        return;
    }
    let mut out = Vec::new();
    let joined = Joined::new(source, &inflated.bytes);
    safetensors::write(&layout, plan, &joined, &mut out).expect("what is planned can be written");
    assert_eq!(out.len() as u64, layout.size());
    let read = ::safetensors::SafeTensors::deserialize(&out).expect("the reference crate reads it");
    assert_eq!(read.len(), kept.len());
    let (infos, _) = safetensors::read(&out).expect("we read it");
    assert_eq!(infos.len(), kept.len());
}

/// A sink with a maximum length.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > 4 << 20 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Treats the bytes as a pickle. Every id is valid, the end is inside, and a second read gives the same.
pub(crate) fn read_pickle(bytes: &[u8]) {
    let source = bytes.to_vec();
    let limits = limits().pickle;
    let Ok(read) = pickle::read(&source, 0, &limits) else { return };
    assert!(read.end <= bytes.len() as u64);
    assert!(read.values.len() <= bytes.len());
    for (id, _) in read.values.iter() {
        assert!(read.values.offset(id) < read.end);
        read.values.children(id, |child| assert!(child.index() < read.values.len()));
    }
    assert!(read.depth(100).is_none_or(|depth| depth <= 100));
    let again = pickle::read(&source, 0, &limits).expect("it was read before");
    assert_eq!((again.root, again.end, again.values.len()), (read.root, read.end, read.values.len()));
}

/// Treats the bytes as a safetensors file: the reference crate accepts each file that we accept.
pub(crate) fn header(bytes: &[u8]) {
    let Ok((infos, _)) = safetensors::read(&bytes.to_vec()) else { return };
    let total: u64 = infos.iter().map(|info| info.bytes).sum();
    assert!(total <= bytes.len() as u64);
    assert!(::safetensors::SafeTensors::deserialize(bytes).is_ok());
}

/// Treats the bytes as a pointer: its canonical text is read as the same pointer.
pub(crate) fn read_pointer(bytes: &[u8]) {
    let Ok(read) = Pointer::parse(bytes) else { return };
    assert!(pointer::looks_like_pointer(bytes));
    let text = read.to_string();
    if read.size > 0 {
        assert_eq!(Pointer::parse(text.as_bytes()), Ok(read));
        assert_eq!(Pointer::parse(text.as_bytes()).map(|again| again.to_string()), Ok(text));
    } else {
        assert!(text.is_empty());
    }
}

/// Treats the bytes as a path, a zero byte and an attributes file: an appended entry keeps every byte, and is added
/// once.
pub(crate) fn append(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (path, existing) = bytes.split_at(at);
    let existing = existing.strip_prefix(b"\0").unwrap_or(existing);
    let pattern = attributes::pattern(BStr::new(path));
    let once = attributes::append(existing, pattern.as_ref());
    assert!(once.starts_with(existing));
    assert_eq!(attributes::append(&once, pattern.as_ref()), once);
    let added = &once[existing.len()..];
    let line = attributes::line(pattern.as_ref());
    assert!(added.is_empty() || added.windows(line.len()).any(|part| part == &line[..]));
}

/// Treats the bytes as a shard index: after writing it, it is read as the same.
pub(crate) fn shard_index(bytes: &[u8]) {
    let Ok(index) = shard::Index::parse(bytes) else { return };
    for shard in index.weight_map.values() {
        assert!(!shard.contains(['/', '\\', '\0']) && !shard.starts_with('.'), "{shard:?}");
    }
    let text = index.render(7);
    let again = shard::Index::parse(text.as_bytes()).expect("what was written is read");
    assert_eq!(again.weight_map, index.weight_map);
    assert_eq!(again.render(7), text);
}

/// A target of `fuzz/`.
pub(crate) struct Target {
    /// Its name, which is also that of the directory of its findings.
    pub(crate) name: &'static str,
    /// Its function.
    pub(crate) run: fn(&[u8]),
}

/// All targets.
pub(crate) const TARGETS: [Target; 9] = [
    Target { name: "plan", run: plan },
    Target { name: "zip", run: zip },
    Target { name: "legacy", run: legacy },
    Target { name: "pickle", run: read_pickle },
    Target { name: "header", run: header },
    Target { name: "pointer", run: read_pointer },
    Target { name: "attributes", run: append },
    Target { name: "shard_index", run: shard_index },
    Target { name: "scan", run: look },
];
