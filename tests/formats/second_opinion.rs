//! Compares a second reader of torch's files, `pytorch-reader`, for every fixture: the same names, types, shapes and
//! bytes.

use std::collections::BTreeMap;

use git_st_convert::checkpoint::{self, Format, Note, Options, Plan};
use git_st_convert::read_at::Joined;
use git_st_convert::safetensors::{self, Layout};
use pytorch_reader::{DType, PytorchReader};

use super::{expected, fixtures, key_of};

type Tensors = BTreeMap<String, (String, Vec<usize>, Vec<u8>)>;

/// Returns all tensors that we find, tied ones under each of their names, and the plan.
fn ours(bytes: &[u8], key: Option<&str>) -> (Tensors, Plan) {
    let source = bytes.to_vec();
    let options = Options::with_key(key);
    let plan = checkpoint::plan(&source, &options).unwrap();
    let mut inflated = Vec::new();
    checkpoint::inflate(&source, &plan, &mut inflated).unwrap();
    let all: Vec<_> = (0..plan.tensors.len()).collect();
    let layout = Layout::new(&plan, &all, &BTreeMap::new()).unwrap();
    let mut out = Vec::new();
    safetensors::write(&layout, &plan, &Joined::new(&source, &inflated), &mut out).unwrap();
    let read = ::safetensors::SafeTensors::deserialize(&out).unwrap();
    let tensors = read.iter().map(|(name, tensor)| {
        (name.to_owned(), (tensor.dtype().to_string(), tensor.shape().to_vec(), tensor.data().to_vec()))
    });
    (tensors.collect(), plan)
}

fn name_of(dtype: DType) -> String {
    match dtype {
        DType::Bool => "BOOL".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Returns all tensors that the other reader finds.
fn theirs(path: &std::path::Path, key: &str) -> Result<Tensors, String> {
    let read = match key {
        "" => PytorchReader::new(path),
        key => PytorchReader::with_top_level_key(path, key),
    };
    let read = read.map_err(|error| error.to_string())?;
    let tensors = read.tensors().iter().map(|(name, tensor)| {
        let bytes = tensor.read().map_err(|error| error.to_string())?;
        Ok((name.clone(), (name_of(tensor.dtype()), tensor.shape().to_vec(), bytes)))
    });
    tensors.collect()
}

#[test]
fn another_reader_finds_the_same_tensors() {
    let (mut same, mut unread, mut wrong) = (0, Vec::new(), Vec::new());
    for (file, expected) in
        expected().iter().filter(|(_, expected)| expected.sha256.is_some() && !expected.generated)
    {
        let path = fixtures().join("checkpoints").join(file);
        let (mut ours, plan) = ours(&std::fs::read(&path).unwrap(), key_of(&expected.args));
        // The other reader knows no arrays, no modules and no plain pickles.
        if plan.format == Format::Pickle
            || !plan.embedded.is_empty()
            || plan.notes.iter().any(|note| matches!(note, Note::Module { .. }))
        {
            continue;
        }
        // Its booleans are 0 and 1, whatever byte the file has; ours are the bytes, as in torch.
        for (.., bytes) in ours.values_mut().filter(|(dtype, ..)| dtype == "BOOL") {
            for byte in bytes {
                *byte = u8::from(*byte != 0);
            }
        }
        match theirs(&path, &plan.key) {
            Err(error) => unread.push(format!("{file}: {error}")),
            Ok(mut theirs) => {
                // We list training state and do not read it.
                let left = |name: &str| plan.ignored.iter().any(|ignored| name.starts_with(&ignored.path));
                theirs.retain(|name, _| !left(name));
                if theirs == ours {
                    same += 1;
                    continue;
                }
                let differs = |name: &&String| theirs.get(*name) != ours.get(*name);
                let names: Vec<_> = ours.keys().chain(theirs.keys()).filter(differs).take(4).collect();
                wrong.push(format!("{file}: {names:?} of {} and {}", ours.len(), theirs.len()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(same >= 70, "only {same}; not read:\n{}", unread.join("\n"));
}
