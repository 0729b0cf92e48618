//! The tables in the docs of `Heartbeat`: each cell of the state table does what it says,
//! and a cell with a dash changes nothing; the table of the watches stands at the head of
//! `src/open.rs` too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use core::time::Duration;

use keepalive::{
    Action, CloseCode, CloseReason, Closed, Config, Event, Heartbeat, Manner, PingId, Refused,
    State, StopReason,
};

const STATES: [(&str, State); 6] = [
    ("Idle", State::Idle),
    ("Connecting", State::Connecting),
    ("Open", State::Open),
    ("Closing", State::Closing),
    ("Waiting", State::Waiting),
    ("Stopped", State::Stopped),
];

const EVENTS: [&str; 17] = [
    "Start",
    "Opened",
    "Received",
    "Message",
    "Pong",
    "Sent",
    "Draining",
    "PingSent",
    "Tick",
    "Closed",
    "Error",
    "Refused",
    "NetworkChanged",
    "Healthy",
    "GiveUp",
    "ReconnectNow",
    "Stop",
];

/// The rows of the table whose first heading this is, cell by cell, its head among them.
fn table(docs: &str, comment: &str, heading: &str) -> Vec<Vec<String>> {
    let lines = docs.lines().map(|line| line.strip_prefix(comment));
    let rows = lines.map(|line| line.map(str::trim).and_then(|line| line.strip_prefix("| ")));
    let cells = |row: &str| -> Vec<String> {
        let row = row.strip_suffix(" |").unwrap();
        row.split(" | ").map(str::to_owned).collect()
    };
    let rows = rows.skip_while(|row| row.is_none_or(|row| !row.starts_with(heading)));
    rows.map_while(|row| row.map(cells))
        .filter(|row| row.iter().any(|cell| cell != "---"))
        .collect()
}

fn state_table() -> Vec<Vec<String>> {
    let docs = include_str!("../src/heartbeat.rs");
    let docs = docs.replace("/// | | Idle", "/// | event | Idle");
    table(&docs, "///", "event | Idle")
}

#[test]
fn the_docs_name_every_state_and_every_event_once() {
    let table = state_table();
    let (head, rows) = table.split_first().unwrap();
    let states: Vec<_> = head.iter().skip(1).map(String::as_str).collect();
    assert_eq!(states, STATES.map(|(name, _)| name));
    let events = rows.iter().flat_map(|row| names_in(row.first().unwrap()));
    assert_eq!(events.collect::<Vec<_>>(), EVENTS);
}

#[test]
fn the_watches_stand_in_the_same_table_at_the_head_of_their_file() {
    let docs = table(include_str!("../src/heartbeat.rs"), "///", "watch |");
    let head = table(include_str!("../src/open.rs"), "//!", "watch |");
    assert_eq!(docs, head);
    let names: Vec<_> = docs.iter().map(|row| row.first().unwrap()).collect();
    let watches = [
        "watch", "inbound", "outbound", "cadence", "doubt", "news", "answer", "idle", "messages",
        "login",
    ];
    assert_eq!(names, watches);
}

