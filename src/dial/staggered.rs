use core::pin::Pin;
use core::task::Poll;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use super::plan::Plan;
use crate::session::Timer;

/// Connects to the first of these addresses that answers, as the [`Plan`] says. What
/// has not answered by then is dropped, as is everything where this future is.
///
/// Where all fail, the error is that of the attempt that failed first: it is of an
/// address that was preferred, and no echo of the others'.
pub(crate) async fn connect<T, C, F, S>(
    addresses: Vec<SocketAddr>,
    mut timer: T,
    mut start: C,
) -> io::Result<S>
where
    T: Timer,
    C: FnMut(SocketAddr) -> F,
    F: Future<Output = io::Result<S>>,
{
    let mut plan = Plan::new(addresses);
    let mut attempts: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut failure = None;
    let mut set = None;
    poll_fn(|context| {
        loop {
            let mut winner = None;
            attempts.retain_mut(|(number, attempt)| {
                if winner.is_some() {
                    return true;
                }
                match attempt.as_mut().poll(context) {
                    Poll::Pending => return true,
                    Poll::Ready(Ok(socket)) => winner = Some(socket),
                    Poll::Ready(Err(error)) => {
                        plan.failed(*number);
                        failure.get_or_insert(error);
                    }
                }
                false
            });
            if let Some(socket) = winner {
                return Poll::Ready(Ok(socket));
            }
            if let Some((number, address)) = plan.next_start(timer.now()) {
                attempts.push((number, Box::pin(start(address))));
                continue;
            }
            if attempts.is_empty() {
                return Poll::Ready(Err(failure.take().unwrap_or_else(no_address)));
            }
            let Some(due) = plan.due() else {
                return Poll::Pending;
            };
            if set != Some(due) {
                timer.set(due);
                set = Some(due);
            }
            if timer.poll(context).is_ready() {
                // It has fired, perhaps 1 ms early: set it again.
                set = None;
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
    })
    .await
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}

#[cfg(test)]
mod tests {
    use core::cell::{Cell, RefCell};
    use core::task::{Context, Waker};
    use core::time::Duration;
    use std::rc::Rc;

    use super::*;

    /// Virtual time, and all that happened in it: what started when, and how many
    /// attempts there are.
    #[derive(Default)]
    struct World {
        now: Cell<Duration>,
        due: Cell<Option<Duration>>,
        started: RefCell<Vec<(u64, u16)>>,
        alive: Cell<usize>,
    }

    struct Clock(Rc<World>);

    impl Timer for Clock {
        type Instant = Duration;

        fn now(&self) -> Duration {
            self.0.now.get()
        }

        fn set(&mut self, at: Duration) {
            self.0.due.set(Some(at));
        }

        fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
            match self.0.due.get() {
                Some(due) if due <= self.0.now.get() => Poll::Ready(()),
                _ => Poll::Pending,
            }
        }
    }

    /// Answers so, this long after it was started.
    struct Attempt(Rc<World>, Duration, Option<io::Result<u16>>);

    impl Future for Attempt {
        type Output = io::Result<u16>;

        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u16>> {
            if self.0.now.get() < self.1 {
                return Poll::Pending;
            }
            self.2.take().map_or(Poll::Pending, Poll::Ready)
        }
    }

    impl Drop for Attempt {
        fn drop(&mut self) {
            self.0.alive.set(self.0.alive.get() - 1);
        }
    }

    #[derive(Clone, Copy)]
    enum Host {
        Hole,
        Answers(u64),
        Refuses(u64),
    }
    use Host::{Answers, Hole, Refuses};

    /// Connects to these, numbered as ports, and says what came of it and when.
    fn dial(hosts: &[Host]) -> (Rc<World>, Option<io::Result<u16>>) {
        let world = Rc::new(World::default());
        let addresses = (0..hosts.len())
            .map(|port| SocketAddr::from(([192, 0, 2, 1], u16::try_from(port).unwrap())))
            .collect();
        let start = |address: SocketAddr| {
            let (now, port) = (world.now.get(), address.port());
            let ms = u64::try_from(now.as_millis()).unwrap();
            world.started.borrow_mut().push((ms, port));
            world.alive.set(world.alive.get() + 1);
            let (after, result) = match hosts[usize::from(port)] {
                Hole => (u64::MAX / 2, Some(Ok(port))),
                Answers(after) => (after, Some(Ok(port))),
                Refuses(after) => (after, Some(Err(io::Error::other(port.to_string())))),
            };
            Attempt(world.clone(), now + Duration::from_millis(after), result)
        };
        let mut connect = Box::pin(connect(addresses, Clock(world.clone()), start));
        let mut result = None;
        for ms in 0..5000 {
            world.now.set(Duration::from_millis(ms));
            // Twice: what wakes it early or late changes nothing.
            for _ in 0..2 {
                let mut context = Context::from_waker(Waker::noop());
                if let Poll::Ready(ready) = connect.as_mut().poll(&mut context) {
                    result = Some(ready);
                    break;
                }
            }
            if result.is_some() {
                break;
            }
        }
        drop(connect);
        (world, result)
    }

    fn opened(hosts: &[Host]) -> (u16, u128, Vec<(u64, u16)>) {
        let (world, result) = dial(hosts);
        assert_eq!(world.alive.get(), 0, "all are dropped");
        let port = result.unwrap().unwrap();
        (port, world.now.get().as_millis(), world.started.take())
    }

    #[test]
    fn a_hole_costs_a_quarter_of_a_second() {
        let started = vec![(0, 0), (250, 1)];
        assert_eq!(opened(&[Hole, Answers(30)]), (1, 280, started));
        let started = vec![(0, 0), (250, 1), (500, 2)];
        assert_eq!(opened(&[Hole, Hole, Answers(0)]), (2, 500, started));
    }

    #[test]
    fn a_refusal_costs_nothing() {
        let started = vec![(0, 0), (20, 1)];
        assert_eq!(opened(&[Refuses(20), Answers(30)]), (1, 50, started));
    }

    /// The preferred one goes on while others are tried.
    #[test]
    fn the_first_to_answer_wins() {
        let started = vec![(0, 0), (250, 1)];
        assert_eq!(opened(&[Answers(300), Answers(100)]), (0, 300, started));
        assert_eq!(opened(&[Answers(249), Hole]), (0, 249, vec![(0, 0)]));
    }

    #[test]
    fn where_all_fail_the_first_failure_is_told() {
        let (world, result) = dial(&[Refuses(400), Refuses(10), Refuses(5)]);
        assert_eq!(result.unwrap().unwrap_err().to_string(), "1");
        assert_eq!(world.now.get().as_millis(), 400);
        let (_, result) = dial(&[]);
        let error = result.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_dial_that_is_given_up_leaves_nothing() {
        let (world, result) = dial(&[Hole, Hole, Hole]);
        assert!(result.is_none());
        assert_eq!(world.started.borrow().len(), 3);
        assert_eq!(world.alive.get(), 0);
    }
}
