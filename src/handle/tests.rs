use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Instant;

use super::*;
use crate::send_error::Unsendable;
use crate::{CloseCode, Retry};

/// Longer than anything here takes; what waits for so long hangs.
const LONG: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// How often since the last time.
    fn woken(&self) -> usize {
        self.0.swap(0, SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A future, what wakes it, and what it returned.
struct Task<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    count: Arc<Count>,
}

impl<'a, T> Task<'a, T> {
    fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self {
            future: Box::pin(future),
            count: Arc::default(),
        }
    }

    /// One that waits already.
    fn waiting(future: impl Future<Output = T> + 'a) -> Self {
        let mut task = Self::new(future);
        assert!(task.poll().is_pending());
        task
    }

    fn poll(&mut self) -> Poll<T> {
        let waker = self.count.waker();
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// What it returns; it has to be done.
    fn done(mut self) -> T {
        match self.poll() {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("still waits"),
        }
    }

    fn woken(&self) -> usize {
        self.count.woken()
    }
}

/// Messages are as long as they say; from 10,000 bytes on they are too long.
fn desk(backlog: Backlog) -> Desk<usize> {
    let size = |message: &usize| match *message {
        0 => Err(Unsendable::Control),
        size @ 10_000.. => Err(Unsendable::TooLong {
            size,
            limit: 10_000,
        }),
        size => Ok(size),
    };
    Desk::new(size, backlog, |config| {
        if config.listen_only() {
            return Err(KeepingError);
        }
        Ok(())
    })
}

/// For 1000 bytes with the overhead of each message.
fn small() -> (Desk<usize>, Handle<usize>) {
    let desk = desk(Backlog::default().bytes(1000).messages(1000));
    let handle = desk.handle();
    (desk, handle)
}

fn drain(desk: &mut Desk<usize>) -> Vec<usize> {
    core::iter::from_fn(|| desk.pull()).collect()
}

/// Everything is in flight; so much of it is left.
fn leave(desk: &mut Desk<usize>, bytes: usize) -> Vec<usize> {
    let pulled = drain(desk);
    desk.in_flight(bytes);
    pulled
}

fn is_full(outcome: &Result<(), SendError<usize>>) -> bool {
    matches!(outcome, Err(SendError::Full { .. }))
}

#[test]
fn a_handle_is_for_every_thread_where_its_messages_are() {
    fn shared<T: Send + Sync + Clone>() {}
    fn send<T: Send>(_: T) {}
    fn all<W: Send + 'static>(handle: &Handle<W>, message: W) {
        shared::<Handle<W>>();
        send(handle.send(message));
        send(handle.ready());
        send(handle.opened());
    }
    // Send, and not Sync.
    let desk = Desk::new(
        |_: &core::cell::Cell<u8>| Ok(1),
        Backlog::default(),
        |_| Ok(()),
    );
    all(&desk.handle(), core::cell::Cell::new(1));
    send(desk);
    // Neither, nor Debug: it works on one thread.
    struct Local(std::rc::Rc<u8>);
    let mut desk = Desk::new(|_: &Local| Ok(1), Backlog::default(), |_| Ok(()));
    let handle = desk.handle();
    assert!(handle.try_send(Local(std::rc::Rc::new(7))).is_ok());
    assert_eq!(desk.pull().map(|local| *local.0), Some(7));
    assert_eq!(
        format!("{handle:?} {desk:?}"),
        "Handle { state: Idle, epoch: None, .. } \
         Desk { status: Status { state: Idle, epoch: None }, in_flight: 1024, .. }"
    );
}

mod limit {
    use super::*;

    #[test]
    fn is_a_mebibyte_or_1024_messages_by_default() {
        let mut desk = desk(Backlog::default());
        let handle = desk.handle();
        let taken = (0..2000).take_while(|_| handle.try_send(1).is_ok());
        assert_eq!(taken.count(), 1024);
        leave(&mut desk, 0);
        // 8192 bytes each.
        let taken = (0..2000).take_while(|_| handle.try_send(8192 - 64).is_ok());
        assert_eq!(taken.count(), 128);
    }

    #[test]
    fn gives_back_what_does_not_fit_and_names_sizes() {
        let (mut desk, handle) = small();
        handle.try_send(400).unwrap();
        handle.try_send(400).unwrap();
        match handle.try_send(9) {
            Err(SendError::Full {
                message: 9,
                size: 9,
                used: 928,
                limit: 1000,
            }) => {}
            other => panic!("{other:?}"),
        }
        // To the last byte.
        handle.try_send(8).unwrap();
        assert_eq!(drain(&mut desk), [400, 400, 8]);
    }

    #[test]
    fn covers_what_has_not_left_the_buffer() {
        let (mut desk, handle) = small();
        handle.try_send(900).unwrap();
        assert_eq!(desk.pull(), Some(900));
        assert!(is_full(&handle.try_send(100)));
        desk.in_flight(837);
        assert!(is_full(&handle.try_send(100)));
        desk.in_flight(836);
        handle.try_send(100).unwrap();
        // What the session adds of its own counts too.
        desk.in_flight(2000);
        assert_eq!(desk.pull(), Some(100));
        desk.in_flight(0);
        handle.try_send(936).unwrap();
    }

    #[test]
    fn a_longer_message_is_taken_only_where_nothing_else_is() {
        let (mut desk, handle) = small();
        handle.try_send(1).unwrap();
        assert!(is_full(&handle.try_send(5000)));
        assert_eq!(desk.pull(), Some(1));
        assert!(is_full(&handle.try_send(5000)), "1 has not left");
        desk.in_flight(0);
        handle.try_send(5000).unwrap();
        assert!(is_full(&handle.try_send(1)));
        assert_eq!(desk.pull(), Some(5000));
        desk.in_flight(4000);
        assert!(is_full(&handle.try_send(1)));
        desk.in_flight(0);
        handle.try_send(1).unwrap();
    }

