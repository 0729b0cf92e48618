//! How to reach a server: plain, or TLS by rustls.

use std::io::{self, Read, Write};
use std::sync::Arc;

use keepalive::blocking::{self, Dial};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::handshake::client::Request;
use tungstenite::{Error, WebSocket};

pub(crate) enum Stream {
    Plain(blocking::Stream),
    Tls(Box<StreamOwned<ClientConnection, blocking::Stream>>),
}

/// The certificate authorities that Mozilla trusts.
pub(crate) fn tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

pub(crate) fn dial(
    dial: &Dial,
    request: &Request,
    tls: &Arc<ClientConfig>,
) -> Result<WebSocket<Stream>, Error> {
    let (socket, _) = dial.connect_over(fresh(request), None, |stream, url| {
        if url.scheme_str() != Some("wss") {
            return Ok(Stream::Plain(stream));
        }
        let name = server_name(url.host().unwrap_or_default())?;
        let tls = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(tls, stream))))
    })?;
    Ok(socket)
}

fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Each handshake has a key of its own (RFC 6455 section 4.1).
fn fresh(request: &Request) -> Request {
    let mut request = request.clone();
    let key = tungstenite::handshake::client::generate_key();
    if let Ok(key) = key.parse() {
        request.headers_mut().insert("sec-websocket-key", key);
    }
    request
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
