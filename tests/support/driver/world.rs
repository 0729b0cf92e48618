//! An adapter, its application and its peers, in virtual time.

use core::time::Duration;

use keepalive::driver::{Driver, Notice, Step};
use keepalive::{CloseCode, Closed, Config, Epoch, Goodbye, State};

use super::net::{App, Fault, Frames, Net, Peer, Pings, Wire};
use super::oracle::{Oracle, Place, Said, Told, Views};

pub type Subject = Driver<Frames, App, Fault, Duration>;
pub type StepTold = Step<u64, Wire, Fault, Duration>;

/// What can be watched: a driver, or one with a bug planted in it.
/// A message is told as the rest is.
pub fn as_told(step: StepTold) -> StepTold {
    match step {
        Step::Message(message) => Step::Told(Notice::Message(message)),
        step => step,
    }
}

pub trait Drive {
    fn driver(&mut self) -> &mut Subject;

    fn run(&mut self, net: &mut Net) -> StepTold {
        as_told(self.driver().run(net))
    }
    fn run_unheard(&mut self, net: &mut Net) -> StepTold {
        as_told(self.driver().run_unheard(net))
    }
    fn rest(&mut self, net: &mut Net) -> Option<Option<Duration>> {
        self.driver().rest(net)
    }
    /// Whether it was taken.
    fn send(&mut self, message: Wire, _: &mut Net) -> bool {
        self.driver().send(message).is_ok()
    }
    fn requeue(&mut self, messages: Vec<Wire>, _: &mut Net) {
        self.driver().requeue(messages);
    }
    fn stop(&mut self, goodbye: Option<Goodbye>, now: Duration) {
        match goodbye {
            Some(goodbye) => self.driver().stop_with(goodbye, now),
            None => self.driver().stop(now),
        }
    }
    fn in_doubt(&mut self) -> u64 {
        Subject::in_doubt(self.driver())
    }
}

impl Drive for Subject {
    fn driver(&mut self) -> &mut Subject {
        self
    }
}

/// What the application does.
#[derive(Clone, Debug)]
pub enum Wish {
    Send(usize),
    Queue(usize),
    Stop,
    StopWith(u16),
    Reconnect,
    GiveUp(Option<u16>),
    Healthy,
    Network,
    Reconfigure(Config),
    /// The process is away for so long.
    Sleep(Duration),
    /// The machine is: only the system's clock goes on.
    Suspend(Duration),
    /// The application collects notices, or does not.
    Listen(bool),
}

/// What the application is like.
#[derive(Clone, Debug)]
pub struct Setup {
    pub config: Config,
    pub seed: u64,
    pub pings: Pings,
    pub retry: Option<keepalive::Retry>,
    pub is_accepted: bool,
    pub keeps: Option<usize>,
    pub stall_timeout: Option<Duration>,
    pub queue_limit: Option<usize>,
    pub peers: Vec<Peer>,
    pub lags: bool,
    /// Its backlog does not outlive a connection.
    pub drops_queue: bool,
    /// How many messages it sends when it hears of an opening.
    pub logins: usize,
    /// It says that it is healthy so long after an opening.
    pub healthy_after: Option<Duration>,
    /// It waits inside of its reads, where the driver lets it.
    pub rests: bool,
    /// It puts back what comes back.
    pub requeues: bool,
    /// How long each notice keeps it busy.
    pub busy: Duration,
    pub wishes: Vec<(Duration, Wish)>,
    pub until: Duration,
}

