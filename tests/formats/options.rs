//! Tests the options of a plan: keys, limits, and sources that cannot be read.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use git_st_convert::checkpoint::{self, Error, Headers, Limits, Options, Plan, ties};
use git_st_convert::read_at::ReadAt;

use super::fixtures;
use crate::checkpoint::{archive, floats, pickle, records, zip_of};

fn with_key(object: &[u8], key: &str) -> Result<Plan, Error> {
    checkpoint::plan(&zip_of(object), &Options::with_key(Some(key)))
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.tensors.iter().map(|tensor| tensor.name.as_str()).collect()
}

#[test]
fn a_key_is_a_path_of_dicts() {
    let weights = |name| pickle::named(&[(name, pickle::four())]);
    let object = pickle::named(&[
        ("a", pickle::named(&[("b", weights("short"))])),
        ("a.b", weights("long")),
        ("list", pickle::list(&[weights("listed")])),
        ("number", pickle::int(1)),
    ]);
    let found = |key| with_key(&object, key).map(|plan| names(&plan).join(" "));
    // The longest matching key is used.
    assert_eq!(found("a.b").unwrap(), "long");
    assert_eq!(found("a").unwrap(), "b.short");
    assert_eq!(found("list").unwrap(), "0.listed");
    assert_eq!(found(".").unwrap(), "a.b.short a.b.long list.0.listed");
    assert_eq!(found("list.0").unwrap(), "listed");
    for missing in ["b", "a.c", "a.b.long", "number", "number.b", "list.1", "list.00", "", "a."] {
        match found(missing) {
            Err(Error::NoSuchKey { key }) => assert_eq!(key, missing),
            other => panic!("{missing}: {other:?}"),
        }
    }
    // A single tensor is the whole object, and has no keys.
    assert_eq!(names(&with_key(&pickle::four(), ".").unwrap()), ["tensor"]);
    assert!(matches!(with_key(&pickle::four(), "a"), Err(Error::NoSuchKey { .. })));
}

