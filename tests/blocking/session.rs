//! What an application does with a session.

use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use keepalive::blocking::{self, Dial, Dialer, Link, Notice, Session, Socket, TimeUp};
use keepalive::tungstenite::TextPings;
use keepalive::{Cause, Codec, Config, Incoming, Lost, PingId, SendError, State, StopReason};
use tungstenite::client::ClientRequestBuilder;
use tungstenite::{Error, Message};

use crate::peer::{self, Lateness, accept, millis, peer, serve};
use crate::scenarios::{NOISE, settings};

type Connect = dyn FnMut(&Dial) -> Result<Socket, Error> + Send;

/// Looks for a notice, for a bounded time.
pub(crate) fn wait_for<S, K, C, T>(
    session: &mut Session<S, K, C>,
    what: &str,
    mut pick: impl FnMut(Notice) -> Option<T>,
) -> T
where
    S: std::io::Read + std::io::Write,
    K: Codec<Message, Message = Message>,
    C: blocking::Connect<Stream = S>,
{
    let end = Instant::now() + peer::PATIENCE;
    while let Ok(Some(notice)) = session.next_before(end) {
        if let Some(found) = pick(notice) {
            return found;
        }
    }
    panic!("never {what}");
}

/// The next notice; `None` when it is over, which is soon.
pub(crate) fn next<S, K, C>(session: &mut Session<S, K, C>) -> Option<Notice>
where
    S: std::io::Read + std::io::Write,
    K: Codec<Message, Message = Message>,
    C: blocking::Connect<Stream = S>,
{
    let end = Instant::now() + peer::PATIENCE;
    session.next_before(end).expect("no end")
}

