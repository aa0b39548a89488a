//! [`Encoding`] converts UTF-8 to the encoding that `working-tree-encoding` names.
//!
//! git uses iconv for this, and implementations of iconv differ: in the byte order of UTF-16, in names, in characters.
//! So a name returns every encoding that it may mean; a character that two implementations write differently is
//! unclear. If no implementation can write a character, git writes the blob without conversion.
//!
//! Source: `utf8.c` of git; the tables are those of the crate `encoding_rs`, which `tests/guard/conversions.rs`
//! compares with `iconv` of glibc, character by character.

use std::fmt;

use bstr::{BStr, BString, ByteSlice as _};
use encoding_rs::{CoderResult, EncoderResult};

use super::Unclear;

/// A target encoding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Encoding {
    /// ISO-8859-1, one byte per character.
    Latin1,
    /// UTF-16 or UTF-32.
    Wide {
        /// 2 or 4.
        unit: u8,
        big: bool,
        bom: bool,
    },
    /// One byte per character, by a table of WHATWG; with `c1`, the bytes from 0x80 to 0x9f are those of ISO 8859.
    Single { label: &'static str, c1: bool },
    /// One or two bytes per character, by a table of WHATWG.
    Double { label: &'static str },
    /// Any other encoding.
    Unknown {
        name: BString,
        /// `true` if it writes ASCII unchanged.
        keeps_ascii: bool,
    },
}

/// Names without case, `-` and `_`, and the table; WHATWG reads parts of ISO 8859 as Windows does.
const SINGLE: &[(&[&str], &str, bool)] = &[
    (&["cp1250", "windows1250"], "windows-1250", false),
    (&["cp1251", "windows1251"], "windows-1251", false),
    (&["cp1252", "windows1252"], "windows-1252", false),
    (&["cp1253", "windows1253"], "windows-1253", false),
    (&["cp1254", "windows1254"], "windows-1254", false),
    (&["cp1255", "windows1255"], "windows-1255", false),
    (&["cp1256", "windows1256"], "windows-1256", false),
    (&["cp1257", "windows1257"], "windows-1257", false),
    (&["cp1258", "windows1258"], "windows-1258", false),
    (&["cp874", "windows874"], "windows-874", false),
    (&["iso88592", "latin2", "l2"], "iso-8859-2", false),
    (&["iso88593", "latin3", "l3"], "iso-8859-3", false),
    (&["iso88594", "latin4", "l4"], "iso-8859-4", false),
    (&["iso88595"], "iso-8859-5", false),
    (&["iso88596"], "iso-8859-6", false),
    (&["iso88597"], "iso-8859-7", false),
    (&["iso88598"], "iso-8859-8", false),
    (&["iso88599", "latin5", "l5"], "windows-1254", true),
    (&["iso885910", "latin6", "l6"], "iso-8859-10", false),
    (&["iso885911"], "windows-874", true),
    (&["iso885913", "latin7", "l7"], "iso-8859-13", false),
    (&["iso885914", "latin8", "l8"], "iso-8859-14", false),
    (&["iso885915", "latin9"], "iso-8859-15", false),
    (&["iso885916", "latin10", "l10"], "iso-8859-16", false),
    (&["koi8r"], "koi8-r", false),
    (&["koi8u"], "koi8-u", false),
    (&["cp866", "ibm866"], "ibm866", false),
];
const DOUBLE: &[(&[&str], &str)] = &[
    (&["shiftjis", "sjis", "cp932", "ms932", "windows31j"], "shift_jis"),
    (&["euckr", "cp949", "uhc"], "euc-kr"),
    (&["gbk", "cp936", "gb2312", "euccn"], "gbk"),
];
const LATIN_1: &[&str] = &["iso88591", "latin1", "l1", "cp819", "ibm819"];
/// Only ASCII can be written, unchanged.
const ASCII: &[&str] = &["ascii", "usascii"];
/// Implementations disagree on some of their characters other than ASCII.
const DISPUTED: &[&str] = &["eucjp", "eucjpms", "big5", "cp950", "big5hkscs", "euctw", "gb18030"];
/// The table writes it as 0xa844, glibc as 0xa1aa.
const DISPUTED_IN_GBK: char = '\u{2015}';

/// Big-endian or not, with a mark or not, for a name that states neither.
const ANY_ORDER: &[(bool, bool)] = &[(false, true), (true, true), (false, false), (true, false)];

impl Encoding {
    /// Returns every encoding that a value of the attribute may mean; nothing for UTF-8 and ASCII.
    pub(super) fn all(name: &BStr) -> Vec<Self> {
        let plain: String =
            name.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect();
        let is_one_of = |names: &[&str]| names.contains(&plain.as_str());
        let wide = |unit, forms: &[(bool, bool)]| {
            forms.iter().map(|&(big, bom)| Self::Wide { unit, big, bom }).collect()
        };
        if is_utf8(name) || is_one_of(ASCII) {
            return Vec::new();
        }
        if is_one_of(LATIN_1) {
            return vec![Self::Latin1];
        }
        match plain.as_str() {
            "utf16" => return wide(2, ANY_ORDER),
            "utf16le" => return wide(2, &[(false, false)]),
            "utf16be" => return wide(2, &[(true, false)]),
            "utf16lebom" => return wide(2, &[(false, true)]),
            "utf16bebom" => return wide(2, &[(true, true)]),
            "utf32" => return wide(4, ANY_ORDER),
            "utf32le" => return wide(4, &[(false, false)]),
            "utf32be" => return wide(4, &[(true, false)]),
            _ => {}
        }
        if let Some(&(_, label, c1)) = SINGLE.iter().find(|(names, ..)| is_one_of(names)) {
            return vec![Self::Single { label, c1 }];
        }
        if let Some(&(_, label)) = DOUBLE.iter().find(|(names, _)| is_one_of(names)) {
            return vec![Self::Double { label }];
        }
        vec![Self::Unknown { name: name.to_owned(), keeps_ascii: is_one_of(DISPUTED) }]
    }

    fn unclear(&self) -> Stop {
        Stop::Unclear(Unclear::Encoding(self.to_string().into()))
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latin1 => f.write_str("ISO-8859-1"),
            Self::Wide { unit, big, bom } => {
                let order = if *big { "BE" } else { "LE" };
                let bits = unit.saturating_mul(8);
                write!(f, "UTF-{bits}{order}{}", if *bom { "-BOM" } else { "" })
            }
            Self::Single { label, c1: false } | Self::Double { label } => f.write_str(label),
            Self::Single { label, c1: true } => {
                f.write_str(if *label == "windows-1254" { "ISO-8859-9" } else { "ISO-8859-11" })
            }
            Self::Unknown { name, .. } => write!(f, "{name}"),
        }
    }
}

