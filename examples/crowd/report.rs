//! What happened, and how it is told.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout_at;

/// How the line begins that says what a connection takes.
pub(crate) const MEMORY: &str = "memory";

/// What the task of a connection tells.
pub(crate) enum Event {
    Joined,
    /// Found dead, so long after its last word; `None`: it had not said one.
    Convicted(Option<Duration>),
    /// Sent away, then.
    Closed(Instant),
    /// Gone in any other way.
    Lost,
}

/// All that was told.
pub(crate) struct Tally {
    events: UnboundedReceiver<Event>,
    pub(crate) joined: usize,
    pub(crate) found: Vec<Duration>,
    pub(crate) wrongly: usize,
    pub(crate) closed: Vec<Instant>,
    pub(crate) lost: usize,
}

impl Tally {
    pub(crate) fn new(events: UnboundedReceiver<Event>) -> Self {
        Self {
            events,
            joined: 0,
            found: Vec::new(),
            wrongly: 0,
            closed: Vec::new(),
            lost: 0,
        }
    }

    /// Counts until that holds; `false` where it does not within this time.
    pub(crate) async fn until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let limit = tokio::time::Instant::now() + limit;
        while !holds(self) {
            let Ok(Some(event)) = timeout_at(limit, self.events.recv()).await else {
                return false;
            };
            match event {
                Event::Joined => self.joined += 1,
                Event::Convicted(Some(after)) => self.found.push(after),
                Event::Convicted(None) => self.wrongly += 1,
                Event::Closed(at) => self.closed.push(at),
                Event::Lost => self.lost += 1,
            }
        }
        true
    }
}

pub(crate) fn connected(connections: usize, took: Duration) {
    println!("connected    {connections} in {:.2} s", took.as_secs_f64());
}

pub(crate) fn memory(before: usize, after: usize, connections: usize, own: Option<usize>) {
    let each = after.saturating_sub(before) as f64 / connections as f64;
    print!("{MEMORY:<13}{each:.1} kB a connection: {before} kB before, {after} kB now");
    match own {
        Some(own) => println!("; {} bytes of it for Members", own / connections),
        None => println!(),
    }
}

/// Whether all were found in time, and nobody else was.
pub(crate) fn found(tally: &Tally, muted: usize, bound: Duration, late: Duration) -> bool {
    let mut times = tally.found.clone();
    times.sort();
    println!(
        "found dead   {} of {muted} that fell silent, {} wrongly",
        times.len(),
        tally.wrongly
    );
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return false;
    };
    let median = times.get(times.len() / 2).unwrap_or(last);
    println!(
        "after        {} / {} / {} s (least, median, most) of at most {} s; timers up to {} ms late",
        seconds(*first),
        seconds(*median),
        seconds(*last),
        seconds(bound),
        late.as_millis()
    );
    // What it takes has four steps, each of which waits for a timer.
    times.len() == muted && tally.wrongly == 0 && *last <= bound + late * 4
}

/// How evenly they were sent away; without a time to spread it over, how fast.
pub(crate) fn drained(tally: &Tally, began: Instant, over: Option<Duration>) {
    let closed = tally.closed.iter();
    let mut closed: Vec<_> = closed.map(|at| at.duration_since(began)).collect();
    closed.sort();
    let count = closed.len();
    let last = closed.last().copied().unwrap_or_default();
    let Some(over) = over else {
        println!("closed       {count} in {} s, all at once", seconds(last));
        return;
    };
    let tenth = over / 10;
    let within_a_tenth = |from: usize, at: Duration| {
        let end = closed.partition_point(|other| *other < at + tenth);
        end - from
    };
    let most = closed.iter().enumerate();
    let most = most.map(|(from, at)| within_a_tenth(from, *at)).max();
    let median = closed.get(count / 2).copied().unwrap_or_default();
    println!(
        "drained      {count} in {} s, half of them by {} s; at most {} in {} s, where {} are even",
        seconds(last),
        seconds(median),
        most.unwrap_or_default(),
        seconds(tenth),
        count / 10
    );
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}
