//! A fleet of one does what a single machine does, whatever is asked of both.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use keepalive::Config;
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/fleet/both.rs"]
mod both;

use both::{Both, Fact, Step};

#[derive(Arbitrary, Debug)]
struct Story {
    settings: Settings,
    start: u16,
    events: Vec<Event>,
}

/// In milliseconds, and without draws.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Settings {
    watch: u8,
    ping_interval: u16,
    send_interval: Option<u16>,
    pong_timeout: u16,
    max_missed: u8,
    late_tolerance: u8,
    idle_timeout: u16,
    confirm_within: Option<u8>,
    message_timeout: Option<u16>,
    healthy_within: Option<u16>,
}

#[derive(Arbitrary, Debug)]
enum Event {
    Received,
    Message,
    Sent,
    Pong(u8),
    Draining,
    PingSent(u8),
    Healthy,
    Reopened,
    Sleep(u16),
    SleepUntilDue,
    Reconfigure(Settings),
}

impl Settings {
    /// Whether only a pong counts stays as it is, since a fleet knows nothing of other
    /// activity where it does.
    fn config(self, strict_pongs: bool) -> Config {
        let millis = |millis: u16| Duration::from_millis(u64::from(millis).max(1));
        let builder = Config::builder()
            .jitter(0.0)
            .random_phase(false)
            .reconnect(false)
            .ping_interval(millis(self.ping_interval))
            .send_interval(self.send_interval.map(millis))
            .pong_timeout(millis(self.pong_timeout))
            .max_missed(u32::from(self.max_missed).clamp(1, 100))
            .late_tolerance(millis(self.late_tolerance.into()))
            .idle_timeout(millis(self.idle_timeout))
            .message_timeout(self.message_timeout.map(millis))
            .healthy_within(self.healthy_within.map(millis));
        let confirm_within = self.confirm_within.map(|within| millis(within.into()));
        let builder = match self.watch % 3 {
            _ if strict_pongs => builder.strict_pongs(true).confirm_within(confirm_within),
            0 => builder.listen_only(true),
            1 => builder.always_ping(true).confirm_within(confirm_within),
            _ => builder.confirm_within(confirm_within),
        };
        builder.build().unwrap()
    }
}

fuzz_target!(|story: Story| {
    let strict_pongs = story.settings.watch >= 200;
    let start = Duration::from_millis(story.start.into());
    let mut both = Both::new(story.settings.config(strict_pongs), 1, start);
    for event in story.events {
        both.play(&[match event {
            Event::Received => Step::Fact(0, Fact::Received),
            Event::Message => Step::Fact(0, Fact::Message),
            Event::Sent => Step::Fact(0, Fact::Sent),
            Event::Pong(ago) => Step::Fact(0, Fact::Pong(ago.into())),
            Event::Draining => Step::Fact(0, Fact::Draining),
            Event::PingSent(ago) => Step::Fact(0, Fact::PingSent(ago.into())),
            Event::Healthy => Step::Fact(0, Fact::Healthy),
            Event::Reopened => Step::Fact(0, Fact::Reopened),
            Event::Sleep(millis) => Step::Sleep(millis.into()),
            Event::SleepUntilDue => Step::SleepUntilDue,
            Event::Reconfigure(settings) => Step::Reconfigure(settings.config(strict_pongs)),
        }]);
    }
});
