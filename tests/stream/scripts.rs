//! Tests `TorchScript` archives that are only on the LFS server: they are converted during the download, or, with
//! deflated records, after it.

use std::fs;

use git_st_convert::hash::Oid;

use super::{CHECKPOINT, World, clone, leftovers, objects};
use crate::formats::scripts::{archive, scripts};
use crate::hub::Builder;

#[test]
fn every_script_comes_out_of_a_clone_as_the_reference_makes_it() {
    let mut model = Builder::new();
    let mut wanted = Vec::new();
    for (path, expected) in scripts() {
        let Some(sha256) = expected.sha256 else { continue };
        let bytes = archive(&path);
        model.lfs(&format!("{path}.d/{CHECKPOINT}"), bytes.clone());
        wanted.push((path, sha256, Oid::of(&bytes).to_string()));
    }
    model.commit("all");
    let world = World::with(&model);
    let (output, repo) = clone(&world);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let stored = objects(&repo);
    for (path, sha256, source) in &wanted {
        let file = fs::read(repo.join(format!("{path}.d/model.safetensors"))).unwrap();
        assert_eq!(Oid::of(&file).to_string(), *sha256, "{path}");
        assert!(stored.binary_search(sha256).is_ok() && stored.binary_search(source).is_err(), "{path}");
    }
    assert!(wanted.len() > 60, "{}", wanted.len());
    assert_eq!(leftovers(&repo), <[String; 0]>::default());
}
