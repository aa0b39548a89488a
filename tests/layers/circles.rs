//! Checks that no files form a circle: each uses only files that do not use it, also through re-exports.
//!
//! A node is a file of `src/` without its tests. An edge is a path of a `use` or of a body, followed through the `use`s
//! of faces (`mod.rs`, or `x.rs` next to `x/`) to the file that defines the name. Names of a face above the file make
//! no edge: types and constants may be there, and a call of a function there is a separate breach.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use super::source::{Import, Kind, Source};

/// The files of `src/`, by the path of their module, such as `lfs::store`; the crate itself is the empty path.
pub(super) struct Modules {
    sources: BTreeMap<String, Source>,
    files: BTreeMap<String, String>,
}

/// The target of a path: the module of a file, and the item there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Definition {
    pub(super) module: String,
    pub(super) name: String,
    pub(super) kind: Kind,
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

/// Returns the module of a file: `lfs/mod.rs` is `lfs`, `hash/blocks.rs` is `hash::blocks`.
fn module_of(file: &str) -> String {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { String::new() } else { path.replace('/', "::") }
}

impl Modules {
    /// Returns the modules of this crate, which are read once.
    pub(super) fn of_crate() -> &'static Self {
        static READ: OnceLock<Modules> = OnceLock::new();
        READ.get_or_init(|| Self::read(&super::sources("src")))
    }

    fn read(files: &BTreeMap<String, String>) -> Self {
        let mut all: BTreeMap<String, (String, Source)> =
            files.iter().map(|(file, text)| (module_of(file), (file.clone(), Source::read(text)))).collect();
        let (mut sources, mut names) = (BTreeMap::new(), BTreeMap::new());
        let mut waiting = vec![String::new()];
        // A file that no `mod` line names is a test, or another program.
        while let Some(module) = waiting.pop() {
            let Some((file, source)) = all.remove(&module) else { continue };
            waiting.extend(source.modules.iter().map(|child| join(&module, child)));
            names.insert(module.clone(), file);
            sources.insert(module, source);
        }
        Self { sources, files: names }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.sources.iter().map(|(module, source)| (module.as_str(), source))
    }

    pub(super) fn file(&self, module: &str) -> &str {
        &self.files[module]
    }

    /// Returns the definition that a path means in a module; `None` for another crate, or for a module.
    pub(super) fn find(&self, module: &str, path: &[String]) -> Option<Definition> {
        self.follow(module, path, &mut BTreeSet::new())
    }

    fn follow(
        &self,
        module: &str,
        path: &[String],
        seen: &mut BTreeSet<(String, Vec<String>)>,
    ) -> Option<Definition> {
        let (first, rest) = path.split_first()?;
        if !seen.insert((module.to_owned(), path.to_vec())) {
            return None;
        }
        match first.as_str() {
            "crate" => return self.follow("", rest, seen),
            "self" => return self.follow(module, rest, seen),
            "super" => return self.follow(parent(module), rest, seen),
            _ => {}
        }
        let source = self.sources.get(module)?;
        if source.modules.contains(first) {
            return self.follow(&join(module, first), rest, seen);
        }
        if let Some(item) = source.items.get(first) {
            return Some(Definition { module: module.to_owned(), name: first.clone(), kind: item.kind });
        }
        // A path that begins with the name that it imports is of another crate.
        let named = source.imports.iter().filter(|import| import.name == *first && import.path[0] != *first);
        named.into_iter().find_map(|import| {
            let path: Vec<String> = import.path.iter().chain(rest).cloned().collect();
            self.follow(module, &path, seen)
        })
    }

    /// Returns all names that a file uses from others.
    fn taken(&self, module: &str, source: &Source) -> Vec<Definition> {
        // A re-export alone does not make the face use the file.
        let is_used = |import: &&Import| !import.is_public || source.names.contains(&import.name);
        let imported = source.imports.iter().filter(is_used).map(|import| &import.path);
        let found = imported.chain(&source.paths).filter_map(|path| self.find(module, path));
        found.filter(|definition| definition.module != module).collect()
    }
}

/// The files that each file uses, with the names; and the functions of faces that are called below them.
struct Graph {
    edges: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    of_faces: BTreeSet<String>,
}

impl Graph {
    fn of(modules: &Modules) -> Self {
        let mut graph = Self { edges: BTreeMap::new(), of_faces: BTreeSet::new() };
        for (module, source) in modules.iter() {
            let file = modules.file(module).to_owned();
            let edges = graph.edges.entry(file.clone()).or_default();
            for definition in modules.taken(module, source) {
                let from = modules.file(&definition.module);
                if is_above(&definition.module, module) {
                    if definition.kind == Kind::Function {
                        graph.of_faces.insert(format!("{file} {}", definition.name));
                    }
                    continue;
                }
                edges.entry(from.to_owned()).or_default().insert(definition.name);
            }
        }
        graph
    }

