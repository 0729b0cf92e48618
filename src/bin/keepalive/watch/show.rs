//! The show: a server that misbehaves on cue, and a heartbeat that finds it out.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use keepalive::blocking::Dialer;
use keepalive::{Config, ConfigError};
use serde_json::{Value, json};

use super::lines::local;
use super::print::Printer;
use super::seen::{Down, Seen, Sighting, Tone, is_verdict};
use super::server::{CHAT, Mood, Server};
use super::stats::Tally;
use super::text;
use super::watcher::Watcher;

/// The article's settings run so many times as fast.
const SPEED: u32 = 5;

/// How long a server that is well is watched. Longer than `stable_after`, so that
/// the attempt count resets.
const CALM: Duration = Duration::from_millis(1300);

/// How long to wait for anything that should happen.
const PATIENCE: Duration = Duration::from_secs(8);

/// How often a server refuses, or drops.
const TIMES: u32 = 3;

/// With the command that watches another server, for the last line.
pub(crate) fn run(json: bool, command: &'static str) -> io::Result<ExitCode> {
    let mut show = Show::new(json, command)?;
    show.introduce()?;
    show.behaves()?;
    show.goes_mute()?;
    show.refuses()?;
    show.drops()?;
    show.asks_for_a_pause()?;
    show.conclude()
}

/// All that the article leaves open is as fast as the rest.
fn settings() -> Result<Config, ConfigError> {
    let article = Config::article();
    article
        .to_builder()
        .ping_interval(article.ping_interval() / SPEED)
        .pong_timeout(article.pong_timeout() / SPEED)
        .late_tolerance(article.late_tolerance() / SPEED)
        .connect_timeout(Duration::from_secs(1))
        .close_timeout(Duration::from_secs(1))
        .first_spread(article.first_spread() / SPEED)
        .backoff_floor(article.backoff_floor() / SPEED)
        .backoff_base(article.backoff_base() / SPEED)
        .backoff_cap(Duration::from_secs(2))
        .stable_after(Duration::from_secs(1))
        .build()
}

struct Show {
    command: &'static str,
    printer: Printer,
    // Before the server, which waits for its connections to end.
    watcher: Watcher,
    server: Server,
    config: Config,
    tally: Tally,
    started: Instant,
    scene: u32,
    faults: Vec<Fault>,
    false_alarms: u32,
    is_open: bool,
}

/// Something that the server did, and what came of it.
struct Fault {
    name: &'static str,
    scene: u32,
    /// The longest of those that were found.
    detected: Option<Duration>,
    bound: Duration,
    is_in_time: bool,
    healed: Option<Duration>,
}

impl Fault {
    fn note(&mut self, took: Duration, bound: Duration) {
        self.is_in_time &= took <= bound;
        if self.detected.is_none_or(|longest| longest < took) {
            self.detected = Some(took);
            self.bound = bound;
        }
    }

    fn is_good(&self) -> bool {
        self.is_in_time && self.healed.is_some()
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "detected_s": self.detected.map(|took| took.as_secs_f64()),
            "bound_s": self.bound.as_secs_f64(),
            "in_time": self.is_in_time,
            "healed_s": self.healed.map(|took| took.as_secs_f64()),
        })
    }
}

impl Show {
    fn new(json: bool, command: &'static str) -> io::Result<Self> {
        let config = settings().map_err(io::Error::other)?;
        let server = Server::start()?;
        let dialer = Dialer::new(format!("ws://{}", server.address()));
        Ok(Self {
            command,
            printer: Printer::new(json),
            watcher: Watcher::new(config, dialer, None),
            server,
            config,
            tally: Tally::default(),
            started: Instant::now(),
            scene: 0,
            faults: Vec::new(),
            false_alarms: 0,
            is_open: false,
        })
    }

    /// From the last sign of life, with ticks that are in time.
    fn bound(&self) -> Duration {
        self.config.ping_interval() + self.config.pong_timeout()
    }
}

/// The scenes.
impl Show {
    fn introduce(&mut self) -> io::Result<()> {
        let interval = text::setting(self.config.ping_interval());
        let timeout = text::setting(self.config.pong_timeout());
        let bound = text::setting(self.bound());
        let address = self.server.address();
        self.title("What a heartbeat does, in about 20 seconds")?;
        self.tell(&format!(
            "
A WebSocket can die without a word: a server hangs, a cable is pulled, a proxy
forgets the connection. No close event comes, and what is sent is lost.

A heartbeat finds out. When nothing has come for a while it asks, with a ping; the
other side has to answer, with a pong. If nothing comes at all it closes the
connection and dials again.

Here it watches a server in this process, ws://{address}, that will
misbehave on cue. Its settings (2 s and 10 s in real life, here five times as fast):

  {:24}->  send a ping
  {:24}->  the server is dead: close, and connect again

So whatever happens to the server, it is noticed within {bound}, and the hundredths
of a second by which timers are late. Lines begin with the seconds since the start;
\">\" marks what came of it.",
            format!("nothing came for {interval}"),
            format!("nor in {timeout} after it"),
        ))?;
        let head = json!({
            "event": "watching",
            "url": format!("ws://{address}"),
            "interval_s": self.config.ping_interval().as_secs_f64(),
            "timeout_s": self.config.pong_timeout().as_secs_f64(),
        });
        self.printer.object(local(), head)
    }

