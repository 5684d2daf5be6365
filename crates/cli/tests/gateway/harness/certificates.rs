//! Certificates made for one test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const DAY: Duration = Duration::from_hours(24);

/// Whoever trusts it trusts what it issues.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A server's certificate and its key, PEM.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no name is wrong");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two of one name would be told apart by their signatures alone.
        let name = bastide_testkit::unique("authority");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("the system gives random bytes");
        Self(CertifiedIssuer::self_signed(params, key).expect("the parameters are sound"))
    }

    /// Its own certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes its certificate into a file of the folder.
    pub(crate) fn write(&self, folder: &Path) -> String {
        let path = folder.join("authority.pem");
        std::fs::write(&path, self.pem()).expect("the test's folder can be written");
        path.display().to_string()
    }

    /// A certificate for a host name or an address.
    pub(crate) fn issue(&self, name: &str) -> Certificate {
        self.sign(&Self::params(name))
    }

    /// One whose time was over yesterday.
    pub(crate) fn issue_expired(&self, name: &str) -> Certificate {
        let mut params = Self::params(name);
        params.not_before = (SystemTime::now() - 9 * DAY).into();
        params.not_after = (SystemTime::now() - DAY).into();
        self.sign(&params)
    }

    fn params(name: &str) -> CertificateParams {
        CertificateParams::new(vec![name.to_owned()]).expect("the name is a name")
    }

    fn sign(&self, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().expect("the system gives random bytes");
        let signed = params.signed_by(&key, &self.0);
        Certificate {
            chain: signed.expect("the parameters are sound").pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client's side of TLS that trusts nobody else and speaks HTTP/1.1.
    pub(crate) fn client_config(&self) -> Arc<rustls::ClientConfig> {
        self.client_offering(&[b"http/1.1"])
    }

    /// A client's side of TLS that offers these protocols (ALPN).
    pub(crate) fn client_offering(&self, protocols: &[&[u8]]) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(self.pem().as_bytes());
        roots
            .add(der.expect("it was written as PEM"))
            .expect("an authority is a root");
        let builder = rustls::ClientConfig::builder_with_provider(provider());
        let mut config = builder
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

impl Certificate {
    /// Writes `server.crt` and `server.key`, in place of what is there.
    pub(crate) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (chain, key) = (folder.join("server.crt"), folder.join("server.key"));
        std::fs::write(&chain, &self.chain).expect("the test's folder can be written");
        std::fs::write(&key, &self.key).expect("the test's folder can be written");
        (chain, key)
    }

    /// The certificate as it goes over the wire.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).expect("it was written as PEM")
    }

    /// A server's side of TLS that speaks these protocols (ALPN); one that names none leaves it open.
    pub(crate) fn server_offering(&self, protocols: &[&[u8]]) -> Arc<rustls::ServerConfig> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let builder = rustls::ServerConfig::builder_with_provider(provider());
        let config = builder
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![self.der()], key.expect("it was written as PEM"));
        let mut config = config.expect("certificate and key belong together");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