/// It ends because the application said so.
fn assert_stops<S, K, C>(session: &mut Session<S, K, C>)
where
    S: std::io::Read + std::io::Write,
    K: Codec<Message, Message = Message>,
    C: blocking::Connect<Stream = S>,
{
    let reason = wait_for(session, "stopped", |notice| match notice {
        Notice::Stopped { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason, StopReason::Requested);
    assert!(next(session).is_none());
}

pub(crate) fn opened(notice: Notice) -> Option<()> {
    matches!(notice, Notice::Opened { .. }).then_some(())
}

pub(crate) fn message(notice: Notice) -> Option<Message> {
    match notice {
        Notice::Message(message) => Some(message),
        _ => None,
    }
}

fn down(notice: Notice) -> Option<Cause<Error>> {
    match notice {
        Notice::Down(down) => Some(down.cause),
        _ => None,
    }
}

#[test]
fn sessions_are_send_when_their_parts_are() {
    fn is_send<T: Send>(_: &T) {}
    let url = "ws://localhost".to_owned();
    let config = Config::default();
    is_send(&blocking::client(config, move |dial: &Dial| {
        dial.connect(url.as_str())
    }));
    let boxed: Box<Connect> = Box::new(|dial| dial.connect("ws://localhost"));
    is_send(&blocking::client(config, boxed));
    is_send(&Link::within(Duration::ZERO).unwrap());
}

#[test]
fn what_is_sent_while_down_comes_back() {
    let (url, server) = peer(|listener| serve(&mut accept(&listener)));
    let config = settings().build().unwrap();
    let mut session = blocking::client(config, Dialer::new(url.as_str()));
    let back = session.send(Message::text("early"));
    let Err(SendError::Down(back)) = back else {
        panic!("{back:?}")
    };
    assert_eq!(back, Message::text("early"));
    wait_for(&mut session, "opened", opened);
    session.send(Message::text("now")).unwrap();
    session.stop();
    let error = session.send(Message::text("late")).unwrap_err();
    assert!(matches!(error, SendError::Stopped(_)), "{error}");
    assert_eq!(error.into_message(), Message::text("late"));
    assert_stops(&mut session);
    server.join().unwrap();
}

#[test]
fn the_application_works_between_notices() {
    let (url, _server) = peer(|listener| serve(&mut accept(&listener)));
    let config = settings()
        .ping_interval(Duration::from_secs(20))
        .build()
        .unwrap();
    let mut session = blocking::client(config, Dialer::new(url.as_str()));
    wait_for(&mut session, "opened", opened);
    for _ in 0..5 {
        let begin = Instant::now();
        assert_eq!(
            session.next_before(begin + millis(100)).unwrap_err(),
            TimeUp
        );
        let took = begin.elapsed();
        assert!(took >= millis(95) && took < millis(100) + NOISE, "{took:?}");
    }
    // A time that has passed looks once and does not wait.
    let begin = Instant::now();
    assert_eq!(session.next_before(begin).unwrap_err(), TimeUp);
    assert!(begin.elapsed() < NOISE);
}

#[test]
fn a_queue_that_is_full_gives_the_message_back() {
    let (url, _server) = peer(|listener| {
        let socket = peer::accept_raw(&listener);
        std::thread::sleep(Duration::from_secs(5));
        drop(socket);
    });
    let config = settings()
        .pong_timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let mut session = blocking::client(config, Dialer::new(url.as_str())).with_queue_limit(10_000);
    wait_for(&mut session, "opened", opened);
    // More than the kernel takes, and than the limit: it goes alone.
    session.send(Message::binary(vec![0; 32 << 20])).unwrap();
    let part = || Message::binary(vec![1; 3000]);
    let begin = Instant::now();
    for _ in 0..100 {
        let Err(SendError::Full {
            message,
            size: 3000,
            used,
            limit: 10_000,
        }) = session.send(part())
        else {
            panic!("it was taken")
        };
        assert_eq!((message, used), (part(), 32 << 20));
        let _ = session.next_before(begin);
    }
    assert!(begin.elapsed() < NOISE, "{:?}", begin.elapsed());
}

/// All that was accepted goes out before the close frame.
#[test]
fn a_stop_sends_what_is_queued_first() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        std::thread::sleep(millis(300));
        let mut lengths = Vec::new();
        while let Ok(message) = socket.read() {
            if message.is_binary() {
                lengths.push(message.len());
            }
        }
        lengths
    });
    let config = settings()
        .close_timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let mut session = blocking::client(config, Dialer::new(url.as_str()))
        .with_queue_limit(usize::MAX)
        .with_stall_timeout(Duration::from_secs(20));
    wait_for(&mut session, "opened", opened);
    let lengths = [16 << 20, 1, 2, 3, 100_000, 4];
    for length in lengths {
        session.send(Message::binary(vec![0; length])).unwrap();
    }
    session.stop();
    assert_stops(&mut session);
    assert_eq!(server.join().unwrap(), lengths);
}

/// tungstenite's own limit holds for what it has in hand, not for the queue.
#[test]
fn a_stop_sends_what_is_queued_first_a_little_at_a_time() {
    const COUNT: usize = 200;
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        std::thread::sleep(millis(300));
        let is_message = |message: &Message| message.is_binary();
        std::iter::from_fn(|| socket.read().ok())
            .filter(is_message)
            .count()
    });
    let config = settings().close_timeout(Duration::from_secs(20));
    let mut session = blocking::client(config.build().unwrap(), |dial: &Dial| {
        let mut socket = dial.connect(url.as_str())?;
        socket.set_config(|config| {
            config.write_buffer_size = 0;
            config.max_write_buffer_size = 150_000;
        });
        Ok(socket)
    })
    .with_queue_limit(usize::MAX)
    .with_stall_timeout(Duration::from_secs(20));
    wait_for(&mut session, "opened", opened);
    for _ in 0..COUNT {
        session.send(Message::binary(vec![0; 100_000])).unwrap();
    }
    session.stop();
    assert_stops(&mut session);
    assert_eq!(server.join().unwrap(), COUNT);
}

