//! [`Pace`] records which servers requested a pause, and until when.
//!
//! ```text
//! 429, 5xx     Retry-After: SECONDS | DATE
//!              RateLimit: "api";r=0;t=SECONDS        no requests remain, and the end of the window
//! ```
//!
//! Source: RFC 9110, 10.2.3; `draft-ietf-httpapi-ratelimit-headers`, as the Hub sends it (`rate-limits.md` of its
//! documentation, `utils/_http.py` of `huggingface_hub`). Invariants: until then no request goes to the origin,
//! whichever connection received the response; the first request after it goes by itself, and the others wait for its
//! response. The module itself does not wait.
//!
//! A server that rejects a request without stating a time also gets a pause if no user waits for a single response, as
//! in a batch ([`Pace::refused`]): first for a moment, then for a minute, for two, …
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use ureq::http::{HeaderName, header};

use super::known::lock;
use super::message::Response;
use super::origin::Origin;

/// The longest pause that the program waits for.
pub(super) const MAX_AFTER: Duration = Duration::from_secs(300);

/// The first pause for a server that states no time.
const MOMENT: Duration = Duration::from_secs(1);

/// The next pauses, in units of the longest pause between two attempts.
const PAUSES: u32 = 6;

/// The next step of the sender of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Send it.
    Free,
    /// Send it, and report the result by [`Pace::answered`].
    First,
    /// Wait for this time.
    In(Duration),
    /// Wait for the response to the first request.
    Behind,
}

/// The servers that requested a pause.
#[derive(Default)]
pub(super) struct Pace(Mutex<Vec<Closed>>);

struct Closed {
    origin: Origin,
    until: Instant,
    /// `true` if a request is under way since the pause ended.
    is_tried: bool,
    /// How often it rejected a request without stating a time.
    unsaid: u32,
}

