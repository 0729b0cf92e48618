//! Feeds heartbeats with random events, instants and settings, and prints a hash of
//! everything they do. Every compiler and every level of optimisation has to print the
//! same one; `tests/levels/check` sees to that.
//!
//! The second line is the hash of the shape that rustc 1.95 and later miscompile, see
//! the private `Time` in `src/time.rs`: levels differ there as long as compilers err,
//! which shows that the check would notice. The third says how much was done.

#![forbid(unsafe_code)]

mod draw;
mod hash;
mod planted;

use core::fmt::{self, Display, Formatter};
use core::hint::black_box;
use core::time::Duration;

use draw::{Draw, Waits};
use hash::Fnv;
use keepalive::{Action, Actions, CloseReason, Epoch, Event, Heartbeat, PingId};

const TRACES: u64 = 120;
const STEPS: u32 = 1_000;

fn main() {
    let (mut hash, mut done) = (Fnv::new(), Done::default());
    for seed in 0..TRACES {
        trace(black_box(seed), &mut hash, &mut done);
    }
    println!("{:016x}", hash.finish());
    println!("{:016x}", planted::hash());
    println!("{done}");
}

/// One heartbeat, from the beginning to the end.
fn trace(seed: u64, hash: &mut Fnv, done: &mut Done) {
    let mut draw = Draw::new(seed);
    // Under settings of about a second, and of any length.
    let waits = if seed % 2 == 0 {
        Waits::Short
    } else {
        Waits::Any
    };
    let mut heartbeat = Heartbeat::new(draw.config(waits), draw.number());
    let mut now = draw.start();
    let mut epoch = Epoch::default();
    let mut ping = PingId::from_bytes([7; 8]);
    for _ in 0..STEPS {
        let armed = heartbeat.deadline().unwrap_or(now);
        now = draw.instant(now, armed, waits);
        let ids = [ping, heartbeat.awaited_ping().unwrap_or(ping)];
        let actions = match draw.below(40) {
            0 => heartbeat.reconfigure(draw.config(waits), now),
            1 => heartbeat.handle_from(epoch, draw.event(ids), now),
            2..5 => quietly(&mut heartbeat, draw.fact(ids), now),
            _ => heartbeat.handle(draw.event(ids), now),
        };
        done.steps += 1;
        for action in actions.clone() {
            match action {
                Action::SendPing(id) => {
                    ping = id;
                    done.pings += 1;
                }
                Action::Connect => done.dials += 1,
                Action::Close(reason) if is_verdict(reason) => done.verdicts += 1,
                _ => {}
            }
        }
        if draw.below(30) == 0 {
            epoch = heartbeat.epoch();
        }
        note_actions(hash, actions);
        hash.note(heartbeat.deadline().map(|at| at.as_nanos()));
        // A view that is looked at may hide what the next step does wrong.
        if draw.below(4) > 0 {
            note_views(hash, &heartbeat, now);
        }
    }
}

#[derive(Default)]
struct Done {
    steps: u64,
    dials: u64,
    pings: u64,
    verdicts: u64,
}

impl Display for Done {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            steps,
            dials,
            pings,
            verdicts,
        } = self;
        write!(
            formatter,
            "{steps} steps, {dials} dials, {pings} pings, {verdicts} verdicts"
        )
    }
}

fn is_verdict(reason: CloseReason) -> bool {
    !matches!(
        reason,
        CloseReason::Stop | CloseReason::Abort | CloseReason::Reconnect | CloseReason::GivenUp
    )
}

/// In a function of its own, since it depends on what is inlined into what, whether
/// the compiler errs.
#[inline(never)]
fn quietly(heartbeat: &mut Heartbeat<Duration>, event: Event, now: Duration) -> Actions<Duration> {
    heartbeat.handle(event, now)
}

fn note_actions(hash: &mut Fnv, actions: Actions<Duration>) {
    for action in actions {
        match action {
            Action::Connect => hash.text("connect"),
            Action::SendPing(id) => hash.text(format_args!("ping {:?}", id.to_bytes())),
            Action::Close(reason) => hash.text(format_args!("close: {reason}")),
            Action::ScheduleReconnect { at, attempt } => {
                hash.text(format_args!("dial {attempt} at {}", at.as_nanos()));
            }
            Action::ArmDeadline(at) => hash.text(format_args!("tick at {}", at.as_nanos())),
            Action::Stopped(reason) => hash.text(format_args!("stopped: {reason}")),
        }
    }
}

fn note_views(hash: &mut Fnv, heartbeat: &Heartbeat<Duration>, now: Duration) {
    hash.note(heartbeat.state() as u8);
    hash.text(heartbeat.epoch());
    hash.note((heartbeat.attempt(), heartbeat.missed()));
    hash.note(heartbeat.is_ping_out());
    hash.note(heartbeat.awaited_ping().map(PingId::to_bytes));
    hash.note(heartbeat.last_received().map(|at| at.as_nanos()));
    hash.note(heartbeat.verdict(now).map(|at| at.as_nanos()));
    let round_trip = heartbeat.round_trip();
    let [last, smoothed, variance, minimum] = [
        round_trip.map(|measured| measured.last()),
        round_trip.map(|measured| measured.smoothed()),
        round_trip.map(|measured| measured.variance()),
        round_trip.map(|measured| measured.minimum()),
    ]
    .map(|time| time.map(|time| time.as_nanos()));
    hash.note((last, smoothed, variance, minimum));
}
