//! For the adapters of the crate: what an adapter may do without.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use keepalive::driver::{Cause, Notice};
use keepalive::{Backlog, CloseCode, Config, Gone, Goodbye, SendError, Shutdown, State};
use tungstenite::Message;

use super::runtime::{accepted, client, client_to, run, within};
use crate::peer::{BlackHole, url_of};
use crate::peers::Heard;
use crate::{LONG, ms, peers, quick};

#[test]
fn an_address_that_swallows_everything_costs_little() {
    let hole = BlackHole::new();
    let url = peers::serve(|_, mut socket| while socket.read().is_ok() {});
    let good = url["ws://".len()..].trim_end_matches('/').parse().unwrap();
    let config = Config::builder().reconnect(false).build().unwrap();
    let begun = Instant::now();
    run(async {
        let mut session = client_to(config, [hole.address, good]);
        loop {
            match within(LONG, session.next()).await {
                Some(Notice::Opened { .. }) => return,
                Some(Notice::Down(down)) => panic!("{}", down.cause),
                Some(_) => {}
                None => panic!("it was over"),
            }
        }
    });
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// It stops what it accepted, as for a restart, in the plain way.
#[test]
fn a_server_that_restarts_sees_its_clients_again() {
    const RESTARTS: usize = 3;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url_of(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        for socket in listener.incoming().take(RESTARTS + 1) {
            run(async {
                let config = Config::default();
                let mut session = accepted(config, socket.unwrap()).await;
                while let Some(notice) = within(LONG, session.next()).await {
                    match notice {
                        Notice::Opened { .. } => session.stop(),
                        Notice::Down(down) => assert!(matches!(down.cause, Cause::Stopped)),
                        _ => {}
                    }
                }
                assert_eq!(session.heartbeat().state(), State::Stopped);
            });
        }
    });
    let mut codes = Vec::new();
    run(async {
        let mut session = client(quick().build().unwrap(), &url);
        while codes.len() <= RESTARTS {
            match within(LONG, session.next()).await {
                Some(Notice::Down(down)) => {
                    let Cause::Closed { code, .. } = down.cause else {
                        panic!("{}", down.cause);
                    };
                    codes.push((code, down.retry.is_some()));
                }
                Some(_) => {}
                None => panic!("it was over"),
            }
        }
    });
    assert_eq!(codes, [(Some(CloseCode(1001)), true); RESTARTS + 1]);
    server.join().unwrap();
}

/// A second stop would abandon the connection.
#[test]
fn a_session_that_has_stopped_itself_is_not_stopped_again_by_a_shutdown() {
    let (url, heard) = listener();
    let orders: Vec<_> = (0..100).map(|number| format!("order {number}")).collect();
    let shutdown = Shutdown::new();
    run(async {
        let mut session = client(quick().build().unwrap(), &url);
        let handle = session.handle();
        shutdown.add(session.handle());
        while let Some(notice) = within(LONG, session.next()).await {
            match notice {
                Notice::Opened { .. } => {
                    for order in &orders {
                        handle.try_send(Message::text(order.clone())).unwrap();
                    }
                    session.stop_with(Goodbye::new(CloseCode(4000), "enough").unwrap());
                    assert!(!shutdown.close_blocking(Duration::ZERO));
                }
                Notice::Down(down) => assert!(matches!(down.cause, Cause::Stopped)),
                Notice::Stopped { unsent, .. } => assert_eq!(unsent, []),
                _ => {}
            }
        }
    });
    assert!(shutdown.close_blocking(Duration::ZERO));
    let said = orders.into_iter().chain(["4000".to_owned()]);
    assert_eq!(
        *heard.lock().unwrap(),
        said.map(|text| (0, text)).collect::<Vec<_>>()
    );
}

#[test]
fn handles_take_nothing_once_their_session_has_stopped_itself() {
    let (url, _heard) = listener();
    run(async {
        let mut session = client(quick().build().unwrap(), &url);
        let handle = session.handle();
        let mut is_open = false;
        while let Some(notice) = within(LONG, session.next()).await {
            let Notice::Opened { epoch, .. } = notice else {
                continue;
            };
            is_open = true;
            session.stop();
            for handle in [handle.clone(), session.handle()] {
                let refused = handle.try_send(Message::text("late"));
                assert!(matches!(refused, Err(SendError::Stopped(_))), "{refused:?}");
                assert_eq!(handle.reconnect_now(), Err(Gone));
                assert_eq!(handle.healthy(epoch), Err(Gone));
                assert!(handle.reconfigure(Config::default()).is_err());
            }
        }
        assert!(is_open);
    });
}

/// There was no handle yet when it was stopped.
#[test]
fn a_handle_of_a_session_that_is_stopping_takes_nothing() {
    let (url, _heard) = listener();
    run(async {
        let mut session = client(quick().build().unwrap(), &url);
        session.stop();
        let handle = session.handle();
        let refused = handle.try_send(Message::text("late"));
        assert!(matches!(refused, Err(SendError::Stopped(_))), "{refused:?}");
        while within(LONG, session.next()).await.is_some() {}
        within(LONG, handle.ended()).await;

        let mut session = client(quick().build().unwrap(), &url);
        session.stop();
        while within(LONG, session.next()).await.is_some() {}
        within(LONG, session.handle().ended()).await;
    });
}

#[test]
fn a_session_that_begins_anew_has_new_handles() {
    let (url, heard) = listener();
    let shutdown = Shutdown::new();
    run(async {
        let mut session = client(quick().build().unwrap(), &url);
        let before = session.handle();
        shutdown.add(before.clone());
        before.stop().unwrap();
        while within(LONG, session.next()).await.is_some() {}
        session.reconnect_now();
        assert_eq!(before.reconnect_now(), Err(Gone));
        assert_eq!(before.state().state, State::Stopped);
        let handle = session.handle();
        handle.try_send(Message::text("again")).unwrap();
        shutdown.add(handle);
        while let Some(notice) = within(LONG, session.next()).await {
            if let Notice::Opened { .. } = notice {
                assert!(!shutdown.close_blocking(Duration::ZERO));
            }
        }
        assert!(shutdown.close_blocking(Duration::ZERO));
    });
    let said = ["again", "1000"].map(|text| (0, text.to_owned()));
    assert_eq!(*heard.lock().unwrap(), said);
}

/// Notes the texts that it is sent, and at last the close code.
fn listener() -> (String, Heard) {
    let heard = Heard::default();
    let hears = Arc::clone(&heard);
    let url = peers::serve(move |number, mut socket| {
        while let Ok(message) = socket.read() {
            let said = match message {
                Message::Text(text) => text.to_string(),
                Message::Close(Some(frame)) => u16::from(frame.code).to_string(),
                _ => continue,
            };
            hears.lock().unwrap().push((number, said));
        }
    });
    (url, heard)
}

#[test]
fn a_backlog_that_is_for_one_connection_comes_back_with_it() {
    let url = peers::serve(|_, socket| {
        thread::sleep(ms(50));
        drop(socket);
    });
    let config = quick().healthy_within(Some(LONG)).build().unwrap();
    run(async {
        let mut session = client(config, &url);
        let handle = session.handle_of(Backlog::default().dropped_at_down());
        loop {
            match within(LONG, session.next()).await {
                // It waits for a login, which does not come.
                Some(Notice::Opened { .. }) => handle.try_send(Message::text("order")).unwrap(),
                Some(Notice::Down(down)) => {
                    assert_eq!(
                        (down.unsent, down.in_doubt),
                        (vec![Message::text("order")], 0)
                    );
                    return;
                }
                Some(_) => {}
                None => panic!("it was over"),
            }
        }
    });
}
