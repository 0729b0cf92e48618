use alloc::boxed::Box;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use futures_core::Stream;
use futures_sink::Sink as _;

use super::connect::{Connect, Transport};
use super::timer::Timer;
use crate::driver::{Bytes, End, Order, Read};
use crate::time::MILLISECOND;
use crate::{Ending, Epoch, State};

pub(super) type Message<C> = <<C as Connect>::Socket as Transport>::Message;
pub(super) type Fault<C> = <<C as Connect>::Socket as Transport>::Fault;

/// What an error says about how a connection or a dial ended.
pub(super) type Endings<E> = Box<dyn FnMut(&E) -> Ending + Send>;

/// What a session does its I/O with.
pub(super) struct Io<C: Connect, T: Timer, O> {
    pub(super) connect: C,
    pub(super) timer: T,
    pub(super) endings: Endings<Fault<C>>,
    pub(super) outgoing: Outgoing<O>,
    /// While it closes.
    pub(super) last_call: Option<LastCall<T::Instant>>,
    pub(super) bytes: fn(&C::Socket) -> Bytes,
    pub(super) limit: fn(&C::Socket) -> Option<usize>,
    /// Whether the socket that is up has a limit.
    pub(super) is_limited: bool,
    pub(super) stage: Stage<C>,
    /// The sending side is to be closed.
    pub(super) finishes: bool,
    /// To close it discards what comes.
    pub(super) close_discards: bool,
    pub(super) alarm: Alarm<T::Instant>,
    #[cfg(feature = "std")]
    pub(super) desk: Option<crate::Desk<Message<C>>>,
    pub(super) system_time: Option<fn() -> Duration>,
}

/// How far the connection is.
pub(super) enum Stage<C: Connect> {
    None,
    Dialling(Pin<Box<C::Dial>>),
    /// Open, which the driver has yet to hear.
    Accepted(C::Socket),
    Open(C::Socket),
}

/// An application's stream that always has more would leave no time for the goodbye: it
/// is not asked again after this time, once it gave this many messages.
pub(super) struct LastCall<I> {
    at: I,
    messages: usize,
}

impl<I: crate::Instant> LastCall<I> {
    /// What a handle's backlog has by default.
    const MESSAGES: usize = 1024;

    /// For a handshake that ends by then.
    pub(super) fn before(deadline: I, now: I) -> Self {
        let half = deadline.saturating_duration_since(now) / 2;
        Self {
            at: now.saturating_add(half),
            messages: Self::MESSAGES,
        }
    }
}

/// What the timer is set to.
pub(super) struct Alarm<I> {
    /// For when it is set, and when that was done.
    set: Option<(I, I)>,
    waker: Option<Waker>,
    /// As of when the reactor has turned: when the timer was set that has fired since.
    turned: Option<I>,
    /// What the clock showed last.
    now: Option<I>,
}

/// A timer that is due sooner than this may have fired.
const EARLY: Duration = Duration::from_millis(2);

impl<I: crate::Instant> Alarm<I> {
    pub(super) const fn new() -> Self {
        Self {
            set: None,
            waker: None,
            turned: None,
            now: None,
        }
    }

    /// Sets the timer, if need be. Whether it has fired, so that there is more to do.
    ///
    /// One that is set for sooner stays: it costs less to be woken once too often than
    /// to set it at each message.
    pub(super) fn wait<T>(
        &mut self,
        due: Option<I>,
        timer: &mut T,
        context: &mut Context<'_>,
    ) -> bool
    where
        T: Timer<Instant = I>,
    {
        let Some(due) = due else {
            return false;
        };
        let is_set = self.set.is_some_and(|(at, _)| at <= due);
        let waker = context.waker();
        let is_known = self.waker.as_ref().is_some_and(|own| own.will_wake(waker));
        // It may have fired already, a millisecond early.
        let is_far = |((at, _), now): ((I, I), I)| now.saturating_add(EARLY) < at;
        if is_set && is_known && self.set.zip(self.now).is_some_and(is_far) {
            return false;
        }
        if !is_set {
            let now = timer.now();
            timer.set(due);
            self.set = Some((due, now));
        }
        if !is_known {
            self.waker = Some(waker.clone());
        }
        let has_fired = timer.poll(context).is_ready();
        if has_fired {
            let set = self.set.take();
            // One that was late when it was set fires without a reactor.
            let turned = set.filter(|_| is_set).map(|(_, when)| when);
            self.turned = turned.max(self.turned);
        }
        has_fired
    }

