//! Tests `inspect --html`: the page requests nothing, whatever the names in it are. `check_page.py` opens it in a
//! browser.

use std::fs;

use git_st_convert::hash::Oid;
use serde_json::Value;

use super::with_fixtures;
use crate::formats::fixtures;
use crate::sandbox::{BIN, Sandbox};

/// Returns the text between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split_once(from).unwrap().1.split_once(to).unwrap().0
}

/// Returns the data of a page, after a check of its policy.
#[track_caller]
fn data(page: &str) -> Value {
    use base64::Engine as _;
    let policy = between(page, "<meta http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    let of =
        |text: &str| base64::engine::general_purpose::STANDARD.encode(Oid::of(text.as_bytes()).as_bytes());
    let (style, script) = (between(page, "<style>", "</style>"), between(page, "<script>", "</script>"));
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
            of(script),
            of(style)
        )
    );
    // The page has one block of data and one script, and no attribute loads or runs anything.
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    let data = between(page, "id=\"data\">", "</script>");
    assert!(!data.contains(['<', '>', '&']), "{data}");
    for tag in ["<img", "<link", "<iframe", "<object", "<a ", " src=", " href=", " onerror=", "<!--<"] {
        assert!(!page.replace(data, "").contains(tag), "{tag}");
    }
    serde_json::from_str(data).unwrap()
}

