//! Tests the output of `convert`: lines, JSON, refusals with their hints, and the worst exit code.

use std::fs;

use super::{assert_shown, copy, json_lines, run, with_fixtures};
use crate::sandbox::Sandbox;

#[test]
fn one_plain_file() {
    let (sandbox, dir) = with_fixtures(&["trainer-pair.pt", "tied-2.bin"]);
    assert_shown(
        &run(&sandbox, &dir, &["-n", "tied-2.bin"]),
        "would convert tied-2.bin → tied-2.safetensors\n  2 tensors, 264 bytes\n  \
         dropped  embed.weight (tied to decoder.weight)\n--- stderr\n\
         tied-2.bin: kept decoder.weight and dropped embed.weight: the model's class is not known; \
         keep another: `--keep embed.weight`\n--- exit 0\n",
    );
    assert!(!dir.join("tied-2.safetensors").exists());
    let converted = "trainer-pair.pt → x.safetensors\n  2 tensors, 236 bytes\n  key      0\n  \
                     ignored  1 (training state, dict of 3 tensors)\n--- exit 0\n";
    let args = ["trainer-pair.pt", "-o", "x.safetensors"];
    assert_shown(&run(&sandbox, &dir, &args), converted);
    assert_shown(&run(&sandbox, &dir, &args), "trainer-pair.pt → x.safetensors (up to date)\n--- exit 0\n");
    fs::write(dir.join("x.safetensors"), "mine").unwrap();
    assert_shown(
        &run(&sandbox, &dir, &args),
        "--- stderr\nerror: trainer-pair.pt: cannot write x.safetensors: file exists\n\
         hint: choose another output: `git st-convert trainer-pair.pt --output FILE`\n--- exit 1\n",
    );
    assert_shown(&run(&sandbox, &dir, &["convert", "--force", args[0], args[1], args[2]]), converted);
    assert_shown(&run(&sandbox, &dir, &["-q", "tied-2.bin"]), "--- exit 0\n");
    assert_shown(
        &run(&sandbox, &dir, &["tied-2.bin"]),
        "tied-2.bin → tied-2.safetensors (up to date)\n--- exit 0\n",
    );
}

/// Each refusal has a command that helps.
#[test]
fn refusals_and_their_hints() {
    for (file, message, hints) in [
        (
            "os-system.bin",
            "refused: the pickle imports `os.system`\n  \
             caused by: global at byte 252 of os-system/data.pkl is not an allowed global",
            "hint: list everything it imports: `git st-convert scan os-system.bin`\n",
        ),
        (
            "two-candidates.pt",
            "the checkpoint contains 2 state dicts",
            "hint: choose a state dict with `--key`:\n        --key model  2 tensors, 60 bytes\n        \
             --key ema    2 tensors, 60 bytes\n        --key .      4 tensors, 120 bytes\n",
        ),
        (
            "torchscript.pt",
            "TorchScript archive is frozen: its tensors are constants of the code (constants.pkl), not state",
            "hint: save the weights of the model that it was made of with `torch.save(model.state_dict(), …)`, \
             and convert that file\n",
        ),
        (
            "truncated.bin",
            "truncated zip archive: no end of central directory",
            "hint: compare its checksum with the publisher's: `sha256sum truncated.bin`\n",
        ),
        (
            "page.bin",
            "not a PyTorch checkpoint (found: web page)",
            "hint: download it again; the server may require you to sign in\n",
        ),
    ] {
        assert_refused(file, message, hints);
    }
}

#[test]
fn refused_modules_and_their_hints() {
    for (file, message, hints) in [
        (
            "module-two.pt",
            "the checkpoint contains 2 state dicts",
            "hint: choose a state dict with `--key`:\n        --key model  3 tensors, 60 bytes\n        \
             --key ema    3 tensors, 60 bytes\n        --key .      6 tensors, 120 bytes\n",
        ),
        (
            "module-graph.pt",
            "the checkpoint is a pickled `torch.fx.graph_module.reduce_graph_module` object, not a state dict",
            "hint: if you trust it, load it in PyTorch and save only the weights: \
             `torch.save(model.state_dict(), …)`\n",
        ),
        (
            "module-hooks.pt",
            "module head.linear (`torch.nn.modules.linear.Linear`) has hooks that change its state dict",
            "hint: if you trust it, load it in PyTorch and save only the weights: \
             `torch.save(model.state_dict(), …)`\n",
        ),
    ] {
        assert_refused(file, message, hints);
    }
}

