//! [`Packets`] sends and receives packets of git's protocol over ssh.
//!
//! ```text
//! 0000        the end of a message
//! 0001        the end of the arguments
//! XXXX…       a length in hexadecimal digits, including these four: a line, or data
//! ```
//!
//! Source: gitprotocol-common(5), gitprotocol-v2(5); `docs/proposals/ssh_adapter.md` of Git LFS. Invariants: the length
//! of a packet is bounded; the other side may be silent only for a limited time. The module does not know the meaning
//! of the packets.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::time::{Duration, Instant};

use super::wire::Wire;
use crate::git::pipe::{Pipe, Received};

/// The most data that is put into one packet, as in git-lfs.
pub(super) const MAX_DATA: usize = 32 << 10;

/// How many packets of data are sent at once.
pub(super) const PACKETS: usize = 8;

/// The longest possible packet, including its length.
const MAX_PACKET: usize = 65_520;

/// The interval of the checks for an interruption by the user.
const WATCH: Duration = Duration::from_millis(50);

/// How much longer the first silence may be than later ones: ssh may prompt the user for a passphrase.
const OPENING: u32 = 10;

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Flush,
    Delim,
    Data(Vec<u8>),
}

/// Why no packet arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The other side closed the connection.
    End,
    /// The other side was silent for too long.
    Silent,
    /// The bytes are not a packet.
    NoPacket,
    /// The user interrupted the program.
    Interrupted,
}

/// Both directions.
pub(super) struct Packets {
    pub(super) pipe: Pipe,
    /// Received bytes that were not read yet.
    had: Vec<u8>,
    at: usize,
    /// `true` after the other side sent a valid message.
    is_open: bool,
}

impl Packets {
    pub(super) fn new(pipe: Pipe) -> Self {
        Self { pipe, had: Vec::new(), at: 0, is_open: false }
    }

    /// Records that the other side supports the protocol.
    pub(super) fn opened(&mut self) {
        self.is_open = true;
    }

    /// Returns how long the other side may be silent.
    fn patience(&self, wire: &Wire<'_>) -> Duration {
        let timeout = wire.settings.patience().timeout;
        if self.is_open { timeout } else { timeout.saturating_mul(OPENING) }
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// [`Lost`]
    pub(super) fn read(&mut self, wire: &Wire<'_>) -> Result<Packet, Lost> {
        let head = self.take(wire, 4)?;
        let text = std::str::from_utf8(&head).map_err(|_| Lost::NoPacket)?;
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let len = usize::from_str_radix(text, 16).ok().filter(|_| is_hex).ok_or(Lost::NoPacket)?;
        match len {
            0 => Ok(Packet::Flush),
            1 => Ok(Packet::Delim),
            4..=MAX_PACKET => Ok(Packet::Data(self.take(wire, len.saturating_sub(4))?)),
            _ => Err(Lost::NoPacket),
        }
    }

    /// Returns the next `count` bytes.
    fn take(&mut self, wire: &Wire<'_>, count: usize) -> Result<Vec<u8>, Lost> {
        let mut since = Instant::now();
        loop {
            let end = self.at.saturating_add(count);
            if let Some(bytes) = self.had.get(self.at..end) {
                let bytes = bytes.to_vec();
                self.at = end;
                if self.at == self.had.len() {
                    self.had.clear();
                    self.at = 0;
                }
                return Ok(bytes);
            }
            if wire.is_interrupted() {
                return Err(Lost::Interrupted);
            }
            match self.pipe.receive(WATCH) {
                Received::Bytes(bytes) => {
                    self.had.drain(..std::mem::take(&mut self.at));
                    self.had.extend(bytes);
                    since = Instant::now();
                }
                Received::End => return Err(Lost::End),
                Received::Nothing if since.elapsed() > self.patience(wire) => return Err(Lost::Silent),
                Received::Nothing => {}
            }
        }
    }

    /// Sends collected packets. Returns `false` if the other side has closed its input: its last output can still be read.
    ///
    /// # Errors
    /// [`Lost::Interrupted`], [`Lost::Silent`]
    pub(super) fn send(&self, wire: &Wire<'_>, bytes: Vec<u8>) -> Result<bool, Lost> {
        let since = Instant::now();
        let is_over = || wire.is_interrupted() || since.elapsed() > self.patience(wire);
        if self.pipe.send(bytes, &is_over) {
            return Ok(true);
        }
        match (wire.is_interrupted(), is_over()) {
            (true, _) => Err(Lost::Interrupted),
            (_, true) => Err(Lost::Silent),
            _ => Ok(false),
        }
    }
}

/// Appends a line.
pub(super) fn line(to: &mut Vec<u8>, text: &str) {
    data(to, format!("{text}\n").as_bytes());
}

/// Appends data, which must fit into a packet.
pub(super) fn data(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(format!("{:04x}", bytes.len().saturating_add(4)).into_bytes());
    to.extend(bytes);
}

/// Ends the arguments.
pub(super) fn delim(to: &mut Vec<u8>) {
    to.extend(b"0001");
}

/// Ends the message.
pub(super) fn flush(to: &mut Vec<u8>) {
    to.extend(b"0000");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_as_git_writes_them() {
        let mut message = Vec::new();
        line(&mut message, "batch");
        line(&mut message, "transfer=ssh");
        delim(&mut message);
        data(&mut message, b"\0x");
        flush(&mut message);
        assert_eq!(message, b"000abatch\n0011transfer=ssh\n00010006\0x0000");
    }

    #[test]
    fn what_is_no_packet() {
        let wire = Wire::new(super::super::settings::Settings::default());
        let packets = |script: &str| Packets::new(Pipe::of_script(script));
        let mut good = packets("printf '000aba'; sleep 0.1; printf 'tch\\n00010000000'; sleep 0.1; printf 4");
        assert_eq!(good.read(&wire), Ok(Packet::Data(b"batch\n".to_vec())));
        assert_eq!(good.read(&wire), Ok(Packet::Delim));
        assert_eq!(good.read(&wire), Ok(Packet::Flush));
        assert_eq!(good.read(&wire), Ok(Packet::Data(Vec::new())));
        assert_eq!(good.read(&wire), Err(Lost::End));
        for script in
            ["printf 0002", "printf 0003", "printf fff5", "printf ' 05a'", "printf '+005a'", "echo hello"]
        {
            assert_eq!(packets(script).read(&wire), Err(Lost::NoPacket), "{script}");
        }
        assert_eq!(packets("printf 0010abc").read(&wire), Err(Lost::End));
    }

    #[test]
    fn what_was_said_last_is_read_though_nothing_is_taken_any_more() {
        let wire = Wire::new(super::super::settings::Settings::default());
        let mut ended = Packets::new(Pipe::of_script("exec <&-; printf '000estatus 403'"));
        while ended.send(&wire, vec![0; 1 << 16]).unwrap() {}
        assert_eq!(ended.read(&wire), Ok(Packet::Data(b"status 403".to_vec())));
        assert_eq!(ended.read(&wire), Err(Lost::End));
    }
}