#[test]
fn of_two_dicts_with_one_path_the_one_is_offered_that_the_key_takes() {
    let four = |name| (name, pickle::four());
    let inner = ("a", pickle::named(&[("b", pickle::named(&[four("short")]))]));
    let dotted = ("a.b", pickle::named(&[four("long"), four("longer")]));
    let third = ("c", pickle::named(&[four("other")]));
    for object in [
        pickle::named(&[inner.clone(), dotted.clone(), third.clone()]),
        pickle::named(&[dotted, third, inner]),
    ] {
        match checkpoint::plan(&zip_of(&object), &Options::default()) {
            Err(Error::Ambiguous { mut candidates, total, .. }) => {
                assert_eq!(total, 2, "the keys, and the whole object aside");
                candidates.sort_by(|one, other| one.key.cmp(&other.key));
                let found: Vec<_> = candidates.iter().map(|one| (&*one.key, one.tensors)).collect();
                assert_eq!(found, [(".", 4), ("a.b", 2), ("c", 1)]);
                for candidate in &candidates {
                    let taken = with_key(&object, &candidate.key).unwrap();
                    assert_eq!(taken.tensors.len(), candidate.tensors, "{}", candidate.key);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let inner = ("a", pickle::named(&[("b", pickle::named(&[four("same")]))]));
    let object = pickle::named(&[inner, ("a.b", pickle::named(&[four("same")]))]);
    match checkpoint::plan(&zip_of(&object), &Options::default()) {
        Err(error @ Error::Ambiguous { total: 1, .. }) => {
            assert_eq!(error.to_string(), "the checkpoint contains several state dicts under the key a.b");
        }
        other => panic!("{other:?}"),
    }
    // The key of both names a number.
    let inner = ("a", pickle::named(&[("b.c", pickle::named(&[four("same")]))]));
    let outer = ("a.b", pickle::named(&[("c", pickle::named(&[four("same")]))]));
    let object = pickle::named(&[inner, outer, ("a.b.c", vec![b'K', 5])]);
    match checkpoint::plan(&zip_of(&object), &Options::default()) {
        Err(error @ Error::Ambiguous { .. }) => {
            assert_eq!(error.to_string(), "the checkpoint contains state dicts that no key can choose");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_are_named_and_just_what_is_allowed_passes() {
    let deep = pickle::named(&[("a", pickle::named(&[("b", pickle::named(&[("c", pickle::four())]))]))]);
    let two = pickle::named(&[("x", pickle::four()), ("y", pickle::four())]);
    let planned = |object: &[u8], change: &dyn Fn(&mut Limits)| {
        let mut options = Options::with_key(Some("."));
        change(&mut options.limits);
        match checkpoint::plan(&zip_of(object), &options) {
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        }
    };
    let over = |limit: u64, what: &str| Some(format!("the checkpoint exceeds the limit of {limit} {what}"));
    assert_eq!(planned(&two, &|limits| limits.records = 3), None);
    assert_eq!(planned(&two, &|limits| limits.records = 2), over(2, "records"));
    assert_eq!(planned(&two, &|limits| limits.tensors = 2), None);
    assert_eq!(planned(&two, &|limits| limits.tensors = 1), over(1, "tensors"));
    assert_eq!(planned(&deep, &|limits| limits.depth = 3), None);
    assert_eq!(planned(&deep, &|limits| limits.depth = 2), over(2, "nesting levels"));
    // The limit applies to the search for the state dict, and to the path of a requested one.
    let deeper = zip_of(&pickle::named(&[("top", deep.clone())]));
    for (key, over_it) in [(None, 2), (Some("top.a.b"), 1)] {
        let planned = |depth| {
            let mut options = Options::with_key(key);
            options.limits.depth = depth;
            checkpoint::plan(&deeper, &options).map_err(|error| error.to_string())
        };
        assert_eq!(names(&planned(over_it + 1).unwrap()), ["c"]);
        assert_eq!(planned(over_it).err(), over(over_it as u64, "nesting levels"));
    }
    assert_eq!(planned(&deep, &|limits| limits.name = 5), None);
    assert_eq!(planned(&deep, &|limits| limits.name = 4), over(4, "bytes per name"));
    assert_eq!(planned(&two, &|limits| limits.names = 100), over(100, "bytes of tensor names"));
    assert_eq!(planned(&two, &|limits| limits.rank = 1), None);
    let rank = Some("tensor x has too many dimensions".to_owned());
    assert_eq!(planned(&two, &|limits| limits.rank = 0), rank);
    assert_eq!(planned(&two, &|limits| limits.output = Some(32)), None);
    let output = Some("tensors total 32 bytes, over the limit of 31 bytes".to_owned());
    assert_eq!(planned(&two, &|limits| limits.output = Some(31)), output);
}

#[test]
fn headers_that_cannot_be_foreseen_are_read() {
    let all = records(&pickle::named(&[("a", pickle::four())]), &[("0", &floats(4))]);
    let planned = |file: &[u8], headers| {
        let mut options = Options::default();
        options.headers = headers;
        checkpoint::plan(&file.to_vec(), &options).unwrap()
    };
    // Bit 3 of the flags announces a descriptor after the data, which is missing here.
    let without = all.iter().map(|record| record.clone().both(|header| header.flags |= 1 << 3));
    let without: Vec<_> = without.collect();
    for (records, foreseen) in [(all, 1), (without, 0)] {
        let file = archive::write(&records);
        let (read, ahead) = (planned(&file, Headers::Read), planned(&file, Headers::Foresee));
        assert_eq!(ahead.storages, read.storages);
        assert_eq!((ahead.headers.len(), read.headers.len()), (foreseen, 0));
        checkpoint::prove(&file, &ahead).unwrap();
    }
}

#[test]
fn what_lies_beside_the_weights_is_refused_if_it_cannot_be_known() {
    let unknown = || pickle::call(&pickle::global("my.pkg", "restore"), &[pickle::four()]);
    let beside = |key| pickle::named(&[(key, pickle::named(&[("a", pickle::four())])), ("x", unknown())]);
    match checkpoint::plan(&zip_of(&beside("model")), &Options::default()) {
        Err(Error::Ambiguous { candidates, total: 1, beside }) => {
            // The whole object is not a candidate.
            assert_eq!((&*candidates[0].key, candidates.len(), beside.as_deref()), ("model", 1, Some("x")));
        }
        other => panic!("{other:?}"),
    }
    // A key selects the part, and the reference uses `state_dict`.
    for (key, asked) in [("model", Some("model")), ("state_dict", Some("state_dict")), ("state_dict", None)] {
        let options = Options::with_key(asked);
        let plan = checkpoint::plan(&zip_of(&beside(key)), &options).unwrap();
        let ignored: Vec<_> = plan.ignored.iter().map(|item| (&*item.path, &*item.reason)).collect();
        assert_eq!((names(&plan), ignored), (vec!["a"], vec![("x", "my.pkg.restore with 1 tensor")]));
    }
}

/// A source that fails from the n-th read on.
struct Failing {
    bytes: Vec<u8>,
    reads: AtomicUsize,
    good: usize,
}

impl ReadAt for Failing {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        if self.reads.fetch_add(1, Ordering::Relaxed) >= self.good {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.bytes.read_exact_at(buf, at)
    }
}

#[test]
fn a_source_that_cannot_be_read_is_not_refused_for_what_it_holds() {
    let mut wrong = Vec::new();
    for file in ["plain-dict.bin", "rezipped-deflated.bin", "legacy-tied-2.bin", "torch-0.1-shared.tar.bin"] {
        let bytes = std::fs::read(fixtures().join("checkpoints").join(file)).unwrap();
        for headers in [Headers::Read, Headers::Foresee] {
            let mut options = Options::default();
            options.headers = headers;
            for good in 0.. {
                let source = Failing { bytes: bytes.clone(), reads: AtomicUsize::new(0), good };
                let planned = checkpoint::plan(&source, &options).and_then(|plan| {
                    checkpoint::prove(&source, &plan)?;
                    checkpoint::inflate(&source, &plan, &mut Vec::new())?;
                    ties::resolve(&plan, &ties::Policy::default())
                });
                match planned {
                    Ok(_) => {
                        assert!(good > 2, "{file}: {good}");
                        break;
                    }
                    Err(error) if error.is_io() => {}
                    Err(error) => wrong.push(format!("{file}: read {good}: {error:?}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
