//! Tests the filter attribute of converted files, in every state of the `.gitattributes` files.

use std::fs;

use super::{Model, fixture, oid_of};

const NAME: &str = "tied-2.bin";
const LINE: &str = "*.safetensors filter=lfs diff=lfs merge=lfs -text";
const BIN: &str = "*.bin filter=lfs diff=lfs merge=lfs -text";

fn model(attributes: Option<&str>) -> Model {
    let model = Model::with_attributes(attributes);
    model.add("pytorch_model.bin", &fixture(NAME));
    model.commit();
    model
}

/// Converts. Returns the `.gitattributes` in the index, which is also that of the working tree.
#[track_caller]
fn attributes_after(model: &Model, status: &str) -> String {
    model.run::<&str>(&[]).ok();
    model.check("model.safetensors", &oid_of(NAME));
    assert_eq!(model.status(), status);
    let staged = model.staged(".gitattributes");
    assert_eq!(fs::read_to_string(model.at(".gitattributes")).unwrap(), staged);
    model.git(&["commit", "-q", "-m", "converted"]);
    assert_eq!(model.status(), "");
    staged
}

#[test]
fn missing() {
    let status = "A  .gitattributes\nA  model.safetensors\n";
    assert_eq!(attributes_after(&model(None), status), format!("{LINE}\n"));
}

#[test]
fn without_a_final_newline() {
    let status = "M  .gitattributes\nA  model.safetensors\n";
    assert_eq!(attributes_after(&model(Some(BIN)), status), format!("{BIN}\n{LINE}\n"));
}

#[test]
fn with_crlf() {
    let status = "M  .gitattributes\nA  model.safetensors\n";
    let crlf = format!("{BIN}\r\n");
    assert_eq!(attributes_after(&model(Some(&crlf)), status), format!("{BIN}\r\n{LINE}\r\n"));
}

#[test]
fn with_a_line_that_matches() {
    for line in ["model.safetensors filter=lfs", "*.safetensors filter=lfs -text", "model* filter=lfs"] {
        let model = model(Some(BIN));
        fs::write(model.at(".git/info/attributes"), "# nothing\n").unwrap();
        model.write(".gitattributes", format!("{line}\n"));
        model.git(&["add", ".gitattributes"]);
        model.commit();
        assert_eq!(attributes_after(&model, "A  model.safetensors\n"), format!("{line}\n"), "{line}");
    }
}

#[test]
fn overridden_by_a_later_line() {
    let status = "M  .gitattributes\nA  model.safetensors\n";
    let text = format!("{BIN}\n{LINE}\n*.safetensors -filter\n");
    let line = "/model.safetensors filter=lfs diff=lfs merge=lfs -text";
    assert_eq!(attributes_after(&model(Some(&text)), status), format!("{text}{line}\n"));
}

#[test]
fn overridden_in_a_subfolder() {
    let model = Model::new();
    model.add("sub/pytorch_model.bin", &fixture(NAME));
    model.write("sub/.gitattributes", "*.safetensors !filter\n");
    model.git(&["add", "sub/.gitattributes"]);
    model.commit();
    model.run::<&str>(&[]).ok();
    model.check("sub/model.safetensors", &oid_of(NAME));
    assert_eq!(model.status(), "M  sub/.gitattributes\nA  sub/model.safetensors\n");
    let text = model.staged("sub/.gitattributes");
    assert!(text.starts_with("*.safetensors !filter\n") && text.lines().count() == 2, "{text}");
}

#[test]
fn given_by_info_attributes_alone() {
    // The attribute is in effect here, so no entry is added, although a clone would not have it: the user chose that.
    let model = model(Some(BIN));
    fs::write(model.at(".git/info/attributes"), format!("{LINE}\n")).unwrap();
    assert_eq!(attributes_after(&model, "A  model.safetensors\n"), BIN);
}