    #[test]
    fn of_nothing_is_one_message() {
        let mut desk = desk(Backlog::default().bytes(0).messages(0));
        let handle = desk.handle();
        handle.try_send(1).unwrap();
        assert!(is_full(&handle.try_send(1)));
        assert_eq!(leave(&mut desk, 0), [1]);
        handle.try_send(1).unwrap();
    }

    #[test]
    fn what_cannot_be_sent_is_given_back_at_once_with_the_reason() {
        let (mut desk, handle) = small();
        let too_long = Unsendable::TooLong {
            size: 10_000,
            limit: 10_000,
        };
        // Also where there is no room.
        handle.try_send(936).unwrap();
        for (message, reason) in [(0, Unsendable::Control), (10_000, too_long)] {
            let sends: [Result<(), SendError<usize>>; 4] = [
                handle.try_send(message),
                handle.send_blocking(message),
                handle.send_blocking_for(message, Duration::MAX),
                Task::new(handle.send(message)).done(),
            ];
            for outcome in sends {
                match outcome {
                    Err(SendError::Unsendable { message: back, why }) => {
                        assert_eq!((back, why), (message, reason));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(drain(&mut desk), [936]);
    }

    #[test]
    fn a_backlog_that_is_cleared_makes_room() {
        let (mut desk, handle) = small();
        handle.try_send(300).unwrap();
        assert_eq!(desk.pull(), Some(300));
        handle.try_send(200).unwrap();
        handle.try_send(201).unwrap();
        let task = Task::waiting(handle.send(500));
        assert_eq!(desk.clear(), [200, 201]);
        assert_eq!(task.woken(), 1);
        task.done().unwrap();
        // The other 300 are still in flight.
        assert!(is_full(&handle.try_send(100)));
        assert_eq!(leave(&mut desk, 0), [500]);
        assert!(Backlog::default().outlives_connections());
        assert!(!Backlog::default().dropped_at_down().outlives_connections());
    }
}

mod line {
    use super::*;

    #[test]
    fn a_sender_waits_for_room_and_no_longer() {
        let (mut desk, handle) = small();
        Task::new(handle.send(936)).done().unwrap();
        let mut task = Task::waiting(handle.send(100));
        assert!(task.poll().is_pending());
        assert_eq!(desk.pull(), Some(936));
        assert_eq!(task.woken(), 0);
        assert!(task.poll().is_pending());
        desk.in_flight(0);
        assert_eq!(task.woken(), 1);
        task.done().unwrap();
        assert_eq!(drain(&mut desk), [100]);
    }

    #[test]
    fn who_waited_longest_is_next_and_nobody_overtakes() {
        let (mut desk, handle) = small();
        handle.try_send(936).unwrap();
        let first = Task::waiting(handle.send(800));
        let second = Task::waiting(handle.send(1));
        let mut third = Task::waiting(handle.send(501));
        leave(&mut desk, 700);
        // 300 are free, and not for those behind the first.
        assert!(is_full(&handle.try_send(1)));
        assert_eq!(second.woken(), 0);
        desk.in_flight(0);
        assert_eq!((first.woken(), second.woken(), third.woken()), (1, 1, 0));
        // A newcomer neither takes what was promised nor goes before the third.
        assert!(is_full(&handle.try_send(1)));
        assert!(third.poll().is_pending());
        // Not in the order in which they were promised room, if they are so polled.
        second.done().unwrap();
        first.done().unwrap();
        assert_eq!(leave(&mut desk, 0), [1, 800]);
        assert_eq!(third.woken(), 1);
        third.done().unwrap();
        assert_eq!(drain(&mut desk), [501]);
    }

    #[test]
    fn one_that_is_not_polled_holds_its_own_room_only() {
        let (mut desk, handle) = small();
        handle.try_send(936).unwrap();
        let idle = Task::waiting(handle.send(400));
        leave(&mut desk, 0);
        assert_eq!(idle.woken(), 1);
        for _ in 0..3 {
            handle.try_send(400).unwrap();
            assert!(is_full(&handle.try_send(100)));
            assert_eq!(leave(&mut desk, 0), [400]);
        }
        idle.done().unwrap();
    }

    #[test]
    fn a_future_that_is_dropped_drops_its_message_and_frees_its_place() {
        let dropped = Arc::new(());
        let size = |_: &(usize, Arc<()>)| Ok(900);
        let mut desk = Desk::new(size, Backlog::default().bytes(1000), |_| Ok(()));
        let handle = desk.handle();
        let message = |number| (number, Arc::clone(&dropped));
        handle.try_send(message(1)).unwrap();
        // Never polled; waits; waits last.
        drop(handle.send(message(2)));
        let second = Task::waiting(handle.send(message(2)));
        let third = Task::waiting(handle.send(message(3)));
        let fourth = Task::waiting(handle.send(message(4)));
        drop(fourth);
        drop(second);
        assert_eq!(Arc::strong_count(&dropped), 1 + 2);
        assert_eq!(third.woken(), 0);
        // The first in line had gone before there was room.
        assert_eq!(desk.pull().map(|pulled| pulled.0), Some(1));
        desk.in_flight(0);
        assert_eq!(third.woken(), 1);
        // The room that it was promised goes to the next.
        let fifth = Task::waiting(handle.send(message(5)));
        drop(third);
        assert_eq!(fifth.woken(), 1);
        fifth.done().unwrap();
        assert_eq!(desk.pull().map(|pulled| pulled.0), Some(5));
        assert!(desk.pull().is_none());
        assert_eq!(Arc::strong_count(&dropped), 1);
        // Nothing is left behind that takes room.
        desk.in_flight(0);
        assert!(handle.try_send(message(6)).is_ok());
    }

    #[test]
    fn one_that_leaves_the_head_lets_those_behind_it_in() {
        let (mut desk, handle) = small();
        handle.try_send(400).unwrap();
        let long = Task::waiting(handle.send(900));
        let short = Task::waiting(handle.send(10));
        assert_eq!(short.woken(), 0);
        drop(long);
        assert_eq!(short.woken(), 1);
        short.done().unwrap();
        assert_eq!(drain(&mut desk), [400, 10]);
    }

    #[test]
    fn the_waker_of_the_last_poll_is_woken() {
        let (mut desk, handle) = small();
        handle.try_send(936).unwrap();
        let mut task = Task::waiting(handle.send(1));
        let before = core::mem::take(&mut task.count);
        assert!(task.poll().is_pending());
        assert_eq!(Arc::strong_count(&before), 1, "the other one is dropped");
        leave(&mut desk, 0);
        assert_eq!((before.woken(), task.woken()), (0, 1));
    }

    #[test]
    fn room_is_announced_and_not_reserved() {
        let (mut desk, handle) = small();
        Task::new(handle.ready()).done();
        handle.try_send(800).unwrap();
        // For a short one.
        Task::new(handle.ready()).done();
        assert!(is_full(&handle.try_send(200)));
        // For that one; another handle knows nothing of it.
        let ready = Task::waiting(handle.ready());
        let given_up = Task::waiting(handle.ready());
        let other = handle.clone();
        let also = Task::waiting(other.ready());
        drop(given_up);
        let sender = Task::waiting(other.send(700));
        assert_eq!(leave(&mut desk, 800), [800]);
        assert_eq!((ready.woken(), also.woken(), sender.woken()), (0, 0, 0));
        desk.in_flight(736);
        assert_eq!((ready.woken(), also.woken(), sender.woken()), (1, 1, 0));
        ready.done();
        also.done();
        desk.in_flight(0);
        assert_eq!(sender.woken(), 1);
        // Someone else was promised it.
        assert!(is_full(&handle.try_send(200)));
        sender.done().unwrap();
        leave(&mut desk, 0);
        handle.try_send(200).unwrap();
        handle.try_send(600).unwrap();
        // Nothing was given back since.
        Task::new(handle.ready()).done();
        assert_eq!(drain(&mut desk), [200, 600]);
    }

    #[test]
    fn who_waits_for_room_holds_nobody_back() {
        let (mut desk, handle) = small();
        handle.try_send(900).unwrap();
        assert!(is_full(&handle.try_send(900)));
        let ready = Task::waiting(handle.ready());
        let sender = Task::waiting(handle.send(900));
        leave(&mut desk, 0);
        assert_eq!((ready.woken(), sender.woken()), (1, 1));
        sender.done().unwrap();
        drop(ready);
        assert_eq!(leave(&mut desk, 0), [900]);
        handle.try_send(936).unwrap();
    }
}

mod end {
    use super::*;

    #[test]
    fn after_a_stop_nothing_is_taken_and_what_was_is_sent() {
        let (mut desk, handle) = small();
        handle.try_send(300).unwrap();
        handle.try_send(500).unwrap();
        let promised = Task::waiting(handle.send(401));
        let waiting = Task::waiting(handle.send(402));
        let ready = Task::waiting(handle.ready());
        assert_eq!(desk.pull(), Some(300));
        desk.in_flight(0);
        assert_eq!((promised.woken(), waiting.woken()), (0, 0));
        assert_eq!(desk.pull(), Some(500));
        desk.in_flight(400);
        assert_eq!((promised.woken(), waiting.woken()), (1, 0));

        handle.clone().stop().unwrap();
        assert_eq!((waiting.woken(), ready.woken()), (1, 1));
        for (task, message) in [(promised, 401), (waiting, 402)] {
            match task.done() {
                Err(SendError::Stopped(back)) => assert_eq!(back, message),
                other => panic!("{other:?}"),
            }
        }
        ready.done();
        Task::new(handle.ready()).done();
        for outcome in [
            handle.try_send(7),
            handle.send_blocking(7),
            handle.send_blocking_for(7, LONG),
            Task::new(handle.send(7)).done(),
        ] {
            assert!(matches!(outcome, Err(SendError::Stopped(7))), "{outcome:?}");
        }
        assert_eq!(desk.wishes(), [Wish::Stop(None)]);
        assert_eq!(drain(&mut desk), []);
    }

    #[test]
    fn a_session_that_stops_by_itself_takes_nothing_either() {
        let (mut desk, handle) = small();
        handle.try_send(936).unwrap();
        let waiting = Task::waiting(handle.send(1));
        desk.stopping();
        assert_eq!(waiting.woken(), 1);
        assert!(matches!(waiting.done(), Err(SendError::Stopped(1))));
        assert_eq!(desk.wishes(), []);
        // A second stop is still heard.
        handle.stop().unwrap();
        assert_eq!(desk.wishes(), [Wish::Stop(None)]);
        assert_eq!(drain(&mut desk), [936]);
    }

    #[test]
    fn what_is_left_comes_back_in_order_and_then_it_is_over() {
        let (mut desk, handle) = small();
        for message in [1, 2, 3] {
            handle.try_send(message).unwrap();
        }
        assert_eq!(desk.pull(), Some(1));
        desk.publish(State::Open, Some(Epoch(1)));
        assert_eq!(desk.reclaim(), [2, 3]);
        assert_eq!(desk.reclaim(), []);
        assert_eq!(desk.pull(), None);
        assert!(matches!(handle.try_send(4), Err(SendError::Stopped(4))));
        assert_eq!(handle.stop(), Err(Gone));
        assert_eq!(handle.state().state, State::Stopped);
        assert_eq!(handle.state().epoch, None);
        assert_eq!(Task::new(handle.opened()).done(), Err(Gone));
    }

    #[test]
    fn everything_says_that_a_session_is_gone_and_gives_back() {
        let held = Arc::new(());
        let size = |_: &Arc<()>| Ok(900);
        let desk = Desk::new(size, Backlog::default().bytes(1000), |_| Ok(()));
        let handle = desk.handle();
        handle.try_send(Arc::clone(&held)).unwrap();
        let waiting = Task::waiting(handle.send(Arc::clone(&held)));
        let ready = Task::waiting(handle.ready());
        let opened = Task::waiting(handle.opened());
        let waker = Arc::<Count>::default();
        let mut desk = desk;
        desk.register(&waker.waker());
        drop(desk);
        assert_eq!(Arc::strong_count(&held), 1 + 1, "the queue is dropped");
        assert_eq!(Arc::strong_count(&waker), 1, "the waker is dropped");
        assert_eq!((waiting.woken(), ready.woken(), opened.woken()), (1, 1, 1));
        assert!(matches!(waiting.done(), Err(SendError::Gone(_))));
        ready.done();
        assert_eq!(opened.done(), Err(Gone));
        let message = Arc::clone(&held);
        assert!(matches!(handle.try_send(message), Err(SendError::Gone(_))));
        let message = Arc::clone(&held);
        assert!(matches!(
            handle.send_blocking(message),
            Err(SendError::Gone(_))
        ));
        let config = Config::default();
        let goodbye = Goodbye::new(CloseCode::NORMAL, "").unwrap();
        assert_eq!(handle.stop(), Err(Gone));
        assert_eq!(handle.stop_with(goodbye), Err(Gone));
        assert_eq!(handle.reconnect_now(), Err(Gone));
        assert_eq!(handle.network_changed(), Err(Gone));
        assert_eq!(handle.healthy(Epoch(1)), Err(Gone));
        assert_eq!(handle.give_up(Epoch(1), Closed::default()), Err(Gone));
        assert_eq!(
            handle.reconfigure(config),
            Err(ReconfigureError::Gone(Gone))
        );
        assert_eq!(handle.wait_open(LONG), Err(OpenError::Gone(Gone)));
        assert_eq!(handle.state().state, State::Stopped);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    /// What was taken is pulled or given back, each once, whenever the stop comes.
    #[test]
    fn a_stop_that_races_with_senders_loses_nothing() {
        for round in 0..200 {
            let mut desk = desk(Backlog::default().bytes(1000).messages(4));
            let taken: Arc<AtomicUsize> = Arc::default();
            let senders: Vec<_> = (0..3)
                .map(|sender| {
                    let (handle, taken) = (desk.handle(), Arc::clone(&taken));
                    thread::spawn(move || {
                        for _ in 0..10_000 {
                            let outcome = match sender {
                                0 => handle.send_blocking(1),
                                1 => handle.send_blocking_for(1, Duration::from_micros(5)),
                                _ => handle.try_send(1),
                            };
                            match outcome {
                                Ok(()) => taken.fetch_add(1, SeqCst),
                                Err(SendError::Full { .. } | SendError::TimedOut(_)) => continue,
                                Err(SendError::Stopped(1)) => return true,
                                other => panic!("{other:?}"),
                            };
                        }
                        false
                    })
                })
                .collect();
            let stopper = desk.handle();
            let stop = thread::spawn(move || {
                thread::sleep(Duration::from_micros(round));
                stopper.stop().unwrap();
            });
            let (mut pulled, begin) = (0, Instant::now());
            while desk.wishes().is_empty() {
                assert!(begin.elapsed() < LONG);
                pulled += leave(&mut desk, 0).len();
            }
            pulled += desk.pull().into_iter().len();
            stop.join().unwrap();
            let reclaimed = desk.reclaim().len();
            for sender in senders {
                // The one that only tries may have been through before.
                sender.join().unwrap();
            }
            assert_eq!(pulled + reclaimed, taken.load(SeqCst));
        }
    }
}

#[test]
fn what_is_over_is_not_revived_by_what_was_wished_before() {
    let (mut desk, handle) = small();
    handle.reconnect_now().unwrap();
    desk.reclaim();
    assert_eq!(desk.wishes(), []);
    assert_eq!(handle.reconnect_now(), Err(Gone));
}

mod wishes {
    use super::*;

    #[test]
    fn are_heard_in_the_order_in_which_they_were_said() {
        let (mut desk, handle) = small();
        let config = Config::default();
        let closed = Closed::with_code(CloseCode(4001)).retry(Retry::Stop);
        let goodbye = Goodbye::new(CloseCode(4000), "bye").unwrap();
        assert_eq!(desk.wishes(), []);
        handle.healthy(Epoch(3)).unwrap();
        handle.network_changed().unwrap();
        handle.give_up(Epoch(3), closed).unwrap();
        handle.reconnect_now().unwrap();
        handle.reconfigure(config).unwrap();
        handle.stop_with(goodbye.clone()).unwrap();
        assert_eq!(
            desk.wishes(),
            [
                Wish::Healthy(Epoch(3)),
                Wish::NetworkChanged,
                Wish::GiveUp(Epoch(3), closed),
                Wish::ReconnectNow,
                Wish::Reconfigure(config),
                Wish::Stop(Some(goodbye)),
            ]
        );
        assert_eq!(desk.wishes(), []);
    }

    #[test]
    fn that_nobody_hears_do_not_grow() {
        let (mut desk, handle) = small();
        let config = |seconds| {
            let interval = Duration::from_secs(seconds);
            Config::builder().ping_interval(interval).build().unwrap()
        };
        let (first, later) = (CloseCode(4001), CloseCode(4002));
        for _ in 0..3 {
            handle.reconfigure(config(30)).unwrap();
            handle.reconnect_now().unwrap();
            handle.healthy(Epoch(u32::MAX)).unwrap();
            handle.network_changed().unwrap();
            handle.healthy(Epoch(0)).unwrap();
            handle.give_up(Epoch(7), Closed::with_code(first)).unwrap();
            handle.give_up(Epoch(6), Closed::with_code(later)).unwrap();
            handle.give_up(Epoch(7), Closed::with_code(later)).unwrap();
            handle.reconfigure(config(40)).unwrap();
        }
        assert_eq!(
            desk.wishes(),
            [
                Wish::ReconnectNow,
                Wish::NetworkChanged,
                // The later of two epochs, also around the end of numbers.
                Wish::Healthy(Epoch(0)),
                // What ended the connection first.
                Wish::GiveUp(Epoch(7), Closed::with_code(first)),
                Wish::Reconfigure(config(40)),
            ]
        );
        handle.give_up(Epoch(7), Closed::with_code(first)).unwrap();
        handle.give_up(Epoch(8), Closed::with_code(later)).unwrap();
        let closed = Closed::with_code(later);
        assert_eq!(desk.wishes(), [Wish::GiveUp(Epoch(8), closed)]);
    }

    #[test]
    fn a_second_stop_is_heard_and_nothing_else_after_the_first() {
        let (mut desk, handle) = small();
        for _ in 0..5 {
            handle.stop().unwrap();
        }
        assert_eq!(desk.wishes(), [Wish::Stop(None), Wish::Stop(None)]);
        assert_eq!(handle.reconnect_now(), Err(Gone));
        assert_eq!(handle.network_changed(), Err(Gone));
        assert_eq!(desk.wishes(), []);
        handle.stop().unwrap();
        assert_eq!(desk.wishes(), [Wish::Stop(None)]);
    }

    #[test]
    fn settings_that_do_not_suit_the_session_are_refused_at_once() {
        let (mut desk, handle) = small();
        let config = Config::builder().listen_only(true).build().unwrap();
        let error = handle.reconfigure(config).unwrap_err();
        assert_eq!(error, ReconfigureError::Keeping(KeepingError));
        assert_eq!(
            error.to_string(),
            "copies can only be kept with `confirm_within`"
        );
        assert_eq!(desk.wishes(), []);
    }
}

mod wakes {
    use super::*;

    fn registered(desk: &mut Desk<usize>) -> Arc<Count> {
        let count = Arc::<Count>::default();
        desk.register(&count.waker());
        count
    }

    #[test]
    fn every_wish_wakes_the_session() {
        let (mut desk, handle) = small();
        let session = registered(&mut desk);
        handle.reconnect_now().unwrap();
        assert_eq!(session.woken(), 1);
        handle.reconnect_now().unwrap();
        assert_eq!(session.woken(), 1);
        let goodbye = Goodbye::new(CloseCode::NORMAL, "").unwrap();
        let wishes: [&dyn Fn() -> bool; 6] = [
            &|| handle.network_changed().is_ok(),
            &|| handle.healthy(Epoch(1)).is_ok(),
            &|| handle.give_up(Epoch(1), Closed::default()).is_ok(),
            &|| handle.reconfigure(Config::default()).is_ok(),
            &|| handle.stop().is_ok(),
            &|| handle.stop_with(goodbye.clone()).is_ok(),
        ];
        for wish in wishes {
            assert!(wish());
            assert_eq!(session.woken(), 1);
        }
    }

    #[test]
    fn a_message_wakes_the_session_where_it_had_found_none() {
        let (mut desk, handle) = small();
        let session = registered(&mut desk);
        for _ in 0..3 {
            handle.try_send(1).unwrap();
            assert_eq!(session.woken(), 1);
            handle.try_send(2).unwrap();
            Task::new(handle.send(3)).done().unwrap();
            assert_eq!(session.woken(), 0, "it knows");
            assert_eq!(desk.pull(), Some(1));
            handle.try_send(4).unwrap();
            assert_eq!(session.woken(), 0, "it has not found the end");
            assert_eq!(leave(&mut desk, 0), [2, 3, 4]);
        }
        Task::new(handle.send(3)).done().unwrap();
        assert_eq!(session.woken(), 1);
        desk.clear();
        handle.try_send(1).unwrap();
        assert_eq!(session.woken(), 1);
    }

    #[test]
    fn the_waker_that_was_registered_last_is_woken_and_the_other_dropped() {
        let (mut desk, handle) = small();
        // Before there is one.
        handle.reconnect_now().unwrap();
        let first = registered(&mut desk);
        let second = registered(&mut desk);
        assert_eq!(Arc::strong_count(&first), 1);
        handle.reconnect_now().unwrap();
        assert_eq!((first.woken(), second.woken()), (0, 1));
        // The same again is not stored again.
        let held = Arc::strong_count(&second);
        desk.register(&second.waker());
        assert_eq!(Arc::strong_count(&second), held);
    }

    /// Holds the lock while the session looks for news, and there are none.
    #[test]
    fn without_news_the_lock_is_not_touched() {
        let (mut desk, handle) = small();
        let session = registered(&mut desk);
        desk.publish(State::Open, Some(Epoch(1)));
        let locked = handle.shared.lock();
        let (done, is_done) = channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                desk.note_thread();
                desk.register(&session.waker());
                assert_eq!(desk.wishes(), []);
                assert_eq!(desk.pull(), None);
                desk.in_flight(0);
                desk.publish(State::Open, Some(Epoch(1)));
                done.send(()).unwrap();
            });
            let outcome = is_done.recv_timeout(LONG);
            drop(locked);
            outcome.unwrap();
        });
    }

    /// Notes whether the lock was free whenever it is woken or dropped.
    struct Watch {
        handle: Weak<Shared<usize>>,
        looks: Arc<AtomicUsize>,
        was_locked: Arc<AtomicBool>,
    }

    impl Watch {
        fn look(&self) {
            if let Some(shared) = self.handle.upgrade() {
                self.looks.fetch_add(1, SeqCst);
                if shared.is_locked() {
                    self.was_locked.store(true, SeqCst);
                }
            }
        }
    }

    impl Wake for Watch {
        fn wake(self: Arc<Self>) {
            self.look();
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            self.look();
        }
    }

    #[test]
    fn no_waker_is_woken_or_dropped_under_the_lock() {
        let (mut desk, handle) = small();
        let looks = Arc::<AtomicUsize>::default();
        let was_locked = Arc::<AtomicBool>::default();
        let waker = || {
            Waker::from(Arc::new(Watch {
                handle: Arc::downgrade(&handle.shared),
                looks: Arc::clone(&looks),
                was_locked: Arc::clone(&was_locked),
            }))
        };
        let poll = |future: Pin<&mut dyn Future<Output = ()>>| {
            let waker = waker();
            future.poll(&mut Context::from_waker(&waker)).is_ready()
        };
        let seen = |expected: usize| {
            assert_eq!(looks.swap(0, SeqCst), expected);
            assert!(!was_locked.load(SeqCst));
        };
        // Stored, replaced, woken by a wish and by a message.
        desk.register(&waker());
        desk.register(&waker());
        seen(1);
        handle.network_changed().unwrap();
        handle.try_send(936).unwrap();
        seen(2);
        // Senders: waker replaced, woken, dropped in line; those who wait for an
        // opening; and the end of it all.
        let send = || async { drop(handle.send(1).await) };
        let open = || async { assert!(handle.opened().await.is_err()) };
        {
            let mut one = pin!(send());
            assert!(!poll(one.as_mut()));
            assert!(!poll(one.as_mut()));
            seen(1);
            leave(&mut desk, 0);
            seen(2);
            assert!(poll(one.as_mut()));
        }
        // The session was woken again, and the unused waker is dropped.
        seen(2);
        handle.try_send(800).unwrap();
        {
            let mut two = pin!(async { drop(handle.send(900).await) });
            assert!(!poll(two.as_mut()));
        }
        seen(1);
        {
            let mut three = pin!(open());
            assert!(!poll(three.as_mut()));
            assert!(!poll(three.as_mut()));
            seen(1);
            desk.publish(State::Open, Some(Epoch(1)));
            seen(2);
            desk.publish(State::Waiting, None);
            let mut four = pin!(open());
            assert!(!poll(four.as_mut()));
        }
        seen(1);
        let mut five = pin!(open());
        let mut six = pin!(async { drop(handle.send(900).await) });
        assert!(!poll(five.as_mut()));
        assert!(!poll(six.as_mut()));
        handle.stop().unwrap();
        seen(5);
        drop(desk);
        seen(1);
    }

    struct Bomb;

    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            resume_unwind(Box::new("a waker panics"));
        }
    }

    #[test]
    fn a_waker_that_panics_spoils_nothing_and_the_others_are_woken() {
        let (mut desk, handle) = small();
        let ends_with_panic = |action: &mut dyn FnMut()| {
            let outcome = catch_unwind(AssertUnwindSafe(action));
            let payload = outcome.expect_err("the panic goes on");
            assert_eq!(payload.downcast_ref(), Some(&"a waker panics"));
        };
        let bomb = Waker::from(Arc::new(Bomb));
        // The session's.
        let bombed = || Context::from_waker(&bomb);
        ends_with_panic(&mut || {
            desk.register(&bomb);
            handle.try_send(936).unwrap();
        });
        let session = registered(&mut desk);
        // A sender's, at the head of a line, and one of those who wait for an opening.
        let mut first = pin!(handle.send(1));
        assert!(first.as_mut().poll(&mut bombed()).is_pending());
        let second = Task::waiting(handle.send(2));
        let opened = Task::waiting(handle.opened());
        let mut opening = pin!(handle.opened());
        assert!(opening.as_mut().poll(&mut bombed()).is_pending());
        let last = Task::waiting(handle.opened());
        ends_with_panic(&mut || {
            leave(&mut desk, 0);
        });
        assert_eq!(second.woken(), 1);
        second.done().unwrap();
        assert_eq!(session.woken(), 1);
        ends_with_panic(&mut || desk.publish(State::Open, Some(Epoch(1))));
        assert_eq!((opened.woken(), last.woken()), (1, 1));
        assert!(first.as_mut().poll(&mut bombed()).is_ready());
        assert_eq!(leave(&mut desk, 0), [2, 1]);
        // All that a stop wakes, though the first panics; also the session's.
        handle.try_send(936).unwrap();
        desk.publish(State::Waiting, None);
        let mut first = pin!(handle.send(1));
        assert!(first.as_mut().poll(&mut bombed()).is_pending());
        let second = Task::waiting(handle.send(2));
        assert_eq!(session.woken(), 1);
        ends_with_panic(&mut || assert!(handle.stop().is_ok()));
        assert_eq!((second.woken(), session.woken()), (1, 1));
        assert_eq!(desk.wishes(), [Wish::Stop(None)]);
        assert_eq!(drain(&mut desk), [936]);
    }

    /// Else the process would end.
    #[test]
    fn a_waker_that_panics_while_another_panic_unwinds_is_passed_over() {
        let (mut desk, handle) = small();
        handle.try_send(936).unwrap();
        let bomb = Waker::from(Arc::new(Bomb));
        let promised = Task::waiting(handle.send(900));
        let mut second = pin!(handle.send(800));
        let poll = second.as_mut().poll(&mut Context::from_waker(&bomb));
        assert!(poll.is_pending());
        let third = Task::waiting(handle.send(10));
        leave(&mut desk, 0);
        let outcome = catch_unwind(AssertUnwindSafe(move || {
            let _promised = promised;
            resume_unwind(Box::new("another panic"));
        }));
        let payload = outcome.expect_err("it panics");
        assert_eq!(payload.downcast_ref(), Some(&"another panic"));
        assert_eq!(third.woken(), 1);
    }
}

