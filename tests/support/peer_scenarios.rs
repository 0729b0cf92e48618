//! What can happen to a client, and what it then has to tell, in which order:
//! the same for every adapter.
#![allow(unreachable_pub)]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use keepalive::{Cause, CloseReason, Config, ConfigBuilder, Notice, StopReason, stop_when_refused};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message};

use crate::peer::{
    self, BlackHole, Lateness, PATIENCE, Process, accept, accept_raw, accept_tcp, header, millis,
    peer, reset, serve, serve_all, url_of,
};

/// Every scenario, each as a test of this client. What is missing here is dead
/// code.
macro_rules! test_all {
    ($client:ty) => {
        crate::scenarios::test_all! { $client:
            a_quiet_peer_is_pinged_once_an_interval,
            a_busy_peer_is_not_pinged,
            a_server_that_counts_heartbeats_alone_has_them_whatever_else,
            a_stopped_process_is_convicted,
            a_mute_peer_is_convicted,
            a_byte_now_and_then_is_life,
            a_frame_that_takes_long_is_life,
            a_flood_starves_neither_ticks_nor_writes,
            sending_much_starves_neither_pings_nor_reads,
            a_reader_that_is_stuck_is_given_up,
            a_reader_that_is_stuck_and_floods_is_given_up,
            a_reset_is_told_once,
            an_end_of_file_is_told_once,
            a_close_code_is_told_once,
            a_close_code_is_read_though_a_write_failed,
            a_normal_close_may_be_the_end,
            code_1012_keeps_away_for_5_to_30_s,
            code_1013_is_spread_out,
            a_hint_in_the_handshake_is_heeded,
            a_refusal_may_be_the_end,
            a_connection_can_be_given_up,
            a_refused_dial_is_tried_again,
            accept_and_drop_counts_attempts,
            a_lost_connection_is_dialled_again,
            a_dial_that_hangs_in_connect_is_given_up,
            a_dial_that_hangs_in_the_handshake_is_given_up,
            a_dial_that_drips_is_given_up,
            a_stop_before_the_start_is_the_end,
            a_stop_while_connecting_is_the_end,
            a_stop_while_open_is_graceful,
            a_close_that_lingers_is_abandoned,
            a_close_without_an_answer_is_abandoned,
            a_stop_while_closing_waits_for_nobody,
            a_stop_while_waiting_is_the_end,
            a_network_that_changed_without_a_connection_changes_nothing,
            a_network_that_changed_while_open_is_probed_at_once,
            a_network_that_changed_while_waiting_is_dialled_earlier,
            a_dial_can_be_ordered_before_the_start,
            a_dial_under_way_is_the_one_that_is_ordered,
            a_dial_can_be_ordered_while_open,
            no_dial_can_be_ordered_while_closing,
            a_dial_can_be_ordered_while_waiting,
            a_dial_can_be_ordered_after_the_end,
        }
    };
    ($client:ty: $($scenario:ident,)+) => {
        $(
            #[test]
            fn $scenario() {
                crate::scenarios::$scenario::<$client>();
            }
        )+
    };
}
pub(crate) use test_all;

/// An adapter under test.
pub trait Client {
    /// Its library tells what a server answers in place of the handshake.
    const HEARS_HINTS: bool = true;

    /// Its library waits for the end of TCP after the close handshake.
    const LINGERS: bool = true;

    /// Its library still reads what has come when a write has failed.
    const READS_ON: bool = true;

    /// Connects to this URL, tells the application what happens and does what it
    /// orders, until it is stopped or the application has quit. The application
    /// is asked for the first time before it begins. Returns all that was told.
    fn run(config: Config, url: &str, app: impl FnMut(&Told) -> Order) -> Story;
}

/// What an application is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Nothing has begun. It is in no story.
    Idle,
    Connecting(u32),
    Opened,
    Message(usize),
    Ping,
    Pong,
    Down {
        why: Why,
        attempt: Option<u32>,
        delay: Duration,
    },
    Rescheduled {
        attempt: u32,
        delay: Duration,
    },
    Stopped(StopReason),
}

impl Told {
    /// What a notice tells, of a library whose messages are this long and whose
    /// errors have these words.
    pub fn of<M, W, E>(
        notice: Notice<M, W, E, Instant>,
        now: Instant,
        length: impl Fn(&M) -> usize,
        words: impl Fn(&E) -> String,
    ) -> Self
    where
        M: std::fmt::Debug,
        W: std::fmt::Debug,
        E: std::fmt::Debug,
    {
        let until = |at: Instant| at.saturating_duration_since(now);
        match notice {
            Notice::Connecting { attempt } => Self::Connecting(attempt),
            Notice::Opened { .. } => Self::Opened,
            Notice::Message(message) => Self::Message(length(&message)),
            Notice::Ping(_) => Self::Ping,
            Notice::Pong { .. } => Self::Pong,
            Notice::Down(down) => Self::Down {
                why: match down.cause {
                    Cause::Closed { code, .. } => Why::Closed(code.map(|code| code.0)),
                    Cause::Failed(error) => Why::Failed(words(&error)),
                    Cause::Refused { status, .. } => Why::Refused(status),
                    Cause::TimedOut(reason) => Why::TimedOut(reason),
                    Cause::Stalled => Why::Stalled,
                    Cause::GivenUp => Why::GivenUp,
                    Cause::Reconnected => Why::Reconnected,
                    Cause::Stopped => Why::Stopped,
                    other => unreachable!("{other:?}"),
                },
                attempt: down.retry.map(|planned| planned.attempt),
                delay: down
                    .retry
                    .map_or(Duration::ZERO, |planned| until(planned.at)),
            },
            Notice::Rescheduled(planned) => Self::Rescheduled {
                attempt: planned.attempt,
                delay: until(planned.at),
            },
            Notice::Stopped { reason, .. } => Self::Stopped(reason),
            other => unreachable!("{other:?}"),
        }
    }
}