#[test]
fn taken_away_by_info_attributes() {
    let model = model(Some(BIN));
    fs::write(model.at(".git/info/attributes"), "*.safetensors -filter\n").unwrap();
    let before = model.listing();
    let run = model.run::<&str>(&[]);
    assert_ne!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("attributes") && run.stderr.contains("hint: "), "{run:?}");
    assert_eq!(super::differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn another_filter_is_not_taken_away() {
    let model = model(Some(&format!("{BIN}\n*.safetensors filter=crypt\n")));
    let before = model.listing();
    let run = model.run::<&str>(&[]);
    assert_ne!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("crypt") && run.stderr.contains("hint: "), "{run:?}");
    assert_eq!(super::differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn a_line_that_nobody_staged_is_staged_with_the_file() {
    // The entry of `git lfs track` is not staged, so the commit would have a pointer that no clone resolves.
    let model = model(Some(BIN));
    model.write(".gitattributes", format!("{BIN}\n{LINE}\n"));
    let run = model.run::<&str>(&[]);
    assert!(run.stderr.contains(".gitattributes"), "{run:?}");
    run.ok();
    model.check("model.safetensors", &oid_of(NAME));
    assert_eq!(model.status(), "M  .gitattributes\nA  model.safetensors\n");
    assert_eq!(model.staged(".gitattributes"), format!("{BIN}\n{LINE}\n"));
}

#[test]
fn of_an_attributes_file_that_nobody_tracks_our_line_is_staged() {
    let model = Model::with_attributes(None);
    model.write(".gitattributes", format!("{BIN}\n{LINE}\n"));
    model.add("pytorch_model.bin", &fixture(NAME));
    model.commit();
    model.run::<&str>(&[]).ok();
    assert_eq!(model.status(), "AM .gitattributes\nA  model.safetensors\n");
    assert_eq!(model.staged(".gitattributes"), format!("{LINE}\n"));
    assert_eq!(fs::read_to_string(model.at(".gitattributes")).unwrap(), format!("{BIN}\n{LINE}\n"));
}

/// Returns the added and the removed lines of a diff.
fn changed(model: &Model, args: &[&str]) -> Vec<String> {
    let diff = model.git(&[&["diff", "--unified=0"], args, &["--", ".gitattributes"]].concat());
    let lines = diff.lines().skip_while(|line| !line.starts_with("@@"));
    lines.filter(|line| line.starts_with(['+', '-'])).map(str::to_owned).collect()
}

#[test]
fn edits_that_nobody_staged_stay_unstaged() {
    let model = model(Some(&format!("{BIN}\n*.md text\n")));
    model.write(".gitattributes", format!("*.txt text\n{BIN}\n"));
    let run = model.run::<&str>(&[]);
    assert!(!run.stderr.contains("warning: "), "{run:?}");
    let note = "added an LFS entry to .gitattributes; other changes to it stay unstaged\n";
    assert!(run.stderr.contains(note), "{run:?}");
    run.ok();
    model.check("model.safetensors", &oid_of(NAME));
    assert_eq!(model.status(), "MM .gitattributes\nA  model.safetensors\n");
    assert_eq!(model.staged(".gitattributes"), format!("{BIN}\n*.md text\n{LINE}\n"));
    let in_tree = fs::read_to_string(model.at(".gitattributes")).unwrap();
    assert_eq!(in_tree, format!("*.txt text\n{BIN}\n{LINE}\n"));
    assert_eq!(changed(&model, &[]), ["+*.txt text", "-*.md text"]);
    model.git(&["commit", "-q", "-m", "converted"]);
    assert_eq!(model.status(), " M .gitattributes\n");
    model.git(&["commit", "-q", "-a", "-m", "mine"]);
    assert_eq!(model.git(&["show", "HEAD:.gitattributes"]), in_tree);
}

#[test]
fn a_line_that_nobody_staged_is_staged_without_the_edits_around_it() {
    let model = model(Some(&format!("{BIN}\n")));
    model.write(".gitattributes", format!("*.txt text\n{BIN}\n{LINE}\n"));
    let run = model.run::<&str>(&[]);
    let note = "staged the LFS entry in .gitattributes; other changes to it stay unstaged\n";
    assert!(run.stderr.contains(note), "{run:?}");
    run.ok();
    model.check("model.safetensors", &oid_of(NAME));
    assert_eq!(model.staged(".gitattributes"), format!("{BIN}\n{LINE}\n"));
    assert_eq!(changed(&model, &[]), ["+*.txt text"]);
    assert_eq!(model.status(), "MM .gitattributes\nA  model.safetensors\n");
}

#[test]
fn what_is_staged_and_not_ours_stays_out_of_our_commit() {
    for unstaged in ["", "*.cfg text\n"] {
        let model = model(Some(&format!("{BIN}\n")));
        model.write(".gitattributes", format!("*.txt text\n{BIN}\n"));
        model.git(&["add", ".gitattributes"]);
        model.write(".gitattributes", format!("{unstaged}*.txt text\n{BIN}\n"));
        let before = model.sandbox.filter_runs();
        model.run(&["--commit"]).ok();
        assert_eq!(model.sandbox.filter_runs(), before, "the filter ran");
        assert_eq!(model.git(&["show", "HEAD:.gitattributes"]), format!("{BIN}\n{LINE}\n"));
        let names = model.git(&["show", "--format=", "--name-only", "HEAD"]);
        assert_eq!(names, ".gitattributes\nmodel.safetensors\n");
        assert_eq!(changed(&model, &["--cached"]), ["+*.txt text"]);
        let expected: &[&str] = if unstaged.is_empty() { &[] } else { &["+*.cfg text"] };
        assert_eq!(changed(&model, &[]), expected);
        model.check("model.safetensors", &oid_of(NAME));
        model.git(&["commit", "-q", "-a", "-m", "mine"]);
        let all = format!("{unstaged}*.txt text\n{BIN}\n{LINE}\n");
        assert_eq!(model.git(&["show", "HEAD:.gitattributes"]), all);
        assert_eq!(model.status(), "");
    }
}

#[test]
fn our_commit_takes_the_line_that_somebody_staged() {
    let model = model(Some(&format!("{BIN}\n")));
    model.write(".gitattributes", format!("*.txt text\nmodel.* filter=lfs -text\n{BIN}\n"));
    model.git(&["add", ".gitattributes"]);
    model.run(&["--commit"]).ok();
    let committed = model.git(&["show", "HEAD:.gitattributes"]);
    assert_eq!(committed, format!("{BIN}\nmodel.* filter=lfs -text\n"));
    // A clone also has the filter.
    let root = model.sandbox.path("");
    model.sandbox.git(&root, &["clone", "-q", "-c", "filter.lfs.smudge=cat", "model", "clone"]);
    let clone = model.sandbox.path("clone");
    let filter = model.sandbox.git(&clone, &["check-attr", "filter", "model.safetensors"]);
    assert_eq!(filter, "model.safetensors: filter: lfs\n");
}

#[test]
fn a_failure_takes_our_lines_back_and_no_other() {
    let model = model(Some(&format!("{BIN}\n")));
    let mine = format!("*.txt text\n{BIN}\n");
    model.write(".gitattributes", &mine);
    fs::write(model.at(".git/index.lock"), "").unwrap();
    let run = model.run::<&str>(&[]);
    assert_eq!(run.code, Some(2), "{run:?}");
    fs::remove_file(model.at(".git/index.lock")).unwrap();
    assert_eq!(fs::read_to_string(model.at(".gitattributes")).unwrap(), mine);
    assert_eq!(model.status(), " M .gitattributes\n");
}

#[test]
fn a_symbolic_link_for_attributes_is_not_written() {
    let model = model(Some(BIN));
    fs::remove_file(model.at(".gitattributes")).unwrap();
    let outside = model.sandbox.path("outside");
    fs::write(&outside, format!("{BIN}\n")).unwrap();
    std::os::unix::fs::symlink(&outside, model.at(".gitattributes")).unwrap();
    let run = model.run::<&str>(&[]);
    assert_ne!(run.code, Some(0), "{run:?}");
    assert_eq!(fs::read_to_string(&outside).unwrap(), format!("{BIN}\n"));
    assert!(!model.at("model.safetensors").exists());
}
