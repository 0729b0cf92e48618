//! Members of a fleet that tasks share: what is said of stamps, of pings that are not
//! taken, of verdicts that are asked for, and of who runs it. In virtual time, but for
//! the threads at the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use keepalive::fleet::{AlreadyRunning, Beat, Member, Members};
use keepalive::session::Timer;
use keepalive::{CloseReason, Config, ConfigBuilder, PingId};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Settings without draws: pings after 2 s, answers within 1 s, periods of 50 ms.
fn exact() -> ConfigBuilder {
    Config::builder()
        .ping_interval(millis(2000))
        .send_interval(None)
        .pong_timeout(millis(1000))
        .late_tolerance(millis(300))
        .jitter(0.0)
        .random_phase(false)
}

const PERIOD: u64 = 50;
/// What a period counts as: an eighth more, since timers are not exact.
const LONGEST_PERIOD: u64 = PERIOD + PERIOD / 8;

/// How far time goes on at once, and how many cases are left out, where all takes too long.
const STEP: u64 = if cfg!(miri) { 10 } else { 1 };
const SOME: usize = if cfg!(miri) { 150 } else { 1 };
const LONG: u64 = if cfg!(miri) { 6000 } else { 60_000 };

/// A clock that stands still, and its timer.
#[derive(Clone, Default)]
struct Clock(Arc<Time>);

#[derive(Default)]
struct Time {
    now: AtomicU64,
    set: Mutex<Option<Duration>>,
    /// By so many milliseconds the timer is early, once.
    early: AtomicU64,
}

impl Clock {
    fn millis(&self) -> u64 {
        self.0.now.load(Ordering::Relaxed)
    }

    fn is_set(&self) -> bool {
        self.0.set.lock().unwrap().is_some()
    }
}

impl Timer for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        millis(self.millis())
    }

    fn set(&mut self, at: Duration) {
        *self.0.set.lock().unwrap() = Some(at);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        let mut set = self.0.set.lock().unwrap();
        let by = self.now() + millis(self.0.early.load(Ordering::Relaxed));
        if set.is_some_and(|at| at <= by) {
            self.0.early.store(0, Ordering::Relaxed);
            *set = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

type Run = Pin<Box<dyn Future<Output = Result<(), AlreadyRunning>>>>;

/// Who runs the members, by hand.
struct Runs {
    members: Members,
    clock: Clock,
    run: Run,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Runs {
    fn new(config: Config) -> Self {
        let members = Members::new(config, 7);
        let members = members.with_granularity(millis(PERIOD)).unwrap();
        Self::of(members, Clock::default())
    }

    fn of(members: Members, clock: Clock) -> Self {
        let run = Box::pin(members.clone().run(clock.clone()));
        let mut runs = Self {
            members,
            clock,
            run,
            woken: Arc::default(),
        };
        assert_eq!(runs.poll(), Poll::Pending);
        runs
    }

    fn join(&mut self) -> Member {
        let member = self.members.join().unwrap();
        assert_eq!(self.poll(), Poll::Pending);
        member
    }

    /// Polls it for as long as it asks for more.
    fn poll(&mut self) -> Poll<Result<(), AlreadyRunning>> {
        loop {
            let (result, asks_for_more) = self.poll_once();
            if result.is_ready() || !asks_for_more {
                return result;
            }
        }
    }

    /// Polls it once. Whether it asks for more.
    fn poll_once(&mut self) -> (Poll<Result<(), AlreadyRunning>>, bool) {
        let before = self.woken.times();
        let waker = Waker::from(Arc::clone(&self.woken));
        let result = self.run.as_mut().poll(&mut Context::from_waker(&waker));
        (result, self.woken.times() != before)
    }

    /// Time goes on; ticks come in time, each of which is followed by `then`.
    fn sleep(&mut self, millis: u64, mut then: impl FnMut()) {
        let end = self.clock.millis() + millis;
        while self.clock.millis() < end {
            self.stall(STEP.min(end - self.clock.millis()));
            assert_eq!(self.poll(), Poll::Pending);
            then();
        }
    }

    /// Time goes on, and nobody looks.
    fn stall(&mut self, millis: u64) {
        self.clock.0.now.fetch_add(millis, Ordering::Relaxed);
    }
}

fn poll(member: &mut Member) -> Option<Beat> {
    match member.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(beat) => Some(beat),
        Poll::Pending => None,
    }
}

fn ping(member: &mut Member) -> PingId {
    match poll(member) {
        Some(Beat::Ping(id)) => id,
        beat => panic!("{beat:?}"),
    }
}

/// After how many milliseconds this member is told something, and what.
fn beat(runs: &mut Runs, member: &mut Member, within: u64) -> (u64, Beat) {
    let from = runs.clock.millis();
    while runs.clock.millis() - from <= within {
        if let Some(beat) = poll(member) {
            return (runs.clock.millis() - from, beat);
        }
        runs.sleep(STEP, || {});
    }
    panic!("nothing within {within} ms");
}

const DEAD: Beat = Beat::Close(CloseReason::PongTimeout);

#[test]
fn a_silent_member_gets_a_ping_and_is_convicted_when_it_was_asked() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    let (after, beat_) = beat(&mut runs, &mut member, 5000);
    assert!(matches!(beat_, Beat::Ping(_)));
    assert!((2000..=2000 + PERIOD).contains(&after), "{after}");
    let (after, beat_) = beat(&mut runs, &mut member, 5000);
    assert_eq!(beat_, DEAD);
    let longest = 1000 + LONGEST_PERIOD + 3 * PERIOD;
    assert!((1000..=longest).contains(&after), "{after}");
    // It says so again, and leaves when it is dropped.
    assert_eq!(poll(&mut member), Some(DEAD));
    assert_eq!(runs.members.counters().convicted, 1);
    runs.sleep(5000, || {});
    assert_eq!(poll(&mut member), Some(DEAD));
    assert_eq!(runs.members.len(), 1);
    drop(member);
    assert!(runs.members.is_empty());
}

#[test]
fn what_comes_in_puts_the_ping_off_from_the_end_of_its_period() {
    for at in (STEP..=120).step_by(SOME) {
        let mut runs = Runs::new(exact().build().unwrap());
        let mut member = runs.join();
        runs.sleep(at, || {});
        member.received();
        let (after, _) = beat(&mut runs, &mut member, 5000);
        let longest = 2000 + LONGEST_PERIOD + PERIOD;
        assert!((2000..=longest).contains(&after), "{after} at {at}");
    }
}

#[test]
fn what_was_noted_before_a_late_tick_counts_from_that_tick() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    runs.sleep(500, || {});
    runs.stall(10);
    member.received();
    runs.stall(700);
    let (after, _) = beat(&mut runs, &mut member, 5000);
    assert!((2000..=2000 + PERIOD).contains(&after), "{after}");
}

