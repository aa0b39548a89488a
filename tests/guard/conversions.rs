//! Compares the computed results of a checkout with git: each file that git writes must be among the checked ones.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use bstr::ByteSlice as _;
use git_st_convert::repo::{Conversion, Made, ObjectId, Origin, Repo, Treatment, Treatments, recipes};

use super::{Place, skipped};

/// Pseudorandom numbers, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// The number of random repositories; with this seed, 40 were tried when the test was written.
const ROUNDS: usize = 16;

const PATTERNS: &[&str] = &[
    "*.pt",
    "*.PT",
    "*.txt",
    "a*",
    "/a.pt",
    "sub/*.pt",
    "sub/**",
    "**/b.txt",
    "?.pt",
    "[ab].*",
    "*",
    "sub/",
    "\"a.pt\"",
    "deep/x/*",
    "x/a.pt",
    "[attr]own",
    "[attr]other",
    "!*.pt",
    "sub",
    "**/x/**",
];
const ATTRIBUTES: &[&str] = &[
    "text",
    "-text",
    "!text",
    "text=auto",
    "text=input",
    "text=x",
    "text=",
    "eol=crlf",
    "eol=lf",
    "-eol",
    "eol",
    "crlf",
    "-crlf",
    "crlf=input",
    "crlf=auto",
    "!crlf",
    "ident",
    "-ident",
    "!ident",
    "ident=x",
    "binary",
    "-binary",
    "own",
    "-own",
    "!own",
    "other",
    "diff",
    "-",
    "=x",
    "a b",
    "working-tree-encoding=ISO-8859-1",
    "working-tree-encoding=UTF-16",
    "working-tree-encoding=utf-16le-bom",
    "working-tree-encoding=UTF-32BE",
    "working-tree-encoding=UTF-8",
    "-working-tree-encoding",
    "!working-tree-encoding",
    "working-tree-encoding=",
    "working-tree-encoding=CP1252",
    "working-tree-encoding=SHIFT_JIS",
    "working-tree-encoding=ISO-8859-9",
];
const PATHS: &[&str] = &[
    "a.pt",
    "b.pt",
    "A.PT",
    "b.txt",
    "c.dat",
    "sub/a.pt",
    "sub/b.txt",
    "sub/x/a.pt",
    "deep/x/y.pt",
    "deep/own",
];

fn attributes(chance: &mut Chance) -> String {
    let mut text = if chance.below(8) == 0 { "\u{feff}".to_owned() } else { String::new() };
    for _ in 0..chance.below(7) {
        text.push_str(chance.one(PATTERNS));
        for _ in 0..=chance.below(3) {
            text.push_str(chance.one(&[" ", "\t", "  "]));
            text.push_str(chance.one(ATTRIBUTES));
        }
        text.push_str(chance.one(&["\n", "\r\n", " \n", "\n\n"]));
    }
    text
}

fn content(chance: &mut Chance) -> Vec<u8> {
    let pieces: &[&[u8]] = &[
        b"line\n",
        b"line\r\n",
        b"\r",
        b"\n",
        b"$Id$",
        b"$Id: 0123 $",
        b"$Id: a word $",
        b"$Id:\n$",
        b"$Id:$",
        b"$I",
        b"$$Id$$",
        b"$Id",
        b"$Id:",
        b"\xc2\x80\xc3\xbf",
        b"\xe2\x82\xac",
        b"\xf0\x9f\x98\x80",
        b"\xff",
        b"\0",
        b"\x1a",
        b"\x08\x1b",
        b"\x7f\x01",
        b"a text of some length, and more of it than of anything else in here ",
        b"\xc3",
        b"\xe3\x81\x82",
        b"\xef\xbb\xbf",
        b"~\\",
    ];
    let tame: &[&[u8]] = &[b"line\n", b"$Id$ ", b"\xc3\xa9t\xc3\xa9 ", b"words\n"];
    let pieces = if chance.below(2) == 0 { pieces } else { tame };
    (0..chance.below(7)).flat_map(|_| chance.one(pieces).to_vec()).collect()
}

/// Returns the bytes that clones may have for a blob; `None` if they are not known.
fn made(conversions: &[Conversion], id: ObjectId, blob: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    let mut all = BTreeSet::from([blob.to_owned()]);
    for recipe in recipes(conversions, &[]) {
        match recipe.apply(id, blob) {
            Made::Same => {}
            Made::Bytes(bytes) => drop(all.insert(bytes)),
            Made::Unclear(_) => return None,
        }
    }
    Some(all)
}

