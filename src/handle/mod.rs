mod desk;
mod shared;
#[cfg(test)]
mod tests;
mod wait;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::vec::Vec;

pub use desk::Desk;
use shared::{Queued, Shared, Stage, Wakers};
use wait::{Ending, Opening, Over, Room, block_on};

use crate::driver::KeepingError;
use crate::event::{Closed, Epoch};
use crate::goodbye::Goodbye;
use crate::send_error::SendError;
use crate::{Config, State};

/// Controls a session from elsewhere: another task, another thread, another runtime.
///
/// It is the same for the blocking and the async session. While the session is inside
/// `next`, whatever is said here wakes it, in every state; otherwise it takes effect
/// when `next` is called again. Clones are handles of the same session, and none of
/// them keeps it alive: once the session is dropped, their calls fail.
///
/// Messages go into the backlog, which outlives connections; a [`Backlog`] is its
/// limit. Each handle's messages go out in the order in which they were taken, and if
/// several wait for room, the one that has waited longest is next.
///
/// ```
/// use keepalive::{Handle, SendError};
/// # use keepalive::{Backlog, Desk};
/// # let mut session = Desk::new(
/// #     |message: &String| Ok(message.len()), Backlog::default().bytes(1000), |_| Ok(()),
/// # );
/// # session.note_thread();
///
/// let handle: Handle<String> = session.handle();
/// handle.try_send("hello".to_owned())?;
/// // It would wait for this thread to send what is there.
/// let error = handle.send_blocking("a".repeat(990)).unwrap_err();
/// assert!(matches!(error, SendError::WouldBlock(message) if message.len() == 990));
///
/// let elsewhere = handle.clone();
/// std::thread::spawn(move || elsewhere.stop()).join().unwrap()?;
/// let error = handle.try_send("too late".to_owned()).unwrap_err();
/// assert_eq!(error.to_string(), "the session was stopped");
/// assert_eq!(error.into_message(), "too late");
/// # assert_eq!(session.pull().as_deref(), Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Handle<W> {
    shared: Arc<Shared<W>>,
    /// The room that the message needs which this handle last got back as `Full`; 0 for
    /// none.
    refused: AtomicUsize,
}

impl<W> Handle<W> {
    const fn new(shared: Arc<Shared<W>>) -> Self {
        Self {
            shared,
            refused: AtomicUsize::new(0),
        }
    }

    /// Puts this message into the backlog as soon as there is room. In the session's
    /// own loop this would wait for itself: use [`try_send`](Self::try_send) there.
    ///
    /// A future that is dropped before it completes drops its message, and nothing of
    /// it is sent. In a `select!` use [`ready`](Self::ready).
    ///
    /// # Errors
    ///
    /// Fails at once, with the message, if it can never be sent; and when the session
    /// is stopped or dropped, even while this waits.
    ///
    /// ```
    /// use keepalive::{Gone, Handle, SendError};
    /// # use keepalive::{Backlog, Desk};
    /// # use embassy_futures::{block_on, join::join};
    ///
    /// async fn say(handle: &Handle<String>, words: &str) -> Result<(), SendError<()>> {
    ///     handle.send(words.to_owned()).await.map_err(|error| error.map(drop))
    /// }
    /// # let size = |message: &String| Ok(message.len());
    /// # let mut session = Desk::new(size, Backlog::default().messages(1), |_| Ok(()));
    /// # let handle = session.handle();
    /// # let sends = async {
    /// #     for _ in 0..2 {
    /// #         embassy_futures::yield_now().await;
    /// #         session.pull().unwrap();
    /// #         session.in_flight(0);
    /// #     }
    /// # };
    /// # let says = async { say(&handle, "one").await?; say(&handle, "two").await };
    /// # assert!(block_on(join(says, sends)).0.is_ok());
    /// # drop(session);
    /// # let error = block_on(say(&handle, "three")).unwrap_err();
    /// # assert!(matches!(error, SendError::Gone(())));
    /// ```
    pub async fn send(&self, message: W) -> Result<(), SendError<W>> {
        let (message, charge) = self.measure(message)?;
        let mut room = Room::send(&self.shared, message, charge);
        let outcome = (&mut room).await;
        settle(outcome, room.take(), Stage::refuse)
    }

