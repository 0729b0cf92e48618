//! What a fleet has beside single machines.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use allocation_counter::measure;
use keepalive::fleet::{Beat, Fleet, Key};
use keepalive::{CloseReason, Config, ConfigBuilder};

use crate::{exact, millis};

const SECOND: Duration = Duration::from_secs(1);

type Simulated = Fleet<Duration>;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn filled(config: Config, count: usize, now: Duration) -> (Simulated, Vec<Key>) {
    let mut fleet = Fleet::new(config, 7);
    let keys = (0..count).map(|_| fleet.at(now).open().unwrap());
    let keys = keys.collect();
    (fleet, keys)
}

/// Ticks until nothing is due, and answers all pings.
fn beats(fleet: &mut Simulated, now: Duration) -> Vec<(Key, Beat)> {
    let mut beats = Vec::new();
    loop {
        beats.extend(fleet.at(now).tick());
        if fleet.deadline().is_none_or(|deadline| deadline > now) {
            break;
        }
    }
    for (key, beat) in &beats {
        if let Beat::Ping(id) = beat {
            fleet.at(now).pong(*key, *id);
        }
    }
    beats
}

/// Lets it run until then, and answers all pings. Returns what it asked for, and when.
fn run(fleet: &mut Simulated, until: Duration) -> Vec<(Duration, Key, Beat)> {
    let mut all = Vec::new();
    while let Some(now) = fleet.deadline().filter(|&now| now <= until) {
        let beats = beats(fleet, now);
        all.extend(beats.into_iter().map(|(key, beat)| (now, key, beat)));
    }
    all
}

#[test]
fn the_granularity_is_a_twentieth_of_the_shortest_watch_and_a_second_at_most() {
    let granularity = |config: ConfigBuilder| {
        let fleet = Simulated::new(config.build().unwrap(), 7);
        fleet.granularity()
    };
    assert_eq!(granularity(Config::builder()), SECOND);
    assert_eq!(granularity(Config::article().to_builder()), millis(100));
    assert_eq!(
        granularity(Config::builder().pong_timeout(SECOND)),
        millis(50)
    );
    assert_eq!(
        granularity(Config::builder().send_interval(Some(SECOND))),
        millis(50)
    );
    assert_eq!(
        granularity(Config::builder().confirm_within(Some(SECOND))),
        millis(50)
    );
    assert_eq!(
        granularity(Config::builder().message_timeout(Some(SECOND))),
        millis(50)
    );
    assert_eq!(
        granularity(Config::builder().healthy_within(Some(SECOND))),
        millis(50)
    );
    let listening = Config::builder()
        .listen_only(true)
        .ping_interval(millis(20));
    assert_eq!(granularity(listening), SECOND);
    assert_eq!(granularity(listening.idle_timeout(SECOND)), millis(50));
    assert_eq!(
        granularity(Config::builder().ping_interval(millis(2))),
        millis(1)
    );
}

#[test]
fn a_granularity_out_of_bounds_is_refused_and_nothing_changes() {
    let new = || Simulated::new(Config::article(), 7);
    let error = |millis_: u64| new().with_granularity(millis(millis_)).unwrap_err();
    let expected = "granularity is 201ms, but must be from 1ms to 200ms";
    assert_eq!(error(201).to_string(), expected);
    assert_eq!(
        error(0).to_string(),
        "granularity is 0ns, but must be from 1ms to 200ms"
    );

    let mut fleet = new().with_granularity(millis(200)).unwrap();
    let shorter = Config::builder().ping_interval(SECOND).build().unwrap();
    assert!(fleet.at(SECOND).reconfigure(shorter).is_err());
    assert_eq!(*fleet.config(), Config::article());
    fleet.at(SECOND).reconfigure(Config::default()).unwrap();
    assert_eq!(*fleet.config(), Config::default());
    assert_eq!(fleet.granularity(), millis(200));
}

