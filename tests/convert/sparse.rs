//! Tests sparse checkouts: sources inside and outside, cones and patterns, a sparse index.

use super::{Model, fixture, oid_of};

const NAME: &str = "tied-2.bin";
const KINDS: [&[&str]; 3] =
    [&["--cone", "in"], &["--cone", "--sparse-index", "in"], &["--no-cone", "/in/", "/.gitattributes"]];

fn sparse(args: &[&str]) -> Model {
    let model = Model::new();
    for path in ["in/pytorch_model.bin", "out/deep/pytorch_model.bin"] {
        model.add(path, &fixture(NAME));
    }
    for path in ["in/a", "out/b", "far/c"] {
        model.add(path, path.as_bytes());
    }
    model.commit();
    model.git(&[&["sparse-checkout", "set"], args].concat());
    assert!(!model.at("out").exists() && model.at("in/a").exists());
    model
}

fn skipped(model: &Model) -> Vec<String> {
    let listed = model.git(&["ls-files", "-t"]);
    listed.lines().filter_map(|line| line.strip_prefix("S ")).map(str::to_owned).collect()
}

#[test]
fn sources_inside_and_outside() {
    for args in KINDS {
        let model = sparse(args);
        let before = skipped(&model);
        let run = model.run::<&str>(&[]);
        assert_eq!(run.code, Some(0), "{run:#?}");
        let note = "1 checkpoint outside the sparse checkout not converted: out/deep/pytorch_model.bin\n\
             hint: convert it: `git st-convert out/deep/pytorch_model.bin`\n";
        assert!(run.stderr.contains(note), "{run:#?}");
        assert_eq!(model.status(), "A  in/model.safetensors\n", "{args:?}");
        // A directory above it or a pattern does not select it either; `status` counts it.
        for path in [".", "*.bin"] {
            let run = model.run(&[path]);
            assert!(run.code == Some(0) && run.stderr.contains(note), "{run:#?}");
        }
        let status = model.run(&["status", "--exit-code"]);
        assert!(status.stdout.contains("1 checkpoint outside the sparse checkout\n"), "{status:#?}");
        assert_eq!(status.code, Some(0), "{status:#?}");
        model.run(&["out/deep/pytorch_model.bin"]).ok();
        model.check("in/model.safetensors", &oid_of(NAME));
        model.check("out/deep/model.safetensors", &oid_of(NAME));
        assert_eq!(model.status(), "A  in/model.safetensors\nA  out/deep/model.safetensors\n", "{args:?}");
        assert_eq!(skipped(&model), before, "{args:?}");
        assert!(!model.at("out/b").exists() && !model.at("out/deep/pytorch_model.bin").exists());
        // After its conversion, a run does not report it any more, and `status` lists both files.
        let again = model.run::<&str>(&[]);
        assert!(again.code == Some(0) && !again.stderr.contains("outside"), "{again:#?}");
        let status = model.run(&["status", "--exit-code"]);
        assert!(status.stdout.contains("2 safetensors files up to date\n"), "{status:#?}");
        assert!(!status.stdout.contains("outside") && status.code == Some(0), "{status:#?}");
        let runs = model.sandbox.filter_runs();
        model.git(&["commit", "-q", "-m", "converted"]);
        assert_eq!(model.status(), "", "{args:?}");
        assert_eq!(model.sandbox.filter_runs(), runs);
        model.git(&["fsck", "--strict"]);
        let files = model.git(&["ls-tree", "-r", "--name-only", "HEAD"]);
        assert_eq!(files.lines().count(), 9, "{files}");
    }
}

#[test]
fn replacing_outside_of_the_sparse_checkout() {
    for args in KINDS {
        let model = sparse(args);
        model.run(&["--replace", "--commit", "out"]).ok();
        assert_eq!(model.status(), "", "{args:?}");
        let files = model.git(&["ls-tree", "-r", "--name-only", "HEAD"]);
        assert!(!files.contains("out/deep/pytorch_model.bin") && files.contains("out/b"), "{files}");
        assert!(files.contains("in/pytorch_model.bin"), "{files}");
        model.check("out/deep/model.safetensors", &oid_of(NAME));
    }
}

#[test]
fn attributes_that_are_not_checked_out() {
    let model = Model::new();
    model.add("in/pytorch_model.bin", &fixture(NAME));
    model.add("out/pytorch_model.bin", &fixture(NAME));
    model.write("out/.gitattributes", "*.safetensors -filter\n");
    model.git(&["add", "out/.gitattributes"]);
    model.commit();
    model.git(&["sparse-checkout", "set", "--cone", "in"]);
    model.run(&["out/pytorch_model.bin"]).ok();
    let status = model.status();
    assert_eq!(status, "M  out/.gitattributes\nA  out/model.safetensors\n");
    model.check("out/model.safetensors", &oid_of(NAME));
}

/// git itself stores the checkpoint, so that a checkout alone brings its bytes: the hint is one command that does both.
#[test]
fn a_checkpoint_without_a_pointer_is_checked_out_by_the_hint() {
    for args in KINDS {
        let model = Model::with_attributes(Some("*.safetensors filter=lfs diff=lfs merge=lfs -text\n"));
        for path in ["in/pytorch_model.bin", "out/deep/pytorch_model.bin"] {
            model.write(path, fixture(NAME));
            model.git(&["add", path]);
        }
        model.commit();
        model.git(&[&["sparse-checkout", "set"], args].concat());
        let named = model.run(&["out/deep/pytorch_model.bin"]);
        let hint = "hint: check it out: `git update-index --no-skip-worktree out/deep/pytorch_model.bin && \
                    git restore out/deep/pytorch_model.bin`\n";
        assert!(named.code == Some(2) && named.stderr.contains(hint), "{args:?}: {named:#?}");
        let run = model.run::<&str>(&[]);
        let command = run.stderr.lines().find_map(|line| line.strip_prefix("hint: convert it: `"));
        let command = command.unwrap_or_else(|| panic!("{run:#?}")).trim_end_matches('`');
        let pasted = super::paths::paste(&model, command);
        assert_eq!(pasted.code, Some(0), "{args:?}: {command}: {pasted:#?}");
        model.check("out/deep/model.safetensors", &oid_of(NAME));
        assert_eq!(model.status(), "A  in/model.safetensors\nA  out/deep/model.safetensors\n", "{args:?}");
    }
}
