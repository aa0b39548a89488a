//! Lists the values other than weights, or refuses the file.

use std::collections::HashSet;

use super::checks::deep;
use super::training::is_measurement;
use super::{Child, Ignored, Walk};
use crate::checkpoint::Error;
use crate::pickle::Id;

/// The contents of a value.
#[derive(Default)]
pub(super) struct Measure {
    pub(super) tensors: usize,
    pub(super) arrays: usize,
    pub(super) bytes: u64,
}

impl Walk<'_> {
    /// Counts the different tensors and arrays in a value, and their size in bytes.
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

    /// Lists the values next to the chosen dict, on every level above it.
    pub(super) fn list_the_rest(&mut self, root: Id, chosen: Id) -> Result<(), Error> {
        let mut waiting = vec![(String::new(), root, 0_usize, Aside::Other)];
        while let Some((path, id, depth, aside)) = waiting.pop() {
            self.visit(1)?;
            if id == chosen {
                continue;
            }
            if depth > self.limits.depth {
                return Err(deep(self.limits));
            }
            if !self.reaches(id, chosen)? {
                self.leave(path, id, aside)?;
                continue;
            }
            let children = self.children(id)?.unwrap_or_default();
            for Child { name, id, is_state, key } in children.into_iter().rev() {
                let name = match (name, key) {
                    (Some(name), _) => name,
                    (None, Some(key)) => self.describe(key)?,
                    (None, None) => continue,
                };
                let is_measured = self.aside.contains(&id)
                    || is_measurement(&name) && self.torch.is_weight(id) && self.is_number(id);
                let aside = if is_state {
                    Aside::State
                } else if is_measured {
                    Aside::Measurement
                } else {
                    Aside::Other
                };
                waiting.push((self.join(&path, &name)?, id, depth.saturating_add(1), aside));
            }
        }
        Ok(())
    }

    /// Returns `true` if `chosen` is below `id`, through dicts and lists.
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

    pub(super) fn leave(&mut self, path: String, id: Id, aside: Aside) -> Result<(), Error> {
        let Measure { tensors, arrays, .. } = self.measure(id)?;
        let what = self.describe(id)?;
        let link = if matches!(what.as_str(), "dict" | "list" | "tuple" | "set") { "of" } else { "with" };
        let held = match (tensors, arrays) {
            (0, 0) => String::new(),
            _ if self.torch.is_weight(id) => String::new(),
            (tensors, 0) => format!(" {link} {}", counted(tensors, "tensor")),
            (0, arrays) => format!(" {link} {}", counted(arrays, "numpy array")),
            (tensors, arrays) => {
                format!(" {link} {} and {}", counted(tensors, "tensor"), counted(arrays, "numpy array"))
            }
        };
        let aside = match aside {
            Aside::State => "training state, ",
            Aside::Measurement => "measurement, ",
            Aside::Other => "",
        };
        let reason = format!("{aside}{what}{held}");
        self.ignored.push(Ignored { path, reason });
        Ok(())
    }
}

/// Why a value is not a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aside {
    /// It is training state.
    State,
    /// It is a measurement of the weights, or their age.
    Measurement,
    /// It is not in the chosen dict.
    Other,
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