/// It waits for the end of the connection only once nothing is left to send.
#[test]
fn what_is_behind_a_message_that_is_too_long_goes_at_once() {
    let (url, server) = peer(|listener| {
        let message = accept(&listener).read().unwrap();
        message.into_text().unwrap().to_string()
    });
    let config = settings().ping_interval(Duration::from_secs(3600));
    let mut session = blocking::client(config.build().unwrap(), |dial: &Dial| {
        let mut socket = dial.connect(url.as_str())?;
        socket.set_config(|config| {
            config.write_buffer_size = 0;
            config.max_write_buffer_size = 1000;
        });
        Ok(socket)
    });
    wait_for(&mut session, "opened", opened);
    // It has dealt with that.
    assert_eq!(session.next_before(Instant::now()).unwrap_err(), TimeUp);
    session.requeue([Message::binary(vec![0; 1000]), Message::text("short")]);
    wait_for(&mut session, "rejected", |notice| {
        matches!(notice, Notice::Rejected(_)).then_some(())
    });
    wait_for(&mut session, "down", down);
    assert_eq!(server.join().unwrap(), "short");
}

#[test]
fn text_pings_are_answered_by_text() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        let mut pings = 0;
        while let Ok(message) = socket.read() {
            if message == Message::text("ping") {
                pings += 1;
                socket.send(Message::text("pong")).unwrap();
            }
        }
        pings
    });
    let config = settings().build().unwrap();
    let mut session =
        blocking::client_with(config, TextPings::new("ping", "pong"), |dial: &Dial| {
            dial.connect(url.as_str())
        });
    for _ in 0..3 {
        let id = wait_for(&mut session, "a pong", |notice| match notice {
            Notice::Pong { id, .. } => Some(id),
            Notice::Message(message) => panic!("{message}"),
            _ => None,
        });
        assert_eq!(id.to_bytes()[..4], [0, 0, 0, 1]);
    }
    session.stop();
    assert_stops(&mut session);
    assert!(server.join().unwrap() >= 3);
}

#[test]
fn a_text_ping_of_the_peers_is_answered_and_not_shown() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        socket.send(Message::text("ping")).unwrap();
        let answer = socket.read().unwrap();
        socket.send(Message::text("thanks")).unwrap();
        serve(&mut socket);
        answer
    });
    let config = settings()
        .ping_interval(Duration::from_secs(20))
        .build()
        .unwrap();
    let mut session =
        blocking::client_with(config, TextPings::new("ping", "pong"), |dial: &Dial| {
            dial.connect(url.as_str())
        });
    assert_eq!(
        wait_for(&mut session, "thanks", message),
        Message::text("thanks")
    );
    session.stop();
    assert_stops(&mut session);
    assert_eq!(server.join().unwrap(), Message::text("pong"));
}

/// Any protocol of the application's fits: here, numbered pings in JSON.
struct JsonPings;

impl Codec<Message> for JsonPings {
    type Message = Message;

    fn ping(&mut self, id: PingId) -> Option<Message> {
        let id = u64::from_be_bytes(id.to_bytes());
        let text = serde_json::json!({ "ping": id }).to_string();
        Some(Message::text(text))
    }

    fn read(&mut self, message: Message) -> Incoming<Message, Message> {
        let Ok(text) = message.to_text() else {
            return Incoming::Message(message);
        };
        let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        match value["pong"].as_u64() {
            Some(id) => Incoming::Pong(PingId::from_bytes(id.to_be_bytes())),
            None => Incoming::Message(message),
        }
    }
}

#[test]
fn a_codec_of_the_users_carries_the_id() {
    let (url, _server) = peer(|listener| {
        let mut socket = accept(&listener);
        while let Ok(message) = socket.read() {
            if let Ok(text) = message.to_text() {
                let answer = text.replace("ping", "pong");
                if socket.send(Message::text(answer)).is_err() {
                    return;
                }
            }
        }
    });
    let config = settings().build().unwrap();
    let mut session = blocking::client_with(config, JsonPings, Dialer::new(url.as_str()));
    let mut sent = None;
    let (id, round_trip) = wait_for(&mut session, "a pong", |notice| match notice {
        Notice::Ping(id) => {
            sent = Some(id);
            None
        }
        Notice::Pong { id, round_trip } => Some((id, round_trip)),
        _ => None,
    });
    assert_eq!(Some(id), sent);
    assert_eq!(session.heartbeat().round_trip().unwrap().last(), round_trip);
}

