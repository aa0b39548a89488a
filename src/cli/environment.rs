//! What the environment says about servers: where the Hub is, who asks, and whether anybody may.
//!
//! Invariant: a token leaves this module only in a form that shows nothing of it.

use super::args::ServerArgs;
use crate::actions::{Asking, Error, Servers};
use crate::remote::{HUB, Settings};

/// The servers, and who asks them.
pub(super) struct Environment {
    /// The URL of the Hub: `HF_ENDPOINT`, or the public one.
    pub(super) endpoint: String,
    /// Who asks for git.
    pub(super) asking: Asking,
    /// The LFS servers and the Hub.
    pub(super) servers: Servers,
}

impl Environment {
    /// What it says, and what the command line says.
    pub(super) fn read(args: ServerArgs) -> Result<Self, Error> {
        let mut settings = Settings::from_environment(&variable);
        settings.offline |= args.offline;
        settings.connections = args.jobs.map(usize::from);
        let endpoint = settings.hub.clone().unwrap_or_else(|| HUB.to_owned());
        let token = settings.tokens.token().map_err(crate::remote::Error::from)?;
        let token = token.map(|token| token.for_git(&endpoint)).transpose()?.flatten();
        let asking = Asking { token, offline: settings.offline, in_passing: false };
        Ok(Self { endpoint, asking, servers: Servers { settings } })
    }
}

/// What the pre-commit framework says of a push: from which revision, and to which.
pub(super) fn framework_range() -> Option<(String, String)> {
    Some((variable("PRE_COMMIT_FROM_REF")?, variable("PRE_COMMIT_TO_REF")?))
}

#[expect(clippy::disallowed_methods, reason = "one of the two places that read the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
