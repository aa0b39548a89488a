//! Tests that all gates agree: a result of a checkout is rejected by each of them, or by none.
//!
//! A row of the table contains the state of the other side, and a change. Each gate checks the change: `pre-commit`,
//! the files of the pre-commit framework, `scan --staged`, `scan --rev`, `scan --range`, `pre-push`, a range of the
//! framework, and a server with `pre-receive`. Then git itself creates the clone in which the file has the content that
//! the row states.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use super::{Place, checkpoint};
use crate::sandbox::Output;

/// A pickle that calls `os.system`, without a line feed.
const CALL: &[u8] = b"\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.";

/// Returns text in UTF-8 that becomes this pickle in ISO-8859-1, and is not a pickle itself.
fn in_latin_1(pickle: &[u8]) -> Vec<u8> {
    pickle.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
}

fn latin_1() -> Vec<u8> {
    in_latin_1(&[b"\x80\x04", CALL].concat())
}

/// Returns text in UTF-8 that becomes a pickle in UTF-16 without a byte order mark.
fn utf_16() -> Vec<u8> {
    let pickle = b"cos\nsystem\n(S'w'\ntR0N0N.";
    let units: Vec<_> = pickle.chunks(2).map(|unit| u16::from_le_bytes(unit.try_into().unwrap())).collect();
    String::from_utf16(&units).unwrap().into_bytes()
}

/// Returns a pickle in which the length of a text fits only if its line feed has two bytes.
fn crlf() -> Vec<u8> {
    [b"U\x03a\nU\x01q00", CALL].concat()
}

/// Returns the same with so much text that git treats it as text.
fn crlf_of_text() -> Vec<u8> {
    [b"V", "some text ".repeat(100).as_bytes(), b"\n0", &crlf()].concat()
}

/// Returns a pickle in which the length of a text fits only if `$Id$` contains the name of the blob.
fn ident() -> Vec<u8> {
    [b"U\x2f$Id$0", CALL].concat()
}

/// A change of the index.
enum Step {
    /// An unchanged blob, whatever the attributes are: path, mode, content.
    Put(&'static str, &'static str, Vec<u8>),
    Remove(&'static str),
    /// A pointer to this content, with the object.
    Pointer(&'static str, Vec<u8>),
    Git(&'static [&'static str]),
}

fn file(path: &'static str, content: impl Into<Vec<u8>>) -> Step {
    Step::Put(path, "100644", content.into())
}

fn link(path: &'static str, content: impl Into<Vec<u8>>) -> Step {
    Step::Put(path, "120000", content.into())
}

fn attributes(text: &str) -> Step {
    file(".gitattributes", text)
}

fn stage(place: &Place, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Put(path, mode, content) => {
                place.write(".git/blob", content);
                let blob = place.git(&["hash-object", "-w", "--no-filters", ".git/blob"]).ok();
                let entry = format!("{mode},{},{path}", blob.trim());
                place.git(&["update-index", "--add", "--cacheinfo", &entry]).ok();
            }
            Step::Remove(path) => drop(place.git(&["rm", "-q", "--cached", path]).ok()),
            Step::Pointer(path, content) => place.add_pointer(path, content, true),
            Step::Git(args) => drop(place.git(args).ok()),
        }
    }
}

struct Row {
    what: &'static str,
    /// The state of the other side.
    before: Vec<Step>,
    /// The change.
    change: Vec<Step>,
    /// The setting of a clone in which the change has its effect.
    clone: &'static str,
    path: &'static str,
    is_hostile: bool,
    /// `true` if git can create the checked file here.
    is_made: bool,
}

fn hostile(what: &'static str, path: &'static str, change: impl Into<Vec<Step>>) -> Row {
    let (before, change) = (Vec::new(), change.into());
    Row { what, before, change, clone: "core.eol=native", path, is_hostile: true, is_made: true }
}

fn benign(what: &'static str, path: &'static str, change: impl Into<Vec<Step>>) -> Row {
    Row { is_hostile: false, ..hostile(what, path, change) }
}

impl Row {
    fn after(self, before: impl Into<Vec<Step>>) -> Self {
        Self { before: before.into(), ..self }
    }

    fn in_a_clone_with(self, clone: &'static str) -> Self {
        Self { clone, ..self }
    }

    fn not_made(self) -> Self {
        Self { is_made: false, ..self }
    }
}

