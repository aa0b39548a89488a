//! Waits until git may contact a server, because git does not wait by itself.
//!
//! Invariant: a server that rejected git receives one request, at the URL that git used, for the length of the pause.
//! If it states none, the pause is that of `pace` for runs where no user waits for a single response.

use std::time::Duration;

use ureq::http::{HeaderValue, header};

use super::login::Auth;
use super::pace::MAX_AFTER;
use super::redirect::{Ask, CONTENT_HOPS};
use super::url::Url;

/// Waits if the server of a repository is known to have requested a pause that is not too long. Returns `true` if it
/// waited.
pub fn await_opening(auth: &Auth<'_>, repository: &str, tell: &dyn Fn(Duration)) -> bool {
    let Ok(url) = Url::parse(repository) else { return false };
    wait(auth, &url, tell)
}

/// Asks a server that rejected git for the length of the pause, and waits, if that is not too long. Returns `true` if
/// the server may be contacted again.
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
        // The pace learns the pause from the response.
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
