#[cfg(feature = "blocking")]
use crate::action::CloseReason;
use crate::event::{CloseCode, Closed, PingId};

/// How pings look in the messages of one WebSocket library, and in one
/// application's protocol.
///
/// A value of the user's instead of a trait on the message type: so any library
/// fits, and so do the pings of an application ("ping" as text, JSON), which
/// browsers and some servers cannot do without.
pub trait Codec<M> {
    /// The message that carries this ping. An application-level ping may leave
    /// the id out.
    fn ping(&mut self, id: PingId) -> M;

    /// How the heartbeat classifies an incoming message.
    fn read(&mut self, message: &M) -> Incoming<M>;

    /// The close frame with this code, or without one, where the library has a message
    /// for it. `None` by default: then a stop closes the sink, and whatever else ends
    /// a connection says nothing. The blocking adapter does not ask.
    fn goodbye(&mut self, code: Option<CloseCode>) -> Option<M> {
        let _ = code;
        None
    }
}

/// How the heartbeat classifies an incoming message, besides as life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming<M> {
    /// The application's.
    Message,
    /// The answer to this ping.
    Pong(PingId),
    /// An answer that does not say to which ping.
    AnyPong,
    /// The peer's ping, and the answer to send. The application does not see it.
    Ping(M),
    /// The peer ends the connection.
    Closed(Closed),
    /// Already handled by the library, such as a protocol ping.
    Control,
}

/// What to say on the wire where the connection is ended for this reason.
#[cfg(feature = "blocking")]
pub(crate) const fn code_of(reason: CloseReason) -> Option<CloseCode> {
    match reason {
        // 1000 would end a session that the next connection is to resume.
        CloseReason::Reconnect => None,
        CloseReason::MessageTimeout | CloseReason::LoginTimeout => {
            Some(CloseCode::POLICY_VIOLATION)
        }
        _ => Some(CloseCode::NORMAL),
    }
}

/// What to say on the wire where the application gives the connection up with this
/// code: not all of them may be sent (RFC 6455 section 7.4).
#[cfg(feature = "blocking")]
pub(crate) const fn sendable(code: Option<CloseCode>) -> CloseCode {
    match code {
        Some(CloseCode(code @ (1000..=1003 | 1007..=1014 | 3000..=4999))) => CloseCode(code),
        _ => CloseCode::NORMAL,
    }
}
