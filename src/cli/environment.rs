//! What the environment says about the Hub: where it is, and who asks.
//!
//! Invariant: a token is taken out of a variable as it stands, without the white space around it, and is shown nowhere.

use crate::actions::Asking;
use crate::actions::Error;
use crate::git::Token;
use crate::remote::Settings;

/// The public Hub.
const HUB: &str = "https://huggingface.co";

/// The URL of the Hub: `HF_ENDPOINT`, or the public one.
pub(super) fn endpoint() -> String {
    variable("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned())
}

/// How servers are asked.
pub(super) fn settings(offline: bool) -> Settings {
    let settings = Settings::from_environment(&variable);
    Settings { offline: offline || settings.offline, ..settings }
}

/// Who asks, and whether anybody may.
pub(super) fn asking(offline: bool) -> Result<Asking, Error> {
    let secret = variable("HF_TOKEN").or_else(|| variable("HUGGING_FACE_HUB_TOKEN"));
    let token = secret.map(|secret| Token::new(&endpoint(), &secret)).transpose()?.flatten();
    let says_offline = variable("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value));
    Ok(Asking { token, offline: offline || says_offline, in_passing: false })
}

#[expect(clippy::disallowed_methods, reason = "one of the two places that read the environment")]
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn is_true(value: &str) -> bool {
    ["1", "true", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}
