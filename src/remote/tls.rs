//! TLS: whose certificates are trusted, and which one a server is shown of ours.
//!
//! ```text
//! http.sslCAInfo                 the certificates of the file, in place of the system's
//! http.sslCAPath                 those of a directory as well; alone, beside the system's
//! http.sslCert, http.sslKey      what a server that asks for a certificate is shown
//! ```
//!
//! Source: git-config(1), `http.ssl*`; curl's `CURLOPT_CAINFO` and `CURLOPT_CAPATH`. Invariants: a certificate that is one of a
//! bundle byte for byte is trusted for its own names and its own time, also where it calls itself an authority, which
//! rustls takes of no server; the key of a client stays in this process.

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

/// A file of certificates or a key is not as long as this.
const MAX_PEM: u64 = 16 << 20;

/// What a person said of certificates for one address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trust {
    /// The file in place of the system's certificates.
    pub(super) bundle: Option<PathBuf>,
    /// The directory of more.
    pub(super) dir: Option<PathBuf>,
    /// Nothing is checked.
    pub(super) is_blind: bool,
    /// What a server is shown that asks for it.
    pub(super) client: Option<ClientFiles>,
}

/// A certificate of ours, and its key, which may be in the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: Option<PathBuf>,
}

/// How connections are made.
///
/// # Errors
/// [`Error::CaInfo`], [`Error::ClientCertificate`]
pub(super) fn config(trust: &Trust) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(trust, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    // These two are always there: ring has both.
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
        // Some of a bundle may be of a kind that is not known, as long as not all are.
        let (added, _ignored) = roots.add_parsable_certificates(known.iter().cloned());
        if added == 0 {
            return Err(failed(place(), io::ErrorKind::InvalidData.into()));
        }
        let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
        builder.build().map_err(|err| broken(&err))?
    } else {
        let more =
            known.iter().filter(|certificate| RootCertStore::empty().add((*certificate).clone()).is_ok());
        let verifier = Verifier::new_with_extra_roots(more.cloned(), Arc::clone(provider));
        Arc::new(verifier.map_err(|err| broken(&err))?)
    };
    Ok(Arc::new(Trusting { inner, known }))
}

/// The certificates of a file.
fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        Err(err) => Err(io::Error::other(err.to_string())),
    }
}

/// The certificates of all files of a directory: openssl takes those that are named by a hash, which links name as well.
fn certificates_in(dir: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        // Links to files that are gone, and other things, are nothing to openssl either.
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

/// Trusts whom authorities vouch for, and the certificates that are known themselves.
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

/// Returns `true` if the only thing that is wrong is that a certificate of a server calls itself an authority. Its time was
/// looked at before: `check_issuer_independent_properties` of rustls-webpki.
fn is_authority(err: &rustls::Error) -> bool {
    matches!(err, rustls::Error::InvalidCertificate(_)) && format!("{err:?}").contains("CaUsedAsEndEntity")
}

/// Trusts everybody, as `http.sslVerify` may say.
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