mod opening {
    use super::*;

    #[test]
    fn is_waited_for() {
        let (mut desk, handle) = small();
        let mut task = Task::waiting(handle.opened());
        desk.publish(State::Connecting, None);
        assert_eq!(task.woken(), 0);
        assert!(task.poll().is_pending());
        let status = handle.state();
        assert_eq!((status.state, status.epoch), (State::Connecting, None));
        desk.publish(State::Open, Some(Epoch(4)));
        assert_eq!(task.woken(), 1);
        assert_eq!(task.done(), Ok(Epoch(4)));
        assert_eq!(Task::new(handle.opened()).done(), Ok(Epoch(4)));
        assert_eq!(handle.wait_open(Duration::ZERO), Ok(Epoch(4)));
        // Open and down again before anybody looked: it waits on.
        desk.publish(State::Waiting, None);
        let mut task = Task::waiting(handle.opened());
        desk.publish(State::Open, Some(Epoch(5)));
        desk.publish(State::Waiting, None);
        assert_eq!(task.woken(), 1);
        assert!(task.poll().is_pending());
        desk.publish(State::Open, Some(Epoch(6)));
        assert_eq!(task.woken(), 1);
        assert_eq!(task.done(), Ok(Epoch(6)));
    }

    #[test]
    fn who_waits_for_it_leaves_nothing_behind_and_hears_of_a_stop() {
        let (mut desk, handle) = small();
        let dropped = Task::waiting(handle.opened());
        let count = Arc::clone(&dropped.count);
        drop(dropped);
        assert_eq!(Arc::strong_count(&count), 1);
        let mut task = Task::waiting(handle.opened());
        for _ in 0..3 {
            assert!(task.poll().is_pending());
        }
        assert_eq!(Arc::strong_count(&task.count), 2);
        handle.stop().unwrap();
        assert_eq!(task.woken(), 1);
        assert_eq!(task.done(), Err(Gone));
        // Also where the connection is still there to say goodbye on.
        desk.publish(State::Closing, Some(Epoch(1)));
        assert_eq!(handle.wait_open(LONG), Err(OpenError::Gone(Gone)));
    }

