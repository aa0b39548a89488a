//! Tests the report about the training state and other values of a checkpoint that are ignored.

use git_st_convert::checkpoint::{self, Error, Note, Options, Plan};

use super::fixtures;

fn planned(file: &str) -> Result<Plan, Error> {
    let bytes = std::fs::read(fixtures().join("checkpoints").join(file)).unwrap();
    checkpoint::plan(&bytes, &Options::default())
}

/// Returns the ignored values of a fixture, one per line.
fn ignored(file: &str) -> Vec<String> {
    let plan = planned(file).unwrap();
    plan.ignored.iter().map(|item| format!("{}: {}", item.path, item.reason)).collect()
}

#[test]
fn measurements_and_training_state_are_listed_as_what_they_are() {
    assert_eq!(
        ignored("trainer-measured.pt"),
        [
            "optimizer: training state, dict of 3 tensors",
            "iter_num: measurement, tensor",
            "best_val_loss: measurement, tensor",
            "Accuracy: measurement, tensor",
            "losses: measurement, dict of 2 tensors",
            "meters: list of 1 tensor",
        ]
    );
    assert_eq!(
        ignored("trainer-lists.pt"),
        [
            "optimizer: training state, list of 6 tensors",
            "opts: list of 6 tensors",
            "scaler: training state, list of 1 tensor",
            "loss: measurement, tensor",
        ]
    );
    assert_eq!(
        ignored("trainer-measured-flat.pt"),
        ["metrics: measurement, dict of 1 tensor", "rng_state: training state, tensor"]
    );
    assert!(ignored("trainer-state-keys.pt").iter().all(|line| line.contains(": training state, ")));
}

#[test]
fn what_wrappers_put_into_names_is_told() {
    let (prefix, wrapper) = ("model._orig_mod.".to_owned(), "_checkpoint_wrapped_module.".to_owned());
    for (file, note) in [
        ("wrapped-model.ckpt", Note::Prefix { prefix, names: 2, of: 3 }),
        ("wrapped-layers.pt", Note::Wrapped { wrapper, names: 4, of: 5 }),
    ] {
        assert_eq!(planned(file).unwrap().notes, [note], "{file}");
    }
}

#[test]
fn a_dict_of_the_same_names_is_named_with_its_key() {
    let plan = planned("trainer-state-dict.ckpt").unwrap();
    assert_eq!(plan.notes, [Note::Twin { key: "ema_state_dict".to_owned() }]);
    assert_eq!(plan.ignored.len(), 4);
}

#[test]
fn at_most_twelve_dicts_are_offered_and_the_whole_is_the_last() {
    match planned("trainer-many.pt") {
        Err(Error::Ambiguous { candidates, total: 20, .. }) => {
            let last = candidates.last().unwrap();
            assert_eq!((candidates.len(), &*candidates[10].key), (12, "layer.10"));
            assert_eq!((&*last.key, last.tensors, last.bytes), (".", 40, 240));
        }
        other => panic!("{other:?}"),
    }
    // Training state is not a candidate, and the named value prevents the choice.
    for (file, keys, named) in [
        ("trainer-scale.pt", vec!["visual", "."], "logit_scale"),
        ("trainer-parameter.pt", vec!["model", "."], "loss"),
        ("trainer-large-loss.pt", vec!["model", "."], "losses"),
        ("trainer-numbers.pt", vec!["model", "."], "criterion.temperature"),
        ("trainer-object.pt", vec!["model"], "mean"),
    ] {
        match planned(file) {
            Err(Error::Ambiguous { candidates, total: 1, beside }) => {
                let found: Vec<_> = candidates.iter().map(|candidate| candidate.key.as_str()).collect();
                assert_eq!((found, beside.as_deref()), (keys, Some(named)), "{file}");
            }
            other => panic!("{file}: {other:?}"),
        }
    }
}
