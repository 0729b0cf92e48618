//! What this crate's fleet may cost beside the others of the same run: with room for what
//! else happens on a machine, so that what fails has become slower.

use std::ops::RangeInclusive;

use crate::many::{Cost, Results, Traffic};
use crate::ways::{SCAN, STORE};

const FLEET: &str = "keepalive::Fleet";
const SLEEP: &str = "a tokio Sleep each";
const QUEUE: &str = "tokio-util DelayQueue";

struct Limit {
    what: &'static str,
    value: fn(&Cost) -> f64,
    traffic: Traffic,
    connections: RangeInclusive<u32>,
    most: Most,
}

enum Most {
    Of(&'static str, f64),
    Value(f64),
}

fn limits() -> Vec<Limit> {
    use Most::{Of, Value};
    use Traffic::{Answered, Idle, Uniform};
    let message: fn(&Cost) -> f64 = |cost| cost.ns_a_message;
    let alone: fn(&Cost) -> f64 = |cost| cost.ns_without_ticks;
    let ticks: fn(&Cost) -> f64 = |cost| cost.tick_share;
    let bytes: fn(&Cost) -> f64 = |cost| cost.bytes_a_connection;
    let limit = |what, value, traffic, connections, most| Limit {
        what,
        value,
        traffic,
        connections,
        most,
    };
    let call: fn(&Cost) -> f64 = |cost| cost.worst_call_ms;
    const M: u32 = 1_000_000;
    vec![
        limit("ns without ticks", alone, Uniform, 1..=M, Of(STORE, 3.5)),
        limit("ns a message", message, Uniform, M..=M, Of(SCAN, 4.0)),
        limit("ns a message", message, Answered, M..=M, Of(SCAN, 5.0)),
        limit("ns a message", message, Uniform, M..=M, Of(SLEEP, 0.25)),
        limit("ns a message", message, Uniform, M..=M, Of(QUEUE, 0.08)),
        limit("ticks, % of a core", ticks, Idle, M..=M, Of(SLEEP, 0.5)),
        limit("worst call, ms", call, Idle, M..=M, Value(1.5)),
        limit("bytes each", bytes, Uniform, 100_000..=M, Value(21.0)),
    ]
}

/// Says what is not, and returns whether all is.
pub(crate) fn are_kept(results: &Results) -> bool {
    let mut are_kept = true;
    for limit in limits() {
        for cost in results.0.iter().filter(|cost| limit.is_for(cost)) {
            let (most, of) = match limit.most {
                Most::Value(most) => (most, String::new()),
                Most::Of(name, times) => match results.beside(cost, name) {
                    Some(other) => (
                        (limit.value)(other) * times,
                        format!(": {times:.3} of {name}"),
                    ),
                    None => continue,
                },
            };
            let value = (limit.value)(cost);
            if value > most {
                are_kept = false;
                eprintln!(
                    "{:?}, {}: {} is {value:.2}, and may be {most:.2}{of}",
                    cost.traffic, cost.connections, limit.what,
                );
            }
        }
    }
    are_kept
}

impl Limit {
    fn is_for(&self, cost: &Cost) -> bool {
        cost.name == FLEET
            && cost.traffic == self.traffic
            && self.connections.contains(&cost.connections)
    }
}
