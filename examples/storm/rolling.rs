//! Servers that restart one after the other, while the others take their clients in.

use crate::clients::{Act, Client, Millis, Random};
use crate::model::{Agenda, BIN, Happening};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rolling {
    pub(crate) clients: u32,
    pub(crate) seed: u64,
    pub(crate) servers: u64,
    /// From one restart to the next.
    pub(crate) turn: Millis,
    /// Over how long a server spreads its goodbyes; 0: all at once.
    pub(crate) drain: Millis,
}

struct Guest<C> {
    client: C,
    server: u64,
    rtt: u64,
}

/// The most dials per bin that the servers get which do not restart.
pub(crate) fn peak<C: Client>(rolling: &Rolling, make: impl Fn(u64) -> C) -> u32 {
    let mut random = Random(rolling.seed);
    let guests = (0..rolling.clients).map(|_| Guest {
        server: random.below(rolling.servers),
        rtt: 25 + random.below(51),
        client: make(random.next()),
    });
    let mut fleet = Fleet {
        guests: guests.collect(),
        agenda: Agenda::default(),
        random,
        dials: 0,
        peak: 0,
    };
    for server in 0..rolling.servers {
        fleet.restart(rolling, server);
    }
    fleet.peak
}

struct Fleet<C> {
    guests: Vec<Guest<C>>,
    agenda: Agenda,
    random: Random,
    /// In this bin.
    dials: u32,
    peak: u32,
}

impl<C: Client> Fleet<C> {
    fn restart(&mut self, rolling: &Rolling, server: u64) {
        let end = self.agenda.now + rolling.turn;
        self.say_goodbye(server, rolling.drain);
        while self.agenda.now < end {
            if self.agenda.now % BIN == 0 {
                self.dials = 0;
            }
            while let Some(happenings) = self.agenda.take() {
                for (id, happening) in happenings {
                    self.happen(id, happening, |random| {
                        (server + 1 + random.below(rolling.servers - 1)) % rolling.servers
                    });
                }
            }
            self.peak = self.peak.max(self.dials);
            self.agenda.pass();
        }
    }

    fn say_goodbye(&mut self, server: u64, drain: Millis) {
        let of_server = |(_, guest): &(u32, &Guest<C>)| guest.server == server;
        let count = (0..).zip(&self.guests).filter(of_server).count() as u64;
        let leaving = (0..).zip(&self.guests).filter(of_server);
        for (place, (id, guest)) in (0..).zip(leaving) {
            let at = self.agenda.now + drain * place / count + guest.rtt / 2;
            self.agenda.at(at, id, Happening::Lost);
        }
    }

    fn happen(&mut self, id: u32, happening: Happening, other: impl Fn(&mut Random) -> u64) {
        let now = self.agenda.now;
        let Some(guest) = self.guests.get_mut(id as usize) else {
            return;
        };
        match happening {
            Happening::Lost => {
                guest.client.lost(now);
                if let Some(at) = guest.client.deadline() {
                    self.agenda.at(at, id, Happening::Tick);
                }
            }
            Happening::Tick if guest.client.tick(now) == Some(Act::Dial) => {
                self.dials += 1;
                guest.server = other(&mut self.random);
                self.agenda.at(now + guest.rtt, id, Happening::Opened(0));
            }
            // Who is connected is welcomed, and then left alone, without pings.
            Happening::Opened(_) => {
                guest.client.opened(now);
                guest.client.pong(now);
            }
            Happening::Refused | Happening::Pong | Happening::Tick => {}
        }
    }
}