#[test]
#[cfg_attr(miri, ignore)]
fn late_ticks_without_an_end_are_not_too_many() {
    let mut runs = Runs::new(exact().build().unwrap());
    let member = runs.join();
    let info = allocation_counter::measure(|| {
        for _ in 0..5000 {
            runs.stall(140);
            assert_eq!(runs.poll(), Poll::Pending);
            member.received();
        }
    });
    assert!(info.bytes_current < 20_000, "{info:?}");
    assert_eq!(runs.members.counters().pings, 0);
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_stamp_outlives_the_late_ticks_that_are_kept() {
    for ticks in 1015..1030 {
        let config = exact().ping_interval(millis(10_000)).build().unwrap();
        let mut runs = Runs::new(config);
        let mut member = runs.join();
        for _ in 0..ticks {
            member.received();
            runs.stall(140);
            assert_eq!(runs.poll(), Poll::Pending);
        }
        member.received();
        runs.stall(1000);
        assert_eq!(runs.poll(), Poll::Pending);
        let counts_from = runs.clock.millis();
        runs.stall(140);
        assert_eq!(runs.poll(), Poll::Pending);
        beat(&mut runs, &mut member, 20_000);
        let after = runs.clock.millis() - counts_from;
        assert!(after >= 10_000, "{after}");
    }
}

#[test]
fn a_ping_is_out_from_when_it_is_taken() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    runs.sleep(LONG, || {});
    let counters = runs.members.counters();
    assert_eq!(
        (counters.pings, counters.missed, counters.convicted),
        (1, 0, 0)
    );
    let id = ping(&mut member);
    runs.sleep(990, || assert_eq!(poll(&mut member), None));
    member.pong(id);
    let (after, next) = beat(&mut runs, &mut member, 5000);
    assert!(matches!(next, Beat::Ping(next) if next.sequence() == id.sequence() + 1));
    assert!(
        (2000..=2000 + 2 * LONGEST_PERIOD).contains(&after),
        "{after}"
    );
}

#[test]
fn who_is_not_polled_is_not_convicted() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    runs.sleep(2050, || {});
    ping(&mut member);
    runs.sleep(LONG, || {});
    assert_eq!(runs.members.counters().convicted, 0);
    // It was away, and reads before it goes on.
    assert_eq!(poll(&mut member), None);
    member.received();
    runs.sleep(1900, || assert_eq!(poll(&mut member), None));
    assert_eq!(runs.members.counters().convicted, 0);
}

#[test]
fn what_is_read_at_any_point_lifts_the_verdict() {
    // After so many milliseconds since the ping, in each order with the poll.
    for after in (990..1300).step_by(SOME) {
        for is_polled_first in [false, true] {
            let mut runs = Runs::new(exact().build().unwrap());
            let mut member = runs.join();
            runs.sleep(2050, || {});
            ping(&mut member);
            let mut last = None;
            runs.sleep(after, || last = last.or(poll(&mut member)));
            if is_polled_first {
                last = last.or(poll(&mut member));
            }
            if last.is_some() {
                assert_eq!(last, Some(DEAD));
                continue;
            }
            member.received();
            assert_eq!(poll(&mut member), None, "{after}");
            runs.sleep(1900, || assert_eq!(poll(&mut member), None, "{after}"));
        }
    }
}