/// Creates a random repository, and returns its blobs.
fn by_chance(chance: &mut Chance, round: usize) -> (Place, HashMap<&'static str, ObjectId>) {
    let place = Place::new();
    place.write(".gitattributes", attributes(chance).as_bytes());
    if round.is_multiple_of(2) {
        place.write("sub/.gitattributes", attributes(chance).as_bytes());
    }
    for path in PATHS {
        place.write(path, &content(chance));
    }
    let mut ids = HashMap::new();
    // The blobs are stored unchanged, whatever the attributes are.
    for path in PATHS.iter().chain(&[".gitattributes", "sub/.gitattributes"]) {
        if place.at(path).exists() {
            let blob = place.git(&["hash-object", "-w", "--no-filters", path]).ok();
            let entry = format!("100644,{},{path}", blob.trim());
            place.git(&["update-index", "--add", "--cacheinfo", &entry]).ok();
            ids.insert(*path, ObjectId::from_hex(blob.trim().as_bytes()).unwrap());
        }
    }
    place.git(&["commit", "-q", "-m", "files"]).ok();
    (place, ids)
}

/// Returns the files of clones with several settings, after the clone and after a new checkout of the files.
fn clones(place: &Place) -> Vec<(String, &'static str, Vec<u8>)> {
    let mut written = Vec::new();
    for (at, settings) in [
        &["-c", "core.autocrlf=false"][..],
        &["-c", "core.autocrlf=true"],
        &["-c", "core.eol=crlf", "-c", "core.autocrlf=input"],
        &["-c", "core.ignorecase=true", "-c", "core.autocrlf=true"],
    ]
    .into_iter()
    .enumerate()
    {
        let clone = place.sandbox.path(format!("clone-{at}"));
        let args = ["clone", "-q", place.dir.to_str().unwrap(), clone.to_str().unwrap()];
        place.git_in(&place.sandbox.path(""), &[settings, &args[..]].concat());
        for again in [false, true] {
            if again {
                // The attributes files are in the working tree by now.
                for path in PATHS {
                    let _gone = fs::remove_file(clone.join(path));
                }
                place.git_in(&clone, &[settings, &["checkout", "-q", "--"][..], PATHS].concat());
            }
            for path in PATHS {
                // git ends at an attribute that it cannot read, and writes no more files.
                if let Ok(bytes) = fs::read(clone.join(path)) {
                    written.push((format!("{settings:?}, again: {again}"), *path, bytes));
                }
            }
        }
    }
    written
}

#[test]
fn git_writes_nothing_that_is_not_judged() {
    let chance = &mut Chance(7);
    let (mut converted, mut unclear) = (0, 0);
    for round in 0..ROUNDS {
        let (place, ids) = by_chance(chance, round);
        let tree = place.git(&["rev-parse", "HEAD^{tree}"]).ok();
        let tree = ObjectId::from_hex(tree.trim().as_bytes()).unwrap();
        let repo = Repo::discover(&place.dir).unwrap().unwrap();
        let mut treatments = Treatments::new(&repo, repo.database(&[]).unwrap());
        for (how, path, written) in clones(&place) {
            let blob = fs::read(place.at(path)).unwrap();
            let name = path.as_bytes().as_bstr();
            let attributes = treatments.attributes(Origin::Tree(tree), name).unwrap();
            let treatment = treatments.of(attributes, name);
            converted += usize::from(written != blob);
            let made = match &treatment {
                Treatment::Clear(conversions) => made(conversions, ids[path], &blob),
                Treatment::Unclear { .. } => None,
            };
            unclear += usize::from(made.is_none());
            assert!(
                made.is_none_or(|made| made.contains(&written)),
                "round {round}, {how}, {path}: {} of {} by {treatment:?}; {}",
                written.as_bstr(),
                blob.as_bstr(),
                fs::read(place.at(".gitattributes")).unwrap().as_bstr(),
            );
        }
    }
    assert!(converted > 15 * ROUNDS, "only {converted} files were converted");
    assert!(unclear < converted / 2, "{unclear} are unclear");
}

const NAMES: &[&str] = &[
    "ISO-8859-1",
    "CP1250",
    "CP1251",
    "CP1252",
    "CP1253",
    "CP1254",
    "CP1255",
    "CP1256",
    "CP1257",
    "CP1258",
    "CP874",
    "ISO-8859-2",
    "ISO-8859-3",
    "ISO-8859-4",
    "ISO-8859-5",
    "ISO-8859-6",
    "ISO-8859-7",
    "ISO-8859-8",
    "ISO-8859-9",
    "ISO-8859-10",
    "ISO-8859-11",
    "ISO-8859-13",
    "ISO-8859-14",
    "ISO-8859-15",
    "ISO-8859-16",
    "KOI8-R",
    "KOI8-U",
    "CP866",
    "SHIFT_JIS",
    "CP932",
    "EUC-KR",
    "CP949",
    "GBK",
    "GB2312",
];

