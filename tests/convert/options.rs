//! Tests the options of `git st-convert`, and `config.json`.

use std::fs;
use std::time::SystemTime;

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;

use super::{Model, differences, fixture, json_lines, oid_of};

#[test]
fn a_dry_run_writes_nothing_at_all() {
    let model = super::shards::model();
    model.add("sub/pytorch_model.bin", &fixture("rezipped-deflated.bin"));
    model.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    model.git(&["add", ".gitattributes"]);
    model.commit();
    // The times of directories show that not even a temporary file was created.
    let times = |model: &Model| {
        let root = model.sandbox.path("");
        let time =
            |path: &std::path::Path| fs::symlink_metadata(root.join(path)).unwrap().modified().unwrap();
        model.listing().into_iter().map(|(path, what)| (time(&path), path, what)).collect::<Vec<_>>()
    };
    let before: Vec<(SystemTime, _, _)> = times(&model);
    for args in [
        &["-n"] as &[&str],
        &["-n", "--json", "sub/pytorch_model.bin"],
        &["--dry-run", "--replace", "--commit", "-m", "no"],
        &["-n", "-f", "--pointer-only"],
        &["-n", "-o", "../out.safetensors", "sub/pytorch_model.bin"],
    ] {
        model.run(args).ok();
        assert_eq!(times(&model), before, "{args:?}");
    }
    let run = model.run(&["-n"]).ok();
    assert!(run.contains("would convert sub/pytorch_model.bin → sub/model.safetensors"), "{run}");
    assert!(run.contains("3 tensors, "), "{run}");
}

#[test]
fn a_dry_run_says_what_a_run_then_does() {
    let model = Model::with("tied-3.bin");
    let dry = json_lines(&model.run(&["-n", "--json"]).ok());
    let wet = json_lines(&model.run(&["--json"]).ok());
    for field in
        ["source", "output", "status", "size", "source_oid", "format", "tensors", "dropped", "ignored"]
    {
        assert_eq!(dry[0][field], wet[0][field], "{field}");
    }
    assert_eq!(wet[0]["oid"], oid_of("tied-3.bin"));
    assert_eq!(wet[0]["dropped"][0]["name"], "m.weight");
    assert_eq!(wet[0]["dropped"][0]["kept"], "a.weight");
    assert_eq!(dry[1]["dry_run"], true);
    assert_eq!(dry[1]["staged"], false);
}

#[test]
fn the_class_in_config_json_decides_ties() {
    for (name, class) in [("gpt2-tied.bin", "GPT2LMHeadModel"), ("bert-tied.bin", "BertForMaskedLM")] {
        let model = Model::with(name);
        model.write("config.json", format!("{{\"architectures\": [\"{class}\"]}}"));
        model.run::<&str>(&[]).ok();
        model.check("model.safetensors", &oid_of(name));
    }
    for config in [None, Some("{\"architectures\": [\"NoSuchModel\"]}"), Some("no json"), Some("[]")] {
        let model = Model::with("gpt2-tied-no-config.bin");
        if let Some(config) = config {
            model.write("config.json", config);
        }
        model.run::<&str>(&[]).ok();
        model.check("model.safetensors", &oid_of("gpt2-tied-no-config.bin"));
    }
}

#[test]
fn the_class_is_read_from_the_index_where_the_file_is_not_checked_out() {
    let config = "{\"architectures\": [\"GPT2LMHeadModel\"]}";
    let name = "gpt2-tied.bin";
    let with_config = || {
        let model = Model::with(name);
        model.write("config.json", config);
        model.git(&["add", "config.json"]);
        model.commit();
        model
    };
    // `config.json` was deleted, or a sparse checkout leaves it out.
    let model = with_config();
    fs::remove_file(model.at("config.json")).unwrap();
    model.run::<&str>(&[]).ok();
    model.check("model.safetensors", &oid_of(name));
    let model = with_config();
    model.git(&["sparse-checkout", "set", "--no-cone", "/*", "!/config.json"]);
    assert!(!model.at("config.json").exists());
    model.run::<&str>(&[]).ok();
    model.check("model.safetensors", &oid_of(name));
    // The file of the working tree has priority over the staged one.
    let model = with_config();
    model.write("config.json", "{}");
    model.run::<&str>(&[]).ok();
    model.check("model.safetensors", &oid_of("gpt2-tied-no-config.bin"));
    assert_ne!(oid_of(name), oid_of("gpt2-tied-no-config.bin"));
}

