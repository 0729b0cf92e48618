//! TLS for the tests: rustls with ring, and a CA of the test's own.
#![allow(dead_code, unreachable_pub)]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use keepalive::blocking::{Dial, Stream};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use tungstenite::{Error, WebSocket};

pub type Secure = StreamOwned<ClientConnection, Stream>;
pub type Served = StreamOwned<ServerConnection, TcpStream>;

/// The two sides' settings.
#[derive(Clone)]
pub struct Tls {
    pub client: Arc<ClientConfig>,
    pub server: Arc<ServerConfig>,
}

impl Tls {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();

        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self {
            client: Arc::new(client),
            server: Arc::new(server),
        }
    }

    /// A client's dial: TCP, TLS, WebSocket.
    pub fn dial(&self, dial: &Dial, port: u16) -> Result<WebSocket<Secure>, Error> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = ClientConnection::new(self.client.clone(), name).map_err(io::Error::other)?;
        let stream = StreamOwned::new(tls, dial.tcp("127.0.0.1", port)?);
        dial.handshake(format!("wss://127.0.0.1:{port}/"), stream)
    }

    pub fn accept(&self, socket: TcpStream) -> WebSocket<Served> {
        tungstenite::accept(self.stream(socket)).unwrap()
    }

    /// A server's end of TLS.
    pub fn stream<S: Read + Write>(&self, socket: S) -> StreamOwned<ServerConnection, S> {
        let tls = ServerConnection::new(self.server.clone()).unwrap();
        StreamOwned::new(tls, socket)
    }
}