/// The words of tungstenite's errors, but for those of the system, which are
/// different everywhere.
pub fn words_of(error: &Error) -> String {
    match error {
        Error::Io(error) => words_of_io(error),
        error => error.to_string(),
    }
}

pub fn words_of_io(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => error.kind().to_string(),
        None => format!("IO error: {error}"),
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    Closed(Option<u16>),
    Refused(u16),
    Failed(String),
    TimedOut(CloseReason),
    Stalled,
    GivenUp,
    Reconnected,
    Stopped,
}

/// What an application orders.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    Nothing,
    Send(Message),
    Stop,
    ReconnectNow,
    NetworkChanged,
    /// With this code.
    GiveUp(u16),
    /// Go away without a word.
    Quit,
}

#[derive(Debug, Default)]
pub struct Story(pub Vec<(Instant, Told)>);

impl Story {
    /// Adds this, and says what the application orders then.
    pub fn tell(&mut self, told: Told, app: &mut impl FnMut(&Told) -> Order) -> Order {
        let order = app(&told);
        self.0.push((Instant::now(), told));
        order
    }

    pub fn all(&self) -> impl Iterator<Item = &Told> {
        self.0.iter().map(|(_, told)| told)
    }

    /// Without pings and pongs, whose number is chance, and without delays.
    pub fn outline(&self) -> Vec<String> {
        self.all().filter_map(line).collect()
    }

    pub fn count(&self, told: &Told) -> usize {
        self.all().filter(|other| *other == told).count()
    }

    pub fn last(&self) -> Instant {
        self.0.last().unwrap().0
    }

    pub fn first_down(&self) -> (Instant, Why, Duration) {
        let down = |(at, told): &(Instant, Told)| match told {
            Told::Down { why, delay, .. } => Some((*at, why.clone(), *delay)),
            _ => None,
        };
        self.0.iter().find_map(down).expect("never down")
    }
}

fn line(told: &Told) -> Option<String> {
    match told {
        Told::Idle | Told::Ping | Told::Pong => None,
        Told::Down { why, attempt, .. } => Some(match attempt {
            Some(attempt) => format!("down: {}, retry {attempt}", words(why)),
            None => format!("down: {}", words(why)),
        }),
        Told::Connecting(attempt) => Some(format!("connecting {attempt}")),
        Told::Opened => Some("opened".to_owned()),
        Told::Message(length) => Some(format!("message of {length}")),
        Told::Rescheduled { attempt, .. } => Some(format!("moved: retry {attempt}")),
        Told::Stopped(reason) => Some(format!("over: {reason}")),
    }
}

fn words(why: &Why) -> String {
    match why {
        Why::Closed(Some(code)) => format!("closed {code}"),
        Why::Closed(None) => "closed".to_owned(),
        Why::Refused(status) => format!("refused {status}"),
        Why::Failed(error) => error.clone(),
        Why::TimedOut(reason) => reason.to_string(),
        Why::Stalled => "stalled".to_owned(),
        Why::GivenUp => "given up".to_owned(),
        Why::Reconnected => "reconnected".to_owned(),
        Why::Stopped => "stopped".to_owned(),
    }
}

const LINGERED: &str = "the close handshake took too long";

fn assert_told(story: &Story, lines: &[&str]) {
    assert_eq!(story.outline(), lines);
}

pub const INTERVAL: Duration = Duration::from_millis(200);
pub const TIMEOUT: Duration = Duration::from_millis(500);

/// What a busy machine may add to a bound; the bounds themselves are printed.
pub const NOISE: Duration = Duration::from_secs(2);

/// Fast settings without chance, and retries at once.
pub fn settings() -> ConfigBuilder {
    Config::builder()
        .ping_interval(INTERVAL)
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(TIMEOUT)
        .connect_timeout(millis(1000))
        .close_timeout(millis(500))
        .first_spread(millis(1))
        .backoff_floor(millis(1))
        .backoff_base(millis(1))
        .backoff_cap(millis(20))
}

fn quit_when_down(told: &Told) -> Order {
    match told {
        Told::Down { .. } => Order::Quit,
        _ => Order::Nothing,
    }
}

fn run_until_down<C: Client>(config: ConfigBuilder, url: &str) -> Story {
    C::run(config.build().unwrap(), url, quit_when_down)
}

fn assert_once_down(story: &Story, why: &str) {
    let down = format!("down: {why}, retry 1");
    assert_eq!(story.outline(), ["connecting 0", "opened", down.as_str()]);
}

/// Within 100 ms of the bound, and the time by which this machine is late: for
/// the ping, for the verdict, and for telling it.
fn assert_convicted_in_time(story: &Story, silent_since: Instant, late: Duration, what: &str) {
    let (at, why, _) = story.first_down();
    assert_eq!(why, Why::TimedOut(CloseReason::PongTimeout));
    let took = at.saturating_duration_since(silent_since);
    let bound = INTERVAL + TIMEOUT;
    println!("{what}: convicted after {took:?}; bound {bound:?} + 100 ms, late by {late:?}");
    assert!(took <= bound + millis(100) + 3 * late, "{took:?}");
}

