//! One connection, held for a time.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keepalive::Ending;
use keepalive::blocking::{Connect, Dial, Dialer, Link, Message, Socket, Wait};
use keepalive::tungstenite::ending;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Error};

use super::limit::{How, Outcome};
use super::traffic::Kind;
use crate::watch::text;

/// What a server says as a greeting is no traffic: so long it may take, or a tenth of the
/// time that the connection is held.
const GREETING: Duration = Duration::from_secs(1);

/// What a server says this shortly before an end belongs to it.
const FAREWELL: Duration = Duration::from_millis(50);

/// An end this soon, or within what the dial took, answers the dial or the first ping.
const AT_ONCE: Duration = Duration::from_millis(100);

/// How long a close handshake may take.
const GOODBYE: Duration = Duration::from_millis(300);

/// A server, and what is said to it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) dialer: Dialer,
    /// For a dial, and for an answer.
    pub(crate) timeout: Duration,
    /// What is sent first, such as a login.
    pub(crate) first: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) subscribe: Option<String>,
}

/// How a connection is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) lasts: Duration,
    /// How often something is sent, where the kind sends.
    pub(crate) every: Duration,
    /// Whether the server answers pings.
    pub(crate) has_pongs: bool,
}

impl Plan {
    pub(crate) const fn silence(lasts: Duration, has_pongs: bool) -> Self {
        Self {
            kind: Kind::Silent,
            lasts,
            every: lasts,
            has_pongs,
        }
    }
}

/// What a connection showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) begun: Instant,
    pub(crate) outcome: Outcome,
    /// How many frames the server sent that were no answer to a ping.
    pub(crate) heard: u32,
    /// And how many of them were pings, which are answered: the client is not silent then.
    pub(crate) pinged: u32,
}

impl Held {
    pub(crate) const fn has_ended(&self) -> bool {
        matches!(self.outcome, Outcome::Cut(..) | Outcome::Dead(_))
    }
}

/// Why there was nothing to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: String,
    /// Of the answer, where there was one.
    pub(crate) status: Option<u16>,
    /// How long the server asks to stay away.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// Whether the server may not be there any more, or not behind its proxy.
    pub(crate) fn may_be_gone(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }
}

/// What a first connection showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// None where the server does not answer pings.
    pub(crate) round_trip: Option<Duration>,
}

impl Hello {
    pub(crate) const fn has_pongs(self) -> bool {
        self.round_trip.is_some()
    }
}

/// Ends connections before their time, dials and pauses.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    is_set: AtomicBool,
    links: Mutex<Vec<Link>>,
    wakes: Condvar,
}

impl Stop {
    pub(crate) fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.iter().for_each(Link::give_up);
        self.wakes.notify_all();
    }

    /// Waits for that long, or until it is set.
    pub(crate) fn wait(&self, lasts: Duration) {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self
            .wakes
            .wait_timeout_while(links, lasts, |_| !self.is_set());
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    fn stops(&self, link: &Link) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.push(link.clone());
        drop(links);
        if self.is_set() {
            link.give_up();
        }
    }
}

impl Target {
    /// Connects, and asks whether pings are answered.
    pub(crate) fn greet(&self, stop: &Stop) -> Result<Hello, Failure> {
        let mut line = self.open(stop)?;
        match line.settle(self, true, stop) {
            Ok(round_trip) => {
                line.close();
                Ok(Hello { round_trip })
            }
            Err(how) if line.is_young() => Err(ended_at_once(how)),
            // It lived for a time without a pong.
            Err(_) => Ok(Hello { round_trip: None }),
        }
    }

    /// Connects and holds the connection as planned.
    pub(crate) fn hold(&self, plan: Plan, stop: &Stop) -> Result<Held, Failure> {
        let mut line = self.open(stop)?;
        let settled = line.settle(self, plan.has_pongs, stop);
        let is_answered = matches!(settled, Ok(Some(_)));
        let mut course = Course::new(line.last);
        let result = settled.and_then(|_| line.keep(self, plan, stop, &mut course));
        let held = course.end(result, stop);
        match held.outcome {
            Outcome::Cut(_, how) if !is_answered && line.is_young() => {
                return Err(ended_at_once(how));
            }
            Outcome::Cut(..) | Outcome::Dead(_) => {}
            Outcome::Alive(_) | Outcome::Left => line.close(),
        }
        Ok(held)
    }

    /// Connects, to see whether it is there.
    pub(crate) fn reach(&self, stop: &Stop) -> Result<(), Failure> {
        self.open(stop)?.close();
        Ok(())
    }