#[test]
fn a_verdict_wakes_its_task_and_no_other() {
    let mut runs = Runs::new(exact().build().unwrap());
    let (mut mute, mut other) = (runs.join(), runs.join());
    let woken: [Arc<Woken>; 2] = Default::default();
    let wakers = woken.clone().map(Waker::from);
    let poll =
        |member: &mut Member, at: usize| member.poll_next(&mut Context::from_waker(&wakers[at]));
    assert!(poll(&mut mute, 0).is_pending() && poll(&mut other, 1).is_pending());
    for _ in 0..20 {
        runs.sleep(100, || other.received());
    }
    runs.sleep(60, || {});
    assert_eq!([woken[0].times(), woken[1].times()], [1, 0]);
    assert!(matches!(poll(&mut mute, 0), Poll::Ready(Beat::Ping(_))));
    assert!(poll(&mut mute, 0).is_pending());
    runs.sleep(1200, || other.received());
    assert_eq!([woken[0].times(), woken[1].times()], [2, 0], "asked");
    assert!(poll(&mut mute, 0).is_pending());
    runs.sleep(60, || other.received());
    assert_eq!([woken[0].times(), woken[1].times()], [3, 0], "spoken");
    assert_eq!(poll(&mut mute, 0), Poll::Ready(DEAD));
}

#[test]
fn another_waker_replaces_the_one_before() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    for woken in [&first, &second] {
        let waker = Waker::from(Arc::clone(woken));
        let polled = member.poll_next(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    assert_eq!(Arc::strong_count(&first), 1);
    runs.sleep(2100, || {});
    assert_eq!((first.times(), second.times()), (0, 1));
}

#[test]
fn a_drained_member_is_told_once_it_is_its_turn() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut all: Vec<_> = (0..40).map(|_| runs.join()).collect();
    runs.members.drain(millis(1000));
    let mut late = runs.join();
    let mut closed = Vec::new();
    for _ in 0..22 {
        runs.sleep(PERIOD, || all.iter().for_each(Member::received));
        late.received();
        let before = all.len();
        all.retain_mut(|member| poll(member) != Some(Beat::Close(CloseReason::Drained)));
        closed.push(before - all.len());
    }
    assert!(all.is_empty());
    assert!(closed.iter().all(|count| *count <= 3), "{closed:?}");
    assert_eq!(poll(&mut late), None);
    assert_eq!(runs.members.counters().drained, 40);
    assert_eq!(runs.members.len(), 1);
}

#[test]
fn a_member_ends_at_its_age() {
    let members = Members::new(exact().build().unwrap(), 7);
    let members = members.with_max_age(Some(millis(10_000))).unwrap();
    let mut runs = Runs::of(members, Clock::default());
    let mut member = runs.join();
    for _ in 0..80 {
        runs.sleep(100, || member.received());
        assert_eq!(poll(&mut member), None);
    }
    runs.sleep(2100, || member.received());
    assert_eq!(poll(&mut member), Some(Beat::Close(CloseReason::MaxAge)));
}

#[test]
fn a_change_of_network_asks_everybody() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut all: Vec<_> = (0..40).map(|_| runs.join()).collect();
    runs.sleep(100, || {});
    runs.members.network_changed();
    runs.sleep(1000 + LONGEST_PERIOD, || {});
    for member in &mut all {
        ping(member);
    }
}

#[test]
fn messages_logins_and_doubts_are_watched() {
    let config = exact().message_timeout(Some(millis(1500))).build().unwrap();
    let mut runs = Runs::new(config);
    let mut member = runs.join();
    runs.sleep(1000, || member.received());
    member.message();
    runs.sleep(1450, || {
        member.received();
        assert_eq!(poll(&mut member), None);
    });
    let mut told = None;
    runs.sleep(300, || {
        member.received();
        told = told.or(poll(&mut member));
    });
    assert_eq!(told, Some(Beat::Close(CloseReason::MessageTimeout)));

    let config = exact().healthy_within(Some(millis(1500))).build().unwrap();
    let mut runs = Runs::new(config);
    let (mut slow, mut quick) = (runs.join(), runs.join());
    quick.healthy();
    let (after, beat_) = beat(&mut runs, &mut slow, 5000);
    assert_eq!(beat_, Beat::Close(CloseReason::LoginTimeout));
    assert!((1500..=1500 + 4 * PERIOD).contains(&after), "{after}");
    let (after, beat_) = beat(&mut runs, &mut quick, 5000);
    assert!(after <= 600 && matches!(beat_, Beat::Ping(_)));
}

#[test]
fn the_first_message_after_a_ping_is_told_at_once() {
    let config = exact()
        .confirm_within(Some(millis(500)))
        .send_interval(None);
    let members = Members::new(config.build().unwrap(), 7);
    let members = members.with_granularity(millis(PERIOD)).unwrap();
    let mut runs = Runs::of(members, Clock::default());
    let mut member = runs.join();
    for _ in 0..3 {
        runs.sleep(1000, || member.received());
        member.sent();
        runs.sleep(400, || member.received());
        member.sent();
        let (after, _) = beat(&mut runs, &mut member, 3000);
        assert!((100..=100 + 2 * LONGEST_PERIOD).contains(&after), "{after}");
    }
}

