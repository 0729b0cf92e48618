use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::Instant;

use tungstenite::Message;

use super::connect::Connect;
use super::session::{Notice, Session, TimeUp, Turn};
use super::stream::Stream;
use crate::driver::{Codec, Plain};
use crate::{Closed, Handle, MaybeTls, SendError};

/// What the session of [`Session::spawn`] reports, one notice at a time: asking for the
/// next one means that those before have been dealt with. The heartbeat goes on while
/// nobody asks.
///
/// Dropping it stops the session, which closes the connection on its thread; nothing
/// waits for that. To wait, [`stop`](Handle::stop) and read on until `None`: then the
/// connection is closed. `None` also follows a panic on the session's thread, of a
/// codec for example.
pub struct Notices<S = MaybeTls<Stream>, K: Codec<Message> = Plain> {
    shared: Arc<Shared<S, K>>,
    handle: Handle<Message>,
    waker: Waker,
}

struct Shared<S, K: Codec<Message>> {
    inner: Mutex<Inner<S, K>>,
    told: Condvar,
}

struct Inner<S, K: Codec<Message>> {
    /// Without its connector, which stays with the thread. `None` once it is gone.
    session: Option<Session<S, K, ()>>,
    next: Next<Notice<K::Message>>,
    /// The thread is in the connector, for any time.
    is_away: bool,
    /// Nobody reads any more.
    is_deaf: bool,
    /// The thread has nothing more to do, and has nothing any more.
    is_over: bool,
}

/// The next notice.
enum Next<N> {
    /// Nobody has asked for it.
    Unasked,
    Asked {
        /// Whoever asks waits to hear that there is none.
        reports: bool,
    },
    /// There is none yet.
    Looked,
    There(N),
}

impl<S, K: Codec<Message>> Shared<S, K> {
    fn lock(&self) -> MutexGuard<'_, Inner<S, K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, K, C> Session<S, K, C>
where
    S: Read + Write + Send + 'static,
    K: Codec<Message> + Send + 'static,
    K::Message: Send,
    C: Connect<Stream = S> + Send + 'static,
{
    /// Gives the session a thread of its own, where its heartbeat goes on whatever the
    /// application does meanwhile. Returns a handle, which sends messages and controls
    /// the session, and its notices.
    ///
    /// Each notice changes threads, which costs about 10 µs: keep the session on its
    /// own thread if a loop has to be fast.
    ///
    /// ```
    /// use keepalive::Config;
    /// use keepalive::blocking::{Dialer, Notice, client};
    /// use tungstenite::Message;
    ///
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let url = format!("ws://{}/", listener.local_addr()?);
    /// # std::thread::spawn(move || {
    /// #     let mut echo = tungstenite::accept(listener.accept().unwrap().0).unwrap();
    /// #     while let Ok(message) = echo.read() {
    /// #         let _ = echo.send(message);
    /// #     }
    /// # });
    /// let (handle, mut notices) = client(Config::default(), Dialer::new(url)).spawn()?;
    /// handle.send_blocking(Message::text("an order"))?;
    /// while let Some(notice) = notices.next() {
    ///     match notice {
    ///         // Pings are sent and answered while this loop is busy.
    ///         Notice::Opened { .. } => notices.send(Message::text("the login"))?,
    ///         Notice::Message(message) if message == Message::text("an order") => {
    ///             handle.stop()?;
    ///         }
    ///         _ => {}
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The operating system's, if it has no thread or no descriptor left. The session
    /// is then dropped.
    pub fn spawn(mut self) -> io::Result<(Handle<Message>, Notices<S, K>)> {
        let (waker, handle) = (self.waker()?, self.handle());
        let (session, connect) = self.into_parts();
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                session: Some(session),
                next: Next::Unasked,
                is_away: false,
                is_deaf: false,
                is_over: false,
            }),
            told: Condvar::new(),
        });
        let notices = Notices {
            shared: Arc::clone(&shared),
            handle: handle.clone(),
            waker,
        };
        let thread = thread::Builder::new().name("keepalive".to_owned());
        thread.spawn(move || run(&shared, connect))?;
        Ok((handle, notices))
    }
}

/// The thread.
fn run<S, K, C>(shared: &Shared<S, K>, mut connect: C)
where
    S: Read + Write,
    K: Codec<Message>,
    C: Connect<Stream = S>,
{
    // In the order in which they are dropped, also by a panic: from the last.
    let _over = Over(shared);
    let _gone = Gone(shared);
    loop {
        let mut guard = shared.lock();
        let inner = &mut *guard;
        let Some(session) = &mut inner.session else {
            return;
        };
        // Who is deaf needs to hear nothing, but the session has to end.
        let asks = inner.is_deaf || matches!(inner.next, Next::Asked { .. } | Next::Looked);
        match session.turn(asks) {
            Turn::Told(_) if inner.is_deaf => {}
            Turn::Told(notice) => {
                inner.next = Next::There(notice);
                drop(guard);
                shared.told.notify_one();
            }
            Turn::Dial(order) => {
                inner.is_away = true;
                shared.looked(guard);
                let result = connect.connect(order.dial());
                let inner = &mut *shared.lock();
                inner.is_away = false;
                if let Some(session) = &mut inner.session {
                    session.dialled(order, result);
                }
            }
            Turn::Idle(pause) => {
                shared.looked(guard);
                pause.wait();
            }
            Turn::Again => {
                drop(guard);
                thread::yield_now();
            }
            Turn::Over => return,
        }
    }
}

