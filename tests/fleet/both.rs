//! A fleet and as many single machines, which are told the same.
#![allow(unreachable_pub)]

use core::time::Duration;
use std::collections::BTreeMap;

use keepalive::fleet::{Beat, Fleet, Key};
use keepalive::{Action, Config, Event, Heartbeat, PingId};

#[derive(Clone, Copy, Debug)]
pub enum Fact {
    Received,
    Message,
    Sent,
    /// Of the ping that was sent so many pings ago.
    Pong(usize),
    Draining,
    PingSent(usize),
    Healthy,
    /// It ended, and another one opened.
    Reopened,
}

#[derive(Clone, Debug)]
pub enum Step {
    Fact(usize, Fact),
    /// So many milliseconds; then all tick.
    Sleep(u64),
    SleepUntilDue,
    Reconfigure(Config),
}

/// What a machine asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Ping,
    Close(keepalive::CloseReason),
}

struct Single {
    heartbeat: Heartbeat<Duration>,
    key: Key,
    /// Its pings, by the ids of both.
    pings: Vec<(PingId, PingId)>,
}

pub struct Both {
    fleet: Fleet<Duration>,
    singles: Vec<Single>,
    old: Vec<Key>,
    now: Duration,
    /// How often something was asked for.
    pub asked: usize,
}

impl Both {
    pub fn new(config: Config, count: usize, start: Duration) -> Self {
        let fleet = Fleet::new(config, 7)
            .with_granularity(Duration::from_millis(1))
            .unwrap();
        let mut both = Self {
            fleet,
            singles: Vec::new(),
            old: Vec::new(),
            now: start,
            asked: 0,
        };
        for _ in 0..count {
            both.open(config);
        }
        both
    }

    fn open(&mut self, config: Config) {
        let mut heartbeat = Heartbeat::new(config, 7);
        let _ = heartbeat.handle(Event::Opened, self.now);
        self.singles.push(Single {
            heartbeat,
            key: self.fleet.at(self.now).open().unwrap(),
            pings: Vec::new(),
        });
    }

    pub fn play(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Fact(which, fact) => self.tell(*which, *fact),
                Step::Sleep(millis) => {
                    self.now += Duration::from_millis(*millis);
                    self.tick();
                }
                Step::SleepUntilDue => {
                    if let Some(deadline) = self.fleet.deadline() {
                        self.now = self.now.max(deadline);
                    }
                    self.tick();
                }
                Step::Reconfigure(config) => {
                    self.fleet.at(self.now).reconfigure(*config).unwrap();
                    for single in &mut self.singles {
                        let _ = single.heartbeat.reconfigure(*config, self.now);
                    }
                }
            }
            self.check();
        }
    }

    fn tell(&mut self, which: usize, fact: Fact) {
        if self.singles.is_empty() {
            return;
        }
        let which = which % self.singles.len();
        let Single {
            heartbeat,
            key,
            pings,
        } = &mut self.singles[which];
        let mut at = self.fleet.at(self.now);
        let ping = |ago| pings.iter().rev().nth(ago).copied();
        let (event, is_open) = match fact {
            Fact::Received => (Event::Received, at.received(*key)),
            Fact::Message => (Event::Message, at.message(*key)),
            Fact::Sent => (Event::Sent, at.sent(*key)),
            Fact::Draining => (Event::Draining, at.draining(*key)),
            Fact::Healthy => (Event::Healthy, at.healthy(*key)),
            Fact::Pong(ago) => match ping(ago) {
                Some((one, other)) => (Event::Pong(one), at.pong(*key, other)),
                None => return,
            },
            Fact::PingSent(ago) => match ping(ago) {
                Some((one, other)) => (Event::PingSent(one), at.ping_sent(*key, other)),
                None => return,
            },
            Fact::Reopened => {
                assert!(at.remove(*key));
                let single = self.singles.swap_remove(which);
                self.old.push(single.key);
                self.open(*single.heartbeat.config());
                return;
            }
        };
        assert!(is_open);
        for action in heartbeat.handle(event, self.now) {
            assert!(matches!(action, Action::ArmDeadline(_)), "{action:?}");
        }
    }

    /// Ticks both until nothing is due.
    fn tick(&mut self) {
        let mut of_fleet = BTreeMap::new();
        loop {
            for (key, beat) in self.fleet.at(self.now).tick() {
                let before = of_fleet.insert(key, beat);
                assert_eq!(before, None, "one beat a tick");
            }
            if self
                .fleet
                .deadline()
                .is_none_or(|deadline| deadline > self.now)
            {
                break;
            }
        }
        let mut ended = Vec::new();
        for single in &mut self.singles {
            let one = Self::tick_single(single, self.now);
            let other = of_fleet.remove(&single.key);
            let asked = other.map(|beat| match beat {
                Beat::Ping(_) => Asked::Ping,
                Beat::Close(reason) => Asked::Close(reason),
                _ => panic!("{beat:?}"),
            });
            assert_eq!(one.map(|(asked, _)| asked), asked, "at {:?}", self.now);
            self.asked += usize::from(asked.is_some());
            match (one, other) {
                (Some((_, Some(one))), Some(Beat::Ping(other))) => single.pings.push((one, other)),
                (Some((Asked::Close(_), _)), _) => ended.push(single.key),
                _ => {}
            }
        }
        assert!(of_fleet.is_empty(), "{of_fleet:?}");
        self.singles.retain(|single| !ended.contains(&single.key));
        self.old.extend(ended);
    }

    fn tick_single(single: &mut Single, now: Duration) -> Option<(Asked, Option<PingId>)> {
        let mut asked = None;
        // A tick before the deadline may move it on.
        if single
            .heartbeat
            .deadline()
            .is_none_or(|deadline| now < deadline)
        {
            return None;
        }
        for action in single.heartbeat.handle(Event::Tick, now) {
            match action {
                Action::SendPing(id) => asked = Some((Asked::Ping, Some(id))),
                Action::Close(reason) => asked = Some((Asked::Close(reason), None)),
                _ => {}
            }
        }
        asked
    }

    fn check(&mut self) {
        assert_eq!(self.fleet.len(), self.singles.len());
        assert_eq!(self.fleet.counters().open, self.singles.len());
        assert_eq!(self.fleet.is_empty(), self.fleet.deadline().is_none());
        for key in &self.old {
            assert!(!self.fleet.is_open(*key));
        }
    }
}
