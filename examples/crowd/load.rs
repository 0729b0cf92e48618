//! The load generator: plain WebSocket clients, some of which fall silent when told to.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::Failure;
use crate::late::Lateness;
use crate::server::web_socket;

/// What a client says before it falls silent.
pub(crate) const LAST_WORD: &str = "I will read and say nothing any more.";

/// What comes on the standard input when it is time for that.
pub(crate) const MUTE: &str = "mute";

/// Within this time they all fall silent.
pub(crate) const MUTE_WITHIN: Duration = Duration::from_secs(2);

/// How many dial at a time.
const DIALS: usize = 64;

type Socket = WebSocketStream<TcpStream>;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(
    address: SocketAddr,
    connections: usize,
    muted: usize,
) -> Result<bool, Failure> {
    let lateness = Lateness::watch();
    let mut mute = when_told();
    let dials = Arc::new(Semaphore::new(DIALS));
    let mut talking = JoinSet::new();
    for number in 0..connections {
        let permit = Arc::clone(&dials).acquire_owned().await?;
        let mute = mute.clone();
        // Evenly among the others.
        let is_muted = (number + 1) * muted / connections > number * muted / connections;
        let client = async move {
            let socket = dial(address).await?;
            drop(permit);
            Ok::<_, Error>(if is_muted {
                fall_silent(socket, mute).await
            } else {
                talk(socket).await
            })
        };
        if is_muted {
            tokio::spawn(client);
        } else {
            talking.spawn(client);
        }
    }
    let (mut sent_away, mut lost) = (0, 0);
    while let Some(end) = talking.join_next().await {
        match end? {
            Ok(Some(CloseCode::Away)) => sent_away += 1,
            _ => lost += 1,
        }
    }
    while mute.changed().await.is_ok() {} // until the server has no more to say
    println!(
        "clients      {sent_away} closed with 1001, {lost} lost; timers up to {} ms late",
        lateness.greatest().as_millis()
    );
    Ok(lost == 0)
}

fn when_told() -> watch::Receiver<bool> {
    let (sender, mute) = watch::channel(false);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            sender.send_replace(line == MUTE);
        }
    });
    mute
}

async fn dial(address: SocketAddr) -> Result<Socket, Error> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let url = format!("ws://{address}/");
    let (socket, _) = client_async_with_config(url, socket, Some(web_socket())).await?;
    Ok(socket)
}

/// Says a word now and then, and answers pings, which tungstenite does while it is read
/// from. How the server ended it.
async fn talk(mut socket: Socket) -> Option<CloseCode> {
    let mut code = None;
    let mut next_word = word_due();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Close(frame))) => code = frame.map(|frame| frame.code),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return code,
            },
            () = sleep_until(next_word) => {
                // Where that fails, reading says why.
                let _ = socket.send(Message::text("hello")).await;
                next_word = word_due();
            }
        }
    }
}

/// The same until it is time; from then on its TCP connection stays, and that is all.
async fn fall_silent(mut socket: Socket, mut mute: watch::Receiver<bool>) -> Option<CloseCode> {
    let mut told = pin!(async {
        drop(mute.wait_for(|mute| *mute).await); // or the server is gone
        sleep(MUTE_WITHIN.mul_f64(fastrand::f64())).await;
    });
    loop {
        tokio::select! {
            message = socket.next() => {
                let Some(Ok(_)) = message else { return None };
            }
            () = &mut told => break,
        }
    }
    let _ = socket.send(Message::text(LAST_WORD)).await;
    pending().await
}

fn word_due() -> Instant {
    Instant::now() + Duration::from_secs_f64(1.0 + 19.0 * fastrand::f64())
}
