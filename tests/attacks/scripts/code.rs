//! Tests attacks by the code of `TorchScript` archives: declarations that are wrong, have other forms, or are huge.

use super::super::{Error, pickle, plan, refused};
use super::{assert_limit, class, names};
use crate::checkpoint::archive::{self, Record};
use crate::checkpoint::script::{CODE, object_of, plain, script, script_records};

#[track_caller]
fn assert_code(code: &str, at: u64, what: &str) {
    match refused(&script(&plain(), code)) {
        Error::ScriptCode { what: found, line, record } => {
            assert_eq!((found, line, &*record), (what, at, "archive/code/__torch__.py"), "{code:.200}");
        }
        other => panic!("{code}: {other:?}"),
    }
}

#[test]
fn classes_that_are_there_twice_or_nowhere() {
    assert_code(&format!("{CODE}{CODE}"), 6, "duplicate class");
    assert_code(&format!("{CODE}class V:\n  a : int\nclass V:\n  a : int\n"), 8, "duplicate class");
    // The code of the class is in another file, or in one with another case.
    for path in ["__torch__/M.py", "torch.py", "__torch__", "__torch__.pyc", "__Torch__.py"] {
        let found = refused(&archive::write(&script_records(&plain(), &[(path, CODE)])));
        assert!(matches!(found, Error::ScriptModule { .. }), "{path}: {found:?}");
    }
    let both = script_records(&plain(), &[("__torch__.py", CODE), ("__TORCH__.py", CODE)]);
    assert!(matches!(refused(&archive::write(&both)), Error::Ambiguity { .. }));
}

#[test]
fn lists_of_names_that_lie() {
    let code =
        |parameters: &str, buffers: &str| class("M", parameters, buffers, &["a : Tensor", "training : bool"]);
    let nowhere = "undeclared name in the list of a class";
    assert_code(&code("\"b\", ", ""), 1, nowhere);
    assert_code(&code("\"a\", ", "\"b\", "), 1, nowhere);
    assert_code(&code("\"a\", \"a\", ", ""), 1, "duplicate name in the list of a class");
    assert_code(&code("\"a\", ", "\"a\", "), 1, "duplicate name in the list of a class");
    assert_code(&code("\"training\", ", ""), 1, "non-tensor in the state list of a class");
    assert_code(&code("", "\"training\", "), 1, "non-tensor in the state list of a class");
    assert_code(&format!("{CODE}  __parameters__ = []\n"), 6, "duplicate list of names");
    assert_code(&format!("{CODE}  __buffers__ = []\n"), 6, "duplicate list of names");
    assert_code(&format!("{CODE}  a : Tensor\n"), 1, "duplicate attribute of a class");
    assert_code(&format!("{CODE}  __annotations__[\"a\"] = Tensor\n"), 1, "duplicate attribute of a class");
    let unsettled = "class without a state list";
    assert_code("class M(Module):\n  a : Tensor\n  training : bool\n", 1, unsettled);
    assert_code(
        "class M(Module):\n  __buffers__ = []\n  a : Optional[Tensor]\n  training : bool\n",
        1,
        unsettled,
    );
    assert_code("class M(Module):\n  __parameters__ = []\n  a : Tensor\n  training : bool\n", 1, unsettled);
    // If every tensor is listed, the state is clear.
    let settled = "class M(Module):\n  __parameters__ = [\"a\", ]\n  a : Tensor\n  training : bool\n";
    assert_eq!(names(&script(&plain(), settled)), ["a"]);
    // A final value is not an attribute.
    let last = class("M", "\"a\", ", "", &["a : Final[int] = 3", "training : bool"]);
    assert_code(&last, 1, nowhere);
}

/// Checks each line at the end of the class of a module.
fn assert_lines(lines: &[&str], what: &str) {
    for line in lines {
        assert_code(&format!("{CODE}  {line}\n"), 6, what);
    }
}

#[test]
fn declarations_in_other_forms_than_torch_writes() {
    let what = "unexpected declaration";
    assert_lines(&["pass", "b", "b: int", "b : ", "b = 3", "b += 3", "3b : int", "b.c : int"], what);
    assert_lines(
        &["b : int = 3", "b : int int", "b : (int)", "b : \"int\"", "b : [int]", "b : Final[int]"],
        what,
    );
    assert_lines(&["b : torch.Tensor", "b : __torch__..N", "b : __torch__ . N", "b : List [int]"], what);
    assert_lines(&["b : Tensor[3]x", "b : List[\"int\"]", "b : [int]List"], what);
    assert_lines(
        &["__annotations__[\"b\"]= int", "__annotations__[\"\"] = int", "__annotations__ = {}"],
        what,
    );
    assert_lines(
        &["__annotations__[\"b\\n\"] = int", "__annotations__['b'] = int", "__forward_hooks__ = [b]"],
        what,
    );
    assert_lines(&["__annotations__[\"b\" \"c\"] = int", "__annotations__[b] = int"], what);
}

#[test]
fn statements_in_other_places_than_torch_writes() {
    let what = "unexpected statement";
    for text in ["x = 3\n", "pass\n", "classN:\n", "class 3:\n", "class N M:\n", "class N(Module)\n"] {
        assert_code(&format!("{CODE}{text}"), 6, what);
    }
    for text in ["class N(Module): pass\n", "class N():\n  a : int\n", "class N(M):\n  a : int\n"] {
        assert_code(&format!("{CODE}{text}"), 6, what);
    }
    let below = "misplaced statement";
    assert_code(&format!("  a : int\n{CODE}"), 1, below);
    assert_code(&format!("{CODE}    b : int\n"), 6, below);
    assert_code(&format!("{CODE} b : int\n"), 6, below);
    // The lines below a class of values, or below a function, are not read.
    let free =
        "op_version_set = 1\nimport __torch__.b\ndef f(x: int) -> int:\n  return 3\nclass N:\n  a\n    b\n";
    assert_eq!(names(&script(&plain(), &format!("{free}{CODE}def f(x: int) -> int:\n  return 3\n"))), ["a"]);
}

