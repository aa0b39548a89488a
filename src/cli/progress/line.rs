//! Formats one line of progress, for a terminal of a given width.
//!
//! Invariant: the line is narrower than the terminal, so that it never continues in a next row; a name is shortened in
//! its middle, and has priority over a bar. The module does not draw.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::cli::sizes;

/// The width that a name keeps while other parts can be shortened: `pytorch_mo…1-of-00002.bin`.
const READABLE: usize = 24;
/// Its width on the narrowest terminals: `pytor…002.bin`.
const SHORTEST: usize = 13;

/// The current work; all text is safe to print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    /// The current model of a list.
    pub(super) model: Option<Model<'a>>,
    /// The number of the file, and of all files.
    pub(super) number: Option<(usize, usize)>,
    pub(super) name: &'a str,
    pub(super) amount: Amount,
}

/// A model, its number, and the number of all models.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'a> {
    pub(super) name: &'a str,
    pub(super) number: (usize, usize),
}

/// The progress of the work.
#[derive(Debug, Clone, Copy)]
pub(super) enum Amount {
    /// Bytes of a file, or of all files, and the bytes per second, if known.
    Bytes { done: u64, total: u64, rate: Option<u64> },
    /// Pieces, and their total, if known.
    Pieces { done: u64, total: Option<u64> },
    /// Nothing has arrived for this long.
    Waiting { lasted: Duration },
}

/// The characters for a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letters {
    full: &'static str,
    end: &'static str,
    rest: &'static str,
    dots: &'static str,
}

impl Letters {
    /// Returns Unicode characters, if the locale supports them.
    pub(super) fn of(is_utf8: bool) -> Self {
        if is_utf8 {
            Self { full: "━", end: "╸", rest: " ", dots: "…" }
        } else {
            Self { full: "#", end: "#", rest: ".", dots: "..." }
        }
    }
}

/// Returns the line, narrower than the terminal.
pub(super) fn line(shown: &Shown<'_>, columns: usize, letters: Letters) -> String {
    let room = columns.saturating_sub(1);
    let number = shown.number.filter(|(_, of)| *of > 1);
    let number = number.map_or_else(String::new, |(at, of)| format!("{at}/{of} "));
    let model = shown.model.map_or(0, |model| numbered(&model).width() + model.name.width() + 2);
    let readable = if model > 0 { 2 * READABLE } else { READABLE };
    let wanted = (model + number.width() + shown.name.width()).min(number.width() + readable);
    let forms = forms(&shown.amount, letters);
    // The fullest form next to which the names are readable; else the shortest, if it fits.
    let form = forms.iter().find(|form| form.width() + 2 + wanted <= room);
    let form = form.or_else(|| forms.last().filter(|form| form.width() + 1 + SHORTEST <= room));
    let form = form.map_or_else(String::new, |form| format!(" {form}"));
    let left = room.saturating_sub(form.width());
    let names = names(shown, &number, left, letters);
    let pad = left.saturating_sub(names.width());
    format!("{names}{:pad$}{form}", "").trim_end().to_owned()
}

/// Returns the forms of the right side, the fullest first.
fn forms(amount: &Amount, letters: Letters) -> Vec<String> {
    match *amount {
        Amount::Bytes { done, total, rate } => {
            let done = done.min(total);
            let (sizes, percent) = (of(done, total), format!("{:>3}%", percent(done, total)));
            let speed = rate.map(|rate| format!("{}/s", sizes::bytes(rate))).unwrap_or_default();
            let left = rate.and_then(|rate| (total - done).checked_div(rate));
            let left = left.map(|seconds| clock(seconds) + " left").unwrap_or_default();
            // The width at the end, so that the bar does not move.
            let wide = of(total, total).width().max(13);
            let facts = format!("{sizes:>wide$}  {speed:>10}  {left:>9}");
            vec![
                format!("{}  {facts}", bar(20, done, total, letters)),
                format!("{}  {facts}", bar(10, done, total, letters)),
                facts,
                format!("{sizes}  {left:>9}"),
                format!("{percent}  {left:>9}"),
                percent,
            ]
        }
        Amount::Pieces { done, total: Some(total) } => {
            let done = done.min(total);
            let counts = format!("{} of {}", sizes::grouped(done), sizes::grouped(total));
            let percent = format!("{:>3}%", percent(done, total));
            vec![
                format!("{}  {counts:>15}", bar(20, done, total, letters)),
                format!("{}  {counts:>15}", bar(10, done, total, letters)),
                counts,
                percent,
            ]
        }
        Amount::Pieces { done, total: None } => vec![sizes::grouped(done)],
        // A short wait needs no clock.
        Amount::Waiting { lasted } if lasted < Duration::from_secs(2) => Vec::new(),
        Amount::Waiting { lasted } => vec![clock(lasted.as_secs())],
    }
}