const LATIN_1: &str = "*.pt text working-tree-encoding=ISO-8859-1\n";

fn encodings() -> Vec<Row> {
    let of =
        |what, path, line: &str, content: &[u8]| hostile(what, path, [attributes(line), file(path, content)]);
    let no =
        |what, path, line: &str, content: &[u8]| benign(what, path, [attributes(line), file(path, content)]);
    let cp1252 = ["€\u{2}".as_bytes(), b"cos\nsystem\n(S'id'\ntR."].concat();
    let shift_jis = "雨AAAA0cos\nsystem\n(S'id'\ntR.".as_bytes();
    let rc = "*.rc text working-tree-encoding=UTF-16LE-BOM eol=crlf\n";
    vec![
        of("ISO-8859-1", "a.pt", LATIN_1, &latin_1()),
        of("UTF-16LE", "a.dat", "*.dat working-tree-encoding=utf-16le\n", &utf_16()),
        of("CP1252", "a.json", "a.json working-tree-encoding=CP1252\n", &cp1252),
        of("SHIFT_JIS", "a.txt", "a.txt working-tree-encoding=SHIFT_JIS\n", shift_jis),
        of("not known here", "a.txt", "a.txt working-tree-encoding=IBM037\n", b"some text").not_made(),
        of("not exact", "a.txt", "a.txt working-tree-encoding=latin1//TRANSLIT\n", b"some text").not_made(),
        no("text in UTF-16", "a.rc", rc, "Ein Text für alle.\nZwei.\n".as_bytes()),
        no("ASCII in what keeps it", "a.txt", "*.txt working-tree-encoding=EUC-JP\n", b"some text\n"),
        no("no UTF-8", "a.dat", "*.dat working-tree-encoding=ISO-8859-1\n", b"\xff\xfe\x80"),
        no("UTF-8", "a.txt", "*.txt working-tree-encoding=UTF-8\n", "für".as_bytes()),
    ]
}

fn other_conversions() -> Vec<Row> {
    let kept = "*.pt -text\n*.txt eol=lf\n*.bin binary\n";
    let tracked = "*.bin filter=lfs diff=lfs merge=lfs -text\n";
    let call = "cos\nsystem\n(S'id'\ntR.";
    vec![
        hostile("eol=crlf", "a.pt", [attributes("*.pt text eol=crlf\n"), file("a.pt", crlf())]),
        hostile("text", "a.pt", [attributes("*.pt text\n"), file("a.pt", crlf())])
            .in_a_clone_with("core.eol=crlf"),
        hostile("no attributes", "a.pt", [file("a.pt", crlf_of_text())])
            .in_a_clone_with("core.autocrlf=true"),
        hostile("ident", "a.pt", [attributes("*.pt ident\n"), file("a.pt", ident())]),
        hostile("a link", "a.pt", [link("a.pt", call)]).in_a_clone_with("core.symlinks=false"),
        hostile("a pointer", "pytorch_model.bin", [Step::Pointer("pytorch_model.bin", checkpoint())])
            .not_made(),
        benign(
            "line ends that stay",
            "a.pt",
            [attributes(kept)]
                .into_iter()
                .chain(["a.pt", "a.txt", "a.bin"].map(|path| file(path, crlf_of_text())))
                .collect::<Vec<_>>(),
        )
        .in_a_clone_with("core.autocrlf=true"),
        benign("no text to git", "a.pt", [file("a.pt", crlf())]).in_a_clone_with("core.autocrlf=true"),
        benign(
            "a text with its name in it",
            "a.c",
            [attributes("* text=auto ident\n"), file("a.c", "/* $Id$ */\nint main(void);\n")],
        ),
        benign("a link to a file", "a.pt", [link("a.pt", "../../blobs/0123abcd")])
            .in_a_clone_with("core.symlinks=false"),
        benign(
            "a pointer of what is no pickle",
            "a.dat",
            [attributes(tracked), Step::Pointer("a.dat", b"no pickle at all\n".to_vec())],
        )
        .not_made(),
    ]
}

