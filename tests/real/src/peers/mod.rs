//! The peers: each a process of its own, started and stopped here.
//!
//! `./install` brings what they need. A binary that starts [`Kind::Ours`] begins with
//! [`serve_if_asked`].

mod ours;
mod speech;

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

pub use ours::serve_if_asked;
pub use speech::Speech;

/// No peer takes longer to start, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// tungstenite, in this binary run again. It echoes; on `/feed` it also talks by itself,
    /// on `/sink` it never does.
    Ours,
    /// Python's `websockets`.
    Websockets,
    /// Node's `ws`.
    Ws,
    /// Node's `ws` that answers no ping, until it is unmuted.
    WsMute,
    /// engine.io 4, which pings; its clients must not.
    EngineIo,
    /// socket.io 4, above engine.io.
    SocketIo,
    /// graphql-ws; not on mio, which sends no subprotocol.
    GraphqlWs,
    Phoenix,
    SignalR,
    /// `{"op":"ping"}`.
    Exchange,
    /// `{"id":"1","method":"ping"}`.
    ExchangeId,
    /// In front of another peer.
    Nginx,
    /// In front of another peer.
    Haproxy,
    /// A client of Python's `websockets`, of a server of ours that listens on
    /// [`Options::port`].
    WebsocketsClient,
}

impl Kind {
    /// The servers.
    pub const ALL: [Self; 13] = [
        Self::Ours,
        Self::Websockets,
        Self::Ws,
        Self::WsMute,
        Self::EngineIo,
        Self::SocketIo,
        Self::GraphqlWs,
        Self::Phoenix,
        Self::SignalR,
        Self::Exchange,
        Self::ExchangeId,
        Self::Nginx,
        Self::Haproxy,
    ];

    #[must_use]
    pub fn is_proxy(self) -> bool {
        matches!(self, Self::Nginx | Self::Haproxy)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ours => "tungstenite",
            Self::Websockets => "websockets",
            Self::Ws => "ws",
            Self::WsMute => "ws, no pongs",
            Self::EngineIo => "engine.io",
            Self::SocketIo => "socket.io",
            Self::GraphqlWs => "graphql-ws",
            Self::Phoenix => "Phoenix",
            Self::SignalR => "SignalR",
            Self::Exchange => "exchange, op",
            Self::ExchangeId => "exchange, id",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::WebsocketsClient => "websockets' client",
        })
    }
}

/// Where a peer runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// What goes ahead of its command, such as `ip netns exec NAME`. It must not fork.
    pub prefix: Vec<String>,
    /// Where it listens.
    pub address: IpAddr,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            address: Ipv4Addr::LOCALHOST.into(),
        }
    }
}

/// How it runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// One that nobody has, by default.
    pub port: Option<u16>,
    /// After how much silence the peer itself ends a connection, and how often it pings,
    /// where it does: see the scripts. By default it has none, and engine.io its own.
    pub limit: Option<Duration>,
    /// Of a proxy: after how much silence it cuts.
    pub idle: Duration,
    /// Of haproxy: whether the limit is for each direction alone.
    pub each_direction: bool,
    /// Of a proxy: what it is in front of.
    pub behind: Kind,
    /// TLS, for `Websockets` and `Nginx`: the files of the certificate and its key.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: None,
            limit: None,
            idle: Duration::from_secs(60),
            each_direction: false,
            behind: Kind::Ours,
            tls: None,
        }
    }
}

/// A data message that the peer's application received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// How often the peer had been started again.
    pub life: u32,
    /// The number of the connection in that life.
    pub connection: u32,
    /// The first 100 bytes of it.
    pub text: String,
}

/// A running peer. Dropping it ends its processes.
#[derive(Debug)]
pub struct Peer {
    kind: Kind,
    options: Options,
    address: SocketAddr,
    prefix: Vec<String>,
    command: Vec<String>,
    keeper: Option<Keeper>,
    life: u32,
    output: Arc<Mutex<Output>>,
    behind: Option<Box<Peer>>,
    folder: PathBuf,
}

#[derive(Debug)]
struct Keeper {
    child: Child,
    /// The group lives as long as this is open.
    _stdin: ChildStdin,
    group: Pid,
}

#[derive(Debug, Default)]
struct Output {
    heard: Vec<Heard>,
    lines: Vec<(Instant, String)>,
}

impl Peer {
    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    ///
    /// Where it does not start; it says why.
    #[must_use]
    pub fn start(kind: Kind, place: &Place) -> Self {
        Self::start_with(kind, place, Options::default())
    }

    /// The same, with options.
    ///
    /// # Panics
    ///
    /// Where it does not start; it says why.
    #[must_use]
    pub fn start_with(kind: Kind, place: &Place, options: Options) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = installed().join("run").join(format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir_all(&folder).unwrap();
        let behind = kind.is_proxy().then(|| {
            let beneath = Options {
                limit: options.limit,
                ..Options::default()
            };
            Box::new(Self::start_with(options.behind, place, beneath))
        });
        let port = options.port.unwrap_or_else(free_port);
        let mut peer = Self {
            kind,
            address: SocketAddr::new(place.address, port),
            prefix: place.prefix.clone(),
            command: Vec::new(),
            keeper: None,
            life: 0,
            output: Arc::default(),
            behind,
            folder,
            options,
        };
        peer.command = peer.command();
        peer.launch();
        peer
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whom a client dials.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.options.tls {
            Some(_) => "wss",
            None => "ws",
        };
        format!("{scheme}://{}{}", self.address, self.speech().path())
    }

