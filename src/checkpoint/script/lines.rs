//! Splits a TorchScript source file into lines: text in brackets is one line; blank lines and comments are not lines.
//!
//! Invariant: a line ends where torch's lexer ends it, so text in a string is never read as code. Characters that torch
//! does not write (tabs, other control characters, continued lines, strings over several lines) are refused, not
//! guessed. The module does not know the meaning of a line. Source: torch's `csrc/jit/frontend/lexer.h`.

/// Why a file of code is refused, and on which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: u64,
    pub(super) what: &'static str,
}

/// One line of code, without its indent and its comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The number of spaces before it.
    pub(super) indent: usize,
    pub(super) text: &'a str,
    /// The number of its first line in the file.
    pub(super) number: u64,
}

/// The lines of a file, from start to end.
pub(super) struct Lines<'a> {
    code: &'a str,
    at: usize,
    number: u64,
    /// A line that was read ahead.
    next: Option<Line<'a>>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(code: &'a str) -> Self {
        Self { code, at: 0, number: 1, next: None }
    }

    /// Returns the next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line<'a>>, Wrong> {
        match self.next.take() {
            Some(line) => Ok(Some(line)),
            None => self.read(),
        }
    }

    /// Returns the next line if it is below a line with this indent.
    pub(super) fn next_below(&mut self, indent: usize) -> Result<Option<Line<'a>>, Wrong> {
        self.next = self.next()?;
        Ok(if self.next.is_some_and(|line| line.indent > indent) { self.next.take() } else { None })
    }

    /// Skips everything below a line with this indent.
    pub(super) fn skip_below(&mut self, indent: usize) -> Result<(), Wrong> {
        while self.next_below(indent)?.is_some() {}
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Line<'a>>, Wrong> {
        loop {
            let start = self.at;
            while self.peek() == Some(b' ') {
                self.pass();
            }
            match self.peek() {
                None if self.at == start => return Ok(None),
                None => return Err(self.wrong("unterminated last line")),
                Some(b'\n') => self.pass(),
                Some(b'#') => self.comment(),
                Some(_) => {
                    let (number, from) = (self.number, self.at);
                    let to = self.line()?;
                    let text = self.code.get(from..to).unwrap_or_default().trim_end_matches(' ');
                    return Ok(Some(Line { indent: from.saturating_sub(start), text, number }));
                }
            }
        }
    }

    /// Skips a line and its end; returns the offset of the first byte after its text.
    fn line(&mut self) -> Result<usize, Wrong> {
        let (mut open, mut end) = (0_usize, None);
        loop {
            let at = self.at;
            let Some(byte) = self.peek() else { return Err(self.wrong("unterminated last line")) };
            match byte {
                b'\n' if open == 0 => {
                    self.pass();
                    return Ok(end.unwrap_or(at));
                }
                b'#' => {
                    end = end.or((open == 0).then_some(at));
                    self.comment();
                    continue;
                }
                b'(' | b'[' | b'{' => open = open.saturating_add(1),
                b')' | b']' | b'}' => {
                    open = open.checked_sub(1).ok_or_else(|| self.wrong("unmatched bracket"))?;
                }
                b'"' | b'\'' => {
                    self.string(byte)?;
                    continue;
                }
                b'\n' | b' '..=b'~' if byte != b'\\' => {}
                _ => return Err(self.wrong("unexpected character")),
            }
            self.pass();
        }
    }

    fn comment(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.pass();
        }
    }

    fn string(&mut self, quote: u8) -> Result<(), Wrong> {
        self.pass();
        loop {
            let byte = self.peek();
            self.pass();
            match byte {
                Some(byte) if byte == quote => break,
                Some(b'\\') if self.peek().is_some_and(|byte| byte != b'\n') => self.pass(),
                None | Some(b'\\' | b'\n') => return Err(self.wrong("unterminated string")),
                Some(_) => {}
            }
        }
        // Three quotes would begin a string over several lines.
        if self.peek() == Some(quote) { Err(self.wrong("unexpected string")) } else { Ok(()) }
    }

    fn peek(&self) -> Option<u8> {
        self.code.as_bytes().get(self.at).copied()
    }

    fn pass(&mut self) {
        if self.peek() == Some(b'\n') {
            self.number = self.number.saturating_add(1);
        }
        self.at = self.at.saturating_add(1);
    }

    fn wrong(&self, what: &'static str) -> Wrong {
        Wrong { line: self.number, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(code: &str) -> Result<Vec<(usize, &str, u64)>, Wrong> {
        let mut lines = Lines::new(code);
        let mut found = Vec::new();
        while let Some(line) = lines.next()? {
            found.push((line.indent, line.text, line.number));
        }
        Ok(found)
    }

    #[test]
    fn lines_as_torch_s_lexer_has_them() {
        let code = "a # b\n\n  # c\n  b = [1,\n # d\n 2]  \n    \nc = \"#(\\\"\" + '[\"'\n";
        let found = [(0, "a", 1), (2, "b = [1,\n # d\n 2]", 4), (0, "c = \"#(\\\"\" + '[\"'", 8)];
        assert_eq!(lines(code).unwrap(), found);
        assert_eq!(lines("").unwrap(), []);
        assert_eq!(lines("\n\n").unwrap(), []);
    }

    #[test]
    fn what_torch_does_not_write_is_wrong() {
        for (code, line, what) in [
            ("a", 1, "unterminated last line"),
            ("a\n  ", 2, "unterminated last line"),
            ("a(\n", 2, "unterminated last line"),
            ("a)\n", 1, "unmatched bracket"),
            ("a\n\tb\n", 2, "unexpected character"),
            ("a \\\nb\n", 1, "unexpected character"),
            ("a\r\n", 1, "unexpected character"),
            ("é\n", 1, "unexpected character"),
            ("\"a\nb\"\n", 2, "unterminated string"),
            ("\"a\\\nb\"\n", 1, "unterminated string"),
            ("\"a\\", 1, "unterminated string"),
            ("\"a", 1, "unterminated string"),
            ("a = \"\"\"\nb\n\"\"\"\n", 1, "unexpected string"),
        ] {
            assert_eq!(lines(code), Err(Wrong { line, what }), "{code:?}");
        }
    }

    #[test]
    fn what_is_below_a_line() {
        let mut lines = Lines::new("a\n  b\n    c\nd\n");
        assert_eq!(lines.next().unwrap().map(|line| line.text), Some("a"));
        assert_eq!(lines.next_below(0).unwrap().map(|line| line.text), Some("b"));
        lines.skip_below(0).unwrap();
        assert_eq!(lines.next_below(0).unwrap(), None);
        assert_eq!(lines.next().unwrap().map(|line| line.text), Some("d"));
        assert_eq!(lines.next_below(0).unwrap(), None);
        assert_eq!(lines.next().unwrap(), None);
    }
}
