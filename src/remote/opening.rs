//! Waiting until a server may be asked, for git, which does not wait by itself.
//!
//! Invariant: of a server that turned git away one question is asked: how long it wants to be left alone, at the address that
//! git had asked. One that does not say is left alone as `pace` has it, where nobody waits for one answer.

use std::time::Duration;

use ureq::http::{HeaderValue, header};

use super::login::Auth;
use super::pace::MAX_AFTER;
use super::redirect::{Ask, CONTENT_HOPS};
use super::url::Url;

/// Waits as long as the server of a repository is known to want to be left alone, if that is not too long. Returns `true`
/// if it waited.
pub fn await_opening(auth: &Auth<'_>, repository: &str, tell: &dyn Fn(Duration)) -> bool {
    let Ok(url) = Url::parse(repository) else { return false };
    wait(auth, &url, tell)
}

/// Asks a server that turned git away how long it wants to be left alone, and waits, if that is not too long. Returns `true`
/// if it may be asked again.
pub fn await_reopening(auth: &Auth<'_>, repository: &str, tell: &dyn Fn(Duration)) -> bool {
    let Ok(url) = Url::parse(repository) else { return false };
    let (pace, patient) = (auth.wire.settings.learned.pace(), auth.wire.settings.patient);
    if pace.left(url.origin()).is_none() {
        if patient {
            pace.suspect(url.origin());
        }
        let refs =
            url.without_login().with_suffix("/info/refs").with_query(&[("service", "git-upload-pack")]);
        let ask = Ask { may_log_in: true, login: url.login(), hops: CONTENT_HOPS, ..Ask::get(refs) };
        // What it says of itself is learned on the way.
        let answer =
            auth.wire.watched(|| auth.send(&ask.plain(header::ACCEPT, HeaderValue::from_static("*/*"))));
        if patient && answer.is_ok_and(|answer| answer.status < 400) {
            return true;
        }
    }
    wait(auth, &url, tell)
}

fn wait(auth: &Auth<'_>, url: &Url, tell: &dyn Fn(Duration)) -> bool {
    let left = auth.wire.settings.learned.pace().left(url.origin());
    let Some(left) = left.filter(|left| *left <= MAX_AFTER) else { return false };
    tell(left);
    auth.wire.pause(left, &|| false).is_ok()
}