#[test]
fn reconnecting_now_abandons_and_dials_in_every_state() {
    let (url, _server) = peer(|listener| peer::serve_all(&listener));
    let config = settings().build().unwrap();
    let mut session = blocking::client(config, Dialer::new(url.as_str()));
    session.reconnect_now(); // Idle
    wait_for(&mut session, "opened", opened);
    session.reconnect_now(); // Open
    wait_for(&mut session, "down", |notice| match notice {
        Notice::Down(down) => matches!(down.cause, Cause::Reconnected).then_some(()),
        _ => None,
    });
    assert!(session.socket().is_none());
    wait_for(&mut session, "opened", opened);
    session.stop();
    session.reconnect_now(); // Closing: what was told to stop is not revived
    wait_for(&mut session, "stopped", |notice| {
        matches!(notice, Notice::Stopped { .. }).then_some(())
    });
    assert!(next(&mut session).is_none());
    session.reconnect_now(); // Stopped
    wait_for(&mut session, "opened", opened);
    assert!(session.socket().is_some());
}

#[test]
fn stopping_works_while_waiting_and_before_the_start() {
    let dead = "ws://127.0.0.1:1/";
    let slow = settings()
        .first_spread(Duration::from_secs(60))
        .build()
        .unwrap();
    let mut session = blocking::client(slow, Dialer::new(dead));
    wait_for(&mut session, "down", down);
    assert_eq!(session.heartbeat().state(), State::Waiting);
    session.stop();
    assert!(matches!(
        next(&mut session),
        Some(Notice::Stopped {
            reason: StopReason::Requested,
            ..
        })
    ));
    assert!(next(&mut session).is_none());

    let mut session = blocking::client(slow, Dialer::new(dead));
    session.stop();
    assert!(matches!(
        next(&mut session),
        Some(Notice::Stopped {
            reason: StopReason::Requested,
            ..
        })
    ));
    assert!(next(&mut session).is_none());
}

#[test]
fn a_change_of_network_pings_at_once_and_moves_a_dial() {
    let (url, _server) = peer(|listener| serve(&mut accept(&listener)));
    let config = settings()
        .ping_interval(Duration::from_secs(60))
        .first_spread(Duration::from_secs(24 * 60 * 60))
        .build()
        .unwrap();
    let mut dead = false;
    let mut session = blocking::client(config, |dial: &Dial| {
        let url = if dead {
            "ws://127.0.0.1:1/"
        } else {
            url.as_str()
        };
        dead = true;
        dial.connect(url)
    });
    wait_for(&mut session, "opened", opened);
    session.network_changed();
    wait_for(&mut session, "a pong", |notice| {
        matches!(notice, Notice::Pong { .. }).then_some(())
    });
    session.reconnect_now();
    wait_for(&mut session, "a dial that fails", |notice| match notice {
        Notice::Down(down) => (down.lost == Lost::Dial).then_some(()),
        _ => None,
    });
    session.network_changed();
    let planned = wait_for(&mut session, "a new plan", |notice| match notice {
        Notice::Rescheduled(planned) => Some(planned),
        _ => None,
    });
    assert_eq!(planned.attempt, 1);
    assert!(planned.at <= Instant::now() + Duration::from_secs(2));
}

#[test]
fn settings_change_while_running() {
    let (url, _server) = peer(|listener| serve(&mut accept(&listener)));
    let slow = settings().ping_interval(Duration::from_secs(60));
    let mut session = blocking::client(slow.build().unwrap(), |dial: &Dial| {
        dial.connect(url.as_str())
    });
    wait_for(&mut session, "opened", opened);
    session.reconfigure(settings().build().unwrap()).unwrap();
    wait_for(&mut session, "a pong", |notice| {
        matches!(notice, Notice::Pong { .. }).then_some(())
    });
    session.healthy();
    assert_eq!(session.heartbeat().config().ping_interval(), millis(200));
}

