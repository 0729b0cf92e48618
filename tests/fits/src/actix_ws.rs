//! actix-ws's WebSocket, a server's: two halves, of which the stream does not answer pings.

use actix_ws::{AggregatedMessage, CloseReason, Closed as Gone, Message, MessageStream};
use actix_ws::{ProtocolError, Session as Sender};
use futures_util::TryStreamExt;
use keepalive::driver::{Codec, Dialect, Frame, Incoming};
use keepalive::session::{Accepted, Joined, JoinedError, Session, Transport};
use keepalive::tokio::Timer;
use keepalive::{CloseCode, Closed, Config, PingId, Unsendable};

/// actix-ws's messages.
#[derive(Clone, Copy, Debug)]
pub struct Actix;

impl Dialect for Actix {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        match message {
            Message::Pong(payload) => {
                PingId::from_payload(payload).map_or(Frame::Control, Frame::Pong)
            }
            Message::Close(None) => Frame::Close(Closed::default(), String::new()),
            Message::Close(Some(reason)) => {
                let closed = Closed::with_code(CloseCode(reason.code.into()));
                Frame::Close(closed, reason.description.clone().unwrap_or_default())
            }
            // The codec below answers pings.
            _ => Frame::Data,
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        match message {
            Message::Text(text) => Ok(text.len()),
            Message::Binary(bytes) | Message::Pong(bytes) => Ok(bytes.len()),
            _ => Err(Unsendable::Control),
        }
    }

    fn ping(&mut self, id: PingId) -> Option<Message> {
        Some(Message::Ping(id.to_bytes().to_vec().into()))
    }

    fn goodbye(
        &mut self,
        _: keepalive::CloseReason,
        code: Option<CloseCode>,
        words: &str,
    ) -> Option<Message> {
        Some(Message::Close(code.map(|CloseCode(code)| CloseReason {
            code: code.into(),
            description: Some(words.to_owned()),
        })))
    }
}

impl Codec<Message> for Actix {
    type Message = Message;

    fn read(&mut self, data: Message) -> Incoming<Message, Message> {
        match data {
            Message::Ping(payload) => Incoming::Ping(Message::Pong(payload)),
            data => Incoming::Message(data),
        }
    }
}

/// Watches over an accepted socket.
pub fn accepted(
    config: Config,
    sender: Sender,
    stream: MessageStream,
) -> Session<
    Accepted<impl Transport<Message = Message, Fault = JoinedError<ProtocolError, Gone>>>,
    Timer,
    Actix,
    Actix,
> {
    let stream = stream.aggregate_continuations().map_ok(whole);
    let socket = Joined::new(stream, sender);
    Session::accepted(
        config,
        fastrand::u64(..),
        Actix,
        Actix,
        Timer::new(),
        socket,
    )
}

fn whole(message: AggregatedMessage) -> Message {
    match message {
        AggregatedMessage::Text(text) => Message::Text(text),
        AggregatedMessage::Binary(bytes) => Message::Binary(bytes),
        AggregatedMessage::Ping(payload) => Message::Ping(payload),
        AggregatedMessage::Pong(payload) => Message::Pong(payload),
        AggregatedMessage::Close(reason) => Message::Close(reason),
    }
}