    fn behaves(&mut self) -> io::Result<()> {
        self.scene(
            "The server behaves",
            "Nobody has anything to say, so the heartbeat asks whether the server is there.",
        )?;
        self.stay_calm(5 * self.config.ping_interval())?;
        let pings = text::count(self.tally.pings, "ping");
        let pongs = text::count(self.tally.pongs, "pong");
        self.remark(Tone::Good, &format!("{pings}, {pongs}: it is there"))?;
        let chat = text::setting(CHAT);
        self.tell(&format!(
            "
Now it sends a message every {chat}. Each of them shows that it lives, so there is
nothing to ask."
        ))?;
        let pings = self.tally.pings;
        let messages = self.tally.messages;
        self.server.set(Mood::Talks)?;
        self.stay_calm(4 * self.config.ping_interval())?;
        self.server.set(Mood::Well)?;
        let messages = text::count(self.tally.messages - messages, "message");
        let pings = text::count(self.tally.pings - pings, "ping");
        self.remark(Tone::Good, &format!("{messages} came, {pings} went out"))
    }

    fn goes_mute(&mut self) -> io::Result<()> {
        self.scene(
            "The server goes mute",
            "\
It hangs: its connection stays up, but it reads nothing and says nothing. TCP alone
would not notice for a quarter of an hour or longer. The heartbeat does. (1006 stands
for an end without a close code.)",
        )?;
        let cue = self.cue(Mood::Frozen)?;
        self.detect("goes mute", cue, 1)?;
        let patience = text::setting(self.config.connect_timeout());
        self.tell(&format!(
            "
The connection is abandoned at once, since the dead do not answer a close either.
The dial that follows hangs: the port is open, but nobody shakes hands. So dials
have a deadline too, {patience} here."
        ))?;
        self.detect_dials("lets a dial hang", 1)?;
        self.heal("The server comes back.")
    }

    fn refuses(&mut self) -> io::Result<()> {
        self.scene(
            "The server goes away",
            "\
Its connections are cut, and its port is closed. This end TCP does tell, at once. What
matters now is when to dial again: the waits may grow with each attempt, and each is
drawn at random, or a thousand clients would come back in the same moment.",
        )?;
        let cue = self.cue(Mood::Gone)?;
        self.detect("cuts the connection", cue, 1)?;
        self.detect_dials("refuses dials", TIMES)?;
        self.heal("The server comes back.")
    }

    fn drops(&mut self) -> io::Result<()> {
        let stable = text::setting(self.config.stable_after());
        self.scene(
            "The server accepts, and drops at once",
            &format!(
                "\
Each dial succeeds, and is worth nothing. A client that counts from 1 again whenever
it is open would dial hundreds of times a second. This one counts on, until a
connection has lasted for {stable}."
            ),
        )?;
        let cue = self.cue(Mood::Drops)?;
        self.detect("accepts and drops", cue, 1 + TIMES)?;
        self.heal("The server keeps its connections again.")
    }

    fn asks_for_a_pause(&mut self) -> io::Result<()> {
        let least = text::setting(self.config.backoff_floor());
        let most = text::setting(self.config.backoff_cap());
        self.scene(
            "The server asks for a pause",
            &format!(
                "\
It closes with 1013, try again later. So the next dial comes at a random moment up to
{most} from now, as if several had failed already, and not within {least}."
            ),
        )?;
        let cue = self.cue(Mood::Pauses)?;
        self.detect("asks for a pause", cue, 1)?;
        self.heal("The server has time again.")
    }

