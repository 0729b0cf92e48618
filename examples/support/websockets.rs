//! What a session has to know of tokio-websockets: copy it.

use std::io::ErrorKind;

use keepalive::driver::{Dialect, Frame};
use keepalive::session::{Counted, Counter};
use keepalive::tokio::Tap;
use keepalive::{CloseCode, CloseReason, Closed, Ending, PingId, Refused, Unsendable};
use tokio::net::TcpStream;
use tokio_websockets::{
    ClientBuilder, CloseCode as WireCode, Error, Message, WebSocketStream, upgrade,
};
use tungstenite::http::Uri;

/// Connects to a `ws://` URL.
///
/// The tap counts bytes. Who can do without it, or wants the library's TLS, dials with
/// `builder.connect()`.
pub(crate) async fn connect(url: Uri) -> Result<Counted<WebSocketStream<Tap<TcpStream>>>, Error> {
    let host = url.host().ok_or(Error::CannotResolveHost)?;
    let host = host.trim_matches(['[', ']']);
    let socket = TcpStream::connect((host, url.port_u16().unwrap_or(80))).await?;
    socket.set_nodelay(true)?;
    let counter = Counter::default();
    let tap = Tap::new(socket, counter.clone());
    let (socket, _) = ClientBuilder::from_uri(url).connect_on(tap).await?;
    Ok(Counted::new(socket, counter))
}

/// The library's frames.
#[derive(Clone, Copy)]
pub(crate) struct WebSockets;

impl Dialect for WebSockets {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        if message.is_pong() {
            let id = PingId::from_payload(message.as_payload());
            id.map_or(Frame::Control, Frame::Pong)
        } else if message.is_ping() {
            Frame::Control // the library has answered
        } else if let Some((code, words)) = message.as_close() {
            let code = (code != WireCode::NO_STATUS_RECEIVED).then(|| CloseCode(code.into()));
            let closed = Closed {
                code,
                ..Closed::default()
            };
            Frame::Close(closed, words.to_owned())
        } else {
            Frame::Data
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        if message.is_text() || message.is_binary() {
            Ok(message.as_payload().len())
        } else {
            Err(Unsendable::Control)
        }
    }

    fn ping(&mut self, id: PingId) -> Option<Message> {
        Some(Message::ping(id.to_bytes().to_vec()))
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
        let code = code.and_then(|CloseCode(code)| WireCode::try_from(code).ok());
        Some(Message::close(code, words))
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
