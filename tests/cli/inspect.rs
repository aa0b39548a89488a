//! Tests `inspect`: tables, totals, JSON, and the locations of a target.

use std::fs;

use super::{assert_shown, copy, json_lines, run, with_fixtures};
use crate::sandbox::Sandbox;

#[test]
fn a_table_with_ties_by_the_model_s_class() {
    let (sandbox, dir) = with_fixtures(&["gpt2-tied.bin"]);
    fs::write(dir.join("config.json"), r#"{"architectures": ["GPT2LMHeadModel"]}"#).unwrap();
    assert_shown(
        &run(&sandbox, &dir, &["inspect", "gpt2-tied.bin"]),
        "NAME                       DTYPE  SHAPE         BYTES  TIED TO\n\
         transformer.wte.weight     F32    [10, 4]         160\n\
         transformer.wpe.weight     F32    [6, 4]           96\n\
         transformer.h.0.attn.bias  BOOL   [1, 1, 6, 6]     36\n\
         transformer.ln_f.weight    F32    [4]              16\n\
         lm_head.weight             F32    [10, 4]         160  transformer.wte.weight\n\
         5 tensors, 104 parameters, 308 bytes, zip\n\
         --- exit 0\n",
    );
    assert_shown(&run(&sandbox, &dir, &["inspect", "-q", "gpt2-tied.bin"]), "--- exit 0\n");
    fs::remove_file(dir.join("config.json")).unwrap();
    let table = run(&sandbox, &dir, &["inspect", "gpt2-tied.bin"]);
    assert!(
        table.contains("transformer.wte.weight     F32    [10, 4]         160  lm_head.weight\n"),
        "{table}"
    );
}

#[test]
fn totals_alone() {
    let (sandbox, dir) = with_fixtures(&["trainer-pair.pt", "gpt2-tied.bin"]);
    assert_shown(
        &run(&sandbox, &dir, &["inspect", "--summary", "trainer-pair.pt"]),
        "format     zip, 2.7 KiB\n\
         tensors    2\n\
         parameters 15\n\
         dtype      F32: 2 tensors, 60 bytes\n\
         ignored    1 (training state, dict of 3 tensors)\n\
         --- exit 0\n",
    );
    assert_eq!(sandbox.bin(&dir, &["gpt2-tied.bin", "-o", "x.safetensors"]).code, Some(0));
    assert_shown(
        &run(&sandbox, &dir, &["inspect", "--summary", "x.safetensors"]),
        "format     safetensors, 708 bytes\n\
         tensors    4\n\
         parameters 104\n\
         dtype      BOOL: 1 tensor, 36 bytes\n           F32: 3 tensors, 272 bytes\n\
         metadata   format: pt\n           transformer.wte.weight: lm_head.weight\n\
         --- exit 0\n",
    );
}

#[test]
fn json_has_every_field() {
    let (sandbox, dir) = with_fixtures(&["tied-2.bin"]);
    assert_shown(
        &run(&sandbox, &dir, &["inspect", "tied-2.bin", "--json"]),
        "{\"type\":\"tensor\",\"name\":\"embed.weight\",\"dtype\":\"F32\",\"shape\":[4,3],\"bytes\":48,\
         \"tied_to\":\"decoder.weight\"}\n\
         {\"type\":\"tensor\",\"name\":\"decoder.weight\",\"dtype\":\"F32\",\"shape\":[4,3],\"bytes\":48,\
         \"tied_to\":null}\n\
         {\"type\":\"tensor\",\"name\":\"bias\",\"dtype\":\"F32\",\"shape\":[4],\"bytes\":16,\"tied_to\":null}\n\
         {\"type\":\"summary\",\"format\":\"zip\",\"size\":1885,\"tensors\":3,\"bytes\":64,\"parameters\":16,\
         \"metadata\":{},\"ignored\":[],\"dangerous\":null,\"reason\":null,\"exit_code\":0,\"notes\":[]}\n\
         --- exit 0\n",
    );
    let summary = sandbox.bin(&dir, &["inspect", "tied-2.bin", "--json", "--summary"]).ok();
    assert_eq!(json_lines(&summary).len(), 1);
    let missing = sandbox.bin(&dir, &["inspect", "none.bin", "--json"]);
    assert_eq!(missing.code, Some(2));
    let unknown = "\"format\":null,\"size\":null,\"tensors\":null,\"bytes\":null,\"parameters\":null,\
                   \"metadata\":null,\"ignored\":null,\"dangerous\":null";
    let reason = "\"reason\":\"file not found\",\"exit_code\":2,\"notes\":null";
    assert_shown(&missing.stdout, &format!("{{\"type\":\"summary\",{unknown},{reason}}}\n"));
}

#[test]
fn hostile_names_move_no_cursor() {
    let (sandbox, dir) = with_fixtures(&["names.bin"]);
    let table = run(&sandbox, &dir, &["inspect", "names.bin"]);
    let is_tame = |char: char| char == '\n' || !char.is_control() && !matches!(char, '\u{2028}'..='\u{202e}');
    assert!(table.chars().all(is_tame), "{table:?}");
    assert!(table.contains("tab\\tbell\\x07escape\\x1b[31m  F32"), "{table}");
    assert!(table.contains("delete\\x7fand\\u{80}\\u{2028}  F32"), "{table}");
    let json = sandbox.bin(&dir, &["inspect", "names.bin", "--json"]).ok();
    assert!(json.chars().all(is_tame), "{json:?}");
    assert!(json_lines(&json).iter().any(|line| line["name"] == "tab\tbell\x07escape\x1b[31m"));
}

#[test]
fn a_dangerous_name_is_a_warning() {
    let (sandbox, dir) = with_fixtures(&["os-system.bin"]);
    let output = sandbox.bin(&dir, &["inspect", "os-system.bin"]);
    assert_eq!(output.code, Some(0));
    assert_eq!(
        output.stderr,
        "warning: os-system.bin: the pickle imports `os.system`, which can run code; do not load it\n"
    );
}

#[cfg(unix)]
#[test]
fn a_path_need_not_be_unicode() {
    use std::os::unix::ffi::OsStrExt as _;
    let (sandbox, dir) = with_fixtures(&[]);
    let name = std::ffi::OsStr::from_bytes(b"\xff\x1b[2J.bin");
    copy("os-system.bin", &dir.join(name));
    let output = sandbox.bin(&dir, &["inspect".as_ref(), name]);
    assert_eq!(output.code, Some(0));
    assert!(output.stderr.starts_with("warning: \\xff\\x1b[2J.bin: the pickle imports"), "{}", output.stderr);
    assert_shown(
        &run(&sandbox, &dir, &[name]),
        "--- stderr\nerror: \\xff\\x1b[2J.bin: refused: the pickle imports `os.system`\n  \
         caused by: global at byte 252 of os-system/data.pkl is not an allowed global\n\
         hint: list everything it imports: `git st-convert scan \"$(printf '\\377\\033[2J.bin')\"`\n--- exit 1\n",
    );
}

#[test]
fn revisions_pointers_and_names_with_colons() {
    let sandbox = Sandbox::new();
    let demo = sandbox.path("model");
    assert_eq!(sandbox.bin(&sandbox.path(""), &["demo", "model", "-q"]).code, Some(0));
    let summary = |target: &str| sandbox.bin(&demo, &["inspect", "--summary", target]);
    let checkpoint = summary("pytorch_model.bin").ok();
    assert!(checkpoint.contains("tensors    29, 1 tied\n"), "{checkpoint}");
    // The commit has the pointer, and LFS storage its object; `config.json` of the commit determines the dropped name.
    assert_eq!(summary("HEAD:pytorch_model.bin").ok(), checkpoint);
    let safetensors = summary("model.safetensors").ok();
    assert_eq!(summary(":model.safetensors").ok(), safetensors);
    assert_eq!(summary("refs/pr/1:model.safetensors").ok(), safetensors);
    let encoder = demo.join("encoder");
    let shard = "./pytorch_model-00002-of-00002.bin";
    let args = ["inspect", &format!("HEAD:{shard}"), "--summary"];
    assert_eq!(
        sandbox.bin(&encoder, &args).ok(),
        sandbox.bin(&encoder, &["inspect", shard, "--summary"]).ok()
    );

    // A shard index of a commit means the shards of that commit.
    let index = "pytorch_model.bin.index.json";
    let here = sandbox.bin(&encoder, &["inspect", index]).ok();
    assert_eq!(sandbox.bin(&demo, &["inspect", &format!("HEAD:encoder/{index}")]).ok(), here);
    assert_eq!(sandbox.bin(&encoder, &["inspect", &format!("HEAD:./{index}")]).ok(), here);
    let lines =
        json_lines(&sandbox.bin(&demo, &["inspect", "--json", ":encoder/model.safetensors.index.json"]).ok());
    assert_eq!((lines.len(), &lines[39]["tensors"]), (40, &39.into()));

    // An existing file has priority over a revision.
    copy("tied-2.bin", &demo.join("HEAD:config.json"));
    assert!(summary("HEAD:config.json").ok().contains("tensors    3, 1 tied\n"));

    // A pointer file means its object.
    let pointer = sandbox.git(&demo, &["show", "HEAD:pytorch_model.bin"]);
    fs::write(demo.join("elsewhere.bin"), &pointer).unwrap();
    assert!(summary("elsewhere.bin").ok().contains("tensors    29"));
    fs::write(demo.join("elsewhere.bin"), pointer.replace("size 5", "size 6")).unwrap();
    assert_shown(
        &run(&sandbox, &demo, &["inspect", "elsewhere.bin"]),
        "--- stderr\nerror: elsewhere.bin: the LFS object is not downloaded\n\
         hint: download it: `git lfs pull --include \"elsewhere.bin\"`\n--- exit 2\n",
    );
    let unknown = run(&sandbox, &demo, &["inspect", "none:a"]);
    assert!(unknown.starts_with("--- stderr\nerror: none:a: revision `none` not found\n"), "{unknown}");
    assert!(unknown.ends_with("--- exit 2\n"), "{unknown}");
}

#[test]
fn a_revision_that_is_not_there_is_one_error() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let what = "revision `nope` not found\nhint: list the revisions: `git log --all --oneline`\n--- exit 2\n";
    for (args, file) in [
        (["scan", "--rev", "nope"].as_slice(), ""),
        (&["scan", "--range", "nope..HEAD"], ""),
        (&["verify", "--rev", "nope"], ""),
        (&["inspect", "nope:x"], "nope:x: "),
    ] {
        assert_shown(&run(&sandbox, &dir, args), &format!("--- stderr\nerror: {file}{what}"));
    }
}

