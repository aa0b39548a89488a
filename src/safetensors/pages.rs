//! [`Pages`] serves small scattered reads from a few pages in memory, if many reads are in the same page.
//!
//! A page is read completely after as many reads in it as cost the same; so the cost is at most doubled, and a file
//! that fits in all pages is read from memory. Memory: [`PAGES`] times [`PAGE`] bytes, and none before the first page
//! is read.

use std::io;

use crate::read_at::ReadAt;

/// Bytes of a page.
const PAGE: u64 = 2 << 20;
/// How many pages are kept. Page `n` of the source is in slot `n % PAGES`.
const PAGES: usize = 8;
/// How many reads cost as much as a page.
const READS: u32 = 1024;

/// The pages of one source.
#[derive(Default)]
pub(super) struct Pages {
    pages: [Page; PAGES],
}

#[derive(Default)]
struct Page {
    /// The number of the page in this slot.
    number: u64,
    /// How many reads were in it.
    reads: u32,
    is_here: bool,
    bytes: Vec<u8>,
}

impl Pages {
    /// Reads a few bytes.
    pub(super) fn read(&mut self, buf: &mut [u8], at: u64, source: &dyn ReadAt) -> io::Result<()> {
        let (page, inside) = (at / PAGE, usize::try_from(at % PAGE).unwrap_or(usize::MAX));
        let place = &mut self.pages[usize::try_from(page).unwrap_or(0) % PAGES];
        if place.number != page {
            (place.number, place.reads, place.is_here) = (page, 0, false);
        }
        place.reads = place.reads.saturating_add(1);
        if !place.is_here && place.reads > READS {
            let begin = page * PAGE;
            let len = source.len().saturating_sub(begin).min(PAGE);
            place.bytes.resize(usize::try_from(len).unwrap_or(0), 0);
            source.read_exact_at(&mut place.bytes, begin)?;
            place.is_here = true;
        }
        // Reads across the end of a page are rare.
        match place.bytes.get(inside..).and_then(|rest| rest.get(..buf.len())) {
            Some(bytes) if place.is_here => buf.copy_from_slice(bytes),
            _ => source.read_exact_at(buf, at)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns bytes that depend on their offset.
    fn source(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    #[test]
    fn what_is_read_is_what_is_there() {
        let source = source(40 << 20);
        let mut pages = Pages::default();
        let mut buf = [0; 8];
        let mut at = 1_u64;
        for round in 0..60_000_u64 {
            // Most reads are in one page; some cross its end, and some are in pages of the same slot.
            at = match round % 4 {
                0 => (at * 48_271) % (PAGE - 8),
                1 => PAGE - 3,
                2 => 8 * PAGE + round,
                _ => (at * 69_621) % ((40 << 20) - 8),
            };
            pages.read(&mut buf, at, &source).unwrap();
            let from = usize::try_from(at).unwrap();
            assert_eq!(buf, source[from..from + 8], "{at}");
        }
        let end = (40_u64 << 20) - 8;
        for _ in 0..2 * READS {
            pages.read(&mut buf, end, &source).unwrap();
        }
        assert_eq!(buf[..], source[(40 << 20) - 8..]);
        assert!(pages.read(&mut buf, end + 1, &source).is_err());
    }

    #[test]
    fn nothing_is_held_for_a_few_reads() {
        let source = source(1 << 20);
        let mut pages = Pages::default();
        for at in 0..u64::from(READS) {
            pages.read(&mut [0; 2], at, &source).unwrap();
        }
        assert!(pages.pages.iter().all(|place| place.bytes.capacity() == 0));
    }
}