#[test]
fn settings_change_for_all() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    runs.sleep(500, || {});
    let config = exact().ping_interval(millis(5000)).build().unwrap();
    runs.members.reconfigure(config).unwrap();
    assert_eq!(runs.members.config(), config);
    member.received();
    let (after, _) = beat(&mut runs, &mut member, 9000);
    assert!(
        (5000..=5000 + 2 * LONGEST_PERIOD).contains(&after),
        "{after}"
    );
    let messages = config.to_builder().message_timeout(Some(millis(1000)));
    runs.members.reconfigure(messages.build().unwrap()).unwrap();
    member.message();
    let (after, beat_) = beat(&mut runs, &mut member, 9000);
    assert_eq!(beat_, Beat::Close(CloseReason::MessageTimeout));
    assert!((1000..=1000 + 5 * PERIOD).contains(&after), "{after}");
}

#[test]
fn who_comes_and_goes_before_anybody_ticks_is_forgotten() {
    let members = Members::new(exact().build().unwrap(), 7);
    drop(members.join().unwrap());
    let info = allocation_counter::measure(|| {
        for _ in 0..if cfg!(miri) { 3_000 } else { 20_000 } {
            drop(members.join().unwrap());
        }
    });
    assert!(info.bytes_current < 10_000, "{}", info.bytes_current);
}

#[test]
fn a_login_that_was_sent_hides_no_message_after_it() {
    let config = exact()
        .ping_interval(millis(60_000))
        .healthy_within(Some(millis(5000)))
        .confirm_within(Some(millis(1000)));
    let members = Members::new(config.build().unwrap(), 7);
    let members = members.with_granularity(millis(PERIOD)).unwrap();
    let mut runs = Runs::of(members, Clock::default());
    let mut member = runs.join();
    runs.sleep(100, || {});
    member.sent();
    member.healthy();
    runs.sleep(100, || {});
    member.sent();
    let (after, _) = beat(&mut runs, &mut member, 5000);
    assert!(
        (1000..=1000 + 3 * LONGEST_PERIOD).contains(&after),
        "{after}"
    );
}

#[test]
fn what_was_sent_before_other_settings_hides_no_message_after_them() {
    let config = exact().ping_interval(millis(60_000));
    let confirming = config.confirm_within(Some(millis(1000))).build().unwrap();
    let members = Members::new(confirming, 7);
    let members = members.with_granularity(millis(PERIOD)).unwrap();
    let mut runs = Runs::of(members, Clock::default());
    let mut member = runs.join();
    runs.sleep(100, || {});
    member.sent();
    runs.members.reconfigure(config.build().unwrap()).unwrap();
    runs.sleep(100, || {});
    runs.members.reconfigure(confirming).unwrap();
    member.sent();
    let (after, _) = beat(&mut runs, &mut member, 5000);
    assert!(
        (1000..=1000 + 3 * LONGEST_PERIOD).contains(&after),
        "{after}"
    );
}

#[test]
fn until_somebody_runs_it_time_stands_still() {
    let members = Members::new(exact().build().unwrap(), 7);
    let mut first = members.join().unwrap();
    let second = members.join().unwrap();
    first.received();
    first.sent();
    drop(second);
    assert_eq!((members.len(), poll(&mut first)), (1, None));
    let clock = Clock::default();
    clock.0.now.store(900_000, Ordering::Relaxed);
    let mut runs = Runs::of(members, clock);
    let (after, _) = beat(&mut runs, &mut first, 5000);
    assert!((2000..=2000 + 2 * PERIOD).contains(&after), "{after}");
}

#[test]
fn it_sleeps_while_nobody_is_there_and_the_first_who_joins_wakes_it() {
    let mut runs = Runs::new(exact().build().unwrap());
    assert!(!runs.clock.is_set());
    runs.stall(500_000);
    let before = runs.woken.times();
    let member = runs.members.join().unwrap();
    assert_eq!(runs.woken.times(), before + 1);
    assert_eq!(runs.poll(), Poll::Pending);
    assert!(runs.clock.is_set());
    drop(member);
    *runs.clock.0.set.lock().unwrap() = None;
    runs.sleep(100, || {});
    assert!(!runs.clock.is_set());
    // Who joins now has its whole time.
    runs.stall(500_000);
    let mut member = runs.join();
    let (after, _) = beat(&mut runs, &mut member, 5000);
    assert!((2000..=2000 + 2 * PERIOD).contains(&after), "{after}");
}

#[test]
fn it_ends_once_the_last_is_gone_and_keeps_nobody() {
    let Runs {
        members,
        mut run,
        woken,
        ..
    } = Runs::new(exact().build().unwrap());
    let member = members.join().unwrap();
    let waker = Waker::from(Arc::clone(&woken));
    let mut poll = || run.as_mut().poll(&mut Context::from_waker(&waker));
    drop(members);
    assert_eq!(poll(), Poll::Pending);
    let before = woken.times();
    drop(member);
    assert_eq!(poll(), Poll::Ready(Ok(())));
    let _ = before;

    let runs = Runs::new(exact().build().unwrap());
    let before = runs.woken.times();
    drop(runs.members);
    assert_eq!(runs.woken.times(), before + 1);
}

