//! Tracks the globals that pass on their arguments: `getattr`, `type`, `functools.partial` and torch's loader of bytes.
//!
//! In one form each they do nothing besides naming globals that are reported anyway, as long as the pickle does not
//! call their result: an attribute with a plain name of an object that is spelled as a class (Python spells a name in a
//! class in this way below protocol 4), the type of a value, a named function with arguments, and bytes in the pickle,
//! which are scanned as a file. Every other use of them is dangerous.

/// A global that passes on its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Carrier {
    Attribute,
    Type,
    Partial,
    Load,
}

impl Carrier {
    pub(in super::super) fn of(module: &str, name: &str) -> Option<Self> {
        let is_builtin = matches!(module, "builtins" | "__builtin__" | "__builtins__");
        match name {
            "getattr" if is_builtin => Some(Self::Attribute),
            "type" if is_builtin => Some(Self::Type),
            "partial" if matches!(module, "functools" | "_functools") => Some(Self::Partial),
            "_load_from_bytes" if module == "torch.storage" => Some(Self::Load),
            _ => None,
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Attribute => 1,
            Self::Type => 2,
            Self::Partial => 4,
            Self::Load => 8,
        }
    }
}

/// How a walk used the carriers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct Uses {
    inert: u8,
    other: u8,
}

impl Uses {
    pub(super) fn inert(&mut self, carrier: Carrier) {
        self.inert |= carrier.bit();
    }

    pub(super) fn other(&mut self, carrier: Carrier) {
        self.other |= carrier.bit();
    }

    /// Returns `true` if the carrier was used, and only in its inert form.
    pub(in super::super) fn are_inert(self, carrier: Carrier) -> bool {
        self.inert & carrier.bit() != 0 && self.other & carrier.bit() == 0
    }

    /// Combines the uses of two walks over the same bytes.
    pub(in super::super) fn joined(self, other: Self) -> Self {
        Self { inert: self.inert | other.inert, other: self.other | other.other }
    }
}
