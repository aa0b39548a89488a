//! Prints the message of a panic, before the program ends with 101. What was done until then is still summarized.
//!
//! Invariant: the message asks for a report and contains the information for it; nothing is printed twice, and a closed
//! standard error is not a second panic.

use std::any::Any;
use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use super::sanitize;

/// The exit status.
pub(super) const CODE: u8 = 101;

/// Replaces the message of a panic.
pub(super) fn install() {
    panic::set_hook(Box::new(|info| {
        // No one reads standard error any more.
        let _unheard = anstream::stderr().write_all(message(info).as_bytes());
    }));
}

/// Runs `work`. Returns the reason after a panic, whose message was printed already.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .map_err(|payload| format!("internal error: {}", said(payload.as_ref())))
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    payload.downcast_ref::<&str>().copied().or(owned).unwrap_or("(no message)")
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map(|at| format!(" at {at}")).unwrap_or_default();
    text(said(info.payload()), &place)
}

fn text(payload: &str, place: &str) -> String {
    format!(
        "error: internal error: {}\n  caused by: panic{place}\n\
         hint: this is a bug in git-st-convert; please report it with the command line, these lines and `{} {} on {}`\n",
        sanitize::text(payload),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_is_caught_with_its_message() {
        assert_eq!(super::caught(|| 3), Ok(3));
        let number = std::hint::black_box(4);
        let caught = super::caught(|| assert_ne!(number, 4, "a {number}"));
        assert!(caught.unwrap_err().starts_with("internal error: assertion `left != right` failed: a 4"));
    }

    #[test]
    fn the_message_asks_for_a_report() {
        let text = super::text("index 3\x1b is out", " at src/a.rs:1:2");
        assert!(text.starts_with("error: internal error: index 3\\x1b is out\n"), "{text}");
        assert!(
            text.contains(
                "caused by: panic at src/a.rs:1:2\nhint: this is a bug in git-st-convert; please report it"
            ),
            "{text}"
        );
    }
}