    /// How its clients speak.
    #[must_use]
    pub fn speech(&self) -> Speech {
        match &self.behind {
            Some(behind) => behind.speech(),
            None => Speech(self.kind),
        }
    }

    /// What a proxy is in front of.
    #[must_use]
    pub fn behind(&mut self) -> Option<&mut Self> {
        self.behind.as_deref_mut()
    }

    /// The leader of its process group: a proxy's master.
    ///
    /// # Panics
    ///
    /// Where it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let group = self.keeper.as_ref().unwrap().group;
        group.as_raw_nonzero().get().try_into().unwrap()
    }

    /// What its application received, or that of the peer behind it, in order.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        match &self.behind {
            Some(behind) => behind.heard(),
            None => self.output.lock().unwrap().heard.clone(),
        }
    }

    /// All that it printed, and when.
    #[must_use]
    pub fn lines(&self) -> Vec<(Instant, String)> {
        self.output.lock().unwrap().lines.clone()
    }

    /// SIGSTOP: TCP goes on in the kernel, and nobody answers. A proxy's workers too, and
    /// not the peer behind it.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// The peers in Node say nothing more, and read on.
    pub fn mute(&self) {
        self.signal(Signal::USR2);
    }

    /// Ends `mute`.
    pub fn unmute(&self) {
        self.signal(Signal::HUP);
    }

    /// Of a proxy: new workers, while the old ones linger for 2 s at most.
    ///
    /// # Panics
    ///
    /// Where it is no proxy, or does not run.
    pub fn reload(&self) {
        let signal = match self.kind {
            Kind::Nginx => Signal::HUP,
            Kind::Haproxy => Signal::USR2,
            _ => panic!("{} cannot be reloaded", self.kind),
        };
        kill_process(self.keeper.as_ref().unwrap().group, signal).unwrap();
    }

    /// SIGKILL, for all of its processes. `restart` brings it back.
    pub fn kill(&mut self) {
        if self.keeper.is_some() {
            self.signal(Signal::KILL);
            self.end();
        }
    }

    /// SIGTERM, and waits until it is gone; one that stays is killed.
    pub fn stop(&mut self) {
        if self.keeper.is_some() {
            self.signal(Signal::TERM);
            self.end();
        }
    }

    /// Starts it again where it listened, after `kill` where it still runs.
    ///
    /// # Panics
    ///
    /// Where it does not start; it says why.
    pub fn restart(&mut self) {
        self.kill();
        self.life += 1;
        self.launch();
    }

    fn signal(&self, signal: Signal) {
        if let Some(keeper) = &self.keeper {
            // It may be gone by itself.
            let _ = kill_process_group(keeper.group, signal);
        }
    }

    fn end(&mut self) {
        let Some(mut keeper) = self.keeper.take() else {
            return;
        };
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if matches!(keeper.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = kill_process_group(keeper.group, Signal::KILL);
        let _ = keeper.child.wait();
    }

    fn command(&self) -> Vec<String> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let (host, port) = (
            self.address.ip().to_string(),
            self.address.port().to_string(),
        );
        let limit = self.options.limit;
        let limit = limit.map_or(String::new(), |limit| limit.as_millis().to_string());
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let node = |script: &str| {
            let script = path(&scripts.join(script));
            vec![
                "node".to_owned(),
                script,
                host.clone(),
                port.clone(),
                limit.clone(),
            ]
        };
        match self.kind {
            Kind::Ours => {
                let own = std::env::current_exe().unwrap();
                vec![path(&own), "--peer".to_owned(), host, port]
            }
            Kind::Websockets => {
                let python = path(&installed().join("venv/bin/python"));
                let script = path(&scripts.join("websockets_server.py"));
                let mut command = vec![python, script, host, port, limit];
                if let Some((certificate, key)) = &self.options.tls {
                    command.extend([path(certificate), path(key)]);
                }
                command
            }
            Kind::WebsocketsClient => {
                let python = path(&installed().join("venv/bin/python"));
                let script = path(&scripts.join("websockets_client.py"));
                vec![python, script, format!("ws://{}/", self.address)]
            }
            Kind::Ws => node("ws.js"),
            Kind::WsMute => {
                let mut command = node("ws.js");
                command.push("mute".to_owned());
                command
            }
            Kind::EngineIo => node("engine_io.js"),
            Kind::SocketIo => node("socket_io.js"),
            Kind::GraphqlWs => node("graphql_ws.js"),
            Kind::Phoenix => node("phoenix.js"),
            Kind::SignalR => node("signalr.js"),
            Kind::Exchange | Kind::ExchangeId => node("exchange.js"),
            Kind::Nginx => {
                self.write_config(&scripts, "nginx.conf");
                let folder = path(&self.folder);
                ["nginx", "-p", &folder, "-e", "stderr", "-c", "nginx.conf"]
                    .map(str::to_owned)
                    .to_vec()
            }
            Kind::Haproxy => {
                let config = path(&self.write_config(&scripts, "haproxy.cfg"));
                ["haproxy", "-W", "-db", "-f", &config]
                    .map(str::to_owned)
                    .to_vec()
            }
        }
    }

    fn write_config(&self, scripts: &Path, name: &str) -> PathBuf {
        let (tls, certificate) = match &self.options.tls {
            Some((certificate, key)) => (
                " ssl",
                format!(
                    "ssl_certificate {}; ssl_certificate_key {};",
                    certificate.display(),
                    key.display()
                ),
            ),
            None => ("", String::new()),
        };
        let upstream = self.behind.as_ref().unwrap().address.to_string();
        let idle = format!("{}ms", self.options.idle.as_millis());
        let tunnel = match self.options.each_direction {
            true => "option independent-streams".to_owned(),
            false => format!("timeout tunnel {idle}"),
        };
        let text = fs::read_to_string(scripts.join(name))
            .unwrap()
            .replace("@TUNNEL@", &tunnel)
            .replace("@LISTEN@", &self.address.to_string())
            .replace("@UPSTREAM@", &upstream)
            .replace("@IDLE@", &idle)
            .replace("@TLS@", tls)
            .replace("@CERTIFICATE@", &certificate);
        let config = self.folder.join(name);
        fs::write(&config, text).unwrap();
        config
    }

    fn launch(&mut self) {
        let keep = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/keep");
        let errors = self.folder.join("errors");
        let mut child = Command::new(keep)
            .args(&self.prefix)
            .args(&self.command)
            .env("NODE_PATH", installed().join("node_modules"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{keep}: {error}"));
        let stdin = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let group = line.trim().strip_prefix("pid ").unwrap().parse().unwrap();
        self.keeper = Some(Keeper {
            child,
            _stdin: stdin,
            group: Pid::from_raw(group).unwrap(),
        });

        let before = self.output.lock().unwrap().lines.len();
        let (life, collected) = (self.life, Arc::clone(&self.output));
        thread::spawn(move || {
            for line in output.split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line).into_owned();
                let mut collected = collected.lock().unwrap();
                let parts = line
                    .strip_prefix("heard ")
                    .and_then(|rest| rest.split_once(' '));
                if let Some((connection, text)) = parts {
                    collected.heard.push(Heard {
                        life,
                        connection: connection.parse().unwrap_or(u32::MAX),
                        text: text.to_owned(),
                    });
                } else {
                    collected.lines.push((Instant::now(), line));
                }
            }
        });

        let end = Instant::now() + PATIENCE;
        while !self.is_ready(before) {
            let is_gone = self.lines()[before..]
                .iter()
                .any(|(_, line)| line.starts_with("exit "));
            if is_gone || Instant::now() > end {
                let errors = fs::read_to_string(&errors).unwrap_or_default();
                panic!("{} did not start: {:?}\n{errors}", self.kind, self.command);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_ready(&self, before: usize) -> bool {
        if !self.kind.is_proxy() {
            return self.lines()[before..]
                .iter()
                .any(|(_, line)| line == "ready");
        }
        let connect = format!(
            "exec 3<>/dev/tcp/{}/{}",
            self.address.ip(),
            self.address.port()
        );
        let mut command = self
            .prefix
            .iter()
            .map(String::as_str)
            .chain(["bash", "-c", &connect]);
        let connected = Command::new(command.next().unwrap())
            .args(command)
            .stderr(Stdio::null())
            .status();
        connected.unwrap().success()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where `./install` put them: below the target directory that this binary is in.
///
/// # Panics
///
/// Where nothing is installed.
#[must_use]
pub fn installed() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let own = std::env::current_exe().unwrap();
        let places = own.ancestors().map(|folder| folder.join("real-peers"));
        let mut there = places.filter(|place| place.join("package-lock.json").exists());
        let place = there.next();
        let place = place.expect("the peers are missing: run tests/real/install");
        forget_the_killed(&place.join("run"));
        place
    })
}

/// Removes the folders of processes that are no more.
fn forget_the_killed(run: &Path) {
    for folder in fs::read_dir(run).into_iter().flatten().flatten() {
        let name = folder.file_name();
        let id = name.to_str().and_then(|name| name.split('-').next());
        if id.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            let _ = fs::remove_dir_all(folder.path());
        }
    }
}

/// One that nobody has, and that no client gets by chance: so it can be listened on again.
fn free_port() -> u16 {
    static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut taken = TAKEN.lock().unwrap();
    let taken = taken.get_or_insert_default();
    loop {
        let port = fastrand::u16(15_000..32_000);
        if !taken.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            taken.insert(port);
            return port;
        }
    }
}