/// The application goes about its own business for longer than a timeout, with
/// the answer in the buffer: it is read before anything is judged.
#[test]
fn an_application_that_was_away_reads_before_it_judges() {
    let (url, _server) = peer(|listener| serve(&mut accept(&listener)));
    let config = settings()
        .pong_timeout(millis(300))
        .late_tolerance(Duration::from_secs(3600))
        .build()
        .unwrap();
    let mut session = blocking::client(config, Dialer::new(url.as_str()));
    for _ in 0..3 {
        wait_for(&mut session, "a ping", |notice| {
            assert!(!matches!(notice, Notice::Down(_)), "{notice:?}");
            matches!(notice, Notice::Ping(_)).then_some(())
        });
        std::thread::sleep(millis(500));
    }
}

/// It asks for the next message after a while, again and again: the pings go out
/// in between.
#[test]
fn a_slow_application_does_not_hold_the_pings() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        for _ in 0..500 {
            socket.write(Message::text("more")).unwrap();
        }
        socket.flush().unwrap();
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        while let Ok(message) = socket.read() {
            if message.is_ping() || message.is_close() {
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
        }
        longest
    });
    let config = settings().send_interval(Some(millis(200)));
    let mut session = blocking::client(config.build().unwrap(), |dial: &Dial| {
        dial.connect(url.as_str())
    });
    let lateness = Lateness::measure();
    for _ in 0..100 {
        wait_for(&mut session, "more", |notice| {
            assert!(!matches!(notice, Notice::Down(_)), "{notice:?}");
            message(notice)
        });
        std::thread::sleep(millis(50));
    }
    session.stop();
    assert_stops(&mut session);
    let longest = server.join().unwrap();
    let late = lateness.end();
    println!("the longest silence was {longest:?}, late by {late:?}");
    assert!(longest < millis(1500) + 3 * late, "{longest:?}");
}

#[test]
fn a_request_of_the_users_is_signed_afresh_for_each_dial() {
    let (sender, receiver) = mpsc::channel();
    let (url, _server) = peer(move |listener| {
        for _ in 0..2 {
            let socket = peer::accept_tcp(&listener);
            let sender = sender.clone();
            #[allow(clippy::result_large_err)]
            let read = |request: &tungstenite::handshake::server::Request, response| {
                sender.send(request.headers()["X-Attempt"].clone()).unwrap();
                Ok(response)
            };
            drop(tungstenite::accept_hdr(socket, read).unwrap());
        }
    });
    let mut session = blocking::client(settings().build().unwrap(), |dial: &Dial| {
        let attempt = dial.attempt().to_string();
        let request = ClientRequestBuilder::new(url.parse()?).with_header("X-Attempt", attempt);
        assert!(dial.deadline() > Instant::now());
        dial.connect(request)
    });
    for attempt in ["0", "1"] {
        wait_for(&mut session, "down", down);
        assert_eq!(receiver.recv_timeout(peer::PATIENCE).unwrap(), attempt);
    }
}

#[test]
fn a_url_that_is_not_dialled_fails_with_a_reason() {
    let mut cases = vec![("http://127.0.0.1:1/", "URL error: URL scheme not supported")];
    if !cfg!(feature = "rustls") {
        cases.push((
            "wss://127.0.0.1:1/",
            "URL error: Unable to connect to wss://127.0.0.1:1: `wss://` needs TLS: enable the \
             feature `rustls` of keepalive, or use `connect_over` with a TLS library",
        ));
    }
    for (url, reason) in cases {
        let config = settings().build().unwrap();
        let mut session = blocking::client(config, Dialer::new(url));
        assert_eq!(wait_for(&mut session, "down", down).to_string(), reason);
    }
}

/// Without a wire there would be no deadline, and a dead peer would hold the
/// thread for ever.
#[test]
fn a_socket_that_was_not_made_with_the_dial_is_refused() {
    let (url, _server) = peer(|listener| peer::serve_all(&listener));
    let address = url
        .trim_start_matches("ws://")
        .trim_end_matches('/')
        .to_owned();
    let mut session = blocking::client(settings().build().unwrap(), |_: &Dial| {
        let (socket, _) = tungstenite::client(&url, TcpStream::connect(&address)?).unwrap();
        Ok(socket)
    });
    let cause = wait_for(&mut session, "down", down).to_string();
    assert_eq!(
        cause,
        "IO error: the socket was not made with this dial or link"
    );
}
