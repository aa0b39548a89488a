//! [`patiently`] pauses a whole batch for a server that wants fewer requests.
//!
//! Invariant: a model that such a server rejected is neither recorded nor skipped: it is done after the pause, or the
//! run ends, and the next run begins with it.

use std::thread;
use std::time::Duration;

use super::failure::{TurnedAway, turned_away};
use crate::actions::{Error, Note, RemoteNote, Reporter};

/// The longest wait for one model.
const MOST: Duration = Duration::from_secs(3600);

/// The pauses for a server that states no time.
const UNSAID: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(120), Duration::from_secs(300)];

/// How often the batch waits for a server that states a time.
const WAITS: usize = 8;

/// The interval of the checks for an interruption by the user.
const STEP: Duration = Duration::from_millis(50);

/// Repeats the work on a model as long as a server rejects it for now.
///
/// # Errors
/// An error of the work; after all pauses, the rejection.
pub(super) fn patiently<T>(
    reporter: &dyn Reporter,
    mut work: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let (mut unsaid, mut said, mut waited) = (UNSAID.into_iter(), 0..WAITS, Duration::ZERO);
    loop {
        let error = match work() {
            Err(error) => error,
            done => return done,
        };
        let wait = match turned_away(&error) {
            Some(TurnedAway::For(wait)) => said.next().map(|_| wait),
            Some(TurnedAway::Unsaid) => unsaid.next(),
            None => None,
        };
        let Some(wait) = wait.filter(|wait| waited.saturating_add(*wait) <= MOST) else { return Err(error) };
        waited = waited.saturating_add(wait);
        reporter.finished();
        reporter.note(&Note::Remote(RemoteNote::Waiting { seconds: wait.as_secs() }));
        pause(reporter, wait)?;
    }
}

fn pause(reporter: &dyn Reporter, wait: Duration) -> Result<(), Error> {
    let begun = std::time::Instant::now();
    while begun.elapsed() < wait {
        reporter.check_interrupted()?;
        thread::sleep(STEP.min(wait));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::{self, Stderr, Trouble};
    use crate::remote::{self, Url};

    fn limited(seconds: u64) -> Error {
        let origin = Url::parse("https://h/").unwrap().origin().clone();
        remote::Error::RateLimited { origin, after: Some(Duration::from_secs(seconds)) }.into()
    }

    #[test]
    fn who_was_turned_away_is_tried_again_and_nobody_else() {
        let tries = |errors: Vec<Error>| {
            let (mut errors, mut tries) = (errors.into_iter(), 0);
            let done = patiently(&(), || {
                tries += 1;
                errors.next().map_or(Ok(()), Err)
            });
            (done.is_ok(), tries)
        };
        assert_eq!(tries(vec![limited(0), limited(0)]), (true, 3));
        assert_eq!(tries((0..20).map(|_| limited(0)).collect()), (false, WAITS + 1));
        assert_eq!(tries(vec![limited(4000)]), (false, 1));
        assert_eq!(tries(vec![Error::NoRepository]), (false, 1));
    }

    #[test]
    fn what_turned_a_model_away() {
        let git = |trouble| Error::Git(git::Error::Remote { trouble, stderr: Stderr(String::new()) });
        assert_eq!(turned_away(&git(Trouble::TooOften)), Some(TurnedAway::Unsaid));
        assert_eq!(turned_away(&git(Trouble::Unavailable)), Some(TurnedAway::Unsaid));
        assert_eq!(turned_away(&git(Trouble::ServerFault)), None);
        assert_eq!(turned_away(&limited(7)), Some(TurnedAway::For(Duration::from_secs(7))));
        let inside = std::io::Error::other(remote::Error::RateLimited {
            origin: Url::parse("https://h/").unwrap().origin().clone(),
            after: None,
        });
        let inside = Error::Checkpoint(crate::checkpoint::Error::Io(inside));
        assert_eq!(turned_away(&inside), Some(TurnedAway::Unsaid));
        assert_eq!(turned_away(&Error::NoRepository), None);
    }
}