    fn open(&self, stop: &Stop) -> Result<Line, Failure> {
        let dialled = Instant::now();
        let wait = Wait::new().map_err(|error| failure(&Error::Io(error)))?;
        let dial = Dial::new(wait, dialled + self.timeout, 0);
        let link = dial.link().clone();
        stop.stops(&link);
        let socket = Connect::connect(&mut self.dialer.clone(), &dial);
        let socket = socket.map_err(|error| failure(&error))?;
        link.open();
        let opened = Instant::now();
        Ok(Line {
            socket,
            link,
            opened,
            at_once: AT_ONCE.max(opened - dialled),
            last: opened,
            pings: 0,
        })
    }
}

/// An open connection.
struct Line {
    socket: Socket,
    link: Link,
    opened: Instant,
    at_once: Duration,
    /// When the last frame was sent or received.
    last: Instant,
    pings: u64,
}

enum Frame {
    Pong(Bytes),
    Ping,
    Data,
}

impl Line {
    /// Says what comes first, and waits for a pong if the server is known to send any.
    fn settle(
        &mut self,
        target: &Target,
        has_pongs: bool,
        stop: &Stop,
    ) -> Result<Option<Duration>, How> {
        if let Some(first) = &target.first {
            self.send(Message::text(first))?;
        }
        if !has_pongs {
            return Ok(None);
        }
        let asked = Instant::now();
        let id = self.ping()?;
        let is_answered = self.answers(&id, asked + target.timeout, stop)?;
        Ok(is_answered.then(|| asked.elapsed()))
    }

    fn is_young(&self) -> bool {
        self.opened.elapsed() <= self.at_once
    }

    fn keep(
        &mut self,
        target: &Target,
        plan: Plan,
        stop: &Stop,
        course: &mut Course,
    ) -> Result<Outcome, How> {
        let greeted_by = self.opened + self.greeting(plan);
        if let (Kind::Inbound, Some(text)) = (plan.kind, &target.subscribe) {
            self.send(Message::text(text))?;
        }
        let mut due = plan.kind.sends().then(|| course.begun + plan.every);
        loop {
            let end = course.begun + plan.lasts;
            let frame = self.next(due.map_or(end, |due| due.min(end)))?;
            if stop.is_set() {
                return Ok(Outcome::Left);
            }
            let now = Instant::now();
            match frame {
                Some(Frame::Pong(_)) => course.unanswered = None,
                Some(_) if plan.kind == Kind::Silent && now < greeted_by => course.begun = now,
                Some(frame) => {
                    course.is_quiet_until(now);
                    course.heard += 1;
                    course.pinged += u32::from(matches!(frame, Frame::Ping));
                    course.last = Some(now);
                }
                None => {}
            }
            if now >= end {
                break;
            }
            let Some(time) = due.filter(|due| *due <= now) else {
                continue;
            };
            match course.unanswered {
                Some(asked) if plan.has_pongs && now >= asked + target.timeout => {
                    return Ok(Outcome::Dead(asked - course.begun));
                }
                _ => self.speak(plan.kind, target, course)?,
            }
            due = Some((time + plan.every).max(now));
        }
        course.is_quiet_until(Instant::now());
        let outcome = self.check(target, plan, stop, course)?;
        Ok(match outcome {
            // It shows no more than the longest silence that there was.
            Outcome::Alive(_) if plan.kind == Kind::Silent => Outcome::Alive(course.quiet),
            outcome => outcome,
        })
    }

    /// How long what a server says is a greeting. Where no pong was waited for, the answer to
    /// a login may still be on its way.
    fn greeting(&self, plan: Plan) -> Duration {
        let greeting = GREETING.min(plan.lasts / 10);
        if plan.has_pongs {
            greeting
        } else {
            greeting.max(self.at_once)
        }
    }

    fn speak(&mut self, kind: Kind, target: &Target, course: &mut Course) -> Result<(), How> {
        match kind {
            Kind::Pings => {
                self.ping()?;
                course.unanswered.get_or_insert_with(Instant::now);
                Ok(())
            }
            Kind::Pongs => self.send(Message::Pong(Bytes::new())),
            Kind::Text => match &target.text {
                Some(text) => self.send(Message::text(text)),
                None => Ok(()),
            },
            Kind::Silent | Kind::Inbound => Ok(()),
        }
    }

