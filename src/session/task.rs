use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_core::Stream;

use super::adapter::{Session, Told};
use super::connect::Connect;
use super::io::Message;
use super::timer::Timer;
use crate::driver::{Codec, Dialect};
use crate::{Closed, SendError};

/// A session as a task of its own: the heartbeat goes on, whatever the application does
/// meanwhile.
///
/// Give it to any runtime's `spawn`. It ends once `Stopped` was returned, or once its
/// [`Notices`] are dropped, which stops the session. Dropping a task abandons its
/// connection, and its notices end.
pub struct Task<C, T, D, K, O>(Arc<Shared<C, T, D, K, O>>)
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>;

/// What the session of a [`Task`] reports, one notice at a time: asking for the next
/// one means that those before have been dealt with.
pub struct Notices<C, T, D, K, O>(Arc<Shared<C, T, D, K, O>>)
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>;

struct Shared<C, T, D, K, O>(Mutex<Inner<C, T, D, K, O>>)
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>;

struct Inner<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    /// `None` once it is over, or its task is gone.
    session: Option<Session<C, T, D, K, O>>,
    next: Next<Told<C, T, K>>,
    task: Option<Waker>,
    reader: Option<Waker>,
    /// Nobody reads any more.
    is_deaf: bool,
}

/// The next notice.
enum Next<N> {
    /// Nobody has asked for it.
    Unasked,
    Asked,
    There(N),
}

impl<C, T, D, K, O> Shared<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    fn lock(&self) -> MutexGuard<'_, Inner<C, T, D, K, O>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C, T, D, K, O> Session<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
    O: Stream<Item = Message<C>> + Unpin,
{
    /// The session as a task, for `spawn`, and its notices. Take a
    /// [`handle`](Self::handle) first.
    #[allow(clippy::type_complexity)]
    pub fn into_task(self) -> (Task<C, T, D, K, O>, Notices<C, T, D, K, O>) {
        let shared = Arc::new(Shared(Mutex::new(Inner {
            session: Some(self),
            next: Next::Unasked,
            task: None,
            reader: None,
            is_deaf: false,
        })));
        (Task(Arc::clone(&shared)), Notices(shared))
    }
}

impl<C, T, D, K, O> Future for Task<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
    O: Stream<Item = Message<C>> + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.0.lock();
        let inner = &mut *guard;
        let Some(session) = &mut inner.session else {
            return Poll::Ready(());
        };
        if !inner
            .task
            .as_ref()
            .is_some_and(|own| own.will_wake(context.waker()))
        {
            inner.task = Some(context.waker().clone());
        }
        // Who is deaf needs to hear nothing, but the session has to end.
        let asks = inner.is_deaf || matches!(inner.next, Next::Asked);
        let notice = if asks {
            session.poll_notice(context)
        } else {
            session.poll_unheard(context)
        };
        let is_over = match notice {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(_)) if inner.is_deaf => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Some(notice)) => {
                inner.next = Next::There(notice);
                false
            }
            Poll::Ready(None) => {
                inner.session = None;
                true
            }
        };
        let reader = inner.reader.take();
        drop(guard);
        if let Some(reader) = reader {
            reader.wake();
        }
        if is_over {
            return Poll::Ready(());
        }
        // The heartbeat goes on until the next one is asked for.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<C, T, D, K, O> Drop for Task<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        let (session, reader) = (inner.session.take(), inner.reader.take());
        drop(inner);
        drop(session);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl<C, T, D, K, O> Notices<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    /// The next notice; `None` once it is over. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Told<C, T, K>> {
        poll_fn(|context| self.poll_notice(context)).await
    }

    /// Polls for the next notice.
    pub fn poll_notice(&mut self, context: &mut Context<'_>) -> Poll<Option<Told<C, T, K>>> {
        let mut guard = self.0.lock();
        let inner = &mut *guard;
        match core::mem::replace(&mut inner.next, Next::Asked) {
            Next::There(notice) => {
                inner.next = Next::Unasked;
                return Poll::Ready(Some(notice));
            }
            Next::Unasked | Next::Asked if inner.session.is_none() => return Poll::Ready(None),
            Next::Asked => {
                inner.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            Next::Unasked => inner.reader = Some(context.waker().clone()),
        }
        let task = inner.task.clone();
        drop(guard);
        if let Some(task) = task {
            task.wake();
        }
        Poll::Pending
    }

    /// As [`Session::send`].
    ///
    /// # Errors
    ///
    /// As [`Session::send`].
    pub fn send(&mut self, message: Message<C>) -> Result<(), SendError<Message<C>>> {
        let mut message = Some(message);
        let result = self.with(|session| message.take().map(|message| session.send(message)));
        match (result.flatten(), message) {
            (Some(result), _) => result,
            (None, Some(message)) => Err(SendError::Gone(message)),
            (None, None) => Ok(()),
        }
    }

    /// As [`Session::requeue`].
    pub fn requeue(&mut self, messages: impl IntoIterator<Item = Message<C>>) {
        self.with(|session| session.requeue(messages));
    }

    /// As [`Session::healthy`].
    pub fn healthy(&mut self) -> bool {
        self.with(Session::healthy) == Some(true)
    }

    /// As [`Session::give_up`].
    pub fn give_up(&mut self, closed: Closed) -> bool {
        self.with(|session| session.give_up(closed)) == Some(true)
    }

    fn with<R>(&self, act: impl FnOnce(&mut Session<C, T, D, K, O>) -> R) -> Option<R> {
        let mut inner = self.0.lock();
        let result = inner.session.as_mut().map(act);
        let task = inner.task.clone();
        drop(inner);
        if let Some(task) = task {
            task.wake();
        }
        result
    }
}

impl<C, T, D, K, O> Drop for Notices<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    fn drop(&mut self) {
        self.0.lock().is_deaf = true;
        let handle = self.with(Session::stop_once).flatten();
        if let Some(handle) = handle {
            handle.stop_once();
        }
    }
}

impl<C, T, D, K, O> Stream for Notices<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    type Item = Told<C, T, K>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_notice(context)
    }
}

impl<C, T, D, K, O> fmt::Debug for Task<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Task")
    }
}

impl<C, T, D, K, O> fmt::Debug for Notices<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Notices")
    }
}
