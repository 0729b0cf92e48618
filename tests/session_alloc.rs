//! What a server's accepted socket allocates, but for what its parts do: nothing when
//! the session is made, nothing for a message, a ping or a pong; only once room for
//! notices, once room for pings without an answer, and at the end what it tells of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "session/rig.rs"]
mod rig;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use allocation_counter::measure;
use futures_core::Stream;
use futures_sink::Sink;
use keepalive::driver::Notice;
use keepalive::session::{Accepted, Session, Timer};
use keepalive::{Config, StopReason};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use rig::{Fault, Frames, Msg, Pings};

/// Nothing takes an hour, which the paused clock skips.
const HOUR: Duration = Duration::from_secs(3600);

/// Answers pings, until it has got as many as this.
struct Socket {
    inbox: VecDeque<Msg>,
    pings: u32,
}

impl Socket {
    fn new(pings: u32) -> Self {
        let mut inbox = VecDeque::with_capacity(64);
        inbox.extend((0..10).map(Msg::Text));
        Self { inbox, pings }
    }
}

impl Stream for Socket {
    type Item = Result<Msg, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = self.inbox.pop_front();
        message.map_or(Poll::Pending, |message| Poll::Ready(Some(Ok(message))))
    }
}

impl Sink<Msg> for Socket {
    type Error = Fault;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Msg) -> Result<(), Fault> {
        if let Msg::Ping(id) = message {
            self.pings = self.pings.saturating_sub(1);
            let answer = if self.pings == 0 {
                Msg::Close(1000)
            } else {
                Msg::Pong(id)
            };
            self.inbox.push_back(answer);
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        context.waker().wake_by_ref(); // the answer is there
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
}

type Watched<T> = Session<Accepted<Socket>, T, Frames, Pings>;

/// Makes a session, lives with it, and counts the allocations in the meantime: in the
/// making, and in all polls.
async fn live<T: Timer>(timer: T, pings: u32) -> (Vec<&'static str>, [u64; 2]) {
    let socket = Socket::new(pings);
    let mut told = Vec::with_capacity(2000);
    let mut session: Option<Watched<T>> = None;
    let making = measure(|| {
        session = Some(Session::accepted(
            Config::article(),
            42,
            Frames,
            Pings,
            timer,
            socket,
        ));
    })
    .count_total;
    let mut session = session.unwrap();
    let mut count = 0;
    loop {
        let notice = poll_fn(|context| {
            let mut polled = Poll::Pending;
            count += measure(|| polled = session.poll_notice(context)).count_total;
            polled
        });
        let Some(notice) = timeout(HOUR, notice).await.unwrap() else {
            return (told, [making, count]);
        };
        told.push(match notice {
            Notice::Opened { .. } => "opened",
            Notice::Message(_) => "message",
            Notice::Ping(_) => "ping",
            Notice::Pong { .. } => "pong",
            Notice::Down(down) if down.retry.is_none() => "down",
            Notice::Stopped {
                reason: StopReason::Closed(_),
                ..
            } => "over",
            _ => panic!("what is this?"),
        });
    }
}

/// On tokio, with a sleep that the caller has pinned.
#[tokio::test(start_paused = true)]
async fn an_accepted_session_allocates_nothing_for_what_it_does_all_the_time() {
    // What the runtime allocates for its first sleep is not the session's.
    sleep(Duration::from_millis(1)).await;
    for pings in [1, 5, 400] {
        let sleep = pin!(sleep_until(Instant::now()));
        let (told, count) = live(sleep, pings).await;
        let first = ["opened"].into_iter().chain(["message"; 10]);
        let pongs = ["ping", "pong"].repeat(pings as usize - 1);
        let then = pongs.into_iter().chain(["ping", "down", "over"]);
        assert_eq!(told, first.chain(then).collect::<Vec<_>>());
        assert_eq!(count, [0, 3], "{pings} pings");
    }
}

/// The same is seen where there is something to see: the timer that boxes its sleep.
#[tokio::test(start_paused = true)]
async fn a_timer_that_allocates_is_seen() {
    let (_, [_, count]) = live(keepalive::tokio::Timer::new(), 5).await;
    assert!(count >= 4, "{count}");
}
