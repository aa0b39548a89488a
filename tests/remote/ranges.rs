//! Tests how often bytes are requested, in which parts, and how many are in memory.

use std::fs;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use git_st_convert::lfs::Pointer;
use git_st_convert::read_at::ReadAt as _;
use git_st_convert::remote::{Auth, CHUNK, Error, LfsServer, Object, Ranged, Url, WINDOW, Wire, to_store};

use super::{ID, TOKEN, World, bytes, model_id, stream};
use crate::hub::{Access, Builder, Fault, Place};

/// Creates a content that is longer than the window, and not a multiple of a chunk.
fn long() -> World {
    World::with_content(bytes(50_000_001))
}

fn with_object<T>(world: &World, work: impl FnOnce(&Object<'_>) -> T) -> T {
    let work = |server: &LfsServer<'_>| work(&Object::new(server, world.pointer));
    world.ask(world.settings(&[]), &[], |server, _| work(server)).unwrap()
}

fn with_object_telling<T>(
    world: &World,
    came: &(dyn Fn(u64) + Sync),
    work: impl FnOnce(&Object<'_>) -> T,
) -> T {
    let work = |server: &LfsServer<'_>| work(&Object::new(server, world.pointer).telling(came));
    world.ask(world.settings(&[]), &[], |server, _| work(server)).unwrap()
}

#[test]
fn a_long_object_comes_by_several_connections_and_no_byte_twice() {
    let world = long();
    assert!(with_object(&world, |object| stream(object).unwrap()) == world.content);
    let fetched = world.hub.fetched(&world.oid());
    assert_eq!(fetched.len() as u64, world.pointer.size.div_ceil(CHUNK));
    assert_eq!(world.hub.sent_twice(&world.oid()), 0);
    assert_eq!(world.hub.requests().iter().filter(|seen| seen.method == "POST").count(), 1, "one batch");
}

#[test]
fn what_was_cut_is_gone_on_with_and_no_byte_is_asked_for_twice() {
    let world = long();
    let content = || Place::content(&world.oid());
    world.hub.inject(Fault::Cut(1_000_000).at(content()).times(5));
    world.hub.inject(Fault::Cut(300_000).at(content()).after(8).times(3));
    assert!(with_object(&world, |object| stream(object).unwrap()) == world.content);
    assert!(world.hub.fetched(&world.oid()).len() > 13);
    // The hub itself cuts the connections, so its count of sent bytes is exact.
    assert_eq!(world.hub.sent_twice(&world.oid()), 0);
}

#[test]
fn no_more_than_the_window_is_held() {
    let world = long();
    let given = AtomicU64::new(0);
    let most = AtomicU64::new(0);
    with_object(&world, |object| {
        object.stream(0, &mut |at, bytes| {
            if at == 0 {
                // This is long enough for the workers to reach the limit.
                std::thread::sleep(Duration::from_millis(1500));
                let asked =
                    world.hub.requests_now().iter().filter_map(|seen| Some(seen.range.as_ref()?.end)).max();
                most.store(asked.unwrap_or(0), Ordering::Relaxed);
            }
            given.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(most.load(Ordering::Relaxed), WINDOW * CHUNK, "asked for while nothing was taken");
    assert_eq!(given.load(Ordering::Relaxed), world.pointer.size);
}

#[test]
fn a_stream_starts_where_it_is_told() {
    let world = World::new();
    let from = |world: &World, from: u64| {
        with_object(world, |object| {
            let mut all = Vec::new();
            object.stream(from, &mut |at, bytes| {
                assert_eq!(at, from + all.len() as u64);
                all.extend_from_slice(bytes);
                Ok(())
            })?;
            Ok::<_, Error>(all)
        })
    };
    for start in [0, 1, 299_999, 300_000, 400_000] {
        let rest = world.content.get(usize::try_from(start).unwrap()..).unwrap_or_default();
        assert!(from(&world, start).unwrap() == rest, "{start}");
    }
    world.hub.inject(Fault::NoRanges.at(Place::content(&world.oid())));
    assert!(from(&world, 0).unwrap() == world.content);
    assert!(matches!(from(&world, 1), Err(Error::NoRanges { .. })));
}

#[test]
fn bytes_are_told_as_they_come_each_once() {
    let world = World::with_content(bytes(9_000_001));
    let at = || Place::content(&world.oid());
    for (what, faults) in [
        ("well", vec![]),
        ("cut", vec![Fault::Cut(700_000).at(at()).times(4)]),
        ("refused", vec![Fault::Status(503).at(at()).after(1).times(3)]),
        ("no ranges", vec![Fault::NoRanges.at(at()), Fault::Cut(3_000_000).at(at()).times(1)]),
        ("no ranges any more", vec![Fault::NoRanges.at(at()).after(2)]),
    ] {
        world.hub.heal();
        for fault in faults {
            world.hub.inject(fault);
        }
        let told = Mutex::new(Vec::new());
        let came = |bytes: u64| told.lock().unwrap().push(bytes);
        let streamed = with_object_telling(&world, &came, |object| stream(object).unwrap());
        assert!(streamed == world.content, "{what}");
        let told = told.into_inner().unwrap();
        assert_eq!(told.iter().sum::<u64>(), world.pointer.size, "{what}");
        // A bar that does not move for the time of a chunk looks like a stalled download.
        assert!(told.iter().all(|step| *step <= 256 << 10), "{what}: {:?}", told.iter().max());
    }
}

#[test]
fn whoever_takes_the_bytes_can_end_it() {
    let world = long();
    let err = with_object(&world, |object| {
        object.stream(0, &mut |at, _| if at > 0 { Err(io::Error::other("disk full")) } else { Ok(()) })
    });
    let Err(Error::Io { source, .. }) = err else { panic!("{err:?}") };
    assert_eq!(source.to_string(), "disk full");
}

#[test]
fn an_empty_object_needs_no_request() {
    let world = World::new();
    let pointer = Pointer { size: 0, ..world.pointer };
    world
        .ask(world.settings(&[]), &[], |server, _| {
            assert!(stream(&Object::new(server, pointer)).unwrap().is_empty());
        })
        .unwrap();
    assert!(world.hub.requests().is_empty());
}

#[test]
fn a_download_is_gone_on_with_after_an_interruption() {
    let world = long();
    let oid = world.oid();
    let part = world.sandbox.path(format!("lfs/incomplete/{oid}.part"));
    let stop = AtomicBool::new(false);
    let asked = || stop.load(Ordering::Relaxed);
    let store = world.store();
    let told = Mutex::new(Vec::new());
    world.hub.throttle(Some(100_000_000));
    let remotes_settings = world.settings(&[]);
    let first = world.ask(remotes_settings.clone(), &[], |server, _| {
        let wire = Wire::new(remotes_settings.clone()).interruptible(&asked);
        let server = LfsServer::new(Auth::new(wire, None).unwrap(), server.endpoint().clone(), None);
        to_store(&Object::new(&server, world.pointer), &store, &|here| {
            told.lock().unwrap().push(here);
            stop.store(here > 20_000_000, Ordering::Relaxed);
        })
    });
    assert!(matches!(first.unwrap(), Err(Error::Interrupted)));
    let kept = fs::metadata(&part).unwrap().len();
    assert!(kept > 20_000_000 && kept < world.pointer.size, "{kept}");
    assert_eq!(fs::read(&part).unwrap(), world.content[..usize::try_from(kept).unwrap()]);
    assert!(told.lock().unwrap().is_sorted());

    world.hub.forget_requests();
    let path = world.download(world.settings(&[])).unwrap();
    assert!(fs::read(&path).unwrap() == world.content, "{} bytes", fs::metadata(&path).unwrap().len());
    assert!(!part.exists());
    let again = world.hub.fetched(&oid);
    assert!(again.iter().all(|range| range.start >= kept), "{kept} {again:?}");

    world.hub.forget_requests();
    world.download(world.settings(&[])).unwrap();
    assert!(world.hub.requests().is_empty(), "what is there is not asked for");
}

#[test]
fn a_part_that_git_lfs_left_is_gone_on_with_also_where_there_are_no_ranges() {
    let world = World::new();
    let part = world.sandbox.path(format!("lfs/incomplete/{}.part", world.oid()));
    for (no_ranges, fetched) in [(false, 100_000..300_000), (true, 0..300_000)] {
        world.reset();
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(&part, &world.content[..100_000]).unwrap();
        if no_ranges {
            world.hub.inject(Fault::NoRanges.at(Place::content(&world.oid())));
        }
        let path = world.download(world.settings(&[])).unwrap();
        assert!(fs::read(path).unwrap() == world.content);
        assert_eq!(world.hub.fetched(&world.oid()), [fetched]);
    }
}

#[test]
fn an_interruption_does_not_wait_for_a_silent_server() {
    let world = World::new();
    world.hub.inject(Fault::Stall(1000).at(Place::content(&world.oid())));
    let start = std::time::Instant::now();
    let asked = || start.elapsed() > Duration::from_millis(300);
    let mut settings = world.settings(&[]);
    settings.timeout = Some(Duration::from_secs(60));
    let result = world.ask(settings.clone(), &[], |server, _| {
        let auth = Auth::new(Wire::new(settings).interruptible(&asked), None).unwrap();
        let server = LfsServer::new(auth, server.endpoint().clone(), None);
        stream(&Object::new(&server, world.pointer))
    });
    assert!(matches!(result.unwrap(), Err(Error::Interrupted)));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_file_is_read_at_any_offset_by_few_requests() {
    let world = long();
    let len = usize::try_from(world.pointer.size).unwrap();
    with_object(&world, |object| {
        let ranged = object.ranged().unwrap().unwrap();
        assert_eq!(ranged.len(), world.pointer.size);
        // An archive is planned by its head, its end, its directory and a record.
        for (at, want) in [(0, 4), (len - 22, 22), (len - 200_000, 150_000), (64, 100_000), (30_000_000, 30)]
        {
            let got = ranged.read_vec_at(at as u64, want).unwrap();
            assert!(got == world.content[at..at + want], "{at}");
        }
        let fetched = world.hub.fetched(&world.oid());
        assert_eq!(fetched.len(), 4, "{fetched:?}");
        assert!(fetched.iter().map(|range| range.end - range.start).sum::<u64>() < 700_000);
        assert_eq!(world.hub.sent_twice(&world.oid()), 0);
        for at in 0..200 {
            let at = 1_000_000 + at * 10_000;
            assert!(ranged.read_vec_at(at as u64, 10_000).unwrap() == world.content[at..at + 10_000]);
        }
        let requests = world.hub.fetched(&world.oid()).len();
        assert!(requests < 14, "sequential reading looks ahead: {requests}");
        let whole = ranged.read_vec_at(5, len - 5).unwrap();
        assert!(whole == world.content[5..]);
        assert!(ranged.read_vec_at(world.pointer.size - 1, 2).is_err());
        assert!(ranged.read_vec_at(u64::MAX, 1).is_err());
    });
}

#[test]
fn a_server_without_ranges_is_known_by_its_first_answer() {
    let world = World::new();
    for fault in [Fault::NoRanges, Fault::ContentRange("bytes 7-9/300000".to_owned())] {
        world.reset();
        world.hub.inject(fault.at(Place::content(&world.oid())));
        with_object(&world, |object| {
            assert!(object.ranged().unwrap().is_none());
            assert!(stream(object).unwrap() == world.content, "and the same object can be streamed");
        });
    }
}

#[test]
fn a_cut_or_expired_part_is_asked_for_again() {
    let world = World::new();
    with_object(&world, |object| {
        let ranged = object.ranged().unwrap().unwrap();
        world.hub.inject(Fault::Cut(10_000).at(Place::content(&world.oid())).times(2));
        world.hub.inject(Fault::Status(403).at(Place::content(&world.oid())).after(2).times(1));
        assert!(ranged.read_vec_at(100_000, 90_000).unwrap() == world.content[100_000..190_000]);
        assert_eq!(world.hub.sent_twice(&world.oid()), 0);
    });
}

/// Reads the file of the model by its URL on the hub.
fn with_page<T>(world: &World, path: &str, work: impl FnOnce(Option<Ranged<'_>>) -> T) -> Result<T, Error> {
    let settings = world.with_token(&[]);
    world.ask(settings, &[], |_, hub| {
        let url = hub.resolve_url(&model_id(), "main", path);
        Ok(work(Ranged::open(hub.auth(), &url)?))
    })?
}

#[test]
fn a_file_of_the_hub_is_read_where_it_leads() {
    let world = World::new();
    let other = world.hub.open_origin();
    world.hub.serve_content_from(&other);
    world.hub.set_access(ID, Access::Private);
    with_page(&world, "pytorch_model.bin", |file| {
        let file = file.unwrap();
        assert_eq!(file.len(), 300_000);
        assert!(file.read_vec_at(123_456, 789).unwrap() == world.content[123_456..124_245]);
        assert!(file.read_vec_at(299_000, 1000).unwrap() == world.content[299_000..]);
    })
    .unwrap();
    let seen = world.hub.requests();
    let resolved = seen.iter().filter(|seen| seen.path().contains("/resolve/")).count();
    assert_eq!(resolved, 1, "the address it leads to is used on");
    assert!(seen.iter().all(|seen| seen.origin != other || !seen.carries(TOKEN)));
    let plain = with_page(&world, "config.json", |file| file.unwrap().read_vec_at(0, 3).unwrap());
    assert_eq!(plain.unwrap(), b"{}\n");
    assert!(matches!(with_page(&world, "none.bin", |_| ()), Err(Error::EntryNotFound { .. })));
}

#[test]
fn a_signature_that_is_over_is_asked_for_again() {
    let world = World::new();
    with_page(&world, "pytorch_model.bin", |file| {
        let file = file.unwrap();
        world.hub.inject(Fault::Status(403).at(Place::content(&world.oid())).times(1));
        assert!(file.read_vec_at(100_000, 10).unwrap() == world.content[100_000..100_010]);
    })
    .unwrap();
}

#[test]
fn a_file_that_changes_between_two_reads_is_an_error() {
    let world = World::new();
    let put = |text: String| {
        let mut more = Builder::more();
        more.file("vocab.txt", text).commit("vocabulary");
        world.hub.add_model(ID, &more);
    };
    for (before, after) in
        [("a".repeat(200_000), "b".repeat(200_001)), ("c".repeat(200_000), "d".repeat(200_000))]
    {
        put(before);
        let read = with_page(&world, "vocab.txt", |file| {
            let file = file.unwrap();
            put(after);
            file.read_vec_at(150_000, 3)
        });
        let err = read.unwrap().unwrap_err();
        assert!(err.to_string().contains("changed while it was read"), "{err}");
    }
}

#[test]
fn an_empty_file_and_one_without_ranges() {
    let world = World::new();
    let mut more = Builder::more();
    more.file("empty", "").commit("empty");
    world.hub.add_model(ID, &more);
    let len = with_page(&world, "empty", |file| file.map(|file| file.len())).unwrap();
    assert!(matches!(len, Some(0) | None), "{len:?}");
    world.hub.inject(Fault::NoRanges.at(Place::path("/acme/bert/resolve")));
    assert!(with_page(&world, "config.json", |file| file.is_none()).unwrap());
    let away = Url::parse("http://127.0.0.1:1/x").unwrap();
    let nobody = world.ask(world.settings(&[]), &[], |_, hub| Ranged::open(hub.auth(), &away).map(|_| ()));
    assert!(matches!(nobody.unwrap(), Err(Error::Connect { .. })));
}
