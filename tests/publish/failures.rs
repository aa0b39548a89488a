//! Tests failures: each request fails once, before it is handled and after, and a run is killed during each. The next
//! run completes the publication, and a second pull request is never opened.

use std::time::{Duration, Instant};

use super::{Desk, ID, model};
use crate::hub::{Fault, Place, Seen, Status};

/// Returns how many requests a publication sends.
fn requests_of(desk: &Desk) -> u32 {
    let count = |seen: &[Seen]| u32::try_from(seen.len()).unwrap();
    desk.world.hub.forget_requests();
    assert_eq!(desk.published(&[])["status"], "opened");
    desk.check(ID);
    count(&desk.world.hub.requests())
}

/// Adds the same model under another name, where the publication is independent.
fn elsewhere(desk: &Desk, name: &str) -> String {
    let id = format!("acme/{name}");
    desk.world.hub.add_model(&id, &model());
    desk.git(&["remote", "set-url", "origin", &desk.world.hub.url(&id)]);
    desk.world.hub.forget_requests();
    id
}

/// Removes all faults, and checks that the next run completes the publication.
#[track_caller]
fn completes(desk: &Desk, id: &str, what: &str) {
    desk.world.hub.heal();
    let output = desk.publish(&["--json"]);
    assert_eq!(output.code, Some(0), "{what}: {output:#?}");
    let status = super::line(&output)["status"].as_str().unwrap().to_owned();
    assert!(["opened", "exists"].contains(&status.as_str()), "{what}: {status}");
    desk.check(id);
}

/// Applies a fault to every request, each in its own run; with `stays`, also to all later ones. Returns how many runs
/// failed.
fn every_request(fault: fn() -> Fault, name: &str, stays: bool) -> u32 {
    let desk = Desk::new();
    let count = requests_of(&desk);
    assert!(count > 12, "{count}");
    let mut failed = 0;
    for number in 0..count {
        let what = format!("{name}-{number}");
        let id = elsewhere(&desk, &what);
        let injection = fault().at(Place::Any).after(number);
        desk.world.hub.inject(if stays { injection } else { injection.times(1) });
        let output = desk.publish(&[]);
        let seen = desk.world.hub.requests();
        assert!(seen.iter().any(|seen| !seen.faults.is_empty()), "{what}: nothing went wrong");
        if output.code != Some(0) {
            failed += 1;
            assert!(output.stderr.contains("error: "), "{what}: {output:#?}");
            // An existing draft is reported.
            let drafts = desk.requests(&id);
            let is_said =
                output.stderr.contains(" is incomplete: ") && output.stderr.contains("/discussions/1");
            let before_journal =
                output.stderr.contains("/discussions ") || output.stderr.contains("/discussions`");
            assert!(drafts.is_empty() || is_said || before_journal, "{what}: {output:#?}");
        }
        completes(&desk, &id, &what);
    }
    failed
}

#[test]
fn a_connection_that_closes_before_any_answer() {
    every_request(|| Fault::Drop, "drop", false);
}

#[test]
fn an_answer_that_is_lost_after_the_deed() {
    every_request(|| Fault::Lose, "lost", false);
}

#[test]
fn a_server_that_refuses_everything_from_some_request_on() {
    let failed = every_request(|| Fault::Status(403), "refused", true);
    assert!(failed > 10, "{failed}");
}

#[test]
fn a_kill_while_any_request_runs() {
    let desk = Desk::new();
    let count = requests_of(&desk);
    for number in 0..count {
        let what = format!("kill-{number}");
        let id = elsewhere(&desk, &what);
        desk.world.hub.inject(Fault::Hang.at(Place::Any).after(number).times(1));
        let mut child = desk.command(&["-q", "publish"]).spawn().unwrap();
        let begun = Instant::now();
        let stalled = |seen: &Seen| seen.faults.iter().any(|fault| fault == "Hang");
        while !desk.world.hub.requests_now().iter().any(stalled) && begun.elapsed() < Duration::from_secs(20)
        {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Usually the hub has handled the request by now; the kill then leaves no chance to clean up.
        std::thread::sleep(Duration::from_millis(50));
        child.kill().unwrap();
        child.wait().unwrap();
        completes(&desk, &id, &what);
    }
}

#[test]
fn a_pull_request_whose_number_never_came_is_found_by_its_marker_in_another_clone_too() {
    let desk = Desk::new();
    let post = || Place::post("/api/models/acme/bert/discussions");
    // The request is handled, its response is lost, and the list fails.
    desk.world.hub.inject(Fault::Lose.at(post()));
    desk.world.hub.inject(Fault::Status(503).at(Place::path("/api/models/acme/bert/discussions")).after(2));
    let output = desk.publish(&[]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert_eq!(desk.requests(ID).iter().map(|one| one.status).collect::<Vec<_>>(), [Status::Draft]);
    // Another clone has no journal.
    std::fs::remove_dir_all(desk.dir.join(".git/st-convert")).unwrap();
    completes(&desk, ID, "no journal");

    // Without the marker, which the user may remove from the description, the journal identifies the draft.
    let desk = Desk::new();
    let upload = format!("/upload/{ID}");
    desk.world.hub.inject(Fault::Status(403).at(Place::path(&upload)));
    let output = desk.publish(&[]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.stderr.contains("pull request 1 is incomplete: no files pushed yet"), "{output:#?}");
    let mut draft = desk.requests(ID)[0].clone();
    "edited".clone_into(&mut draft.description);
    desk.world.hub.set_discussion(ID, draft);
    completes(&desk, ID, "no marker");
}

#[test]
fn a_branch_that_moves_meanwhile_is_followed() {
    let desk = Desk::new();
    desk.world.hub.inject(Fault::Status(403).at(Place::path(&format!("/upload/{ID}"))));
    assert_eq!(desk.publish(&[]).code, Some(2));
    let mut more = crate::hub::Builder::more();
    more.file("README.md", "# changed\n").commit("card");
    desk.world.hub.add_model(ID, &more);
    desk.world.hub.heal();
    assert_eq!(desk.published(&[])["number"], 1);
    let git_dir = desk.world.hub.git_dir(ID);
    let changed = desk.world.git(&git_dir, &["diff", "--name-status", "main...refs/pr/1"]);
    assert_eq!(changed, "A\tmodel.safetensors\n");
}

#[test]
fn two_at_once_make_one() {
    let desk = Desk::new();
    desk.world.hub.inject(Fault::Slow(2000).at(Place::path("/api/whoami-v2")));
    let mut children: Vec<_> = (0..2).map(|_| desk.command(&["-q", "publish"]).spawn().unwrap()).collect();
    for child in &mut children {
        child.wait().unwrap();
    }
    desk.world.hub.heal();
    assert_eq!(desk.publish(&[]).code, Some(0));
    desk.check(ID);
}
