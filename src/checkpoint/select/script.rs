//! Reads the state dict of a TorchScript module, as torch creates it for the loaded module.
//!
//! For each module it contains the parameters, then the buffers, then each module in it, all in the order in which its
//! class declares them. It includes buffers that were not to be saved; it does not include a buffer that is declared
//! `Optional[Tensor]`.
//!
//! Invariant: every tensor of the objects is in the plan, or in [`Plan::ignored`](super::Plan) by the name of its
//! container, or the file is refused: an object that does not match the declaration of its class is refused, and so is
//! one whose state is created by code. Source: torch's `csrc/jit/python/script_init.cpp` (`slot_dict_impl`),
//! `jit/_script.py`.

use std::collections::{HashMap, HashSet};

use super::super::script::{Attribute, ClassKind, Role, Script, Type, is_native, qualified};
use super::super::torch::module::PACKED;
use super::descent::Descent;
use super::ignored::Aside;
use super::{Ignored, Walk};
use crate::checkpoint::Error;
use crate::pickle::{Call, Id, Value};

/// The attribute that the optimizer for mobile devices leaves in a module whose weights it packed.
const MOBILE: &str = "mobile_optimized";

/// An object of a module's class: each attribute with its value.
struct Object<'a> {
    class: String,
    attributes: Vec<(&'a Attribute, Id)>,
}

/// The walk over the objects of an archive, with the declarations of its code.
pub(super) struct Scripted<'w, 'a> {
    walk: &'w mut Walk<'a>,
    script: &'w Script,
}

impl<'w, 'a> Scripted<'w, 'a> {
    pub(super) fn new(walk: &'w mut Walk<'a>, script: &'w Script) -> Self {
        // All objects share one value for each key and plain value.
        walk.visits = walk.visits.saturating_add(script.pairs.saturating_mul(8));
        Self { walk, script }
    }

    /// Reads the tensors of the state dict of the module at `root`, or of the module in it that `key` names. Returns
    /// the key.
    pub(super) fn take(&mut self, root: Id, key: Option<&str>) -> Result<String, Error> {
        let key = key.filter(|key| *key != ".");
        let chosen = key.map_or(Ok(root), |key| self.find(root, key))?;
        let mut modules = Descent::from("", chosen);
        while let Some((path, id, depth)) = modules.next() {
            if depth > self.walk.limits.depth {
                let limit = u64::try_from(self.walk.limits.depth).unwrap_or(u64::MAX);
                return Err(Error::Limit { what: "nested modules", limit });
            }
            let object = self.object(&path, id)?;
            if !modules.enter(id) {
                return Err(refuse(&path, &object.class, "contains itself"));
            }
            self.take_state(&path, &object)?;
            for &(attribute, value) in object.attributes.iter().rev() {
                if self.is_submodule(&path, &object, attribute, value)? {
                    modules.add(self.walk.join(&path, &attribute.name)?, value);
                }
            }
        }
        self.list_the_code(root)?;
        Ok(key.unwrap_or_default().to_owned())
    }

    fn list_the_code(&mut self, root: Id) -> Result<(), Error> {
        if self.script.has_constants && self.walk.tensors.is_empty() {
            let what = "is frozen: its tensors are constants of the code (constants.pkl), not state";
            return Err(Error::TorchScript { what });
        }
        if self.script.has_constants {
            let reason = "tensor constants of the code".to_owned();
            self.walk.ignored.push(Ignored { path: "constants.pkl".to_owned(), reason });
        }
        let class = self.walk.describe(root)?;
        let reason = format!("TorchScript module `{class}`, only its weights are kept");
        self.walk.ignored.push(Ignored { path: ".".to_owned(), reason });
        Ok(())
    }

    /// Finds the module under a dotted path, and lists the values next to it.
    fn find(&mut self, root: Id, key: &str) -> Result<Id, Error> {
        let missing = || Error::NoSuchKey { key: key.to_owned() };
        let (mut id, mut path) = (root, String::new());
        for name in key.split('.') {
            let object = self.object(&path, id)?;
            let mut found = None;
            for &(attribute, value) in &object.attributes {
                if &*attribute.name == name && self.is_submodule(&path, &object, attribute, value)? {
                    found = Some(value);
                } else if self.walk.torch.holds_weight(value) {
                    let beside = self.walk.join(&path, &attribute.name)?;
                    self.walk.leave(beside, value, Aside::Other)?;
                }
            }
            id = found.ok_or_else(missing)?;
            path = self.walk.join(&path, name)?;
        }
        Ok(id)
    }

