use core::pin::Pin;
use core::task::{Context, Poll};
use std::time::Instant;

use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::time::{Instant as TokioInstant, Sleep, sleep_until};

use crate::Handle;
use crate::driver::{Codec, Dialect};
use crate::session::{self, Connect, Session, Task, Transport};

/// tokio's clock and a timer on it, which a test may pause. It allocates once, when it
/// is first set.
#[derive(Debug, Default)]
pub struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// A timer that is not set.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }
}

impl session::Timer for Timer {
    type Instant = Instant;

    #[inline]
    fn now(&self) -> Instant {
        TokioInstant::now().into_std()
    }

    fn set(&mut self, at: Instant) {
        let at = TokioInstant::from_std(at);
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.0 = Some(Box::pin(sleep_until(at))),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

/// The same without an allocation: a sleep that the caller has pinned.
impl session::Timer for Pin<&mut Sleep> {
    type Instant = Instant;

    fn now(&self) -> Instant {
        TokioInstant::now().into_std()
    }

    fn set(&mut self, at: Instant) {
        self.as_mut().reset(TokioInstant::from_std(at));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.as_mut().poll(context)
    }
}

/// A receiver as the stream of outgoing messages.
#[derive(Debug)]
pub struct Channel<M>(pub mpsc::Receiver<M>);

impl<M> Stream for Channel<M> {
    type Item = M;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<M>> {
        self.0.poll_recv(context)
    }
}

impl<C, D, K, O> Session<C, Timer, D, K, O>
where
    C: Connect,
    D: Dialect<Message = <C::Socket as Transport>::Message> + Clone + Send + Sync + 'static,
    K: Codec<D::Message>,
    O: Stream<Item = D::Message> + Unpin,
    Task<C, Timer, D, K, O>: Send + 'static,
{
    /// Gives the session a task of its own, where its heartbeat goes on whatever the
    /// application does meanwhile. Returns a handle, which sends messages and controls
    /// the session, and its notices. This is [`into_task`](Self::into_task), spawned.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, as `tokio::spawn` does.
    ///
    #[cfg_attr(feature = "tokio", doc = "```no_run")]
    #[cfg_attr(not(feature = "tokio"), doc = "```ignore")]
    /// use keepalive::Config;
    /// use keepalive::driver::Notice;
    /// use keepalive::tokio::{Dialer, client};
    /// use tungstenite::Message;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let dialer = Dialer::new("ws://localhost:9001");
    /// let (handle, mut notices) = client(Config::default(), dialer).spawn();
    /// handle.send(Message::text("an order")).await?;
    /// while let Some(notice) = notices.next().await {
    ///     match notice {
    ///         // Pings are sent and answered while this loop is busy.
    ///         Notice::Opened { .. } => notices.send(Message::text("the login"))?,
    ///         Notice::Message(message) => println!("{message}"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[allow(clippy::type_complexity)]
    pub fn spawn(mut self) -> (Handle<D::Message>, session::Notices<C, Timer, D, K, O>) {
        let handle = self.handle();
        let (task, notices) = self.into_task();
        tokio::spawn(task);
        (handle, notices)
    }
}
