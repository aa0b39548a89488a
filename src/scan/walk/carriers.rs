//! Names that carry on what they are given: `getattr`, `type`, `functools.partial` and torch's loader of bytes.
//!
//! In one form each they do nothing that is not named besides, as long as what they make is not called: an attribute with a
//! plain name of what is spelled as a class (which is how Python spells a name in a class below protocol 4), the type of a
//! value, a function that is named, with arguments, and bytes that stand in the pickle, which are looked into as a file is.
//! Every other use of them is what their name is: dangerous.

/// A name that carries on what it is given.
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

/// How the carriers of a walk were used.
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

    /// Returns `true` if it was used, and never in another than its inert form.
    pub(in super::super) fn are_inert(self, carrier: Carrier) -> bool {
        self.inert & carrier.bit() != 0 && self.other & carrier.bit() == 0
    }

    /// Of two walks of the same bytes.
    pub(in super::super) fn joined(self, other: Self) -> Self {
        Self { inert: self.inert | other.inert, other: self.other | other.other }
    }
}