/// Returns the names in a safetensors file.
fn held(model: &Model, path: &str) -> Vec<String> {
    let bytes = fs::read(model.at(path)).unwrap();
    let read = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<_> = read.names().into_iter().map(ToString::to_string).collect();
    names.sort();
    names
}

#[test]
fn names_of_ties_can_be_kept_over_several_files() {
    let model = Model::new();
    model.add("a/pytorch_model.bin", &fixture("tied-3.bin"));
    model.add("b/pytorch_model.bin", &fixture("tied-2.bin"));
    model.commit();
    model.run(&["--keep", "z.weight", "--keep", "embed.weight"]).ok();
    assert_eq!(held(&model, "a/model.safetensors"), ["bias", "z.weight"]);
    assert_eq!(held(&model, "b/model.safetensors"), ["bias", "embed.weight"]);
    // Plain files also need the name in each of them.
    let root = model.sandbox.path("plain");
    fs::create_dir(&root).unwrap();
    for name in ["tied-3.bin", "tied-2.bin"] {
        fs::write(root.join(name), fixture(name)).unwrap();
    }
    let args = ["tied-3.bin", "tied-2.bin", "--keep", "z.weight", "--keep", "embed.weight"];
    model.sandbox.bin(&root, &args).ok();
    for (plain, path) in [("tied-3", "a/model.safetensors"), ("tied-2", "b/model.safetensors")] {
        let written = fs::read(root.join(plain).with_extension("safetensors")).unwrap();
        assert_eq!(written, fs::read(model.at(path)).unwrap());
    }
    // They are conversions, with names that the report lists.
    let kept = "as converted by safetensors 0.3.1 or later, with `--keep`\n";
    for verified in [model.run(&["verify"]).ok(), model.sandbox.bin(&root, &["verify", "."]).ok()] {
        assert_eq!(verified.matches(kept).count(), 2, "{verified}");
        assert!(verified.contains("dropped  a.weight (tied to z.weight)"), "{verified}");
    }
    model.git(&["commit", "-qm", "converted"]);
    fs::remove_dir_all(model.at(".git/st-converted")).unwrap();
    let verified = model.run(&["verify", "--rev", "HEAD"]).ok();
    assert_eq!(verified.matches(kept).count(), 2, "{verified}");
}