/// A missing download is a failure, not a refusal. Only in a repository git-lfs can download it.
#[test]
fn a_pointer_without_its_object_and_its_hint() {
    let (sandbox, dir) = with_fixtures(&["pointer.bin"]);
    let error = "error: pointer.bin: the LFS object is not downloaded\n";
    let hint = "hint: download it: `git lfs pull --include \"pointer.bin\"`\n";
    for command in [&["pointer.bin"][..], &["inspect", "pointer.bin"], &["scan", "pointer.bin"]] {
        assert_eq!(sandbox.bin(&dir, command).stderr, error, "{command:?}");
    }
    let compared = sandbox.bin(&dir, &["diff", "pointer.bin", "pointer.bin"]);
    assert!(!compared.stderr.contains("git lfs"), "{compared:?}");
    sandbox.git(&dir, &["init", "-q"]);
    let expected = format!("--- stderr\n{error}{hint}--- exit 2\n");
    assert_shown(&run(&sandbox, &dir, &["pointer.bin"]), &expected);
    let told = json_lines(&sandbox.bin(&dir, &["--json", "pointer.bin"]).stdout);
    assert_eq!((&told[0]["status"], &told[1]["exit_code"]), (&"failed".into(), &2.into()), "{told:?}");
}

/// Checks the message for a refused file, and that no output is left.
#[track_caller]
fn assert_refused(file: &str, message: &str, hints: &str) {
    let (sandbox, dir) = with_fixtures(&[file]);
    let expected = format!("--- stderr\nerror: {file}: {message}\n{hints}--- exit 1\n");
    assert_shown(&run(&sandbox, &dir, &[file]), &expected);
    let quiet = format!("--- stderr\nerror: {file}: {message}\n--- exit 1\n");
    assert_shown(&run(&sandbox, &dir, &["-q", file]), &quiet);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "{file} leaves something");
}

#[test]
fn json_has_every_field_and_the_worst_code_counts() {
    let (sandbox, dir) = with_fixtures(&["tied-2.bin", "os-system.bin"]);
    let output = sandbox.bin(&dir, &["--json", "os-system.bin", "tied-2.bin", "none.bin"]);
    assert_eq!(output.code, Some(2));
    let lines = json_lines(&output.stdout);
    let fields =
        |line: &serde_json::Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(lines.len(), 4);
    for line in &lines[..3] {
        assert_eq!(
            fields(line),
            "type source output status oid size source_oid format tensors dropped ignored reason copies notes"
        );
        assert_eq!(line["type"], "file");
    }
    assert_eq!(lines[0]["status"], "refused");
    assert_eq!(
        lines[0]["reason"],
        "refused: the pickle imports `os.system`: global at byte 252 of os-system/data.pkl is not an allowed global"
    );
    assert_eq!(lines[1]["status"], "converted");
    assert_eq!(lines[1]["output"], "tied-2.safetensors");
    assert_eq!(lines[1]["format"], "zip");
    assert_eq!(lines[1]["dropped"][0]["name"], "embed.weight");
    assert_eq!(lines[1]["dropped"][0]["kept"], "decoder.weight");
    assert_eq!(lines[1]["oid"].as_str().unwrap().len(), 64);
    assert_eq!(lines[2]["status"], "failed");
    assert_eq!(
        fields(&lines[3]),
        "type files converted up_to_date skipped refused failed dry_run staged commit reason exit_code adopted updated unverified"
    );
    assert_eq!(counts(&lines[3]), [3, 1, 0, 0, 1, 1]);
    assert_eq!(lines[3]["exit_code"], 2);
    assert!(output.stderr.contains("error: none.bin: file not found\n"), "{}", output.stderr);
}