    /// As [`send`](Self::send), for threads: blocks the calling one until there is
    /// room.
    ///
    /// # Errors
    ///
    /// Those of `send`; and [`SendError::WouldBlock`] instead of waiting on the
    /// session's own thread: the one that is, or last was, inside its `next`.
    pub fn send_blocking(&self, message: W) -> Result<(), SendError<W>> {
        self.send_on_thread(message, None)
    }

    /// As [`send_blocking`](Self::send_blocking), but waits at most this long; zero
    /// means not at all.
    ///
    /// # Errors
    ///
    /// Those of `send_blocking`, and [`SendError::TimedOut`]. Whatever it fails with,
    /// nothing of the message is sent.
    pub fn send_blocking_for(&self, message: W, timeout: Duration) -> Result<(), SendError<W>> {
        self.send_on_thread(message, Some(timeout))
    }

    fn send_on_thread(&self, message: W, timeout: Option<Duration>) -> Result<(), SendError<W>> {
        let (message, charge) = self.measure(message)?;
        let mut room = Room::send(&self.shared, message, charge);
        match block_on(&self.shared, &mut room, timeout) {
            Ok(outcome) => settle(outcome, room.take(), Stage::refuse),
            Err(over) => settle(Err(over), room.take(), |over, message| match over {
                Over::OwnThread => SendError::WouldBlock(message),
                Over::TimedOut => SendError::TimedOut(message),
            }),
        }
    }

    /// Puts this message into the backlog if there is room and nobody else waits for
    /// it. It never waits.
    ///
    /// # Errors
    ///
    /// Fails, with the message, if there is no room, if it can never be sent, and if
    /// the session was stopped or dropped.
    pub fn try_send(&self, message: W) -> Result<(), SendError<W>> {
        let size = match (self.shared.size)(&message) {
            Ok(size) => size,
            Err(why) => return Err(SendError::Unsendable { message, why }),
        };
        let charge = self.shared.charge(size);
        let mut inner = self.shared.lock();
        if inner.stage != Stage::Runs {
            let stage = inner.stage;
            drop(inner);
            return Err(stage.refuse(message));
        }
        if !inner.has_room(charge) {
            let (used, limit) = (inner.used, inner.limit());
            drop(inner);
            self.refused.store(charge, Ordering::Relaxed);
            return Err(SendError::Full {
                message,
                size,
                used,
                limit,
            });
        }
        inner.used = inner.used.saturating_add(charge);
        let session = self.shared.push(&mut inner, Queued { message, charge });
        drop(inner);
        self.refused.store(0, Ordering::Relaxed);
        Wakers::of_session(session).wake();
        Ok(())
    }

    /// Waits until there is room for the message that [`try_send`](Self::try_send) on
    /// this handle last gave back as [`Full`](SendError::Full), or for a short one.
    ///
    /// This is for `select!`: no message is lost with a future that is dropped. The
    /// room is not reserved, so `try_send` may still fail, and callers of
    /// [`send`](Self::send) go first. It also returns when the session is stopped or
    /// dropped; `try_send` then says so.
    ///
    /// ```
    /// use keepalive::{Handle, SendError};
    /// # use keepalive::{Backlog, Desk};
    /// # use embassy_futures::{block_on, select::{Either, select}};
    /// # let size = |message: &String| Ok(message.len());
    /// # let mut desk = Desk::new(size, Backlog::default().bytes(2000), |_| Ok(()));
    /// # let handle = desk.handle();
    /// # struct Session { desk: Desk<String> }
    /// # impl Session {
    /// #     async fn next(&mut self) -> Option<&str> {
    /// #         self.desk.pull()?;
    /// #         self.desk.in_flight(0);
    /// #         Some("notice")
    /// #     }
    /// # }
    /// # let mut session = Session { desk };
    ///
    /// // The session's own loop, which also sends, in order, what is in `waiting`.
    /// async fn run(session: &mut Session, handle: &Handle<String>, mut waiting: Vec<String>) {
    ///     waiting.reverse();
    ///     while let Some(message) = waiting.pop() {
    ///         match handle.try_send(message) {
    ///             Err(SendError::Full { message, .. }) => waiting.push(message),
    ///             other => assert!(other.is_ok()),
    ///         }
    ///         match select(session.next(), handle.ready()).await {
    ///             Either::First(notice) => assert_eq!(notice, Some("notice")),
    ///             Either::Second(()) => {}
    ///         }
    ///     }
    /// }
    /// # block_on(run(&mut session, &handle, vec!["a".repeat(1500); 5]));
    /// # assert!(session.desk.pull().is_none());
    /// ```
    pub async fn ready(&self) {
        let refused = self.refused.load(Ordering::Relaxed);
        let charge = refused.max(self.shared.charge(0));
        // Either way `try_send` has an answer.
        let _: Result<(), Stage> = Room::only(&self.shared, charge).await;
    }