    /// Reads the object at `id`, which must have exactly the attributes that its class declares.
    fn object(&mut self, path: &str, id: Id) -> Result<Object<'w>, Error> {
        let class = self.class_of(path, id)?;
        let declared = self.script.class(&class).filter(|class| class.kind == ClassKind::Module);
        let declared = declared
            .ok_or_else(|| refuse(path, &class, "is not a module according to the code of the archive"))?;
        if declared.is_made_by_code {
            return Err(refuse(path, &class, "builds its state by code (`__getstate__`)"));
        }
        let state = self.state_of(id).map_err(|what| refuse(path, &class, what))?;
        let mut values = HashMap::new();
        for (key, value) in self.walk.entries(state)?.unwrap_or_default() {
            let key = self.walk.torch.values.text(key);
            let key = key.ok_or_else(|| refuse(path, &class, "has an attribute with a non-string name"))?;
            if values.insert(key, value).is_some() {
                return Err(refuse(path, &class, &format!("contains {key} twice")));
            }
        }
        let mut attributes = Vec::with_capacity(values.len().min(declared.attributes.len()));
        for attribute in &declared.attributes {
            let value = values.remove(&*attribute.name);
            let absent = || format!("is missing {}, which its class declares", attribute.name);
            attributes.push((attribute, value.ok_or_else(|| refuse(path, &class, &absent()))?));
        }
        if let Some(name) = values.into_keys().min() {
            return Err(refuse(path, &class, &format!("contains {name}, which its class does not declare")));
        }
        Ok(Object { class, attributes })
    }

    /// Returns the qualified class of an object.
    fn class_of(&self, path: &str, id: Id) -> Result<String, Error> {
        let class = self.walk.torch.values.callable(id).map(qualified);
        class.ok_or_else(|| refuse(path, &self.walk.torch.describe(id), "is not an nn.Module"))
    }

    /// Returns the dict of attributes of an object, which must be made as torch makes it.
    fn state_of(&self, id: Id) -> Result<Id, &'static str> {
        let values = self.walk.torch.values;
        let Value::Object(object) = values.get(id) else { return Err("is not an object") };
        let is_plain = object.call == Call::New
            && values.tuple(object.args).is_some_and(<[Id]>::is_empty)
            && object.has_only_args_and_state();
        let state = object.state.filter(|_| is_plain).ok_or("is not built as PyTorch builds modules")?;
        match values.get(state) {
            Value::Dict(_) if self.walk.torch.has_its_state(id) => Ok(state),
            Value::Dict(_) => Err("has a state modified after construction"),
            _ => Err("has a non-dict state"),
        }
    }

    /// Reads its own parameters and buffers, in this order, and lists its other attributes with tensors.
    fn take_state(&mut self, path: &str, object: &Object<'_>) -> Result<(), Error> {
        for role in [Role::Parameter, Role::Buffer, Role::Other] {
            let own = object.attributes.iter().filter(|(attribute, _)| attribute.role == role);
            for &(attribute, value) in own {
                let is_state =
                    role == Role::Parameter || role == Role::Buffer && attribute.of == Type::Tensor;
                if !is_state {
                    self.leave_attribute(path, object, attribute, value)?;
                } else if *self.walk.torch.values.get(value) != Value::None {
                    if !self.walk.torch.is_weight(value) || self.walk.torch.is_array(value) {
                        let what = format!("lists {} in its state, which is not a tensor", attribute.name);
                        return Err(refuse(path, &object.class, &what));
                    }
                    let name = self.walk.join(path, &attribute.name)?;
                    self.walk.take(value, &name)?;
                }
            }
        }
        Ok(())
    }

    /// Lists an attribute that is not state, if it contains tensors. Modules are entered later.
    fn leave_attribute(
        &mut self,
        path: &str,
        object: &Object<'_>,
        attribute: &Attribute,
        value: Id,
    ) -> Result<(), Error> {
        if &*attribute.name == MOBILE {
            return Err(refuse(
                path,
                &object.class,
                "is optimized for mobile devices: its weights are packed",
            ));
        }
        if !self.walk.torch.holds_weight(value) || self.is_submodule(path, object, attribute, value)? {
            return Ok(());
        }
        if &*attribute.name == PACKED || self.is_packed(value)? {
            let what = format!("has packed weights in {}, not tensors", attribute.name);
            return Err(refuse(path, &object.class, &what));
        }
        let name = self.walk.join(path, &attribute.name)?;
        let reason = if attribute.role == Role::Buffer {
            "buffer that may be None (not in the state dict of PyTorch)".to_owned()
        } else {
            format!("module attribute, {}", self.walk.describe(value)?)
        };
        self.walk.ignored.push(Ignored { path: name, reason });
        Ok(())
    }

    /// Returns `true` if it is declared as a module. Then it must be a module of exactly that class.
    fn is_submodule(
        &self,
        path: &str,
        object: &Object<'_>,
        attribute: &Attribute,
        value: Id,
    ) -> Result<bool, Error> {
        let Type::Class(declared) = &attribute.of else { return Ok(false) };
        let wrong = |what: &str| Err(refuse(path, &object.class, &format!("has {} {what}", attribute.name)));
        match self.script.class(declared).map(|class| class.kind) {
            Some(ClassKind::Interface) => Ok(true),
            Some(ClassKind::Value) => Ok(false),
            Some(ClassKind::Module) => match self.walk.torch.values.callable(value).map(qualified) {
                Some(class) if *class == **declared => Ok(true),
                _ => wrong("of a class other than declared"),
            },
            None if is_native(declared) => Ok(false),
            None => wrong("of a class that is not in the code of the archive"),
        }
    }

    /// Returns `true` if objects of classes that are written in C++ contain tensors.
    fn is_packed(&mut self, id: Id) -> Result<bool, Error> {
        let mut seen = HashSet::new();
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            self.walk.visit(1)?;
            if !self.walk.torch.holds_weight(id) || !seen.insert(id) {
                continue;
            }
            if self.walk.torch.values.callable(id).is_some_and(|class| is_native(&qualified(class))) {
                return Ok(true);
            }
            self.walk.torch.values.children(id, |child| waiting.push(child));
        }
        Ok(false)
    }
}

fn refuse(path: &str, class: &str, what: &str) -> Error {
    let path = if path.is_empty() { "." } else { path };
    Error::ScriptModule { path: path.to_owned(), class: class.to_owned(), what: what.to_owned() }
}