    /// Returns every file that can be reached from one.
    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let (mut found, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(file) = waiting.pop() {
            for next in self.edges.get(file).into_iter().flat_map(BTreeMap::keys) {
                if found.insert(next.as_str()) {
                    waiting.push(next);
                }
            }
        }
        found
    }

    /// Returns the sets of two or more files that reach each other.
    fn circles(&self) -> Vec<BTreeSet<&str>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            self.edges.keys().map(|file| (file.as_str(), self.reached(file))).collect();
        let mut circles: Vec<BTreeSet<&str>> = Vec::new();
        for (file, below) in &reached {
            if !below.contains(file) || circles.iter().any(|circle| circle.contains(file)) {
                continue;
            }
            circles.push(below.iter().copied().filter(|other| reached[other].contains(file)).collect());
        }
        circles
    }

    /// Returns the names that connect a circle, a line for each pair of files.
    fn ties(&self, circle: &BTreeSet<&str>) -> String {
        let pairs = circle.iter().flat_map(|file| self.edges[*file].iter().map(move |edge| (file, edge)));
        let lines =
            pairs.filter(|(_, (from, _))| circle.contains(from.as_str())).map(|(file, (from, names))| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("    {file} takes {} of {from}\n", names.join(", "))
            });
        lines.collect()
    }
}

/// Returns `true` if the one module is the face of the other, or a face above it.
fn is_above(face: &str, module: &str) -> bool {
    face.is_empty() || module.strip_prefix(face).is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn no_files_use_each_other() {
    let graph = Graph::of(Modules::of_crate());
    let circles = graph.circles();
    let ties: String = circles.iter().map(|circle| graph.ties(circle)).collect();
    let found = circles.iter().map(|circle| circle.iter().copied().collect::<Vec<_>>().join(" ")).collect();
    super::assert_list("circles.txt", found, &format!("files use each other in a circle:\n{ties}"));
}

#[test]
fn no_file_calls_a_function_of_a_face_above_it() {
    let graph = Graph::of(Modules::of_crate());
    let found = graph.of_faces.into_iter().collect();
    super::assert_list(
        "faces.txt",
        found,
        "a face (`mod.rs`) is no place for a function that its files call",
    );
}

/// Returns the circles of a made-up crate.
fn circles_of(files: &[(&str, &str)]) -> (Vec<Vec<String>>, Vec<String>) {
    let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    let graph = Graph::of(&Modules::read(&files));
    let circles = graph.circles().into_iter().map(|circle| circle.into_iter().map(str::to_owned).collect());
    (circles.collect(), graph.of_faces.into_iter().collect())
}

#[test]
fn a_circle_through_a_re_export_is_found() {
    let (circles, _) = circles_of(&[
        ("lib.rs", "pub mod a;\npub mod b;\n"),
        ("a/mod.rs", "mod one;\nmod two;\npub use one::One;\n"),
        ("a/one.rs", "pub struct One(crate::b::Two);\n"),
        ("a/two.rs", "use crate::b;\nfn two() { b::three(); }\n"),
        ("b.rs", "mod four;\npub use crate::a::One;\npub use four::{Four as Two, three};\n"),
        ("b/four.rs", "use crate::b::One;\npub struct Four;\npub fn three() {}\n"),
    ]);
    assert_eq!(circles, [["a/one.rs", "b/four.rs"]]);
}

#[test]
fn a_face_that_uses_what_it_lets_through_is_in_the_circle() {
    let (circles, _) = circles_of(&[
        ("lib.rs", "mod a;\nmod b;\n"),
        ("a.rs", "mod one;\npub(crate) use one::One;\npub(crate) fn make() -> One {}\n"),
        ("a/one.rs", "pub(crate) struct One(crate::b::Two);\n"),
        ("b.rs", "pub(crate) struct Two;\nfn two() { crate::a::make(); }\n"),
    ]);
    assert_eq!(circles, [["a.rs", "a/one.rs", "b.rs"]]);
}

#[test]
fn a_face_and_its_files_are_no_circle_but_a_function_there_is_named() {
    let (circles, of_faces) = circles_of(&[
        ("lib.rs", "mod a;\npub const N: u8 = 1;\n"),
        ("a.rs", "mod one;\nstruct A;\nfn help() { one::go() }\n"),
        ("a/one.rs", "use super::{A, help};\npub fn go() { help(); let _ = crate::N; }\n"),
    ]);
    assert!(circles.is_empty(), "{circles:?}");
    assert_eq!(of_faces, ["a/one.rs help"]);
}
