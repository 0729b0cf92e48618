use std::io::{Read, Write};

use tungstenite::{Error, WebSocket};

use super::dial::{Dial, Dialer, Socket};
use super::stream::Stream;
use crate::MaybeTls;

/// How to get a WebSocket: implemented for [`Dialer`], and for every closure that takes
/// the [`Dial`] to do it with.
///
/// It is called afresh for each dial, so it can sign a new request or choose another
/// server.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connector",
    label = "cannot be called for each dial, with the `Dial` to do it with",
    note = "a connector is a `blocking::Dialer`, or a closure such as `|dial: &Dial| dial.connect(\"ws://localhost:9001\")`",
    note = "the `connect` of tungstenite does not fit: it has no deadline, and returns a pair"
)]
pub trait Connect {
    /// The stream below the WebSocket.
    type Stream: Read + Write;

    /// Dials. Its socket lies over a stream of this dial, which limits its time.
    ///
    /// # Errors
    ///
    /// Whatever made the dial fail.
    fn connect(&mut self, dial: &Dial) -> Result<WebSocket<Self::Stream>, Error>;
}

#[diagnostic::do_not_recommend]
impl<F, S> Connect for F
where
    F: FnMut(&Dial) -> Result<WebSocket<S>, Error>,
    S: Read + Write,
{
    type Stream = S;

    #[inline]
    fn connect(&mut self, dial: &Dial) -> Result<WebSocket<S>, Error> {
        self(dial)
    }
}

impl Connect for Dialer {
    type Stream = MaybeTls<Stream>;

    fn connect(&mut self, dial: &Dial) -> Result<Socket, Error> {
        let (socket, _) = self.again().connect(dial)?;
        Ok(socket)
    }
}

/// Any connector of WebSockets over these streams that is `Send`.
pub type Boxed<S> = Box<dyn FnMut(&Dial) -> Result<WebSocket<S>, Error> + Send>;

/// This connector, boxed: so that the type of a session can be named, in a struct for
/// example.
pub fn boxed<C>(mut connect: C) -> Boxed<C::Stream>
where
    C: Connect + Send + 'static,
{
    Box::new(move |dial| connect.connect(dial))
}