/// Formats `1.2/4.9 GiB`, or with both units if they differ.
fn of(done: u64, total: u64) -> String {
    let (done, total) = (sizes::bytes(done), sizes::bytes(total));
    match (done.split_once(' '), total.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number}/{total}"),
        _ => format!("{done}/{total}"),
    }
}

fn percent(done: u64, total: u64) -> u128 {
    (u128::from(done) * 100).checked_div(u128::from(total)).unwrap_or(0)
}

fn bar(width: u64, done: u64, total: u64, letters: Letters) -> String {
    let width = u128::from(width);
    let halves = (u128::from(done) * width * 2).checked_div(u128::from(total)).unwrap_or(0).min(width * 2);
    let (full, end) = (halves / 2, halves % 2);
    let times = |letter: &str, count: u128| letter.repeat(usize::try_from(count).unwrap_or(0));
    times(letters.full, full) + &times(letters.end, end) + &times(letters.rest, width - full - end)
}

/// Formats `0:07`, `9:12`, `1:09:12`.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

fn numbered(model: &Model<'_>) -> String {
    format!("{}/{} ", model.number.0, model.number.1)
}

/// Returns the model and the file, or the part that fits: the model has priority, and a number is dropped before a
/// name.
fn names(shown: &Shown<'_>, number: &str, room: usize, letters: Letters) -> String {
    let beside = |number: &str, name: &str, room: usize| {
        let number = if room < number.width() + SHORTEST.min(name.width()) { "" } else { number };
        format!("{number}{}", shortened(name, room - number.width(), letters))
    };
    let Some(model) = shown.model else { return beside(number, shown.name, room) };
    let which = numbered(&model);
    let left = room.saturating_sub(which.width() + 2);
    let file = number.width() + shown.name.width().max(SHORTEST);
    if left < SHORTEST + file.min(number.width() + SHORTEST) {
        return beside(&which, model.name, room);
    }
    let name = shortened(model.name, left - file.min(left / 2).max(number.width() + SHORTEST), letters);
    format!("{which}{name}: {}", beside(number, shown.name, left - name.width()))
}

/// Shortens a text to this many columns: it leaves out the middle, so that the number and the suffix are readable.
pub(super) fn shortened(text: &str, room: usize, letters: Letters) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let kept = room.saturating_sub(letters.dots.width());
    let end = taken(text.chars().rev(), kept - kept / 2);
    let begin = taken(text.chars(), kept - end.iter().map(|char| char.width().unwrap_or(0)).sum::<usize>());
    let dots = if room < letters.dots.width() { "" } else { letters.dots };
    begin.iter().chain(&dots.chars().collect::<Vec<_>>()).chain(end.iter().rev()).collect()
}

