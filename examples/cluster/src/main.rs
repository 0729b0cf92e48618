//! A chat on as many servers as you like, which Redis joins. Start some of them:
//! `cargo run --manifest-path examples/cluster/Cargo.toml redis://127.0.0.1:6379`.
//!
//! Who connects to `ws://.../ann` is Ann, and what she says reaches everybody on all
//! servers, by a channel. While she is there, `presence:ann` says on which of them: each
//! answer to a ping renews it, and where nobody renews it, it goes by itself. Ctrl-C
//! drains a server before it ends.

mod connection;
mod hub;

use std::env;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::time::Duration;

use hub::Hub;
use keepalive::Config;
use keepalive::fleet::Members;
use keepalive::tokio::Timer;
use tokio::net::TcpListener;
use tokio::time::sleep;

const USAGE: &str = "Arguments: REDIS_URL [ADDRESS [PING_INTERVAL_MS PONG_TIMEOUT_MS]]";

type Failure = Box<dyn Error + Send + Sync>;

/// A restart sends everybody away over this time.
const DRAIN: Duration = Duration::from_secs(10);

struct Arguments {
    redis: String,
    address: String,
    config: Config,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Option<Arguments> {
    let mut words = env::args_os().skip(1).map(|word| word.into_string().ok());
    let redis = words.next()??;
    let address = words
        .next()
        .unwrap_or_else(|| Some("127.0.0.1:9001".into()))?;
    let mut config = Config::builder();
    if let Some(interval) = words.next() {
        config = config
            .ping_interval(millis(interval)?)
            .pong_timeout(millis(words.next()?)?);
    }
    let config = config.build().ok()?;
    words.next().is_none().then_some(Arguments {
        redis,
        address,
        config,
    })
}

fn millis(word: Option<String>) -> Option<Duration> {
    word?.parse().ok().map(Duration::from_millis)
}

async fn serve(arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        redis,
        address,
        config,
    } = arguments;
    let listener = TcpListener::bind(address).await?;
    let url = format!("ws://{}", listener.local_addr()?);
    let hub = Hub::connect(&redis, url.clone(), presence_lasts(&config)).await?;
    let members = Members::new(config, RandomState::new().hash_one(0));
    tokio::spawn(members.clone().run(Timer::new()));
    println!("{url}");

    tokio::select! {
        () = accept(listener, &members, &hub) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    members.drain(DRAIN);
    while !members.is_empty() {
        sleep(Duration::from_millis(50)).await;
    }
    hub.finish().await;
    Ok(())
}

/// How long a presence lasts that nobody renews.
///
/// Something comes from a member that is alive at least once per interval and timeout.
/// Presence is renewed at the first thing that comes half an interval after the last time,
/// and the other half is for Redis and the periods of the members.
fn presence_lasts(config: &Config) -> Duration {
    config.ping_interval() * 2 + config.pong_timeout()
}

/// For as long as this is polled.
async fn accept(listener: TcpListener, members: &Members, hub: &Hub) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                tokio::spawn(connection::serve(socket, members.clone(), hub.clone()));
            }
            Err(error) => {
                eprintln!("cluster: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
