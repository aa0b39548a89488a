//! Creates connections: with TLS as [`tls`](super::tls) configures it, and to a plain http server behind a proxy by
//! requests with the whole URL.
//!
//! ```text
//! GET http://HOST/PATH HTTP/1.1          to the proxy: RFC 9112, 3.2.2
//! ```
//!
//! The HTTP library supports only `CONNECT`, which many proxies allow only for port 443. So the head of a request is
//! rewritten on its way: it has a header of ours, which contains a secret number and the URL, and which no proxy sees.
//!
//! Invariant: only a head of ours is rewritten, whatever a body contains.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read as _, Write as _};
use std::sync::{Arc, LazyLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::config::Config;
use ureq::http::{HeaderName, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    SocksConnector, TcpConnector, Transport, TransportAdapter,
};
use ureq::{Agent, Error, Proxy};

/// The header with the whole URL.
pub(super) const WHOLE: HeaderName = HeaderName::from_static("st-convert-target");

/// A number that only this process knows.
static NUMBER: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("head"));

/// Returns the value of [`WHOLE`] for a URL.
pub(super) fn whole(target: &str) -> String {
    format!("{:016x} {target}", *NUMBER)
}

/// Creates connections to servers, or by `CONNECT` and SOCKS through the configured proxy.
pub(super) fn direct(config: Config, tls: Arc<ClientConfig>) -> Agent {
    let connector =
        ().chain(SocksConnector::default())
            .chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(Tls(tls));
    Agent::with_parts(config, connector, DefaultResolver::default())
}

/// Creates connections to a proxy that receives whole URLs.
pub(super) fn through(config: Config, proxy: &Proxy) -> Agent {
    let connector = ().chain(TcpConnector::default()).chain(Wholly);
    Agent::with_parts(
        config,
        connector,
        ToProxy { uri: proxy.uri().clone(), inner: DefaultResolver::default() },
    )
}

/// Wraps a connection in TLS if the URL requires it.
struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| Error::Tls("invalid host name"))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned { conn: connection, sock: socket } })))
    }
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Resolves every host to the proxy.
#[derive(Debug)]
struct ToProxy {
    uri: Uri,
    inner: DefaultResolver,
}

impl Resolver for ToProxy {
    fn resolve(&self, _: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        self.inner.resolve(&self.uri, config, timeout)
    }
}

/// Rewrites heads to contain whole URLs.
#[derive(Debug)]
struct Wholly;

impl<In: Transport> Connector<In> for Wholly {
    type Out = WholeTransport<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(WholeTransport))
    }
}

#[derive(Debug)]
struct WholeTransport<In>(In);

impl<In: Transport> Transport for WholeTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.0.buffers().output();
        let Some(head) = output.get(..amount).and_then(rewritten) else {
            return self.0.transmit_output(amount, timeout);
        };
        let Some(room) = output.get_mut(..head.len()) else {
            return Err(Error::Other("the request header is too long".into()));
        };
        room.copy_from_slice(&head);
        self.0.transmit_output(head.len(), timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

/// Returns the bytes of a head with the whole URL in its first line; `None` if it is not a head of ours.
fn rewritten(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at_checked(end)?;
    let head = std::str::from_utf8(head).ok()?;
    let mark = format!("{WHOLE}: {:016x} ", *NUMBER);
    let target = head.split("\r\n").find_map(|line| line.strip_prefix(mark.as_str()))?;
    let mut lines = head.split("\r\n").filter(|line| !line.starts_with(mark.as_str()));
    let mut words = lines.next()?.split(' ');
    let (method, _, version) = (words.next()?, words.next()?, words.next()?);
    let first = format!("{method} {target} {version}");
    let text = std::iter::once(first.as_str()).chain(lines).collect::<Vec<_>>().join("\r\n");
    Some([text.as_bytes(), rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_head_of_ours_is_rewritten() {
        let line = format!("{WHOLE}: {}", whole("http://h:8/a?b=c"));
        let head = format!("POST /a?b=c HTTP/1.1\r\nhost: h:8\r\n{line}\r\naccept: */*\r\n\r\nbody /a");
        let rewritten_head = rewritten(head.as_bytes()).unwrap();
        let expected = "POST http://h:8/a?b=c HTTP/1.1\r\nhost: h:8\r\naccept: */*\r\n\r\nbody /a";
        assert_eq!(std::str::from_utf8(&rewritten_head).unwrap(), expected);
        for other in [
            "GET / HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(),
            format!("GET / HTTP/1.1\r\n{WHOLE}: 0000000000000000 http://h/\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nhost: h\r\n\r\n{line}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\n{line}"),
        ] {
            assert_eq!(rewritten(other.as_bytes()), None, "{other}");
        }
    }
}
