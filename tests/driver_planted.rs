//! Bugs planted around the driver: what an adapter or a driver can do wrong, seen from
//! outside. The oracle of the driver catches each one, says what is wrong, and finds
//! no fault with the healthy driver in the same story.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support {
    pub mod driver;
}

use core::time::Duration;

use keepalive::driver::{Bytes, Notice, Order, Read, Rejected, Step, Transport};
use keepalive::{CloseCode, Config, ConfigBuilder, Goodbye, State};
use support::driver::net::{Dial, Ends, Fault, Item, LONGEST, Net, Peer, Talk, Wire};
use support::driver::world::{Drive, Setup, StepTold, Subject, Wish, as_told};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    HandsTheBacklogEarly,
    PollsTheBacklogWhileDown,
    IsHealthyAtOnce,
    TellsDownBeforeDrop,
    DropsUnsent,
    DropsKept,
    ConfirmsTooMuch,
    CountsTooLittle,
    JudgesUnread,
    ForgetsLag,
    SwallowsDraining,
    SaysThatAllHasLeft,
    LetsSendsOvertake,
    ForgetsAnswers,
    AnswersLate,
    SaysTheWrongCode,
    HasNoLastPing,
    SwallowsAnOpening,
    RepeatsAnOpening,
    SwallowsADown,
    Spins,
    SleepsForEver,
    ForgetsTheBacklogAtTheEnd,
    TakesTheEndForLife,
    TellsTheWriteErrorFirst,
    NeverStalls,
    StallsWhatIsSlow,
    RequeuesBehind,
    LosesAMessage,
    MakesUpARoundTrip,
    DoublesAMessage,
    SwapsSends,
    FinishesEarly,
    DropsLate,
    ReadsOn,
    RejectsWhatFits,
    WritesAfterTheGoodbye,
    DialsTwice,
    FarewellOnReconnect,
    SwallowsASecondStop,
    DialsAfterAStop,
    SaysAnythingInAPing,
    RestsTooSoon,
}

impl Bug {
    const LAST: Self = Self::RestsTooSoon;
}

/// A driver with a bug in it.
struct Sick {
    driver: Subject,
    bug: Bug,
    memory: Memory,
}

#[derive(Default)]
struct Memory {
    order: Option<Order<Wire>>,
    hidden: Option<Wire>,
    swapped: Option<Wire>,
    has_failed: bool,
    has_said: bool,
    is_told: bool,
    stops: u32,
    count: u64,
}

/// The transport that the sick driver sees.
struct Between<'a> {
    net: &'a mut Net,
    bug: Bug,
    memory: &'a mut Memory,
    listens: bool,
}