#[test]
fn a_file_that_ends_inside_its_header_is_no_error_of_the_disk() {
    let (sandbox, dir) = with_fixtures(&["tied-2.bin"]);
    let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let len = u64::try_from(header.len()).unwrap();
    let file = [&len.to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    fs::write(dir.join("a.safetensors"), &file).unwrap();
    let whole = run(&sandbox, &dir, &["inspect", "a.safetensors"]);
    assert!(whole.contains("1 tensor, 1 parameter, 4 bytes, safetensors\n"), "{whole}");
    fs::write(dir.join("a.safetensors"), &file[..40]).unwrap();
    assert_shown(
        &run(&sandbox, &dir, &["inspect", "a.safetensors"]),
        "--- stderr\n\
         error: a.safetensors: file is truncated: 40 bytes, and the header ends at byte 62\n\
         --- exit 1\n",
    );
    // An empty file, and one that ends inside the length of its header.
    for (len, end) in [(0, 8), (7, 8), (61, 62)] {
        fs::write(dir.join("tied-2.safetensors"), &file[..len]).unwrap();
        let said = format!("file is truncated: {len} bytes, and the header ends at byte {end}");
        let verified = run(&sandbox, &dir, &["verify", "tied-2.safetensors"]);
        assert!(verified.contains(&format!("  invalid  not a safetensors file: {said}\n")), "{verified}");
        assert!(verified.contains("--- exit 1\n"), "{verified}");
    }
}