#[test]
fn deadlines_are_multiples_of_the_granularity_from_the_first_instant() {
    let (mut fleet, _) = filled(Config::default(), 100, millis(250));
    let mut last = millis(250);
    for (now, _, _) in run(&mut fleet, seconds(200)) {
        assert_eq!((now - millis(250)).as_nanos() % SECOND.as_nanos(), 0);
        assert!(now >= last);
        last = now;
    }
    // Between them, a tick changes nothing.
    let deadline = fleet.deadline().unwrap();
    assert_eq!(fleet.at(deadline - millis(1)).tick().count(), 0);
    assert_eq!(fleet.deadline(), Some(deadline));
}

#[test]
fn intervals_are_as_long_as_they_may_be() {
    let (mut fleet, _) = filled(Config::default(), 500, Duration::ZERO);
    let mut last = BTreeMap::new();
    let (mut least, mut greatest) = (Duration::MAX, Duration::ZERO);
    for (now, key, _) in run(&mut fleet, seconds(300)) {
        if let Some(before) = last.insert(key, now) {
            least = least.min(now - before);
            greatest = greatest.max(now - before);
        } else {
            assert!(now <= seconds(26), "the first at a random phase");
        }
    }
    assert_eq!(last.len(), 500);
    assert_eq!((least, greatest), (seconds(21), seconds(25)));
}

#[test]
fn a_tick_is_bounded_and_the_deadline_says_that_there_is_more() {
    let (mut fleet, _) = filled(exact().build().unwrap(), 20_000, Duration::ZERO);
    let now = seconds(25);
    let (mut keys, mut ticks) = (BTreeSet::new(), 0);
    while fleet.deadline().is_some_and(|deadline| deadline <= now) {
        let before = keys.len();
        for (key, beat) in fleet.at(now).tick() {
            assert!(matches!(beat, Beat::Ping(_)));
            assert!(keys.insert(key), "one ping each");
        }
        assert!(keys.len() - before <= 2048);
        ticks += 1;
    }
    assert_eq!(keys.len(), 20_000);
    assert!((10..20).contains(&ticks), "{ticks}");
}

#[test]
fn what_is_not_taken_stays_due() {
    let (mut fleet, _) = filled(exact().build().unwrap(), 500, Duration::ZERO);
    let now = seconds(25);
    let mut keys = BTreeSet::new();
    for taken in [0, 1, 7, 100, 3, 389] {
        for (key, _) in fleet.at(now).tick().take(taken) {
            assert!(keys.insert(key), "one ping each");
        }
        assert!(fleet.deadline() <= Some(now));
    }
    assert_eq!(keys.len(), 500);
    assert_eq!(fleet.at(now).tick().count(), 0);
    assert!(fleet.deadline() > Some(now));
}

/// The greatest number of pings in a second, of the even spread.
fn peak(beats: &[(Duration, Key, Beat)], from: u64, to: u64) -> f64 {
    let mut by_second = BTreeMap::<u64, u32>::new();
    let among = |now: &Duration| (from..to).contains(&now.as_secs());
    for (now, _, _) in beats.iter().filter(|(now, _, _)| among(now)) {
        *by_second.entry(now.as_secs()).or_default() += 1;
    }
    let all: u32 = by_second.values().sum();
    let peak = by_second.values().copied().max().unwrap_or(0);
    f64::from(peak) * (to - from) as f64 / f64::from(all)
}

#[test]
fn a_crowd_does_not_ping_in_step() {
    let (mut fleet, _) = filled(Config::default(), 5000, Duration::ZERO);
    let all = run(&mut fleet, seconds(200));
    let (first, then) = (peak(&all, 1, 20), peak(&all, 100, 200));
    assert!(first < 1.2 && then < 1.5, "{first} {then}");
    // A stall of 30 s, after which all are late.
    let woken = seconds(230);
    let late = beats(&mut fleet, woken);
    assert!(late.len() > 4700);
    let all = run(&mut fleet, seconds(430));
    let (first, then) = (peak(&all, 230, 255), peak(&all, 330, 430));
    assert!(then < 1.5, "{then} after {first}");
}