impl Transport for Between<'_> {
    type Message = Wire;
    type Error = Fault;
    type Instant = Duration;

    fn now(&mut self) -> Duration {
        self.net.now()
    }

    fn carry_out(&mut self, order: Order<Wire>) {
        match (self.bug, order) {
            (Bug::TellsDownBeforeDrop | Bug::DropsLate, order @ Order::Drop(_)) => {
                self.memory.order = Some(order);
            }
            (Bug::DialsTwice, Order::Dial { attempt }) => {
                self.net.carry_out(Order::Dial { attempt });
                self.net.carry_out(Order::Dial { attempt });
            }
            (Bug::FarewellOnReconnect, Order::Drop(Some(Wire::Close(None, words)))) => {
                let close = Wire::Close(Some(CloseCode::NORMAL), words);
                self.net.carry_out(Order::Drop(Some(close)));
            }
            (_, order) => self.net.carry_out(order),
        }
    }

    fn read(&mut self) -> Read<Wire, Fault, Duration> {
        let now = self.net.now;
        let first = self.net.link.as_ref().map(|link| link.unread(now));
        let first = first.unwrap_or_default().into_iter().next();
        let is_up = self
            .net
            .link
            .as_ref()
            .is_some_and(|link| link.opened.is_some());
        let is_end = |item: &Item| matches!(item, Item::Plain | Item::Failed(_));
        let is_close = |item: &Item| matches!(item, Item::Message(Wire::Close(..)));
        match (self.bug, first) {
            // It looks only once a second.
            (Bug::JudgesUnread, Some((at, _))) if now < at + Duration::from_secs(5) => {
                Read::Nothing(now)
            }
            (Bug::ForgetsLag, _) => match self.net.read() {
                Read::Nothing(_) => Read::Nothing(now),
                read => read,
            },
            (Bug::TakesTheEndForLife, Some((_, item)))
                if is_end(&item)
                    && is_up
                    && !core::mem::replace(&mut self.memory.has_said, true) =>
            {
                Read::Nothing(now)
            }
            (Bug::TellsTheWriteErrorFirst, Some((_, item)))
                if is_close(&item) && self.memory.has_failed =>
            {
                Read::Nothing(now)
            }
            (Bug::ReadsOn, _) if !self.listens => match self.net.read() {
                Read::Message(Wire::Text { .. }) if self.memory.count > 0 => {
                    Read::Message(Wire::Control)
                }
                Read::Message(text @ Wire::Text { .. }) => {
                    self.memory.count += 1;
                    // It goes on as if nobody waited for it.
                    self.memory.hidden = Some(text);
                    Read::Message(Wire::Control)
                }
                read => read,
            },
            _ => self.net.read(),
        }
    }

    fn is_ready(&mut self) -> Result<bool, Fault> {
        let ready = self.net.is_ready();
        self.memory.has_failed |= ready.is_err();
        ready
    }

    fn write(&mut self, message: Wire) -> Result<(), Fault> {
        match (self.bug, message) {
            (Bug::HasNoLastPing, Wire::Ping(id)) if id.sequence() == 0 => Ok(()),
            (Bug::ForgetsAnswers, Wire::Answer(_)) => Ok(()),
            (Bug::AnswersLate, answer @ Wire::Answer(_)) => {
                match self.memory.hidden.replace(answer) {
                    Some(late) => self.net.write(late),
                    None => Ok(()),
                }
            }
            (Bug::SaysAnythingInAPing, Wire::Ping(_)) => self.net.write(Wire::Control),
            (Bug::SaysTheWrongCode, Wire::Close(_, words)) => {
                self.net.write(Wire::Close(Some(CloseCode(1001)), words))
            }
            (Bug::DoublesAMessage, text @ Wire::Text { .. }) => {
                self.net.write(text.clone())?;
                self.net.is_ready()?;
                self.net.write(text)
            }
            (Bug::SwapsSends, text @ Wire::Text { .. }) => match self.memory.swapped.take() {
                Some(first) => {
                    self.net.write(text)?;
                    self.net.is_ready()?;
                    self.net.write(first)
                }
                None => {
                    self.memory.swapped = Some(text);
                    Ok(())
                }
            },
            (Bug::FinishesEarly, Wire::Close(..)) => {
                self.net.carry_out(Order::Finish);
                Ok(())
            }
            (_, message) => self.net.write(message),
        }
    }

    fn flush(&mut self) -> Result<bool, Fault> {
        let flushed = self.net.flush();
        self.memory.has_failed |= flushed.is_err();
        match self.bug {
            Bug::SaysThatAllHasLeft => flushed.map(|_| true),
            _ => flushed,
        }
    }

    fn bytes(&self) -> Bytes {
        let bytes = self.net.bytes();
        let now = self.net.now.as_millis() as u64;
        match self.bug {
            Bug::SwallowsDraining => Bytes {
                written: 1,
                ..bytes
            },
            Bug::NeverStalls => Bytes {
                written: bytes.written + now,
                ..bytes
            },
            Bug::StallsWhatIsSlow => Bytes {
                written: 1,
                ..bytes
            },
            Bug::TakesTheEndForLife if self.memory.has_said => Bytes {
                read: bytes.read + 24,
                ..bytes
            },
            _ => bytes,
        }
    }

    fn backlog(&mut self) -> Option<Wire> {
        self.net.backlog()
    }

    fn reclaim(&mut self) -> Vec<Wire> {
        self.net.reclaim()
    }

    fn system_time(&mut self) -> Option<Duration> {
        self.net.system_time()
    }
}

