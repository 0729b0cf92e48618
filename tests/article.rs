//! The story that the project starts from, as it was told.
//!
//! After 2 s without a message the client pings. Any message is life and starts
//! the wait afresh. If nothing comes for 10 s after the ping, the client logs it,
//! closes, and connects again. `Hello Server!` goes out at every open.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use keepalive::{Action, CloseReason, Closed, Config, Event, Heartbeat, Manner, PingId, State};

const HELLO: &str = "Hello Server!";

#[test]
fn after_two_seconds_of_silence_the_client_pings() {
    let mut client = Client::connected();
    client.wait(1.9);
    assert_eq!(client.news(), [(0.0, "open"), (0.0, HELLO)]);
    client.wait(0.1);
    assert_eq!(client.news(), [(2.0, "ping")]);
}

#[test]
fn any_message_starts_the_two_seconds_afresh() {
    let mut client = Client::connected();
    client.wait(1.5);
    client.receives(Event::Received); // at 1.5 s
    client.wait(1.75);
    client.receives(Event::Received); // at 3.25 s
    client.wait(1.75);
    client.receives(Event::Received); // at 5 s
    client.wait(1.75);
    assert_eq!(client.news(), [(0.0, "open"), (0.0, HELLO)]);
    client.wait(0.25);
    assert_eq!(client.news(), [(7.0, "ping")]);
}

#[test]
fn any_message_answers_a_ping_not_only_the_pong() {
    let mut client = Client::connected();
    client.wait(2.0); // the ping
    client.wait(9.75);
    client.receives(Event::Received); // at 11.75 s, a quarter before the end
    client.wait(1.75);
    assert_eq!(client.news(), [(0.0, "open"), (0.0, HELLO), (2.0, "ping")]);
    client.wait(0.25);
    assert_eq!(client.news(), [(13.75, "ping")]);
}

#[test]
fn a_server_that_answers_is_pinged_every_two_seconds_and_never_closed() {
    let mut client = Client::connected();
    assert_eq!(client.news(), [(0.0, "open"), (0.0, HELLO)]);
    for round in 1..=1000 {
        client.wait(2.0);
        assert_eq!(client.news(), [(f64::from(round) * 2.0, "ping")]);
        client.receives(Event::Pong(client.last_ping()));
    }
}

#[test]
fn after_twelve_seconds_of_silence_it_logs_closes_and_connects_again() {
    let mut client = Client::connected();
    client.wait(5.0);
    client.news();
    client.receives(Event::Received); // the last message ever, at 5 s
    client.wait(11.999);
    assert_eq!(client.news(), [(7.0, "ping")]);
    assert_eq!(client.heartbeat.state(), State::Open);
    client.wait(0.001);
    assert_eq!(
        client.news(),
        [
            (17.0, "not received pong, close the websocket"),
            (17.0, "close"),
            (17.0, "reconnect"),
        ]
    );
    assert_eq!(client.heartbeat.state(), State::Waiting);
    assert_eq!(client.heartbeat.attempt(), 1);
}

#[test]
fn hello_goes_out_at_every_open_and_the_heart_beats_again() {
    let mut client = Client::connected();
    client.news();
    for _ in 0..50 {
        let down = client.now + Duration::from_secs(12);
        client.wait(12.0);
        client.news();
        assert_eq!(client.heartbeat.state(), State::Waiting);
        client.wait_for(State::Open);
        assert!(client.now > down, "a dial comes after the down");
        assert!(client.now <= down + Duration::from_secs(60), "and soon");
        let opened = client.now.as_secs_f64();
        assert_eq!(client.news(), [(opened, "open"), (opened, HELLO)]);
    }
}

#[test]
fn the_first_reconnect_comes_within_five_seconds() {
    for seed in 0..200 {
        let mut client = Client::with_seed(seed);
        client.wait(12.0);
        client.wait_for(State::Open);
        assert!(client.now > Duration::from_secs(12));
        assert!(client.now <= Duration::from_secs(17));
    }
}

#[test]
fn close_and_error_reset_the_heartbeat() {
    for end in [Event::Closed(Closed::default()), Event::Error(None)] {
        let mut client = Client::connected();
        client.wait(2.0); // a ping is out
        client.receives(end);
        assert!(!client.heartbeat.is_ping_out());
        client.wait_for(State::Open);
        client.news();
        client.wait(1.75);
        assert_eq!(client.news(), [], "the old ping's deadline is gone");
        client.wait(0.25);
        let pinged = client.now.as_secs_f64();
        assert_eq!(client.news(), [(pinged, "ping")]);
    }
}

#[test]
fn what_the_client_says_is_no_sign_of_life_of_the_server() {
    let mut client = Client::connected();
    for _ in 0..11 {
        client.wait(1.0);
        client.receives(Event::Sent);
    }
    client.wait(1.0);
    assert_eq!(
        client.news().last(),
        Some(&(12.0, "reconnect")),
        "12 s of silence, whatever was sent"
    );
}

/// The article's client on a virtual clock: it does what the heartbeat says, and
/// writes down what it did and when.
struct Client {
    heartbeat: Heartbeat<Duration>,
    now: Duration,
    ping: Option<PingId>,
    log: Vec<(f64, &'static str)>,
}

impl Client {
    fn connected() -> Self {
        Self::with_seed(1)
    }

    fn with_seed(seed: u64) -> Self {
        let mut client = Self {
            heartbeat: Heartbeat::new(Config::article(), seed),
            now: Duration::ZERO,
            ping: None,
            log: Vec::new(),
        };
        client.receives(Event::Start);
        assert_eq!(client.heartbeat.state(), State::Open);
        client
    }