    #[test]
    fn tells_when_all_is_over_and_not_before() {
        let (mut desk, handle) = small();
        let mut task = Task::waiting(handle.ended());
        let forgotten = Task::waiting(handle.ended());
        drop(forgotten);
        handle.stop().unwrap();
        desk.stopping();
        assert!(task.poll().is_pending());
        assert_eq!(handle.wait_ended(Duration::ZERO), Err(EndError::TimedOut));
        task.count.woken();
        desk.reclaim();
        assert_eq!(task.woken(), 1);
        task.done();
        assert_eq!(handle.wait_ended(LONG), Ok(()));
        // Also of one that was dropped as it was.
        let (desk, handle) = small();
        let task = Task::waiting(handle.ended());
        drop(desk);
        assert_eq!(task.woken(), 1);
        task.done();
    }

    #[test]
    fn blocks_a_thread_until_then_and_not_the_sessions_own() {
        let (mut desk, handle) = small();
        let begin = Instant::now();
        let timeout = Duration::from_millis(20);
        assert_eq!(handle.wait_open(timeout), Err(OpenError::TimedOut));
        assert!(begin.elapsed() >= timeout);
        desk.note_thread();
        assert_eq!(handle.wait_open(LONG), Err(OpenError::WouldBlock));
        for timeout in [LONG, Duration::MAX] {
            let (desk, handle) = (&mut desk, &handle);
            desk.publish(State::Connecting, None);
            thread::scope(|scope| {
                let waits = scope.spawn(move || handle.wait_open(timeout));
                thread::sleep(Duration::from_millis(10));
                desk.publish(State::Open, Some(Epoch(9)));
                assert_eq!(waits.join().unwrap(), Ok(Epoch(9)));
            });
        }
        assert_eq!(handle.wait_open(LONG), Ok(Epoch(9)));
    }
}