/// It answers, and says nothing of its own.
pub fn a_quiet_peer_is_pinged_once_an_interval<C: Client>() {
    let (url, peer) = peer(|listener| serve(&mut accept(&listener)));
    let config = settings().pong_timeout(NOISE);
    let mut pongs = 0;
    let story = C::run(config.build().unwrap(), &url, |told| {
        pongs += usize::from(*told == Told::Pong);
        stop_where(pongs == 3)
    });
    use Told::{Connecting, Opened, Ping, Pong, Stopped};
    let down = Told::Down {
        why: Why::Stopped,
        attempt: None,
        delay: Duration::ZERO,
    };
    let over = Stopped(StopReason::Requested);
    let pings = [Ping, Pong, Ping, Pong, Ping, Pong];
    let told = [Connecting(0), Opened]
        .into_iter()
        .chain(pings)
        .chain([down, over]);
    assert_eq!(
        story.all().cloned().collect::<Vec<_>>(),
        told.collect::<Vec<_>>()
    );
    let took = story.last() - story.0[1].0;
    assert!(took >= 3 * INTERVAL - millis(100), "{took:?}");
    peer.join().unwrap();
}

/// It speaks more often than once an interval.
pub fn a_busy_peer_is_not_pinged<C: Client>() {
    const COUNT: usize = 30;
    let (url, _peer) = peer(|listener| {
        let mut socket = accept(&listener);
        while socket.send(Message::text("busy")).is_ok() {
            thread::sleep(millis(50));
        }
    });
    let config = settings().ping_interval(millis(1400));
    let mut messages = 0;
    let story = C::run(config.build().unwrap(), &url, |told| {
        messages += usize::from(matches!(told, Told::Message(_)));
        if messages == COUNT {
            Order::Quit
        } else {
            quit_when_down(told)
        }
    });
    let told = story.outline();
    assert_eq!(told[..2], ["connecting 0", "opened"]);
    assert_eq!(told[2..], ["message of 4"; COUNT]);
    assert_eq!(story.count(&Told::Ping), 0);
}

/// A server that closes when no heartbeat has come for a while, however busy the
/// connection is, in both directions.
pub fn a_server_that_counts_heartbeats_alone_has_them_whatever_else<C: Client>() {
    const LASTS: Duration = Duration::from_millis(5000);
    let (url, peer) = peer(|listener| {
        let mut socket = accept(&listener);
        socket.get_ref().set_read_timeout(Some(millis(20))).unwrap();
        let (mut last, mut longest, mut orders) = (Instant::now(), Duration::ZERO, 0);
        loop {
            match socket.read() {
                Ok(Message::Ping(_)) => {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                Ok(message) => orders += usize::from(message.is_text()),
                Err(Error::Io(error)) if is_timeout(&error) => {
                    let _ = socket.send(Message::text("trade"));
                }
                Err(_) => return (longest, orders),
            }
            if last.elapsed() > NOISE {
                let _ = socket.close(Some(frame(4009)));
            }
        }
    });
    let config = settings().always_ping(true).send_interval(Some(INTERVAL));
    let (begin, lateness) = (Instant::now(), Lateness::measure());
    let story = C::run(config.build().unwrap(), &url, |told| match told {
        Told::Message(_) if begin.elapsed() > LASTS => Order::Quit,
        Told::Message(_) => Order::Send(Message::text("order")),
        told => quit_when_down(told),
    });
    let ((longest, orders), late) = (peer.join().unwrap(), lateness.end());
    println!("heartbeats at most {longest:?} apart beside {orders} orders, late by {late:?}");
    let trades = |told: &&Told| matches!(told, Told::Message(_));
    assert!(orders > 50 && story.all().filter(trades).count() > 50);
    assert!(!story.outline().iter().any(|line| line.starts_with("down")));
    assert!(longest <= INTERVAL + millis(100) + 3 * late, "{longest:?}");
    // And no more often than that.
    let most = (LASTS + NOISE).as_millis() / INTERVAL.as_millis();
    assert!(story.count(&Told::Ping) as u128 <= most, "{story:?}");
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// A process that is stopped: TCP stays up, nothing answers.
pub fn a_stopped_process_is_convicted<C: Client>() {
    let mut process = Process::start("scenarios::serve_as_a_process", "serve");
    let lateness = Lateness::measure();
    let address = process.line().unwrap();
    let mut stopped = None;
    let story = C::run(
        settings().build().unwrap(),
        &format!("ws://{address}/"),
        |told| match told {
            Told::Pong if stopped.is_none() => {
                process.stop();
                stopped = Some(Instant::now());
                Order::Nothing
            }
            told => quit_when_down(told),
        },
    );
    assert_once_down(&story, "no pong in time");
    let late = lateness.end();
    assert_convicted_in_time(&story, stopped.unwrap(), late, "stopped process");
}

#[test]
#[ignore = "the child of the scenario above"]
fn serve_as_a_process() {
    if peer::role().is_none() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    peer::tell(&listener.local_addr().unwrap().to_string());
    serve(&mut accept(&listener));
}

/// A peer that opens and never says or reads anything.
pub fn a_mute_peer_is_convicted<C: Client>() {
    let (url, peer) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        let opened = Instant::now();
        let _ = socket.read_to_end(&mut Vec::new());
        opened
    });
    let lateness = Lateness::measure();
    let story = run_until_down::<C>(settings(), &url);
    let late = lateness.end();
    assert_once_down(&story, "no pong in time");
    assert_convicted_in_time(&story, peer.join().unwrap(), late, "mute peer");
}

pub fn a_byte_now_and_then_is_life<C: Client>() {
    a_drip_is_life::<C>(millis(200), millis(2000));
}