#[test]
fn only_one_may_run_it() {
    let runs = Runs::new(exact().build().unwrap());
    let mut second = Box::pin(runs.members.clone().run(Clock::default()));
    let context = &mut Context::from_waker(Waker::noop());
    assert_eq!(
        second.as_mut().poll(context),
        Poll::Ready(Err(AlreadyRunning))
    );
    drop(second);
    let mut third = Box::pin(runs.members.clone().run(Clock::default()));
    assert_eq!(
        third.as_mut().poll(context),
        Poll::Ready(Err(AlreadyRunning))
    );
    drop(runs.run);
    assert_eq!(Arc::strong_count(&runs.woken), 1);
    let mut fourth = Box::pin(runs.members.clone().run(Clock::default()));
    assert_eq!(fourth.as_mut().poll(context), Poll::Pending);
}

#[test]
fn when_nobody_runs_it_any_more_each_member_is_told_once() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut all = [runs.join(), runs.join(), runs.join()];
    runs.sleep(2100, || {});
    ping(&mut all[0]);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(
        all[0]
            .poll_next(&mut Context::from_waker(&waker))
            .is_pending()
    );
    let Runs {
        members,
        clock,
        run,
        ..
    } = runs;
    drop(run);
    assert_eq!(woken.times(), 1);
    for member in &mut all {
        assert_eq!(poll(member), Some(Beat::Unattended));
    }
    assert_eq!(poll(&mut all[0]), None);
    // Somebody else goes on, and finds nobody dead for what was not seen.
    clock.0.now.fetch_add(1_000_000, Ordering::Relaxed);
    let mut runs = Runs::of(members, clock);
    runs.sleep(500, || assert_eq!(poll(&mut all[0]), None));
    assert_eq!(runs.members.counters().convicted, 0);
    let (_, beat_) = beat(&mut runs, &mut all[0], 2000);
    assert_eq!(beat_, DEAD);
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("woken");
    }
}

#[test]
fn a_waker_that_panics_ends_the_run_and_all_are_told() {
    let mut runs = Runs::new(exact().build().unwrap());
    let (mut bad, mut good) = (runs.join(), runs.join());
    let waker = Waker::from(Arc::new(Panics));
    assert!(bad.poll_next(&mut Context::from_waker(&waker)).is_pending());
    let result = catch_unwind(AssertUnwindSafe(|| runs.sleep(2100, || {})));
    assert!(result.is_err());
    let Runs {
        members,
        clock,
        run,
        ..
    } = runs;
    drop(run);
    assert_eq!(poll(&mut good), Some(Beat::Unattended));
    assert!(poll(&mut bad).is_some());
    drop(bad);
    let mut runs = Runs::of(members, clock);
    assert!(matches!(beat(&mut runs, &mut good, 3000).1, Beat::Ping(_)));
}

/// Looks at the members whenever it is cloned, woken or dropped, which needs the lock.
struct Looks(Members);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        assert!(self.0.len() < 100);
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        assert!(self.0.len() < 100);
    }
}

