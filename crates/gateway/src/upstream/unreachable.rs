//! Why there is no connection to an upstream, as far as that can be told.

use std::fmt;
use std::io;
use std::sync::Arc;

/// The kinds that an operator would treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// Nobody listens there, or anything else that the system said.
    Refused,
    /// The other side closed the connection before it could be used.
    Terminated,
    /// There is no way to the address.
    NoWay,
    /// The name has no address.
    Name,
    /// The certificate is not believed: its issuer, its name or its dates.
    Certificate,
    /// The other side broke off the TLS handshake and said so.
    Alert,
    /// There was no TLS handshake to speak of; plain HTTP on that port, most likely.
    Tls,
}

/// A name that could not be looked up.
#[derive(Debug)]
pub(crate) struct LookupFailed(pub(crate) Arc<str>);

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LookupFailed {}

impl Unreachable {
    /// By what connecting failed with.
    pub(crate) fn of(error: &io::Error) -> Self {
        let inner = error.get_ref();
        if inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<LookupFailed>) {
            return Self::Name;
        }
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => return Self::Certificate,
            Some(rustls::Error::AlertReceived(_)) => return Self::Alert,
            Some(_) => return Self::Tls,
            None => {}
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Self::Terminated,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::NoWay,
            _ => Self::Refused,
        }
    }

    /// Whether somebody has to change a setting or a certificate before it can work.
    pub(crate) fn is_lasting(self) -> bool {
        matches!(self, Self::Certificate | Self::Alert | Self::Tls)
    }

    /// The error type of RFC 9209, section 2.3.
    pub(crate) fn proxy_status(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::Terminated => "connection_terminated",
            Self::NoWay => "destination_ip_unroutable",
            Self::Name => "dns_error",
            Self::Certificate => "tls_certificate_error",
            Self::Alert => "tls_alert_received",
            Self::Tls => "tls_protocol_error",
        }
    }

    /// For the client, who learns nothing about what is behind.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Refused | Self::Terminated | Self::NoWay => "the upstream cannot be reached",
            Self::Name => "the upstream's name cannot be looked up",
            Self::Certificate => "the upstream's TLS certificate is not trusted",
            Self::Alert | Self::Tls => "there is no TLS handshake with the upstream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_every_layer_are_told_apart() {
        let kinds = [
            (
                io::ErrorKind::ConnectionRefused.into(),
                Unreachable::Refused,
            ),
            (io::ErrorKind::NotFound.into(), Unreachable::Refused),
            (
                io::ErrorKind::ConnectionReset.into(),
                Unreachable::Terminated,
            ),
            (io::ErrorKind::HostUnreachable.into(), Unreachable::NoWay),
            (
                io::Error::other(LookupFailed("no such name".into())),
                Unreachable::Name,
            ),
            (
                io::Error::other(rustls::Error::InvalidCertificate(
                    rustls::CertificateError::UnknownIssuer,
                )),
                Unreachable::Certificate,
            ),
            (
                io::Error::other(rustls::Error::AlertReceived(
                    rustls::AlertDescription::HandshakeFailure,
                )),
                Unreachable::Alert,
            ),
            (
                io::Error::other(rustls::Error::InvalidMessage(
                    rustls::InvalidMessage::InvalidContentType,
                )),
                Unreachable::Tls,
            ),
        ];
        for (error, wanted) in kinds {
            assert_eq!(Unreachable::of(&error), wanted, "{error:?}");
        }
    }
}