    fn conclude(&mut self) -> io::Result<ExitCode> {
        self.watcher.stop();
        self.await_for(PATIENCE, |seen| matches!(seen, Seen::Stopped(_)))?;
        self.tell("")?;
        self.title("What the heartbeat made of it")?;
        let wide = self.faults.iter().map(|fault| fault.name.len()).max();
        let wide = wide.unwrap_or_default();
        self.tell(&format!(
            "{:wide$}   noticed after   at most   connected again",
            "the server"
        ))?;
        for fault in &self.faults {
            let tone = if fault.is_good() {
                Tone::Good
            } else {
                Tone::Bad
            };
            let show = |duration: Option<Duration>| duration.map_or("never".to_owned(), text::took);
            let line = format!(
                "{:wide$}   {:>13}   {:>7}   {:>15}",
                fault.name,
                show(fault.detected),
                show(Some(fault.bound)),
                show(fault.healed),
            );
            self.printer.say(tone, &line)?;
        }
        self.tell("")?;
        for line in self.tally.counts() {
            self.tell(&line)?;
        }
        let is_good = self.faults.iter().all(Fault::is_good) && self.false_alarms == 0;
        let lasted = self.started.elapsed();
        self.print_verdict(is_good, lasted)?;
        self.print_json_summary(is_good, lasted)?;
        Ok(if is_good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn print_verdict(&self, is_good: bool, lasted: Duration) -> io::Result<()> {
        self.tell("")?;
        if !is_good {
            let bad = self.faults.iter().filter(|fault| !fault.is_good()).count();
            let bad = text::count(bad as u64, "fault");
            let alarms = text::count(self.false_alarms.into(), "false alarm");
            let line = format!("FAILED: {bad} not noticed in time or not healed, {alarms}");
            return self.printer.say(Tone::Bad, &line);
        }
        let lasted = text::seconds(lasted);
        let line = format!("Every fault was noticed in time and healed, in {lasted} s.");
        self.printer.say(Tone::Good, &line)?;
        let command = self.command;
        self.tell(&format!("\nWatch a server of yours:\n  {command}"))
    }

    fn print_json_summary(&self, is_good: bool, lasted: Duration) -> io::Result<()> {
        let faults: Vec<Value> = self.faults.iter().map(Fault::json).collect();
        let mut summary = self.tally.json();
        if let Value::Object(object) = &mut summary {
            object.insert("event".to_owned(), json!("summary"));
            object.insert("ok".to_owned(), json!(is_good));
            object.insert("faults".to_owned(), json!(faults));
            object.insert("false_alarms".to_owned(), json!(self.false_alarms));
            object.insert("lasted_s".to_owned(), json!(lasted.as_secs_f64()));
        }
        self.printer.object(local(), summary)
    }
}

/// What scenes are made of.
impl Show {
    fn cue(&self, mood: Mood) -> io::Result<Instant> {
        let cue = Instant::now();
        self.server.set(mood)?;
        Ok(cue)
    }

    /// Watches a server that is well; to lose it is a false alarm.
    fn stay_calm(&mut self, lasts: Duration) -> io::Result<()> {
        self.server.take_longest_pause();
        let until = Instant::now() + lasts;
        let mut is_lost = false;
        while let Some(sighting) = self.next_before(until)? {
            is_lost |= matches!(sighting.seen, Seen::Down(_));
        }
        if !is_lost {
            return Ok(());
        }
        if !self.is_open {
            self.await_for(PATIENCE, |seen| matches!(seen, Seen::Opened))?;
        }
        let pause = self.server.take_longest_pause();
        if pause >= self.config.pong_timeout() {
            let pause = text::seconds(pause);
            let line = format!("this machine kept the server from its work for {pause} s");
            return self.remark(Tone::Hint, &line);
        }
        self.false_alarms += 1;
        self.remark(Tone::Bad, "a false alarm: the server was well")
    }

    /// Waits until a connection was lost so many times.
    fn detect(&mut self, name: &'static str, cue: Instant, times: u32) -> io::Result<()> {
        let mut fault = self.fault(name, self.bound());
        for _ in 0..times {
            let found = self.await_down(|down| !down.is_dial)?;
            let began = self.server.fault().filter(|&began| began >= cue);
            let (Some((at, down)), Some(began)) = (found, began) else {
                return self.is_missed(fault);
            };
            let bound = self.bound_of(&down, began);
            fault.note(at.saturating_duration_since(began), bound);
        }
        self.is_found(fault)
    }

    /// Waits until a dial failed so many times.
    fn detect_dials(&mut self, name: &'static str, times: u32) -> io::Result<()> {
        let mut fault = self.fault(name, self.config.connect_timeout());
        for _ in 0..times {
            let Some((at, down)) = self.await_down(|down| down.is_dial)? else {
                return self.is_missed(fault);
            };
            let bound = self.config.connect_timeout() + down.late.total;
            fault.note(at.saturating_duration_since(down.alive), bound);
        }
        self.is_found(fault)
    }

    /// The contract's bound, with ticks as late as this machine made them.
    fn bound_of(&self, down: &Down, began: Instant) -> Duration {
        let unread = down.alive.saturating_duration_since(began);
        let bound = self.bound() + down.late.total + unread;
        let is_late = down.late.longest > self.config.late_tolerance();
        if is_verdict(&down.cause) && is_late {
            bound + self.config.pong_timeout()
        } else {
            bound
        }
    }

    fn heal(&mut self, words: &str) -> io::Result<()> {
        self.tell(&format!("\n{words}"))?;
        let cue = self.cue(Mood::Well)?;
        let opened = self.await_for(PATIENCE, |seen| matches!(seen, Seen::Opened))?;
        let pongs = self.tally.pongs;
        self.stay_calm(CALM)?;
        let answers = self.tally.pongs > pongs
            || self
                .await_for(PATIENCE, |seen| matches!(seen, Seen::Pong { .. }))?
                .is_some();
        let healed = opened
            .map(|at| at.saturating_duration_since(cue))
            .filter(|_| answers);
        for fault in self.faults.iter_mut().rev() {
            if fault.scene == self.scene {
                fault.healed = healed;
            }
        }
        let Some(healed) = healed else {
            return self.remark(Tone::Bad, "not healed");
        };
        let object = json!({"event": "healed", "took_s": healed.as_secs_f64()});
        self.printer.object(local(), object)?;
        let line = format!("healed, connected again after {}", text::took(healed));
        self.remark(Tone::Good, &line)
    }

    fn fault(&self, name: &'static str, bound: Duration) -> Fault {
        Fault {
            name,
            scene: self.scene,
            detected: None,
            bound,
            is_in_time: true,
            healed: None,
        }
    }

    fn is_found(&mut self, fault: Fault) -> io::Result<()> {
        let took = text::took(fault.detected.unwrap_or_default());
        let bound = text::took(fault.bound);
        let (tone, verdict) = if fault.is_in_time {
            (Tone::Good, "in time")
        } else {
            (Tone::Bad, "too late")
        };
        let line = format!("noticed after {took}, {verdict} (at most {bound})");
        self.remark(tone, &line)?;
        self.report(fault)
    }

    fn is_missed(&mut self, mut fault: Fault) -> io::Result<()> {
        fault.is_in_time = false;
        self.remark(Tone::Bad, "not noticed")?;
        self.report(fault)
    }

    fn report(&mut self, fault: Fault) -> io::Result<()> {
        let object = json!({"event": "fault", "fault": fault.json()});
        self.faults.push(fault);
        self.printer.object(local(), object)
    }

    fn await_for(
        &mut self,
        limit: Duration,
        is_wanted: fn(&Seen) -> bool,
    ) -> io::Result<Option<Instant>> {
        let until = Instant::now() + limit;
        while let Some(sighting) = self.next_before(until)? {
            if is_wanted(&sighting.seen) {
                return Ok(Some(sighting.at));
            }
        }
        Ok(None)
    }

    fn await_down(&mut self, is_wanted: fn(&Down) -> bool) -> io::Result<Option<(Instant, Down)>> {
        let until = Instant::now() + PATIENCE;
        while let Some(Sighting { at, seen }) = self.next_before(until)? {
            match seen {
                Seen::Down(down) if is_wanted(&down) => return Ok(Some((at, down))),
                _ => {}
            }
        }
        Ok(None)
    }

    /// What is seen next, and prints it.
    fn next_before(&mut self, until: Instant) -> io::Result<Option<Sighting>> {
        let Some(sighting) = self.watcher.next_before(until) else {
            return Ok(None);
        };
        self.tally.note(&sighting);
        match sighting.seen {
            Seen::Opened => self.is_open = true,
            Seen::Down(_) => self.is_open = false,
            _ => {}
        }
        self.printer
            .object(local(), sighting.seen.json(&self.config))?;
        let time = self.time(sighting.at);
        for (tone, line) in self.lines(&sighting.seen) {
            self.printer.say_at(&time, tone, &line)?;
        }
        Ok(Some(sighting))
    }

    /// More than for those who know what a heartbeat is.
    fn lines(&self, seen: &Seen) -> Vec<(Tone, String)> {
        match seen {
            Seen::Ping { seq } => vec![(Tone::Faint, format!("ping seq={seq}"))],
            Seen::Connecting { .. } => vec![(Tone::Faint, "dial".to_owned())],
            Seen::Stopped(_) => vec![],
            other => other.lines(&self.config),
        }
    }

    fn scene(&mut self, name: &str, words: &str) -> io::Result<()> {
        self.scene += 1;
        self.tell("")?;
        self.title(&format!("{}. {name}", self.scene))?;
        self.tell(words)?;
        let object = json!({"event": "scene", "scene": self.scene, "name": name});
        self.printer.object(local(), object)
    }

    fn title(&self, words: &str) -> io::Result<()> {
        self.printer.say(Tone::Title, words)
    }

    fn tell(&self, words: &str) -> io::Result<()> {
        self.printer.say(Tone::Plain, words)
    }

    fn remark(&self, tone: Tone, words: &str) -> io::Result<()> {
        self.printer.say(tone, &format!("{:>8}{words}", "> "))
    }

    /// Since the show began, in seconds.
    fn time(&self, at: Instant) -> String {
        let time = at.saturating_duration_since(self.started).as_secs_f64();
        format!("{time:>6.2}")
    }
}