/// One byte of a frame at a time, and never a pong.
pub fn a_drip_is_life<C: Client>(pause: Duration, lasts: Duration) {
    let (url, _peer) = peer(move |listener| {
        let mut socket = accept_raw(&listener);
        let _ = socket.write_all(&header(1 << 20));
        while socket.write_all(b".").is_ok() {
            thread::sleep(pause);
        }
    });
    let config = settings().ping_interval(pause / 4).pong_timeout(pause * 2);
    let begin = Instant::now();
    let story = C::run(config.build().unwrap(), &url, |told| match told {
        Told::Ping if begin.elapsed() >= lasts => Order::Quit,
        told => quit_when_down(told),
    });
    assert_eq!(story.outline(), ["connecting 0", "opened"]);
    assert!(story.count(&Told::Ping) > 2, "{story:?}");
}

pub fn a_frame_that_takes_long_is_life<C: Client>() {
    a_slow_frame_is_life::<C>(1_000_000, millis(3000));
}

/// One big frame that takes long, and never a pong.
pub fn a_slow_frame_is_life<C: Client>(length: u32, lasts: Duration) {
    const PARTS: u32 = 100;
    let (url, _peer) = peer(move |listener| {
        let mut socket = accept_raw(&listener);
        socket.write_all(&header(length)).unwrap();
        let part = vec![0; (length / PARTS) as usize];
        for _ in 0..PARTS {
            thread::sleep(lasts / PARTS);
            if socket.write_all(&part).is_err() {
                return;
            }
        }
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let config = settings()
        .ping_interval(lasts / 20)
        .pong_timeout(lasts / 5)
        .build()
        .unwrap();
    let story = C::run(config, &url, |told| match told {
        Told::Message(_) => Order::Quit,
        told => quit_when_down(told),
    });
    let whole = format!("message of {length}");
    assert_eq!(story.outline(), ["connecting 0", "opened", whole.as_str()]);
}

/// The peer floods and never answers a ping: it is alive, the ticks come, and
/// what the application sends goes out.
pub fn a_flood_starves_neither_ticks_nor_writes<C: Client>() {
    let (url, peer) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        let mut reading = socket.try_clone().unwrap();
        let reader = thread::spawn(move || {
            let (mut bytes, mut total) = ([0; 4096], 0);
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                total += count;
            }
            total
        });
        let mut frame = header(100);
        frame.resize(frame.len() + 100, 7);
        let frames = frame.repeat(100);
        while socket.write_all(&frames).is_ok() {}
        reader.join().unwrap()
    });
    let config = settings().send_interval(Some(millis(50))).build().unwrap();
    let (begin, mut count) = (Instant::now(), 0);
    let story = C::run(config, &url, |told| match told {
        Told::Message(_) => {
            count += 1;
            match count {
                1000 => Order::Send(Message::binary(vec![0; 1000])),
                _ if begin.elapsed() > millis(2000) => Order::Quit,
                _ => Order::Nothing,
            }
        }
        told => quit_when_down(told),
    });
    assert!(!story.outline().iter().any(|line| line.starts_with("down")));
    let pings = story.count(&Told::Ping);
    println!("flood: {count} messages, {pings} pings in 2 s");
    assert!(pings >= 4, "{pings} pings beside {count} messages");
    assert!(peer.join().unwrap() >= 1000);
}

/// The application floods: the pings get through, and messages come in.
pub fn sending_much_starves_neither_pings_nor_reads<C: Client>() {
    let (url, _peer) = peer(|listener| {
        let mut socket = accept(&listener);
        let mut count = 0;
        while let Ok(message) = socket.read() {
            count += 1;
            let due = message.is_binary() && count % 10 == 0;
            if due && socket.send(Message::text("still here")).is_err() {
                return;
            }
        }
    });
    let (begin, mut messages) = (Instant::now(), 0);
    let config = settings().ping_interval(millis(50)).build().unwrap();
    let story = C::run(config, &url, |told| match told {
        Told::Opened => Order::Send(Message::binary(vec![0; 100_000])),
        Told::Message(_) if begin.elapsed() > millis(1500) => Order::Quit,
        Told::Message(_) => {
            messages += 1;
            Order::Send(Message::binary(vec![0; 100_000]))
        }
        Told::Ping | Told::Pong => Order::Send(Message::binary(vec![0; 100_000])),
        told => quit_when_down(told),
    });
    assert!(!story.outline().iter().any(|line| line.starts_with("down")));
    assert!(messages > 1);
}

fn frame(code: u16) -> CloseFrame {
    CloseFrame {
        code: code.into(),
        reason: "".into(),
    }
}

/// How the peer ends it.
#[derive(Clone, Copy, Debug)]
enum End {
    Reset,
    Fin,
    Code(u16),
}

pub fn a_reset_is_told_once<C: Client>() {
    an_end_is_told_once::<C>(End::Reset, "connection reset");
}

pub fn an_end_of_file_is_told_once<C: Client>() {
    an_end_is_told_once::<C>(End::Fin, "closed");
}

pub fn a_close_code_is_told_once<C: Client>() {
    for code in [1000, 1001, 1011, 1012, 1013, 4000] {
        an_end_is_told_once::<C>(End::Code(code), &format!("closed {code}"));
    }
}

fn an_end_is_told_once<C: Client>(end: End, why: &str) {
    let (url, peer) = peer(move |listener| match end {
        End::Reset => reset(accept_raw(&listener)),
        End::Fin => drop(accept_raw(&listener)),
        End::Code(code) => {
            let mut socket = accept(&listener);
            socket.close(Some(frame(code))).unwrap();
            serve(&mut socket);
        }
    });
    // Up to the next dial, or the plan for it where a code puts it off.
    let waits = matches!(end, End::Code(_));
    let config = settings().build().unwrap();
    let mut story = C::run(config, &url, |told| match told {
        Told::Down { .. } if waits => Order::Quit,
        Told::Connecting(1) => Order::Quit,
        _ => Order::Nothing,
    });
    if !waits {
        assert_eq!(story.0.pop().unwrap().1, Told::Connecting(1));
    }
    assert_once_down(&story, why);
    peer.join().unwrap();
}

