//! Checks that each name means one thing: the methods of a type are in few files, and types do not share a name.
//!
//! The modules of `src/lib.rs` may have equal names: where both are used, the module precedes the name.

use std::collections::{BTreeMap, BTreeSet};

use super::circles::Modules;
use super::source::Kind;

#[test]
fn a_type_has_its_methods_in_two_files_at_most() {
    let modules = Modules::of_crate();
    let mut files: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (module, source) in modules.iter() {
        for path in &source.impls {
            let Some(owner) = modules.find(module, path) else { panic!("{module}: impl {path:?}") };
            files.entry((owner.module, owner.name)).or_default().insert(module.to_owned());
        }
    }
    let many = files.into_iter().filter(|(_, files)| files.len() > 2);
    let found = many.map(|((module, name), files)| format!("{module}::{name} {}", files.len())).collect();
    super::assert_list("impls.txt", found, "the `impl`s of a type are in two files at most");
}

/// Returns `true` for a name that may occur again: each module has one, or it is the format of a server's response.
fn may_repeat(name: &str, kind: Kind) -> bool {
    matches!(name, "Error" | "Options") || kind == Kind::WireFormat
}

/// Returns the public types of each module: its own, and those that it re-exports.
fn public_types(modules: &Modules) -> BTreeMap<&str, BTreeMap<String, String>> {
    let mut types: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for (module, source) in modules.iter() {
        let own = source.items.iter().filter(|(_, item)| item.is_public).map(|(name, _)| vec![name.clone()]);
        let others =
            source.imports.iter().filter(|import| import.is_public).map(|import| import.path.clone());
        for path in own.chain(others) {
            let Some(found) = modules.find(module, &path) else { continue };
            if matches!(found.kind, Kind::Type | Kind::WireFormat) && !may_repeat(&found.name, found.kind) {
                types.entry(module).or_default().insert(found.name, found.module);
            }
        }
    }
    types
}

#[test]
fn sibling_modules_have_no_public_type_of_one_name() {
    let modules = Modules::of_crate();
    let types = public_types(modules);
    let mut owners: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (module, names) in &types {
        let Some((parent, _)) = module.rsplit_once("::") else { continue };
        for (name, definition) in names {
            owners.entry((parent, name)).or_default().insert(definition);
        }
    }
    let twice = owners.into_iter().filter(|(_, definitions)| definitions.len() > 1);
    let found = twice.map(|((_, name), definitions)| {
        format!("{name} {}", definitions.into_iter().collect::<Vec<_>>().join(" "))
    });
    super::assert_list("siblings.txt", found.collect(), "two sibling modules have a public type of one name");
}

#[test]
fn no_type_name_is_in_three_files_of_a_module() {
    let modules = Modules::of_crate();
    let mut files: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (module, source) in modules.iter() {
        let top = module.split("::").next().unwrap_or_default();
        for (name, item) in &source.items {
            if matches!(item.kind, Kind::Type | Kind::WireFormat) && !may_repeat(name, item.kind) {
                files.entry((top, name)).or_default().insert(module);
            }
        }
    }
    let often = files.into_iter().filter(|(_, files)| files.len() > 2);
    let found =
        often.map(|((_, name), files)| format!("{name} {}", files.into_iter().collect::<Vec<_>>().join(" ")));
    super::assert_list("types.txt", found.collect(), "one type name stands in three files of a module");
}
