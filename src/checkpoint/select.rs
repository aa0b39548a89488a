//! Which of the values are the state dict, and the flattening of it into names.
//!
//! Invariant: every tensor that the pickle holds is in the plan, or in [`Plan::ignored`] by the path of
//! what holds it, or the file is refused.

use std::collections::HashSet;

use super::torch::Torch;
use super::{Candidate, Contents, Error, Ignored, Limits, Named, Options, Plan, Tensor};
use crate::pickle::{Id, Value};

/// Finds the state dict and makes the plan of it.
pub(super) fn plan(contents: Contents, source_len: u64, options: &Options) -> Result<Plan, Error> {
    let root = contents.pickle.root;
    let torch = Torch::new(&contents.pickle.values, &contents.declared);
    let mut walk = Walk::new(&torch, &options.limits);
    let (key, chosen) = walk.choose(root, options.key.as_deref())?;
    walk.flatten(chosen, options.key.is_none() && chosen == root)?;
    walk.list_the_rest(root, chosen, options.key.is_some())?;
    let Walk { tensors, ignored, .. } = walk;
    if tensors.is_empty() {
        return Err(Error::NoTensors);
    }
    check_names(&tensors)?;
    check_expansion(&tensors, source_len, &options.limits)?;
    let globals = globals(&contents);
    let Contents { format, storages, records, deflated, .. } = contents;
    Ok(Plan { format, key, tensors, storages, ignored, globals, records, deflated })
}

fn check_names(tensors: &[Tensor]) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(tensors.len());
    for tensor in tensors {
        if tensor.name == "__metadata__" {
            return Err(Error::ReservedName { name: tensor.name.clone() });
        }
        if !seen.insert(tensor.name.as_str()) {
            return Err(Error::DuplicateName { name: tensor.name.clone() });
        }
    }
    Ok(())
}

/// A few bytes can describe a petabyte of zeros; a checkpoint does not.
fn check_expansion(tensors: &[Tensor], source_len: u64, limits: &Limits) -> Result<(), Error> {
    let limit = source_len.saturating_mul(limits.expansion).saturating_add(64 << 20);
    let total = tensors.iter().fold(0_u64, |total, tensor| total.saturating_add(tensor.bytes()));
    if total > limit { Err(Error::Limit { what: "bytes of tensors", limit }) } else { Ok(()) }
}

fn globals(contents: &Contents) -> Vec<Named> {
    let values = &contents.pickle.values;
    let mut seen = HashSet::new();
    let mut globals = Vec::new();
    for (id, value) in values.iter() {
        if let Value::Global(global) = value
            && seen.insert(global)
        {
            globals.push(Named {
                module: global.module.to_string(),
                name: global.name.to_string(),
                at: values.offset(id),
                record: contents.record.clone(),
            });
        }
    }
    globals
}

struct Walk<'a> {
    torch: &'a Torch<'a>,
    limits: &'a Limits,
    tensors: Vec<Tensor>,
    ignored: Vec<Ignored>,
    /// How many more values may be visited: sharing can make a few bytes a walk without end.
    visits: u64,
}

impl<'a> Walk<'a> {
    fn new(torch: &'a Torch<'a>, limits: &'a Limits) -> Self {
        Self { torch, limits, tensors: Vec::new(), ignored: Vec::new(), visits: visits(torch) }
    }

    fn visit(&mut self) -> Result<(), Error> {
        let limit = visits(self.torch);
        self.visits = self.visits.checked_sub(1).ok_or(Error::Limit { what: "visited values", limit })?;
        Ok(())
    }

    // ---- which dict

    fn choose(&mut self, root: Id, key: Option<&str>) -> Result<(String, Id), Error> {
        let torch = self.torch;
        if torch.is_tensor(root) {
            return Err(Error::BareTensor);
        }
        match key {
            Some(".") => Ok((String::new(), root)),
            Some(key) => Ok((key.to_owned(), self.find(root, key)?)),
            None => self.choose_alone(root),
        }
    }