    /// Lets time pass; whatever is due happens on time.
    fn wait(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some(due) = self.heartbeat.deadline().filter(|&due| due <= end) {
            self.now = due;
            self.receives(Event::Tick);
        }
        self.now = end;
    }

    fn wait_for(&mut self, state: State) {
        for _ in 0..100 {
            if self.heartbeat.state() == state {
                return;
            }
            self.now = self.heartbeat.deadline().expect("something is awaited");
            self.receives(Event::Tick);
        }
        panic!("never {state:?}: {:?}", self.log);
    }

    fn receives(&mut self, event: Event) {
        for action in self.heartbeat.handle(event, self.now) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action<Duration>) {
        match action {
            Action::Connect => self.open(),
            Action::SendPing(id) => {
                self.ping = Some(id);
                self.note("ping");
            }
            Action::Close(reason) => {
                assert_eq!(reason, CloseReason::PongTimeout);
                assert_eq!(
                    reason.manner(),
                    Manner::Abandon,
                    "a dead server answers no close"
                );
                self.note("not received pong, close the websocket");
                self.note("close");
            }
            Action::ScheduleReconnect { .. } => self.note("reconnect"),
            Action::ArmDeadline(at) => assert!(at > self.now),
            Action::Stopped(reason) => panic!("never over: {reason}"),
        }
    }

    /// Every dial succeeds at once, and the application says hello.
    fn open(&mut self) {
        self.receives(Event::Opened);
        self.note("open");
        self.note(HELLO);
        self.receives(Event::Sent);
    }

    fn note(&mut self, line: &'static str) {
        self.log.push((self.now.as_secs_f64(), line));
    }

    fn news(&mut self) -> Vec<(f64, &'static str)> {
        std::mem::take(&mut self.log)
    }

    fn last_ping(&self) -> PingId {
        self.ping.expect("a ping went out")
    }
}

/// The same on a real socket, with a fifth of the article's times.
#[cfg(feature = "blocking")]
mod on_a_socket {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;
    use std::time::{Duration, Instant};

    use keepalive::blocking::{self, Dialer, Notice};
    use keepalive::tungstenite::TextPings;
    use keepalive::{Cause, CloseReason, Config};
    use tungstenite::{Error, Message};

    use super::HELLO;

    const INTERVAL: Duration = Duration::from_millis(400);
    const TIMEOUT: Duration = Duration::from_secs(2);

    #[test]
    fn a_server_that_falls_silent_is_closed_and_greeted_again() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || serve(&listener));
        let log = watch(&url);
        let heard = server.join().unwrap().unwrap();
        assert_eq!(heard, [HELLO, HELLO, "ping"]);
        assert_eq!(
            log,
            [
                "open",
                "message",
                "ping",
                "not received pong, close the websocket",
                "reconnect",
                "open",
                "ping",
                "pong",
            ]
        );
    }

    /// Greets at every open, until a pong comes. Returns what happened, messages
    /// one after the other as one.
    fn watch(url: &str) -> Vec<&'static str> {
        let pings = TextPings::new("ping", "pong");
        let mut session = blocking::client_with(a_fifth(), pings, Dialer::new(url));
        let mut log = Vec::new();
        let mut last_message = None;
        while let Some(notice) = session.next() {
            last_message = session.heartbeat().last_received().or(last_message);
            let silence = last_message.map_or(Duration::MAX, |at: Instant| at.elapsed());
            let line = match notice {
                Notice::Opened { .. } => {
                    session.send(Message::text(HELLO)).unwrap();
                    "open"
                }
                Notice::Message(_) => "message",
                Notice::Ping(_) => {
                    assert!(silence >= INTERVAL, "{silence:?}");
                    "ping"
                }
                Notice::Pong { .. } => {
                    session.stop();
                    "pong"
                }
                Notice::Down(down) if matches!(down.cause, Cause::Stopped) => continue,
                Notice::Down(down) => {
                    let cause = down.cause;
                    assert!(matches!(cause, Cause::TimedOut(CloseReason::PongTimeout)));
                    assert!(silence >= INTERVAL + TIMEOUT, "{silence:?}");
                    "not received pong, close the websocket"
                }
                Notice::Connecting { attempt: 0 } | Notice::Stopped { .. } => continue,
                Notice::Connecting { .. } => "reconnect",
                other => panic!("unexpected: {other:?}"),
            };
            if log.last() != Some(&line) {
                log.push(line);
            }
        }
        log
    }

    fn a_fifth() -> Config {
        Config::article()
            .to_builder()
            .ping_interval(INTERVAL)
            .pong_timeout(TIMEOUT)
            .first_spread(Duration::from_millis(100))
            .build()
            .unwrap()
    }

    /// The first connection has messages for longer than an interval, and then
    /// nothing, while TCP stays up. The second answers. Returns what was heard.
    fn serve(listener: &TcpListener) -> Result<Vec<String>, Error> {
        let mut heard = Vec::new();
        let mut silent = tungstenite::accept(listener.accept()?.0).unwrap();
        heard.push(silent.read()?.into_text()?.to_string());
        for _ in 0..12 {
            thread::sleep(Duration::from_millis(50));
            silent.send(Message::text("news"))?;
        }
        let mut answering = tungstenite::accept(listener.accept()?.0).unwrap();
        loop {
            match answering.read()? {
                Message::Text(text) => heard.push(text.to_string()),
                _ => return Ok(heard),
            }
            if heard.last().is_some_and(|text| text == "ping") {
                answering.send(Message::text("pong"))?;
            }
        }
    }
}