/// Returns the counts of a summary: all files, and those of each status.
fn counts(summary: &serde_json::Value) -> [u64; 6] {
    assert_eq!(summary["type"], "summary");
    ["files", "converted", "up_to_date", "skipped", "refused", "failed"]
        .map(|key| summary[key].as_u64().unwrap())
}

#[test]
fn json_names_the_independent_copies() {
    let (sandbox, dir) = with_fixtures(&["overlapping-views.bin", "tied-transposed.bin", "tied-2.bin"]);
    let copies = |name: &str| {
        let output = sandbox.bin(&dir, &["-n", "--json", name]).ok();
        json_lines(&output)[0]["copies"].clone()
    };
    let covers = "partial view of the storage";
    let pair = |name: &str, reason: &str| serde_json::json!({ "name": name, "reason": reason });
    let expected = serde_json::json!([pair("a", covers), pair("b", covers)]);
    assert_eq!(copies("overlapping-views.bin"), expected);
    assert_eq!(copies("tied-transposed.bin"), serde_json::json!([pair("b", "transposed or strided view")]));
    assert_eq!(copies("tied-2.bin"), serde_json::json!([]));
}

#[test]
fn how_it_was_read_is_told() {
    let classes = [
        "my.pkg.Net",
        "my.pkg.heads.Head",
        "torch.nn.modules.linear.Linear",
        "torch.nn.modules.activation.ReLU",
    ];
    let structure = format!(
        "read from the module structure (class {}); a custom state_dict() is not applied",
        classes.join(", ")
    );
    let module = |path: &str| serde_json::json!([{ "kind": "module", "path": path, "classes": classes }]);
    let prefix = |prefix: &str, names: u64, of: u64| serde_json::json!([{ "kind": "prefix", "prefix": prefix, "names": names, "of": of }]);
    let unnamed = serde_json::json!([{ "kind": "unnamed", "name": "tensor" }]);
    for (file, text, notes) in [
        ("bare-tensor.pt", "named the single unnamed tensor tensor", unnamed.clone()),
        ("legacy-bare-parameter.pt", "named the single unnamed tensor tensor", unnamed),
        ("prefix-parallel.bin", "all names start with module. (prefix kept)", prefix("module.", 2, 2)),
        (
            "prefix-compiled.bin",
            "all names start with module._orig_mod. (prefix kept)",
            prefix("module._orig_mod.", 2, 2),
        ),
        (
            "prefix-fsdp.bin",
            "2 of 3 names start with _fsdp_wrapped_module. (prefix kept)",
            prefix("_fsdp_wrapped_module.", 2, 3),
        ),
        ("module.pt", &structure, module(".")),
        ("module-yolo.pt", &format!("model: {structure}"), module("model")),
        ("legacy-module.pt", &structure, module(".")),
        ("prefix-few.bin", "", serde_json::json!([])),
        ("plain-dict.bin", "", serde_json::json!([])),
    ] {
        let (sandbox, dir) = with_fixtures(&[file]);
        let output = sandbox.bin(&dir, &["-n", file]);
        let expected = if text.is_empty() { String::new() } else { format!("{file}: {text}\n") };
        assert_eq!((output.stderr.as_str(), output.code), (expected.as_str(), Some(0)), "{file}");
        assert_eq!(json_lines(&sandbox.bin(&dir, &["-n", "--json", file]).ok())[0]["notes"], notes, "{file}");
        let inspected = sandbox.bin(&dir, &["inspect", "--json", file]).ok();
        assert_eq!(json_lines(&inspected).pop().unwrap()["notes"], notes, "{file}");
    }
}

