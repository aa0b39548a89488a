//! Finds the lines of a shell script that are commands or comments, and not part of a text: of a here-document, or of
//! quotes that span lines.
//!
//! Invariant: nothing is executed. A script of another language, or one that this module misunderstands, at worst has
//! fewer such lines.

use std::collections::VecDeque;

use bstr::ByteSlice as _;

/// A here-document whose text follows.
struct HereDocument {
    end: Vec<u8>,
    /// `true` if its lines may be indented by tabs (`<<-`).
    is_indented: bool,
}

/// The state at the end of a line.
#[derive(Default)]
struct Scanner {
    waiting: VecDeque<HereDocument>,
    /// The quote that is open.
    quote: Option<u8>,
    /// How many `((` are open: in them, `<<` is a shift.
    arithmetic: usize,
}

/// Returns the offset and the text of each line that the shell reads as a command or a comment, without its line end.
pub(super) fn lines(script: &[u8]) -> Vec<(usize, &[u8])> {
    let (mut scanner, mut found, mut at) = (Scanner::default(), Vec::new(), 0);
    for line in script.lines_with_terminator() {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let begins = at;
        at += line.len();
        if let Some(document) = scanner.waiting.front().filter(|_| scanner.quote.is_none()) {
            let text = if document.is_indented { text.trim_start_with(|char| char == '\t') } else { text };
            if text == document.end {
                scanner.waiting.pop_front();
            }
            continue;
        }
        if scanner.quote.is_none() {
            found.push((begins, text));
        }
        scanner.line(text);
    }
    found
}

impl Scanner {
    /// Reads a line that is outside of here-documents.
    fn line(&mut self, text: &[u8]) {
        let (mut at, mut before) = (0, b' ');
        while let Some(&byte) = text.get(at) {
            let is_word_start = before.is_ascii_whitespace() || b";&|(".contains(&before);
            let more = match self.quote {
                Some(quote) if byte == quote => {
                    self.quote = None;
                    0
                }
                Some(quote) => usize::from(byte == b'\\' && quote == b'"'),
                None if byte == b'#' && is_word_start => return,
                None => self.unquoted(text.get(at..).unwrap_or_default()),
            };
            before = byte;
            at += 1 + more;
        }
    }

    /// Reads the first byte outside of quotes. Returns how many further bytes belong to it.
    fn unquoted(&mut self, rest: &[u8]) -> usize {
        match rest.first() {
            Some(b'\\') => 1,
            Some(&quote @ (b'\'' | b'"')) => {
                self.quote = Some(quote);
                0
            }
            _ if rest.starts_with(b"((") => {
                self.arithmetic += 1;
                1
            }
            _ if self.arithmetic > 0 && rest.starts_with(b"))") => {
                self.arithmetic -= 1;
                1
            }
            _ if rest.starts_with(b"<<<") => 2,
            _ if self.arithmetic == 0 && rest.starts_with(b"<<") => {
                let (document, len) = here_document(rest.get(2..).unwrap_or_default());
                self.waiting.extend(document);
                1 + len
            }
            _ => 0,
        }
    }
}

/// Parses the word after `<<`, with its length.
fn here_document(rest: &[u8]) -> (Option<HereDocument>, usize) {
    let is_indented = rest.first() == Some(&b'-');
    let mut at = usize::from(is_indented);
    while matches!(rest.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    let (mut end, mut quote, begins) = (Vec::new(), None, at);
    while let Some(&byte) = rest.get(at) {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'\\') => {
                at += 1;
                end.extend(rest.get(at));
            }
            (None, _) if byte.is_ascii_whitespace() || b";&|<>()".contains(&byte) => break,
            _ => end.push(byte),
        }
        at += 1;
    }
    ((at > begins).then_some(HereDocument { end, is_indented }), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<String> {
        lines(script.as_bytes()).into_iter().map(|(_, line)| line.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn texts_of_a_script_are_no_lines() {
        for (script, expected) in [
            ("a\nb\n", &["a", "b"][..]),
            ("cat <<EOF\nx\nEOF\nb", &["cat <<EOF", "b"]),
            ("cat << 'E F' >y\nx\nE F\nb", &["cat << 'E F' >y", "b"]),
            ("cat <<-\\E\nx\n\tE\nb", &["cat <<-\\E", "b"]),
            ("cat <<E\nx\n\tE\nb", &["cat <<E"]),
            ("cat <<A <<B\nA\nx\nB\nb", &["cat <<A <<B", "b"]),
            ("x=$((1 << 2))\nb", &["x=$((1 << 2))", "b"]),
            ("cat <<<word\nb", &["cat <<<word", "b"]),
            ("# it's <<E\nb", &["# it's <<E", "b"]),
            ("echo 'a\nx\n' <<E\ny\nE\nb", &["echo 'a", "b"]),
            ("echo \"a \\\" $# '\nx\"\nb", &["echo \"a \\\" $# '", "b"]),
            ("echo a\\'\nb", &["echo a\\'", "b"]),
            ("echo 'a\\'\nb", &["echo 'a\\'", "b"]),
            ("echo a#'\nx'\nb", &["echo a#'", "b"]),
        ] {
            assert_eq!(texts(script), expected, "{script}");
        }
    }
}
