use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read as IoRead, Write as IoWrite};
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::{Error, Message, WebSocket};

use super::connection::{Connection, End, Read};
use super::dial::Dial;
use super::error::SendError;
use super::wire::Link;
use crate::codec::{code_of, sendable};
use crate::tungstenite::{ProtocolPings, ending};
use crate::{
    Action, Actions, Cause, CloseCode, CloseReason, Closed, Codec, Config, Ending, Epoch, Event,
    Heartbeat, Incoming, Manner, PingId, State, stall, trace,
};

/// What a [`Session`] reports.
pub type Notice = crate::Notice<Message, Error, Instant>;

/// How many notices may wait to be heard until a tick reads no more than one
/// message.
const READ_BATCH: usize = 64;

/// The longest wait where nothing is awaited.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

const QUEUE_LIMIT: usize = 1 << 20;

/// A WebSocket that is kept alive: pinged, watched, closed and dialled again, by
/// the thread that asks for the next [`Notice`].
///
/// Everything happens inside [`next`](Iterator::next) and
/// [`next_before`](Self::next_before); a session that is not asked does nothing,
/// and one that is asked too rarely ticks late, which the heartbeat forgives
/// once in a silence. One that is dropped abandons its connection, without a
/// close handshake.
pub struct Session<S, D = fn(&Dial) -> Result<WebSocket<S>, Error>, C = ProtocolPings> {
    heartbeat: Heartbeat<Instant>,
    connect: D,
    codec: C,
    connection: Option<Connection<S>>,
    is_dial_due: bool,
    can_dial: bool,
    notices: VecDeque<Notice>,
    queue_limit: usize,
    stall_timeout: Option<Duration>,
}

impl<S, D> Session<S, D>
where
    S: IoRead + IoWrite,
    D: FnMut(&Dial) -> Result<WebSocket<S>, Error>,
{
    /// A client. `connect` is called afresh for each dial, so it can sign a new
    /// request or choose another server; it makes its socket with the [`Dial`],
    /// which bounds it in time. It begins to dial at the first call for a notice.
    ///
    /// The seed decides every jitter: take a different seed per client, or they act in
    /// lockstep.
    pub fn client(config: Config, seed: u64, connect: D) -> Self {
        Self::new(config, seed, connect, true)
    }
}

impl<S: IoRead + IoWrite> Session<S> {
    /// A server's accepted socket, which is open; see [`accept`](super::accept).
    /// The first loss is final: reconnecting is off, whatever the settings say.
    pub fn accepted(config: Config, seed: u64, socket: WebSocket<S>, link: Link) -> Self {
        let never: fn(&Dial) -> Result<WebSocket<S>, Error> = |_| Err(Error::AlreadyClosed);
        let mut session = Self::new(without_reconnect(config), seed, never, false);
        session.open(socket, link, Instant::now());
        session
    }
}

impl<S, D> Session<S, D>
where
    S: IoRead + IoWrite,
    D: FnMut(&Dial) -> Result<WebSocket<S>, Error>,
{
    fn new(config: Config, seed: u64, connect: D, can_dial: bool) -> Self {
        Self {
            heartbeat: Heartbeat::new(config, seed),
            connect,
            codec: ProtocolPings,
            connection: None,
            is_dial_due: false,
            can_dial,
            notices: VecDeque::new(),
            queue_limit: QUEUE_LIMIT,
            stall_timeout: None,
        }
    }
}

impl<S, D, C> Session<S, D, C> {
    /// Sets the codec; [`ProtocolPings`] by default.
    pub fn with_codec<N: Codec<Message>>(self, codec: N) -> Session<S, D, N> {
        Session {
            heartbeat: self.heartbeat,
            connect: self.connect,
            codec,
            connection: self.connection,
            is_dial_due: self.is_dial_due,
            can_dial: self.can_dial,
            notices: self.notices,
            queue_limit: self.queue_limit,
            stall_timeout: self.stall_timeout,
        }
    }

    /// How many bytes may wait behind a message that the socket does not take,
    /// 64 for each message included; 1 MiB by default. What goes beyond is given
    /// back by [`send`](Self::send).
    #[must_use]
    pub const fn with_queue_limit(mut self, bytes: usize) -> Self {
        self.queue_limit = bytes;
        self
    }

    /// For how long the system may take no byte of what is to be written until
    /// the transport has failed (`Io` with `TimedOut`); by default the
    /// `pong_timeout` of the settings in force.
    ///
    /// Like TCP's user timeout this is the transport's own end: a peer that sends
    /// but never reads is alive, and would hold what is written for ever. Time in
    /// which the session is not asked for a notice counts as 1 s at most.
    #[must_use]
    pub const fn with_stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = Some(timeout);
        self
    }

    /// The state machine, to look at.
    pub const fn heartbeat(&self) -> &Heartbeat<Instant> {
        &self.heartbeat
    }
}