    /// Whether it is still alive at the end of its time.
    fn check(
        &mut self,
        target: &Target,
        plan: Plan,
        stop: &Stop,
        course: &Course,
    ) -> Result<Outcome, How> {
        let lasted = course.begun.elapsed();
        if !plan.has_pongs {
            return Ok(Outcome::Alive(lasted));
        }
        let id = self.ping()?;
        match self.answers(&id, Instant::now() + target.timeout, stop) {
            Ok(true) => Ok(Outcome::Alive(lasted)),
            // A reset is the answer of who no longer knows the connection.
            Ok(false) | Err(How::Reset) => Ok(Outcome::Dead(lasted)),
            Err(how) => Err(how),
        }
    }

    fn answers(&mut self, id: &Bytes, until: Instant, stop: &Stop) -> Result<bool, How> {
        while Instant::now() < until && !stop.is_set() {
            if matches!(self.next(until)?, Some(Frame::Pong(pong)) if pong == *id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn ping(&mut self) -> Result<Bytes, How> {
        self.pings += 1;
        let id = Bytes::copy_from_slice(&self.pings.to_be_bytes());
        self.send(Message::Ping(id.clone()))?;
        Ok(id)
    }

    fn send(&mut self, message: Message) -> Result<(), How> {
        self.link.begin();
        match self.socket.send(message) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            result => result.map_err(|error| how(&error))?,
        }
        self.last = Instant::now();
        Ok(())
    }

    /// The next frame, until then.
    fn next(&mut self, until: Instant) -> Result<Option<Frame>, How> {
        let socket = &mut self.socket;
        let read = self.link.waiting(Some(until), || socket.read());
        if read.is_ok() {
            self.last = Instant::now();
        }
        match read {
            Ok(Message::Pong(id)) => Ok(Some(Frame::Pong(id))),
            Ok(Message::Ping(_)) => Ok(Some(Frame::Ping)),
            Ok(Message::Close(frame)) => Err(How::Closed(frame.map(|frame| frame.code.into()))),
            Ok(_) => Ok(Some(Frame::Data)),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                match self.link.take_write_error() {
                    Some(error) => Err(how(&Error::Io(error))),
                    None => Ok(None),
                }
            }
            Err(error) => Err(how(&error)),
        }
    }

    fn close(&mut self) {
        let until = Instant::now() + GOODBYE;
        self.link.begin();
        let _ = self.socket.close(Some(CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        }));
        while Instant::now() < until && self.next(until).is_ok() {}
    }
}

/// How it goes with a connection that is held.
struct Course {
    begun: Instant,
    heard: u32,
    pinged: u32,
    /// When the server spoke last.
    last: Option<Instant>,
    /// For how long nobody spoke, at most.
    quiet: Duration,
    /// Since when a ping is unanswered.
    unanswered: Option<Instant>,
}

impl Course {
    const fn new(begun: Instant) -> Self {
        Self {
            begun,
            heard: 0,
            pinged: 0,
            last: None,
            quiet: Duration::ZERO,
            unanswered: None,
        }
    }

    /// What it showed, unless it was stopped.
    fn end(mut self, result: Result<Outcome, How>, stop: &Stop) -> Held {
        let outcome = match result {
            _ if stop.is_set() => Outcome::Left,
            Ok(outcome) => outcome,
            Err(how) => {
                if self.heard == 1 && self.last.is_some_and(|at| at.elapsed() < FAREWELL) {
                    (self.heard, self.pinged) = (0, 0);
                }
                Outcome::Cut(self.begun.elapsed(), how)
            }
        };
        Held {
            begun: self.begun,
            outcome,
            heard: self.heard,
            pinged: self.pinged,
        }
    }

    fn is_quiet_until(&mut self, now: Instant) {
        let quiet = now - self.last.unwrap_or(self.begun);
        self.quiet = self.quiet.max(quiet);
    }
}

fn how(error: &Error) -> How {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => How::Ended,
        Error::Io(error) => match error.kind() {
            ErrorKind::UnexpectedEof => How::Ended,
            ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {
                How::Reset
            }
            _ => How::Failed,
        },
        _ => How::Failed,
    }
}

fn failure(error: &Error) -> Failure {
    match ending(error) {
        Ending::Refused(refused) => Failure {
            why: format!("the server refused with status {}", refused.status),
            status: Some(refused.status),
            retry_after: refused.retry_after,
        },
        _ => Failure {
            why: format!("cannot connect: {}", bare(error)),
            status: None,
            retry_after: None,
        },
    }
}

fn ended_at_once(how: How) -> Failure {
    Failure {
        why: format!(
            "the connection ended as soon as it was open: {}",
            how.words()
        ),
        status: None,
        retry_after: None,
    }
}

/// Without tungstenite's "IO error: ".
fn bare(error: &Error) -> String {
    match error {
        Error::Io(error) => text::bare(error),
        other => other.to_string(),
    }
}