#[test]
fn a_drain_is_even_and_spares_who_comes() {
    let (mut fleet, _) = filled(Config::default(), 1000, Duration::ZERO);
    fleet.at(seconds(1)).drain(seconds(20));
    let mut closed = BTreeMap::<u64, usize>::new();
    let mut late = Vec::new();
    for second in 1..22 {
        let now = seconds(second);
        let beats = beats(&mut fleet, now);
        let drained = |(_, beat): &&(Key, Beat)| *beat == Beat::Close(CloseReason::Drained);
        closed.insert(second, beats.iter().filter(drained).count());
        late.push(fleet.at(now).open().unwrap());
    }
    assert_eq!(closed.values().sum::<usize>(), 1000);
    assert!(
        closed.iter().all(|(second, count)| match second {
            1 => *count == 1,
            2..=21 => (49..=51).contains(count),
            _ => false,
        }),
        "{closed:?}"
    );
    assert_eq!(fleet.counters().drained, 1000);
    assert!(late.iter().all(|key| fleet.is_open(*key)));
    // Another one takes these, too, and all at once if it has no time.
    fleet.at(seconds(30)).drain(Duration::ZERO);
    let all = run(&mut fleet, seconds(31));
    let drained = all
        .iter()
        .filter(|(_, _, beat)| *beat == Beat::Close(CloseReason::Drained));
    assert_eq!(drained.count(), late.len());
    assert_eq!((fleet.len(), fleet.deadline()), (0, None));
}

#[test]
fn a_drain_replaces_one_that_is_under_way() {
    let (mut fleet, _) = filled(Config::default(), 100, Duration::ZERO);
    fleet.at(seconds(0)).drain(seconds(1000));
    let more: Vec<_> = (0..50)
        .map(|_| fleet.at(seconds(1)).open().unwrap())
        .collect();
    fleet.at(seconds(2)).drain(seconds(1));
    run(&mut fleet, seconds(4));
    assert!(fleet.is_empty());
    assert!(more.iter().all(|key| !fleet.is_open(*key)));
}

#[test]
fn connections_end_at_their_age() {
    let fleet = Simulated::new(Config::default(), 7);
    let mut fleet = fleet.with_max_age(Some(seconds(1000))).unwrap();
    for _ in 0..500 {
        fleet.at(seconds(0)).open().unwrap();
    }
    let all = run(&mut fleet, seconds(2000));
    let aged = |(now, _, beat): &(Duration, Key, Beat)| match beat {
        Beat::Close(reason) => Some((*now, *reason)),
        _ => None,
    };
    let ages: Vec<_> = all.iter().filter_map(aged).collect();
    assert_eq!(ages.len(), 500);
    assert!(
        ages.iter()
            .all(|(_, reason)| *reason == CloseReason::MaxAge)
    );
    assert!(ages[0].0 < seconds(910) && ages[0].0 >= seconds(900));
    assert!(ages[499].0 > seconds(990) && ages[499].0 <= seconds(1001));
    // Those that are open already begin when it is set.
    let (mut fleet, _) = filled(Config::default(), 10, Duration::ZERO);
    run(&mut fleet, seconds(500));
    let mut fleet = fleet.with_max_age(Some(seconds(100))).unwrap();
    fleet.at(seconds(500)).open().unwrap();
    run(&mut fleet, seconds(580));
    assert_eq!(fleet.len(), 11);
    run(&mut fleet, seconds(601));
    assert_eq!(fleet.len(), 0);
    // Nor do they end as a crowd.
    let (fleet, _) = filled(Config::default(), 500, Duration::ZERO);
    let mut fleet = fleet.with_max_age(Some(seconds(1000))).unwrap();
    let all = run(&mut fleet, seconds(2000));
    let ages: Vec<_> = all.iter().filter_map(aged).collect();
    assert_eq!(ages.len(), 500);
    assert!(ages[0].0 < seconds(910) && ages[0].0 >= seconds(900));
    assert!(ages[499].0 > seconds(990) && ages[499].0 <= seconds(1001));
    let error = Simulated::new(Config::default(), 7).with_max_age(Some(seconds(86_401)));
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "max_age is 86401s, but must be from 1ms to 86400s");
}

