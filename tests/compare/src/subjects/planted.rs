//! Clients with known faults: the harness has to see them.

use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::connect_async;
use tungstenite::Message;

use super::{
    INTERVAL, MESSAGES, MESSAGES_EVERY, Mode, TIMEOUT, message, say_down, say_large, say_message,
    say_open, upload,
};

/// Judges by the clock before it reads, and by pongs alone.
pub(super) async fn hasty(url: String, mode: Mode) {
    while let Ok((mut socket, _)) = connect_async(&url).await {
        say_open();
        if mode == Mode::Upload {
            let _ = socket.feed(Message::binary(upload())).await;
        }
        loop {
            let ping_at = Instant::now() + INTERVAL;
            let end = ping_at + TIMEOUT;
            let mut pinged = false;
            let why = loop {
                let until = if pinged { end } else { ping_at };
                tokio::select! {
                    biased;
                    () = sleep_until(until) => {
                        if pinged {
                            break Some("no pong");
                        }
                        pinged = true;
                        let _ = socket.send(Message::Ping(Default::default())).await;
                    }
                    message = socket.next() => match message {
                        Some(Ok(Message::Pong(_))) => break None,
                        Some(Ok(Message::Text(text))) => say_message(&text),
                        Some(Ok(message)) => say_large(message.len()),
                        _ => break Some("closed"),
                    },
                }
            };
            if let Some(why) = why {
                say_down(why);
                break;
            }
        }
    }
}

/// Dials again at once.
pub(super) async fn hot(url: String) {
    loop {
        if let Ok((mut socket, _)) = connect_async(&url).await {
            say_open();
            while let Some(Ok(_)) = socket.next().await {}
            say_down("closed");
        }
    }
}

/// Never notices anything, and takes what it hears on the old connection for the new one's
/// end.
pub(super) async fn deaf(url: String, mode: Mode) {
    let Ok((mut old, _)) = connect_async(&url).await else {
        return;
    };
    say_open();
    if mode == Mode::Messages {
        for number in 1..=MESSAGES {
            let _ = old.send(Message::text(message(number))).await;
            tokio::time::sleep(MESSAGES_EVERY).await;
        }
        return std::future::pending().await;
    }
    sleep_until(Instant::now() + INTERVAL + TIMEOUT + TIMEOUT).await;
    say_down("tired");
    let Ok((new, _)) = connect_async(&url).await else {
        return;
    };
    say_open();
    while let Some(Ok(message)) = old.next().await {
        if let Message::Text(text) = message {
            say_message(&text);
        }
    }
    drop(new);
    say_down("the old one closed");
    std::future::pending().await
}
