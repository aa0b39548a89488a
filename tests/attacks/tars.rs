//! Tests attacks on the tar archive of torch 0.1: headers, members, and the numbers in them.

use super::{Error, converted, floats, pickle, refused};
use crate::checkpoint::tar::{Member, archive, members, number, storage, storages, tensor, tensors};
use crate::checkpoint::{legacy, tar};

fn object() -> Vec<u8> {
    pickle::named(&[("a", number("1"))])
}

fn one_storage() -> Vec<u8> {
    storages(&[storage(11, "FloatStorage", 4, &floats(4))], &[])
}

fn one_tensor() -> Vec<u8> {
    tensors(&[tensor(1, 11, "FloatTensor", (&[4], &[1], 0))])
}

fn plain() -> [Member; 3] {
    members(&one_storage(), &one_tensor(), &object())
}

/// Returns a plain archive with other storages and tensors.
fn with(storages: &[u8], tensors: &[u8]) -> Vec<u8> {
    archive(&members(storages, tensors, &object()))
}

#[track_caller]
fn assert_tar(file: &[u8]) {
    let error = refused(file);
    assert!(matches!(error, Error::Tar { .. }), "{error:?}");
}

#[test]
fn an_archive_as_torch_wrote_it() {
    let file = archive(&plain());
    let out = converted(&file).unwrap();
    let read = ::safetensors::SafeTensors::deserialize(&out).unwrap();
    assert_eq!(read.tensor("a").unwrap().data(), floats(4));
    let [storages, tensors, object] = plain();
    assert!(converted(&archive(&[Member::new("sys_info", b"anything"), object, tensors, storages])).is_ok());
}

#[test]
fn members_that_are_no_regular_files_of_torch_s() {
    let changed = |change: &dyn Fn(&mut Member)| {
        let mut all = plain();
        change(&mut all[1]);
        archive(&all)
    };
    for kind in [b'1', b'2', b'3', b'5', b'7', b'g', b'K', b'L', b'S'] {
        assert_tar(&changed(&|member| member.kind = kind));
    }
    for name in ["../tensors", "/tensors", "./tensors", "tensors/", "Tensors", "evil", ""] {
        assert_tar(&changed(&|member| member.name = name.as_bytes().to_vec()));
    }
    assert_tar(&changed(&|member| member.name = b"tensors\0evil".to_vec()));
    assert_tar(&changed(&|member| member.prefix = b"evil".to_vec()));
    assert_tar(&changed(&|member| member.magic = b"ustar  \0".to_vec()));
    assert_tar(&changed(&|member| member.magic = vec![0; 8]));
    assert_tar(&changed(&|member| member.off = 1));
    assert!(converted(&changed(&|member| member.kind = 0)).is_ok());
}

#[test]
fn lengths_of_members_that_lie() {
    for size in [
        "77777777777",
        "0o17",
        "1_0",
        "-1",
        "+7",
        "",
        "        8 1",
        "\u{80}\0\0\0\0\0\0\0\0\0\x08",
        "00000000010",
    ] {
        let mut all = plain();
        all[1].size = size.as_bytes()[..size.len().min(12)].to_vec();
        let error = refused(&archive(&all));
        assert!(matches!(error, Error::Tar { .. } | Error::Pickle { .. }), "{size}: {error:?}");
    }
}

#[test]
fn members_twice_or_missing_or_behind_the_end() {
    let [storages, tensors, object] = plain();
    let again = Member::new("tensors", &one_tensor());
    assert_tar(&archive(&[storages, tensors, object, again]));
    for missing in 0..3 {
        let mut all: Vec<_> = plain().into();
        all.remove(missing);
        assert!(matches!(refused(&archive(&all)), Error::MissingRecord { .. }), "{missing}");
    }
    let whole = archive(&plain());
    // A second archive after the zeros of the first; no zeros; one block of them; bytes after them; far too many.
    assert_tar(&[whole.clone(), whole.clone()].concat());
    let end = whole.iter().rposition(|&byte| byte != 0).unwrap().next_multiple_of(512);
    assert_tar(&whole[..end]);
    assert_tar(&whole[..end + 512]);
    assert!(converted(&whole[..end + 1024]).is_ok());
    assert_tar(&[whole[..end + 1024].to_vec(), b"x".to_vec()].concat());
    assert_tar(&[whole.clone(), vec![0; 1 << 20]].concat());
    for len in (0..end).step_by(97) {
        assert!(converted(&whole[..len]).is_err(), "{len}");
    }
}