/// Returns the first characters that fit.
fn taken(chars: impl Iterator<Item = char>, room: usize) -> Vec<char> {
    let mut left = room;
    chars
        .map_while(|char| {
            left = left.checked_sub(char.width().unwrap_or(0))?;
            Some(char)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    const NAME: &str = "encoder/pytorch_model-00001-of-00009.bin";

    fn bytes(done: u64, total: u64, rate: Option<u64>) -> Shown<'static> {
        let amount = Amount::Bytes { done, total, rate };
        Shown { model: None, number: Some((2, 9)), name: NAME, amount }
    }

    fn at(shown: &Shown<'_>, columns: usize) -> String {
        line(shown, columns, Letters::of(true))
    }

    /// Returns the line with single spaces.
    fn squeezed(shown: &Shown<'_>, columns: usize) -> String {
        at(shown, columns).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_gives_way_on_a_narrow_terminal() {
        let mut shown = bytes(13_000_000_000, 43_300_000_000, Some(42_000_000));
        for (columns, expected) in [
            (120, "2/9 encoder/pytorch_model-00001-of-00009.bin ━━━━━━ 12.1/40.3 GiB 40.1 MiB/s 12:01 left"),
            (80, "2/9 encoder/pyto…of-00009.bin ━━━ 12.1/40.3 GiB 40.1 MiB/s 12:01 left"),
            (60, "2/9 encoder/pytorc…1-of-00009.bin 12.1/40.3 GiB 12:01 left"),
            (40, "2/9 encoder/pytorc…01-of-00009.bin 30%"),
            (20, "encode…009.bin 30%"),
            (16, "encoder…009.bin"),
        ] {
            assert_eq!(squeezed(&shown, columns), expected);
        }
        shown.model = Some(Model { name: "sentence-transformers/all-MiniLM-L6-v2", number: (12, 500) });
        for (columns, expected) in [
            (80, "12/500 sentence-t…iniLM-L6-v2: 2/9 encoder/…00009.bin 12.1/40.3 GiB 12:01 left"),
            (40, "12/500 sentence-tran…-MiniLM-L6-v2 30%"),
            (20, "senten…M-L6-v2 30%"),
        ] {
            assert_eq!(squeezed(&shown, columns), expected);
        }
    }

    #[test]
    fn no_line_is_as_wide_as_the_terminal_and_no_name_is_cut_to_six_letters() {
        let model = Some(Model { name: "acme/a-model-of-some-length", number: (1, 9) });
        let amounts = [
            Amount::Bytes { done: 0, total: 0, rate: None },
            Amount::Bytes { done: 5, total: 1, rate: Some(1) },
            Amount::Bytes { done: 1, total: u64::MAX, rate: Some(1) },
            Amount::Bytes { done: 1 << 40, total: 3 << 40, rate: Some(u64::MAX) },
            Amount::Pieces { done: u64::MAX, total: Some(u64::MAX) },
            Amount::Pieces { done: u64::MAX, total: None },
            Amount::Waiting { lasted: Duration::from_secs(360_000) },
        ];
        for (name, amount) in ["", "a", NAME, "模型/检查点的名字很长很长很长很长很长.bin"]
            .into_iter()
            .flat_map(|name| amounts.map(|amount| (name, amount)))
        {
            for model in [None, model] {
                let shown = Shown { model, number: Some((2, 9)), name, amount };
                for columns in 0..200 {
                    for letters in [Letters::of(true), Letters::of(false)] {
                        let line = line(&shown, columns, letters);
                        assert!(line.width() < columns.max(1), "{columns}: {line}");
                        let is_named = model.is_some() || line.contains(name);
                        let words = line.split_whitespace();
                        let longest = words.map(UnicodeWidthStr::width).max().unwrap_or(0);
                        assert!(columns < 20 || is_named || longest >= SHORTEST - 1, "{columns}: {line}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_name_keeps_both_its_ends() {
        for (is_utf8, room, expected) in [
            (true, 40, NAME),
            (true, 26, "encoder/pyto…-of-00009.bin"),
            (false, 26, "encoder/pyt...of-00009.bin"),
            (true, 2, "…n"),
            (true, 1, "…"),
            (true, 0, ""),
            (false, 2, ""),
        ] {
            assert_eq!(shortened(NAME, room, Letters::of(is_utf8)), expected, "{room}");
        }
        assert_eq!(shortened("模型检查点的名字.bin", 13, Letters::of(true)), "模型检…字.bin");
        assert!(line(&bytes(1, 2, None), 120, Letters::of(false)).is_ascii());
    }
}