#[test]
fn what_is_beside_the_weights_of_a_module_is_told_and_refused_under_strict() {
    let (sandbox, dir) = with_fixtures(&["module-large.pt", "numpy-beside.ckpt"]);
    let ignored = |file: &str| {
        let line = json_lines(&sandbox.bin(&dir, &["-n", "--json", file]).ok()).remove(0);
        let items = line["ignored"].as_array().unwrap().clone();
        let text = |item: &serde_json::Value, key: &str| item[key].as_str().unwrap().to_owned();
        items.iter().map(|item| text(item, "path") + ": " + &text(item, "reason")).collect::<Vec<_>>()
    };
    assert_eq!(
        ignored("module-large.pt"),
        [
            "left_out: non-persistent buffer",
            "anchors: module attribute, tensor",
            "cache: module attribute, dict",
            "rnn._flat_weights: module attribute, list",
            ".: module `my.pkg.Net`, only its weights are kept",
        ]
    );
    assert_eq!(
        ignored("numpy-beside.ckpt"),
        [
            "momentum: numpy number",
            "numpy_random: tuple of 1 numpy array",
            "rng_states: training state, list of 1 tensor and 1 numpy array",
            "settings: my.pkg.Settings with 1 numpy array",
            "history: numpy array",
        ]
    );
    let strict = sandbox.bin(&dir, &["-n", "--strict", "module-large.pt"]);
    assert_eq!(strict.code, Some(1));
    assert!(strict.stderr.contains("left_out"), "{}", strict.stderr);
}

#[test]
fn an_empty_directory_outside_of_a_repository_has_no_checkpoints() {
    let (sandbox, dir) = with_fixtures(&[]);
    let output = sandbox.bin(dir.parent().unwrap(), &["here"]);
    assert_eq!((output.stderr.as_str(), output.code), ("nothing to convert: no checkpoints\n", Some(0)));
}