#[test]
fn a_page_of_a_checkpoint_with_ties_and_what_is_beside_it() {
    let (sandbox, dir) = with_fixtures(&["gpt2-tied.bin", "trainer-pair.pt"]);
    fs::write(dir.join("config.json"), r#"{"architectures": ["GPT2LMHeadModel"]}"#).unwrap();
    let said = sandbox.bin(&dir, &["inspect", "gpt2-tied.bin", "--html", "a b.html"]).ok();
    assert_eq!(said, "a b.html: 5 tensors, 104 parameters, 308 bytes, zip\n");
    let page = fs::read_to_string(dir.join("a b.html")).unwrap();
    assert!(!page.contains("http:") && !page.contains("https:"), "no address");
    assert!(page.contains("<title>gpt2-tied.bin</title>"));
    let found = data(&page);
    assert_eq!(found["dtypes"], serde_json::json!(["BOOL", "F32"]));
    assert_eq!(
        found["tensors"],
        serde_json::json!([
            ["transformer.wte.weight", 1, [10, 4], 160, null, 0],
            ["transformer.wpe.weight", 1, [6, 4], 96, null, 0],
            ["transformer.h.0.attn.bias", 0, [1, 1, 6, 6], 36, null, 0],
            ["transformer.ln_f.weight", 1, [4], 16, null, 0],
            ["lm_head.weight", 1, [10, 4], 160, "transformer.wte.weight", 0]
        ])
    );
    // Only a page is overwritten.
    sandbox.bin(&dir, &["inspect", "trainer-pair.pt", "--html", "a b.html"]).ok();
    let found = data(&fs::read_to_string(dir.join("a b.html")).unwrap());
    assert_eq!(found["ignored"], serde_json::json!([["1", "training state, dict of 3 tensors"]]));
    let before = fs::read(dir.join("gpt2-tied.bin")).unwrap();
    for taken in ["gpt2-tied.bin", "."] {
        let run = sandbox.bin(&dir, &["inspect", "trainer-pair.pt", "--html", taken]);
        assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{run:?}");
        assert!(run.stderr.contains("cannot write the page: file exists"), "{run:?}");
    }
    assert_eq!(fs::read(dir.join("gpt2-tied.bin")).unwrap(), before);
    assert_eq!(sandbox.bin(&dir, &["inspect", "trainer-pair.pt", "--html", "none/a.html"]).code, Some(2));
    let lines = sandbox.bin(&dir, &["inspect", "trainer-pair.pt", "--json", "--html", "b.html"]).ok();
    assert_eq!((lines.lines().count(), dir.join("b.html").exists()), (3, true), "{lines}");
}

#[test]
fn hostile_names_are_texts() {
    use safetensors::tensor::{Dtype, TensorView};
    let sandbox = Sandbox::new();
    let dir = sandbox.path("");
    let names = [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<!--<script>",
        "@DATA@@SCRIPT@@STYLE@ ${1} &amp; '\"\\",
        "a\u{202e}b\u{2028}\x1b[2J",
        "__proto__",
        "",
    ];
    let views = names.iter().map(|name| (*name, TensorView::new(Dtype::U8, vec![1], &[7]).unwrap()));
    let metadata = [("</script>".to_owned(), "<b>".to_owned())].into_iter().collect();
    let title = "<b>&\"t\".safetensors";
    fs::write(dir.join(title), safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    sandbox.bin(&dir, &["inspect", title, "--html", "page.html"]).ok();
    let page = fs::read_to_string(dir.join("page.html")).unwrap();
    assert!(page.contains("<h1>&lt;b&gt;&amp;&quot;t&quot;.safetensors</h1>"));
    assert!(!page.contains(['\x1b', '\u{202e}', '\u{2028}']));
    let found = data(&page);
    let mut shown: Vec<_> =
        found["tensors"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap().to_owned()).collect();
    let mut wanted = names.map(|name| match name.strip_prefix("a\u{202e}") {
        Some(_) => "a\\u{202e}b\\u{2028}\\x1b[2J".to_owned(),
        None => name.to_owned(),
    });
    shown.sort();
    wanted.sort();
    assert_eq!(shown, wanted);
    assert_eq!(found["metadata"], serde_json::json!([["</script>", "<b>"]]));
}

#[test]
fn a_sharded_checkpoint_is_one_page() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("set");
    let names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    fs::create_dir(&dir).unwrap();
    for (name, fixture) in names.iter().zip(["plain-dict.bin", "tied-2.bin"]) {
        fs::copy(fixtures().join("checkpoints").join(fixture), dir.join(name)).unwrap();
    }
    let index = serde_json::json!({ "weight_map": { "a": names[0], "b": names[1] } });
    let target = "set/pytorch_model.bin.index.json";
    fs::write(sandbox.path(target), index.to_string()).unwrap();
    let alone: Vec<_> = names
        .iter()
        .map(|name| {
            let lines = sandbox.bin(&dir, &["inspect", "--json", name]).ok();
            lines.lines().filter(|line| line.contains("\"tensor\"")).count()
        })
        .collect();
    sandbox.bin(&sandbox.path(""), &["inspect", target, "--html", "page.html"]).ok();
    let found = data(&fs::read_to_string(sandbox.path("page.html")).unwrap());
    assert_eq!(found["files"], serde_json::json!(names));
    for (file, count) in alone.iter().enumerate() {
        let of = |row: &&Value| row[5] == file;
        assert_eq!(found["tensors"].as_array().unwrap().iter().filter(of).count(), *count, "{file}");
    }
    let listed = sandbox.bin(&sandbox.path(""), &["inspect", "--json", target]).ok();
    assert_eq!(listed.lines().count(), alone.iter().sum::<usize>() + 1);
    // A missing shard and an invalid shard index are errors.
    fs::remove_file(dir.join(names[1])).unwrap();
    let run = sandbox.bin(&sandbox.path(""), &["inspect", target, "--html", "other.html"]);
    assert!(run.code == Some(1) && run.stderr.contains(names[1]), "{run:?}");
    fs::write(sandbox.path(target), "{}").unwrap();
    let run = sandbox.bin(&sandbox.path(""), &["inspect", target]);
    assert!(run.code == Some(1) && run.stderr.contains("not a shard index"), "{run:?}");
}

/// After a full disk or a kill, the previous page stays.
#[test]
#[cfg(unix)]
fn a_page_is_whole_or_as_before() {
    let (sandbox, dir) = with_fixtures(&["gpt2-tied.bin"]);
    sandbox.bin(&dir, &["inspect", "gpt2-tied.bin", "--html", "x.html"]).ok();
    let before = fs::read(dir.join("x.html")).unwrap();
    for file in ["x.html", "new.html"] {
        let line = format!("trap '' XFSZ; ulimit -f 1 && exec '{BIN}' inspect gpt2-tied.bin --html {file}");
        let run = sandbox.command("sh".as_ref(), &dir, &["-c".as_ref(), line.as_ref()]).output().unwrap();
        assert_eq!(run.status.code(), Some(2), "{run:?}");
        assert_eq!(fs::read(dir.join("x.html")).unwrap(), before);
    }
    let mut left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["gpt2-tied.bin", "x.html"]);
}
