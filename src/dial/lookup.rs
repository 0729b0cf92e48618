//! Names to addresses. The system's lookup has neither a deadline nor cancellation, and
//! with a silent name server it takes 10 s and more. So it has a detached thread, which
//! holds up neither a runtime nor the end of the process; and each name has one thread,
//! however often it is dialled meanwhile.

use core::mem;
use core::task::{Poll, Waker};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How many names are looked up at a time. Further ones wait for their turn.
const MOST: usize = 32;

static LOOKUPS: Lookups = Lookups::new(MOST, |host| Ok((host, 0).to_socket_addrs()?.collect()));

/// The addresses of a host: asked for by [`poll`](Self::poll), without a runtime. A
/// literal address is its own. Dropped, it leaves its thread to the next dial.
#[derive(Debug)]
pub(crate) struct Lookup {
    lookups: &'static Lookups,
    host: String,
    port: u16,
    seat: Option<Seat>,
}

impl Lookup {
    /// Nothing happens before it is polled.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self::among(&LOOKUPS, host, port)
    }

    fn among(lookups: &'static Lookups, host: &str, port: u16) -> Self {
        Self {
            lookups,
            host: host.to_ascii_lowercase(),
            port,
            seat: None,
        }
    }

    /// Joins the lookup of this name that is under way, or begins it. The waker takes
    /// the place of the one before, and is woken when there is more to say.
    ///
    /// # Errors
    ///
    /// The system's, where the name has no address or no thread can be started.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<io::Result<Vec<SocketAddr>>> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Poll::Ready(Ok(vec![SocketAddr::new(address, self.port)]));
        }
        loop {
            let seat = match &mut self.seat {
                Some(seat) => seat,
                none => match self.lookups.join(&self.host) {
                    Ok(seat) => none.insert(seat),
                    Err(error) => return Poll::Ready(Err(error)),
                },
            };
            let Poll::Ready(found) = seat.poll(waker) else {
                return Poll::Pending;
            };
            self.seat = None;
            match found {
                Found::Addresses(mut addresses) => {
                    addresses.iter_mut().for_each(|at| at.set_port(self.port));
                    return Poll::Ready(Ok(addresses));
                }
                Found::Failed(kind, words) => {
                    return Poll::Ready(Err(io::Error::new(kind, words)));
                }
                Found::Room => {}
            }
        }
    }
}

/// What came of a [`Job`].
#[derive(Clone, Debug)]
enum Found {
    Addresses(Vec<SocketAddr>),
    Failed(io::ErrorKind, String),
    /// The job was to wait for another one's end.
    Room,
}

/// All lookups of a process that are under way.
#[derive(Debug)]
struct Lookups {
    most: usize,
    look_up: fn(&str) -> io::Result<Vec<SocketAddr>>,
    jobs: Mutex<Jobs>,
}

#[derive(Debug)]
struct Jobs {
    by_name: BTreeMap<String, Arc<Job>>,
    /// Ends with the next lookup that ends; there while somebody waits for that.
    queue: Option<Arc<Job>>,
}

impl Lookups {
    const fn new(most: usize, look_up: fn(&str) -> io::Result<Vec<SocketAddr>>) -> Self {
        Self {
            most,
            look_up,
            jobs: Mutex::new(Jobs {
                by_name: BTreeMap::new(),
                queue: None,
            }),
        }
    }

    /// A seat in the lookup of this name, or in the queue.
    fn join(&'static self, host: &str) -> io::Result<Seat> {
        let mut jobs = lock(&self.jobs);
        if let Some(job) = jobs.by_name.get(host) {
            return Ok(Seat::in_job(job));
        }
        if jobs.by_name.len() >= self.most {
            let queue = jobs.queue.get_or_insert_with(Arc::default);
            return Ok(Seat::in_job(queue));
        }
        let name = host.to_owned();
        // Its end waits for this lock.
        thread::Builder::new()
            .name("keepalive lookup".to_owned())
            .spawn(move || End::of(self, name).look_up())?;
        let job = Arc::default();
        let seat = Seat::in_job(&job);
        jobs.by_name.insert(host.to_owned(), job);
        Ok(seat)
    }