    fn choose_alone(&mut self, root: Id) -> Result<(String, Id), Error> {
        let torch = self.torch;
        let Some(entries) = torch.entries(root) else {
            return Err(match torch.values.callable(root) {
                Some(global) if torch.holds_tensor(root) || torch.items(root).is_none() => {
                    Error::WholeObject { global: global.to_string() }
                }
                _ if torch.holds_tensor(root) => self.only_by_key(root),
                _ => Error::NoTensors,
            });
        };
        let named =
            |name: &str| entries.iter().filter(|&&(key, _)| torch.values.text(key) == Some(name)).count();
        if named("state_dict") > 1 {
            return Err(Error::DuplicateName { name: "state_dict".to_owned() });
        }
        for &(key, value) in &entries {
            let is_dict = torch.entries(value).is_some() && torch.holds_tensor(value);
            if torch.values.text(key) == Some("state_dict") && is_dict {
                return Ok(("state_dict".to_owned(), value));
            }
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
        if let Some(entries) = self.torch.entries(root) {
            for (_, value) in entries {
                let opaque = self.torch.entries(value).is_none() && self.torch.items(value).is_none();
                if let Some(global) = self.torch.values.callable(value)
                    && opaque
                    && self.torch.holds_tensor(value)
                {
                    return Error::WholeObject { global: global.to_string() };
                }
            }
        }
        let (tensors, bytes) = match self.measure(root) {
            Ok(measured) => measured,
            Err(error) => return error,
        };
        Error::Ambiguous { candidates: vec![Candidate { key: ".".to_owned(), tensors, bytes }] }
    }

    /// The outermost dicts that hold tensors themselves, outside training state.
    fn candidates(&mut self, root: Id) -> Result<Vec<(Id, Candidate)>, Error> {
        let torch = self.torch;
        let mut found = Vec::new();
        let mut waiting = vec![(String::new(), root, 0_usize)];
        while let Some((path, id, depth)) = waiting.pop() {
            self.visit()?;
            let Some(entries) = torch.entries(id).filter(|_| torch.holds_tensor(id)) else { continue };
            if depth > self.limits.depth {
                return Err(deep(self.limits));
            }
            if entries.iter().any(|&(_, value)| torch.is_tensor(value)) {
                let (tensors, bytes) = self.measure(id)?;
                found.push((id, Candidate { key: path, tensors, bytes }));
                continue;
            }
            for &(key, value) in entries.iter().rev() {
                if let Some(key) = torch.values.text(key).filter(|key| !is_training_state(key)) {
                    waiting.push((join(&path, key, self.limits)?, value, depth.saturating_add(1)));
                }
            }
        }
        Ok(found)
    }

    /// How many different tensors a value holds, and their size in bytes.
    fn measure(&mut self, id: Id) -> Result<(usize, u64), Error> {
        let (mut tensors, mut bytes) = (0_usize, 0_u64);
        let mut seen = HashSet::new();
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            if !self.torch.holds_tensor(id) || !seen.insert(id) {
                continue;
            }
            self.visit()?;
            if self.torch.is_tensor(id) {
                tensors = tensors.saturating_add(1);
                if let Ok(tensor) = self.torch.tensor(id, "", self.limits, &mut Vec::new()) {
                    bytes = bytes.saturating_add(tensor.bytes());
                }
                continue;
            }
            self.torch.values.children(id, |child| waiting.push(child));
        }
        Ok((tensors, bytes))
    }