#[test]
fn extended_headers_that_change_a_member() {
    let record = |pair: &str| format!("{} {pair}\n", pair.len() + 4).into_bytes();
    let file = |data: &[u8], times: usize| {
        let mut all = Vec::new();
        for member in plain() {
            for _ in 0..times {
                let mut extended = Member::new("././@PaxHeader", data);
                extended.kind = b'x';
                all.push(extended);
            }
            all.push(member);
        }
        archive(&all)
    };
    assert!(converted(&file(&record("mtime=1496000000.25"), 1)).is_ok());
    assert!(converted(&file(&[record("mtime=1496000000.25"), record("uname=somebody")].concat(), 1)).is_ok());
    let twice = refused(&file(&record("mtime=1496000000.25"), 2));
    assert!(matches!(twice, Error::Tar { .. } | Error::NotCheckpoint { .. }), "{twice:?}");
    for pair in
        ["path=storages12", "size=0000000000", "linkpath=000000", "GNU.sparse.size=1", "hdrcharset=BINARY"]
    {
        assert_tar(&file(&record(pair), 1));
    }
    for data in
        ["", "5", "x mtime=1\n", "99 mtime=1496000000\n", "22 mtime=1496000000", "0 mtime=1\n", "9 mtime\n\n"]
    {
        let changed = converted(&file(data.as_bytes(), 1));
        assert_eq!(changed.is_ok(), data.is_empty(), "{data}");
    }
}

#[test]
fn numbers_that_stand_for_nothing_or_for_two_things() {
    let two = storage(11, "FloatStorage", 4, &floats(4));
    let error = refused(&with(&storages(&[two.clone(), two.clone()], &[]), &one_tensor()));
    assert!(matches!(error, Error::Storage { .. }), "{error:?}");
    let same = tensor(1, 11, "FloatTensor", (&[4], &[1], 0));
    assert_tar(&with(&one_storage(), &tensors(&[same.clone(), same])));
    // A tensor is in place of a storage.
    assert_tar(&with(&one_storage(), &tensors(&[tensor(11, 11, "FloatTensor", (&[4], &[1], 0))])));
    let nowhere = tensors(&[tensor(1, 12, "FloatTensor", (&[4], &[1], 0))]);
    assert!(matches!(refused(&with(&one_storage(), &nowhere)), Error::Storage { .. }));
    for id in ["2", "01", "+1", " 1", "1_", "0x1", "", "one"] {
        let object = pickle::named(&[("a", number(id))]);
        assert_tar(&archive(&members(&one_storage(), &one_tensor(), &object)));
    }
    let object = pickle::named(&[("a", number("1")), ("b", pickle::persistent(&[]))]);
    let nothing = wrong(&archive(&members(&one_storage(), &one_tensor(), &object)));
    assert_eq!(nothing, "persistent ID without a storage");
    // A storage is in place of a tensor.
    let object = pickle::named(&[("a", number("1")), ("b", number("11"))]);
    let error = refused(&archive(&members(&one_storage(), &one_tensor(), &object)));
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
}

#[test]
fn views_and_tensors_that_leave_their_storage() {
    let view = |key: i128, root: i128, offset: i128, count: i128| {
        pickle::tuple(&[pickle::int(key), pickle::int(root), pickle::int(offset), pickle::int(count)])
    };
    let on = |views: &[Vec<u8>], storage: i128| {
        let all = storages(&[tar::storage(11, "FloatStorage", 4, &floats(4))], views);
        with(&all, &tensors(&[tensor(1, storage, "FloatTensor", (&[2], &[1], 0))]))
    };
    assert!(converted(&on(&[view(12, 11, 1, 2)], 12)).is_ok());
    for views in [
        vec![view(12, 11, 3, 2)],
        vec![view(12, 11, 0, 1 << 62)],
        vec![view(12, 11, i128::from(i64::MAX), 2)],
        vec![view(12, 13, 0, 2)],
        vec![view(11, 11, 0, 2)],
        vec![view(12, 11, 0, 4), view(13, 12, 0, 2)],
        vec![view(12, 11, 0, 2), view(12, 11, 1, 2)],
    ] {
        assert!(matches!(refused(&on(&views, 12)), Error::Storage { .. }));
    }
    assert_tar(&on(&[view(12, 11, -1, 2)], 12));
    assert_tar(&on(&[pickle::int(3)], 11));
    for numbers in
        [([4], [1], 1), ([5], [1], 0), ([2], [4], 0), ([i64::MAX], [1], 0), ([2], [i64::MAX], i64::MAX)]
    {
        let (shape, strides, offset) = numbers;
        let file =
            with(&one_storage(), &tensors(&[tensor(1, 11, "FloatTensor", (&shape, &strides, offset))]));
        assert!(matches!(refused(&file), Error::Geometry { .. }), "{numbers:?}");
    }
    for numbers in [([-1], [1], 0), ([4], [-1], 3), ([4], [1], -1)] {
        let (shape, strides, offset) = numbers;
        assert_tar(&with(
            &one_storage(),
            &tensors(&[tensor(1, 11, "FloatTensor", (&shape, &strides, offset))]),
        ));
    }
    // Without dimensions: torch 0.1 has no element, torch today has one.
    assert_tar(&with(&one_storage(), &tensors(&[tensor(1, 11, "FloatTensor", (&[], &[], 0))])));
    assert_tar(&with(&one_storage(), &tensors(&[tensor(1, 11, "FloatTensor", (&[1; 65], &[1; 65], 0))])));
}

