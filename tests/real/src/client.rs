//! A client on any of the adapters, and what it reports, each with its time.

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use keepalive::driver::{Codec, Driver, Plain, Step};
use keepalive::tungstenite::Tungstenite;
use keepalive::{CloseCode, CloseReason, Config, Epoch, Handle, Tls, driver};
use keepalive::{blocking, session};
use tungstenite::handshake::client::Request;
use tungstenite::{Error, Message};

use crate::mio_client;

/// How a client is bound to its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Adapter {
    /// `keepalive::blocking`, on a thread of its own.
    Blocking,
    /// `keepalive::tokio`, all on one runtime.
    Tokio,
    /// `keepalive::smol`, all on one executor.
    Smol,
    /// The example `mio_client`: plain TCP, the first address alone.
    Mio,
}

impl Adapter {
    pub const ALL: [Self; 4] = [Self::Blocking, Self::Tokio, Self::Smol, Self::Mio];

    /// Whether it speaks TLS, takes a request with headers and tries several addresses.
    #[must_use]
    pub fn dials_all(self) -> bool {
        self != Self::Mio
    }
}

impl fmt::Display for Adapter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Blocking => "blocking",
            Self::Tokio => "tokio",
            Self::Smol => "smol",
            Self::Mio => "mio",
        })
    }
}

/// Whom it dials.
#[derive(Clone, Debug, Default)]
pub struct Target {
    pub url: String,
    /// A request with headers in place of the URL; not on mio.
    pub request: Option<Request>,
    /// Addresses in place of those of the name; not on mio.
    pub addresses: Vec<SocketAddr>,
    /// Whom it trusts; not on mio.
    pub tls: Option<Tls>,
}

impl Target {
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let url = url.into();
        Self {
            url,
            ..Self::default()
        }
    }
}

/// What a client reported, and when.
#[derive(Debug)]
pub struct Event {
    pub at: Instant,
    pub seen: Seen,
}

/// A notice, the same for all adapters.
#[derive(Debug)]
pub enum Seen {
    Connecting {
        attempt: u32,
    },
    Opened {
        epoch: Epoch,
        deaf: Option<Duration>,
    },
    Message(Message),
    Ping,
    Pong {
        round_trip: Duration,
    },
    Down(Down),
    Rescheduled,
    Rejected(Message),
    /// The last one. `unsent` is the rest of the backlog.
    Stopped {
        reason: String,
        unsent: Vec<Message>,
    },
}

/// A connection or a dial was lost.
#[derive(Debug)]
pub struct Down {
    pub is_dial: bool,
    pub why: Why,
    pub cause: String,
    /// How long until the next dial; `None` if there is none or it begins at once.
    pub retry: Option<Duration>,
    pub unsent: Vec<Message>,
    pub in_doubt: u64,
    /// Those in doubt, if the settings have `confirm_within`.
    pub kept: Vec<Message>,
}

/// Why, without the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Closed(Option<CloseCode>),
    Refused(u16),
    Failed,
    TimedOut(CloseReason),
    Stalled,
    Other,
}

impl Why {
    /// Whether it is a verdict of the heartbeat's or of the driver's: without a word
    /// from the system or the peer.
    #[must_use]
    pub fn is_conviction(self) -> bool {
        use CloseReason::{IdleTimeout, PongTimeout};
        matches!(
            self,
            Self::TimedOut(PongTimeout | IdleTimeout) | Self::Stalled
        )
    }
}

/// A running client. Dropping it stops it; `stop` waits for the last event.
#[derive(Debug)]
pub struct Client {
    pub adapter: Adapter,
    handle: Handle<Message>,
    events: Receiver<Event>,
}

impl Client {
    /// Starts it with the protocol's pings. Where the settings have `confirm_within`, what
    /// is in doubt is kept.
    #[must_use]
    pub fn start(adapter: Adapter, config: Config, target: Target) -> Self {
        Self::start_with(adapter, config, Plain, target, |_| {})
    }

    /// The same with a codec. `opened` is called for each `Opened`, before the backlog
    /// goes: what it sends comes first.
    #[must_use]
    pub fn start_with<K>(
        adapter: Adapter,
        config: Config,
        codec: K,
        target: Target,
        opened: impl FnMut(&mut dyn FnMut(Message)) + Send + 'static,
    ) -> Self
    where
        K: Codec<Message, Message = Message> + Send + 'static,
    {
        Self::start_as(adapter, config, codec, target, opened, |_| false)
    }

    /// The same, for logins: after each message of which `welcomes` says so, the
    /// connection is reported healthy.
    #[must_use]
    pub fn start_as<K>(
        adapter: Adapter,
        config: Config,
        codec: K,
        target: Target,
        opened: impl FnMut(&mut dyn FnMut(Message)) + Send + 'static,
        welcomes: impl FnMut(&Message) -> bool + Send + 'static,
    ) -> Self
    where
        K: Codec<Message, Message = Message> + Send + 'static,
    {
        let (sender, events) = mpsc::channel();
        let start = Start {
            config,
            codec,
            target,
            opened,
            welcomes,
            sender,
        };
        let handle = match adapter {
            Adapter::Blocking => start.on_blocking(),
            Adapter::Tokio => start.on_tokio(),
            Adapter::Smol => start.on_smol(),
            Adapter::Mio => start.on_mio(),
        };
        Self {
            adapter,
            handle,
            events,
        }
    }

