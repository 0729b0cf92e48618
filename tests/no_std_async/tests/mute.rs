//! A link that falls silent is left within the bound and dialled again, by the loop
//! and by a session.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use embassy_time::{Instant, MockDriver};
use keepalive::{
    CloseCode, Closed, Config, Event, Heartbeat, Manner, PingId, StopReason, stop_when_refused,
};
use no_std_async::{Link, run};

/// Answers two pings on the first link and none after; says goodbye at the first ping
/// on the second.
#[derive(Default)]
struct Script {
    pending: Option<Event>,
    dials: u32,
    pings: u32,
    /// When the last answer came, and when the link was abandoned.
    answered: Duration,
    abandoned: Duration,
}

impl Script {
    fn answer(&mut self, id: PingId) -> Option<Event> {
        self.pings += 1;
        match (self.dials, self.pings) {
            (1, 1 | 2) => {
                self.answered = now();
                Some(Event::Pong(id))
            }
            (1, _) => None,
            _ => Some(Event::Closed(Closed::with_code(CloseCode::NORMAL))),
        }
    }
}

impl Link for Script {
    async fn next(&mut self) -> Event {
        poll_fn(|_| self.pending.take().map_or(Poll::Pending, Poll::Ready)).await
    }

    fn dial(&mut self) {
        self.dials += 1;
        self.pending = Some(Event::Opened);
    }

    fn ping(&mut self, id: PingId) {
        self.pending = self.answer(id);
    }

    fn hang_up(&mut self, manner: Manner) {
        assert_eq!(manner, Manner::Abandon);
        self.abandoned = now();
    }
}

/// The goodbye of the second link is the end.
fn config() -> Config {
    let article = Config::article().to_builder();
    article.policy(stop_when_refused).build().unwrap()
}

#[test]
fn by_the_loop() {
    let mut script = Script::default();
    let mut heartbeat = Heartbeat::new(config(), 42);
    let reason = drive(run(&mut heartbeat, &mut script));
    assert_eq!(reason, StopReason::Closed(Some(CloseCode::NORMAL)));
    assert_eq!((script.dials, script.pings), (2, 4));
    assert_eq!(script.abandoned - script.answered, Duration::from_secs(12));
}

/// The same story with a session: a socket whose messages are pings and pongs.
#[cfg(feature = "session")]
mod session {
    use std::convert::Infallible;
    use std::pin::Pin;

    use futures_core::Stream;
    use futures_sink::Sink;
    use keepalive::driver::{Cause, Dialect, Frame, Notice, Plain};
    use keepalive::session::Session;
    use keepalive::{CloseCode, CloseReason, Unsendable};
    use no_std_async::timer;

    use super::*;

    /// Answers as many pings as this.
    struct Socket {
        answers: u32,
        pong: Option<PingId>,
    }

    impl Stream for Socket {
        type Item = Result<PingId, Infallible>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            let pong = self.pong.take();
            pong.map_or(Poll::Pending, |id| Poll::Ready(Some(Ok(id))))
        }
    }

    impl Sink<PingId> for Socket {
        type Error = Infallible;

        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn start_send(mut self: Pin<&mut Self>, id: PingId) -> Result<(), Infallible> {
            if self.answers > 0 {
                self.answers -= 1;
                self.pong = Some(id);
            }
            Ok(())
        }

        fn poll_flush(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Result<(), Infallible>> {
            context.waker().wake_by_ref(); // the answer is there
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }
    }

    struct Pings;

    impl Dialect for Pings {
        type Message = PingId;

        fn frame(&self, id: &PingId) -> Frame {
            Frame::Pong(*id)
        }

        fn size(&self, _: &PingId) -> Result<usize, Unsendable> {
            Err(Unsendable::Control)
        }

        fn ping(&mut self, id: PingId) -> Option<PingId> {
            Some(id)
        }

        fn goodbye(&mut self, _: CloseReason, _: Option<CloseCode>, _: &str) -> Option<PingId> {
            None
        }
    }

    #[test]
    fn by_a_session() {
        let dial = |_| async {
            Ok(Socket {
                answers: 2,
                pong: None,
            })
        };
        let mut session = Session::client(Config::article(), 42, Pings, Plain, timer(), dial);
        drive(async {
            let mut answered = Duration::ZERO;
            let mut opened = 0;
            while opened < 2 {
                match session.next().await.unwrap() {
                    Notice::Opened { .. } => opened += 1,
                    Notice::Pong { .. } => answered = now(),
                    Notice::Down(down) => {
                        let timeout = Cause::TimedOut(CloseReason::PongTimeout);
                        assert_eq!(down.cause, timeout);
                        let took = now() - answered;
                        let bound = Duration::from_secs(12);
                        assert!(took >= bound, "{took:?}");
                        assert!(took <= bound + Duration::from_millis(2), "{took:?}");
                    }
                    _ => {}
                }
            }
        });
    }
}

/// Polls a future when it is awake, and lets time pass while it sleeps.
fn drive<F: Future>(future: F) -> F::Output {
    static CLOCK: Mutex<()> = Mutex::new(());
    let _only = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let mut future = pin!(future);
    for _ in 0..1_000_000 {
        if !flag.0.swap(false, Ordering::Relaxed) {
            MockDriver::get().advance(embassy_time::Duration::from_millis(1));
        } else if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
    }
    panic!("nothing happens any more");
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn now() -> Duration {
    Duration::from_micros(Instant::now().as_micros())
}
