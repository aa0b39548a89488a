//! Tests limits that the user can raise, the settings for them, and refusals for lack of space.

use std::fs;

use git_st_convert::hash::Oid;

use super::{Model, differences};
use crate::checkpoint::{pickle, zip_of};

/// Returns a checkpoint whose only tensor has this many floats, in a storage of four.
fn expanded(floats: i128) -> Vec<u8> {
    let view = pickle::tensor(&pickle::storage("FloatStorage", "0", 4), 0, &[floats], &[0]);
    zip_of(&pickle::named(&[("a", view)]))
}

fn model(floats: i128) -> Model {
    let model = Model::new();
    model.add("pytorch_model.bin", &expanded(floats));
    model.commit();
    model
}

/// The number of floats of 80 MiB, which is over the limit for a checkpoint of a few bytes.
const FLOATS: i128 = 20 << 20;

#[test]
fn more_bytes_than_four_times_the_checkpoint_have_to_be_allowed() {
    let model = model(FLOATS);
    let before = model.listing();
    let bytes = 4 * FLOATS;
    let says = "error: pytorch_model.bin: tensors total 80.0 MiB, over the limit of 64.0 MiB\n";
    for (args, options) in [
        (&[] as &[&str], ""),
        (&["-n"], "--dry-run "),
        (&["pytorch_model.bin", "-o", "x.safetensors"], "--output x.safetensors "),
    ] {
        let run = model.run(args);
        let hint = format!(
            "if this size is expected: `git st-convert {options}--max-output {bytes} pytorch_model.bin`"
        );
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(says) && run.stderr.contains(&hint), "{run:?}");
    }
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
    // One byte less is not enough, and the option can also lower the limit.
    for size in [(bytes - 1).to_string(), "79MiB".to_owned(), "80MB".to_owned(), "1k".to_owned()] {
        assert_eq!(model.run(&["--max-output", &size]).code, Some(1), "{size}");
    }
    model.run(&["-n", "--max-output", "80MiB"]).ok();
    model.run(&["--max-output", &bytes.to_string()]).ok();
    assert!(fs::metadata(model.at("model.safetensors")).unwrap().len() > 80 << 20);
}

#[test]
fn the_setting_is_the_default_of_the_option() {
    let model = model(FLOATS);
    model.git(&["config", "st-convert.maxOutput", "100MB"]);
    model.run(&["-n"]).ok();
    model.run(&["-n", "pytorch_model.bin", "-o", "x.safetensors"]).ok();
    assert_eq!(model.run(&["-n", "--max-output", "1MB"]).code, Some(1));
    model.git(&["config", "st-convert.maxOutput", "much"]);
    let run = model.run(&["-n"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("invalid value `much` for st-convert.maxOutput"), "{run:?}");
    assert!(run.stderr.contains("git config st-convert.maxOutput 20GB"), "{run:?}");
    let run = model.run(&["--max-output", "much"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("expected a size: "), "{run:?}");
}

#[test]
fn too_little_space_is_said_before_the_work() {
    // This needs four PiB, which no disk has.
    let model = model(1 << 50);
    let before = model.listing();
    for args in [&[] as &[&str], &["pytorch_model.bin", "-o", "x.safetensors"]] {
        let run = model.run(&[args, &["--max-output", "8PiB"]].concat());
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(" free\n"), "{run:?}");
        // Not even LFS storage has the space, so `--pointer-only` would not help.
        assert!(!run.stderr.contains("hint: "), "{run:?}");
    }
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn what_is_noted_of_a_checkpoint_is_noted_once_where_space_is_wanting() {
    // 26 MB of names for one tensor of four PiB.
    let view = || pickle::tensor(&pickle::storage("FloatStorage", "0", 4), 0, &[1 << 50], &[0]);
    let names: Vec<_> = (0..440).map(|number| format!("{number:060000}")).collect();
    let views: Vec<_> = names.iter().map(|name| (name.as_str(), view())).collect();
    let model = Model::new();
    model.add("long.bin", &zip_of(&pickle::named(&views)));
    model.add("short.bin", &zip_of(&pickle::named(&[("a", view())])));
    model.commit();
    let run = model.run(&["--max-output", "4EiB", "-j2"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    let count = |text: &str| run.stderr.matches(text).count();
    assert_eq!((count("long.bin: header is "), count(": not enough space in ")), (1, 2), "{run:?}");
}

#[test]
fn a_long_header_is_noted_where_the_hub_would_not_read_it() {
    // The names have 26 MB.
    let name = |number: u32| format!("{number:060000}");
    let tensor = |number: u32| crate::convert::torch::Float32 {
        name: name(number),
        shape: vec![1],
        bytes: vec![0; 4],
    };
    let all: Vec<_> = (0..440).map(tensor).collect();
    let model = Model::new();
    model.add("pytorch_model.bin", &crate::convert::torch::checkpoint(&all));
    model.commit();
    let run = model.run(&["-n"]);
    assert!(run.stderr.contains("pytorch_model.bin: header is "), "{run:?}");
    assert!(run.stderr.contains("bytes; the Hub previews tensors only up to 25,000,000"), "{run:?}");
    run.ok();
}

/// git passes `git -c` on, and `git config` and `env` report such a setting as the one in force.
#[test]
fn a_setting_of_git_s_command_line_is_in_force() {
    let model = Model::with("tied-2.bin");
    model.git(&["config", "st-convert.maxOutput", "1GB"]);
    for (setting, error) in [
        ("st-convert.maxOutput=10", "over the limit of 10 bytes"),
        ("st-convert.pr=foo", "invalid value `foo` for st-convert.pr"),
        ("st-convert.jobs=0", "invalid value `0` for st-convert.jobs"),
        ("st-convert.keepSource=maybe", "invalid value `maybe` for st-convert.keepSource"),
    ] {
        let run = super::paths::paste(&model, &format!("git -c {setting} st-convert -n"));
        assert!(run.code != Some(0) && run.stderr.contains(error), "{setting}: {run:#?}");
    }
    // A value as git quotes it, over one of a file.
    model.git(&["config", "lfs.storage", "other"]);
    super::paths::paste(&model, "git -c lfs.storage=\"it's 'here'!\" st-convert").ok();
    let made = Oid::of(&fs::read(model.at("model.safetensors")).unwrap()).to_string();
    let object = format!(".git/it's 'here'!/objects/{}/{}/{made}", &made[..2], &made[2..4]);
    assert!(model.at(object).exists() && !model.at(".git/other/objects").exists());
}

/// Outside of a repository, the same settings decide how servers are reached.
#[test]
fn a_setting_of_git_s_command_line_is_in_force_without_a_repository() {
    let model = Model::new();
    let outside = model.sandbox.path("");
    let mut command = model.command(crate::sandbox::BIN, &outside);
    command.args(["inspect", "acme/bert:model.bin"]).env("HF_ENDPOINT", "http://127.0.0.1:1");
    let run = super::finish(command.env("GIT_CONFIG_PARAMETERS", "'http.proxy'='nonsense://x'"));
    assert!(run.stderr.contains("invalid proxy URL for http://127.0.0.1:1"), "{run:#?}");
}
