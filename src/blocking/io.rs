use std::io::{self, ErrorKind, Read as IoRead, Write as IoWrite};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::{Error, Message, WebSocket};

use super::link::Link;
use super::wait::Wait;
use crate::driver::{Bytes, End, Order, Read, Transport};
use crate::time::MILLISECOND;
use crate::tungstenite::{ending, longest};
use crate::{Desk, Ending, Epoch, State};

/// How many bytes tungstenite may hold until they are written.
const BATCH: usize = 64 << 10;

/// How many messages are taken from tungstenite's buffer until the clock is read again, by
/// an application that needs less than [`QUICK`] for all of them.
const STRIDE: u8 = 16;
const QUICK: Duration = MILLISECOND;

/// How often to look if there is nothing to wait with.
const LOOK: Duration = Duration::from_millis(10);

/// What a session does its I/O with.
pub(super) struct Io<S> {
    pub(super) endings: Box<dyn FnMut(&Error) -> Ending + Send>,
    pub(super) stage: Stage<S>,
    pub(super) desk: Option<Desk<Message>>,
    wait: Option<(Wait, Waker)>,
    /// The next read may wait, until then if there is a time.
    pub(super) patience: Option<Option<Instant>>,
    /// What tungstenite holds.
    held: Held,
    /// When the clock was last read, and what the link says of that.
    now: Instant,
    stamp: u64,
    /// When the connection opened.
    opened: Instant,
    stride: u8,
    calls: u8,
}

/// How far the connection is.
pub(super) enum Stage<S> {
    None,
    /// This dial is to begin.
    Ordered(u32),
    /// What became of it, which the driver has yet to hear.
    Dialled(Result<(WebSocket<S>, Link), Error>),
    Open(WebSocket<S>, Link),
}

enum Held {
    Bytes(usize),
    /// The system takes no more.
    Blocked,
}

impl<S> Io<S> {
    pub(super) fn new(stage: Stage<S>) -> Self {
        let wait = match &stage {
            Stage::Dialled(Ok((_, link))) => Some(link.wait().clone()),
            _ => None,
        };
        Self {
            endings: Box::new(ending),
            stage,
            desk: None,
            wait: wait.map(|wait| (wait.clone(), wait.waker())),
            patience: None,
            held: Held::Bytes(0),
            now: Instant::now(),
            stamp: 0,
            opened: Instant::now(),
            stride: STRIDE,
            calls: 0,
        }
    }

    /// What it waits with. Where the system had none, it is asked again.
    pub(super) fn wait(&mut self) -> io::Result<&(Wait, Waker)> {
        if self.wait.is_none() {
            let wait = Wait::new()?;
            let waker = wait.waker();
            return Ok(self.wait.insert((wait, waker)));
        }
        self.wait.as_ref().ok_or_else(|| ErrorKind::Other.into())
    }

    /// Whether somebody woke it since this was last asked.
    #[inline]
    pub(super) fn take_woken(&self) -> bool {
        self.wait
            .as_ref()
            .is_some_and(|(wait, _)| wait.take_woken())
    }

    /// The application may have needed any time since it was last here.
    #[inline]
    pub(super) fn look_at_the_clock(&mut self) {
        self.calls += 1;
        if self.calls >= self.stride {
            let before = self.last_time();
            let is_quick = self.read_clock().saturating_duration_since(before) < QUICK;
            self.stride = if is_quick { STRIDE } else { 1 };
            self.calls = 0;
        }
    }

    pub(super) fn read_clock(&mut self) -> Instant {
        match &self.stage {
            Stage::Open(_, link) => drop(link.read_clock()),
            _ => self.now = Instant::now(),
        }
        self.last_time()
    }

    /// When the clock was last read.
    #[inline]
    pub(super) fn last_time(&mut self) -> Instant {
        if let Stage::Open(_, link) = &self.stage {
            let stamp = link.stamp();
            if stamp != self.stamp {
                (self.now, self.stamp) = (link.now(), stamp);
            }
        }
        self.now
    }

    /// Whether the system has nothing to read. The library above may have.
    #[inline]
    pub(super) fn is_drained(&self) -> bool {
        matches!(&self.stage, Stage::Open(_, link) if !link.is_readable())
    }

    /// Waits without a connection.
    fn sleep(&mut self, until: Option<Instant>) {
        sleep(self.wait.as_ref().map(|(wait, _)| wait), until);
        self.read_clock();
    }

    /// The same, and with one, without this.
    pub(super) fn pause(&self, until: Option<Instant>) -> Pause {
        let link = match &self.stage {
            Stage::Open(_, link) => Some(link.clone()),
            _ => None,
        };
        let wait = self.wait.as_ref().map(|(wait, _)| wait.clone());
        Pause { link, wait, until }
    }
}

/// A wait for whatever comes first.
pub(super) struct Pause {
    link: Option<Link>,
    wait: Option<Wait>,
    until: Option<Instant>,
}

impl Pause {
    pub(super) fn wait(self) {
        let has_waited = match &self.link {
            Some(link) => link.wait_until(self.until).is_ok(),
            None => false,
        };
        if !has_waited {
            sleep(self.wait.as_ref(), self.until);
        }
    }
}

fn sleep(wait: Option<&Wait>, until: Option<Instant>) {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let has_waited = wait.is_some_and(|wait| wait.wait(left).is_ok());
    if !has_waited {
        thread::sleep(left.unwrap_or(LOOK).min(LOOK));
    }
}

impl<S: IoRead + IoWrite> Transport for Io<S> {
    type Message = Message;
    type Error = Error;
    type Instant = Instant;

    #[inline]
    fn now(&mut self) -> Instant {
        self.last_time()
    }

