//! One driver in every adapter: what happens to a client is told there as the
//! blocking adapter tells it, the same events in the same order.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "../examples/mio_client.rs"]
#[allow(dead_code)]
mod mio_client;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/peer_scenarios.rs"]
mod scenarios;

use std::fmt::Debug;
use std::time::Instant;

use futures_core::Stream;
use keepalive::driver::{Codec, Dialect, Plain};
use keepalive::session::{Connect, Session, Timer, Transport};
use keepalive::{CloseCode, Closed, Config};
use tungstenite::Message;

use peer::PATIENCE;
use scenarios::{Client, Order, Story, Told, words_of, words_of_io};

/// Lets this session run until the application has had enough.
async fn tell<C, T, D, K, O, M, E>(
    mut session: Session<C, T, D, K, O>,
    send: impl Fn(Message),
    length: impl Fn(&M) -> usize,
    words: impl Fn(&E) -> String,
    mut app: impl FnMut(&Told) -> Order,
) -> Story
where
    C: Connect,
    C::Socket: Transport<Message = M, Fault = E>,
    E: Debug,
    M: Debug,
    T: Timer<Instant = Instant>,
    D: Dialect<Message = M>,
    K: Codec<M, Message = M>,
    O: Stream<Item = M> + Unpin,
{
    let mut story = Story::default();
    let mut order = app(&Told::Idle);
    loop {
        match order {
            Order::Nothing => {}
            Order::Send(message) => send(message),
            Order::Stop => session.stop(),
            Order::ReconnectNow => session.reconnect_now(),
            Order::NetworkChanged => session.network_changed(),
            Order::GiveUp(code) => {
                session.give_up(Closed::with_code(CloseCode(code)));
            }
            Order::Quit => return story,
        }
        let Some(notice) = session.next().await else {
            return story;
        };
        let told = Told::of(notice, Instant::now(), &length, &words);
        order = story.tell(told, &mut app);
    }
}

/// How many messages may wait in the application's channel.
const ROOM: usize = 16;

mod on_tokio {
    use super::*;
    use keepalive::tokio::{client, connect};

    /// It sends by a handle.
    struct Tokio;

    impl Client for Tokio {
        fn run(config: Config, url: &str, app: impl FnMut(&Told) -> Order) -> Story {
            let mut session = client(config, |_| connect(url)).with_seed(7);
            let handle = session.handle();
            let send = |message| drop(handle.try_send(message));
            block_on(tell(session, send, Message::len, words_of, app))
        }
    }

    pub(super) fn block_on(story: impl Future<Output = Story>) -> Story {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let story = async { tokio::time::timeout(PATIENCE, story).await };
        runtime.block_on(story).expect("no end")
    }

    scenarios::test_all!(Tokio);
}

mod on_smol {
    use super::*;
    use keepalive::smol::{client, connect};

    struct Smol;

    impl Client for Smol {
        fn run(config: Config, url: &str, app: impl FnMut(&Told) -> Order) -> Story {
            let (sender, outgoing) = smol::channel::bounded(ROOM);
            let session = client(config, |_| connect(url))
                .with_seed(7)
                .sending(Box::pin(outgoing));
            let send = |message| drop(sender.try_send(message));
            let patience = async {
                smol::Timer::after(PATIENCE).await;
                panic!("no end")
            };
            let story = tell(session, send, Message::len, words_of, app);
            smol::block_on(smol::future::or(story, patience))
        }
    }

    scenarios::test_all!(Smol);
}

/// A library with messages and errors of its own.
mod on_tokio_websockets {
    use super::*;
    use keepalive::tokio::Channel;
    use keepalive::tokio_websockets::{Dialer, client};
    use tokio::sync::mpsc;
    use tokio_websockets::{Error, Message as Theirs};

    struct TokioWebsockets;

    impl Client for TokioWebsockets {
        const HEARS_HINTS: bool = false;
        const LINGERS: bool = false;
        const READS_ON: bool = false;

        fn run(config: Config, url: &str, app: impl FnMut(&Told) -> Order) -> Story {
            let (sender, outgoing) = mpsc::channel(ROOM);
            let session = client(config, Dialer::new(url))
                .with_seed(7)
                .sending(Channel(outgoing));
            let send = |message| drop(sender.try_send(translated(message)));
            let length = |message: &Theirs| message.as_payload().len();
            on_tokio::block_on(tell(session, send, length, words, app))
        }
    }

    fn translated(message: Message) -> Theirs {
        match message {
            Message::Binary(payload) => Theirs::binary(payload),
            Message::Text(text) => Theirs::text(text.to_string()),
            other => panic!("{other}"),
        }
    }

    /// As tungstenite says it.
    fn words(error: &Error) -> String {
        match error {
            Error::Io(error) => words_of_io(error),
            error => error.to_string(),
        }
    }

    scenarios::test_all!(TokioWebsockets);
}

/// The example of an adapter by hand.
mod on_mio {
    use super::*;
    use crate::mio_client::Session;
    use keepalive::driver::{Driver, Notice, Step};
    use keepalive::tungstenite::Tungstenite;

    struct Mio;

    impl Client for Mio {
        fn run(config: Config, url: &str, mut app: impl FnMut(&Told) -> Order) -> Story {
            let driver = Driver::client(config, 7, Tungstenite::new(), Plain);
            let mut session = Session::new(driver, url).unwrap();
            let end = Instant::now() + PATIENCE;
            let mut story = Story::default();
            let mut order = app(&Told::Idle);
            loop {
                let (driver, now) = (&mut session.driver, Instant::now());
                match order {
                    Order::Nothing => {}
                    Order::Send(message) => drop(driver.send(message)),
                    Order::Stop => driver.stop(now),
                    Order::ReconnectNow => driver.reconnect_now(now),
                    Order::NetworkChanged => driver.network_changed(),
                    Order::GiveUp(code) => {
                        let epoch = driver.heard_epoch().unwrap();
                        driver.give_up(epoch, Closed::with_code(CloseCode(code)), now);
                    }
                    Order::Quit => return story,
                }
                let notice = match session.step(Some(end)).unwrap() {
                    Step::Message(message) => Notice::Message(message),
                    Step::Told(notice) => notice,
                    Step::Over => return story,
                    Step::Again | Step::Idle(_) => {
                        assert!(Instant::now() < end, "no end of {story:?}");
                        order = Order::Nothing;
                        continue;
                    }
                };
                let told = Told::of(notice, Instant::now(), Message::len, words_of);
                order = story.tell(told, &mut app);
            }
        }
    }

    scenarios::test_all!(Mio);
}