/// Returns rows about the syntax of attributes files.
fn ways_to_say_it() -> Vec<Row> {
    let of = |what, text: &str| hostile(what, "a.pt", [attributes(text), file("a.pt", latin_1())]);
    let no = |what, text: &str| benign(what, "a.pt", [attributes(text), file("a.pt", latin_1())]);
    let below = |what, top: &str, sub: &str| {
        let steps = [attributes(top), file("sub/.gitattributes", sub), file("sub/a.pt", latin_1())];
        hostile(what, "sub/a.pt", steps)
    };
    let long = format!("{LATIN_1}*.pt -working-tree-encoding {}\n", "x".repeat(2048));
    let encoded = "*.pt working-tree-encoding=ISO-8859-1\n";
    let marked = "\u{feff}*.pt -working-tree-encoding\n";
    let zero = format!("{LATIN_1}\0\n*.pt -working-tree-encoding\n");
    let other_letters = "*.PT working-tree-encoding=ISO-8859-1\n";
    vec![
        below("a directory", "*.pt -working-tree-encoding\n", LATIN_1),
        of("a macro", "[attr]plain text working-tree-encoding=ISO-8859-1\n*.pt plain\n"),
        below("a macro of the top", "[attr]plain working-tree-encoding=ISO-8859-1\n", "a.pt plain\n"),
        of("a name in other letters", other_letters).in_a_clone_with("core.ignorecase=true"),
        below("a byte order mark", encoded, marked),
        of("a line that is too long for git", &long),
        of("a zero byte", &zero),
        hostile("a link", "a.pt", [link(".gitattributes", LATIN_1), file("a.pt", latin_1())]),
        no(
            "a macro that is not set",
            "[attr]plain working-tree-encoding=ISO-8859-1\n*.pt -plain\n*.txt plain\n",
        ),
        no("a line that another takes back", &format!("{LATIN_1}*.pt !working-tree-encoding -text\n")),
    ]
}

/// Returns rows in which existing files change.
fn changes_of_attributes() -> Vec<Row> {
    let a = || file("sub/a.pt", latin_1());
    let crlf = || file("sub/a.pt", crlf_of_text());
    let overridden =
        || [attributes(LATIN_1), file("sub/.gitattributes", "*.pt -working-tree-encoding -text\n"), a()];
    let of = |what, change: Vec<Step>| hostile(what, "sub/a.pt", change);
    let merged = || {
        let commits = [&["commit", "-q", "-m", "a"][..], &["checkout", "-q", "-b", "side"]].map(Step::Git);
        let side = [&["commit", "-q", "-m", "side"][..], &["checkout", "-q", "main"]].map(Step::Git);
        [a()].into_iter().chain(commits).chain([attributes(LATIN_1)]).chain(side).collect::<Vec<_>>()
    };
    let lfs = "*.pt -text\n*.bin filter=lfs diff=lfs merge=lfs -text\n*.md ident\n";
    let text = || file("a.txt", "a text\n");
    vec![
        of("attributes alone", vec![attributes(LATIN_1)]).after([a()]),
        of("a file that goes away", vec![Step::Remove("sub/.gitattributes")]).after(overridden()),
        of("another name", vec![Step::Remove("b.dat"), a()])
            .after([attributes("/sub/*.pt working-tree-encoding=ISO-8859-1\n"), file("b.dat", latin_1())]),
        of("a link that becomes a file", vec![a()]).after([attributes(LATIN_1), link("sub/a.pt", latin_1())]),
        of("line ends that no line keeps any more", vec![attributes("*.txt -text\n")])
            .after([attributes("*.pt -text\n"), crlf()])
            .in_a_clone_with("core.autocrlf=true"),
        of("what is merged", vec![Step::Git(&["merge", "-q", "--no-ff", "--no-commit", "side"])])
            .after(merged()),
        benign("nothing changes", "sub/a.pt", [attributes(lfs)]).after([
            attributes("*.pt -text\n"),
            a(),
            file("old.bin", checkpoint()),
        ]),
        benign("an encoding for text", "a.txt", [attributes("*.txt working-tree-encoding=ISO-8859-1\n")])
            .after([file("a.txt", "café\n")]),
        benign("text under another name", "b.txt", [Step::Remove("a.txt"), file("b.txt", "a text\n")])
            .after([attributes("*.txt text\n"), text()]),
    ]
}