    fn carry_out(&mut self, order: Order<Message>) {
        match order {
            Order::Dial { attempt } => self.stage = Stage::Ordered(attempt),
            // Reads and flushes are all that tungstenite needs.
            Order::Finish => {}
            Order::Drop(farewell) => {
                if let (Some(farewell), Ok(true)) = (farewell, self.is_ready()) {
                    let _ = self.write(farewell);
                }
                let _ = self.flush();
                self.last_time();
                self.stage = Stage::None;
                self.held = Held::Bytes(0);
            }
        }
    }

    #[inline(always)]
    fn read(&mut self) -> Read<Message, Error, Instant> {
        let patience = self.patience.take();
        let Stage::Open(socket, link) = &mut self.stage else {
            return match self.begin(patience) {
                Some(Ok(())) => Read::Opened,
                Some(Err(end)) => Read::end(end),
                None => Read::Nothing(self.last_time()),
            };
        };
        match patience {
            Some(until) => link.begin_to_wait(until),
            None => link.begin(),
        }
        let found = socket.read();
        if patience.is_some() {
            link.end_to_wait();
        }
        match found {
            Ok(message) => Read::Message(message),
            Err(error) if is_blocked(&error, link) => {
                Read::Nothing(link.drained().unwrap_or(self.opened))
            }
            Err(error) => {
                let ending = (self.endings)(&error);
                Read::end(End::of(error, ending, true))
            }
        }
    }

    #[inline]
    fn is_ready(&mut self) -> Result<bool, Error> {
        match (&self.held, &self.stage) {
            (Held::Bytes(held), Stage::Open(socket, _)) if *held < batch(socket) => Ok(true),
            (_, Stage::Open(..)) => self.flush(),
            _ => Ok(true),
        }
    }

    fn write(&mut self, message: Message) -> Result<(), Error> {
        let Stage::Open(socket, link) = &mut self.stage else {
            return Ok(());
        };
        if let Held::Bytes(held) = &mut self.held {
            *held = held.saturating_add(message.len());
        }
        link.begin();
        let result = socket.write(message);
        if !is_done(result, link)? {
            self.held = Held::Blocked;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<bool, Error> {
        let Stage::Open(socket, link) = &mut self.stage else {
            return Ok(true);
        };
        link.begin();
        let result = socket.flush();
        let is_out = is_done(result, link)?;
        self.held = if is_out {
            Held::Bytes(0)
        } else {
            Held::Blocked
        };
        Ok(is_out)
    }

    #[inline]
    fn bytes(&self) -> Bytes {
        match &self.stage {
            Stage::Open(_, link) => link.bytes(),
            _ => Bytes::default(),
        }
    }

    fn limit(&self) -> Option<usize> {
        match &self.stage {
            Stage::Open(socket, _) => longest(socket.get_config()),
            _ => None,
        }
    }

    #[inline]
    fn backlog(&mut self) -> Option<Message> {
        self.desk.as_mut()?.pull()
    }

    fn dropped(&mut self) -> Option<Vec<Message>> {
        self.desk.as_mut()?.dropped()
    }

    fn reclaim(&mut self) -> Vec<Message> {
        self.desk.as_mut().map(Desk::reclaim).unwrap_or_default()
    }

    #[inline]
    fn publish(&mut self, state: State, epoch: Option<Epoch>, waiting: usize) {
        if let Some(desk) = &mut self.desk {
            desk.publish(state, epoch);
            desk.in_flight(waiting);
        }
    }

    fn system_time(&mut self) -> Option<Duration> {
        Some(crate::system::system_time())
    }
}

impl<S: IoRead + IoWrite> Io<S> {
    /// What became of a dial, or of an accepted socket's handshake, if anything did.
    #[inline(never)]
    fn begin(&mut self, patience: Option<Option<Instant>>) -> Option<Result<(), End<Error>>> {
        match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::Dialled(Ok((socket, link))) => {
                if !link.open() {
                    return Some(Err(End::Failed(Error::Io(link.why_not_open()))));
                }
                self.now = link.read_clock();
                self.stamp = link.stamp();
                self.opened = self.now;
                self.stage = Stage::Open(socket, link);
                Some(Ok(()))
            }
            Stage::Dialled(Err(error)) => {
                let ending = (self.endings)(&error);
                Some(Err(End::of(error, ending, false)))
            }
            stage @ (Stage::None | Stage::Ordered(_) | Stage::Open(..)) => {
                self.stage = stage;
                if let Some(until) = patience {
                    self.sleep(until);
                }
                None
            }
        }
    }
}

/// tungstenite refuses what goes beyond a limit that it was given; what it holds itself,
/// a pong for example, counts too.
fn batch<S>(socket: &WebSocket<S>) -> usize {
    match socket.get_config().max_write_buffer_size {
        usize::MAX => BATCH,
        _ => 0,
    }
}

/// Whether all of it has left.
fn is_done(result: Result<(), Error>, link: &Link) -> Result<bool, Error> {
    if let Some(error) = link.take_write_error() {
        return Err(Error::Io(error));
    }
    match result {
        Ok(()) => Ok(true),
        Err(error) if is_blocked(&error, link) => Ok(false),
        // A server's socket says so when the goodbyes are out; the next read does, too.
        Err(Error::ConnectionClosed | Error::AlreadyClosed) => Ok(true),
        Err(error) => Err(error),
    }
}

fn is_blocked(error: &Error, link: &Link) -> bool {
    match error {
        Error::Io(error) => match error.kind() {
            ErrorKind::WouldBlock => true,
            // tungstenite's word for a write that took no byte: TLS does so when its own
            // buffer is full.
            ErrorKind::ConnectionReset => !link.is_read_cut(),
            _ => false,
        },
        _ => false,
    }
}
