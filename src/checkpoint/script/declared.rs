//! Reads the declarations in a file of TorchScript code: its classes, and the attributes of requested classes.
//!
//! ```text
//! class NAME(Module):
//!   __parameters__ = ["weight", "bias", ]
//!   __buffers__ = ["mean", ]
//!   weight : Tensor
//!   __annotations__ = []
//!   __annotations__["0"] = __torch__.torch.nn.modules.linear.Linear
//!   eps : Final[float] = 1.0000000000000001e-05
//!   def forward(self: …
//! ```
//!
//! Invariant: torch's importer reads the same from the code. A statement in another form than torch writes is refused,
//! and so is a class twice, an attribute twice, a listed name that is not an attribute or cannot be a tensor. The
//! bodies of functions are skipped. Source: torch's `csrc/jit/serialization/{import_source,python_print}.cpp`.

use std::collections::{HashMap, HashSet};

use super::lines::{Line, Lines, Wrong};

/// The use of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checkpoint) enum ClassKind {
    Module,
    /// The common interface of several classes of modules.
    Interface,
    /// Any other class: its objects are values.
    Value,
}

/// The role of an attribute in the state dict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checkpoint) enum Role {
    Parameter,
    Buffer,
    Other,
}

/// The type of an attribute, as far as it decides whether the attribute is state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::checkpoint) enum Type {
    Tensor,
    /// A tensor or `None`.
    Optional,
    /// Only `None`.
    Nothing,
    /// A class of the archive, by its qualified name.
    Class(Box<str>),
    Other,
}

/// An attribute of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::checkpoint) struct Attribute {
    pub(in crate::checkpoint) name: Box<str>,
    pub(in crate::checkpoint) role: Role,
    pub(in crate::checkpoint) of: Type,
}

/// A class of the archive.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::checkpoint) struct Class {
    pub(in crate::checkpoint) kind: ClassKind,
    /// In the order of the declaration; only for requested modules.
    pub(in crate::checkpoint) attributes: Vec<Attribute>,
    /// `true` if code creates the state of its objects (`__getstate__`, `__setstate__`).
    pub(in crate::checkpoint) is_made_by_code: bool,
}

/// How many more classes and attributes are allowed.
pub(super) struct Room {
    pub(super) classes: usize,
    pub(super) attributes: usize,
}

/// Reads every class of a file. `is_asked` decides whose attributes are read.
pub(super) fn classes<'a>(
    code: &'a str,
    is_asked: impl Fn(&str) -> bool,
    room: &mut Room,
) -> Result<HashMap<&'a str, Class>, Wrong> {
    let mut lines = Lines::new(code);
    let mut classes = HashMap::new();
    while let Some(line) = lines.next()? {
        let wrong = |what| Err(Wrong { line: line.number, what });
        if line.indent > 0 {
            return wrong("misplaced statement");
        }
        let Some((name, kind)) = header(line.text) else {
            if !["def ", "import ", "op_version_set = "].iter().any(|word| line.text.starts_with(word)) {
                return wrong("unexpected statement");
            }
            lines.skip_below(0)?;
            continue;
        };
        let Some(left) = room.classes.checked_sub(1) else { return wrong("more classes than are read") };
        room.classes = left;
        let class = if kind == ClassKind::Module && is_asked(name) {
            Body::read(&mut lines, room)?.class(line)?
        } else {
            lines.skip_below(0)?;
            Class { kind, attributes: Vec::new(), is_made_by_code: false }
        };
        if classes.insert(name, class).is_some() {
            return wrong("duplicate class");
        }
    }
    Ok(classes)
}

/// Parses `class NAME:` or `class NAME(KIND):`.
fn header(text: &str) -> Option<(&str, ClassKind)> {
    let head = text.strip_prefix("class ")?.strip_suffix(':')?;
    let (name, base) = match head.split_once('(') {
        None => (head, None),
        Some((name, base)) => (name, Some(base.strip_suffix(')')?)),
    };
    let kind = match base {
        Some("Module") => ClassKind::Module,
        Some("ModuleInterface") => ClassKind::Interface,
        None | Some("Interface" | "NamedTuple" | "Enum") => ClassKind::Value,
        Some(_) => return None,
    };
    is_identifier(name).then_some((name, kind))
}