#[test]
fn json_ends_with_the_counts_whatever_the_end() {
    let (sandbox, dir) = with_fixtures(&["tied-2.bin"]);
    let last = |output: &crate::sandbox::Output| json_lines(&output.stdout).pop().unwrap();
    // No file was begun.
    let output = sandbox.bin(&dir, &["--json"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    let summary = last(&output);
    assert_eq!(counts(&summary), [0; 6]);
    assert_eq!((&summary["exit_code"], &summary["staged"]), (&2.into(), &false.into()));
    assert_eq!(summary["reason"], "not a git repository");
    // Everything except the commit was done.
    let repo = sandbox.repo("model");
    fs::write(repo.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    copy("tied-2.bin", &repo.join("pytorch_model.bin"));
    copy("os-system.bin", &repo.join("other.bin"));
    copy("plain-dict.bin", &repo.join("optimizer.bin"));
    sandbox.git(&repo, &["add", "."]);
    sandbox.git(&repo, &["commit", "-q", "-m", "three"]);
    sandbox.git(&repo, &["config", "commit.gpgSign", "true"]);
    sandbox.git(&repo, &["config", "gpg.program", "false"]);
    let output = sandbox.bin(&repo, &["--json", "--commit"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    let summary = last(&output);
    assert_eq!(counts(&summary), [3, 1, 0, 1, 1, 0]);
    assert_eq!((&summary["exit_code"], &summary["staged"]), (&2.into(), &true.into()));
    assert!(summary["reason"].as_str().unwrap().contains("git commit"), "{summary}");
    assert_eq!(summary["commit"], serde_json::Value::Null);
    // The worst file determines the exit code.
    let summary = last(&sandbox.bin(&repo, &["--json"]));
    assert_eq!(counts(&summary), [3, 0, 1, 1, 1, 0]);
    assert_eq!((&summary["exit_code"], &summary["staged"]), (&1.into(), &false.into()));
    // The demo also converts.
    let output = sandbox.bin(&sandbox.path(""), &["--json", "demo", "model"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert_eq!((counts(&last(&output)), &last(&output)["exit_code"]), ([0; 6], &2.into()));
}

#[test]
fn in_a_repository() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo("model");
    fs::write(repo.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    copy("tied-2.bin", &repo.join("pytorch_model.bin"));
    copy("os-system.bin", &repo.join("other.bin"));
    copy("plain-dict.bin", &repo.join("optimizer.bin"));
    sandbox.git(&repo, &["add", "."]);
    sandbox.git(&repo, &["commit", "-q", "-m", "two"]);
    assert_shown(
        &run(&sandbox, &repo, &[] as &[&str]),
        "pytorch_model.bin → model.safetensors\n  2 tensors, 264 bytes, sha256 c7d55830b17c…\n  \
         dropped  embed.weight (tied to decoder.weight)\n--- stderr\n\
         optimizer.bin: skipped: training state\n\
         error: other.bin: refused: the pickle imports `os.system`\n  \
         caused by: global at byte 252 of os-system/data.pkl is not an allowed global\n\
         hint: list everything it imports: `git st-convert scan other.bin`\n\
         added an LFS entry to .gitattributes\n\
         pytorch_model.bin: kept decoder.weight and dropped embed.weight: the model's class is not known; \
         keep another: `--keep embed.weight`\n\
         hint: commit: `git commit -m \"convert weights to safetensors\"`\n--- exit 1\n",
    );
    assert_shown(
        &run(&sandbox, &repo, &["pytorch_model.bin"]),
        "pytorch_model.bin → model.safetensors (up to date)\n--- exit 0\n",
    );
    let verbose = sandbox.bin(&repo, &["-v", "--force", "--commit", "pytorch_model.bin"]);
    assert_eq!(verbose.code, Some(0), "{verbose:#?}");
    let oid = sandbox.git(&repo, &["show", "HEAD:model.safetensors"]);
    let oid = oid.lines().find_map(|line| line.strip_prefix("oid sha256:")).unwrap().to_owned();
    assert!(
        verbose.stdout.contains(&format!("\n  2 tensors, 264 bytes, sha256 {oid}\n")),
        "{}",
        verbose.stdout
    );
    assert!(verbose.stdout.contains("\n  source   zip, 1.8 KiB, sha256 "), "{}", verbose.stdout);
    let head = sandbox.git(&repo, &["rev-parse", "HEAD"]);
    assert!(verbose.stderr.ends_with(&format!("\ncommitted {}\n", &head[..12])), "{}", verbose.stderr);
    assert_shown(
        &run(&sandbox, &repo, &["README.md"]),
        "--- stderr\nerror: README.md: not a PyTorch checkpoint (found: unknown format)\n\
         hint: identify it: `file README.md`\n--- exit 1\n",
    );
}

#[test]
fn a_word_that_is_nearly_a_command_is_no_file_unless_git_has_one() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let before = sandbox.git(&dir, &["write-tree"]);
    assert_shown(
        &run(&sandbox, &dir, &["inspekt", "pytorch_model.bin"]),
        "--- stderr\nerror: 'inspekt' is not a git st-convert command, and no such file exists\n\
         hint: did you mean `git st-convert inspect`?\n--- exit 2\n",
    );
    for word in ["nope", "publik-it", "xx"] {
        assert_shown(
            &run(&sandbox, &dir, &[word]),
            &format!(
                "--- stderr\nerror: '{word}' is not a git st-convert command, and no such file exists\n\
                 hint: list the commands: `git st-convert -h`\n--- exit 2\n"
            ),
        );
    }
    assert_eq!(sandbox.git(&dir, &["write-tree"]), before);
    fs::create_dir(dir.join("scans")).unwrap();
    fs::write(dir.join("scans/a.bin"), "text").unwrap();
    sandbox.git(&dir, &["add", "scans"]);
    fs::remove_dir_all(dir.join("scans")).unwrap();
    let shown = run(&sandbox, &dir, &["-n", "scans"]);
    assert!(!shown.contains("command"), "{shown}");
    // A path is never taken for a misspelled command.
    for args in [&["inspekt.bin"][..], &["-o", "x.safetensors", "inspekt"]] {
        let shown = run(&sandbox, &dir, args);
        assert!(!shown.contains("command"), "{shown}");
    }
}
