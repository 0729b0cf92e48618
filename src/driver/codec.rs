use alloc::string::String;
use core::marker::PhantomData;

use crate::action::CloseReason;
use crate::event::{CloseCode, Closed, PingId, Retry};
use crate::policy::Loss;
use crate::send_error::Unsendable;

/// How one WebSocket library represents the protocol's own frames.
///
/// A value and not a trait on the message type, so that any library fits. It is asked
/// before the [`Codec`], which therefore cannot lose a close frame or a pong.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a dialect",
    label = "does not say which messages are pings, pongs and close frames",
    note = "for tungstenite's messages `keepalive::tungstenite::Tungstenite::new()`; for lines or bytes without frames of their own `driver::NoFrames::new()`",
    note = "for the messages of another library implement `Dialect` for a type of your own: see the list in the docs of `keepalive::session`"
)]
pub trait Dialect {
    /// What goes over the transport, in both directions.
    type Message;

    /// What an incoming message means to the protocol.
    fn frame(&self, message: &Self::Message) -> Frame;

    /// How many bytes a message from the application takes in a queue.
    ///
    /// # Errors
    ///
    /// Fails for what the application may not send (pings, pongs and close frames), and
    /// for what is longer than the transport takes.
    fn size(&self, message: &Self::Message) -> Result<usize, Unsendable>;

    /// The protocol's ping with this id, with a payload of 125 bytes at most (RFC 6455
    /// section 5.5); `None` where the library has none, as in browsers. Then the codec
    /// has to have one, except in listen-only.
    fn ping(&mut self, id: PingId) -> Option<Self::Message>;

    /// The close frame with this code and these words, or without any; `None` if the
    /// library has no message for it, or if it is better to say nothing.
    fn goodbye(
        &mut self,
        why: CloseReason,
        code: Option<CloseCode>,
        words: &str,
    ) -> Option<Self::Message>;

    /// Whether the library reads while it closes a socket, and discards what it reads, as
    /// tokio-websockets does in `poll_close`; by default not. A session then closes its
    /// socket only once nothing more can come. The [`goodbye`](Self::goodbye) has to be a
    /// message there.
    fn close_discards(&self) -> bool {
        false
    }
}

/// What an incoming message means to the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame {
    /// Data: the [`Codec`] reads it.
    Data,
    /// The protocol's answer to this ping.
    Pong(PingId),
    /// The peer ends the connection, with these words.
    Close(Closed, String),
    /// Already handled by the library, such as a protocol ping.
    Control,
}

/// What the application's own protocol adds to WebSocket: its pings, and what its
/// messages decode to. It sees data only.
///
/// A pair of closures is a codec: the first makes a ping, the second reads. Codecs for the
/// usual protocols are in the guide [`pings`](crate::guide::pings).
///
/// ```
/// use keepalive::driver::{Codec, Incoming};
/// use keepalive::PingId;
///
/// let mut codec = (
///     |_| "ping".to_owned(),
///     |text: String| match text.as_str() {
///         "pong" => Incoming::AnyPong,
///         _ => Incoming::Message(text.parse::<u32>()),
///     },
/// );
/// assert_eq!(codec.ping(PingId::from_bytes([0; 8])), Some("ping".to_owned()));
/// assert_eq!(codec.read("42".to_owned()), Incoming::Message(Ok(42)));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a codec of `{W}`",
    label = "does not say how to ping, and how to read a message",
    note = "for messages as they are, and the protocol's own pings: `Plain`",
    note = "for pings of your own a pair of closures: `(|_id| ping, |message| Incoming::Message(message))`"
)]
pub trait Codec<W> {
    /// What the application receives.
    type Message;

    /// The message that carries this ping; `None`, the default, for the protocol's own
    /// ping. An application-level ping may leave out the id.
    ///
    /// It has to be data: if it is something that [`Dialect::size`] does not let the
    /// application send, such as a control frame, the protocol's ping goes instead.
    fn ping(&mut self, id: PingId) -> Option<W> {
        let _ = id;
        None
    }

    /// How the heartbeat classifies a data message, and what the application gets.
    fn read(&mut self, data: W) -> Incoming<W, Self::Message>;

