//! For the adapters of the crate: what an adapter may do without.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use keepalive::driver::{Cause, Notice};
use keepalive::{Backlog, CloseCode, Config, State};
use tungstenite::Message;

use super::runtime::{accepted, client, client_to, run, within};
use crate::peer::{BlackHole, url_of};
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
