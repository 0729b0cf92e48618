use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tungstenite::http::Uri;

use super::{Session, TlsError};
use crate::dial::Target;

/// TLS for the `wss://` of a [`Dialer`](crate::Dialer): which root certificates it trusts,
/// and which certificate it presents. By default it trusts the system's, and presents none.
///
/// It is TLS 1.2 or 1.3, by rustls with ring, whatever other provider the process has
/// installed. The server's certificate has to match the host of the URL, which is also sent
/// to the server (SNI) unless it is an IP address. Clones share their TLS sessions, so that
/// a dial resumes what an earlier one began: make it once and clone it, also where each
/// dial has a dialer of its own.
///
/// ```no_run
/// use keepalive::blocking::{Dialer, client};
/// use keepalive::{Config, Tls};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::trusting(std::fs::read("ca.pem")?)?
///     .with_client_certificate(std::fs::read("me.pem")?, std::fs::read("me.key")?)?;
/// let dialer = Dialer::new("wss://gate.example/").tls(tls);
/// let session = client(Config::default(), dialer);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    base: Base,
    shown: Option<Arc<SingleCertAndKey>>,
    /// What these two make, where that is not the base itself.
    made: Arc<OnceLock<Arc<ClientConfig>>>,
}

#[derive(Clone)]
enum Base {
    Platform,
    Config(Arc<ClientConfig>),
}

/// Reading the system's roots takes milliseconds, so a process does it once; and all that
/// trust them share their sessions.
static PLATFORM: Mutex<Option<Arc<ClientConfig>>> = Mutex::new(None);

impl Tls {
    /// Trusts the root certificates of the system, or those in the file and the folder that
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` name. They are read once in a process, by the
    /// first dial that needs them; where there is none, the dial fails.
    #[must_use]
    pub fn platform() -> Self {
        Self::on(Base::Platform)
    }

    /// Trusts these root certificates and no others: the PEM of one or more.
    ///
    /// # Errors
    ///
    /// [`TlsError::Pem`], where there is no certificate or one is not valid.
    pub fn trusting(roots: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for root in certificates(roots.as_ref())? {
            store
                .add(root)
                .map_err(|error| TlsError::Pem(error.to_string()))?;
        }
        Ok(Self::from(trusting(store)?))
    }

    /// Presents this certificate to a server that asks for one: the PEM of the certificate
    /// and of its issuers up to the root, and the PEM of its private key.
    ///
    /// # Errors
    ///
    /// [`TlsError::Pem`], where one of them is missing or not valid; rustls's error, where
    /// ring does not support the key or the key belongs to another certificate.
    pub fn with_client_certificate(
        mut self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TlsError> {
        let chain = certificates(chain.as_ref())?;
        let key = PrivateKeyDer::from_pem_slice(key.as_ref())
            .map_err(|error| TlsError::Pem(error.to_string()))?;
        let shown = CertifiedKey::from_der(chain, key, &provider())?;
        self.shown = Some(Arc::new(SingleCertAndKey::from(shown)));
        self.made = Arc::default();
        Ok(self)
    }

    fn on(base: Base) -> Self {
        Self {
            base,
            shown: None,
            made: Arc::default(),
        }
    }

    /// A session for a dial of this URL; `None` for `ws://`.
    pub(crate) fn session(&self, url: &Uri) -> io::Result<Option<Session>> {
        let target = Target::of(url).map_err(io::Error::other)?;
        if !target.is_tls {
            return Ok(None);
        }
        let name = ServerName::try_from(target.host)
            .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        let tls = ClientConnection::new(self.config()?, name).map_err(TlsError::from)?;
        Ok(Some(Session::new(tls)))
    }

    fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(made) = self.made.get() {
            return Ok(Arc::clone(made));
        }
        let base = match &self.base {
            Base::Platform => platform()?,
            Base::Config(config) => Arc::clone(config),
        };
        let Some(shown) = &self.shown else {
            return Ok(base);
        };
        let made = self.made.get_or_init(|| {
            let mut config = ClientConfig::clone(&base);
            config.client_auth_cert_resolver = Arc::clone(shown) as Arc<_>;
            Arc::new(config)
        });
        Ok(Arc::clone(made))
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::platform()
    }
}

/// TLS with these settings, their crypto provider included.
impl From<Arc<ClientConfig>> for Tls {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self::on(Base::Config(config))
    }
}

/// TLS with these settings, their crypto provider included.
impl From<ClientConfig> for Tls {
    fn from(config: ClientConfig) -> Self {
        Self::from(Arc::new(config))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trusts = match self.base {
            Base::Platform => "the platform's roots",
            Base::Config(_) => "its own roots",
        };
        formatter
            .debug_struct("Tls")
            .field("trusts", &trusts)
            .field("shows_a_certificate", &self.shown.is_some())
            .finish()
    }
}

fn provider() -> CryptoProvider {
    ring::default_provider()
}

fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn platform() -> Result<Arc<ClientConfig>, TlsError> {
    let mut platform = PLATFORM.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = &*platform {
        return Ok(Arc::clone(config));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems have some that rustls cannot read; nothing is trusted because of those.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first();
        let why = why.map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(TlsError::NoRoots(why));
    }
    let config = trusting(roots)?;
    *platform = Some(Arc::clone(&config));
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsError::Pem("there is no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(TlsError::Pem(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair(name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    /// So that its sessions can be resumed.
    #[test]
    fn a_clone_is_the_same_tls() {
        let ((root, _), (chain, key)) = (pair("a root"), pair("a client"));
        let tls = Tls::trusting(root).unwrap();
        let shows = |tls: &Tls| tls.clone().with_client_certificate(&chain, &key).unwrap();
        let config = |tls: &Tls| tls.config().unwrap();
        let (one, other) = (shows(&tls), shows(&tls));
        for tls in [&tls, &one] {
            assert!(Arc::ptr_eq(&config(tls), &config(&tls.clone())));
        }
        assert!(!Arc::ptr_eq(&config(&tls), &config(&one)));
        assert!(!Arc::ptr_eq(&config(&one), &config(&other)));
        // Nor does it go on with what it showed before.
        assert!(!Arc::ptr_eq(&config(&one), &config(&shows(&one))));
    }

    #[test]
    fn its_debug_output_holds_no_secret() {
        let ((root, _), (chain, key)) = (pair("a root"), pair("a client"));
        let tls = Tls::trusting(root).unwrap();
        let shows = tls.clone().with_client_certificate(chain, key).unwrap();
        let expected = r#"Tls { trusts: "the platform's roots", shows_a_certificate: false }"#;
        assert_eq!(format!("{:?}", Tls::default()), expected);
        let expected = r#"Tls { trusts: "its own roots", shows_a_certificate: true }"#;
        assert_eq!(format!("{shows:?}"), expected);
    }
}
