//! What is done to whom and when, by the seed.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use keepalive::Config;

use super::{DialFault, GROUPS, Plant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The server neither reads nor writes any more.
    Mute,
    /// What goes to the server, to the client, or both, is dropped.
    Hole(Way),
    Reset,
    Fin,
    Close(u16),
    /// Shorter than the heartbeat allows.
    Pause(Duration),
    Slow(Duration),
    /// The connection is reset, and then dials fail for a while.
    Dial(DialFault, Duration),
    /// The same for all of its group: the port is closed.
    Group(Duration),
    Reconnect,
    GiveUp,
    Stop,
    /// Stopped while the server is mute.
    StopMute,
    /// Stopped while dials are refused, with messages that wait.
    StopRefused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Both,
    In,
    Out,
}

/// What the client is bound to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// To find out by its heartbeat.
    Convict,
    /// To report what the system or the peer said.
    Report,
    /// Nothing: it is healthy.
    Bear,
    /// To end the connection, as it was asked to.
    Obey,
    /// To end, and be started anew.
    Stop,
}

impl Kind {
    pub(super) const NAMES: [&'static str; 18] = [
        "mute",
        "black hole",
        "black hole inward",
        "black hole outward",
        "reset",
        "fin",
        "closed with a code",
        "dropped dials",
        "503",
        "hung handshakes",
        "late handshakes",
        "port closed",
        "pause of 0.5-1.5 s",
        "slow line",
        "reconnect, give up",
        "stop and start",
        "stop while mute",
        "stop while refused",
    ];

    /// Its place in `NAMES`.
    pub(super) fn index(self) -> usize {
        match self {
            Self::Mute => 0,
            Self::Hole(Way::Both) => 1,
            Self::Hole(Way::In) => 2,
            Self::Hole(Way::Out) => 3,
            Self::Reset => 4,
            Self::Fin => 5,
            Self::Close(_) => 6,
            Self::Dial(DialFault::Drop, _) => 7,
            Self::Dial(DialFault::Busy, _) => 8,
            Self::Dial(DialFault::Hang, _) => 9,
            Self::Dial(DialFault::Late, _) => 10,
            Self::Group(_) => 11,
            Self::Pause(_) => 12,
            Self::Slow(_) => 13,
            Self::Reconnect | Self::GiveUp => 14,
            Self::Stop => 15,
            Self::StopMute => 16,
            Self::StopRefused => 17,
        }
    }

    pub(super) fn duty(self) -> Duty {
        match self {
            Self::Mute | Self::Hole(_) => Duty::Convict,
            Self::Reset | Self::Fin | Self::Close(_) | Self::Dial(..) | Self::Group(_) => {
                Duty::Report
            }
            Self::Pause(_) | Self::Slow(_) => Duty::Bear,
            Self::Reconnect | Self::GiveUp => Duty::Obey,
            Self::Stop | Self::StopMute | Self::StopRefused => Duty::Stop,
        }
    }

    /// How long it goes on by itself.
    pub(super) fn lasts(self) -> Duration {
        match self {
            Self::Pause(lasts) | Self::Slow(lasts) | Self::Dial(_, lasts) | Self::Group(lasts) => {
                lasts
            }
            Self::StopRefused => REFUSED,
            _ => Duration::ZERO,
        }
    }

    /// Whether dials may fail meanwhile.
    pub(super) fn fails_dials(self) -> bool {
        use DialFault::Late;
        match self {
            Self::Dial(fault, _) => fault != Late,
            Self::Group(_) | Self::StopRefused => true,
            _ => false,
        }
    }

    /// Within which time it has to be detected, by the settings. What the system or the
    /// peer says comes at once.
    pub(super) fn bound(self, config: &Config) -> Duration {
        match self.duty() {
            Duty::Convict => config.ping_interval() + config.pong_timeout(),
            Duty::Stop => config.close_timeout(),
            Duty::Report | Duty::Obey => Duration::from_millis(500),
            Duty::Bear => Duration::ZERO,
        }
    }