    /// As [`Desk::wishes`], for code that waits where the desk is out of reach.
    #[cfg(feature = "blocking")]
    pub(crate) fn take_wishes(&self) -> Vec<Wish> {
        self.shared.take_wishes()
    }

    fn measure(&self, message: W) -> Result<(W, usize), SendError<W>> {
        match (self.shared.size)(&message) {
            Ok(size) => Ok((message, self.shared.charge(size))),
            Err(why) => Err(SendError::Unsendable { message, why }),
        }
    }

    /// Stops the session: from now on no message is taken, those that were taken are
    /// sent, and then the connection is closed with 1000, or with 1001 by a server's
    /// session, all of it within one `close_timeout`. What could not be sent comes back
    /// with the session's last notice.
    ///
    /// A second stop, by any handle, waits for nothing more and drops the connection.
    ///
    /// # Errors
    ///
    /// Fails if the session is over already.
    pub fn stop(&self) -> Result<(), Gone> {
        self.shared.wish(Wish::Stop(None))
    }

    /// As [`stop`](Self::stop), with another close code and other words.
    ///
    /// # Errors
    ///
    /// Those of `stop`.
    pub fn stop_with(&self, goodbye: Goodbye) -> Result<(), Gone> {
        self.shared.wish(Wish::Stop(Some(goodbye)))
    }

    /// Wakes this when the session is over; false where it is already.
    pub(crate) fn wake_at_end(&self, waker: Waker) -> bool {
        let mut inner = self.shared.lock();
        if inner.stage >= Stage::Over {
            drop(inner);
            return false;
        }
        inner.wait_for_end(waker);
        true
    }

    /// As [`stop`](Self::stop), unless somebody has stopped it already.
    pub(crate) fn stop_once(&self) {
        self.shared.stop_once();
    }

    /// Connects anew now, as [`Event::ReconnectNow`](crate::Event::ReconnectNow) says.
    ///
    /// # Errors
    ///
    /// Fails where the session was stopped or is over.
    pub fn reconnect_now(&self) -> Result<(), Gone> {
        self.shared.wish(Wish::ReconnectNow)
    }

    /// Reports that the network path may have changed, as
    /// [`Event::NetworkChanged`](crate::Event::NetworkChanged) says.
    ///
    /// # Errors
    ///
    /// Fails where the session was stopped or is over.
    pub fn network_changed(&self) -> Result<(), Gone> {
        self.shared.wish(Wish::NetworkChanged)
    }

    /// Reports that the application has what it connected for, on the connection with
    /// this epoch, as [`Event::Healthy`](crate::Event::Healthy) says. Does nothing if
    /// that connection is no longer open.
    ///
    /// # Errors
    ///
    /// Fails where the session was stopped or is over.
    pub fn healthy(&self, epoch: Epoch) -> Result<(), Gone> {
        self.shared.wish(Wish::Healthy(epoch))
    }

    /// Gives up the connection with this epoch, as
    /// [`Event::GiveUp`](crate::Event::GiveUp) says. Does nothing if that connection is
    /// no longer open.
    ///
    /// # Errors
    ///
    /// Fails where the session was stopped or is over.
    pub fn give_up(&self, epoch: Epoch, closed: Closed) -> Result<(), Gone> {
        self.shared.wish(Wish::GiveUp(epoch, closed))
    }

    /// Changes the settings, as
    /// [`Heartbeat::reconfigure`](crate::Heartbeat::reconfigure) says. Of several
    /// changes that the session has not seen yet, the last one counts.
    ///
    /// # Errors
    ///
    /// Fails if the session was stopped or is over; and if it keeps copies and the
    /// settings have no `confirm_within`: then nothing is changed.
    pub fn reconfigure(&self, config: Config) -> Result<(), ReconfigureError> {
        let check = self.shared.lock().check;
        check(&config)?;
        self.shared.wish(Wish::Reconfigure(config))?;
        Ok(())
    }

