//! Prints the message of a panic, before the program ends with 101.
//!
//! Invariant: the message asks for a report and contains the information for it; nothing is printed twice, and a closed
//! standard error is not a second panic.

use std::io::Write as _;
use std::panic::PanicHookInfo;

use super::sanitize;

/// Replaces the message of a panic, whose exit status is already 101.
pub(super) fn install() {
    std::panic::set_hook(Box::new(|info| {
        // No one reads standard error any more.
        let _unheard = anstream::stderr().write_all(message(info).as_bytes());
    }));
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    let payload = payload.downcast_ref::<&str>().copied().or(owned).unwrap_or("(no message)");
    let place = info.location().map(|at| format!(" at {at}")).unwrap_or_default();
    text(payload, &place)
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