#[test]
fn classes_counts_and_pickles_that_lie() {
    for class in ["DoubleTensor", "IntTensor", "EvilTensor", "FloatStorage", "Tensor"] {
        let error = refused(&with(&one_storage(), &tensors(&[tensor(1, 11, class, (&[4], &[1], 0))])));
        assert!(matches!(error, Error::Storage { .. }), "{class}: {error:?}");
    }
    for (class, count) in
        [("EvilStorage", 4), ("FloatTensor", 4), ("UntypedStorage", 16), ("QInt8Storage", 4)]
    {
        let error = refused(&with(&storages(&[storage(11, class, count, &floats(4))], &[]), &one_tensor()));
        assert!(matches!(error, Error::Storage { .. } | Error::StorageType { .. }), "{class}: {error:?}");
    }
    for count in [-1, 3, 5, i64::MAX, i64::MIN, 1 << 61] {
        let error =
            refused(&with(&storages(&[storage(11, "FloatStorage", count, &floats(4))], &[]), &one_tensor()));
        let is_cut = matches!(error, Error::Tar { .. } | Error::Pickle { .. } | Error::Storage { .. });
        assert!(is_cut, "{count}: {error:?}");
    }
    // A call is in place of a class, a count or the list of views: torch would execute it.
    let call = pickle::call(&pickle::global("os", "system"), &[pickle::text("x")]);
    let rest = [storage(11, "FloatStorage", 4, &floats(4)), pickle::whole(&pickle::list(&[]))].concat();
    assert_tar(&with(&[pickle::whole(&call), rest.clone()].concat(), &one_tensor()));
    let classes = pickle::list(&[pickle::global("os", "system")]);
    let hidden =
        [pickle::whole(&pickle::int(1)), storage(11, "FloatStorage", 4, &floats(4)), pickle::whole(&classes)];
    assert_tar(&with(&hidden.concat(), &one_tensor()));
    let two = [
        pickle::whole(&[pickle::global("os", "system"), b"0".to_vec(), pickle::int(1)].concat()),
        rest.clone(),
    ];
    let error = refused(&with(&two.concat(), &one_tensor()));
    assert!(matches!(error, Error::Tar { .. }), "{error:?}");
    for number in [pickle::int(-1), pickle::int(1 << 40), pickle::text("1"), pickle::int(2), pickle::int(0)] {
        assert!(converted(&with(&[pickle::whole(&number), rest.clone()].concat(), &one_tensor())).is_err());
    }
    // Bytes follow the last item of each member.
    let more = |bytes: Vec<u8>| [bytes, vec![0]].concat();
    assert_tar(&with(&more(one_storage()), &one_tensor()));
    assert_tar(&with(&one_storage(), &more(one_tensor())));
    let [storages, tensors, mut object] = plain();
    object.data.push(b'.');
    object.size = format!("{:011o}", object.data.len()).into_bytes();
    assert_tar(&archive(&[storages, tensors, object]));
}

