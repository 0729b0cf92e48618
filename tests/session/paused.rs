//! On tokio, with its clock paused, over a pipe: exact times.

use std::cell::Cell;
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use keepalive::driver::{Cause, Codec, Incoming, Notice, Plain};
use keepalive::session::{Session, Timer};
use keepalive::tokio::{self as parts, Channel, client, client_with};
use keepalive::tungstenite::{TextPings, Tungstenite};
use keepalive::{CloseReason, Config, PingId, State};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::rig::{millis, seconds};

type Socket = WebSocketStream<DuplexStream>;

/// A dial, and the peer's end of what it opens.
fn pipe() -> (
    impl Future<Output = Result<Socket, Error>> + Send,
    DuplexStream,
) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let socket = async { Ok(WebSocketStream::from_raw_socket(ours, Role::Client, None).await) };
    (socket, theirs)
}

/// Answers pings until the end.
async fn serve(theirs: DuplexStream) {
    let mut socket = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
    while let Some(Ok(_)) = next(&mut socket).await {}
}

/// Nothing takes a minute, which the paused clock skips.
async fn in_time<F: Future>(future: F) -> F::Output {
    timeout(seconds(60), future).await.unwrap()
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

async fn send(socket: &mut WebSocketStream<DuplexStream>, message: Message) {
    use futures_sink::Sink;
    let mut socket = Pin::new(socket);
    std::future::poll_fn(|context| socket.as_mut().poll_ready(context))
        .await
        .unwrap();
    socket.as_mut().start_send(message).unwrap();
    std::future::poll_fn(|context| socket.as_mut().poll_flush(context))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_mute_peer_is_convicted() {
    let mut peers = Vec::new();
    let dial = |_| {
        let (socket, theirs) = pipe();
        peers.push(theirs);
        socket
    };
    let mut session = client(Config::article(), dial);
    let begin = Instant::now();
    while let Some(notice) = in_time(session.next()).await {
        if let Notice::Down(down) = notice {
            let cause = down.cause;
            assert!(
                matches!(cause, Cause::TimedOut(CloseReason::PongTimeout)),
                "{cause}"
            );
            break;
        }
    }
    let took = begin.elapsed();
    let bound = Duration::from_secs(12);
    assert!(
        took >= bound && took <= bound + Duration::from_millis(2),
        "{took:?}"
    );
}

/// Counts how often it is set.
struct Counting<T> {
    timer: T,
    sets: Rc<Cell<u32>>,
}

impl<T: Timer> Timer for Counting<T> {
    type Instant = T::Instant;

    fn now(&self) -> T::Instant {
        self.timer.now()
    }

    fn set(&mut self, at: T::Instant) {
        self.sets.set(self.sets.get() + 1);
        self.timer.set(at);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.timer.poll(context)
    }
}

/// The clock of the sleeps is that of the session: neither spins for the other.
#[tokio::test(start_paused = true)]
async fn an_hour_of_pings_takes_a_few_polls_each() {
    let (socket, theirs) = pipe();
    tokio::spawn(serve(theirs));
    let mut socket = Some(socket);
    let dial = move |_| socket.take().unwrap();
    let sets = Rc::new(Cell::new(0));
    let timer = Counting {
        timer: parts::Timer::new(),
        sets: sets.clone(),
    };
    let mut session = Session::client(
        Config::article(),
        42,
        Tungstenite::new(),
        Plain,
        timer,
        dial,
    );
    let (begin, mut polls, mut pongs) = (Instant::now(), 0, 0);
    while begin.elapsed() < Duration::from_secs(3600) {
        let notice = {
            let mut next = pin!(session.next());
            in_time(std::future::poll_fn(|context| {
                polls += 1;
                assert!(polls <= 20 * (pongs + 2), "{polls} polls, {pongs} pongs");
                next.as_mut().poll(context)
            }))
            .await
        };
        pongs += u32::from(matches!(notice, Some(Notice::Pong { .. })));
    }
    assert!((1799..=1800).contains(&pongs), "{pongs}");
    let sets = sets.get();
    assert!(sets <= 2 * pongs + 2, "{sets} sleeps, {pongs} pongs");
}

fn is_send<T: Send>(value: T) -> T {
    value
}

/// It is `Send` where its parts are: this is for the compiler.
#[tokio::test(start_paused = true)]
async fn a_session_of_parts_that_are_send_can_be_spawned() {
    let (socket, theirs) = pipe();
    tokio::spawn(serve(theirs));
    let mut socket = Some(socket);
    let dial = move |_| socket.take().unwrap();
    let (says, outgoing) = mpsc::channel(1);
    says.try_send(Message::text("hello")).unwrap();
    let mut session = is_send(client(Config::article(), dial).sending(Channel(outgoing)));
    let task = tokio::spawn(async move {
        while let Some(notice) = session.next().await {
            if matches!(notice, Notice::Pong { .. }) {
                session.stop();
            }
        }
        session.heartbeat().state()
    });
    assert_eq!(in_time(task).await.unwrap(), State::Stopped);
}

/// A codec, a connector, messages and an outgoing stream that belong to one thread.
struct Local(Rc<Cell<u32>>);

impl Codec<Message> for Local {
    type Message = Message;

    fn ping(&mut self, _: PingId) -> Option<Message> {
        self.0.set(self.0.get() + 1);
        None
    }

    fn read(&mut self, data: Message) -> Incoming<Message, Message> {
        Incoming::Message(data)
    }
}

struct Queue(Rc<std::cell::RefCell<VecDeque<Message>>>);

impl Stream for Queue {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Message>> {
        self.0
            .borrow_mut()
            .pop_front()
            .map_or(Poll::Pending, |message| Poll::Ready(Some(message)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_of_parts_that_are_not_send_lives_on_one_thread() {
    let test = LocalSet::new();
    test.run_until(async {
        let (pings, dials) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let count = dials.clone();
        let dial = move |_| {
            count.set(count.get() + 1);
            let (socket, theirs) = pipe();
            let count = count.clone();
            async move {
                spawn_local(serve(theirs));
                assert_eq!(count.get(), 1);
                socket.await
            }
        };
        let queue = Queue(Rc::new(
            [Message::text("hello")]
                .into_iter()
                .collect::<VecDeque<_>>()
                .into(),
        ));
        let codec = Local(pings.clone());
        let timer = parts::Timer::new();
        let mut session = Session::client(
            Config::article(),
            42,
            Tungstenite::new(),
            codec,
            timer,
            dial,
        )
        .sending(queue);
        let task = spawn_local(async move {
            while let Some(notice) = session.next().await {
                if matches!(notice, Notice::Pong { .. }) {
                    session.stop();
                }
            }
        });
        in_time(task).await.unwrap();
        assert_eq!((pings.get(), dials.get()), (1, 1));
    })
    .await;
}

/// The pings are a value's: texts, which the application does not see.
#[tokio::test(start_paused = true)]
async fn pings_may_be_texts() {
    let (socket, theirs) = pipe();
    let peer = tokio::spawn(async move {
        let mut socket = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        let mut heard = Vec::new();
        send(&mut socket, Message::text("ping")).await;
        while let Some(Ok(message)) = next(&mut socket).await {
            heard.push(message.to_string());
            if message == Message::text("ping") {
                send(&mut socket, Message::text("hello")).await;
                send(&mut socket, Message::text("pong")).await;
            }
            if heard.len() == 4 {
                break;
            }
        }
        heard
    });
    let mut socket = Some(socket);
    let dial = move |_| socket.take().unwrap();
    let mut session = client_with(Config::article(), TextPings::new("ping", "pong"), dial);
    let (mut told, mut times) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    let life = async {
        while let Some(notice) = session.next().await {
            match notice {
                Notice::Message(message) => told.push(message.to_string()),
                Notice::Pong { round_trip, .. } => {
                    assert!(round_trip <= millis(1), "{round_trip:?}");
                    times.push(begin.elapsed().as_secs());
                }
                Notice::Down(_) => return,
                _ => {}
            }
        }
    };
    in_time(life).await;
    assert_eq!(
        in_time(peer).await.unwrap(),
        ["pong", "ping", "ping", "ping"]
    );
    assert_eq!(told, ["hello", "hello", "hello"]);
    assert_eq!(times, [2, 4, 6]);
}