mod blocking {
    use super::*;

    #[test]
    fn a_send_waits_no_longer_than_it_may() {
        let (mut desk, handle) = small();
        handle.send_blocking_for(936, Duration::ZERO).unwrap();
        for timeout in [Duration::ZERO, Duration::from_millis(20)] {
            let begin = Instant::now();
            let outcome = handle.send_blocking_for(1, timeout);
            assert!(
                matches!(outcome, Err(SendError::TimedOut(1))),
                "{outcome:?}"
            );
            assert!(begin.elapsed() >= timeout);
        }
        // It is out of the line.
        assert_eq!(leave(&mut desk, 0), [936]);
        handle.try_send(936).unwrap();
        assert_eq!(leave(&mut desk, 0), [936]);
    }

    #[test]
    fn on_the_sessions_own_thread_it_is_given_back_in_place_of_waiting() {
        let (mut desk, handle) = small();
        desk.note_thread();
        // It does not wait here.
        handle.send_blocking(900).unwrap();
        for outcome in [
            handle.send_blocking(900),
            handle.send_blocking_for(900, LONG),
        ] {
            assert!(
                matches!(outcome, Err(SendError::WouldBlock(900))),
                "{outcome:?}"
            );
        }
        // Another thread waits, until the session is on that one.
        thread::scope(|scope| {
            let waits = scope.spawn(|| handle.send_blocking(901));
            thread::sleep(Duration::from_millis(10));
            assert_eq!(leave(&mut desk, 0), [900]);
            waits.join().unwrap().unwrap();
            let own = scope.spawn(|| {
                desk.note_thread();
                handle.send_blocking(902)
            });
            let outcome = own.join().unwrap();
            assert!(
                matches!(outcome, Err(SendError::WouldBlock(902))),
                "{outcome:?}"
            );
        });
        let outcome = handle.send_blocking_for(903, Duration::from_millis(1));
        assert!(
            matches!(outcome, Err(SendError::TimedOut(903))),
            "{outcome:?}"
        );
        assert_eq!(drain(&mut desk), [901]);
    }

