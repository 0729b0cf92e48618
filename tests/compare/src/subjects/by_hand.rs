//! The loop that careful users of tokio-tungstenite write: pings, a deadline that anything
//! received lifts, a timeout for dials, backoff with jitter, a queue for what is to be sent.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tungstenite::Message;

use super::{
    Duration, INTERVAL, Mode, TIMEOUT, application, say_doubt, say_down, say_large, say_message,
    say_open,
};

const DIAL: Duration = Duration::from_secs(10);
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

pub(super) async fn run(url: String, mode: Mode) {
    let mut outgoing = application(mode);
    let mut delay = FIRST_DELAY;
    loop {
        match timeout(DIAL, connect_async(&url)).await {
            Ok(Ok((socket, _))) => {
                delay = FIRST_DELAY;
                say_open();
                say_down(converse(socket, &mut outgoing).await);
            }
            Ok(Err(error)) => say_down(error),
            Err(_) => say_down("the dial took too long"),
        }
        sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

/// Why it ended.
async fn converse(
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    outgoing: &mut Receiver<Message>,
) -> String {
    let (mut sink, mut stream) = socket.split();
    let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deadline: Option<Instant> = None;
    loop {
        let late = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = stream.next() => {
                deadline = None;
                match message {
                    Some(Ok(Message::Text(text))) => say_message(&text),
                    Some(Ok(Message::Binary(bytes))) => say_large(bytes.len()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.to_string(),
                    None => return "closed".to_owned(),
                }
            }
            () = late => return "no pong".to_owned(),
            _ = ticks.tick() => {
                if let Err(error) = sink.send(Message::Ping(Default::default())).await {
                    return error.to_string();
                }
                deadline.get_or_insert_with(|| Instant::now() + TIMEOUT);
            }
            Some(message) = outgoing.recv() => {
                if let Err(error) = sink.send(message).await {
                    say_doubt(1);
                    return error.to_string();
                }
            }
        }
    }
}