    /// What the server is told.
    pub(super) fn command(self, client: usize) -> Option<String> {
        Some(match self {
            Self::Mute | Self::StopMute => format!("mute {client}"),
            Self::Hole(Way::Both) => format!("hole {client} both"),
            Self::Hole(Way::In) => format!("hole {client} in"),
            Self::Hole(Way::Out) => format!("hole {client} out"),
            Self::Reset => format!("reset {client}"),
            Self::Fin => format!("fin {client}"),
            Self::Close(code) => format!("close {client} {code}"),
            Self::Pause(lasts) => format!("pause {client} {}", lasts.as_millis()),
            Self::Slow(lasts) => format!("slow {client} {}", lasts.as_millis()),
            Self::Dial(fault, lasts) => {
                format!("dial {client} {} {}", fault.name(), lasts.as_millis())
            }
            Self::StopRefused => format!("dial {client} 503 {}", REFUSED.as_millis()),
            // Told once for all of them.
            Self::Group(_) => return None,
            Self::Reconnect | Self::GiveUp | Self::Stop => return None,
        })
    }

    fn draw(random: &mut Rng) -> Self {
        let mut millis = |range| Duration::from_millis(random.u64(range));
        let (dials, pause, slow) = (millis(500..3000), millis(500..1500), millis(1000..4000));
        let codes = [1000, 1001, 1011, 1012, 1013];
        let ways = [Way::Both, Way::In, Way::Out];
        match random.u8(..25) {
            0..3 => Self::Mute,
            3..7 => Self::Hole(ways[random.usize(..3)]),
            7..9 => Self::Reset,
            9..11 => Self::Fin,
            11..14 => Self::Close(codes[random.usize(..5)]),
            14 => Self::Dial(DialFault::Drop, dials),
            15 => Self::Dial(DialFault::Busy, dials),
            16 => Self::Dial(DialFault::Hang, dials),
            17 => Self::Dial(DialFault::Late, dials),
            18 => Self::Pause(pause),
            19 => Self::Slow(slow),
            20 => Self::Reconnect,
            21 => Self::GiveUp,
            22 => Self::Stop,
            23 => Self::StopMute,
            _ => Self::StopRefused,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// What happens in one round, from its start.
pub(super) struct Round {
    /// In order.
    pub(super) acts: Vec<Act>,
    /// When the server stands still for a second, for everybody.
    pub(super) stall: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Act {
    pub(super) at: Duration,
    pub(super) client: usize,
    pub(super) kind: Kind,
}

/// Longer than until the stop.
const REFUSED: Duration = Duration::from_millis(1500);

pub(super) const STALL: Duration = Duration::from_secs(1);

/// Faults begin within this time; then all may heal.
const FAULTS: Duration = Duration::from_secs(6);

pub(super) fn round(
    seed: u64,
    round: u64,
    connections: usize,
    plant: Option<Plant>,
    lasts: Duration,
) -> Round {
    let faults = FAULTS.min(lasts / 12).as_millis() as u64;
    let mut random = Rng::with_seed(seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let offset = |random: &mut Rng| Duration::from_millis(random.u64(..faults));
    let closed = random.bool().then(|| random.usize(..GROUPS));
    let closed_at = offset(&mut random);
    let closed_for = Duration::from_millis(random.u64(500..3000));
    let stall = random.bool().then(|| offset(&mut random));
    let mut acts = Vec::new();
    for client in 0..connections {
        let (at, kind) = (offset(&mut random), Kind::draw(&mut random));
        let spared = random.u8(..4) == 0;
        let act = |at, kind| Act { at, client, kind };
        match plant {
            Some(Plant::Missed) if client == 0 => acts.push(act(at, Kind::Mute)),
            Some(Plant::Healing) if client == 0 => {
                acts.push(act(at, Kind::Dial(DialFault::Drop, Duration::from_secs(1))));
            }
            _ if closed == Some(client % GROUPS) => {
                acts.push(act(closed_at, Kind::Group(closed_for)));
            }
            _ if spared => {}
            _ => acts.push(act(at, kind)),
        }
    }
    acts.sort_by_key(|act| act.at);
    Round { acts, stall }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_schedule() {
        let minute = Duration::from_secs(60);
        let acts = |seed, number| {
            let round = round(seed, number, 500, None, minute);
            let acts = round.acts.iter();
            let acts: Vec<_> = acts.map(|act| (act.at, act.client, act.kind)).collect();
            (acts, round.stall)
        };
        assert_eq!(acts(1, 0), acts(1, 0));
        assert_ne!(acts(1, 0).0, acts(1, 1).0);
        assert_ne!(acts(1, 0).0, acts(2, 0).0);
    }

    #[test]
    fn every_kind_is_drawn() {
        let mut seen = [false; Kind::NAMES.len()];
        for number in 0..10 {
            for act in round(3, number, 500, None, Duration::from_secs(60)).acts {
                seen[act.kind.index()] = true;
            }
        }
        assert_eq!(seen, [true; Kind::NAMES.len()]);
    }
}