#[test]
fn a_change_of_network_asks_everybody_within_a_second_and_once() {
    let config = exact().build().unwrap();
    let (mut fleet, keys) = filled(config, 2000, Duration::ZERO);
    fleet.at(seconds(5)).network_changed();
    let mut at = BTreeMap::new();
    let mut now = seconds(5);
    while now < seconds(8) {
        for (key, beat) in fleet.at(now).tick() {
            assert!(matches!(beat, Beat::Ping(_)));
            assert_eq!(at.insert(key, now), None, "one ping each");
        }
        now = fleet.deadline().unwrap().max(now + millis(1));
        if now < seconds(6) {
            fleet.at(now).network_changed();
        }
    }
    assert_eq!(at.len(), keys.len());
    let in_first_half = at.values().filter(|now| **now < seconds(5) + millis(500));
    let in_first_half = in_first_half.count();
    assert!(
        (900..=1100).contains(&in_first_half),
        "{in_first_half} {at:?}"
    );
    assert!(at.values().max() <= Some(&(seconds(6) + millis(50))));
    // The answers have 5 s, and not 20.
    let dead = run(&mut fleet, seconds(12));
    assert_eq!(dead.len(), keys.len());
    assert!(
        dead.iter()
            .all(|(_, _, beat)| *beat == Beat::Close(CloseReason::PongTimeout))
    );
}

#[test]
fn it_takes_so_many_bytes_a_connection_and_gives_them_back() {
    let bytes = |fleet: Simulated, count: u32| {
        let mut fleet = fleet;
        let keys: Vec<_> = (0..count)
            .map(|_| fleet.at(SECOND).open().unwrap())
            .collect();
        let full = fleet.heap_bytes() as f64 / f64::from(count);
        for key in keys {
            assert!(fleet.at(SECOND).remove(key));
        }
        (full, fleet.heap_bytes() as f64 / f64::from(count))
    };
    let (plain, empty) = bytes(Fleet::new(Config::default(), 7), 100_000);
    assert!(plain <= 21.0, "{plain}");
    assert!(empty <= 2.2, "{empty}");

    let few = |fleet: Simulated| bytes(fleet, 8192).0;
    let with = |config: ConfigBuilder| few(Fleet::new(config.build().unwrap(), 7));
    let plain = with(Config::builder());
    let more = |settings: f64, bytes: f64| {
        assert!(
            settings <= plain + bytes * 1.04,
            "{settings}, not {plain} and {bytes}"
        );
    };
    more(with(Config::builder().message_timeout(Some(SECOND))), 4.0);
    more(with(Config::builder().healthy_within(Some(SECOND))), 4.0);
    more(with(Config::builder().confirm_within(Some(SECOND))), 4.0);
    more(with(Config::builder().always_ping(true)), 4.0);
    more(with(Config::builder().strict_pongs(true)), 0.0);
    let aged = Fleet::new(Config::default(), 7).with_max_age(Some(SECOND));
    more(few(aged.unwrap()), 4.0);
    more(
        few(Fleet::new(Config::default(), 7).with_round_trips()),
        8.0,
    );
}