/// Returns the fault of an archive.
#[track_caller]
fn wrong(file: &[u8]) -> &'static str {
    match refused(file) {
        Error::Tar { what, .. } => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn storages_and_tensors_of_another_form() {
    let (text, int, class) = (pickle::text, pickle::int, || pickle::global("torch", "FloatStorage"));
    let one = || pickle::whole(&int(1));
    let views = |views: Vec<u8>| {
        with(
            &[one(), storage(11, "FloatStorage", 4, &floats(4)), pickle::whole(&views)].concat(),
            &one_tensor(),
        )
    };
    let head = |head: Vec<u8>| with(&[one(), pickle::whole(&head)].concat(), &one_tensor());
    // A class exists, but in another place.
    let dropped = |head: &[Vec<u8>]| [class(), b"0".to_vec(), pickle::tuple(head)].concat();
    assert_eq!(wrong(&head(class())), "malformed storage");
    assert_eq!(wrong(&head(pickle::tuple(&[int(11), class()]))), "malformed storage");
    assert_eq!(wrong(&head(pickle::tuple(&[int(11), int(0), class()]))), "malformed storage");
    assert_eq!(wrong(&head(pickle::tuple(&[text("x"), text("cpu"), class()]))), "storage without a number");
    let head_of = |key| head(pickle::tuple(&[key, text("cpu"), class()]));
    assert_eq!(wrong(&head_of(pickle::none())), "storage without a number");
    assert_eq!(wrong(&head(dropped(&[int(11), text("cpu"), int(1)]))), "storage without a class");
    assert_eq!(wrong(&head(pickle::tuple(&[int(11), text("cpu"), int(1)]))), "globals in a plain pickle");
    assert_eq!(wrong(&views(int(0))), "missing view list");
    assert_eq!(wrong(&views(pickle::list(&[pickle::tuple(&[int(12), int(11), int(0)])]))), "malformed view");
    let keys = pickle::tuple(&[text("x"), int(11), int(0), int(1)]);
    assert_eq!(wrong(&views(pickle::list(&[keys]))), "malformed view");
    let range = pickle::tuple(&[int(12), int(11), text("0"), int(1)]);
    assert_eq!(wrong(&views(pickle::list(&[range]))), "malformed view");
    let head = |head: Vec<u8>, rest: &[u8]| {
        with(&one_storage(), &[one(), pickle::whole(&head), rest.to_vec()].concat())
    };
    let tensor = || pickle::tuple(&[int(1), int(11), pickle::global("torch", "FloatTensor")]);
    assert_eq!(wrong(&head(class(), b"")), "malformed tensor");
    assert_eq!(wrong(&head(pickle::tuple(&[int(1), text("x"), class()]), b"")), "tensor without a number");
    assert_eq!(wrong(&head(dropped(&[int(1), int(11), int(1)]), b"")), "tensor without a class");
    assert_eq!(wrong(&head(tensor(), b"")), "truncated member");
    assert_eq!(wrong(&head(tensor(), &[1, 0, 0, 0, 1, 0, 0, 0])), "too many dimensions");
    assert_eq!(wrong(&head(tensor(), &[65, 0, 0, 0, 0, 0, 0, 0])), "too many dimensions");
    assert_eq!(wrong(&with(&pickle::whole(&text("1")), &one_tensor())), "missing count");
    let many = refused(&with(&one_storage(), &pickle::whole(&int(1_000_001))));
    assert!(matches!(many, Error::Limit { what: "tensors", limit: 1_000_000 }), "{many:?}");
}

#[test]
fn headers_of_another_form() {
    let second = |change: &dyn Fn(&mut Member)| {
        let mut all = plain();
        change(&mut all[1]);
        archive(&all)
    };
    for (what, change) in [
        ("wrong header checksum", &(|member: &mut Member| member.off = 1) as &dyn Fn(&mut Member)),
        ("unsupported header format", &|member| member.magic = b"ustar  \0".to_vec()),
        ("split member name", &|member| member.prefix = b"evil".to_vec()),
        ("invalid member size", &|member| member.size = b"8".to_vec()),
        ("truncated member", &|member| member.size = b"77777777777".to_vec()),
        ("unexpected member", &|member| member.name = b"evil".to_vec()),
        ("duplicate member", &|member| member.name = b"storages".to_vec()),
        ("member that is not a regular file", &|member| member.kind = b'2'),
    ] {
        assert_eq!(wrong(&second(change)), what);
    }
    // An extended header of more than 4 KiB, and one without a following member.
    let extended = |data: &[u8]| {
        let mut extended = Member::new("x", data);
        extended.kind = b'x';
        extended
    };
    let [storages, tensors, object] = plain();
    let long = archive(&[storages, extended(&[b'0'; 4097]), tensors, object]);
    assert_eq!(wrong(&long), "unsupported extended header");
    let [storages, tensors, object] = plain();
    let last = archive(&[storages, tensors, object, extended(b"")]);
    assert_eq!(wrong(&last), "trailing data");
}

#[test]
fn a_legacy_stream_that_is_an_archive_too() {
    let key = "k".repeat(80);
    let tensor = pickle::tensor(&pickle::storage("FloatStorage", &key, 128), 0, &[128], &[1]);
    let mut file = legacy(&pickle::named(&[("a", tensor)]), &[(&key, 128, &floats(128))]);
    assert!(converted(&file).is_ok());
    // The sum of the block is anywhere in the checksum field.
    let sum = |block: &[u8]| {
        let bytes = block.iter().enumerate();
        bytes.map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { u64::from(byte) }).sum::<u64>()
    };
    let sum = format!("{:06o}\0 ", sum(&file[..512]));
    file[148..156].copy_from_slice(sum.as_bytes());
    assert!(matches!(refused(&file), Error::Legacy { what: "tar header", .. }));
}
