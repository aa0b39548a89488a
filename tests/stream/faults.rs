//! Tests faults of a server during the conversion of a download: it succeeds, or one clear error leaves everything
//! unchanged.

use git_st_convert::hash::Oid;

use super::{check, large, leftovers, objects, world};
use crate::hub::{Fault, Place};

#[test]
fn what_passes_is_overcome() {
    let bytes = large(12);
    let oid = Oid::of(&bytes).to_string();
    let content = || Place::content(&oid);
    for fault in [
        Fault::Cut(1 << 20).at(content()).after(3).times(4),
        Fault::Status(503).at(content()).after(1).times(3),
        Fault::RetryAfter(429, 1).at(content()).after(2).times(1),
        Fault::Drop.at(content()).after(2).times(2),
        Fault::Expired.at(Place::batch(crate::clone::ID)).times(1),
    ] {
        let world = world(&bytes);
        let repo = world.clone(&[]);
        let name = format!("{fault:?}");
        world.hub.inject(fault);
        let output = world.run(&repo, &[]);
        assert_eq!(output.code, Some(0), "{name}: {output:#?}");
        check(&world, &repo, &bytes);
    }
}

#[test]
fn what_is_wrong_gets_no_name() {
    let bytes = large(12);
    let oid = Oid::of(&bytes).to_string();
    let content = || Place::content(&oid);
    for (fault, code, says) in [
        // The plan used correct bytes, and a later byte is wrong.
        (Fault::WrongByte(9 << 20).at(content()), 1, "CRC-32"),
        (Fault::Status(404).at(content()), 2, "not found"),
        (Fault::Status(403).at(content()), 2, ""),
        (Fault::Html.at(Place::batch(crate::clone::ID)), 2, ""),
        (Fault::ObjectError(404).at(Place::object(&oid)), 2, "404"),
    ] {
        let world = world(&bytes);
        let repo = world.clone(&[]);
        world.git(&repo, &["config", "lfs.transfer.maxretries", "1"]);
        let name = format!("{fault:?}");
        world.hub.inject(fault);
        let output = world.run(&repo, &[]);
        assert_eq!(output.code, Some(code), "{name}: {output:#?}");
        assert!(output.stderr.contains(says), "{name}: {}", output.stderr);
        assert!(!output.stderr.contains("panicked"), "{name}: {}", output.stderr);
        assert_eq!(objects(&repo), <[String; 0]>::default(), "{name}");
        assert_eq!(world.git(&repo, &["status", "--porcelain"]), "", "{name}");
        assert!(code != 1 || leftovers(&repo).is_empty(), "{name}: {:?}", leftovers(&repo));
    }
}
