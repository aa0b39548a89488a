//! Finds out from the names of tensors which wrappers wrote them.
//!
//! Names are never changed: a note reports what a wrapper around the model, or around a part of it, added to them.

use std::collections::HashMap;

use super::{Note, Tensor};

/// The prefix that data parallel and `DeepSpeed` add to each name. A module can have this name itself.
const PARALLEL: &str = "module";

/// Parts that other wrappers add to names: `torch.compile`, FSDP, Lightning's strategies, checkpointed layers.
const WRAPPERS: &[&str] =
    &["_orig_mod", "_fsdp_wrapped_module", "_forward_module", "_checkpoint_wrapped_module"];

/// How many names of the model itself can precede a wrapper: `model._orig_mod.…`.
const OWN: usize = 2;

/// Returns the wrappers that more than half of the names have, as a prefix or inside.
pub(super) fn wrappers(tensors: &[Tensor]) -> Vec<Note> {
    let is_most = |names: usize| names > tensors.len() / 2;
    let of = tensors.len();
    let mut prefixes: HashMap<&str, usize> = HashMap::new();
    for tensor in tensors {
        let count = prefixes.entry(before(&tensor.name)).or_default();
        *count = count.saturating_add(1);
    }
    let common = prefixes.into_iter().find(|&(prefix, names)| !prefix.is_empty() && is_most(names));
    if let Some((prefix, names)) = common {
        return vec![Note::Prefix { prefix: prefix.to_owned(), names, of }];
    }
    let inside = WRAPPERS.iter().filter_map(|wrapper| {
        let has = |tensor: &&Tensor| tensor.name.split('.').any(|part| part == *wrapper);
        let names = tensors.iter().filter(has).count();
        is_most(names).then(|| Note::Wrapped { wrapper: [*wrapper, "."].concat(), names, of })
    });
    inside.collect()
}

/// Returns the beginning of a name up to its last wrapper, if only a few of the model's names precede it.
fn before(name: &str) -> &str {
    let (mut end, mut at, mut own) = (0, 0_usize, 0_usize);
    for part in name.split_inclusive('.') {
        let bare = part.strip_suffix('.').unwrap_or_default();
        let is_first = end == at;
        at = at.saturating_add(part.len());
        if WRAPPERS.contains(&bare) || bare == PARALLEL && is_first {
            (end, own) = (at, 0);
        } else if own >= OWN {
            break;
        } else {
            own = own.saturating_add(1);
        }
    }
    name.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_stand_before_names_and_behind_a_few_of_the_models_own() {
        for (name, prefix) in [
            ("module.linear.weight", "module."),
            ("module.module.weight", "module.module."),
            ("_orig_mod.module.linear.weight", "_orig_mod.module."),
            ("model._orig_mod.linear.weight", "model._orig_mod."),
            ("module.model.net._orig_mod.w", "module.model.net._orig_mod."),
            ("a.b.c._orig_mod.weight", ""),
            ("encoder.module.weight", ""),
            ("layers.0._orig_mod.weight", "layers.0._orig_mod."),
            ("module", ""),
            ("_orig_mod", ""),
            ("", ""),
        ] {
            assert_eq!(before(name), prefix, "{name}");
        }
    }
}
