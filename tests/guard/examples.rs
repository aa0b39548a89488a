//! The examples of docs/hooks.md for CI: their commands, taken from the page and run by a shell.

use std::fs;

use super::{Place, checkpoint};

/// The line of the page that scans, of the example that holds this word.
fn line(word: &str) -> String {
    let page = include_str!("../../docs/hooks.md");
    let example = page.split("```yaml").skip(1).filter_map(|rest| rest.split("```").next());
    let example = example.into_iter().find(|text| text.contains(word)).unwrap();
    let (_, line) =
        example.split_once("- git st-convert ").or(example.split_once("run: git st-convert ")).unwrap();
    format!("git st-convert {}", line.lines().next().unwrap())
}

#[test]
fn the_commands_of_the_examples_find_what_a_request_brings() {
    let place = Place::new();
    let base = place.git(&["rev-parse", "HEAD"]).ok();
    for (example, variable) in
        [("upload-sarif", "BASE"), ("merge_request_event", "CI_MERGE_REQUEST_DIFF_BASE_SHA")]
    {
        let scan = |code: i32| {
            let mut shell = place.command("sh", &place.dir, &["-ec", &line(example)]);
            let output = shell.env(variable, base.trim()).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{example}: {output:?}");
            let sarif = fs::read(place.at("pickles.sarif")).unwrap();
            let sarif: serde_json::Value = serde_json::from_slice(&sarif).unwrap();
            let results = sarif["runs"][0]["results"].as_array().unwrap();
            let uri = "/locations/0/physicalLocation/artifactLocation/uri";
            results.iter().map(|result| result.pointer(uri).unwrap().to_string()).collect::<Vec<_>>()
        };
        place.add("notes.txt", b"harmless\n");
        place.git(&["commit", "-q", "-m", "harmless"]).ok();
        assert_eq!(scan(0), [""; 0], "{example}");
        // One that was taken back stays in the history.
        place.add("weights.dat", &checkpoint());
        place.git(&["commit", "-q", "-m", "weights"]).ok();
        place.git(&["rm", "-q", "weights.dat"]).ok();
        place.git(&["commit", "-q", "-m", "none"]).ok();
        assert_eq!(scan(1), ["\"weights.dat\""], "{example}");
        place.git(&["reset", "-q", "--hard", base.trim()]).ok();
    }
}