    /// What to do about a connection or a dial that ended, if that is not left to the
    /// [`Policy`](crate::Policy); by default it is. It is asked when the peer closed or
    /// refused, when the transport failed, and when the application gave up. Timeouts
    /// follow the policy.
    fn retry(&mut self, loss: Loss) -> Option<Retry> {
        let _ = loss;
        None
    }
}

/// A codec with a closure that decides what to do about a loss; if that returns `None`,
/// the policy decides.
///
/// ```
/// use keepalive::driver::{Codec, Deciding, Plain};
/// use keepalive::{CloseCode, Loss, Retry};
///
/// let evicted = Loss::Closed(Some(CloseCode(4001)));
/// let mut evictions = 0;
/// let mut codec = Deciding::new(Plain, |loss| {
///     evictions += u32::from(loss == evicted);
///     (evictions > 1).then_some(Retry::Stop)
/// });
/// assert_eq!(Codec::<String>::retry(&mut codec, Loss::Failed), None);
/// assert_eq!(Codec::<String>::retry(&mut codec, evicted), None);
/// assert_eq!(Codec::<String>::retry(&mut codec, evicted), Some(Retry::Stop));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Deciding<C, F> {
    codec: C,
    decide: F,
}

impl<C, F> Deciding<C, F>
where
    F: FnMut(Loss) -> Option<Retry>,
{
    /// This codec, and this closure.
    pub const fn new(codec: C, decide: F) -> Self {
        Self { codec, decide }
    }
}

impl<W, C, F> Codec<W> for Deciding<C, F>
where
    C: Codec<W>,
    F: FnMut(Loss) -> Option<Retry>,
{
    type Message = C::Message;

    fn ping(&mut self, id: PingId) -> Option<W> {
        self.codec.ping(id)
    }

    #[inline]
    fn read(&mut self, data: W) -> Incoming<W, C::Message> {
        self.codec.read(data)
    }

    fn retry(&mut self, loss: Loss) -> Option<Retry> {
        (self.decide)(loss)
    }
}

/// How the heartbeat classifies a data message, apart from it being a sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming<W, M> {
    /// For the application, decoded.
    Message(M),
    /// The answer to this ping.
    Pong(PingId),
    /// An answer that does not say to which ping: it counts for the oldest unanswered
    /// one.
    AnyPong,
    /// The peer's ping, and the answer to send, which has to be data like that of
    /// [`Codec::ping`]; otherwise nothing is sent. The application does not see it.
    Ping(W),
    /// The peer ends the connection, with these words.
    Closed(Closed, String),
    /// Nothing for the application.
    Control,
}

/// Data as it is, and the protocol's pings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plain;

impl<W> Codec<W> for Plain {
    type Message = W;

    #[inline]
    fn read(&mut self, data: W) -> Incoming<W, W> {
        Incoming::Message(data)
    }
}

#[diagnostic::do_not_recommend]
impl<W, M, P, R> Codec<W> for (P, R)
where
    P: FnMut(PingId) -> W,
    R: FnMut(W) -> Incoming<W, M>,
{
    type Message = M;

    fn ping(&mut self, id: PingId) -> Option<W> {
        Some(self.0(id))
    }

    fn read(&mut self, data: W) -> Incoming<W, M> {
        self.1(data)
    }
}

/// A transport without frames of its own, such as lines of text: all of it is data.
pub struct NoFrames<W>(PhantomData<fn() -> W>);

impl<W> NoFrames<W> {
    /// Nobody's dialect.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<W> Default for NoFrames<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> core::fmt::Debug for NoFrames<W> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("NoFrames")
    }
}

impl<W: AsRef<[u8]>> Dialect for NoFrames<W> {
    type Message = W;

    fn frame(&self, _: &W) -> Frame {
        Frame::Data
    }

    fn size(&self, message: &W) -> Result<usize, Unsendable> {
        Ok(message.as_ref().len())
    }

    fn ping(&mut self, _: PingId) -> Option<W> {
        None
    }

    fn goodbye(&mut self, _: CloseReason, _: Option<CloseCode>, _: &str) -> Option<W> {
        None
    }
}