impl Sick {
    fn goes(&mut self, net: &mut Net, listens: bool) -> StepTold {
        if let Some(order) = self.memory.order.take() {
            net.carry_out(order);
        }
        let is_up = net.link.as_ref().is_some_and(|link| link.opened.is_some());
        match self.bug {
            Bug::PollsTheBacklogWhileDown if !is_up => {
                let message = net.backlog();
                self.driver.requeue(message);
            }
            Bug::WritesAfterTheGoodbye
                if self.driver.heartbeat().state() == State::Closing
                    && net.oracle.log.iter().any(|line| line.contains("out Close")) =>
            {
                net.is_ready().unwrap();
                net.write(Wire::Answer(1)).unwrap();
            }
            Bug::DialsAfterAStop if self.memory.stops > 0 && net.link.is_none() => {
                net.carry_out(Order::Dial { attempt: 0 });
            }
            _ => {}
        }
        let mut between = Between {
            net,
            bug: self.bug,
            memory: &mut self.memory,
            listens,
        };
        let step = if listens {
            self.driver.run(&mut between)
        } else {
            self.driver.run_unheard(&mut between)
        };
        if let Some(order) = self.memory.order.take_if(|_| self.bug == Bug::DropsLate) {
            // Before anything is told, but after it has waited.
            if matches!(step, Step::Told(_)) {
                net.carry_out(order);
            } else {
                self.memory.order = Some(order);
            }
        }
        self.spoil(as_told(step), net)
    }

    fn spoil(&mut self, step: StepTold, net: &mut Net) -> StepTold {
        let bug = self.bug;
        match step {
            Step::Told(Notice::Opened { epoch, deaf }) => {
                self.memory.is_told = true;
                match bug {
                    Bug::IsHealthyAtOnce => {
                        self.driver.healthy(epoch, net.now);
                    }
                    Bug::HandsTheBacklogEarly => {
                        if let Some(message) = net.queue.pop_front() {
                            net.is_ready().unwrap();
                            net.write(message).unwrap();
                        }
                    }
                    Bug::SwallowsAnOpening => return Step::Again,
                    Bug::RepeatsAnOpening if self.memory.count == 0 => {
                        self.memory.count = 1;
                        net.oracle.is_told(&Notice::Opened { epoch, deaf }, net.now);
                    }
                    _ => {}
                }
                Step::Told(Notice::Opened { epoch, deaf })
            }
            Step::Told(Notice::Down(mut down)) => {
                self.memory.is_told = false;
                match bug {
                    Bug::DropsUnsent => down.unsent.clear(),
                    Bug::DropsKept => down.kept.clear(),
                    Bug::ConfirmsTooMuch => down.in_doubt = down.in_doubt.saturating_sub(1),
                    Bug::SwallowsADown => return Step::Again,
                    _ => {}
                }
                Step::Told(Notice::Down(down))
            }
            Step::Told(Notice::Stopped { reason, mut unsent }) => {
                if bug == Bug::ForgetsTheBacklogAtTheEnd {
                    unsent.clear();
                }
                Step::Told(Notice::Stopped { reason, unsent })
            }
            Step::Told(Notice::Message(_)) if bug == Bug::LosesAMessage => Step::Again,
            Step::Told(Notice::Message(id))
                if bug == Bug::RejectsWhatFits && !net.queue.is_empty() =>
            {
                let message = net.queue.pop_front().unwrap();
                let limit = LONGEST;
                let why = keepalive::Unsendable::TooLong { size: 1, limit };
                let rejected = Box::new(Rejected { message, why });
                net.oracle.is_told(&Notice::Rejected(rejected), net.now);
                Step::Told(Notice::Message(id))
            }
            Step::Told(Notice::Pong { id, round_trip }) if bug == Bug::MakesUpARoundTrip => {
                let round_trip = round_trip + Duration::from_secs(1);
                Step::Told(Notice::Pong { id, round_trip })
            }
            Step::Idle(_) if bug == Bug::Spins => Step::Idle(Some(net.now)),
            Step::Idle(Some(_)) if bug == Bug::SleepsForEver => Step::Idle(None),
            step => step,
        }
    }
}