/// Returns `true` if git treats this value of `working-tree-encoding` as UTF-8, the encoding of blobs.
pub(in crate::repo) fn is_utf8(name: &BStr) -> bool {
    name.eq_ignore_ascii_case(b"utf-8") || name.eq_ignore_ascii_case(b"utf8")
}

/// Why an encoder stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// Every implementation of iconv fails.
    Fails,
    Unclear(Unclear),
}

/// Encodes UTF-8 in pieces.
pub(super) struct Encoder {
    encoding: Encoding,
    how: How,
    /// The beginning of a truncated character.
    cut: Vec<u8>,
    is_begun: bool,
}

enum How {
    Plain,
    /// The characters of the bytes from 0x80 on.
    Table(Vec<char>),
    Crate(encoding_rs::Encoder),
}

impl Encoder {
    pub(super) fn new(encoding: &Encoding) -> Self {
        let of = |label: &str| encoding_rs::Encoding::for_label(label.as_bytes());
        let how = match encoding {
            Encoding::Single { label, c1 } => How::Table(of(label).map_or(Vec::new(), |of| table(of, *c1))),
            Encoding::Double { label } => of(label).map_or(How::Plain, |of| How::Crate(of.new_encoder())),
            _ => How::Plain,
        };
        Self { encoding: encoding.clone(), how, cut: Vec::new(), is_begun: false }
    }

    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
        if let Encoding::Unknown { keeps_ascii, .. } = &self.encoding {
            let is_same = *keeps_ascii && piece.is_ascii() || piece.is_empty();
            out.extend_from_slice(piece);
            return if is_same { Ok(()) } else { Err(self.encoding.unclear()) };
        }
        let mut joined = std::mem::take(&mut self.cut);
        let mut rest = piece;
        // A truncated character has at most four bytes.
        while !joined.is_empty()
            && let Some((first, after)) = rest.split_first()
        {
            joined.push(*first);
            rest = after;
            match str::from_utf8(&joined) {
                Ok(text) => {
                    self.encode(text, out)?;
                    joined.clear();
                }
                Err(error) if error.error_len().is_some() => return Err(Stop::Fails),
                Err(_) => {}
            }
        }
        if !joined.is_empty() {
            self.cut = joined;
            return Ok(());
        }
        let (text, cut) = match str::from_utf8(rest) {
            Ok(text) => (text, &b""[..]),
            Err(error) if error.error_len().is_some() => return Err(Stop::Fails),
            Err(error) => {
                let (text, cut) = rest.split_at_checked(error.valid_up_to()).unwrap_or_default();
                (str::from_utf8(text).unwrap_or_default(), cut)
            }
        };
        self.encode(text, out)?;
        self.cut.extend_from_slice(cut);
        Ok(())
    }

    /// Returns `true` if the text ended with a complete character.
    pub(super) fn is_whole(&self) -> bool {
        self.cut.is_empty()
    }

    fn encode(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), Stop> {
        if !text.is_empty() && !std::mem::replace(&mut self.is_begun, true) {
            self.encoding.begin(out);
        }
        if let How::Crate(encoder) = &mut self.how {
            if text.contains(DISPUTED_IN_GBK) {
                return Err(self.encoding.unclear());
            }
            out.reserve(encoder.max_buffer_length_from_utf8_without_replacement(text.len()).unwrap_or(0));
            let (result, _) = encoder.encode_from_utf8_to_vec_without_replacement(text, out, false);
            return match result {
                EncoderResult::InputEmpty => Ok(()),
                EncoderResult::Unmappable(_) | EncoderResult::OutputFull => Err(self.encoding.unclear()),
            };
        }
        if text.is_ascii() && !matches!(self.encoding, Encoding::Wide { .. }) {
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        for char in text.chars() {
            match (&self.encoding, &self.how) {
                (Encoding::Wide { unit: 2, big, .. }, _) => {
                    for &mut unit in char.encode_utf16(&mut [0; 2]) {
                        out.extend(if *big { unit.to_be_bytes() } else { unit.to_le_bytes() });
                    }
                }
                (Encoding::Wide { big, .. }, _) => {
                    let unit = u32::from(char);
                    out.extend(if *big { unit.to_be_bytes() } else { unit.to_le_bytes() });
                }
                (Encoding::Latin1, _) => out.push(u8::try_from(char).map_err(|_| Stop::Fails)?),
                (_, How::Table(chars)) if !char.is_ascii() => {
                    let at = chars.iter().position(|known| *known == char && char != REPLACED);
                    let byte = at.and_then(|at| u8::try_from(at).ok()?.checked_add(0x80));
                    out.push(byte.ok_or_else(|| self.encoding.unclear())?);
                }
                _ => out.push(u8::try_from(char).map_err(|_| self.encoding.unclear())?),
            }
        }
        Ok(())
    }
}

/// The entry of a table for a byte without a character.
const REPLACED: char = '\u{fffd}';

/// Returns the characters of the bytes from 0x80 on.
fn table(encoding: &'static encoding_rs::Encoding, c1: bool) -> Vec<char> {
    let char = |byte: u8| {
        if c1 && byte < 0xa0 {
            return char::from(byte);
        }
        let mut text = String::with_capacity(8);
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let (result, _, is_replaced) = decoder.decode_to_string(&[byte], &mut text, true);
        let is_one = matches!(result, CoderResult::InputEmpty) && !is_replaced;
        text.chars().next().filter(|_| is_one).unwrap_or(REPLACED)
    };
    (0x80..=0xff).map(char).collect()
}

impl Encoding {
    fn begin(&self, out: &mut Vec<u8>) {
        match self {
            Self::Wide { unit: 2, big: false, bom: true } => out.extend([0xff, 0xfe]),
            Self::Wide { unit: 2, big: true, bom: true } => out.extend([0xfe, 0xff]),
            Self::Wide { big: false, bom: true, .. } => out.extend([0xff, 0xfe, 0, 0]),
            Self::Wide { big: true, bom: true, .. } => out.extend([0, 0, 0xfe, 0xff]),
            _ => {}
        }
    }
}