#[test]
fn a_name_to_keep_that_no_file_has_stops_the_run_before_anything_is_written() {
    let model = Model::new();
    model.add("a/pytorch_model.bin", &fixture("tied-3.bin"));
    model.add("b/pytorch_model.bin", &fixture("tied-2.bin"));
    model.commit();
    let before = model.listing();
    let error = "error: no tied tensor is named none\n";
    let run = model.run(&["--keep", "z.weight", "--keep", "none"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(error) && run.stdout.is_empty(), "{run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
    // The same applies to plain files.
    let root = model.sandbox.path("plain");
    fs::create_dir(&root).unwrap();
    for name in ["tied-3.bin", "tied-2.bin"] {
        fs::write(root.join(name), fixture(name)).unwrap();
    }
    let run = model.sandbox.bin(&root, &["tied-3.bin", "tied-2.bin", "--keep", "none"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(error), "{run:?}");
    assert!(!root.join("tied-3.safetensors").exists());
    // The names of a file that cannot be read are not known.
    fs::write(root.join("noise.bin"), "noise").unwrap();
    let run = model.sandbox.bin(&root, &["tied-3.bin", "noise.bin", "--keep", "none"]);
    assert!(run.stderr.contains("noise.bin: not a PyTorch checkpoint"), "{run:?}");
    assert!(root.join("tied-3.safetensors").exists());
}

#[test]
fn of_ties_that_no_table_knows_it_is_said_which_name_was_kept() {
    let model = Model::with("tied-3.bin");
    let note = "kept a.weight and dropped m.weight, z.weight: the model's class is not known; \
                keep another: `--keep m.weight`\n";
    let run = model.run(&["-n"]);
    assert!(run.stderr.contains(note), "{run:?}");
    model.write("config.json", "{\"architectures\": [\"MyModel\"]}");
    let run = model.run(&["-n"]);
    assert!(run.stderr.contains("no table of tied names has the class MyModel; keep another"), "{run:?}");
    let lines = json_lines(&model.run(&["-n", "--json"]).ok());
    let tied = serde_json::json!({
        "kind": "tied", "kept": "a.weight", "dropped": ["m.weight", "z.weight"], "class": "MyModel", "more": 0
    });
    assert!(lines[0]["notes"].as_array().unwrap().contains(&tied), "{lines:?}");
    for silent in [model.run(&["-n", "--keep", "a.weight"]), {
        model.write("config.json", "{\"architectures\": [\"GPT2LMHeadModel\"]}");
        model.run(&["-n"])
    }] {
        assert!(!silent.stderr.contains("keep another"), "{silent:?}");
    }
}

#[test]
fn two_names_of_one_tie_cannot_both_be_kept() {
    let model = Model::with("tied-3.bin");
    let before = model.listing();
    for args in [
        &["--keep", "a.weight", "--keep", "z.weight"] as &[&str],
        &["--keep", "z.weight", "--keep", "m.weight"],
    ] {
        let run = model.run(args);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(
            run.stderr.contains("hint: list the tied tensors: `git st-convert inspect pytorch_model.bin`"),
            "{run:?}"
        );
        assert_eq!(differences(&before, &model.listing()), [""; 0]);
    }
    // A repeated name counts once.
    model.run(&["--keep", "z.weight", "--keep", "z.weight"]).ok();
    assert_eq!(held(&model, "model.safetensors"), ["bias", "z.weight"]);
}

#[test]
fn what_changes_a_repository_needs_one() {
    let model = Model::new();
    let root = model.sandbox.path("plain");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("tied-2.bin"), fixture("tied-2.bin")).unwrap();
    let before = model.listing();
    for option in ["--replace", "--commit", "--pointer-only"] {
        for args in [&[option] as &[&str], &[option, "tied-2.bin"], &["-n", option, "tied-2.bin"]] {
            let run = model.sandbox.bin(&root, args);
            assert_eq!(run.code, Some(2), "{args:?}: {run:?}");
            assert_eq!(run.stderr, format!("error: {option} requires a git repository\n"));
        }
        // A file outside of the repository is refused in the same way.
        let run = model.run(&[option, "../plain/tied-2.bin", "-o", "../plain/out.safetensors"]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(&format!("'{option}' cannot be used with '--output")), "{run:?}");
    }
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn a_name_of_a_tie_can_be_kept() {
    let model = Model::with("tied-3.bin");
    let run = json_lines(&model.run(&["--json", "--keep", "z.weight"]).ok());
    let dropped: Vec<_> =
        run[0]["dropped"].as_array().unwrap().iter().map(|pair| (&pair["name"], &pair["kept"])).collect();
    let text = serde_json::Value::from;
    assert_eq!(dropped, [(&text("a.weight"), &text("z.weight")), (&text("m.weight"), &text("z.weight"))]);
    let bytes = fs::read(model.at("model.safetensors")).unwrap();
    let read = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(read.tensor("z.weight").is_ok() && read.tensor("a.weight").is_err());
    // An unknown name is an error.
    let before = model.listing();
    let run = model.run(&["-f", "--keep", "none"]);
    assert_ne!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("hint: "), "{run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn a_dict_can_be_chosen() {
    let model = Model::new();
    model.add("two.pt", &fixture("two-candidates-key.pt"));
    model.commit();
    let refused = model.run::<&str>(&[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for key in ["--key ema", "--key model"] {
        assert!(refused.stderr.contains(key), "{key}: {refused:?}");
    }
    assert_eq!(model.status(), "");
    model.run(&["--key", "ema"]).ok();
    model.check("two.safetensors", &oid_of("two-candidates-key.pt"));
    let run = model.run(&["-f", "--key", "none"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("hint: "), "{run:?}");
}

#[test]
fn strict_refuses_what_would_be_dropped() {
    for name in ["lightning.ckpt", "beside-objects.bin", "deepspeed.pt", "legacy-lightning.ckpt"] {
        let model = Model::with(name);
        let before = model.listing();
        let run = model.run(&["--strict"]);
        assert_eq!(run.code, Some(1), "{name}: {run:?}");
        assert!(
            run.stderr.contains("refused: the checkpoint also contains ") && run.stderr.contains("hint: "),
            "{run:?}"
        );
        assert_eq!(differences(&before, &model.listing()), [""; 0]);
        let run = json_lines(&model.run(&["--json"]).ok());
        assert!(!run[0]["ignored"].as_array().unwrap().is_empty(), "{name}");
        model.check("model.safetensors", &oid_of(name));
    }
    let model = Model::with("tied-2.bin");
    model.run(&["--strict"]).ok();
    model.check("model.safetensors", &oid_of("tied-2.bin"));
}

#[test]
fn replacing_removes_the_checkpoint() {
    let model = Model::with("tied-2.bin");
    let run = model.run(&["--replace"]);
    assert!(run.stderr.contains("removed pytorch_model.bin"), "{run:?}");
    run.ok();
    assert_eq!(
        model.git(&["status", "--porcelain", "--no-renames"]),
        "A  model.safetensors\nD  pytorch_model.bin\n"
    );
    assert!(!model.at("pytorch_model.bin").exists());
    model.check("model.safetensors", &oid_of("tied-2.bin"));
    // The object stays in LFS storage, because the previous commit needs it.
    assert!(model.object(Oid::of(&fixture("tied-2.bin"))).exists());
    model.git(&["commit", "-q", "-m", "replaced"]);
    assert_eq!(model.status(), "");
}

#[test]
fn replacing_what_is_up_to_date() {
    let model = Model::with("tied-2.bin");
    model.run(&["--commit"]).ok();
    model.run(&["--replace", "--commit"]).ok();
    assert_eq!(model.status(), "");
    let files = model.git(&["ls-tree", "--name-only", "HEAD"]);
    assert!(!files.contains("pytorch_model.bin") && files.contains("model.safetensors"), "{files}");
}

#[test]
fn the_content_only_in_the_store() {
    let model = Model::with("tied-2.bin");
    model.run(&["--pointer-only"]).ok();
    let oid = oid_of("tied-2.bin").parse::<Oid>().unwrap();
    let size = model.object(oid).metadata().unwrap().len();
    let pointer = Pointer { oid, size }.to_string();
    assert_eq!(fs::read_to_string(model.at("model.safetensors")).unwrap(), pointer);
    assert_eq!(model.staged("model.safetensors"), pointer);
    let runs = model.sandbox.filter_runs();
    assert_eq!(model.status(), "A  model.safetensors\n");
    model.git(&["commit", "-q", "-m", "converted"]);
    assert_eq!(model.status(), "");
    assert_eq!(model.sandbox.filter_runs(), runs, "the filter ran");
    if model.sandbox.git_lfs_available() {
        model.git(&["lfs", "checkout", "model.safetensors"]);
        assert_eq!(Oid::of(&fs::read(model.at("model.safetensors")).unwrap()), oid);
    }
}

#[test]
fn training_state_is_skipped_with_a_note_unless_it_is_named() {
    let model = Model::new();
    for name in ["training_args.bin", "optimizer.bin", "scheduler.pt", "rng_state_0.pt"] {
        model.add(name, &fixture("tied-2.bin"));
    }
    model.add("pytorch_model.bin", &fixture("tied-2.bin"));
    model.commit();
    let run = model.run::<&str>(&[]);
    for name in ["training_args.bin", "optimizer.bin", "scheduler.pt", "rng_state_0.pt"] {
        assert!(run.stderr.contains(&format!("{name}: skipped")), "{name}: {run:?}");
    }
    run.ok();
    assert_eq!(model.status(), "A  model.safetensors\n");
    model.run(&["optimizer.bin"]).ok();
    model.check("optimizer.safetensors", &oid_of("tied-2.bin"));
}

#[test]
fn training_state_that_is_not_here_is_skipped_with_a_note_too() {
    let model = Model::new();
    let bytes = fixture("tied-2.bin");
    for name in ["optimizer.bin", "pytorch_model.bin"] {
        model.add(name, &bytes);
        model.only_pointer(name, &bytes);
    }
    model.commit();
    fs::remove_file(model.object(Oid::of(&bytes))).unwrap();
    let run = model.run(&["--offline"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("optimizer.bin: skipped: training state"), "{run:?}");
}

#[test]
fn a_default_message_names_what_was_done() {
    let model = Model::with("tied-2.bin");
    model.run(&["--commit", "--replace"]).ok();
    let message = model.git(&["show", "-s", "--format=%B", "HEAD"]);
    let trailer = format!("Converted-From: pytorch_model.bin sha256:{}", Oid::of(&fixture("tied-2.bin")));
    assert!(message.lines().next().is_some_and(|subject| subject.len() > 10), "{message}");
    assert!(message.lines().any(|line| line == trailer), "{message}");
    // Without changes, nothing is committed.
    let head = model.git(&["rev-parse", "HEAD"]);
    model.run(&["--commit"]).ok();
    assert_eq!(model.git(&["rev-parse", "HEAD"]), head);
}
