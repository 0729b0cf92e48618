//! Every public function of the core, optimised into one object: if a panic is
//! left anywhere in it, the handler below refers to a symbol that the check finds.
#![no_std]

use core::time::Duration;

use keepalive::{
    default_close_policy, Action, Actions, CloseCode, Closed, Config, ConfigBuilder, Event,
    Heartbeat, PingId,
};

extern "C" {
    fn a_panic_is_left() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe { a_panic_is_left() }
}

type Beat = Heartbeat<Duration>;

#[repr(C)]
pub struct Raw {
    kind: u8,
    code: u16,
    id: u64,
    secs: u64,
    nanos: u32,
}

fn event(raw: &Raw) -> Event {
    match raw.kind {
        0 => Event::Start,
        1 => Event::Opened,
        2 => Event::Received,
        3 => Event::Pong(PingId::from_bytes(raw.id.to_be_bytes())),
        4 => Event::Sent,
        5 => Event::PingSent(PingId::from_bytes(raw.id.to_be_bytes())),
        6 => Event::Closed(Closed::with_code(CloseCode(raw.code)).retry_after(time(raw))),
        7 => Event::Error,
        8 => Event::NetworkChanged,
        9 => Event::Healthy,
        10 => Event::ReconnectNow,
        11 => Event::Stop,
        _ => Event::Tick,
    }
}

/// Without `Duration::new`, which panics where the nanoseconds carry too far.
fn time(raw: &Raw) -> Duration {
    Duration::from_secs(raw.secs).saturating_add(Duration::from_nanos(u64::from(raw.nanos)))
}

fn weigh(actions: Actions<Duration>) -> u64 {
    let mut sum = actions.len() as u64;
    for action in actions {
        sum = sum.wrapping_mul(31).wrapping_add(match action {
            Action::Connect => 1,
            Action::SendPing(id) => u64::from(id.sequence()),
            Action::Close(reason) => u64::from(reason.is_graceful()),
            Action::ScheduleReconnect { at, attempt } => at.as_secs() ^ u64::from(attempt),
            Action::ArmDeadline(at) => at.as_secs(),
            Action::Stopped(_) => 2,
        });
    }
    sum
}

#[no_mangle]
pub extern "C" fn new(beat: &mut Beat, seed: u64) {
    *beat = Heartbeat::new(Config::default(), seed);
}

#[no_mangle]
pub extern "C" fn handle(beat: &mut Beat, raw: &Raw) -> u64 {
    weigh(beat.handle(event(raw), time(raw)))
}

#[no_mangle]
pub extern "C" fn handle_from(beat: &mut Beat, raw: &Raw) -> u64 {
    let epoch = beat.epoch();
    weigh(beat.handle_from(epoch, event(raw), time(raw)))
}

#[no_mangle]
pub extern "C" fn reconfigure(beat: &mut Beat, config: &Config, raw: &Raw) -> u64 {
    weigh(beat.reconfigure(*config, time(raw)))
}

#[no_mangle]
pub extern "C" fn views(beat: &Beat) -> u64 {
    let mut sum = u64::from(beat.attempt()) ^ u64::from(beat.missed()) ^ beat.state() as u64;
    sum ^= u64::from(beat.is_ping_out());
    sum ^= beat.awaited_ping().map_or(0, |id| u64::from(id.sequence()));
    sum ^= beat.last_received().map_or(0, |at| at.as_secs());
    sum ^= beat.deadline().map_or(0, |at| at.as_secs());
    if let Some(trip) = beat.round_trip() {
        sum ^= trip.last().as_secs() ^ trip.smoothed().as_secs();
        sum ^= trip.variance().as_secs() ^ trip.minimum().as_secs();
    }
    sum
}

#[no_mangle]
pub extern "C" fn build(builder: &ConfigBuilder, config: &mut Config) -> bool {
    match builder.build() {
        Ok(built) => {
            *config = built;
            true
        }
        Err(error) => error.field().is_empty(),
    }
}

#[no_mangle]
pub extern "C" fn policy(code: u16) -> bool {
    default_close_policy(Some(CloseCode(code))) == default_close_policy(None)
}

#[no_mangle]
pub extern "C" fn ping_id(bytes: &[u8; 16], length: usize) -> u64 {
    let payload = bytes.get(..length).unwrap_or(bytes);
    PingId::from_payload(payload).map_or(0, |id| u64::from_be_bytes(id.to_bytes()))
}

#[cfg(feature = "planted")]
#[no_mangle]
pub extern "C" fn planted(numbers: &[u32; 4], index: usize) -> u32 {
    numbers[index]
}
