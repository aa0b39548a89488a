//! Tests attacks on the reader, one named test each; `docs/attacks.md` lists them.
//!
//! Each test checks the error, and that it comes soon. `tests/checkpoint` builds the files.

mod archives;
mod arrays;
mod bypasses;
mod ends;
mod legacy;
mod measured;
mod memory;
mod modules;
mod names;
mod pickles;
mod plain;
mod scripts;
mod strictness;
mod strides;
mod tars;
mod tensors;

use std::time::{Duration, Instant};

use git_st_convert::checkpoint::{self, Error, Options, Plan, ties};
use git_st_convert::read_at::Joined;
use git_st_convert::safetensors::{self, Layout};

use crate::checkpoint::{floats, legacy as legacy_file, pickle, zip, zip_of};

/// Longer than any of these tests takes in a debug build.
const SOON: Duration = Duration::from_secs(30);

/// Plans a file, within the time limit.
fn plan(file: &[u8]) -> Result<Plan, Error> {
    measured::record(file);
    let source = file.to_vec();
    let start = Instant::now();
    let plan = checkpoint::plan(&source, &Options::default());
    let took = start.elapsed();
    assert!(took < SOON, "{took:?} for {} bytes", file.len());
    plan
}

/// Checks that a file is refused wherever it is truncated. The parts are not measured, because the whole file is.
fn refused_when_cut(file: &[u8]) {
    for len in 0..file.len() {
        assert!(checkpoint::plan(&file[..len].to_vec(), &Options::default()).is_err(), "cut at {len}");
    }
}

/// Returns the reason why a file is refused.
#[track_caller]
fn refused(file: &[u8]) -> Error {
    plan(file).expect_err("is refused")
}

/// Plans and converts a file as `actions` does, within the time limit.
fn converted(file: &[u8]) -> Result<Vec<u8>, Error> {
    let plan = plan(file)?;
    let source = file.to_vec();
    let start = Instant::now();
    checkpoint::prove(&source, &plan)?;
    let mut inflated = Vec::new();
    checkpoint::inflate(&source, &plan, &mut inflated)?;
    let ties = ties::resolve(&plan, &ties::Policy::default())?;
    let metadata = std::iter::once(("format".to_owned(), "pt".to_owned())).collect();
    let layout = Layout::new(&plan, &ties.kept, &metadata).unwrap();
    let mut out = Vec::new();
    safetensors::write(&layout, &plan, &Joined::new(&source, &inflated), &mut out).unwrap();
    assert_eq!(out.len() as u64, layout.size());
    assert!(start.elapsed() < SOON, "{:?} for {} bytes", start.elapsed(), file.len());
    Ok(out)
}

/// Returns the cause for a pickle that cannot be read.
#[track_caller]
fn pickle_refused(file: &[u8]) -> git_st_convert::pickle::Error {
    match refused(file) {
        Error::Pickle { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn benign() {
    let object = pickle::named(&[("a", pickle::four()), ("b", pickle::int(7))]);
    let zipped = converted(&zip(&object, &[("0", &floats(4))])).unwrap();
    let legacy = converted(&legacy_file(&object, &[("0", 4, &floats(4))])).unwrap();
    assert_eq!(zipped, legacy);
    let read = ::safetensors::SafeTensors::deserialize(&zipped).unwrap();
    assert_eq!(read.tensor("a").unwrap().data(), floats(4));
}
