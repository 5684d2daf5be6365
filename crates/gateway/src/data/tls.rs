//! TLS on the public listener, with certificates from files that are read again when they change.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::settings::TlsFiles;

/// How often the files are looked at. Certificates are renewed weeks before they expire.
const POLL: Duration = Duration::from_secs(5);

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read or holds something else.
    #[error("{path}: {reason}; give PEM files with --tls-cert and --tls-key")]
    File {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("the certificate and the key of TLS_CERT and TLS_KEY cannot be used together: {0}")]
    Pair(String),
}

/// The certificate in use.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// TLS with the certificate of these files, which are watched from now on. Must be called on a runtime.
pub(crate) fn server_config(files: &TlsFiles) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let current = Arc::new(Current(ArcSwap::from_pointee(load(files)?)));
    let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&current) as _;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tokio::spawn(follow(files.clone(), current));
    Ok(Arc::new(config))
}

async fn follow(files: TlsFiles, current: Arc<Current>) {
    let mut seen = modified(&files);
    loop {
        tokio::time::sleep(POLL).await;
        let now = modified(&files);
        if now == seen {
            continue;
        }
        match load(&files) {
            Ok(pair) => {
                current.0.store(Arc::new(pair));
                tracing::info!("the TLS certificate was read again");
                seen = now;
            }
            // Between the writing of the two files they may not fit; the next look sees them whole.
            Err(error) => {
                tracing::warn!(%error, "the changed TLS certificate is not used; the old one stays");
            }
        }
    }
}

fn modified(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    [&files.certificate, &files.key]
        .map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

fn load(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let fail = |path: &Path, reason: String| TlsError::File {
        path: path.display().to_string(),
        reason,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| fail(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(fail(
            &files.certificate,
            "there is no certificate in it".to_owned(),
        ));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| fail(&files.key, error.to_string()))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| TlsError::Pair(error.to_string()))
}