impl Drive for Sick {
    fn driver(&mut self) -> &mut Subject {
        &mut self.driver
    }

    fn run(&mut self, net: &mut Net) -> StepTold {
        self.goes(net, true)
    }

    fn run_unheard(&mut self, net: &mut Net) -> StepTold {
        self.goes(net, false)
    }

    fn rest(&mut self, net: &mut Net) -> Option<Option<Duration>> {
        match self.bug {
            Bug::RestsTooSoon => Some(self.driver.heartbeat().deadline()),
            _ => self.driver.rest(net),
        }
    }

    fn send(&mut self, message: Wire, net: &mut Net) -> bool {
        if self.bug == Bug::LetsSendsOvertake {
            if let (Wire::Text { id, size }, true) = (&message, net.is_ready().unwrap()) {
                net.oracle.has_sent(*id, *size);
                net.write(message).unwrap();
                // The world notes it as well, which is no fault of the driver's.
                return false;
            }
        }
        self.driver.send(message).is_ok()
    }

    fn requeue(&mut self, messages: Vec<Wire>, net: &mut Net) {
        if self.bug == Bug::RequeuesBehind {
            net.queue.extend(messages);
        } else {
            self.driver.requeue(messages);
        }
    }

    fn stop(&mut self, goodbye: Option<Goodbye>, now: Duration) {
        self.memory.stops += 1;
        if self.memory.stops > 1 && self.bug == Bug::SwallowsASecondStop {
            return;
        }
        match goodbye {
            Some(goodbye) => self.driver.stop_with(goodbye, now),
            None => self.driver.stop(now),
        }
    }