impl Pace {
    /// Returns what the sender of a request to an origin must do.
    pub(super) fn turn(&self, origin: &Origin) -> Turn {
        let mut all = lock(&self.0);
        let Some(closed) = all.iter_mut().find(|closed| closed.origin == *origin) else { return Turn::Free };
        let left = closed.until.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Turn::In(left);
        }
        if closed.is_tried {
            return Turn::Behind;
        }
        closed.is_tried = true;
        Turn::First
    }

    /// Records a response of an origin, or its absence. `wait` is the requested pause.
    pub(super) fn answered(&self, origin: &Origin, turn: Turn, wait: Option<Duration>) {
        let mut all = lock(&self.0);
        let known = all.iter().position(|closed| closed.origin == *origin);
        let until = wait.and_then(|wait| Instant::now().checked_add(wait));
        match (until, known.and_then(|known| all.get_mut(known))) {
            (Some(until), Some(closed)) => {
                closed.until = closed.until.max(until);
                closed.is_tried = false;
            }
            (Some(until), None) => {
                all.push(Closed { origin: origin.clone(), until, is_tried: false, unsaid: 0 });
            }
            (None, Some(_)) if turn == Turn::First => all.retain(|closed| closed.origin != *origin),
            (None, _) => {}
        }
    }

    /// Records that an origin rejected a request without stating a time. `longest` is the longest pause between two
    /// attempts.
    pub(super) fn refused(&self, origin: &Origin, turn: Turn, longest: Duration) {
        let mut all = lock(&self.0);
        let now = Instant::now();
        let known = all.iter().position(|closed| closed.origin == *origin).unwrap_or_else(|| {
            all.push(Closed { origin: origin.clone(), until: now, is_tried: false, unsaid: 0 });
            all.len().saturating_sub(1)
        });
        let Some(closed) = all.get_mut(known) else { return };
        // Responses to requests from before the pause add no information.
        if closed.unsaid > 0 && turn != Turn::First {
            return;
        }
        let wait = match closed.unsaid.checked_sub(1) {
            None => MOMENT.min(longest),
            Some(before) => {
                let doubled = PAUSES.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
                longest.saturating_mul(doubled).min(MAX_AFTER)
            }
        };
        closed.until = closed.until.max(now.checked_add(wait).unwrap_or(now));
        (closed.is_tried, closed.unsaid) = (false, closed.unsaid.saturating_add(1));
    }

    /// Records that an origin rejected another program, without a known time: the next request goes by itself.
    pub(super) fn suspect(&self, origin: &Origin) {
        let mut all = lock(&self.0);
        if !all.iter().any(|closed| closed.origin == *origin) {
            all.push(Closed { origin: origin.clone(), until: Instant::now(), is_tried: false, unsaid: 1 });
        }
    }

    /// Returns how much of an origin's pause is left.
    pub(super) fn left(&self, origin: &Origin) -> Option<Duration> {
        let all = lock(&self.0);
        let closed = all.iter().find(|closed| closed.origin == *origin)?;
        Some(closed.until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}

/// Returns `true` if a response rejects a request for now.
pub(super) fn is_refusal(response: &Response) -> bool {
    matches!(response.status, 429 | 503)
}

/// Returns the pause that a response requests.
pub(super) fn wait_of(response: &Response) -> Option<Duration> {
    if !matches!(response.status, 408 | 429 | 500 | 502..=504) {
        return None;
    }
    let after = response.header(header::RETRY_AFTER).and_then(|text| retry_after(text, SystemTime::now()));
    let limits = response.headers(HeaderName::from_static("ratelimit")).filter_map(rate_limit);
    limits.chain(after).max()
}

/// Parses `Retry-After`: seconds, or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

/// Returns the longest window without remaining requests.
fn rate_limit(text: &str) -> Option<Duration> {
    let of_one = |policy: &str| {
        let value = |wanted: &str| {
            let mut values = policy.split(';').filter_map(|parameter| parameter.split_once('='));
            let (_, value) = values.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
            value.trim().parse::<u64>().ok()
        };
        (value("r")? == 0).then(|| value("t")).flatten()
    };
    let window = Duration::from_secs(text.split(',').filter_map(of_one).max()?);
    // A time in whole seconds may be up to a second too short; the longest window is waited for in any case.
    let rounded = window.checked_add(Duration::from_secs(1))?;
    Some(if window == MAX_AFTER { window } else { rounded })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::url::Url;
    use super::*;

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        // RFC 9110, 5.6.7: the example date is that second.
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:51:37 GMT", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sat, 06 Nov 1993 08:51:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after(" 7 ", now), Some(Duration::from_secs(7)));
        for bad in ["", "-1", "soon", "1.5", "99999999999999999999"] {
            assert_eq!(retry_after(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn a_window_of_which_nothing_remains() {
        for (text, seconds) in [
            (r#""api";r=0;t=55"#, Some(56)),
            (r#""api";r=0;t=300"#, Some(300)),
            (r#""api"; R=0 ; t=55;pk=:x:"#, Some(56)),
            (r#""pages";r=12;t=9, "api";r=0;t=55, "b";r=0;t=7"#, Some(56)),
            (r#""api";r=1;t=55"#, None),
            (r#""api";t=55"#, None),
            (r#""api";r=0"#, None),
            (r#""api";r=0;t=x"#, None),
            (r#""api";r=0;t=18446744073709551615"#, None),
            ("", None),
        ] {
            assert_eq!(rate_limit(text), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn a_server_that_says_no_time_is_left_alone_for_longer_each_time() {
        let (pace, url) = (Pace::default(), Url::parse("https://h/").unwrap());
        let (origin, longest) = (url.origin(), Duration::from_secs(10));
        let left = || pace.left(origin).map_or(0, |left| left.as_secs().saturating_add(1));
        let open = || lock(&pace.0).iter_mut().for_each(|closed| closed.until = Instant::now());
        pace.refused(origin, Turn::Free, longest);
        // Another request was in progress.
        pace.refused(origin, Turn::Free, longest);
        assert_eq!(left(), 1);
        for expected in [60, 120, 240, 300, 300] {
            open();
            assert_eq!((pace.turn(origin), pace.turn(origin)), (Turn::First, Turn::Behind));
            pace.refused(origin, Turn::First, longest);
            assert_eq!(left(), expected);
        }
        open();
        assert_eq!(pace.turn(origin), Turn::First);
        pace.answered(origin, Turn::First, None);
        assert_eq!((pace.turn(origin), left()), (Turn::Free, 0));
        // git reported this refusal.
        pace.suspect(origin);
        assert_eq!(pace.turn(origin), Turn::First);
        pace.refused(origin, Turn::First, longest);
        assert_eq!(left(), 60);
    }

    #[test]
    fn the_first_goes_alone_when_it_is_open_again() {
        let (pace, url) = (Pace::default(), Url::parse("https://h/").unwrap());
        let origin = url.origin();
        let turn = || pace.turn(origin);
        assert_eq!(turn(), Turn::Free);
        pace.answered(origin, Turn::Free, None);
        assert_eq!((turn(), pace.left(origin)), (Turn::Free, None));
        pace.answered(origin, Turn::Free, Some(Duration::from_secs(60)));
        pace.answered(origin, Turn::Free, Some(Duration::from_secs(1)));
        assert!(matches!(turn(), Turn::In(left) if left > Duration::from_secs(50)));
        assert!(pace.left(origin).is_some());
        assert_eq!(pace.turn(Url::parse("https://other/").unwrap().origin()), Turn::Free);
        let pace = Pace::default();
        let turn = || pace.turn(origin);
        pace.answered(origin, Turn::Free, Some(Duration::ZERO));
        assert_eq!((turn(), turn()), (Turn::First, Turn::Behind));
        // A response to a request from before the refusal does not open the server.
        pace.answered(origin, Turn::Free, None);
        assert_eq!(turn(), Turn::Behind);
        pace.answered(origin, Turn::First, Some(Duration::ZERO));
        assert_eq!((turn(), turn()), (Turn::First, Turn::Behind));
        pace.answered(origin, Turn::First, None);
        assert_eq!((turn(), turn()), (Turn::Free, Turn::Free));
    }
}
