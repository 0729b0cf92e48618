//! Every order in which a member of a fleet, the ticker and those who come and go can
//! touch a slot, as loom makes them up: `tests/loom/check`, which also plants faults and
//! expects them to be seen. The slot is the original; what is around it, under the lock
//! of the fleet, is in `fleet.rs` as far as it touches the slot.
#![cfg(test)]

extern crate alloc;

#[path = "../../../src/fleet/members/chunk.rs"]
#[allow(dead_code, unreachable_pub)]
mod chunk;
mod fleet;
mod sync;

use std::sync::Arc;
use std::task::Waker;

use chunk::flag;
use fleet::{Beat, Fleet, Task};

/// All orders with at most so many preemptions, where all would take too long.
fn model(preemptions: Option<usize>, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(run);
}

/// A task that sleeps until it is woken gets all that it is told: else it sleeps for
/// ever, which loom reports as a deadlock.
#[test]
fn no_wake_is_lost() {
    for is_registered in [false, true] {
        model(Some(3), move || {
            let fleet = Fleet::new();
            let mut member = fleet.join().unwrap();
            let task = Arc::new(Task::default());
            if is_registered {
                let waker = Waker::from(Arc::clone(&task));
                assert_eq!(member.poll(&waker), None);
            }
            let ticker = fleet.spawn(|fleet| {
                fleet.tell(flag::PING);
                fleet.tell(flag::DRAINED);
            });
            while member.next(&task) == Beat::Ping {}
            ticker.join().unwrap();
        });
    }
}

/// Who is polled by another task than before, is woken there.
#[test]
fn no_wake_goes_to_the_task_before() {
    model(Some(3), || {
        let fleet = Fleet::new();
        let mut member = fleet.join().unwrap();
        let (before, now) = <(Arc<Task>, Arc<Task>)>::default();
        assert_eq!(member.poll(&Waker::from(Arc::clone(&before))), None);
        let ticker = fleet.spawn(|fleet| fleet.tell(flag::PING));
        let told = member.poll(&Waker::from(Arc::clone(&now)));
        ticker.join().unwrap();
        assert!(told.is_some() || now.times() > 0);
    });
}

#[test]
fn no_stamp_is_lost() {
    model(Some(3), || {
        let fleet = Fleet::new();
        fleet.chunk.watch_messages();
        let ticker = fleet.spawn(|fleet| {
            let chunk = &fleet.chunk;
            [(); 2].map(|()| (chunk.take_received(0), chunk.take_message(0)))
        });
        fleet.chunk.note_received(0, 3);
        fleet.chunk.note_message(0, 5);
        let taken = ticker.join().unwrap();
        let last = (fleet.chunk.take_received(0), fleet.chunk.take_message(0));
        let received = [taken[0].0, taken[1].0, last.0];
        let message = [taken[0].1, taken[1].1, last.1];
        assert_eq!(received.into_iter().flatten().last(), Some(5));
        let fives = |stamps: [_; 3]| stamps.into_iter().filter(|stamp| *stamp == Some(5)).count();
        assert_eq!(
            (fives(received), fives(message)),
            (1, 1),
            "lost, or taken twice"
        );
    });
}

/// Messages may be watched from any moment on.
#[test]
fn no_message_is_lost_that_is_noted_once_they_are_watched() {
    model(Some(3), || {
        let fleet = Fleet::new();
        let watches = fleet.spawn(|fleet| {
            fleet.chunk.watch_messages();
            fleet.chunk.take_message(0)
        });
        fleet.chunk.note_message(0, 3);
        let taken = watches.join().unwrap();
        fleet.chunk.note_message(0, 5);
        assert_eq!(fleet.chunk.take_message(0), Some(5));
        assert!(taken.is_none() || taken == Some(3));
        assert_eq!(fleet.chunk.take_received(0), Some(5));
    });
}

/// A member leaves, another one gets its slot, and the ticker ticks meanwhile: what it
/// takes in, asks for and wakes is of the one that it means. See `State::take_in`.
#[test]
fn a_slot_is_of_one_at_a_time() {
    model(Some(3), || {
        let fleet = Fleet::new();
        let (before, then) = <(Arc<Task>, Arc<Task>)>::default();
        let mut first = fleet.join().unwrap();
        let old = first.generation;
        assert_eq!(first.poll(&Waker::from(Arc::clone(&before))), None);
        let wakes = (Arc::clone(&before), Arc::clone(&then));
        let ticker = fleet.spawn(move |fleet| {
            for _ in 0..2 {
                let woken = wakes.0.times();
                let asked = fleet.ping();
                let is_right = wakes.0.times() == woken + usize::from(asked == Some(old));
                assert!(is_right, "the task of another one was woken");
            }
        });
        let leaver = fleet.spawn(move |_| {
            first.received();
            drop(first);
        });
        if let Some(mut second) = fleet.join() {
            second.received();
            let told = second.poll(&Waker::from(Arc::clone(&then)));
            let is_asked = || fleet.pinged() == second.generation;
            assert!(
                told.is_none() || is_asked(),
                "what another one was asked for"
            );
            ticker.join().unwrap();
            assert!(!is_asked() || told.is_some() || then.times() > 0);
        } else {
            ticker.join().unwrap();
        }
        leaver.join().unwrap();
    });
}

/// Nobody is convicted who noted something before the poll that would say so.
#[test]
fn who_has_noted_something_is_not_convicted() {
    model(Some(3), || {
        let fleet = Fleet::new();
        let mut member = fleet.join().unwrap();
        let ticker = fleet.spawn(|fleet| {
            fleet.tick();
            fleet.tick();
        });
        let woken = Waker::from(Arc::<Task>::default());
        assert_ne!(member.poll(&woken), Some(Beat::Dead), "it was not asked");
        member.received();
        assert_ne!(member.poll(&woken), Some(Beat::Dead));
        ticker.join().unwrap();
        assert_ne!(member.poll(&woken), Some(Beat::Dead));
    });
}

/// And who has not is: it is asked at a tick, and told after a later one.
#[test]
fn who_is_silent_is_convicted() {
    model(Some(3), || {
        let fleet = Fleet::new();
        let mut member = fleet.join().unwrap();
        let ticker = fleet.spawn(Fleet::tick);
        let woken = Waker::from(Arc::<Task>::default());
        let told = member.poll(&woken);
        ticker.join().unwrap();
        assert_eq!(told, None);
        // The first of these ticks may be the one after that poll.
        let was_polled = fleet.chunk.has(0, flag::POLLED);
        if !was_polled {
            assert_eq!(member.poll(&woken), None);
        }
        fleet.tick();
        assert_eq!(member.poll(&woken), Some(Beat::Dead));
    });
}
