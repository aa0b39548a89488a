//! Tests servers that limit requests: they get fewer, and the download still completes.

use std::sync::Once;
use std::time::{Duration, Instant};

use git_st_convert::remote::{Error, Object, Settings};

use super::{ID, World, bytes, stream};
use crate::convert::torch::{Float32, noise, saved};
use crate::hub::{Fault, Nginx, Place, Seen};

/// Returns the arrival times of the refused requests, and of all others, among those that `is_meant` selects.
fn told(seen: &[Seen], is_meant: impl Fn(&Seen) -> bool) -> (Vec<Duration>, Vec<Duration>) {
    let (told, others): (Vec<&Seen>, Vec<&Seen>) =
        seen.iter().filter(|seen| is_meant(seen)).partition(|seen| matches!(seen.status, 429 | 503));
    let at = |seen: Vec<&Seen>| seen.into_iter().map(|seen| seen.at).collect();
    (at(told), at(others))
}

#[test]
fn a_window_of_which_nothing_remains_is_waited_for_and_asked_once() {
    let world = World::new();
    let is_batch = |seen: &Seen| seen.path().ends_with("/objects/batch");
    let is_content = |seen: &Seen| seen.path().starts_with("/content/");
    for (place, is_meant) in
        [(Place::batch(ID), &is_batch as &dyn Fn(&Seen) -> bool), (Place::content(&world.oid()), &is_content)]
    {
        world.reset();
        world.hub.inject(Fault::RateLimit(1).at(place).times(1));
        assert_eq!(world.stream(world.settings(&[("lfs.transfer.maxretries", "1")])).unwrap(), world.content);
        let (told, others) = told(&world.hub.requests(), is_meant);
        assert_eq!((told.len(), others.len()), (1, 1));
        assert!(others[0].saturating_sub(told[0]) >= Duration::from_secs(1), "{told:?} {others:?}");
    }
}

/// Streams an object, and runs a function when this many bytes have arrived.
fn stream_and(
    world: &World,
    settings: Settings,
    at: usize,
    mut then: impl FnMut(),
) -> Result<Vec<u8>, Error> {
    world.ask(settings, &[], |server, _| {
        let (mut all, mut is_done) = (Vec::new(), false);
        let object = Object::new(server, world.pointer);
        object.stream(0, &mut |_, bytes| {
            all.extend_from_slice(bytes);
            if all.len() >= at && !is_done {
                is_done = true;
                then();
            }
            Ok(())
        })?;
        Ok(all)
    })?
}

#[test]
fn all_connections_wait_and_one_of_them_looks_whether_it_is_open_again() {
    let world = World::with_content(bytes(60 << 20));
    world.hub.throttle(Some(40 << 20));
    let all = stream_and(&world, world.settings(&[]), 4 << 20, || {
        world.hub.close_for(Duration::from_millis(800));
    });
    assert!(all.unwrap() == world.content);
    let seen = world.hub.requests();
    let closed: Vec<_> = seen.iter().filter(|seen| seen.status == 429).collect();
    // These requests were in progress when the server closed.
    assert!((1..=4).contains(&closed.len()), "{}", closed.len());
    let last = closed.last().unwrap().at;
    let after: Vec<_> = seen.iter().filter(|seen| seen.at > last).collect();
    assert!(after[0].at.saturating_sub(last) >= Duration::from_millis(800));
    assert_eq!(world.hub.sent_twice(&world.oid()), 0);
}

#[test]
fn a_server_that_is_closed_for_long_is_not_asked_again() {
    let world = World::new();
    world.hub.inject(Fault::RateLimit(3600).at(Place::batch(ID)).times(1));
    let settings = world.settings(&[]);
    let limited = |result| matches!(result, Err(Error::RateLimited { after: Some(after), .. }) if after.as_secs() > 3500);
    assert!(limited(world.stream(settings.clone())));
    // A later client, with any request, waits as well.
    assert!(limited(world.stream(settings)));
    assert_eq!(world.hub.requests().len(), 1);
    assert_eq!(world.stream(world.settings(&[])).unwrap(), world.content);
}

