//! Configures TLS: which certificates are trusted, and which client certificate is sent.
//!
//! ```text
//! http.sslCAInfo                 the certificates of the file replace the system's
//! http.sslCAPath                 those of a directory, in addition to them or to the system's
//! http.sslCert, http.sslKey      the certificate for a server that requests one
//! ```
//!
//! Source: git-config(1), `http.ssl*`; curl's `CURLOPT_CAINFO` and `CURLOPT_CAPATH`. Invariants: a certificate that a
//! bundle contains byte for byte is trusted for its own names and its own validity period, even if it is marked as an
//! authority, which rustls refuses for servers; the key of a client stays in this process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::error::{Error, Result};

/// The most bytes of a file with certificates or a key.
const MAX_PEM: u64 = 16 << 20;

/// The certificate settings for one URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trust {
    /// The file that replaces the system's certificates.
    pub(super) bundle: Option<PathBuf>,
    /// The directory of further certificates.
    pub(super) dir: Option<PathBuf>,
    /// `true` if certificates are not checked.
    pub(super) is_blind: bool,
    /// The certificate for a server that requests one.
    pub(super) client: Option<ClientFiles>,
}

/// A client certificate, and its key, which may be in the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: Option<PathBuf>,
}

/// Returns the configuration of connections.
///
/// # Errors
/// [`Error::CaInfo`], [`Error::ClientCertificate`]
pub(super) fn config(trust: &Trust) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(trust, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    // The ring provider always supports both.
    let builder = builder.map_err(|err| Error::Io { action: "set up TLS", source: io::Error::other(err) })?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let Some(ClientFiles { certificate, key }) = &trust.client else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let error = |path: &Path, source| Error::ClientCertificate { path: path.to_owned(), source };
    let chain = certificates(certificate).map_err(|source| error(certificate, source))?;
    let place = key.as_deref().unwrap_or(certificate);
    let key = key_of(place).map_err(|source| error(place, source))?;
    let config = builder.with_client_auth_cert(chain, key);
    Ok(Arc::new(config.map_err(|_| error(place, io::Error::other("the key does not fit the certificate")))?))
}

fn verifier(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    if trust.is_blind {
        return Ok(Arc::new(Blind(Arc::clone(provider))));
    }
    let failed = |path: &Path, source| Error::CaInfo { path: path.to_owned(), source };
    let mut known = Vec::new();
    if let Some(path) = &trust.bundle {
        known.extend(certificates(path).map_err(|source| failed(path, source))?);
    }
    if let Some(dir) = &trust.dir {
        known.extend(certificates_in(dir).map_err(|source| failed(dir, source))?);
    }
    let place = || trust.bundle.as_deref().or(trust.dir.as_deref()).unwrap_or(Path::new(""));
    let broken = |err: &dyn std::fmt::Display| failed(place(), io::Error::other(err.to_string()));
    let inner: Arc<dyn ServerCertVerifier> = if trust.bundle.is_some() {
        let mut roots = RootCertStore::empty();
        // Some certificates of a bundle may be of an unknown kind, but not all.
        let (added, _ignored) = roots.add_parsable_certificates(known.iter().cloned());
        if added == 0 {
            return Err(failed(place(), io::ErrorKind::InvalidData.into()));
        }
        let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
        builder.build().map_err(|err| broken(&err))?
    } else {
        let is_usable =
            |found: &&CertificateDer<'static>| RootCertStore::empty().add((*found).clone()).is_ok();
        let more: Vec<_> = known.iter().filter(is_usable).cloned().collect();
        // Even without certificates, the system would be asked for a second judge of them, which not every Windows has.
        let verifier = if more.is_empty() {
            Verifier::new(Arc::clone(provider))
        } else {
            Verifier::new_with_extra_roots(more, Arc::clone(provider))
        };
        Arc::new(verifier.map_err(|err| broken(&err))?)
    };
    Ok(Arc::new(Trusting { inner, known }))
}

/// Returns the certificates of a file.
fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        Err(err) => Err(io::Error::other(err.to_string())),
    }
}

/// Returns the certificates of all files in a directory: openssl reads those whose name is a hash, which are also the
/// targets of such links.
fn certificates_in(dir: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        // openssl also ignores dangling links and other entries.
        if path.is_file()
            && let Ok(some) = certificates(&path)
        {
            found.extend(some);
        }
    }
    found.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    found.dedup();
    Ok(found)
}

fn key_of(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let is_locked = text.windows(9).any(|word| word == b"ENCRYPTED");
        io::Error::other(if is_locked { "the key has a passphrase" } else { "no private key" })
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_PEM), &mut bytes)?;
    Ok(bytes)
}

/// Trusts servers that an authority signed, and known certificates themselves.
#[derive(Debug)]
struct Trusting {
    inner: Arc<dyn ServerCertVerifier>,
    known: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(err) if is_authority(&err) && self.known.iter().any(|known| known == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Returns `true` if the only fault is that a server's certificate is marked as an authority. Its validity period was
/// checked before: `check_issuer_independent_properties` of rustls-webpki.
fn is_authority(err: &rustls::Error) -> bool {
    matches!(err, rustls::Error::InvalidCertificate(_)) && format!("{err:?}").contains("CaUsedAsEndEntity")
}

/// Trusts every server, for `http.sslVerify = false`.
#[derive(Debug)]
struct Blind(Arc<CryptoProvider>);

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