    #[must_use]
    pub fn handle(&self) -> &Handle<Message> {
        &self.handle
    }

    /// The next event, or `None` after this long, or at the end.
    #[must_use]
    pub fn next(&self, within: Duration) -> Option<Event> {
        self.events.recv_timeout(within).ok()
    }

    /// Waits for the first event of which `take` makes something; everything before it
    /// goes to `log`.
    pub fn find<T>(
        &self,
        within: Duration,
        log: &mut Vec<Event>,
        mut take: impl FnMut(&Event) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + within;
        loop {
            let event = self.next(end.saturating_duration_since(Instant::now()))?;
            let taken = take(&event);
            log.push(event);
            if taken.is_some() {
                return taken;
            }
        }
    }

    /// What is there already.
    pub fn drain(&self, log: &mut Vec<Event>) {
        log.extend(self.events.try_iter());
    }

    /// Stops it, and waits for its last event.
    pub fn stop(self, within: Duration, log: &mut Vec<Event>) -> bool {
        let _ = self.handle.stop();
        let stopped = self.find(within, log, |event| {
            matches!(event.seen, Seen::Stopped { .. }).then_some(())
        });
        stopped.is_some()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.handle.stop();
    }
}

/// As many bytes in doubt as any suite sends.
const KEPT: usize = 64 << 20;

type Told<I> = driver::Notice<Message, Message, Error, I>;

/// Whether it goes on.
pub(crate) fn report<I: keepalive::Instant>(
    notice: Told<I>,
    now: impl FnOnce() -> I,
    sender: &Sender<Event>,
) -> bool {
    let at = Instant::now();
    let Some(seen) = seen(notice, now) else {
        return true;
    };
    sender.send(Event { at, seen }).is_ok()
}

fn is_message<I>(notice: &Told<I>, is: &mut impl FnMut(&Message) -> bool) -> bool {
    matches!(notice, driver::Notice::Message(message) if is(message))
}

fn seen<I: keepalive::Instant>(notice: Told<I>, now: impl FnOnce() -> I) -> Option<Seen> {
    use driver::Notice;
    Some(match notice {
        Notice::Connecting { attempt } => Seen::Connecting { attempt },
        Notice::Opened { epoch, deaf } => Seen::Opened { epoch, deaf },
        Notice::Message(message) => Seen::Message(message),
        Notice::Ping(_) => Seen::Ping,
        Notice::Pong { round_trip, .. } => Seen::Pong { round_trip },
        Notice::Down(down) => Seen::Down(Down {
            is_dial: down.lost == driver::Lost::Dial,
            why: why(&down.cause),
            cause: down.cause.to_string(),
            retry: down
                .retry
                .map(|planned| planned.at.saturating_duration_since(now())),
            unsent: down.unsent,
            in_doubt: down.in_doubt,
            kept: down.kept,
        }),
        Notice::Rescheduled(_) => Seen::Rescheduled,
        Notice::Rejected(rejected) => Seen::Rejected(rejected.message),
        Notice::Stopped { reason, unsent } => {
            let reason = reason.to_string();
            Seen::Stopped { reason, unsent }
        }
        _ => return None,
    })
}

fn why(cause: &driver::Cause<Error>) -> Why {
    use driver::Cause;
    match cause {
        Cause::Closed { code, .. } => Why::Closed(*code),
        Cause::Refused { status, .. } => Why::Refused(*status),
        Cause::Failed(_) => Why::Failed,
        Cause::TimedOut(reason) => Why::TimedOut(*reason),
        Cause::Stalled => Why::Stalled,
        _ => Why::Other,
    }
}

macro_rules! dialer {
    ($module:ident, $target:expr) => {{
        let target: Target = $target;
        let mut dialer = match target.request {
            Some(request) => keepalive::$module::Dialer::new(request),
            None => keepalive::$module::Dialer::new(target.url),
        };
        if !target.addresses.is_empty() {
            dialer = dialer.to(target.addresses);
        }
        if let Some(tls) = target.tls {
            dialer = dialer.tls(tls);
        }
        dialer
    }};
}

/// With a memory for what is in doubt, where the settings let it.
macro_rules! kept {
    ($config:expr, $session:expr) => {{
        let session = $session;
        match $config.confirm_within() {
            Some(_) => session.keeping(KEPT).unwrap(),
            None => session,
        }
    }};
}

macro_rules! polled {
    ($session:ident, $now:expr, $opened:ident, $welcomes:ident, $sender:ident) => {
        async move {
            while let Some(notice) = $session.next().await {
                let is_open = matches!(notice, driver::Notice::Opened { .. });
                let is_healthy = is_message(&notice, &mut $welcomes);
                if !report(notice, $now, &$sender) {
                    $session.stop();
                }
                if is_open {
                    $opened(&mut |message| _ = $session.send(message));
                }
                if is_healthy {
                    $session.healthy();
                }
            }
        }
    };
}

