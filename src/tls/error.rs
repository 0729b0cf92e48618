use std::io;

use rustls::{AlertDescription, InvalidMessage};
use tungstenite::Error;

/// Why TLS failed: the inner error of an `io::Error`, where [`of`](Self::of) finds it.
///
/// What is wrong with the server's certificate (its name, its issuer, its dates) is an
/// error of [`Rustls`](Self::Rustls).
///
/// ```
/// use keepalive::tungstenite::ending;
/// use keepalive::{Ending, Refused, TlsError};
/// use tungstenite::Error;
///
/// // For `with_endings`: to want a certificate that this client does not have is to refuse it.
/// fn strict(error: &Error) -> Ending {
///     match TlsError::of(error) {
///         Some(TlsError::CertificateRequired) => Ending::Refused(Refused::with_status(401)),
///         _ => ending(error),
///     }
/// }
///
/// let error = Error::Io(std::io::Error::other(TlsError::CertificateRequired));
/// assert_eq!(strict(&error), Ending::Refused(Refused::with_status(401)));
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's first bytes are not TLS.
    #[error("no TLS there: the server answered with something else, such as plain HTTP")]
    NoTls,
    /// The server requires a client certificate, and none was presented:
    /// [`Tls::with_client_certificate`](super::Tls::with_client_certificate). Servers with
    /// TLS 1.2 may say `HandshakeFailure` instead, which has other reasons too.
    #[error("the server requires a client certificate")]
    CertificateRequired,
    /// The server did not accept the client certificate, for this reason.
    #[error("the server refused the client certificate: {0:?}")]
    CertificateRefused(AlertDescription),
    /// The system has no root certificates that can be read.
    #[error("no root certificates were found on this system: {0}")]
    NoRoots(String),
    /// Certificates or a private key are missing or not valid.
    #[error("not valid PEM: {0}")]
    Pem(String),
    /// Anything else, as rustls says it.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    /// The TLS error because of which a dial or a connection failed, if that is the cause.
    #[must_use]
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::Io(error) => error.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    pub(super) fn told(error: rustls::Error, is_handshaking: bool) -> Self {
        match error {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) if is_handshaking => {
                Self::NoTls
            }
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                Self::CertificateRequired
            }
            rustls::Error::AlertReceived(
                alert @ (AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied),
            ) => Self::CertificateRefused(alert),
            error => Self::Rustls(error),
        }
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        let kind = match error {
            TlsError::NoRoots(_) => io::ErrorKind::NotFound,
            TlsError::Pem(_) => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
