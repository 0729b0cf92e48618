use std::time::Duration;

use keepalive::driver::{self, Notice};
use keepalive::{Config, Handle};
use tungstenite::{Error, Message};

use super::{
    INTERVAL, MESSAGES, MESSAGES_EVERY, Mode, TIMEOUT, message, say_doubt, say_down, say_large,
    say_message, say_open, upload,
};

fn config() -> Config {
    Config::builder()
        .ping_interval(INTERVAL)
        .send_interval(Some(INTERVAL))
        .pong_timeout(TIMEOUT)
        .build()
        .unwrap()
}

pub(super) async fn tokio(url: String, mode: Mode) {
    use keepalive::tokio::{Dialer, client};

    let mut session = client(config(), Dialer::new(url));
    application(session.handle(), mode);
    while let Some(notice) = session.next().await {
        report(notice);
    }
}

pub(super) fn blocking(url: String, mode: Mode) {
    use keepalive::blocking::{Dialer, client};

    let mut session = client(config(), Dialer::new(url));
    application(session.handle(), mode);
    for notice in session {
        report(notice);
    }
}

fn application(handle: Handle<Message>, mode: Mode) {
    std::thread::spawn(move || match mode {
        Mode::Listen => {}
        Mode::Upload => handle.send_blocking(Message::binary(upload())).unwrap(),
        Mode::Messages => {
            handle.wait_open(Duration::from_secs(60)).unwrap();
            for number in 1..=MESSAGES {
                handle
                    .send_blocking(Message::text(message(number)))
                    .unwrap();
                std::thread::sleep(MESSAGES_EVERY);
            }
        }
    });
}

fn report<I>(notice: driver::Notice<Message, Message, Error, I>) {
    match notice {
        Notice::Opened { .. } => say_open(),
        Notice::Message(Message::Text(text)) => say_message(&text),
        Notice::Message(message) => say_large(message.len()),
        Notice::Down(down) => {
            say_down(&down.cause);
            say_doubt(down.in_doubt + down.unsent.len() as u64);
        }
        _ => {}
    }
}
