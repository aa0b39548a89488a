//! Which dict of the object is the state dict: the one that is asked for, or the only one that it can be.

use super::rest::Measure;
use super::{Walk, deep, is_training_state};
use crate::checkpoint::{Candidate, Error};
use crate::pickle::Id;

impl Walk<'_> {
    pub(super) fn choose(&mut self, root: Id, key: Option<&str>) -> Result<(String, Id), Error> {
        let torch = self.torch;
        if torch.is_weight(root) && key.is_none_or(|key| key == ".") {
            return Ok((String::new(), root));
        }
        match key {
            Some(".") => Ok((String::new(), root)),
            Some(key) => Ok((key.to_owned(), self.find(root, key)?)),
            None => self.choose_alone(root),
        }
    }

    fn choose_alone(&mut self, root: Id) -> Result<(String, Id), Error> {
        let torch = self.torch;
        if self.is_module(root)? {
            return Ok((String::new(), root));
        }
        let Some(entries) = self.entries(root)? else {
            return Err(match torch.values.callable(root) {
                Some(global) if torch.holds_tensor(root) || torch.items(root).is_none() => {
                    Error::WholeObject { global: global.to_string() }
                }
                _ if torch.holds_tensor(root) => self.only_by_key(root),
                _ => Error::NoTensors,
            });
        };
        let named = entries.iter().find(|&&(key, _)| torch.values.text(key) == Some("state_dict"));
        if let Some(&(_, value)) = named
            && torch.holds_tensor(value)
            && (self.entries(value)?.is_some() || self.is_module(value)?)
        {
            return Ok(("state_dict".to_owned(), value));
        }
        if entries.iter().any(|&(_, value)| torch.is_tensor(value)) {
            return Ok((String::new(), root));
        }
        let mut found = self.candidates(root)?;
        match (found.pop(), found.is_empty()) {
            (None, _) if torch.holds_tensor(root) => Err(self.only_by_key(root)),
            (None, _) => Err(Error::NoTensors),
            (Some((id, candidate)), true) => Ok((candidate.key, id)),
            (Some(last), false) => {
                found.push(last);
                let candidates = found.into_iter().map(|(_, candidate)| candidate).collect();
                Err(Error::Ambiguous { candidates })
            }
        }
    }

    /// Tensors are there, but in no dict that stands out: the user must say that all are meant.
    fn only_by_key(&mut self, root: Id) -> Error {
        self.opaque_or_all(root).unwrap_or_else(|error| error)
    }

    fn opaque_or_all(&mut self, root: Id) -> Result<Error, Error> {
        for (_, value) in self.entries(root)?.unwrap_or_default() {
            if let Some(global) = self.torch.values.callable(value)
                && self.torch.holds_tensor(value)
                && !self.is_container(value)?
                && !self.is_module(value)?
            {
                return Ok(Error::WholeObject { global: global.to_string() });
            }
        }
        Ok(Error::Ambiguous { candidates: vec![self.candidate(".".to_owned(), root)?] })
    }

    pub(super) fn candidate(&mut self, key: String, id: Id) -> Result<Candidate, Error> {
        let Measure { tensors, arrays, bytes } = self.measure(id)?;
        Ok(Candidate { key, tensors: tensors.saturating_add(arrays), bytes })
    }

    /// The outermost dicts that hold tensors themselves, outside training state.
    fn candidates(&mut self, root: Id) -> Result<Vec<(Id, Candidate)>, Error> {
        let torch = self.torch;
        let mut found = Vec::new();
        let mut waiting = vec![(String::new(), root, 0_usize)];
        while let Some((path, id, depth)) = waiting.pop() {
            self.visit(1)?;
            if !torch.holds_tensor(id) {
                continue;
            }
            if self.is_module(id)? {
                found.push((id, self.module_candidate(path, id)?));
                continue;
            }
            let Some(entries) = self.entries(id)? else { continue };
            if depth > self.limits.depth {
                return Err(deep(self.limits));
            }
            if entries.iter().any(|&(_, value)| torch.is_tensor(value)) {
                found.push((id, self.candidate(path, id)?));
                continue;
            }
            for &(key, value) in entries.iter().rev() {
                if let Some(key) = torch.values.text(key).filter(|key| !is_training_state(key)) {
                    waiting.push((self.join(&path, key)?, value, depth.saturating_add(1)));
                }
            }
        }
        Ok(found)
    }

    /// The value under a dotted path; a key can hold dots itself, so the longest match is taken.
    fn find(&mut self, root: Id, key: &str) -> Result<Id, Error> {
        let missing = || Error::NoSuchKey { key: key.to_owned() };
        let (mut id, mut rest) = (root, key);
        loop {
            let entries = self.entries(id)?.ok_or_else(missing)?;
            let matching = entries.iter().filter_map(|&(key, value)| {
                let name = self.key(key)?;
                let after = rest.strip_prefix(name.as_str())?;
                (after.is_empty() || after.starts_with('.')).then_some((name.len(), value))
            });
            let (len, value) = matching.max_by_key(|&(len, _)| len).ok_or_else(missing)?;
            id = value;
            rest = match rest.get(len..).unwrap_or_default() {
                "" => break,
                after => after.strip_prefix('.').unwrap_or(after),
            };
        }
        let is_dict = self.torch.holds_tensor(id) && (self.is_container(id)? || self.is_module(id)?);
        if is_dict { Ok(id) } else { Err(missing()) }
    }
}