/// By another policy than the default one.
pub fn a_normal_close_may_be_the_end<C: Client>() {
    let (url, peer) = peer(|listener| {
        let mut socket = accept(&listener);
        socket.close(Some(frame(1000))).unwrap();
        serve(&mut socket);
    });
    let config = settings().policy(stop_when_refused).build().unwrap();
    let story = C::run(config, &url, |_| Order::Nothing);
    assert_eq!(
        story.outline(),
        [
            "connecting 0",
            "opened",
            "down: closed 1000",
            "over: closed with code 1000"
        ]
    );
    peer.join().unwrap();
}

pub fn code_1012_keeps_away_for_5_to_30_s<C: Client>() {
    let (least, greatest) = (Duration::from_secs(5), Duration::from_secs(30));
    a_close_code_decides_the_delay::<C>(1012, least, greatest);
}

pub fn code_1013_is_spread_out<C: Client>() {
    a_close_code_decides_the_delay::<C>(1013, millis(2000), millis(3000));
}

fn a_close_code_decides_the_delay<C: Client>(code: u16, least: Duration, greatest: Duration) {
    let (url, _peer) = peer(move |listener| {
        let mut socket = accept(&listener);
        socket.close(Some(frame(code))).unwrap();
        serve(&mut socket);
    });
    let config = settings()
        .backoff_cap(millis(3000))
        .backoff_base(millis(2000))
        .backoff_floor(millis(2000));
    let story = run_until_down::<C>(config, &url);
    let (_, why, delay) = story.first_down();
    assert_eq!(why, Why::Closed(Some(code)));
    assert!(
        delay >= least.saturating_sub(NOISE / 4) && delay <= greatest,
        "{delay:?}"
    );
}

/// The peer's answer to the close frame comes, the end of TCP does not.
pub fn a_close_that_lingers_is_abandoned<C: Client>() {
    let (url, peer) = peer(|listener| {
        let mut socket = accept(&listener);
        while !matches!(socket.read(), Ok(Message::Close(_)) | Err(_)) {}
        let _ = socket.flush();
        let mut socket = socket.into_inner();
        let _ = socket.read_to_end(&mut Vec::new());
        socket
    });
    let (why, least) = if C::LINGERS {
        (LINGERED, millis(400))
    } else {
        ("stopped", Duration::ZERO)
    };
    let story = stop_when_opened::<C>(&url, why);
    let took = story.last() - story.0[1].0;
    assert!(took >= least && took < millis(500) + NOISE, "{took:?}");
    drop(peer.join().unwrap());
}

/// The answer to the close frame never comes.
pub fn a_close_without_an_answer_is_abandoned<C: Client>() {
    let (url, _peer) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let story = stop_when_opened::<C>(&url, LINGERED);
    let took = story.last() - story.0[1].0;
    assert!(
        took >= millis(400) && took < millis(500) + NOISE,
        "{took:?}"
    );
}

/// A close handshake with a peer that knows how.
pub fn a_stop_while_open_is_graceful<C: Client>() {
    let (url, peer) = peer(|listener| {
        let mut socket = accept(&listener);
        let mut code = None;
        loop {
            match socket.read() {
                Ok(Message::Close(frame)) => code = frame.map(|frame| u16::from(frame.code)),
                Ok(_) => {}
                Err(error) => return (code, error.to_string()),
            }
        }
    });
    let begin = Instant::now();
    let story = stop_when_opened::<C>(&url, "stopped");
    let (code, end) = peer.join().unwrap();
    assert_eq!(
        (code, end.as_str()),
        (Some(1000), "Connection closed normally")
    );
    assert!(story.last() - begin < millis(400) + NOISE);
}

fn stop_when_opened<C: Client>(url: &str, why: &str) -> Story {
    let story = C::run(unhurried().build().unwrap(), url, |told| {
        stop_where(*told == Told::Opened)
    });
    let down = format!("down: {why}");
    assert_told(&story, &["connecting 0", "opened", &down, "over: stopped"]);
    story
}

/// No pings, and no retries, but those that are asked for.
fn unhurried() -> ConfigBuilder {
    let long = Duration::from_secs(3600);
    settings().ping_interval(long).first_spread(long)
}

fn stop_where(is_reached: bool) -> Order {
    if is_reached {
        Order::Stop
    } else {
        Order::Nothing
    }
}

/// What is told, line by line, and what the application orders then, and at first.
fn dialogue<C: Client>(url: &str, first: Order, lines: &[(&str, Order)]) -> Story {
    let mut left = lines.iter();
    let config = unhurried()
        .connect_timeout(PATIENCE)
        .close_timeout(PATIENCE);
    let story = C::run(config.build().unwrap(), url, |told| match line(told) {
        None if *told == Told::Idle => first.clone(),
        None => Order::Nothing,
        Some(line) => match left.next() {
            Some((expected, order)) if line == *expected => (*order).clone(),
            _ => Order::Quit,
        },
    });
    let expected: Vec<_> = lines.iter().map(|(line, _)| *line).collect();
    assert_eq!(story.outline(), expected);
    story
}