    /// The session's state now, or when it last ran.
    #[must_use]
    pub fn state(&self) -> Status {
        self.shared.lock().status
    }

    /// Waits until a connection is open, and returns its epoch; at once if one is. In
    /// the session's own loop this would wait for itself.
    ///
    /// # Errors
    ///
    /// Fails when the session is stopped or dropped, even while this waits.
    pub async fn opened(&self) -> Result<Epoch, Gone> {
        Opening::new(&self.shared).await
    }

    /// As [`opened`](Self::opened), for threads: blocks the calling one for at most
    /// this long.
    ///
    /// # Errors
    ///
    /// Fails when the session is stopped or dropped, when no connection opens in time,
    /// and, instead of waiting, on the session's own thread.
    ///
    /// ```
    /// use core::time::Duration;
    /// use keepalive::OpenError;
    /// # use keepalive::{Backlog, Desk, State};
    /// # let size = |message: &String| Ok(message.len());
    /// # let session = Desk::new(size, Backlog::default(), |_| Ok(()));
    /// # let handle = session.handle();
    ///
    /// let outcome = handle.wait_open(Duration::from_millis(1));
    /// assert_eq!(outcome, Err(OpenError::TimedOut));
    /// ```
    pub fn wait_open(&self, timeout: Duration) -> Result<Epoch, OpenError> {
        let mut opening = Opening::new(&self.shared);
        match block_on(&self.shared, &mut opening, Some(timeout)) {
            Ok(outcome) => Ok(outcome?),
            Err(Over::OwnThread) => Err(OpenError::WouldBlock),
            Err(Over::TimedOut) => Err(OpenError::TimedOut),
        }
    }

    /// Waits until the session is over, or was dropped; at once where it is. In the
    /// session's own loop it would wait for itself.
    pub async fn ended(&self) {
        Ending::new(&self.shared).await;
    }

    /// As [`ended`](Self::ended), for threads: blocks this one for so long at most.
    ///
    /// # Errors
    ///
    /// Fails where the session is not over in time, and, in place of waiting, on the
    /// session's own thread.
    ///
    /// ```
    /// use core::time::Duration;
    /// use keepalive::EndError;
    /// # use keepalive::{Backlog, Desk};
    /// # let size = |message: &String| Ok(message.len());
    /// # let session = Desk::new(size, Backlog::default(), |_| Ok(()));
    /// # let handle = session.handle();
    ///
    /// let outcome = handle.wait_ended(Duration::from_millis(1));
    /// assert_eq!(outcome, Err(EndError::TimedOut));
    /// drop(session);
    /// assert_eq!(handle.wait_ended(Duration::ZERO), Ok(()));
    /// ```
    pub fn wait_ended(&self, timeout: Duration) -> Result<(), EndError> {
        let mut ending = Ending::new(&self.shared);
        match block_on(&self.shared, &mut ending, Some(timeout)) {
            Ok(()) => Ok(()),
            Err(Over::OwnThread) => Err(EndError::WouldBlock),
            Err(Over::TimedOut) => Err(EndError::TimedOut),
        }
    }
}

/// A message that is left was not sent, for this reason.
fn settle<W, R>(
    outcome: Result<(), R>,
    left: Option<W>,
    refuse: impl FnOnce(R, W) -> SendError<W>,
) -> Result<(), SendError<W>> {
    match (outcome, left) {
        (Err(reason), Some(message)) => Err(refuse(reason, message)),
        _ => Ok(()),
    }
}

impl<W> Clone for Handle<W> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl<W> fmt::Debug for Handle<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { state, epoch } = self.state();
        formatter
            .debug_struct("Handle")
            .field("state", &state)
            .field("epoch", &epoch)
            .finish_non_exhaustive()
    }
}

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Status {
    /// The state of its heartbeat; [`State::Stopped`] also after it was dropped.
    pub state: State,
    /// The connection that is open, if one is.
    pub epoch: Option<Epoch>,
}