    fn in_doubt(&mut self) -> u64 {
        let in_doubt = self.driver.in_doubt();
        match self.bug {
            Bug::CountsTooLittle => in_doubt / 2,
            _ => in_doubt,
        }
    }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn calm() -> ConfigBuilder {
    Config::builder()
        .ping_interval(s(5))
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(s(4))
        .first_spread(ms(500))
        .connect_timeout(s(6))
        .close_timeout(s(3))
        .stable_after(s(3))
}

fn story(change: impl FnOnce(&mut Setup)) -> Setup {
    Setup::that(calm().build().unwrap(), |it| {
        it.logins = 1;
        it.until = s(40);
        it.wishes = vec![(ms(0), Wish::Queue(30)), (s(3), Wish::Queue(30))];
        change(it);
    })
}

/// A story in which the bug shows, and what the oracle says.
fn plants() -> Vec<(Bug, &'static str, Setup)> {
    let slow = |peer: &mut Peer| {
        peer.rate = Some(200);
        peer.system = 100;
        peer.buffer = 50_000;
    };
    let plain = || story(|_| {});
    let lossy = || {
        story(|it| {
            it.peers = vec![
                Peer::that(|peer| peer.ends = Some((s(2), Ends::Plain))),
                Peer::good(),
            ];
        })
    };
    let stuck = || {
        story(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.stuck = Some(s(2));
                peer.rate = Some(1000);
                peer.system = 20;
                peer.talks = Some((s(1), Talk::Text));
            })];
        })
    };
    let slow_sends = || {
        story(|it| {
            it.peers = vec![Peer::that(slow)];
            it.logins = 0;
            it.wishes = vec![(ms(4000), Wish::Queue(3000)), (ms(5300), Wish::Send(30))];
        })
    };
    let asked = || {
        story(|it| {
            it.peers = vec![Peer::that(|peer| peer.talks = Some((s(1), Talk::Asks)))];
            it.wishes = vec![(ms(2500), Wish::Queue(30)), (ms(2500), Wish::Queue(30))];
        })
    };
    vec![
        (Bug::HandsTheBacklogEarly, "too early", plain()),
        (
            Bug::PollsTheBacklogWhileDown,
            "backlog without a connection",
            plain(),
        ),
        (
            Bug::IsHealthyAtOnce,
            "before the application had dealt",
            Setup {
                config: calm().healthy_within(Some(s(2))).build().unwrap(),
                ..plain()
            },
        ),
        (Bug::TellsDownBeforeDrop, "out of turn", lossy()),
        (Bug::DropsLate, "before an order was carried out", {
            story(|it| {
                it.peers = vec![Peer::that(|peer| peer.ends = Some((s(1), Ends::Plain)))];
                it.wishes = vec![(ms(500), Wish::Listen(false))];
            })
        }),
        (
            Bug::DropsUnsent,
            "not sent was not given back",
            story(|it| {
                it.peers = vec![Peer::that(|peer| {
                    peer.rate = Some(10);
                    peer.system = 10;
                    peer.buffer = 1;
                    peer.ends = Some((s(2), Ends::Failed));
                })];
                it.logins = 5;
            }),
        ),
        (
            Bug::DropsKept,
            "kept was not given back",
            Setup {
                config: calm().confirm_within(Some(s(2))).build().unwrap(),
                keeps: Some(1000),
                ..lossy()
            },
        ),
        (Bug::ConfirmsTooMuch, "false confirmation", lossy()),
        (Bug::CountsTooLittle, "false confirmation", {
            story(|it| it.logins = 3)
        }),
        (
            Bug::JudgesUnread,
            "unread",
            story(|it| it.peers = vec![Peer::that(|peer| peer.dial = Dial::Opens(s(5)))]),
        ),
        (
            Bug::ForgetsLag,
            "unread",
            story(|it| {
                it.lags = true;
                it.peers = vec![Peer::that(|peer| peer.answers = Some(ms(3985)))];
                it.wishes = vec![(ms(9000), Wish::Sleep(ms(50)))];
            }),
        ),
        (Bug::SwallowsDraining, "Stalled", {
            story(|it| {
                it.peers = vec![Peer::that(slow)];
                it.wishes = vec![(s(4), Wish::Queue(3000))];
            })
        }),
        (Bug::SwallowsDraining, "too early", {
            Setup {
                stall_timeout: Some(s(100)),
                ..story(|it| {
                    it.peers = vec![Peer::that(slow)];
                    it.wishes = vec![(s(4), Wish::Queue(3000))];
                })
            }
        }),
        (Bug::SaysThatAllHasLeft, "overtook the flush", slow_sends()),
        (Bug::LetsSendsOvertake, "overtook", slow_sends()),
        (Bug::ForgetsAnswers, "could ping or answer", asked()),
        (Bug::AnswersLate, "could ping or answer", asked()),
        (Bug::SaysTheWrongCode, "wrong goodbye", plain()),
        (Bug::HasNoLastPing, "last ping", {
            story(|it| it.wishes.push((s(4), Wish::Stop)))
        }),
        (
            Bug::SwallowsAnOpening,
            "before the application had dealt",
            lossy(),
        ),
        (Bug::RepeatsAnOpening, "out of turn", lossy()),
        (Bug::SwallowsADown, "out of turn", lossy()),
        (Bug::Spins, "spins", plain()),
        (Bug::SleepsForEver, "for ever", plain()),
        (Bug::ForgetsTheBacklogAtTheEnd, "not given back", {
            story(|it| it.peers = vec![Peer::that(|peer| peer.dial = Dial::Hangs)])
        }),
        (
            Bug::TakesTheEndForLife,
            "attempts began anew",
            story(|it| {
                it.peers = vec![
                    Peer::that(|peer| peer.dial = Dial::Failed(ms(10))),
                    Peer::that(|peer| peer.ends = Some((ms(3500), Ends::Plain))),
                ];
            }),
        ),
        (
            Bug::TellsTheWriteErrorFirst,
            "write error before a close code",
            story(|it| {
                it.peers = vec![Peer::that(|peer| {
                    peer.ends = Some((s(2), Ends::BrokenClose(4003, ms(0))));
                })];
                it.lags = true;
                it.wishes = vec![(ms(1999), Wish::Sleep(ms(100))), (ms(1999), Wish::Send(30))];
            }),
        ),
        (Bug::NeverStalls, "stuck", stuck()),
        (Bug::StallsWhatIsSlow, "took bytes", {
            story(|it| {
                it.peers = vec![Peer::that(slow)];
                it.wishes = vec![(s(1), Wish::Queue(3000))];
            })
        }),
        (
            Bug::RequeuesBehind,
            "out of order",
            Setup {
                config: calm().confirm_within(Some(s(2))).build().unwrap(),
                keeps: Some(50),
                requeues: true,
                ..story(|it| {
                    it.peers = vec![
                        Peer::that(|peer| peer.ends = Some((s(1), Ends::Plain))),
                        Peer::good(),
                    ];
                    it.wishes = vec![(s(0), Wish::Queue(30)), (s(0), Wish::Queue(30))];
                })
            },
        ),
        (Bug::LosesAMessage, "a message", stuck()),
        (Bug::MakesUpARoundTrip, "round trip", plain()),
        (Bug::DoublesAMessage, "not to be sent", plain()),
        (Bug::SwapsSends, "out of order", {
            story(|it| it.logins = 2)
        }),
        (Bug::FinishesEarly, "before the goodbye", plain()),
        (Bug::ReadsOn, "read on", {
            story(|it| {
                it.peers = vec![Peer::that(|peer| peer.talks = Some((s(1), Talk::Text)))];
                it.wishes = vec![(ms(500), Wish::Listen(false))];
            })
        }),
        (Bug::RejectsWhatFits, "can be sent was rejected", {
            story(|it| {
                it.peers = vec![Peer::that(|peer| peer.talks = Some((s(1), Talk::Text)))];
                it.config = calm().healthy_within(Some(s(30))).build().unwrap();
            })
        }),
        (Bug::WritesAfterTheGoodbye, "after the goodbye", plain()),
        (Bug::DialsTwice, "a dial while", plain()),
        (Bug::FarewellOnReconnect, "wrong farewell", {
            story(|it| it.wishes.push((s(4), Wish::Reconnect)))
        }),
        (Bug::SwallowsASecondStop, "a second stop", {
            story(|it| it.wishes.extend([(s(4), Wish::Stop), (s(4), Wish::Stop)]))
        }),
        (Bug::DialsAfterAStop, "a dial after a stop", {
            story(|it| {
                it.wishes = vec![
                    (s(1), Wish::Listen(false)),
                    (s(2), Wish::Stop),
                    (s(4), Wish::Reconnect),
                ];
            })
        }),
        (Bug::SaysAnythingInAPing, "never sends", plain()),
        (Bug::RestsTooSoon, "could send", {
            story(|it| it.rests = true)
        }),
    ]
}

fn judge(bug: Bug, setup: Setup) -> Option<String> {
    let world = setup.run_as(|driver| Sick {
        driver,
        bug,
        memory: Memory::default(),
    });
    world.net.oracle.fault.clone()
}

#[test]
fn each_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for (bug, expected, setup) in plants() {
        let found = judge(bug, setup);
        println!("{bug:?}: {found:?}");
        if !found.as_ref().is_some_and(|found| found.contains(expected)) {
            missed.push(format!("{bug:?}: {expected}, found {found:?}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn each_bug_is_planted() {
    let planted: Vec<_> = plants().iter().map(|(bug, ..)| *bug as usize).collect();
    for number in 1..=Bug::LAST as usize {
        assert!(planted.contains(&number), "the bug of number {number}");
    }
}

#[test]
fn the_healthy_driver_is_not_accused_in_the_same_stories() {
    for (bug, _, setup) in plants() {
        assert_eq!(judge(Bug::None, setup), None, "{bug:?}");
    }
}