    #[test]
    fn a_stop_and_a_drop_end_the_wait() {
        for is_stop in [true, false] {
            let (desk, handle) = small();
            handle.try_send(900).unwrap();
            let stopper = handle.clone();
            let waits = thread::spawn(move || handle.send_blocking(901));
            thread::sleep(Duration::from_millis(10));
            if is_stop {
                stopper.stop().unwrap();
                let outcome = waits.join().unwrap();
                assert!(matches!(outcome, Err(SendError::Stopped(901))));
            } else {
                drop(desk);
                let outcome = waits.join().unwrap();
                assert!(matches!(outcome, Err(SendError::Gone(901))));
            }
        }
    }

    /// The session's loop: sleeps until it is woken, and for so long that a lost wake
    /// shows.
    fn serve(desk: &mut Desk<usize>, mut take: impl FnMut(usize)) {
        struct Unpark(thread::Thread, AtomicBool);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.1.store(true, SeqCst);
                self.0.unpark();
            }
        }
        let alarm = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&alarm));
        loop {
            desk.note_thread();
            desk.register(&waker);
            let mut pulled = 0;
            while let Some(message) = desk.pull() {
                take(message);
                pulled += 1;
            }
            desk.in_flight(0);
            if !desk.wishes().is_empty() {
                return;
            }
            let begin = Instant::now();
            while pulled == 0 && !alarm.1.swap(false, SeqCst) {
                assert!(begin.elapsed() < LONG, "a wake was lost");
                thread::park_timeout(LONG);
            }
        }
    }

    /// A second stop would abandon the connection.
    #[test]
    fn those_who_stop_it_once_at_the_same_time_stop_it_once() {
        const ROUNDS: usize = if cfg!(miri) { 50 } else { 5_000 };
        let (mut desks, handles): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| small()).unzip();
        let arrived = AtomicUsize::new(0);
        let stops = || {
            for (round, handle) in handles.iter().enumerate() {
                arrived.fetch_add(1, SeqCst);
                let mut spins = 0;
                while arrived.load(SeqCst) < 2 * (round + 1) {
                    spins += 1;
                    if spins > 50_000 {
                        // Others may have the other's processor.
                        thread::yield_now();
                    }
                }
                handle.stop_once();
            }
        };
        thread::scope(|scope| {
            scope.spawn(stops);
            stops();
        });
        let stops = desks.iter_mut().map(|desk| desk.wishes().len());
        assert_eq!(stops.filter(|&stops| stops != 1).count(), 0);
    }

    #[test]
    fn four_senders_wait_in_turns_and_keep_their_order() {
        const EACH: usize = 5000;
        for messages in [1, 3, 1000] {
            // The number says who sends, and the how manieth it is.
            let size = |_: &usize| Ok(1);
            let backlog = Backlog::default().bytes(65 * messages).messages(messages);
            let mut desk = Desk::new(size, backlog, |_| Ok(()));
            let senders: Vec<_> = (0..4)
                .map(|sender| {
                    let handle = desk.handle();
                    thread::spawn(move || {
                        for number in 0..EACH {
                            handle.send_blocking(sender * EACH + number).unwrap();
                        }
                    })
                })
                .collect();
            let stopper = desk.handle();
            let stop = thread::spawn(move || {
                for sender in senders {
                    sender.join().unwrap();
                }
                stopper.stop().unwrap();
            });
            let mut next = [0; 4];
            let take = |message: usize| {
                let (sender, number) = (message / EACH, message % EACH);
                assert_eq!(number, next[sender]);
                next[sender] += 1;
            };
            serve(&mut desk, take);
            stop.join().unwrap();
            let left = desk.reclaim().len();
            assert_eq!(next.iter().sum::<usize>() + left, 4 * EACH);
        }
    }

    /// Waits that end at any point of a hand-over: what was taken arrives, and nothing
    /// else does.
    #[test]
    fn sends_that_give_up_in_between_are_sent_or_given_back() {
        let size = |_: &usize| Ok(1);
        let backlog = Backlog::default().bytes(65 * 2).messages(2);
        let mut desk = Desk::new(size, backlog, |_| Ok(()));
        let taken = Arc::<AtomicUsize>::default();
        let senders: Vec<_> = (1..=4)
            .map(|sender| {
                let (handle, taken) = (desk.handle(), Arc::clone(&taken));
                thread::spawn(move || {
                    for round in 0..2000_u64 {
                        let timeout = Duration::from_micros(round * 7 % 40);
                        match handle.send_blocking_for(sender, timeout) {
                            Ok(()) => taken.fetch_add(sender, SeqCst),
                            Err(SendError::TimedOut(_)) => continue,
                            other => panic!("{other:?}"),
                        };
                    }
                })
            })
            .collect();
        let stopper = desk.handle();
        let stop = thread::spawn(move || {
            for sender in senders {
                sender.join().unwrap();
            }
            // Nothing is left behind that takes room or holds the line.
            stopper.send_blocking(0).unwrap();
            stopper.send_blocking(0).unwrap();
            stopper.stop().unwrap();
        });
        let mut sum = 0;
        serve(&mut desk, |message| sum += message);
        stop.join().unwrap();
        sum += desk.reclaim().iter().sum::<usize>();
        assert_eq!(sum, taken.load(SeqCst));
    }
}