/// How much may wait to be sent, and what becomes of it when a connection ends.
///
/// Each message counts as its bytes and 64 more, but at least as the limit in bytes
/// divided by that in messages. Messages that have not left the session's buffer count
/// too. A message longer than the limit is taken only if nothing else is there.
///
/// ```
/// use keepalive::Backlog;
///
/// let by_default = Backlog::default().bytes(1 << 20).messages(1024);
/// assert_eq!(by_default, Backlog::default());
/// assert_ne!(by_default.dropped_at_down(), Backlog::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    bytes: usize,
    messages: usize,
    outlives_connections: bool,
}

impl Backlog {
    /// What a message takes besides its bytes.
    const OVERHEAD: usize = 64;

    /// At most this many bytes; 1 MiB by default.
    #[must_use]
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// At most this many messages, however short; 1024 by default. There is always room
    /// for one.
    #[must_use]
    pub const fn messages(mut self, messages: usize) -> Self {
        self.messages = messages;
        self
    }

    /// Gives back what waits when a connection ends, with its `Down`. By default it
    /// waits for the next connection.
    #[must_use]
    pub const fn dropped_at_down(mut self) -> Self {
        self.outlives_connections = false;
        self
    }

    /// Whether what waits when a connection ends waits for the next one.
    #[must_use]
    pub const fn outlives_connections(&self) -> bool {
        self.outlives_connections
    }

    fn charge(&self, size: usize) -> usize {
        let share = self.bytes / self.messages.max(1);
        size.saturating_add(Self::OVERHEAD).max(share)
    }
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            messages: 1024,
            outlives_connections: true,
        }
    }
}

/// The session was stopped, or it was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session was stopped or dropped")]
pub struct Gone;

/// Why a thread stopped waiting for a connection to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The session was stopped, or dropped.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// None opened in time.
    #[error("no connection was open in time")]
    TimedOut,
    /// None is open, and waiting for one would block the thread that opens it.
    #[error("no connection is open, and waiting would block the session's own thread")]
    WouldBlock,
}

/// Why a session is not known to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndError {
    /// It was not over in time.
    #[error("the session was not over in time")]
    TimedOut,
    /// It is not over, and to wait for that would block the thread that ends it.
    #[error("the session is not over, and waiting would block its own thread")]
    WouldBlock,
}

/// Why settings were not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// The session was stopped, or dropped.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The session keeps copies, and needs `confirm_within` for that.
    #[error(transparent)]
    Keeping(#[from] KeepingError),
}

/// What a handle asks of its session.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// [`Handle::stop`] and [`Handle::stop_with`].
    Stop(Option<Goodbye>),
    /// [`Handle::reconnect_now`].
    ReconnectNow,
    /// [`Handle::network_changed`].
    NetworkChanged,
    /// [`Handle::healthy`].
    Healthy(Epoch),
    /// [`Handle::give_up`].
    GiveUp(Epoch, Closed),
    /// [`Handle::reconfigure`].
    Reconfigure(Config),
}

impl Wish {
    /// Adds this one to those that the session has not seen; they do not grow in
    /// number: what was said before is not said again, and new settings replace earlier
    /// ones.
    fn join(self, wishes: &mut Vec<Self>) {
        let mut before = wishes.iter();
        let is_said =
            match &self {
                // The second one is heard too, and says more than the first.
                Self::Stop(_) => {
                    let stops = before.filter(|wish| matches!(wish, Self::Stop(_)));
                    stops.count() > 1
                }
                Self::ReconnectNow | Self::NetworkChanged => before.any(|wish| *wish == self),
                Self::Healthy(epoch) => before
                    .any(|wish| matches!(wish, Self::Healthy(said) if !is_later(*epoch, *said))),
                Self::GiveUp(epoch, _) => before
                    .any(|wish| matches!(wish, Self::GiveUp(said, _) if !is_later(*epoch, *said))),
                Self::Reconfigure(_) => false,
            };
        if is_said {
            return;
        }
        // An earlier epoch is not that of a connection any more.
        if matches!(
            self,
            Self::Healthy(_) | Self::GiveUp(..) | Self::Reconfigure(_)
        ) {
            let kind = core::mem::discriminant(&self);
            wishes.retain(|wish| core::mem::discriminant(wish) != kind);
        }
        wishes.push(self);
    }
}

/// Epochs move on, and wrap around.
const fn is_later(epoch: Epoch, other: Epoch) -> bool {
    matches!(epoch.0.wrapping_sub(other.0), 1..=0x7fff_ffff)
}