impl<S, D, C> Session<S, D, C>
where
    S: IoRead + IoWrite,
    D: FnMut(&Dial) -> Result<WebSocket<S>, Error>,
    C: Codec<Message>,
{
    /// Like [`next`](Iterator::next), but comes back at `until` at the latest, so
    /// that the application can do work of its own on this thread: `None` then,
    /// as well as after `Stopped`.
    ///
    /// A dial is not interrupted; it takes up to `connect_timeout`. A time that
    /// has passed looks for what is there.
    pub fn next_before(&mut self, until: Instant) -> Option<Notice> {
        self.next_until(Some(until))
    }

    /// Sends a message, or queues it behind one that the socket does not take at
    /// once. It blocks for 5 ms at most.
    ///
    /// What was taken is never sent twice, and is lost where the connection is.
    ///
    /// # Errors
    ///
    /// The message, where there is no open connection, too much waits already, or
    /// it could never be sent.
    pub fn send(&mut self, message: Message) -> Result<(), SendError> {
        match &mut self.connection {
            Some(connection) if self.heartbeat.state() == State::Open => {
                connection.send(message, self.queue_limit)?;
                self.write();
                Ok(())
            }
            _ => Err(SendError::Down(message)),
        }
    }

    /// The WebSocket that is up, to look at.
    pub fn socket(&self) -> Option<&WebSocket<S>> {
        self.connection.as_ref().map(Connection::socket)
    }

    /// Ends it, with a close handshake where the connection is open, behind all
    /// that is queued. A second call does not wait for the handshake.
    pub fn stop(&mut self) {
        self.step(Event::Stop, None, Instant::now());
    }

    /// Begins a new connection, whatever the state, but no sooner than 1 s after the
    /// last dial began: a call for a notice dials. What is open is ended with a close
    /// frame that has no code, if the socket takes it at once. A dial younger than 5 s
    /// is that new connection.
    pub fn reconnect_now(&mut self) {
        self.step(Event::ReconnectNow, None, Instant::now());
    }

    /// Reports that the path may be another one now.
    pub fn network_changed(&mut self) {
        self.step(Event::NetworkChanged, None, Instant::now());
    }

    /// Reports that the application has what it connected for: it ends the wait for
    /// `healthy_within`, and proves this connection as anything received does.
    pub fn healthy(&mut self) {
        self.step(Event::Healthy, None, Instant::now());
    }

    /// Gives up the connection that is open, if one is, as if the peer had closed it
    /// so: the login was refused, for example. The peer hears the code, where it may
    /// be sent and the socket takes it at once.
    pub fn give_up(&mut self, closed: Closed) {
        if self.heartbeat.state() == State::Open {
            self.farewell(Some(sendable(closed.code)));
            self.step(Event::GiveUp(closed), None, Instant::now());
        }
    }

    /// Changes the settings while running.
    pub fn reconfigure(&mut self, config: Config) {
        let config = if self.can_dial {
            config
        } else {
            without_reconnect(config)
        };
        let actions = self.heartbeat.reconfigure(config, Instant::now());
        self.act(actions, None);
    }

    fn next_until(&mut self, until: Option<Instant>) -> Option<Notice> {
        let mut has_turned = false;
        // Notices that nobody has collected must not delay a ping.
        if !self.notices.is_empty() && self.heartbeat.state() == State::Open {
            self.tick_if_due(Instant::now());
        }
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Some(notice);
            }
            let now = Instant::now();
            let is_late = has_turned && until.is_some_and(|until| until <= now);
            match self.heartbeat.state() {
                State::Stopped => return None,
                _ if is_late => return None,
                State::Idle => self.step(Event::Start, None, now),
                _ => self.turn(now, until),
            }
            has_turned = true;
        }
    }

    fn tick_if_due(&mut self, now: Instant) -> bool {
        let is_due = self.heartbeat.deadline().is_some_and(|at| at <= now);
        if !is_due || !self.read_all() && self.is_verdict_held(now) {
            return false;
        }
        // The tick has the time from before the reads: up to then everything was read
        // that had come.
        self.step(Event::Tick, None, now);
        true
    }

    /// What is left unread may be an answer. A flood holds a verdict for
    /// `pong_timeout` at most.
    fn is_verdict_held(&self, now: Instant) -> bool {
        let longest = self.heartbeat.config().pong_timeout();
        let verdict = self.heartbeat.verdict(now);
        verdict.is_some_and(|due| now < crate::Instant::saturating_add(due, longest))
    }

    /// A tick, a dial, or a round of writing and reading.
    fn turn(&mut self, now: Instant, until: Option<Instant>) {
        if self.tick_if_due(now) {
            return;
        }
        if self.is_dial_due {
            return self.dial();
        }
        self.write();
        if self.notices.is_empty() {
            self.wait(until);
        }
    }

    /// Reads, or sleeps, until something is due.
    fn wait(&mut self, until: Option<Instant>) {
        let write = self.connection.as_ref().and_then(Connection::next_write);
        let due = [self.heartbeat.deadline(), until, write];
        let now = Instant::now();
        let wake = due.into_iter().flatten().min();
        let wake = wake.unwrap_or_else(|| now + LONGEST_WAIT).max(now);
        if self.connection.is_some() {
            self.read(wake);
        } else {
            thread::sleep(wake.saturating_duration_since(now));
        }
    }

    /// Whether nothing is left unread.
    fn read_all(&mut self) -> bool {
        let room = READ_BATCH.saturating_sub(self.notices.len());
        (0..=room).any(|_| !self.read(Instant::now()))
    }

    /// Reads one message, or what there is of one by then. Whether there may be
    /// more.
    fn read(&mut self, until: Instant) -> bool {
        let Some(connection) = &mut self.connection else {
            return false;
        };
        let found = connection.read(until);
        let received = connection.link().received();
        self.note_received();
        match found {
            Read::Message(message) => {
                self.heard(message, received.unwrap_or_else(Instant::now));
                true
            }
            Read::Nothing => false,
            Read::End(end) => {
                self.end(end);
                false
            }
        }
    }

    /// It is the bytes that are life, before they are a message.
    fn note_received(&mut self) {
        let connection = self.connection.as_ref();
        if let Some(at) = connection.and_then(|connection| connection.link().take_received()) {
            self.step(Event::Received, None, at);
        }
    }

    fn heard(&mut self, message: Message, at: Instant) {
        if matches!(message, Message::Close(_)) {
            return self.closed_by_peer();
        }
        match self.codec.read(&message) {
            Incoming::Message => {
                self.step(Event::Message, None, at);
                self.notices.push_back(Notice::Message(message));
            }
            Incoming::Pong(id) => self.pong(id, at),
            Incoming::AnyPong => {
                if let Some(id) = self.heartbeat.awaited_ping() {
                    self.pong(id, at);
                }
            }
            Incoming::Ping(answer) => {
                if let Some(connection) = &mut self.connection {
                    connection.answer(answer);
                }
                self.write();
            }
            // The answer to a protocol ping is in tungstenite's buffer.
            Incoming::Control => self.write(),
            Incoming::Closed(closed) => self.closed(closed),
        }
    }

    fn pong(&mut self, id: PingId, at: Instant) {
        let is_awaited = self.heartbeat.awaited_ping() == Some(id);
        self.step(Event::Pong(id), None, at);
        let round_trip = self.heartbeat.round_trip().filter(|_| is_awaited);
        if let Some(round_trip) = round_trip.map(|measured| measured.last()) {
            trace::pong(self.heartbeat.epoch(), id, round_trip);
            self.notices.push_back(Notice::Pong { id, round_trip });
        }
    }

    /// The peer's close frame. While open it is the end; while closing it answers
    /// ours, and the end of the transport comes next.
    fn closed_by_peer(&mut self) {
        if self.heartbeat.state() == State::Open {
            self.write();
            let code = self
                .connection
                .as_ref()
                .and_then(Connection::closed)
                .flatten();
            self.end(End::Closed(code));
        }
    }

    fn write(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let written = match connection.write() {
            Ok(written) => written,
            Err(error) => {
                let end = connection.end(error);
                return self.end(end);
            }
        };
        let stalled = connection.link().stalled();
        let now = Instant::now();
        self.note_received();
        if written.message {
            self.step(Event::Sent, None, now);
        }
        if written.drained {
            self.step(Event::Draining, None, now);
        }
        if let Some(id) = written.ping {
            self.step(Event::PingSent(id), None, now);
        }
        if stalled >= self.stall_timeout() {
            self.end(End::Failed(Error::Io(stall::error())));
        }
    }

    fn stall_timeout(&self) -> Duration {
        let default = self.heartbeat.config().pong_timeout();
        self.stall_timeout.unwrap_or(default)
    }

    /// The transport is over.
    fn end(&mut self, end: End) {
        match end {
            End::Closed(code) => self.closed(Closed {
                code,
                ..Closed::default()
            }),
            End::Failed(error) => {
                self.connection = None;
                let ending = ending(&error).of_connection();
                let cause = ending.cause(error);
                self.step(ending.event(), Some(cause), Instant::now());
            }
        }
    }

    /// The transport is over in an orderly way.
    fn closed(&mut self, closed: Closed) {
        self.connection = None;
        let cause = Cause::Closed(closed.code);
        self.step(Event::Closed(closed), Some(cause), Instant::now());
    }

    fn dial(&mut self) {
        self.is_dial_due = false;
        let epoch = self.heartbeat.epoch();
        let deadline = self.heartbeat.deadline().unwrap_or_else(Instant::now);
        let dial = Dial::new(deadline, self.heartbeat.attempt());
        let result = (self.connect)(&dial);
        let link = dial.link();
        match result.and_then(|socket| bound(socket, link)) {
            Ok(socket) => self.open(socket, link.clone(), Instant::now()),
            Err(error) => self.dial_failed(epoch, error),
        }
    }

    fn open(&mut self, socket: WebSocket<S>, link: Link, now: Instant) {
        self.connection = Some(Connection::new(socket, link));
        self.step(Event::Opened, None, now);
        self.notices.push_back(Notice::Opened);
    }

    /// At the deadline it is the heartbeat that gives the dial up; its failure
    /// then comes too late.
    fn dial_failed(&mut self, epoch: Epoch, error: Error) {
        let now = Instant::now();
        if self.heartbeat.deadline().is_some_and(|at| at <= now) {
            self.step(Event::Tick, None, now);
        }
        let ending = ending(&error);
        let before = trace::Before::of(&self.heartbeat);
        let actions = self.heartbeat.handle_from(epoch, ending.event(), now);
        let cause = ending.cause_of_dial(error);
        before.changed(&self.heartbeat, &actions, Some(&cause));
        self.act(actions, Some(cause));
    }

    fn step(&mut self, event: Event, ended: Option<Cause<Error>>, now: Instant) {
        let before = trace::Before::of(&self.heartbeat);
        let actions = self.heartbeat.handle(event, now);
        let reason = ended.as_ref().map(|cause| cause as &dyn fmt::Display);
        before.changed(&self.heartbeat, &actions, reason);
        self.act(actions, ended);
    }

    fn act(&mut self, actions: Actions<Instant>, ended: Option<Cause<Error>>) {
        let attempt = self.heartbeat.attempt();
        self.notices
            .extend(Notice::of_step(&actions, ended, attempt));
        for action in actions {
            match action {
                Action::Connect if self.can_dial => self.is_dial_due = true,
                Action::Connect => {
                    let cause = Some(Cause::NotDialled);
                    self.step(Ending::Failed.event(), cause, Instant::now());
                }
                Action::SendPing(id) => self.ping(id),
                Action::Close(reason) => self.close(reason),
                Action::ScheduleReconnect { .. } | Action::ArmDeadline(_) | Action::Stopped(_) => {}
            }
        }
    }

    fn ping(&mut self, id: PingId) {
        trace::ping(self.heartbeat.epoch(), id);
        let message = self.codec.ping(id);
        if let Some(connection) = &mut self.connection {
            if let Err(error) = connection.ping(id, message) {
                let end = connection.end(error);
                return self.end(end);
            }
        }
        self.write();
    }

    fn close(&mut self, reason: CloseReason) {
        self.is_dial_due = false;
        match reason.manner() {
            Manner::Handshake => {
                if let Some(connection) = &mut self.connection {
                    connection.close();
                    self.write();
                }
            }
            Manner::Farewell => self.farewell(code_of(reason)),
            Manner::Abandon => self.connection = None,
        }
    }

    fn farewell(&mut self, code: Option<CloseCode>) {
        if let Some(connection) = self.connection.take() {
            connection.farewell(code);
        }
    }
}

impl<S, D, C> Iterator for Session<S, D, C>
where
    S: IoRead + IoWrite,
    D: FnMut(&Dial) -> Result<WebSocket<S>, Error>,
    C: Codec<Message>,
{
    type Item = Notice;

    /// The next notice; waits for it. `None` after `Stopped`, until
    /// [`reconnect_now`](Session::reconnect_now).
    fn next(&mut self) -> Option<Notice> {
        self.next_until(None)
    }
}

impl<S, D, C> fmt::Debug for Session<S, D, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}

fn without_reconnect(config: Config) -> Config {
    let settings = config.to_builder().reconnect(false);
    settings.build().unwrap_or(config)
}

fn bound<S>(socket: WebSocket<S>, link: &Link) -> Result<WebSocket<S>, Error> {
    if link.is_bound() {
        return Ok(socket);
    }
    Err(Error::Io(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the connector did not make its socket with the dial",
    )))
}
