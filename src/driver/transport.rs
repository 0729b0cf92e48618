use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::event::{Closed, Refused};
use crate::{Ending, Epoch, Instant, State};

/// The I/O below a [`Driver`](super::Driver): it dials, reads and writes, and reports
/// what came of it. Nothing in it waits.
pub trait Transport {
    /// What comes in and goes out.
    type Message;
    /// How it fails.
    type Error;
    /// What its clock shows.
    type Instant: Instant;

    /// The time.
    fn now(&mut self) -> Self::Instant;

    /// Begins to do this. What comes of it is found by the next reads.
    fn carry_out(&mut self, order: Order<Self::Message>);

    /// Reads from the dial, or from the connection.
    fn read(&mut self) -> Read<Self::Message, Self::Error, Self::Instant>;

    /// Whether it takes a message now. Called only while a connection is up, as are the
    /// methods below. If not, it wakes the driver's owner once it does.
    ///
    /// # Errors
    ///
    /// Nothing can be written any more. What the peer said last is still read.
    fn is_ready(&mut self) -> Result<bool, Self::Error>;

    /// Takes this message. Called only after [`is_ready`](Self::is_ready) returned
    /// `true`.
    ///
    /// # Errors
    ///
    /// As [`is_ready`](Self::is_ready).
    fn write(&mut self, message: Self::Message) -> Result<(), Self::Error>;

    /// Whether everything that it took has left its buffers. If not, it wakes the
    /// driver's owner once there is room.
    ///
    /// # Errors
    ///
    /// As [`is_ready`](Self::is_ready).
    fn flush(&mut self) -> Result<bool, Self::Error>;

    /// How many bytes went through, below TLS. If they cannot be counted, this never
    /// grows, and only whole messages count as life.
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    /// The longest message that this connection takes, as [`Dialect::size`] counts;
    /// `None` for no limit. Asked once, when it has opened. Longer messages are given
    /// back; all others are taken whenever the transport is ready.
    ///
    /// [`Dialect::size`]: super::Dialect::size
    fn limit(&self) -> Option<usize> {
        None
    }

    /// The application's next message that outlives connections. Called only when it
    /// can be handed over at once. If there is none, it wakes the driver's owner once
    /// there is one.
    fn backlog(&mut self) -> Option<Self::Message> {
        None
    }

    /// The whole [`backlog`](Self::backlog), if it does not outlive a lost connection:
    /// called when that loss is reported, which gives it back. `None` if it does.
    fn dropped(&mut self) -> Option<Vec<Self::Message>> {
        None
    }

    /// What is left of the [`backlog`](Self::backlog), if it is to be given back when
    /// everything is over.
    fn reclaim(&mut self) -> Vec<Self::Message> {
        Vec::new()
    }

    /// The heartbeat's state, the connection whose `Opened` was reported last, if it is
    /// still up, and how many bytes [wait](super::Driver::waiting): for those who watch
    /// from outside. Called at the end of each run.
    fn publish(&mut self, state: State, epoch: Option<Epoch>, waiting: usize) {
        let _ = (state, epoch, waiting);
    }

    /// The system's clock, since any origin. If it runs on by more than 10 s beyond
    /// [`now`](Self::now), the machine has slept, and the network may have changed.
    fn system_time(&mut self) -> Option<Duration> {
        None
    }
}

/// What a [`Transport`] has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order<W> {
    /// Begin a new connection; with the number of the retry, 0 for the first dial.
    Dial {
        /// Retries since the last stable connection.
        attempt: u32,
    },
    /// Everything is handed over: close the sending side, and read on.
    Finish,
    /// Offer this, in case it is taken at once; flush once; drop the connection or the
    /// dial, if there still is one.
    Drop(Option<W>),
}

/// What a [`Transport`] found when it read.
#[derive(Debug)]
// Keeps the payload 8-byte aligned; otherwise each move copies it unaligned.
#[repr(u64)]
pub enum Read<W, E, I> {
    /// Nothing, and the time as of which nothing that had arrived was unread: the time
    /// before the read, or, if a reactor has to turn first, the time at which it last
    /// had nothing more.
    Nothing(I),
    /// A message.
    Message(W),
    /// The dial succeeded: the connection is up.
    Opened,
    /// The dial failed, or the connection is over. Boxed, since it is rare and large,
    /// and messages take the same path.
    End(Box<End<E>>),
}

impl<W, E, I> Read<W, E, I> {
    /// The dial failed, or the connection is over, in this way.
    #[inline(always)]
    pub fn end(end: End<E>) -> Self {
        Self::End(Box::new(end))
    }
}

/// How a dial or a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End<E> {
    /// In an orderly way, without a close code.
    Plain,
    /// The peer closed, with these words.
    Closed(Closed, String),
    /// The server answered the dial with a refusal.
    Refused(Refused, E),
    /// It failed.
    Failed(E),
    /// It failed, and reconnecting as after this close is right: a dial that was
    /// answered with a time to stay away, for example.
    FailedAs(E, Closed),
}

impl<E> End<E> {
    /// How a dial or an open connection ended with this error, which says so itself.
    pub fn of(error: E, ending: Ending, was_open: bool) -> Self {
        match ending {
            Ending::Closed(closed) if was_open && closed == Closed::default() => Self::Plain,
            Ending::Closed(closed) if was_open => Self::Closed(closed, String::new()),
            // Nothing was there that could close.
            Ending::Closed(closed) => Self::FailedAs(error, closed),
            Ending::Refused(refused) if !was_open => Self::Refused(refused, error),
            Ending::Refused(_) | Ending::Failed => Self::Failed(error),
        }
    }
}

/// How many bytes went through a transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Came in.
    pub read: u64,
    /// Were taken by the system.
    pub written: u64,
}