fn skipped() {
    static SAID: Once = Once::new();
    SAID.call_once(|| crate::clone::skipped("nginx is not here: its limits were not tried"));
}

#[test]
fn a_server_that_refuses_is_asked_by_fewer_for_more() {
    let world = World::with_content(bytes(120 << 20));
    let dir = tempfile::tempdir().unwrap();
    let Some(nginx) = Nginx::limiting(dir.path(), &world.hub.content_origin(), "2r/s") else {
        skipped();
        return;
    };
    world.hub.serve_content_from(&nginx.origin);
    let begun = Instant::now();
    // These are the defaults of git-lfs.
    let patience = [("lfs.transfer.maxretries", "8"), ("lfs.transfer.maxretrydelay", "10")];
    let all = world.stream(Settings { timeout: None, ..world.settings(&patience) }).unwrap();
    assert!(all == world.content);
    let ranges = world.hub.fetched(&world.oid());
    // There are 30 chunks, and two requests per second are permitted.
    assert!(ranges.len() <= 8, "{}", ranges.len());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let refused = world.events.lock().unwrap().iter().filter(|event| event.contains("Some(503)")).count();
    assert!((1..=16).contains(&refused), "{refused}");
}

#[test]
fn a_server_that_refuses_a_while_is_asked_by_as_many_as_before_again() {
    let world = World::with_content(bytes(100 << 20));
    world.hub.throttle(Some(10 << 20));
    world.hub.inject(Fault::Status(503).at(Place::content(&world.oid())).after(2).times(1));
    let all = world.ask(world.settings(&[]), &[], |server, _| stream(&Object::new(server, world.pointer)));
    assert!(all.unwrap().unwrap() == world.content);
    let seen = world.hub.requests();
    let content: Vec<_> = seen.iter().filter(|seen| seen.path().starts_with("/content/")).collect();
    let refused = content.iter().position(|seen| seen.status == 503).unwrap();
    let lens: Vec<_> = content[refused..]
        .iter()
        .filter_map(|seen| seen.range.as_ref())
        .map(|range| range.end - range.start)
        .collect();
    assert!(lens.iter().any(|len| *len > 4 << 20), "{lens:?}");
    assert!(lens.len() > 2, "{lens:?}");
    assert_eq!(world.hub.sent_twice(&world.oid()), 0);
}

#[test]
fn a_conversion_behind_such_a_server_asks_for_little() {
    let checkpoint = {
        let all = noise(60 << 20).bytes;
        let tensor = |(number, bytes): (usize, &[u8])| Float32 {
            name: format!("layer.{number}.weight"),
            shape: vec![1 << 18],
            bytes: bytes.to_vec(),
        };
        saved(&all.chunks(1 << 20).enumerate().map(tensor).collect::<Vec<_>>(), "little")
    };
    let mut model = crate::hub::Builder::new();
    model.file("config.json", "{}\n").lfs("pytorch_model.bin", checkpoint).commit("first");
    let world = crate::clone::World::with(&model);
    let dir = tempfile::tempdir().unwrap();
    let Some(nginx) = Nginx::limiting(dir.path(), &world.hub.content_origin(), "2r/s") else {
        skipped();
        return;
    };
    world.hub.serve_content_from(&nginx.origin);
    let output = world.run(&world.home(), &["clone", crate::clone::ID, "-vv"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let refused = output.stderr.lines().filter(|line| line.contains("503")).count();
    let content = world.hub.requests().iter().filter(|seen| seen.path().starts_with("/content/")).count();
    // The plan, and then the whole content: 15 chunks as single requests, two per second, would take 7.5 seconds.
    assert!(content <= 10, "{content}");
    assert!((1..=24).contains(&refused), "{refused}");
}