    /// The value under a dotted path; a key can hold dots itself, so the longest match is taken.
    fn find(&self, root: Id, key: &str) -> Result<Id, Error> {
        let missing = || Error::NoSuchKey { key: key.to_owned() };
        let (mut id, mut rest) = (root, key);
        loop {
            let entries = self.torch.entries(id).ok_or_else(missing)?;
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
        let is_container = self.torch.entries(id).is_some() || self.torch.items(id).is_some();
        if is_container && self.torch.holds_tensor(id) { Ok(id) } else { Err(missing()) }
    }

    fn key(&self, id: Id) -> Option<String> {
        match self.torch.values.get(id) {
            Value::Str(text) => Some(text.to_string()),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        }
    }

    // ---- its tensors

    /// Takes every tensor below `root`. At the top level of a checkpoint (`top`), training state that
    /// lies beside the weights is left out.
    fn flatten(&mut self, root: Id, top: bool) -> Result<(), Error> {
        let mut waiting = vec![(String::new(), root, 0_usize)];
        while let Some((path, id, depth)) = waiting.pop() {
            self.visit()?;
            if depth > self.limits.depth {
                return Err(deep(self.limits));
            }
            if !self.torch.holds_tensor(id) {
                let reason = self.torch.describe(id);
                self.ignored.push(Ignored { path, reason });
            } else if self.torch.is_tensor(id) {
                self.take(id, &path)?;
            } else if top && depth == 1 && is_training_state(&path) && self.torch.entries(id).is_some() {
                self.leave(path, id)?;
            } else {
                let children = self.children(id, &path)?;
                for (key, value) in children.into_iter().rev() {
                    waiting.push((join(&path, &key, self.limits)?, value, depth.saturating_add(1)));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, id: Id, name: &str) -> Result<(), Error> {
        if self.tensors.len() >= self.limits.tensors {
            let limit = u64::try_from(self.limits.tensors).unwrap_or(u64::MAX);
            return Err(Error::Limit { what: "tensors", limit });
        }
        let mut attributes = Vec::new();
        self.tensors.push(self.torch.tensor(id, name, self.limits, &mut attributes)?);
        for id in attributes {
            self.leave(format!("{name} (attributes)"), id)?;
        }
        Ok(())
    }

    /// The named children of something that holds tensors.
    fn children(&self, id: Id, path: &str) -> Result<Vec<(String, Id)>, Error> {
        let place = || if path.is_empty() { "the top level".to_owned() } else { path.to_owned() };
        if let Some(entries) = self.torch.entries(id) {
            let mut named = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                match self.key(key) {
                    Some(name) => named.push((name, value)),
                    None if !self.torch.holds_tensor(value) => named.push((self.torch.describe(key), value)),
                    None => {
                        let what = self.torch.values.get(key).type_name();
                        return Err(Error::Key { path: place(), what });
                    }
                }
            }
            return Ok(named);
        }
        if let Some(items) = self.torch.items(id) {
            return Ok(items.into_iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect());
        }
        Err(match self.torch.values.get(id) {
            Value::Persistent(_) => Error::Unsupported { name: place(), what: "a bare storage".to_owned() },
            _ => Error::Opaque { path: place(), global: self.torch.describe(id) },
        })
    }

    // ---- the rest

    /// Lists what lies beside the chosen dict, on every level above it.
    fn list_the_rest(&mut self, root: Id, chosen: Id, asked: bool) -> Result<(), Error> {
        let mut waiting = vec![(String::new(), root, 0_usize)];
        while let Some((path, id, depth)) = waiting.pop() {
            self.visit()?;
            if id == chosen {
                continue;
            }
            if depth > self.limits.depth {
                return Err(deep(self.limits));
            }
            if !self.reaches(id, chosen)? {
                let dict = self.torch.entries(id).is_some() || self.torch.items(id).is_some();
                let tensor = self.torch.is_tensor(id);
                let opaque = self.torch.holds_tensor(id) && !dict && !tensor;
                if opaque && !asked && !path.split('.').next().is_some_and(is_training_state) {
                    return Err(Error::Opaque { path, global: self.torch.describe(id) });
                }
                self.leave(path, id)?;
                continue;
            }
            for (key, value) in self.children(id, &path)?.into_iter().rev() {
                waiting.push((join(&path, &key, self.limits)?, value, depth.saturating_add(1)));
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
            if !self.torch.holds_tensor(id) || !seen.insert(id) {
                continue;
            }
            self.visit()?;
            if self.torch.entries(id).is_some() || self.torch.items(id).is_some() {
                self.torch.values.children(id, |child| waiting.push(child));
            }
        }
        Ok(false)
    }

    fn leave(&mut self, path: String, id: Id) -> Result<(), Error> {
        let (tensors, _) = self.measure(id)?;
        let what = self.torch.describe(id);
        let state =
            if path.split('.').next().is_some_and(is_training_state) { "training state, " } else { "" };
        let reason = match tensors {
            0 => format!("{state}{what}"),
            1 => format!("{state}{what} with 1 tensor"),
            n => format!("{state}{what} with {n} tensors"),
        };
        self.ignored.push(Ignored { path, reason });
        Ok(())
    }
}

/// How many values a walk may visit: every one eight times, which no checkpoint needs.
fn visits(torch: &Torch<'_>) -> u64 {
    u64::try_from(torch.values.len()).unwrap_or(u64::MAX).saturating_mul(8).saturating_add(10_000)
}

fn deep(limits: &Limits) -> Error {
    Error::Limit { what: "nested values", limit: u64::try_from(limits.depth).unwrap_or(u64::MAX) }
}

fn join(path: &str, key: &str, limits: &Limits) -> Result<String, Error> {
    let joined = if path.is_empty() { key.to_owned() } else { [path, key].join(".") };
    if joined.len() > limits.name {
        let limit = u64::try_from(limits.name).unwrap_or(u64::MAX);
        return Err(Error::Limit { what: "bytes in a name", limit });
    }
    Ok(joined)
}

/// Keys under which trainers keep their own state: `optim*`, `*sched*`, `scaler`, `rng*`,
/// `random_state*`.
fn is_training_state(key: &str) -> bool {
    let starts = ["optim", "rng", "random_state"].iter().any(|start| key.starts_with(start));
    starts || key == "scaler" || key.contains("sched")
}
