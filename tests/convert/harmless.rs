//! Tests a run without paths: its result does not depend on whether the index has current stat data, so that the first
//! bytes of most files are enough, or is older than the files, so that each file is read in full.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;

use super::{ATTRIBUTES, Model, fixture};

const NAME: &str = "tied-2.bin";

/// Returns contents of many kinds, by name; the weights are under `weights`.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let weights = fixture(NAME);
    let of = |content: &[u8]| Pointer { oid: Oid::of(content), size: content.len() as u64 }.to_string();
    let pointer = of(&weights);
    let tar = [vec![b'a'; 257], b"ustar\x0000".to_vec(), vec![0; 1024]].concat();
    vec![
        ("weights", weights.clone()),
        ("legacy", fixture("legacy-tied-2.bin")),
        ("cut", weights[..weights.len() / 2].to_vec()),
        ("pointer", pointer.clone().into_bytes()),
        ("spaced", format!("\n \n{pointer}").into_bytes()),
        ("padded", pointer.replace("\noid", &format!("{}oid", "\n".repeat(700))).into_bytes()),
        ("hawser", pointer.replace("git-lfs", "hawser").into_bytes()),
        (
            "old",
            pointer.replace("https://git-lfs.github.com/spec/v1", "http://git-media.io/v/2").into_bytes(),
        ),
        ("nowhere", of(b"of an object that is nowhere").into_bytes()),
        ("damaged", pointer.replace("size ", "size x").into_bytes()),
        ("conflict", format!("<<<<<<< HEAD\n{pointer}=======\n>>>>>>> other\n").into_bytes()),
        ("zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        ("pickle", b"\x80\x02}q\0.".to_vec()),
        ("array", b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\0.".to_vec()),
        ("tar", tar),
        ("empty", Vec::new()),
        ("text", b"some text\n".repeat(9)),
        ("long", b"some text\n".repeat(3_000)),
        ("latin", b"caf\xe9\n".to_vec()),
        ("zeros", vec![0; 300]),
        ("page", b"<!doctype html><html></html>".to_vec()),
        ("header", b"\x10\0\0\0\0\0\0\0{              }".to_vec()),
        ("gguf", b"GGUF\x03\0\0\0".to_vec()),
    ]
}

fn utf_16(text: &[u8]) -> Option<Vec<u8>> {
    let units = str::from_utf8(text).ok()?.encode_utf16();
    Some([0xfeff].into_iter().chain(units).flat_map(u16::to_le_bytes).collect())
}

fn crlf(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|&byte| if byte == b'\n' { vec![b'\r', b'\n'] } else { vec![byte] }).collect()
}

/// Creates a repository with each content under many names.
fn model() -> Model {
    let more = "lfs/* filter=lfs -text\ncrlf/* text eol=crlf\nwide/* text working-tree-encoding=UTF-16\n";
    let model = Model::with_attributes(Some(&[ATTRIBUTES, more].concat()));
    for (kind, content) in contents() {
        for name in
            ["@.dat", "@", "a/@.txt", "a/b/optimizer-@.dat", "scheduler-@.pt", "@.npz", "@.distcp", "@.bin"]
        {
            model.write(name.replace('@', kind), &content);
        }
        model.write(format!("lfs/{kind}.raw"), &content);
        let is_text = kind != "zeros" && !content.is_empty() && str::from_utf8(&content).is_ok();
        if is_text && !content.contains(&0) {
            model.write(format!("crlf/{kind}.x"), crlf(&content));
            model.write(format!("wide/{kind}.x"), utf_16(&content).unwrap());
        }
    }
    let object = model.object(Oid::of(&fixture(NAME)));
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(object, fixture(NAME)).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("text.dat", model.at("link.dat")).unwrap();
    model.git(&["-c", "core.safecrlf=false", "add", "--all"]);
    model.commit();
    model
}

#[test]
fn verdicts_do_not_depend_on_what_the_index_knows() {
    let model = model();
    let args = ["-n", "--json", "--offline"];
    let of = |model: &Model| {
        let run = model.run(&args);
        let mut stdout = run.stdout;
        // The last line contains a time.
        stdout.truncate(stdout.trim_end().rfind('\n').unwrap());
        (run.code, stdout, run.stderr)
    };
    assert_eq!(model.status(), "");
    let settled = of(&model);
    // An index that is older than the files proves nothing about them.
    let time = SystemTime::now() - Duration::from_secs(1_000);
    File::options().write(true).open(model.at(".git/index")).unwrap().set_modified(time).unwrap();
    let in_full = of(&model);
    assert_eq!(settled, in_full);
    // Only the blobs of these files show that they are checkpoints.
    for name in [
        "pointer.dat",
        "padded",
        "hawser.dat",
        "crlf/pointer.x",
        "wide/spaced.x",
        "lfs/pointer.raw",
        "lfs/weights.raw",
    ] {
        assert!(settled.1.contains(&format!("\"source\":\"{name}\"")), "{name}: {settled:#?}");
    }
}

/// The blob is a pipe: opening it would wait for the other end.
#[cfg(unix)]
#[test]
fn no_blob_is_opened_for_what_the_first_bytes_settle() {
    use std::os::unix::fs::FileTypeExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    let model = Model::with(NAME);
    model.write("notes", "some text\n");
    model.git(&["add", "notes"]);
    model.commit();
    let id = model.git(&["rev-parse", ":notes"]);
    let blob = model.at(format!(".git/objects/{}/{}", &id[..2], id[2..].trim()));
    fs::remove_file(&blob).unwrap();
    assert!(model.command("mkfifo", &model.dir).arg(&blob).status().unwrap().success());
    let is_opened = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let other_end = File::options().write(true).open(&blob).unwrap();
            is_opened.store(true, Ordering::SeqCst);
            drop(other_end);
        });
        let run = model.run(&["-n", "--offline"]);
        let was_opened = is_opened.load(Ordering::SeqCst);
        // The other end stops waiting.
        drop(File::open(&blob).unwrap());
        waiting.join().unwrap();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(!was_opened);
    });
    assert!(fs::symlink_metadata(&blob).unwrap().file_type().is_fifo());
}
