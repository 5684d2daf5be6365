//! Whose certificates are believed when an upstream shows one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Why the given roots cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}; give a PEM file of root certificates with --upstream-ca", path.display())]
pub struct TrustError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// The roots that browsers trust, and those of a PEM file beside them. All of a file or nothing: a root left out in silence
/// would show as an upstream that cannot be reached.
pub(crate) fn roots(extra: Option<&Path>) -> Result<Arc<RootCertStore>, TrustError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = extra {
        let fail = |reason: String| TrustError {
            path: path.to_owned(),
            reason,
        };
        let public = roots.len();
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))?;
        for (number, certificate) in (1..).zip(certificates) {
            let certificate = certificate.map_err(|error| fail(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| fail(format!("certificate {number} in it is no root: {error}")))?;
        }
        if roots.len() == public {
            return Err(fail("there is no certificate in it".to_owned()));
        }
    }
    Ok(Arc::new(roots))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn refusal(content: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        fs::write(&path, content).unwrap();
        let message = roots(Some(&path)).unwrap_err().to_string();
        assert!(
            message.starts_with(&path.display().to_string()),
            "{message}"
        );
        assert!(message.ends_with("with --upstream-ca"), "{message}");
        message
    }

    #[test]
    fn without_a_file_the_public_roots_are_trusted() {
        assert_eq!(
            roots(None).unwrap().len(),
            webpki_roots::TLS_SERVER_ROOTS.len()
        );
    }

    #[test]
    fn a_file_that_holds_no_roots_is_refused_by_name() {
        assert!(refusal("").contains("there is no certificate in it"));
        assert!(refusal("a text").contains("there is no certificate in it"));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(refusal(garbage).contains("certificate 1 in it is no root"));
    }

    #[test]
    fn a_file_that_is_not_there_is_refused_by_name() {
        let message = roots(Some(Path::new("/nonexistent/roots.pem")))
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("/nonexistent/roots.pem: "), "{message}");
    }
}
