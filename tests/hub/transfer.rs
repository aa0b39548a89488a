//! Ways of transfer that are not ours: one that an agent knows, and what a model says of its storage.

use super::{Hub, State};

impl State {
    pub(super) fn transfer(&self) -> Option<(String, String)> {
        self.settings.lock().unwrap().transfer.clone()
    }

    pub(super) fn is_xet(&self) -> bool {
        self.settings.lock().unwrap().is_xet
    }
}

impl Hub {
    /// Whoever can is to transfer in this way, and is given a secret for it.
    pub(crate) fn prefer_transfer(&self, name: Option<&str>, secret: &str) {
        let transfer = name.map(|name| (name.to_owned(), secret.to_owned()));
        self.state.settings.lock().unwrap().transfer = transfer;
    }

    /// Models say from now on that they are in Xet storage.
    pub(crate) fn keep_in_xet(&self) {
        self.state.settings.lock().unwrap().is_xet = true;
    }
}
