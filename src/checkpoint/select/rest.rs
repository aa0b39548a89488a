//! What lies beside the weights: it is listed, or the file is refused.

use std::collections::HashSet;

use super::{Ignored, Walk, deep, is_training_state};
use crate::checkpoint::Error;
use crate::pickle::Id;

/// What is below a value.
#[derive(Default)]
pub(super) struct Measure {
    pub(super) tensors: usize,
    pub(super) arrays: usize,
    pub(super) bytes: u64,
}

impl Walk<'_> {
    /// How many different tensors and arrays a value holds, and their size in bytes.
    pub(super) fn measure(&mut self, id: Id) -> Result<Measure, Error> {
        let mut measure = Measure::default();
        let mut seen = HashSet::new();
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            self.visit(1)?;
            if !self.torch.holds_weight(id) || !seen.insert(id) {
                continue;
            }
            if self.torch.is_array(id) {
                measure.arrays = measure.arrays.saturating_add(1);
                let len = self.torch.array(id, "", self.limits).map_or(0, |array| array.len);
                measure.bytes = measure.bytes.saturating_add(len);
            } else if self.torch.is_tensor(id) {
                measure.tensors = measure.tensors.saturating_add(1);
                if let Ok(tensor) = self.torch.tensor(id, "", self.limits, &mut Vec::new()) {
                    measure.bytes = measure.bytes.saturating_add(tensor.bytes());
                }
            } else {
                self.torch.values.children(id, |child| waiting.push(child));
            }
        }
        Ok(measure)
    }

    /// Lists what lies beside the chosen dict, on every level above it.
    pub(super) fn list_the_rest(&mut self, root: Id, chosen: Id, asked: bool) -> Result<(), Error> {
        let mut waiting = vec![(String::new(), root, 0_usize)];
        while let Some((path, id, depth)) = waiting.pop() {
            self.visit(1)?;
            if id == chosen {
                continue;
            }
            if depth > self.limits.depth {
                return Err(deep(self.limits));
            }
            if !self.reaches(id, chosen)? {
                let state = path.split('.').next().is_some_and(is_training_state);
                let holds = self.torch.holds_tensor(id) && !self.torch.is_tensor(id);
                if holds && !asked && !state && !self.is_container(id)? && !self.is_module(id)? {
                    return Err(Error::Opaque { path, global: self.torch.describe(id) });
                }
                self.leave(path, id)?;
                continue;
            }
            for (key, value) in self.children(id, &path)?.into_iter().rev() {
                waiting.push((self.join(&path, &key)?, value, depth.saturating_add(1)));
            }
        }
        Ok(())
    }

    /// Is `chosen` below `id`, through dicts and lists?
    fn reaches(&mut self, id: Id, chosen: Id) -> Result<bool, Error> {
        let mut seen = HashSet::new();
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            if id == chosen {
                return Ok(true);
            }
            self.visit(1)?;
            if self.torch.holds_tensor(id) && seen.insert(id) && self.is_container(id)? {
                self.torch.values.children(id, |child| waiting.push(child));
            }
        }
        Ok(false)
    }

    pub(super) fn leave(&mut self, path: String, id: Id) -> Result<(), Error> {
        let Measure { tensors, arrays, .. } = self.measure(id)?;
        let what = self.describe(id)?;
        let state =
            if path.split('.').next().is_some_and(is_training_state) { "training state, " } else { "" };
        let held = match (tensors, arrays) {
            (0, 0) => String::new(),
            _ if self.torch.is_weight(id) => String::new(),
            (tensors, 0) => format!(" with {}", counted(tensors, "tensor")),
            (0, arrays) => format!(" with {}", counted(arrays, "numpy array")),
            (tensors, arrays) => {
                format!(" with {} and {}", counted(tensors, "tensor"), counted(arrays, "numpy array"))
            }
        };
        let reason = format!("{state}{what}{held}");
        self.ignored.push(Ignored { path, reason });
        Ok(())
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
