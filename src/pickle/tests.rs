//! Tests every opcode, and every reason for a refusal, with pickles of a few bytes.

use super::*;

fn pickle(bytes: &[u8]) -> Result<Pickle, Error> {
    read(&bytes.to_vec(), 0, &Limits::default())
}

fn root(bytes: &[u8]) -> Value {
    let pickle = pickle(bytes).unwrap();
    pickle.values.get(pickle.root).clone()
}

#[test]
fn numbers_of_every_spelling() {
    assert_eq!(root(b"I-12\n."), Value::Int(-12));
    assert_eq!(root(b"I01\n."), Value::Bool(true));
    assert_eq!(root(b"L119547037146038801333356L\n."), Value::Big(Box::new(0x1950_a86a_20f9_469c_fc6c)));
    assert_eq!(
        root(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."),
        Value::Big(Box::new(0x1950_a86a_20f9_469c_fc6c))
    );
    assert_eq!(root(b"\x80\x02\x8a\x01\xff."), Value::Int(-1));
    assert_eq!(root(b"\x80\x02\x8a\x00."), Value::Int(0));
    assert_eq!(root(b"J\xff\xff\xff\xff."), Value::Int(-1));
    assert_eq!(root(b"G\x3f\xf0\x00\x00\x00\x00\x00\x00."), Value::Float(1.0));
    assert_eq!(root(b"F1e-05\n."), Value::Float(1e-5));
    let mut huge = b"\x80\x02\x8a\x14".to_vec();
    huge.extend([1; 20]);
    huge.push(b'.');
    assert_eq!(root(&huge), Value::Huge);
    let digits = |count: usize| root(&[b"I".as_slice(), &b"9".repeat(count), b"\n."].concat());
    assert_eq!(digits(38), Value::Big(Box::new(10_i128.pow(38) - 1)));
    assert_eq!(digits(39), Value::Huge);
}

#[test]
fn integers_that_readers_spell_differently_are_refused() {
    for bytes in [b"I0x10\n.".as_slice(), b"I1_0\n.", b"L0x10L\n.", b"I+1\n.", b"I 1\n.", b"I\n.", b"L1LL\n."]
    {
        assert!(matches!(pickle(bytes), Err(Error::Operand { .. })), "{bytes:?}");
    }
}

#[test]
fn text_of_every_spelling() {
    assert_eq!(root(b"S'a\\x41\\n'\n."), Value::Str("aA\n".into()));
    assert_eq!(root(b"V\\u00e9\\U0001F600\n."), Value::Str("é😀".into()));
    assert_eq!(root(b"U\x02hi."), Value::Str("hi".into()));
    assert_eq!(root(b"U\x01\xff."), Value::Bytes(Box::from([0xff])));
    assert_eq!(root(b"S'\xff'\n."), Value::Bytes(Box::from([0xff])));
    assert!(pickle(b"S'a'b'\n.").is_err());
    assert!(pickle(b"V\\ud800\n.").is_err());
}

#[test]
fn sharing_stays_sharing() {
    // A list that contains itself, and a bomb that doubles in 60 levels, both need memory in proportion to their bytes.
    let own = pickle(b"]q\x00h\x00a.").unwrap();
    assert_eq!(own.values.get(own.root), &Value::List(vec![own.root]));
    let mut bomb = b"]q\x00".to_vec();
    for level in 0..60 {
        bomb.extend([b']', b'q', level + 1, b'h', level, b'a', b'h', level, b'a']);
    }
    let mut closed = b"(".to_vec();
    closed.extend(&bomb);
    closed.extend(b"t.");
    assert!(pickle(&closed).unwrap().values.len() < 200);
}

#[test]
fn calls_are_kept_and_never_made() {
    let pickle = pickle(b"cos\nsystem\n(S'id'\ntR.").unwrap();
    assert_eq!(pickle.values.callable(pickle.root).unwrap().to_string(), "os.system");
}

#[test]
fn a_stack_level_does_not_reach_into_the_one_below() {
    assert!(matches!(pickle(b"N(0."), Err(Error::LeftOver { .. }) | Ok(_)));
    assert!(matches!(pickle(b"N(."), Err(Error::StackUnderflow { .. })));
    assert!(matches!(pickle(b"N(\x85."), Err(Error::StackUnderflow { .. })));
    assert!(matches!(pickle(b"t."), Err(Error::NoMark { .. })));
    assert!(matches!(pickle(b"NN."), Err(Error::LeftOver { left: 1, .. })));
    assert!(matches!(pickle(b"}(NNNu."), Err(Error::Operand { .. })));
}

#[test]
fn mutation_of_what_is_not_ours_is_refused() {
    assert!(matches!(pickle(b"csys\nmodules\n}b."), Err(Error::WrongType { opcode: "BUILD", .. })));
    assert!(matches!(pickle(b"NNa."), Err(Error::WrongType { opcode: "APPEND", .. })));
    assert!(matches!(pickle(b"]NNs."), Err(Error::WrongType { opcode: "SETITEM", .. })));
    assert!(matches!(pickle(b"N)R."), Err(Error::WrongType { opcode: "REDUCE", .. })));
}

#[test]
fn what_an_opcode_finds_is_named_by_its_type() {
    let on = |bytes: &[u8]| match pickle(bytes) {
        Err(Error::WrongType { opcode, at, on }) => (opcode, at, on),
        other => panic!("{bytes:?}: {other:?}"),
    };
    let huge = [b"\x8a\x14".as_slice(), &[1; 20]].concat();
    for (value, name) in [
        (b"N".as_slice(), "None"),
        (b"\x88", "bool"),
        (b"K\x01", "int"),
        (b"\x8a\x09\0\0\0\0\0\0\0\0\x01", "int"),
        (&huge, "int"),
        (b"F1.5\n", "float"),
        (b"U\x01a", "str"),
        (b"C\x01a", "bytes"),
        (b"\x96\x01\0\0\0\0\0\0\0a", "bytearray"),
        (b"]", "list"),
        (b"}", "dict"),
        (b"\x8f", "set"),
        (b"(\x91", "frozenset"),
        (b"cos\nsystem\n", "class or function"),
        (b"ca\nb\n)R", "object"),
        (b"NQ", "persistent ID"),
    ] {
        // Each value is in the place of the argument tuple.
        let at = u64::try_from(value.len()).unwrap() + 5;
        assert_eq!(on(&[b"ca\nb\n", value, b"R."].concat()), ("REDUCE", at, name));
    }
    assert_eq!(on(b")Na."), ("APPEND", 2, "tuple"));
    assert_eq!(on(b"ca\nb\n)N\x92."), ("NEWOBJ_EX", 7, "None"));
}

#[test]
fn depth_goes_through_everything_that_holds_values() {
    let depth = |bytes: &[u8], limit| pickle(bytes).unwrap().depth(limit);
    assert_eq!(depth(b"N.", 0), Some(0));
    for one in [b"(Nl.".as_slice(), b"N\x85.", b"(NNd.", b"\x8f(N\x90.", b"(N\x91.", b"NQ.", b"ca\nb\n)R."] {
        assert_eq!((depth(one, 1), depth(one, 0)), (Some(1), None), "{one:?}");
    }
    // The inner value is in the arguments, the keywords, the state, the items and the appended values.
    for two in [
        b"ca\nb\nN\x85R.".as_slice(),
        b"ca\nb\n)}NNs\x92.",
        b"ca\nb\n)R]Nab.",
        b"ca\nb\n)R]NaNs.",
        b"ca\nb\n)RN]Nas.",
        b"ca\nb\n)R]Naa.",
        b"ca\nb\n)R(]Na\x90.",
    ] {
        assert_eq!((depth(two, 2), depth(two, 1)), (Some(2), None), "{two:?}");
    }
    assert_eq!(depth(b"]q\0h\0a.", 1000), None);
    // A tower of pairs contains more places than values.
    assert_eq!(depth(&[b"N".as_slice(), &b"2\x86".repeat(60), b"."].concat(), 1000), None);
}

/// A source that fails to read from an offset on.
struct Broken(Vec<u8>, u64);

impl ReadAt for Broken {
    fn len(&self) -> u64 {
        ReadAt::len(&self.0)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> std::io::Result<()> {
        if at >= self.1 {
            return Err(std::io::Error::from(std::io::ErrorKind::TimedOut));
        }
        self.0.read_exact_at(buf, at)
    }
}

#[test]
fn a_source_that_cannot_be_read_is_said_to_be_so() {
    // The first read takes 4 KiB, and the next one begins after them.
    let long = [b"(".as_slice(), &b"N".repeat(5000), b"t."].concat();
    for (from, expected) in [(0, 0), (1, 4096)] {
        match read(&Broken(long.clone(), from), 0, &Limits::default()) {
            Err(Error::Io { at, source }) => {
                assert_eq!((at, source.kind()), (expected, std::io::ErrorKind::TimedOut));
            }
            other => panic!("{other:?}"),
        }
    }
    let whole = read(&Broken(long, 5000), 0, &Limits::default()).unwrap();
    assert_eq!(whole.values.tuple(whole.root).map(<[Id]>::len), Some(5000));
}

#[test]
fn frames_are_enforced() {
    assert_eq!(root(b"\x80\x04\x95\x02\0\0\0\0\0\0\0N."), Value::None);
    // Two frames follow each other, and the end is in none.
    let two = b"\x80\x04\x95\x02\0\0\0\0\0\0\0N0\x95\x02\0\0\0\0\0\0\0K\x07.";
    assert_eq!(root(two), Value::Int(7));
    // The string crosses the end of its frame, so that some readers do not see the bytes after it.
    assert!(matches!(pickle(b"\x80\x04\x95\x03\0\0\0\0\0\0\0\x8c\x02hi."), Err(Error::Frame { .. })));
    assert!(matches!(
        pickle(b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x95\x01\0\0\0\0\0\0\0N."),
        Err(Error::Frame { .. })
    ));
    assert!(matches!(pickle(b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN."), Err(Error::Frame { .. })));
}

#[test]
fn refused_and_unknown_opcodes_are_named() {
    assert!(matches!(pickle(b"\x80\x02\x82\x01."), Err(Error::RefusedOpcode { opcode: "EXT1", at: 2 })));
    assert!(matches!(pickle(b"(ios\nsystem\n."), Err(Error::RefusedOpcode { opcode: "INST", .. })));
    assert!(matches!(pickle(b"\xfe."), Err(Error::UnknownOpcode { byte: 0xfe, at: 0 })));
    assert!(matches!(pickle(b"\x80\x06N."), Err(Error::Protocol { version: 6, .. })));
    assert!(matches!(pickle(b"N0\x80\x02N."), Err(Error::Protocol { .. })));
}

#[test]
fn lengths_that_lie_allocate_nothing() {
    for bytes in [
        b"X\xff\xff\xff\x7f".as_slice(),
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x02\x8b\xff\xff\xff\x7f",
        b"T\xff\xff\xff\xff",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        assert!(pickle(bytes).is_err(), "{bytes:?}");
    }
    assert!(matches!(pickle(b"X\x05\0\0\0abc"), Err(Error::Truncated { .. })));
    assert!(matches!(pickle(b"cos"), Err(Error::Truncated { .. })));
}

#[test]
fn every_limit_stops_the_reader() {
    let tight = Limits {
        bytes: 64,
        opcodes: 20,
        values: 7,
        memory: 1000,
        growth: 1,
        stack: 4,
        marks: 2,
        text: 3,
        blob: 3,
        integer: 2,
        line: 4,
        digits: 3,
    };
    let over = |bytes: &[u8]| match read(&bytes.to_vec(), 0, &tight) {
        Err(Error::Limit { what, .. }) => what,
        other => panic!("{bytes:?}: {other:?}"),
    };
    assert_eq!(over(&[b'N'; 80]), "values on the stack");
    assert_eq!(over(&b"]0".repeat(40)), "values");
    assert_eq!(over(&[b"N".as_slice(), &b"20".repeat(40)].concat()), "opcodes");
    assert_eq!(over(b"((("), "open marks");
    assert_eq!(over(b"X\x04\0\0\0abcd."), "bytes in a string");
    assert_eq!(over(b"C\x04abcd."), "bytes in a byte string");
    assert_eq!(over(b"\x8a\x03abc."), "bytes in an integer");
    assert_eq!(over(b"Vabcdefgh\n."), "bytes in a line");
    let long = Limits { bytes: 4, ..Limits::default() };
    assert!(matches!(read(&b"NNNNNN.".to_vec(), 0, &long), Err(Error::Limit { what: "bytes", .. })));
}

#[test]
fn memory_is_counted() {
    let memory = |bytes: &[u8]| pickle(bytes).unwrap().values.memory();
    let node = memory(b"].");
    assert!((16..64).contains(&node), "{node}");
    assert_eq!(memory(b"]0]."), 2 * node);
    assert!(memory(&[b"X\x64\0\0\0".as_slice(), &b"x".repeat(100), b"."].concat()) >= node + 100);
    // A list counts by its capacity, however it was built.
    assert!(memory(&[b"](".as_slice(), &b"]".repeat(100), b"e."].concat()) >= 101 * node + 400);
    assert!(memory(&[b"]".as_slice(), &b"]a".repeat(100), b"."].concat()) >= 101 * node + 400);
    assert!(memory(&[b"}".as_slice(), &b"]]s".repeat(100), b"."].concat()) >= 201 * node + 800);
    assert!(memory(b"ca\nb\n)0.") >= 2 * node + 3 * 32);
    assert!(memory(b"ca\nb\n)R.") >= 3 * node + 3 * 32 + 80);
    // Values that an object builds, and values that only the memo contains.
    let object = |more: &[u8]| memory(&[b"ca\nb\n)R".as_slice(), more, b"."].concat());
    assert!(object(&b"]a".repeat(100)) >= object(&b"]0".repeat(100)) + 400);
    assert!(object(&b"]]s".repeat(100)) >= object(&b"]0]0".repeat(100)) + 800);
    let limited = |bytes: &[u8], memory| {
        let limits = Limits { memory, ..Limits::default() };
        match read(&bytes.to_vec(), 0, &limits) {
            Err(Error::Limit { what, .. }) => Some(what),
            other => other.map(|_| None).unwrap(),
        }
    };
    let sparse = (0_u32..100).flat_map(|n| [b"r".to_vec(), (2 * n + 1).to_le_bytes().to_vec()].concat());
    let sparse = [b"N".to_vec(), sparse.collect(), b".".to_vec()].concat();
    assert_eq!((limited(&sparse, 4_000), limited(&sparse, 8_000)), (Some("bytes of memory"), None));
    let dense = [b"\x80\x04N".as_slice(), &b"\x94".repeat(1000), b"."].concat();
    assert_eq!((limited(&dense, 4_000), limited(&dense, 9_000)), (Some("bytes of memory"), None));
}

#[test]
fn memory_is_in_proportion_to_the_pickle() {
    let limited = |count: usize, growth| {
        let limits = Limits { growth, ..Limits::default() };
        match read(&[b"(".as_slice(), &b"]".repeat(count), b"t."].concat(), 0, &limits) {
            Err(Error::Limit { what, limit, .. }) => Some((what, limit > 16 << 20)),
            other => other.map(|_| None).unwrap(),
        }
    };
    assert_eq!(limited(100_000, 0), None);
    assert_eq!(limited(900_000, 16), Some(("bytes of memory", true)));
    assert_eq!(limited(900_000, 64), None);
    // A value that exists once in Python exists once here.
    let constants = pickle(&[b"(".as_slice(), &b"N\x88\x89".repeat(300_000), b"t."].concat()).unwrap();
    assert_eq!(constants.values.len(), 4);
    assert_ne!(root(b"\x88."), root(b"\x89."));
}

#[test]
fn memo_indices_cost_one_entry() {
    assert_eq!(root(b"Nr\xff\xff\xff\xff0j\xff\xff\xff\xff."), Value::None);
    assert!(matches!(pickle(b"h\x00."), Err(Error::MemoMiss { index: 0, .. })));
    // MEMOIZE uses the number of entries, as CPython does: here 1, although index 5 was used before.
    let pickle = pickle(b"\x80\x04K\x05q\x05K\x07\x940h\x01\x86.").unwrap();
    let pair = pickle.values.tuple(pickle.root).unwrap().iter().map(|&id| pickle.values.get(id).clone());
    assert_eq!(pair.collect::<Vec<_>>(), [Value::Int(5), Value::Int(7)]);
}

#[test]
fn opcodes_have_the_names_that_python_gives_them() {
    let table = include_str!("../../tests/fixtures/opcodes.tsv");
    let mut known = std::collections::BTreeMap::new();
    for line in table.lines() {
        let (byte, name) = line.split_once('\t').unwrap();
        known.insert(u8::from_str_radix(byte, 16).unwrap(), name);
    }
    for byte in 0..=u8::MAX {
        assert_eq!(opcode::name(byte), known.get(&byte).copied(), "{byte:#x}");
    }
}
