//! The state table in the docs of `Heartbeat`: each cell does what it says, and a
//! cell with a dash changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use core::time::Duration;

use keepalive::{
    Action, CloseCode, CloseReason, Closed, Config, Event, Heartbeat, PingId, State, StopReason,
};

const TABLE: [[&str; 7]; 9] = [
    [
        "`Start`",
        "dial",
        "-",
        "-",
        "as `ReconnectNow`",
        "-",
        "dial, attempt 0",
    ],
    [
        "`Opened`",
        "Open",
        "Open",
        "-",
        "-",
        "Open",
        "Open, attempt 0",
    ],
    [
        "`Received`, `Pong`, `Sent`, `PingSent`",
        "-",
        "-",
        "note",
        "-",
        "-",
        "-",
    ],
    [
        "`Tick`",
        "-",
        "deadline: down",
        "ping, miss or dead",
        "deadline: `Close` (abandon), Stopped",
        "due: dial",
        "-",
    ],
    [
        "`Closed`, `Error`",
        "-",
        "down",
        "down",
        "Stopped",
        "-",
        "-",
    ],
    [
        "`NetworkChanged`",
        "-",
        "-",
        "probe",
        "-",
        "earlier dial",
        "-",
    ],
    ["`Healthy`", "-", "-", "note", "-", "-", "-"],
    [
        "`ReconnectNow`",
        "dial",
        "`Close`, dial",
        "`Close`, dial",
        "`Close`, dial",
        "dial",
        "dial, attempt 0",
    ],
    [
        "`Stop`",
        "Stopped",
        "`Close`, Stopped",
        "`Close` gracefully, Closing",
        "`Close` (abandon), Stopped",
        "Stopped",
        "-",
    ],
];

const STATES: [State; 6] = [
    State::Idle,
    State::Connecting,
    State::Open,
    State::Closing,
    State::Waiting,
    State::Stopped,
];

/// Retries that have failed in every state but Idle.
const FAILED: u32 = 2;

#[test]
fn the_docs_have_this_table() {
    let docs = include_str!("../src/heartbeat.rs");
    let rows: Vec<String> = docs
        .lines()
        .filter_map(|line| line.trim().strip_prefix("/// | `"))
        .map(|row| format!("| `{row}"))
        .collect();
    let expected: Vec<String> = TABLE
        .iter()
        .map(|row| format!("| {} |", row.join(" | ")))
        .collect();
    assert_eq!(rows, expected);
    let head = "/// | | Idle | Connecting | Open | Closing | Waiting | Stopped |";
    assert!(docs.contains(head));
}

