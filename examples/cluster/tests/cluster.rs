//! Two servers that Redis joins, of which one is killed: real processes, and clients of
//! `keepalive` that come back on the other.
//!
//! `redis-server` has to be there (`apt-get install redis-server`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keepalive::tokio::{Message, client, connect};
use keepalive::{Config, Notice};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep, timeout};

const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(1000);
/// What the servers make of these two.
const PRESENCE_LASTS: Duration = Duration::from_millis(2000);
/// Within this clients come back after the loss of a stable connection.
const SPREAD: Duration = Duration::from_secs(3);
/// For everything that should be over long before.
const PATIENCE: Duration = Duration::from_secs(30);

const CLIENTS: usize = 50;
/// Those of the first server who do not come back.
const LEAVERS: usize = 5;

#[tokio::test]
async fn one_server_is_killed_and_the_other_takes_its_clients() {
    let redis = Redis::start();
    let mut presence = redis.connect().await;
    let (first, second) = (Server::start(&redis), Server::start(&redis));
    let mut crowd = Crowd::new();
    for number in 0..CLIENTS {
        let (own, other) = match number % 2 {
            0 => (&first, &second),
            _ => (&second, &first),
        };
        let returns = number % 2 == 1 || number / 2 >= LEAVERS;
        let urls = [own.url.clone(), other.url.clone()];
        crowd.join(&format!("user{number}"), urls, returns);
    }
    crowd.until_open(CLIENTS).await;
    until("all are there", async || {
        presences(&mut presence).await.len() == CLIENTS
    })
    .await;
    for (server, count) in [(&first, 25), (&second, 25)] {
        assert_eq!(on(server, &presences(&mut presence).await), count);
    }
    crowd.says("user0", CLIENTS).await;
    crowd.says("user1", CLIENTS).await;

    // Nobody says anything for longer than a presence lasts: the answers to the servers'
    // pings renew it.
    let end = Instant::now() + PRESENCE_LASTS * 2;
    while Instant::now() < end {
        assert_eq!(presences(&mut presence).await.len(), CLIENTS);
        sleep(Duration::from_millis(20)).await;
    }

    let second_url = second.url.clone();
    let killed = Instant::now();
    drop(first);
    until("its members are gone", async || {
        let presences = presences(&mut presence).await;
        presences.values().all(|url| *url == second_url)
    })
    .await;
    let took = killed.elapsed();
    println!("its members left the presence after {took:?} of at most {PRESENCE_LASTS:?}");
    assert!(took < PRESENCE_LASTS + Duration::from_millis(500));

    let staying = CLIENTS - LEAVERS;
    crowd.until_open(CLIENTS / 2 - LEAVERS).await;
    until("all others are there again", async || {
        presences(&mut presence).await.len() == staying
    })
    .await;
    assert_eq!(on(&second, &presences(&mut presence).await), staying);
    crowd.assert_spread(killed);
    crowd.says("user1", staying).await;
    crowd.says("user48", staying).await;

    // The server that was killed is replaced.
    let third = Server::start(&redis);
    crowd.join("late", [third.url.clone(), second.url.clone()], true);
    crowd.until_open(1).await;
    crowd.says("late", staying + 1).await;
    crowd.says("user1", staying + 1).await;
    until("all are there", async || {
        presences(&mut presence).await.len() == staying + 1
    })
    .await;
    assert_eq!(on(&third, &presences(&mut presence).await), 1);
}

/// The clients, each a session in a task of its own.
struct Crowd {
    to_say: broadcast::Sender<String>,
    told: mpsc::UnboundedReceiver<Told>,
    tell: mpsc::UnboundedSender<Told>,
    opened: Vec<Instant>,
    is_counted: usize,
}

enum Told {
    Opened(Instant),
    Heard(String),
}