#[test]
fn nothing_of_a_waker_happens_under_the_lock() {
    let mut runs = Runs::new(exact().build().unwrap());
    let looks = || Waker::from(Arc::new(Looks(runs.members.clone())));
    let wakers = [looks(), looks(), looks()];
    let mut member = runs.join();
    for waker in wakers {
        let polled = member.poll_next(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    runs.sleep(2100, || {});
    ping(&mut member);
    let waker = Waker::from(Arc::new(Looks(runs.members.clone())));
    assert!(
        member
            .poll_next(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(waker);
    drop(member);
    assert!(runs.members.is_empty());
}

#[test]
fn a_slot_is_never_of_two() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut first = runs.join();
    let index = first.key().index();
    runs.sleep(2100, || {});
    let id = ping(&mut first);
    drop(first);
    let mut second = runs.join();
    assert_eq!(second.key().index(), index);
    assert!(poll(&mut second).is_none());
    runs.sleep(1500, || assert_eq!(poll(&mut second), None));
    second.pong(id); // of the one before
    let (after, _) = beat(&mut runs, &mut second, 3000);
    assert!(
        after >= 1900,
        "{after}: what came in counts, whatever it is"
    );
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_member_is_small() {
    assert_eq!(size_of::<Member>(), 40);
    const COUNT: usize = 100_000;
    let members = Members::new(Config::default(), 7);
    let all: Vec<_> = (0..COUNT).map(|_| members.join().unwrap()).collect();
    let bytes = members.heap_bytes() as f64 / COUNT as f64;
    assert!(bytes <= 48.0, "{bytes}");
    drop(all);
    let bytes = members.heap_bytes() as f64 / COUNT as f64;
    assert!(bytes <= 2.2, "{bytes}");
}

#[test]
fn noting_allocates_nothing() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    assert_eq!(poll(&mut member), None);
    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            member.received();
            member.sent();
            member.message();
            assert_eq!(poll(&mut member), None);
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn threads_do_not_write_side_by_side() {
    let members = Members::new(Config::default(), 7);
    let join = || {
        let members = members.clone();
        let joined = std::thread::spawn(move || (members.join().unwrap(), members.join().unwrap()));
        joined.join().unwrap()
    };
    let threads = std::thread::available_parallelism().unwrap().get();
    // More of them, since those of other tests come in between.
    let all: Vec<_> = (0..8 * threads).map(|_| join()).collect();
    let groups = all.iter().map(|(one, other)| {
        assert_eq!(one.key().index().abs_diff(other.key().index()), 1);
        one.key().index() / 1024
    });
    let groups: BTreeSet<_> = groups.collect();
    assert_eq!(groups.len(), threads);
}

#[test]
fn threads_come_and_go() {
    let members = Members::new(exact().build().unwrap(), 7);
    let clock = Clock::default();
    let mut runs = Runs::of(members.clone(), clock);
    let is_done = Arc::new(AtomicUsize::new(0));
    let times = if cfg!(miri) { 10 } else { 5000 };
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (members, is_done) = (members.clone(), Arc::clone(&is_done));
            std::thread::spawn(move || {
                for round in 0..times {
                    let mut member = members.join().unwrap();
                    for _ in 0..round % 7 {
                        member.received();
                        member.sent();
                        // Time flies: it may be asked for anything but to close twice.
                        let _ = poll(&mut member);
                    }
                }
                is_done.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    while is_done.load(Ordering::Relaxed) < 3 {
        runs.stall(7);
        assert_eq!(runs.poll(), Poll::Pending);
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert!(members.is_empty());
}

#[test]
#[cfg_attr(miri, ignore)]
fn all_that_is_due_is_done_at_once_though_not_in_one_go() {
    let mut runs = Runs::new(exact().build().unwrap());
    let all: Vec<_> = (0..3000).map(|_| runs.members.join().unwrap()).collect();
    assert_eq!(runs.poll(), Poll::Pending);
    runs.stall(2100);
    assert_eq!(runs.poll(), Poll::Pending);
    assert_eq!(runs.members.counters().pings, all.len() as u64);
}

/// A member whose watches are checked.
struct Checked {
    member: Member,
    received: u64,
    pinged: Option<u64>,
    answers: bool,
}

impl Checked {
    fn new(member: Member, answers: bool) -> Self {
        Self {
            member,
            received: 0,
            pinged: None,
            answers,
        }
    }

    /// Polls the member as its task would. Whether it goes on.
    fn poll(&mut self, now: u64) -> bool {
        if self.answers && self.pinged.take().is_some() {
            self.member.received();
            self.received = now;
        }
        match poll(&mut self.member) {
            None => {}
            Some(Beat::Ping(_)) => {
                let silent = now - self.received;
                assert!(silent >= 2000, "a ping after {silent} ms");
                let waited = now - self.pinged.replace(now).unwrap_or(0);
                assert!(waited >= 1000, "missed after {waited} ms");
            }
            Some(DEAD) => {
                let waited = now - self.pinged.unwrap();
                assert!(waited >= 1000, "dead after {waited} ms");
                return false;
            }
            beat => panic!("{beat:?}"),
        }
        true
    }
}

#[test]
#[cfg_attr(miri, ignore)]
fn time_goes_on_while_a_tick_takes_several_polls() {
    for step in [3, 20, 70, 100] {
        let mut runs = Runs::new(exact().build().unwrap());
        let member = |at| Checked::new(runs.members.join().unwrap(), at % 2 == 0);
        let mut all: Vec<_> = (0..3000).map(member).collect();
        assert_eq!(runs.poll(), Poll::Pending);
        runs.stall(1990);
        while runs.clock.millis() < 7000 {
            runs.stall(step);
            assert_eq!(runs.poll_once().0, Poll::Pending);
            let now = runs.clock.millis();
            all.retain_mut(|checked| checked.poll(now));
        }
        assert_eq!(all.len(), 1500, "those who answer");
    }
}

#[test]
#[cfg_attr(miri, ignore)]
fn time_does_not_go_back_when_somebody_else_runs_it() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut all: Vec<_> = (0..3000).map(|_| runs.members.join().unwrap()).collect();
    assert_eq!(runs.poll(), Poll::Pending);
    runs.stall(2100);
    while runs.poll_once().1 {
        runs.stall(100);
    }
    assert_eq!(runs.members.counters().pings, all.len() as u64);
    let Runs {
        members,
        clock,
        run,
        ..
    } = runs;
    drop(run);
    for member in &mut all {
        assert_eq!(poll(member), Some(Beat::Unattended));
        ping(member);
    }
    let mut runs = Runs::of(members, clock);
    runs.sleep(990, || assert_eq!(poll(&mut all[2999]), None));
    let (_, beat_) = beat(&mut runs, &mut all[2999], 500);
    assert_eq!(beat_, DEAD);
}

#[test]
fn what_is_taken_before_a_late_tick_counts_from_that_tick() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    runs.sleep(2050, || {});
    runs.stall(200);
    ping(&mut member);
    let (after, beat_) = beat(&mut runs, &mut member, 5000);
    assert_eq!(beat_, DEAD);
    assert!(after >= 1000, "{after}");

    // What is sent after the ping is confirmed all the same.
    let config = exact().confirm_within(Some(millis(500)));
    let mut runs = Runs::new(config.build().unwrap());
    let mut member = runs.join();
    runs.sleep(2050, || {});
    runs.stall(200);
    let id = ping(&mut member);
    member.sent();
    member.pong(id);
    let (after, _) = beat(&mut runs, &mut member, 5000);
    assert!((500..=500 + 3 * LONGEST_PERIOD).contains(&after), "{after}");
}

#[test]
fn what_is_looked_at_before_a_late_tick_counts_from_that_tick() {
    let config = exact().message_timeout(Some(millis(3000)));
    let mut runs = Runs::new(config.build().unwrap());
    let mut member = runs.join();
    runs.sleep(2050, || {});
    runs.stall(600);
    let from = runs.clock.millis();
    member.message();
    ping(&mut member);
    let dead = Beat::Close(CloseReason::MessageTimeout);
    while poll(&mut member) != Some(dead) {
        member.received();
        runs.sleep(STEP, || {});
    }
    let after = runs.clock.millis() - from;
    assert!((3000..=3000 + 4 * PERIOD).contains(&after), "{after}");
}

#[test]
fn a_pong_before_a_late_tick_counts_from_that_tick() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    runs.sleep(2050, || {});
    let id = ping(&mut member);
    runs.stall(300);
    member.pong(id);
    let (after, beat_) = beat(&mut runs, &mut member, 5000);
    assert!(matches!(beat_, Beat::Ping(_)));
    assert!(after >= 2000, "{after}");
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_tick_ends_though_many_are_asked_who_do_not_answer() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut all: Vec<_> = (0..3000).map(|_| runs.members.join().unwrap()).collect();
    assert_eq!(runs.poll(), Poll::Pending);
    runs.stall(2100);
    assert_eq!(runs.poll(), Poll::Pending);
    for member in &mut all {
        ping(member);
    }
    runs.sleep(900, || {});
    let mut parts = 0;
    for _ in 0..10 {
        runs.stall(PERIOD);
        while runs.poll_once().1 {
            parts += 1;
            runs.stall(1);
        }
    }
    assert!((20..=60).contains(&parts), "{parts}");
}

#[test]
fn a_ping_that_was_asked_for_is_not_handed_out_in_listen_only() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut all = [runs.join(), runs.join()];
    runs.sleep(2050, || {});
    assert_eq!(runs.members.counters().pings, 2);
    let config = exact().listen_only(true).idle_timeout(millis(3000));
    runs.members.reconfigure(config.build().unwrap()).unwrap();
    assert_eq!(poll(&mut all[0]), None);
    // The idle watch looks at those, too, who are not polled.
    runs.sleep(3000 + 2 * LONGEST_PERIOD, || {});
    assert_eq!(poll(&mut all[1]), None, "asked");
    runs.sleep(2 * PERIOD, || {});
    let dead = Beat::Close(CloseReason::IdleTimeout);
    assert_eq!(poll(&mut all[1]), Some(dead));
}

#[test]
fn what_is_sent_before_the_first_tick_is_confirmed_from_there() {
    let config = exact().ping_interval(millis(60_000));
    let config = config.confirm_within(Some(millis(2000)));
    let mut runs = Runs::new(config.build().unwrap());
    for _ in 0..2 {
        runs.stall(500_000);
        let mut member = runs.members.join().unwrap();
        member.sent();
        let (after, _) = beat(&mut runs, &mut member, 5000);
        let longest = 2000 + LONGEST_PERIOD + PERIOD;
        assert!((2000..=longest).contains(&after), "{after}");
    }
}

#[test]
fn a_ping_confirms_what_was_sent_until_it_was_taken() {
    let config = exact().confirm_within(Some(millis(500)));
    let mut runs = Runs::new(config.build().unwrap());
    let mut member = runs.join();
    runs.sleep(2050, || {});
    runs.sleep(10, || {});
    member.sent();
    let id = ping(&mut member);
    runs.sleep(100, || {});
    member.pong(id);
    let (after, _) = beat(&mut runs, &mut member, 5000);
    assert!(after >= 2000, "{after}");
    // What is sent after it is not confirmed.
    member.received();
    member.sent();
    let (after, _) = beat(&mut runs, &mut member, 5000);
    assert!((500..=500 + 3 * LONGEST_PERIOD).contains(&after), "{after}");
}

#[test]
fn a_ping_counts_as_sent_when_it_is_taken() {
    let config = exact().ping_interval(millis(60_000));
    let config = config.send_interval(Some(millis(2000)));
    let mut runs = Runs::new(config.build().unwrap());
    let mut member = runs.join();
    runs.sleep(3500, || {});
    let id = ping(&mut member);
    runs.sleep(100, || {});
    member.pong(id);
    let (after, _) = beat(&mut runs, &mut member, 5000);
    assert!(
        (1900..=1900 + 2 * LONGEST_PERIOD).contains(&after),
        "{after}"
    );
}

#[test]
fn who_joins_after_a_sleep_has_sent_nothing_for_no_time() {
    let config = exact().ping_interval(millis(60_000));
    let config = config.send_interval(Some(millis(2000)));
    let mut runs = Runs::new(config.build().unwrap());
    for _ in 0..2 {
        runs.stall(500_000);
        let mut member = runs.join();
        let (after, _) = beat(&mut runs, &mut member, 5000);
        assert!((2000..=2000 + 2 * PERIOD).contains(&after), "{after}");
    }
    let config = exact().ping_interval(millis(60_000));
    let config = config.message_timeout(Some(millis(2000)));
    let mut silent = Runs::new(config.build().unwrap());
    for _ in 0..2 {
        silent.stall(500_000);
        let mut member = silent.join();
        let (after, _) = beat(&mut silent, &mut member, 5000);
        assert!((2000..=2000 + 5 * PERIOD).contains(&after), "{after}");
    }
    // What one has sent is not the next one's, even where it is too old to be told.
    let (before, _other) = (runs.join(), runs.join());
    runs.sleep(100, || {});
    before.sent();
    let index = before.key().index();
    drop(before);
    runs.sleep(100, || {});
    runs.stall(13 * 24 * 3_600_000);
    let mut member = runs.join();
    assert_eq!(member.key().index(), index);
    let (after, _) = beat(&mut runs, &mut member, 5000);
    assert!((2000..=2000 + 2 * PERIOD).contains(&after), "{after}");
}

#[test]
fn who_is_asked_and_heard_again_gets_its_ping_though_it_was_not_polled() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    runs.sleep(2050, || {});
    ping(&mut member);
    runs.sleep(1500, || {});
    member.received();
    runs.sleep(2200, || {});
    assert_eq!(runs.members.counters().pings, 2);
    ping(&mut member);
}

#[test]
fn what_is_read_between_the_verdict_and_the_poll_lifts_it() {
    for after in (990..1300).step_by(SOME) {
        let mut runs = Runs::new(exact().build().unwrap());
        let mut member = runs.join();
        runs.sleep(2050, || {});
        ping(&mut member);
        let mut last = None;
        runs.sleep(after, || last = last.or(poll(&mut member)));
        if last.is_some() {
            continue;
        }
        runs.sleep(PERIOD + 10, || {});
        member.received();
        runs.sleep(1900, || assert_eq!(poll(&mut member), None, "{after}"));
        assert_eq!(runs.members.counters().convicted, 0);
    }
}

#[test]
fn where_only_pongs_count_nothing_else_does() {
    let mut runs = Runs::new(exact().strict_pongs(true).build().unwrap());
    let mut member = runs.join();
    runs.sleep(2050, || member.received());
    ping(&mut member);
    let mut told = None;
    runs.sleep(1300, || {
        member.received();
        told = told.or(poll(&mut member));
    });
    assert_eq!(told, Some(DEAD));
}

#[test]
fn what_was_noted_under_the_settings_before_counts() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    runs.sleep(1000, || {});
    member.received();
    let strict = exact().strict_pongs(true).build().unwrap();
    runs.members.reconfigure(strict).unwrap();
    let (after, _) = beat(&mut runs, &mut member, 5000);
    assert!(after >= 2000, "{after}");
}

#[test]
fn who_has_ended_is_asked_for_nothing() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut all = [runs.join(), runs.join()];
    runs.members.drain(Duration::ZERO);
    runs.sleep(100, || {});
    assert_eq!(poll(&mut all[0]), Some(Beat::Close(CloseReason::Drained)));
    runs.members.network_changed();
    runs.members.drain(Duration::ZERO);
    runs.sleep(5000, || {});
    let counters = runs.members.counters();
    assert_eq!((counters.pings, counters.drained), (0, 2));
}

