//! Downloads a file at a URL as a whole, as a stream: for callers that need all of it, or if the server does not serve
//! ranges.
//!
//! Invariant: the content of the file comes from one response; after a lost connection the download starts again. The
//! module does not hash.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};

use ureq::http::{HeaderValue, header};

use super::cause::BadAnswer;
use super::error::{Error, Result};
use super::login::Auth;
use super::message::Encoding;
use super::redirect::{Ask, CONTENT_HOPS};
use super::refusal::refusal;
use super::retry::patiently;
use super::url::Url;

/// How many bytes are read at once.
const STEP: usize = 256 << 10;

/// Writes the content of a URL to an empty file; returns how many bytes arrived, including those before a lost
/// connection.
///
/// # Errors
/// The reason why it is not available, or [`Error::Io`] if the file cannot be written.
pub fn to_file(auth: &Auth<'_>, url: &Url, file: &mut File) -> Result<u64> {
    let mut came = 0;
    auth.wire.watched(|| patiently(&auth.wire, || once(auth, url, file, &mut came)))?;
    Ok(came)
}

fn once(auth: &Auth<'_>, url: &Url, file: &mut File, came: &mut u64) -> Result<()> {
    let failed = |source: io::Error| Error::Io { action: "write a temporary file", source };
    file.rewind().and_then(|()| file.set_len(0)).map_err(failed)?;
    let ask = Ask { may_log_in: true, login: url.login(), hops: CONTENT_HOPS, ..Ask::get(url.clone()) };
    let ask = ask.plain(header::ACCEPT, HeaderValue::from_static("*/*"));
    let response = auth.send(&ask)?;
    if !matches!(response.status, 200 | 203) {
        return Err(refusal(&auth.wire, response, None));
    }
    if response.encoding() == Encoding::Unknown {
        return Err(Error::BadAnswer { url: response.url, interface: "server", source: BadAnswer::Encoded });
    }
    let (mut reader, mut buffer) = (response.into_reader(), vec![0; STEP]);
    loop {
        let len = reader.read(&mut buffer)?;
        if len == 0 {
            return file.rewind().map_err(failed);
        }
        *came += len as u64;
        file.write_all(buffer.get(..len).unwrap_or_default()).map_err(failed)?;
    }
}