/// A peer that says something in place of an answer to the close frame, and then holds
/// on or goes.
fn a_peer_that_says_wait(holds_on: bool) -> String {
    let (url, _peer) = peer(move |listener| {
        let mut socket = accept_raw(&listener);
        let _ = socket.read(&mut [0; 100]);
        let mut frame = header(4);
        frame.extend(b"wait");
        let _ = socket.write_all(&frame);
        if holds_on {
            serve_all(&listener);
        }
    });
    url
}

/// The first connection ends at once; the next one behaves.
fn a_peer_that_drops_once() -> String {
    let (url, _peer) = peer(|listener| {
        drop(accept_raw(&listener));
        serve_all(&listener);
    });
    url
}

fn a_peer_that_behaves() -> String {
    let (url, _peer) = peer(|listener| serve_all(&listener));
    url
}

/// Nobody is dialled; and to stop what has stopped is nothing.
pub fn a_stop_before_the_start_is_the_end<C: Client>() {
    let url = a_peer_that_behaves();
    dialogue::<C>(&url, Order::Stop, &[("over: stopped", Order::Stop)]);
}

pub fn a_stop_while_connecting_is_the_end<C: Client>() {
    let hole = BlackHole::new();
    dialogue::<C>(
        &url_of(hole.address),
        Order::Nothing,
        &[
            ("connecting 0", Order::Stop),
            ("over: stopped", Order::Nothing),
        ],
    );
}

pub fn a_stop_while_closing_waits_for_nobody<C: Client>() {
    dialogue::<C>(
        &a_peer_that_says_wait(true),
        Order::Nothing,
        &[
            ("connecting 0", Order::Nothing),
            ("opened", Order::Stop),
            ("message of 4", Order::Stop),
            ("down: stopped", Order::Nothing),
            ("over: stopped", Order::Nothing),
        ],
    );
}

pub fn a_stop_while_waiting_is_the_end<C: Client>() {
    dialogue::<C>(
        &a_peer_that_drops_once(),
        Order::Nothing,
        &[
            ("connecting 0", Order::Nothing),
            ("opened", Order::Nothing),
            ("down: closed, retry 1", Order::Stop),
            ("over: stopped", Order::Nothing),
        ],
    );
}

pub fn a_network_that_changed_without_a_connection_changes_nothing<C: Client>() {
    let story = dialogue::<C>(
        &a_peer_that_behaves(),
        Order::NetworkChanged,
        &[
            ("connecting 0", Order::NetworkChanged),
            ("opened", Order::Stop),
            ("down: stopped", Order::Nothing),
            ("over: stopped", Order::NetworkChanged),
        ],
    );
    assert_eq!(story.count(&Told::Ping), 0);
}

/// With one ping, however often it changes; who does not answer it is dead.
pub fn a_network_that_changed_while_open_is_probed_at_once<C: Client>() {
    let (url, _peer) = peer(|listener| {
        let mut socket = accept(&listener);
        while !matches!(socket.read(), Ok(Message::Ping(_)) | Err(_)) {}
        let _ = socket.flush();
        let _ = socket.into_inner().read_to_end(&mut Vec::new());
    });
    let story = C::run(unhurried().build().unwrap(), &url, |told| match told {
        Told::Opened | Told::Ping => Order::NetworkChanged,
        Told::Pong => {
            // Sooner is too soon for the next ping.
            thread::sleep(millis(1100));
            Order::NetworkChanged
        }
        told => quit_when_down(told),
    });
    assert_once_down(&story, "no pong in time");
    let pings: Vec<_> = story.all().skip(2).take(3).collect();
    assert_eq!(pings, [&Told::Ping, &Told::Pong, &Told::Ping]);
    let took = story.first_down().0 - story.0[4].0;
    assert!(took < TIMEOUT + NOISE, "{took:?}");
}

/// Within a second, but not within one of the last dial.
pub fn a_network_that_changed_while_waiting_is_dialled_earlier<C: Client>() {
    let story = dialogue::<C>(
        &a_peer_that_drops_once(),
        Order::Nothing,
        &[
            ("connecting 0", Order::Nothing),
            ("opened", Order::Nothing),
            ("down: closed, retry 1", Order::NetworkChanged),
            ("moved: retry 1", Order::NetworkChanged),
            ("connecting 1", Order::Nothing),
            ("opened", Order::Stop),
            ("down: stopped", Order::Nothing),
            ("over: stopped", Order::Nothing),
        ],
    );
    let between = story.0[4].0 - story.0[0].0;
    assert!(
        between > millis(900) && between < millis(2000) + NOISE,
        "{between:?}"
    );
}

pub fn a_dial_can_be_ordered_before_the_start<C: Client>() {
    dialogue::<C>(
        &a_peer_that_behaves(),
        Order::ReconnectNow,
        &[
            ("connecting 0", Order::Nothing),
            ("opened", Order::Stop),
            ("down: stopped", Order::Nothing),
            ("over: stopped", Order::Nothing),
        ],
    );
}

/// While it is younger than 5 s.
pub fn a_dial_under_way_is_the_one_that_is_ordered<C: Client>() {
    dialogue::<C>(
        &a_peer_that_behaves(),
        Order::Nothing,
        &[
            ("connecting 0", Order::ReconnectNow),
            ("opened", Order::Stop),
            ("down: stopped", Order::Nothing),
            ("over: stopped", Order::Nothing),
        ],
    );
}