/// Runs git with this text as standard input.
fn fed(place: &Place, args: &[&str], input: &str) -> Output {
    let mut child = place
        .command("git", &place.dir, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

/// Runs each gate. Returns the outputs, each with the name of its gate.
fn ask(place: &Place, server: &std::path::Path) -> Vec<(&'static str, Output)> {
    let mut said = Vec::new();
    let hook = |args: &[&str]| place.git(&[&["st-convert", "hook", "run"], args].concat());
    said.push(("pre-commit", hook(&["pre-commit"])));
    // The framework does not pass on links.
    let staged = place.git(&["diff", "--staged", "--raw", "--no-renames", "--diff-filter=ACMRTUXB"]).ok();
    let named = staged.lines().filter(|line| !line.contains(" 120000 "));
    let named: Vec<_> = named.map(|line| line.split_once('\t').unwrap().1).collect();
    said.push(("files", hook(&[&["pre-commit-framework"], &named[..]].concat())));
    said.push(("--staged", place.git(&["st-convert", "scan", "--staged"])));
    let main = place.git(&["rev-parse", "origin/main"]).ok().trim().to_owned();
    place.git(&["commit", "-q", "--no-verify", "-m", "change"]).ok();
    let head = place.git(&["rev-parse", "HEAD"]).ok().trim().to_owned();
    said.push(("--rev", place.git(&["st-convert", "scan", "--rev", "HEAD"])));
    said.push(("--range", place.git(&["st-convert", "scan", "--range", "origin/main..HEAD"])));
    let line = format!("refs/heads/main {head} refs/heads/main {main}\n");
    said.push(("pre-push", fed(place, &["st-convert", "hook", "run", "pre-push", "origin"], &line)));
    let mut ranged = place.command("git", &place.dir, &["st-convert", "hook", "run", "pre-commit-framework"]);
    ranged.env("PRE_COMMIT_FROM_REF", &main).env("PRE_COMMIT_TO_REF", &head);
    said.push(("range", ranged.output().unwrap().into()));
    place.git_in(server, &["st-convert", "hook", "install"]).ok();
    said.push(("pre-receive", place.git(&["push", "-q", "origin", "HEAD:refs/heads/main"])));
    said
}

fn check(row: &Row) {
    let place = Place::new();
    let server = place.sandbox.path("server.git");
    place.git_in(&place.sandbox.path(""), &["init", "-q", "--bare", "-b", "main", "server.git"]).ok();
    place.git(&["remote", "add", "origin", server.to_str().unwrap()]).ok();
    stage(&place, &row.before);
    place.git(&["commit", "-q", "--allow-empty", "-m", "before"]).ok();
    // The other side has this of main, and no other branch.
    place.git(&["push", "-q", "origin", "main"]).ok();
    stage(&place, &row.change);
    for (gate, output) in ask(&place, &server) {
        // Only a gate that checks all of the index or the commit reports the old pickle.
        let sees_old = place.git(&["ls-files", "old.bin"]).ok() != "" && matches!(gate, "--staged" | "--rev");
        let refuses = output.code != Some(0);
        assert!(matches!(output.code, Some(0..=2)), "{}, {gate}: {output:#?}", row.what);
        assert_eq!(refuses, row.is_hostile || sees_old, "{}, {gate}: {output:#?}", row.what);
        if row.is_hostile {
            let said = output.stdout + &output.stderr;
            assert!(said.contains(row.path), "{}, {gate}: {said}", row.what);
        }
    }
    if !row.is_made {
        return;
    }
    let clone = place.sandbox.path("clone");
    let dirs = [place.dir.to_str().unwrap(), clone.to_str().unwrap()];
    place.git_in(&place.sandbox.path(""), &[&["-c", row.clone, "clone", "-q"], &dirs[..]].concat()).ok();
    let made = fs::read(clone.join(row.path)).unwrap();
    let blob = place.git_in(&place.dir, &["cat-file", "blob", &format!("HEAD:{}", row.path)]);
    let scanned = place.git_in(&clone, &["st-convert", "scan", row.path]);
    assert_eq!(scanned.code == Some(1), row.is_hostile, "{}: {:?} of {blob:?}: {scanned:#?}", row.what, made);
}

#[test]
fn gates_agree_on_encodings() {
    encodings().iter().for_each(check);
}

#[test]
fn gates_agree_on_line_ends_ident_links_and_pointers() {
    other_conversions().iter().for_each(check);
}

#[test]
fn gates_agree_on_every_way_to_say_it() {
    ways_to_say_it().iter().for_each(check);
}

#[test]
fn gates_agree_on_what_becomes_something_else() {
    changes_of_attributes().iter().for_each(check);
}
