//! Every public function of the core, optimised into one object: if a panic is
//! left anywhere in it, the handler below refers to a symbol that the check finds.
#![no_std]

use core::time::Duration;

use keepalive::{
    default_policy, stop_when_refused, Action, Actions, CloseCode, Closed, Config, ConfigBuilder,
    Event, Heartbeat, Loss, PingId, Refused, Retry,
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
    retry: u8,
    code: u16,
    id: u64,
    secs: u64,
    nanos: u32,
}

fn event(raw: &Raw) -> Event {
    let id = PingId::from_bytes(raw.id.to_be_bytes());
    let mut closed = Closed::with_code(CloseCode(raw.code)).retry_after(time(raw));
    closed.retry = retry(raw);
    let mut refused = Refused::with_status(raw.code).retry_after(time(raw));
    refused.retry = retry(raw);
    match raw.kind {
        0 => Event::Start,
        1 => Event::Opened,
        2 => Event::Received,
        3 => Event::Message,
        4 => Event::Pong(id),
        5 => Event::Sent,
        6 => Event::Draining,
        7 => Event::PingSent(id),
        8 => Event::Closed(closed),
        9 => Event::Refused(refused),
        10 => Event::Error(retry(raw)),
        11 => Event::NetworkChanged,
        12 => Event::Healthy,
        13 => Event::GiveUp(closed),
        14 => Event::ReconnectNow,
        15 => Event::Stop,
        _ => Event::Tick,
    }
}

fn retry(raw: &Raw) -> Option<Retry> {
    Some(match raw.retry {
        0 => Retry::Stop,
        1 => Retry::Backoff,
        2 => Retry::Spread,
        3 => Retry::Between {
            least: Duration::from_nanos(raw.id),
            greatest: time(raw),
        },
        _ => return None,
    })
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
            Action::Close(reason) => reason.manner() as u64,
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
pub extern "C" fn verdict(beat: &Beat, raw: &Raw) -> u64 {
    beat.verdict(time(raw)).map_or(0, |due| due.as_secs())
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

/// Every setting.
#[no_mangle]
pub extern "C" fn settings(builder: &mut ConfigBuilder, config: &Config, raw: &Raw) {
    let is_on = raw.retry != 0;
    *builder = config
        .to_builder()
        .ping_interval(time(raw))
        .send_interval(is_on.then(|| time(raw)))
        .always_ping(is_on)
        .jitter(f64::from(raw.nanos))
        .random_phase(is_on)
        .pong_timeout(time(raw))
        .max_missed(raw.nanos)
        .adaptive_timeout(is_on.then(|| time(raw)))
        .strict_pongs(is_on)
        .confirm_within(is_on.then(|| time(raw)))
        .late_tolerance(time(raw))
        .listen_only(is_on)
        .idle_timeout(time(raw))
        .message_timeout(is_on.then(|| time(raw)))
        .healthy_within(is_on.then(|| time(raw)))
        .connect_timeout(time(raw))
        .close_timeout(time(raw))
        .reconnect(is_on)
        .first_spread(time(raw))
        .backoff_floor(time(raw))
        .backoff_base(time(raw))
        .backoff_cap(time(raw))
        .backoff_factor(f64::from(raw.nanos))
        .stable_after(time(raw))
        .max_attempts(is_on.then_some(raw.nanos))
        .max_elapsed(is_on.then(|| time(raw)))
        .policy(stop_when_refused);
}

#[no_mangle]
pub extern "C" fn policies(config: &Config, raw: &Raw) -> u64 {
    let loss = match raw.kind {
        0 => Loss::Closed(Some(CloseCode(raw.code))),
        1 => Loss::Closed(None),
        2 => Loss::Refused(raw.code),
        _ => Loss::Failed,
    };
    [default_policy, stop_when_refused, config.policy()]
        .into_iter()
        .map(|policy| match policy(loss) {
            Retry::Between { least, greatest } => least.as_secs() ^ greatest.as_secs(),
            other => u64::from(other == Retry::Stop),
        })
        .fold(0, |sum, each| sum ^ each)
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