#[test]
fn nothing_is_allocated_while_connections_stay() {
    let config = Config::builder()
        .message_timeout(Some(seconds(60)))
        .build()
        .unwrap();
    let (mut fleet, keys) = filled(config, 1000, Duration::ZERO);
    let info = measure(|| {
        for second in 1..120 {
            let mut at = fleet.at(seconds(second));
            for key in &keys {
                if second % 3 == 0 {
                    at.message(*key);
                }
                at.sent(*key);
            }
            for (key, _) in at.tick() {
                assert!(keys.get(key.index()) == Some(&key));
            }
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn round_trips_are_kept_where_asked_for() {
    let (mut fleet, keys) = filled(exact().build().unwrap(), 1, Duration::ZERO);
    beats(&mut fleet, seconds(25));
    assert_eq!(fleet.round_trip(keys[0]), None);

    let mut fleet = Fleet::new(exact().build().unwrap(), 7).with_round_trips();
    let key = fleet.at(seconds(0)).open().unwrap();
    let Some((_, Beat::Ping(id))) = fleet.at(seconds(25)).tick().next() else {
        panic!();
    };
    fleet.at(seconds(25) + millis(80)).pong(key, id);
    assert_eq!(fleet.round_trip(key), Some((millis(80), millis(40))));
    fleet.at(seconds(26)).remove(key);
    assert_eq!(fleet.round_trip(key), None);
}

#[test]
fn a_smoothed_round_trip_comes_down_as_it_goes_up() {
    let mut fleet = Fleet::new(exact().build().unwrap(), 7).with_round_trips();
    let key = fleet.at(seconds(0)).open().unwrap();
    let mut now = seconds(0);
    let mut answer = |after| {
        now += seconds(25);
        let Some((_, Beat::Ping(id))) = fleet.at(now).tick().next() else {
            panic!("a ping is due at {now:?}");
        };
        now += after;
        fleet.at(now).pong(key, id);
        fleet.round_trip(key).unwrap()
    };
    answer(millis(8));
    let (low, deviation) = (0..100).map(|_| answer(millis(1))).last().unwrap();
    assert!(low < millis(1) * 102 / 100, "{low:?}");
    assert!(deviation < millis(1) / 10, "{deviation:?}");
    let (high, _) = (0..100).map(|_| answer(millis(900))).last().unwrap();
    assert!((millis(890)..millis(905)).contains(&high), "{high:?}");
}

#[test]
fn counters_count() {
    let config = exact().send_interval(None).max_missed(2).build().unwrap();
    let (mut fleet, keys) = filled(config, 3, Duration::ZERO);
    assert_eq!(fleet.at(seconds(25)).tick().count(), 3);
    fleet.at(seconds(26)).received(keys[0]);
    assert_eq!(fleet.at(seconds(45)).tick().count(), 2);
    let counters = fleet.counters();
    assert_eq!((counters.open, counters.probing), (3, 2));
    assert_eq!(
        (counters.pings, counters.missed, counters.convicted),
        (5, 2, 0)
    );
    fleet.at(seconds(46)).received(keys[0]);
    fleet.at(seconds(46)).received(keys[1]);
    let beats: Vec<_> = fleet.at(seconds(65)).tick().collect();
    assert_eq!(beats, [(keys[2], Beat::Close(CloseReason::PongTimeout))]);
    let counters = fleet.counters();
    assert_eq!((counters.open, counters.probing), (2, 0));
    assert_eq!(
        (counters.pings, counters.missed, counters.convicted),
        (5, 3, 1)
    );
    assert_eq!(counters.drained, 0);
}

#[test]
fn an_old_key_reaches_nobody() {
    let (mut fleet, keys) = filled(exact().build().unwrap(), 1, Duration::ZERO);
    let mut at = fleet.at(seconds(1));
    assert!(at.remove(keys[0]));
    let next = at.open().unwrap();
    assert_eq!((next.index(), next == keys[0]), (0, false));
    let Some((_, Beat::Ping(id))) = fleet.at(seconds(26)).tick().next() else {
        panic!();
    };
    let mut at = fleet.at(seconds(27));
    assert!(!at.received(keys[0]) && !at.message(keys[0]) && !at.sent(keys[0]));
    assert!(!at.pong(keys[0], id) && !at.draining(keys[0]) && !at.ping_sent(keys[0], id));
    assert!(!at.healthy(keys[0]) && !at.remove(keys[0]));
    assert_eq!(at.tick().count(), 0);
    let beats: Vec<_> = fleet.at(seconds(46)).tick().collect();
    assert_eq!(beats, [(next, Beat::Close(CloseReason::PongTimeout))]);
}

#[test]
fn at_the_end_of_time_nothing_is_due() {
    let (mut fleet, _) = filled(Config::default(), 10, Duration::ZERO);
    let _ = fleet.at(Duration::MAX).tick().count();
    for _ in 0..3 {
        let _ = fleet.at(Duration::MAX).tick().count();
    }
    assert!(fleet.len() <= 10);
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let (mut fleet, keys) = filled(exact().build().unwrap(), 1, seconds(100));
    assert_eq!(fleet.at(seconds(3)).tick().count(), 0);
    fleet.at(seconds(5)).received(keys[0]);
    assert_eq!(fleet.deadline(), Some(seconds(125)));
    assert_eq!(fleet.at(seconds(125)).tick().count(), 1);
}

#[test]
fn a_connection_ends_at_its_age_though_a_ping_is_out() {
    let fleet = Simulated::new(exact().build().unwrap(), 7);
    let mut fleet = fleet.with_max_age(Some(seconds(35))).unwrap();
    fleet.at(seconds(0)).open().unwrap();
    let mut all = Vec::new();
    while let Some(now) = fleet.deadline() {
        all.extend(fleet.at(now).tick().map(|(_, beat)| (now, beat)));
    }
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].1, Beat::Close(CloseReason::MaxAge));
    assert!(all[1].0 <= seconds(36));
}

#[test]
fn how_late_a_tick_is_counts_from_its_deadline_for_each_connection() {
    let config = exact().send_interval(None).late_tolerance(millis(300));
    let (mut fleet, first) = filled(config.build().unwrap(), 1, Duration::ZERO);
    let second = fleet.at(millis(500)).open().unwrap();
    for (now, key) in [(25_000, first[0]), (26_300, second)] {
        let beats: Vec<_> = fleet.at(millis(now)).tick().collect();
        assert!(matches!(beats[..], [(of, Beat::Ping(_))] if of == key));
    }
    // For the first one it should have come at 45 s, for the second one at 47 s.
    let beats: Vec<_> = fleet.at(millis(47_250)).tick().collect();
    let dead = (second, Beat::Close(CloseReason::PongTimeout));
    assert!(matches!(beats[..], [(_, Beat::Ping(_)), last] if last == dead));
}

#[test]
fn a_drain_goes_on_a_step_after_it_began() {
    let (mut fleet, _) = filled(exact().build().unwrap(), 100, Duration::ZERO);
    fleet.at(seconds(10)).drain(seconds(20));
    assert_eq!(fleet.deadline(), Some(seconds(11)));
    fleet.at(seconds(10)).drain(seconds(2));
    assert_eq!(fleet.deadline(), Some(seconds(10) + millis(100)));
}

#[test]
fn who_was_spared_by_a_drain_is_not_by_the_next() {
    let (mut fleet, _) = filled(Config::default(), 100, Duration::ZERO);
    fleet.at(seconds(0)).drain(seconds(10));
    for _ in 0..50 {
        fleet.at(seconds(0)).open().unwrap();
    }
    run(&mut fleet, seconds(12));
    assert_eq!(fleet.len(), 50);
    fleet.at(seconds(13)).drain(seconds(1));
    run(&mut fleet, seconds(15));
    assert!(fleet.is_empty());
}

#[test]
fn what_ends_in_a_tick_is_given_back_after_it() {
    let (mut fleet, _) = filled(Config::default(), 10_000, Duration::ZERO);
    fleet.at(seconds(0)).drain(Duration::ZERO);
    run(&mut fleet, seconds(1));
    assert!(fleet.is_empty());
    assert!(fleet.heap_bytes() <= 22_000, "{}", fleet.heap_bytes());
}

#[test]
fn the_pong_of_another_connection_is_no_answer() {
    let config = exact().strict_pongs(true).build().unwrap();
    let (mut fleet, keys) = filled(config, 2, Duration::ZERO);
    let beats: Vec<_> = fleet.at(seconds(25)).tick().collect();
    let [(_, Beat::Ping(id)), (_, Beat::Ping(_))] = beats[..] else {
        panic!("{beats:?}");
    };
    for key in &keys {
        assert!(fleet.at(seconds(26)).pong(*key, id));
    }
    let beats: Vec<_> = fleet.at(seconds(45)).tick().collect();
    assert_eq!(beats, [(keys[1], Beat::Close(CloseReason::PongTimeout))]);
}

#[test]
fn a_verdict_that_was_put_off_before_a_month_without_ticks_is_not_for_ever() {
    let config = exact().message_timeout(Some(seconds(10)));
    let config = config.late_tolerance(SECOND).build().unwrap();
    let (mut fleet, keys) = filled(config, 1, Duration::ZERO);
    assert_eq!(fleet.at(seconds(20)).tick().count(), 0);
    let month = seconds(30 * 86_400);
    fleet.at(month);
    let all = run(&mut fleet, month + seconds(60));
    let last = all.last().map(|(_, key, beat)| (*key, *beat));
    assert_eq!(
        last,
        Some((keys[0], Beat::Close(CloseReason::MessageTimeout)))
    );
}

#[test]
fn what_is_overdue_when_the_settings_change_is_late_from_then_on_only() {
    let config = exact().send_interval(None).build().unwrap();
    let (mut fleet, keys) = filled(config, 2, Duration::ZERO);
    // The second one stays due, and this tick unfinished.
    assert_eq!(fleet.at(seconds(25)).tick().take(1).count(), 1);
    let other = config.to_builder().pong_timeout(seconds(15)).build();
    fleet.at(seconds(60)).reconfigure(other.unwrap()).unwrap();
    let beats: Vec<_> = fleet.at(seconds(60) + millis(10)).tick().collect();
    assert!(
        beats.contains(&(keys[0], Beat::Close(CloseReason::PongTimeout))),
        "{beats:?}"
    );
}

#[test]
fn a_round_trip_of_a_month_is_a_long_one() {
    let mut fleet = Fleet::new(exact().build().unwrap(), 7).with_round_trips();
    let key = fleet.at(seconds(0)).open().unwrap();
    let Some((_, Beat::Ping(id))) = fleet.at(seconds(25)).tick().next() else {
        panic!();
    };
    fleet.at(seconds(30 * 86_400)).pong(key, id);
    assert!(fleet.round_trip(key) > Some((seconds(65), Duration::ZERO)));
}

#[test]
fn settings_that_are_off_again_give_their_bytes_back() {
    let plain = exact().build().unwrap();
    let more = exact().message_timeout(Some(SECOND));
    let more = more.confirm_within(Some(SECOND)).build().unwrap();
    let (mut fleet, _) = filled(plain, 1000, Duration::ZERO);
    let before = fleet.heap_bytes();
    fleet.at(seconds(1)).reconfigure(more).unwrap();
    assert!(fleet.heap_bytes() >= before + 8000);
    fleet.at(seconds(1)).reconfigure(plain).unwrap();
    assert_eq!(fleet.heap_bytes(), before);
}

#[test]
fn a_fleet_that_ticks_is_never_away() {
    let config = exact().ping_interval(seconds(72_000)).send_interval(None);
    let (mut fleet, _) = filled(config.build().unwrap(), 1, Duration::ZERO);
    while let Some(now) = fleet.deadline().filter(|now| *now < seconds(10 * 86_400)) {
        fleet.at(now - SECOND);
        assert_eq!(fleet.deadline(), Some(now));
        beats(&mut fleet, now);
    }
}

#[test]
fn a_message_after_a_verdict_that_was_put_off_begins_anew() {
    let config = exact().message_timeout(Some(seconds(10)));
    let config = config.late_tolerance(SECOND).build().unwrap();
    let (mut fleet, keys) = filled(config, 1, Duration::ZERO);
    for second in [20, 40, 60] {
        beats(&mut fleet, seconds(second));
        assert!(fleet.at(seconds(second)).message(keys[0]));
    }
    let last = run(&mut fleet, seconds(75)).pop().unwrap();
    assert_eq!(last.2, Beat::Close(CloseReason::MessageTimeout));
    assert!((seconds(70)..=seconds(71)).contains(&last.0), "{last:?}");
}

#[test]
fn more_pings_than_there_are_numbers_are_told_apart() {
    let config = exact().ping_interval(millis(2)).strict_pongs(true);
    let (mut fleet, keys) = filled(config.build().unwrap(), 1, Duration::ZERO);
    let all = run(&mut fleet, seconds(135));
    assert!(all.len() > 65_536);
    assert!(fleet.is_open(keys[0]));
}

#[test]
fn who_sends_no_pings_need_not_know_of_the_network() {
    let config = exact().listen_only(true).idle_timeout(seconds(60));
    let (mut fleet, _) = filled(config.build().unwrap(), 1, Duration::ZERO);
    fleet.at(seconds(5)).network_changed();
    assert_eq!(fleet.deadline(), Some(seconds(60)));
}
