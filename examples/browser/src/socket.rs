//! The browser's `WebSocket` as a `Stream` and a `Sink`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use futures_sink::Sink;
use gloo_events::EventListener;
use gloo_timers::future::TimeoutFuture;
use keepalive::driver::{Dialect, Frame};
use keepalive::{CloseCode, CloseReason, Closed, PingId, Unsendable};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::js_sys::{ArrayBuffer, Uint8Array};
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent, WebSocket};

/// With more bytes than these in its buffer, the browser is given no more.
const BACKLOG: u32 = 16 * 1024;
/// How often to look at that buffer while it is full, since no event tells.
const RECHECK_MILLIS: u32 = 20;

/// What comes in and goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Text(String),
    Binary(Vec<u8>),
    /// The end, with a code and words.
    Close(Option<CloseCode>, String),
}

/// What a page sees of the protocol, and can send: it has no pings, and these codes.
pub(crate) struct Browser;

impl Dialect for Browser {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        match message {
            Message::Text(_) | Message::Binary(_) => Frame::Data,
            Message::Close(code, words) => {
                let closed = Closed {
                    code: *code,
                    ..Closed::default()
                };
                Frame::Close(closed, words.clone())
            }
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        match message {
            Message::Text(text) => Ok(text.len()),
            Message::Binary(bytes) => Ok(bytes.len()),
            Message::Close(..) => Err(Unsendable::Control),
        }
    }

    fn ping(&mut self, _: PingId) -> Option<Message> {
        None
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
        let code = code.filter(|code| matches!(code.0, 1000 | 3000..=4999));
        Some(Message::Close(code, words.to_owned()))
    }
}

/// Why there is no socket any more.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The dial came to nothing: a browser does not say more.
    Ended,
    /// The browser does not do this.
    Refused(String),
}

impl From<JsValue> for Fault {
    fn from(error: JsValue) -> Self {
        Self::Refused(String::from(
            web_sys::js_sys::Object::from(error).to_string(),
        ))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => formatter.write_str("cannot connect"),
            Self::Refused(error) => write!(formatter, "the browser refuses: {error}"),
        }
    }
}

/// An open socket. One that is dropped is abandoned: the browser goes on closing it
/// behind the page's back, for a minute if the peer is silent, and nobody waits.
pub(crate) struct Socket {
    web: WebSocket,
    inbox: Rc<RefCell<Inbox>>,
    recheck: Option<TimeoutFuture>,
    _listeners: [EventListener; 3],
}

/// What the events of the socket have brought.
#[derive(Default)]
struct Inbox {
    is_open: bool,
    messages: VecDeque<Message>,
    /// With what came over the wire, until it is read.
    end: Option<Option<(CloseCode, String)>>,
    waker: Option<Waker>,
}

impl Inbox {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Socket {
    /// Dials. Dropping the future gives the dial up.
    pub(crate) async fn connect(url: String) -> Result<Self, Fault> {
        let socket = Self::new(&url)?;
        poll_fn(|context| socket.poll_open(context)).await?;
        Ok(socket)
    }

    fn new(url: &str) -> Result<Self, Fault> {
        let web = WebSocket::new(url)?;
        web.set_binary_type(BinaryType::Arraybuffer);
        let inbox = Rc::<RefCell<Inbox>>::default();
        // An `error` tells nothing, and a `close` follows it.
        let listeners = [
            listen(&web, "open", &inbox, |inbox, _| inbox.is_open = true),
            listen(&web, "message", &inbox, |inbox, event| {
                inbox.messages.extend(read(event));
            }),
            listen(&web, "close", &inbox, |inbox, event| {
                inbox.end = Some(event.dyn_ref().and_then(goodbye));
            }),
        ];
        Ok(Self {
            web,
            inbox,
            recheck: None,
            _listeners: listeners,
        })
    }

    fn poll_open(&self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut inbox = self.inbox.borrow_mut();
        if inbox.end.is_some() {
            return Poll::Ready(Err(Fault::Ended));
        }
        if inbox.is_open {
            return Poll::Ready(Ok(()));
        }
        inbox.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Waits until little is in the browser's buffer. The buffer of a socket that
    /// is over stays as it is.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while self.web.ready_state() == WebSocket::OPEN && self.web.buffered_amount() > BACKLOG {
            let recheck = || TimeoutFuture::new(RECHECK_MILLIS);
            ready!(Pin::new(self.recheck.get_or_insert_with(recheck)).poll(context));
            self.recheck = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream for Socket {
    type Item = Result<Message, Fault>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inbox = self.inbox.borrow_mut();
        if let Some(message) = inbox.messages.pop_front() {
            return Poll::Ready(Some(Ok(message)));
        }
        if let Some(end) = &mut inbox.end {
            let goodbye = end.take();
            let message = goodbye.map(|(code, words)| Message::Close(Some(code), words));
            return Poll::Ready(message.map(Ok));
        }
        inbox.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Sink<Message> for Socket {
    type Error = Fault;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.poll_room(context)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Fault> {
        match message {
            Message::Text(text) => self.web.send_with_str(&text)?,
            Message::Binary(bytes) => self.web.send_with_u8_array(&bytes)?,
            Message::Close(Some(code), words) => {
                self.web.close_with_code_and_reason(code.0, &words)?;
            }
            Message::Close(None, _) => self.web.close()?,
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.poll_room(context)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        // The goodbye went before.
        self.web.close()?;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It fails for no socket that exists.
        let _ = self.web.close();
    }
}

fn listen(
    web: &WebSocket,
    name: &'static str,
    inbox: &Rc<RefCell<Inbox>>,
    note: fn(&mut Inbox, &Event),
) -> EventListener {
    let inbox = Rc::clone(inbox);
    EventListener::new(web, name, move |event| {
        let mut inbox = inbox.borrow_mut();
        note(&mut inbox, event);
        inbox.wake();
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