impl<S, K: Codec<Message>> Shared<S, K> {
    /// There is no notice yet.
    fn looked(&self, mut inner: MutexGuard<'_, Inner<S, K>>) {
        let Next::Asked { reports } = inner.next else {
            return;
        };
        inner.next = Next::Looked;
        drop(inner);
        if reports {
            self.told.notify_one();
        }
    }
}

struct Gone<'a, S, K: Codec<Message>>(&'a Shared<S, K>);

impl<S, K: Codec<Message>> Drop for Gone<'_, S, K> {
    fn drop(&mut self) {
        // Not under the lock.
        let session = self.0.lock().session.take();
        drop(session);
    }
}

struct Over<'a, S, K: Codec<Message>>(&'a Shared<S, K>);

impl<S, K: Codec<Message>> Drop for Over<'_, S, K> {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.told.notify_one();
    }
}

impl<S, K> Notices<S, K>
where
    S: Read + Write,
    K: Codec<Message>,
{
    /// Like [`next`](Iterator::next), but returns at `until` at the latest, or a few
    /// milliseconds later if the session is busy. `None` means that the session is
    /// over. With a time in the past, it returns what is already there.
    ///
    /// # Errors
    ///
    /// [`TimeUp`], if there was no notice in time.
    pub fn next_before(&mut self, until: Instant) -> Result<Option<Notice<K::Message>>, TimeUp> {
        self.wait_for(Some(until))
    }

    fn wait_for(&self, until: Option<Instant>) -> Result<Option<Notice<K::Message>>, TimeUp> {
        let mut inner = self.shared.lock();
        if matches!(inner.next, Next::Unasked) && !inner.is_over {
            let reports = until.is_some();
            inner.next = Next::Asked { reports };
            drop(inner);
            self.waker.wake_by_ref();
            inner = self.shared.lock();
        }
        loop {
            if matches!(inner.next, Next::There(_)) {
                if let Next::There(notice) = std::mem::replace(&mut inner.next, Next::Unasked) {
                    return Ok(Some(notice));
                }
            }
            if inner.is_over {
                return Ok(None);
            }
            if inner.is_away {
                // The thread will not tell it for long.
                if let Some(notice) = inner.session.as_mut().and_then(Session::tell) {
                    inner.next = Next::Unasked;
                    return Ok(Some(notice));
                }
            }
            let has_looked = inner.is_away || matches!(inner.next, Next::Looked);
            let told = &self.shared.told;
            inner = match until.filter(|_| has_looked) {
                None => told.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        inner.next = Next::Unasked;
                        return Err(TimeUp);
                    }
                    let waited = told.wait_timeout(inner, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// As [`Session::send`].
    ///
    /// # Errors
    ///
    /// Those of [`Session::send`], and one for a session that is gone.
    pub fn send(&mut self, message: Message) -> Result<(), SendError<Message>> {
        let mut inner = self.shared.lock();
        let result = match &mut inner.session {
            Some(session) => session.send(message),
            None => Err(SendError::Gone(message)),
        };
        drop(inner);
        self.waker.wake_by_ref();
        result
    }

    /// As [`Session::requeue`].
    pub fn requeue(&mut self, messages: impl IntoIterator<Item = Message>) {
        // The application's iterator is not run under the lock.
        let messages: Vec<_> = messages.into_iter().collect();
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

    fn with<R>(&self, act: impl FnOnce(&mut Session<S, K, ()>) -> R) -> Option<R> {
        let result = self.shared.lock().session.as_mut().map(act);
        self.waker.wake_by_ref();
        result
    }
}

impl<S, K> Iterator for Notices<S, K>
where
    S: Read + Write,
    K: Codec<Message>,
{
    type Item = Notice<K::Message>;

    /// The next notice; waits for it. `None` once it is over.
    fn next(&mut self) -> Option<Self::Item> {
        self.wait_for(None).ok().flatten()
    }
}

impl<S, K: Codec<Message>> Drop for Notices<S, K> {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.is_deaf = true;
        let next = std::mem::replace(&mut inner.next, Next::Unasked);
        drop(inner);
        drop(next);
        self.handle.stop_once();
        self.waker.wake_by_ref();
    }
}

impl<S, K: Codec<Message>> fmt::Debug for Notices<S, K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Notices")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