#[test]
fn the_tables_are_those_of_iconv() {
    let place = Place::new();
    let is_here =
        place.command("iconv", &place.dir, &["--version"]).output().is_ok_and(|it| it.status.success());
    if !is_here {
        return skipped("iconv");
    }
    let chars: Vec<char> = (0x80..0x2_0000).filter_map(char::from_u32).collect();
    let id = ObjectId::from_hex(&[b'0'; 40]).unwrap();
    let text: String = chars.iter().flat_map(|char| [*char, '\n']).collect();
    for name in NAMES {
        let mut iconv = place.command("iconv", &place.dir, &["-c", "-f", "UTF-8", "-t", name]);
        let mut iconv =
            iconv.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (mut input, sent) = (iconv.stdin.take().unwrap(), text.clone());
        let writer = std::thread::spawn(move || input.write_all(sent.as_bytes()));
        let theirs = iconv.wait_with_output().unwrap().stdout;
        writer.join().unwrap().unwrap();
        // A character that the encoding does not have is skipped.
        let theirs: Vec<_> = theirs.split(|byte| *byte == b'\n').collect();
        assert_eq!(theirs.len(), chars.len() + 1, "{name}");
        let conversion = Conversion { encoding: Some((*name).into()), ..Conversion::none() };
        let recipe = recipes(&[conversion], &[]).into_iter().next().unwrap();
        for (char, theirs) in chars.iter().zip(theirs).filter(|(_, theirs)| !theirs.is_empty()) {
            match recipe.apply(id, char.to_string().as_bytes()) {
                Made::Bytes(ours) => assert_eq!(ours, theirs, "{name}, {char:?}"),
                Made::Same => panic!("{name} has {char:?}"),
                Made::Unclear(_) => assert_ne!(*name, "ISO-8859-1"),
            }
        }
    }
}

#[test]
fn attributes_of_this_clone_count_for_its_index() {
    let place = Place::new();
    let pickle = "\u{80}\u{2}cos\nsystem\n(S'id'\ntR.";
    let asked = |place: &Place| {
        [&["hook", "run", "pre-commit"][..], &["scan", "--staged"]]
            .map(|args| place.git(&[&["st-convert"], args].concat()).code)
    };
    place.add("a.pt", pickle.as_bytes());
    assert_eq!(asked(&place), [Some(0), Some(0)]);
    place.write(".git/info/attributes", b"*.pt working-tree-encoding=ISO-8859-1\n");
    assert_eq!(asked(&place), [Some(1), Some(1)]);
    // The attributes of this clone do not change the files of other clones.
    place.write(".gitattributes", b"*.pt working-tree-encoding=ISO-8859-1\n");
    place.git(&["add", ".gitattributes"]).ok();
    place.write(".git/info/attributes", b"*.pt -working-tree-encoding\n");
    assert_eq!(asked(&place), [Some(1), Some(1)]);
    place.git(&["rm", "-q", "-f", "--cached", ".gitattributes"]).ok();
    assert_eq!(asked(&place), [Some(0), Some(0)]);
}

#[test]
fn a_long_blob_is_converted_in_pieces() {
    let place = Place::new();
    // Nothing decides before the end: names are popped from the stack all the time.
    let tail =
        [&"N0".repeat((8 << 20) + 1).into_bytes()[..], b"\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R."]
            .concat();
    let text: String = tail.iter().map(|byte| char::from(*byte)).collect();
    place.write("a.dat", text.as_bytes());
    place.write("b.dat", "plain text\n".repeat(3 << 19).as_bytes());
    place.write(".gitattributes", b"*.dat working-tree-encoding=ISO-8859-1\n");
    for path in ["a.dat", "b.dat", ".gitattributes"] {
        let blob = place.git(&["hash-object", "-w", "--no-filters", path]).ok();
        place.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{},{path}", blob.trim())]).ok();
    }
    fs::remove_file(place.at("a.dat")).unwrap();
    let output = place.git(&["st-convert", "scan", "--staged", "--json"]);
    let lines: Vec<serde_json::Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    assert_eq!(of("a.dat")["checkout"], "working-tree-encoding=ISO-8859-1", "{output:#?}");
    assert_eq!(of("a.dat")["verdict"], "dangerous");
    assert_eq!(
        (&of("b.dat")["checkout"], &of("b.dat")["verdict"]),
        (&serde_json::Value::Null, &"clean".into())
    );
    let judged = place.git(&["st-convert", "hook", "run", "pre-commit"]);
    assert_eq!(judged.code, Some(1), "{judged:#?}");
    assert!(judged.stderr.contains("a.dat: ") && !judged.stderr.contains("b.dat: "), "{judged:#?}");
}
