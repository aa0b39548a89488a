//! Tests many pointers at once: loose blobs are checked on several threads, those in a pack one after the other, with
//! the same result.

use std::fs;

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;

use super::{Place, checkpoint};

/// Enough for several threads.
const EACH: usize = 48;

fn answer(place: &Place) -> (Option<i32>, String, String) {
    let run = place.git(&["st-convert", "hook", "run", "pre-commit", "--json"]);
    // The last line contains a time.
    let end = run.stdout.trim_end().rfind('\n').unwrap();
    (run.code, run.stdout[..end].to_owned(), run.stderr)
}

#[test]
fn pointers_side_by_side_are_judged_as_one_after_the_other() {
    let place = Place::new();
    let text = |pointer: Pointer| pointer.to_string();
    let of = |content: &[u8]| Pointer { oid: Oid::of(content), size: content.len() as u64 };
    let store = |pointer: Pointer, content: &[u8]| {
        let name = pointer.oid.to_string();
        let object = place.at(format!(".git/lfs/objects/{}/{}/{name}", &name[..2], &name[2..4]));
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(object, content).unwrap();
    };
    let (pickle, mut refused) = (checkpoint(), Vec::new());
    store(of(&pickle), &pickle);
    let zip = b"7z\xbc\xaf\x27\x1c\0\x04 sealed";
    store(of(zip), zip);
    for at in 0..EACH {
        let clean = format!("clean {at}").repeat(at + 1).into_bytes();
        store(of(&clean), &clean);
        let (absent, short) = (format!("absent {at}").into_bytes(), format!("short {at}").into_bytes());
        // The length differs from the pointer's.
        store(of(&short), b"s");
        let extended = text(of(&clean)).replace("oid", &format!("ext-0-foo sha256:{at:064x}\noid"));
        for (name, content, is_refused) in [
            (format!("clean-{at}.bin"), text(of(&clean)), false),
            (format!("pickle-{at}.dat"), text(of(&pickle)), true),
            (format!("sealed-{at}.pt"), text(of(zip)), true),
            (format!("sealed-{at}.7z"), text(of(zip)), false),
            (format!("absent-{at}.pt"), text(of(&absent)), true),
            (format!("absent-{at}.dat"), text(of(&absent)), false),
            (format!("short-{at}.pt"), text(of(&short)), true),
            (format!("extended-{at}.pt"), extended, true),
            (format!("notes-{at}.txt"), format!("notes {at}\n"), false),
        ] {
            place.write(&format!("d/{name}"), content.as_bytes());
            refused.extend(is_refused.then(|| format!("d/{name}")));
        }
        place.write(&format!("d/raw-{at}.dat"), &pickle);
        refused.push(format!("d/raw-{at}.dat"));
    }
    place.git(&["add", "."]).ok();
    let side_by_side = answer(&place);
    assert_eq!(side_by_side.0, Some(1), "{side_by_side:#?}");
    for path in refused {
        assert!(side_by_side.1.contains(&format!("\"{path}\"")), "{path}");
    }
    assert!(!side_by_side.1.contains("\"d/clean-"), "{}", side_by_side.1);
    place.git(&["repack", "-q", "-a", "-d"]).ok();
    assert!(fs::read_dir(place.at(".git/objects/pack")).unwrap().count() > 0);
    assert_eq!(answer(&place), side_by_side);
}