pub(super) fn is_identifier(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(plain) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// The statements of a module's class.
#[derive(Default)]
struct Body<'a> {
    parameters: Option<Vec<&'a str>>,
    buffers: Option<Vec<&'a str>>,
    attributes: Vec<(&'a str, Type)>,
    is_made_by_code: bool,
}

const OTHER: &str = "unexpected declaration";
const MORE: &str = "more attributes than the objects have";

impl<'a> Body<'a> {
    fn read(lines: &mut Lines<'a>, room: &mut Room) -> Result<Self, Wrong> {
        let mut body = Self::default();
        let mut indent = None;
        while let Some(line) = lines.next_below(0)? {
            if *indent.get_or_insert(line.indent) != line.indent {
                return Err(Wrong { line: line.number, what: "misplaced statement" });
            }
            if let Some(method) = line.text.strip_prefix("def ") {
                let name = method.split('(').next().unwrap_or_default();
                body.is_made_by_code |= matches!(name, "__getstate__" | "__setstate__");
                lines.skip_below(line.indent)?;
            } else {
                let read = body.statement(line.text, &mut room.attributes);
                read.map_err(|what| Wrong { line: line.number, what })?;
            }
        }
        Ok(body)
    }

    fn statement(&mut self, text: &'a str, room: &mut usize) -> Result<(), &'static str> {
        const TWICE: &str = "duplicate list of names";
        let (name, rest) = text.split_once(' ').ok_or(OTHER)?;
        let listed = || names(rest.strip_prefix("= ").ok_or(OTHER)?, *room);
        match name {
            "__parameters__" => return self.parameters.replace(listed()?).map_or(Ok(()), |_| Err(TWICE)),
            "__buffers__" => return self.buffers.replace(listed()?).map_or(Ok(()), |_| Err(TWICE)),
            "__annotations__" | "__forward_hooks__" | "__forward_pre_hooks__" => return listed().map(drop),
            _ => {}
        }
        let (name, of) = if let Some(annotated) = text.strip_prefix("__annotations__[\"") {
            annotated.split_once("\"] = ").filter(|(name, _)| is_name(name)).ok_or(OTHER)?
        } else {
            let of = rest.strip_prefix(": ").filter(|_| is_identifier(name)).ok_or(OTHER)?;
            if of.starts_with("Final[") && of.contains("] = ") {
                return Ok(());
            }
            (name, of)
        };
        *room = room.checked_sub(1).ok_or(MORE)?;
        self.attributes.push((name, type_of(of).ok_or(OTHER)?));
        Ok(())
    }

    /// Returns the class, after the role of each attribute is known.
    fn class(self, line: Line<'_>) -> Result<Class, Wrong> {
        let wrong = |what| Wrong { line: line.number, what };
        let settled = self.parameters.is_some() && self.buffers.is_some();
        let mut roles = HashMap::new();
        let parameters = self.parameters.unwrap_or_default().into_iter().map(|name| (name, Role::Parameter));
        let buffers = self.buffers.unwrap_or_default().into_iter().map(|name| (name, Role::Buffer));
        for (name, role) in parameters.chain(buffers) {
            if roles.insert(name, role).is_some() {
                return Err(wrong("duplicate name in the list of a class"));
            }
        }
        let mut seen = HashSet::with_capacity(self.attributes.len());
        let mut attributes = Vec::with_capacity(self.attributes.len());
        for (name, of) in self.attributes {
            if !seen.insert(name) {
                return Err(wrong("duplicate attribute of a class"));
            }
            let may_be_tensor = matches!(of, Type::Tensor | Type::Optional | Type::Nothing);
            let role = roles.remove(name).unwrap_or(Role::Other);
            if role != Role::Other && !may_be_tensor {
                return Err(wrong("non-tensor in the state list of a class"));
            }
            // Old releases listed neither, later ones only the parameters.
            if role == Role::Other && !settled && matches!(of, Type::Tensor | Type::Optional) {
                return Err(wrong("class without a state list"));
            }
            attributes.push(Attribute { name: name.into(), role, of });
        }
        if !roles.is_empty() {
            return Err(wrong("undeclared name in the list of a class"));
        }
        Ok(Class { kind: ClassKind::Module, attributes, is_made_by_code: self.is_made_by_code })
    }
}

/// Parses `["a", "b", ]` with at most `most` names.
fn names(list: &str, most: usize) -> Result<Vec<&str>, &'static str> {
    let inner = list.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let mut rest = inner.ok_or(OTHER)?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix('"').and_then(|rest| rest.split_once("\", ")).ok_or(OTHER)?;
        if !is_name(name) {
            return Err(OTHER);
        }
        if names.len() >= most {
            return Err(MORE);
        }
        names.push(name);
        rest = after;
    }
    Ok(names)
}

/// Returns `true` for a name as torch writes it into a string. Readers interpret a backslash in more than one way.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['"', '\\', '\n'])
}

/// Returns the type that a text names. A type with brackets is neither a class nor a plain tensor, whatever they
/// contain.
fn type_of(text: &str) -> Option<Type> {
    if let Some((outer, inner)) = text.split_once('[') {
        let inner = inner.strip_suffix(']')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.,[]() ".contains(&byte);
        let is_optional = outer == "Optional" && inner == "Tensor";
        let other = if is_optional { Type::Optional } else { Type::Other };
        return (is_identifier(outer) && outer != "Final" && inner.bytes().all(plain)).then_some(other);
    }
    if !text.split('.').all(is_identifier) {
        return None;
    }
    match text {
        "Tensor" => Some(Type::Tensor),
        "NoneType" => Some(Type::Nothing),
        class if class.starts_with("__torch__.") => Some(Type::Class(class.into())),
        other => (!other.contains('.')).then_some(Type::Other),
    }
}
