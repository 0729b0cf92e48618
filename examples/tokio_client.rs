//! A client on tokio and tokio-tungstenite, plain or over rustls:
//! `cargo run --features tokio --example tokio_client [URL]`.
//!
//! It greets the server each time it is connected. Without a URL it starts a server
//! of its own that falls silent first, and ends by itself.

mod support;

use std::error::Error;
use std::io;
use std::sync::Arc;

use keepalive::driver::Notice;
use keepalive::session::Counted;
use keepalive::tokio::{client, connect_over};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::{self, Message};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (url, config) = support::target()?;
    let tls = connector()?;
    let mut session = client(config, |_attempt| dial(url.clone(), tls.clone()));
    while let Some(notice) = session.next().await {
        match notice {
            Notice::Connecting { attempt } => println!("connecting, retry {attempt}"),
            Notice::Opened { .. } => {
                println!("open");
                session.send(Message::text("Hello Server!"))?;
            }
            Notice::Message(message) => println!("received {message}"),
            Notice::Pong { round_trip, .. } => println!("pong after {round_trip:?}"),
            Notice::Down(down) => println!("down: {}", down.cause),
            Notice::Stopped { reason, .. } => println!("over: {reason}"),
            _ => {}
        }
    }
    Ok(())
}

type Socket = Counted<WebSocketStream<Box<dyn Stream>>>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn dial(url: Uri, tls: TlsConnector) -> Result<Socket, tungstenite::Error> {
    // The URL is another one where the server redirects.
    connect_over(url, |tap, url| {
        let tls = tls.clone();
        async move {
            if url.scheme_str() == Some("ws") {
                return Ok(Box::new(tap) as Box<dyn Stream>);
            }
            let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            Ok(Box::new(tls.connect(name, tap).await?) as Box<dyn Stream>)
        }
    })
    .await
}

fn connector() -> Result<TlsConnector, rustls::Error> {
    let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
