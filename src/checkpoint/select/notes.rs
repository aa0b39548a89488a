//! What the names say about where they come from.
//!
//! Names are never changed: what a wrapper around the model put before them is told.

use super::{Note, Tensor};

/// What wrappers of a model put before each name: data parallel and `DeepSpeed`, `torch.compile`, FSDP, Lightning's
/// strategies, checkpointed layers.
const WRAPPERS: &[&str] =
    &["module.", "_orig_mod.", "_fsdp_wrapped_module.", "_forward_module.", "_checkpoint_wrapped_module."];

/// How many wrappers are looked for.
const MOST: usize = 4;

/// The wrappers that more than half of the names begin with, one after the other.
pub(super) fn prefix(tensors: &[Tensor]) -> Option<Note> {
    let mut prefix = String::new();
    let mut names = 0;
    for _ in 0..MOST {
        let found = WRAPPERS.iter().find_map(|wrapper| {
            let longer = [&prefix, *wrapper].concat();
            let count = tensors.iter().filter(|tensor| tensor.name.starts_with(&longer)).count();
            (count > tensors.len() / 2).then_some((longer, count))
        });
        let Some((longer, count)) = found else { break };
        (prefix, names) = (longer, count);
    }
    (!prefix.is_empty()).then_some(Note::Prefix { prefix, names, of: tensors.len() })
}