/// The old connection is gone before the new one comes. Its peer hears a close frame without a code.
pub fn a_dial_can_be_ordered_while_open<C: Client>() {
    let (url, peer) = peer(|listener| {
        let code = close_code(&mut accept(&listener));
        serve(&mut accept(&listener));
        code
    });
    let story = dialogue::<C>(
        &url,
        Order::Nothing,
        &[
            ("connecting 0", Order::Nothing),
            ("opened", Order::ReconnectNow),
            ("down: reconnected, retry 0", Order::Nothing),
            ("connecting 0", Order::Nothing),
            ("opened", Order::Stop),
            ("down: stopped", Order::Nothing),
            ("over: stopped", Order::Nothing),
        ],
    );
    assert_a_second_between_dials(&story);
    assert_eq!(peer.join().unwrap(), Some(None));
}

/// The code of the close frame that comes; `None` where none does.
fn close_code(socket: &mut tungstenite::WebSocket<TcpStream>) -> Option<Option<u16>> {
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => {
                let code = frame.map(|frame| u16::from(frame.code));
                serve(socket);
                return Some(code);
            }
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

fn assert_a_second_between_dials(story: &Story) {
    let dials: Vec<_> = story
        .0
        .iter()
        .filter(|(_, told)| matches!(told, Told::Connecting(_)))
        .map(|(at, _)| *at)
        .collect();
    for pair in dials.windows(2) {
        let between = pair[1] - pair[0];
        assert!(between > millis(900), "{between:?}");
    }
}

pub fn no_dial_can_be_ordered_while_closing<C: Client>() {
    dialogue::<C>(
        &a_peer_that_says_wait(false),
        Order::Nothing,
        &[
            ("connecting 0", Order::Nothing),
            ("opened", Order::Stop),
            ("message of 4", Order::ReconnectNow),
            ("down: stopped", Order::Nothing),
            ("over: stopped", Order::Nothing),
        ],
    );
}

pub fn a_dial_can_be_ordered_while_waiting<C: Client>() {
    dialogue::<C>(
        &a_peer_that_drops_once(),
        Order::Nothing,
        &[
            ("connecting 0", Order::Nothing),
            ("opened", Order::Nothing),
            ("down: closed, retry 1", Order::ReconnectNow),
            ("moved: retry 1", Order::Nothing),
            ("connecting 1", Order::Nothing),
            ("opened", Order::Stop),
            ("down: stopped", Order::Nothing),
            ("over: stopped", Order::Nothing),
        ],
    );
}

pub fn a_dial_can_be_ordered_after_the_end<C: Client>() {
    dialogue::<C>(
        &a_peer_that_behaves(),
        Order::Nothing,
        &[
            ("connecting 0", Order::Nothing),
            ("opened", Order::Stop),
            ("down: stopped", Order::Nothing),
            ("over: stopped", Order::ReconnectNow),
            ("moved: retry 0", Order::Nothing),
            ("connecting 0", Order::Nothing),
            ("opened", Order::Stop),
            ("down: stopped", Order::Nothing),
            ("over: stopped", Order::Nothing),
        ],
    );
}

/// Nobody listens: each dial fails at once, and attempts are counted.
pub fn a_refused_dial_is_tried_again<C: Client>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url_of(listener.local_addr().unwrap());
    drop(listener);
    let story = C::run(settings().build().unwrap(), &url, |told| match told {
        Told::Down {
            attempt: Some(3), ..
        } => Order::Stop,
        _ => Order::Nothing,
    });
    assert_eq!(
        story.outline(),
        [
            "connecting 0",
            "down: connection refused, retry 1",
            "connecting 1",
            "down: connection refused, retry 2",
            "connecting 2",
            "down: connection refused, retry 3",
            "over: stopped"
        ]
    );
}

/// The connection opens and ends at once, again and again: no hot loop, for
/// opening alone does not reset the attempts.
pub fn accept_and_drop_counts_attempts<C: Client>() {
    let (url, _peer) = peer(|listener| {
        for _ in 0..3 {
            drop(accept_raw(&listener));
        }
    });
    let config = settings().stable_after(millis(1));
    let story = C::run(config.build().unwrap(), &url, |told| match told {
        Told::Down {
            attempt: Some(3), ..
        } => Order::Quit,
        _ => Order::Nothing,
    });
    assert_eq!(
        story.outline(),
        [
            "connecting 0",
            "opened",
            "down: closed, retry 1",
            "connecting 1",
            "opened",
            "down: closed, retry 2",
            "connecting 2",
            "opened",
            "down: closed, retry 3"
        ]
    );
}

/// After a failure the next dial heals it.
pub fn a_lost_connection_is_dialled_again<C: Client>() {
    let (url, peer) = peer(|listener| {
        drop(accept_raw(&listener));
        let mut socket = accept(&listener);
        socket.send(Message::text("welcome back")).unwrap();
        serve(&mut socket);
    });
    let story = C::run(settings().build().unwrap(), &url, |told| match told {
        Told::Message(_) => Order::Stop,
        _ => Order::Nothing,
    });
    assert_told(
        &story,
        &[
            "connecting 0",
            "opened",
            "down: closed, retry 1",
            "connecting 1",
            "opened",
            "message of 12",
            "down: stopped",
            "over: stopped",
        ],
    );
    peer.join().unwrap();
}

fn assert_dial_convicted(story: &Story, connect_timeout: Duration) {
    assert_eq!(
        story.outline(),
        ["connecting 0", "down: connecting took too long, retry 1"]
    );
    let took = story.last() - story.0[0].0;
    println!("dial given up after {took:?}, bound {connect_timeout:?}");
    let least = connect_timeout.saturating_sub(millis(100));
    assert!(took >= least && took < connect_timeout + NOISE, "{took:?}");
}

/// The handshake of TCP never ends.
pub fn a_dial_that_hangs_in_connect_is_given_up<C: Client>() {
    let hole = BlackHole::new();
    let story = run_until_down::<C>(settings(), &url_of(hole.address));
    assert_dial_convicted(&story, millis(1000));
}