/// The one that all of it runs on.
pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    })
}

/// What a client is started with.
struct Start<K, O, W> {
    config: Config,
    codec: K,
    target: Target,
    opened: O,
    welcomes: W,
    sender: Sender<Event>,
}

impl<K, O, W> Start<K, O, W>
where
    K: Codec<Message, Message = Message> + Send + 'static,
    O: FnMut(&mut dyn FnMut(Message)) + Send + 'static,
    W: FnMut(&Message) -> bool + Send + 'static,
{
    fn on_blocking(self) -> Handle<Message> {
        let Self {
            config,
            codec,
            target,
            mut opened,
            mut welcomes,
            sender,
        } = self;
        let dialer = dialer!(blocking, target);
        let mut session = kept!(config, blocking::client_with(config, codec, dialer));
        let handle = session.handle();
        thread::Builder::new()
            .name("blocking".to_owned())
            .stack_size(256 << 10)
            .spawn(move || {
                while let Some(notice) = session.next() {
                    let is_open = matches!(notice, driver::Notice::Opened { .. });
                    let is_healthy = is_message(&notice, &mut welcomes);
                    if !report(notice, Instant::now, &sender) {
                        session.stop();
                    }
                    if is_open {
                        opened(&mut |message| _ = session.send(message));
                    }
                    if is_healthy {
                        session.healthy();
                    }
                }
            })
            .unwrap();
        handle
    }

    fn on_tokio(self) -> Handle<Message> {
        let Self {
            config,
            codec,
            target,
            mut opened,
            mut welcomes,
            sender,
        } = self;
        let dialer = session::boxed(dialer!(tokio, target));
        let mut session = kept!(config, keepalive::tokio::client_with(config, codec, dialer));
        let handle = session.handle();
        let now = || tokio::time::Instant::now().into_std();
        runtime().spawn(polled!(session, now, opened, welcomes, sender));
        handle
    }

    fn on_smol(self) -> Handle<Message> {
        let Self {
            config,
            codec,
            target,
            mut opened,
            mut welcomes,
            sender,
        } = self;
        let dialer = session::boxed(dialer!(smol, target));
        let mut session = kept!(config, keepalive::smol::client_with(config, codec, dialer));
        let handle = session.handle();
        smol::spawn(polled!(session, Instant::now, opened, welcomes, sender)).detach();
        handle
    }

    fn on_mio(self) -> Handle<Message> {
        let Self {
            config,
            codec,
            target,
            mut opened,
            mut welcomes,
            sender,
        } = self;
        let (handles, handle) = mpsc::channel();
        // It is not `Send`: it is made where it runs.
        thread::Builder::new()
            .name("mio".to_owned())
            .stack_size(256 << 10)
            .spawn(move || {
                let seed = fastrand::u64(..);
                let driver = Driver::client(config, seed, Tungstenite::new(), codec);
                let driver = kept!(config, driver);
                let mut session = mio_client::Session::new(driver, &target.url).unwrap();
                handles.send(session.handle()).unwrap();
                loop {
                    let notice = match session.step(None).unwrap() {
                        Step::Message(message) => driver::Notice::Message(message),
                        Step::Told(notice) => notice,
                        Step::Over => return,
                        Step::Again | Step::Idle(_) => continue,
                    };
                    let is_open = matches!(notice, driver::Notice::Opened { .. });
                    let is_healthy = is_message(&notice, &mut welcomes);
                    if !report(notice, Instant::now, &sender) {
                        session.driver.stop(Instant::now());
                    }
                    if is_open {
                        opened(&mut |message| _ = session.driver.send(message));
                    }
                    if let Some(epoch) = session.driver.heard_epoch().filter(|_| is_healthy) {
                        session.driver.healthy(epoch, Instant::now());
                    }
                }
            })
            .unwrap();
        handle.recv().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that echoes, and one that is gone after the first message.
    #[test]
    fn each_adapter_opens_sends_and_stops() {
        for adapter in Adapter::ALL {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("ws://{}/", listener.local_addr().unwrap());
            let server = thread::spawn(move || {
                let (socket, _) = listener.accept().unwrap();
                let mut socket = tungstenite::accept(socket).unwrap();
                let mut heard = Vec::new();
                while let Ok(message) = socket.read() {
                    if message.is_text() {
                        heard.push(message.to_string());
                        socket.send(message).unwrap();
                    }
                }
                heard
            });
            let client = Client::start_with(
                adapter,
                Config::default(),
                Plain,
                Target::new(url),
                |send| send(Message::text("first")),
            );
            client.handle().try_send(Message::text("second")).unwrap();
            let mut log = Vec::new();
            let second = client.find(Duration::from_secs(30), &mut log, |event| {
                matches!(&event.seen, Seen::Message(message) if message.to_string() == "second")
                    .then_some(())
            });
            assert!(second.is_some(), "{adapter}: {log:?}");
            assert!(
                client.stop(Duration::from_secs(30), &mut log),
                "{adapter}: {log:?}"
            );
            assert_eq!(server.join().unwrap(), ["first", "second"], "{adapter}");
        }
    }
}