#[test]
fn lists_in_other_forms_than_torch_writes() {
    for list in ["[\"a\"]", "[\"a\" , ]", "[a, ]", "['a', ]", "[\"\", ]", "[\"a\\x62\", ]", "(\"a\", )"] {
        assert_code(&CODE.replace("[\"a\", ]", list), 2, "unexpected declaration");
    }
    assert_code(&CODE.replace("[\"a\", ]", "[\"a\",\n\"b\", ]"), 2, "unexpected declaration");
}

#[test]
fn code_that_other_readers_would_divide_in_another_way() {
    for (text, what) in [
        ("  b : int", "unterminated last line"),
        ("  \tb : int\n", "unexpected character"),
        ("  b : int\r\n", "unexpected character"),
        ("  b : \\\n  int\n", "unexpected character"),
        ("  é : int\n", "unexpected character"),
        ("  def f(self):\n    x = \"\"\"\n  b : int\n\"\"\"\n", "unexpected string"),
        ("  def f(self):\n    x = \"\n  b : int\n", "unterminated string"),
        ("  def f(self):\n    x = (1\n", "unterminated last line"),
        ("  def f(self):\n    x = 1)\n", "unmatched bracket"),
    ] {
        match refused(&script(&plain(), &format!("{CODE}{text}"))) {
            Error::ScriptCode { what: found, .. } => assert_eq!(found, what, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    // A text in a string, in brackets or in a comment is not a declaration.
    let hidden = "  def f(self):\n    x = \"#\\\"\"\n    y = (\n  b : int,\n  3)\n    # c : int\n  # d : int\n\n    z\n";
    assert_eq!(names(&script(&plain(), &format!("{CODE}{hidden}"))), ["a"]);
    let mut file = script_records(&plain(), &[]);
    file.push(Record::stored("archive/code/__torch__.py", b"class M(Module):\n  # \xff\n"));
    assert!(matches!(
        refused(&archive::write(&file)),
        Error::ScriptCode { what: "text that is not UTF-8", .. }
    ));
}

#[test]
fn names_of_classes_that_leave_the_code() {
    let state = pickle::named(&[("a", pickle::four()), ("training", vec![0x88])]);
    for (module, name) in [
        ("__torch__...", "M"),
        ("__torch__/../..", "M"),
        ("__torch__.a/b", "M"),
        ("", "M"),
        ("__torch__", ""),
        ("__torch__", "M(Module):"),
        ("__torch__.é", "M"),
        ("..", "__torch__.M"),
        ("torch", "M"),
    ] {
        let code = [("__torch__.py", CODE), ("__torch__/a.py", CODE), ("torch.py", CODE)];
        let file = archive::write(&script_records(&object_of(module, name, &state), &code));
        match refused(&file) {
            Error::ScriptModule { what, .. } => {
                assert_eq!(what, "is not a module according to the code of the archive");
            }
            other => panic!("{module} {name}: {other:?}"),
        }
    }
    // The two parts are one name, as torch joins them.
    let file = script_records(&object_of("__torch__", "a.M", &state), &[("__torch__/a.py", CODE)]);
    assert_eq!(names(&archive::write(&file)), ["a"]);
}

/// Returns numbered texts.
fn many(count: u32, text: impl Fn(u32) -> String) -> String {
    (0..count).map(text).collect::<Vec<_>>().concat()
}

#[test]
fn code_that_is_huge() {
    // No object has attributes with these names.
    let attributes = many(200_000, |number| format!("  a{number} : int\n"));
    assert_code(&format!("{CODE}{attributes}"), 32, "more attributes than the objects have");
    let listed = many(200_000, |number| format!("\"a{number}\", "));
    assert_code(&CODE.replace("\"a\", ", &listed), 2, "more attributes than the objects have");
    let classes = many(200_001, |number| format!("class A{number}:\n  a\n"));
    assert_code(&format!("{classes}{CODE}"), 400_001, "more classes than are read");
    // Brackets, strings and comments without an end, and an unused class.
    for text in [
        "x(".repeat(500_000),
        format!("\"{}", "a".repeat(1 << 20)),
        format!("#{}", "a".repeat(1 << 20)),
        format!("class N:\n{}", "  a : int\n".repeat(100_000)),
        "\n".repeat(1 << 20),
    ] {
        let file = script(&plain(), &format!("{CODE}{text}"));
        let found = plan(&file);
        assert!(found.is_ok() || matches!(found, Err(Error::ScriptCode { .. })), "{found:?}");
    }
    // This is more files than any model has.
    let mut files = script_records(&plain(), &[("__torch__.py", CODE)]);
    files.extend((0..1 << 15).map(|number| Record::stored(&format!("archive/{number}.pkl"), b"\x80\x02N.")));
    assert_limit(&archive::write(&files), "files of code");
    // A few bytes inflate to many.
    assert_limit(&script(&plain(), &format!("{CODE}{}", " ".repeat(8 << 20))), "bytes of code");
    let mut bomb = script_records(&plain(), &[("__torch__.py", CODE)]);
    bomb.push(Record::deflated("archive/code/__torch__.py.debug_pkl", &vec![b' '; 8 << 20]));
    assert_limit(&archive::write(&bomb), "bytes of code");
}
