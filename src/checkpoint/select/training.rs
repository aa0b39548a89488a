//! Detects training state and measurements by their keys.
//!
//! The patterns are those of the contract of the command line, so that a note can name the rule. No pattern guesses
//! about numbers: a weight under such a key is left out, and listed.

use super::Walk;
use crate::checkpoint::{DType, Error};
use crate::pickle::Id;

/// The entries next to an entry in its dict, as far as they help to classify it.
#[derive(Clone, Copy, Default)]
pub(super) struct Beside {
    /// `true` if `decay` exists: a running mean of the weights has one.
    decay: bool,
}

impl Beside {
    pub(super) fn of<'k>(mut keys: impl Iterator<Item = &'k str>) -> Self {
        Self { decay: keys.any(|key| key == "decay") }
    }
}

/// Returns `true` if the value under this key is training state.
///
/// A tensor counts only as the state of a random generator: in a flat state dict, any other tensor may be a weight. A
/// module never counts.
pub(super) fn is_state(walk: &mut Walk<'_>, key: &str, id: Id, beside: Beside) -> Result<bool, Error> {
    if !walk.torch.holds_weight(id) {
        return Ok(is_state_key(key) || key == "scaler");
    }
    if walk.torch.is_weight(id) {
        return Ok(is_generator_key(key) && (walk.torch.is_array(id) || is_bytes(walk, id)));
    }
    let by_key = is_state_key(key)
        || key == "scaler" && scales_a_loss(walk, id)?
        || beside.decay && matches!(key, "shadow_params" | "collected_params");
    if by_key && !walk.is_module(id)? {
        return Ok(true);
    }
    is_of_optimizers(walk, id)
}

/// Returns `true` if it is the state of an optimizer, or a list of only such states.
pub(super) fn is_of_optimizers(walk: &mut Walk<'_>, id: Id) -> Result<bool, Error> {
    let Some(mut items) = walk.torch.items(id) else { return is_of_optimizer(walk, id) };
    walk.visit(items.len())?;
    items.retain(|&item| walk.torch.holds_weight(item));
    for &item in &items {
        if !is_of_optimizer(walk, item)? {
            return Ok(false);
        }
    }
    Ok(!items.is_empty())
}

/// Returns `true` for the result of `Optimizer.state_dict()`, by its two keys, or a running mean of weights in a list.
fn is_of_optimizer(walk: &mut Walk<'_>, id: Id) -> Result<bool, Error> {
    if let Some(&known) = walk.states.get(&id) {
        return Ok(known);
    }
    let is_state =
        has_keys(walk, id, &["state", "param_groups"])? || has_keys(walk, id, &["shadow_params", "decay"])?;
    walk.states.insert(id, is_state);
    Ok(is_state)
}

/// Returns `true` if it is the state of a loss scaler, or a list of such states.
fn scales_a_loss(walk: &mut Walk<'_>, id: Id) -> Result<bool, Error> {
    for item in walk.torch.items(id).unwrap_or_else(|| vec![id]) {
        if has_keys(walk, item, &["growth_factor"])? || has_keys(walk, item, &["loss_scale"])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns `true` for a dict that has all of these keys.
fn has_keys(walk: &mut Walk<'_>, id: Id, wanted: &[&str]) -> Result<bool, Error> {
    let Some(entries) = walk.torch.entries(id) else { return Ok(false) };
    walk.visit(entries.len())?;
    let texts = || entries.iter().filter_map(|&(key, _)| walk.torch.values.text(key));
    Ok(wanted.iter().all(|wanted| texts().any(|key| key == *wanted)))
}

/// Returns `true` for keys under which trainers store values that are never weights.
pub(super) fn is_state_key(key: &str) -> bool {
    let starts = ["optimizer_", "lr_sched", "scheduler", "rng", "random_state"];
    matches!(key, "optim" | "optimizer" | "optimizers")
        || starts.iter().any(|start| key.starts_with(start))
        || ["_optimizer", "optim_state", "rng_state"].iter().any(|part| key.contains(part))
}

/// Returns `true` for keys of the states of random generators.
fn is_generator_key(key: &str) -> bool {
    let named = key.starts_with("rng") || key.starts_with("random_state") || key.contains("rng_state");
    // A name with dots is a name in a flat state dict.
    named && !key.contains('.')
}

/// Returns `true` if the key names a measurement: a number about the quality or the age of the weights.
pub(super) fn is_measurement(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let parts = ["loss", "acc", "score", "metric", "error", "step"];
    matches!(key.as_str(), "epoch" | "lr")
        || key.starts_with("best_")
        || key.starts_with("iter")
        || parts.iter().any(|part| key.contains(part))
}

/// Returns `true` for a tensor of bytes, the form of the state of torch's generators.
fn is_bytes(walk: &Walk<'_>, id: Id) -> bool {
    let tensor = walk.torch.tensor(id, "", walk.limits, &mut Vec::new());
    tensor.is_ok_and(|tensor| tensor.dtype == DType::U8 && tensor.shape.len() == 1)
}