    /// Others have their turn, and the driver goes on after that. Notes as of when the
    /// reactor has turned, which a session that is never idle would not find out.
    pub(super) fn look<T>(&mut self, timer: &mut T, context: &mut Context<'_>)
    where
        T: Timer<Instant = I>,
    {
        let soon = self.now.map(|now| now.saturating_add(MILLISECOND));
        self.wait(soon, timer, context);
    }
}

/// The I/O in one poll.
pub(super) struct Polled<'a, 'b, C: Connect, T: Timer, O> {
    pub(super) io: &'a mut Io<C, T, O>,
    pub(super) context: &'a mut Context<'b>,
}

impl<C, T, O> crate::driver::Transport for Polled<'_, '_, C, T, O>
where
    C: Connect,
    T: Timer,
    O: Stream<Item = Message<C>> + Unpin,
{
    type Message = Message<C>;
    type Error = Fault<C>;
    type Instant = T::Instant;

    #[inline]
    fn now(&mut self) -> T::Instant {
        let now = self.io.timer.now();
        let alarm = &mut self.io.alarm;
        alarm.now = Some(now);
        // There was nothing that could have come before it was first asked.
        alarm.turned.get_or_insert(now);
        now
    }

    fn carry_out(&mut self, order: Order<Message<C>>) {
        match order {
            Order::Dial { attempt } => {
                let dial = self.io.connect.connect(attempt);
                self.io.stage = Stage::Dialling(Box::pin(dial));
            }
            Order::Finish => self.io.finishes = true,
            Order::Drop(farewell) => {
                if let Stage::Open(socket) = &mut self.io.stage {
                    say(socket, farewell);
                }
                self.io.stage = Stage::None;
                self.io.finishes = false;
            }
        }
    }

    #[inline]
    fn read(&mut self) -> Read<Message<C>, Fault<C>, T::Instant> {
        if let Stage::Open(socket) = &mut self.io.stage {
            return match Pin::new(socket).poll_next(self.context) {
                Poll::Ready(Some(Ok(message))) => Read::Message(message),
                Poll::Ready(Some(Err(fault))) => Read::end(self.end(fault)),
                Poll::Ready(None) => self.plain_end(),
                Poll::Pending => self.nothing(),
            };
        }
        self.begin()
    }

    #[inline]
    fn is_ready(&mut self) -> Result<bool, Fault<C>> {
        match &mut self.io.stage {
            Stage::Open(socket) => {
                // The limit is that of what waits in the socket's buffer, too.
                if self.io.is_limited && !done(Pin::new(&mut *socket).poll_flush(self.context))? {
                    return Ok(false);
                }
                done(Pin::new(socket).poll_ready(self.context))
            }
            _ => Ok(false),
        }
    }

    fn write(&mut self, message: Message<C>) -> Result<(), Fault<C>> {
        match &mut self.io.stage {
            Stage::Open(socket) => Pin::new(socket).start_send(message),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<bool, Fault<C>> {
        match &mut self.io.stage {
            Stage::Open(socket) => done(Pin::new(socket).poll_flush(self.context)),
            _ => Ok(true),
        }
    }

    #[inline]
    fn bytes(&self) -> Bytes {
        match &self.io.stage {
            Stage::Open(socket) => (self.io.bytes)(socket),
            _ => Bytes::default(),
        }
    }

    fn limit(&self) -> Option<usize> {
        match &self.io.stage {
            Stage::Open(socket) => (self.io.limit)(socket),
            _ => None,
        }
    }

    #[inline(always)]
    fn backlog(&mut self) -> Option<Message<C>> {
        #[cfg(feature = "std")]
        if let Some(message) = self.io.desk.as_mut().and_then(crate::Desk::pull) {
            return Some(message);
        }
        if self.io.last_call.is_some() {
            return self.last_of_backlog();
        }
        match Pin::new(&mut self.io.outgoing).poll_next(self.context) {
            Poll::Ready(message) => message,
            Poll::Pending => None,
        }
    }

    #[cfg(feature = "std")]
    fn dropped(&mut self) -> Option<Vec<Message<C>>> {
        self.io.desk.as_mut()?.dropped()
    }

    fn reclaim(&mut self) -> Vec<Message<C>> {
        #[cfg(feature = "std")]
        if let Some(desk) = &mut self.io.desk {
            return desk.reclaim();
        }
        Vec::new()
    }

    #[inline]
    fn publish(&mut self, state: State, epoch: Option<Epoch>, waiting: usize) {
        #[cfg(feature = "std")]
        if let Some(desk) = &mut self.io.desk {
            desk.publish(state, epoch);
            desk.in_flight(waiting);
        }
        #[cfg(not(feature = "std"))]
        let _ = (state, epoch, waiting);
    }

    fn system_time(&mut self) -> Option<Duration> {
        self.io.system_time.map(|system_time| system_time())
    }
}

impl<C, T, O> Polled<'_, '_, C, T, O>
where
    C: Connect,
    T: Timer,
    O: Stream<Item = Message<C>> + Unpin,
{
    #[inline(never)]
    fn last_of_backlog(&mut self) -> Option<Message<C>> {
        let Io {
            last_call,
            outgoing,
            alarm,
            ..
        } = &mut *self.io;
        let LastCall { at, messages } = last_call.as_mut()?;
        if *messages == 0 && alarm.now >= Some(*at) {
            return None;
        }
        match Pin::new(outgoing).poll_next(self.context) {
            Poll::Ready(message) => {
                *messages = messages.saturating_sub(1);
                message
            }
            Poll::Pending => None,
        }
    }

    /// What became of a dial.
    #[inline(never)]
    fn begin(&mut self) -> Read<Message<C>, Fault<C>, T::Instant> {
        match core::mem::replace(&mut self.io.stage, Stage::None) {
            Stage::Dialling(mut dial) => match dial.as_mut().poll(self.context) {
                Poll::Ready(Ok(socket)) => self.open(socket),
                Poll::Ready(Err(fault)) => Read::end(self.end(fault)),
                Poll::Pending => {
                    self.io.stage = Stage::Dialling(dial);
                    self.nothing()
                }
            },
            Stage::Accepted(socket) => self.open(socket),
            other => {
                self.io.stage = other;
                self.nothing()
            }
        }
    }

    fn open(&mut self, socket: C::Socket) -> Read<Message<C>, Fault<C>, T::Instant> {
        self.io.is_limited = (self.io.limit)(&socket).is_some();
        self.io.stage = Stage::Open(socket);
        Read::Opened
    }

    fn end(&mut self, fault: Fault<C>) -> End<Fault<C>> {
        let ending = (self.io.endings)(&fault);
        End::of(fault, ending, matches!(self.io.stage, Stage::Open(_)))
    }

    #[inline(never)]
    fn plain_end(&mut self) -> Read<Message<C>, Fault<C>, T::Instant> {
        self.finish();
        Read::end(End::Plain)
    }

    /// Closes the sending side, where that is to be done. How it ends is found by reading.
    fn finish(&mut self) {
        if !self.io.finishes {
            return;
        }
        if let Stage::Open(socket) = &mut self.io.stage {
            if Pin::new(socket).poll_close(self.context).is_ready() {
                self.io.finishes = false;
            }
        }
    }

    fn nothing(&mut self) -> Read<Message<C>, Fault<C>, T::Instant> {
        if !self.io.close_discards {
            self.finish();
        }
        let turned = self.io.alarm.turned;
        let as_of = turned.unwrap_or_else(|| {
            let now = self.io.timer.now();
            *self.io.alarm.turned.insert(now)
        });
        Read::Nothing(as_of)
    }
}

fn done<E>(result: Poll<Result<(), E>>) -> Result<bool, E> {
    match result {
        Poll::Ready(result) => result.map(|()| true),
        Poll::Pending => Ok(false),
    }
}

/// Offers a last message, if it is taken at once, and flushes once.
fn say<S: Transport>(socket: &mut S, farewell: Option<S::Message>) {
    let mut context = Context::from_waker(Waker::noop());
    let mut socket = Pin::new(socket);
    if let Some(farewell) = farewell {
        let ready = socket.as_mut().poll_ready(&mut context);
        if !matches!(ready, Poll::Ready(Ok(()))) || socket.as_mut().start_send(farewell).is_err() {
            return;
        }
    }
    let _ = socket.poll_flush(&mut context);
}

/// The application's messages; a stream that has ended is not asked again.
pub(super) struct Outgoing<O>(pub(super) Option<O>);

impl<O: Stream + Unpin> Stream for Outgoing<O> {
    type Item = O::Item;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<O::Item>> {
        let Some(stream) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let item = Pin::new(stream).poll_next(context);
        if matches!(item, Poll::Ready(None)) {
            self.0 = None;
        }
        item
    }
}

impl<O> Unpin for Outgoing<O> {}