/// The handshake of the WebSocket never ends.
pub fn a_dial_that_hangs_in_the_handshake_is_given_up<C: Client>() {
    let (url, _peer) = peer(|listener| {
        let mut socket = accept_tcp(&listener);
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let story = run_until_down::<C>(settings(), &url);
    assert_dial_convicted(&story, millis(1000));
}

/// The answer to the handshake comes byte by byte, so that no read is long.
pub fn a_dial_that_drips_is_given_up<C: Client>() {
    let (url, _peer) = peer(|listener| {
        let mut socket = accept_tcp(&listener);
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n";
        for byte in answer.iter().cycle().take(200) {
            if socket.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(millis(100));
        }
    });
    let story = run_until_down::<C>(settings(), &url);
    assert_dial_convicted(&story, millis(1000));
}

/// The server is busy and says for how long.
pub fn a_hint_in_the_handshake_is_heeded<C: Client>() {
    let url = a_peer_that_refuses("503 Service Unavailable\r\nRetry-After: 30");
    let story = run_until_down::<C>(settings(), &url);
    assert_eq!(story.outline()[1], "down: refused 503, retry 1");
    let (_, _, delay) = story.first_down();
    if C::HEARS_HINTS {
        assert!(delay > Duration::from_secs(30) - NOISE && delay < Duration::from_secs(31));
    } else {
        assert!(delay <= millis(1));
    }
}

/// By another policy than the default one, which comes back.
pub fn a_refusal_may_be_the_end<C: Client>() {
    let url = a_peer_that_refuses("403 Forbidden");
    let story = run_until_down::<C>(settings(), &url);
    assert_eq!(
        story.outline(),
        ["connecting 0", "down: refused 403, retry 1"]
    );

    let url = a_peer_that_refuses("403 Forbidden");
    let config = settings().policy(stop_when_refused).build().unwrap();
    let story = C::run(config, &url, |_| Order::Nothing);
    assert_eq!(
        story.outline(),
        [
            "connecting 0",
            "down: refused 403",
            "over: refused with status 403"
        ]
    );
}

/// Answers the handshake in this way.
fn a_peer_that_refuses(answer: &str) -> String {
    let answer = format!("HTTP/1.1 {answer}\r\n\r\n");
    let (url, _peer) = peer(move |listener| {
        let mut socket = accept_tcp(&listener);
        let _ = socket.read(&mut [0; 4096]);
        let _ = socket.write_all(answer.as_bytes());
        let _ = socket.read_to_end(&mut Vec::new());
    });
    url
}

/// The login was refused, say. The peer hears the code, and is dialled again.
pub fn a_connection_can_be_given_up<C: Client>() {
    let (url, peer) = peer(|listener| {
        let code = close_code(&mut accept(&listener));
        serve(&mut accept(&listener));
        code
    });
    let mut has_given_up = false;
    let story = C::run(settings().build().unwrap(), &url, |told| match told {
        Told::Opened if !std::mem::replace(&mut has_given_up, true) => Order::GiveUp(4401),
        Told::Opened => Order::Stop,
        _ => Order::Nothing,
    });
    assert_told(
        &story,
        &[
            "connecting 0",
            "opened",
            "down: given up, retry 1",
            "connecting 1",
            "opened",
            "down: stopped",
            "over: stopped",
        ],
    );
    assert_eq!(peer.join().unwrap(), Some(Some(4401)));
}

/// A peer that sends but never reads is alive; what is written to it stalls, and
/// that is an end of its own.
pub fn a_reader_that_is_stuck_is_given_up<C: Client>() {
    a_stuck_reader_is_given_up::<C>(1, millis(20));
}

pub fn a_reader_that_is_stuck_and_floods_is_given_up<C: Client>() {
    a_stuck_reader_is_given_up::<C>(10_000, Duration::ZERO);
}

fn a_stuck_reader_is_given_up<C: Client>(frames: usize, pause: Duration) {
    let (url, _peer) = peer(move |listener| {
        let mut socket = accept_raw(&listener);
        peer::shrink(&socket);
        let mut frame = header(1);
        frame.push(b'.');
        let frames = frame.repeat(frames);
        while socket.write_all(&frames).is_ok() {
            thread::sleep(pause);
        }
    });
    let begin = Instant::now();
    // It is told when it ends, not when the next dial is due.
    let config = settings().first_spread(Duration::from_secs(3600));
    let story = C::run(config.build().unwrap(), &url, |told| match told {
        Told::Opened => Order::Send(Message::binary(vec![0; 16 << 20])),
        told => quit_when_down(told),
    });
    let (at, why, _) = story.first_down();
    assert_eq!(why, Why::Stalled);
    println!(
        "stuck reader: given up after {:?}, bound {TIMEOUT:?}",
        at - begin
    );
    assert!(at - begin < TIMEOUT + NOISE);
}

/// The close code lies unread when a write fails: the code is what counts.
pub fn a_close_code_is_read_though_a_write_failed<C: Client>() {
    let (url, _peer) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        let [high, low] = 4001_u16.to_be_bytes();
        socket.write_all(&[0x88, 2, high, low]).unwrap();
        thread::sleep(millis(50));
        reset(socket);
    });
    let story = C::run(settings().build().unwrap(), &url, |told| match told {
        Told::Opened => {
            thread::sleep(millis(500));
            Order::Send(Message::text("too late"))
        }
        told => quit_when_down(told),
    });
    let (_, why, _) = story.first_down();
    assert!(why == Why::Closed(Some(4001)) || !C::READS_ON, "{why:?}");
    assert_once_down(&story, &words(&why));
}