impl Setup {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            seed: 7,
            pings: Pings::Protocol,
            retry: None,
            is_accepted: false,
            keeps: None,
            stall_timeout: None,
            queue_limit: None,
            peers: vec![Peer::good()],
            lags: false,
            drops_queue: false,
            rests: false,
            logins: 0,
            healthy_after: None,
            requeues: false,
            busy: Duration::ZERO,
            wishes: Vec::new(),
            until: Duration::from_secs(60),
        }
    }

    pub fn that(config: Config, change: impl FnOnce(&mut Self)) -> Self {
        let mut setup = Self::new(config);
        change(&mut setup);
        setup
    }

    pub fn driver(&self, net: &mut Net) -> Subject {
        let dialect = Frames {
            has_ping: self.pings != Pings::Nobodys,
        };
        let app = App {
            pings: self.pings,
            retry: self.retry,
        };
        let mut driver = if self.is_accepted {
            net.accept();
            Driver::accepted(self.config, self.seed, dialect, app)
        } else {
            Driver::client(self.config, self.seed, dialect, app)
        };
        if let Some(limit) = self.keeps {
            driver = driver.keeping(limit).expect("confirm_within is on");
        }
        if let Some(timeout) = self.stall_timeout {
            driver = driver.with_stall_timeout(timeout);
        }
        if let Some(limit) = self.queue_limit {
            driver = driver.with_queue_limit(limit);
        }
        driver
    }

    pub fn run(self) -> World<Subject> {
        self.run_as(|driver| driver)
    }

    pub fn run_as<D: Drive>(self, sick: impl FnOnce(Subject) -> D) -> World<D> {
        let mut world = self.start(sick);
        world.play();
        world
    }

    pub fn start<D: Drive>(self, sick: impl FnOnce(Subject) -> D) -> World<D> {
        let mut oracle = Oracle::new(self.config, self.pings);
        oracle.keeps = self.keeps;
        oracle.stall_timeout = self.stall_timeout;
        oracle.is_accepted = self.is_accepted;
        let mut net = Net::new(self.peers.clone(), oracle);
        net.lags = self.lags;
        net.drops_queue = self.drops_queue;
        let driver = sick(self.driver(&mut net));
        let mut wishes = self.wishes.clone();
        wishes.sort_by_key(|(at, _)| *at);
        World {
            driver,
            net,
            setup: self,
            wishes,
            epoch: None,
            healthy_at: None,
            listens: true,
            is_over: false,
            is_rung: false,
            quick: 0,
            runs: 0,
            next: 1,
            outcomes: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub struct World<D> {
    pub driver: D,
    pub net: Net,
    pub setup: Setup,
    wishes: Vec<(Duration, Wish)>,
    pub epoch: Option<Epoch>,
    healthy_at: Option<(Duration, Epoch)>,
    listens: bool,
    is_over: bool,
    /// Something was queued since it last ran.
    is_rung: bool,
    /// How often it ran while no time passed.
    quick: u32,
    pub runs: usize,
    next: u64,
    /// What was said of each loss of a connection.
    pub outcomes: Vec<String>,
}

/// How often `run` may be called while no time passes.
const MOST_QUICK: u32 = 3000;
const MOST_RUNS: usize = 60_000;

impl<D: Drive> World<D> {
    pub fn fault(&self) -> Option<&str> {
        self.net.oracle.fault.as_deref()
    }

    #[track_caller]
    pub fn assert_right(&self) -> &Self {
        if let Some(fault) = self.fault() {
            panic!(
                "{fault}\n{:#?}\n{}",
                self.setup,
                self.net.oracle.log.join("\n")
            );
        }
        self
    }

    /// Whether the log has lines that contain these, in this order.
    #[track_caller]
    pub fn assert_log(&self, wanted: &[&str]) -> &Self {
        self.assert_right();
        let mut lines = self.net.oracle.log.iter();
        for want in wanted {
            let found = lines.any(|line| line.contains(want));
            assert!(
                found,
                "no {want} there:\n{}",
                self.net.oracle.log.join("\n")
            );
        }
        self
    }

    pub fn count(&self, what: &str) -> usize {
        let lines = self.net.oracle.log.iter();
        lines.filter(|line| line.contains(what)).count()
    }

    pub fn play(&mut self) {
        for _ in 0..MOST_RUNS {
            if self.fault().is_some() {
                return;
            }
            if !self.goes_on(self.setup.until) {
                break;
            }
        }
        self.finish();
    }

    /// Only so far, and not to its end.
    pub fn play_until(&mut self, until: Duration) {
        for _ in 0..MOST_RUNS {
            if self.fault().is_some() || !self.goes_on(until) {
                break;
            }
        }
        self.assert_right();
    }

    /// Stops, hears all of it, and lets the oracle count.
    pub fn finish(&mut self) {
        self.listens = true;
        self.wishes.clear();
        self.healthy_at = None;
        let mut stops = 0;
        let until = self.net.now + self.setup.config.close_timeout() * 3 + Duration::from_secs(60);
        for _ in 0..MOST_RUNS {
            if self.fault().is_some() {
                return;
            }
            if stops == 0 && self.driver.driver().heartbeat().state() != State::Stopped {
                stops = 1;
                self.wish(Wish::Stop);
            }
            if !self.goes_on(until) {
                break;
            }
        }
        if self.fault().is_none() {
            self.net.oracle.ends();
        }
    }

    fn goes_on(&mut self, until: Duration) -> bool {
        let now = self.net.now;
        while self.wishes.first().is_some_and(|(at, _)| *at <= now) {
            let (_, wish) = self.wishes.remove(0);
            self.wish(wish);
        }
        if let Some((_, epoch)) = self.healthy_at.take_if(|(at, _)| *at <= now) {
            self.say_healthy(epoch);
        }
        let is_rung = core::mem::take(&mut self.is_rung);
        if self.setup.rests && self.listens && self.net.is_drained() {
            if let Some(due) = self.driver.rest(&mut self.net) {
                if !is_rung {
                    let now = self.net.now;
                    self.net.oracle.rests(self.net.link.as_ref(), now);
                    if !self.sleep(due, until) {
                        return false;
                    }
                }
            }
        }
        let before = self.net.now;
        let step = if self.listens {
            self.net.oracle.is_asked();
            self.driver.run(&mut self.net)
        } else {
            self.driver.run_unheard(&mut self.net)
        };

        let said = match &step {
            Step::Told(_) | Step::Message(_) => Said::Told,
            Step::Again => Said::Again,
            Step::Idle(due) => Said::Idle(*due),
            Step::Over => Said::Over,
        };
        // Only what is there after the run, and before the application acts on it.
        if let Step::Told(told) = &step {
            self.net.oracle.is_told(told, before);
        }
        let views = self.views();
        self.net
            .oracle
            .has_run(said, &views, self.net.link.as_ref(), before);
        self.quick += 1;
        self.runs += 1;
        if self.quick > MOST_QUICK {
            self.net.oracle.accuse("it spins");
            return false;
        }
        match as_told(step) {
            Step::Message(_) => true,
            Step::Told(told) => {
                self.is_over = matches!(told, Notice::Stopped { .. });
                self.hear(told);
                if !self.setup.busy.is_zero() {
                    self.passes(self.net.now + self.setup.busy);
                }
                true
            }
            Step::Again => true,
            Step::Idle(due) => self.sleep(due, until),
            Step::Over => {
                if self.listens && !self.is_over {
                    self.net.oracle.accuse("it is over, and did not say so");
                }
                self.sleep(None, until)
            }
        }
    }

    fn views(&mut self) -> Views {
        let in_doubt = self.driver.in_doubt();
        let driver = self.driver.driver();
        Views {
            state: driver.heartbeat().state(),
            counts: driver.counts(),
            in_doubt,
            awaited: driver.heartbeat().awaited_ping(),
        }
    }

    fn passes(&mut self, to: Duration) {
        if to > self.net.now {
            self.quick = 0;
            self.net.now = to;
        }
    }

    fn sleep(&mut self, due: Option<Duration>, until: Duration) -> bool {
        let began = self.net.now;
        let seen = self.net.seen();
        self.net.oracle.leaves_unread(self.net.link.as_ref(), seen);
        let wish = self.wishes.first().map(|(at, _)| *at);
        let healthy = self.healthy_at.map(|(at, _)| at);
        // Where nobody reads, nothing that comes in wakes anybody.
        let event = self.net.next_event();
        let nexts = [due, wish, healthy, event].into_iter().flatten();
        let Some(next) = nexts.min() else {
            return false;
        };
        if next > until {
            self.net.now = until.max(began);
            return false;
        }
        self.passes(next.max(began));
        self.net.has_woken();
        // The reactor turned when it began to wait; what came since it sees next.
        self.net.turned = if event == Some(next) { next } else { began };
        true
    }

    fn text(&mut self, size: usize) -> (u64, Wire) {
        let id = self.next;
        self.next += 1;
        (id, Wire::Text { id, size })
    }

    pub fn wish(&mut self, wish: Wish) {
        let now = self.net.now;
        let state = self.driver.driver().heartbeat().state();
        let line = format!("{now:?} wish {wish:?}");
        self.net.oracle.log.push(line);
        match wish {
            Wish::Send(size) => self.send(size),
            Wish::Queue(size) => {
                if !self.is_over {
                    let (id, wire) = self.text(size);
                    self.net.queue.push_back(wire);
                    self.is_rung = true;
                    self.net.oracle.has_queued(id, size);
                }
            }
            Wish::Stop => {
                self.net.oracle.will_stop(None, state, now);
                self.driver.stop(None, now);
            }
            Wish::StopWith(code) => {
                let words = "until tomorrow";
                let Ok(goodbye) = Goodbye::new(CloseCode(code), words) else {
                    return;
                };
                let said = (CloseCode(code), words.to_owned());
                self.net.oracle.will_stop(Some(said), state, now);
                self.driver.stop(Some(goodbye), now);
            }
            Wish::Reconnect => {
                if self.net.oracle.will_reconnect(state, now) {
                    self.is_over = false;
                }
                self.driver.driver().reconnect_now(now);
            }
            Wish::GiveUp(code) => {
                if let Some(epoch) = self.epoch {
                    let closed = Closed::from(code.map(CloseCode));
                    if self.driver.driver().give_up(epoch, closed, now) {
                        self.net.oracle.gives_up(code.map(CloseCode));
                    }
                }
            }
            Wish::Healthy => {
                if let Some(epoch) = self.epoch {
                    self.say_healthy(epoch);
                }
            }
            Wish::Network => {
                self.net.oracle.network_changes();
                self.driver.driver().network_changed();
            }
            Wish::Reconfigure(config) => {
                if self.driver.driver().reconfigure(config, now).is_ok() {
                    self.net.oracle.reconfigures(config);
                }
            }
            Wish::Sleep(time) => self.passes(now + time),
            Wish::Suspend(time) => {
                let slept = self.net.slept.unwrap_or_default();
                self.net.slept = Some(slept + time);
                self.net.oracle.sleeps();
            }
            Wish::Listen(listens) => self.listens = listens,
        }
    }

    fn send(&mut self, size: usize) {
        let (id, wire) = self.text(size);
        if self.driver.send(wire, &mut self.net) {
            self.net.oracle.has_sent(id, size);
        }
    }

    fn say_healthy(&mut self, epoch: Epoch) {
        let now = self.net.now;
        if self.driver.driver().healthy(epoch, now) {
            self.net.oracle.is_healthy();
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Notice::Opened { epoch, .. } => {
                self.epoch = Some(epoch);
                if let Some(after) = self.setup.healthy_after {
                    self.healthy_at = Some((self.net.now + after, epoch));
                }
                for _ in 0..self.setup.logins {
                    self.send(30);
                }
            }
            Notice::Down(down) => {
                self.outcomes.push(format!("{:?}", down.cause));
                let mut back = down.kept;
                if self.setup.requeues {
                    back.extend(down.unsent);
                    self.requeue(back);
                }
            }
            _ => {}
        }
    }

    fn requeue(&mut self, back: Vec<Wire>) {
        if back.is_empty() || self.is_over {
            return;
        }
        let ids: Vec<_> = back
            .iter()
            .filter_map(|wire| match wire {
                Wire::Text { id, .. } => Some(*id),
                _ => None,
            })
            .collect();
        self.net.oracle.has_requeued(&ids);
        self.driver.requeue(back, &mut self.net);
    }

    /// Which messages no peer has read and nobody gave back: what is lost.
    pub fn lost(&self) -> Vec<u64> {
        let oracle = &self.net.oracle;
        let places = oracle.places().iter();
        let lost =
            places.filter(|(id, place)| !oracle.was_read(**id) && !matches!(place, Place::Back));
        lost.map(|(id, _)| *id).collect()
    }
}