impl Crowd {
    fn new() -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        Self {
            to_say: broadcast::channel(16).0,
            told,
            tell,
            opened: Vec::new(),
            is_counted: 0,
        }
    }

    /// Another one, who dials these servers in turn.
    fn join(&mut self, user: &str, urls: [String; 2], returns: bool) {
        let config = Config::builder()
            .first_spread(SPREAD)
            .stable_after(Duration::from_secs(1))
            .reconnect(returns)
            .build()
            .unwrap();
        let (user, tell, mut to_say) =
            (user.to_owned(), self.tell.clone(), self.to_say.subscribe());
        tokio::spawn(async move {
            let mut servers = urls.iter().cycle();
            let mut session = client(config, |_attempt| {
                connect(format!("{}/{user}", servers.next().unwrap()))
            });
            loop {
                tokio::select! {
                    notice = session.next() => match notice {
                        Some(Notice::Opened { .. }) => {
                            tell.send(Told::Opened(Instant::now())).unwrap();
                        }
                        Some(Notice::Message(words)) => {
                            tell.send(Told::Heard(words.to_string())).unwrap();
                        }
                        Some(_) => {}
                        None => return,
                    },
                    Ok(who) = to_say.recv() => if who == user {
                        session.send(Message::text("hello")).unwrap();
                    },
                }
            }
        });
    }

    /// Until so many more have opened.
    async fn until_open(&mut self, count: usize) {
        self.is_counted += count;
        while self.opened.len() < self.is_counted {
            match timeout(PATIENCE, self.told.recv()).await {
                Ok(Some(Told::Opened(at))) => self.opened.push(at),
                Ok(Some(Told::Heard(_))) => {}
                _ => panic!("{} of {}", self.opened.len(), self.is_counted),
            }
        }
    }

    /// This user says something, and so many hear it.
    async fn says(&mut self, user: &str, all: usize) {
        self.to_say.send(user.to_owned()).unwrap();
        for heard in 0..all {
            match timeout(PATIENCE, self.told.recv()).await {
                Ok(Some(Told::Heard(words))) => assert_eq!(words, format!("{user}: hello")),
                Ok(Some(Told::Opened(_))) => panic!("somebody was lost"),
                _ => panic!("{heard} of {all} heard {user}"),
            }
        }
    }

    /// Those who came back since then did so over the whole spread, and none in a crowd.
    fn assert_spread(&self, since: Instant) {
        let mut tenths = [0; 11];
        for at in self.opened.iter().filter(|at| **at > since) {
            let tenth = (*at - since).as_secs_f64() / SPREAD.as_secs_f64() * 10.0;
            tenths[(tenth as usize).min(10)] += 1;
        }
        println!("they came back, by tenths of the spread: {tenths:?}");
        assert!(tenths.iter().all(|count| *count <= 10), "{tenths:?}");
        assert!(tenths[5..].iter().sum::<usize>() > 0, "{tenths:?}");
    }
}

/// Who is there, and by which server.
async fn presences(redis: &mut MultiplexedConnection) -> BTreeMap<String, String> {
    let keys: Vec<String> = redis.keys("presence:*").await.unwrap();
    if keys.is_empty() {
        return BTreeMap::new();
    }
    let connections: Vec<Option<String>> = redis.mget(&keys).await.unwrap();
    let server = |connection: String| connection.split(' ').next().unwrap().to_owned();
    let connections = keys.into_iter().zip(connections);
    let there = connections.filter_map(|(key, connection)| Some((key, server(connection?))));
    there.collect()
}

fn on(server: &Server, presences: &BTreeMap<String, String>) -> usize {
    let on_it = presences.values().filter(|url| **url == server.url);
    on_it.count()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "{what}: not yet");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A process that is killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is no worse off.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Server {
    url: String,
    _process: Process,
}

impl Server {
    fn start(redis: &Redis) -> Self {
        let times = [INTERVAL, TIMEOUT].map(|time| time.as_millis().to_string());
        let mut child = Command::new(env!("CARGO_BIN_EXE_cluster"))
            .args([&redis.url, "127.0.0.1:0"])
            .args(times)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let process = Process(child);
        let url = lines.next().expect("the server does not start").unwrap();
        Self {
            url,
            _process: process,
        }
    }
}

struct Redis {
    url: String,
    _process: Process,
}

impl Redis {
    /// On a port that was free a moment ago.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        drop(listener);
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is missing: apt-get install redis-server");
        Self {
            url: format!("redis://127.0.0.1:{port}"),
            _process: Process(child),
        }
    }

    /// Once it is up.
    async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            match client.get_multiplexed_async_connection().await {
                Ok(connection) => return connection,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}
