//! Where a service is.

use std::path::PathBuf;

use http::Uri;
use http::uri::{Authority, Scheme};

/// A TCP address or a Unix socket, and what stands in front of every path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp {
        authority: Authority,
        prefix: String,
    },
    Unix(PathBuf),
}

/// The text is no address of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} is no address of a service: {reason}")]
pub struct AddressError {
    address: String,
    reason: &'static str,
}

impl Address {
    /// Reads `http://host:port`, with a path in front of all others if need be, or `unix:/path/to.sock`.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = |reason| AddressError {
            address: text.to_owned(),
            reason,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(wrong("write a Unix socket as `unix:/path/to.sock`"))
            };
        }
        let expected = "write it as `http://host:port` or `unix:/path/to.sock`";
        let uri: Uri = text.parse().map_err(|_| wrong(expected))?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(wrong(expected));
        };
        if *scheme == Scheme::HTTPS {
            return Err(wrong(
                "this client speaks no TLS; use a Unix socket, or `http://` within a private network",
            ));
        }
        if *scheme != Scheme::HTTP {
            return Err(wrong(expected));
        }
        if authority.as_str().contains('@') {
            return Err(wrong(
                "credentials do not belong here; give a token or a service key",
            ));
        }
        if uri.query().is_some() {
            return Err(wrong("leave out the query"));
        }
        Ok(Self::Tcp {
            authority: authority.clone(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The URI of this path there. `None`: the path has characters that no path has.
    pub(crate) fn uri(&self, path: &str) -> Option<Uri> {
        let uri = match self {
            Self::Tcp { authority, prefix } => format!("http://{authority}{prefix}{path}"),
            // The name goes into `Host`; nobody looks it up.
            Self::Unix(_) => format!("http://localhost{path}"),
        };
        uri.parse().ok()
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { authority, prefix } => write!(f, "http://{authority}{prefix}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        let uri = |text: &str| {
            let address = Address::parse(text).unwrap();
            address.uri("/rpc/a/b").unwrap().to_string()
        };
        assert_eq!(uri("http://127.0.0.1:80"), "http://127.0.0.1:80/rpc/a/b");
        assert_eq!(uri("http://[::1]:80/"), "http://[::1]:80/rpc/a/b");
        assert_eq!(
            uri("http://host/api/users/"),
            "http://host/api/users/rpc/a/b"
        );
        assert_eq!(uri("unix:/run/a.sock"), "http://localhost/rpc/a/b");
        let unix = Address::parse("unix:/run/a.sock").unwrap();
        assert_eq!(unix.to_string(), "unix:/run/a.sock");
        assert!(unix.uri("/rpc/a b").is_none());
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write() {
        for (text, said) in [
            ("", "write it as"),
            ("localhost:8080", "write it as"),
            ("ftp://host", "write it as"),
            ("https://host", "speaks no TLS"),
            ("http://ada:pw@host", "credentials"),
            ("http://host/?a", "query"),
            ("unix:run/a.sock", "as `unix:/path"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