    fn end(&self, host: &str, found: Found) {
        let mut jobs = lock(&self.jobs);
        let job = jobs.by_name.remove(host);
        let queue = jobs.queue.take();
        drop(jobs);
        if let Some(job) = job {
            job.end(found);
        }
        if let Some(queue) = queue {
            queue.end(Found::Room);
        }
    }
}

/// Ends a lookup, also where it panics.
struct End {
    lookups: &'static Lookups,
    host: String,
    found: Found,
}

impl End {
    fn of(lookups: &'static Lookups, host: String) -> Self {
        let words = "the name lookup broke off".to_owned();
        Self {
            lookups,
            host,
            found: Found::Failed(io::ErrorKind::Other, words),
        }
    }

    fn look_up(mut self) {
        self.found = match (self.lookups.look_up)(&self.host) {
            Ok(addresses) => Found::Addresses(addresses),
            Err(error) => Found::Failed(error.kind(), error.to_string()),
        };
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let found = mem::replace(&mut self.found, Found::Room);
        self.lookups.end(&self.host, found);
    }
}

/// Something that ends once, and who waits for it.
#[derive(Debug, Default)]
struct Job(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    found: Option<Found>,
    seats: u64,
    wakers: Vec<(u64, Waker)>,
}

impl Job {
    fn end(&self, found: Found) {
        let mut waiting = lock(&self.0);
        waiting.found = Some(found);
        let wakers = mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

/// Somebody who waits for a [`Job`].
#[derive(Debug)]
struct Seat {
    job: Arc<Job>,
    number: u64,
}

impl Seat {
    fn in_job(job: &Arc<Job>) -> Self {
        let mut waiting = lock(&job.0);
        waiting.seats += 1;
        Self {
            job: job.clone(),
            number: waiting.seats,
        }
    }

    /// No waker is cloned, dropped or woken under the lock: it is anybody's code.
    fn poll(&self, waker: &Waker) -> Poll<Found> {
        let waker = waker.clone();
        let mut waiting = lock(&self.job.0);
        if let Some(found) = &waiting.found {
            return Poll::Ready(found.clone());
        }
        let mine = waiting.wakers.iter_mut().find(|(of, _)| *of == self.number);
        let _before = match mine {
            Some((_, mine)) => Some(mem::replace(mine, waker)),
            None => {
                waiting.wakers.push((self.number, waker));
                None
            }
        };
        drop(waiting);
        Poll::Pending
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut waiting = lock(&self.job.0);
        let mine = waiting.wakers.iter().position(|(of, _)| *of == self.number);
        let _mine = mine.map(|at| waiting.wakers.swap_remove(at));
        drop(waiting);
    }
}

/// Nothing that is done under these locks leaves a half.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::{Duration, Instant};

    use super::*;

    /// Nothing takes longer.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A name server that answers when it is told to.
    struct Server {
        open: Mutex<bool>,
        opened: Condvar,
        asked: AtomicUsize,
    }

    impl Server {
        const fn new() -> Self {
            Self {
                open: Mutex::new(false),
                opened: Condvar::new(),
                asked: AtomicUsize::new(0),
            }
        }

        fn open(&self) {
            *lock(&self.open) = true;
            self.opened.notify_all();
        }

        fn answer(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let open = lock(&self.open);
            let _open = self
                .opened
                .wait_timeout_while(open, PATIENCE, |open| !*open);
            match host {
                "panics" => panic!("as planned"),
                "fails" => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
                _ => Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))]),
            }
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    /// Wakes this thread, and counts.
    struct Parked(thread::Thread, AtomicUsize);

    impl Parked {
        fn new() -> Arc<Self> {
            Arc::new(Self(thread::current(), AtomicUsize::new(0)))
        }
    }

    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.unpark();
        }
    }

    fn wait(lookup: &mut Lookup) -> io::Result<Vec<SocketAddr>> {
        let waker = Waker::from(Parked::new());
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match lookup.poll(&waker) {
                Poll::Ready(found) => return found,
                Poll::Pending => thread::park_timeout(PATIENCE),
            }
        }
        panic!("nobody woke it");
    }

    fn is_pending(lookup: &mut Lookup) -> bool {
        lookup.poll(Waker::noop()).is_pending()
    }

    #[test]
    fn a_literal_address_needs_no_lookup() {
        static NONE: Lookups = Lookups::new(0, |_| Err(io::ErrorKind::Other.into()));
        for literal in ["192.0.2.7", "2001:db8::7"] {
            let found = wait(&mut Lookup::among(&NONE, literal, 8080)).unwrap();
            assert_eq!(found, [SocketAddr::new(literal.parse().unwrap(), 8080)]);
        }
    }

    #[test]
    fn the_system_is_asked() {
        let found = wait(&mut Lookup::new("localhost", 80)).unwrap();
        assert!(found.iter().all(|found| found.ip().is_loopback()));
        assert!(found.iter().all(|found| found.port() == 80) && !found.is_empty());
    }

    #[test]
    fn dials_of_one_name_share_a_lookup() {
        static SERVER: Server = Server::new();
        static LOOKUPS: Lookups = Lookups::new(8, |host| SERVER.answer(host));
        let mut first = Lookup::among(&LOOKUPS, "example.com", 80);
        let mut other_port = Lookup::among(&LOOKUPS, "Example.COM", 443);
        assert!(is_pending(&mut first) && is_pending(&mut other_port));
        // Those that are given up leave no trace, and those that come later join.
        for _ in 0..100 {
            assert!(is_pending(&mut Lookup::among(&LOOKUPS, "example.com", 80)));
        }
        drop(first);
        let mut late = Lookup::among(&LOOKUPS, "example.com", 80);
        assert!(is_pending(&mut late));
        let job = lock(&LOOKUPS.jobs).by_name.get("example.com").cloned();
        assert_eq!(lock(&job.unwrap().0).wakers.len(), 2);

        SERVER.open();
        assert_eq!(wait(&mut late).unwrap()[0].port(), 80);
        assert_eq!(wait(&mut other_port).unwrap()[0].port(), 443);
        assert_eq!(SERVER.asked(), 1);
        // What is over is not kept.
        assert!(lock(&LOOKUPS.jobs).by_name.is_empty());
        assert!(wait(&mut Lookup::among(&LOOKUPS, "example.com", 80)).is_ok());
        assert_eq!(SERVER.asked(), 2);
    }

    #[test]
    fn the_last_waker_is_woken_once() {
        static SERVER: Server = Server::new();
        static LOOKUPS: Lookups = Lookups::new(8, |host| SERVER.answer(host));
        let (before, now) = (Parked::new(), Parked::new());
        let mut lookup = Lookup::among(&LOOKUPS, "example.com", 80);
        assert!(lookup.poll(&Waker::from(before.clone())).is_pending());
        assert!(lookup.poll(&Waker::from(now.clone())).is_pending());
        SERVER.open();
        while now.1.load(Ordering::SeqCst) == 0 {
            thread::park_timeout(PATIENCE);
        }
        assert!(lookup.poll(Waker::noop()).is_ready());
        assert_eq!(before.1.load(Ordering::SeqCst), 0);
        assert_eq!(Arc::strong_count(&before), 1);
        assert_eq!(now.1.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn names_beyond_the_limit_wait_for_their_turn() {
        static SERVER: Server = Server::new();
        static LOOKUPS: Lookups = Lookups::new(2, |host| SERVER.answer(host));
        let mut lookups: Vec<_> = (0..20)
            .map(|name| Lookup::among(&LOOKUPS, &format!("name{name}"), 80))
            .collect();
        assert!(lookups.iter_mut().all(is_pending));
        assert_eq!(lock(&LOOKUPS.jobs).by_name.len(), 2);
        SERVER.open();
        for lookup in lookups.iter_mut().rev() {
            assert!(wait(lookup).is_ok());
        }
        assert_eq!(SERVER.asked(), 20);
    }

    #[test]
    fn a_failure_is_everybodys() {
        static SERVER: Server = Server::new();
        static LOOKUPS: Lookups = Lookups::new(8, |host| SERVER.answer(host));
        for (name, words) in [
            ("fails", "no such name"),
            ("panics", "the name lookup broke off"),
        ] {
            let mut both = [80, 81].map(|port| Lookup::among(&LOOKUPS, name, port));
            assert!(both.iter_mut().all(is_pending) || name == "panics");
            SERVER.open();
            for lookup in &mut both {
                assert_eq!(wait(lookup).unwrap_err().to_string(), words);
            }
        }
        assert!(lock(&LOOKUPS.jobs).by_name.is_empty());
    }
}
