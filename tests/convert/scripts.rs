//! Tests `TorchScript` archives in a repository: the conversion, and the output of each command for them.

use git_st_convert::hash::Oid;

use super::Model;
use crate::formats::scripts::{archive, scripts};

const LINEAR: &str = "2.9/linear.pt";

fn sha256(path: &str) -> String {
    scripts()[path].sha256.clone().unwrap()
}

#[test]
fn a_script_converts_like_any_checkpoint() {
    let model = Model::new();
    model.add("model.pt", &archive(LINEAR));
    model.commit();
    model.run::<&str>(&[]).ok();
    model.check("model.safetensors", &sha256(LINEAR));
    let verified = model.run(&["verify"]).ok();
    assert!(verified.contains("identical"), "{verified}");
    let seen = model.run(&["inspect", "model.pt"]).ok();
    assert!(seen.contains("weight") && seen.contains("torchscript"), "{seen}");
    let lines = model.run(&["--json", "-f", "-n", "model.pt"]).ok();
    assert!(lines.contains("\"format\":\"torchscript\""), "{lines}");
}

#[test]
fn a_script_under_another_suffix_is_skipped_until_it_is_named() {
    for name in ["rust_model.ot", "silero.jit", "model"] {
        let model = Model::new();
        model.write(name, archive(LINEAR));
        model.git(&["add", name]);
        model.commit();
        let run = model.run::<&str>(&[]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
        let note = format!("{name}: skipped: TorchScript archive; convert it: `git st-convert {name}`\n");
        assert!(run.stderr.contains(&note), "{run:?}");
        let lines = model.run(&["--json"]).ok();
        assert!(
            lines.contains("\"status\":\"skipped\"") && lines.contains("a TorchScript archive"),
            "{lines}"
        );
        model.run(&[name]).ok();
        let stem = name.split('.').next().unwrap();
        model.check(format!("{stem}.safetensors"), &sha256(LINEAR));
    }
}

#[test]
fn a_module_in_a_script_is_taken_by_its_key() {
    let model = Model::new();
    model.write("model.pt", archive("2.9/nested.pt"));
    let run = model.run(&["-o", "first.safetensors", "--key", "first", "model.pt"]);
    let said = run.ok();
    assert!(said.contains("key      first") && said.contains("4 tensors"), "{said}");
    let names = model.run(&["inspect", "first.safetensors"]).ok();
    assert!(names.contains("inner.weight") && !names.contains("first."), "{names}");
    model.run(&["-o", "deep.safetensors", "--key", "by_name.right.0", "model.pt"]).ok();
    for (key, code) in [("nothing", 1), ("head", 1), ("first.scale", 1), ("first.inner.weight", 1), (".", 0)]
    {
        let run = model.run(&["-f", "-o", "x.safetensors", "--key", key, "model.pt"]);
        assert_eq!(run.code, Some(code), "{key}: {run:?}");
    }
    let whole = std::fs::read(model.at("x.safetensors")).unwrap();
    assert_eq!(Oid::of(&whole).to_string(), sha256("2.9/nested.pt"));
}

#[test]
fn what_a_script_has_beside_its_weights_is_told_and_refused_under_strict() {
    let model = Model::new();
    model.write("model.pt", archive("2.9/attributes.pt"));
    let said = model.run(&["-o", "x.safetensors", "model.pt"]).ok();
    for told in [
        "plain (module attribute, tensor)",
        "list (module attribute, list)",
        "pair (module attribute, tuple)",
        "by_name (module attribute, dict)",
        "maybe (module attribute, tensor)",
        ". (TorchScript module `__torch__.cases_scripts.Attributes`, only its weights are kept)",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let run = model.run(&["--strict", "-o", "y.safetensors", "model.pt"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    model.write("buffer.pt", archive("2.9/optional-buffer.pt"));
    let said = model.run(&["-o", "z.safetensors", "buffer.pt"]).ok();
    let told = "maybe (buffer that may be None (not in the state dict of PyTorch))";
    assert!(said.contains(told), "{said}");
    model.write("constants.pt", archive("2.9/constants.pt"));
    let said = model.run(&["-o", "c.safetensors", "constants.pt"]).ok();
    assert!(said.contains("constants.pkl (tensor constants of the code)"), "{said}");
}

#[test]
fn a_script_that_names_what_executes_is_refused() {
    let model = Model::new();
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let mut whole = zip::ZipArchive::new(std::io::Cursor::new(archive(LINEAR))).unwrap();
    for index in 0..whole.len() {
        writer.raw_copy_file(whole.by_index_raw(index).unwrap()).unwrap();
    }
    writer.start_file("archive/code/x.py.debug_pkl", zip::write::SimpleFileOptions::default()).unwrap();
    std::io::Write::write_all(&mut writer, b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.").unwrap();
    model.write("model.pt", writer.finish().unwrap().into_inner());
    let scanned = model.run(&["scan", "model.pt"]);
    assert!(scanned.stdout.contains("dangerous"), "{scanned:?}");
    let run = model.run(&["-o", "x.safetensors", "model.pt"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("`os.system`"), "{run:?}");
}

#[test]
fn refusals_of_scripts_say_what_is_in_the_way() {
    let model = Model::new();
    for (name, what) in [
        (
            "frozen",
            "TorchScript archive is frozen: its tensors are constants of the code (constants.pkl), not state",
        ),
        ("mobile", "is optimized for mobile devices: its weights are packed"),
        ("packed-half", "has packed weights in _packed_params, not tensors"),
        ("made-by-code", "builds its state by code (`__getstate__`)"),
    ] {
        model.write("model.pt", archive(&format!("2.9/{name}.pt")));
        let run = model.run(&["-o", "x.safetensors", "model.pt"]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(what), "{run:?}");
        let hint = "hint: save the weights of the model that it was made of with \
                    `torch.save(model.state_dict(), …)`, and convert that file\n";
        assert!(run.stderr.contains(hint), "{run:?}");
    }
}
