//! Reads the `__dict__` of a pickled `nn.Module`, by torch's names.
//!
//! ```text
//! NEWOBJ of a class, or copy_reg._reconstructor(class, object, None); then BUILD of a dict with
//!   _parameters                   {name: parameter or None}
//!   _buffers                      {name: tensor or None}
//!   _non_persistent_buffers_set   names of buffers that state_dict() leaves out
//!   _modules                      {name: module or None}
//!   _state_dict_hooks, _state_dict_pre_hooks
//! ```
//!
//! In a legacy PyTorch file the class can be in a persistent ID, `("module", class, file, source text)`; the text is
//! not read. Source: torch's `nn/modules/module.py` (`state_dict`, `_save_to_state_dict`, `__setstate__`) and
//! `serialization.py`.

use super::Torch;
use crate::pickle::{Arena, Call, Global, Id, Object, Value};

/// The parts of a module's `__dict__` that become its state dict.
pub(in super::super) const PARAMETERS: &str = "_parameters";
pub(in super::super) const BUFFERS: &str = "_buffers";
pub(in super::super) const LEFT_OUT: &str = "_non_persistent_buffers_set";
pub(in super::super) const MODULES: &str = "_modules";
/// Hooks that can change a state dict after it is made.
pub(in super::super) const HOOKS: [&str; 2] = ["_state_dict_hooks", "_state_dict_pre_hooks"];
/// The weights of a quantized layer, which are not in a tensor.
pub(in super::super) const PACKED: &str = "_packed_params";

/// Classes of torch that create their state dict in their own way, by package.
const OWN_WAY: &[(&str, &str)] = &[
    ("torch.ao", "is of a quantized or pruned model"),
    ("torch.quantization", "is quantized"),
    ("torch.nn.quantized", "is quantized"),
    ("torch.nn.quantizable", "is quantized"),
    ("torch.nn.intrinsic", "is quantized"),
    ("torch.nn.qat", "is quantized"),
    ("torch.jit", "is TorchScript"),
    ("__torch__", "is TorchScript"),
    ("torch.fx", "is a traced graph"),
    ("torch.export", "is a traced graph"),
    ("torch.distributed", "is distributed (RPC)"),
];

impl<'a> Torch<'a> {
    /// Returns the contents of an object whose state is a dict.
    pub(in super::super) fn state(&self, id: Id) -> Option<(Id, &'a [(Id, Id)])> {
        let Value::Object(object) = self.values.get(id) else { return None };
        let state = object.state?;
        match self.values.get(state) {
            Value::Dict(pairs) => Some((state, pairs)),
            _ => None,
        }
    }

    /// Returns `true` if the object still has the state that it had when it was built.
    pub(in super::super) fn has_its_state(&self, id: Id) -> bool {
        let is_older = |object: &Object, state: Id| self.values.offset(state) < object.built;
        matches!(self.values.get(id), Value::Object(object) if object.state.is_some_and(|state| is_older(object, state)))
    }

    /// Returns the class of an object that is created without a call, else what it is instead.
    pub(in super::super) fn class_of(&self, id: Id) -> Result<&'a Global, &'static str> {
        let Value::Object(object) = self.values.get(id) else { return Err("is not an nn.Module") };
        let class = match object.call {
            Call::New => object.callable,
            Call::Function => self.reconstructed(object).ok_or("is built by a function call")?,
        };
        if object.call == Call::New && self.values.tuple(object.args).is_none_or(|args| !args.is_empty()) {
            return Err("is built with constructor arguments");
        }
        if !object.has_only_args_and_state() {
            return Err("has state besides its attributes");
        }
        let class = class_at(self.values, class).ok_or("has no class name")?;
        let is_in = |package: &str| {
            class.module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        match OWN_WAY.iter().find(|(package, _)| is_in(package)) {
            Some(&(_, what)) => Err(what),
            None => Ok(class),
        }
    }

    /// Returns the class of an object, or the function that creates it.
    pub(in super::super) fn class_name(&self, id: Id) -> Option<&'a Global> {
        let Value::Object(object) = self.values.get(id) else { return None };
        let class = match object.call {
            Call::New => object.callable,
            Call::Function => self.reconstructed(object).unwrap_or(object.callable),
        };
        class_at(self.values, class)
    }

    /// Reads `copy_reg._reconstructor(class, object, None)`, which protocols 0 and 1 use for `NEWOBJ`.
    fn reconstructed(&self, object: &Object) -> Option<Id> {
        let callable = self.values.global(object.callable)?;
        let &[class, base, state] = self.values.tuple(object.args)? else { return None };
        let base = self.values.global(base)?;
        let plain = matches!(&*callable.module, "copyreg" | "copy_reg")
            && &*callable.name == "_reconstructor"
            && matches!(&*base.module, "builtins" | "__builtin__")
            && &*base.name == "object"
            && *self.values.get(state) == Value::None;
        plain.then_some(class)
    }

    /// Returns the names in a set, in any protocol's spelling.
    pub(in super::super) fn set_of_names(&self, id: Id) -> Option<Vec<&'a str>> {
        let items: &[Id] = match self.values.get(id) {
            Value::Set(items) => items,
            Value::FrozenSet(items) => items,
            Value::Object(object) => {
                let callable = self.values.global(object.callable)?;
                let is_set = matches!(&*callable.module, "builtins" | "__builtin__")
                    && &*callable.name == "set"
                    && object.is_plain_call();
                match self.values.tuple(object.args)? {
                    [] if is_set => &[],
                    &[given] if is_set && self.is_unchanged(given, object.made) => {
                        self.values.sequence(given)?
                    }
                    _ => return None,
                }
            }
            _ => return None,
        };
        items.iter().map(|&item| self.values.text(item)).collect()
    }
}

/// Returns the class at `id`: by name, or in a persistent ID with its source.
fn class_at(values: &Arena, id: Id) -> Option<&Global> {
    match values.get(id) {
        Value::Persistent(inner) => class_with_source(values, *inner),
        _ => values.global(id),
    }
}

/// Reads `("module", class, file, source text)`; in the tar archive the tag is missing.
pub(in super::super) fn class_with_source(values: &Arena, inner: Id) -> Option<&Global> {
    let (class, source) = match values.tuple(inner)? {
        &[tag, class, ref source @ ..] if values.text(tag) == Some("module") => (class, source),
        &[class, ref source @ ..] => (class, source),
        [] => return None,
    };
    let is_text = |&id: &Id| matches!(values.get(id), Value::None | Value::Str(_) | Value::Bytes(_));
    let plain = source.len() == 2 && source.iter().all(is_text);
    plain.then(|| values.global(class)).flatten()
}