#[test]
fn every_cell_does_what_it_says() {
    for [events, cells @ ..] in TABLE {
        for (cell, state) in cells.into_iter().zip(STATES) {
            for event in events_of(events) {
                let case = Case::new(state, event);
                match cell {
                    "-" => case.changes_nothing(),
                    "note" => case.notes(),
                    "dial" | "`Close`, dial" | "as `ReconnectNow`" => case.dials(FAILED),
                    "dial, attempt 0" => case.dials(0),
                    "Open" => case.opens(FAILED),
                    "Open, attempt 0" => case.opens(0),
                    "down" => case.goes_down(),
                    "deadline: down" => case.goes_down_at_its_deadline(),
                    "ping, miss or dead" => case.beats(),
                    "deadline: `Close` (abandon), Stopped" => case.stops_at_its_deadline(),
                    "due: dial" => case.dials_when_due(),
                    "probe" => case.probes(),
                    "earlier dial" => case.dials_earlier(),
                    "Stopped" => case.stops(None),
                    "`Close`, Stopped" | "`Close` (abandon), Stopped" => {
                        case.stops(Some(CloseReason::Abort));
                    }
                    "`Close` gracefully, Closing" => case.begins_to_close(),
                    other => panic!("no test for the cell {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_second_start_in_closing_is_as_reconnect_now() {
    let (mut one, mut other) = (in_state(State::Closing), in_state(State::Closing));
    assert_eq!(
        one.handle(Event::Start, NOW),
        other.handle(Event::ReconnectNow, NOW)
    );
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

fn events_of(row: &str) -> Vec<Event> {
    let id = PingId::from_bytes([0; 8]);
    row.split(", ")
        .flat_map(|name| match name.trim_matches('`') {
            "Start" => vec![Event::Start],
            "Opened" => vec![Event::Opened],
            "Received" => vec![Event::Received],
            "Pong" => vec![Event::Pong(id)],
            "Sent" => vec![Event::Sent],
            "PingSent" => vec![Event::PingSent(id)],
            "Tick" => vec![Event::Tick],
            "Closed" => vec![
                Event::Closed(Closed::default()),
                Event::Closed(Closed::with_code(CloseCode::GOING_AWAY)),
            ],
            "Error" => vec![Event::Error],
            "NetworkChanged" => vec![Event::NetworkChanged],
            "Healthy" => vec![Event::Healthy],
            "ReconnectNow" => vec![Event::ReconnectNow],
            "Stop" => vec![Event::Stop],
            other => panic!("no event is called {other:?}"),
        })
        .collect()
}

/// Every state is reached and every event handled at this instant, when no
/// deadline of the state has come.
const NOW: Duration = Duration::from_secs(1000);
const NEVER_YET: Duration = Duration::from_millis(1);

const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(7);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
const FLOOR: Duration = Duration::from_secs(20);

/// Nothing is random, but for the delays, which are from `FLOOR` to twice that
/// and a millisecond or less at the first retry.
fn config() -> Config {
    Config::builder()
        .ping_interval(INTERVAL)
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(TIMEOUT)
        .max_missed(2)
        .connect_timeout(CONNECT_TIMEOUT)
        .close_timeout(CLOSE_TIMEOUT)
        .first_spread(NEVER_YET)
        .backoff_floor(FLOOR)
        .backoff_base(2 * FLOOR)
        .backoff_cap(2 * FLOOR)
        .build()
        .unwrap()
}

/// In this state, after `FAILED` failures (but in Idle), by events at `NOW`.
fn in_state(state: State) -> Heartbeat<Duration> {
    let mut heartbeat = Heartbeat::new(config(), 1);
    let path: &[Event] = match state {
        State::Idle => &[Event::Healthy],
        State::Connecting => &[Event::ReconnectNow],
        State::Open => &[Event::ReconnectNow, Event::Opened],
        State::Closing => &[Event::ReconnectNow, Event::Opened, Event::Stop],
        State::Waiting => &[],
        State::Stopped => &[Event::Stop],
    };
    if state != State::Idle {
        for _ in 0..FAILED {
            let _ = heartbeat.handle(Event::ReconnectNow, NOW);
            let _ = heartbeat.handle(Event::Error, NOW);
        }
    }
    for &event in path {
        let _ = heartbeat.handle(event, NOW);
    }
    assert_eq!(heartbeat.state(), state);
    heartbeat
}

/// One cell: an event in a state.
struct Case {
    state: State,
    event: Event,
    before: Heartbeat<Duration>,
}

impl Case {
    fn new(state: State, event: Event) -> Self {
        let before = in_state(state);
        Self {
            state,
            event,
            before,
        }
    }

    fn handle(&self, now: Duration) -> (Heartbeat<Duration>, Vec<Action<Duration>>) {
        let mut after = self.before.clone();
        let actions = after.handle(self.event, now).collect();
        (after, actions)
    }

    fn is(&self, after: &Heartbeat<Duration>, state: State, attempt: u32) {
        let name = format!("{:?} in {:?}", self.event, self.state);
        assert_eq!(after.state(), state, "{name}");
        let attempt = if self.state == State::Idle {
            0
        } else {
            attempt
        };
        assert_eq!(after.attempt(), attempt, "{name}");
        assert_eq!(after.missed(), 0, "{name}");
        assert_eq!(after.round_trip(), None, "{name}");
    }

    fn epoch_moves(&self, after: &Heartbeat<Duration>, moves: bool) {
        let moved = self.before.epoch() != after.epoch();
        assert_eq!(moved, moves, "{:?} in {:?}", self.event, self.state);
    }

    #[track_caller]
    fn acts(&self, actions: &[Action<Duration>], expected: &[Action<Duration>]) {
        assert_eq!(actions, expected, "{:?} in {:?}", self.event, self.state);
    }

    fn changes_nothing(&self) {
        let name = format!("{:?} in {:?}", self.event, self.state);
        let (after, actions) = self.handle(NOW);
        let before = self.before.clone();
        if self.event == Event::Tick {
            assert_eq!(self.before.deadline(), None, "{name}");
        }
        self.acts(&actions, &[]);
        assert_eq!(after.deadline(), before.deadline(), "{name}");
        assert_eq!(
            self.settled(after, NOW),
            self.settled(before, NOW),
            "{name}"
        );

        // Later the internal time has moved, and nothing else.
        let later = NOW + NEVER_YET;
        let (after, actions) = self.handle(later);
        self.acts(&actions, &[]);
        self.is(&after, self.state, FAILED);
        assert_eq!(after.epoch(), self.before.epoch(), "{name}");
        assert_eq!(after.deadline(), self.before.deadline(), "{name}");
        let before = self.before.clone();
        assert_eq!(
            self.settled(after, later),
            self.settled(before, later),
            "{name}"
        );
    }

    /// All there is to know, after an event that is void in this state:
    /// `Received` is looked at with the next event only.
    fn settled(&self, mut heartbeat: Heartbeat<Duration>, now: Duration) -> String {
        let void = match self.state {
            State::Open => Event::Start,
            _ => Event::Healthy,
        };
        assert_eq!(heartbeat.handle(void, now).count(), 0);
        format!("{heartbeat:?}")
    }

    fn notes(&self) {
        for now in [NOW, NOW + 2 * INTERVAL] {
            let (after, actions) = self.handle(now);
            self.acts(&actions, &[]);
            self.is(&after, State::Open, FAILED);
            self.epoch_moves(&after, false);
            assert_eq!(after.deadline(), self.before.deadline());
            let heard = matches!(self.event, Event::Received | Event::Pong(_));
            assert_eq!(after.last_received(), heard.then_some(now));
        }
    }

    fn dials(&self, attempt: u32) {
        let (after, actions) = self.handle(NOW);
        let at = NOW + CONNECT_TIMEOUT;
        let dial = [Action::Connect, Action::ArmDeadline(at)];
        match self.state {
            State::Idle | State::Waiting | State::Stopped => self.acts(&actions, &dial),
            // A dial at the same instant has the deadline that was armed.
            State::Connecting => self.acts(
                &actions,
                &[Action::Close(CloseReason::Reconnect), Action::Connect],
            ),
            State::Open | State::Closing => self.acts(
                &actions,
                &[
                    Action::Close(CloseReason::Reconnect),
                    Action::Connect,
                    Action::ArmDeadline(at),
                ],
            ),
        }
        assert!(!CloseReason::Reconnect.is_graceful());
        self.is(&after, State::Connecting, attempt);
        self.epoch_moves(&after, true);
        assert_eq!(after.deadline(), Some(at));
    }

    fn opens(&self, attempt: u32) {
        let (after, actions) = self.handle(NOW);
        let at = NOW + INTERVAL;
        self.acts(&actions, &[Action::ArmDeadline(at)]);
        self.is(&after, State::Open, attempt);
        self.epoch_moves(&after, self.state != State::Connecting);
        assert_eq!(after.deadline(), Some(at));
        assert_eq!(after.awaited_ping(), None);
        assert_eq!(after.last_received(), None);
    }

    fn goes_down(&self) {
        let (after, actions) = self.handle(NOW);
        self.is_down(NOW, &after, &actions, None);
        let reason = match self.event {
            Event::Closed(closed) => StopReason::Closed(closed.code),
            _ => StopReason::Error,
        };
        self.stops_where_reconnecting_is_off(NOW, &[Action::Stopped(reason)]);
    }

    fn goes_down_at_its_deadline(&self) {
        self.only_arms_before(NOW + CONNECT_TIMEOUT);
        let now = NOW + CONNECT_TIMEOUT;
        let (after, actions) = self.handle(now);
        let reason = CloseReason::ConnectTimeout;
        assert!(!reason.is_graceful());
        self.is_down(now, &after, &actions, Some(reason));
        self.stops_where_reconnecting_is_off(
            now,
            &[
                Action::Close(reason),
                Action::Stopped(StopReason::ConnectTimeout),
            ],
        );
    }

    fn is_down(
        &self,
        now: Duration,
        after: &Heartbeat<Duration>,
        actions: &[Action<Duration>],
        close: Option<CloseReason>,
    ) {
        let at = after.deadline().unwrap();
        assert!((now + FLOOR..=now + 2 * FLOOR).contains(&at));
        let attempt = FAILED + 1;
        let mut expected = Vec::from_iter(close.map(Action::Close));
        expected.push(Action::ScheduleReconnect { at, attempt });
        expected.push(Action::ArmDeadline(at));
        self.acts(actions, &expected);
        self.is(after, State::Waiting, attempt);
        self.epoch_moves(after, true);
    }

    fn stops_where_reconnecting_is_off(&self, now: Duration, expected: &[Action<Duration>]) {
        let mut heartbeat = self.before.clone();
        let off = config().to_builder().reconnect(false).build().unwrap();
        heartbeat.reconfigure(off, NOW).for_each(drop);
        let actions: Vec<_> = heartbeat.handle(self.event, now).collect();
        self.acts(&actions, expected);
        self.is(&heartbeat, State::Stopped, FAILED);
        self.epoch_moves(&heartbeat, true);
        assert_eq!(heartbeat.deadline(), None);
    }

    fn beats(&self) {
        self.only_arms_before(NOW + INTERVAL);
        let mut heartbeat = self.before.clone();
        let (pinged, missed) = (NOW + INTERVAL, NOW + INTERVAL + TIMEOUT);
        let first = self.pings(&mut heartbeat, pinged);
        assert_eq!(heartbeat.missed(), 0);

        let second = self.pings(&mut heartbeat, missed);
        assert_ne!(first, second);
        assert_eq!(heartbeat.missed(), 1);
        self.epoch_moves(&heartbeat, false);

        let dead = missed + TIMEOUT;
        let mut off = heartbeat.clone();
        let actions: Vec<_> = heartbeat.handle(Event::Tick, dead).collect();
        self.is_down(dead, &heartbeat, &actions, Some(CloseReason::PongTimeout));
        assert!(!CloseReason::PongTimeout.is_graceful());

        let settings = config().to_builder().reconnect(false).build().unwrap();
        off.reconfigure(settings, missed).for_each(drop);
        let actions: Vec<_> = off.handle(Event::Tick, dead).collect();
        self.acts(
            &actions,
            &[
                Action::Close(CloseReason::PongTimeout),
                Action::Stopped(StopReason::PongTimeout),
            ],
        );
        self.is(&off, State::Stopped, FAILED);
    }

    fn pings(&self, heartbeat: &mut Heartbeat<Duration>, now: Duration) -> PingId {
        let actions: Vec<_> = heartbeat.handle(Event::Tick, now).collect();
        let id = heartbeat.awaited_ping().unwrap();
        self.acts(
            &actions,
            &[Action::SendPing(id), Action::ArmDeadline(now + TIMEOUT)],
        );
        assert_eq!(heartbeat.state(), State::Open);
        assert!(heartbeat.is_ping_out());
        assert_eq!(heartbeat.deadline(), Some(now + TIMEOUT));
        id
    }

    fn stops_at_its_deadline(&self) {
        self.only_arms_before(NOW + CLOSE_TIMEOUT);
        let (after, actions) = self.handle(NOW + CLOSE_TIMEOUT);
        self.acts(
            &actions,
            &[
                Action::Close(CloseReason::CloseTimeout),
                Action::Stopped(StopReason::Requested),
            ],
        );
        assert!(!CloseReason::CloseTimeout.is_graceful());
        self.is(&after, State::Stopped, FAILED);
        self.epoch_moves(&after, true);
        assert_eq!(after.deadline(), None);
    }

    fn dials_when_due(&self) {
        let due = self.before.deadline().unwrap();
        self.only_arms_before(due);
        let (after, actions) = self.handle(due);
        let at = due + CONNECT_TIMEOUT;
        self.acts(&actions, &[Action::Connect, Action::ArmDeadline(at)]);
        self.is(&after, State::Connecting, FAILED);
        self.epoch_moves(&after, true);
        assert_eq!(after.deadline(), Some(at));
    }

    fn only_arms_before(&self, due: Duration) {
        let armed = Action::ArmDeadline(due);
        assert_eq!(self.before.deadline(), Some(due));
        for now in [NOW, due - Duration::from_nanos(1)] {
            let (after, actions) = self.handle(now);
            self.acts(&actions, &[armed]);
            self.is(&after, self.state, FAILED);
            self.epoch_moves(&after, false);
            assert_eq!(after.deadline(), Some(due));
        }
    }

    fn probes(&self) {
        let (after, actions) = self.handle(NOW);
        let id = after.awaited_ping().unwrap();
        let at = NOW + TIMEOUT;
        self.acts(&actions, &[Action::SendPing(id), Action::ArmDeadline(at)]);
        self.is(&after, State::Open, FAILED);
        self.epoch_moves(&after, false);
        assert!(after.is_ping_out());
        assert_eq!(after.deadline(), Some(at));
    }

    fn dials_earlier(&self) {
        // The last dial was at `NOW`, so the next is a second later at the least.
        let (after, actions) = self.handle(NOW);
        let (at, attempt) = (NOW + Duration::from_secs(1), FAILED);
        self.acts(
            &actions,
            &[
                Action::ScheduleReconnect { at, attempt },
                Action::ArmDeadline(at),
            ],
        );
        self.is(&after, State::Waiting, attempt);
        self.epoch_moves(&after, false);
        assert_eq!(after.deadline(), Some(at));
    }

    fn stops(&self, close: Option<CloseReason>) {
        let (after, actions) = self.handle(NOW);
        let mut expected = Vec::from_iter(close.map(Action::Close));
        expected.push(Action::Stopped(StopReason::Requested));
        self.acts(&actions, &expected);
        assert!(close.is_none_or(|reason| !reason.is_graceful()));
        self.is(&after, State::Stopped, FAILED);
        self.epoch_moves(
            &after,
            matches!(self.state, State::Connecting | State::Closing),
        );
        assert_eq!(after.deadline(), None);
    }

    fn begins_to_close(&self) {
        let (after, actions) = self.handle(NOW);
        let at = NOW + CLOSE_TIMEOUT;
        self.acts(
            &actions,
            &[Action::Close(CloseReason::Stop), Action::ArmDeadline(at)],
        );
        assert!(CloseReason::Stop.is_graceful());
        self.is(&after, State::Closing, FAILED);
        self.epoch_moves(&after, false);
        assert_eq!(after.deadline(), Some(at));
    }
}
