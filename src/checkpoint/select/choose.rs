//! Chooses the state dict of an object: the requested dict, or the only possible one.

use super::checks::check_names;
use super::places::{Found, Places};
use super::{Child, Walk, training};
use crate::checkpoint::{Candidate, Error, Note, Tensor};
use crate::pickle::Id;

/// How many dicts the error lists, including the whole object.
const OFFERED: usize = 12;

/// The value that was chosen.
pub(super) struct Choice {
    /// Its dotted path; empty for the whole object.
    pub(super) path: String,
    pub(super) id: Id,
    pub(super) how: How,
}

/// How a value was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// The rules found it.
    Found,
    /// The whole object was requested.
    Whole,
    /// It was requested by its key.
    Asked,
    /// It was requested, and is training state.
    State,
}

impl Walk<'_> {
    pub(super) fn choose(&mut self, root: Id, key: Option<&str>) -> Result<Choice, Error> {
        let whole = |how| Choice { path: String::new(), id: root, how };
        match key {
            Some(".") => Ok(whole(How::Whole)),
            Some(key) => self.find(root, key),
            None if self.torch.is_weight(root) || self.is_module(root)? => Ok(whole(How::Found)),
            None => self.choose_alone(root),
        }
    }

    fn choose_alone(&mut self, root: Id) -> Result<Choice, Error> {
        if training::is_of_optimizers(self, root)? {
            return Err(Error::TrainingState);
        }
        if let Some((path, id)) = self.state_dict(root)? {
            return Ok(Choice { path, id, how: How::Found });
        }
        let places = Places::of(self, root)?;
        let Places { found, numbers, measurements, opaque, beside, .. } = &places;
        let sole = match (&**found, &**numbers, &**measurements) {
            // Flattening the whole object would meet a value that cannot be read.
            ([one], [], _) if opaque.is_none() || one.id == root => {
                Some(one).filter(|one| one.inner.is_empty() && beside.is_none())
            }
            ([], [(one, _)], []) | ([], [], [one]) if opaque.is_none() || one.id == root => Some(one),
            _ => None,
        };
        let Some(Found { path, id, .. }) = sole else { return Err(self.undecided(root, places)?) };
        let (path, id) = (path.clone(), *id);
        self.aside.extend(measurements.iter().map(|dict| dict.id).filter(|&dict| dict != id));
        Ok(Choice { path, id, how: How::Found })
    }

    /// Finds the dict under `state_dict`, by the rule of the reference.
    fn state_dict(&mut self, root: Id) -> Result<Option<(String, Id)>, Error> {
        const KEY: &str = "state_dict";
        let entries = self.entries(root)?.unwrap_or_default();
        let named = entries.iter().find(|&&(key, _)| self.torch.values.text(key) == Some(KEY));
        let Some(&(_, value)) = named.filter(|&&(_, value)| self.torch.holds_tensor(value)) else {
            return Ok(None);
        };
        let is_dict = self.entries(value)?.is_some() || self.is_module(value)?;
        Ok((is_dict && !training::is_of_optimizers(self, value)?).then(|| (KEY.to_owned(), value)))
    }

    /// Notes the other dicts with the names and shapes of the chosen one.
    pub(super) fn note_twins(&mut self, root: Id, chosen: Id) -> Result<(), Error> {
        let shapes = |tensors: &[Tensor]| {
            let mut shapes: Vec<_> =
                tensors.iter().map(|tensor| (tensor.name.clone(), tensor.safetensors_shape())).collect();
            shapes.sort_unstable();
            shapes
        };
        let mine = shapes(&self.tensors);
        for Child { name, id, is_state, .. } in self.children(root)?.unwrap_or_default() {
            let Some(key) = name.filter(|_| !is_state && id != chosen && self.torch.holds_tensor(id)) else {
                continue;
            };
            // Its faults are reported when it is requested.
            let Some(twin) = self.tried(id)?.filter(|twin| twin.len() == mine.len()) else { continue };
            if shapes(&twin) == mine {
                self.notes.push(Note::Twin { key });
            }
        }
        Ok(())
    }

    /// No dict stands out: the error lists the candidates for the user.
    fn undecided(&mut self, root: Id, places: Places) -> Result<Error, Error> {
        let Places { mut found, numbers, mut measurements, opaque, beside, has_state } = places;
        let first_number = numbers.first().map(|(_, path)| path.clone());
        if found.is_empty() {
            found.extend(numbers.into_iter().map(|(dict, _)| dict));
            found.append(&mut measurements);
        }
        if found.is_empty() {
            return match &opaque {
                None if has_state => Ok(Error::TrainingState),
                None => Ok(Error::NoTensors),
                Some((_, id)) => match self.torch.values.callable(*id) {
                    Some(global) => Ok(Error::WholeObject { global: global.to_string() }),
                    None => self.flatten(root, How::Whole).and(Ok(Error::NoTensors)),
                },
            };
        }
        if let [one] = &mut *found {
            let inner = std::mem::take(&mut one.inner);
            found.extend(inner);
        }
        found.retain(|dict| dict.id != root);
        let mut total = found.len();
        let mut candidates: Vec<(Id, Candidate)> = Vec::new();
        for Found { path, id, .. } in found.into_iter().take(OFFERED.saturating_sub(1)) {
            // If two have the same path, the key means the one that it finds.
            if candidates.iter().any(|(other, known)| *other != id && known.key == path) {
                let meant = self.find(root, &path).ok().map(|choice| choice.id);
                let known = candidates.len();
                candidates.retain(|(other, known)| Some(*other) == meant || known.key != path);
                // The others cannot be chosen, so they do not count.
                total = total.saturating_sub(known.saturating_sub(candidates.len()));
                if Some(id) != meant {
                    total = total.saturating_sub(1);
                    continue;
                }
            }
            // A dict that also has other names has the same size.
            let candidate = match candidates.iter().find(|(known, _)| *known == id) {
                Some((_, known)) => Candidate { key: path, ..*known },
                None => self.candidate(path, id)?,
            };
            candidates.push((id, candidate));
        }
        let mut candidates: Vec<_> = candidates.into_iter().map(|(_, candidate)| candidate).collect();
        let whole = self.tried(root).ok().flatten().filter(|tensors| check_names(tensors).is_ok());
        candidates.extend(whole.map(|tensors| candidate_of(".".to_owned(), &tensors)));
        let beside = beside.or(first_number).or_else(|| opaque.map(|(path, _)| path));
        Ok(Error::Ambiguous { candidates, total, beside })
    }

    /// Describes a dict that can be chosen.
    fn candidate(&mut self, key: String, id: Id) -> Result<Candidate, Error> {
        if let Some(tensors) = self.tried(id)? {
            return Ok(candidate_of(key, &tensors));
        }
        // Its faults are reported when it is chosen.
        let super::ignored::Measure { tensors, arrays, bytes } = self.measure(id)?;
        Ok(Candidate { key, tensors: tensors.saturating_add(arrays), bytes })
    }

    /// Returns the tensors of a value; `None` if it cannot be chosen.
    fn tried(&mut self, id: Id) -> Result<Option<Vec<Tensor>>, Error> {
        let taken = std::mem::take(&mut self.tensors);
        let empty = self.embedded.empty();
        let embedded = std::mem::replace(&mut self.embedded, empty);
        let (ignored, notes) = (self.ignored.len(), self.notes.len());
        let tried = if self.torch.is_weight(id) { Ok(()) } else { self.flatten(id, How::Whole) };
        self.ignored.truncate(ignored);
        self.notes.truncate(notes);
        let found = std::mem::replace(&mut self.tensors, taken);
        self.embedded = embedded;
        match tried {
            Ok(()) => Ok((!found.is_empty()).then_some(found)),
            Err(Error::Limit { what, limit }) => Err(Error::Limit { what, limit }),
            Err(_) => Ok(None),
        }
    }

    /// Finds the value under a dotted path; a key can itself contain dots, so the longest match is used.
    fn find(&mut self, root: Id, key: &str) -> Result<Choice, Error> {
        let missing = || Error::NoSuchKey { key: key.to_owned() };
        let (mut id, mut rest, mut how) = (root, key, How::Asked);
        loop {
            let mut longest = None;
            for Child { name, id, is_state, .. } in self.children(id)?.ok_or_else(missing)? {
                let after = name.as_ref().and_then(|name| rest.strip_prefix(name.as_str()));
                let after = after.filter(|after| after.is_empty() || after.starts_with('.'));
                let is_longer =
                    |after: &&str| longest.is_none_or(|(best, ..): (&str, _, _)| after.len() < best.len());
                if let Some(after) = after.filter(is_longer) {
                    longest = Some((after, id, is_state));
                }
            }
            let (after, value, is_state) = longest.ok_or_else(missing)?;
            id = value;
            if is_state {
                how = How::State;
            }
            rest = match after {
                "" => break,
                after => after.strip_prefix('.').unwrap_or(after),
            };
        }
        let is_dict = self.torch.holds_tensor(id)
            && !self.torch.is_weight(id)
            && (self.is_container(id)? || self.is_module(id)?);
        if is_dict { Ok(Choice { path: key.to_owned(), id, how }) } else { Err(missing()) }
    }
}

fn candidate_of(key: String, tensors: &[Tensor]) -> Candidate {
    let bytes = tensors.iter().fold(0, |sum, tensor| tensor.bytes().saturating_add(sum));
    Candidate { key, tensors: tensors.len(), bytes }
}
