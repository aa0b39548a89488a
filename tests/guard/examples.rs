//! Tests the job of docs/ci/gitlab-component.yml: its script is read from the file and run by a shell.

use std::fs;

use super::{Place, checkpoint};

/// Returns the script of the job.
fn script() -> String {
    let component = include_str!("../../docs/ci/gitlab-component.yml");
    let (_, block) = component.split_once("\n  script:\n    - |\n").unwrap();
    let lines = block.lines().map_while(|line| line.strip_prefix("      "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_job_finds_what_a_request_brings() {
    let place = Place::new();
    let base = place.git(&["rev-parse", "HEAD"]).ok();
    let scan = |code: i32| {
        let mut shell = place.command("sh", &place.dir, &["-ec", &script()]);
        let output = shell.env("CI_MERGE_REQUEST_DIFF_BASE_SHA", base.trim()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let sarif = fs::read(place.at("pickles.sarif")).unwrap();
        let sarif: serde_json::Value = serde_json::from_slice(&sarif).unwrap();
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        let uri = "/locations/0/physicalLocation/artifactLocation/uri";
        results.iter().map(|result| result.pointer(uri).unwrap().to_string()).collect::<Vec<_>>()
    };
    place.add("notes.txt", b"harmless\n");
    place.git(&["commit", "-q", "-m", "harmless"]).ok();
    assert_eq!(scan(0), [""; 0]);
    // A removed file stays in the history.
    place.add("weights.dat", &checkpoint());
    place.git(&["commit", "-q", "-m", "weights"]).ok();
    place.git(&["rm", "-q", "weights.dat"]).ok();
    place.git(&["commit", "-q", "-m", "none"]).ok();
    assert_eq!(scan(1), ["\"weights.dat\""]);
    place.git(&["reset", "-q", "--hard", base.trim()]).ok();
}
