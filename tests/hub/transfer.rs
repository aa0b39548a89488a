//! Offers transfers that this program does not have itself: one of an agent, and Xet storage.

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
    /// Prefers this transfer for clients that offer it, and passes a secret to them.
    pub(crate) fn prefer_transfer(&self, name: Option<&str>, secret: &str) {
        let transfer = name.map(|name| (name.to_owned(), secret.to_owned()));
        self.state.settings.lock().unwrap().transfer = transfer;
    }

    /// Lets all models report Xet storage from now on.
    pub(crate) fn keep_in_xet(&self) {
        self.state.settings.lock().unwrap().is_xet = true;
    }
}
