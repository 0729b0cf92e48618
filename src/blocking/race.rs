use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;

use super::wait::{Ready, Wait};
use crate::dial::Plan;

/// Connects to the first of several addresses that answers, as the [`Plan`] says. What
/// has not answered by then is dropped.
pub(super) struct Race {
    plan: Plan<Instant>,
    under_way: Vec<Runner>,
    failure: Option<io::Error>,
}

struct Runner {
    number: usize,
    socket: TcpStream,
    ready: Arc<Ready>,
}

/// How a race stands.
pub(super) enum Standing {
    Won(TcpStream),
    /// Nobody has answered; to be asked again at this time, or when something is ready.
    Open(Option<Instant>),
}

impl Race {
    pub(super) fn new(addresses: Vec<SocketAddr>) -> Self {
        Self {
            plan: Plan::new(addresses),
            under_way: Vec::new(),
            failure: None,
        }
    }

    /// Looks who has answered, and starts who is due. Where all fail, the error is that
    /// of the attempt that failed first.
    pub(super) fn run(&mut self, wait: &Wait, now: Instant) -> io::Result<Standing> {
        if let Some(winner) = self.winner() {
            return Ok(Standing::Won(winner));
        }
        while let Some((number, address)) = self.plan.next_start(now) {
            match Runner::start(number, address, wait) {
                Ok(runner) => self.under_way.push(runner),
                Err(error) => self.failed(number, error),
            }
        }
        if !self.under_way.is_empty() {
            return Ok(Standing::Open(self.plan.due()));
        }
        let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        Err(self.failure.take().unwrap_or_else(none))
    }

    fn winner(&mut self) -> Option<TcpStream> {
        for runner in std::mem::take(&mut self.under_way) {
            match runner.outcome() {
                Some(Ok(())) => return Some(runner.socket),
                Some(Err(error)) => self.failed(runner.number, error),
                None => self.under_way.push(runner),
            }
        }
        None
    }

    fn failed(&mut self, number: usize, error: io::Error) {
        self.plan.failed(number);
        self.failure.get_or_insert(error);
    }
}

impl Runner {
    fn start(number: usize, address: SocketAddr, wait: &Wait) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        let ready = Arc::new(Ready::default());
        wait.register(&mut socket, &ready)?;
        Ok(Self {
            number,
            socket,
            ready,
        })
    }

    /// Asks the socket: an event may be spurious.
    fn outcome(&self) -> Option<io::Result<()>> {
        if !self.ready.is(Ready::WRITABLE) {
            return None;
        }
        self.ready.clear(Ready::WRITABLE);
        if let Ok(Some(error)) | Err(error) = self.socket.take_error() {
            return Some(Err(error));
        }
        match self.socket.peer_addr() {
            Ok(_) => Some(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
            // macOS says so while it connects, and Windows may.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => None,
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use crate::blocking::Dial;
    use crate::blocking::peer::BlackHole;

    use super::*;

    fn good() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn first_of(addresses: &[SocketAddr], within: Duration) -> io::Result<SocketAddr> {
        let dial = Dial::new(Wait::new().unwrap(), Instant::now() + within, 0);
        let socket = dial.first_of(addresses.to_vec())?;
        socket.peer_addr()
    }

    const FAR: Duration = Duration::from_secs(60);
    const STAGGER: Duration = Duration::from_millis(250);

    #[test]
    fn an_address_that_does_not_answer_has_a_moment_alone() {
        let (hole, other) = (BlackHole::new(), BlackHole::new());
        let (_listener, good) = good();
        let begin = Instant::now();
        let winner = first_of(&[hole.address, other.address, good], FAR).unwrap();
        assert_eq!(winner, good);
        let took = begin.elapsed();
        assert!((2 * STAGGER..FAR / 2).contains(&took), "{took:?}");
    }

    #[test]
    fn an_address_that_refuses_leaves_the_time_to_the_next() {
        let (listener, refused) = good();
        drop(listener);
        let (_listener, good) = good();
        let begin = Instant::now();
        assert_eq!(first_of(&[refused, good], FAR).unwrap(), good);
        assert!(begin.elapsed() < STAGGER);
        let error = first_of(&[refused], FAR).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = first_of(&[], FAR).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn all_addresses_together_have_one_deadline() {
        let hole = BlackHole::new();
        let begin = Instant::now();
        let within = Duration::from_millis(300);
        let error = first_of(&[hole.address; 3], within).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
}
