//! As its README shows, but for the `unwrap` of the dial there, which would end the
//! process. It has no heartbeat.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use stream_reconnect::{ReconnectOptions, ReconnectStream, UnderlyingStream};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tungstenite::{Error, Message};

use super::{Mode, application, say_doubt, say_down, say_large, say_message, say_open};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

type Stable = ReconnectStream<Socket, String, Result<Message, Error>, Error>;

impl UnderlyingStream<String, Result<Message, Error>, Error> for Socket {
    fn establish(url: String) -> Pin<Box<dyn Future<Output = Result<Self, Error>> + Send>> {
        Box::pin(async move { Ok(Self(connect_async(url).await?.0)) })
    }

    fn is_write_disconnect_error(&self, error: &Error) -> bool {
        use Error::{AlreadyClosed, ConnectionClosed, Io, Protocol, Tls};
        matches!(
            error,
            ConnectionClosed | AlreadyClosed | Io(_) | Tls(_) | Protocol(_)
        )
    }

    fn is_read_disconnect_error(&self, item: &Result<Message, Error>) -> bool {
        matches!(item, Err(error) if self.is_write_disconnect_error(error))
    }

    fn exhaust_err() -> Error {
        Error::Io(io::Error::other("exhausted"))
    }
}

impl Stream for Socket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl Sink<Message> for Socket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.0.start_send_unpin(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_flush_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_close_unpin(cx)
    }
}

pub(super) async fn run(url: String, mode: Mode) {
    let options = ReconnectOptions::new()
        .with_on_connect_callback(say_open)
        .with_on_disconnect_callback(|| say_down("disconnected"));
    let mut socket = match Stable::connect_with_options(url, options).await {
        Ok(socket) => socket,
        Err(error) => return say_down(error),
    };
    let mut outgoing = application(mode);
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => say_message(&text),
                Some(Ok(message)) if message.is_binary() => say_large(message.len()),
                Some(_) => {}
                None => return say_down("exhausted"),
            },
            Some(message) = outgoing.recv() => {
                if socket.send(message).await.is_err() {
                    say_doubt(1);
                }
            }
        }
    }
}
