//! Tests which files are published.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Desk, ID, checkpoint, model};
use crate::hub::Builder;

fn demo(name: &str) -> Vec<u8> {
    let dir: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/actions/demo");
    fs::read(dir.join(name)).unwrap()
}

/// Returns the files that the first pull request changes, one per line.
fn changed(desk: &Desk) -> String {
    desk.world.git(&desk.world.hub.git_dir(ID), &["diff", "--name-status", "main", "refs/pr/1"])
}

const INDEX: &str = "encoder/pytorch_model.bin.index.json";

/// Returns the model with a sharded checkpoint.
fn with_shards() -> Builder {
    let mut model = model();
    for name in ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"] {
        model.lfs(&format!("encoder/{name}"), demo(&format!("encoder/{name}")));
    }
    model.file(INDEX, demo(INDEX)).commit("encoder");
    model
}

#[test]
fn an_index_that_says_something_else_is_not_the_same_files() {
    let desk = Desk::of(&with_shards());
    let mut files = vec!["model.safetensors".to_owned()];
    files.extend([1, 2].map(|number| format!("encoder/model-0000{number}-of-00002.safetensors")));
    let index = "encoder/model.safetensors.index.json";
    let ours = String::from_utf8(desk.read(index)).unwrap();
    let as_json: serde_json::Value = serde_json::from_str(&ours).unwrap();
    // Other spaces do not change the meaning; another file for a tensor does, and so does an invalid shard index.
    let others = [
        (Some(as_json.to_string()), "exists"),
        (Some(ours.replace("model-00002-of", "../../model-of")), "opened"),
        (Some(ours.replace("model-00002-of", "other-00002-of")), "opened"),
        (None, "opened"),
    ];
    for (text, status) in others {
        let mut model = with_shards();
        model.author("Mallory <m@example.com>").pull_request(7);
        for file in &files {
            model.lfs(file, desk.read(file));
        }
        if let Some(text) = &text {
            model.file(index, text.clone());
        }
        model.commit("x").on("main");
        assert_eq!(Desk::of(&model).published(&[])["status"], status, "{text:?}");
    }
}

#[test]
fn shards_and_their_index_go_together_and_a_second_checkpoint_with_them() {
    let desk = Desk::of(&with_shards());
    // A safetensors file without a checkpoint in the model is not published.
    fs::write(desk.dir.join("mine.safetensors"), desk.converted()).unwrap();
    desk.git(&["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.process=", "add", "mine.safetensors"]);
    let published = desk.published(&[]);
    let paths: Vec<_> = published["files"].as_array().unwrap().iter().map(|file| &file["path"]).collect();
    let files = [
        "encoder/model-00001-of-00002.safetensors",
        "encoder/model-00002-of-00002.safetensors",
        "encoder/model.safetensors.index.json",
        "model.safetensors",
    ];
    assert_eq!(paths, files);
    assert_eq!(changed(&desk), files.map(|file| format!("A\t{file}\n")).concat());
    assert_eq!(published["files"][2]["sources"][0]["path"], INDEX);
    assert_eq!(published["files"][2]["oid"], serde_json::Value::Null);
    let put = desk.world.hub.requests().iter().filter(|seen| seen.method == "PUT").count();
    assert_eq!(put, 3);
}

#[test]
fn what_was_committed_and_its_checkpoint_removed_is_published_without_the_removal() {
    let desk = Desk::new();
    desk.git(&["restore", "--staged", "model.safetensors"]);
    fs::remove_file(desk.dir.join("model.safetensors")).unwrap();
    let output = desk.run(&["--replace", "--commit", "--pr", "never"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(desk.git(&["ls-files", "pytorch_model.bin"]), "");
    assert_eq!(desk.published(&[])["status"], "opened");
    desk.check(ID);

    // A checkpoint that changed upstream is a different one, whether it was removed here or not.
    let mut more = Builder::more();
    more.lfs("pytorch_model.bin", [checkpoint(), vec![0]].concat()).commit("better weights");
    desk.world.hub.add_model(ID, &more);
    assert_eq!(desk.publish(&["--force"]).code, Some(1));
}

#[test]
fn weights_that_git_itself_holds_are_not_published() {
    let desk = Desk::new();
    desk.git(&["rm", "-q", "--cached", "model.safetensors"]);
    fs::write(desk.dir.join(".git/info/attributes"), "*.safetensors !filter -text\n").unwrap();
    desk.git(&["add", "model.safetensors"]);
    let output = desk.publish(&[]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("model.safetensors is not under Git LFS"), "{output:#?}");
    assert_eq!(desk.requests(ID), []);
}

#[test]
fn nothing_is_published_where_nothing_was_converted() {
    let desk = Desk::new();
    desk.git(&["rm", "-q", "-f", "--cached", "model.safetensors"]);
    let output = desk.publish(&[]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains("nothing to publish") && output.stdout.is_empty(), "{output:#?}");
    assert_eq!(desk.requests(ID), []);
}
