//! Reads the records of a TorchScript archive other than its objects, and refuses an archive that torch could read
//! differently.
//!
//! Source: torch's `csrc/jit/serialization/import.cpp`, `serialization.py` (`_is_torchscript_zip`).

use super::Archive;
use crate::checkpoint::script::{Records, Script};
use crate::checkpoint::{Error, Limits};
use crate::pickle::Pickle;

/// Bytes of code per byte of the archive, above a minimum: text is compressed, but not to nothing.
const GROWTH: u64 = 32;
const FREE: u64 = 4 << 20;

impl Archive<'_> {
    /// Returns `true` for an archive of `torch.jit.save` in a form that can be read.
    pub(super) fn is_script(&self) -> Result<bool, Error> {
        let has = |name: &str| self.entries.contains_key(name);
        let has_code = self.entries.keys().any(|name| name.starts_with("code/"));
        let refuse = |what| Err(Error::TorchScript { what });
        if has("model.json") && (has_code || !has("data.pkl")) {
            return refuse("is of torch 1.3 or earlier (model.json)");
        }
        match (has("constants.pkl"), has_code) {
            // torch.load reads its objects as a plain checkpoint, and torch.jit.load does not read it.
            (false, true) => refuse("has no constants.pkl, so readers disagree on its format"),
            (is_script, _) => Ok(is_script),
        }
    }

    /// Reads the declarations of its code.
    pub(super) fn script(&mut self, pickle: &Pickle, limits: &Limits) -> Result<Script, Error> {
        let limit = self.source.len().saturating_mul(GROWTH).saturating_add(FREE).min(limits.code);
        Script::read(self, &pickle.values, limits, limit)
    }
}

impl Records for Archive<'_> {
    fn root(&self) -> &str {
        &self.root
    }

    fn ending(&self, end: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.entries.keys().filter(|name| name.ends_with(end)).cloned().collect();
        names.sort_unstable();
        names
    }

    fn len(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|entry| entry.len)
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        let len = self.entries.get(name).map_or(0, |entry| entry.len);
        Ok(self.contents(name, len)?.unwrap_or_default())
    }
}
