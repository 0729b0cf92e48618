//! What a session has to know of tokio-websockets: copy it.

use std::io::ErrorKind;
use std::time::Duration;

use keepalive::session::{Counted, Counter};
use keepalive::tokio::Tap;
use keepalive::{CloseCode, Closed, Codec, Ending, Incoming, PingId, Refused};
use tokio::net::TcpStream;
use tokio_websockets::{
    ClientBuilder, CloseCode as WireCode, Error, Message, WebSocketStream, upgrade,
};
use tungstenite::http::Uri;

/// Connects to a `ws://` URL.
///
/// The tap counts bytes and ends writes that stall. Who can do without it, or wants
/// the library's TLS, dials with `builder.connect()`.
pub(crate) async fn connect(
    url: Uri,
    stall_timeout: Duration,
) -> Result<Counted<WebSocketStream<Tap<TcpStream>>>, Error> {
    let host = url.host().ok_or(Error::CannotResolveHost)?;
    let host = host.trim_matches(['[', ']']);
    let socket = TcpStream::connect((host, url.port_u16().unwrap_or(80))).await?;
    socket.set_nodelay(true)?;
    let counter = Counter::default();
    let tap = Tap::new(socket, counter.clone()).with_stall_timeout(stall_timeout);
    let (socket, _) = ClientBuilder::from_uri(url).connect_on(tap).await?;
    Ok(Counted::new(socket, counter))
}

pub(crate) struct Pings;

impl Codec<Message> for Pings {
    fn ping(&mut self, id: PingId) -> Message {
        Message::ping(id.to_bytes().to_vec())
    }

    fn read(&mut self, message: &Message) -> Incoming<Message> {
        if message.is_pong() {
            let id = PingId::from_payload(message.as_payload());
            id.map_or(Incoming::Control, Incoming::Pong)
        } else if message.is_ping() {
            Incoming::Control // the library has answered
        } else if message.is_close() {
            let code = message.as_close().map(|(code, _)| code);
            let code = code.filter(|code| *code != WireCode::NO_STATUS_RECEIVED);
            Incoming::Closed(Closed {
                code: code.map(|code| CloseCode(code.into())),
                ..Closed::default()
            })
        } else {
            Incoming::Message
        }
    }

    fn goodbye(&mut self, code: Option<CloseCode>) -> Option<Message> {
        let code = code.and_then(|CloseCode(code)| WireCode::try_from(code).ok());
        Some(Message::close(code, ""))
    }
}

/// An end without a close frame is no failure. The library keeps a server's
/// `Retry-After` to itself.
pub(crate) fn ending(error: &Error) -> Ending {
    match error {
        Error::AlreadyClosed => Ending::Closed(Closed::default()),
        Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Ending::Closed(Closed::default())
        }
        Error::Upgrade(upgrade::Error::DidNotSwitchProtocols(status)) => {
            Ending::Refused(Refused::with_status(*status))
        }
        _ => Ending::Failed,
    }
}
