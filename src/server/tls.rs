//! TLS: certificates, keys and what is asked of clients, made of the settings into what one
//! handshake needs, and replaced as a whole when they change. Connections under way keep what
//! they began with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{Settings, TlsAuthClients};

/// A client that takes longer to agree on keys is given up.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// No certificate or key needs more.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The parameters that a handshake depends on.
pub(super) const PARAMETERS: &[&str] =
    &["tls-cert-file", "tls-key-file", "tls-ca-cert-file", "tls-ca-cert-dir", "tls-auth-clients", "tls-protocols"];

/// Why TLS cannot be spoken with these settings.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {what}", path = path.display())]
    Content { path: PathBuf, what: String },
    #[error("tls-cert-file and tls-key-file must be given")]
    NoCertificate,
    #[error("tls-auth-clients needs tls-ca-cert-file or tls-ca-cert-dir, to tell whose clients are let in")]
    NoAuthorities,
    #[error("{0}")]
    Library(#[from] rustls::Error),
}

/// What handshakes use at the moment.
#[derive(Default)]
pub(super) struct Terminator(ArcSwapOption<ServerConfig>);

impl Terminator {
    /// Handshakes from now on use what was made of the settings; with `None` there are none.
    pub fn replace(&self, config: Option<Arc<ServerConfig>>) {
        self.0.store(config);
    }

    /// Agrees on keys with a client.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.0.load_full().ok_or_else(|| io::Error::other("TLS is switched off"))?;
        let agreed = tokio::time::timeout(HANDSHAKE_LIMIT, TlsAcceptor::from(config).accept(stream));
        agreed.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// What these settings make; `None` if they have no TLS port.
pub(super) fn configure(settings: &Settings) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    if settings.tls_port == 0 {
        return Ok(None);
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(&versions(&settings.tls_protocols))?;
    let builder = match settings.tls_auth_clients {
        TlsAuthClients::No => builder.with_no_client_auth(),
        asked => {
            let roots = Arc::new(authorities(settings)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
            let verifier = match asked {
                TlsAuthClients::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let identity = identity(settings, &provider)?;
    Ok(Some(Arc::new(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity))))))
}

fn versions(words: &str) -> Vec<&'static SupportedProtocolVersion> {
    let asked = |name: &str| {
        let mut words = words.split_whitespace();
        words.clone().next().is_none() || words.any(|word| word.eq_ignore_ascii_case(name))
    };
    let all = [("TLSv1.2", &TLS12), ("TLSv1.3", &TLS13)];
    all.into_iter().filter(|(name, _)| asked(name)).map(|(_, version)| version).collect()
}

/// The server's certificate chain with its key.
fn identity(settings: &Settings, provider: &rustls::crypto::CryptoProvider) -> Result<CertifiedKey, TlsError> {
    if settings.tls_cert_file.is_empty() || settings.tls_key_file.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let chain = certificates(&located(settings, &settings.tls_cert_file))?;
    let path = located(settings, &settings.tls_key_file);
    let wrong = |what: String| TlsError::Content { path: path.clone(), what };
    let key = private_key(&path)?;
    match CertifiedKey::from_der(chain.clone(), key.clone_key(), provider) {
        // Certificates of X.509 version 1, as bare openssl makes them, cannot be compared with
        // their key; whether they are good enough is for clients to say.
        Err(rustls::Error::InvalidCertificate(_)) => {
            let key = provider.key_provider.load_private_key(key).map_err(|error| wrong(error.to_string()))?;
            Ok(CertifiedKey::new(chain, key))
        }
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(wrong("the key does not belong to the certificate".into()))
        }
        made => made.map_err(|error| wrong(error.to_string())),
    }
}

/// Who may sign clients' certificates.
fn authorities(settings: &Settings) -> Result<RootCertStore, TlsError> {
    let mut files = Vec::new();
    if !settings.tls_ca_cert_file.is_empty() {
        files.push(located(settings, &settings.tls_ca_cert_file));
    }
    if !settings.tls_ca_cert_dir.is_empty() {
        let folder = located(settings, &settings.tls_ca_cert_dir);
        let failed = |source| TlsError::Read { path: folder.clone(), source };
        let entries = fs::read_dir(&folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        files.extend(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()));
        files.sort();
    }
    let mut store = RootCertStore::empty();
    for path in &files {
        for certificate in certificates(path)? {
            let added = store.add(certificate);
            added.map_err(|error| TlsError::Content { path: path.clone(), what: error.to_string() })?;
        }
    }
    if store.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(store) }
}

/// Relative names start at `dir`, as in Redis.
fn located(settings: &Settings, name: &str) -> PathBuf {
    settings.dir.path().join(name)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE_BYTES {
        return Err(failed(io::Error::other(format!("larger than the {MAX_FILE_BYTES} bytes allowed"))));
    }
    fs::read(path).map_err(failed)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let wrong = |what: String| TlsError::Content { path: path.to_owned(), what };
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| wrong(told(&error)))?;
    if all.is_empty() { Err(wrong("no certificate in it".into())) } else { Ok(all) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    let encrypted = memchr::memmem::find(&text, b"ENCRYPTED").is_some();
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let what = match encrypted {
            true => "the key is encrypted, which Ferrock does not take; `openssl pkey -in FILE -out PLAIN` decrypts it"
                .into(),
            false => told(&error),
        };
        TlsError::Content { path: path.to_owned(), what }
    })
}

fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "no private key in it".into(),
        other => format!("not in PEM form: {other}"),
    }
}
