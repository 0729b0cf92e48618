use crate::event::{Closed, PingId};

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

    /// What a message that came in is to the heartbeat.
    fn read(&mut self, message: &M) -> Incoming<M>;

    /// The message that begins the close handshake, for libraries that send no
    /// close code of their own accord. None by default. The blocking adapter
    /// sends 1000 and does not ask.
    fn goodbye(&mut self) -> Option<M> {
        None
    }
}

/// What a message that came in is to the heartbeat, besides life.
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
    /// Nobody's: what the library has dealt with, such as a protocol ping.
    Control,
}