#[test]
fn the_age_counts_from_the_first_tick() {
    let members = Members::new(exact().build().unwrap(), 7);
    let members = members.with_max_age(Some(millis(10_000))).unwrap();
    let mut runs = Runs::of(members, Clock::default());
    runs.stall(500_000);
    let mut member = runs.join();
    runs.sleep(1900, || assert_eq!(poll(&mut member), None));
}

#[test]
fn who_was_heard_is_asked_again_before_the_next_verdict() {
    for message_timeout in [None, Some(millis(60_000))] {
        let config = exact().message_timeout(message_timeout);
        let mut runs = Runs::new(config.build().unwrap());
        let mut member = runs.join();
        for _ in 0..3 {
            runs.sleep(2150, || {});
            ping(&mut member);
            runs.sleep(1500, || {});
            assert_eq!(poll(&mut member), None, "asked");
            member.received();
        }
    }
}

#[test]
fn who_has_answered_gets_another_ping_when_the_network_changes() {
    let mut runs = Runs::new(exact().build().unwrap());
    let mut member = runs.join();
    runs.sleep(2050, || {});
    ping(&mut member);
    member.received();
    runs.members.network_changed();
    runs.sleep(1000 + 2 * LONGEST_PERIOD, || {});
    ping(&mut member);
}

#[test]
fn a_timer_that_is_early_is_set_again() {
    let mut runs = Runs::new(exact().build().unwrap());
    let _member = runs.join();
    for _ in 0..100 {
        runs.clock.0.early.store(1, Ordering::Relaxed);
        runs.sleep(1, || {});
        assert!(runs.clock.is_set());
    }
}