#[test]
fn every_cell_does_what_it_says() {
    for row in state_table().iter().skip(1) {
        let (events, cells) = row.split_first().unwrap();
        assert_eq!(cells.len(), STATES.len(), "{events}");
        for (cell, (_, state)) in cells.iter().zip(STATES) {
            for event in names_in(events).flat_map(events_called) {
                let case = Case::new(state, event);
                match cell.as_str() {
                    "-" => case.changes_nothing(),
                    "note" => case.notes(),
                    "dial" | "`Close`, dial" | "as `ReconnectNow`" => case.dials(FAILED),
                    "`Close`, dial; younger than 5 s: -" => case.dials_unless_young(),
                    "dial, attempt 0" => case.dials(0),
                    "Open" => case.opens(FAILED),
                    "Open, attempt 0" => case.opens(0),
                    "down" => case.goes_down(None),
                    "`Close`, down" => case.goes_down(Some(CloseReason::GivenUp)),
                    "deadline: `Close`, down" => case.goes_down_at_its_deadline(),
                    "ping, miss or dead" => case.beats(),
                    "deadline: `Close` (abandon), Stopped" => case.stops_at_its_deadline(),
                    "due: dial" => case.dials_when_due(),
                    "probe" => case.probes(),
                    "earlier dial" => case.dials_earlier(),
                    "from 1 s on, once: `Close`, dial" => case.dials_once_more(),
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
fn a_start_in_closing_is_as_reconnect_now() {
    for now in [NOW, CALM] {
        let (mut one, mut other) = (in_state(State::Closing), in_state(State::Closing));
        assert_eq!(
            one.handle(Event::Start, now),
            other.handle(Event::ReconnectNow, now)
        );
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}

fn names_in(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(", ").map(|name| name.trim_matches('`'))
}

fn events_called(name: &str) -> Vec<Event> {
    let id = PingId::from_bytes([0; 8]);
    let closed = [
        Closed::default(),
        Closed::with_code(CloseCode::NORMAL),
        Closed::with_code(CloseCode::GOING_AWAY),
    ];
    match name {
        "Start" => vec![Event::Start],
        "Opened" => vec![Event::Opened],
        "Received" => vec![Event::Received],
        "Message" => vec![Event::Message],
        "Pong" => vec![Event::Pong(id)],
        "Sent" => vec![Event::Sent],
        "Draining" => vec![Event::Draining],
        "PingSent" => vec![Event::PingSent(id)],
        "Tick" => vec![Event::Tick],
        "Closed" => closed.map(Event::Closed).into(),
        "Error" => vec![Event::Error(None)],
        "Refused" => [404, 503]
            .map(Refused::with_status)
            .map(Event::Refused)
            .into(),
        "NetworkChanged" => vec![Event::NetworkChanged],
        "Healthy" => vec![Event::Healthy],
        "GiveUp" => closed.map(Event::GiveUp).into(),
        "ReconnectNow" => vec![Event::ReconnectNow],
        "Stop" => vec![Event::Stop],
        other => panic!("no event is called {other:?}"),
    }
}

/// Every state is reached at this instant, when the last dial began, and no deadline of
/// the state has come.
const NOW: Duration = Duration::from_secs(1000);
/// From here on what is asked for dials at once.
const CALM: Duration = Duration::from_secs(1001);
/// Until then a dial is the new connection that is asked for.
const YOUNG: Duration = Duration::from_secs(1005);
const MILLISECOND: Duration = Duration::from_millis(1);
const NANOSECOND: Duration = Duration::from_nanos(1);

/// Retries that have failed in every state but Idle.
const FAILED: u32 = 2;

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
        .first_spread(MILLISECOND)
        .backoff_floor(FLOOR)
        .backoff_base(2 * FLOOR)
        .backoff_cap(2 * FLOOR)
        .build()
        .unwrap()
}

/// In this state, after `FAILED` failures (but in Idle).
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
    let second = Duration::from_secs(1);
    let failures = match state {
        State::Idle => [].as_slice(),
        State::Waiting | State::Stopped => &[NOW - 2 * second, NOW],
        State::Connecting | State::Open | State::Closing => &[NOW - 4 * second, NOW - 2 * second],
    };
    for &now in failures {
        let _ = heartbeat.handle(Event::ReconnectNow, now);
        let _ = heartbeat.handle(Event::Error(None), now);
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

    fn name(&self) -> String {
        format!("{:?} in {:?}", self.event, self.state)
    }

    fn handle(&self, now: Duration) -> (Heartbeat<Duration>, Vec<Action<Duration>>) {
        let mut after = self.before.clone();
        let actions = after.handle(self.event, now).collect();
        (after, actions)
    }

    #[track_caller]
    fn is(&self, after: &Heartbeat<Duration>, state: State, attempt: u32) {
        let name = self.name();
        assert_eq!(after.state(), state, "{name}");
        let attempt = match self.state {
            State::Idle => 0,
            _ => attempt,
        };
        assert_eq!(after.attempt(), attempt, "{name}");
        assert_eq!(after.missed(), 0, "{name}");
        assert_eq!(after.round_trip(), None, "{name}");
    }

    #[track_caller]
    fn epoch_moves(&self, after: &Heartbeat<Duration>, moves: bool) {
        let moved = self.before.epoch() != after.epoch();
        assert_eq!(moved, moves, "{}", self.name());
    }

    #[track_caller]
    fn acts(&self, actions: &[Action<Duration>], expected: &[Action<Duration>]) {
        assert_eq!(actions, expected, "{}", self.name());
    }

    fn changes_nothing(&self) {
        if self.event == Event::Tick {
            assert_eq!(self.before.deadline(), None, "{}", self.name());
        }
        // Later the internal time has moved, and nothing else.
        for now in [NOW, NOW + MILLISECOND, CALM] {
            self.changes_nothing_at(now);
        }
    }

    fn changes_nothing_at(&self, now: Duration) {
        let name = self.name();
        let (after, actions) = self.handle(now);
        self.acts(&actions, &[]);
        self.is(&after, self.state, FAILED);
        self.epoch_moves(&after, false);
        assert_eq!(after.deadline(), self.before.deadline(), "{name}");
        let before = self.before.clone();
        assert_eq!(
            self.settled(after, now),
            self.settled(before, now),
            "{name}"
        );
    }

    /// Everything there is to know, after an event that is void in this state:
    /// what was reported is looked at with the next event only.
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
            let heard = matches!(
                self.event,
                Event::Received | Event::Message | Event::Pong(_)
            );
            assert_eq!(after.last_received(), heard.then_some(now));
        }
    }

    fn dials(&self, attempt: u32) {
        if self.state == State::Idle {
            self.dials_at(NOW, attempt);
            return;
        }
        self.dials_at(CALM, attempt);
        // Where the last dial began less than a second ago, it waits.
        for now in [NOW, CALM - NANOSECOND] {
            let (after, actions) = self.handle(now);
            let close = self.close_of_what_there_is();
            let mut expected = Vec::from_iter(close.map(Action::Close));
            let at = CALM;
            expected.push(Action::ScheduleReconnect { at, attempt });
            expected.push(Action::ArmDeadline(at));
            self.acts(&actions, &expected);
            self.is(&after, State::Waiting, attempt);
            self.epoch_moves(&after, close.is_some());
            assert_eq!(after.deadline(), Some(at));
        }
    }

    fn dials_at(&self, now: Duration, attempt: u32) {
        let (after, actions) = self.handle(now);
        let at = now + CONNECT_TIMEOUT;
        let mut expected = Vec::from_iter(self.close_of_what_there_is().map(Action::Close));
        expected.push(Action::Connect);
        expected.push(Action::ArmDeadline(at));
        self.acts(&actions, &expected);
        self.is(&after, State::Connecting, attempt);
        self.epoch_moves(&after, true);
        assert_eq!(after.deadline(), Some(at));
    }

    fn close_of_what_there_is(&self) -> Option<CloseReason> {
        let reason = CloseReason::Reconnect;
        assert_eq!(reason.manner(), Manner::Farewell);
        let is_something = matches!(self.state, State::Connecting | State::Open | State::Closing);
        is_something.then_some(reason)
    }

    fn dials_unless_young(&self) {
        for now in [NOW, CALM, YOUNG - NANOSECOND] {
            self.changes_nothing_at(now);
        }
        self.dials_at(YOUNG, FAILED);
    }

    fn dials_once_more(&self) {
        self.dials_at(CALM, FAILED);
        // A younger one goes on, and so does the one that replaced another.
        let replaced = self.handle(CALM).0;
        for (before, now) in [
            (&self.before, NOW),
            (&self.before, CALM - NANOSECOND),
            (&replaced, CALM + INTERVAL / 2),
        ] {
            let mut after = before.clone();
            let actions: Vec<_> = after.handle(self.event, now).collect();
            self.acts(&actions, &[]);
            self.is(&after, State::Connecting, FAILED);
            assert_eq!(after.epoch(), before.epoch());
            assert_eq!(after.deadline(), before.deadline());
        }
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

    fn goes_down(&self, close: Option<CloseReason>) {
        let (after, actions) = self.handle(NOW);
        self.is_down(NOW, &after, &actions, close);
        let reason = match self.event {
            Event::Closed(closed) | Event::GiveUp(closed) => StopReason::Closed(closed.code),
            Event::Refused(refused) => StopReason::Refused(refused.status),
            _ => StopReason::Error,
        };
        let mut expected = Vec::from_iter(close.map(Action::Close));
        expected.push(Action::Stopped(reason));
        self.stops_where_reconnecting_is_off(NOW, &expected);
        assert!(close.is_none_or(|reason| reason.manner() == Manner::Farewell));
    }

    fn goes_down_at_its_deadline(&self) {
        self.only_arms_before(NOW + CONNECT_TIMEOUT);
        let now = NOW + CONNECT_TIMEOUT;
        let (after, actions) = self.handle(now);
        let reason = CloseReason::ConnectTimeout;
        assert_eq!(reason.manner(), Manner::Abandon);
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
        assert_eq!(CloseReason::PongTimeout.manner(), Manner::Abandon);

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
        assert_eq!(CloseReason::CloseTimeout.manner(), Manner::Abandon);
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
        for now in [NOW, due - NANOSECOND] {
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
        let at = after.deadline().unwrap();
        let attempt = FAILED;
        self.acts(
            &actions,
            &[
                Action::ScheduleReconnect { at, attempt },
                Action::ArmDeadline(at),
            ],
        );
        self.is(&after, State::Waiting, attempt);
        self.epoch_moves(&after, false);
        assert!(
            (CALM..=CALM + Duration::from_secs(1)).contains(&at),
            "{at:?}"
        );
    }

    fn stops(&self, close: Option<CloseReason>) {
        let (after, actions) = self.handle(NOW);
        let mut expected = Vec::from_iter(close.map(Action::Close));
        expected.push(Action::Stopped(StopReason::Requested));
        self.acts(&actions, &expected);
        assert!(close.is_none_or(|reason| reason.manner() == Manner::Abandon));
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
        assert_eq!(CloseReason::Stop.manner(), Manner::Handshake);
        self.is(&after, State::Closing, FAILED);
        self.epoch_moves(&after, false);
        assert_eq!(after.deadline(), Some(at));
    }
}
