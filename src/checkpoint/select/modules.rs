//! Reads the state dict of a module from its structure, as `state_dict()` creates it.
//!
//! Invariant: every tensor of a module is in the plan, or in [`Plan::ignored`](super::Plan) by the name of its
//! container, or the file is refused: a structure that `state_dict()` could read differently is refused. The effect of
//! a class's own `state_dict()` cannot be seen, and a note reports that.

use std::collections::{BTreeSet, HashSet};

use super::super::torch::module::{BUFFERS, HOOKS, LEFT_OUT, MODULES, PACKED, PARAMETERS};
use super::checks::deep;
use super::descent::Descent;
use super::{Ignored, Note, Walk};
use crate::checkpoint::Error;
use crate::pickle::{Id, Value};

/// The parts of one module.
struct Module {
    parameters: Vec<(Id, Id)>,
    buffers: Vec<(Id, Id)>,
    left_out: HashSet<String>,
    modules: Vec<(Id, Id)>,
    /// All other attributes.
    others: Vec<(Id, Id)>,
}

impl Walk<'_> {
    /// Returns `true` if the value has the attributes of a module.
    pub(super) fn is_module(&mut self, id: Id) -> Result<bool, Error> {
        let Some((state, pairs)) = self.torch.state(id) else { return Ok(false) };
        if let Some(&known) = self.modules.get(&state) {
            return Ok(known);
        }
        self.visit(pairs.len())?;
        let has = |name| pairs.iter().any(|&(key, _)| self.torch.values.text(key) == Some(name));
        let is_module = has(PARAMETERS) && has(MODULES);
        self.modules.insert(state, is_module);
        Ok(is_module)
    }

    /// Reads the tensors of the state dict of the module at `root`.
    pub(super) fn take_module(&mut self, path: &str, root: Id) -> Result<(), Error> {
        let mut classes = BTreeSet::new();
        let mut named = Vec::new();
        let mut modules = Descent::from(path, root);
        while let Some((path, id, depth)) = modules.next() {
            self.visit(1)?;
            if depth > self.limits.depth {
                return Err(deep(self.limits));
            }
            if !modules.enter(id) {
                return Err(self.refuse_module(&path, id, "contains itself"));
            }
            let class = self.torch.class_of(id).map_err(|what| self.refuse_module(&path, id, what))?;
            if classes.insert(class) {
                let name = class.to_string();
                self.spell(&name)?;
                named.push(name);
            }
            let module = self.take_apart(&path, id)?;
            self.take_own(&path, id, &module)?;
            for &(key, value) in module.modules.iter().rev() {
                if *self.torch.values.get(value) != Value::None {
                    let name = self.name_of(&path, id, key)?;
                    modules.add(name, value);
                }
            }
        }
        let class = named.first().map_or("", String::as_str);
        let reason = format!("module `{class}`, only its weights are kept");
        let path = self.place(path);
        self.ignored.push(Ignored { path: path.clone(), reason });
        self.notes.push(Note::Module { path, classes: named });
        Ok(())
    }

    fn take_apart(&mut self, path: &str, id: Id) -> Result<Module, Error> {
        let refuse = |walk: &Self, what| Err(walk.refuse_module(path, id, what));
        if !self.is_module(id)? {
            return refuse(self, "has a state that is not an nn.Module state");
        }
        if !self.torch.has_its_state(id) {
            return refuse(self, "has a state modified after construction");
        }
        let Some((state, _)) = self.torch.state(id) else { return refuse(self, "has no state") };
        let (mut parameters, mut buffers, mut modules) = (None, None, None);
        let (mut left_out, mut others) = (HashSet::new(), Vec::new());
        for (key, value) in self.entries(state)?.unwrap_or_default() {
            let Some(name) = self.torch.values.text(key) else {
                return refuse(self, "has an attribute with a non-string name");
            };
            match name {
                PARAMETERS => parameters = self.entries(value)?,
                BUFFERS => buffers = self.entries(value)?,
                MODULES => modules = self.entries(value)?,
                LEFT_OUT => match self.torch.set_of_names(value) {
                    Some(names) => left_out = names.into_iter().map(str::to_owned).collect(),
                    None => return refuse(self, "has an invalid set of non-persistent buffers"),
                },
                PACKED => return refuse(self, "is quantized"),
                name if HOOKS.contains(&name) => {
                    if self.entries(value)?.is_none_or(|hooks| !hooks.is_empty()) {
                        return refuse(self, "has hooks that change its state dict");
                    }
                }
                _ => others.push((key, value)),
            }
        }
        match (parameters, buffers, modules) {
            (Some(parameters), Some(buffers), Some(modules)) => {
                Ok(Module { parameters, buffers, left_out, modules, others })
            }
            (None, ..) => refuse(self, "has non-dict parameters"),
            (_, None, _) => refuse(self, "has non-dict buffers"),
            (.., None) => refuse(self, "has non-dict modules"),
        }
    }

    /// Reads its own parameters and buffers, in this order, and its attributes.
    fn take_own(&mut self, path: &str, id: Id, module: &Module) -> Result<(), Error> {
        let buffers = module.buffers.iter().map(|pair| (pair, true));
        for (&(key, value), is_buffer) in module.parameters.iter().map(|pair| (pair, false)).chain(buffers) {
            self.visit(1)?;
            if *self.torch.values.get(value) == Value::None {
                continue;
            }
            if !self.torch.is_weight(value) || self.torch.is_array(value) {
                let what = if is_buffer {
                    "has a buffer that is not a tensor"
                } else {
                    "has a parameter that is not a tensor"
                };
                return Err(self.refuse_module(path, id, what));
            }
            let name = self.name_of(path, id, key)?;
            let is_left_out =
                is_buffer && self.torch.values.text(key).is_some_and(|key| module.left_out.contains(key));
            if is_left_out {
                self.ignored.push(Ignored { path: name, reason: "non-persistent buffer".to_owned() });
            } else {
                self.take(value, &name)?;
            }
        }
        for &(key, value) in &module.others {
            if self.torch.holds_weight(value) {
                let name = self.name_of(path, id, key)?;
                let reason = format!("module attribute, {}", self.describe(value)?);
                self.ignored.push(Ignored { path: name, reason });
            }
        }
        Ok(())
    }

    fn name_of(&mut self, path: &str, id: Id, key: Id) -> Result<String, Error> {
        match self.torch.values.text(key) {
            Some(name) => self.join(path, name),
            None => Err(self.refuse_module(path, id, "has a submodule with a non-string name")),
        }
    }

    fn refuse_module(&self, path: &str, id: Id, what: &'static str) -> Error {
        let class = self.torch.class_name(id);
        let class = class.map_or_else(|| self.torch.describe(id), ToString::to_string);
        Error::Module { path: self.place(path), class, what }
    }

    /// Returns the whole path of a value at a path below the chosen value; `.` is the whole object, as for `--key`.
    fn place(&self, path: &str) -> String {
        match (self.chosen.as_str(), path) {
            ("", "") => ".".to_owned(),
            (chosen, "") => chosen.to_owned(),
            ("", path) => path.to_owned(),
            (chosen, path) => [chosen, path].join("."),
        }
    }
}
