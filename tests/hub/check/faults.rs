//! Tests faults with git-lfs: those that it survives, and those that it does not.

use std::fs;
use std::time::Duration;

use super::lfs::{has_content, pull};
use super::{Check, ID};
use crate::hub::{Fault, Injection, Place, Seen, To};

/// Runs a pull that meets these faults and still gets the content.
fn gets_over(check: &Check, name: &str, faults: impl IntoIterator<Item = Injection>) {
    for fault in faults {
        check.hub.inject(fault);
    }
    let output = pull(check, name);
    assert!(output.code == Some(0) && has_content(check, name), "{name}: {output:#?}");
    let met = check.hub.requests().iter().any(|seen| !seen.faults.is_empty());
    assert!(met, "{name}: the fault was not met");
    check.hub.heal();
}

/// Runs a pull that fails with this text.
fn fails(check: &Check, name: &str, fault: Injection, text: &str) {
    check.hub.inject(fault);
    let output = pull(check, name);
    assert_ne!(output.code, Some(0), "{name}: {output:#?}");
    assert!(output.stderr.contains(text), "{name}: {output:#?}");
    assert!(!has_content(check, name), "{name}");
    check.hub.heal();
}

#[test]
fn git_lfs_gets_over_what_passes() {
    let Some(check) = Check::with_lfs() else { return };
    let oid = check.oid("pytorch_model.bin");
    let content = || Place::content(&oid);
    let once = |fault: Fault| [fault.at(content()).times(1)];
    gets_over(&check, "drop", once(Fault::Drop));
    gets_over(&check, "500", once(Fault::Status(500)));
    gets_over(&check, "long", once(Fault::Length(1000)));
    gets_over(&check, "expired", [Fault::Expired.at(Place::object(&oid)).times(1)]);
    gets_over(
        &check,
        "no-ranges",
        [Fault::Cut(100_000).at(content()).times(1), Fault::NoRanges.at(content()).after(1)],
    );
    assert_eq!(check.hub.fetched(&oid), [0..100_000, 0..300_000]);
    assert_eq!(check.hub.sent_twice(&oid), 100_000);
    gets_over(
        &check,
        "wrong-range",
        [
            Fault::Cut(100_000).at(content()).times(1),
            Fault::ContentRange("bytes 5-299999/300000".to_owned()).at(content()).after(1).times(1),
        ],
    );
}

/// Returns the time between a 429 and the next request for the same target.
fn pause(seen: &[Seen]) -> Duration {
    let refused = seen.iter().position(|seen| seen.status == 429).unwrap();
    assert_eq!(seen[refused].faults, ["RetryAfter(429, 2)"]);
    let again = seen[refused + 1..].iter().find(|again| again.path() == seen[refused].path()).unwrap();
    again.at.saturating_sub(seen[refused].at)
}

#[test]
fn clients_wait_as_long_as_they_are_told() {
    let least = Duration::from_millis(1900);
    let check = Check::new();
    check.hub.inject(Fault::RetryAfter(429, 2).at(Place::path("/api/models/acme/bert")).times(1));
    let url = format!("{}/api/models/acme/bert", check.hub.endpoint());
    if let Some(output) = check.curl(&["--retry", "1", &url]) {
        output.ok();
        let pause = pause(&check.hub.requests());
        assert!(pause >= least, "curl: {pause:?}");
    }
    let Some(check) = Check::with_lfs() else { return };
    gets_over(&check, "batch", [Fault::RetryAfter(429, 2).at(Place::batch(ID)).times(1)]);
    let pause = pause(&check.hub.requests());
    assert!(pause >= least, "git-lfs: {pause:?}");
}

#[test]
fn git_lfs_follows_redirects() {
    let Some(check) = Check::with_lfs() else { return };
    let oid = check.oid("pytorch_model.bin");
    let other = check.hub.open_origin();
    let away = Fault::Redirect(307, To::Origin(other.clone())).at(Place::content(&oid)).times(1);
    gets_over(&check, "away", [away]);
    assert!(check.hub.requests().iter().any(|seen| seen.origin == other && seen.sent == 300_000));
    gets_over(&check, "chain", [Fault::Redirect(302, To::Itself).at(Place::content(&oid)).times(2)]);
    gets_over(
        &check,
        "batch",
        [Fault::Redirect(307, To::Origin(other.clone())).at(Place::batch(ID)).times(1)],
    );
    let seen = check.hub.requests();
    assert!(seen.iter().any(|seen| seen.origin == other && seen.path().ends_with("/objects/batch")));
    let url = To::Url(format!("{other}/nowhere"));
    fails(&check, "nowhere", Fault::Redirect(302, url).at(Place::content(&oid)), "can't find the page");
}

#[test]
fn git_lfs_says_what_it_cannot_get_over() {
    let Some(check) = Check::with_lfs() else { return };
    let oid = check.oid("pytorch_model.bin");
    let (content, object, batch) = (Place::content(&oid), Place::object(&oid), Place::batch(ID));
    for status in [403, 404, 500] {
        let name = status.to_string();
        check.hub.forget_requests();
        fails(&check, &name, Fault::Status(status).at(content.clone()), "The hub was told to say so");
        assert!(check.hub.requests().iter().any(|seen| seen.status == status && seen.sent > 0));
    }
    fails(&check, "wrong-byte", Fault::WrongByte(1000).at(content), "expected OID");
    fails(&check, "503", Fault::Status(503).at(batch.clone()), "The hub was told to say so");
    fails(&check, "gone", Fault::ObjectError(410).at(object.clone()), "Object was removed");
    fails(&check, "absent", Fault::ObjectError(404).at(object), "Object does not exist");
    fails(&check, "401", Fault::Status(401).at(batch.clone()), "could not read Username");
    fails(&check, "page", Fault::Html.at(batch.clone()), "");
    fails(&check, "half", Fault::Truncated.at(batch.clone()), "unexpected EOF");
    let hash = Fault::Json(|answer| answer["hash_algo"] = "sha512".into());
    fails(&check, "hash", hash.at(batch), "unsupported hash algorithm");
    fs::remove_file(check.hub.object(ID, &oid)).unwrap();
    fails(&check, "missing", Fault::Slow(1).at(Place::path("/none")), "Object does not exist");
}
