use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use gloo_events::EventListener;
use gloo_timers::callback::Timeout;
use web_sys::js_sys::{self, Array, ArrayBuffer, Uint8Array};
use web_sys::wasm_bindgen::{JsCast, JsValue};
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent, WebSocket};

use super::bell::Bell;
use super::message::Message;
use crate::CloseCode;
use crate::driver::Bytes;

/// With more bytes than these in its buffer, the browser is given no more: what is in
/// there cannot be taken back, and a ping waits behind it.
const BACKLOG: u32 = 16 * 1024;
/// How often to look at that buffer while it is full, since no event tells.
const RECHECK_MILLIS: u32 = 20;

/// Why there is no socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing came of the dial. A browser does not say why: no network, no server, or
    /// one that refuses.
    #[error("cannot connect")]
    Unreachable,
    /// The browser does not do this, and says why: dial a URL that is none, for example.
    #[error("the browser refuses: {0}")]
    Refused(String),
}

impl Error {
    pub(super) fn refused(error: JsValue) -> Self {
        Self::Refused(js_sys::Object::from(error).to_string().into())
    }
}

/// An open `WebSocket`: a stream of messages and a sink for them.
///
/// One that is dropped is closed; the browser may take a minute for that if the peer is
/// silent, and nobody waits for it.
pub struct Socket {
    web: WebSocket,
    inbox: Rc<Inbox>,
    recheck: Option<(Timeout, Rc<Bell>)>,
    /// How many bytes the browser was given.
    given: u64,
    _listeners: [EventListener; 3],
}

/// What the events of the socket have brought.
#[derive(Default)]
struct Inbox {
    found: RefCell<Found>,
    bell: Bell,
}

#[derive(Default)]
struct Found {
    is_open: bool,
    messages: VecDeque<Message>,
    /// With what came over the wire, until it is read.
    end: Option<Option<(CloseCode, String)>>,
}

impl Socket {
    /// Begins to dial.
    pub(super) fn new(url: &str, protocols: &[String]) -> Result<Self, Error> {
        let protocols: Array = protocols.iter().map(JsValue::from).collect();
        let web = WebSocket::new_with_str_sequence(url, &protocols).map_err(Error::refused)?;
        web.set_binary_type(BinaryType::Arraybuffer);
        let inbox = Rc::<Inbox>::default();
        // An `error` tells nothing, and a `close` follows it.
        let listeners = [
            listen(&web, "open", &inbox, |found, _| found.is_open = true),
            listen(&web, "message", &inbox, |found, event| {
                found.messages.extend(read(event));
            }),
            listen(&web, "close", &inbox, |found, event| {
                found.end = Some(event.dyn_ref().and_then(goodbye));
            }),
        ];
        Ok(Self {
            web,
            inbox,
            recheck: None,
            given: 0,
            _listeners: listeners,
        })
    }

    pub(super) fn poll_open(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        let _ = self.inbox.bell.poll(context);
        let found = self.inbox.found.borrow();
        if found.end.is_some() {
            Poll::Ready(Err(Error::Unreachable))
        } else if found.is_open {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// The subprotocol that the server chose; empty where it chose none.
    #[must_use]
    pub fn protocol(&self) -> String {
        self.web.protocol()
    }

    /// The browser's socket, to look at. What it is told behind the session's back (to
    /// send or to close) the session does not know.
    #[must_use]
    pub const fn as_web_sys(&self) -> &WebSocket {
        &self.web
    }

    /// What the browser's buffer has let go of. What comes in only shows when it is whole.
    pub(super) fn bytes(&self) -> Bytes {
        let left = self.given.saturating_sub(self.web.buffered_amount().into());
        Bytes {
            read: 0,
            written: left,
        }
    }

    /// Waits until little is in the browser's buffer. The buffer of a socket that
    /// is over stays as it is.
    fn poll_room(&mut self, context: &Context<'_>) -> Poll<()> {
        while self.is_open() && self.web.buffered_amount() > BACKLOG {
            let (_, bell) = self.recheck.get_or_insert_with(|| {
                let bell = Rc::new(Bell::default());
                let rings = Rc::clone(&bell);
                (Timeout::new(RECHECK_MILLIS, move || rings.ring()), bell)
            });
            ready!(bell.poll(context));
            self.recheck = None;
        }
        Poll::Ready(())
    }

    fn is_open(&self) -> bool {
        self.web.ready_state() == WebSocket::OPEN
    }

    fn send(&mut self, message: Message) -> Result<(), JsValue> {
        match message {
            Message::Text(text) => {
                self.given += text.len() as u64;
                self.web.send_with_str(&text)
            }
            Message::Binary(bytes) => {
                self.given += bytes.len() as u64;
                // A view of this memory is refused where threads share it.
                let bytes = Uint8Array::from(bytes.as_slice());
                self.web.send_with_array_buffer(&bytes.buffer())
            }
            Message::Close(Some(code), words) => {
                self.web.close_with_code_and_reason(code.0, &words)
            }
            Message::Close(None, _) => self.web.close(),
        }
    }
}

impl Stream for Socket {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let _ = self.inbox.bell.poll(context);
        let mut found = self.inbox.found.borrow_mut();
        if let Some(message) = found.messages.pop_front() {
            return Poll::Ready(Some(Ok(message)));
        }
        let Some(end) = &mut found.end else {
            return Poll::Pending;
        };
        let message = end
            .take()
            .map(|(code, words)| Message::Close(Some(code), words));
        Poll::Ready(message.map(Ok))
    }
}

impl Sink<Message> for Socket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.is_open() {
            // It would take all and send nothing. The end is still to be read, which wakes.
            return Poll::Pending;
        }
        self.poll_room(context).map(Ok)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.send(message).map_err(Error::refused)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_room(context).map(Ok)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // After a goodbye this does nothing.
        Poll::Ready(self.web.close().map_err(Error::refused))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It fails for no socket that exists.
        let _ = self.web.close();
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Socket")
            .field("web", &self.web)
            .finish_non_exhaustive()
    }
}

fn listen(
    web: &WebSocket,
    name: &'static str,
    inbox: &Rc<Inbox>,
    note: fn(&mut Found, &Event),
) -> EventListener {
    let inbox = Rc::clone(inbox);
    EventListener::new(web, name, move |event| {
        note(&mut inbox.found.borrow_mut(), event);
        inbox.bell.ring();
    })
}

fn read(event: &Event) -> Option<Message> {
    let data = event.dyn_ref::<MessageEvent>()?.data();
    if let Some(text) = data.as_string() {
        return Some(Message::Text(text));
    }
    let bytes = data.dyn_into::<ArrayBuffer>().ok()?;
    Some(Message::Binary(Uint8Array::new(&bytes).to_vec()))
}

/// `None` for what the browsers say where no code came over the wire.
fn goodbye(event: &CloseEvent) -> Option<(CloseCode, String)> {
    match event.code() {
        1005 | 1006 => None,
        code => Some((CloseCode(code), event.reason())),
    }
}
